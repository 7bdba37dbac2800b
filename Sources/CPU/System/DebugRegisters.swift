// Debug registers and breakpoints.
//
// Owns: MOV DRn, matching of data, instruction and I/O breakpoints. Must not know: when the run loop looks at them.
// Follows: Intel SDM volume 3, sections 17.2 and 17.3.

/// Bits of DR6.
enum DR6 {
  /// B0 to B3.
  static let hits: UInt32 = 0xF
  /// A debug register was accessed while DR7.GD was set.
  static let bd: UInt32 = 1 << 13
  /// Single step.
  static let bs: UInt32 = 1 << 14
  /// A task switch to a TSS with T set.
  static let bt: UInt32 = 1 << 15
}

/// Bits of DR7.
enum DR7 {
  static let gd: UInt32 = 1 << 13
}

extension CPU {
  /// Adds to what the debug trap after the running instruction will report.
  func raiseDebugTrap(_ bits: UInt32) {
    s.pointee.pendingDebug |= bits
    s.pointee.attention |= Attention.trap
    stopAfterCurrent()
  }

  /// The address of breakpoint `n`.
  @inline(__always)
  private func breakpointAddress(_ n: UInt32) -> UInt32 {
    switch n {
    case 0: s.pointee.dr.0
    case 1: s.pointee.dr.1
    case 2: s.pointee.dr.2
    default: s.pointee.dr.3
    }
  }

  /// The enabled breakpoints of the kinds in `kinds` (bit 0 execute, 1 write, 2 I/O, 3 read or write) that `size` bytes at
  /// `address` touch, as DR6 bits.
  private func breakpointHits(_ address: UInt32, _ size: UInt32, kinds: UInt32) -> UInt32 {
    let dr7 = s.pointee.dr7
    var hits: UInt32 = 0
    for n in UInt32(0)..<4 where dr7 >> (2 &* n) & 3 != 0 {
      let control = dr7 >> (16 &+ 4 &* n)
      if kinds >> (control & 3) & 1 == 0 { continue }
      // LEN 0 to 3: 1, 2, 8 (later processors) and 4 bytes.
      let length: UInt32 =
        switch control >> 2 & 3 {
        case 0: 1
        case 1: 2
        case 2: 8
        default: 4
        }
      let start = breakpointAddress(n) & ~(length &- 1)
      if address &- start < length || start &- address < size { hits |= 1 << n }
    }
    return hits
  }

  /// Notes data breakpoints that an access hits; they trap after the instruction.
  func checkDataBreakpoints(_ linear: UInt32, _ size: UInt32, write: Bool) {
    let hits = breakpointHits(linear, size, kinds: write ? 0b1010 : 0b1000)
    if hits != 0 { raiseDebugTrap(hits) }
  }

  /// Notes I/O breakpoints (CR4.DE) that a port access hits; they trap after the instruction.
  func checkIOBreakpoints(_ port: UInt16, _ width: UInt32) {
    if s.pointee.dr7 & 0xFF == 0 || s.pointee.cr4 & CR4.de == 0 { return }
    let hits = breakpointHits(UInt32(port), width, kinds: 0b0100)
    if hits != 0 { raiseDebugTrap(hits) }
  }

  /// Looks for an instruction breakpoint at the linear address of the instruction about to run.
  /// - Throws: #DB with DR6 set, unless EFLAGS.RF holds it back.
  func checkInstructionBreakpoints(_ linear: UInt32) throws(Fault) {
    if s.pointee.eflags & EFLAGS.rf != 0 || s.pointee.dr7 & 0xFF == 0 { return }
    let hits = breakpointHits(linear, 1, kinds: 0b0001)
    if hits == 0 { return }
    s.pointee.dr6 = (s.pointee.dr6 & ~(DR6.hits | DR6.bt)) | hits
    var fault = Fault.db
    fault.errorCode = Fault.instructionBreakpoint
    throw fault
  }

  /// MOV r32, DRn and MOV DRn, r32.
  func moveDebug(_ i: Insn, write: Bool) throws(Fault) {
    var number = i.pointee.reg & 7
    if number == 4 || number == 5 {
      // Aliases of DR6 and DR7, unless CR4.DE takes them away.
      if s.pointee.cr4 & CR4.de != 0 { throw .ud }
      number += 2
    }
    try requireCPL0()
    if s.pointee.dr7 & DR7.gd != 0 {
      s.pointee.dr6 = (s.pointee.dr6 & ~(DR6.hits | DR6.bt)) | DR6.bd
      throw .db
    }
    if write {
      let value: UInt32 = reg(i.pointee.rm)
      switch number {
      case 0: s.pointee.dr.0 = value
      case 1: s.pointee.dr.1 = value
      case 2: s.pointee.dr.2 = value
      case 3: s.pointee.dr.3 = value
      case 6: s.pointee.dr6 = value & 0xE00F | 0xFFFF_0FF0
      default:
        s.pointee.dr7 = value & 0xFFFF_2BFF | 0x400
        updateMode()
      }
    } else {
      let value: UInt32 =
        switch number {
        case 6: s.pointee.dr6
        case 7: s.pointee.dr7
        default: breakpointAddress(UInt32(number))
        }
      setReg(i.pointee.rm, value)
    }
  }
}
