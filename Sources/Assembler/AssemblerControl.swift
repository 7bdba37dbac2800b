// Jumps, calls, flags and strings by name.
//
// Owns: transfers to labels, to offsets in the buffer and through registers and memory; instructions that move or change flags alone;
// repeated string instructions. Must not know: where anything leads.
// Follows: Intel SDM volume 2, the instructions' pages.

extension Assembler {
  @inline(__always)
  private func noteTransfer(_ name: @autoclosure () -> String, _ place: Int) {
    listing?.add(position, name(), target: place)
  }

  // MARK: - To labels and offsets

  /// JMP rel32.
  public func jmp(_ label: inout Label) {
    noteTransfer("jmp", position + 1)
    byte(0xE9)
    reference(&label)
  }

  /// Jcc rel32.
  public func j(_ condition: Condition, _ label: inout Label) {
    noteTransfer("j\(condition)", position + 2)
    byte(0x0F)
    byte(0x80 | Int(condition.rawValue))
    reference(&label)
  }

  /// JMP rel32 to an offset in the buffer.
  public func jmp(toOffset target: Int) {
    noteTransfer("jmp", position + 1)
    byte(0xE9)
    word32(target - (position + 4))
  }

  /// Jcc rel32 to an offset in the buffer.
  public func j(_ condition: Condition, toOffset target: Int) {
    noteTransfer("j\(condition)", position + 2)
    byte(0x0F)
    byte(0x80 | Int(condition.rawValue))
    word32(target - (position + 4))
  }

  /// JMP rel32 to a place that is written later.
  public func jmpLater() -> PatchSite {
    listing?.add(position, "jmp", target: position + 1, isLater: true)
    byte(0xE9)
    word32(0)
    return PatchSite(offset: position - 4)
  }

  /// CALL rel32 to an offset in the buffer.
  public func call(toOffset target: Int) {
    noteTransfer("call", position + 1)
    byte(0xE8)
    word32(target - (position + 4))
  }

  /// JRCXZ, which reaches only a byte far and leaves the flags.
  public func jrcxz() -> ShortJump {
    listing?.add(position, "jrcxz", shortTarget: position + 1)
    byte(0xE3)
    byte(0)
    return ShortJump(at: position - 1)
  }

  /// Jcc with a reach of a byte.
  public func jShort(_ condition: Condition) -> ShortJump {
    listing?.add(position, "j\(condition)", shortTarget: position + 1)
    byte(0x70 | Int(condition.rawValue))
    byte(0)
    return ShortJump(at: position - 1)
  }

  /// The short jump leads here.
  public func bind(_ jump: ShortJump) {
    let distance = position - (jump.at + 1)
    precondition(distance <= 127)
    buffer[jump.at] = UInt8(distance)
  }

  // MARK: - Through registers and memory

  public func jmp(_ register: HostRegister) {
    note("jmp \(register.name(.quad))")
    rr(0xFF, .long, reg: 4, rm: register.code)
  }

  public func jmp(_ m: MemoryOperand) {
    note("jmp QWORD PTR \(m.name)")
    rm(0xFF, .long, reg: 4, m)
  }

  public func call(_ register: HostRegister) {
    note("call \(register.name(.quad))")
    rr(0xFF, .long, reg: 2, rm: register.code)
  }

  public func call(_ m: MemoryOperand) {
    note("call QWORD PTR \(m.name)")
    rm(0xFF, .long, reg: 2, m)
  }

  // MARK: - Without operands

  private func plain(_ name: StaticString, _ op: Int) {
    note("\(name)")
    byte(op)
  }

  public func ret() { plain("ret", 0xC3) }
  /// SF, ZF, AF, PF, CF into AH.
  public func lahf() { plain("lahf", 0x9F) }
  /// SF, ZF, AF, PF, CF from AH.
  public func sahf() { plain("sahf", 0x9E) }
  public func clc() { plain("clc", 0xF8) }
  public func stc() { plain("stc", 0xF9) }
  public func cmc() { plain("cmc", 0xF5) }
  public func cld() { plain("cld", 0xFC) }
  /// PUSHF of 64 bits.
  public func pushfq() { plain("pushf", 0x9C) }
  /// POPF of 64 bits.
  public func popfq() { plain("popf", 0x9D) }

  // MARK: - Strings

  /// A repeated string instruction; `whileDifferent` is REPNE, otherwise REP or REPE.
  public func repeated(
    _ operation: StringOperation, whileDifferent: Bool = false, _ width: Width
  ) {
    note(repeatedText(operation, whileDifferent, width))
    if width == .word { byte(0x66) }
    byte(whileDifferent ? 0xF2 : 0xF3)
    if width == .quad { byte(0x48) }
    byte(Int(operation.rawValue) | (width == .byte ? 0 : 1))
  }

  private func repeatedText(_ operation: StringOperation, _ different: Bool, _ width: Width)
    -> String
  {
    let compares = operation == .cmps || operation == .scas
    let accumulator = HostRegister.rax.name(width)
    let source = width.pointer + (operation == .movs || operation == .lods ? "ds:" : "") + "[rsi]"
    let target = width.pointer + "es:[rdi]"
    let operands: String
    switch operation {
    case .movs: operands = "\(target),\(source)"
    case .cmps: operands = "\(width.pointer)ds:[rsi],\(target)"
    case .stos: operands = "\(target),\(accumulator)"
    case .lods: operands = "\(accumulator),\(source)"
    case .scas: operands = "\(accumulator),\(target)"
    }
    return "\(different ? "repnz" : compares ? "repz" : "rep") \(operation) \(operands)"
  }
}
