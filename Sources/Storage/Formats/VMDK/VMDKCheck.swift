// Examining and mending VMDK images.
//
// Owns: what can be wrong with grain directories and their copies; the rest is the same for all tables of blocks. Must not know: names, parents.
// After: VMware Virtual Disk Format 5.0, "Grain Directories and Grain Tables".

extension VMDKFormat: CheckableFormat {
  func check(_ store: any ByteStore, _ repair: ImageRepair, _ context: ImageContext)
    throws(StorageError) -> ImageCheck
  {
    var check = ImageCheck()
    let map: VMDKMap
    do throws(StorageError) {
      map = try VMDKFormat.openMap(store, context, findsParent: false)
    } catch {
      check.add(.init(.unreadable, at: error.offset, error.reason))
      return check
    }
    for extent in map.extents {
      guard let extent = extent as? VMDKSparseExtent else {
        check.totalUnits += 1
        check.allocatedUnits += 1
        check.imageEnd += extent.store.size
        continue
      }
      try self.check(
        extent, extent.isWritable && store.isWritable ? repair : .none, &check)
    }
    return check
  }

  private func check(
    _ extent: VMDKSparseExtent, _ repair: ImageRepair, _ own: inout ImageCheck
  ) throws(StorageError) {
    let before = own.corruptions + own.unreadables + own.leaks - own.repaired
    if try !checkDirectories(extent, repair, &own) { return }
    if extent.isCompressed {
      own.totalUnits += extent.entryCount
      return try checkPacked(extent, &own)
    }
    let space = try extent.check(repair, into: &own) {
      (number, place, space) throws(StorageError) in
      try extent.relocate(number, place, &space)
    }
    if repair != .none {
      try extent.commit()
      try extent.commit()
    }
    try checkCopies(extent, repair, &own)
    let end = max(space.end, extent.tables.end(), extent.dataStart)
    // The last grain may end with the disk.
    let tail = extent.store.size > end ? extent.store.size - end : 0
    let canCut =
      repair != .none && own.corruptions + own.unreadables + own.leaks - own.repaired == before
    if tail >= extent.unit {
      own.add(.init(.leak, at: end, "\(tail) bytes that no grain uses", isRepaired: canCut))
      if canCut {
        try extent.store.flush()
        try extent.store.setSize(end)
        try extent.store.flush()
      }
    }
    own.imageEnd += end
  }

  /// Tables lie in the file. One that does not, and whose copy does, is replaced by the copy.
  /// - Returns: whether all tables can be read.
  private func checkDirectories(
    _ extent: VMDKSparseExtent, _ repair: ImageRepair, _ check: inout ImageCheck
  ) throws(StorageError) -> Bool {
    let tables = extent.tables
    var isReadable = true
    for number in 0..<tables.tableCount {
      do throws(StorageError) { _ = try tables.table(number) } catch {
        var isMended = false
        if repair == .all, let copy = try? tables.table(number, redundant: true) {
          try tables.setTable(number, copy, copy: nil)
          isMended = true
        }
        if !isMended { isReadable = false }
        check.add(.init(.corruption, at: error.offset, error.reason, isRepaired: isMended))
      }
    }
    if isReadable, let found = try tables.overlap() {
      check.add(
        .init(
          .corruption, at: tables.directoryOffset(found.number),
          "grain table \(found.number) lies at \(found.place), where another does"))
      return false
    }
    return isReadable
  }

  /// The copies of tables are equal to them, or know less.
  private func checkCopies(
    _ extent: VMDKSparseExtent, _ repair: ImageRepair, _ check: inout ImageCheck
  ) throws(StorageError) {
    let tables = extent.tables
    guard tables.hasRedundant else { return }
    let store = extent.store
    for number in 0..<tables.tableCount {
      guard let place = try tables.table(number) else { continue }
      let found: UInt64?
      do throws(StorageError) { found = try tables.table(number, redundant: true) } catch {
        check.add(.init(.corruption, at: error.offset, error.reason))
        continue
      }
      guard let copy = found, copy != place else { continue }
      let size = tables.tableSize
      if store.nextData(from: place) >= place + size, store.nextData(from: copy) >= copy + size {
        continue
      }
      let first = Fields(try store.bytes(at: place, count: Int(size)))
      let second = Fields(try store.bytes(at: copy, count: Int(size)))
      if first.bytes == second.bytes { continue }
      // What one of the two has and the other has not is what a power failure leaves: the table is written first. An entry that only the
      // copy has may be one that the table has lost, too: that is not overwritten by itself.
      var (isBehind, isLess) = (true, true)
      for at in stride(from: 0, to: Int(size), by: 4) {
        let (own, other) = (
          first.little(at, as: UInt32.self), second.little(at, as: UInt32.self)
        )
        if own == other || other == 0 { continue }
        isLess = false
        if own != 0 { isBehind = false }
      }
      let mends = repair == .all || repair == .leaks && isLess
      if mends {
        try store.write(at: copy, first.bytes)
        try store.flush()
      }
      check.add(
        .init(
          isBehind ? .leak : .corruption, at: copy,
          isBehind
            ? "the copy of grain table \(number) has not what the table has"
            : "the copy of grain table \(number) differs from it", isRepaired: mends))
    }
  }

  /// Compressed grains can be unpacked; what nobody names between them is not looked for.
  private func checkPacked(_ extent: VMDKSparseExtent, _ check: inout ImageCheck)
    throws(StorageError)
  {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 16)
    defer { buffer.deallocate() }
    // Compressed grains begin with sectors.
    var space = SpaceMap(unit: 512, start: 0)
    var number: UInt64 = 0
    while true {
      number = try extent.nextEntry(number)
      if number >= extent.entryCount { break }
      if case .at(let place) = try extent.entry(number) {
        check.allocatedUnits += 1
        check.compressedUnits += 1
        guard place < extent.store.size, space.take(place) else {
          check.add(
            .init(
              .corruption, at: try extent.entryOffset(number),
              place < extent.store.size
                ? "grain \(number) lies at \(place), where another does"
                : "grain \(number) lies at \(place), but the file ends at \(extent.store.size)"))
          number += 1
          continue
        }
        do throws(StorageError) {
          try extent.unpack(number * extent.grainSize, into: buffer)
        } catch {
          check.add(.init(.corruption, at: error.offset, error.reason))
        }
      }
      number += 1
    }
    check.imageEnd += extent.store.size
  }
}
