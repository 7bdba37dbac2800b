// What an image holds, as a number that can be compared.
//
// Owns: hashes of clusters, and the hash of an image made of them. Must not know: files, drives, saved states, recordings.
// The hash guards against accidents (another image, one that was written since), not against intent.
//
// An image's hash is a sum over its clusters, each hashed with its place; clusters of zeros add nothing. So what one cluster adds can be
// exchanged without reading the others: of an image that is written only what was written is read again. It depends on the
// contents alone, not on how they are kept (holes of a sparse file are zeros).

/// 128 bits that stand for contents.
public struct ContentHash: Equatable, Hashable, Sendable, CustomStringConvertible {
  public var low: UInt64
  public var high: UInt64

  public init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  static let zero = ContentHash(low: 0, high: 0)

  /// 32 hexadecimal digits.
  public var description: String { ContentHash.digits(high) + ContentHash.digits(low) }

  /// The first 16 of them, for messages.
  public var short: String { ContentHash.digits(high) }

  private static func digits(_ value: UInt64) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }
}

/// The hashes of a device whose writes are all noted, so that only what was written since the last time is read again. Others' writes to its
/// files are noticed as long as there are none of its own.
struct NotedHashes {
  private var hashes: ClusterHashes?
  private var written = Set<Int>()
  private var mark: FileMark?

  /// Blocks of 512 bytes will be written.
  mutating func note(_ block: UInt64, _ count: UInt64) {
    mark = nil
    guard let hashes, count > 0 else { return }
    for cluster in hashes.cluster(of: block)...hashes.cluster(of: block + count - 1) {
      written.insert(cluster)
    }
  }

  /// Everything may be something else.
  mutating func forget() { self = NotedHashes() }

  mutating func current(of device: any BlockDevice) throws(StorageError) -> ClusterHashes {
    let now = device.mark()
    if let mark, mark != now { hashes = nil }
    if var known = hashes {
      if !written.isEmpty {
        try known.update(written.sorted(), from: device)
        written = []
        hashes = known
      }
      return known
    }
    let new = try ClusterHashes(reading: device)
    self = NotedHashes()
    hashes = new
    mark = now
    return new
  }
}

/// The hashes of an image's clusters.
public struct ClusterHashes: Sendable {
  /// Sectors of the image.
  public let sectorCount: UInt64
  /// Sectors in a cluster; a function of the image's size alone.
  public let sectorsPerCluster: UInt64
  private var clusters: [ContentHash]
  private var sum = ContentHash.zero

  /// 64 KiB, more where an image would have more than so many clusters.
  private static let smallestCluster: UInt64 = 128
  private static let mostClusters: UInt64 = 1 << 16

  /// Of an image that holds only zeros.
  public init(sectorCount: UInt64) {
    self.sectorCount = sectorCount
    var size = ClusterHashes.smallestCluster
    while (sectorCount &+ size &- 1) / size > ClusterHashes.mostClusters { size *= 2 }
    sectorsPerCluster = size
    clusters = Array(repeating: .zero, count: Int((sectorCount &+ size &- 1) / size))
  }

  /// Of everything a device holds; where it knows that nothing was ever written, it is not read.
  public init(reading device: any BlockDevice) throws(StorageError) {
    self.init(sectorCount: device.sectorCount)
    let ratio = UInt64(device.blockSize / 512)
    var data: UInt64 = 0
    for number in 0..<clusters.count {
      let start = UInt64(number) * sectorsPerCluster
      if data < start { data = device.nextData(from: start / ratio) * ratio }
      if data < start + sectorsPerCluster { try update(CollectionOfOne(number), from: device) }
    }
  }

  /// How many clusters there are.
  public var count: Int { clusters.count }

  /// The hash of everything.
  public var content: ContentHash {
    var low = ClusterHashes.mix(sum.low ^ sectorCount)
    var high = ClusterHashes.mix(sum.high &+ sectorCount)
    low = ClusterHashes.mix(low ^ high)
    high = ClusterHashes.mix(high ^ low)
    return ContentHash(low: low, high: high)
  }

  /// The cluster that holds a sector.
  public func cluster(of sector: UInt64) -> Int { Int(sector / sectorsPerCluster) }

  /// Reads clusters again.
  public mutating func update(_ numbers: some Sequence<Int>, from device: any BlockDevice)
    throws(StorageError)
  {
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Int(sectorsPerCluster) * 512, alignment: 64)
    defer { buffer.deallocate() }
    for number in numbers {
      let first = UInt64(number) * sectorsPerCluster
      let part = UnsafeMutableRawBufferPointer(
        rebasing: buffer[..<(Int(min(sectorsPerCluster, sectorCount - first)) * 512)])
      try device.read(block: first / UInt64(device.blockSize / 512), into: part)
      set(number, ClusterHashes.hash(UnsafeRawBufferPointer(part), number: number))
    }
  }

  private mutating func set(_ number: Int, _ hash: ContentHash) {
    let old = clusters[number]
    sum.low = sum.low &- old.low &+ hash.low
    sum.high = sum.high &- old.high &+ hash.high
    clusters[number] = hash
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    var x = value
    x = (x ^ (x >> 32)) &* 0xD6E8_FEB8_6659_FD93
    x = (x ^ (x >> 32)) &* 0xD6E8_FEB8_6659_FD93
    return x ^ (x >> 32)
  }

  /// Of one cluster with its number, nothing for zeros. Every step can be undone, so that a change of any word changes its lane.
  private static func hash(_ bytes: UnsafeRawBufferPointer, number: Int) -> ContentHash {
    if isZero(bytes) { return .zero }
    let prime: UInt64 = 0x9E37_79B9_7F4A_7C15
    var (a, b, c, d) = (UInt64(number) &+ 1, prime, prime &* 3, prime &* 5)
    for offset in stride(from: 0, to: bytes.count, by: 32) {
      a = (a ^ bytes.load(fromByteOffset: offset, as: UInt64.self).littleEndian) &* prime
      b = (b ^ bytes.load(fromByteOffset: offset + 8, as: UInt64.self).littleEndian) &* prime
      c = (c ^ bytes.load(fromByteOffset: offset + 16, as: UInt64.self).littleEndian) &* prime
      d = (d ^ bytes.load(fromByteOffset: offset + 24, as: UInt64.self).littleEndian) &* prime
      a ^= a >> 29
      b ^= b >> 29
      c ^= c >> 29
      d ^= d >> 29
    }
    var low = UInt64(bytes.count)
    var high = ~low
    for lane in [a, b, c, d] {
      low = mix(low ^ lane)
      high = mix(high &+ (lane << 31 | lane >> 33))
    }
    return ContentHash(low: low, high: high)
  }

  private static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
    for offset in stride(from: 0, to: bytes.count, by: 64) {
      var any: UInt64 = 0
      for word in stride(from: offset, to: offset + 64, by: 8) {
        any |= bytes.load(fromByteOffset: word, as: UInt64.self)
      }
      if any != 0 { return false }
    }
    return true
  }
}
