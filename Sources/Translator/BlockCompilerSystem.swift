// Short paths for the system instructions met often: CLI, STI, PUSHF, POPF, CLD, STD, IN, OUT.
//
// Owns: the cases in which nothing but a flag changes, and going on behind a port; all others are interpreted.
// Must not know: interrupt delivery, devices.
// Follows: Intel SDM volume 2, the instructions' pages; volume 3, section 6.8.1 (IF), 6.8.3 (the shadow of STI).

import Assembler
import CPU

extension BlockCompiler {
  /// Whether IF can be changed without asking IOPL.
  private var isSupervisor: Bool { context.cpl == 0 && !context.has(CodeContext.v86) }

  /// Everything else needs IOPL 3 for its short path. Flags are in memory. Uses R9.
  private func askIOPL(_ slow: Int) {
    if isSupervisor { return }
    a.load(H.r9, StateOperand.eflags)
    a.rr(0xF7, 4, reg: 2, rm: H.r9)
    a.rr(0xF7, 4, reg: 0, rm: H.r9)
    a.word32(Int(EFLAGS.iopl))
    a.jump(Condition.nz, &stubs[slow].label)
  }

  /// CLD and STD where they change DF, on which code depends: the next instruction is another block's.
  func emitDirection(_ i: Instruction) -> Bool {
    guard options.contains(.system) else { return emitInterpreted() }
    saveFlags()
    hostFlagsValid = false
    storePointers()
    a.arithmetic(6, StateOperand.eflags, immediate: Int32(EFLAGS.df), 4)
    a.call(toOffset: translator.updateContextAt)
    if k + 1 < count { a.arithmetic(0, H.r11, immediate: Int32(count - k - 1), 8) }
    emitPlaceEdge(blockEIP &+ UInt32(i.nextOffset))
    return true
  }

  /// IN and OUT, which end their blocks.
  func emitPort(_ i: Instruction) -> Bool {
    guard options.contains(.devices) else { return emitInterpreted() }
    saveFlags()
    hostFlagsValid = false
    storePointers()
    a.move64(H.r8, immediate: UInt64(UInt(bitPattern: records + k)))
    a.move(H.r9, immediate: UInt32(count - k))
    a.move(H.r10, immediate: blockEIP)
    a.call(toOffset: translator.portAt)
    emitEdge(blockEIP &+ UInt32(i.nextOffset), isLast: true)
    return true
  }

  /// Emits a system instruction that has host code; nil where it has none.
  func emitSystem(_ i: Instruction) -> Bool? {
    // What LOCK makes undefined has these opcodes too.
    guard i.handler == .system, options.contains(.system) else { return nil }
    let next = blockEIP &+ UInt32(i.nextOffset)
    switch i.opcode {
    case 0xFA:
      // CLI
      saveFlags()
      hostFlagsValid = false
      if !isSupervisor { askIOPL(interpretStub()) }
      a.arithmetic(4, StateOperand.eflags, immediate: Int32(bitPattern: ~EFLAGS.if), 4)
      emitEdge(next, isLast: true)
      return true
    case 0xFB:
      // STI: with an event due right behind it, or something waiting, its shadow matters.
      saveFlags()
      hostFlagsValid = false
      let slow = interpretStub()
      askIOPL(slow)
      a.arithmetic(7, StateOperand.attention, immediate: 0, 4)
      a.jump(Condition.nz, &stubs[slow].label)
      a.arithmetic(7, H.r11, immediate: 2, 8)
      a.jump(Condition.l, &stubs[slow].label)
      a.arithmetic(1, StateOperand.eflags, immediate: Int32(EFLAGS.if), 4)
      emitEdge(next, isLast: true)
      return true
    case 0x9C:
      // PUSHF
      let size = i.isOperand32 ? 4 : 2
      willWrite(1 << 4)
      saveFlags()
      hostFlagsValid = false
      if context.has(CodeContext.v86) { askIOPL(interpretStub()) }
      let m = emitPush(size)
      var high = StateOperand.rawFlags
      high.displacement += 1
      a.load(H.r10, StateOperand.eflags)
      a.arithmetic(4, H.r10, immediate: Int32(bitPattern: ~(EFLAGS.vm | EFLAGS.rf)))
      a.store(StateOperand.scratch, H.rcx)
      a.rm(0x0FB6, 4, reg: H.rcx, high)
      a.rr(0x09, 4, reg: H.rcx, rm: H.r10)
      a.rm(0x0FB6, 4, reg: H.rcx, StateOperand.rawFlags)
      a.rr(0xC1, 4, reg: 4, rm: H.rcx)
      a.byte(11)
      a.rr(0x09, 4, reg: H.rcx, rm: H.r10)
      // The push may fault: every register must be as it was.
      a.load(H.rcx, StateOperand.scratch)
      a.store(m, H.r10, size)
      finishPush(size)
      emitEdge(next, isLast: true)
      return true
    case 0x9D:
      // POPF that changes arithmetic flags and IF alone.
      let size = i.isOperand32 ? 4 : 2
      willWrite(1 << 4)
      saveFlags()
      hostFlagsValid = false
      if !isSupervisor { askIOPL(interpretStub()) }
      let m = emitPop(size)
      if size == 4 { a.load(H.r10, m) } else { a.rm(0x0FB7, 4, reg: H.r10, m) }
      let slow = interpretStub()
      // An interrupt that waits matters when IF comes.
      a.move(H.r9, H.r10)
      a.rr(0xC1, 4, reg: 5, rm: H.r9)
      a.byte(9)
      a.arithmetic(1, H.r9, immediate: Int32(bitPattern: ~Attention.intr))
      a.rm(0x85, 4, reg: H.r9, StateOperand.attention)
      a.jump(Condition.nz, &stubs[slow].label)
      a.load(H.r9, StateOperand.eflags)
      if size == 2 { a.rr(0x0FB7, 4, reg: H.r9, rm: H.r9) }
      a.rr(0x31, 4, reg: H.r10, rm: H.r9)
      let ignored = EFLAGS.arithmetic | EFLAGS.if | 0x8028 | 2
      a.rr(0xF7, 4, reg: 0, rm: H.r9)
      a.word32(Int(~ignored))
      a.jump(Condition.nz, &stubs[slow].label)
      a.arithmetic(4, H.r9, immediate: Int32(EFLAGS.if))
      a.rm(0x31, 4, reg: H.r9, StateOperand.eflags)
      // SF ZF AF PF CF, then OF.
      var high = StateOperand.rawFlags
      high.displacement += 1
      a.move(H.r9, H.r10)
      a.arithmetic(4, H.r9, immediate: 0xD5)
      a.arithmetic(1, H.r9, immediate: 2)
      a.store(high, H.r9, 1)
      a.rr(0xC1, 4, reg: 5, rm: H.r10)
      a.byte(11)
      a.arithmetic(4, H.r10, immediate: 1)
      a.store(StateOperand.rawFlags, H.r10, 1)
      moveStack(size)
      emitEdge(next, isLast: true)
      return true
    default: return nil
    }
  }
}
