// The header of a QCOW2 file and its extensions.
//
// Owns: reading them with all their checks, and writing them. Must not know: tables, devices.
// After: QEMU, docs/interop/qcow2.txt, "Header" to "Full disk encryption header pointer".

/// The header, all of whose numbers are sound.
struct QCOW2Header {
  static let magic: [UInt8] = [0x51, 0x46, 0x49, 0xFB]

  enum Incompatible {
    static let dirty: UInt64 = 1 << 0
    static let corrupt: UInt64 = 1 << 1
    static let externalData: UInt64 = 1 << 2
    static let compressionType: UInt64 = 1 << 3
    static let extendedL2: UInt64 = 1 << 4
    static let known: UInt64 = 0x1F
  }
  static let lazyRefcounts: UInt64 = 1
  enum Autoclear {
    static let bitmaps: UInt64 = 1 << 0
    static let rawExternalData: UInt64 = 1 << 1
    static let known: UInt64 = 3
  }

  var version = 3
  var clusterBits = 16
  var size: UInt64 = 0
  var l1Size = 0
  var l1TableOffset: UInt64 = 0
  var refcountTableOffset: UInt64 = 0
  var refcountTableClusters = 0
  var snapshotCount = 0
  var snapshotsOffset: UInt64 = 0
  var incompatible: UInt64 = 0
  var compatible: UInt64 = 0
  var autoclear: UInt64 = 0
  var refcountOrder = 4
  var compressionType = 0
  var backingName: String?
  var backingFormat: String?
  var dataFileName: String?
  /// Where the LUKS header is, of an image whose data are encrypted (crypt_method 2).
  var encryption: (offset: UInt64, length: UInt64)?
  /// bitmap_directory_offset and _size, where there are bitmaps.
  var bitmaps: (count: Int, offset: UInt64, size: UInt64)?

  var layout: QCOW2Layout {
    QCOW2Layout(
      version: version, clusterBits: clusterBits,
      hasExtendedL2: incompatible & Incompatible.extendedL2 != 0, refcountOrder: refcountOrder)
  }
  var isExternal: Bool { incompatible & Incompatible.externalData != 0 }
  var isRawExternal: Bool { isExternal && autoclear & Autoclear.rawExternalData != 0 }

  // What no image that anybody could use goes beyond; they bound what is read into memory.
  static let clusterBitsRange = 9...21
  static let mostL1Entries = 32 << 20 / 8
  static let mostRefcountTableBytes = 8 << 20
  static let mostSnapshots = 65536
  static let longestName = 1023
  private static let version2Length = 72
  private static let version3Length = 104

  enum Extension {
    static let end: UInt64 = 0
    static let backingFormat: UInt64 = 0xE279_2ACA
    static let featureNames: UInt64 = 0x6803_F857
    static let bitmaps: UInt64 = 0x2385_2875
    static let encryption: UInt64 = 0x0537_BE77
    static let dataFile: UInt64 = 0x4441_5441
  }

  /// What QEMU, whose names stand in these images, calls a format.
  static func formatName(_ name: String) -> String { name == "vhd" ? "vpc" : name }

  /// The name of a base as it stands in a header: QEMU takes what is before a colon in a file's name for a protocol, unless there is a slash
  /// before it.
  static func backingName(of name: String) -> String {
    let isOdd = name.first { $0 == ":" || $0 == "/" } == ":"
    return isOdd && !NBDAddress.isAddress(name) ? "./" + name : name
  }

  init() {}

  // MARK: Reading

  /// - Parameter toleratesLoss: tables that can be made anew, or done without, may lie behind the file's end, and so may the L1 table.
  init(_ store: any ByteStore, toleratesLoss: Bool = false) throws(StorageError) {
    let name = store.name
    func refuse(_ offset: Int, _ reason: String) -> StorageError {
      StorageError(path: name, offset: UInt64(offset), reason: reason)
    }
    var fixed = BigEndianBytes(try store.bytes(at: 0, count: 112))
    guard fixed.bytes.count >= QCOW2Header.version2Length,
      fixed.bytes.starts(with: QCOW2Header.magic)
    else { throw refuse(0, "is no qcow2 image, or its header is cut short") }
    version = Int(fixed.number(4, 4))
    guard version == 2 || version == 3 else {
      throw refuse(4, "is a qcow2 image of version \(version); versions 2 and 3 are known")
    }
    if version == 3 && fixed.bytes.count < QCOW2Header.version3Length {
      throw refuse(0, "the header is cut short")
    }
    fixed.bytes += [UInt8](repeating: 0, count: max(0, 112 - fixed.bytes.count))
    clusterBits = Int(fixed.number(20, 4))
    guard QCOW2Header.clusterBitsRange.contains(clusterBits) else {
      throw refuse(20, "clusters of 2^\(clusterBits) bytes; there are those of 2^9 to 2^21")
    }
    let clusterSize = UInt64(1) << UInt64(clusterBits)
    var headerLength = QCOW2Header.version2Length
    if version == 3 {
      incompatible = fixed.number(72, 8)
      compatible = fixed.number(80, 8)
      autoclear = fixed.number(88, 8)
      let order = fixed.number(96, 4)
      guard order <= 6 else { throw refuse(96, "refcounts of 2^\(order) bits; 64 are the most") }
      refcountOrder = Int(order)
      let length = fixed.number(100, 4)
      guard length >= UInt64(QCOW2Header.version3Length), length <= clusterSize, length % 8 == 0
      else { throw refuse(100, "a header of \(length) bytes") }
      headerLength = Int(length)
      if headerLength > 104 { compressionType = Int(fixed.bytes[104]) }
    }

    try readExtensions(store, from: headerLength, end: clusterSize, fixed)
    try readFeatures(name)

    size = fixed.number(24, 8)
    guard size <= UInt64(Int64.max) - clusterSize else {
      throw refuse(24, "a disk of \(size) bytes")
    }
    switch fixed.number(32, 4) {
    // An extension that says otherwise means nothing then.
    case 0: encryption = nil
    case 1: throw refuse(32, "is encrypted by AES (crypt_method 1), which nothing reads any more")
    case 2:
      guard let (offset, length) = encryption else {
        throw refuse(
          32, "is encrypted by LUKS (crypt_method 2), but does not say where its header is")
      }
      guard offset & (clusterSize - 1) == 0, offset >= clusterSize,
        length >= UInt64(LUKS1Header.size),
        length <= QCOW2Encryption.mostBytes, offset <= store.size, length <= store.size - offset
      else {
        throw refuse(
          32, "a LUKS header of \(length) bytes at \(offset), in a file of \(store.size) bytes")
      }
    case let other: throw refuse(32, "is encrypted by an unknown method (crypt_method \(other))")
    }
    let layout = layout
    func table(_ field: Int, _ what: String, _ bytes: UInt64) throws(StorageError) -> UInt64 {
      let offset = fixed.number(field, 8)
      if bytes == 0 {
        // As QEMU has it: nothing is there, wherever that would be, but the number has to be a place.
        guard offset & layout.clusterMask == 0, offset <= UInt64(Int64.max) else {
          throw refuse(field, "\(what) at \(offset), where there cannot be one")
        }
        return offset
      }
      guard offset & layout.clusterMask == 0, offset >= clusterSize, bytes <= store.size,
        offset <= store.size - bytes
      else {
        throw refuse(
          field, "\(what) of \(bytes) bytes at \(offset), in a file of \(store.size) bytes")
      }
      return offset
    }
    let entries = fixed.number(36, 4)
    guard entries <= UInt64(QCOW2Header.mostL1Entries) else {
      throw refuse(
        36, "an L1 table of \(entries) entries; \(QCOW2Header.mostL1Entries) are the most")
    }
    guard layout.l1Entries(size) <= entries else {
      throw refuse(
        36, "an L1 table of \(entries) entries, too short for a disk of \(size) bytes")
    }
    l1Size = Int(entries)
    l1TableOffset = fixed.number(40, 8)
    if !toleratesLoss || l1TableOffset < clusterSize || l1TableOffset > UInt64(Int64.max)
      || l1TableOffset & layout.clusterMask != 0 || entries == 0
    {
      l1TableOffset = try table(40, "an L1 table", entries * 8)
    }
    let clusters = fixed.number(56, 4)
    guard clusters > 0,
      clusters <= UInt64(QCOW2Header.mostRefcountTableBytes) >> UInt64(clusterBits)
    else { throw refuse(56, "a refcount table of \(clusters) clusters") }
    refcountTableClusters = Int(clusters)
    // The end of the last cluster may be missing in the file, as it is zeros.
    refcountTableOffset = fixed.number(48, 8)
    guard refcountTableOffset & layout.clusterMask == 0, refcountTableOffset >= clusterSize,
      refcountTableOffset < store.size
        || toleratesLoss && refcountTableOffset <= UInt64(Int64.max)
    else {
      throw refuse(
        48, "a refcount table at \(refcountTableOffset), in a file of \(store.size) bytes")
    }
    let snapshots = fixed.number(60, 4)
    guard snapshots <= UInt64(QCOW2Header.mostSnapshots) else {
      throw refuse(60, "\(snapshots) snapshots; \(QCOW2Header.mostSnapshots) are the most")
    }
    snapshotCount = Int(snapshots)
    snapshotsOffset = fixed.number(64, 8)
    if !toleratesLoss || snapshotsOffset < clusterSize || snapshotsOffset > UInt64(Int64.max)
      || snapshotsOffset & layout.clusterMask != 0
    {
      snapshotsOffset = try table(64, "snapshots", snapshots * 40)
    }

    let (nameOffset, nameLength) = (fixed.number(8, 8), fixed.number(16, 4))
    if nameOffset != 0 {
      guard nameLength <= UInt64(QCOW2Header.longestName), nameOffset <= clusterSize,
        nameOffset + nameLength <= min(clusterSize, store.size)
      else { throw refuse(8, "the base's name, of \(nameLength) bytes at \(nameOffset)") }
      let bytes = try store.bytes(at: nameOffset, count: Int(nameLength))
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw refuse(Int(nameOffset), "the base's name is no text")
      }
      if !text.isEmpty { backingName = text }
      if isRawExternal && backingName != nil {
        throw refuse(8, "has a base and a raw external data file, which exclude each other")
      }
    }
  }

  private var featureNames: [[Int]: String] = [:]

  private mutating func readExtensions(
    _ store: any ByteStore, from start: Int, end: UInt64, _ fixed: BigEndianBytes
  ) throws(StorageError) {
    // Version 2 files may have none at all: the base's name is then where they would be.
    var end = Int(min(end, store.size))
    let nameOffset = fixed.number(8, 8)
    if nameOffset > 0 && nameOffset < UInt64(end) { end = max(start, Int(nameOffset)) }
    let area = BigEndianBytes(try store.bytes(at: 0, count: end))
    func refuse(_ offset: Int, _ reason: String) -> StorageError {
      StorageError(path: store.name, offset: UInt64(offset), reason: reason)
    }
    func text(_ at: Int, _ length: Int) throws(StorageError) -> String {
      guard length <= QCOW2Header.longestName,
        let text = String(validating: area.bytes[at..<at + length], as: UTF8.self)
      else { throw refuse(at, "a header extension that should be a text") }
      return text
    }
    var at = start
    while at + 8 <= end {
      let (kind, length) = (area.number(at, 4), Int(area.number(at + 4, 4)))
      if kind == Extension.end { break }
      let data = at + 8
      guard length <= end - data else {
        throw refuse(at, "a header extension of \(length) bytes, for which there is no room")
      }
      switch kind {
      case Extension.backingFormat: backingFormat = try text(data, length)
      case Extension.dataFile: dataFileName = try text(data, length)
      case Extension.featureNames:
        for entry in stride(from: data, to: data + length - 47, by: 48) {
          let characters = area.bytes[entry + 2..<entry + 48].prefix { $0 != 0 }
          featureNames[[Int(area.bytes[entry]), Int(area.bytes[entry + 1])]] = String(
            decoding: characters.map { $0 >= 0x20 && $0 < 0x7F ? $0 : 0x3F }, as: UTF8.self)
        }
      case Extension.encryption where length >= 16:
        encryption = (area.number(data, 8), area.number(data + 8, 8))
      case Extension.bitmaps where length >= 24:
        bitmaps = (
          Int(area.number(data, 4)), area.number(data + 16, 8), area.number(data + 8, 8)
        )
      default: break
      }
      at = data + (length + 7) & ~7
    }
  }

  private func readFeatures(_ name: String) throws(StorageError) {
    let unknown = incompatible & ~Incompatible.known
    if unknown != 0 {
      let names = (0..<64).filter { unknown >> UInt64($0) & 1 != 0 }.map {
        featureNames[[0, $0]].map { "'\($0)'" } ?? "bit \($0)"
      }
      throw StorageError(
        path: name, offset: 72,
        reason: "needs what is not known here: \(names.joined(separator: ", "))")
    }
    if incompatible & Incompatible.extendedL2 != 0 && clusterBits < 14 {
      throw StorageError(
        path: name, offset: 20,
        reason:
          "extended L2 entries with clusters of \(1 << clusterBits) bytes; 16384 are the least")
    }
    let isSet = incompatible & Incompatible.compressionType != 0
    guard isSet ? compressionType == 1 : compressionType == 0 else {
      throw StorageError(
        path: name, offset: 104, reason: "is compressed in an unknown way (\(compressionType))")
    }
  }

  // MARK: Writing

  /// The header with its extensions and the base's name.
  /// - Throws: when they do not fit into a cluster.
  func bytes(_ name: String) throws(StorageError) -> [UInt8] {
    var header = BigEndianBytes(count: version == 2 ? 72 : 112)
    header.bytes.replaceSubrange(0..<4, with: QCOW2Header.magic)
    header.put(UInt64(version), 4, 4)
    header.put(UInt64(clusterBits), 20, 4)
    header.put(size, 24, 8)
    header.put(encryption == nil ? 0 : 2, 32, 4)
    header.put(UInt64(l1Size), 36, 4)
    header.put(l1TableOffset, 40, 8)
    header.put(refcountTableOffset, 48, 8)
    header.put(UInt64(refcountTableClusters), 56, 4)
    if version >= 3 {
      header.put(incompatible, 72, 8)
      header.put(compatible, 80, 8)
      header.put(autoclear, 88, 8)
      header.put(UInt64(refcountOrder), 96, 4)
      header.put(112, 100, 4)
      header.bytes[104] = UInt8(compressionType)
    }
    func add(_ kind: UInt64, _ data: [UInt8]) {
      header.append(kind, 4)
      header.append(UInt64(data.count), 4)
      header.bytes += data + [UInt8](repeating: 0, count: (8 - data.count % 8) % 8)
    }
    if let backingFormat, backingName != nil {
      add(Extension.backingFormat, Array(backingFormat.utf8))
    }
    if let dataFileName { add(Extension.dataFile, Array(dataFileName.utf8)) }
    if let encryption {
      var place = BigEndianBytes(count: 16)
      place.put(encryption.offset, 0, 8)
      place.put(encryption.length, 8, 8)
      add(Extension.encryption, place.bytes)
    }
    if version >= 3 && clusterBits >= 10 { add(Extension.featureNames, QCOW2Header.featureTable) }
    header.append(0, 8)
    if let backingName {
      header.put(UInt64(header.bytes.count), 8, 8)
      header.put(UInt64(backingName.utf8.count), 16, 4)
      header.bytes += Array(backingName.utf8)
    }
    guard header.bytes.count <= 1 << clusterBits,
      (backingName ?? "").utf8.count <= QCOW2Header.longestName
    else {
      throw StorageError(path: name, reason: "the base's name is too long for a cluster")
    }
    return header.bytes
  }

  /// Words for programs that know less.
  private static var featureTable: [UInt8] {
    let names: [(UInt8, UInt8, String)] = [
      (0, 0, "dirty bit"), (0, 1, "corrupt bit"), (0, 2, "external data file"),
      (0, 3, "compression type"), (0, 4, "extended L2 entries"), (1, 0, "lazy refcounts"),
      (2, 0, "bitmaps"), (2, 1, "raw external data"),
    ]
    return names.flatMap { (kind, bit, name) in
      [kind, bit] + Array(name.utf8) + [UInt8](repeating: 0, count: 46 - name.utf8.count)
    }
  }

  /// Fields of the header that change while it is used, in one sector: a failure leaves the old or the new ones.
  func writeFields(_ store: any ByteStore) throws(StorageError) {
    var head = BigEndianBytes(try store.bytes(at: 0, count: version == 2 ? 72 : 104))
    head.put(size, 24, 8)
    head.put(UInt64(l1Size), 36, 4)
    head.put(l1TableOffset, 40, 8)
    head.put(refcountTableOffset, 48, 8)
    head.put(UInt64(refcountTableClusters), 56, 4)
    head.put(UInt64(snapshotCount), 60, 4)
    head.put(snapshotsOffset, 64, 8)
    if version >= 3 {
      head.put(incompatible, 72, 8)
      head.put(autoclear, 88, 8)
    }
    try store.write(at: 0, head.bytes)
  }
}
