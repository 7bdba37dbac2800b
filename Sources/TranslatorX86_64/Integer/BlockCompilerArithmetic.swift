// The eight operations of group 1, TEST, INC, DEC, NOT and NEG in translated code.
//
// Owns: what each becomes, and the recipes that make its flags again. Must not know: where blocks lead.
// Follows: Intel SDM volume 2, the instructions' pages.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST; false where the instruction is another one.
  func emitArithmetic(_ i: Instruction) -> Bool {
    // TEST is none of the eight; it only reads, as CMP does.
    let operation = Arithmetic(i.op)
    guard let shape = i.handler.shape, operation != nil || i.op == .test else { return false }
    let size = i.operandSize
    let width = Width(bytes: size)
    let keeps = operation == .cmp || operation == nil
    let takesCarry = operation == .adc || operation == .sbb
    switch shape {
    case .registerRegister:
      let target = host(i.rm, width)
      let source = host(i.reg, width)
      if takesCarry { useCarry() }
      if let operation {
        a.alu(operation, target, source, width)
      } else {
        a.test(target, source, width)
      }
      defineFlags(recipeRR(operation, width, target, source, i))
    case .registerImmediate:
      let target = host(i.rm, width)
      if takesCarry { useCarry() }
      if let operation {
        a.alu(operation, target, signed(i.imm, width), width)
      } else {
        a.test(target, i.imm, width)
      }
      defineFlags(recipeRI(operation, width, target, i))
    case .registerMemory:
      let m = emitAddress(i, size, write: false, needing: takesCarry ? .carry : .nothing)
      var target = host(i.reg, width)
      if target.isHighByte && !keeps {
        // The address may be made of that register: the byte goes through R10B.
        a.movzx(.r10, m, .byte)
        withHighByte(target) { a.alu(operation.unsafelyUnwrapped, $0, .r10, .byte) }
      } else {
        // CMP AH,m: compared from R10B.
        target = byteSource(target)
        if let operation {
          a.alu(operation, target, m, width)
        } else {
          a.test(m, target, width)
        }
      }
      defineFlags()
    case .memoryRegister:
      let m = emitAddress(i, size, write: !keeps, needing: takesCarry ? .carry : .nothing)
      let source = byteSource(host(i.reg, width))
      if let operation {
        a.alu(operation, m, source, width)
      } else {
        a.test(m, source, width)
      }
      defineFlags()
    case .memoryImmediate:
      let m = emitAddress(i, size, write: !keeps, needing: takesCarry ? .carry : .nothing)
      if let operation {
        a.alu(operation, m, signed(i.imm, width), width)
      } else {
        a.test(m, i.imm, width)
      }
      defineFlags()
    }
    return true
  }

  private func recipeRR(
    _ operation: Arithmetic?, _ width: Width, _ target: HostRegister, _ source: HostRegister,
    _ i: Instruction
  ) -> FlagRecipe? {
    guard needs() else { return nil }
    let both = mask(i.rm) | mask(i.reg)
    switch operation {
    case .cmp:
      return FlagRecipe(
        kind: .compare, width: width, first: target, second: source, registers: both)
    case nil:
      return FlagRecipe(kind: .test, width: width, first: target, second: source, registers: both)
    case .or, .and, .xor:
      return FlagRecipe(
        kind: .test, width: width, first: target, second: target, registers: mask(i.rm))
    case .add, .sub:
      if width != .long || target == source { return nil }
      return FlagRecipe(
        kind: operation == .add ? .added : .subtracted, width: width, first: target,
        second: source, registers: both)
    case .adc, .sbb: return nil
    }
  }

  private func recipeRI(
    _ operation: Arithmetic?, _ width: Width, _ target: HostRegister, _ i: Instruction
  ) -> FlagRecipe? {
    guard needs() else { return nil }
    let registers = mask(i.rm)
    switch operation {
    case .cmp:
      return FlagRecipe(
        kind: .compareImmediate, width: width, first: target, immediate: i.imm,
        registers: registers)
    case nil:
      return FlagRecipe(
        kind: .testImmediate, width: width, first: target, immediate: i.imm, registers: registers)
    case .or, .and, .xor:
      return FlagRecipe(
        kind: .test, width: width, first: target, second: target, registers: registers)
    case .add, .sub:
      if width == .byte { return nil }
      return FlagRecipe(
        kind: operation == .add ? .addedImmediate : .subtractedImmediate, width: width,
        first: target, immediate: i.imm, registers: registers)
    case .adc, .sbb: return nil
    }
  }

  func incrementRegister(_ i: Instruction, up: Bool, _ width: Width) {
    // CF stays.
    let keepsCarry = needs(FlagInformation.carry)
    if keepsCarry {
      useCarry()
      willWrite(mask(i.rm))
    }
    let register = host(i.rm, width)
    if up { a.inc(register, width) } else { a.dec(register, width) }
    var new: FlagRecipe?
    if keepsCarry, width != .byte {
      new = recipe?.behind(
        FlagStep(kind: up ? .incremented : .decremented, width: width, first: register),
        registers: mask(i.rm))
    } else if width != .byte {
      // This makes another CF, which nothing looks at.
      new = FlagRecipe(
        kind: up ? .addedImmediate : .subtractedImmediate, width: width, first: register,
        immediate: 1, registers: mask(i.rm))
    }
    defineFlags(new)
  }

  func incrementMemory(_ i: Instruction, up: Bool, _ width: Width) {
    let keepsCarry = needs(FlagInformation.carry)
    let m = emitAddress(i, width.bytes, write: true, needing: keepsCarry ? .carry : .nothing)
    if up { a.inc(m, width) } else { a.dec(m, width) }
    defineFlags()
  }

  func emitNot(_ i: Instruction) {
    let width = Width(bytes: i.operandSize)
    if i.hasMemory {
      a.not(emitAddress(i, width.bytes, write: true), width)
    } else {
      willWrite(mask(i.rm))
      a.not(host(i.rm, width), width)
    }
  }

  func emitNegate(_ i: Instruction) {
    let width = Width(bytes: i.operandSize)
    if i.hasMemory {
      a.neg(emitAddress(i, width.bytes, write: true), width)
    } else {
      a.neg(host(i.rm, width), width)
    }
    defineFlags()
  }
}

extension Arithmetic {
  /// The host's operation for a guest's.
  fileprivate init?(_ op: Op) {
    switch op {
    case .add: self = .add
    case .or: self = .or
    case .adc: self = .adc
    case .sbb: self = .sbb
    case .and: self = .and
    case .sub: self = .sub
    case .xor: self = .xor
    case .cmp: self = .cmp
    default: return nil
    }
  }
}
