// The back end for x86-64 hosts.
//
// Owns: the code buffer, the offsets of the fixed code in it, and what the translator asks of a back end. Must not know: which blocks are
// translated and when.
// Where is what: Thunks has the fixed code; Block what all instructions share (flags, memory, stubs); Integer, Control and Units what
// single instructions become, Units the loading of the host's x87 and SSE too; StateOperand the places in the processor's state; Support
// whether this host can do it. Encodings are Assembler's.
// Follows: Sources/apus/Documentation.docc/Inside/TheTranslator.md; System V AMD64 ABI.
//
// Registers in translated code: EAX ECX EDX EBX EBP ESI EDI in the registers of the same number, upper halves zero; ESP in R12;
// R15 CPUState; R14, R13 read and write table; R11 instructions left; R8 to R10 scratch.

import Assembler
import CPU
import Host
import Translator

/// Makes x86-64 code.
final class X86Backend: TranslatorBackend {
  static let bufferSize = 64 << 20
  /// The most a block's code can take.
  private static let reserve = 256 << 10
  unowned(unsafe) let cpu: CPU
  let memory: CodeMemory
  let a: Assembler
  let faults: CodeFaults
  private(set) var compiler: BlockCompiler!
  /// Owns this object.
  unowned(unsafe) var translator: Translator! {
    didSet { compiler.translator = translator }
  }
  /// Where blocks begin in the buffer.
  private var firstFree = 0

  // Offsets of the fixed code; see Thunks.
  var enterAt = 0
  var leaveAt = 0
  var leaveStoredAt = 0
  var noCodeAt = 0
  var interpretAt = 0
  var interpretEndAt = 0
  var enterWindowAt = 0
  var lookupAt = 0
  /// As `interpretAt` or `interpretEndAt`, with short paths tried first.
  var transferAt = 0
  var portAt = 0
  var moveDeviceAt = 0
  var loadSegmentAt = 0
  /// By size of the access: whether bytes of a page with code may be written; see `emitCodeWriteThunk`.
  var codeWriteAt: [Int: Int] = [:]
  var returnMissAt = 0
  /// Make a table entry; see `emitFillThunk`.
  var fillReadAt = 0
  var fillWriteAt = 0
  /// The context has changed: makes `codeTag` anew. Called; keeps the guest's registers.
  var updateContextAt = 0
  var thunks = UnitThunks()

  /// A translator with this back end, given to the processor.
  static func makeTranslator(
    for cpu: CPU, options: TranslatorOptions
  ) throws(HostError) -> Translator {
    let options = cpu.softwareFPU ? options.subtracting(.x87) : options
    return try Translator(cpu, X86Backend(cpu, options), options: options)
  }

  private init(_ cpu: CPU, _ options: TranslatorOptions) throws(HostError) {
    self.cpu = cpu
    memory = try CodeMemory(count: X86Backend.bufferSize)
    faults = try CodeFaults(memory)
    a = Assembler(buffer: memory.writable, capacity: X86Backend.bufferSize)
    compiler = BlockCompiler(cpu: cpu, backend: self, options: options)
    emitThunks()
    firstFree = a.position
  }

  // MARK: - TranslatorBackend

  var entries: CodeEntries {
    typealias EnterWindow = @convention(c) (UnsafeMutableRawPointer) -> Void
    return CodeEntries(
      enter: unsafeBitCast(address(of: enterAt), to: EnterCode.self),
      noCode: address(of: noCodeAt),
      enterWindow: unsafeBitCast(address(of: enterWindowAt), to: EnterWindow.self))
  }

  var hasRoom: Bool { a.position + X86Backend.reserve <= a.capacity }

  func compile(
    _ block: BlockPointer, eip: UInt32, in context: CodeContext, number: Int,
    mark: ((Int) -> Void)?
  ) -> BlockCode? {
    // A block begins with a line of the host's cache: how quick a short loop is would depend on what was translated before it otherwise.
    a.align(to: 64)
    return compiler.compile(block, eip: eip, in: context, number: number, mark: mark)
  }

  func join(_ sites: ExitSites, to code: BlockCode) {
    a.patch(PatchSite(offset: sites.count), immediate: code.count)
    a.patch(PatchSite(offset: sites.jump), toOffset: code.body)
    a.patch(PatchSite(offset: sites.budgetJump), toOffset: code.exit)
  }

  func part(_ sites: ExitSites) {
    a.patch(PatchSite(offset: sites.count), immediate: 0)
    a.patch(PatchSite(offset: sites.jump), toOffset: sites.stub)
  }

  func redirect(_ code: BlockCode, toLookupOf linear: LinearAddress) {
    let saved = a.position
    a.position = code.entry
    a.mov(.r8, linear.low)
    a.jmp(toOffset: lookupAt)
    a.position = saved
  }

  func reset() {
    a.position = firstFree
    faults.removeAll()
  }

  func address(of offset: Int) -> UnsafeRawPointer { memory.executable + offset }

  func bytes(_ range: Range<Int>) -> [UInt8] {
    Array(UnsafeBufferPointer(start: a.buffer + range.lowerBound, count: range.count))
  }
}
