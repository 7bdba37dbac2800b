// Shifts and rotations in translated code.
//
// Owns: what each becomes; of flags that the manual leaves undefined, what makes them what the interpreter has. Must not know: where
// blocks lead.
// Follows: Intel SDM volume 2, RCL, SAL.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  func emitShift(_ i: Instruction, _ width: Width) {
    let size = width.bytes
    guard let operation = Shift(i.op) else {
      _ = emitInterpreted()
      return
    }
    let byCL = i.countsByCL
    let rotates = i.op.isRotation
    let throughCarry = i.op.rotatesThroughCarry
    let amount = i.imm & 31

    // Processors differ in OF after more than one step, and in CF after more steps than there are bits. Of shifts SF and CF tell OF;
    // otherwise the last step is made by itself.
    var after = FlagGarbage(adjust: true)
    if operation == .shl || operation == .sal { after.overflow = .signAndCarry }
    if operation == .sar || operation == .shr && !byCL && amount > 1 { after.overflow = .clear }
    let beyond = !rotates && operation != .sar && needs() && (byCL ? size < 4 : amount >= 8 * size)
    let splits = needs(UInt16(EFLAGS.of)) && (rotates || operation == .shr && byCL) || beyond
    func operate(_ m: MemoryOperand?) {
      if byCL && splits {
        // Of registers other than ECX; between the two nothing can fault.
        a.lea(.rcx, MemoryOperand(base: .rcx, displacement: -1))
        a.shiftByCL(operation, host(i.rm, width), width)
        a.lea(.rcx, MemoryOperand(base: .rcx, displacement: 1))
        a.shiftOnce(operation, host(i.rm, width), width)
        return
      }
      for count in splits && amount > 1 ? [amount - 1, 1] : [amount] {
        switch (m, byCL) {
        case (let m?, true): a.shiftByCL(operation, m, width)
        case (let m?, false): a.shift(operation, m, Int(count), width)
        case (nil, true): a.shiftByCL(operation, host(i.rm, width), width)
        case (nil, false): a.shift(operation, host(i.rm, width), Int(count), width)
        }
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
    emitShiftByCL(i, width, after, operate)
  }

  /// A shift by CL: only a count other than 0 changes the flags.
  func emitShiftByCL(
    _ i: Instruction, _ width: Width, _ after: FlagGarbage, _ operate: (MemoryOperand?) -> Void
  ) {
    saveFlags()
    willWrite(i.hasMemory ? 0 : mask(i.rm))
    let m = i.hasMemory ? emitAddress(i, width.bytes, write: true) : nil
    var skip = Label()
    a.test(.rcx, 0x1F, .byte)
    if let m {
      // With a count of 0 memory is still looked at, as for a write.
      var counts = Label()
      a.j(.ne, &counts)
      a.or(m, 0, width)
      a.jmp(&skip)
      a.bind(&counts)
    } else {
      a.j(.e, &skip)
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
    a.test(.rcx, 0x1F, .byte)
    a.j(.e, &skip)
    if throughCarry { loadCarry() }
    operate()
    a.set(.b, .r10)
    a.set(.o, .r9)
    a.mov(StateOperand.rawFlags, .r9, .byte)
    var high = StateOperand.rawFlags
    high.displacement += 1
    a.and(high, -2, .byte)
    a.or(high, .r10, .byte)
    a.bind(&skip)
    flagsAreInMemory()
  }
}

extension Shift {
  /// The host's operation for a guest's.
  fileprivate init?(_ op: Op) {
    switch op {
    case .rol: self = .rol
    case .ror: self = .ror
    case .rcl: self = .rcl
    case .rcr: self = .rcr
    case .shl: self = .shl
    case .shr: self = .shr
    case .sal: self = .sal
    case .sar: self = .sar
    default: return nil
    }
  }
}
