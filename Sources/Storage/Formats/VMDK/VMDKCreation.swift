// New VMDK images.
//
// Owns: their files and layout. Must not know: how grains are found. After: VMware Virtual Disk Format 5.0.

extension VMDKFormat: CreatableFormat {
  var options: [ImageOption] {
    [
      ImageOption(
        "subformat", standard: "monolithicSparse",
        values:
          "monolithicSparse, monolithicFlat, twoGbMaxExtentSparse, twoGbMaxExtentFlat, streamOptimized",
        help: "of which files the image is made, and whether room is taken as it is written"),
      ImageOption(
        "adapter_type", standard: "ide", values: "ide, buslogic, lsilogic, legacyESX",
        help: "the controller that VMware's products attach it to"),
      ImageOption("hwversion", standard: "4", values: "3 to 21", help: "the virtual hardware"),
      ImageOption(
        "zeroed_grain", standard: "off", values: "on, off",
        help: "zeros over a parent without room (version 2 of the format)"),
    ]
  }

  var limits: ImageLimits {
    ImageLimits(
      largest: 1 << 46, provisionings: Provisioning.allCases, hasBases: true)
  }

  /// The sectors of an extent of at most 2 GB.
  static let split: UInt64 = 4_192_256

  func create(_ store: any ByteStore, _ wish: ImageWish, _ context: ImageContext)
    throws(StorageError)
  {
    let choice = OptionReader(wish, store.name)
    let words = [
      "monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat",
      "streamOptimized",
    ]
    var type = try choice.word("subformat", words)
    if wish.provisioning != .thin {
      if type == "streamOptimized" { throw store.refusal("a compressed image is thin") }
      if wish.options["subformat"] != nil, !type.hasSuffix("Flat") {
        throw store.refusal("a sparse image is thin; the others are flat")
      }
      if !type.hasSuffix("Flat") { type = "monolithicFlat" }
    }
    let adapter = try choice.word("adapter_type", ["ide", "buslogic", "lsilogic", "legacyESX"])
    let hardware = try choice.word(
      "hwversion", ["4"] + (3...21).filter { $0 != 4 }.map { String($0) })
    let hasZeroGrains = try choice.flag("zeroed_grain", standard: false)
    let isFlat = type.hasSuffix("Flat")
    if isFlat, wish.base != nil { throw store.refusal("a flat VMDK image has no parent") }

    var descriptor = VMDKDescriptor()
    descriptor.createType = type
    descriptor.contentID = UInt32(truncatingIfNeeded: wish.random()) & 0x7FFF_FFFF | 1
    if let base = wish.base {
      let map = (base.contents.device as? MappedImage)?.map as? VMDKMap
      descriptor.parentContentID = map?.contentID ?? VMDKDescriptor.unknownParent
      if descriptor.parentContentID == VMDKDescriptor.noParent {
        descriptor.parentContentID = VMDKDescriptor.unknownParent
      }
      if let fault = VMDKDescriptor.fault(ofName: base.name) {
        throw store.refusal("its parent's name \(fault)")
      }
      descriptor.parentFileName = base.name
    }
    let sectors = wish.byteCount / 512
    let title = VMDKFormat.title(store.name)
    if let fault = VMDKDescriptor.fault(ofName: title) { throw store.refusal("its name \(fault)") }
    let zeroFlag = hasZeroGrains ? VMDKSparseHeader.Flag.zeroGrains : 0
    let version: UInt32 = type == "streamOptimized" ? 3 : hasZeroGrains ? 2 : 1
    let flags = VMDKSparseHeader.Flag.lineEndings | VMDKSparseHeader.Flag.redundant | zeroFlag

    if type == "monolithicSparse" || type == "streamOptimized" {
      descriptor.extents = [
        .init(
          isWritable: true, sectorCount: sectors, kind: .sparse, fileName: title + ".vmdk",
          offset: 0)
      ]
      let text = Array(
        descriptor.text(sectorCount: sectors, adapter: adapter, hardware: hardware).utf8)
      let isPacked = type == "streamOptimized"
      return try createSparse(
        store, sectors,
        flags: isPacked
          ? VMDKSparseHeader.Flag.lineEndings | VMDKSparseHeader.Flag.compressed
            | VMDKSparseHeader.Flag.markers : flags,
        version: version, text)
    }
    let isSplit = type.hasPrefix("twoGb")
    var at: UInt64 = 0
    while at < sectors {
      let count = isSplit ? min(sectors - at, VMDKFormat.split) : sectors
      let name =
        isSplit
        ? VMDKFormat.partName(title, descriptor.extents.count, isFlat: isFlat)
        : "\(title)-flat.vmdk"
      if descriptor.extents.count >= 999 {
        throw store.refusal("too large to be split into files of 2 GB")
      }
      let file = try context.newFile(named: name)
      if isFlat {
        try createFlat(file, count * 512, wish.provisioning)
      } else {
        try createSparse(file, count, flags: flags, version: version, nil)
      }
      // Who made it lets go of it.
      try file.flush()
      descriptor.extents.append(
        .init(
          isWritable: true, sectorCount: count, kind: isFlat ? .flat : .sparse, fileName: name,
          offset: 0))
      at += count
    }
    let text = Array(
      descriptor.text(sectorCount: sectors, adapter: adapter, hardware: hardware).utf8)
    try store.setSize(UInt64(text.count))
    try store.write(at: 0, text)
    try store.flush()
  }

  /// The name of one of several files.
  static func partName(_ title: String, _ number: Int, isFlat: Bool) -> String {
    "\(title)-\(isFlat ? "f" : "s")\(String(1000 + number + 1).dropFirst()).vmdk"
  }

  /// A file's name without its folder and ending.
  static func title(_ path: String) -> String {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    guard let dot = name.lastIndex(of: "."), dot > name.startIndex else { return name }
    return String(name[..<dot])
  }

  private func createFlat(
    _ file: any ByteStore, _ byteCount: UInt64, _ provisioning: Provisioning
  ) throws(StorageError) {
    try file.setSize(byteCount)
    switch provisioning {
    case .thickEager: try file.writeZeros(at: 0, count: byteCount)
    case .thickLazy: try file.zero(at: 0, count: byteCount, releasing: false)
    case .thin: break
    }
    try file.flush()
  }

  /// A sparse extent whose tables are all there, with zeros.
  func createSparse(
    _ file: any ByteStore, _ sectors: UInt64, flags: UInt32, version: UInt32, _ text: [UInt8]?
  ) throws(StorageError) {
    let header = VMDKSparseHeader(
      capacity: sectors, flags: flags, version: version, hasDescriptor: text != nil)
    guard header.overhead < UInt64(UInt32.max), header.tableCount < 1 << 24 else {
      throw file.refusal("\(sectors) sectors are too many for a sparse extent")
    }
    try file.setSize(header.overhead * 512)
    if let text {
      guard text.count <= 20 * 512 else { throw file.refusal("the descriptor has no room") }
      try file.write(at: 512, text)
    }
    for start in [header.redundantDirectory, header.directory] where start != 0 {
      let tables = start + header.directorySectors
      var directory = Fields(count: Int(header.directorySectors) * 512)
      for n in 0..<header.tableCount {
        directory.setLittle(Int(n) * 4, UInt32(tables + n * header.tableSectors))
      }
      try file.write(at: start * 512, directory.bytes)
    }
    try file.flush()
    try file.write(at: 0, header.bytes)
    try file.flush()
  }
}
