// Bit instructions, double shifts, exchanges that compare, and string instructions without repetition, in translated code.
//
// Owns: what each becomes. Must not know: where blocks lead.
// Follows: Intel SDM volume 2; flags it leaves undefined are as the interpreter leaves them.

import Assembler
import CPU

extension BlockCompiler {
  /// BT and relatives with a register as bit number and memory as operand: any bit relative to the operand.
  func emitBitTestMemory(_ i: Instruction, _ size: Int, _ kind: Int) -> Bool {
    guard size == 4 else { return emitInterpreted() }
    let keeps = needs(~FlagInformation.carry)
    if keeps {
      saveFlags()
      hostFlagsValid = false
    } else {
      clobberFlags()
    }
    let slow = interpretStub()
    let offset = emitOffset(i)
    if offset != H.r8 { a.move(H.r8, offset) }
    // The doubleword that holds the bit.
    a.move(H.r10, host(i.reg))
    a.rr(0xC1, 4, reg: 7, rm: H.r10)
    a.byte(5)
    a.lea(H.r8, MemoryOperand(base: H.r8, index: H.r10, scale: 2))
    if !i.isAddress32 { a.rr(0x0FB7, 4, reg: H.r8, rm: H.r8) }
    let m = emitAccess(H.r8, Int(i.segment), 4, write: kind != 0, slow: slow)
    let op = 0x0FA3 | kind << 3
    if kind == 0 || m.isWindow {
      // The forms with a bit in a register are much faster. R9 is free in the window, and for BT behind the load.
      a.load(H.r9, m)
      a.rr(op, 4, reg: host(i.reg), rm: H.r9)
      if kind != 0 { a.store(m, H.r9) }
    } else {
      a.move(H.r10, host(i.reg))
      a.arithmetic(4, H.r10, immediate: 31)
      a.rm(op, 4, reg: H.r10, m)
    }
    guard keeps else {
      defineFlags()
      return false
    }
    // Only CF changes: it replaces bit 0 of AH in memory.
    a.rr(0x0F92, 1, reg: 0, rm: H.r10)
    var high = StateOperand.rawFlags
    high.displacement += 1
    a.arithmetic(4, high, immediate: -2, 1)
    a.rm(0x08, 1, reg: H.r10, high)
    flagsAreInMemory()
    return false
  }

  /// BSF and BSR. The undefined flags follow the result; a zero source sets ZF alone and leaves the register.
  func emitBitScan(_ i: Instruction) {
    let size = i.isOperand32 ? 4 : 2
    let op = i.handler == .bsf ? 0x0FBC : 0x0FBD
    let keeps = needs(~UInt16(EFLAGS.zf))
    if keeps { saveFlags() }
    willWrite(mask(i.reg))
    if i.hasMemory {
      let m = emitAddress(i, size, write: false)
      if size == 4 { a.load(H.r10, m) } else { a.rm(0x0FB7, 4, reg: H.r10, m) }
    } else if size == 4 {
      a.move(H.r10, host(i.rm))
    } else {
      a.rr(0x0FB7, 4, reg: H.r10, rm: host(i.rm))
    }
    guard keeps else {
      // Either way ZF tells whether the source was zero.
      var skip = Label()
      a.rr(0x85, 4, reg: H.r10, rm: H.r10)
      a.jump(Condition.z, &skip)
      a.rr(op, 4, reg: H.r10, rm: H.r10)
      a.move(host(i.reg), H.r10, size)
      a.bind(&skip)
      defineFlags()
      return
    }
    var zero = Label()
    var done = Label()
    var high = StateOperand.rawFlags
    high.displacement += 1
    a.rr(0x85, 4, reg: H.r10, rm: H.r10)
    a.jump(Condition.z, &zero)
    a.rr(op, 4, reg: H.r10, rm: H.r10)
    a.rr(0x85, 4, reg: H.r10, rm: H.r10)
    a.move(H.r9, H.rax, 8)
    a.byte(0x9F)
    a.arithmetic(4, 4, immediate: Int32(0xBF - 0x100), 1)
    a.rr(0x30, 1, reg: H.rax, rm: H.rax)
    a.store(StateOperand.rawFlags, H.rax, 2)
    a.move(H.rax, H.r9, 8)
    a.move(host(i.reg), H.r10, size)
    a.jump(&done)
    a.bind(&zero)
    a.arithmetic(1, high, immediate: 0x40, 1)
    a.bind(&done)
    flagsAreInMemory()
  }

  /// SHLD and SHRD; words by less than 16. SHRD is interpreted where OF after more than one step matters, in which
  /// processors differ.
  func emitDoubleShift(_ i: Instruction) -> Bool {
    let size = i.isOperand32 ? 4 : 2
    let byCL = i.opcode & 1 != 0
    let amount = i.imm & 31
    if !byCL && (amount == 0 || amount >= 8 * size) { return emitInterpreted() }
    let isRight = i.handler == .shrd
    if isRight && (byCL || amount != 1) && needs(UInt16(EFLAGS.of)) { return emitInterpreted() }
    let left = FlagGarbage(adjust: true, overflow: isRight ? .right : .signAndCarry)
    let op = (i.handler == .shld ? 0x0FA4 : 0x0FAC) | (byCL ? 1 : 0)
    func operate(_ m: MemoryOperand?) {
      if let m {
        a.rm(op, size, reg: host(i.reg), m)
      } else {
        a.rr(op, size, reg: host(i.reg), rm: host(i.rm))
      }
      if !byCL { a.byte(Int(amount)) }
    }
    if byCL && size == 2 {
      clobberFlags()
      let slow = interpretStub()
      a.rr(0xF6, 1, reg: 0, rm: H.rcx)
      a.byte(16)
      a.jump(Condition.nz, &stubs[slow].label)
    }
    if !byCL || !needs() {
      operate(i.hasMemory ? emitAddress(i, size, write: true) : nil)
      defineFlags(garbage: left)
      return false
    }
    emitShiftByCL(i, size, left, operate)
    return false
  }

  /// CMPXCHG.
  func emitCompareExchange(_ i: Instruction, _ size: Int) -> Bool {
    let source = host(i.reg, size)
    if !i.hasMemory {
      a.rr(size == 1 ? 0x0FB0 : 0x0FB1, size, reg: source, rm: host(i.rm, size))
      defineFlags()
      return false
    }
    // AH to BH cannot be had together with the registers that addresses are made of.
    if size == 1 && source >= 4 { return emitInterpreted() }
    let m = emitAddress(i, size, write: true)
    if size == 1 {
      a.rm(0x0FB0, 1, reg: source, m)
      defineFlags()
      return false
    }
    var differs = Label()
    var done = Label()
    a.load(H.r10, m, size)
    a.rr(0x39, size, reg: H.r10, rm: H.rax)
    a.jump(Condition.nz, &differs)
    a.store(m, source, size)
    a.jump(&done)
    a.bind(&differs)
    a.move(H.rax, H.r10, size)
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
    a.rm(0x0FC7, 4, reg: 1, m)
    defineFlags(garbage: keeps ? garbage : .none)
    return false
  }

  /// XADD.
  func emitExchangeAdd(_ i: Instruction, _ size: Int) -> Bool {
    let source = host(i.reg, size)
    if !i.hasMemory {
      a.rr(size == 1 ? 0x0FC0 : 0x0FC1, size, reg: source, rm: host(i.rm, size))
      defineFlags()
      return false
    }
    if size == 1 && source >= 4 { return emitInterpreted() }
    let m = emitAddress(i, size, write: true)
    a.rm(size == 1 ? 0x0FC0 : 0x0FC1, size, reg: source, m)
    defineFlags()
    return false
  }

  // MARK: - Strings

  /// Moves SI or DI by an operand; leaves the flags.
  private func advance(_ register: Int, _ size: Int, _ i: Instruction) {
    let delta = Int32(context.has(CodeContext.down) ? -size : size)
    let m = MemoryOperand(base: register, displacement: delta)
    if i.isAddress32 {
      a.lea(register, m)
    } else {
      a.lea(H.r8, m)
      a.move(register, H.r8, 2)
    }
  }

  /// The operand at SI or DI. Uses R8, R9.
  private func stringOperand(
    _ register: Int, _ segment: Int, _ size: Int, _ i: Instruction, write: Bool
  ) -> MemoryOperand {
    var j = i
    j.base = UInt8(register * 4)
    j.index = 32
    j.scale = 0
    j.disp = 0
    j.segment = UInt8(segment)
    return emitAddress(j, size, write: write)
  }

  /// MOVS, STOS, LODS, SCAS, CMPS without a repetition; the direction is part of the context.
  func emitString(_ i: Instruction) -> Bool {
    if i.hasRep || i.hasRepne { return emitRepeatedString(i) }
    if !options.contains(.strings) { return emitInterpreted() }
    let size = i.opcode & 1 == 0 ? 1 : i.isOperand32 ? 4 : 2
    let es = SegmentRegister.es
    let segment = Int(i.segment)
    let si = H.rsi
    let di = H.rdi
    switch i.opcode & 0xFE {
    case 0xA4:
      willWrite(1 << 6 | 1 << 7)
      // R10 holds the datum on the way to the second operand.
      clobberFlags()
      let from = stringOperand(si, segment, size, i, write: false)
      a.load(H.r10, from, size)
      let to = stringOperand(di, es, size, i, write: true)
      a.store(to, H.r10, size)
      advance(si, size, i)
      advance(di, size, i)
    case 0xAA:
      willWrite(1 << 7)
      a.store(stringOperand(di, es, size, i, write: true), H.rax, size)
      advance(di, size, i)
    case 0xAC:
      willWrite(1 | 1 << 6)
      a.load(H.rax, stringOperand(si, segment, size, i, write: false), size)
      advance(si, size, i)
    case 0xAE:
      a.rm(size == 1 ? 0x3A : 0x3B, size, reg: H.rax, stringOperand(di, es, size, i, write: false))
      advance(di, size, i)
      defineFlags()
    default:
      clobberFlags()
      let from = stringOperand(si, segment, size, i, write: false)
      a.load(H.r10, from, size)
      let with = stringOperand(di, es, size, i, write: false)
      a.rm(size == 1 ? 0x3A : 0x3B, size, reg: H.r10, with)
      advance(si, size, i)
      advance(di, size, i)
      defineFlags()
    }
    return false
  }
}
