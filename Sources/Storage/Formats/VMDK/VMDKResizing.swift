// Another size for a VMDK disk.
//
// Owns: longer tables of a sparse extent, more files of an image in several, the lines of the descriptor that say so. Must not know: parents.
// After: VMware Virtual Disk Format 5.0.
//
// The descriptor is changed a sector at a time, each of which leaves a text that holds: a power failure leaves a disk of the old size, of the
// new one, or, of an image in several files, of one between them.

extension VMDKSparseExtent {
  func resize(to newCount: UInt64) throws(StorageError) {
    guard newCount > 0, newCount <= 1 << 42 else {
      throw store.refusal("\(newCount) sectors are no size of an extent")
    }
    try commit()
    if newCount > sectorCount { return try grow(to: newCount) }
    var changed = header
    changed.set(
      capacity: newCount, directory: header.directory, redundant: header.redundantDirectory)
    let (first, last) = ((newCount + grainSize - 1) / grainSize, entryCount)
    // What is cut off has no entries from now on; whoever grows again looks for what is left of them.
    for grain in first..<max(first, last) where try entry(grain) != .none {
      try setEntry(grain, .none)
      if tables.isFull { try commit() }
    }
    sectorCount = newCount
    try commit()
    try store.write(at: 0, changed.bytes)
    try store.flush()
    header = changed
    tables = VMDKGrainTables(store, header)
  }

  private func grow(to newCount: UInt64) throws(StorageError) {
    // Behind the end there may be anything: in the last grain, and in grains that were cut off.
    let last = sectorCount / grainSize
    if sectorCount % grainSize != 0, case .at(let place) = try entry(last) {
      if isCompressed {
        // A grain is packed with zeros behind the disk's end, unless it was cut off there.
        try clearPacked(last, from: Int(sectorCount % grainSize) * 512)
      } else {
        try store.grow(to: place + unit)
        let start = sectorCount % grainSize * 512
        try store.zero(at: place + start, count: unit - start, releasing: false)
      }
    }
    let first = (sectorCount + grainSize - 1) / grainSize
    for number in first / header.entriesPerTable..<header.tableCount {
      if try tables.isBlank(number) { continue }
      let start = max(first, number * header.entriesPerTable)
      for grain in start..<max(start, min(entryCount, (number + 1) * header.entriesPerTable))
      where try entry(grain) != .none {
        try setEntry(grain, .none)
        if tables.isFull { try commit() }
      }
    }
    try commit()
    if newCount > header.capacity { try growTables(to: newCount) }
    sectorCount = newCount
  }

  private func clearPacked(_ grain: UInt64, from start: Int) throws(StorageError) {
    let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(unit), alignment: 64)
    defer { whole.deallocate() }
    try unpack(grain * grainSize, into: whole)
    UnsafeMutableRawBufferPointer(rebasing: whole[start...]).initializeMemory(
      as: UInt8.self, repeating: 0)
    try pack(grain, UnsafeRawBufferPointer(whole))
  }

  /// New directories behind everything, with the tables there are and new ones of zeros behind them.
  private func growTables(to newCount: UInt64) throws(StorageError) {
    var changed = header
    changed.set(
      capacity: newCount, directory: header.directory, redundant: header.redundantDirectory)
    let (old, new) = (header.tableCount, changed.tableCount)
    if new > old {
      // A directory ends in a sector; what is behind its last entry there may be anything.
      let isTwofold = header.hasRedundant
      let size = (new - old) * tables.tableSize
      let directorySize = (new * 4).rounded(upTo: 512)
      let place =
        isCompressed ? max(store.size, dataStart).rounded(upTo: 512) : try nextPlace()
      let copies: [(directory: UInt64, tables: UInt64, isCopy: Bool)] =
        isTwofold
        ? [
          (place, place + directorySize, true),
          (place + directorySize + size, place + 2 * directorySize + size, false),
        ] : [(place, place + directorySize, false)]
      let end = place + (directorySize + size) * UInt64(copies.count)
      guard new < 1 << 24, end <= UInt64(UInt32.max) * 512 else {
        throw store.refusal("\(newCount) sectors are too many for a sparse extent")
      }
      let before = store.size
      try store.grow(to: end)
      if place < before {
        try store.zero(at: place, count: min(before, end) - place, releasing: false)
      }
      for copy in copies {
        var directory = Fields(count: Int(directorySize))
        for number in 0..<new {
          let at =
            number < old
            ? try tables.table(number, redundant: copy.isCopy) ?? 0
            : copy.tables + (number - old) * tables.tableSize
          directory.setLittle(Int(number) * 4, UInt32(at / 512))
        }
        try store.write(at: copy.directory, directory.bytes)
      }
      try store.flush()
      changed.set(
        capacity: newCount, directory: copies.last!.directory / 512,
        redundant: isTwofold ? place / 512 : header.redundantDirectory)
      if !isCompressed { next = end }
    }
    try store.write(at: 0, changed.bytes)
    try store.flush()
    header = changed
    tables = VMDKGrainTables(store, header)
  }
}

extension VMDKMap {
  func resize(to newCount: UInt64) throws(StorageError) {
    guard descriptor != nil, let last = extents.last else {
      throw store.refusal("an image of this kind cannot be given another size")
    }
    if newCount > blockCount, base != nil, baseByteCount > blockCount * 512 {
      throw store.refusal(
        "cannot be made larger: its parent is larger than it, and what is there would show")
    }
    if extents.count == 1, last.store === store {
      // The header counts; the text follows as well as it can.
      try last.resize(to: newCount)
      setExtents(extents)
      // Where the line is, the last change may have moved.
      if let sparse = last as? VMDKSparseExtent,
        let text = try? VMDKDescriptor(
          try store.bytes(
            at: descriptorOffset, count: Int(sparse.header.descriptorSize) * 512), store,
          at: descriptorOffset), var line = text.extents.first
      {
        line.sectorCount = newCount
        try? replaceLine(line.place, with: line.line)
      }
      return try store.flush()
    }
    let text = try currentDescriptor()
    guard text.extents.count == extents.count else {
      throw store.refusal("a descriptor that is not what it was when the image was opened")
    }
    if newCount < blockCount { return try shrink(to: newCount) }
    let (oldCount, oldFiles) = (blockCount, extents.count)
    do throws(StorageError) { try growFiles(text, last, to: newCount) } catch {
      // The old size; where not even that can be written, what the descriptor says is a disk of a size in between.
      let made = extents.dropFirst(oldFiles).map(\.store)
      if (try? shrink(to: oldCount)) != nil, blockCount == oldCount {
        for store in made { store.remove() }
      }
      throw error
    }
  }

  /// Makes the last file longer, and others behind it.
  private func growFiles(
    _ text: VMDKDescriptor, _ last: VMDKExtent, to newCount: UInt64
  ) throws(StorageError) {
    let isSplit = text.createType.lowercased().hasPrefix("twogb")
    // The last file becomes as long as files of this kind are.
    var line = text.extents[extents.count - 1]
    let rest = newCount - blockCount
    let most = isSplit ? max(VMDKFormat.split, line.sectorCount) : UInt64(1) << 42
    let longer = min(most, line.sectorCount + rest)
    let before = line.sectorCount
    if longer > before {
      line.sectorCount = longer
      if let change = try lineChange(line.place, line.line) {
        try last.resize(to: longer)
        do throws(StorageError) {
          try store.flush()
          try write(change)
        } catch {
          // What the text says counts.
          if let text = try? currentDescriptor(), text.extents.last?.sectorCount == before {
            try? last.resize(to: before)
          }
          setExtents(extents)
          throw error
        }
        setExtents(extents)
      } else if !isSplit {
        throw store.refusal(
          at: UInt64(line.place.lowerBound), "a descriptor in which the new size has no room")
      }
    }
    while blockCount < newCount {
      try addFile(try currentDescriptor(), min(VMDKFormat.split, newCount - blockCount))
    }
  }

  private func currentDescriptor() throws(StorageError) -> VMDKDescriptor {
    guard store.size <= VMDKDescriptor.longest else { throw store.refusal("is no descriptor") }
    return try VMDKDescriptor(try store.bytes(at: 0, count: Int(store.size)), store, at: 0)
  }

  /// Another file at the disk's end, and a line for it at the end of the text.
  private func addFile(_ text: VMDKDescriptor, _ count: UInt64) throws(StorageError) {
    guard let newFile, let model = text.extents.last, extents.count < 999 else {
      throw store.refusal("has no room for another file")
    }
    let isFlat = model.kind == .flat
    guard isFlat || model.kind == .sparse else {
      throw store.refusal("an image of this kind cannot be made larger")
    }
    if let fault = VMDKDescriptor.fault(ofName: VMDKFormat.title(store.name)) {
      throw store.refusal("its name \(fault)")
    }
    // A file of the next name may be left of when the disk was longer, and is let be.
    var (name, number) = ("", extents.count)
    var made: (any ByteStore)?
    while made == nil {
      name = VMDKFormat.partName(VMDKFormat.title(store.name), number, isFlat: isFlat)
      number += 1
      if text.extents.contains(where: { $0.fileName == name }) { continue }
      do throws(StorageError) { made = try newFile(name) } catch {
        if number > 999 || !error.nameIsTaken { throw error }
      }
    }
    guard let file = made else { return }
    do throws(StorageError) {
      try nameFile(name, try fill(file, count, isFlat), model.kind, count)
    } catch {
      if !otherStores.contains(where: { $0 === file }) { file.remove() }
      throw error
    }
  }

  /// A new file as an extent.
  private func fill(_ file: any ByteStore, _ count: UInt64, _ isFlat: Bool) throws(StorageError)
    -> VMDKExtent
  {
    if isFlat {
      try file.setSize(count * 512)
      try file.flush()
      return try VMDKFlatExtent(file, sectorCount: count, offset: 0, isWritable: true)
    }
    let like = extents.last as? VMDKSparseExtent
    try VMDKFormat().createSparse(
      file, count,
      flags: like?.header.flags ?? VMDKSparseHeader.Flag.lineEndings
        | VMDKSparseHeader.Flag.redundant,
      version: like?.header.hasZeroGrains == true ? 2 : 1, nil)
    return try VMDKSparseExtent(file, isWritable: true)
  }

  /// Gives a new file its line in the descriptor.
  private func nameFile(
    _ name: String, _ extent: VMDKExtent, _ kind: VMDKDescriptor.ExtentKind, _ count: UInt64
  ) throws(StorageError) {
    let line = VMDKDescriptor.Extent(
      isWritable: true, sectorCount: count, kind: kind, fileName: name, offset: 0)
    // In one sector, behind as much of a comment as that takes: QEMU would count a line twice that stands behind an empty one.
    let bytes = Array("\(line.line)\n".utf8)
    guard bytes.count <= 512 else { throw store.refusal("a name that is too long: '\(name)'") }
    // The text may end before the file does: QEMU fills its last sector with zeros.
    let all = try store.bytes(at: 0, count: Int(store.size))
    let end = all.firstIndex(of: 0) ?? all.count
    var padding: [UInt8] = end > 0 && all[end - 1] == 10 ? [] : [10]
    let inside = (end + padding.count) % 512
    if inside + bytes.count > 512 {
      let left = inside == 511 ? 513 : 512 - inside
      padding += [UInt8](repeating: 35, count: left - 1) + [10]
    }
    var place = UInt64(end)
    if !padding.isEmpty {
      try store.grow(to: place + UInt64(padding.count))
      try store.write(at: place, padding)
      try store.flush()
      place += UInt64(padding.count)
    }
    try store.grow(to: place + UInt64(bytes.count))
    try store.write(at: place, bytes)
    // It is named from here on, whether that is flushed or not.
    setExtents(extents + [extent])
    try store.flush()
  }

  private func shrink(to newCount: UInt64) throws(StorageError) {
    while let last = extents.last, let start = starts.last, start >= newCount {
      // A line that is a comment names no file; the file stays for whoever wants it.
      let text = try currentDescriptor()
      guard let line = text.extents.last, text.extents.count == extents.count else { break }
      try store.write(at: UInt64(line.place.lowerBound), Array("#".utf8))
      // It is no part any more, whether that is flushed or not.
      setExtents(Array(extents.dropLast()))
      last.store.close()
      try store.flush()
    }
    guard blockCount > newCount, let last = extents.last, let start = starts.last,
      start < newCount
    else { return }
    let text = try currentDescriptor()
    guard text.extents.count == extents.count, var line = text.extents.last else {
      throw store.refusal("a descriptor that is not what it was when the image was opened")
    }
    if line.sectorCount != newCount - start {
      line.sectorCount = newCount - start
      guard let change = try lineChange(line.place, line.line) else {
        throw store.refusal("a descriptor in which the new size has no room")
      }
      try write(change)
    }
    try last.resize(to: newCount - start)
    setExtents(extents)
  }

  // MARK: The text

  /// Bytes that stand for a line's in one sector of the file, with the same length: what a line needs more, the comment before it gives, and
  /// what it needs less, blanks fill.
  private func lineChange(_ place: Range<Int>, _ line: String) throws(StorageError) -> (
    at: UInt64, bytes: [UInt8]
  )? {
    let bytes = Array(line.utf8)
    let start = descriptorOffset + UInt64(place.lowerBound)
    func inOneSector(_ at: UInt64, _ count: Int) -> Bool {
      count > 0 && at / 512 == (at + UInt64(count) - 1) / 512
    }
    if bytes.count <= place.count {
      let padded = bytes + [UInt8](repeating: 32, count: place.count - bytes.count)
      if inOneSector(start, padded.count) { return (start, padded) }
      // Perhaps only the digits change.
      let old = try store.bytes(at: start, count: place.count)
      guard old.count == padded.count,
        let first = old.indices.first(where: { old[$0] != padded[$0] }),
        let last = old.indices.last(where: { old[$0] != padded[$0] }),
        inOneSector(start + UInt64(first), last - first + 1)
      else { return nil }
      return (start + UInt64(first), Array(padded[first...last]))
    }
    let missing = bytes.count - place.count
    // The lines before it up to a comment, which becomes shorter.
    let before = try store.bytes(at: descriptorOffset, count: place.lowerBound)
    guard before.count == place.lowerBound,
      let sign = before.lastIndex(of: 35),
      sign == 0 || before[sign - 1] == 10,
      let end = before[sign...].firstIndex(where: { $0 == 10 || $0 == 13 }),
      sign > 0, end - sign - 1 >= missing
    else { return nil }
    let at = descriptorOffset + UInt64(end - missing)
    let all = Array(before[end...]) + bytes
    return inOneSector(at, all.count) ? (at, all) : nil
  }

  private func write(_ change: (at: UInt64, bytes: [UInt8])) throws(StorageError) {
    try store.write(at: change.at, change.bytes)
    try store.flush()
  }

  private func replaceLine(_ place: Range<Int>, with line: String) throws(StorageError) {
    if let change = try lineChange(place, line) { try write(change) }
  }
}
