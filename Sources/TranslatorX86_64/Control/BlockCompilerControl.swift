// Control transfers in translated code.
//
// Owns: exits to other blocks, the lookup of targets known only at run time, near jumps, calls and returns.
// Must not know: data instructions, far transfers (BlockCompilerFar.swift).
// Follows: Intel SDM volume 2, Jcc, JMP, CALL, RET, LOOP.

import Assembler
import CPU
import Translator

extension BlockCompiler {
  /// The block goes on at an EIP known now.
  func emitExit(_ target: UInt32) {
    let saved = (hostFlagsValid, memoryFlagsValid, recipe, garbage)
    defer { (hostFlagsValid, memoryFlagsValid, recipe, garbage) = saved }
    guard translator.mayJoin(from: linearStart, to: target, in: context) else {
      saveFlags()
      emitPlaceExit(target)
      return
    }
    if !memoryFlagsValid {
      // What the target replaces unseen need not be saved, except when the budget ends right here.
      let unseen =
        recipe != nil && options.contains(.unseen)
        && translator.isSamePage(context.linear(target), linearStart)
        && translator.flagsAreReplaced(
          at: target, pageOf: block, in: context, mayExit: { mayExit($0) })
      if unseen {
        hostFlagsValid = false
      } else {
        if target == blockEIP, let recipe, emitLoop(recipe) { return }
        saveFlags()
      }
    }
    var sites = ExitSites()
    sites.count = a.subWide(.r11, 0, .quad).offset
    let budget = stubs.count
    stubs.append(Stub(kind: .exitBudget(-1)))
    a.j(.l, &stubs[budget].label)
    sites.jump = a.jmpLater().offset
    let exit = translator.addExit(of: number, to: target, sites)
    stubs[budget].kind = .exitBudget(exit)
    stubs.append(Stub(kind: .exit(exit)))
    for n in budget...budget + 1 {
      stubs[n].memoryFlagsValid = memoryFlagsValid
      stubs[n].recipe = recipe
    }
  }

  /// The block goes on at an EIP known now, in whatever context is present then. Flags are in memory.
  /// - Parameter base: that of CS by then, where it is not the present one.
  func emitPlaceExit(_ target: UInt32, base: UInt32? = nil) {
    let (exit, place) = translator.addPlaceExit(of: number, to: target)
    a.mov(.r8, (base ?? context.base) &+ target)
    a.mov(.r9, address: place, "code place")
    a.or(.r8, StateOperand.codeTag, .quad)
    a.cmp(.r8, MemoryOperand(base: .r9), .quad)
    stubs.append(Stub(kind: .place(exit)))
    a.j(.ne, &stubs[stubs.count - 1].label)
    a.jmp(MemoryOperand(base: .r9, displacement: 8))
  }

  /// Goes on at the EIP in R8D. Flags are in memory.
  func emitLookup() {
    if context.base != 0 {
      a.add(.r8, Int32(bitPattern: context.base))
    }
    guard options.contains(.lookup) else {
      a.jmp(toOffset: backend.noCodeAt)
      return
    }
    emitLookaside(.r9)
    a.or(.r8, StateOperand.codeTag, .quad)
    a.cmp(.r8, MemoryOperand(base: .r9), .quad)
    a.j(.ne, toOffset: backend.noCodeAt)
    a.jmp(MemoryOperand(base: .r9, displacement: 16))
  }

  /// The lookaside entry for the linear address in R8D.
  func emitLookaside(_ register: HostRegister) {
    a.mov(register, .r8)
    a.shr(register, 12)
    a.xor(register, .r8)
    a.and(register, Int32(BlockCache.lookasideSize - 1))
    a.shl(register, 5)
    a.add(register, StateOperand.lookaside, .quad)
  }

  // MARK: - Returns

  /// The entry for a call that has ESP in R12 (behind the push, before the return). Leaves the flags.
  func expectedReturn(_ register: HostRegister) -> MemoryOperand {
    a.rorx(register, .r12, 2)
    a.movzx(register, register, .word)
    return MemoryOperand(
      base: .r15, index: register, scale: 2, displacement: Int32(CPU.returnsOffset))
  }

  /// Behind the push of a call: the return will find the code place of this one. Uses R8.
  func expectReturn() {
    guard options.contains(.returns) else { return }
    let place = translator.places.make()
    a.mov(expectedReturn(.r8), UInt32(place * 16))
  }

  /// Goes on at the EIP in R10D, to which a near return leads. ESP is what it was before the return. Flags are in memory.
  private func emitReturn(_ size: Int) {
    guard options.contains(.returns) && options.contains(.lookup) else {
      moveStack(size)
      a.mov(.r8, .r10)
      emitLookup()
      return
    }
    a.mov(.r9, expectedReturn(.r9))
    moveStack(size)
    a.mov(.r8, .r10)
    if context.base != 0 {
      a.add(.r8, Int32(bitPattern: context.base))
    }
    a.add(.r9, StateOperand.places, .quad)
    a.or(.r8, StateOperand.codeTag, .quad)
    a.cmp(.r8, MemoryOperand(base: .r9), .quad)
    a.j(.ne, toOffset: backend.returnMissAt)
    a.jmp(MemoryOperand(base: .r9, displacement: 8))
  }

  /// The EIP in `register` lies in the code segment, or the instruction is interpreted.
  private func checkTarget(_ register: HostRegister, _ slow: Int) {
    guard context.limit != 0xFFFF_FFFF else { return }
    if context.limit == 0xFFFF {
      // What comes here has been cut to 16 bits where it had to be.
      a.cmp(register, 0xFFFF)
    } else {
      a.cmp(register, Int32(bitPattern: context.limit))
    }
    a.j(.a, &stubs[slow].label)
  }

  private func relativeTarget(_ i: Instruction) -> UInt32 {
    let target = blockEIP &+ UInt32(i.nextOffset) &+ i.imm
    return i.isOperand32 ? target : target & 0xFFFF
  }

  /// Emits a near transfer; nil when it has to be interpreted.
  func emitControl(_ i: Instruction) -> Bool {
    guard options.contains(.control) else { return emitInterpreted() }
    let next = blockEIP &+ UInt32(i.nextOffset)
    switch i.handler {
    case .jo, .jno, .jb, .jnb, .jz, .jnz, .jbe, .jnbe, .js, .jns, .jp, .jnp, .jl, .jnl, .jle,
      .jnle:
      let target = relativeTarget(i)
      guard target <= context.limit else { return emitInterpreted() }
      let condition = Condition(code: i.condition)
      useHostFlags(for: condition)
      if let start = loopStart(target) {
        a.j(condition, toOffset: start)
        emitExit(next)
        return true
      }
      var taken = Label()
      a.j(condition, &taken)
      emitExit(next)
      a.bind(&taken)
      emitExit(target)
      return true
    case .jmpRel:
      let target = relativeTarget(i)
      guard target <= context.limit else { return emitInterpreted() }
      emitExit(target)
      return true
    case .loop: return emitLoop(i, next, decrements: true)
    case .loopz: return emitLoop(i, next, decrements: true, leavesIf: .ne)
    case .loopnz: return emitLoop(i, next, decrements: true, leavesIf: .e)
    case .jcxz: return emitLoop(i, next, decrements: false)
    case .call16, .call32:
      let target = relativeTarget(i)
      guard target <= context.limit else { return emitInterpreted() }
      let size = i.handler == .call32 ? 4 : 2
      willWrite(1 << 4)
      let place = emitPush(size)
      a.mov(place, size == 4 ? next : next & 0xFFFF, Width(bytes: size))
      finishPush(size)
      expectReturn()
      emitExit(target)
      return true
    case .ret16, .ret32:
      let size = i.handler == .ret32 ? 4 : 2
      willWrite(1 << 4)
      saveFlags()
      let place = emitPop(size)
      let slow = interpretStub()
      if size == 4 { a.mov(.r10, place) } else { a.movzx(.r10, place, .word) }
      checkTarget(.r10, slow)
      emitReturn(size + Int(i.imm & 0xFFFF))
      return true
    case .jmp16E, .jmp32E:
      let size = i.handler == .jmp32E ? 4 : 2
      saveFlags()
      loadTarget(i, size)
      let slow = interpretStub()
      checkTarget(.r10, slow)
      a.mov(.r8, .r10)
      emitLookup()
      return true
    case .call16E, .call32E:
      let size = i.handler == .call32E ? 4 : 2
      willWrite(1 << 4)
      saveFlags()
      loadTarget(i, size)
      let slow = interpretStub()
      checkTarget(.r10, slow)
      let place = emitPush(size)
      a.mov(place, size == 4 ? next : next & 0xFFFF, Width(bytes: size))
      finishPush(size)
      expectReturn()
      a.mov(.r8, .r10)
      emitLookup()
      return true
    default: return emitInterpreted()
    }
  }

  /// The target of an indirect transfer in R10D.
  private func loadTarget(_ i: Instruction, _ size: Int) {
    if i.hasMemory {
      let m = emitAddress(i, size, write: false)
      if size == 4 { a.mov(.r10, m) } else { a.movzx(.r10, m, .word) }
    } else if size == 4 {
      a.mov(.r10, host(i.rm))
    } else {
      a.movzx(.r10, host(i.rm), .word)
    }
    clobberFlags()
  }

  /// LOOP, LOOPZ, LOOPNZ and JCXZ, which leave the flags: JRCXZ is the test.
  /// - Parameter leavesIf: a condition under which the loop ends as well.
  private func emitLoop(
    _ i: Instruction, _ next: UInt32, decrements: Bool, leavesIf condition: Condition? = nil
  ) -> Bool {
    let target = relativeTarget(i)
    guard target <= context.limit else { return emitInterpreted() }
    if let condition { useHostFlags(for: condition) }
    if decrements { willWrite(1 << 1) }
    var leaves = Label()
    var count = HostRegister.rcx
    if i.isAddress32 {
      if decrements { a.lea(.rcx, MemoryOperand(base: .rcx, displacement: -1)) }
    } else {
      if decrements {
        a.lea(.r8, MemoryOperand(base: .rcx, displacement: -1))
        a.mov(.rcx, .r8, .word)
      }
    }
    if let condition { a.j(condition, &leaves) }
    if !i.isAddress32 {
      // The test looks at all of RCX.
      a.mov(.r8, .rcx)
      a.movzx(.rcx, .rcx, .word)
      count = .r8
    }
    // It reaches only a byte far.
    let near = a.jrcxz()
    if count != .rcx { a.mov(.rcx, .r8) }
    var other = Label()
    a.jmp(&other)
    a.bind(near)
    if count != .rcx { a.mov(.rcx, .r8) }
    if condition != nil { a.bind(&leaves) }
    emitExit(decrements ? next : target)
    a.bind(&other)
    emitExit(decrements ? target : next)
    return true
  }
}
