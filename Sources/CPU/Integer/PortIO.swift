// IN, OUT, INS, OUTS.
//
// Owns: the permission checks' place and the order of port and memory accesses. Must not know: devices.
// Follows: Intel SDM volume 1, chapter 19 (I/O), volume 2 for the instructions.

extension CPU {
  @inline(__always)
  private func ioWidth(_ i: Insn) -> UInt32 {
    UInt32(i.pointee.operandSize)
  }

  /// The port of IN and OUT: an immediate, or DX as the base register.
  @inline(__always)
  func portNumber(_ i: Insn) -> UInt16 {
    (reg(i.pointee.base) as UInt16) | UInt16(i.pointee.imm & 0xFF)
  }

  func inputFromPort(_ i: Insn) throws(Fault) {
    let width = ioWidth(i)
    let port = portNumber(i)
    try checkIOPermission(port, width)
    let value = bus.portRead(port, width: Int(width))
    switch width {
    case 1: setReg(0, UInt8(truncatingIfNeeded: value))
    case 2: setReg(0, UInt16(truncatingIfNeeded: value))
    default: setReg(0, value)
    }
    if !debugEvents.isEmpty { notePort(port, width, write: false, value) }
    checkIOBreakpoints(port, width)
  }

  func outputToPort(_ i: Insn) throws(Fault) {
    let width = ioWidth(i)
    let port = portNumber(i)
    try checkIOPermission(port, width)
    let value = gpr32[Register.eax] & (UInt32.max >> (32 - 8 * width))
    bus.portWrite(port, value, width: Int(width))
    if !debugEvents.isEmpty { notePort(port, width, write: true, value) }
    checkIOBreakpoints(port, width)
  }

  /// Moves as much of a repetition as the device takes at once, at the time of its last unit.
  /// - Parameters:
  ///   - most: units that the guest still wants.
  ///   - move: moves the number of units that it is given, if it can.
  /// - Returns: how many were moved.
  @inline(__always)
  private func block(_ port: UInt16, _ width: UInt32, _ most: UInt32, _ move: (Int) -> Int) -> Int {
    let n = min(Int(most), bus.portBlockRoom(port, width: Int(width)))
    if n <= 0 { return 0 }
    s.pointee.retired &+= UInt64(n &- 1)
    defer { s.pointee.retired &-= UInt64(n &- 1) }
    return move(n)
  }

  func inputString(_ i: Insn) throws(Fault) {
    let width = ioWidth(i)
    let port: UInt16 = reg(8)
    try checkIOPermission(port, width)
    let delta = s.pointee.eflags & EFLAGS.df != 0 ? 0 &- width : width
    let mask = i.pointee.addressMask
    func step() throws(Fault) {
      let di = gpr32[Register.edi] & mask
      // The destination must be writable before the port is read.
      let value: UInt32
      switch width {
      case 1:
        _ = try readForWrite(SegmentRegister.es, di) as UInt8
        value = bus.portRead(port, width: 1)
        try write(SegmentRegister.es, di, UInt8(truncatingIfNeeded: value))
      case 2:
        _ = try readForWrite(SegmentRegister.es, di) as UInt16
        value = bus.portRead(port, width: 2)
        try write(SegmentRegister.es, di, UInt16(truncatingIfNeeded: value))
      default:
        _ = try readForWrite(SegmentRegister.es, di) as UInt32
        value = bus.portRead(port, width: 4)
        try write(SegmentRegister.es, di, value)
      }
      if !debugEvents.isEmpty { notePort(port, width, write: false, value) }
      advance(Register.edi, delta, mask)
      checkIOBreakpoints(port, width)
    }
    if !i.pointee.hasRep && !i.pointee.hasRepne { return try step() }
    try repeated(i) { (budget) throws(Fault) in
      if delta == width, !debugEvents.contains(.ports),
        let (n, target) = fastRun(
          SegmentRegister.es, gpr32[Register.edi] & mask, width, budget, mask, write: true)
      {
        let moved = block(port, width, n) {
          bus.portReadBlock(port, width: Int(width), into: target, count: $0)
        }
        if moved > 0 {
          advance(Register.edi, UInt32(moved) &* width, mask)
          return (UInt32(moved), false)
        }
      }
      try step()
      return (1, false)
    }
  }

  func outputString(_ i: Insn) throws(Fault) {
    let width = ioWidth(i)
    let port: UInt16 = reg(8)
    try checkIOPermission(port, width)
    let delta = s.pointee.eflags & EFLAGS.df != 0 ? 0 &- width : width
    let mask = i.pointee.addressMask
    let segment = Int(i.pointee.segment)
    func step() throws(Fault) {
      let si = gpr32[Register.esi] & mask
      let value: UInt32
      switch width {
      case 1: value = UInt32(try read(segment, si) as UInt8)
      case 2: value = UInt32(try read(segment, si) as UInt16)
      default: value = try read(segment, si)
      }
      bus.portWrite(port, value, width: Int(width))
      if !debugEvents.isEmpty { notePort(port, width, write: true, value) }
      advance(Register.esi, delta, mask)
      checkIOBreakpoints(port, width)
    }
    if !i.pointee.hasRep && !i.pointee.hasRepne { return try step() }
    try repeated(i) { (budget) throws(Fault) in
      if delta == width, !debugEvents.contains(.ports),
        let (n, source) = fastRun(
          segment, gpr32[Register.esi] & mask, width, budget, mask, write: false)
      {
        let moved = block(port, width, n) {
          bus.portWriteBlock(port, width: Int(width), from: source, count: $0)
        }
        if moved > 0 {
          advance(Register.esi, UInt32(moved) &* width, mask)
          return (UInt32(moved), false)
        }
      }
      try step()
      return (1, false)
    }
  }
}
