// The block-caching translator: guest x86 to x86-64.
//
// Owns: the code buffer, the fixed thunks in it (enter, leave, look a target up, interpret one instruction, load a segment register,
// make a table entry, look at a write beside code), links between blocks.
// Must not know: devices, what single instructions become (BlockCompiler*.swift).
// Follows: DESIGN of the README, "How translated code works"; System V AMD64 ABI for the calls out.
//
// Registers in translated code: EAX ECX EDX EBX EBP ESI EDI in the registers of the same number, upper halves zero; ESP in R12;
// R15 CPUState; R14, R13 read and write table; R11 instructions left; R8 to R10 scratch.

import Assembler
import CPU
import Host

/// Offsets in `CPUState`, and operands made of them.
enum StateOperand {
  static func field(_ offset: Int?) -> MemoryOperand {
    MemoryOperand(base: .r15, displacement: Int32(offset.unsafelyUnwrapped))
  }
  static func gpr(_ n: Int) -> MemoryOperand {
    MemoryOperand(base: .r15, displacement: Int32(n * 4))
  }
  /// Of the register of the same number.
  static func gpr(_ r: HostRegister) -> MemoryOperand {
    MemoryOperand(base: .r15, displacement: Int32(r.number * 4))
  }
  static func segment(_ n: Int, _ offset: Int?) -> MemoryOperand {
    MemoryOperand(base: .r15, displacement: Int32(64 + n * 32 + offset.unsafelyUnwrapped))
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
  var countAt: PatchSite
  var bodyAt: PatchSite
  var exitAt: PatchSite
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

  /// An access to the linear address in R8D, for a read of the size in R9D, found no entry: R9 becomes the entry made now, or 0 where
  /// the instruction has to be interpreted. Keeps everything else but the flags.
  private func emitFillThunk(write: Bool) -> Int {
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
      a.mov64(.r10, cpu.pageNotesAddress)
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

  private func emitInterpretThunk(_ function: MemoryOperand) -> Int {
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

  private func emitInterpretEndThunk(_ function: MemoryOperand) -> Int {
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

  private func jumpTo(_ register: HostRegister) { a.jmp(register) }

  /// A write whose entry in the table (R9) is not positive, to the linear address in R8D: R9 becomes what a positive entry would be when
  /// the page has code, but not in the 64 bytes written to, otherwise 0. Keeps everything else but the flags.
  private func emitCodeWriteThunk(_ size: Int) {
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
    a.mov(.r8, linear)
    a.jmp(toOffset: lookupAt)
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
    a.patch(edge.countAt, immediate: target.count)
    a.patch(edge.bodyAt, toOffset: target.body)
    a.patch(edge.exitAt, toOffset: target.exit)
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
    a.patch(edge.countAt, immediate: 0)
    a.patch(edge.bodyAt, toOffset: edge.stub)
    edges[number].target = -1
  }
}
