// Examining and mending VHDX images.
//
// Owns: what can be wrong with region tables and states; the rest is the same for all tables of blocks. Must not know: names, parents.
// After: [MS-VHDX] 2.2.3 and 2.5.

extension VHDXFormat: CheckableFormat {
  func check(_ store: any ByteStore, _ repair: ImageRepair, _ context: ImageContext)
    throws(StorageError) -> ImageCheck
  {
    var check = ImageCheck()
    let map: VHDXMap
    do throws(StorageError) {
      map = try VHDXFormat.openMap(store, context, findsParent: false).map
    } catch {
      check.add(.init(.unreadable, at: error.offset, error.reason))
      return check
    }
    let mends = repair != .none && store.isWritable
    try checkRegionTables(map.store, mends && repair == .all ? map : nil, &check)
    let space = try map.check(mends ? repair : .none, into: &check) {
      (number, place, space) throws(StorageError) in
      try map.relocate(number, place, &space)
    }
    try checkStates(map, &check)
    if mends, check.repaired > 0 {
      try map.prepareChange()
      try map.finish()
    }
    let end = map.reserved.map(\.upperBound).reduce(max(space.end, map.dataStart)) { max($0, $1) }
    let tail = map.store.size > end ? map.store.size - end : 0
    let canCut = mends && check.openFaults == 0
    if tail >= VHDXLayout.megabyte {
      check.add(
        .init(.leak, at: end, "\(tail) bytes that no block uses", isRepaired: canCut))
      if canCut { try map.cutTail(after: end) }
    }
    check.imageEnd = end
    return check
  }

  /// Both copies of the region table are whole and the same.
  private func checkRegionTables(
    _ store: any ByteStore, _ mending: VHDXMap?, _ check: inout ImageCheck
  ) throws(StorageError) {
    let copies = try VHDXRegions.copies(store)
    if copies[0] != nil, copies[0] == copies[1] { return }
    let good = copies[0] == nil ? 1 : 0
    let place = VHDXLayout.regionTables[1 - good]
    if let mending, let bytes = copies[good] {
      try mending.prepareChange()
      try mending.store.write(at: place, bytes)
      try mending.store.flush()
    }
    check.add(
      .init(
        .corruption, at: place, "a region table is damaged, or differs from the other",
        isRepaired: mending != nil))
  }

  private func checkStates(_ map: VHDXMap, _ check: inout ImageCheck) throws(StorageError) {
    var allocated: UInt64 = 0
    for number in 0..<map.entryCount {
      if let fault = try map.stateFault(number) {
        check.add(.init(.corruption, at: map.entryOffset(number), "entry \(number) \(fault)"))
      } else if case .at = try map.entry(number) {
        allocated += 1
      }
    }
    check.allocatedUnits = allocated
  }
}
