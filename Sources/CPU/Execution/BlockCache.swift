// Decoded code.
//
// Owns: blocks of records keyed by physical address and code size, the arena they live in, their lists by page, and two lookaside
// tables keyed by linear address (blocks, pages) that hold within one translation epoch. A block lies in one page; an instruction
// that crosses into the next page is a block of its own. Writes to decoded bytes drop the blocks they touch.
// Must not know: what records do. Follows: Intel SDM volume 3, section 8.1.3 (self-modifying code).

import Host

package typealias BlockPointer = UnsafeMutablePointer<Block>

/// All decoded blocks.
package final class BlockCache {
  static let droppedLength = Int64.max / 4
  package static let maximumCount = 64
  private static let bucketBits: UInt64 = 17
  private static let buckets = 1 << bucketBits
  // A kernel's hot paths have a thousand places: with an eighth of this two of them met in one slot, and left the code at each turn.
  package static let lookasideSize = 1 << 15
  private static let pageLookasideSize = 1 << 10
  private static let pages = Int(PhysicalMemory.pageLimit)
  private static let arenaRecords = 1 << 19
  private static let arenaBlocks = 1 << 17

  /// Lookaside entry: linear address with mode and epoch, and the block.
  package struct Entry {
    package var tag: UInt64
    var block: BlockPointer?
    /// Where translated code goes on: the block's code or `noCode`.
    package var code: UnsafeRawPointer
    private var padding = 0

    init(tag: UInt64, block: BlockPointer?, code: UnsafeRawPointer) {
      self.tag = tag
      self.block = block
      self.code = code
    }
  }

  /// Runs that each decoding anew adds to those before a block is translated.
  var rebirthPatience: UInt32 = 24
  /// Leads out of translated code.
  package var noCode = UnsafeRawPointer(bitPattern: 1)!
  /// Told the translator's numbers of code that must not be entered any more.
  var codeDropped: (Int32) -> Void = { _ in }
  private let regions: [HostMemory]
  package let lookaside: UnsafeMutablePointer<Entry>
  private let pageTags: UnsafeMutablePointer<UInt64>
  private let pagePhysical: UnsafeMutablePointer<UInt32>
  private let bucketHeads: UnsafeMutablePointer<BlockPointer?>
  private let pageHeads: UnsafeMutablePointer<BlockPointer?>
  private let arena: UnsafeMutablePointer<Instruction>
  private let blockArena: UnsafeMutablePointer<Block>
  /// See `fleeting`.
  private let fleetingBlock: BlockPointer
  private let versions: UnsafeMutablePointer<CodeVersion>
  private static let arenaVersions = 1 << 13
  /// Bytes of the instructions of blocks that were decoded anew.
  private let byteArena: UnsafeMutablePointer<UInt8>
  private static let arenaBytes = 1 << 22
  private var usedBytes = 0
  private var usedVersions = 0
  private var usedRecords = 0
  private var usedBlocks = 0
  private var crossing: [BlockPointer] = []
  /// How often everything was dropped, and how many blocks writes dropped.
  private(set) var flushes = 0
  private(set) var invalidations = 0
  private(set) var decodedBlocks = 0

  init() throws(HostError) {
    let sizes = [
      BlockCache.lookasideSize * MemoryLayout<Entry>.stride, BlockCache.pageLookasideSize * 8,
      BlockCache.pageLookasideSize * 4, BlockCache.buckets * 8, BlockCache.pages * 8,
      (BlockCache.arenaRecords + 2) * MemoryLayout<Instruction>.stride,
      (BlockCache.arenaBlocks + 1) * MemoryLayout<Block>.stride,
      BlockCache.arenaVersions * CodeVersion.others * MemoryLayout<CodeVersion>.stride,
      BlockCache.arenaBytes,
    ]
    var all: [HostMemory] = []
    for size in sizes { all.append(try HostMemory(count: size)) }
    regions = all
    lookaside = all[0].base.bindMemory(to: Entry.self, capacity: BlockCache.lookasideSize)
    pageTags = all[1].base.bindMemory(to: UInt64.self, capacity: BlockCache.pageLookasideSize)
    pagePhysical = all[2].base.bindMemory(to: UInt32.self, capacity: BlockCache.pageLookasideSize)
    bucketHeads = all[3].base.bindMemory(to: BlockPointer?.self, capacity: BlockCache.buckets)
    pageHeads = all[4].base.bindMemory(to: BlockPointer?.self, capacity: BlockCache.pages)
    arena = all[5].base.bindMemory(to: Instruction.self, capacity: BlockCache.arenaRecords + 2)
    versions = all[7].base.bindMemory(
      to: CodeVersion.self, capacity: BlockCache.arenaVersions * CodeVersion.others)
    byteArena = all[8].base.bindMemory(to: UInt8.self, capacity: BlockCache.arenaBytes)
    precondition(MemoryLayout<Block>.offset(of: \Block.next) == 16)
    precondition(MemoryLayout<Block>.offset(of: \Block.branch) == 32)
    blockArena = all[6].base.bindMemory(to: Block.self, capacity: BlockCache.arenaBlocks + 1)
    // Behind the others, with room for its record and the one that ends it.
    fleetingBlock = blockArena + BlockCache.arenaBlocks
    let records = arena + BlockCache.arenaRecords
    fleetingBlock.initialize(
      to: Block(
        records: records, cost: UInt64.max,
        next: BlockLink(tag: BlockLink.noTag, block: fleetingBlock),
        branch: BlockLink(tag: BlockLink.noTag, block: fleetingBlock), flatness: 0, mode: .bits16,
        physical: 0, count: 0, byteLength: BlockCache.droppedLength, granules: 0,
        secondPage: UInt32.max, nextInBucket: nil, nextInPage: nil))
  }

  @inline(__always)
  func slot(_ linear: Linear) -> UnsafeMutablePointer<Entry> {
    lookaside + Int((linear ^ linear >> 12) & UInt32(BlockCache.lookasideSize - 1))
  }

  /// The physical page of a linear page in the epoch and mode of `tag`.
  @inline(__always)
  func cachedPage(_ tag: UInt64, _ linear: Linear) -> UInt32? {
    let n = Int(linear >> 12) & (BlockCache.pageLookasideSize - 1)
    return pageTags[n] == tag ? pagePhysical[n] : nil
  }

  func cachePage(_ tag: UInt64, _ linear: Linear, _ physicalPage: UInt32) {
    let n = Int(linear >> 12) & (BlockCache.pageLookasideSize - 1)
    pageTags[n] = tag
    pagePhysical[n] = physicalPage
  }

  /// Empties the lookaside tables and forgets links (the epoch counter wrapped).
  func clearLookaside() {
    for n in 0..<usedBlocks {
      blockArena[n].next.tag = BlockLink.noTag
      blockArena[n].branch.tag = BlockLink.noTag
    }
    for n in 0..<BlockCache.lookasideSize { lookaside[n] = Entry(tag: 0, block: nil, code: noCode) }
    for n in 0..<BlockCache.pageLookasideSize { pageTags[n] = 0 }
  }

  @inline(__always)
  private func bucket(_ physical: Physical) -> Int {
    // By the golden ratio: addresses of code are nothing like evenly spread.
    Int((physical &* 0x9E37_79B9_7F4A_7C15) >> (64 - BlockCache.bucketBits))
  }

  /// The block at a physical address, or nil.
  func find(physical: Physical, mode: DecodeMode, secondPage: UInt32?) -> BlockPointer? {
    var candidate = bucketHeads[bucket(physical)]
    while let block = candidate {
      if block.pointee.physical == physical && block.pointee.mode == mode
        && block.pointee.byteLength != BlockCache.droppedLength
      {
        let second = block.pointee.secondPage
        if second == UInt32.max || second == secondPage { return block }
      }
      candidate = block.pointee.nextInBucket
    }
    return nil
  }

  /// Whether an arena is too full for another block.
  var isFull: Bool {
    usedRecords + BlockCache.maximumCount + 1 > BlockCache.arenaRecords
      || usedBlocks + 1 > BlockCache.arenaBlocks
  }

  /// Records and blocks made since everything was dropped.
  var used: (records: Int, blocks: Int) { (usedRecords, usedBlocks) }

  /// Where the next block's records go (room for `maximumCount` and one that ends them).
  var nextRecords: UnsafeMutablePointer<Instruction> { arena + usedRecords }

  /// What is known of code that was decoded at an address before it was written, perhaps with the same bytes here and there.
  @inline(__always)
  func formerRecords(physical: Physical, mode: DecodeMode) -> FormerRecords {
    var candidate = bucketHeads[bucket(physical)]
    while let block = candidate {
      candidate = block.pointee.nextInBucket
      if block.pointee.physical == physical && block.pointee.mode == mode
        && block.pointee.byteLength == BlockCache.droppedLength
      {
        guard let bytes = block.pointee.bytes else { break }
        return FormerRecords(
          records: block.pointee.records, bytes: bytes, count: Int(block.pointee.count))
      }
    }
    return FormerRecords()
  }

  /// Keeps the bytes of a block that is decoded anew; they are as many as its records can have at most.
  private func keepBytes(
    _ block: BlockPointer, _ bytes: UnsafePointer<UInt8>?, _ byteLength: Int
  ) {
    guard let bytes else { return }
    if block.pointee.bytes == nil {
      let room = Int(block.pointee.capacity) * Decoder.maximumLength
      guard usedBytes + room <= BlockCache.arenaBytes else { return }
      block.pointee.bytes = byteArena + usedBytes
      usedBytes += room
    }
    block.pointee.bytes?.update(from: bytes, count: byteLength)
  }

  /// Enters a block whose records were written at `nextRecords`.
  /// - Parameters:
  ///   - bytes: what they were decoded from, or nil where it is not in one piece.
  ///   - flatness: what their forms may rely on.
  func insert(
    physical: Physical, mode: DecodeMode, count: Int, byteLength: Int, granules: UInt64,
    secondPage: UInt32,
    bytes: UnsafePointer<UInt8>?, flatness: UInt8
  ) -> BlockPointer {
    let head = bucket(physical)
    let page = Int(physical >> 12)
    decodedBlocks += 1
    if secondPage == UInt32.max, let old = dropped(physical: physical, mode: mode, count) {
      // Written code is most often run again where it was: no memory is used up, and lookaside entries for it hold.
      old.pointee.records.update(from: nextRecords, count: count)
      old.pointee.count = Int32(count)
      old.pointee.cost = UInt64(count)
      old.pointee.byteLength = Int64(byteLength)
      old.pointee.granules = granules
      old.pointee.scanned = 0
      old.pointee.nextInPage = pageHeads[page]
      pageHeads[page] = old
      old.pointee.tableSites = 0
      old.pointee.seesFPUErrors = false
      keepBytes(old, bytes, byteLength)
      old.pointee.rebirths &+= 1
      old.pointee.heat = firstHeat(old)
      // There may be links to it from contexts that allow no more than its old forms did.
      old.pointee.flatness &= flatness
      HandlerForms.end(old.pointee.records, count: count)
      // Choosing takes as long as decoding: not for what is written again and again.
      old.pointee.hasForms = old.pointee.hasForms && old.pointee.rebirths < 8
      if old.pointee.hasForms { chooseForms(old) }
      return old
    }
    let block = blockArena + usedBlocks
    block.initialize(
      to: Block(
        records: nextRecords, cost: UInt64(count),
        next: BlockLink(tag: BlockLink.noTag, block: block),
        branch: BlockLink(tag: BlockLink.noTag, block: block), flatness: flatness, mode: mode,
        physical: physical, count: Int32(count), byteLength: Int64(byteLength),
        granules: granules, secondPage: secondPage, nextInBucket: bucketHeads[head],
        nextInPage: pageHeads[page]))
    HandlerForms.end(block.pointee.records, count: count)
    block.pointee.capacity = Int32(count)
    bucketHeads[head] = block
    pageHeads[page] = block
    if secondPage != UInt32.max { crossing.append(block) }
    usedBlocks += 1
    usedRecords += count + 1
    return block
  }

  /// Gives a block's records the forms that what it may rely on allows.
  func chooseForms(_ block: BlockPointer) {
    block.pointee.hasForms = true
    HandlerForms.choose(
      block.pointee.records, count: Int(block.pointee.count), flatness: block.pointee.flatness)
  }

  /// A block is met where less may be relied on: from now on its forms do without.
  func loosen(_ block: BlockPointer, flatness: UInt8) {
    block.pointee.flatness &= flatness
    if block.pointee.hasForms { chooseForms(block) }
  }

  /// A dropped block whose place can be used again.
  private func dropped(physical: Physical, mode: DecodeMode, _ count: Int) -> BlockPointer? {
    var candidate = bucketHeads[bucket(physical)]
    while let block = candidate {
      candidate = block.pointee.nextInBucket
      if block.pointee.physical == physical && block.pointee.mode == mode
        && block.pointee.byteLength == BlockCache.droppedLength
      {
        if block.pointee.capacity >= Int32(count) { return block }
        removeFromBucket(block)
      }
    }
    return nil
  }

  /// A dropped block's place is not used again.
  func forget(_ block: BlockPointer) { removeFromBucket(block) }

  private func removeFromBucket(_ block: BlockPointer) {
    let head = bucket(block.pointee.physical)
    if bucketHeads[head] == block {
      bucketHeads[head] = block.pointee.nextInBucket
      return
    }
    var p = bucketHeads[head]
    while let q = p {
      if q.pointee.nextInBucket == block {
        q.pointee.nextInBucket = block.pointee.nextInBucket
        return
      }
      p = q.pointee.nextInBucket
    }
  }

  /// A page that is entered everywhere (a guest that executes garbage) has hundreds of blocks, which each write beside them would look
  /// through again and again. When that has taken as long as decoding the blocks would, they go: those that are still in use come again.
  private static let longList = 192
  private static let walkPatience = 256
  private var walked = 0

  /// Drops the blocks of a page that depend on any of its bytes from `offset` on; returns the granules still covered.
  func invalidate(page: UInt32, offset: UInt32, count: UInt32) -> UInt64 {
    let granules = PhysicalMemory.granuleMask(offset: offset, count: count)
    let (first, end) = (Int64(offset), Int64(offset) &+ Int64(count))
    var left: UInt64 = 0
    var kept: BlockPointer? = nil
    var visited = 0
    var p = pageHeads[Int(page)]
    while let block = p {
      p = block.pointee.nextInPage
      visited &+= 1
      let start = Int64(block.pointee.physical & 0xFFF)
      if block.pointee.granules & granules != 0,
        block.pointee.scanned & granules != 0
          || (start < end && first < start &+ block.pointee.byteLength)
      {
        if block.pointee.secondPage != UInt32.max { removeFromBucket(block) }
        drop(block)
      } else {
        block.pointee.nextInPage = kept
        kept = block
        left |= block.pointee.granules
      }
    }
    pageHeads[Int(page)] = kept
    if visited > BlockCache.longList {
      walked &+= visited
      if walked > BlockCache.walkPatience &* visited {
        walked = 0
        return invalidate(page: page, offset: 0, count: 0x1000)
      }
    }
    if !crossing.isEmpty {
      crossing.removeAll { block in
        if block.pointee.byteLength == BlockCache.droppedLength { return true }
        guard block.pointee.secondPage == page else { return false }
        // The tail of a crossing instruction lies in the first granule.
        let tail = Int64(block.pointee.physical & 0xFFF) &+ block.pointee.byteLength &- 0x1000
        if first >= tail {
          left |= 1
          return false
        }
        removeFromBucket(block)
        removeFromPage(block)
        drop(block)
        return true
      }
    }
    return left
  }

  /// The heat with which a block begins that was decoded anew so many times.
  private func firstHeat(_ block: BlockPointer) -> UInt32 {
    0 &- min(block.pointee.rebirths, 64) &* rebirthPatience
  }

  /// Whether the code at an address is written anew for nearly each run, as a call through bytes on the stack is (`int86` of C
  /// libraries), so that keeping it costs more than decoding it: all around it, writes would have to be looked at. Looked into again
  /// from time to time.
  func isFleeting(physical: Physical, mode: DecodeMode) -> Bool {
    var candidate = bucketHeads[bucket(physical)]
    while let block = candidate {
      candidate = block.pointee.nextInBucket
      guard
        block.pointee.physical == physical && block.pointee.mode == mode
          && block.pointee.byteLength == BlockCache.droppedLength
      else { continue }
      guard block.pointee.coldWrites >= BlockCache.coldPatience, block.pointee.count <= 2 else {
        return false
      }
      block.pointee.heat &+= 1
      if block.pointee.heat & 1023 != 0 { return true }
      block.pointee.coldWrites = BlockCache.coldPatience / 2
      return false
    }
    return false
  }
  private static let coldPatience: UInt8 = 16

  /// A block of one instruction, decoded at `nextRecords`, that serves once: it is in no list, and nothing leads to it.
  func fleeting(physical: Physical, mode: DecodeMode, byteLength: Int, flatness: UInt8)
    -> BlockPointer
  {
    let block = fleetingBlock
    let records = block.pointee.records
    records.update(from: nextRecords, count: 1)
    HandlerForms.end(records, count: 1)
    block.pointee = Block(
      records: records, cost: UInt64.max, next: BlockLink(tag: BlockLink.noTag, block: block),
      branch: BlockLink(tag: BlockLink.noTag, block: block), flatness: flatness, mode: mode,
      physical: physical, count: 1, byteLength: Int64(byteLength), granules: 0,
      secondPage: UInt32.max, nextInBucket: nil, nextInPage: nil)
    decodedBlocks += 1
    return block
  }

  private func drop(_ block: BlockPointer) {
    let runs = block.pointee.heat &- firstHeat(block)
    block.pointee.coldWrites =
      runs <= 2 && block.pointee.code == nil ? min(block.pointee.coldWrites, 254) + 1 : 0
    block.pointee.byteLength = BlockCache.droppedLength
    block.pointee.cost = UInt64.max
    invalidations += 1
    dropCode(block)
  }

  // MARK: - Translated code

  /// A block has no translated code any more, for no context.
  func dropCode(_ block: BlockPointer) {
    if block.pointee.code != nil {
      codeDropped(block.pointee.codeNumber)
      block.pointee.code = nil
    }
    guard let others = block.pointee.others else { return }
    for n in 0..<CodeVersion.others where others[n].code != nil {
      codeDropped(others[n].number)
      others[n].code = nil
    }
  }

  /// One version of a block's code must not be entered any more.
  /// - Returns: false when the block does not have it.
  func dropCode(_ block: BlockPointer, number: Int32) -> Bool {
    if block.pointee.code != nil && block.pointee.codeNumber == number {
      codeDropped(number)
      block.pointee.code = nil
      return true
    }
    guard let others = block.pointee.others else { return false }
    for n in 0..<CodeVersion.others where others[n].code != nil && others[n].number == number {
      codeDropped(number)
      others[n].code = nil
      return true
    }
    return false
  }

  /// Makes the code for a context and an EIP the present one, if there is some.
  func selectCode(_ block: BlockPointer, context: UInt64, eip: UInt32) -> Bool {
    guard let others = block.pointee.others else { return false }
    for n in 0..<CodeVersion.others
    where others[n].code != nil && others[n].context == context && others[n].eip == eip {
      let chosen = others[n]
      others[n] = version(block)
      block.pointee.code = chosen.code
      block.pointee.codeContext = chosen.context
      block.pointee.codeEIP = chosen.eip
      block.pointee.codeNumber = chosen.number
      return true
    }
    return false
  }

  /// Puts the present code aside, so that the block can have some for another context. What was aside for longest goes.
  func stashCode(_ block: BlockPointer) {
    guard block.pointee.code != nil else { return }
    if block.pointee.others == nil, usedVersions < BlockCache.arenaVersions {
      let new = versions + usedVersions * CodeVersion.others
      usedVersions += 1
      new.initialize(repeating: CodeVersion(), count: CodeVersion.others)
      block.pointee.others = new
    }
    guard let others = block.pointee.others else { return dropCode(block) }
    let last = CodeVersion.others - 1
    if others[last].code != nil { codeDropped(others[last].number) }
    for n in stride(from: last, to: 0, by: -1) { others[n] = others[n - 1] }
    others[0] = version(block)
    block.pointee.code = nil
  }

  private func version(_ block: BlockPointer) -> CodeVersion {
    CodeVersion(
      code: block.pointee.code, context: block.pointee.codeContext, eip: block.pointee.codeEIP,
      number: block.pointee.codeNumber)
  }

  /// The granules of a page that blocks depend on.
  func granules(inPage page: UInt32) -> UInt64 {
    var all: UInt64 = 0
    var p = pageHeads[Int(page & 0xFFFFFF)]
    while let block = p {
      all |= block.pointee.granules
      p = block.pointee.nextInPage
    }
    for block in crossing
    where block.pointee.secondPage == page
      && block.pointee.byteLength != BlockCache.droppedLength
    {
      all |= 1
    }
    return all
  }

  /// Where blocks of a page begin, and whether each has host code.
  func starts(inPage page: UInt32) -> [(physical: Physical, hasCode: Bool)] {
    var list: [(physical: Physical, hasCode: Bool)] = []
    var p = pageHeads[Int(page & 0xFFFFFF)]
    while let block = p {
      list.append((block.pointee.physical, block.pointee.code != nil))
      p = block.pointee.nextInPage
    }
    return list
  }

  private func removeFromPage(_ block: BlockPointer) {
    let page = Int(block.pointee.physical >> 12)
    if pageHeads[page] == block {
      pageHeads[page] = block.pointee.nextInPage
      return
    }
    var p = pageHeads[page]
    while let q = p {
      if q.pointee.nextInPage == block {
        q.pointee.nextInPage = block.pointee.nextInPage
        return
      }
      p = q.pointee.nextInPage
    }
  }

  /// Context numbers have lost their meaning: no code may be entered.
  func forgetContexts() {
    for n in 0..<usedBlocks { dropCode(blockArena + n) }
  }

  /// Drops everything; `pageDropped` hears of each page that held code. Must not be called while a block runs.
  func removeAll(_ pageDropped: (UInt32) -> Void) {
    flushes += 1
    // Neither tables nor lists know anything else.
    if usedBlocks == 0 { return }
    for n in 0..<usedBlocks {
      bucketHeads[bucket(blockArena[n].physical)] = nil
      let page = UInt32(truncatingIfNeeded: blockArena[n].physical >> 12)
      if pageHeads[Int(page)] != nil {
        pageHeads[Int(page)] = nil
        pageDropped(page)
      }
      let second = blockArena[n].secondPage
      if second != UInt32.max { pageDropped(second) }
    }
    crossing.removeAll()
    usedBlocks = 0
    usedRecords = 0
    usedBytes = 0
    usedVersions = 0
    clearLookaside()
  }
}

/// How far decoding goes ahead. Code that is entered everywhere and left at once (a guest that executes garbage faults after an instruction
/// or two, each time elsewhere) would have whole blocks decoded for one instruction, and their records would drive each other out. What a
/// guest sees does not depend on it.
struct DecodeDepth {
  /// Instructions in a block at most.
  private(set) var limit = BlockCache.maximumCount
  private static let shallow = 4
  /// The count of instructions when everything was last dropped.
  private var start: UInt64 = 0

  /// The arenas are full.
  /// - Parameters:
  ///   - count: retired instructions.
  ///   - used: records and blocks that were made since the last time.
  mutating func arenasFilled(at count: UInt64, used: (records: Int, blocks: Int)) {
    // Less than one run for each record that was made.
    limit = count &- start < UInt64(used.records) ? DecodeDepth.shallow : BlockCache.maximumCount
    start = count
  }

  /// Looks now and then, while blocks are short, whether the guest runs through them as usual again.
  /// - Returns: whether all should be decoded anew.
  mutating func deepens(at count: UInt64, used: (records: Int, blocks: Int)) -> Bool {
    guard limit < BlockCache.maximumCount, used.blocks & 255 == 255,
      count &- start > 64 &* UInt64(used.blocks)
    else { return false }
    limit = BlockCache.maximumCount
    start = count
    return true
  }
}
