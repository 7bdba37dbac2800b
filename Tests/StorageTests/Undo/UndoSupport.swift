// A disk with periods, for trials of undo logs.
//
// Owns: a guest that also begins periods and holds writes back, what the disk held at each beginning, reading that back from logs and image.
// Must not know: formats, what fails when.

import Testing

@testable import Storage

enum Undo {
  static let identity = [UInt8]("of these trials!".utf8)

  /// Kinds of images whose disks have a few clusters, the last of them short.
  static let kinds: [WrittenKind] = [
    WrittenKind("raw", size: 800 << 10),
    WrittenKind("qcow2", ["cluster_size": "4096"], size: 800 << 10),
    WrittenKind("qcow2", size: 800 << 10),
    WrittenKind("qcow2", ["cluster_size": "4096"], over: "raw", size: 800 << 10),
    WrittenKind("vdi", ["block_size": "64K"], size: 800 << 10),
    WrittenKind("vhd", ["block_size": "512K"], size: 800 << 10),
  ]

  /// nil: OpenSSL 3 is not installed.
  static let secret = try? ContentSecret(
    sealing: [VolumeKey(SecretBytes([UInt8](repeating: 7, count: 64)), identity: "disk")],
    for: "secret")

  /// A log in a store that is made when it is wanted.
  static func log(
    _ period: UInt64, of device: any BlockDevice, seal: UndoSeal? = nil,
    make: @escaping () throws(StorageError) -> any ByteStore
  ) -> UndoLog {
    UndoLog(
      "undo-\(period)", identity, period, device.blockCount * UInt64(device.blockSize), seal: seal,
      make: make)
  }

  static func open(_ store: any ByteStore, _ period: UInt64, secret: ContentSecret? = nil) throws
    -> UndoLog
  {
    try UndoLog(reading: store, expecting: identity, period: period, secret: secret)
  }

  /// What a disk held when a period began, of whose logs the first is that period's.
  static func contents(_ size: Int, _ logs: [UndoLog], _ image: any BlockDevice) throws -> [UInt8] {
    var bytes = try image.bytes(at: 0, count: size)
    bytes += [UInt8](repeating: 0, count: size - bytes.count)
    for cluster in 0..<(size + 65535) / 65536 {
      let range = cluster * 65536..<min(size, cluster * 65536 + 65536)
      guard let log = logs.first(where: { $0.has(UInt64(cluster)) }) else { continue }
      // Another period's disk may be shorter or longer.
      var part = [UInt8](repeating: 0, count: log.length(of: UInt64(cluster)))
      try StorageError.passing { failure in
        part.withUnsafeMutableBytes { buffer in
          do throws(StorageError) {
            _ = try log.read(UInt64(cluster), into: buffer)
          } catch {
            failure = error
          }
        }
      }
      part += [UInt8](repeating: 0, count: max(0, range.count - part.count))
      bytes.replaceSubrange(range, with: part.prefix(range.count))
    }
    return bytes
  }

  /// What is wrong with what logs and image say of a period's beginning; nil: nothing.
  static func complaint(
    _ expected: [UInt8], period: UInt64, _ logs: [UndoLog], _ image: any BlockDevice
  ) throws -> String? {
    let found = try contents(
      expected.count, logs.filter { $0.period >= period }, image)
    if found == expected { return nil }
    let cluster = (0..<expected.count).first { found[$0] != expected[$0] }! / 65536
    let having = logs.filter { $0.has(UInt64(cluster)) }.map { "\($0.period)" }
    return "period \(period): cluster \(cluster), which is in logs \(having), is not what it was"
  }

  /// One step of a busy guest.
  static func step(_ device: any BlockDevice, _ random: inout PowerCutRandom) throws {
    let most = Int(device.blockCount)
    let count = 1 + random.below(random.one(in: 4) ? 300 : 9)
    // Some places are written again and again.
    let block = random.one(in: 2) ? random.below(max(1, most - count)) : random.below(150)
    let size = min(count, most - block)
    switch random.below(12) {
    case 0: try device.writeZeroes(block: UInt64(block), count: UInt64(size))
    case 1: try device.discard(block: UInt64(block), count: UInt64(size))
    case 2: try device.flush()
    case 3: _ = try device.settle()
    default:
      let tag = random.next() & 0xFF_FFFF
      try device.write(
        block: UInt64(block), QCOW2Maker.pattern(size * device.blockSize, tag))
    }
  }
}

/// A store that passes everything on; being made longer and being written are two things for it.
final class TornStore: ByteStore {
  let store: any ByteStore
  init(_ store: any ByteStore) { self.store = store }
  var name: String { store.name }
  var size: UInt64 { store.size }
  var isWritable: Bool { true }
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try store.read(at: offset, into: buffer)
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try store.write(at: offset, from: buffer)
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try store.zero(at: offset, count: count, releasing: releasing)
  }
  func setSize(_ size: UInt64) throws(StorageError) { try store.setSize(size) }
  func flush() throws(StorageError) { try store.flush() }
  func beginFlush() throws(StorageError) -> UInt64 { try store.beginFlush() }
  func hasFlushed(_ number: UInt64) throws(StorageError) -> Bool { try store.hasFlushed(number) }
  func remove() { store.remove() }
}
