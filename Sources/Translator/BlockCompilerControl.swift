// Control transfers in translated code.
//
// Owns: edges between blocks, the lookup of targets known only at run time, near jumps, calls and returns.
// Must not know: data instructions, far transfers (BlockCompilerFar.swift).
// Follows: Intel SDM volume 2, Jcc, JMP, CALL, RET, LOOP.

import Assembler
import CPU

extension BlockCompiler {
  /// The block goes on at an EIP known now. `isLast`: the flags are needed for nothing else here.
  func emitEdge(_ target: UInt32, isLast: Bool) {
    let saved = (hostFlagsValid, memoryFlagsValid, recipe, garbage)
    defer { (hostFlagsValid, memoryFlagsValid, recipe, garbage) = saved }
    let linear = context.base &+ target
    let samePage = (linear ^ linearStart) & 0xFFFF_F000 == 0
    // Under paging an instruction at a page's end depends on the next page too.
    let direct =
      (samePage && (linear & 0xFFF <= 0x1000 - 16 || !context.has(CodeContext.paged)))
      || (!context.has(CodeContext.paged) && !context.has(CodeContext.a20Masked))
    guard direct && target <= context.limit else {
      saveFlags()
      emitPlaceEdge(target)
      return
    }
    if !memoryFlagsValid {
      // What the target replaces unseen need not be saved, except when the budget ends right here.
      let unseen =
        recipe != nil && samePage && options.contains(.unseen) && flagsAreReplaced(at: target)
      if unseen { hostFlagsValid = false } else { saveFlags() }
    }
    let edge = translator.edges.count
    a.rr(0x81, 8, reg: 5, rm: H.r11)
    let countAt = a.position
    a.word32(0)
    var budget = Stub(kind: .edgeBudget(edge))
    var stub = Stub(kind: .edge(edge))
    budget.memoryFlagsValid = memoryFlagsValid
    budget.recipe = recipe
    stub.memoryFlagsValid = memoryFlagsValid
    stub.recipe = recipe
    stubs.append(budget)
    a.jump(Condition.s, &stubs[stubs.count - 1].label)
    a.byte(0xE9)
    let bodyAt = a.position
    a.word32(0)
    stubs.append(stub)
    translator.edges.append(
      Edge(
        countAt: countAt, bodyAt: bodyAt, exitAt: 0, stub: 0, owner: number, targetEIP: target))
  }

  /// The block goes on at an EIP known now, in whatever context is present then. Flags are in memory.
  /// - Parameter base: that of CS by then, where it is not the present one.
  func emitPlaceEdge(_ target: UInt32, base: UInt32? = nil) {
    let place = translator.places.make()
    let edge = translator.edges.count
    translator.edges.append(
      Edge(
        countAt: 0, bodyAt: 0, exitAt: 0, stub: 0, place: place, owner: number, targetEIP: target))
    a.move(H.r8, immediate: (base ?? context.base) &+ target)
    a.move64(H.r9, immediate: translator.places.address(place))
    a.rm(0x0B, 8, reg: H.r8, StateOperand.codeTag)
    a.rm(0x3B, 8, reg: H.r8, MemoryOperand(base: H.r9))
    stubs.append(Stub(kind: .place(edge)))
    a.jump(Condition.nz, &stubs[stubs.count - 1].label)
    a.rm(0xFF, 4, reg: 4, MemoryOperand(base: H.r9, displacement: 8))
  }

  /// Whether the code at an EIP in this block's page replaces all flags before anything can see them.
  private func flagsAreReplaced(at eip: UInt32) -> Bool {
    var seen = FlagInformation.all
    return cpu.scanCode(block, at: (context.base &+ eip) & 0xFFF) { [flagInfo] i in
      let effect = flagInfo(i)
      if effect.reads & seen != 0 || mayExit(i) { return false }
      seen &= ~effect.replaces
      if seen == 0 { return true }
      return i.flags & InstructionFlags.endsBlock != 0 ? false : nil
    }
  }

  /// Goes on at the EIP in R8D. Flags are in memory.
  func emitLookup() {
    if context.base != 0 {
      a.arithmetic(0, H.r8, immediate: Int32(bitPattern: context.base))
    }
    guard options.contains(.lookup) else {
      a.jump(toOffset: translator.noCodeAt)
      return
    }
    emitLookaside(H.r9)
    a.rm(0x0B, 8, reg: H.r8, StateOperand.codeTag)
    a.rm(0x3B, 8, reg: H.r8, MemoryOperand(base: H.r9))
    a.jump(Condition.nz, toOffset: translator.noCodeAt)
    a.rm(0xFF, 4, reg: 4, MemoryOperand(base: H.r9, displacement: 16))
  }

  /// The lookaside entry for the linear address in R8D.
  func emitLookaside(_ register: Int) {
    a.move(register, H.r8)
    a.rr(0xC1, 4, reg: 5, rm: register)
    a.byte(12)
    a.rr(0x31, 4, reg: H.r8, rm: register)
    a.arithmetic(4, register, immediate: Int32(BlockCache.lookasideSize - 1))
    a.rr(0xC1, 4, reg: 4, rm: register)
    a.byte(5)
    a.rm(0x03, 8, reg: register, StateOperand.lookaside)
  }

  // MARK: - Returns

  /// The entry for a call that has ESP in R12 (behind the push, before the return). Leaves the flags.
  func expectedReturn(_ register: Int) -> MemoryOperand {
    a.rorx(register, H.r12, 2)
    a.rr(0x0FB7, 4, reg: register, rm: register)
    return MemoryOperand(
      base: H.r15, index: register, scale: 2, displacement: Int32(CPU.returnsOffset))
  }

  /// Behind the push of a call: the return will find the code place of this one. Uses R8.
  func expectReturn() {
    guard options.contains(.returns) else { return }
    let place = translator.places.make()
    a.store(expectedReturn(H.r8), immediate: UInt32(place * 16))
  }

  /// Goes on at the EIP in R10D, to which a near return leads. ESP is what it was before the return. Flags are in memory.
  private func emitReturn(_ size: Int) {
    guard options.contains(.returns) && options.contains(.lookup) else {
      moveStack(size)
      a.move(H.r8, H.r10)
      emitLookup()
      return
    }
    a.load(H.r9, expectedReturn(H.r9))
    moveStack(size)
    a.move(H.r8, H.r10)
    if context.base != 0 {
      a.arithmetic(0, H.r8, immediate: Int32(bitPattern: context.base))
    }
    a.rm(0x03, 8, reg: H.r9, StateOperand.places)
    a.rm(0x0B, 8, reg: H.r8, StateOperand.codeTag)
    a.rm(0x3B, 8, reg: H.r8, MemoryOperand(base: H.r9))
    a.jump(Condition.nz, toOffset: translator.returnMissAt)
    a.rm(0xFF, 4, reg: 4, MemoryOperand(base: H.r9, displacement: 8))
  }

  /// The EIP in `register` lies in the code segment, or the instruction is interpreted.
  private func checkTarget(_ register: Int, _ slow: Int) {
    guard context.limit != 0xFFFF_FFFF else { return }
    if context.limit == 0xFFFF {
      // What comes here has been cut to 16 bits where it had to be.
      a.arithmetic(7, register, immediate: 0xFFFF)
    } else {
      a.arithmetic(7, register, immediate: Int32(bitPattern: context.limit))
    }
    a.jump(Condition.a, &stubs[slow].label)
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
      useHostFlags(for: Int(i.opcode & 15))
      var taken = Label()
      a.jump(Int(i.opcode & 15), &taken)
      emitEdge(next, isLast: true)
      a.bind(&taken)
      emitEdge(target, isLast: true)
      return true
    case .jmpRel:
      let target = relativeTarget(i)
      guard target <= context.limit else { return emitInterpreted() }
      emitEdge(target, isLast: true)
      return true
    case .loop: return emitLoop(i, next, decrements: true)
    case .loopz: return emitLoop(i, next, decrements: true, leavesIf: Condition.nz)
    case .loopnz: return emitLoop(i, next, decrements: true, leavesIf: Condition.z)
    case .jcxz: return emitLoop(i, next, decrements: false)
    case .call16, .call32:
      let target = relativeTarget(i)
      guard target <= context.limit else { return emitInterpreted() }
      let size = i.handler == .call32 ? 4 : 2
      willWrite(1 << 4)
      let place = emitPush(size)
      a.store(place, immediate: size == 4 ? next : next & 0xFFFF, size)
      finishPush(size)
      expectReturn()
      emitEdge(target, isLast: true)
      return true
    case .ret16, .ret32:
      let size = i.handler == .ret32 ? 4 : 2
      willWrite(1 << 4)
      saveFlags()
      let place = emitPop(size)
      let slow = interpretStub()
      if size == 4 { a.load(H.r10, place) } else { a.rm(0x0FB7, 4, reg: H.r10, place) }
      checkTarget(H.r10, slow)
      emitReturn(size + Int(i.imm & 0xFFFF))
      return true
    case .jmp16E, .jmp32E:
      let size = i.handler == .jmp32E ? 4 : 2
      saveFlags()
      loadTarget(i, size)
      let slow = interpretStub()
      checkTarget(H.r10, slow)
      a.move(H.r8, H.r10)
      emitLookup()
      return true
    case .call16E, .call32E:
      let size = i.handler == .call32E ? 4 : 2
      willWrite(1 << 4)
      saveFlags()
      loadTarget(i, size)
      let slow = interpretStub()
      checkTarget(H.r10, slow)
      let place = emitPush(size)
      a.store(place, immediate: size == 4 ? next : next & 0xFFFF, size)
      finishPush(size)
      expectReturn()
      a.move(H.r8, H.r10)
      emitLookup()
      return true
    default: return emitInterpreted()
    }
  }

  /// The target of an indirect transfer in R10D.
  private func loadTarget(_ i: Instruction, _ size: Int) {
    if i.hasMemory {
      let m = emitAddress(i, size, write: false)
      if size == 4 { a.load(H.r10, m) } else { a.rm(0x0FB7, 4, reg: H.r10, m) }
    } else if size == 4 {
      a.move(H.r10, host(i.rm))
    } else {
      a.rr(0x0FB7, 4, reg: H.r10, rm: host(i.rm))
    }
    clobberFlags()
  }

  /// LOOP, LOOPZ, LOOPNZ and JCXZ, which leave the flags: JRCXZ is the test.
  /// - Parameter leavesIf: a condition under which the loop ends as well.
  private func emitLoop(
    _ i: Instruction, _ next: UInt32, decrements: Bool, leavesIf condition: Int? = nil
  ) -> Bool {
    let target = relativeTarget(i)
    guard target <= context.limit else { return emitInterpreted() }
    if let condition { useHostFlags(for: condition) }
    if decrements { willWrite(1 << 1) }
    var leaves = Label()
    var count = H.rcx
    if i.isAddress32 {
      if decrements { a.lea(H.rcx, MemoryOperand(base: H.rcx, displacement: -1)) }
    } else {
      if decrements {
        a.lea(H.r8, MemoryOperand(base: H.rcx, displacement: -1))
        a.move(H.rcx, H.r8, 2)
      }
    }
    if let condition { a.jump(condition, &leaves) }
    if !i.isAddress32 {
      // The test looks at all of RCX.
      a.move(H.r8, H.rcx)
      a.rr(0x0FB7, 4, reg: H.rcx, rm: H.rcx)
      count = H.r8
    }
    // JRCXZ reaches only a byte far.
    a.byte(0xE3)
    let near = a.position
    a.byte(0)
    if count != H.rcx { a.move(H.rcx, H.r8) }
    var other = Label()
    a.jump(&other)
    a.buffer[near] = UInt8(a.position - (near + 1))
    if count != H.rcx { a.move(H.rcx, H.r8) }
    if condition != nil { a.bind(&leaves) }
    emitEdge(decrements ? next : target, isLast: true)
    a.bind(&other)
    emitEdge(decrements ? target : next, isLast: true)
    return true
  }
}
