// Far transfers of real and V86 mode in translated code.
//
// Owns: CALL, JMP and RET far where CS has the limit FFFFh: the base of CS and the context that goes with it are all that changes.
// Must not know: descriptors; what is not here is left to `CPU.transferQuickly`, which also makes contexts known.
// Follows: Intel SDM volume 2, CALL, JMP, RET; volume 3, sections 20.1.1 and 20.2.1.

import Assembler
import CPU

extension BlockCompiler {
  /// Emits such a transfer; nil where it has to be made by the processor's short paths.
  func emitFar(_ i: Instruction) -> Bool? {
    guard i.handler == .system, options.contains(.transfers), options.contains(.memory),
      options.contains(.lookup), context.limit == 0xFFFF,
      !context.has(CodeContext.protected) || context.has(CodeContext.v86)
    else { return nil }
    let size = i.isOperand32 ? 4 : 2
    switch i.opcode {
    case 0x9A: return emitDirect(i, size, pushes: true)
    case 0xEA: return emitDirect(i, size, pushes: false)
    case 0xCA: return emitFarReturn(size, Int(i.imm & 0xFFFF))
    case 0xCB: return emitFarReturn(size, 0)
    case 0xFF where i.hasMemory && i.digit == 3: return emitIndirect(i, size, pushes: true)
    case 0xFF where i.hasMemory && i.digit == 5: return emitIndirect(i, size, pushes: false)
    default: return nil
    }
  }

  private var next: UInt32 { blockEIP &+ UInt32(records[k].nextOffset) }
  /// The linear address of the present instruction.
  private var from: UInt32 { context.base &+ next &- UInt32(records[k].length) }

  /// What all have to do first. Uses R9, R10.
  private func beginFar() -> Int {
    willWrite(1 << 4)
    saveFlags()
    hostFlagsValid = false
    storePointers()
    let slow = interpretStub()
    a.arithmetic(7, StateOperand.hasEvents, immediate: 0, 1)
    a.jump(Condition.nz, &stubs[slow].label)
    return slow
  }

  private func emitDirect(_ i: Instruction, _ size: Int, pushes: Bool) -> Bool? {
    let eip = size == 4 ? i.imm : i.imm & 0xFFFF
    let base = UInt32(i.imm2) << 4
    guard eip <= 0xFFFF, let number = cpu.contextNumber(base: base) else { return nil }
    _ = beginFar()
    if pushes { pushFarReturn(size) }
    a.store(selector, immediate: UInt32(i.imm2), 2)
    a.store(StateOperand.segment(SegmentRegister.cs, StateOperand.segmentBase), immediate: base)
    a.move(H.r9, immediate: number)
    emitContext(H.r9)
    a.move(H.r8, immediate: base &+ eip)
    noteBranch()
    emitPlaceEdge(eip, base: base)
    return true
  }

  private func emitIndirect(_ i: Instruction, _ size: Int, pushes: Bool) -> Bool {
    let slow = beginFar()
    loadOffset(emitAddress(i, size, write: false), size, slow)
    var second = i
    second.disp = (i.disp &+ UInt32(size)) & i.addressMask
    a.rm(0x0FB7, 4, reg: H.r10, emitAddress(second, 2, write: false))
    findContext(slow)
    if pushes { pushFarReturn(size) }
    takeSelector()
    noteBranch()
    a.jump(toOffset: translator.lookupAt)
    return true
  }

  private func emitFarReturn(_ size: Int, _ extra: Int) -> Bool {
    let slow = beginFar()
    var m = emitPop(2 * size)
    loadOffset(m, size, slow)
    m.displacement += Int32(size)
    a.rm(0x0FB7, 4, reg: H.r10, m)
    findContext(slow)
    let predicted = options.contains(.returns)
    if predicted {
      a.load(H.r9, expectedReturn(H.r9))
      a.store(StateOperand.savedR10, H.r9)
    }
    moveStack(2 * size + extra)
    takeSelector()
    noteBranch()
    guard predicted else {
      a.jump(toOffset: translator.lookupAt)
      return true
    }
    a.load(H.r9, StateOperand.savedR10)
    a.rm(0x03, 8, reg: H.r9, StateOperand.places)
    a.rm(0x0B, 8, reg: H.r8, StateOperand.codeTag)
    a.rm(0x3B, 8, reg: H.r8, MemoryOperand(base: H.r9))
    a.jump(Condition.nz, toOffset: translator.returnMissAt)
    a.rm(0xFF, 4, reg: 4, MemoryOperand(base: H.r9, displacement: 8))
    return true
  }

  // MARK: - Parts

  private var selector: MemoryOperand {
    StateOperand.segment(SegmentRegister.cs, StateOperand.segmentSelector)
  }

  /// Keeps the offset to go to. Uses R10.
  private func loadOffset(_ m: MemoryOperand, _ size: Int, _ slow: Int) {
    if size == 4 { a.load(H.r10, m) } else { a.rm(0x0FB7, 4, reg: H.r10, m) }
    a.store(StateOperand.farOffset, H.r10)
    guard size == 4 else { return }
    // R9 may still be part of the operand.
    a.arithmetic(7, H.r10, immediate: 0xFFFF)
    a.jump(Condition.a, &stubs[slow].label)
  }

  /// Looks for the context of the selector in R10D; keeps both. Uses R8, R9.
  private func findContext(_ slow: Int) {
    a.rr(0x69, 4, reg: H.r8, rm: H.r10)
    a.word32(0x9E37)
    a.rr(0xC1, 4, reg: 5, rm: H.r8)
    a.byte(10)
    a.arithmetic(4, H.r8, immediate: 63)
    a.load(
      H.r8,
      MemoryOperand(
        base: H.r15, index: H.r8, scale: 3, displacement: Int32(CPU.farContextsOffset)), 8)
    a.move(H.r9, H.r10)
    a.arithmetic(1, H.r9, immediate: Int32(bitPattern: cpu.familyKey()))
    a.rr(0x39, 4, reg: H.r9, rm: H.r8)
    a.jump(Condition.nz, &stubs[slow].label)
    a.rr(0xC1, 8, reg: 5, rm: H.r8)
    a.byte(32)
    a.store(StateOperand.farContext, H.r8)
    a.store(StateOperand.farSelector, H.r10)
  }

  /// Pushes CS and the EIP behind the instruction. Destroys R8 to R10.
  private func pushFarReturn(_ size: Int) {
    var m = emitPush(2 * size)
    a.store(m, immediate: size == 4 ? next : next & 0xFFFF, size)
    m.displacement += Int32(size)
    a.rm(0x0FB7, 4, reg: H.r10, selector)
    a.store(m, H.r10, size)
    finishPush(2 * size)
    expectReturn()
  }

  /// CS and its context become those that `findContext` kept; the linear address to go to is in R8D. Uses R9, R10.
  private func takeSelector() {
    a.load(H.r10, StateOperand.farSelector)
    a.store(selector, H.r10, 2)
    a.rr(0xC1, 4, reg: 4, rm: H.r10)
    a.byte(4)
    a.store(StateOperand.segment(SegmentRegister.cs, StateOperand.segmentBase), H.r10)
    a.load(H.r9, StateOperand.farContext)
    emitContext(H.r9)
    a.load(H.r8, StateOperand.farOffset)
    a.rm(0x03, 4, reg: H.r8, StateOperand.segment(SegmentRegister.cs, StateOperand.segmentBase))
  }

  /// The number in a register becomes that of the context; CS gets the rest of what the mode gives it. Uses R10.
  private func emitContext(_ number: Int) {
    let attributes = StateOperand.segment(SegmentRegister.cs, StateOperand.segmentAttributes)
    if context.has(CodeContext.v86) {
      a.store(attributes, immediate: 0xF3, 2)
    } else {
      a.rm(0x0FB7, 4, reg: H.r10, attributes)
      a.arithmetic(4, H.r10, immediate: 0xF000)
      a.arithmetic(1, H.r10, immediate: 0x93)
      a.store(attributes, H.r10, 2)
    }
    for limit in [StateOperand.readLimit, StateOperand.writeLimit] {
      a.store(StateOperand.segment(SegmentRegister.cs, limit), immediate: 0xFFFF, 8)
    }
    var high = StateOperand.codeTag
    high.displacement += 4
    a.load(H.r10, high)
    a.arithmetic(4, H.r10, immediate: Int32(truncatingIfNeeded: ~(CPU.contextMask >> 32)))
    a.rr(0x09, 4, reg: number, rm: H.r10)
    a.store(high, H.r10)
  }

  /// `CPU.recordBranch` to the linear address in R8D. Uses R9, R10.
  private func noteBranch() {
    a.load(H.r9, StateOperand.branchIndex)
    let place = MemoryOperand(
      base: H.r15, index: H.r9, scale: 3, displacement: Int32(CPU.branchesOffset))
    a.store(place, immediate: from)
    var second = place
    second.displacement += 4
    a.store(second, H.r8)
    a.arithmetic(0, H.r9, immediate: 1)
    a.arithmetic(4, H.r9, immediate: 15)
    a.store(StateOperand.branchIndex, H.r9)
  }
}
