// Bit instructions, double shifts and exchanges that compare or add, in translated code.
//
// Owns: what each becomes. Must not know: where blocks lead.
// Follows: Intel SDM volume 2; flags it leaves undefined are as the interpreter leaves them.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// BT and relatives.
  func emitBitTest(_ i: Instruction) -> Bool {
    let immediate = i.handler == .bitTestImm
    let size = i.isOperand32 ? 4 : 2
    let width: Width = i.isOperand32 ? .long : .word
    guard let operation = BitOperation(i.op) else { return emitInterpreted() }
    let changes = operation != .bt
    let number = Int(i.imm) & (size * 8 - 1)
    let keeps = needs(~FlagInformation.carry)
    if i.hasMemory {
      guard immediate else { return emitBitTestMemory(i, size, operation) }
      let m = emitAddress(i, size, write: changes, needing: keeps ? .all : .nothing)
      a.bit(operation, m, number, width)
      defineFlags(garbage: keeps ? garbage.keepingAdjust : .none)
      return false
    }
    if keeps { useHostFlags() }
    if changes { willWrite(mask(i.rm)) }
    if immediate {
      a.bit(operation, host(i.rm), number, width)
    } else {
      a.bit(operation, host(i.rm), host(i.reg), width)
    }
    defineFlags(garbage: keeps ? garbage.keepingAdjust : .none)
    return false
  }

  /// BT and relatives with a register as bit number and memory as operand: any bit relative to the operand.
  private func emitBitTestMemory(
    _ i: Instruction, _ size: Int, _ operation: BitOperation
  ) -> Bool {
    guard size == 4 else { return emitInterpreted() }
    let changes = operation != .bt
    let keeps = needs(~FlagInformation.carry)
    if keeps {
      saveFlags()
      hostFlagsValid = false
    } else {
      clobberFlags()
    }
    let slow = interpretStub()
    let offset = emitOffset(i)
    if offset != .r8 { a.mov(.r8, offset) }
    // The doubleword that holds the bit.
    a.mov(.r10, host(i.reg))
    a.sar(.r10, 5)
    a.lea(.r8, MemoryOperand(base: .r8, index: .r10, scale: 2))
    if !i.isAddress32 { a.movzx(.r8, .r8, .word) }
    let m = emitAccess(.r8, Int(i.segment), 4, write: changes, slow: slow)
    if !changes || m.isWindow {
      // The forms with a bit in a register are much faster. R9 is free in the window, and for BT behind the load.
      a.mov(.r9, m)
      a.bit(operation, .r9, host(i.reg))
      if changes { a.mov(m, .r9) }
    } else {
      a.mov(.r10, host(i.reg))
      a.and(.r10, 31)
      a.bit(operation, m, .r10)
    }
    guard keeps else {
      defineFlags()
      return false
    }
    // Only CF changes: it replaces bit 0 of AH in memory.
    a.set(.b, .r10)
    var high = StateOperand.rawFlags
    high.displacement += 1
    a.and(high, -2, .byte)
    a.or(high, .r10, .byte)
    flagsAreInMemory()
    return false
  }

  /// BSF and BSR. The undefined flags follow the result; a zero source sets ZF alone and leaves the register.
  func emitBitScan(_ i: Instruction) {
    let size = i.isOperand32 ? 4 : 2
    let width = Width(bytes: size)
    let keeps = needs(~UInt16(EFLAGS.zf))
    if keeps { saveFlags() }
    willWrite(mask(i.reg))
    if i.hasMemory {
      let m = emitAddress(i, size, write: false)
      if size == 4 { a.mov(.r10, m) } else { a.movzx(.r10, m, .word) }
    } else if size == 4 {
      a.mov(.r10, host(i.rm))
    } else {
      a.movzx(.r10, host(i.rm), .word)
    }
    guard keeps else {
      // Either way ZF tells whether the source was zero.
      var skip = Label()
      a.test(.r10, .r10)
      a.j(.e, &skip)
      if i.handler == .bsf { a.bsf(.r10, .r10) } else { a.bsr(.r10, .r10) }
      a.mov(host(i.reg), .r10, width)
      a.bind(&skip)
      defineFlags()
      return
    }
    var zero = Label()
    var done = Label()
    var high = StateOperand.rawFlags
    high.displacement += 1
    a.test(.r10, .r10)
    a.j(.e, &zero)
    if i.handler == .bsf { a.bsf(.r10, .r10) } else { a.bsr(.r10, .r10) }
    a.test(.r10, .r10)
    a.mov(.r9, .rax, .quad)
    a.lahf()
    a.and(.ah, Int32(0xBF - 0x100), .byte)
    a.xor(.rax, .rax, .byte)
    a.mov(StateOperand.rawFlags, .rax, .word)
    a.mov(.rax, .r9, .quad)
    a.mov(host(i.reg), .r10, width)
    a.jmp(&done)
    a.bind(&zero)
    a.or(high, 0x40, .byte)
    a.bind(&done)
    flagsAreInMemory()
  }

  /// SHLD and SHRD; words by less than 16. SHRD of words, of memory or by CL is interpreted where OF after more than one step matters, in
  /// which processors differ.
  func emitDoubleShift(_ i: Instruction) -> Bool {
    let size = i.isOperand32 ? 4 : 2
    let byCL = i.countsByCL
    let amount = i.imm & 31
    if !byCL && (amount == 0 || amount >= 8 * size) { return emitInterpreted() }
    let isRight = i.handler == .shrd
    let width = Width(bytes: size)
    if isRight && (byCL || amount != 1) && needs(UInt16(EFLAGS.of)) {
      if byCL || size == 2 || i.hasMemory { return emitInterpreted() }
      a.doubleShift(right: true, host(i.rm), host(i.reg), Int(amount), width)
      keepFlagsOfRightShift(host(i.rm))
      return false
    }
    let left = FlagGarbage(adjust: true, overflow: isRight ? .right : .signAndCarry)
    func operate(_ m: MemoryOperand?) {
      let from = host(i.reg)
      switch (m, byCL) {
      case (let m?, true): a.doubleShiftByCL(right: isRight, m, from, width)
      case (let m?, false): a.doubleShift(right: isRight, m, from, Int(amount), width)
      case (nil, true): a.doubleShiftByCL(right: isRight, host(i.rm), from, width)
      case (nil, false): a.doubleShift(right: isRight, host(i.rm), from, Int(amount), width)
      }
    }
    if byCL && size == 2 {
      clobberFlags()
      let slow = interpretStub()
      a.test(.rcx, 16, .byte)
      a.j(.ne, &stubs[slow].label)
    }
    if !byCL || !needs() {
      operate(i.hasMemory ? emitAddress(i, size, write: true) : nil)
      defineFlags(garbage: left)
      return false
    }
    emitShiftByCL(i, width, left, operate)
    return false
  }

  /// The host's flags behind SHRD into memory, OF as after the last step by one bit: whether the result's highest bits differ. Uses R8, R10.
  private func keepFlagsOfRightShift(_ result: HostRegister) {
    a.mov(.r10, .rax, .quad)
    a.lahf()
    a.and(.ah, Int32(0xEF - 0x100), .byte)
    let value = result == .rax ? HostRegister.r10 : result
    a.mov(.r8, value)
    a.add(.r8, .r8)
    a.xor(.r8, value)
    a.shr(.r8, 31)
    a.mov(.rax, .r8, .byte)
    a.mov(StateOperand.rawFlags, .rax, .word)
    a.mov(.rax, .r10, .quad)
    flagsAreInMemory()
  }

  /// CMPXCHG.
  func emitCompareExchange(_ i: Instruction, _ size: Int) -> Bool {
    let width = Width(bytes: size)
    let source = host(i.reg, width)
    if !i.hasMemory {
      a.cmpxchg(host(i.rm, width), source, width)
      defineFlags()
      return false
    }
    // AH to BH cannot be had together with the registers that addresses are made of.
    if source.isHighByte { return emitInterpreted() }
    let m = emitAddress(i, size, write: true)
    if size == 1 {
      a.cmpxchg(m, source, .byte)
      defineFlags()
      return false
    }
    var differs = Label()
    var done = Label()
    a.mov(.r10, m, width)
    a.cmp(.rax, .r10, width)
    a.j(.ne, &differs)
    a.mov(m, source, width)
    a.jmp(&done)
    a.bind(&differs)
    a.mov(.rax, .r10, width)
    a.bind(&done)
    defineFlags()
    return false
  }

  /// CMPXCHG8B: EDX:EAX and ECX:EBX are where the host's instruction has them. Of the flags only ZF changes.
  func emitCompareExchangePair(_ i: Instruction) -> Bool {
    guard i.hasMemory else { return emitInterpreted() }
    let keeps = needs(~UInt16(EFLAGS.zf))
    willWrite(1 | 1 << 2)
    let m = emitAddress(i, 8, write: true, needing: keeps ? .all : .nothing)
    a.cmpxchg8b(m)
    defineFlags(garbage: keeps ? garbage : .none)
    return false
  }

  /// XADD.
  func emitExchangeAdd(_ i: Instruction, _ size: Int) -> Bool {
    let width = Width(bytes: size)
    let source = host(i.reg, width)
    if !i.hasMemory {
      a.xadd(host(i.rm, width), source, width)
      defineFlags()
      return false
    }
    if source.isHighByte { return emitInterpreted() }
    let m = emitAddress(i, size, write: true)
    a.xadd(m, source, width)
    defineFlags()
    return false
  }
}

extension BitOperation {
  /// The host's operation for a guest's.
  fileprivate init?(_ op: Op) {
    switch op {
    case .bt: self = .bt
    case .bts: self = .bts
    case .btr: self = .btr
    case .btc: self = .btc
    default: return nil
    }
  }
}
