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
    mark?(a.position)
    a.bind(&exit)
    let exitAt = a.position
    a.add(.r11, Int32(count), .quad)
    a.mov(StateOperand.eip, blockEIP)
    a.mov(.r8, UInt32(CodeExit.plain))
    a.jmp(toOffset: backend.leaveAt)
    emitStubs()
    for site in a.windowSites {
      backend.faults.add(site.offset, leadsTo: stubs[site.tag].label.offset)
    }
    return BlockCode(entry: entry, body: body, exit: exitAt, end: a.position, count: count)
  }

  private func isExit(_ kind: Stub.Kind) -> Bool {
    switch kind {
    case .exit, .exitBudget, .place: true
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
