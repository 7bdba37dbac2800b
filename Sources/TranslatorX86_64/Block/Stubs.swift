// The paths of a block that are seldom taken, emitted behind it.
//
// Owns: what leads to each and what it does. Must not know: which instruction it is for.
//
// An instruction without host code, and any memory access for which no table entry can be made, is handed to the interpreter whole, before
// it has changed anything; so faults, devices, self-modification and counting have one implementation. The short paths tried before it
// (CPU/QuickTransfers.swift, CPU/QuickDevices.swift) have done nothing either where they give up.

import Assembler
import CPU
import Translator

/// A path seldom taken, emitted behind the block.
struct Stub {
  enum Kind {
    /// Have the instruction interpreted and go on behind it.
    case interpret
    /// See whether an access that is not aligned crosses a page.
    case crossing(MemoryOperand, Int)
    /// A write whose entry is not positive: linear address, size.
    case codeWrite(HostRegister, Int)
    /// An access without an entry: linear address, size of what is read, or 0 for a write.
    case fill(HostRegister, Int)
    /// An exit not joined yet, or one the budget does not reach over.
    case exit(Int)
    case exitBudget(Int)
    /// The budget does not reach over another round of the block's loop.
    case loop
    /// A code place that does not fit.
    case place(Int)
    /// Load a unit of the host; where that cannot be, interpret the rest of the block.
    case loadUnit(UInt8)
    /// Leave behind the instruction, which has raised an unmasked x87 exception.
    case fpuError
  }
  var kind: Kind
  var label = Label()
  /// Where the main path goes on.
  var resume = 0
  var index = 0
  var memoryFlagsValid = false
  var recipe: FlagRecipe?
  /// The main path goes on with flags in the host's.
  var hostFlagsAfter = false
  /// At the jump, or at the access that faults, the host's flags are the guest's.
  var hostFlagsValid = false
  var garbage = FlagGarbage.none
  /// Reached by a fault of a window access.
  var isWindowFault = false
  /// Pointers of the last x87 instruction not stored yet.
  var pointers: FPUPointers?
  /// Units that the main path goes on with: `HostUnits` bits.
  var unitsAfter: UInt8 = 0
  /// A `codeWrite` may make the entry.
  var fills = false
  /// The stub this one leads to when it finds the worst, or -1.
  var slow = -1
}

extension BlockCompiler {
  /// A stub that hands the present instruction to the interpreter; its label is jumped to while nothing has changed.
  func interpretStub() -> Int {
    var stub = Stub(kind: .interpret)
    stub.index = k
    stub.memoryFlagsValid = memoryFlagsValid
    stub.recipe = recipe
    stub.hostFlagsValid = hostFlagsValid
    stub.garbage = garbage
    stub.pointers = pointers
    stubs.append(stub)
    return stubs.count - 1
  }

  func emitStubs() {
    var n = 0
    while n < stubs.count {
      a.bind(&stubs[n].label)
      let stub = stubs[n]
      switch stub.kind {
      case .interpret:
        keepFlags(stub)
        if stub.isWindowFault {
          a.mov64(.r8, CodeFault(window: number, stub.index).rawValue)
          a.mov(StateOperand.windowFault, .r8, .quad)
        }
        if let pointers = stub.pointers { emitPointers(pointers) }
        interpret(stub.index, callsBack: true, windowFault: stub.isWindowFault)
        if records[stub.index].flags & InstructionFlags.endsBlock == 0 {
          reloadUnits(stub)
          if stub.hostFlagsAfter { restoreFlags(scratch: .r10) }
          a.jmp(toOffset: stub.resume)
        }
      case .crossing(let linear, let size):
        a.lea(.r9, linear)
        a.and(.r9, 0xFFF)
        a.cmp(.r9, Int32(0x1000 - size))
        a.j(.a, &stubs[stub.slow].label)
        a.jmp(toOffset: stub.resume)
      case .codeWrite(let linear, let size):
        a.mov(.r8, linear)
        a.call(toOffset: backend.codeWriteAt[size]!)
        a.test(.r9, .r9, .quad)
        if stub.fills {
          var right = Label()
          a.j(.ne, &right)
          emitFill(linear, 0, stub)
          a.bind(&right)
        } else {
          a.j(.e, &stubs[stub.slow].label)
        }
        a.jmp(toOffset: stub.resume)
      case .fill(let linear, let size):
        emitFill(linear, size, stub)
        a.jmp(toOffset: stub.resume)
      case .exit(let exit):
        translator.setStub(of: exit, a.position)
        a.patch(PatchSite(offset: translator.sites(of: exit).jump), toOffset: a.position)
        keepFlags(stub)
        leaveToLink(exit)
      case .place(let exit): leaveToLink(exit)
      case .loadUnit(let unit): emitLoadUnit(stub, unit)
      case .fpuError: emitError(stub)
      case .exitBudget(let exit):
        keepFlags(stub)
        translator.setBudgetJump(of: exit, a.jmpLater().offset)
      case .loop:
        keepFlags(stub)
        emitEnd()
      }
      n += 1
    }
  }

  /// The budget does not reach over the block, at whose beginning everything is: leaves translated code.
  func emitEnd() {
    a.add(.r11, Int32(count), .quad)
    a.mov(StateOperand.eip, blockEIP)
    a.mov(.r8, UInt32(CodeExit.plain))
    a.jmp(toOffset: backend.leaveAt)
  }

  /// Leaves translated code and asks for an exit to be joined to its target.
  private func leaveToLink(_ exit: Int) {
    a.mov(StateOperand.eip, translator.targetEIP(of: exit))
    a.mov(.r8, UInt32(CodeExit.link + exit))
    a.jmp(toOffset: backend.leaveAt)
  }

  /// In a stub: R9 becomes the entry for a linear address, or the stub leads on to the slow path.
  private func emitFill(_ linear: HostRegister, _ size: Int, _ stub: Stub) {
    a.mov(.r8, linear)
    if size != 0 { a.mov(.r9, UInt32(size)) }
    a.call(toOffset: size == 0 ? backend.fillWriteAt : backend.fillReadAt)
    a.test(.r9, .r9, .quad)
    a.j(.le, &stubs[stub.slow].label)
  }

  /// Has an instruction interpreted. `callsBack`: it may return to go on.
  func interpret(_ index: Int, callsBack: Bool, windowFault: Bool = false) {
    let i = records[index]
    a.mov(.r8, address: UInt64(UInt(bitPattern: records + index)), "record \(index)")
    a.mov(.r9, UInt32(count - index))
    a.mov(.r10, blockEIP)
    let usesUnits = i.handler == .fpu || i.handler == .simd
    let thunks = backend.thunks
    if callsBack && i.flags & InstructionFlags.endsBlock == 0 {
      if i.handler.isMove && options.contains(.devices) && !windowFault {
        a.call(toOffset: backend.moveDeviceAt)
      } else {
        a.call(toOffset: usesUnits ? thunks.interpretUnit : backend.interpretAt)
      }
    } else if i.isFarTransfer && options.contains(.transfers) && !windowFault {
      a.jmp(toOffset: backend.transferAt)
    } else {
      a.jmp(toOffset: usesUnits ? thunks.interpretUnitEnd : backend.interpretEndAt)
    }
  }

  /// The present instruction has no host code.
  /// - Returns: whether it ends the block.
  func emitInterpreted() -> Bool {
    saveFlags()
    hostFlagsValid = false
    let ends = records[k].flags & InstructionFlags.endsBlock != 0
    storePointers()
    interpret(k, callsBack: true)
    units = 0
    memoryFlagsValid = true
    recipe = nil
    garbage = .none
    return ends
  }
}
