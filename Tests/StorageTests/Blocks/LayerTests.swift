// Other looks of a device: blocks of another size, another number of them, a format inside another; zeros and discards on each.

import Foundation
import State
import Testing

@testable import Storage

/// A device of any size that holds the same everywhere.
private final class Endless: BlockDevice {
  let blockSize = 512
  let blockCount: UInt64
  let capabilities: BlockCapabilities = []
  let generation: UInt64 = 0
  init(blockCount: UInt64) { self.blockCount = blockCount }
  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    buffer.initializeMemory(as: UInt8.self, repeating: 0xEE)
  }
  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {}
  func flush() throws(StorageError) {}
}

@Suite struct LayerTests {
  let formats = ImageFormatTests()

  private func pattern(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 / 512 &* 5 &+ $0) }
  }

  @Test func blocksOfAnySizeAreTheSameBytes() throws {
    for (inner, outer) in [(512, 4096), (4096, 512), (512, 2048), (2048, 65536), (65536, 512)] {
      var model = pattern(64 * 65536 / 16)
      let device = MemoryImage(bytes: model, blockSize: outer)
      let other = device.withBlocks(of: inner)
      #expect(other.blockSize == inner && Int(other.blockCount) * inner == model.count)
      #expect(try other.contentHash() == device.contentHash())
      if other.blockCount > 20 {
        try formats.exercise(other, &model, steps: 100, seed: UInt64(inner))
      }
      #expect(device.bytes == model)
      #expect(throws: StorageError.self) { try other.contents(of: other.blockCount) }
    }
    // What does not fill a block is left out.
    #expect(MemoryImage(bytes: [], sectorCount: 7).withBlocks(of: 2048).blockCount == 1)
    #expect(MemoryImage(bytes: [], sectorCount: 7).withBlocks(of: 512).blockCount == 7)
  }

  @Test func aCDOfARawFileHasBlocksOf2048Bytes() throws {
    let bytes = pattern(16 * 2048)
    let image = RawImage(MemoryStore(bytes), blockSize: 2048)
    #expect(image.blockCount == 16 && image.sectorCount == 64)
    #expect(try image.contents(of: 5) == Array(bytes[5 * 2048..<6 * 2048]))
    #expect(try image.contentHash() == MemoryImage(bytes: bytes).contentHash())
  }

  @Test func aViewIsCutOrHasZerosBehindIt() throws {
    let device = MemoryImage(bytes: pattern(10 * 512))
    let cut = device.view(blockCount: 4, isWriteProtected: false)
    #expect(cut.blockCount == 4 && !cut.isReadOnly && cut.byteCount == 2048)
    #expect(throws: StorageError.self) { try cut.contents(of: 4) }
    try cut.write(block: 3, [UInt8](repeating: 1, count: 512))
    #expect(device.bytes[3 * 512] == 1)
    let long = device.view(blockCount: 12, isWriteProtected: false)
    #expect(
      try long.bytes(at: 0, count: 12 * 512) == device.bytes)
    var end = [UInt8](repeating: 7, count: 1536)
    try end.withUnsafeMutableBytes { try long.read(block: 9, into: $0) }
    #expect(Array(end[..<512]) == Array(device.bytes[(9 * 512)...]))
    #expect(end[512...].allSatisfy { $0 == 0 })
    #expect(throws: StorageError.self) {
      try long.write(block: 9, [UInt8](repeating: 1, count: 1024))
    }
    #expect(device.bytes[9 * 512] != 1 || device.bytes[9 * 512 + 1] != 1)
    let protected = device.view(blockCount: 10, isWriteProtected: true)
    #expect(protected.isReadOnly)
    for write in [
      { try protected.write(block: 0, [UInt8](repeating: 1, count: 512)) },
      { try protected.writeZeroes(block: 0, count: 1) },
      { try protected.discard(block: 0, count: 1) },
    ] as [() throws -> Void] {
      #expect(throws: StorageError.self) { try write() }
    }
  }

  @Test func zerosAndDiscardsOfARawFile() throws {
    let scratch = Scratch()
    let path = scratch.file("raw", pattern(3 << 20))
    let image = try RawImage(path: path)
    _ = try image.contentHash()
    let generation = image.generation
    try image.discard(block: 1, count: 4000)
    try image.writeZeroes(block: 5000, count: 3)
    #expect(image.generation != generation)
    var model = pattern(3 << 20)
    model.replaceSubrange(512..<4001 * 512, with: repeatElement(0, count: 4000 * 512))
    model.replaceSubrange(5000 * 512..<5003 * 512, with: repeatElement(0, count: 1536))
    #expect(scratch.contents(path) == model)
    #expect(try image.contentHash() == MemoryImage(bytes: model).contentHash())
    #expect(throws: StorageError.self) { try image.discard(block: 6000, count: 145) }
    #expect(throws: StorageError.self) { try image.discard(block: .max, count: 2) }
    // An incomplete last sector stays what it is.
    let odd = try RawImage(path: scratch.file("odd", pattern(1000)))
    #expect(throws: StorageError.self) { try odd.discard(block: 1, count: 1) }
    let protected = try RawImage(path: scratch.file("ro", pattern(1024)), readOnly: true)
    #expect(throws: StorageError.self) { try protected.writeZeroes(block: 0, count: 1) }
    #expect(scratch.contents(scratch.directory + "/ro") == pattern(1024))
  }

  @Test func aSnapshotHoldsZerosWithoutRoom() throws {
    let base = MemoryImage(bytes: pattern(1 << 20))
    let overlay = SnapshotOverlay(base: base)
    var model = base.bytes
    try formats.exercise(overlay, &model, steps: 400, seed: 5)
    #expect(base.bytes == pattern(1 << 20))
    #expect(try overlay.contentHash() == MemoryImage(bytes: model).contentHash())
    var writer = StateWriter()
    overlay.saveContents(to: &writer)
    let other = SnapshotOverlay(base: base, isReadOnly: true)
    var reader = StateReader(writer.bytes)
    try other.restoreContents(from: &reader)
    #expect(reader.remaining == 0)
    #expect(try other.bytes(at: 0, count: model.count) == model)
    for block in overlay.writtenBlocks { overlay.forget(block) }
    #expect(overlay.writtenBlockCount == 0)
    #expect(try overlay.bytes(at: 0, count: model.count) == base.bytes)
  }

  @Test func theLayoutOfASavedSnapshot() throws {
    let overlay = SnapshotOverlay(base: MemoryImage(bytes: [], sectorCount: 9))
    try overlay.write(block: 5, [UInt8](repeating: 0x55, count: 512))
    try overlay.discard(block: 2, count: 1)
    var expected = StateWriter()
    expected.write(UInt64(9))
    expected.write(UInt64(2))
    expected.write(UInt64(2))
    expected.write(bytes: [1, 0, 0, 0, 0, 0, 0, 0])
    expected.write(UInt64(5))
    expected.write(bytes: [UInt8](repeating: 0x55, count: 512))
    var writer = StateWriter()
    overlay.saveContents(to: &writer)
    #expect(writer.bytes == expected.bytes)
    // In other blocks it is that of a device with such blocks.
    var wide = StateWriter()
    overlay.withBlocks(of: 512).saveContents(to: &wide)
    #expect(wide.bytes == expected.bytes)
  }

  /// A guest may discard a disk of any size, again and again, whole or every other sector.
  @Test func discardedBlocksTakeNoRoom() throws {
    let overlay = SnapshotOverlay(base: Endless(blockCount: 1 << 32))
    try overlay.write(block: 70_000, [UInt8](repeating: 0x77, count: 512))
    try overlay.discard(block: 5, count: (1 << 32) - 10)
    #expect(overlay.writtenBlockCount == (1 << 32) - 10)
    #expect(try overlay.bytes(at: 70_000 * 512, count: 512) == [UInt8](repeating: 0, count: 512))
    #expect(overlay.isWritten(5) && !overlay.isWritten(4) && !overlay.isWritten((1 << 32) - 5))
    try overlay.write(block: 70_001, [UInt8](repeating: 0x78, count: 512))
    overlay.forget(70_003)
    var writer = StateWriter()
    overlay.saveContents(to: &writer)
    // Runs before and behind the sector that was written, and behind the one that was forgotten.
    #expect(writer.bytes.count == 16 + 3 * 20 + 12 + 512)
    let other = SnapshotOverlay(base: Endless(blockCount: 1 << 32))
    var reader = StateReader(writer.bytes)
    try other.restoreContents(from: &reader)
    #expect(reader.remaining == 0)
    var again = StateWriter()
    other.saveContents(to: &again)
    #expect(again.bytes == writer.bytes)
  }

  /// Zeros that were written and blocks that were discarded are the same state.
  @Test func zerosAreZerosHoweverTheyCame() throws {
    let (a, b) = (0, 1)
    let overlays = [a, b].map { _ in SnapshotOverlay(base: MemoryImage(bytes: pattern(1 << 16))) }
    try overlays[a].write(block: 3, [UInt8](repeating: 0, count: 512 * 4))
    try overlays[b].discard(block: 3, count: 4)
    var writers = [StateWriter(), StateWriter()]
    for n in [a, b] { overlays[n].saveContents(to: &writers[n]) }
    #expect(writers[a].bytes == writers[b].bytes)
  }

  @Test func aFormatInsideAnotherDevice() throws {
    let disk = MemoryImage(bytes: sparse(size: 600 * 4096))
    let context = formats.context([:])
    var model = [UInt8](repeating: 0, count: 512 * 4096)
    let image = try ImageFormats.open(DeviceStore(disk), context).device
    // It cannot grow there; its free blocks have to do.
    #expect(image.blockCount == 512)
    try formats.exercise(image.withBlocks(of: 512), &model, steps: 200, seed: 6)
    let again = try ImageFormats.open(DeviceStore(disk), context).device
    #expect(try again.bytes(at: 0, count: model.count) == model)
  }

  @Test func bytesOfADeviceAreItsBlocks() throws {
    let disk = MemoryImage(bytes: pattern(8 * 4096), blockSize: 4096)
    let store = DeviceStore(disk)
    var model = disk.bytes
    for (offset, count) in [(0, 1), (4095, 2), (4096, 4096), (1, 3 * 4096), (32767, 1), (5, 0)] {
      let bytes = [UInt8](repeating: UInt8(count & 0xFF) ^ 0xC3, count: count)
      try store.write(at: UInt64(offset), bytes)
      model.replaceSubrange(offset..<offset + count, with: bytes)
      #expect(disk.bytes == model)
      #expect(try store.bytes(at: UInt64(offset), count: count) == bytes)
    }
    try store.zero(at: 100, count: 20_000, releasing: true)
    model.replaceSubrange(100..<20_100, with: repeatElement(0, count: 20_000))
    #expect(disk.bytes == model)
    #expect(throws: StorageError.self) { try store.write(at: 32767, [1, 2]) }
    #expect(throws: StorageError.self) { try store.setSize(1) }
  }
}
