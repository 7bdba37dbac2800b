// Undo logs as files: cut, damaged, made up by somebody.

import Foundation
import Testing

@testable import Storage

@Suite struct UndoLogTests {
  private static let size: UInt64 = 40 << 16 | 512

  private func bytes(_ cluster: UInt64) -> [UInt8] {
    let count = cluster == 40 ? 512 : 65536
    return cluster % 5 == 3
      ? [UInt8](repeating: 0, count: count) : QCOW2Maker.pattern(count, cluster + 1)
  }

  /// A log of some clusters; `synced` says behind which records it was brought to stable storage.
  private func make(
    _ clusters: [UInt64], synced: Set<Int> = [], period: UInt64 = 5, closed: Bool = false
  ) throws -> MemoryStore {
    let store = MemoryStore([], name: "log")
    let log = UndoLog("log", Undo.identity, period, UndoLogTests.size, make: { store })
    for (n, cluster) in clusters.enumerated() {
      try bytes(cluster).withUnsafeBytes { try log.append(cluster, $0) }
      if synced.contains(n) { try log.sync() }
    }
    if closed { try log.close() }
    return store
  }

  private func read(_ log: UndoLog, _ cluster: UInt64) throws -> [UInt8]? {
    var bytes = [UInt8](repeating: 0xEE, count: log.length(of: cluster))
    return try bytes.withUnsafeMutableBytes { try log.read(cluster, into: $0) } ? bytes : nil
  }

  @Test func whatIsAppendedIsRead() throws {
    let all: [UInt64] = [7, 3, 40, 0, 13, 22]
    for closed in [false, true] {
      let store = try make(all, synced: [2], closed: closed)
      let log = try UndoLog(reading: store, expecting: Undo.identity, period: 5)
      #expect(log.clusters == all.sorted())
      #expect(log.isComplete == closed)
      for cluster in all { #expect(try read(log, cluster) == bytes(cluster)) }
      #expect(try read(log, 1) == nil)
      try log.verify()
    }
  }

  @Test func theFirstOfEachClusterCounts() throws {
    let store = MemoryStore([], name: "log")
    let log = UndoLog("log", Undo.identity, 5, UndoLogTests.size, make: { store })
    try bytes(1).withUnsafeBytes { try log.append(1, $0) }
    try log.appendZeros(9)
    try log.appendZeros(1)
    #expect(try read(log, 1) == bytes(1))
    try log.sync()
    let again = try UndoLog(reading: store, expecting: Undo.identity, period: 5)
    #expect(again.clusters == [1, 9])
    #expect(try read(again, 1) == bytes(1))
  }

  @Test func aLogIsAFileOfItsOwn() throws {
    let folder = NSTemporaryDirectory() + "undo-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/log"
    func log() -> UndoLog {
      UndoLog(path: path, identity: Undo.identity, period: 5, diskSize: UndoLogTests.size)
    }
    let first = log()
    try first.sync()
    try first.close()
    #expect(!FileManager.default.fileExists(atPath: path))
    let second = log()
    try second.appendZeros(2)
    // Somebody looks while it is written.
    #expect(try UndoLog.open(path, expecting: Undo.identity, period: 5).clusters == [2])
    #expect(throws: StorageError.self) { try log().appendZeros(3) }
    try second.close()
    #expect(throws: StorageError.self) { try second.appendZeros(3) }
    let size = second.diskSize
    #expect(size == UndoLogTests.size)
    let read = try UndoLog.open(path, expecting: Undo.identity, period: 5)
    #expect(read.clusters == [2] && read.isComplete)
    #expect(throws: StorageError.self) {
      try UndoLog.open(path, expecting: [UInt8](repeating: 1, count: 16), period: 5)
    }
    #expect(throws: StorageError.self) {
      try UndoLog.open(path, expecting: Undo.identity, period: 6)
    }
    #expect(throws: StorageError.self) {
      try UndoLog.open(path + "x", expecting: Undo.identity, period: 6)
    }
  }

  // MARK: Cuts

  @Test func aCutTailIsNoError() throws {
    let store = try make([1, 2, 4, 6, 8], synced: [1])
    let whole = store.bytes
    for cut in stride(from: 512, through: whole.count, by: 4999) {
      let log = try UndoLog(
        reading: MemoryStore(Array(whole[..<cut])), expecting: Undo.identity, period: 5)
      #expect(log.clusters.count == min(5, (cut - 512) / 65568))
      try log.verify()
    }
    // A record that never came, before one that did.
    var holed = whole
    let third = 512 + 3 * 65568
    holed.replaceSubrange(third..<third + 40000, with: repeatElement(0, count: 40000))
    let log = try UndoLog(reading: MemoryStore(holed), expecting: Undo.identity, period: 5)
    #expect(log.clusters == [1, 2, 4])
    // Its head came, what it had did not.
    holed = whole
    holed.replaceSubrange(third + 512..<third + 1024, with: repeatElement(0, count: 512))
    #expect(
      try UndoLog(reading: MemoryStore(holed), expecting: Undo.identity, period: 5).clusters == [
        1, 2, 4,
      ])
    // What was there must still be.
    #expect(throws: StorageError.self) {
      try UndoLog(
        reading: MemoryStore(holed), expecting: Undo.identity, period: 5,
        atLeast: UInt64(whole.count))
    }
  }

  @Test func aFileWithoutAHeaderIsALogWithoutRecords() throws {
    for bytes in [[], [UInt8](repeating: 0, count: 512), UndoHeader.magic] {
      let log = try UndoLog(reading: MemoryStore(bytes), expecting: Undo.identity, period: 5)
      #expect(log.isEmpty && log.clusters.isEmpty && !log.has(0))
    }
    #expect(throws: StorageError.self) {
      try UndoLog(
        reading: MemoryStore([UInt8](repeating: 1, count: 512)), expecting: Undo.identity, period: 5
      )
    }
  }

  @Test func damageInTheMiddleIsSaid() throws {
    let store = try make([1, 2, 4, 6, 8], synced: [1, 3])
    let second = 512 + 65568
    var damaged = store.bytes
    damaged[second + 9] ^= 1
    let error = #expect(throws: StorageError.self) {
      try UndoLog(
        reading: MemoryStore(damaged, name: "the log"), expecting: Undo.identity, period: 5)
    }
    #expect(error?.path == "the log" && error?.offset == UInt64(second))
    // What a record has is looked at when it is read.
    damaged = store.bytes
    damaged[second + 5000] ^= 1
    let log = try UndoLog(reading: MemoryStore(damaged), expecting: Undo.identity, period: 5)
    #expect(try read(log, 1) == bytes(1))
    #expect(throws: StorageError.self) { try read(log, 2) }
    #expect(throws: StorageError.self) { try log.verify() }
  }

  // MARK: Made up

  @Test func hostileLogs() throws {
    let all: [UInt64] = (0..<24).map { $0 * 7 % 41 }
    let samples = [
      try make(all, synced: [3, 9, 15]).bytes, try make(all, closed: true).bytes,
      try make([3, 8, 13, 18, 23], synced: [1]).bytes,
    ]
    let other = try make(all.reversed(), period: 6, closed: true).bytes
    var random = PowerCutRandom(seed: 9)
    var opened = 0
    let count = PowerCuts.count(normally: 3000)
    for n in 0..<count {
      var bytes = samples[n % 3]
      switch random.below(4) {
      case 0: bytes.removeLast(random.below(bytes.count))
      case 1:
        let (at, from) = (random.below(bytes.count), random.below(other.count))
        let length = min(random.below(70000), bytes.count - at, other.count - from)
        bytes.replaceSubrange(at..<at + length, with: other[from..<from + length])
      case 2:
        // Records in another order.
        let (at, from) = (random.below(bytes.count), random.below(bytes.count))
        let length = min(random.below(70000), bytes.count - max(at, from))
        bytes.replaceSubrange(at..<at + length, with: Array(bytes[from..<from + length]))
      default:
        for _ in 0...random.below(3) {
          let record = 512 + random.below(24) * 65568
          let at =
            random.one(in: 2)
            ? random.below(512) : min(bytes.count - 1, record + random.below(40))
          bytes[at] = UInt8(truncatingIfNeeded: random.next())
        }
      }
      guard
        let log = try? UndoLog(
          reading: MemoryStore(bytes), expecting: Undo.identity, period: 5)
      else { continue }
      opened += 1
      for cluster in log.clusters {
        if let found = try? read(log, cluster) { #expect(found == self.bytes(cluster)) }
      }
    }
    #expect(opened > count / 10)
  }

  @Test func aHugeDiskTakesNoRoom() throws {
    let header = UndoHeader(
      diskSize: UndoHeader.largestDisk, identity: Undo.identity, period: 5
    ).bytes
    let log = try UndoLog(
      reading: MemoryStore(header + [1]), expecting: Undo.identity, period: 5)
    #expect(log.clusterCount == 1 << 46 && log.isEmpty)
    var larger = Fields(header)
    larger.setLittle(16, UInt64.max)
    larger.setLittle(508, CRC32C.sum(larger.slice(0, 508)))
    #expect(throws: StorageError.self) {
      try UndoLog(
        reading: MemoryStore(larger.bytes + [1]), expecting: Undo.identity, period: 5)
    }
  }
}
