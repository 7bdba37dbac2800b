// Guest memory in translated code.
//
// Owns: effective addresses, segment checks, the lookup in the flat tables, pushes and pops. Anything the tables do not cover leads to
// a stub that has the entry made or else the whole instruction interpreted. Must not know: what is done with the operand.
// Follows: Intel SDM volume 1, section 3.7.5 (offsets); volume 3, section 5.3 (limits).

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// The offset of a memory operand in R8D, or in a guest register where that is the same.
  func emitOffset(_ i: Instruction) -> HostRegister {
    let m = operand(i)
    if let base = m.base, m.index == nil, i.disp == 0, i.isAddress32 { return base }
    if m.base == nil && m.index == nil {
      a.mov(.r8, i.disp & i.addressMask)
      return .r8
    }
    a.lea(.r8, m)
    if !i.isAddress32 { a.movzx(.r8, .r8, .word) }
    return .r8
  }

  /// Whether the present instruction's accesses through a segment leave the host's flags.
  func keepsFlags(_ segment: Int) -> Bool {
    windowed && context.isFlat(segment) && block.pointee.tableSites >> UInt64(k) & 1 == 0
  }

  /// A stub for accesses through the window that follow now.
  func windowStub() {
    let n = interpretStub()
    stubs[n].isWindowFault = true
    a.windowTag = n
  }

  /// Emits the way to a memory operand. Destroys R8, R9 and, unless `keepsFlags`, the host's flags.
  /// - Returns: the operand, valid while R8, R9 and the address registers are unchanged.
  /// - Parameter aligned: an operand that is not a multiple of its size is left to the interpreter.
  func emitAddress(_ i: Instruction, _ size: Int, write: Bool, aligned: Bool = false)
    -> MemoryOperand
  {
    if keepsFlags(Int(i.segment)) {
      windowStub()
      var m = operand(i)
      if !i.isAddress32 { m = MemoryOperand(base: emitOffset(i)) }
      m.isWindow = true
      return m
    }
    clobberFlags()
    let slow = interpretStub()
    let offset = emitOffset(i)
    return emitAccess(
      offset, Int(i.segment), size, write: write, slow: slow, aligned: aligned)
  }

  /// What an instruction with a memory operand takes from the flags before it.
  enum FlagNeed {
    case nothing, carry, all
  }

  /// The same as `emitAddress`, with the host's flags as the instruction needs them behind it. Uses R10.
  func emitAddress(_ i: Instruction, _ size: Int, write: Bool, needing need: FlagNeed)
    -> MemoryOperand
  {
    if need == .nothing { return emitAddress(i, size, write: write) }
    if keepsFlags(Int(i.segment)) {
      if need == .carry { useCarry() } else { useHostFlags() }
      return emitAddress(i, size, write: write)
    }
    saveFlags()
    let m = emitAddress(i, size, write: write)
    if need == .carry {
      loadCarry()
    } else {
      restoreFlags(scratch: .r10)
      garbage = .none
    }
    return m
  }

  /// The operand that EBP or, with a 16-bit stack, BP points at on the stack.
  func emitFrame(_ size: Int) -> MemoryOperand {
    let isBig = context.has(.bigStack)
    if keepsFlags(SegmentRegister.ss) && isBig {
      windowStub()
      var m = MemoryOperand(base: .rbp)
      m.isWindow = true
      return m
    }
    clobberFlags()
    let slow = interpretStub()
    if !isBig { a.movzx(.r8, .rbp, .word) }
    return emitAccess(
      isBig ? .rbp : .r8, SegmentRegister.ss, size, write: false, slow: slow)
  }

  /// From an offset in a register to an operand.
  func emitAccess(
    _ offset: HostRegister, _ segment: Int, _ size: Int, write: Bool, slow: Int,
    aligned: Bool = false
  ) -> MemoryOperand {
    var linear = offset
    if !context.isFlat(segment) {
      let limit = StateOperand.segment(
        segment, write ? StateOperand.writeLimit : StateOperand.readLimit)
      if size > 1 {
        a.lea(.r9, MemoryOperand(base: offset, displacement: Int32(size - 1)), .quad)
        a.cmp(.r9, limit, .quad)
      } else {
        a.cmp(offset, limit, .quad)
      }
      a.j(.g, &stubs[slow].label)
      let base = StateOperand.segment(segment, StateOperand.segmentBase)
      if offset == .r8 {
        a.add(.r8, base)
      } else {
        a.mov(.r8, base)
        a.add(.r8, offset)
      }
      linear = .r8
    }
    if windowed && block.pointee.tableSites >> UInt64(k) & 1 == 0 {
      windowStub()
      var m = MemoryOperand(base: linear)
      m.isWindow = true
      return m
    }
    if size > 1 {
      let mask = size == 10 ? 15 : size - 1
      if linear.hasPlainByte || linear.isExtended {
        a.test(linear, UInt32(mask), .byte)
      } else {
        a.test(linear, UInt32(mask))
      }
      if aligned { a.j(.ne, &stubs[slow].label) }
    }
    if size > 1 && !aligned {
      var crossing = Stub(kind: .crossing(MemoryOperand(base: linear), size))
      crossing.slow = slow
      stubs.append(crossing)
      let n = stubs.count - 1
      a.j(.ne, &stubs[n].label)
      stubs[n].resume = a.position
    }
    a.mov(.r9, linear)
    a.shr(.r9, 12)
    a.mov(.r9, MemoryOperand(base: write ? .r13 : .r14, index: .r9, scale: 3), .quad)
    a.test(.r9, .r9, .quad)
    let fills = options.contains(.fills) && records[k].mayFillTable
    if write && options.contains(.codeWrites) && backend.codeWriteAt[size] != nil {
      var stub = Stub(kind: .codeWrite(linear, size))
      stub.slow = slow
      stub.fills = fills
      stubs.append(stub)
      let n = stubs.count - 1
      a.j(.le, &stubs[n].label)
      stubs[n].resume = a.position
    } else if fills {
      var stub = Stub(kind: .fill(linear, write ? 0 : records[k].readsOnce ? size : 8))
      stub.slow = slow
      stubs.append(stub)
      let n = stubs.count - 1
      a.j(.le, &stubs[n].label)
      stubs[n].resume = a.position
    } else {
      a.j(.le, &stubs[slow].label)
    }
    return MemoryOperand(base: .r9, index: linear)
  }

  // MARK: - The stack

  /// Emits the way to the place a push goes to. The new stack pointer is set by `finishPush`. Destroys R8, R9; keeps R10.
  func emitPush(_ size: Int) -> MemoryOperand { emitStackAccess(-size, size, write: true) }

  /// Emits the way to an operand at a distance from the stack pointer. Destroys R8, R9; keeps R10.
  func emitStackAccess(_ distance: Int, _ size: Int, write: Bool) -> MemoryOperand {
    if keepsFlags(SegmentRegister.ss) && context.has(.bigStack) {
      windowStub()
      var m = MemoryOperand(base: .r12, displacement: Int32(distance))
      m.isWindow = true
      return m
    }
    clobberFlags()
    let slow = interpretStub()
    a.lea(.r8, MemoryOperand(base: .r12, displacement: Int32(distance)))
    if !context.has(.bigStack) { a.movzx(.r8, .r8, .word) }
    return emitAccess(.r8, SegmentRegister.ss, size, write: write, slow: slow)
  }

  func finishPush(_ size: Int) { moveStack(-size) }

  /// Emits the way to the place a pop reads.
  func emitPop(_ size: Int) -> MemoryOperand {
    if keepsFlags(SegmentRegister.ss) && context.has(.bigStack) {
      windowStub()
      var m = MemoryOperand(base: .r12)
      m.isWindow = true
      return m
    }
    clobberFlags()
    let slow = interpretStub()
    var offset = HostRegister.r12
    if !context.has(.bigStack) {
      a.movzx(.r8, .r12, .word)
      offset = .r8
    }
    return emitAccess(offset, SegmentRegister.ss, size, write: false, slow: slow)
  }

  /// Adds to ESP or SP; leaves the flags. Uses R8 for a small stack.
  func moveStack(_ delta: Int) {
    if context.has(.bigStack) {
      a.lea(.r12, MemoryOperand(base: .r12, displacement: Int32(delta)))
    } else {
      a.lea(.r8, MemoryOperand(base: .r12, displacement: Int32(delta)))
      a.mov(.r12, .r8, .word)
    }
  }
}
