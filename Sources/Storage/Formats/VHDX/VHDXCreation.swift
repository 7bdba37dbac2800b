// New VHDX images.
//
// Owns: their layout. Must not know: how blocks are found. After: [MS-VHDX] 2.1 to 2.6.

extension VHDXFormat: CreatableFormat {
  var options: [ImageOption] {
    [
      ImageOption(
        "subformat", standard: "dynamic", values: "dynamic, fixed",
        help: "whether room is taken as it is written"),
      ImageOption(
        "block_size", standard: "by the disk's size", values: "1M to 256M, a power of two",
        help: "bytes that get room together"),
      ImageOption(
        "log_size", standard: "1M", values: "1M to 16M", help: "room for the log"),
    ]
  }

  var limits: ImageLimits {
    ImageLimits(
      largest: VHDXLayout.largest, granularity: 512, sectorSizes: [512, 4096],
      provisionings: Provisioning.allCases, hasBases: true, hasEmptyDisks: true)
  }

  /// Few blocks where the disk is large, small ones where it is not.
  private static func standardBlockSize(_ byteCount: UInt64, hasParent: Bool) -> UInt64 {
    if hasParent { return 2 << 20 }
    if byteCount > 32 << 40 { return 64 << 20 }
    if byteCount > 100 << 30 { return 32 << 20 }
    return byteCount > 1 << 30 ? 16 << 20 : 8 << 20
  }

  func create(_ store: any ByteStore, _ wish: ImageWish, _ context: ImageContext)
    throws(StorageError)
  {
    let choice = OptionReader(wish, store.name)
    let isFixed =
      try choice.word("subformat", ["dynamic", "fixed"]) == "fixed" || wish.provisioning != .thin
    if isFixed && wish.base != nil { throw store.refusal("a fixed VHDX image has no parent") }
    let blockSize = try choice.power(
      "block_size", 1 << 20...1 << 28,
      standard: VHDXFormat.standardBlockSize(wish.byteCount, hasParent: wish.base != nil))
    let logSize = try choice.power("log_size", 1 << 20...1 << 24, standard: 1 << 20)
    let byteCount = wish.byteCount.rounded(upTo: UInt64(wish.sectorSize))
    let entries = VHDXMap.entries(
      diskSize: byteCount, blockSize: blockSize, sectorSize: wish.sectorSize,
      hasParent: wish.base != nil)
    let megabyte = VHDXLayout.megabyte
    let logOffset = megabyte
    let metadata = VHDXRegions.Region(
      id: VHDXLayout.metadataRegion, offset: logOffset + logSize, length: megabyte,
      isRequired: true)
    // A disk of 0 bytes has no entries, but QEMU counts the chunks of as many blocks as 32 bits below 0 are, and wants a table for them; it is a
    // hole in the file.
    let ratio = VHDXMap.chunkRatio(wish.sectorSize, blockSize)
    let tableEntries = byteCount == 0 ? max(1, UInt64(UInt32.max) / ratio) : entries
    let bat = VHDXRegions.Region(
      id: VHDXLayout.batRegion, offset: metadata.range.upperBound,
      length: (tableEntries * 8).rounded(upTo: megabyte), isRequired: true)
    let blocks = (byteCount + blockSize - 1) / blockSize
    let start = bat.range.upperBound
    try store.setSize(start + (isFixed ? blocks * blockSize : 0))
    if isFixed {
      try writeFixedTable(store, bat, start, blocks, blockSize, wish)
    }
    try store.write(
      at: metadata.offset,
      VHDXMetadata.region(
        .init(
          blockSize: blockSize, diskSize: byteCount, sectorSize: wish.sectorSize,
          diskID: GUID(bytes: wish.uuid()), isFixed: isFixed, parent: try parent(wish))))
    let table = VHDXRegions.table([bat, metadata])
    for offset in VHDXLayout.regionTables { try store.write(at: offset, table) }
    var header = VHDXHeader(
      logOffset: logOffset, logLength: logSize, fileWriteID: GUID(bytes: wish.uuid()),
      dataWriteID: GUID(bytes: wish.uuid()))
    try header.advance(store) { _ in }
    try header.advance(store) { _ in }
    // The first bytes come last: until then it is no image.
    var identifier = Fields(count: 520)
    identifier.set(0, VHDXLayout.signature)
    identifier.set(8, WideText.littleBytes("Apus"))
    try store.write(at: 0, identifier.bytes)
    try store.flush()
  }

  private func writeFixedTable(
    _ store: any ByteStore, _ bat: VHDXRegions.Region, _ start: UInt64, _ blocks: UInt64,
    _ blockSize: UInt64, _ wish: ImageWish
  ) throws(StorageError) {
    switch wish.provisioning {
    case .thickEager: try store.writeZeros(at: start, count: blocks * blockSize)
    case .thickLazy: try store.zero(at: start, count: blocks * blockSize, releasing: false)
    case .thin: break
    }
    let ratio = VHDXMap.chunkRatio(wish.sectorSize, blockSize)
    var number: UInt64 = 0
    while number < blocks {
      // A chunk's blocks stand one after the other.
      let part = min(blocks - number, ratio - number % ratio)
      var fields = Fields(count: Int(part) * 8)
      for n in 0..<part {
        fields.setLittle(
          Int(n) * 8, (start + (number + n) * blockSize) | VHDXMap.State.fullyPresent)
      }
      try store.write(at: bat.offset + (number + number / ratio) * 8, fields.bytes)
      number += part
    }
  }

  /// The parent's identifiers and names ([MS-VHDX] 2.6.2.6).
  private func parent(_ wish: ImageWish) throws(StorageError) -> [(key: String, value: String)] {
    guard let base = wish.base else { return [] }
    let device = base.contents.device
    let link =
      ParentFinder.changeIdentity(of: device) ?? ParentFinder.identity(of: device) ?? .zero
    let name = base.name.replacing("/", with: "\\")
    guard name.utf16.count < 16_000 else {
      throw StorageError(path: base.name, reason: "is too long a name for a parent")
    }
    var pairs = [("parent_linkage", "{\(link)}")]
    if !base.name.hasPrefix("/") { pairs.append(("relative_path", ".\\" + name)) }
    pairs.append(("absolute_win32_path", name))
    return pairs.map { (key: $0.0, value: $0.1) }
  }
}
