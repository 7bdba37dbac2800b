// The disk of a VMDK image: its extents, one after the other.
//
// Owns: which extent has a sector, the identifier of the contents. Must not know: how extents keep their sectors, names.
// After: VMware Virtual Disk Format 5.0.

final class VMDKMap: BlockMap, ChangeMarkingMap {
  var keepsIdentifier = false
  /// The descriptor's file, which is also the first extent's where the descriptor is embedded.
  let store: any ByteStore
  private(set) var otherStores: [any ByteStore] = []
  private(set) var extents: [VMDKExtent]
  let descriptor: VMDKDescriptor?
  /// Where the descriptor's text is in the file.
  let descriptorOffset: UInt64
  let blockSize = 512
  private(set) var blockCount: UInt64 = 0
  let base: (any BlockDevice)?
  /// How large the parent's disk is.
  var baseByteCount: UInt64 = 0
  /// Makes another file of the image.
  var newFile: ((String) throws(StorageError) -> any ByteStore)?
  /// Where each extent begins.
  private(set) var starts: [UInt64] = []
  /// Where the identifier's digits are in the file.
  private let contentIDPlace: Range<UInt64>?
  private(set) var contentID: UInt32
  private var hasPrepared = false

  /// - Parameter descriptorOffset: where the descriptor's text is in the file.
  init(
    _ store: any ByteStore, _ descriptor: VMDKDescriptor?, descriptorOffset: UInt64,
    _ extents: [VMDKExtent], base: (any BlockDevice)?
  ) {
    self.store = store
    self.descriptor = descriptor
    self.extents = extents
    self.base = base
    self.descriptorOffset = descriptorOffset
    contentID = descriptor?.contentID ?? VMDKDescriptor.noParent
    contentIDPlace = descriptor?.contentIDPlace.map {
      descriptorOffset + UInt64($0.lowerBound)..<descriptorOffset + UInt64($0.upperBound)
    }
    setExtents(extents)
  }

  /// The disk is made of these from now on.
  func setExtents(_ extents: [VMDKExtent]) {
    self.extents = extents
    starts = []
    blockCount = 0
    otherStores = []
    for extent in extents {
      starts.append(blockCount)
      blockCount += extent.sectorCount
      if extent.store !== store, !otherStores.contains(where: { $0 === extent.store }) {
        otherStores.append(extent.store)
      }
    }
  }

  var kind: String {
    let type = descriptor?.createType ?? ""
    return type.isEmpty ? "VMDK image" : "VMDK image (\(type.prefix(40)))"
  }
  var details: [String] { extents.count == 1 ? [] : ["\(extents.count) extents"] }

  /// Whether all that belongs to it can be written.
  var isWritable: Bool {
    store.isWritable && extents.allSatisfy { $0.isWritable || $0 is VMDKZeroExtent }
  }

  /// The extent of a sector.
  private func index(of block: UInt64) -> Int {
    var low = 0
    var high = starts.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle] <= block { low = middle } else { high = middle }
    }
    return low
  }

  func run(at block: UInt64, limit: UInt64) throws(StorageError) -> MappedRun {
    let n = index(of: block)
    return try extents[n].run(at: block - starts[n], limit: limit)
  }

  func unpack(_ block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    let n = index(of: block)
    try extents[n].unpack(block - starts[n], into: buffer)
  }

  // MARK: Changes

  /// The contents get another identifier: what stands above notices.
  func prepareChange() throws(StorageError) {
    if hasPrepared { return }
    hasPrepared = true
    guard let place = contentIDPlace, !keepsIdentifier else { return }
    let digits = Int(place.upperBound - place.lowerBound)
    var id = UInt32.random(in: 1..<VMDKDescriptor.unknownParent)
    if digits < 8 { id &= (1 << UInt32(4 * digits)) - 1 }
    let text = String(id, radix: 16)
    try store.write(
      at: place.lowerBound,
      Array((String(repeating: "0", count: digits - text.utf8.count) + text).utf8))
    contentID = id
  }

  func fill(_ block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) -> UInt64 {
    let n = index(of: block)
    guard let extent = extents[n] as? VMDKSparseExtent else {
      throw extents[n].store.refusal("an extent of zeros cannot be written")
    }
    let sector = block - starts[n]
    let grain = sector / extent.grainSize
    let first = grain * extent.grainSize
    let unit = min(extent.grainSize, extent.sectorCount - first)
    let count = min(UInt64(buffer.count) / 512, first + unit - sector)
    let data = UnsafeRawBufferPointer(rebasing: buffer[..<(Int(count) * 512)])
    if extent.isCompressed {
      try repack(extent, grain, starts[n] + first, unit, block, data)
      return count
    }
    let before = try extent.entry(grain)
    let (place, isClean) = try extent.allocate(grain)
    try fillUnit(
      at: place, in: extent.store, first: starts[n] + first, unit: unit, isClean: isClean, block,
      from: data, showsBase: before == .none)
    try extent.take(grain, place)
    return count
  }

  /// Compresses a grain anew, with a part of it changed.
  private func repack(
    _ extent: VMDKSparseExtent, _ grain: UInt64, _ first: UInt64, _ unit: UInt64, _ block: UInt64,
    _ data: UnsafeRawBufferPointer
  ) throws(StorageError) {
    let size = Int(extent.grainSize) * 512
    if data.count == size { return try extent.pack(grain, data) }
    let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
    defer { whole.deallocate() }
    whole.initializeMemory(as: UInt8.self, repeating: 0)
    let old = UnsafeMutableRawBufferPointer(rebasing: whole[..<(Int(unit) * 512)])
    if case .at = try extent.entry(grain) {
      try extent.unpack(grain * extent.grainSize, into: old)
    } else if try extent.entry(grain) == .none {
      try readBelow(first, into: old)
    }
    UnsafeMutableRawBufferPointer(rebasing: whole[(Int(block - first) * 512)...]).copyMemory(
      from: data)
    try extent.pack(grain, UnsafeRawBufferPointer(whole))
  }

  func blank(_ block: UInt64, count: UInt64) throws(StorageError) -> UInt64 {
    let n = index(of: block)
    guard let extent = extents[n] as? VMDKSparseExtent else { return 0 }
    return try extent.blank(block - starts[n], count, showsBase: base != nil)
  }

  func commit() throws(StorageError) {
    var isOwn = false
    for extent in extents where extent.isWritable {
      try extent.commit()
      if extent.store === store { isOwn = true }
    }
    if !isOwn, store.isWritable { try store.flush() }
  }

  func settle() throws(StorageError) -> Bool {
    var waits = false
    for extent in extents where extent.isWritable { if try extent.settle() { waits = true } }
    return waits
  }

  func letGo() { for extent in extents { extent.letGo() } }

  /// The copies of tables are with the stable storage, too.
  func finish() throws(StorageError) {
    try commit()
    try commit()
  }
}
