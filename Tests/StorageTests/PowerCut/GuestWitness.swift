// A device that remembers what its guest may expect to find after a power failure.
//
// Owns: what each sector held and when, and when the guest flushed. Must not know: formats, files.

import Storage

/// Passes everything on to a device, and notes it.
final class GuestWitness: BlockDevice {
  /// What is wished of the format beyond reading and writing is asked of this.
  let device: any BlockDevice
  private let disk: PowerCutDisk

  private struct Version {
    /// Operations on the disk when the guest's write began.
    var begun: Int
    /// The guest's own count of what it did.
    var order: Int
    var hash: UInt64
  }
  private struct Flush {
    /// Operations on the disk when it had returned.
    var done: Int
    var order: Int
  }
  private var versions: [UInt64: [Version]] = [:]
  private var initial: [UInt64]
  private var flushes: [Flush] = []
  private var order = 0

  init(_ device: any BlockDevice, _ disk: PowerCutDisk) throws(StorageError) {
    self.device = device
    self.disk = disk
    initial = try GuestWitness.hashes(of: device)
  }

  /// Hashes of all sectors of 512 bytes.
  static func hashes(of device: any BlockDevice) throws(StorageError) -> [UInt64] {
    let bytes = try device.bytes(
      at: 0, count: Int(device.blockCount) * device.blockSize)
    return bytes.withUnsafeBytes { buffer in
      stride(from: 0, to: buffer.count, by: 512).map {
        hash(UnsafeRawBufferPointer(rebasing: buffer[$0..<min($0 + 512, buffer.count)]))
      }
    }
  }

  private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var sum: UInt64 = 0xCBF2_9CE4_8422_2325
    for at in stride(from: 0, to: bytes.count & ~7, by: 8) {
      sum =
        (sum ^ bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)) &* 0x9E37_79B9_7F4A_7C15
      sum ^= sum >> 29
    }
    return sum
  }

  /// Sizes that the disk may have: the last one that was finished, and what was begun since.
  private func sizes(at cut: Int) -> (least: Int, sizes: [Int]) {
    var sizes = [initial.count]
    for size in resizes where size.begun <= cut {
      if size.done <= cut { sizes = [] }
      sizes.append(size.sectors)
    }
    return (sizes.min() ?? initial.count, sizes)
  }

  private var resizes: [(begun: Int, done: Int, sectors: Int)] = []

  func resize(to blockCount: UInt64) throws(StorageError) {
    let begun = disk.log.count
    try device.resize(to: blockCount)
    // Who changes the size flushes.
    try device.flush()
    resizes.append((begun, disk.log.count, Int(blockCount) * blockSize / 512))
  }

  static let zero: UInt64 = [UInt8](repeating: 0, count: 512).withUnsafeBytes { hash($0) }

  private func note(_ block: UInt64, _ count: UInt64, _ hash: (Int) -> UInt64) {
    order += 1
    let sectors = UInt64(blockSize / 512)
    for n in 0..<count * sectors {
      versions[block * sectors + n, default: []].append(
        Version(begun: disk.log.count, order: order, hash: hash(Int(n))))
    }
  }

  /// What is wrong with sectors that were read after a failure behind the first `cut` operations on the disk; nil: nothing.
  func complaint(_ sectors: [UInt64], cut: Int) -> String? {
    let (least, sizes) = sizes(at: cut)
    // An image in several files may be of a size in between.
    guard (least...(sizes.max() ?? least)).contains(sectors.count) else {
      return "the disk has \(sectors.count) sectors, not \(sizes)"
    }
    let flushed = flushes.last { $0.done <= cut }?.order ?? 0
    // What is to be cut off need not last until it is.
    for (number, hash) in sectors.prefix(least).enumerated() {
      let before = number < initial.count ? initial[number] : GuestWitness.zero
      guard let all = versions[UInt64(number)] else {
        if hash != before { return "sector \(number), never written, is not what it was" }
        continue
      }
      // The last that was flushed, and everything that was begun since.
      let floor = all.last { $0.order <= flushed }
      var allowed = all.filter { $0.order > flushed && $0.begun <= cut }.map(\.hash)
      allowed.append(floor?.hash ?? before)
      if !allowed.contains(hash) {
        let old = all.contains { $0.hash == hash } || hash == before
        return "sector \(number) holds "
          + (old
            ? "what it held before it was written and flushed"
            : hash == GuestWitness.zero ? "zeros" : "what was never written there")
      }
    }
    return nil
  }

  // MARK: The device

  var name: String { device.name }
  var blockSize: Int { device.blockSize }
  var blockCount: UInt64 { device.blockCount }
  var capabilities: BlockCapabilities { device.capabilities }
  var generation: UInt64 { device.generation }
  var base: (any BlockDevice)? { device.base }

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try device.read(block: block, into: buffer)
  }

  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    note(block, UInt64(buffer.count / blockSize)) {
      GuestWitness.hash(UnsafeRawBufferPointer(rebasing: buffer[$0 * 512..<$0 * 512 + 512]))
    }
    try device.write(block: block, from: buffer)
  }

  /// Notes a write that is done in another way than by `write`.
  func witness(block: UInt64, _ bytes: [UInt8], _ write: () throws -> Void) rethrows {
    bytes.withUnsafeBytes { buffer in
      note(block, UInt64(buffer.count / blockSize)) {
        GuestWitness.hash(UnsafeRawBufferPointer(rebasing: buffer[$0 * 512..<$0 * 512 + 512]))
      }
    }
    try write()
  }

  func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    note(block, count) { _ in GuestWitness.zero }
    try device.writeZeroes(block: block, count: count)
  }

  func discard(block: UInt64, count: UInt64) throws(StorageError) {
    note(block, count) { _ in GuestWitness.zero }
    try device.discard(block: block, count: count)
  }

  func flush() throws(StorageError) {
    try device.flush()
    flushes.append(Flush(done: disk.log.count, order: order))
  }

  func settle() throws(StorageError) -> Bool { try device.settle() }
  func nextData(from block: UInt64) -> UInt64 { device.nextData(from: block) }
  func close() { device.close() }
}
