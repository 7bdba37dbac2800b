import Foundation
import State
import Testing

@testable import Storage

@Suite struct BlockDeviceTests {
  func read(_ device: any BlockDevice, _ sector: UInt64, _ count: Int = 1) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xEE, count: count * 512)
    try bytes.withUnsafeMutableBytes { try device.read(block: sector, into: $0) }
    return bytes
  }

  func write(_ device: any BlockDevice, _ sector: UInt64, _ value: UInt8, _ count: Int = 1) throws {
    let bytes = [UInt8](repeating: value, count: count * 512)
    try bytes.withUnsafeBytes { try device.write(block: sector, from: $0) }
  }

  @Test func aRawImageReadsAndWritesItsFile() throws {
    let scratch = Scratch()
    let path = scratch.file("raw", size: 8 * 512)
    do {
      let image = try RawImage(path: path)
      try write(image, 3, 0xA5, 2)
      try image.flush()
      #expect(try read(image, 4) == [UInt8](repeating: 0xA5, count: 512))
      #expect(throws: StorageError.self) { try read(image, 8) }
      #expect(throws: StorageError.self) { try read(image, UInt64.max) }
      #expect(throws: StorageError.self) { try write(image, 7, 0, 2) }
    }
    let bytes = scratch.contents(path)
    #expect(bytes.count == 8 * 512)
    #expect(bytes[3 * 512..<5 * 512].allSatisfy { $0 == 0xA5 })
    #expect(bytes[5 * 512] == 0)
  }

  @Test func anImageIsWrittenByOneOnly() throws {
    let scratch = Scratch()
    let path = scratch.file("locked", size: 8 * 512)
    var first: RawImage? = try RawImage(path: path)
    #expect(first?.isReadOnly == false)
    do {
      _ = try RawImage(path: path)
      Issue.record("opened twice")
    } catch { #expect(error.reason.contains("in use")) }
    #expect(throws: StorageError.self) { try RawImage(path: path, readOnly: true) }
    first = nil
    // Readers do not hinder each other.
    let a = try RawImage(path: path, readOnly: true)
    let b = try RawImage(path: path, readOnly: true)
    #expect(a.isReadOnly && b.isReadOnly)
    #expect(throws: StorageError.self) { try RawImage(path: path) }
    withExtendedLifetime((a, b)) {}
  }

  @Test func aFileThatMayNotBeWrittenIsWriteProtected() throws {
    let scratch = Scratch()
    let path = scratch.file("ro", size: 1_474_560)
    try FileManager.default.setAttributes([.posixPermissions: 0o444], ofItemAtPath: path)
    let image = try ImageOpener.open(path: path)
    // Root may write everything.
    if geteuid() != 0 {
      #expect(image.device.isReadOnly)
      #expect(image.warnings.count == 1)
    }
    let wished = try ImageOpener.open(path: scratch.file("w", size: 1_474_560), readOnly: true)
    #expect(wished.device.isReadOnly)
    #expect(throws: StorageError.self) { try write(wished.device, 0, 1) }
  }

  @Test func aFileThatIsCutShortMeanwhileIsAnError() throws {
    let scratch = Scratch()
    let path = scratch.file("cut", size: 16 * 512)
    let image = try RawImage(path: path)
    #expect(truncate(path, 512) == 0)
    #expect(throws: StorageError.self) { try read(image, 8) }
    #expect(try read(image, 0).count == 512)
  }

  @Test func aSnapshotNeverWritesItsFile() throws {
    let scratch = Scratch()
    let size = 1_474_560
    let path = scratch.file("snap", (0..<size).map { UInt8(truncatingIfNeeded: $0 / 512 &* 7) })
    let before = scratch.contents(path)
    let image = try ImageOpener.open(path: path, snapshot: true)
    var model = before
    var seed: UInt32 = 12345
    for _ in 0..<2_000 {
      seed = seed &* 1_664_525 &+ 1_013_904_223
      let count = Int(seed >> 8 & 7) + 1
      let sector = Int(seed >> 12) % (2880 - count)
      if seed & 1 == 0 {
        let value = UInt8(truncatingIfNeeded: seed >> 20)
        try write(image.device, UInt64(sector), value, count)
        for i in sector * 512..<(sector + count) * 512 { model[i] = value }
      } else {
        #expect(
          try read(image.device, UInt64(sector), count)
            == Array(model[sector * 512..<(sector + count) * 512]))
      }
    }
    try image.device.flush()
    #expect(scratch.contents(path) == before)

    // Its contents are part of the state.
    #expect(image.device.persistence == .overlay)
    var writer = StateWriter()
    image.device.saveContents(to: &writer)
    let other = try ImageOpener.open(path: path, snapshot: true)
    var reader = StateReader(writer.bytes)
    try other.device.restoreContents(from: &reader)
    #expect(reader.remaining == 0)
    #expect(try read(other.device, 0, 2880) == model)
    var again = StateWriter()
    other.device.saveContents(to: &again)
    #expect(again.bytes == writer.bytes)
  }

  @Test func hostileSnapshotStatesAreRefused() throws {
    let overlay = SnapshotOverlay(base: MemoryImage(bytes: [], sectorCount: 4))
    for (size, count, sector) in [
      (UInt64(5), UInt64(0), UInt64(0)), (4, 5, 0), (4, 1, 4), (4, 1, 0),
    ] {
      var writer = StateWriter()
      writer.write(size)
      writer.write(count)
      writer.write(sector)
      writer.write(UInt32.max)
      var reader = StateReader(writer.bytes)
      #expect(throws: StateError.self) { try overlay.restoreContents(from: &reader) }
    }
  }

  @Test func memoryImagesFillUpToSectors() throws {
    let image = MemoryImage(bytes: [1, 2, 3], sectorCount: 2)
    #expect(image.sectorCount == 2)
    #expect(try read(image, 0)[0..<4] == [1, 2, 3, 0])
    try write(image, 1, 7)
    #expect(try read(image, 1)[511] == 7)
    #expect(throws: StorageError.self) { try write(image, 2, 7) }
  }
}
