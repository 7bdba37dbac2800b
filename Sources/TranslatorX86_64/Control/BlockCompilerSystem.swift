// Short paths for the system instructions met often: CLI, STI, PUSHF, POPF, CLD, STD, IN, OUT.
//
// Owns: the cases in which nothing but a flag changes, and going on behind a port; all others are interpreted.
// Must not know: interrupt delivery, devices.
// Follows: Intel SDM volume 2, the instructions' pages; volume 3, section 6.8.1 (IF), 6.8.3 (the shadow of STI).

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// Whether IF can be changed without asking IOPL.
  private var isSupervisor: Bool { context.cpl == 0 && context.mode != .v86 }

  /// Everything else needs IOPL 3 for its short path. Flags are in memory. Uses R9.
  private func askIOPL(_ slow: Int) {
    if isSupervisor { return }
    a.mov(.r9, StateOperand.eflags)
    a.not(.r9)
    a.test(.r9, EFLAGS.iopl)
    a.j(.ne, &stubs[slow].label)
  }

  /// CLD and STD where they change DF, on which code depends: the next instruction is another block's.
  func emitDirection(_ i: Instruction) -> Bool {
    guard options.contains(.system) else { return emitInterpreted() }
    saveFlags()
    hostFlagsValid = false
    storePointers()
    a.xor(StateOperand.eflags, Int32(EFLAGS.df))
    a.call(toOffset: backend.updateContextAt)
    if k + 1 < count { a.add(.r11, Int32(count - k - 1), .quad) }
    emitPlaceExit(blockEIP &+ UInt32(i.nextOffset))
    return true
  }

  /// IN and OUT, which end their blocks.
  func emitPort(_ i: Instruction) -> Bool {
    guard options.contains(.devices) else { return emitInterpreted() }
    saveFlags()
    hostFlagsValid = false
    storePointers()
    a.mov(.r8, address: UInt64(UInt(bitPattern: records + k)), "record \(k)")
    a.mov(.r9, UInt32(count - k))
    a.mov(.r10, blockEIP)
    a.call(toOffset: backend.portAt)
    emitExit(blockEIP &+ UInt32(i.nextOffset))
    return true
  }

  /// Emits a system instruction that has host code; nil where it has none.
  func emitSystem(_ i: Instruction) -> Bool? {
    // What LOCK makes undefined is such an operation too.
    guard i.handler == .system, options.contains(.system) else { return nil }
    let next = blockEIP &+ UInt32(i.nextOffset)
    switch i.op {
    case .cli:
      saveFlags()
      hostFlagsValid = false
      if !isSupervisor { askIOPL(interpretStub()) }
      a.and(StateOperand.eflags, Int32(bitPattern: ~EFLAGS.if))
      emitExit(next)
      return true
    case .sti:
      // With an event due right behind it, or something waiting, its shadow matters.
      saveFlags()
      hostFlagsValid = false
      let slow = interpretStub()
      askIOPL(slow)
      a.cmp(StateOperand.attention, 0)
      a.j(.ne, &stubs[slow].label)
      if cpu.hasPeers {
        a.cmp(StateOperand.givesWayAtSTI, 0, .byte)
        a.j(.ne, &stubs[slow].label)
      }
      a.cmp(.r11, 2, .quad)
      a.j(.l, &stubs[slow].label)
      a.or(StateOperand.eflags, Int32(EFLAGS.if))
      emitExit(next)
      return true
    case .pushf:
      let size = i.isOperand32 ? 4 : 2
      willWrite(1 << 4)
      saveFlags()
      hostFlagsValid = false
      if context.mode == .v86 { askIOPL(interpretStub()) }
      let m = emitPush(size)
      var high = StateOperand.rawFlags
      high.displacement += 1
      a.mov(.r10, StateOperand.eflags)
      a.and(.r10, Int32(bitPattern: ~(EFLAGS.vm | EFLAGS.rf)))
      a.mov(StateOperand.scratch, .rcx)
      a.movzx(.rcx, high, .byte)
      a.or(.r10, .rcx)
      a.movzx(.rcx, StateOperand.rawFlags, .byte)
      a.shl(.rcx, 11)
      a.or(.r10, .rcx)
      // The push may fault: every register must be as it was.
      a.mov(.rcx, StateOperand.scratch)
      a.mov(m, .r10, Width(bytes: size))
      finishPush(size)
      emitExit(next)
      return true
    case .popf:
      // One that changes arithmetic flags and IF alone.
      let size = i.isOperand32 ? 4 : 2
      willWrite(1 << 4)
      saveFlags()
      hostFlagsValid = false
      if !isSupervisor { askIOPL(interpretStub()) }
      let m = emitPop(size)
      if size == 4 { a.mov(.r10, m) } else { a.movzx(.r10, m, .word) }
      let slow = interpretStub()
      // An interrupt that waits matters when IF comes.
      a.mov(.r9, .r10)
      a.shr(.r9, 9)
      a.or(.r9, Int32(bitPattern: ~Attention.intr))
      a.test(StateOperand.attention, .r9)
      a.j(.ne, &stubs[slow].label)
      a.mov(.r9, StateOperand.eflags)
      if size == 2 { a.movzx(.r9, .r9, .word) }
      a.xor(.r9, .r10)
      let ignored = EFLAGS.arithmetic | EFLAGS.if | 0x8028 | 2
      a.test(.r9, ~ignored)
      a.j(.ne, &stubs[slow].label)
      a.and(.r9, Int32(EFLAGS.if))
      a.xor(StateOperand.eflags, .r9)
      // SF ZF AF PF CF, then OF.
      var high = StateOperand.rawFlags
      high.displacement += 1
      a.mov(.r9, .r10)
      a.and(.r9, 0xD5)
      a.or(.r9, 2)
      a.mov(high, .r9, .byte)
      a.shr(.r10, 11)
      a.and(.r10, 1)
      a.mov(StateOperand.rawFlags, .r10, .byte)
      moveStack(size)
      emitExit(next)
      return true
    default: return nil
    }
  }
}
