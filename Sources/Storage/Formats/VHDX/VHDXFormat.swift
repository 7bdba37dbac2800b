// VHDX images of Hyper-V: recognising, opening, the parent.
//
// Owns: in which order the parts of the file are read. Must not know: blocks. After: [MS-VHDX] 2.1 and 2.2.

/// Fixed, dynamic and differencing VHDX images.
struct VHDXFormat: ImageFormat {
  let name = "vhdx"

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    try store.bytes(at: 0, count: 8) == VHDXLayout.signature ? .certain : nil
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    let opened = try VHDXFormat.openMap(store, context)
    return ImageContents(MappedImage(opened.map), kind: .disk, notes: opened.notes)
  }

  /// The map of an image, and what is to be said of it.
  /// - Parameter findsParent: a check needs none.
  static func openMap(
    _ file: any ByteStore, _ context: ImageContext, findsParent: Bool = true
  ) throws(StorageError) -> (map: VHDXMap, notes: [String]) {
    guard try file.bytes(at: 0, count: 8) == VHDXLayout.signature else {
      throw file.refusal(at: 0, "no VHDX image")
    }
    let header = try VHDXHeader.current(file)
    var notes: [String] = []
    var store = file
    if let patched = try VHDXLog.replay(file, header) {
      // Nothing is written before something is to be: until then the file is seen as it will be.
      store = patched
      notes.append("the log has changes that had not reached their places; they are used")
    }
    let regions = try VHDXRegions(store)
    let bat = try regions.region(VHDXLayout.batRegion, "block allocation table", store)
    let metadataRegion = try regions.region(VHDXLayout.metadataRegion, "metadata", store)
    for region in regions.regions where region.range.overlaps(header.logRange) {
      throw store.refusal(
        at: VHDXLayout.headers[header.slot] + UInt64(VHDXHeader.Offset.logOffset),
        "a log at \(header.logOffset), where a region is")
    }
    let metadata = try VHDXMetadata(store, metadataRegion)
    let entries = VHDXMap.entries(
      diskSize: metadata.diskSize, blockSize: metadata.blockSize, sectorSize: metadata.sectorSize,
      hasParent: metadata.hasParent)
    guard entries <= bat.length / 8 else {
      throw store.refusal(
        at: metadata.diskSizeOffset,
        "a disk of \(metadata.diskSize) bytes, for which the table of \(bat.length / 8) entries has no room"
      )
    }
    var base: (any BlockDevice)?
    var baseByteCount: UInt64 = 0
    if metadata.hasParent, findsParent {
      let device = try parent(metadata, metadataRegion, store, context)
      baseByteCount = device.byteCount
      base = device.below(byteCount: metadata.diskSize, blockSize: metadata.sectorSize)
    }
    let map = VHDXMap(
      store, header, regions, bat, metadata, base: base, baseByteCount: baseByteCount)
    notes.insert(
      "a \(map.kind) in blocks of \(metadata.blockSize) bytes, sectors of \(metadata.sectorSize)",
      at: 0)
    return (map, notes)
  }

  private static func parent(
    _ metadata: VHDXMetadata, _ region: VHDXRegions.Region, _ store: any ByteStore,
    _ context: ImageContext
  ) throws(StorageError) -> any BlockDevice {
    guard let device = try ParentFinder.find(metadata.parentNames, store, context) else {
      throw store.refusal(at: region.offset, "does not say what its parent is called")
    }
    let links = metadata.parentLinks.filter { $0 != .zero }
    let own = ParentFinder.changeIdentity(of: device) ?? ParentFinder.identity(of: device)
    if let own, !links.isEmpty, !links.contains(own) {
      throw store.refusal(
        at: region.offset,
        "stands above the data \(links[0]), but '\(device.name)' has \(own): it is another image, or was written since"
      )
    }
    return device
  }
}
