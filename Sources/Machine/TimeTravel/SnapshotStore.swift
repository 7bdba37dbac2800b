// Snapshots of a machine in memory, each holding only what was written since the one before.
//
// Owns: the contents of pages, sectors and parts, their memory, thinning out. Must not know: when snapshots are taken, what for.
//
// A snapshot has every page that may differ from the snapshot before it (pages that do not appear earlier were zero). What a page held
// at snapshot k is what the latest snapshot up to k has of it; so a snapshot can be put between two others, and one that is left
// out gives what its successor lacks to that.

import CPU
import Chipset
import State

/// Pages of 4 KiB in slabs, reused.
final class PageStore {
  private static let slabPages = 256
  /// Stands for a page of zeros.
  static let zero = UInt32.max
  private var slabs: [UnsafeMutableRawPointer] = []
  private var free: [UInt32] = []
  private var used: UInt32 = 0
  /// Pages that are held.
  var held: Int { Int(used) - free.count }

  deinit { for slab in slabs { slab.deallocate() } }

  /// Keeps a page.
  func add(_ page: UnsafeRawBufferPointer) -> UInt32 {
    if PageStore.isZero(page) { return PageStore.zero }
    let slot: UInt32
    if let reused = free.popLast() {
      slot = reused
    } else {
      slot = used
      used += 1
      if Int(slot) / PageStore.slabPages == slabs.count {
        slabs.append(
          UnsafeMutableRawPointer.allocate(
            byteCount: PageStore.slabPages * 4096, alignment: 4096))
      }
    }
    address(slot).copyMemory(from: page.baseAddress.unsafelyUnwrapped, byteCount: 4096)
    return slot
  }

  func remove(_ slot: UInt32) { if slot != PageStore.zero { free.append(slot) } }

  /// A page's contents; nil: zeros.
  func contents(_ slot: UInt32) -> UnsafeRawPointer? {
    slot == PageStore.zero ? nil : UnsafeRawPointer(address(slot))
  }

  private func address(_ slot: UInt32) -> UnsafeMutableRawPointer {
    slabs[Int(slot) / PageStore.slabPages] + Int(slot) % PageStore.slabPages * 4096
  }

  static func isZero(_ page: UnsafeRawBufferPointer) -> Bool {
    for offset in stride(from: 0, to: page.count, by: 64) {
      var any: UInt64 = 0
      for word in stride(from: offset, to: offset + 64, by: 8) {
        any |= page.load(fromByteOffset: word, as: UInt64.self)
      }
      if any != 0 { return false }
    }
    return true
  }
}

/// The state of one part, in pieces that snapshots share as long as they are equal.
struct SnapshotPart {
  private static let piece = 4096
  let pieces: [[UInt8]]
  /// The bytes that are not shared with the earlier one.
  let ownBytes: Int

  init(_ bytes: [UInt8], after earlier: SnapshotPart?) {
    var pieces: [[UInt8]] = []
    var own = 0
    var offset = 0
    while offset < bytes.count {
      let part = bytes[offset..<min(offset + SnapshotPart.piece, bytes.count)]
      if let earlier, pieces.count < earlier.pieces.count,
        part.elementsEqualFast(earlier.pieces[pieces.count])
      {
        pieces.append(earlier.pieces[pieces.count])
      } else {
        pieces.append(Array(part))
        own += part.count + 32
      }
      offset += SnapshotPart.piece
    }
    self.pieces = pieces
    ownBytes = own
  }

  var bytes: [UInt8] { Array(pieces.joined()) }
}

extension ArraySlice<UInt8> {
  fileprivate func elementsEqualFast(_ other: [UInt8]) -> Bool {
    if count != other.count { return false }
    return withUnsafeBytes { a in
      other.withUnsafeBytes { b in
        var offset = 0
        while offset + 8 <= a.count {
          if a.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            != b.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
          {
            return false
          }
          offset += 8
        }
        while offset < a.count {
          if a[offset] != b[offset] { return false }
          offset += 1
        }
        return true
      }
    }
  }
}

/// A sector of one of the machine's disks.
struct DiskSector: Hashable {
  var disk: Int
  var sector: UInt64
}

/// What was written to a disk so far.
struct DiskMark {
  var writeHash: UInt64
  var generation: UInt64
}

/// The machine at one instruction.
final class Snapshot {
  let instruction: UInt64
  let executed: UInt64
  /// The first event of the journal that was not taken yet.
  let cursor: Int
  let parts: [SnapshotPart]
  /// Of each processor.
  let translations: [SavedTranslations]
  let disks: [DiskMark]
  /// Which disk of the shelf is in which floppy or CD drive, and the hash of what was written to those taken out.
  let media: MediaPlaces
  /// What it holds cannot be had by running: it is never left out.
  let isPinned: Bool
  /// RAM pages, ascending, and where they are kept.
  fileprivate(set) var pages: [UInt32]
  fileprivate(set) var slots: [UInt32]
  fileprivate(set) var sectors: [DiskSector: [UInt8]?]

  fileprivate init(
    instruction: UInt64, executed: UInt64, cursor: Int, parts: [SnapshotPart],
    translations: [SavedTranslations], disks: [DiskMark],
    media: MediaPlaces, isPinned: Bool, pages: [UInt32],
    slots: [UInt32], sectors: [DiskSector: [UInt8]?]
  ) {
    self.isPinned = isPinned
    self.instruction = instruction
    self.executed = executed
    self.cursor = cursor
    self.parts = parts
    self.translations = translations
    self.disks = disks
    self.media = media
    self.pages = pages
    self.slots = slots
    self.sectors = sectors
  }

  /// The memory it takes besides its pages; what parts share is counted once.
  fileprivate var smallBytes: Int {
    parts.reduce(0) { $0 + $1.ownBytes } + translations.reduce(0) { $0 + $1.byteCount }
      + pages.count * 8
      + sectors.count * 600
  }
}

/// All snapshots of a machine, in order.
final class SnapshotStore {
  private let machine: Machine
  private let store = PageStore()
  private(set) var snapshots: [Snapshot] = []
  /// The snapshot that was taken or put back last: what the tracker says was written since then.
  private(set) var base: Snapshot?
  private var smallBytes = 0

  /// - Parameter machine: kept alive by its owner for as long as this lives.
  init(_ machine: Machine) { self.machine = machine }

  /// The memory in use.
  var byteCount: Int { store.held * 4096 + smallBytes }

  /// The index of the latest snapshot at or before an instruction.
  func index(before instruction: UInt64) -> Int? {
    var low = 0
    var high = snapshots.count
    while low < high {
      let middle = (low + high) / 2
      if snapshots[middle].instruction <= instruction { low = middle + 1 } else { high = middle }
    }
    return low == 0 ? nil : low - 1
  }

  // MARK: Taking

  /// Takes a snapshot of the machine as it is; there is at most one at a place of the journal.
  func take(cursor: Int, isPinned: Bool = false) {
    let instruction = machine.instructionCount
    let at = (index(before: instruction) ?? -1) + 1
    if at > 0, snapshots[at - 1].instruction == instruction, snapshots[at - 1].cursor == cursor {
      return
    }
    let (memory, cpu) = (machine.memory, machine.cpu)
    var pages: [UInt32] = []
    var slots: [UInt32] = []
    var sectors: [DiskSector: [UInt8]?] = [:]
    if base == nil {
      cpu.takeWrittenPages(.snapshots) { _ in }
      memory.forEachUsedPage { page in
        let contents = memory.page(page)
        if PageStore.isZero(contents) { return }
        pages.append(UInt32(page))
        slots.append(store.add(contents))
      }
      for disk in machine.disks { disk.forgetWritten() }
    } else {
      cpu.takeWrittenPages(.snapshots) { page in
        pages.append(UInt32(page))
        slots.append(store.add(memory.page(page)))
      }
      for (index, disk) in machine.disks.enumerated() {
        for (sector, contents) in disk.takeWritten() {
          sectors.updateValue(contents, forKey: DiskSector(disk: index, sector: sector))
        }
      }
    }
    var parts: [SnapshotPart] = []
    for index in machine.partNames.indices {
      parts.append(
        SnapshotPart(
          machine.savePart(index),
          after: base.flatMap { index < $0.parts.count ? $0.parts[index] : nil }))
    }
    let snapshot = Snapshot(
      instruction: instruction, executed: machine.executedInstructions, cursor: cursor,
      parts: parts, translations: machine.processors.map { $0.saveTranslations() },
      disks: machine.disks.map { DiskMark(writeHash: $0.writeHash, generation: $0.generation) },
      media: machine.mediaPlaces, isPinned: isPinned, pages: pages, slots: slots, sectors: sectors)
    smallBytes += snapshot.smallBytes
    snapshots.insert(snapshot, at: at)
    base = snapshot
  }

  // MARK: Putting back

  /// Makes the machine what it was at a snapshot.
  /// - Throws: never, unless a part does not read what it wrote; the machine is then what it was, or will not run any more
  ///   (`Machine.damage`).
  func restore(_ index: Int) throws(StateError) {
    guard snapshots.indices.contains(index), let base,
      let from = snapshots.firstIndex(where: { $0 === base })
    else { return }
    let snapshot = snapshots[index]
    try tryParts(of: snapshot)
    restoreMemory(index, from)
    restoreDisks(index, from)
    machine.mediaPlaces = snapshot.media
    for (index, part) in snapshot.parts.enumerated() {
      try machine.restorePart(index, part.bytes)
    }
    machine.afterRestore()
    machine.idleInstructions = snapshot.instruction &- snapshot.executed
    // Disks that were put in later have not been written yet.
    for (index, disk) in machine.disks.enumerated() {
      let mark = index < snapshot.disks.count ? snapshot.disks[index] : nil
      disk.writeHash = mark?.writeHash ?? 0
      disk.generation = mark?.generation ?? 0
    }
    machine.cpu.takeWrittenPages(.snapshots) { _ in }
    for (cpu, translations) in zip(machine.processors, snapshot.translations) {
      cpu.restoreTranslations(translations)
    }
    self.base = snapshot
  }

  /// Puts a snapshot's parts into the machine before anything else of it, so that a part that refuses finds memory and disks as they
  /// were: the parts that the machine had go back then.
  private func tryParts(of snapshot: Snapshot) throws(StateError) {
    let media = machine.mediaPlaces
    let present = snapshot.parts.indices.map { machine.savePart($0) }
    let translations = machine.processors.map { $0.saveTranslations() }
    machine.mediaPlaces = snapshot.media
    do throws(StateError) {
      for (index, part) in snapshot.parts.enumerated() {
        try machine.restorePart(index, part.bytes)
      }
    } catch {
      machine.mediaPlaces = media
      do throws(StateError) {
        for (index, bytes) in present.enumerated() { try machine.restorePart(index, bytes) }
      } catch let second {
        machine.damage =
          "the machine is half in its past, as a part of it could not be put back: \(second)"
      }
      machine.afterRestore()
      for (cpu, saved) in zip(machine.processors, translations) { cpu.restoreTranslations(saved) }
      throw error
    }
  }

  private func restoreMemory(_ index: Int, _ from: Int) {
    let memory = machine.memory
    var wanted = [Bool](repeating: false, count: memory.pageCount)
    var count = 0
    func want(_ page: Int) {
      if wanted[page] { return }
      wanted[page] = true
      count += 1
    }
    machine.cpu.takeWrittenPages(.snapshots) { want($0) }
    for other in snapshots[min(index, from)...max(index, from)].dropFirst() {
      for page in other.pages { want(Int(page)) }
    }
    var at = index
    while at >= 0 && count > 0 {
      let source = snapshots[at]
      for (page, slot) in zip(source.pages, source.slots) where wanted[Int(page)] {
        wanted[Int(page)] = false
        count -= 1
        put(Int(page), store.contents(slot))
      }
      at -= 1
    }
    if count > 0 { for page in wanted.indices where wanted[page] { put(page, nil) } }
  }

  /// Pages that are what they were keep their decoded code.
  private func put(_ page: Int, _ contents: UnsafeRawPointer?) {
    let present = machine.memory.page(page)
    if let contents {
      let other = UnsafeRawBufferPointer(start: contents, count: 4096)
      for offset in stride(from: 0, to: 4096, by: 8)
      where present.load(fromByteOffset: offset, as: UInt64.self)
        != other.load(fromByteOffset: offset, as: UInt64.self)
      {
        machine.memory.setPage(page, contents)
        return
      }
    } else if !PageStore.isZero(present) {
      machine.memory.setPage(page, nil)
    }
  }

  private func restoreDisks(_ index: Int, _ from: Int) {
    let disks = machine.disks
    var wanted = Set<DiskSector>()
    for (index, disk) in disks.enumerated() {
      for sector in disk.recentlyWritten {
        wanted.insert(DiskSector(disk: index, sector: sector))
      }
    }
    for other in snapshots[min(index, from)...max(index, from)].dropFirst() {
      for sector in other.sectors.keys { wanted.insert(sector) }
    }
    for sector in wanted {
      var at = index
      var contents = disks[sector.disk].contentsBefore(sector.sector)
      while at >= 0 {
        if let found = snapshots[at].sectors[sector] {
          contents = found
          break
        }
        at -= 1
      }
      disks[sector.disk].putBack(sector.sector, contents)
    }
    for disk in disks { disk.forgetWritten() }
  }

  // MARK: Leaving out

  /// Forgets all snapshots after a place.
  func removeAll(after instruction: UInt64, cursor: Int) {
    while let last = snapshots.last, last !== base,
      last.instruction > instruction || last.cursor > cursor
    {
      for slot in last.slots { store.remove(slot) }
      smallBytes -= last.smallBytes
      snapshots.removeLast()
    }
  }

  /// Leaves snapshots out until they fit: the further from `position` and from the last of all, the sparser. Who goes back comes forward
  /// again.
  func thin(to budget: Int, position: UInt64) {
    let end = snapshots.last?.executed ?? position
    while byteCount > budget && snapshots.count > 3 {
      var best = -1
      var least = Double.infinity
      for index in 1..<snapshots.count - 1
      where snapshots[index] !== base && !snapshots[index].isPinned {
        let gap = snapshots[index + 1].executed &- snapshots[index - 1].executed
        let there = snapshots[index].executed
        let distance = min(there > position ? there - position : position - there, end - there)
        let value = Double(gap) / (Double(distance) + 1e6)
        if value < least {
          least = value
          best = index
        }
      }
      if best < 0 { return }
      leaveOut(best)
    }
    // Not even few fit: the beginning goes, the present stays.
    while byteCount > budget && snapshots.count > 2 && snapshots[0] !== base
      && !snapshots[0].isPinned
    {
      leaveOut(0)
    }
  }

  private func leaveOut(_ index: Int) {
    let (gone, heir) = (snapshots[index], snapshots[index + 1])
    smallBytes -= gone.smallBytes + heir.smallBytes
    var pages: [UInt32] = []
    var slots: [UInt32] = []
    var (a, b) = (0, 0)
    while a < gone.pages.count || b < heir.pages.count {
      if b == heir.pages.count || (a < gone.pages.count && gone.pages[a] < heir.pages[b]) {
        pages.append(gone.pages[a])
        slots.append(gone.slots[a])
        a += 1
      } else {
        if a < gone.pages.count && gone.pages[a] == heir.pages[b] {
          store.remove(gone.slots[a])
          a += 1
        }
        pages.append(heir.pages[b])
        slots.append(heir.slots[b])
        b += 1
      }
    }
    heir.pages = pages
    heir.slots = slots
    heir.sectors.merge(gone.sectors) { kept, _ in kept }
    smallBytes += heir.smallBytes
    snapshots.remove(at: index)
  }
}

extension Machine {
  /// What follows from parts that were put back.
  func afterRestore() {
    requests = []
    board.first(FirmwareConfiguration.self)?.follow()
    board.resynchronizeLines()
    setPins()
  }
}
