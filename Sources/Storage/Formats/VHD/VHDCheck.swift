// Examining and mending VHD images.
//
// Owns: what can be wrong with footers; the rest is the same for all tables of blocks. Must not know: names, parents.
// After: Virtual Hard Disk Image Format Specification 1.0 (Microsoft).

extension VHDFormat: CheckableFormat {
  func check(_ store: any ByteStore, _ repair: ImageRepair, _ context: ImageContext)
    throws(StorageError) -> ImageCheck
  {
    var check = ImageCheck()
    guard let found = try VHDFormat.find(store) else {
      check.add(.init(.unreadable, at: 0, "no footer with a good check sum"))
      return check
    }
    let map: VHDMap
    do throws(StorageError) {
      map = try VHDFormat.openMap(store, context, findsParent: false).map
    } catch {
      check.add(.init(.unreadable, at: error.offset, error.reason))
      return check
    }
    let mends = repair != .none && store.isWritable
    guard map.header != nil else {
      check.totalUnits = 1
      check.allocatedUnits = 1
      check.imageEnd = store.size
      return check
    }
    let cutOff = store.size
    if found.place != nil, found.hasGoodCopy == false {
      check.add(
        .init(
          found.copyIsOlder ? .leak : .corruption, at: 0,
          "the footer's copy at the beginning is damaged or differs",
          isRepaired: repair == .all && store.isWritable))
    }
    let space = try map.check(store.isWritable ? repair : .none, into: &check) {
      (number, place, space) throws(StorageError) in
      try map.relocate(number, place, &space)
    }
    if repair == .all, store.isWritable {
      try map.commit()
      if found.hasGoodCopy == false { try map.mendFooters() }
    }
    let end = map.reserved.map(\.upperBound).reduce(space.end) { max($0, $1) }.rounded(upTo: 512)
    let tail = store.size > end + VHDFooter.size ? store.size - end - VHDFooter.size : 0
    // Where something is wrong that stays, the end of what is used is not known.
    let canCut = mends && check.openFaults == 0
    if found.place == nil {
      // Nothing is in danger as long as the copy is there; it is what a power failure leaves.
      check.add(
        .init(
          .leak, at: cutOff, "the footer at the end is missing or damaged", isRepaired: canCut))
    }
    // Less than a block is what some programs leave when they align.
    if tail >= map.unit {
      check.add(
        .init(.leak, at: end, "\(tail) bytes that no block uses", isRepaired: canCut))
    }
    if canCut, tail >= map.unit || found.place == nil {
      try map.cutTail(after: end)
    }
    check.imageEnd = end + VHDFooter.size
    return check
  }
}
