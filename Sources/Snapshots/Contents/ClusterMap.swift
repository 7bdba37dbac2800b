// What clusters of a disk held, by name.
//
// Owns: the form of maps, looking several of them through. Must not know: periods, images.
//
// A map's bytes: for each cluster, ascending, its number (u64, little-endian) and the name of what it held (32 bytes); that of zeros where
// it held zeros.

import Storage
import Store

struct ClusterMap: Equatable {
  private(set) var names: [UInt64: ContentName] = [:]

  private static let entry = 8 + ContentName.byteCount
  /// As many clusters of 64 KiB as 256 TiB have would need more memory than a host has: what is really there bounds it.
  private static let longest = 4 << 30

  var isEmpty: Bool { names.isEmpty }

  /// Adds what is not known of yet: earlier maps come first.
  mutating func add(_ cluster: UInt64, _ name: ContentName) {
    if names[cluster] == nil { names[cluster] = name }
  }

  mutating func add(_ other: ClusterMap) { names.merge(other.names) { known, _ in known } }

  /// Its clusters, ascending.
  var clusters: [UInt64] { names.keys.sorted() }

  /// Adds it to a batch.
  func store(in batch: Batch) throws(StorageError) -> ContentName {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(names.count * ClusterMap.entry)
    for cluster in clusters {
      for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: cluster >> UInt64(8 * shift))) }
      bytes += names[cluster].unsafelyUnwrapped.bytes
    }
    return try StoredBytes.add(bytes, to: batch)
  }

  init() {}

  /// Reads a map.
  /// - Parameter count: clusters that the disk has.
  init(_ name: ContentName, in store: ContentStore, of count: UInt64) throws(StorageError) {
    let bytes = try StoredBytes.read(name, in: store, limit: ClusterMap.longest)
    guard bytes.count % ClusterMap.entry == 0 else {
      throw StorageError(path: store.folder, reason: "object \(name.short) is no map of clusters")
    }
    names.reserveCapacity(bytes.count / ClusterMap.entry)
    let isSound = bytes.withUnsafeBytes { bytes in
      for at in stride(from: 0, to: bytes.count, by: ClusterMap.entry) {
        let cluster = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
        if cluster >= count { return false }
        add(cluster, ContentName(bytes.baseAddress.unsafelyUnwrapped + at + 8))
      }
      return true
    }
    if !isSound {
      throw StorageError(
        path: store.folder, reason: "object \(name.short) names a cluster behind the disk's end")
    }
  }

  /// Notes all that a map needs.
  static func mark(
    _ name: ContentName, in store: ContentStore, of count: UInt64, _ marks: inout ContentMarks
  ) throws(StorageError) {
    try StoredBytes.mark(name, in: store, &marks)
    for name in try ClusterMap(name, in: store, of: count).names.values { marks.insert(name) }
  }
}
