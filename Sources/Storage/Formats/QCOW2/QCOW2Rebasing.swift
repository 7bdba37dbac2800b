// Another base for a QCOW2 image.
//
// Owns: the header with another name in it, changed at once. Must not know: what the bases hold.
// After: QEMU, docs/interop/qcow2.txt, "Header extensions".
//
// The name goes to a part of the first cluster that nothing refers to; then one sector, with the header and the extensions, says where it is.

extension QCOW2Format: RebasableFormat {
  public func setBase(_ store: any ByteStore, _ base: NewBase?, _ context: ImageContext)
    throws(StorageError)
  {
    guard store.isWritable else {
      throw StorageError(path: store.name, reason: "may not be written")
    }
    if try QCOW2Header(store).isRawExternal && base != nil {
      throw StorageError(
        path: store.name, reason: "has a raw data file, which excludes a base")
    }
    // What was known of another base goes with it.
    _ = try QCOW2Rebasing.write(
      store, name: Array((base.map { QCOW2Header.backingName(of: $0.name) } ?? "").utf8),
      formatName: base.map { Array(QCOW2Header.formatName($0.formatName).utf8) }, record: nil)
  }
}

/// The room in the first cluster.
enum QCOW2Rebasing {
  /// Writes the header with another base.
  /// - Parameter record: an extension with it is written, if everything fits into a sector.
  /// - Returns: whether there was room for it; nothing is written without.
  static func write(
    _ store: any ByteStore, name: [UInt8], formatName: [UInt8]?, record: [UInt8]?
  ) throws(StorageError) -> Bool {
    let header = try QCOW2Header(store)
    let clusterSize = header.layout.clusterSize
    let old = BigEndianBytes(
      try store.bytes(at: 0, count: min(clusterSize, Int(min(store.size, 1 << 21)))))
    func refuse(_ reason: String) -> StorageError { StorageError(path: store.name, reason: reason) }
    let length = header.version == 2 ? 72 : Int(old.number(100, 4))
    var (extensions, extensionsEnd) = QCOW2Rebasing.extensions(old, from: length)
    // Words for others' messages are no loss where there is no room for them.
    extensions.removeAll {
      $0.kind == QCOW2Header.Extension.backingFormat
        || $0.kind == QCOW2Header.Extension.featureNames
        || $0.kind == QCOW2Image.recordExtension
    }
    var new = BigEndianBytes(Array(old.bytes[..<length]))
    func add(_ kind: UInt64, _ data: [UInt8]) {
      new.append(kind, 4)
      new.append(UInt64(data.count), 4)
      new.bytes += data + [UInt8](repeating: 0, count: (8 - data.count % 8) % 8)
    }
    if let formatName { add(QCOW2Header.Extension.backingFormat, formatName) }
    if let record { add(QCOW2Image.recordExtension, record) }
    for item in extensions { add(item.kind, item.data) }
    new.append(0, 8)
    guard name.count <= QCOW2Header.longestName else { throw refuse("the base's name is too long") }
    if record != nil, new.bytes.count > 512 || new.bytes.count + name.count > clusterSize {
      return false
    }
    let oldName = (start: Int(old.number(8, 8)), count: Int(old.number(16, 4)))
    if oldName.start > 0 { extensionsEnd = max(extensionsEnd, length) }
    let place = QCOW2Rebasing.room(
      name.count, behind: max(new.bytes.count, min(extensionsEnd, clusterSize)), avoiding: oldName,
      clusterSize)
    // In a small cluster there may be no other room: what is one sector changes at once all the same.
    let start = place ?? new.bytes.count
    guard start + name.count <= clusterSize else { throw refuse("the base's name is too long") }
    new.put(name.isEmpty ? 0 : UInt64(start), 8, 8)
    new.put(UInt64(name.count), 16, 4)
    if store.size < UInt64(clusterSize) { try store.setSize(UInt64(clusterSize)) }
    if place == nil && start < 512 {
      var sector = new.bytes + name
      sector += [UInt8](repeating: 0, count: max(0, min(512, clusterSize) - sector.count))
      try store.write(at: 0, sector)
      try store.flush()
      return true
    }
    if !name.isEmpty {
      try store.write(at: UInt64(start), name)
      try store.flush()
    }
    try store.write(at: 0, new.bytes)
    try store.flush()
    return true
  }

  /// The extensions that are there, and where they end.
  static func extensions(_ bytes: BigEndianBytes, from start: Int) -> (
    [(kind: UInt64, data: [UInt8])], end: Int
  ) {
    var found: [(kind: UInt64, data: [UInt8])] = []
    let name = Int(truncatingIfNeeded: bytes.number(8, 8))
    let end = name > 0 && name < bytes.bytes.count ? name : bytes.bytes.count
    var at = start
    while at + 8 <= end {
      let (kind, length) = (bytes.number(at, 4), Int(bytes.number(at + 4, 4)))
      if kind == QCOW2Header.Extension.end || length > end - at - 8 { return (found, at + 8) }
      found.append((kind, Array(bytes.bytes[at + 8..<at + 8 + length])))
      at += 8 + (length + 7) & ~7
    }
    return (found, at)
  }

  /// Room for a name behind the extensions, old and new, that is not the old name's.
  static func room(
    _ count: Int, behind end: Int, avoiding old: (start: Int, count: Int), _ clusterSize: Int
  ) -> Int? {
    let candidates = [end, (end + 511) & ~511, old.start + old.count, clusterSize - count]
    return candidates.first { start in
      start >= end && start + count <= clusterSize
        && (old.start == 0 || start >= old.start + old.count || start + count <= old.start)
    }
  }
}
