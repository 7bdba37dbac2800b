// Arithmetic by name.
//
// Owns: the eight operations of group 1, TEST, INC, DEC, NOT, NEG, multiplication, division, the widening of the accumulator, exchanges
// that add or compare. Must not know: what is computed.
// Follows: Intel SDM volume 2, the instructions' pages.

extension Assembler {
  // MARK: - Any of the eight

  /// Two registers.
  public func alu(
    _ operation: Arithmetic, _ to: HostRegister, _ from: HostRegister, _ width: Width = .long
  ) {
    note("\(operation) \(to.name(width)),\(from.name(width))")
    rr(
      Int(operation.rawValue) << 3 | (width == .byte ? 0 : 1), width, reg: from, rm: to)
  }

  /// A register and memory.
  public func alu(
    _ operation: Arithmetic, _ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long
  ) {
    note("\(operation) \(to.name(width)),\(width.pointer)\(m.name)")
    rm(Int(operation.rawValue) << 3 | (width == .byte ? 2 : 3), width, reg: to, m)
  }

  /// Memory and a register.
  public func alu(
    _ operation: Arithmetic, _ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long
  ) {
    note("\(operation) \(width.pointer)\(m.name),\(from.name(width))")
    rm(Int(operation.rawValue) << 3 | (width == .byte ? 0 : 1), width, reg: from, m)
  }

  /// A register and an immediate, in the shortest form.
  public func alu(
    _ operation: Arithmetic, _ to: HostRegister, _ value: Int32, _ width: Width = .long
  ) {
    note("\(operation) \(to.name(width)),\(width.text(value))")
    let digit = Int(operation.rawValue)
    if width == .byte {
      rr(0x80, .byte, reg: digit, rm: to.code, forcedREX: byteREX(width, to))
      byte(Int(value))
    } else if value >= -128 && value <= 127 {
      rr(0x83, width, reg: digit, rm: to.code)
      byte(Int(value))
    } else {
      rr(0x81, width, reg: digit, rm: to.code)
      immediate(UInt32(bitPattern: value), width)
    }
  }

  /// Memory and an immediate, in the shortest form.
  public func alu(
    _ operation: Arithmetic, _ m: MemoryOperand, _ value: Int32, _ width: Width = .long
  ) {
    note("\(operation) \(width.pointer)\(m.name),\(width.text(value))")
    let digit = Int(operation.rawValue)
    if width == .byte {
      rm(0x80, .byte, reg: digit, m)
      byte(Int(value))
    } else if value >= -128 && value <= 127 {
      rm(0x83, width, reg: digit, m)
      byte(Int(value))
    } else {
      rm(0x81, width, reg: digit, m)
      immediate(UInt32(bitPattern: value), width)
    }
  }

  /// SUB of an immediate of 32 bits, whatever its value, that can be written again.
  @discardableResult
  public func subWide(_ to: HostRegister, _ value: Int, _ width: Width = .long) -> PatchSite {
    note("sub \(to.name(width)),\(width.text(Int32(truncatingIfNeeded: value)))")
    rr(0x81, width, reg: 5, rm: to.code)
    let site = PatchSite(offset: position)
    word32(value)
    return site
  }

  // MARK: - Each of the eight

  @inlinable public func add(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    alu(.add, to, from, width)
  }
  @inlinable public func add(_ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long) {
    alu(.add, to, m, width)
  }
  @inlinable public func add(_ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long) {
    alu(.add, m, from, width)
  }
  @inlinable public func add(_ to: HostRegister, _ value: Int32, _ width: Width = .long) {
    alu(.add, to, value, width)
  }
  @inlinable public func add(_ m: MemoryOperand, _ value: Int32, _ width: Width = .long) {
    alu(.add, m, value, width)
  }

  @inlinable public func or(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    alu(.or, to, from, width)
  }
  @inlinable public func or(_ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long) {
    alu(.or, to, m, width)
  }
  @inlinable public func or(_ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long) {
    alu(.or, m, from, width)
  }
  @inlinable public func or(_ to: HostRegister, _ value: Int32, _ width: Width = .long) {
    alu(.or, to, value, width)
  }
  @inlinable public func or(_ m: MemoryOperand, _ value: Int32, _ width: Width = .long) {
    alu(.or, m, value, width)
  }

  @inlinable public func adc(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    alu(.adc, to, from, width)
  }
  @inlinable public func adc(_ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long) {
    alu(.adc, to, m, width)
  }
  @inlinable public func adc(_ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long) {
    alu(.adc, m, from, width)
  }
  @inlinable public func adc(_ to: HostRegister, _ value: Int32, _ width: Width = .long) {
    alu(.adc, to, value, width)
  }
  @inlinable public func adc(_ m: MemoryOperand, _ value: Int32, _ width: Width = .long) {
    alu(.adc, m, value, width)
  }

  @inlinable public func sbb(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    alu(.sbb, to, from, width)
  }
  @inlinable public func sbb(_ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long) {
    alu(.sbb, to, m, width)
  }
  @inlinable public func sbb(_ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long) {
    alu(.sbb, m, from, width)
  }
  @inlinable public func sbb(_ to: HostRegister, _ value: Int32, _ width: Width = .long) {
    alu(.sbb, to, value, width)
  }
  @inlinable public func sbb(_ m: MemoryOperand, _ value: Int32, _ width: Width = .long) {
    alu(.sbb, m, value, width)
  }

  @inlinable public func and(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    alu(.and, to, from, width)
  }
  @inlinable public func and(_ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long) {
    alu(.and, to, m, width)
  }
  @inlinable public func and(_ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long) {
    alu(.and, m, from, width)
  }
  @inlinable public func and(_ to: HostRegister, _ value: Int32, _ width: Width = .long) {
    alu(.and, to, value, width)
  }
  @inlinable public func and(_ m: MemoryOperand, _ value: Int32, _ width: Width = .long) {
    alu(.and, m, value, width)
  }

  @inlinable public func sub(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    alu(.sub, to, from, width)
  }
  @inlinable public func sub(_ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long) {
    alu(.sub, to, m, width)
  }
  @inlinable public func sub(_ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long) {
    alu(.sub, m, from, width)
  }
  @inlinable public func sub(_ to: HostRegister, _ value: Int32, _ width: Width = .long) {
    alu(.sub, to, value, width)
  }
  @inlinable public func sub(_ m: MemoryOperand, _ value: Int32, _ width: Width = .long) {
    alu(.sub, m, value, width)
  }

  @inlinable public func xor(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    alu(.xor, to, from, width)
  }
  @inlinable public func xor(_ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long) {
    alu(.xor, to, m, width)
  }
  @inlinable public func xor(_ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long) {
    alu(.xor, m, from, width)
  }
  @inlinable public func xor(_ to: HostRegister, _ value: Int32, _ width: Width = .long) {
    alu(.xor, to, value, width)
  }
  @inlinable public func xor(_ m: MemoryOperand, _ value: Int32, _ width: Width = .long) {
    alu(.xor, m, value, width)
  }

  @inlinable public func cmp(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    alu(.cmp, to, from, width)
  }
  @inlinable public func cmp(_ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long) {
    alu(.cmp, to, m, width)
  }
  @inlinable public func cmp(_ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long) {
    alu(.cmp, m, from, width)
  }
  @inlinable public func cmp(_ to: HostRegister, _ value: Int32, _ width: Width = .long) {
    alu(.cmp, to, value, width)
  }
  @inlinable public func cmp(_ m: MemoryOperand, _ value: Int32, _ width: Width = .long) {
    alu(.cmp, m, value, width)
  }

  // MARK: - Others

  public func test(_ first: HostRegister, _ second: HostRegister, _ width: Width = .long) {
    note("test \(first.name(width)),\(second.name(width))")
    rr(width == .byte ? 0x84 : 0x85, width, reg: second, rm: first)
  }

  public func test(_ m: MemoryOperand, _ register: HostRegister, _ width: Width = .long) {
    note("test \(width.pointer)\(m.name),\(register.name(width))")
    rm(width == .byte ? 0x84 : 0x85, width, reg: register, m)
  }

  public func test(_ register: HostRegister, _ value: UInt32, _ width: Width = .long) {
    note("test \(register.name(width)),\(width.text(Int32(bitPattern: value)))")
    rr(
      width == .byte ? 0xF6 : 0xF7, width, reg: 0, rm: register.code,
      forcedREX: byteREX(width, register))
    immediate(value, width)
  }

  public func test(_ m: MemoryOperand, _ value: UInt32, _ width: Width = .long) {
    note("test \(width.pointer)\(m.name),\(width.text(Int32(bitPattern: value)))")
    rm(width == .byte ? 0xF6 : 0xF7, width, reg: 0, m)
    immediate(value, width)
  }

  private func one(_ name: StaticString, _ op: Int, _ digit: Int, _ r: HostRegister, _ width: Width)
  {
    note("\(name) \(r.name(width))")
    rr(
      width == .byte ? op : op | 1, width, reg: digit, rm: r.code, forcedREX: byteREX(width, r))
  }

  private func one(
    _ name: StaticString, _ op: Int, _ digit: Int, _ m: MemoryOperand, _ width: Width
  ) {
    note("\(name) \(width.pointer)\(m.name)")
    rm(width == .byte ? op : op | 1, width, reg: digit, m)
  }

  public func inc(_ r: HostRegister, _ width: Width = .long) { one("inc", 0xFE, 0, r, width) }
  public func inc(_ m: MemoryOperand, _ width: Width = .long) { one("inc", 0xFE, 0, m, width) }

  public func dec(_ r: HostRegister, _ width: Width = .long) { one("dec", 0xFE, 1, r, width) }
  public func dec(_ m: MemoryOperand, _ width: Width = .long) { one("dec", 0xFE, 1, m, width) }

  public func not(_ r: HostRegister, _ width: Width = .long) { one("not", 0xF6, 2, r, width) }
  public func not(_ m: MemoryOperand, _ width: Width = .long) { one("not", 0xF6, 2, m, width) }

  public func neg(_ r: HostRegister, _ width: Width = .long) { one("neg", 0xF6, 3, r, width) }
  public func neg(_ m: MemoryOperand, _ width: Width = .long) { one("neg", 0xF6, 3, m, width) }

  /// MUL of the accumulator.
  public func mul(_ r: HostRegister, _ width: Width = .long) { one("mul", 0xF6, 4, r, width) }
  public func mul(_ m: MemoryOperand, _ width: Width = .long) { one("mul", 0xF6, 4, m, width) }

  /// IMUL of the accumulator.
  public func imul(_ r: HostRegister, _ width: Width = .long) { one("imul", 0xF6, 5, r, width) }
  public func imul(_ m: MemoryOperand, _ width: Width = .long) { one("imul", 0xF6, 5, m, width) }

  /// DIV of the accumulator.
  public func div(_ r: HostRegister, _ width: Width = .long) { one("div", 0xF6, 6, r, width) }
  public func div(_ m: MemoryOperand, _ width: Width = .long) { one("div", 0xF6, 6, m, width) }

  /// IDIV of the accumulator.
  public func idiv(_ r: HostRegister, _ width: Width = .long) { one("idiv", 0xF6, 7, r, width) }
  public func idiv(_ m: MemoryOperand, _ width: Width = .long) { one("idiv", 0xF6, 7, m, width) }

  public func imul(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    note("imul \(to.name(width)),\(from.name(width))")
    rr(0x0FAF, width, reg: to.code, rm: from.code)
  }

  public func imul(_ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long) {
    note("imul \(to.name(width)),\(width.pointer)\(m.name)")
    rm(0x0FAF, width, reg: to.code, m)
  }

  /// IMUL of three operands, with an immediate of the whole width.
  public func imul(
    _ to: HostRegister, _ from: HostRegister, _ value: UInt32, _ width: Width = .long
  ) {
    note("imul \(to.name(width)),\(from.name(width)),\(width.text(Int32(bitPattern: value)))")
    rr(0x69, width, reg: to.code, rm: from.code)
    immediate(value, width)
  }

  public func imul(_ to: HostRegister, _ m: MemoryOperand, _ value: UInt32, _ width: Width = .long)
  {
    note(
      "imul \(to.name(width)),\(width.pointer)\(m.name),\(width.text(Int32(bitPattern: value)))")
    rm(0x69, width, reg: to.code, m)
    immediate(value, width)
  }

  /// The accumulator's lower half sign-extended: CBW, CWDE, CDQE.
  public func extendAccumulator(to width: Width) {
    note(width == .word ? "cbw" : width == .long ? "cwde" : "cdqe")
    if width == .word { byte(0x66) } else if width == .quad { byte(0x48) }
    byte(0x98)
  }

  /// The accumulator's sign throughout DX, EDX or RDX: CWD, CDQ, CQO.
  public func spreadSign(_ width: Width) {
    note(width == .word ? "cwd" : width == .long ? "cdq" : "cqo")
    if width == .word { byte(0x66) } else if width == .quad { byte(0x48) }
    byte(0x99)
  }

  public func cmpxchg(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    note("cmpxchg \(to.name(width)),\(from.name(width))")
    rr(width == .byte ? 0x0FB0 : 0x0FB1, width, reg: from, rm: to)
  }

  public func cmpxchg(_ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long) {
    note("cmpxchg \(width.pointer)\(m.name),\(from.name(width))")
    rm(width == .byte ? 0x0FB0 : 0x0FB1, width, reg: from, m)
  }

  public func cmpxchg8b(_ m: MemoryOperand) {
    note("cmpxchg8b QWORD PTR \(m.name)")
    rm(0x0FC7, .long, reg: 1, m)
  }

  public func xadd(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    note("xadd \(to.name(width)),\(from.name(width))")
    rr(width == .byte ? 0x0FC0 : 0x0FC1, width, reg: from, rm: to)
  }

  public func xadd(_ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long) {
    note("xadd \(width.pointer)\(m.name),\(from.name(width))")
    rm(width == .byte ? 0x0FC0 : 0x0FC1, width, reg: from, m)
  }
}
