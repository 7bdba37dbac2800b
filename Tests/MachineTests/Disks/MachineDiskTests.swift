// A disk in a drive: zeros and discards can be undone like writes, what could not be written is tried again.

import Foundation
import Storage
import Testing

@testable import Machine

@Suite struct MachineDiskTests {
  /// Stands for a file; refuses to write one block.
  final class File: BlockDevice {
    let memory = MemoryImage(bytes: [UInt8](repeating: 0xAA, count: 16 * 512))
    var full: UInt64?
    var blockSize: Int { 512 }
    var blockCount: UInt64 { 16 }
    var capabilities: BlockCapabilities { .writable }
    var generation: UInt64 { memory.generation }
    func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
      try memory.read(block: block, into: buffer)
    }
    func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
      if let full, block <= full, full < block + UInt64(buffer.count / 512) {
        throw StorageError(path: "file", offset: full * 512, reason: "no room is left")
      }
      try memory.write(block: block, from: buffer)
    }
    func flush() throws(StorageError) {}
  }

  private func disk(_ device: any BlockDevice) -> MachineDisk {
    MachineDisk(MachineImage(name: "file", device: device, medium: .floppy(FloppyFormat.all[6])))
  }

  private func block(_ value: UInt8) -> [UInt8] { [UInt8](repeating: value, count: 512) }

  @Test(arguments: [0, 1, 2])
  func zerosAreUndoneLikeWrites(kind: Int) throws {
    let device: any BlockDevice
    switch kind {
    case 0: device = File()
    case 1: device = SnapshotOverlay(base: File())
    default: device = MemoryImage(bytes: [UInt8](repeating: 0xAA, count: 16 * 512))
    }
    let disk = disk(device)
    disk.startTracking()
    try disk.write(block: 1, block(1))
    try disk.discard(block: 1, count: 2)
    try disk.writeZeroes(block: 7, count: 1)
    for number: UInt64 in [1, 2, 7] { #expect(try disk.contents(of: number) == block(0)) }
    #expect(disk.generation == 4)
    #expect(disk.recentlyWritten == [1, 2, 7])
    for number in disk.recentlyWritten { disk.putBack(number, disk.contentsBefore(number)) }
    for number: UInt64 in [1, 2, 7] { #expect(try disk.contents(of: number) == block(0xAA)) }
    #expect(throws: StorageError.self) { try disk.discard(block: 15, count: 2) }
  }

  @Test func zerosCountInTheHashOfWrites() throws {
    func hash(_ body: (MachineDisk) throws -> Void) rethrows -> UInt64 {
      let disk = disk(File())
      try body(disk)
      return disk.writeHash
    }
    let hashes = [
      hash { _ in }, try hash { try $0.discard(block: 1, count: 1) },
      try hash { try $0.discard(block: 2, count: 1) },
      try hash { try $0.discard(block: 1, count: 2) },
    ]
    #expect(Set(hashes).count == 4)
    // Which of the two it was depends on the guest alone, and leaves the same.
    #expect(try hash { try $0.writeZeroes(block: 1, count: 1) } == hashes[1])
  }

  @Test func whatCouldNotBeWrittenIsTriedAgain() throws {
    let file = File()
    let disk = disk(file)
    disk.startTracking()
    try disk.write(block: 3, block(3))
    try disk.write(block: 5, block(5))
    file.full = 5
    #expect(throws: StorageError.self) { try disk.commit() }
    #expect(disk.hasUncommittedWrites)
    file.full = nil
    try disk.commit()
    #expect(!disk.hasUncommittedWrites)
    #expect(file.memory.bytes[3 * 512] == 3 && file.memory.bytes[5 * 512] == 5)
    // And can still be gone back from.
    for number: UInt64 in [3, 5] { disk.putBack(number, disk.contentsBefore(number)) }
    try disk.commit()
    #expect(file.memory.bytes == [UInt8](repeating: 0xAA, count: 16 * 512))
  }

  @Test func aFileThatWasPartlyWrittenIsNotTakenForAnothersWork() throws {
    let place = FileManager.default.temporaryDirectory.appendingPathComponent(
      "apus-partly-\(UUID().uuidString)")
    try Data(count: 1_474_560).write(to: place)
    defer { try? FileManager.default.removeItem(at: place) }
    let path = place.path
    let image = try ImageOpener.open(path: path)
    final class Failing: BlockDevice {
      let device: any BlockDevice
      var fails = true
      init(_ device: any BlockDevice) { self.device = device }
      var blockSize: Int { device.blockSize }
      var blockCount: UInt64 { device.blockCount }
      var capabilities: BlockCapabilities { device.capabilities }
      var generation: UInt64 { device.generation }
      var base: (any BlockDevice)? { nil }
      func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
        try device.read(block: block, into: buffer)
      }
      func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
        if fails && block == 9 { throw StorageError(path: "file", reason: "no room is left") }
        try device.write(block: block, from: buffer)
      }
      func flush() throws(StorageError) { try device.flush() }
      func mark() -> FileMark { device.mark() }
      func change(since mark: FileMark) -> String? { device.change(since: mark) }
    }
    let failing = Failing(image.device)
    let disk = disk(failing)
    disk.startTracking()
    try disk.write(block: 8, block(8))
    try disk.write(block: 9, block(9))
    #expect(throws: StorageError.self) { try disk.commit() }
    #expect(disk.changeByOthers == nil)
    failing.fails = false
    try disk.commit()
    #expect(try image.device.contents(of: 9) == block(9))
  }
}
