// Far transfers of real and V86 mode in translated code.
//
// Owns: CALL, JMP and RET far where CS has the limit FFFFh: the base of CS and the context that goes with it are all that changes.
// Must not know: descriptors; what is not here is left to `CPU.transferQuickly`, which also makes contexts known.
// Follows: Intel SDM volume 2, CALL, JMP, RET; volume 3, sections 20.1.1 and 20.2.1.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// Emits such a transfer; nil where it has to be made by the processor's short paths.
  func emitFar(_ i: Instruction) -> Bool? {
    guard i.handler == .system, options.contains(.transfers), options.contains(.memory),
      options.contains(.lookup), context.limit == 0xFFFF,
      context.mode != .protected
    else { return nil }
    let size = i.isOperand32 ? 4 : 2
    switch i.op {
    case .callFar: return emitDirect(i, size, pushes: true)
    case .jmpFar: return emitDirect(i, size, pushes: false)
    case .retFar: return emitFarReturn(size, Int(i.imm & 0xFFFF))
    case .callFarIndirect: return emitIndirect(i, size, pushes: true)
    case .jmpFarIndirect: return emitIndirect(i, size, pushes: false)
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
    a.cmp(StateOperand.hasEvents, 0, .byte)
    a.j(.ne, &stubs[slow].label)
    return slow
  }

  private func emitDirect(_ i: Instruction, _ size: Int, pushes: Bool) -> Bool? {
    let eip = size == 4 ? i.imm : i.imm & 0xFFFF
    let base = UInt32(i.imm2) << 4
    guard eip <= 0xFFFF, let number = cpu.contextNumber(base: base) else { return nil }
    _ = beginFar()
    if pushes { pushFarReturn(size) }
    a.mov(selector, UInt32(i.imm2), .word)
    a.mov(StateOperand.segment(SegmentRegister.cs, StateOperand.segmentBase), base)
    a.mov(.r9, number)
    emitContext(.r9)
    a.mov(.r8, base &+ eip)
    noteBranch()
    emitPlaceExit(eip, base: base)
    return true
  }

  private func emitIndirect(_ i: Instruction, _ size: Int, pushes: Bool) -> Bool {
    let slow = beginFar()
    loadOffset(emitAddress(i, size, write: false), size, slow)
    var second = i
    second.disp = (i.disp &+ UInt32(size)) & i.addressMask
    a.movzx(.r10, emitAddress(second, 2, write: false), .word)
    findContext(slow)
    if pushes { pushFarReturn(size) }
    takeSelector()
    noteBranch()
    a.jmp(toOffset: backend.lookupAt)
    return true
  }

  private func emitFarReturn(_ size: Int, _ extra: Int) -> Bool {
    let slow = beginFar()
    var m = emitPop(2 * size)
    loadOffset(m, size, slow)
    m.displacement += Int32(size)
    a.movzx(.r10, m, .word)
    findContext(slow)
    let predicted = options.contains(.returns)
    if predicted {
      a.mov(.r9, expectedReturn(.r9))
      a.mov(StateOperand.savedR10, .r9)
    }
    moveStack(2 * size + extra)
    takeSelector()
    noteBranch()
    guard predicted else {
      a.jmp(toOffset: backend.lookupAt)
      return true
    }
    a.mov(.r9, StateOperand.savedR10)
    a.add(.r9, StateOperand.places, .quad)
    a.or(.r8, StateOperand.codeTag, .quad)
    a.cmp(.r8, MemoryOperand(base: .r9), .quad)
    a.j(.ne, toOffset: backend.returnMissAt)
    a.jmp(MemoryOperand(base: .r9, displacement: 8))
    return true
  }

  // MARK: - Parts

  private var selector: MemoryOperand {
    StateOperand.segment(SegmentRegister.cs, StateOperand.segmentSelector)
  }

  /// Keeps the offset to go to. Uses R10.
  private func loadOffset(_ m: MemoryOperand, _ size: Int, _ slow: Int) {
    if size == 4 { a.mov(.r10, m) } else { a.movzx(.r10, m, .word) }
    a.mov(StateOperand.farOffset, .r10)
    guard size == 4 else { return }
    // R9 may still be part of the operand.
    a.cmp(.r10, 0xFFFF)
    a.j(.a, &stubs[slow].label)
  }

  /// Looks for the context of the selector in R10D; keeps both. Uses R8, R9.
  private func findContext(_ slow: Int) {
    a.imul(.r8, .r10, 0x9E37)
    a.shr(.r8, 10)
    a.and(.r8, 63)
    a.mov(
      .r8,
      MemoryOperand(
        base: .r15, index: .r8, scale: 3, displacement: Int32(CPU.farContextsOffset)), .quad)
    a.mov(.r9, .r10)
    a.or(.r9, Int32(bitPattern: cpu.familyKey()))
    a.cmp(.r8, .r9)
    a.j(.ne, &stubs[slow].label)
    a.shr(.r8, 32, .quad)
    a.mov(StateOperand.farContext, .r8)
    a.mov(StateOperand.farSelector, .r10)
  }

  /// Pushes CS and the EIP behind the instruction. Destroys R8 to R10.
  private func pushFarReturn(_ size: Int) {
    var m = emitPush(2 * size)
    a.mov(m, size == 4 ? next : next & 0xFFFF, Width(bytes: size))
    m.displacement += Int32(size)
    a.movzx(.r10, selector, .word)
    a.mov(m, .r10, Width(bytes: size))
    finishPush(2 * size)
    expectReturn()
  }

  /// CS and its context become those that `findContext` kept; the linear address to go to is in R8D. Uses R9, R10.
  private func takeSelector() {
    a.mov(.r10, StateOperand.farSelector)
    a.mov(selector, .r10, .word)
    a.shl(.r10, 4)
    a.mov(StateOperand.segment(SegmentRegister.cs, StateOperand.segmentBase), .r10)
    a.mov(.r9, StateOperand.farContext)
    emitContext(.r9)
    a.mov(.r8, StateOperand.farOffset)
    a.add(.r8, StateOperand.segment(SegmentRegister.cs, StateOperand.segmentBase))
  }

  /// The number in a register becomes that of the context; CS gets the rest of what the mode gives it. Uses R10.
  private func emitContext(_ number: HostRegister) {
    let attributes = StateOperand.segment(SegmentRegister.cs, StateOperand.segmentAttributes)
    if context.mode == .v86 {
      a.mov(attributes, 0xF3, .word)
    } else {
      a.movzx(.r10, attributes, .word)
      a.and(.r10, 0xF000)
      a.or(.r10, 0x93)
      a.mov(attributes, .r10, .word)
    }
    for limit in [StateOperand.readLimit, StateOperand.writeLimit] {
      a.mov(StateOperand.segment(SegmentRegister.cs, limit), 0xFFFF, .quad)
    }
    var high = StateOperand.codeTag
    high.displacement += 4
    a.mov(.r10, high)
    a.and(.r10, Int32(truncatingIfNeeded: ~(CPU.contextMask >> 32)))
    a.or(.r10, number)
    a.mov(high, .r10)
  }

  /// `CPU.recordBranch` to the linear address in R8D. Uses R9, R10.
  private func noteBranch() {
    a.mov(.r9, StateOperand.branchIndex)
    let place = MemoryOperand(
      base: .r15, index: .r9, scale: 3, displacement: Int32(CPU.branchesOffset))
    a.mov(place, from)
    var second = place
    second.displacement += 4
    a.mov(second, .r8)
    a.add(.r9, 1)
    a.and(.r9, 15)
    a.mov(StateOperand.branchIndex, .r9)
  }
}
