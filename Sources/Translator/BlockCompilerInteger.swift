// Integer instructions in translated code.
//
// Owns: what each becomes. Most keep their opcode; operands move to the host's registers and flags are kept track of.
// Must not know: where blocks lead.
// Follows: Intel SDM volume 2; flags it leaves undefined are as the interpreter leaves them.

import Assembler
import CPU

extension BlockCompiler {
  /// Whether the instruction works on registers alone and never leaves the block.
  func isPure(_ i: Instruction) -> Bool {
    if i.hasMemory && i.handler != .lea32 && i.handler != .lea16 { return false }
    let raw = i.handler.rawValue
    if raw < Handler.movRR8.rawValue {
      let shape = (raw - Handler.addRR8.rawValue) % Handler.shapes
      return shape == 0 || shape == 3
    }
    switch i.handler {
    case .movRR8, .movRR16, .movRR32, .movRI8, .movRI16, .movRI32, .inc8R, .inc16R, .inc32R,
      .dec8R, .dec16R, .dec32R, .lea16, .lea32, .movzx32R8, .movzx32R16, .movsx32R8, .movsx32R16,
      .movzx16, .movsx16, .shl32I, .shr32I, .sar32I, .setcc, .cmov16,
      .cmov32, .imul16I, .imul32I, .imul16, .imul32, .not, .neg, .cwde, .cdq, .cbw16, .cwd16,
      .xchg, .nop, .cmc, .clc, .stc, .sahf, .lahf:
      return true
    case .mulDiv: return i.digit < 6
    // Those of which some are interpreted.
    case .shift8, .shift16, .shift32:
      return i.opcode & 0xFE != 0xD2 || mask(i.rm) != 1 << 1
    case .bswap: return i.isOperand32
    case .bitTest, .bitTestImm: return true
    default: return false
    }
  }

  /// Whether a fault, a device or the interpreter can come in.
  func mayExit(_ i: Instruction) -> Bool { !isPure(i) }

  /// Emits one instruction.
  /// - Returns: whether the block ends with it.
  func emit(_ i: Instruction) -> Bool {
    if i.hasMemory && !options.contains(.memory) && !isPure(i)
      && i.flags & InstructionFlags.endsBlock == 0
    {
      return emitInterpreted()
    }
    let raw = i.handler.rawValue
    if raw < Handler.movRR8.rawValue {
      emitArithmetic(i, Int(raw - Handler.addRR8.rawValue))
      return false
    }
    switch i.handler {
    case .movRR8: moveRegister(i, 1)
    case .movRR16: moveRegister(i, 2)
    case .movRR32: moveRegister(i, 4)
    case .movRI8:
      willWrite(mask(i.rm))
      a.byte(0xB0 | host(i.rm, 1))
      a.byte(Int(i.imm & 0xFF))
    case .movRI16:
      willWrite(mask(i.rm))
      a.rr(0xC7, 2, reg: 0, rm: host(i.rm))
      a.immediate(i.imm, 2)
    case .movRI32:
      willWrite(mask(i.rm))
      a.move(host(i.rm), immediate: i.imm)
    case .movRM8: loadRegister(i, 1)
    case .movRM16: loadRegister(i, 2)
    case .movRM32: loadRegister(i, 4)
    case .movMR8:
      let m = emitAddress(i, 1, write: true)
      a.store(m, byteSource(host(i.reg, 1)), 1)
    case .movMR16: a.store(emitAddress(i, 2, write: true), host(i.reg), 2)
    case .movMR32: a.store(emitAddress(i, 4, write: true), host(i.reg), 4)
    case .movMI8: a.store(emitAddress(i, 1, write: true), immediate: i.imm, 1)
    case .movMI16: a.store(emitAddress(i, 2, write: true), immediate: i.imm, 2)
    case .movMI32: a.store(emitAddress(i, 4, write: true), immediate: i.imm, 4)
    case .inc8R: incrementRegister(i, 0, 1)
    case .inc16R: incrementRegister(i, 0, 2)
    case .inc32R: incrementRegister(i, 0, 4)
    case .dec8R: incrementRegister(i, 1, 1)
    case .dec16R: incrementRegister(i, 1, 2)
    case .dec32R: incrementRegister(i, 1, 4)
    case .incM8: incrementMemory(i, 0, 1)
    case .incM16: incrementMemory(i, 0, 2)
    case .incM32: incrementMemory(i, 0, 4)
    case .decM8: incrementMemory(i, 1, 1)
    case .decM16: incrementMemory(i, 1, 2)
    case .decM32: incrementMemory(i, 1, 4)
    case .lea16, .lea32: emitLea(i)
    case .push16R, .push32R:
      let size = i.handler == .push32R ? 4 : 2
      willWrite(1 << 4)
      a.store(emitPush(size), host(i.rm), size)
      finishPush(size)
    case .push16I, .push32I:
      let size = i.handler == .push32I ? 4 : 2
      willWrite(1 << 4)
      a.store(emitPush(size), immediate: i.imm, size)
      finishPush(size)
    case .push16M, .push32M:
      let size = i.handler == .push32M ? 4 : 2
      willWrite(1 << 4)
      // R10 holds the value on the way to the stack.
      clobberFlags()
      a.load(H.r10, emitAddress(i, size, write: false), size)
      a.store(emitPush(size), H.r10, size)
      finishPush(size)
    case .pop16R, .pop32R:
      let size = i.handler == .pop32R ? 4 : 2
      willWrite(1 << 4 | mask(i.rm))
      let m = emitPop(size)
      if i.rm == 16 {
        // POP ESP: the value wins.
        a.load(H.r10, m, size)
        moveStack(size)
        a.move(H.r12, H.r10, size)
      } else {
        a.load(host(i.rm), m, size)
        moveStack(size)
      }
    case .leave16, .leave32, .enter, .pusha, .popa, .pop16M, .pop32M, .xlat:
      return emitFrameInstruction(i)
    case .movzx32R8: extendRegister(i, 0x0FB6, 1, 4)
    case .movzx32R16: extendRegister(i, 0x0FB7, 2, 4)
    case .movsx32R8: extendRegister(i, 0x0FBE, 1, 4)
    case .movsx32R16: extendRegister(i, 0x0FBF, 2, 4)
    case .movzx16, .movsx16:
      let op = i.handler == .movzx16 ? 0x0FB6 : 0x0FBE
      if i.hasMemory {
        willWrite(mask(i.reg))
        a.rm(op, 2, reg: host(i.reg), emitAddress(i, 1, write: false))
      } else {
        extendRegister(i, op, 1, 2)
      }
    case .movzx32M8: extendMemory(i, 0x0FB6, 1)
    case .movzx32M16: extendMemory(i, 0x0FB7, 2)
    case .movsx32M8: extendMemory(i, 0x0FBE, 1)
    case .movsx32M16: extendMemory(i, 0x0FBF, 2)
    case .shl32I, .shr32I, .sar32I, .shift32: emitShift(i, 4)
    case .shift16: emitShift(i, 2)
    case .shift8: emitShift(i, 1)
    case .setcc: emitSet(i)
    case .cmov16: emitConditionalMove(i, 2)
    case .cmov32: emitConditionalMove(i, 4)
    case .imul16, .imul16I: emitMultiply(i, 2)
    case .imul32, .imul32I: emitMultiply(i, 4)
    case .not: emitNot(i)
    case .neg: emitNegate(i)
    case .mulDiv: emitMultiplyDivide(i)
    case .cwde, .cbw16:
      willWrite(1)
      if i.handler == .cbw16 { a.byte(0x66) }
      a.byte(0x98)
    case .cdq, .cwd16:
      willWrite(1 << 2)
      if i.handler == .cwd16 { a.byte(0x66) }
      a.byte(0x99)
    case .xchg: return emitExchange(i)
    case .nop: break
    case .bswap where i.isOperand32:
      willWrite(mask(i.rm))
      let r = host(i.rm)
      if r > 7 { a.byte(0x41) }
      a.byte(0x0F)
      a.byte(0xC8 | r & 7)
    case .clc, .stc, .cmc:
      if needs(~FlagInformation.carry) {
        useHostFlags()
      } else if i.handler == .cmc && needs() {
        useCarry()
      }
      if needs() {
        a.byte(i.handler == .clc ? 0xF8 : i.handler == .stc ? 0xF9 : 0xF5)
        defineFlags(garbage: hostFlagsValid ? garbage.keepingAdjust : .none)
      }
    case .sahf:
      if needs() {
        if needs(UInt16(EFLAGS.of)) { useHostFlags() }
        a.byte(0x9E)
        defineFlags()
      }
    case .lahf:
      if garbage.adjust { saveFlags() }
      useHostFlags()
      willWrite(1)
      a.byte(0x9F)
    case .bitTest, .bitTestImm: return emitBitTest(i)
    case .bsf, .bsr: emitBitScan(i)
    case .shld, .shrd: return emitDoubleShift(i)
    case .cmpxchg8: return emitCompareExchange(i, 1)
    case .cmpxchg16: return emitCompareExchange(i, 2)
    case .cmpxchg32: return emitCompareExchange(i, 4)
    case .cmpxchg8b: return emitCompareExchangePair(i)
    case .xadd8: return emitExchangeAdd(i, 1)
    case .xadd16: return emitExchangeAdd(i, 2)
    case .xadd32: return emitExchangeAdd(i, 4)
    case .string: return emitString(i)
    case .aaa: emitASCIIAdjust(subtract: false)
    case .aas: emitASCIIAdjust(subtract: true)
    case .aam: return emitASCIIMultiply(i)
    case .aad: emitASCIIDivide(i)
    case .daa: emitDecimalAdjust(subtract: false)
    case .das: emitDecimalAdjust(subtract: true)
    case .cld where !context.has(CodeContext.down), .std where context.has(CodeContext.down): break
    case .cld, .std: return emitDirection(i)
    case .fpu: return emitFPU(i)
    case .simd: return emitSIMD(i)
    case .inPort, .outPort: return emitPort(i)
    default:
      if let ended = emitSegments(i) ?? emitSystem(i) ?? emitFar(i) { return ended }
      if i.flags & InstructionFlags.endsBlock != 0 { return emitControl(i) }
      return emitInterpreted()
    }
    return false
  }

  // MARK: - Moves

  private func moveRegister(_ i: Instruction, _ size: Int) {
    willWrite(mask(i.rm))
    a.move(host(i.rm, size), host(i.reg, size), size)
  }

  private func loadRegister(_ i: Instruction, _ size: Int) {
    willWrite(mask(i.reg))
    let m = emitAddress(i, size, write: false)
    let r = host(i.reg, size)
    if size == 1 && r >= 4 {
      // The address may be made of that register: the byte goes through R10B.
      a.rm(0x0FB6, 4, reg: H.r10, m)
      withHighByte(r) { a.move($0, H.r10, 1) }
    } else {
      a.load(r, m, size)
    }
  }

  private func extendRegister(_ i: Instruction, _ op: Int, _ from: Int, _ to: Int) {
    willWrite(mask(i.reg))
    var source = host(i.rm, from)
    let target = host(i.reg)
    if from == 1 && source >= 4 && source < 8 && target > 7 { source = byteSource(source) }
    // A byte source takes no operand size prefix of its own; the size is the target's.
    a.rr(op, to, reg: target, rm: source)
  }

  private func extendMemory(_ i: Instruction, _ op: Int, _ from: Int) {
    willWrite(mask(i.reg))
    a.rm(op, 4, reg: host(i.reg), emitAddress(i, from, write: false))
  }

  private func emitLea(_ i: Instruction) {
    willWrite(mask(i.reg))
    let base = i.base == 32 ? -1 : host(i.base)
    let index = i.index == 32 ? -1 : host(i.index)
    let m = MemoryOperand(
      base: base, index: index, scale: Int(i.scale), displacement: Int32(bitPattern: i.disp))
    let r = host(i.reg)
    if i.handler == .lea32 && i.isAddress32 {
      a.lea(r, m)
    } else {
      a.lea(H.r8, m)
      if i.handler == .lea16 {
        a.move(r, H.r8, 2)
      } else {
        a.rr(0x0FB7, 4, reg: r, rm: H.r8)
      }
    }
  }

  private func emitExchange(_ i: Instruction) -> Bool {
    let size = i.opcode == 0x86 ? 1 : i.isOperand32 ? 4 : 2
    let r = host(i.reg, size)
    if !i.hasMemory {
      willWrite(mask(i.reg) | mask(i.rm))
      let other = host(i.rm, size)
      if size == 4 && r == other { return false }
      a.rr(size == 1 ? 0x86 : 0x87, size, reg: r, rm: other)
      return false
    }
    if size == 1 && r >= 4 { return emitInterpreted() }
    willWrite(mask(i.reg))
    let m = emitAddress(i, size, write: true)
    a.load(H.r10, m, size)
    a.store(m, r, size)
    a.move(r, H.r10, size)
    return false
  }

  // MARK: - Arithmetic

  /// ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST; `n` counts operation, size, shape.
  private func emitArithmetic(_ i: Instruction, _ n: Int) {
    let operation = n / 15
    let size = [1, 2, 4][n / 5 % 3]
    let shape = n % 5
    let wide = size == 1 ? 0 : 1
    let isTest = operation == 8
    let keeps = operation == 7 || isTest
    let takesCarry = operation == 2 || operation == 3
    switch shape {
    case 0:
      let target = host(i.rm, size)
      let source = host(i.reg, size)
      if takesCarry { useCarry() }
      a.rr((isTest ? 0x84 : operation << 3) | wide, size, reg: source, rm: target)
      defineFlags(recipeRR(operation, size, target, source, i))
    case 3:
      let target = host(i.rm, size)
      if takesCarry { useCarry() }
      if isTest {
        a.rr(0xF6 | wide, size, reg: 0, rm: target)
        a.immediate(i.imm, size)
      } else {
        a.arithmetic(operation, target, immediate: signed(i.imm, size), size)
      }
      defineFlags(recipeRI(operation, size, target, i))
    case 1:
      let m = emitAddress(i, size, write: false, needing: takesCarry ? .carry : .nothing)
      let target = host(i.reg, size)
      if size == 1 && target >= 4 && target < 8 {
        if keeps {
          // CMP AH,m: compared from R10B.
          let copy = byteSource(target)
          a.rm(isTest ? 0x84 : operation << 3 | 2, 1, reg: copy, m)
        } else {
          // The address may be made of that register: the byte goes through R10B.
          a.rm(0x0FB6, 4, reg: H.r10, m)
          withHighByte(target) { a.rr(operation << 3, 1, reg: H.r10, rm: $0) }
        }
      } else {
        a.rm(isTest ? 0x84 | wide : operation << 3 | 2 | wide, size, reg: target, m)
      }
      defineFlags()
    case 2:
      let m = emitAddress(i, size, write: !keeps, needing: takesCarry ? .carry : .nothing)
      let source = size == 1 ? byteSource(host(i.reg, 1)) : host(i.reg)
      a.rm((isTest ? 0x84 : operation << 3) | wide, size, reg: source, m)
      defineFlags()
    default:
      let m = emitAddress(i, size, write: !keeps, needing: takesCarry ? .carry : .nothing)
      if isTest {
        a.rm(0xF6 | wide, size, reg: 0, m)
        a.immediate(i.imm, size)
      } else {
        a.arithmetic(operation, m, immediate: signed(i.imm, size), size)
      }
      defineFlags()
    }
  }

  private func recipeRR(
    _ operation: Int, _ size: Int, _ target: Int, _ source: Int, _ i: Instruction
  )
    -> FlagRecipe?
  {
    guard needs() else { return nil }
    let both = mask(i.rm) | mask(i.reg)
    switch operation {
    case 7:
      return FlagRecipe(
        kind: .compare, size: size, first: target, second: source, registers: both)
    case 8:
      return FlagRecipe(kind: .test, size: size, first: target, second: source, registers: both)
    case 1, 4, 6:
      return FlagRecipe(
        kind: .test, size: size, first: target, second: target, registers: mask(i.rm))
    case 0, 5:
      if size != 4 || target == source { return nil }
      return FlagRecipe(
        kind: operation == 0 ? .added : .subtracted, size: size, first: target, second: source,
        registers: both)
    default: return nil
    }
  }

  private func recipeRI(_ operation: Int, _ size: Int, _ target: Int, _ i: Instruction)
    -> FlagRecipe?
  {
    guard needs() else { return nil }
    let registers = mask(i.rm)
    switch operation {
    case 7:
      return FlagRecipe(
        kind: .compareImmediate, size: size, first: target, immediate: i.imm, registers: registers)
    case 8:
      return FlagRecipe(
        kind: .testImmediate, size: size, first: target, immediate: i.imm, registers: registers)
    case 1, 4, 6:
      return FlagRecipe(
        kind: .test, size: size, first: target, second: target, registers: registers)
    case 0, 5:
      if size == 1 { return nil }
      return FlagRecipe(
        kind: operation == 0 ? .addedImmediate : .subtractedImmediate, size: size, first: target,
        immediate: i.imm, registers: registers)
    default: return nil
    }
  }

  private func incrementRegister(_ i: Instruction, _ digit: Int, _ size: Int) {
    // CF stays.
    let keepsCarry = needs(FlagInformation.carry)
    if keepsCarry {
      useCarry()
      willWrite(mask(i.rm))
    }
    let register = host(i.rm, size)
    a.rr(size == 1 ? 0xFE : 0xFF, size, reg: digit, rm: register)
    var recipe: FlagRecipe?
    if !keepsCarry && size > 1 {
      // This makes another CF, which nothing looks at.
      recipe = FlagRecipe(
        kind: digit == 0 ? .addedImmediate : .subtractedImmediate, size: size, first: register,
        immediate: 1, registers: mask(i.rm))
    }
    defineFlags(recipe)
  }

  private func incrementMemory(_ i: Instruction, _ digit: Int, _ size: Int) {
    let keepsCarry = needs(FlagInformation.carry)
    let m = emitAddress(i, size, write: true, needing: keepsCarry ? .carry : .nothing)
    a.rm(size == 1 ? 0xFE : 0xFF, size, reg: digit, m)
    defineFlags()
  }

  private func emitNot(_ i: Instruction) {
    let size = i.opcode & 1 == 0 ? 1 : i.isOperand32 ? 4 : 2
    let op = size == 1 ? 0xF6 : 0xF7
    if i.hasMemory {
      a.rm(op, size, reg: 2, emitAddress(i, size, write: true))
    } else {
      willWrite(mask(i.rm))
      a.rr(op, size, reg: 2, rm: host(i.rm, size))
    }
  }

  private func emitNegate(_ i: Instruction) {
    let size = i.opcode & 1 == 0 ? 1 : i.isOperand32 ? 4 : 2
    let op = size == 1 ? 0xF6 : 0xF7
    if i.hasMemory {
      a.rm(op, size, reg: 3, emitAddress(i, size, write: true))
    } else {
      a.rr(op, size, reg: 3, rm: host(i.rm, size))
    }
    defineFlags()
  }

  // MARK: - Conditions

  private func emitSet(_ i: Instruction) {
    let condition = Int(i.opcode & 15)
    useHostFlags(for: condition)
    if !i.hasMemory {
      willWrite(mask(i.rm))
      a.rr(0x0F90 | condition, 1, reg: 0, rm: host(i.rm, 1))
      return
    }
    if !keepsFlags(Int(i.segment)) && !memoryFlagsValid && recipe == nil {
      saveFlags()
      useHostFlags()
    }
    a.rr(0x0F90 | condition, 1, reg: 0, rm: H.r10)
    if !keepsFlags(Int(i.segment)) { hostFlagsValid = false }
    a.store(emitAddress(i, 1, write: true), H.r10, 1)
  }

  private func emitConditionalMove(_ i: Instruction, _ size: Int) {
    let condition = Int(i.opcode & 15)
    if !i.hasMemory {
      useHostFlags(for: condition)
      willWrite(mask(i.reg))
      a.rr(0x0F40 | condition, size, reg: host(i.reg), rm: host(i.rm))
      return
    }
    if keepsFlags(Int(i.segment)) {
      useHostFlags(for: condition)
      willWrite(mask(i.reg))
      a.load(H.r10, emitAddress(i, size, write: false), size)
    } else {
      saveFlags()
      willWrite(mask(i.reg))
      a.load(H.r10, emitAddress(i, size, write: false), size)
      restoreFlags(scratch: H.r8)
      hostFlagsValid = true
    }
    a.rr(0x0F40 | condition, size, reg: host(i.reg), rm: H.r10)
  }

  // MARK: - Shifts

  private func emitShift(_ i: Instruction, _ size: Int) {
    let digit = i.digit
    let byCL = i.opcode & 0xFE == 0xD2
    let wide = size == 1 ? 0 : 1
    let rotates = digit < 4
    let throughCarry = digit == 2 || digit == 3
    let amount = i.imm & 31

    // Processors differ in OF after more than one step, and in CF after more steps than there are bits. Of shifts SF and CF tell OF;
    // otherwise the last step is made by itself.
    var after = FlagGarbage(adjust: true)
    if digit == 4 || digit == 6 { after.overflow = .signAndCarry }
    if digit == 7 || digit == 5 && !byCL && amount > 1 { after.overflow = .clear }
    let beyond = !rotates && digit != 7 && needs() && (byCL ? size < 4 : amount >= 8 * size)
    let splits = needs(UInt16(EFLAGS.of)) && (rotates || digit == 5 && byCL) || beyond
    func operate(_ m: MemoryOperand?) {
      if byCL && splits {
        // Of registers other than ECX; between the two nothing can fault.
        a.lea(H.rcx, MemoryOperand(base: H.rcx, displacement: -1))
        a.rr(0xD2 | wide, size, reg: digit, rm: host(i.rm, size))
        a.lea(H.rcx, MemoryOperand(base: H.rcx, displacement: 1))
        a.rr(0xD0 | wide, size, reg: digit, rm: host(i.rm, size))
        return
      }
      for count in splits && amount > 1 ? [amount - 1, 1] : [amount] {
        let op = (byCL ? 0xD2 : 0xC0) | wide
        if let m {
          a.rm(op, size, reg: digit, m)
        } else {
          a.rr(op, size, reg: digit, rm: host(i.rm, size))
        }
        if !byCL { a.byte(Int(count)) }
      }
    }

    if byCL && splits && (i.hasMemory || mask(i.rm) == 1 << 1) {
      _ = emitInterpreted()
      return
    }
    if !byCL && amount == 0 {
      // Nothing changes; a memory operand is still looked at.
      if i.hasMemory { _ = emitInterpreted() }
      return
    }
    if !needs() && !throughCarry {
      let m = i.hasMemory ? emitAddress(i, size, write: true) : nil
      operate(m)
      forgetFlags()
      return
    }
    if !rotates && !byCL {
      let m = i.hasMemory ? emitAddress(i, size, write: true) : nil
      operate(m)
      defineFlags(garbage: after)
      return
    }
    if rotates && byCL && splits {
      emitRotateByCL(i, throughCarry: throughCarry) { operate(nil) }
      return
    }
    if rotates {
      // What a rotation leaves as it was: SF, ZF, AF, PF; OF unless it is by one; all with a count of 0 or, through carry, of a turn.
      let replaces = byCL || amount != 1 ? 0 : FlagInformation.carryAndOverflow
      let isCertain = !byCL && !throughCarry
      let keeps = needs(~(replaces | (isCertain ? FlagInformation.carry : 0)))
      if i.hasMemory {
        let m = emitAddress(
          i, size, write: true, needing: keeps ? .all : throughCarry ? .carry : .nothing)
        operate(m)
      } else {
        if keeps { useHostFlags(overflow: false) } else if throughCarry { useCarry() }
        willWrite(mask(i.rm))
        operate(nil)
      }
      defineFlags(garbage: keeps ? garbage.keepingAdjust : .none)
      return
    }
    emitShiftByCL(i, size, after, operate)
  }

  /// A shift by CL: only a count other than 0 changes the flags.
  func emitShiftByCL(
    _ i: Instruction, _ size: Int, _ after: FlagGarbage, _ operate: (MemoryOperand?) -> Void
  ) {
    saveFlags()
    willWrite(i.hasMemory ? 0 : mask(i.rm))
    let m = i.hasMemory ? emitAddress(i, size, write: true) : nil
    var skip = Label()
    a.rr(0xF6, 1, reg: 0, rm: H.rcx)
    a.byte(0x1F)
    if let m {
      // With a count of 0 memory is still looked at, as for a write.
      var counts = Label()
      a.jump(Condition.nz, &counts)
      a.arithmetic(1, m, immediate: 0, size)
      a.jump(&skip)
      a.bind(&counts)
    } else {
      a.jump(Condition.z, &skip)
    }
    operate(m)
    hostFlagsValid = true
    memoryFlagsValid = false
    recipe = nil
    garbage = after
    saveFlags()
    a.bind(&skip)
    flagsAreInMemory()
  }

  /// A rotation by CL whose OF is looked at: with a count other than 0 CF and OF replace those in memory.
  private func emitRotateByCL(_ i: Instruction, throughCarry: Bool, _ operate: () -> Void) {
    saveFlags()
    willWrite(mask(i.rm))
    var skip = Label()
    a.rr(0xF6, 1, reg: 0, rm: H.rcx)
    a.byte(0x1F)
    a.jump(Condition.z, &skip)
    if throughCarry { loadCarry() }
    operate()
    a.rr(0x0F92, 1, reg: 0, rm: H.r10)
    a.rr(0x0F90, 1, reg: 0, rm: H.r9)
    a.store(StateOperand.rawFlags, H.r9, 1)
    var high = StateOperand.rawFlags
    high.displacement += 1
    a.arithmetic(4, high, immediate: -2, 1)
    a.rm(0x08, 1, reg: H.r10, high)
    a.bind(&skip)
    flagsAreInMemory()
  }

  // MARK: - Multiplication and division

  /// After MUL or IMUL: CF and OF tell overflow; the others follow the low half, AF clear, as the interpreter has them.
  private func finishMultiply(_ low: Int, _ size: Int) {
    guard needs(~FlagInformation.carryAndOverflow) else {
      // The host's CF and OF are right.
      defineFlags()
      return
    }
    a.rr(0x0F92, 1, reg: 0, rm: H.r10)
    a.rr(size == 1 ? 0x84 : 0x85, size, reg: low, rm: low)
    a.move(H.r9, H.rax, 8)
    a.byte(0x9F)
    a.rr(0x88, 1, reg: H.r10, rm: H.rax)
    a.rr(0x08, 1, reg: H.rax, rm: 4)
    a.store(StateOperand.rawFlags, H.rax, 2)
    a.move(H.rax, H.r9, 8)
    flagsAreInMemory()
  }

  private func emitMultiply(_ i: Instruction, _ size: Int) {
    let r = host(i.reg)
    let immediate = i.handler == .imul16I || i.handler == .imul32I
    if immediate {
      if i.hasMemory {
        a.rm(0x69, size, reg: r, emitAddress(i, size, write: false))
      } else {
        a.rr(0x69, size, reg: r, rm: host(i.rm))
      }
      a.immediate(i.imm, size)
    } else if i.hasMemory {
      a.rm(0x0FAF, size, reg: r, emitAddress(i, size, write: false))
    } else {
      a.rr(0x0FAF, size, reg: r, rm: host(i.rm))
    }
    finishMultiply(r, size)
  }

  private func emitMultiplyDivide(_ i: Instruction) {
    let size = i.opcode & 1 == 0 ? 1 : i.isOperand32 ? 4 : 2
    let digit = i.digit
    if digit >= 6 {
      emitDivide(i, size, signed: digit == 7)
      return
    }
    let op = size == 1 ? 0xF6 : 0xF7
    if i.hasMemory {
      a.rm(op, size, reg: digit, emitAddress(i, size, write: false))
    } else {
      a.rr(op, size, reg: digit, rm: host(i.rm, size))
    }
    finishMultiply(H.rax, size)
  }

  /// Divisions whose quotient fits run on the host; what would fault, and what is rare, is interpreted.
  private func emitDivide(_ i: Instruction, _ size: Int, signed: Bool) {
    willWrite(1 | 1 << 2)
    // The checks below destroy them, and a window access alone does not save them.
    clobberFlags()
    if i.hasMemory {
      a.load(H.r10, emitAddress(i, size, write: false), size)
    } else if size == 1 {
      a.move(H.r10, byteSource(host(i.rm, 1)))
    } else {
      a.move(H.r10, host(i.rm))
    }
    if size < 4 {
      let extend = (signed ? 0x0FBE : 0x0FB6) | size >> 1
      a.rr(extend, 4, reg: H.r10, rm: H.r10)
    }
    let slow = interpretStub()
    if signed {
      // The dividend is a number of the operand's size and the divisor neither 0 nor -1.
      switch size {
      case 4:
        a.move(H.r9, H.rax)
        a.rr(0xC1, 4, reg: 7, rm: H.r9)
        a.byte(31)
        a.rr(0x39, 4, reg: H.rdx, rm: H.r9)
      case 2:
        a.rr(0x0FBF, 4, reg: H.r9, rm: H.rax)
        a.rr(0xC1, 4, reg: 7, rm: H.r9)
        a.byte(31)
        a.rr(0x39, 2, reg: H.rdx, rm: H.r9)
      default:
        a.rr(0x0FBE, 4, reg: H.r9, rm: H.rax)
        a.rr(0x39, 2, reg: H.rax, rm: H.r9)
      }
      a.jump(Condition.nz, &stubs[slow].label)
      a.lea(H.r9, MemoryOperand(base: H.r10, displacement: 1))
      a.arithmetic(7, H.r9, immediate: 1)
      a.jump(Condition.be, &stubs[slow].label)
    } else {
      // The dividend's upper half is below the divisor.
      switch size {
      case 4: a.rr(0x39, 4, reg: H.r10, rm: H.rdx)
      case 2: a.rr(0x39, 2, reg: H.r10, rm: H.rdx)
      default:
        a.rorx(H.r9, H.rax, 8)
        a.rr(0x38, 1, reg: H.r10, rm: H.r9)
      }
      a.jump(Condition.ae, &stubs[slow].label)
    }
    a.rr(size == 1 ? 0xF6 : 0xF7, size, reg: signed ? 7 : 6, rm: H.r10)
  }

  // MARK: - Bits

  private func emitBitTest(_ i: Instruction) -> Bool {
    let immediate = i.handler == .bitTestImm
    let size = i.isOperand32 ? 4 : 2
    let kind = immediate ? i.digit & 3 : Int(i.opcode >> 3 & 3)
    let keeps = needs(~FlagInformation.carry)
    if i.hasMemory {
      guard immediate else { return emitBitTestMemory(i, size, kind) }
      let m = emitAddress(i, size, write: kind != 0, needing: keeps ? .all : .nothing)
      a.rm(0x0FBA, size, reg: 4 | kind, m)
      a.byte(Int(i.imm) & (size * 8 - 1))
      defineFlags(garbage: keeps ? garbage.keepingAdjust : .none)
      return false
    }
    if keeps { useHostFlags() }
    if kind != 0 { willWrite(mask(i.rm)) }
    if immediate {
      a.rr(0x0FBA, size, reg: 4 | kind, rm: host(i.rm))
      a.byte(Int(i.imm) & (size * 8 - 1))
    } else {
      a.rr(0x0FA3 | kind << 3, size, reg: host(i.reg), rm: host(i.rm))
    }
    defineFlags(garbage: keeps ? garbage.keepingAdjust : .none)
    return false
  }
}
