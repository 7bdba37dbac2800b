// New QCOW2 images.
//
// Owns: their options, their first clusters, room that is taken at once. Must not know: paths.
// After: QEMU, docs/interop/qcow2.txt; the options are qemu-img's.

extension QCOW2Format: CreatableFormat {
  public var options: [ImageOption] {
    [
      ImageOption(
        "cluster_size", standard: "65536", values: "512 to 2097152, a power of two",
        help: "bytes that are allocated together"),
      ImageOption(
        "compat", standard: "1.1", values: "0.10, 1.1",
        help: "version 2 (0.10), which old programs read, or 3"),
      ImageOption(
        "lazy_refcounts", standard: "off", values: "on, off",
        help: "programs may postpone refcounts (nothing here does)"),
      ImageOption(
        "refcount_bits", standard: "16", values: "1, 2, 4, 8, 16, 32, 64",
        help: "how often a cluster can be referred to"),
      ImageOption(
        "preallocation", standard: "off", values: "off, metadata, falloc, full",
        help: "what is allocated at once"),
      ImageOption(
        "extended_l2", standard: "off", values: "on, off",
        help: "clusters are allocated in 32 parts"),
      ImageOption(
        "compression_type", standard: "zlib", values: "zlib, zstd",
        help: "how compressed clusters are packed"),
      ImageOption(
        "data_file", standard: "", values: "a file's name", help: "keeps the data in another file"),
      ImageOption(
        "data_file_raw", standard: "off", values: "on, off",
        help: "that file is a raw disk by itself"),
    ] + QCOW2Encryption.options
  }

  public var limits: ImageLimits {
    ImageLimits(
      largest: UInt64(Int64.max) & ~511 - 1 << 22, provisionings: Provisioning.allCases,
      hasBases: true, hasEmptyDisks: true)
  }

  private struct Choices {
    var clusterBits = 16
    var version = 3
    var lazyRefcounts = false
    var refcountOrder = 4
    var preallocation = "off"
    var extendedL2 = false
    var compression = 0
    var dataFile: String?
    var dataFileRaw = false
  }

  private func choices(_ wish: ImageWish, _ name: String) throws(StorageError) -> Choices {
    var choices = Choices()
    func refuse(_ reason: String) -> StorageError { .usage(name, reason) }
    func number(_ option: String, _ standard: Int, _ range: ClosedRange<Int>) throws(StorageError)
      -> Int
    {
      guard let text = wish.options[option] else { return standard }
      guard let value = ImageOption.bytes(text), range.contains(value), value & (value - 1) == 0
      else {
        throw refuse(
          "\(option) is a power of two from \(range.lowerBound) to \(range.upperBound), not '\(text)'"
        )
      }
      return value
    }
    func one(_ option: String, of values: [String]) throws(StorageError) -> String {
      guard let text = wish.options[option] else { return values[0] }
      guard values.contains(text) else {
        throw refuse("\(option) is \(values.joined(separator: ", ")), not '\(text)'")
      }
      return text
    }
    choices.clusterBits = try number("cluster_size", 65536, 512...2 << 20).trailingZeroBitCount
    choices.refcountOrder = try number("refcount_bits", 16, 1...64).trailingZeroBitCount
    choices.version = try one("compat", of: ["1.1", "0.10", "v3", "v2"]).hasSuffix("1.1") ? 3 : 2
    if wish.options["compat"] == "v3" { choices.version = 3 }
    choices.lazyRefcounts = try one("lazy_refcounts", of: ["off", "on"]) == "on"
    choices.extendedL2 = try one("extended_l2", of: ["off", "on"]) == "on"
    choices.compression = try one("compression_type", of: ["zlib", "zstd"]) == "zstd" ? 1 : 0
    choices.dataFileRaw = try one("data_file_raw", of: ["off", "on"]) == "on"
    choices.preallocation = try one("preallocation", of: ["off", "metadata", "falloc", "full"])
    if wish.options["preallocation"] == nil {
      switch wish.provisioning {
      case .thin: break
      case .thickLazy: choices.preallocation = "falloc"
      case .thickEager: choices.preallocation = "full"
      }
    }
    if let file = wish.options["data_file"], !file.isEmpty { choices.dataFile = file }
    if choices.version == 2 {
      let needs =
        [
          (choices.lazyRefcounts, "lazy_refcounts"), (choices.refcountOrder != 4, "refcount_bits"),
          (choices.extendedL2, "extended_l2"), (choices.compression != 0, "compression_type"),
          (choices.dataFile != nil, "data_file"),
        ].filter(\.0).map(\.1)
      if !needs.isEmpty {
        throw refuse("\(needs.joined(separator: ", ")): only with compat=1.1")
      }
    }
    if choices.extendedL2 && choices.clusterBits < 14 {
      throw refuse("extended_l2 needs a cluster_size of 16384 or more")
    }
    if choices.dataFileRaw && choices.dataFile == nil {
      throw refuse("data_file_raw needs a data_file")
    }
    if choices.dataFileRaw && wish.base != nil {
      throw refuse("a raw data file and a base exclude each other")
    }
    if choices.preallocation != "off" && wish.base != nil {
      throw refuse("nothing of the base would show in an image that has all its room at once")
    }
    return choices
  }

  public func create(_ store: any ByteStore, _ wish: ImageWish, _ context: ImageContext)
    throws(StorageError)
  {
    let choices = try choices(wish, store.name)
    var header = QCOW2Header()
    header.version = choices.version
    header.clusterBits = choices.clusterBits
    header.size = wish.byteCount
    header.refcountOrder = choices.refcountOrder
    header.compressionType = choices.compression
    if choices.extendedL2 { header.incompatible |= QCOW2Header.Incompatible.extendedL2 }
    if choices.compression != 0 { header.incompatible |= QCOW2Header.Incompatible.compressionType }
    if choices.lazyRefcounts { header.compatible |= QCOW2Header.lazyRefcounts }
    if let file = choices.dataFile {
      header.incompatible |= QCOW2Header.Incompatible.externalData
      header.dataFileName = file
      if choices.dataFileRaw { header.autoclear |= QCOW2Header.Autoclear.rawExternalData }
    }
    if let base = wish.base {
      header.backingName = QCOW2Header.backingName(of: base.name)
      header.backingFormat = QCOW2Header.formatName(base.formatName)
    }
    if choices.dataFileRaw && !(wish.options["encrypt.format"] ?? "").isEmpty {
      throw StorageError(
        path: store.name, reason: "a raw data file and encryption exclude each other")
    }
    if choices.version == 2, ["metadata", "falloc"].contains(choices.preallocation),
      !(wish.options["encrypt.format"] ?? "").isEmpty
    {
      throw StorageError(
        path: store.name,
        reason: "preallocation of an encrypted image needs compat=1.1, which can say what is zeros")
    }
    let secret = try QCOW2Encryption.make(wish, store.name)
    if let secret { header.encryption = (0, UInt64(secret.header.count)) }
    try lay(out: &header, store)
    let head = try header.bytes(store.name)

    var data: (any ByteStore)?
    if let file = choices.dataFile {
      data = try context.newFile(named: file)
      try data!.setSize(wish.byteCount)
      try data!.flush()
    }
    try writeTables(header, store)
    if let secret, let area = header.encryption {
      try store.write(at: area.offset, secret.header)
      context.keys?.remember(secret.key, proof: secret.container.proof)
    }
    // An image is one as soon as it has its header.
    try store.flush()
    try store.write(at: 0, head)
    try store.flush()
    if choices.preallocation != "off" {
      let image = try QCOW2Image(
        store, header, data: data, base: nil,
        encryption: secret.map { QCOW2Encryption(container: $0.container, key: $0.key) })
      try image.preallocate(choices.preallocation)
    }
  }

  /// Finds places for the tables: behind the header the refcount table, its blocks, the L1 table.
  private func lay(out header: inout QCOW2Header, _ store: any ByteStore) throws(StorageError) {
    let layout = header.layout
    let bits = UInt64(layout.clusterBits)
    let entries = layout.l1Entries(header.size)
    guard entries <= UInt64(QCOW2Header.mostL1Entries) else {
      throw StorageError(
        path: store.name,
        reason:
          "clusters of \(layout.clusterSize) bytes are too small for a disk of \(header.size) bytes; "
          + "they reach \(UInt64(QCOW2Header.mostL1Entries) << UInt64(layout.l1Bits)) bytes")
    }
    let own = layout.clusters(entries * 8) + layout.clusters(header.encryption?.length ?? 0)
    let (blocks, table) = initialBlocks(layout, own)
    header.refcountTableOffset = 1 << bits
    header.refcountTableClusters = Int(table)
    header.l1Size = Int(entries)
    header.l1TableOffset = (1 + table + blocks) << bits
    header.encryption?.offset = (1 + table + blocks + layout.clusters(entries * 8)) << bits
  }

  /// Refcount blocks and clusters of the refcount table that a new image needs beside its header and other clusters.
  private func initialBlocks(_ layout: QCOW2Layout, _ others: UInt64) -> (UInt64, UInt64) {
    var (blocks, table): (UInt64, UInt64) = (1, 1)
    while true {
      let used = 1 + table + blocks + others
      let neededBlocks = (used - 1) >> UInt64(layout.refcountBlockBits) + 1
      let neededTable = layout.clusters(neededBlocks * 8)
      if neededBlocks <= blocks && neededTable <= table { return (blocks, table) }
      blocks = max(blocks, neededBlocks)
      table = max(table, neededTable)
    }
  }

  private func writeTables(_ header: QCOW2Header, _ store: any ByteStore) throws(StorageError) {
    let layout = header.layout
    let bits = UInt64(layout.clusterBits)
    let l1Clusters = layout.clusters(UInt64(header.l1Size) * 8)
    let end =
      header.l1TableOffset >> bits + l1Clusters + layout.clusters(header.encryption?.length ?? 0)
    try store.setSize(end << bits)
    let first = 1 + UInt64(header.refcountTableClusters)
    let blocks = header.l1TableOffset >> bits - first
    try QCOW2Table.write(
      store, at: header.refcountTableOffset, (0..<blocks).map { (first + $0) << bits })
    let refcounts = try QCOW2Refcounts(store, header)
    for cluster in 0..<end { try refcounts.set(cluster, 1) }
    try refcounts.writeCounts()
  }
}

extension ImageOption {
  /// A number with an optional K or M behind it, as in "64K".
  static func bytes(_ text: String) -> Int? {
    let units: [Character: Int] = ["k": 10, "m": 20]
    if let last = text.last, let bits = units[Character(last.lowercased())] {
      return Int(text.dropLast()).flatMap { $0 > 0 && $0 < 1 << 30 ? $0 << bits : nil }
    }
    return Int(text).flatMap { $0 > 0 ? $0 : nil }
  }
}

extension QCOW2Image {
  /// Gives a new image, which holds nothing, all its room.
  fileprivate func preallocate(_ mode: String) throws(StorageError) {
    let refcounts = try prepareWrite()
    let bits = UInt64(layout.clusterBits)
    var place: UInt64 = 0
    while place < diskSize {
      let table = try writableTable(place, refcounts)
      let inTable = 1 << UInt64(layout.l2Bits) - entryPlace(place) >> UInt64(layout.l2EntryBits)
      let most = min(inTable, layout.clusters(diskSize - place))
      var (host, count) = (place, most)
      if !isExternal {
        let run = try refcounts.allocate(most)
        (host, count) = (run.first << bits, run.count)
      }
      // Room that is not written yet reads as zeros only where nothing is decrypted; otherwise the entry has to say that it does.
      let isUnwritten = encryption != nil && mode != "full"
      let flag = isUnwritten && layout.hasZeroFlag ? QCOW2Layout.zeroFlag : 0
      let bitmap: UInt64 = isUnwritten ? 0xFFFF_FFFF << 32 : 0xFFFF_FFFF
      for n in 0..<count {
        try set(
          place + n << bits, in: table,
          QCOW2Entry(
            word: (host + n << bits) | QCOW2Layout.copied | flag,
            bitmap: layout.hasExtendedL2 ? bitmap : 0))
      }
      let end = isExternal ? min(host + count << bits, data.size) : host + count << bits
      switch mode {
      case "falloc": try data.zero(at: host, count: end - host, releasing: false)
      case "full": try data.writeZeros(at: host, count: end - host)
      default: break
      }
      place += count << bits
      try writeBackIfFull()
    }
    try writeBack()
    let end = refcounts.end << bits
    if end < store.size { try store.setSize(end) }
  }
}
