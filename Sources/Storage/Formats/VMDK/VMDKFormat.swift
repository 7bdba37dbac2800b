// VMDK images of VMware's products: recognising, opening, the parent.
//
// Owns: which files belong to an image. Must not know: how sectors are kept. After: VMware Virtual Disk Format 5.0.

/// VMDK images: descriptors with their extents, and extents with a descriptor inside.
struct VMDKFormat: ImageFormat {
  let name = "vmdk"

  private enum Kind {
    case descriptor
    case sparse
    case cowd
    case seSparse
  }

  private static func kind(_ store: any ByteStore) throws(StorageError) -> Kind? {
    let head = try store.bytes(at: 0, count: 512)
    if head.starts(with: VMDKSparseHeader.magic) { return .sparse }
    // What has a boot sector's signature is a disk, whatever its first bytes are.
    if head.starts(with: VMDKCOWDExtent.magic), !BootSector.isSigned(head) { return .cowd }
    if head.count == 512, Fields(head).little(0, as: UInt64.self) == VMDKSESparseExtent.magic {
      return .seSparse
    }
    let text = head.drop { $0 == 32 || $0 == 9 || $0 == 10 || $0 == 13 }
    let first = Array(VMDKDescriptor.firstLine.lowercased().utf8)
    let start = text.prefix(first.count).map { $0 >= 65 && $0 <= 90 ? $0 + 32 : $0 }
    return start == first ? .descriptor : nil
  }

  /// Whether a file is a descriptor, which may be shorter than a sector.
  static func isDescriptor(_ store: any ByteStore) throws(StorageError) -> Bool {
    try kind(store) == .descriptor
  }

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    try VMDKFormat.kind(store) == nil ? nil : .certain
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    let map = try VMDKFormat.openMap(store, context)
    var notes = ["a \(map.kind)"]
    if map.extents.count > 1 { notes.append("\(map.extents.count) extents") }
    if !map.isWritable && store.isWritable { notes.append("of a kind that is only read") }
    return ImageContents(
      MappedImage(map, isReadOnly: !map.isWritable), kind: .disk, notes: notes)
  }

  /// - Parameter findsParent: a check needs none.
  static func openMap(
    _ store: any ByteStore, _ context: ImageContext, findsParent: Bool = true
  ) throws(StorageError) -> VMDKMap {
    var descriptor: VMDKDescriptor?
    var offset: UInt64 = 0
    var extents: [VMDKExtent] = []
    switch try kind(store) {
    case nil: throw store.refusal(at: 0, "no VMDK image")
    case .cowd: extents = [try VMDKCOWDExtent(store)]
    case .seSparse: extents = [try VMDKSESparseExtent(store)]
    case .sparse:
      let extent = try VMDKSparseExtent(store, isWritable: true)
      extents = [extent]
      let header = extent.header
      if header.descriptorOffset > 0, header.descriptorSize > 0 {
        offset = header.descriptorOffset * 512
        let found = try VMDKDescriptor(
          try store.bytes(at: offset, count: Int(header.descriptorSize) * 512), store, at: offset)
        guard found.extents.count <= 1 else {
          throw store.refusal(at: offset, "an extent that says it is one of several")
        }
        descriptor = found
      }
    case .descriptor:
      guard store.size <= VMDKDescriptor.longest else {
        throw store.refusal("a descriptor of \(store.size) bytes")
      }
      let found = try VMDKDescriptor(
        try store.bytes(at: 0, count: Int(store.size)), store, at: 0)
      if found.extents.isEmpty { throw store.refusal(at: 0, "a descriptor without extents") }
      for extent in found.extents { extents.append(try open(extent, store, context)) }
      descriptor = found
    }
    var base: (any BlockDevice)?
    var parentSize: UInt64 = 0
    if let descriptor, descriptor.parentContentID != VMDKDescriptor.noParent, findsParent {
      let device = try parent(descriptor, store, context)
      let count = extents.reduce(0) { $0 + $1.sectorCount }
      parentSize = device.byteCount
      base = device.below(byteCount: count * 512, blockSize: 512)
    }
    let map = VMDKMap(store, descriptor, descriptorOffset: offset, extents, base: base)
    map.baseByteCount = parentSize
    map.newFile = { (name) throws(StorageError) in try context.newFile(named: name) }
    return map
  }

  private static func open(
    _ extent: VMDKDescriptor.Extent, _ store: any ByteStore, _ context: ImageContext
  ) throws(StorageError) -> VMDKExtent {
    if extent.kind == .zero { return VMDKZeroExtent(store, sectorCount: extent.sectorCount) }
    guard
      let name = WideText.relativePath(extent.fileName) ?? WideText.lastComponent(extent.fileName)
    else { throw store.refusal("an extent whose file has no name") }
    let file = try context.file(named: name)
    let opened: VMDKExtent
    switch extent.kind {
    case .zero: opened = VMDKZeroExtent(store, sectorCount: extent.sectorCount)
    case .flat, .vmfs:
      opened = try VMDKFlatExtent(
        file, sectorCount: extent.sectorCount, offset: extent.offset,
        isWritable: extent.isWritable)
    case .sparse: opened = try VMDKSparseExtent(file, isWritable: extent.isWritable)
    case .vmfsSparse: opened = try VMDKCOWDExtent(file)
    case .seSparse: opened = try VMDKSESparseExtent(file)
    }
    if let sparse = opened as? VMDKSparseExtent, sparse.sectorCount > extent.sectorCount {
      // A change of the size was cut off: the descriptor counts.
      sparse.sectorCount = extent.sectorCount
    }
    guard opened.sectorCount == extent.sectorCount else {
      throw file.refusal(
        "has \(opened.sectorCount) sectors, but its descriptor says \(extent.sectorCount)")
    }
    return opened
  }

  private static func parent(
    _ descriptor: VMDKDescriptor, _ store: any ByteStore, _ context: ImageContext
  ) throws(StorageError) -> any BlockDevice {
    let hint = descriptor.parentFileName
    var names: [String] = []
    if let path = WideText.relativePath(hint) { names.append(path) }
    if let last = WideText.lastComponent(hint), !names.contains(last) { names.append(last) }
    guard let device = try ParentFinder.find(names, store, context) else {
      throw store.refusal("does not say what its parent is called")
    }
    if let own = ((device as? MappedImage)?.map as? VMDKMap)?.contentID,
      descriptor.parentContentID != VMDKDescriptor.unknownParent,
      own != descriptor.parentContentID
    {
      throw store.refusal(
        "stands above the contents \(String(descriptor.parentContentID, radix: 16)), but '\(device.name)' has \(String(own, radix: 16)): it is another image, or was written since"
      )
    }
    return device
  }
}
