// What is known of the host's x87 and SSE units while a block is emitted.
//
// Owns: the check before a block's first use of a unit, reloading behind interpreted instructions, and the pointers to the last x87
// instruction, which are stored only where something could look at them.
// Must not know: single instructions.
// Follows: Intel SDM volume 1, section 8.1.8 (last instruction and data pointers).

import Assembler
import CPU
import Translator

/// What FIP, FOP, FCS, FDP and FDS are to become.
struct FPUPointers {
  var eip: UInt32
  var opcode: UInt16
  /// The last instruction with a memory operand, whose address registers have not changed since.
  var operand: Instruction?
}

extension BlockCompiler {
  /// A unit is loaded after this. Destroys R8 to R10 and the host's flags the first time in a block.
  func useUnit(_ unit: UInt8) {
    if units & unit != 0 { return }
    clobberFlags()
    var stub = Stub(kind: .loadUnit(unit))
    stub.index = k
    stub.memoryFlagsValid = memoryFlagsValid
    stub.recipe = recipe
    stub.pointers = pointers
    let loaded = unit == HostUnits.x87 && seesErrors ? HostUnits.x87Loaded : unit
    a.test(StateOperand.hostUnits, UInt32(loaded), .byte)
    stubs.append(stub)
    let n = stubs.count - 1
    a.j(.e, &stubs[n].label)
    stubs[n].resume = a.position
    units |= unit
  }

  private func load(_ unit: UInt8) {
    let thunks = backend.thunks
    if unit == HostUnits.sse {
      a.call(toOffset: thunks.loadSSE)
    } else {
      a.call(toOffset: seesErrors ? thunks.loadX87Any : thunks.loadX87)
    }
    a.cmp(.r8, 1)
  }

  /// The unit could not be loaded: where unmasked exceptions are the cause, the block is to be made again.
  private func noteFailure(_ index: Int) {
    if seesErrors { return }
    var other = Label()
    a.j(.b, &other)
    a.mov64(.r8, CodeFault(unit: number, index).rawValue)
    a.mov(StateOperand.windowFault, .r8, .quad)
    a.bind(&other)
  }

  func emitLoadUnit(_ stub: Stub, _ unit: UInt8) {
    load(unit)
    a.j(.e, toOffset: stub.resume)
    if unit == HostUnits.x87 { noteFailure(stub.index) }
    keepFlags(stub)
    if let pointers = stub.pointers { emitPointers(pointers) }
    interpretRest(from: stub.index)
  }

  private func interpretRest(from index: Int) {
    a.mov(.r8, address: UInt64(UInt(bitPattern: records + index)), "record \(index)")
    a.mov(.r9, UInt32(count - index))
    a.mov(.r10, blockEIP)
    a.jmp(toOffset: backend.thunks.interpretRest)
  }

  /// In a stub, behind an interpreted instruction: what the main path goes on with is loaded again.
  func reloadUnits(_ stub: Stub) {
    let i = records[stub.index]
    var lost = stub.unitsAfter & HostUnits.sse
    if i.handler == .fpu || i.handler == .simd { lost |= stub.unitsAfter & HostUnits.x87 }
    for unit in [HostUnits.x87, HostUnits.sse] where lost & unit != 0 {
      var loaded = Label()
      load(unit)
      a.j(.e, &loaded)
      if unit == HostUnits.x87 { noteFailure(stub.index) }
      if stub.index + 1 < count {
        interpretRest(from: stub.index + 1)
      } else {
        a.mov(StateOperand.eip, blockEIP &+ UInt32(i.nextOffset))
        a.mov(.r8, UInt32(CodeExit.plain))
        a.jmp(toOffset: backend.leaveAt)
      }
      a.bind(&loaded)
    }
  }

  // MARK: - Unmasked exceptions

  /// Where the block looks for exceptions: leaves behind the present instruction when it has raised an unmasked one.
  func lookForError() {
    guard seesErrors else { return }
    clobberFlags()
    a.fnstsw(StateOperand.unitScratch)
    a.test(StateOperand.unitScratch, 0x80, .byte)
    var stub = Stub(kind: .fpuError)
    stub.index = k
    stub.memoryFlagsValid = memoryFlagsValid
    stub.recipe = recipe
    stub.pointers = pointers
    stubs.append(stub)
    a.j(.ne, &stubs[stubs.count - 1].label)
  }

  func emitError(_ stub: Stub) {
    keepFlags(stub)
    if let pointers = stub.pointers { emitPointers(pointers) }
    let next = blockEIP &+ UInt32(records[stub.index].nextOffset)
    if stub.index + 1 < count {
      a.add(.r11, Int32(count - stub.index - 1), .quad)
    }
    a.mov(StateOperand.eip, next)
    a.mov(.r8, UInt32(CodeExit.fpuError))
    a.jmp(toOffset: backend.leaveAt)
  }

  // MARK: - Pointers

  /// The present instruction, which stands emitted, is one that the pointers tell of.
  func notePointers(_ i: Instruction) {
    pointers = FPUPointers(
      eip: blockEIP &+ UInt32(i.nextOffset) &- UInt32(i.length),
      opcode: i.imm2,
      operand: i.hasMemory ? i : pointers?.operand)
    lookForError()
  }

  /// Stores the pointers where they have not been. Uses R8, R9; leaves the flags.
  func storePointers() {
    guard let p = pointers else { return }
    emitPointers(p)
    pointers = nil
  }

  func emitPointers(_ p: FPUPointers) {
    a.mov(StateOperand.fpuIP, p.eip)
    a.mov(.r9, UInt32(p.opcode))
    a.mov(StateOperand.fpuOpcode, .r9, .word)
    a.movzx(.r9, StateOperand.selector(SegmentRegister.cs), .word)
    a.mov(StateOperand.fpuCS, .r9, .word)
    if let i = p.operand {
      a.mov(StateOperand.fpuDP, emitOffset(i))
      a.movzx(.r9, StateOperand.selector(Int(i.segment)), .word)
      a.mov(StateOperand.fpuDS, .r9, .word)
    }
  }
}
