// The block-caching translator: guest x86 to x86-64.
//
// Owns: the code buffer, the fixed thunks in it (enter, leave, look a target up, interpret one instruction, load a segment register,
// make a table entry, look at a write beside code), links between blocks.
// Must not know: devices, what single instructions become (BlockCompiler*.swift).
// Follows: Sources/apus/Documentation.docc/Inside/TheTranslator.md; System V AMD64 ABI for the calls out.
//
// Registers in translated code: EAX ECX EDX EBX EBP ESI EDI in the registers of the same number, upper halves zero; ESP in R12;
// R15 CPUState; R14, R13 read and write table; R11 instructions left; R8 to R10 scratch.

import Assembler
import CPU
import Host

/// Offsets in `CPUState`, and operands made of them.
enum StateOperand {
  static func field(_ offset: Int?) -> MemoryOperand {
    MemoryOperand(base: Host64.r15, displacement: Int32(offset.unsafelyUnwrapped))
  }
  static func gpr(_ n: Int) -> MemoryOperand {
    MemoryOperand(base: Host64.r15, displacement: Int32(n * 4))
  }
  static func segment(_ n: Int, _ offset: Int?) -> MemoryOperand {
    MemoryOperand(base: Host64.r15, displacement: Int32(64 + n * 32 + offset.unsafelyUnwrapped))
  }
  static let eip = field(MemoryLayout<CPUState>.offset(of: \.eip))
  static let codeTag = field(MemoryLayout<CPUState>.offset(of: \.codeTag))
  static let budget = field(MemoryLayout<CPUState>.offset(of: \.budget))
  static let windowFault = field(MemoryLayout<CPUState>.offset(of: \.windowFault))
  static let eflags = field(MemoryLayout<CPUState>.offset(of: \.eflags))
  static let attention = field(MemoryLayout<CPUState>.offset(of: \.attention))
  static let scratch = field(MemoryLayout<CPUState>.offset(of: \.scratch))
  static let savedR10 = field(MemoryLayout<CPUState>.offset(of: \.scratchPair.0))
  static let savedR8 = field(MemoryLayout<CPUState>.offset(of: \.scratchPair.1))
  static let tracksWrites = field(MemoryLayout<CPUState>.offset(of: \.tracksWrites))
  static let rawFlags = field(MemoryLayout<CPUState>.offset(of: \.rawFlags))
  static let context = field(MemoryLayout<CPUState>.offset(of: \.context))
  static let noCode = field(MemoryLayout<CPUState>.offset(of: \.noCode))
  static let places = field(MemoryLayout<CPUState>.offset(of: \.places))
  static let lookaside = field(MemoryLayout<CPUState>.offset(of: \.lookaside))
  static let loadSegment = field(MemoryLayout<CPUState>.offset(of: \.loadSegment))
  static let runEnd = field(MemoryLayout<CPUState>.offset(of: \.runEnd))
  static let tscBase = field(MemoryLayout<CPUState>.offset(of: \.tscBase))
  static let tscBaseCount = field(MemoryLayout<CPUState>.offset(of: \.tscBaseCount))
  static let tscScale = field(MemoryLayout<CPUState>.offset(of: \.tscScale))
  static let interpretOne = field(MemoryLayout<CPUState>.offset(of: \.interpretOne))
  static let transfer = field(MemoryLayout<CPUState>.offset(of: \.transfer))
  static let port = field(MemoryLayout<CPUState>.offset(of: \.port))
  static let farSelector = field(MemoryLayout<CPUState>.offset(of: \.farSelector))
  static let farOffset = field(MemoryLayout<CPUState>.offset(of: \.farOffset))
  static let farContext = field(MemoryLayout<CPUState>.offset(of: \.farContext))
  static let hasEvents = field(MemoryLayout<CPUState>.offset(of: \.hasEvents))
  static let branchIndex = field(CPU.branchIndexOffset)
  static let updateContext = field(MemoryLayout<CPUState>.offset(of: \.updateContext))
  static let fillEntry = field(MemoryLayout<CPUState>.offset(of: \.fillEntry))
  static let moveDevice = field(MemoryLayout<CPUState>.offset(of: \.moveDevice))
  static let readTable = field(MemoryLayout<CPUState>.offset(of: \.readTable))
  static let writeTable = field(MemoryLayout<CPUState>.offset(of: \.writeTable))
  static let segmentSelector = MemoryLayout<SegmentCache>.offset(of: \.selector)
  static let segmentAttributes = MemoryLayout<SegmentCache>.offset(of: \.attributes)
  static let segmentLimit = MemoryLayout<SegmentCache>.offset(of: \.limit)
  static let segmentBase = MemoryLayout<SegmentCache>.offset(of: \.base)
  static let readLimit = MemoryLayout<SegmentCache>.offset(of: \.readLimit)
  static let writeLimit = MemoryLayout<SegmentCache>.offset(of: \.writeLimit)
}

/// An exit of a block that can be joined to another block.
struct Edge {
  /// Offsets of displacements and immediates: instructions of the target, its body, its exit for want of budget.
  var countAt: Int
  var bodyAt: Int
  var exitAt: Int
  /// Where `bodyAt` leads while not joined.
  var stub: Int
  /// For a transfer that cannot be a plain jump, its code place; otherwise 0.
  var place = 0
  /// The block it belongs to and the one it leads to, or -1.
  var owner: Int
  var target = -1
  var targetEIP: UInt32
}

/// Code of one block.
struct CodeBlock {
  var entry: Int
  var body: Int
  var exit: Int
  var count: Int
  var context: UInt64
  var eip: UInt32
  var linear: UInt32
  var block: BlockPointer
  var edges: Range<Int>
  var incoming: [Int] = []
}

/// Translates blocks and keeps their code.
public final class Translator: BlockTranslator {
  static let bufferSize = 64 << 20
  /// Owns this object.
  unowned(unsafe) let cpu: CPU
  let memory: CodeMemory
  let a: Assembler
  var edges: [Edge] = []
  var blocks: [CodeBlock] = []
  /// Where blocks begin in the buffer.
  private var firstFree = 0
  private(set) var enterAt = 0
  private(set) var leaveAt = 0
  private(set) var leaveStoredAt = 0
  private(set) var noCodeAt = 0
  private(set) var interpretAt = 0
  private(set) var interpretEndAt = 0
  private(set) var enterWindowAt = 0
  private(set) var lookupAt = 0
  /// As `interpretAt` or `interpretEndAt`, with short paths tried first.
  private(set) var transferAt = 0
  private(set) var portAt = 0
  private(set) var moveDeviceAt = 0
  private(set) var loadSegmentAt = 0
  /// By size of the access: whether bytes of a page with code may be written; see `emitCodeWriteThunk`.
  private(set) var codeWriteAt: [Int: Int] = [:]
  private(set) var returnMissAt = 0
  /// Make a table entry; see `emitFillThunk`.
  private(set) var fillReadAt = 0
  private(set) var fillWriteAt = 0
  /// The context has changed: makes `codeTag` anew. Called; keeps the guest's registers.
  private(set) var updateContextAt = 0
  let faults: CodeFaults
  let places: CodePlaces
  var thunks = UnitThunks()
  let flagInfo: FlagInformation
  let options: TranslatorOptions
  let compiler: BlockCompiler
  /// Hashed physical addresses of instructions that could not use the window. They need not fault again when their block is made anew;
  /// a wrong hit costs a table lookup.
  private var tableAddresses = [UInt64](repeating: 0, count: 1 << 10)

  /// Makes a translator and gives it to the processor.
  /// - Parameter options: what it may do.
  /// - Throws: `HostError` when the host forbids executable memory.
  public static func attach(to cpu: CPU, options: TranslatorOptions = .all) throws(HostError) {
    let translator = try Translator(cpu, options)
    let enter = unsafeBitCast(
      translator.memory.executable + translator.enterAt, to: EnterCode.self)
    typealias EnterWindow = @convention(c) (UnsafeMutableRawPointer) -> Void
    let enterWindow = unsafeBitCast(
      translator.memory.executable + translator.enterWindowAt, to: EnterWindow.self)
    cpu.attach(
      translator, enter: enter, noCode: translator.memory.executable + translator.noCodeAt,
      enterWindow: MemoryWindow.isSupported && options.contains(.window) ? enterWindow : nil)
  }

  init(_ cpu: CPU, _ options: TranslatorOptions = .all) throws(HostError) {
    self.cpu = cpu
    self.options = cpu.softwareFPU ? options.subtracting(.x87) : options
    memory = try CodeMemory(count: Translator.bufferSize)
    faults = try CodeFaults(memory)
    places = try CodePlaces()
    a = Assembler(buffer: memory.writable, capacity: Translator.bufferSize)
    flagInfo = FlagInformation()
    compiler = BlockCompiler(cpu: cpu, assembler: a, flagInfo: flagInfo, options: self.options)
    compiler.translator = self
    emitThunks()
    cpu.s.pointee.places = places.base
    firstFree = a.position
  }

  // MARK: - Thunks

  private func emitThunks() {
    // WRGSBASE RDI; RET
    enterWindowAt = a.position
    for byte in [0xF3, 0x48, 0x0F, 0xAE, 0xDF, 0xC3] { a.byte(byte) }

    emitUnitThunks()
    // Enter: RDI state, RSI code.
    enterAt = a.position
    for r in [Host64.rbx, Host64.rbp] { a.byte(0x50 | r) }
    for r in 12...15 {
      a.byte(0x41)
      a.byte(0x50 | r & 7)
    }
    a.arithmetic(5, Host64.rsp, immediate: 8, 8)
    a.move(Host64.r15, Host64.rdi, 8)
    a.move(Host64.r8, Host64.rsi, 8)
    loadRegisters()
    jumpTo(Host64.r8)

    // Leave with the value in R8D.
    leaveAt = a.position
    storeRegisters()
    leaveStoredAt = a.position
    emitStoreUnits(HostUnits.x87Loaded | HostUnits.sse)
    a.move(Host64.rax, Host64.r8)
    a.arithmetic(0, Host64.rsp, immediate: 8, 8)
    for r in (12...15).reversed() {
      a.byte(0x41)
      a.byte(0x58 | r & 7)
    }
    for r in [Host64.rbp, Host64.rbx] { a.byte(0x58 | r) }
    a.byte(0xC3)

    // No code for the linear address in R8D.
    noCodeAt = a.position
    a.rm(
      0x2B, 4, reg: Host64.r8, StateOperand.segment(SegmentRegister.cs, StateOperand.segmentBase))
    a.store(StateOperand.eip, Host64.r8)
    a.move(Host64.r8, immediate: UInt32(CodeExit.plain))
    a.jump(toOffset: leaveAt)

    // Go on at the linear address in R8D.
    lookupAt = a.position
    compiler.emitLookaside(H.r9)
    a.rm(0x0B, 8, reg: H.r8, StateOperand.codeTag)
    a.rm(0x3B, 8, reg: H.r8, MemoryOperand(base: H.r9))
    a.jump(Condition.nz, toOffset: noCodeAt)
    a.rm(0xFF, 4, reg: 4, MemoryOperand(base: H.r9, displacement: 16))

    // A return to the tag in R8 for which the code place at R9 does not fit.
    returnMissAt = a.position
    compiler.emitLookaside(H.r10)
    a.rm(0x3B, 8, reg: H.r8, MemoryOperand(base: H.r10))
    a.jump(Condition.nz, toOffset: noCodeAt)
    a.load(H.r10, MemoryOperand(base: H.r10, displacement: 16), 8)
    var unknown = Label()
    a.rm(0x3B, 8, reg: H.r10, StateOperand.noCode)
    a.jump(Condition.z, &unknown)
    // The first place serves all who expect nothing and stays empty.
    a.rm(0x3B, 8, reg: H.r9, StateOperand.places)
    a.jump(Condition.z, &unknown)
    a.store(MemoryOperand(base: H.r9), H.r8, 8)
    a.store(MemoryOperand(base: H.r9, displacement: 8), H.r10, 8)
    a.bind(&unknown)
    jumpTo(H.r10)

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
    a.arithmetic(5, H.rsp, immediate: 8, 8)
    storeRegisters()
    a.load(H.rdi, StateOperand.context, 8)
    emitStoreUnits(HostUnits.sse)
    a.rm(0xFF, 4, reg: 2, StateOperand.updateContext)
    emitDropUnits()
    loadRegisters()
    a.arithmetic(0, H.rsp, immediate: 8, 8)
    a.byte(0xC3)
  }

  /// An access to the linear address in R8D, for a read of the size in R9D, found no entry: R9 becomes the entry made now, or 0 where
  /// the instruction has to be interpreted. Keeps everything else but the flags.
  private func emitFillThunk(write: Bool) -> Int {
    let at = a.position
    var refused = Label()
    a.store(StateOperand.savedR10, H.r10, 8)
    a.store(StateOperand.savedR8, H.r8, 8)
    // Swift does not keep the host's SSE registers.
    a.rm(0xF6, 1, reg: 0, StateOperand.hostUnits)
    a.byte(Int(HostUnits.sse))
    a.jump(Condition.nz, &refused)
    if write {
      a.move(H.r9, H.r8)
      a.rr(0xC1, 4, reg: 5, rm: H.r9)
      a.byte(12)
      a.move64(H.r10, immediate: cpu.pageNotesAddress)
      a.rm(0xF6, 1, reg: 0, MemoryOperand(base: H.r10, index: H.r9))
      a.byte(Int(CPU.deviceNote))
      a.jump(Condition.nz, &refused)
    }
    storeRegisters()
    a.arithmetic(5, H.rsp, immediate: 8, 8)
    a.load(H.rdi, StateOperand.context, 8)
    a.move(H.rsi, H.r8)
    if write { a.rr(0x31, 4, reg: H.rdx, rm: H.rdx) } else { a.move(H.rdx, H.r9) }
    a.rm(0xFF, 4, reg: 2, StateOperand.fillEntry)
    a.arithmetic(0, H.rsp, immediate: 8, 8)
    a.move(H.r9, H.rax, 8)
    loadRegisters()
    var done = Label()
    a.jump(&done)
    a.bind(&refused)
    a.rr(0x31, 4, reg: H.r9, rm: H.r9)
    a.bind(&done)
    a.load(H.r8, StateOperand.savedR8, 8)
    a.load(H.r10, StateOperand.savedR10, 8)
    a.byte(0xC3)
    return at
  }

  /// RAX is 1 to leave, or code to go on with.
  func dispatchResult() {
    var goesOn = Label()
    a.arithmetic(7, Host64.rax, immediate: 1, 8)
    a.jump(Condition.nz, &goesOn)
    a.move(Host64.r8, immediate: UInt32(CodeExit.plain))
    a.jump(toOffset: leaveStoredAt)
    a.bind(&goesOn)
    a.move(Host64.r8, Host64.rax, 8)
    loadRegisters()
    jumpTo(Host64.r8)
  }

  private func emitInterpretThunk(_ function: MemoryOperand) -> Int {
    let at = a.position
    a.arithmetic(5, Host64.rsp, immediate: 8, 8)
    storeRegisters()
    callInterpreterStored(function)
    var leaves = Label()
    a.rr(0x85, 8, reg: Host64.rax, rm: Host64.rax)
    a.jump(Condition.nz, &leaves)
    loadRegisters()
    a.arithmetic(0, Host64.rsp, immediate: 8, 8)
    a.byte(0xC3)
    a.bind(&leaves)
    a.arithmetic(0, Host64.rsp, immediate: 16, 8)
    dispatchResult()
    return at
  }

  private func emitInterpretEndThunk(_ function: MemoryOperand) -> Int {
    let at = a.position
    storeRegisters()
    callInterpreterStored(function)
    dispatchResult()
    return at
  }

  /// R8 to R10 as for `interpretAt`.
  func callInterpreterStored(_ function: MemoryOperand = StateOperand.interpretOne) {
    a.load(Host64.rdi, StateOperand.context, 8)
    a.move(Host64.rsi, Host64.r8, 8)
    a.move(Host64.rdx, Host64.r9)
    a.move(Host64.rcx, Host64.r10)
    emitStoreUnits(HostUnits.sse)
    a.rm(0xFF, 4, reg: 2, function)
    emitDropUnits()
  }

  private func jumpTo(_ register: Int) { a.rr(0xFF, 4, reg: 4, rm: register) }

  /// A write whose entry in the table (R9) is not positive, to the linear address in R8D: R9 becomes what a positive entry would be when
  /// the page has code, but not in the 64 bytes written to, otherwise 0. Keeps everything else but the flags.
  private func emitCodeWriteThunk(_ size: Int) {
    var refused = Label()
    a.rr(0x85, 8, reg: Host64.r9, rm: Host64.r9)
    a.jump(Condition.z, &refused)
    a.arithmetic(7, StateOperand.tracksWrites, immediate: 0, 1)
    a.jump(Condition.nz, &refused)
    a.store(StateOperand.savedR10, Host64.r10, 8)
    a.store(StateOperand.savedR8, Host64.r8, 8)
    var busy = Label()
    if size > 1 {
      a.lea(Host64.r10, MemoryOperand(base: Host64.r8, displacement: Int32(size - 1)))
      a.rr(0x31, 4, reg: Host64.r8, rm: Host64.r10)
      a.arithmetic(4, Host64.r10, immediate: ~63)
      a.jump(Condition.nz, &busy)
    }
    // BTR: the mark goes.
    a.rr(0x0FBA, 8, reg: 6, rm: Host64.r9)
    a.byte(63)
    a.move64(Host64.r10, immediate: 0 &- UInt64(UInt(bitPattern: cpu.memory.ram)))
    a.rr(0x01, 8, reg: Host64.r9, rm: Host64.r10)
    a.rr(0x01, 8, reg: Host64.r8, rm: Host64.r10)
    a.rr(0xC1, 8, reg: 5, rm: Host64.r10)
    a.byte(12)
    a.rr(0xC1, 4, reg: 5, rm: Host64.r8)
    a.byte(6)
    // BT looks at the low six bits of R8.
    a.store(StateOperand.scratch, Host64.r9, 8)
    a.move64(
      Host64.r9, immediate: UInt64(UInt(bitPattern: cpu.memory.codeGranules)))
    a.load(Host64.r9, MemoryOperand(base: Host64.r9, index: Host64.r10, scale: 3), 8)
    a.rr(0x0FA3, 8, reg: Host64.r8, rm: Host64.r9)
    a.jump(Condition.b, &busy)
    a.load(Host64.r9, StateOperand.scratch, 8)
    a.load(Host64.r8, StateOperand.savedR8, 8)
    a.load(Host64.r10, StateOperand.savedR10, 8)
    a.byte(0xC3)
    a.bind(&busy)
    a.load(Host64.r8, StateOperand.savedR8, 8)
    a.load(Host64.r10, StateOperand.savedR10, 8)
    a.bind(&refused)
    a.rr(0x31, 4, reg: Host64.r9, rm: Host64.r9)
    a.byte(0xC3)
  }

  func loadRegisters() {
    for n in 0..<8 { a.load(n == 4 ? Host64.r12 : n, StateOperand.gpr(n)) }
    a.load(Host64.r11, StateOperand.budget, 8)
    a.load(Host64.r14, StateOperand.readTable, 8)
    a.load(Host64.r13, StateOperand.writeTable, 8)
  }

  func storeRegisters() {
    for n in 0..<8 { a.store(StateOperand.gpr(n), n == 4 ? Host64.r12 : n) }
    a.store(StateOperand.budget, Host64.r11, 8)
  }

  // MARK: - BlockTranslator

  /// The most a block's code can take.
  private static let reserve = 256 << 10

  /// Whether there is room for another block.
  var hasRoom: Bool { a.position + Translator.reserve <= a.capacity && places.hasRoom }

  package func translate(_ block: BlockPointer, eip: UInt32) -> Bool {
    if !hasRoom {
      // The present block stays decoded only until the next one is fetched; it is translated when it is hot again.
      cpu.dropAllCode()
      return false
    }
    if cpu.codeContext.has(CodeContext.window) { recallTableSites(block) }
    let number = blocks.count
    let firstEdge = edges.count
    guard let code = compiler.compile(block, eip: eip, number: number) else { return false }
    var entry = code
    entry.edges = firstEdge..<edges.count
    blocks.append(entry)
    block.pointee.code = memory.executable + entry.entry
    block.pointee.codeContext = cpu.contextNumber
    block.pointee.codeEIP = eip
    block.pointee.codeNumber = Int32(number)
    cpu.statistics.translatedBlocks &+= 1
    cpu.statistics.translatedInstructions &+= Int(block.pointee.count)
    return true
  }

  package func dropped(_ number: Int) {
    guard blocks.indices.contains(number) else { return }
    let saved = a.position
    // Who still comes here looks for what is there now.
    let linear = blocks[number].linear
    cpu.forgetCode(linear, memory.executable + blocks[number].entry)
    a.position = blocks[number].entry
    a.move(H.r8, immediate: linear)
    a.jump(toOffset: lookupAt)
    a.position = saved
    for edge in blocks[number].incoming where edges[edge].target == number { unlink(edge) }
    blocks[number].incoming = []
    for edge in blocks[number].edges { edges[edge].owner = -1 }
  }

  private func tableBit(_ block: BlockPointer, _ k: Int) -> Int {
    let start = k == 0 ? 0 : UInt32(block.pointee.records[k - 1].nextOffset)
    let address = block.pointee.physical &+ start
    return Int((address ^ address >> 16) & 0xFFFF)
  }

  /// Finds out which of a new block's instructions did not get along with the window before.
  private func recallTableSites(_ block: BlockPointer) {
    for k in 0..<Int(block.pointee.count) {
      let bit = tableBit(block, k)
      if tableAddresses[bit >> 6] >> UInt64(bit & 63) & 1 != 0 {
        block.pointee.tableSites |= 1 << UInt64(k)
      }
    }
  }

  package func reset() {
    a.position = firstFree
    edges.removeAll(keepingCapacity: true)
    blocks.removeAll(keepingCapacity: true)
    faults.removeAll()
    places.removeAll()
  }

  package func forgetPlaces() { places.forget() }

  package func link(_ request: Int, to block: BlockPointer) {
    guard edges.indices.contains(request), options.contains(.link) else { return }
    let edge = edges[request]
    let number = Int(block.pointee.codeNumber)
    guard edge.owner >= 0, edge.target < 0, blocks.indices.contains(number) else { return }
    let target = blocks[number]
    guard target.eip == edge.targetEIP else { return }
    if edge.place != 0 {
      guard let code = block.pointee.code else { return }
      places.set(edge.place, tag: cpu.s.pointee.codeTag | UInt64(target.linear), code: code)
      return
    }
    guard target.context == blocks[edge.owner].context else { return }
    // A block in two pages is right only as long as both are where they were: under paging it is looked up each time.
    if block.pointee.secondPage != UInt32.max && cpu.codeContext.has(CodeContext.paged) {
      return
    }
    a.patch32(edge.countAt, target.count)
    a.patch32(edge.bodyAt, target.body - (edge.bodyAt + 4))
    a.patch32(edge.exitAt, target.exit - (edge.exitAt + 4))
    edges[request].target = number
    blocks[number].incoming.append(request)
  }

  package func avoidWindow(_ fault: UInt64) {
    let number = Int(fault >> 8 & 0xFFFF_FFFF)
    guard blocks.indices.contains(number) else { return }
    let block = blocks[number].block
    guard cpu.dropCode(block, number: number) else { return }
    if fault & Translator.unitFault != 0 {
      block.pointee.seesFPUErrors = true
    } else {
      block.pointee.tableSites |= 1 << (fault & 63)
      let bit = tableBit(block, Int(fault & 63))
      tableAddresses[bit >> 6] |= 1 << UInt64(bit & 63)
    }
    cpu.reheat(block)
  }

  private func unlink(_ number: Int) {
    let edge = edges[number]
    a.patch32(edge.countAt, 0)
    a.patch32(edge.bodyAt, edge.stub - (edge.bodyAt + 4))
    edges[number].target = -1
  }
}
