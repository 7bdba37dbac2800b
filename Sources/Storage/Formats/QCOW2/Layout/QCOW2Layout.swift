// The sizes that follow from a QCOW2 header, and the entries of its tables.
//
// Owns: the arithmetic of clusters, tables and entries; big-endian loads and stores. Must not know: stores, devices.
// After: QEMU, docs/interop/qcow2.txt, "Host cluster management", "Cluster mapping", "Extended L2 Entries".

/// Sizes, all of them powers of two.
struct QCOW2Layout: Equatable {
  var version: Int
  var clusterBits: Int
  var hasExtendedL2: Bool
  var refcountOrder: Int

  static let hostOffsetMask: UInt64 = 0x00FF_FFFF_FFFF_FE00
  static let copied: UInt64 = 1 << 63
  static let compressed: UInt64 = 1 << 62
  static let zeroFlag: UInt64 = 1
  /// An entry's offset has no more bits.
  static let mostHostBits = 56

  var clusterSize: Int { 1 << clusterBits }
  var clusterMask: UInt64 { (1 << UInt64(clusterBits)) - 1 }
  var l2EntryBits: Int { hasExtendedL2 ? 4 : 3 }
  /// Entries in an L2 table, as a power of two.
  var l2Bits: Int { clusterBits - l2EntryBits }
  /// Bytes of the disk that an L2 table describes, as a power of two.
  var l1Bits: Int { clusterBits + l2Bits }
  var refcountBits: Int { 1 << refcountOrder }
  /// Entries in a refcount block, as a power of two.
  var refcountBlockBits: Int { clusterBits + 3 - refcountOrder }
  var largestRefcount: UInt64 { refcountOrder == 6 ? .max : 1 << UInt64(refcountBits) - 1 }
  /// What is allocated by itself: a subcluster, or a whole cluster.
  var unitBits: Int { hasExtendedL2 ? clusterBits - 5 : clusterBits }
  var hasZeroFlag: Bool { version >= 3 && !hasExtendedL2 }

  /// The first cluster behind so many bytes.
  func clusters(_ bytes: UInt64) -> UInt64 {
    bytes >> UInt64(clusterBits) + (bytes & clusterMask == 0 ? 0 : 1)
  }

  /// L1 entries that a disk of so many bytes needs.
  func l1Entries(_ bytes: UInt64) -> UInt64 {
    let bits = UInt64(l1Bits)
    return bytes >> bits + (bytes & (1 << bits - 1) == 0 ? 0 : 1)
  }

  // MARK: Compressed clusters

  /// The bits of a compressed cluster's host offset: x in the specification.
  var compressedOffsetBits: Int { 62 - (clusterBits - 8) }

  /// Where the compressed data may be: up to the end of their last sector.
  func compressedRange(_ word: UInt64) -> (offset: UInt64, count: Int) {
    let bits = UInt64(compressedOffsetBits)
    let offset = word & (1 << bits - 1)
    let more = word >> bits & (1 << UInt64(clusterBits - 8) - 1)
    return (offset, Int((more + 1) * 512 - offset & 511))
  }

  /// The entry of compressed data at a place.
  func compressedWord(_ offset: UInt64, _ count: Int) -> UInt64? {
    let bits = compressedOffsetBits
    guard offset < 1 << UInt64(min(bits, QCOW2Layout.mostHostBits)) else { return nil }
    let more = (offset + UInt64(count) - 1) >> 9 - offset >> 9
    return QCOW2Layout.compressed | more << UInt64(bits) | offset
  }
}

/// An entry of an L2 table.
struct QCOW2Entry: Equatable {
  var word: UInt64
  /// The subclusters, of extended entries: allocated below, zeros above.
  var bitmap: UInt64 = 0

  static let absent = QCOW2Entry(word: 0)

  var isCompressed: Bool { word & QCOW2Layout.compressed != 0 }
  var isCopied: Bool { word & QCOW2Layout.copied != 0 }
  var hostOffset: UInt64 { word & QCOW2Layout.hostOffsetMask }

  enum Kind: Equatable {
    case data, zero, absent, compressed
  }

  /// Whether there is a cluster of its own; in an external data file it may be the one at 0.
  func hasHost(_ isExternal: Bool) -> Bool {
    !isCompressed && (hostOffset != 0 || (isExternal && isCopied))
  }

  /// What a unit reads as.
  func kind(_ unit: Int, _ layout: QCOW2Layout, isExternal: Bool) -> Kind {
    if isCompressed { return .compressed }
    if layout.hasExtendedL2 {
      if bitmap >> UInt64(unit) & 1 != 0 { return .data }
      return bitmap >> UInt64(unit + 32) & 1 != 0 ? .zero : .absent
    }
    if layout.hasZeroFlag && word & QCOW2Layout.zeroFlag != 0 { return .zero }
    return hasHost(isExternal) ? .data : .absent
  }
}

extension UnsafeRawPointer {
  @inline(__always) func big64(_ at: Int) -> UInt64 {
    UInt64(bigEndian: loadUnaligned(fromByteOffset: at, as: UInt64.self))
  }
  @inline(__always) func big32(_ at: Int) -> UInt32 {
    UInt32(bigEndian: loadUnaligned(fromByteOffset: at, as: UInt32.self))
  }
  @inline(__always) func big16(_ at: Int) -> UInt16 {
    UInt16(bigEndian: loadUnaligned(fromByteOffset: at, as: UInt16.self))
  }
}

extension UnsafeMutableRawPointer {
  @inline(__always) func big64(_ at: Int) -> UInt64 { UnsafeRawPointer(self).big64(at) }
  @inline(__always) func putBig64(_ value: UInt64, _ at: Int) {
    storeBytes(of: value.bigEndian, toByteOffset: at, as: UInt64.self)
  }
}

/// Numbers in an array of bytes that is long enough for them.
struct BigEndianBytes {
  var bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }
  init(count: Int) { bytes = [UInt8](repeating: 0, count: count) }

  func number(_ at: Int, _ count: Int) -> UInt64 {
    bytes[at..<at + count].reduce(0) { $0 << 8 | UInt64($1) }
  }
  mutating func put(_ value: UInt64, _ at: Int, _ count: Int) {
    for n in 0..<count {
      bytes[at + n] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - n)))
    }
  }
  mutating func append(_ value: UInt64, _ count: Int) {
    bytes += [UInt8](repeating: 0, count: count)
    put(value, bytes.count - count, count)
  }
}

/// A table of 64-bit entries.
enum QCOW2Table {
  /// Reads `count` entries that lie inside the store.
  static func read(_ store: any ByteStore, at offset: UInt64, count: Int) throws(StorageError)
    -> [UInt64]
  {
    if count == 0 { return [] }
    var words = [UInt64](repeating: 0, count: count)
    try StorageError.passing { failure in
      words.withUnsafeMutableBytes { buffer in
        do throws(StorageError) { try store.read(at: offset, into: buffer) } catch {
          failure = error
        }
      }
    }
    for n in words.indices { words[n] = UInt64(bigEndian: words[n]) }
    return words
  }

  /// Writes entries.
  static func write(_ store: any ByteStore, at offset: UInt64, _ words: some Collection<UInt64>)
    throws(StorageError)
  {
    let swapped = words.map(\.bigEndian)
    try StorageError.passing { failure in
      swapped.withUnsafeBytes { buffer in
        do throws(StorageError) { try store.write(at: offset, from: buffer) } catch {
          failure = error
        }
      }
    }
  }
}
