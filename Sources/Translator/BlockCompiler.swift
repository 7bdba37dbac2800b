// One block from records to host code.
//
// Owns: the order of things: entry, instructions, edges, and behind them the paths seldom taken; and the choice between host code and
// the interpreter for each instruction. Must not know: how blocks are found, kept or dropped.
//
// An instruction without host code, and any memory access for which no table entry can be made, is handed to the interpreter whole, before
// it has changed anything; so faults, devices, self-modification and counting have one implementation. The short paths tried before it
// (CPU/QuickTransfers.swift, CPU/QuickDevices.swift) have done nothing either where they give up.

import Assembler
import CPU

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
    /// An edge not joined yet, or one the budget does not reach over.
    case edge(Int)
    case edgeBudget(Int)
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

/// Turns decoded blocks into host code.
final class BlockCompiler {
  unowned(unsafe) let cpu: CPU
  let a: Assembler
  let flagInfo: FlagInformation
  let options: TranslatorOptions
  unowned(unsafe) var translator: Translator!

  // The block at hand.
  var records = UnsafeMutablePointer<Instruction>(bitPattern: 8)!
  var count = 0
  var blockEIP: UInt32 = 0
  var linearStart: UInt32 = 0
  var context = CodeContext()
  var number = 0
  var block: BlockPointer!
  /// The instruction at hand.
  var k = 0
  var stubs: [Stub] = []
  private var firstStubOfInstruction = 0
  /// Memory is reached through the window, except where that has faulted.
  var windowed = false
  /// Which of the flags that instruction n leaves something may look at.
  var needed = [UInt16](repeating: FlagInformation.all, count: BlockCache.maximumCount + 1)

  /// Told where the code of each instruction begins and where that of the last one ends.
  var mark: ((Int) -> Void)?

  // Where the arithmetic flags are; see BlockCompilerFlags.swift.
  var hostFlagsValid = false
  var memoryFlagsValid = true
  var recipe: FlagRecipe?
  var garbage = FlagGarbage.none

  // What is known of the host's units; see BlockCompilerUnits.swift.
  var units: UInt8 = 0
  /// The block's code looks for unmasked x87 exceptions.
  var seesErrors = false
  var pointers: FPUPointers?

  init(cpu: CPU, assembler: Assembler, flagInfo: FlagInformation, options: TranslatorOptions) {
    self.cpu = cpu
    self.options = options
    a = assembler
    self.flagInfo = flagInfo
  }

  /// Emits code for a block; nil when that is not worth it.
  func compile(_ block: BlockPointer, eip: UInt32, number: Int) -> CodeBlock? {
    self.block = block
    self.number = number
    records = block.pointee.records
    count = Int(block.pointee.count)
    blockEIP = eip
    context = cpu.codeContext
    linearStart = context.base &+ eip
    windowed = context.has(CodeContext.window) && options.contains(.window)
    a.windowSites.removeAll(keepingCapacity: true)
    stubs.removeAll(keepingCapacity: true)

    analyseFlags()
    hostFlagsValid = false
    memoryFlagsValid = true
    recipe = nil
    garbage = .none
    units = 0
    pointers = nil
    seesErrors = block.pointee.seesFPUErrors

    let entry = a.position
    a.subWide(.r11, count, .quad)
    var exit = Label()
    a.j(.s, &exit)
    let body = a.position
    k = 0
    var ended = false
    while k < count {
      mark?(a.position)
      firstStubOfInstruction = stubs.count
      if records[k].handler != .fpu { storePointers() }
      ended = emit(records[k])
      for n in firstStubOfInstruction..<stubs.count where !isEdge(stubs[n].kind) {
        if case .interpret = stubs[n].kind {
          stubs[n].resume = a.position
          stubs[n].hostFlagsAfter = hostFlagsValid
          stubs[n].unitsAfter = units
        }
      }
      k += 1
      if ended { break }
    }
    if !ended {
      k = count - 1
      storePointers()
      let next = blockEIP &+ UInt32(records[count - 1].nextOffset)
      emitEdge(next, isLast: true)
    }
    mark?(a.position)
    a.bind(&exit)
    let exitAt = a.position
    a.add(.r11, Int32(count), .quad)
    a.mov(StateOperand.eip, blockEIP)
    a.mov(.r8, UInt32(CodeExit.plain))
    a.jmp(toOffset: translator.leaveAt)
    emitStubs()
    for site in a.windowSites {
      translator.faults.add(site.offset, leadsTo: stubs[site.tag].label.offset)
    }
    return CodeBlock(
      entry: entry, body: body, exit: exitAt, count: count,
      context: cpu.contextNumber, eip: eip, linear: linearStart, block: block, edges: 0..<0)
  }

  private func isEdge(_ kind: Stub.Kind) -> Bool {
    switch kind {
    case .edge, .edgeBudget, .place: true
    default: false
    }
  }

  /// Which flags are looked at later, from the end backwards.
  private func analyseFlags() {
    var need = FlagInformation.all
    for n in stride(from: count - 1, through: 0, by: -1) {
      needed[n] = need
      let i = records[n]
      let effect = flagInfo(i)
      if mayExit(i) || !options.contains(.liveness) {
        need = FlagInformation.all
      } else {
        need = need & ~effect.replaces | effect.reads
      }
    }
  }

  /// Whether one of some flags that the present instruction leaves is looked at.
  @inline(__always)
  func needs(_ flags: UInt16 = FlagInformation.all) -> Bool { needed[k] & flags != 0 }

  // MARK: - Stubs

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

  private func emitStubs() {
    var n = 0
    while n < stubs.count {
      a.bind(&stubs[n].label)
      let stub = stubs[n]
      switch stub.kind {
      case .interpret:
        keepFlags(stub)
        if stub.isWindowFault {
          a.mov64(.r8, UInt64(1) << 40 | UInt64(number) << 8 | UInt64(stub.index))
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
        a.call(toOffset: translator.codeWriteAt[size]!)
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
      case .edge(let edge):
        translator.edges[edge].stub = a.position
        a.patch(translator.edges[edge].bodyAt, toOffset: a.position)
        keepFlags(stub)
        a.mov(StateOperand.eip, translator.edges[edge].targetEIP)
        a.mov(.r8, UInt32(CodeExit.link + edge))
        a.jmp(toOffset: translator.leaveAt)
      case .place(let edge):
        a.mov(StateOperand.eip, translator.edges[edge].targetEIP)
        a.mov(.r8, UInt32(CodeExit.link + edge))
        a.jmp(toOffset: translator.leaveAt)
      case .loadUnit(let unit): emitLoadUnit(stub, unit)
      case .fpuError: emitError(stub)
      case .edgeBudget(let edge):
        keepFlags(stub)
        translator.edges[edge].exitAt = a.jmpLater()
      }
      n += 1
    }
  }

  /// In a stub: R9 becomes the entry for a linear address, or the stub leads on to the slow path.
  private func emitFill(_ linear: HostRegister, _ size: Int, _ stub: Stub) {
    a.mov(.r8, linear)
    if size != 0 { a.mov(.r9, UInt32(size)) }
    a.call(toOffset: size == 0 ? translator.fillWriteAt : translator.fillReadAt)
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
    let thunks = translator.thunks
    if callsBack && i.flags & InstructionFlags.endsBlock == 0 {
      if i.handler.isMove && options.contains(.devices) && !windowFault {
        a.call(toOffset: translator.moveDeviceAt)
      } else {
        a.call(toOffset: usesUnits ? thunks.interpretUnit : translator.interpretAt)
      }
    } else if i.isFarTransfer && options.contains(.transfers) && !windowFault {
      a.jmp(toOffset: translator.transferAt)
    } else {
      a.jmp(toOffset: usesUnits ? thunks.interpretUnitEnd : translator.interpretEndAt)
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

  // MARK: - Registers

  /// The host register of a 16 or 32-bit operand.
  @inline(__always) func host(_ offset: UInt8) -> HostRegister {
    let n = Int(offset >> 2)
    return n == 4 ? .r12 : HostRegister(n)
  }

  /// The host register of an operand of any width.
  @inline(__always) func host(_ offset: UInt8, _ width: Width) -> HostRegister {
    width == .byte && offset & 1 != 0 ? .highByte(Int(offset >> 2)) : host(offset)
  }

  /// The base and index of a memory operand.
  @inline(__always) func operand(_ i: Instruction) -> MemoryOperand {
    MemoryOperand(
      base: i.base == 32 ? nil : host(i.base), index: i.index == 32 ? nil : host(i.index),
      scale: Int(i.scale), displacement: Int32(bitPattern: i.disp))
  }

  /// Bit of the general register that an operand is part of.
  @inline(__always) func mask(_ offset: UInt8) -> UInt16 { 1 << UInt16(offset >> 2) }

  /// Emits what a value of AH, CH, DH or BH in R10B takes; other bytes stay where they are.
  func byteSource(_ register: HostRegister) -> HostRegister {
    guard register.isHighByte else { return register }
    a.rorx(.r10, register.whole, 8)
    return .r10
  }

  /// Runs `body` on the low byte register while AH, CH, DH or BH is exchanged with it.
  func withHighByte(_ register: HostRegister, _ body: (HostRegister) -> Void) {
    guard register.isHighByte else {
      body(register)
      return
    }
    a.xchg(register, register.whole, .byte)
    body(register.whole)
    a.xchg(register, register.whole, .byte)
  }
}
