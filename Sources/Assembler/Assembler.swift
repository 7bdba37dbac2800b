// An emitter of x86-64 machine code.
//
// Owns: the buffer, the form of instructions (prefixes, REX, ModRM, SIB, displacements, immediates), labels and fields that are written
// again. Instructions by name are in the other files: AssemblerMoves, AssemblerArithmetic, AssemblerBits, AssemblerControl, AssemblerX87,
// AssemblerSIMD, AssemblerSystem; what they name in Registers; their text in Listing.
// Must not know: what the code is for. Nobody else writes bytes of instructions.
// Follows: Intel SDM volume 2, chapter 2 (instruction format) and appendix A.

/// Writes instructions one after the other into a buffer.
public final class Assembler {
  /// The writable mapping.
  public let buffer: UnsafeMutablePointer<UInt8>
  public let capacity: Int
  /// Offsets of instructions that reach the window, each with `windowTag` as it was.
  public var windowSites: [(offset: Int, tag: Int)] = []
  public var windowTag = 0
  /// Offset of the next byte.
  public var position = 0
  /// The text of what is emitted, where somebody wants it.
  public var listing: Listing?

  public init(buffer: UnsafeMutableRawPointer, capacity: Int) {
    self.buffer = buffer.assumingMemoryBound(to: UInt8.self)
    self.capacity = capacity
  }

  /// The instruction that begins here reads like this.
  @inline(__always) func note(_ text: @autoclosure () -> String) {
    if let listing { listing.add(position, text()) }
  }

  // MARK: - Bytes

  @inline(__always) func byte(_ value: Int) {
    buffer[position] = UInt8(truncatingIfNeeded: value)
    position &+= 1
  }

  @inline(__always) func word32(_ value: Int) {
    UnsafeMutableRawPointer(buffer + position).storeBytes(
      of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
    position &+= 4
  }

  @inline(__always) func word64(_ value: UInt64) {
    UnsafeMutableRawPointer(buffer + position).storeBytes(of: value, as: UInt64.self)
    position &+= 8
  }

  /// Writes a 32-bit value at an earlier offset.
  func patch32(_ offset: Int, _ value: Int) {
    UnsafeMutableRawPointer(buffer + offset).storeBytes(
      of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
  }

  /// Reads a 32-bit value at an earlier offset.
  func read32(_ offset: Int) -> Int {
    Int(UnsafeRawPointer(buffer + offset).loadUnaligned(as: Int32.self))
  }

  /// INT3 up to the next multiple of a power of two: nobody comes there.
  public func align(to unit: Int) { while position & (unit - 1) != 0 { byte(0xCC) } }

  // MARK: - Fields written again

  /// An immediate becomes a value.
  public func patch(_ site: PatchSite, immediate value: Int) { patch32(site.offset, value) }

  /// A jump leads to an offset of the buffer.
  public func patch(_ site: PatchSite, toOffset target: Int) {
    patch32(site.offset, target - (site.offset + 4))
  }

  // MARK: - Labels

  /// The label stands here.
  public func bind(_ label: inout Label) {
    label.target = position
    var p = label.pending
    while p >= 0 {
      let next = read32(p)
      patch32(p, position - (p + 4))
      p = next
    }
    label.pending = -1
  }

  func reference(_ label: inout Label) {
    if label.target >= 0 {
      word32(label.target - (position + 4))
    } else {
      let at = position
      word32(label.pending)
      label.pending = at
    }
  }

  // MARK: - Form

  @inline(__always)
  private func opcode(_ op: Int) {
    if op > 0xFFFF { byte(op >> 16) }
    if op > 0xFF { byte(op >> 8 & 0xFF) }
    byte(op & 0xFF)
  }

  /// SPL, BPL, SIL and DIL are named with a REX prefix, without which the same number means AH to BH.
  @inline(__always)
  func byteREX(_ width: Width, _ register: HostRegister) -> Int {
    width == .byte && register.raw >> 2 == 1 ? 0x40 : 0
  }

  /// Whether the byte of a register is named with a REX prefix, beside which no high byte can be.
  private func needsREX(_ register: HostRegister) -> Bool {
    register.raw >> 2 > 0 && register.raw < 16
  }

  /// An instruction with ModRM and two registers. `op` is an opcode, 0Fxx for the two-byte map; with a mandatory prefix give it in
  /// `prefix`.
  func rr(
    _ op: Int, _ width: Width, reg: Int, rm: Int, prefix: Int = 0, forcedREX: Int = 0
  ) {
    if width == .word { byte(0x66) }
    if prefix != 0 { byte(prefix) }
    let rex = (width == .quad ? 8 : 0) | (reg >> 3) << 2 | rm >> 3 | forcedREX
    if rex != 0 { byte(0x40 | rex) }
    opcode(op)
    byte(0xC0 | (reg & 7) << 3 | rm & 7)
  }

  /// The same with registers of one width.
  @inline(__always)
  func rr(_ op: Int, _ width: Width, reg: HostRegister, rm: HostRegister) {
    assert(width == .byte || !reg.isHighByte && !rm.isHighByte)
    assert(!reg.isHighByte && !rm.isHighByte || !needsREX(reg) && !needsREX(rm))
    rr(
      op, width, reg: reg.code, rm: rm.code,
      forcedREX: byteREX(width, reg) | byteREX(width, rm))
  }

  /// An instruction with ModRM, a register and memory.
  func rm(
    _ op: Int, _ width: Width, reg: Int, _ m: MemoryOperand, prefix: Int = 0, forcedREX: Int = 0
  ) {
    if m.isWindow {
      windowSites.append((position, windowTag))
      byte(0x65)
      byte(0x67)
    }
    if width == .word { byte(0x66) }
    if prefix != 0 { byte(prefix) }
    let base = m.base.map { $0.code } ?? -1
    let index = m.index.map { $0.code } ?? -1
    let rex =
      (width == .quad ? 8 : 0) | (reg >> 3) << 2 | (index > 7 ? 2 : 0) | (base > 7 ? 1 : 0)
      | forcedREX
    if rex != 0 { byte(0x40 | rex) }
    opcode(op)
    let r = (reg & 7) << 3
    let d = m.displacement
    if base < 0 {
      // No base: SIB with base 5 and mod 0.
      byte(r | 4)
      byte(m.scale << 6 | (index < 0 ? 4 : index & 7) << 3 | 5)
      word32(Int(d))
      return
    }
    let b = base & 7
    let mod: Int
    if d == 0 && b != 5 {
      mod = 0
    } else if d >= -128 && d <= 127 {
      mod = 0x40
    } else {
      mod = 0x80
    }
    if index >= 0 {
      byte(mod | r | 4)
      byte(m.scale << 6 | (index & 7) << 3 | b)
    } else if b == 4 {
      byte(mod | r | 4)
      byte(0x24)
    } else {
      byte(mod | r | b)
    }
    if mod == 0 { return }
    listing?.addDisplacement(position, mod == 0x40 ? 1 : 4)
    if mod == 0x40 { byte(Int(d)) } else { word32(Int(d)) }
  }

  @inline(__always)
  func rm(_ op: Int, _ width: Width, reg: HostRegister, _ m: MemoryOperand) {
    assert(
      !reg.isHighByte
        || width == .byte && m.base?.isExtended != true && m.index?.isExtended != true)
    rm(op, width, reg: reg.code, m, forcedREX: byteREX(width, reg))
  }

  /// An immediate of the operand's size, at most 32 bits.
  func immediate(_ value: UInt32, _ width: Width) {
    switch width {
    case .byte: byte(Int(value & 0xFF))
    case .word:
      byte(Int(value & 0xFF))
      byte(Int(value >> 8 & 0xFF))
    default: word32(Int(value))
    }
  }
}
