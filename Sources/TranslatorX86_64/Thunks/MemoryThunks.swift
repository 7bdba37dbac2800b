// The fixed code behind accesses that the tables do not answer.
//
// Owns: making a table entry, and telling whether bytes beside code may be written. Must not know: the access that asks.

import Assembler
import CPU

extension X86Backend {
  /// An access to the linear address in R8D, for a read of the size in R9D, found no entry: R9 becomes the entry made now, or 0 where
  /// the instruction has to be interpreted. Keeps everything else but the flags.
  func emitFillThunk(write: Bool) -> Int {
    let at = a.position
    var refused = Label()
    a.mov(StateOperand.savedR10, .r10, .quad)
    a.mov(StateOperand.savedR8, .r8, .quad)
    // Swift does not keep the host's SSE registers.
    a.test(StateOperand.hostUnits, UInt32(HostUnits.sse), .byte)
    a.j(.ne, &refused)
    if write {
      a.mov(.r9, .r8)
      a.shr(.r9, 12)
      a.mov(.r10, StateOperand.pageNotes, .quad)
      a.test(MemoryOperand(base: .r10, index: .r9), UInt32(CPU.deviceNote), .byte)
      a.j(.ne, &refused)
    }
    storeRegisters()
    a.sub(.rsp, 8, .quad)
    a.mov(.rdi, StateOperand.context, .quad)
    a.mov(.rsi, .r8)
    if write { a.xor(.rdx, .rdx) } else { a.mov(.rdx, .r9) }
    a.call(StateOperand.fillEntry)
    a.add(.rsp, 8, .quad)
    a.mov(.r9, .rax, .quad)
    loadRegisters()
    var done = Label()
    a.jmp(&done)
    a.bind(&refused)
    a.xor(.r9, .r9)
    a.bind(&done)
    a.mov(.r8, StateOperand.savedR8, .quad)
    a.mov(.r10, StateOperand.savedR10, .quad)
    a.ret()
    return at
  }

  /// A write whose entry in the table (R9) is not positive, to the linear address in R8D: R9 becomes what a positive entry would be when
  /// the page has code, but not in the 64 bytes written to, otherwise 0. Keeps everything else but the flags.
  func emitCodeWriteThunk(_ size: Int) {
    var refused = Label()
    a.test(.r9, .r9, .quad)
    a.j(.e, &refused)
    a.cmp(StateOperand.tracksWrites, 0, .byte)
    a.j(.ne, &refused)
    a.mov(StateOperand.savedR10, .r10, .quad)
    a.mov(StateOperand.savedR8, .r8, .quad)
    var busy = Label()
    if size > 1 {
      a.lea(.r10, MemoryOperand(base: .r8, displacement: Int32(size - 1)))
      a.xor(.r10, .r8)
      a.and(.r10, ~63)
      a.j(.ne, &busy)
    }
    // The mark goes.
    a.bit(.btr, .r9, 63, .quad)
    a.mov64(.r10, 0 &- UInt64(UInt(bitPattern: cpu.memory.ram)))
    a.add(.r10, .r9, .quad)
    a.add(.r10, .r8, .quad)
    a.shr(.r10, 12, .quad)
    // Plain memory of a device, which was not written yet.
    a.cmp(.r10, Int32(cpu.memory.pageCount), .quad)
    a.j(.ae, &busy)
    a.shr(.r8, 6)
    // BT looks at the low six bits of R8.
    a.mov(StateOperand.scratch, .r9, .quad)
    a.mov64(.r9, UInt64(UInt(bitPattern: cpu.memory.codeGranules)))
    a.mov(.r9, MemoryOperand(base: .r9, index: .r10, scale: 3), .quad)
    a.bit(.bt, .r9, .r8, .quad)
    a.j(.b, &busy)
    a.mov(.r9, StateOperand.scratch, .quad)
    a.mov(.r8, StateOperand.savedR8, .quad)
    a.mov(.r10, StateOperand.savedR10, .quad)
    a.ret()
    a.bind(&busy)
    a.mov(.r8, StateOperand.savedR8, .quad)
    a.mov(.r10, StateOperand.savedR10, .quad)
    a.bind(&refused)
    a.xor(.r9, .r9)
    a.ret()
  }
}
