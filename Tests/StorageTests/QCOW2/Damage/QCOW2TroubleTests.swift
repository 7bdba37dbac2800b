// A host that fails while a QCOW2 image is written: no room, errors that pass.

import Foundation
import Testing

@testable import Storage

/// A file whose host has no more room, or fails now and then.
private final class FailingStore: ByteStore {
  let inner: MemoryStore
  /// Nothing is written behind here.
  var room = UInt64.max
  /// Each so many calls one fails; 0: none.
  var failsEach = 0
  private var calls = 0

  init(_ inner: MemoryStore) { self.inner = inner }

  var name: String { inner.name }
  var size: UInt64 { inner.size }
  var isWritable: Bool { true }

  private func call(_ end: UInt64) throws(StorageError) {
    calls += 1
    if end > room || (failsEach > 0 && calls % failsEach == 0) {
      throw StorageError(path: name, reason: "no room is left")
    }
  }
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try inner.read(at: offset, into: buffer)
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try call(offset + UInt64(buffer.count))
    try inner.write(at: offset, from: buffer)
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try call(offset + count)
    try inner.zero(at: offset, count: count, releasing: releasing)
  }
  func setSize(_ size: UInt64) throws(StorageError) { try inner.setSize(size) }
  func flush() throws(StorageError) { try call(0) }
}

@Suite struct QCOW2TroubleTests {
  @Test(arguments: ["", "cluster_size=512", "extended_l2=on"])
  func afterAFullHostEverythingGoesOn(_ options: String) throws {
    let store = FailingStore(try QCOW2Maker.image(size: 4 << 20, options))
    let image = try QCOW2Maker.open(store)
    try image.write(block: 0, QCOW2Maker.pattern(1 << 20, 1))
    try image.flush()
    store.room = store.size
    for _ in 0..<50 {
      #expect(throws: StorageError.self) {
        try image.write(block: 2048, QCOW2Maker.pattern(1 << 20, 2))
      }
    }
    #expect(try image.bytes(at: 0, count: 1 << 20) == QCOW2Maker.pattern(1 << 20, 1))
    store.room = .max
    try image.write(block: 2048, QCOW2Maker.pattern(1 << 20, 2))
    image.close()
    // Nothing was lost, and the attempts have not filled the file.
    let again = try QCOW2Maker.open(store)
    #expect(try again.bytes(at: 0, count: 1 << 20) == QCOW2Maker.pattern(1 << 20, 1))
    #expect(try again.bytes(at: 1 << 20, count: 1 << 20) == QCOW2Maker.pattern(1 << 20, 2))
    #expect(try QCOW2Maker.check(store).corruptions == 0)
    #expect(store.size < 4 << 20)
  }

  @Test(arguments: [3, 7, 20, 61])
  func errorsThatPassLeaveNothingCorrupt(_ each: Int) throws {
    let store = FailingStore(try QCOW2Maker.image(size: 1 << 20, "cluster_size=512"))
    let image = try QCOW2Maker.open(store)
    var model = [UInt8](repeating: 0, count: 1 << 20)
    var random = PowerCutRandom(seed: UInt64(each))
    store.failsEach = each
    for _ in 0..<400 {
      let (block, count) = (random.below(2000), 1 + random.below(20))
      let bytes = QCOW2Maker.pattern(count * 512, random.next())
      // Who is told of an error writes again, as a guest does.
      var isWritten = false
      for _ in 0..<1000 where !isWritten {
        isWritten = (try? image.write(block: UInt64(block), bytes)) != nil
      }
      #expect(isWritten || each == 3)
      if !isWritten { continue }
      model.replaceSubrange(block * 512..<(block + count) * 512, with: bytes)
      if random.one(in: 10) { try? image.flush() }
      if random.one(in: 20) {
        let block = random.below(1900)
        if (try? image.discard(block: UInt64(block), count: 100)) != nil {
          model.replaceSubrange(
            block * 512..<(block + 100) * 512, with: repeatElement(0, count: 51200))
        } else {
          model.replaceSubrange(
            block * 512..<(block + 100) * 512,
            with: try image.bytes(at: UInt64(block) * 512, count: 51200))
        }
      }
    }
    store.failsEach = 0
    if each > 3 { #expect(try image.bytes(at: 0, count: model.count) == model) }
    try image.flush()
    image.close()
    #expect(try QCOW2Maker.check(store).corruptions == 0)
  }

  @Test func hashesFollowWhatIsWritten() throws {
    let store = try QCOW2Maker.image(size: 8 << 20)
    let image = try QCOW2Maker.open(store)
    var model = [UInt8](repeating: 0, count: 8 << 20)
    for seed in 1...4 as ClosedRange<UInt64> {
      try QCOW2Maker.exercise(image, &model, steps: 25, seed: seed)
      #expect(try image.contentHash() == MemoryImage(bytes: model).contentHash())
    }
    try image.createSnapshot(named: "s", time: 0)
    let kept = model
    try QCOW2Maker.exercise(image, &model, steps: 25, seed: 9)
    try image.applySnapshot("s")
    #expect(try image.contentHash() == MemoryImage(bytes: kept).contentHash())
  }

  @Test func itIsNoCD() throws {
    let scratch = Scratch()
    let path = scratch.file("i", try QCOW2Maker.image(size: 1 << 20).bytes)
    #expect(reason(path, .cd).contains("not a CD"))
    #expect(reason(path) == "opened" && reason(path, .disk) == "opened")
  }
}
