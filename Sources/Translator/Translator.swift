// The block-caching translator: what does not depend on the host.
//
// Owns: the books of translated blocks, the exits between them and what they are joined to; when code is made, dropped and made anew;
// what the processor asks of a translator.
// Must not know: host instructions (a `TranslatorBackend` makes them), devices.
// Where is what: TranslatorBackend is the seam; ExitPolicy says which exits may be plain jumps; FlagInformation has the liveness of
// flags; AccessRules what may be tried before an instruction is interpreted; CodePlaces the targets that are looked up; BlockDump shows a
// block. Follows: Sources/apus/Documentation.docc/Inside/TheTranslator.md.

import CPU
import Host

/// Translates blocks and keeps their code.
public final class Translator: BlockTranslator {
  /// Owns this object.
  unowned(unsafe) let cpu: CPU
  /// What makes the host's code.
  package let backend: any TranslatorBackend
  package let options: TranslatorOptions
  package let flagInformation = FlagInformation()
  package let places: CodePlaces
  private var exits: [Exit] = []
  var blocks: [CodeBlock] = []
  /// Hashed physical addresses of instructions that could not use the window. They need not fault again when their block is made anew;
  /// a wrong hit costs a table lookup.
  private var tableAddresses = [UInt64](repeating: 0, count: 1 << 10)

  /// Makes a translator and gives it to the processor, which owns it from then on.
  /// - Parameters:
  ///   - backend: makes code for this processor alone.
  ///   - options: what it may do.
  /// - Throws: `HostError` when the host gives no memory.
  package init(
    _ cpu: CPU, _ backend: any TranslatorBackend, options: TranslatorOptions
  ) throws(HostError) {
    self.cpu = cpu
    self.backend = backend
    self.options = options
    places = try CodePlaces()
    cpu.s.pointee.places = places.base
    backend.translator = self
    let entries = backend.entries
    cpu.attach(
      self, enter: entries.enter, noCode: entries.noCode,
      enterWindow: MemoryWindow.isSupported && options.contains(.window)
        ? entries.enterWindow : nil)
  }

  // MARK: - Exits

  /// An exit of the block being made that can be joined to another one.
  package func addExit(of number: Int, to eip: UInt32, _ sites: ExitSites) -> Int {
    exits.append(Exit(sites: sites, owner: number, targetEIP: eip))
    return exits.count - 1
  }

  /// An exit of the block being made that goes by a code place.
  package func addPlaceExit(of number: Int, to eip: UInt32) -> (exit: Int, place: UInt64) {
    let place = places.make()
    exits.append(Exit(sites: ExitSites(), place: place, owner: number, targetEIP: eip))
    return (exits.count - 1, places.address(place))
  }

  /// Where an exit's target is.
  package func targetEIP(of exit: Int) -> UInt32 { exits[exit].targetEIP }

  /// What patches an exit, while its block is being made.
  package func sites(of exit: Int) -> ExitSites { exits[exit].sites }

  /// The path for want of budget has a jump to be patched.
  package func setBudgetJump(of exit: Int, _ offset: Int) { exits[exit].sites.budgetJump = offset }

  /// Where the exit leads while it is not joined.
  package func setStub(of exit: Int, _ offset: Int) { exits[exit].sites.stub = offset }

  package func link(_ request: Int, to block: BlockPointer) {
    guard exits.indices.contains(request), options.contains(.link) else { return }
    let number = Int(block.pointee.codeNumber)
    // Field by field: a copy of either record would count references, and this is done for hundreds of places whenever CR3 is loaded.
    guard exits[request].owner >= 0, exits[request].target < 0, blocks.indices.contains(number),
      blocks[number].eip == exits[request].targetEIP
    else { return }
    if exits[request].place != 0 {
      guard let code = block.pointee.code else { return }
      places.set(exits[request].place, tag: cpu.codeKey(blocks[number].linear), code: code)
      return
    }
    guard blocks[number].context == blocks[exits[request].owner].context else { return }
    // A block in two pages is right only as long as both are where they were: under paging it is looked up each time.
    if block.pointee.secondPage != UInt32.max && cpu.codeContext.has(.paged) {
      return
    }
    backend.join(exits[request].sites, to: blocks[number].code)
    exits[request].target = number
    blocks[number].incoming.append(request)
  }

  private func unlink(_ number: Int) {
    backend.part(exits[number].sites)
    exits[number].target = -1
  }

  // MARK: - Blocks

  /// Whether there is room for another block.
  var hasRoom: Bool { backend.hasRoom && places.hasRoom }

  /// Makes code for a block and enters it in the books.
  /// - Parameter mark: told where the code of each instruction begins and where that of the last one ends.
  func compile(
    _ block: BlockPointer, eip: UInt32, in context: CodeContext, mark: ((Int) -> Void)? = nil
  ) -> Int? {
    let number = blocks.count
    let firstExit = exits.count
    guard
      let code = backend.compile(
        block, eip: eip, in: context, number: number, mark: mark)
    else { return nil }
    blocks.append(
      CodeBlock(
        code: code, context: cpu.contextNumber, eip: eip, linear: context.linear(eip),
        block: block, exits: firstExit..<exits.count))
    return number
  }

  package func translate(_ block: BlockPointer, eip: UInt32) -> Bool {
    if !hasRoom {
      // The present block stays decoded only until the next one is fetched; it is translated when it is hot again.
      cpu.dropAllCode()
      return false
    }
    if cpu.codeContext.has(.window) { recallTableSites(block) }
    guard let number = compile(block, eip: eip, in: cpu.codeContext) else { return false }
    block.pointee.code = backend.address(of: blocks[number].code.entry)
    block.pointee.codeContext = cpu.contextNumber
    block.pointee.codeEIP = eip
    block.pointee.codeNumber = Int32(number)
    cpu.statistics.translatedBlocks &+= 1
    cpu.statistics.translatedInstructions &+= Int(block.pointee.count)
    return true
  }

  package func dropped(_ number: Int) {
    guard blocks.indices.contains(number) else { return }
    // Who still comes here looks for what is there now.
    let linear = blocks[number].linear
    cpu.forgetCode(linear, backend.address(of: blocks[number].code.entry))
    backend.redirect(blocks[number].code, toLookupOf: linear)
    for exit in blocks[number].incoming where exits[exit].target == number { unlink(exit) }
    blocks[number].incoming = []
    for exit in blocks[number].exits { exits[exit].owner = -1 }
  }

  package func reset() {
    backend.reset()
    exits.removeAll(keepingCapacity: true)
    blocks.removeAll(keepingCapacity: true)
    places.removeAll()
  }

  package func forgetPlaces() { places.forget() }

  // MARK: - Code made again

  private func tableBit(_ block: BlockPointer, _ k: Int) -> Int {
    let start = k == 0 ? 0 : UInt64(block.pointee.records[k - 1].nextOffset)
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

  package func avoidWindow(_ fault: UInt64) {
    let fault = CodeFault(rawValue: fault)
    guard blocks.indices.contains(fault.number) else { return }
    let block = blocks[fault.number].block
    guard cpu.dropCode(block, number: fault.number) else { return }
    if fault.isOfUnit {
      block.pointee.seesFPUErrors = true
    } else {
      block.pointee.tableSites |= 1 << UInt64(fault.index)
      let bit = tableBit(block, fault.index)
      tableAddresses[bit >> 6] |= 1 << UInt64(bit & 63)
    }
    cpu.reheat(block)
  }
}
