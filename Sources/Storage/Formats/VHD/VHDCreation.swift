// New VHD images.
//
// Owns: their layout. Must not know: how blocks are found.
// After: Virtual Hard Disk Image Format Specification 1.0 (Microsoft).

extension VHDFormat: CreatableFormat {
  var options: [ImageOption] {
    [
      ImageOption(
        "subformat", standard: "dynamic", values: "dynamic, fixed",
        help: "whether room is taken as it is written"),
      ImageOption(
        "force_size", standard: "on", values: "on, off",
        help: "the very size; off: rounded up to a geometry, as Virtual PC wants it"),
      ImageOption(
        "block_size", standard: "2097152", values: "524288 to 268435456, a power of two",
        help: "bytes that get room together"),
    ]
  }

  var limits: ImageLimits {
    ImageLimits(
      largest: VHDFooter.largest, provisionings: Provisioning.allCases, hasBases: true,
      hasEmptyDisks: true)
  }

  func create(_ store: any ByteStore, _ wish: ImageWish, _ context: ImageContext)
    throws(StorageError)
  {
    let choice = OptionReader(wish, store.name)
    let isFixed =
      try choice.word("subformat", ["dynamic", "fixed"]) == "fixed" || wish.provisioning != .thin
    let isExact = try choice.flag("force_size", standard: true)
    let blockSize = try choice.power("block_size", 1 << 19...1 << 28, standard: 1 << 21)
    if isFixed && wish.base != nil { throw store.refusal("a fixed VHD image has no parent") }
    var byteCount = wish.byteCount
    if !isExact {
      guard let geometry = VHDGeometry.holding(byteCount / 512) else {
        throw store.refusal("no geometry holds \(byteCount) bytes")
      }
      byteCount = geometry.sectorCount * 512
    }
    let kind: VHDKind = isFixed ? .fixed : wish.base == nil ? .dynamic : .differencing
    // Those who read VHD images tell by the creator whether the size or the geometry counts: this is the name that stands for the size.
    let footer = VHDFooter(
      kind: kind, byteCount: byteCount, creator: isExact ? "win " : "vpc ",
      uniqueID: GUID(bytes: wish.uuid()), time: wish.time)
    if isFixed {
      try store.setSize(byteCount + VHDFooter.size)
      if wish.provisioning == .thickEager { try store.writeZeros(at: 0, count: byteCount) }
      if wish.provisioning == .thickLazy {
        try store.zero(at: 0, count: byteCount, releasing: false)
      }
      try store.write(at: byteCount, footer.bytes)
      return try store.flush()
    }
    try createDynamic(store, wish, footer, blockSize: blockSize)
  }

  private func createDynamic(
    _ store: any ByteStore, _ wish: ImageWish, _ footer: VHDFooter, blockSize: UInt64
  ) throws(StorageError) {
    let entries = (footer.currentSize + blockSize - 1) / blockSize
    var names: [(code: String, bytes: [UInt8])] = []
    var parent: (id: GUID, time: UInt32, name: String)?
    if let base = wish.base {
      let id = ParentFinder.identity(of: base.contents.device) ?? .zero
      parent = (id, VHDFooter.timeStamp(wish.time), WideText.lastComponent(base.name) ?? base.name)
      let name = base.name.replacing("/", with: "\\")
      let isAbsolute = base.name.hasPrefix("/")
      if !isAbsolute { names.append(("W2ru", WideText.littleBytes(".\\" + name))) }
      names.append(("W2ku", WideText.littleBytes(name)))
    }
    let namesAt = VHDFooter.size + UInt64(VHDHeader.size)
    let rooms = names.map { UInt64($0.bytes.count).rounded(upTo: 512) }
    let tableOffset = namesAt + rooms.reduce(0, +)
    var header = VHDHeader(
      tableOffset: tableOffset, entryCount: UInt32(entries), blockSize: UInt32(blockSize),
      parent: parent)
    let tableSize = (entries * 4).rounded(upTo: 512)
    try store.setSize(tableOffset + tableSize + VHDFooter.size)
    var at = namesAt
    for (n, name) in names.enumerated() {
      header.setLocator(n, code: name.code, offset: at, length: name.bytes.count)
      try store.write(at: at, name.bytes)
      at += rooms[n]
    }
    let blank = [UInt8](repeating: 0xFF, count: 65536)
    at = tableOffset
    while at < tableOffset + tableSize {
      let part = min(tableOffset + tableSize - at, 65536)
      try store.write(at: at, Array(blank[..<Int(part)]))
      at += part
    }
    try store.write(at: VHDFooter.size, header.bytes)
    try store.write(at: tableOffset + tableSize, footer.bytes)
    // The first bytes come last: until then it is no image.
    try store.flush()
    try store.write(at: 0, footer.bytes)
    try store.flush()
  }
}
