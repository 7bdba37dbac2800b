// Instructions that move data, by name.
//
// Owns: MOV in its forms, MOVZX, MOVSX, LEA, XCHG, BSWAP, PUSH, POP, conditional moves and sets. Must not know: what is moved.
// Follows: Intel SDM volume 2, the instructions' pages.

extension Assembler {
  /// MOV of a register.
  public func mov(_ to: HostRegister, _ from: HostRegister, _ width: Width = .long) {
    note("mov \(to.name(width)),\(from.name(width))")
    rr(width == .byte ? 0x88 : 0x89, width, reg: from, rm: to)
  }

  /// MOV from memory.
  public func mov(_ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long) {
    note("mov \(to.name(width)),\(width.pointer)\(m.name)")
    rm(width == .byte ? 0x8A : 0x8B, width, reg: to, m)
  }

  /// MOV to memory.
  public func mov(_ m: MemoryOperand, _ from: HostRegister, _ width: Width = .long) {
    note("mov \(width.pointer)\(m.name),\(from.name(width))")
    rm(width == .byte ? 0x88 : 0x89, width, reg: from, m)
  }

  /// MOV of an immediate; of one of 32 bits the upper half of the register becomes 0.
  public func mov(_ to: HostRegister, _ value: UInt32, _ width: Width = .long) {
    note("mov \(to.name(width)),\(width.text(Int32(bitPattern: value)))")
    switch width {
    case .byte:
      let rex = byteREX(width, to) | to.code >> 3
      if rex != 0 { byte(0x40 | rex) }
      byte(0xB0 | to.code & 7)
      byte(Int(value & 0xFF))
    case .word:
      // With the register in the opcode it would be a byte shorter: a change of code that nothing has asked for yet.
      rr(0xC7, .word, reg: 0, rm: to.code)
      immediate(value, .word)
    default:
      if to.code > 7 { byte(0x41) }
      byte(0xB8 | to.code & 7)
      word32(Int(value))
    }
  }

  /// MOV of a 64-bit immediate, or the shorter form where it fits.
  public func mov64(_ to: HostRegister, _ value: UInt64) {
    if value <= 0xFFFF_FFFF {
      mov(to, UInt32(value))
      return
    }
    note("movabs \(to.name(.quad)),\(hex(value))")
    long(to, value)
  }

  /// MOV of an address of this process. `meaning` names it in listings, which must not differ between runs.
  public func mov(_ to: HostRegister, address value: UInt64, _ meaning: @autoclosure () -> String) {
    listing?.add(
      position, "movabs \(to.name(.quad)),<\(meaning())>", hidden: position + 2, hiddenCount: 8)
    if value <= 0xFFFF_FFFF {
      // The short form would make the length depend on where memory happens to lie, which it hardly ever does.
      if to.code > 7 { byte(0x41) }
      byte(0xB8 | to.code & 7)
      word32(Int(value))
      return
    }
    long(to, value)
  }

  private func long(_ to: HostRegister, _ value: UInt64) {
    byte(to.code > 7 ? 0x49 : 0x48)
    byte(0xB8 | to.code & 7)
    word64(value)
  }

  /// MOV of an immediate to memory; one of 32 bits is sign-extended for a quadword.
  public func mov(_ m: MemoryOperand, _ value: UInt32, _ width: Width = .long) {
    note("mov \(width.pointer)\(m.name),\(width.text(Int32(bitPattern: value)))")
    rm(width == .byte ? 0xC6 : 0xC7, width, reg: 0, m)
    immediate(value, width)
  }

  /// MOVZX from a byte or word.
  public func movzx(
    _ to: HostRegister, _ from: HostRegister, _ source: Width, to width: Width = .long
  ) {
    note("movzx \(to.name(width)),\(from.name(source))")
    rr(
      source == .byte ? 0x0FB6 : 0x0FB7, width, reg: to.code, rm: from.code,
      forcedREX: byteREX(source, from))
  }

  public func movzx(
    _ to: HostRegister, _ m: MemoryOperand, _ source: Width, to width: Width = .long
  ) {
    note("movzx \(to.name(width)),\(source.pointer)\(m.name)")
    rm(source == .byte ? 0x0FB6 : 0x0FB7, width, reg: to.code, m)
  }

  /// MOVSX from a byte or word.
  public func movsx(
    _ to: HostRegister, _ from: HostRegister, _ source: Width, to width: Width = .long
  ) {
    note("movsx \(to.name(width)),\(from.name(source))")
    rr(
      source == .byte ? 0x0FBE : 0x0FBF, width, reg: to.code, rm: from.code,
      forcedREX: byteREX(source, from))
  }

  public func movsx(
    _ to: HostRegister, _ m: MemoryOperand, _ source: Width, to width: Width = .long
  ) {
    note("movsx \(to.name(width)),\(source.pointer)\(m.name)")
    rm(source == .byte ? 0x0FBE : 0x0FBF, width, reg: to.code, m)
  }

  /// MOVSX or MOVZX.
  public func extend(
    _ to: HostRegister, _ from: HostRegister, signed: Bool, _ source: Width, to width: Width = .long
  ) {
    if signed {
      movsx(to, from, source, to: width)
    } else {
      movzx(to, from, source, to: width)
    }
  }

  public func extend(
    _ to: HostRegister, _ m: MemoryOperand, signed: Bool, _ source: Width, to width: Width = .long
  ) {
    if signed { movsx(to, m, source, to: width) } else { movzx(to, m, source, to: width) }
  }

  /// LEA: leaves the flags.
  public func lea(_ to: HostRegister, _ m: MemoryOperand, _ width: Width = .long) {
    note("lea \(to.name(width)),\(m.name)")
    rm(0x8D, width, reg: to.code, m)
  }

  public func xchg(_ first: HostRegister, _ second: HostRegister, _ width: Width = .long) {
    note("xchg \(second.name(width)),\(first.name(width))")
    rr(width == .byte ? 0x86 : 0x87, width, reg: first, rm: second)
  }

  public func bswap(_ register: HostRegister) {
    note("bswap \(register.name(.long))")
    if register.code > 7 { byte(0x41) }
    byte(0x0F)
    byte(0xC8 | register.code & 7)
  }

  /// PUSH of a 64-bit register.
  public func push(_ register: HostRegister) {
    note("push \(register.name(.quad))")
    if register.code > 7 { byte(0x41) }
    byte(0x50 | register.code & 7)
  }

  /// PUSH of 64 bits of memory.
  public func push(_ m: MemoryOperand) {
    note("push QWORD PTR \(m.name)")
    rm(0xFF, .long, reg: 6, m)
  }

  /// PUSH of 64 bits sign-extended from 32.
  public func push(_ value: Int32) {
    note("push \(Width.quad.text(value))")
    byte(0x68)
    word32(Int(value))
  }

  /// POP of a 64-bit register.
  public func pop(_ register: HostRegister) {
    note("pop \(register.name(.quad))")
    if register.code > 7 { byte(0x41) }
    byte(0x58 | register.code & 7)
  }

  /// SETcc.
  public func set(_ condition: Condition, _ register: HostRegister) {
    note("set\(condition) \(register.name(.byte))")
    rr(
      0x0F90 | Int(condition.rawValue), .byte, reg: 0, rm: register.code,
      forcedREX: byteREX(.byte, register))
  }

  /// CMOVcc.
  public func cmov(
    _ condition: Condition, _ to: HostRegister, _ from: HostRegister, _ width: Width = .long
  ) {
    note("cmov\(condition) \(to.name(width)),\(from.name(width))")
    rr(0x0F40 | Int(condition.rawValue), width, reg: to.code, rm: from.code)
  }
}
