// Loops that only wait for what another processor does.
//
// Owns: telling such a loop by its code, and the jump that closes it. Must not know: whose turn it is.
//
// Systems older than PAUSE wait for a lock in loops of a few instructions: `again: test byte [lock],1; jnz again`, or `again: mov eax,1;
// xchg [lock],eax; test eax,eax; jnz again`. While one of several processors executes such a loop, no other can let it go on, so the jump
// back gives way as PAUSE does. What makes a loop one that waits is its code alone, from the target of the jump to the jump: no pass
// leaves anything for the next (no register is read before it is written in the same pass and written in it, nothing but a lock is
// stored), so that the first pass that jumps back is as good as all that follow until somebody else writes, or an interrupt comes.
// Both engines find this out when they decode the jump; the block depends on all bytes of the loop.

import X86ISA

enum WaitLoop {
  /// Bytes from the target of the jump to its end, at most.
  private static let mostBytes: UInt32 = 48

  /// Where in its page a loop begins that a jump closes; nil where none of these lengths does.
  /// - Parameter end: the offset in the page behind the jump.
  static func start(_ jump: Instruction, end: UInt32) -> UInt32? {
    guard jump.handler == .jmpRel || jump.op.isConditionalJump && jump.handler != .ud,
      jump.handler != .lengthFault
    else { return nil }
    let back = 0 &- jump.imm
    guard back >= UInt32(jump.length), back <= mostBytes, back <= end else { return nil }
    return end &- back
  }

  /// Whether a loop only waits.
  /// - Parameters:
  ///   - code: its bytes.
  ///   - count: how many there are before the jump.
  static func waits(
    _ code: UnsafePointer<UInt8>, _ count: Int, mode: DecodeMode, _ decoder: Decoder
  ) -> Bool {
    var at = 0
    // Registers by bit: read before they are written, and written.
    var needed: UInt32 = 0
    var written: UInt32 = 0
    while at < count {
      var i = Instruction()
      guard decoder.decode(code + at, count: count - at, mode: mode, into: &i) == .ok,
        i.handler != .ud, let uses = uses(of: i)
      else { return false }
      at += Int(i.length)
      if i.op.isConditionalJump {
        // Out of the loop, wherever that is.
        let target = at &+ Int(Int32(bitPattern: i.imm))
        if target >= 0 && target <= count { return false }
      }
      needed |= uses.reads & ~written
      written |= uses.writes
    }
    return at == count && needed & written == 0
  }

  private struct Uses {
    var reads: UInt32 = 0
    var writes: UInt32 = 0
  }

  /// The general registers that an instruction reads and writes; nil: no loop that waits has it. A byte register counts as the whole.
  private static func uses(of i: Instruction) -> Uses? {
    func bit(_ offset: UInt8) -> UInt32 { offset < 32 ? 1 << UInt32(offset >> 2) : 0 }
    /// The register of an operand; 0: memory or an immediate.
    func register(_ kind: OperandKind) -> UInt32? {
      switch kind {
      case .eb: i.hasMemory ? 0 : 1 << UInt32(i.modrm & 3)
      case .ew, .ev: i.hasMemory ? 0 : 1 << UInt32(i.modrm & 7)
      case .gb: 1 << UInt32(i.digit & 3)
      case .gw, .gv: 1 << UInt32(i.digit)
      case .zb: 1 << UInt32(i.opcode & 3)
      case .zv: 1 << UInt32(i.opcode & 7)
      case .al, .ax, .eax: 1 << UInt32(Register.eax)
      case .none, .m, .ob, .ov, .ib, .ibs, .iw, .iz, .iv: 0
      default: nil
      }
    }
    if i.op.isConditionalJump { return Uses() }
    if i.op == .nop || i.op == .nopRM { return i.handler == .pause ? nil : Uses() }
    let (first, second, _) = i.encoding.operands
    guard let destination = register(first), let source = register(second) else { return nil }
    var uses = Uses(reads: source | (i.hasMemory ? bit(i.base) | bit(i.index) : 0))
    let isMemory = destination == 0
    switch i.op {
    case .cmp, .test, .bt: uses.reads |= destination
    case .mov, .movzx, .movsx, .lea:
      if isMemory { return nil }
      uses.writes = destination
    case .and, .or, .xor, .add, .sub, .not, .neg:
      if isMemory { return nil }
      if (i.op == .xor || i.op == .sub) && destination == source && !i.hasMemory {
        return Uses(writes: destination)
      }
      uses.reads |= destination
      uses.writes = destination
    // What was read goes back to where it came from: nothing grows.
    case .xchg:
      if !isMemory { return nil }
      uses.reads &= ~source | bit(i.base) | bit(i.index)
      uses.writes = source
    case .bts, .btr:
      if !isMemory { return nil }
    // Compares with the accumulator: left as the last pass loaded it, the next one finds what it expects.
    case .cmpxchg:
      if !isMemory { return nil }
      uses.reads |= 1 << UInt32(Register.eax)
      uses.writes = 1 << UInt32(Register.eax)
    default: return nil
    }
    return uses
  }
}

extension CPU {
  /// A decoded block's last record is the jump of a loop that only waits: it gets a handler of its own.
  /// - Parameters:
  ///   - page: the bytes of the block's page.
  ///   - end: the offset behind the block in it.
  /// - Returns: the offset of the first byte that this depends on, whatever came out of it; nil: none.
  func noteWaitLoop(
    _ record: UnsafeMutablePointer<Instruction>, _ page: UnsafePointer<UInt8>, end: UInt32,
    mode: DecodeMode
  ) -> UInt32? {
    guard let start = WaitLoop.start(record.pointee, end: end) else { return nil }
    let count = end &- start &- UInt32(record.pointee.length)
    if WaitLoop.waits(page + Int(start), Int(count), mode: mode, decoder) {
      record.pointee.handler = .waitJump
      HandlerForms.reset(record)
    }
    return start
  }

  /// The jump of a loop that only waits. Taken, it gives way.
  func jumpBackWaiting(_ i: Insn) throws(Fault) {
    if i.pointee.op.isConditionalJump && !condition(i.pointee.condition) { return }
    try jumpRelative(i)
    pause()
  }
}
