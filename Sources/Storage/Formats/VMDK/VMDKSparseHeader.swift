// The header of a sparse extent of a VMDK image.
//
// Owns: its fields and what they may be, the layout of a new one. Must not know: grains. After: VMware Virtual Disk Format 5.0, "Hosted Sparse
// Extents" and "Stream-Optimized Compressed Sparse Extents".

/// A header all of whose numbers are sound for the file it is in.
struct VMDKSparseHeader {
  static let magic = Array("KDMV".utf8)
  static let size = 512
  enum Offset {
    static let version = 4
    static let flags = 8
    static let capacity = 12
    static let grainSize = 20
    static let descriptorOffset = 28
    static let descriptorSize = 36
    static let entriesPerTable = 44
    static let redundantDirectory = 48
    static let directory = 56
    static let overhead = 64
    static let uncleanShutdown = 72
    static let lineEndings = 73
    static let compression = 77
  }
  enum Flag {
    static let lineEndings: UInt32 = 1 << 0
    static let redundant: UInt32 = 1 << 1
    static let zeroGrains: UInt32 = 1 << 2
    static let compressed: UInt32 = 1 << 16
    static let markers: UInt32 = 1 << 17
  }
  /// The directory is named by a copy of the header at the end of the file.
  static let directoryAtEnd = UInt64.max

  private(set) var fields: Fields
  /// Whether the copy at the end was used.
  private(set) var isFooter = false

  init(_ store: any ByteStore) throws(StorageError) {
    fields = try store.fields(at: 0, count: VMDKSparseHeader.size, "the header")
    var start: UInt64 = 0
    func refuse(_ at: Int, _ reason: String) -> StorageError {
      store.refusal(at: start + UInt64(at), reason)
    }
    guard fields.starts(with: VMDKSparseHeader.magic) else { throw refuse(0, "no sparse extent") }
    if directory == VMDKSparseHeader.directoryAtEnd {
      guard store.size >= 1536 else { throw refuse(0, "the file is cut short") }
      // A marker, the footer, the marker of the end.
      start = store.size / 512 * 512 - 1024
      fields = try store.fields(at: start, count: VMDKSparseHeader.size, "the footer")
      guard fields.starts(with: VMDKSparseHeader.magic) else {
        throw refuse(0, "no footer is here: the file is cut short")
      }
      isFooter = true
    }
    let version = fields.little(Offset.version, as: UInt32.self)
    guard (1...3).contains(version) else {
      throw refuse(Offset.version, "version \(version) of a sparse extent")
    }
    if has(Flag.lineEndings) {
      guard fields.slice(Offset.lineEndings, 4) == [10, 32, 13, 10] else {
        throw refuse(
          Offset.lineEndings, "line endings were changed: the file was copied as a text")
      }
    }
    if isCompressed, fields.little(Offset.compression, as: UInt16.self) != 1 {
      throw refuse(
        Offset.compression,
        "compression \(fields.little(Offset.compression, as: UInt16.self)), which is not known")
    }
    guard grainSize >= 1, grainSize <= 1 << 12, grainSize & (grainSize - 1) == 0 else {
      throw refuse(Offset.grainSize, "grains of \(grainSize) sectors")
    }
    let entries = fields.little(Offset.entriesPerTable, as: UInt32.self)
    guard entries >= 128, entries <= 8192, entries % 128 == 0 else {
      throw refuse(Offset.entriesPerTable, "grain tables of \(entries) entries")
    }
    guard capacity > 0, capacity <= 1 << 42 else {
      throw refuse(Offset.capacity, "\(capacity) sectors")
    }
    try check(directory, Offset.directory, "grain directory", store, start)
    if hasRedundant {
      try check(
        redundantDirectory, Offset.redundantDirectory, "redundant grain directory", store, start)
    }
    guard descriptorSize <= VMDKDescriptor.longest / 512, descriptorOffset <= store.size / 512,
      descriptorSize <= store.size / 512 - descriptorOffset
    else {
      throw refuse(
        Offset.descriptorOffset, "a descriptor of \(descriptorSize) sectors at \(descriptorOffset)")
    }
  }

  private func check(
    _ sector: UInt64, _ field: Int, _ what: String, _ store: any ByteStore, _ start: UInt64
  ) throws(StorageError) {
    guard sector > 0, sector <= store.size / 512, tableCount * 4 <= store.size - sector * 512 else {
      throw store.refusal(
        at: start + UInt64(field),
        "a \(what) of \(tableCount) entries at sector \(sector), in a file of \(store.size) bytes")
    }
  }

  /// A new one, with tables in front of all grains.
  init(capacity: UInt64, flags: UInt32, version: UInt32, hasDescriptor: Bool) {
    fields = Fields(count: VMDKSparseHeader.size)
    fields.set(0, VMDKSparseHeader.magic)
    fields.setLittle(Offset.version, version)
    fields.setLittle(Offset.flags, flags)
    fields.setLittle(Offset.capacity, capacity)
    fields.setLittle(Offset.grainSize, UInt64(128))
    fields.setLittle(Offset.descriptorOffset, UInt64(hasDescriptor ? 1 : 0))
    fields.setLittle(Offset.descriptorSize, UInt64(hasDescriptor ? 20 : 0))
    fields.setLittle(Offset.entriesPerTable, UInt32(512))
    fields.set(Offset.lineEndings, [10, 32, 13, 10])
    if flags & Flag.compressed != 0 { fields.setLittle(Offset.compression, UInt16(1)) }
    var at: UInt64 = 21
    if flags & Flag.redundant != 0 {
      fields.setLittle(Offset.redundantDirectory, at)
      at += directorySectors + tableCount * tableSectors
    }
    fields.setLittle(Offset.directory, at)
    at += directorySectors + tableCount * tableSectors
    fields.setLittle(Offset.overhead, at.rounded(upTo: 128))
  }

  /// Another size, with directories elsewhere; all that changes is in one sector.
  mutating func set(capacity: UInt64, directory: UInt64, redundant: UInt64) {
    fields.setLittle(Offset.capacity, capacity)
    fields.setLittle(Offset.directory, directory)
    fields.setLittle(Offset.redundantDirectory, redundant)
  }

  var bytes: [UInt8] { fields.bytes }
  var flags: UInt32 { fields.little(Offset.flags) }
  func has(_ flag: UInt32) -> Bool { flags & flag != 0 }
  var isCompressed: Bool { has(Flag.compressed) }
  var hasMarkers: Bool { has(Flag.markers) }
  var hasZeroGrains: Bool { has(Flag.zeroGrains) }
  var hasRedundant: Bool { has(Flag.redundant) && redundantDirectory != 0 && !isFooter }
  var capacity: UInt64 { fields.little(Offset.capacity) }
  var grainSize: UInt64 { fields.little(Offset.grainSize) }
  var descriptorOffset: UInt64 { fields.little(Offset.descriptorOffset) }
  var descriptorSize: UInt64 { fields.little(Offset.descriptorSize) }
  var entriesPerTable: UInt64 { UInt64(fields.little(Offset.entriesPerTable, as: UInt32.self)) }
  var redundantDirectory: UInt64 { fields.little(Offset.redundantDirectory) }
  var directory: UInt64 { fields.little(Offset.directory) }
  var overhead: UInt64 { fields.little(Offset.overhead) }

  /// How many grains there are, and tables for them.
  var grainCount: UInt64 { (capacity + grainSize - 1) / grainSize }
  var tableCount: UInt64 { (grainCount + entriesPerTable - 1) / entriesPerTable }
  var tableSectors: UInt64 { entriesPerTable * 4 / 512 }
  var directorySectors: UInt64 { (tableCount * 4 + 511) / 512 }
}
