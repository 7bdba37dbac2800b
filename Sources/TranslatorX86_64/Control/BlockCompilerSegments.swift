// Segment registers in translated code.
//
// Owns: PUSH, POP and MOV of ES, DS, FS, GS and LES to LGS where nothing but that register changes, and RDTSC.
// Must not know: descriptors (`CPU.loadSegmentQuickly`); SS and CS, which change more than themselves.
// Follows: Intel SDM volume 2, MOV, POP, PUSH, LDS; volume 3, section 20.1.1 (real mode), 20.2.1 (V86 mode).

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// Emits such an instruction; nil where it has to be interpreted.
  func emitSegments(_ i: Instruction) -> Bool? {
    guard i.handler == .system, options.contains(.segments), options.contains(.memory) else {
      return nil
    }
    switch i.op {
    case .pushSeg: return emitPushSegment(i, Int(i.reg))
    case .popSeg where Int(i.reg) != SegmentRegister.ss: return emitPopSegment(i, Int(i.reg))
    case .movFromSeg where Int(i.reg) <= SegmentRegister.gs: return emitStoreSegment(i)
    case .movToSeg where Int(i.reg) <= SegmentRegister.gs:
      if Int(i.reg) == SegmentRegister.cs || Int(i.reg) == SegmentRegister.ss { return nil }
      return emitLoadSegment(i)
    case .les: return emitLoadPointer(i, SegmentRegister.es)
    case .lds: return emitLoadPointer(i, SegmentRegister.ds)
    case .lfs: return emitLoadPointer(i, SegmentRegister.fs)
    case .lgs: return emitLoadPointer(i, SegmentRegister.gs)
    case .rdtsc: return emitReadTimeStamp(i)
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
    a.movzx(.r10, selector(index), .word)
    // With 32-bit operand size the upper half of the place is left alone.
    a.mov(place, .r10, .word)
    finishPush(size)
    return endAfterSegment(i)
  }

  private func emitStoreSegment(_ i: Instruction) -> Bool {
    if i.hasMemory {
      // The address may take R10 to save flags.
      let m = emitAddress(i, 2, write: true)
      a.movzx(.r10, selector(Int(i.reg)), .word)
      a.mov(m, .r10, .word)
    } else {
      willWrite(mask(i.rm))
      a.movzx(.r10, selector(Int(i.reg)), .word)
      a.mov(host(i.rm), .r10, i.isOperand32 ? .long : .word)
    }
    return endAfterSegment(i)
  }

  private func emitLoadSegment(_ i: Instruction) -> Bool {
    beginLoad()
    if i.hasMemory {
      a.movzx(.r10, emitAddress(i, 2, write: false), .word)
    } else {
      a.movzx(.r10, host(i.rm), .word)
    }
    emitLoad(Int(i.reg))
    return endAfterSegment(i, loads: true)
  }

  private func emitPopSegment(_ i: Instruction, _ index: Int) -> Bool {
    let size = i.isOperand32 ? 4 : 2
    willWrite(1 << 4)
    beginLoad()
    a.movzx(.r10, emitPop(size), .word)
    emitLoad(index)
    moveStack(size)
    return endAfterSegment(i, loads: true)
  }

  private func emitLoadPointer(_ i: Instruction, _ index: Int) -> Bool {
    let size = i.isOperand32 ? 4 : 2
    willWrite(mask(i.reg))
    beginLoad()
    a.mov(.r10, emitAddress(i, size, write: false), Width(bytes: size))
    a.mov(StateOperand.scratch, .r10)
    var second = i
    second.disp = (i.disp &+ UInt32(size)) & i.addressMask
    a.movzx(.r10, emitAddress(second, 2, write: false), .word)
    emitLoad(index)
    a.mov(.r8, StateOperand.scratch)
    a.mov(host(i.reg), .r8, Width(bytes: size))
    return endAfterSegment(i, loads: true)
  }

  private func endAfterSegment(_ i: Instruction, loads: Bool = false) -> Bool {
    guard i.flags & InstructionFlags.endsBlock != 0 else { return false }
    if loads && context.mode == .protected {
      // What follows has to be code for another context.
      var same = Label()
      a.cmp(.r10, 1)
      a.j(.e, &same)
      a.mov(.r8, linearStart.low &+ UInt32(i.nextOffset))
      a.jmp(toOffset: backend.lookupAt)
      a.bind(&same)
    }
    emitExit(blockEIP &+ UInt32(i.nextOffset))
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
    let isV86 = context.mode == .v86
    if context.mode == .protected {
      a.or(.r10, Int32(index << 16))
      a.call(toOffset: backend.loadSegmentAt)
      units = 0
      a.test(.r10, .r10)
      a.j(.e, &stubs[slow].label)
      return
    }
    if isV86 {
      a.mov(.r9, 0xF3)
    } else {
      // Whether a register without a limit is flat is something that code relies on.
      var limited = Label()
      a.cmp(limit, -1)
      a.j(.ne, &limited)
      a.test(.r10, .r10)
      a.j(context.isFlat(index) ? .ne : .e, &stubs[slow].label)
      a.bind(&limited)
      a.movzx(.r9, attributes, .word)
      a.and(.r9, 0xF000)
      a.or(.r9, 0x93)
    }
    a.mov(attributes, .r9, .word)
    a.mov(selector(index), .r10, .word)
    a.shl(.r10, 4)
    a.mov(StateOperand.segment(index, StateOperand.segmentBase), .r10)
    if isV86 {
      a.mov(.r9, 0xFFFF)
      a.mov(limit, .r9)
    } else {
      a.mov(.r9, limit)
    }
    a.mov(StateOperand.segment(index, StateOperand.readLimit), .r9, .quad)
    a.mov(StateOperand.segment(index, StateOperand.writeLimit), .r9, .quad)
  }

  /// RDTSC, where CR4.TSD lets it.
  private func emitReadTimeStamp(_ i: Instruction) -> Bool {
    willWrite(1 | 1 << 2)
    clobberFlags()
    if context.cpl != 0 {
      let slow = interpretStub()
      a.bit(.bt, StateOperand.cr4, 2)
      a.j(.b, &stubs[slow].label)
    }
    a.mov(.rax, StateOperand.runEnd, .quad)
    a.sub(.rax, .r11, .quad)
    a.sub(.rax, StateOperand.tscBaseCount, .quad)
    a.sub(.rax, Int32(count - k), .quad)
    // MUL: the product is in RDX:RAX; its middle half is what is wanted (SHRD RAX, RDX, 32).
    a.mul(StateOperand.tscScale, .quad)
    a.doubleShift(right: true, .rax, .rdx, 32, .quad)
    a.add(.rax, StateOperand.tscBase, .quad)
    a.mov(.rdx, .rax, .quad)
    a.shr(.rdx, 32, .quad)
    a.mov(.rax, .rax)
    return endAfterSegment(i)
  }

  /// The thunk that loads a segment register in protected mode: R10D has its number above the selector; 0 in R10D afterwards
  /// means that nothing was done.
  func emitLoadSegmentThunk() {
    a.sub(.rsp, 8, .quad)
    backend.storeRegisters()
    a.mov(.rdi, StateOperand.context, .quad)
    a.mov(.rsi, .r10)
    backend.emitStoreUnits(HostUnits.sse)
    a.call(StateOperand.loadSegment)
    a.mov(.r10, .rax)
    backend.loadRegisters()
    a.add(.rsp, 8, .quad)
    a.ret()
  }
}
