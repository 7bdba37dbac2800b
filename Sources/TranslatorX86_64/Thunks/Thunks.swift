// The fixed code that all blocks share.
//
// Owns: entering and leaving translated code, looking a target up, having one instruction interpreted, making the context known.
// Must not know: single blocks. Memory's thunks are in MemoryThunks.swift, those of the units in Units.
// Follows: System V AMD64 ABI for entry, exit and the calls out.

import Assembler
import CPU
import Host
import Translator

extension X86Backend {
  func emitThunks() {
    enterWindowAt = a.position
    a.wrgsbase(.rdi)
    a.ret()

    emitUnitThunks()
    // Enter: RDI state, RSI code.
    enterAt = a.position
    let saved: [HostRegister] = [.rbx, .rbp, .r12, .r13, .r14, .r15]
    for r in saved { a.push(r) }
    a.sub(.rsp, 8, .quad)
    a.mov(.r15, .rdi, .quad)
    a.mov(.r8, .rsi, .quad)
    loadRegisters()
    jumpTo(.r8)

    // Leave with the value in R8D.
    leaveAt = a.position
    storeRegisters()
    leaveStoredAt = a.position
    emitStoreUnits(HostUnits.x87Loaded | HostUnits.sse)
    a.mov(.rax, .r8)
    a.add(.rsp, 8, .quad)
    for r in saved.reversed() { a.pop(r) }
    a.ret()

    // No code for the linear address in R8D.
    noCodeAt = a.position
    a.sub(.r8, StateOperand.segment(SegmentRegister.cs, StateOperand.segmentBase))
    a.mov(StateOperand.eip, .r8)
    a.mov(.r8, UInt32(CodeExit.plain))
    a.jmp(toOffset: leaveAt)

    // Go on at the linear address in R8D.
    lookupAt = a.position
    compiler.emitLookaside(.r9)
    a.or(.r8, StateOperand.codeTag, .quad)
    a.cmp(.r8, MemoryOperand(base: .r9), .quad)
    a.j(.ne, toOffset: noCodeAt)
    a.jmp(MemoryOperand(base: .r9, displacement: 16))

    // A return to the tag in R8 for which the code place at R9 does not fit.
    returnMissAt = a.position
    compiler.emitLookaside(.r10)
    a.cmp(.r8, MemoryOperand(base: .r10), .quad)
    a.j(.ne, toOffset: noCodeAt)
    a.mov(.r10, MemoryOperand(base: .r10, displacement: 16), .quad)
    var unknown = Label()
    a.cmp(.r10, StateOperand.noCode, .quad)
    a.j(.e, &unknown)
    // The first place serves all who expect nothing and stays empty.
    a.cmp(.r9, StateOperand.places, .quad)
    a.j(.e, &unknown)
    a.mov(MemoryOperand(base: .r9), .r8, .quad)
    a.mov(MemoryOperand(base: .r9, displacement: 8), .r10, .quad)
    a.bind(&unknown)
    jumpTo(.r10)

    // Interpret one instruction: R8 record, R9D instructions left, R10D EIP of the block. Called; returns to go on.
    interpretAt = emitInterpretThunk(StateOperand.interpretOne)
    portAt = emitInterpretThunk(StateOperand.port)
    moveDeviceAt = emitInterpretThunk(StateOperand.moveDevice)
    // The same for an instruction that ends its block: jumped to.
    interpretEndAt = emitInterpretEndThunk(StateOperand.interpretOne)
    transferAt = emitInterpretEndThunk(StateOperand.transfer)
    emitUnitInterpretThunks()
    loadSegmentAt = a.position
    compiler.emitLoadSegmentThunk()
    for size in [1, 2, 4, 8, 10, 16, 32] {
      codeWriteAt[size] = a.position
      emitCodeWriteThunk(size)
    }
    fillReadAt = emitFillThunk(write: false)
    fillWriteAt = emitFillThunk(write: true)
    updateContextAt = a.position
    a.sub(.rsp, 8, .quad)
    storeRegisters()
    a.mov(.rdi, StateOperand.context, .quad)
    emitStoreUnits(HostUnits.sse)
    a.call(StateOperand.updateContext)
    emitDropUnits()
    loadRegisters()
    a.add(.rsp, 8, .quad)
    a.ret()
  }

  /// RAX is 1 to leave, or code to go on with.
  func dispatchResult() {
    var goesOn = Label()
    a.cmp(.rax, 1, .quad)
    a.j(.ne, &goesOn)
    a.mov(.r8, UInt32(CodeExit.plain))
    a.jmp(toOffset: leaveStoredAt)
    a.bind(&goesOn)
    a.mov(.r8, .rax, .quad)
    loadRegisters()
    jumpTo(.r8)
  }

  func emitInterpretThunk(_ function: MemoryOperand) -> Int {
    let at = a.position
    a.sub(.rsp, 8, .quad)
    storeRegisters()
    callInterpreterStored(function)
    var leaves = Label()
    a.test(.rax, .rax, .quad)
    a.j(.ne, &leaves)
    loadRegisters()
    a.add(.rsp, 8, .quad)
    a.ret()
    a.bind(&leaves)
    a.add(.rsp, 16, .quad)
    dispatchResult()
    return at
  }

  func emitInterpretEndThunk(_ function: MemoryOperand) -> Int {
    let at = a.position
    storeRegisters()
    callInterpreterStored(function)
    dispatchResult()
    return at
  }

  /// R8 to R10 as for `interpretAt`.
  func callInterpreterStored(_ function: MemoryOperand = StateOperand.interpretOne) {
    a.mov(.rdi, StateOperand.context, .quad)
    a.mov(.rsi, .r8, .quad)
    a.mov(.rdx, .r9)
    a.mov(.rcx, .r10)
    emitStoreUnits(HostUnits.sse)
    a.call(function)
    emitDropUnits()
  }

  func jumpTo(_ register: HostRegister) { a.jmp(register) }

  func loadRegisters() {
    for n in 0..<8 { a.mov(n == 4 ? .r12 : HostRegister(n), StateOperand.gpr(n)) }
    a.mov(.r11, StateOperand.budget, .quad)
    a.mov(.r14, StateOperand.readTable, .quad)
    a.mov(.r13, StateOperand.writeTable, .quad)
  }

  func storeRegisters() {
    for n in 0..<8 { a.mov(StateOperand.gpr(n), n == 4 ? .r12 : HostRegister(n)) }
    a.mov(StateOperand.budget, .r11, .quad)
  }
}
