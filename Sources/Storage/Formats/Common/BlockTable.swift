// Looking through a table of blocks: before the first change, and when an image is checked.
//
// Owns: what can be wrong with the places in a table, and which of it can be mended so that nothing that can be read is lost. Must not know:
// any format.

/// An entry of a table of blocks.
enum TableEntry: Equatable {
  /// No room in the file.
  case none
  /// Zeros, without room.
  case zero
  /// The byte offset in the file.
  case at(UInt64)
}

/// A table that says for each block of a disk where it is in the file.
protocol BlockTable: AnyObject {
  var store: any ByteStore { get }
  var entryCount: UInt64 { get }
  /// Bytes of a block in the file, with what belongs to it.
  var unit: UInt64 { get }
  /// No block begins before.
  var dataStart: UInt64 { get }
  /// Whether the file may become longer where its end is missing: nothing of the format stands there.
  var mayLengthen: Bool { get }
  /// What else is in the file, where blocks could be.
  var reserved: [Range<UInt64>] { get }
  /// What a block is called, as in "grain".
  var unitName: String { get }

  /// The entry as it stands; its place may be anywhere.
  func entry(_ number: UInt64) throws(StorageError) -> TableEntry
  /// Where the entry is in the file.
  func entryOffset(_ number: UInt64) throws(StorageError) -> UInt64
  /// Changes it, in memory: the next commit writes it.
  func setEntry(_ number: UInt64, _ entry: TableEntry) throws(StorageError)
  /// The first entry at or behind this one that may have room, without looking at each.
  func nextEntry(_ number: UInt64) throws(StorageError) -> UInt64
  /// Bytes that a block needs in the file: fewer where the disk ends in it and the format lets the file end there too.
  func bytesInFile(_ number: UInt64) -> UInt64
  /// Notes the place of an entry; false: it overlaps another.
  func take(_ place: UInt64, _ number: UInt64, in map: inout SpaceMap) -> Bool
  /// A map without any blocks.
  func emptyMap() -> SpaceMap
}

extension BlockTable {
  func nextEntry(_ number: UInt64) throws(StorageError) -> UInt64 { number }
  func bytesInFile(_ number: UInt64) -> UInt64 { unit }
  func take(_ place: UInt64, _ number: UInt64, in map: inout SpaceMap) -> Bool { map.take(place) }
  func emptyMap() -> SpaceMap { SpaceMap(unit: unit, start: 0) }
  var reserved: [Range<UInt64>] { [] }
  var mayLengthen: Bool { true }

  /// Whether a block begins inside the file and the rest of it is missing.
  private func isCutOff(_ place: UInt64, _ number: UInt64, at size: UInt64) -> Bool {
    let bytes = bytesInFile(number)
    return place % 512 == 0 && place >= dataStart && place < size && bytes > size - place
      && !reserved.contains { $0.lowerBound < place + bytes && place < $0.upperBound }
  }

  /// What is wrong with a place, or nil.
  func fault(of place: UInt64, _ number: UInt64) -> String? {
    let size = store.size
    let bytes = bytesInFile(number)
    if place % 512 != 0 { return "lies at \(place), which is no sector" }
    if place < dataStart { return "lies at \(place), before the data at \(dataStart)" }
    if place >= size || bytes > size - place {
      return "lies at \(place), but the file ends at \(size)"
    }
    if let range = reserved.first(where: { $0.lowerBound < place + bytes && place < $0.upperBound })
    {
      return "lies at \(place), where the image has its tables (\(range.lowerBound))"
    }
    return nil
  }

  /// Looks at all entries once.
  /// - Parameter fault: hears of each place that cannot be; whether it overlaps another. It throws to end the survey.
  func survey(
    _ heard: (_ number: UInt64, _ place: UInt64, _ text: String, _ overlaps: Bool)
      throws(StorageError) -> Void
  ) throws(StorageError) -> SpaceMap {
    var map = emptyMap()
    var number: UInt64 = 0
    while true {
      number = try nextEntry(number)
      if number >= entryCount { break }
      if case .at(let place) = try entry(number) {
        if let text = fault(of: place, number) {
          try heard(number, place, text, false)
        } else if !take(place, number, in: &map) {
          try heard(number, place, "lies at \(place), where another does", true)
        }
      }
      number += 1
    }
    return map
  }

  /// The places that are taken, of a table in which nothing is wrong.
  /// - Throws: the first fault. An image with one is not written: the next write could be the one that does the harm.
  func soundSurvey() throws(StorageError) -> SpaceMap {
    try survey { (number, place, text, _) throws(StorageError) in
      throw store.refusal(
        at: try entryOffset(number), "\(unitName) \(number) \(text); a repair can help")
    }
  }

  /// The part of a check that is the same for all tables.
  /// - Parameter relocate: gives a block room of its own and copies what it reads as now; nil when there is none.
  /// - Returns: what is taken when all is done.
  func check(
    _ repair: ImageRepair, into check: inout ImageCheck,
    relocate: (_ number: UInt64, _ place: UInt64, _ map: inout SpaceMap) throws(StorageError) ->
      UInt64?
  ) throws(StorageError) -> SpaceMap {
    var overlapping: [(number: UInt64, place: UInt64)] = []
    var outside: [(number: UInt64, place: UInt64, text: String)] = []
    var overlaps: UInt64 = 0
    var outsides: UInt64 = 0
    // Copies go behind all of them, whichever of two is the one that has to move.
    var farthest: UInt64 = 0
    var map = try survey { (number, place, text, isOverlap) throws(StorageError) in
      if isOverlap {
        overlaps += 1
        farthest = max(farthest, place + unit)
        if overlapping.count < 100_000 { overlapping.append((number, place)) }
      } else {
        outsides += 1
        if outside.count < 100_000 { outside.append((number, place, text)) }
      }
    }
    map.reach(farthest)
    let size = store.size
    for fault in outside {
      // What lies wholly behind the end cannot be read, and never will be: nothing is lost with the entry. Of what is cut off all that is
      // there stays. All else stays as it is.
      var text = "\(unitName) \(fault.number) \(fault.text)"
      var mends = false
      if repair == .all, fault.place >= size {
        try setEntry(fault.number, .none)
        mends = true
      } else if repair == .all, mayLengthen, isCutOff(fault.place, fault.number, at: size),
        take(fault.place, fault.number, in: &map)
      {
        try store.grow(to: fault.place + bytesInFile(fault.number))
        text += "; what is missing of it is zeros now"
        mends = true
      }
      check.add(
        .init(.corruption, at: try entryOffset(fault.number), text, isRepaired: mends))
    }
    let limit = store.size / 4 + (64 << 20)
    var copied: UInt64 = 0
    for fault in overlapping {
      var text = "\(unitName) \(fault.number) lies at \(fault.place), where another does"
      var mended = false
      if repair == .all, copied + unit <= limit,
        let place = try relocate(fault.number, fault.place, &map)
      {
        copied += unit
        text += "; it now has a copy of its own at \(place)"
        mended = true
      }
      check.add(
        .init(.corruption, at: try entryOffset(fault.number), text, isRepaired: mended))
    }
    for (seen, all) in [(UInt64(outside.count), outsides), (UInt64(overlapping.count), overlaps)]
    where seen < all {
      for _ in seen..<min(all, seen + 1_000_000) {
        check.add(.init(.corruption, "another \(unitName) like those before"))
      }
    }
    check.totalUnits += entryCount
    check.allocatedUnits += map.count
    return map
  }
}

/// Copies bytes inside stores.
enum ByteCopy {
  static func copy(
    _ from: any ByteStore, _ start: UInt64, to: any ByteStore, _ target: UInt64, count: UInt64
  ) throws(StorageError) {
    var done: UInt64 = 0
    while done < count {
      let part = try from.bytes(at: start + done, count: Int(min(1 << 20, count - done)))
      if part.isEmpty { return }
      try to.write(at: target + done, part)
      done += UInt64(part.count)
    }
  }
}
