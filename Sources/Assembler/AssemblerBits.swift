// Shifts and single bits by name.
//
// Owns: rotations, shifts, double shifts, RORX, BT and relatives, BSF, BSR. Must not know: what is computed.
// Follows: Intel SDM volume 2, the instructions' pages.

extension Assembler {
  /// A rotation or shift by a constant.
  public func shift(_ operation: Shift, _ to: HostRegister, _ count: Int, _ width: Width = .long) {
    note("\(operation) \(to.name(width)),\(hex(UInt64(count & 0xFF)))")
    rr(
      width == .byte ? 0xC0 : 0xC1, width, reg: Int(operation.rawValue), rm: to.code,
      forcedREX: byteREX(width, to))
    byte(count)
  }

  public func shift(
    _ operation: Shift, _ m: MemoryOperand, _ count: Int, _ width: Width = .long
  ) {
    note("\(operation) \(width.pointer)\(m.name),\(hex(UInt64(count & 0xFF)))")
    rm(width == .byte ? 0xC0 : 0xC1, width, reg: Int(operation.rawValue), m)
    byte(count)
  }

  /// The form that has no count and shifts by one.
  public func shiftOnce(_ operation: Shift, _ to: HostRegister, _ width: Width = .long) {
    note("\(operation) \(to.name(width)),1")
    rr(
      width == .byte ? 0xD0 : 0xD1, width, reg: Int(operation.rawValue), rm: to.code,
      forcedREX: byteREX(width, to))
  }

  /// A rotation or shift by CL.
  public func shiftByCL(_ operation: Shift, _ to: HostRegister, _ width: Width = .long) {
    note("\(operation) \(to.name(width)),cl")
    rr(
      width == .byte ? 0xD2 : 0xD3, width, reg: Int(operation.rawValue), rm: to.code,
      forcedREX: byteREX(width, to))
  }

  public func shiftByCL(_ operation: Shift, _ m: MemoryOperand, _ width: Width = .long) {
    note("\(operation) \(width.pointer)\(m.name),cl")
    rm(width == .byte ? 0xD2 : 0xD3, width, reg: Int(operation.rawValue), m)
  }

  public func shl(_ to: HostRegister, _ count: Int, _ width: Width = .long) {
    shift(.shl, to, count, width)
  }
  public func shr(_ to: HostRegister, _ count: Int, _ width: Width = .long) {
    shift(.shr, to, count, width)
  }
  public func sar(_ to: HostRegister, _ count: Int, _ width: Width = .long) {
    shift(.sar, to, count, width)
  }

  /// SHLD or SHRD by a constant.
  public func doubleShift(
    right: Bool, _ to: HostRegister, _ from: HostRegister, _ count: Int, _ width: Width = .long
  ) {
    note("\(right ? "shrd" : "shld") \(to.name(width)),\(from.name(width)),\(hex(UInt64(count)))")
    rr(right ? 0x0FAC : 0x0FA4, width, reg: from.code, rm: to.code)
    byte(count)
  }

  public func doubleShift(
    right: Bool, _ m: MemoryOperand, _ from: HostRegister, _ count: Int, _ width: Width = .long
  ) {
    note(
      "\(right ? "shrd" : "shld") \(width.pointer)\(m.name),\(from.name(width)),\(hex(UInt64(count)))"
    )
    rm(right ? 0x0FAC : 0x0FA4, width, reg: from.code, m)
    byte(count)
  }

  /// SHLD or SHRD by CL.
  public func doubleShiftByCL(
    right: Bool, _ to: HostRegister, _ from: HostRegister, _ width: Width = .long
  ) {
    note("\(right ? "shrd" : "shld") \(to.name(width)),\(from.name(width)),cl")
    rr(right ? 0x0FAD : 0x0FA5, width, reg: from.code, rm: to.code)
  }

  public func doubleShiftByCL(
    right: Bool, _ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long
  ) {
    note("\(right ? "shrd" : "shld") \(width.pointer)\(m.name),\(from.name(width)),cl")
    rm(right ? 0x0FAD : 0x0FA5, width, reg: from.code, m)
  }

  /// RORX r32,r32,imm8: a rotation that leaves the flags.
  public func rorx(_ to: HostRegister, _ from: HostRegister, _ count: Int) {
    note("rorx \(to.name(.long)),\(from.name(.long)),\(hex(UInt64(count)))")
    // VEX.LZ.F2.0F3A.W0 F0 /r ib
    byte(0xC4)
    byte((to.code < 8 ? 0x80 : 0) | 0x40 | (from.code < 8 ? 0x20 : 0) | 3)
    byte(0x7B)
    byte(0xF0)
    byte(0xC0 | (to.code & 7) << 3 | from.code & 7)
    byte(count)
  }

  /// BT, BTS, BTR or BTC with the bit's number in a register.
  public func bit(
    _ operation: BitOperation, _ to: HostRegister, _ number: HostRegister, _ width: Width = .long
  ) {
    note("\(operation) \(to.name(width)),\(number.name(width))")
    rr(0x0FA3 | Int(operation.rawValue) << 3, width, reg: number.code, rm: to.code)
  }

  public func bit(
    _ operation: BitOperation, _ m: MemoryOperand, _ number: HostRegister, _ width: Width = .long
  ) {
    note("\(operation) \(width.pointer)\(m.name),\(number.name(width))")
    rm(0x0FA3 | Int(operation.rawValue) << 3, width, reg: number.code, m)
  }

  /// The same with a constant number.
  public func bit(
    _ operation: BitOperation, _ to: HostRegister, _ number: Int, _ width: Width = .long
  ) {
    note("\(operation) \(to.name(width)),\(hex(UInt64(number)))")
    rr(0x0FBA, width, reg: 4 | Int(operation.rawValue), rm: to.code)
    byte(number)
  }

  public func bit(
    _ operation: BitOperation, _ m: MemoryOperand, _ number: Int, _ width: Width = .long
  ) {
    note("\(operation) \(width.pointer)\(m.name),\(hex(UInt64(number)))")
    rm(0x0FBA, width, reg: 4 | Int(operation.rawValue), m)
    byte(number)
  }

  /// BSF.
  public func bsf(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    note("bsf \(to.name(width)),\(from.name(width))")
    rr(0x0FBC, width, reg: to.code, rm: from.code)
  }

  /// BSR.
  public func bsr(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    note("bsr \(to.name(width)),\(from.name(width))")
    rr(0x0FBD, width, reg: to.code, rm: from.code)
  }
}
