// QCOW2 files whose program was killed in the middle of something that goes through all tables.

import Foundation
import Testing

@testable import Storage

@Suite struct QCOW2KilledTests {
  /// A disk with two snapshots that have some of its clusters, and some of their own.
  private func image(_ options: String) throws -> (MemoryStore, disk: [UInt8], second: [UInt8]) {
    let size = 256 << 10
    let store = try QCOW2Maker.image(size: size, options)
    let image = try QCOW2Maker.open(store)
    var model = QCOW2Maker.pattern(size, 1)
    try image.write(block: 0, model)
    try image.createSnapshot(named: "first", time: 1)
    model.replaceSubrange(0..<100 << 10, with: QCOW2Maker.pattern(100 << 10, 2))
    try image.write(block: 0, Array(model[..<(100 << 10)]))
    try image.createSnapshot(named: "second", time: 2)
    let second = model
    model.replaceSubrange(40 << 10..<140 << 10, with: QCOW2Maker.pattern(100 << 10, 3))
    try image.write(block: 80, Array(model[40 << 10..<140 << 10]))
    image.close()
    return (store, model, second)
  }

  /// Wherever it stops: the disk and the other snapshot are whole, `check` says what is wrong, `repair` mends it, and QEMU agrees.
  @Test(arguments: [
    "cluster_size=4096,compat=0.10", "cluster_size=512,compat=0.10", "cluster_size=4096",
    "cluster_size=4096,refcount_bits=2",
  ])
  func aSnapshotIsDeletedOrNot(_ options: String) throws {
    let (whole, disk, second) = try image(options)
    let scratch = Scratch()
    var stop = 0
    var isDone = false
    while !isDone {
      let store = MemoryStore(whole.bytes)
      let stopping = StoppingStore(store, after: stop)
      do {
        let image = try QCOW2Maker.open(stopping)
        try image.deleteSnapshot("first")
        try image.flush()
        isDone = !stopping.hasStopped
        if isDone { image.close() }
      } catch { #expect(stopping.hasStopped, "\(error)") }
      if !isDone { #expect(stopping.hasStopped) }
      let found = try QCOW2Maker.check(store)
      if QCOW2Oracle.isThere {
        // What QEMU finds fault with, so does the check here.
        let complaint = try QCOW2Oracle.complaint(scratch.file("image", store.bytes))
        #expect(complaint.isEmpty || !found.findings.isEmpty, "\(stop): \(complaint)")
      }
      #expect(try QCOW2Maker.check(store, .all).isClean, "\(stop)")
      #expect(try QCOW2Maker.check(store).findings.isEmpty, "\(stop)")
      if QCOW2Oracle.isThere {
        #expect(try QCOW2Oracle.complaint(scratch.file("image", store.bytes)) == "", "\(stop)")
      }
      let image = try QCOW2Maker.open(store)
      #expect(try image.bytes(at: 0, count: disk.count) == disk, "\(stop)")
      let names = try image.snapshots().map(\.name)
      #expect(names == ["second"] || names == ["first", "second"], "\(stop)")
      image.close()
      let shown = try QCOW2Format().open(store, MemoryFolder().context, snapshot: "second").device
      #expect(try shown.bytes(at: 0, count: second.count) == second, "\(stop)")
      stop += max(1, stop / 24)
      try #require(stop < 5000)
    }
    #expect(stop > 6)
  }
}

/// Bytes in memory that cannot be written any more after so many writes, as if the program had been killed.
final class StoppingStore: ByteStore {
  private let store: MemoryStore
  private var left: Int
  private(set) var hasStopped = false

  init(_ store: MemoryStore, after count: Int) {
    self.store = store
    left = count
  }

  private func pass() throws(StorageError) {
    if left == 0 {
      hasStopped = true
      throw StorageError(path: name, reason: "killed")
    }
    left -= 1
  }

  var name: String { store.name }
  var size: UInt64 { store.size }
  var isWritable: Bool { true }
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try store.read(at: offset, into: buffer)
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try pass()
    try store.write(at: offset, from: buffer)
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try pass()
    try store.zero(at: offset, count: count, releasing: releasing)
  }
  func setSize(_ size: UInt64) throws(StorageError) {
    try pass()
    try store.setSize(size)
  }
  /// One write of the host's, which makes the file longer.
  func extend(at offset: UInt64, _ bytes: [UInt8]) throws(StorageError) {
    try pass()
    try store.extend(at: offset, bytes)
  }
  func flush() throws(StorageError) {}
  func nextData(from offset: UInt64) -> UInt64 { store.nextData(from: offset) }
}
