// Segment registers in translated code.
//
// Owns: PUSH, POP and MOV of ES, DS, FS, GS and LES to LGS where nothing but that register changes, and RDTSC.
// Must not know: descriptors (`CPU.loadSegmentQuickly`); SS and CS, which change more than themselves.
// Follows: Intel SDM volume 2, MOV, POP, PUSH, LDS; volume 3, section 20.1.1 (real mode), 20.2.1 (V86 mode).

import Assembler
import CPU

extension BlockCompiler {
  /// Emits such an instruction; nil where it has to be interpreted.
  func emitSegments(_ i: Instruction) -> Bool? {
    guard i.handler == .system, options.contains(.segments), options.contains(.memory) else {
      return nil
    }
    switch i.opcode {
    case 0x06: return emitPushSegment(i, SegmentRegister.es)
    case 0x0E: return emitPushSegment(i, SegmentRegister.cs)
    case 0x16: return emitPushSegment(i, SegmentRegister.ss)
    case 0x1E: return emitPushSegment(i, SegmentRegister.ds)
    case 0x0FA0: return emitPushSegment(i, SegmentRegister.fs)
    case 0x0FA8: return emitPushSegment(i, SegmentRegister.gs)
    case 0x8C where i.digit <= 5: return emitStoreSegment(i)
    case 0x8E:
      guard i.digit <= 5, i.digit != SegmentRegister.cs, i.digit != SegmentRegister.ss else {
        return nil
      }
      return emitLoadSegment(i)
    case 0x07: return emitPopSegment(i, SegmentRegister.es)
    case 0x1F: return emitPopSegment(i, SegmentRegister.ds)
    case 0x0FA1: return emitPopSegment(i, SegmentRegister.fs)
    case 0x0FA9: return emitPopSegment(i, SegmentRegister.gs)
    case 0xC4 where i.hasMemory: return emitLoadPointer(i, SegmentRegister.es)
    case 0xC5 where i.hasMemory: return emitLoadPointer(i, SegmentRegister.ds)
    case 0x0FB4 where i.hasMemory: return emitLoadPointer(i, SegmentRegister.fs)
    case 0x0FB5 where i.hasMemory: return emitLoadPointer(i, SegmentRegister.gs)
    case 0x0F31 where cpu.model.features.contains(.tsc): return emitReadTimeStamp(i)
    default: return nil
    }
  }

  private func selector(_ index: Int) -> MemoryOperand {
    StateOperand.segment(index, StateOperand.segmentSelector)
  }

  private func emitPushSegment(_ i: Instruction, _ index: Int) -> Bool {
    let size = i.isOperand32 ? 4 : 2
    willWrite(1 << 4)
    let place = emitPush(size)
    a.rm(0x0FB7, 4, reg: H.r10, selector(index))
    // With 32-bit operand size the upper half of the place is left alone.
    a.store(place, H.r10, 2)
    finishPush(size)
    return endAfterSegment(i)
  }

  private func emitStoreSegment(_ i: Instruction) -> Bool {
    if i.hasMemory {
      // The address may take R10 to save flags.
      let m = emitAddress(i, 2, write: true)
      a.rm(0x0FB7, 4, reg: H.r10, selector(i.digit))
      a.store(m, H.r10, 2)
    } else {
      willWrite(mask(i.rm))
      a.rm(0x0FB7, 4, reg: H.r10, selector(i.digit))
      a.move(host(i.rm), H.r10, i.isOperand32 ? 4 : 2)
    }
    return endAfterSegment(i)
  }

  private func emitLoadSegment(_ i: Instruction) -> Bool {
    beginLoad()
    if i.hasMemory {
      a.rm(0x0FB7, 4, reg: H.r10, emitAddress(i, 2, write: false))
    } else {
      a.rr(0x0FB7, 4, reg: H.r10, rm: host(i.rm))
    }
    emitLoad(i.digit)
    return endAfterSegment(i, loads: true)
  }

  private func emitPopSegment(_ i: Instruction, _ index: Int) -> Bool {
    let size = i.isOperand32 ? 4 : 2
    willWrite(1 << 4)
    beginLoad()
    a.rm(0x0FB7, 4, reg: H.r10, emitPop(size))
    emitLoad(index)
    moveStack(size)
    return endAfterSegment(i, loads: true)
  }

  private func emitLoadPointer(_ i: Instruction, _ index: Int) -> Bool {
    let size = i.isOperand32 ? 4 : 2
    willWrite(mask(i.reg))
    beginLoad()
    a.load(H.r10, emitAddress(i, size, write: false), size)
    a.store(StateOperand.scratch, H.r10)
    var second = i
    second.disp = (i.disp &+ UInt32(size)) & i.addressMask
    a.rm(0x0FB7, 4, reg: H.r10, emitAddress(second, 2, write: false))
    emitLoad(index)
    a.load(H.r8, StateOperand.scratch)
    a.move(host(i.reg), H.r8, size)
    return endAfterSegment(i, loads: true)
  }

  private func endAfterSegment(_ i: Instruction, loads: Bool = false) -> Bool {
    guard i.flags & InstructionFlags.endsBlock != 0 else { return false }
    if loads && context.has(CodeContext.protected) && !context.has(CodeContext.v86) {
      // What follows has to be code for another context.
      var same = Label()
      a.arithmetic(7, H.r10, immediate: 1)
      a.jump(Condition.z, &same)
      a.move(H.r8, immediate: linearStart &+ UInt32(i.nextOffset))
      a.jump(toOffset: translator.lookupAt)
      a.bind(&same)
    }
    emitEdge(blockEIP &+ UInt32(i.nextOffset), isLast: true)
    return true
  }

  /// Loads may lead to Swift.
  private func beginLoad() {
    saveFlags()
    hostFlagsValid = false
    storePointers()
  }

  /// Loads a segment register with the selector in R10D. Keeps R8 outside of protected mode.
  private func emitLoad(_ index: Int) {
    let slow = interpretStub()
    let attributes = StateOperand.segment(index, StateOperand.segmentAttributes)
    let limit = StateOperand.segment(index, StateOperand.segmentLimit)
    let isV86 = context.has(CodeContext.v86)
    if context.has(CodeContext.protected) && !isV86 {
      a.arithmetic(1, H.r10, immediate: Int32(index << 16))
      a.call(toOffset: translator.loadSegmentAt)
      units = 0
      a.rr(0x85, 4, reg: H.r10, rm: H.r10)
      a.jump(Condition.z, &stubs[slow].label)
      return
    }
    if isV86 {
      a.move(H.r9, immediate: 0xF3)
    } else {
      // Whether a register without a limit is flat is something that code relies on.
      var limited = Label()
      a.arithmetic(7, limit, immediate: -1, 4)
      a.jump(Condition.nz, &limited)
      a.rr(0x85, 4, reg: H.r10, rm: H.r10)
      a.jump(context.isFlat(index) ? Condition.nz : Condition.z, &stubs[slow].label)
      a.bind(&limited)
      a.rm(0x0FB7, 4, reg: H.r9, attributes)
      a.arithmetic(4, H.r9, immediate: 0xF000)
      a.arithmetic(1, H.r9, immediate: 0x93)
    }
    a.store(attributes, H.r9, 2)
    a.store(selector(index), H.r10, 2)
    a.rr(0xC1, 4, reg: 4, rm: H.r10)
    a.byte(4)
    a.store(StateOperand.segment(index, StateOperand.segmentBase), H.r10)
    if isV86 {
      a.move(H.r9, immediate: 0xFFFF)
      a.store(limit, H.r9)
    } else {
      a.load(H.r9, limit)
    }
    a.store(StateOperand.segment(index, StateOperand.readLimit), H.r9, 8)
    a.store(StateOperand.segment(index, StateOperand.writeLimit), H.r9, 8)
  }

  /// RDTSC, where CR4.TSD lets it.
  private func emitReadTimeStamp(_ i: Instruction) -> Bool {
    willWrite(1 | 1 << 2)
    clobberFlags()
    if context.cpl != 0 {
      let slow = interpretStub()
      a.rm(0x0FBA, 4, reg: 4, StateOperand.cr4)
      a.byte(2)
      a.jump(Condition.b, &stubs[slow].label)
    }
    a.load(H.rax, StateOperand.runEnd, 8)
    a.rr(0x2B, 8, reg: H.rax, rm: H.r11)
    a.rm(0x2B, 8, reg: H.rax, StateOperand.tscBaseCount)
    a.arithmetic(5, H.rax, immediate: Int32(count - k), 8)
    // MUL: the product is in RDX:RAX; its middle half is what is wanted (SHRD RAX, RDX, 32).
    a.rm(0xF7, 8, reg: 4, StateOperand.tscScale)
    a.rr(0x0FAC, 8, reg: H.rdx, rm: H.rax)
    a.byte(32)
    a.rm(0x03, 8, reg: H.rax, StateOperand.tscBase)
    a.move(H.rdx, H.rax, 8)
    a.rr(0xC1, 8, reg: 5, rm: H.rdx)
    a.byte(32)
    a.move(H.rax, H.rax)
    return endAfterSegment(i)
  }

  /// The thunk that loads a segment register in protected mode: R10D has its number above the selector; 0 in R10D afterwards
  /// means that nothing was done.
  func emitLoadSegmentThunk() {
    a.arithmetic(5, H.rsp, immediate: 8, 8)
    translator.storeRegisters()
    a.load(H.rdi, StateOperand.context, 8)
    a.move(H.rsi, H.r10)
    translator.emitStoreUnits(HostUnits.sse)
    a.rm(0xFF, 4, reg: 2, StateOperand.loadSegment)
    a.move(H.r10, H.rax)
    translator.loadRegisters()
    a.arithmetic(0, H.rsp, immediate: 8, 8)
    a.byte(0xC3)
  }
}
