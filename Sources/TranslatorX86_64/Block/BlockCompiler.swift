// One block from records to host code.
//
// Owns: the order of things: entry, instructions, exits, and behind them the paths seldom taken; and the choice between host code and
// the interpreter for each instruction. Must not know: how blocks are found, kept or dropped.

import Assembler
import CPU
import Translator

/// Turns decoded blocks into host code.
final class BlockCompiler {
  unowned(unsafe) let cpu: CPU
  let a: Assembler
  let options: TranslatorOptions
  unowned(unsafe) let backend: X86Backend
  unowned(unsafe) var translator: Translator!

  // The block at hand.
  var records = UnsafeMutablePointer<Instruction>(bitPattern: 8)!
  var count = 0
  var blockEIP: UInt32 = 0
  var linearStart: LinearAddress = 0
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

  // Where the arithmetic flags are; see BlockCompilerFlags.swift.
  var hostFlagsValid = false
  var memoryFlagsValid = true
  var recipe: FlagRecipe?
  var garbage = FlagGarbage.none
  /// The block's code for rounds that begin with flags made by a recipe.
  private var loop: (recipe: FlagRecipe, start: Int)?
  /// The most instructions of which there is such a second copy.
  private static let longestLoop = 32

  // What is known of the host's units; see BlockCompilerUnits.swift.
  var units: UInt8 = 0
  /// The block's code looks for unmasked x87 exceptions.
  var seesErrors = false
  var pointers: FPUPointers?

  init(cpu: CPU, backend: X86Backend, options: TranslatorOptions) {
    self.cpu = cpu
    self.options = options
    self.backend = backend
    a = backend.a
  }

  /// Emits code for a block.
  func compile(
    _ block: BlockPointer, eip: UInt32, in context: CodeContext, number: Int,
    mark: ((Int) -> Void)?
  ) -> BlockCode {
    self.block = block
    self.number = number
    records = block.pointee.records
    count = Int(block.pointee.count)
    blockEIP = eip
    self.context = context
    linearStart = context.linear(eip)
    windowed = context.has(.window) && options.contains(.window)
    a.windowSites.removeAll(keepingCapacity: true)
    stubs.removeAll(keepingCapacity: true)

    translator.flagInformation.analyse(
      records, count, into: &needed,
      mayExit: options.contains(.liveness) ? { [unowned(unsafe) self] in mayExit($0) } : nil)
    hostFlagsValid = false
    memoryFlagsValid = true
    recipe = nil
    garbage = .none
    loop = nil
    units = 0
    pointers = nil
    seesErrors = block.pointee.seesFPUErrors

    let entry = a.position
    // SUB and JL are one operation of the host's processor, SUB and JS are two.
    a.subWide(.r11, count, .quad)
    var exit = Label()
    a.j(.l, &exit)
    let body = a.position
    emitInstructions(mark: mark)
    mark?(a.position)
    a.bind(&exit)
    let exitAt = a.position
    emitEnd()
    emitStubs()
    for site in a.windowSites {
      backend.faults.add(site.offset, leadsTo: stubs[site.tag].label.offset)
    }
    return BlockCode(entry: entry, body: body, exit: exitAt, end: a.position, count: count)
  }

  /// All instructions of the block and the exit behind the last.
  private func emitInstructions(mark: ((Int) -> Void)?) {
    k = 0
    var ended = false
    while k < count {
      mark?(a.position)
      firstStubOfInstruction = stubs.count
      if records[k].handler != .fpu { storePointers() }
      ended = emit(records[k])
      for n in firstStubOfInstruction..<stubs.count where !isExit(stubs[n].kind) {
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
      emitExit(next)
    }
  }

  // MARK: - Loops

  /// The end of the block leads to its beginning with flags that `recipe` makes and something there may look at. Saving them in each round
  /// would cost more than many a loop does: the block's code follows once more, begun with the recipe in place of flags in memory.
  /// - Returns: whether the block goes on there.
  func emitLoop(_ recipe: FlagRecipe) -> Bool {
    guard options.contains(.loops), count <= BlockCompiler.longestLoop,
      !context.has(.paged) || block.pointee.secondPage == UInt32.max
    else { return false }
    if loop != nil {
      guard let start = loopStart(blockEIP) else { return false }
      a.jmp(toOffset: start)
      return true
    }
    let saved = (k, units, pointers)
    var start = Label()
    a.jmp(&start)
    // As blocks begin.
    a.align(to: 64)
    a.bind(&start)
    loop = (recipe, a.position)
    a.sub(.r11, Int32(count), .quad)
    var stub = Stub(kind: .loop)
    stub.recipe = recipe
    stubs.append(stub)
    a.j(.l, &stubs[stubs.count - 1].label)
    (hostFlagsValid, memoryFlagsValid, self.recipe, garbage) = (false, false, recipe, .none)
    units = 0
    pointers = nil
    emitInstructions(mark: nil)
    (k, units, pointers) = saved
    // What the copy has is done.
    firstStubOfInstruction = stubs.count
    return true
  }

  /// Where another round of the loop begins, when `target` is the block's beginning and the flags are what rounds begin with.
  func loopStart(_ target: UInt32) -> Int? {
    guard target == blockEIP, let loop, !memoryFlagsValid, recipe == loop.recipe else {
      return nil
    }
    return loop.start
  }

  private func isExit(_ kind: Stub.Kind) -> Bool {
    switch kind {
    case .exit, .exitBudget, .loop, .place: true
    default: false
    }
  }

  /// Whether one of some flags that the present instruction leaves is looked at.
  @inline(__always)
  func needs(_ flags: UInt16 = FlagInformation.all) -> Bool { needed[k] & flags != 0 }

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
