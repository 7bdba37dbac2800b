// Files that another program cuts off while they are open: what is lost is an error until something new is written there.

import Foundation
import Testing

@testable import Storage

@Suite struct CutOffTests {
  private func cut(_ path: String, to size: UInt64) throws {
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try file.truncate(atOffset: size)
    try file.close()
  }

  @Test func aLaterWriteDoesNotBringBackZeros() throws {
    let scratch = Scratch()
    let bytes = QCOW2Maker.pattern(1 << 20, 1)
    let path = scratch.file("disk", bytes)
    let file = try HostFile(path: path, writable: true)
    try cut(path, to: 100_000)
    #expect(throws: StorageError.self) { try file.bytes(at: 200_000, count: 10) }
    // Nobody skips it as a hole.
    #expect(file.nextData(from: 200_000) == 200_000)
    try file.write(at: 900_000, [1, 2, 3])
    #expect(try file.bytes(at: 900_000, count: 3) == [1, 2, 3])
    #expect(try file.bytes(at: 99_000, count: 1000) == Array(bytes[99_000..<100_000]))
    for offset in [99_999, 100_000, 200_000, 899_999, 900_003, (1 << 20) - 10] as [UInt64] {
      #expect(throws: StorageError.self, "\(offset)") { try file.bytes(at: offset, count: 2) }
      #expect(file.nextData(from: offset) == offset)
      #expect(file.nextHole(from: offset) == 1 << 20)
    }
    // What is written anew can be read, as can zeros.
    try file.write(at: 300_000, [4, 5])
    #expect(try file.bytes(at: 300_000, count: 2) == [4, 5])
    #expect(throws: StorageError.self) { try file.bytes(at: 299_999, count: 2) }
    #expect(throws: StorageError.self) { try file.bytes(at: 300_001, count: 2) }
    try file.zero(at: 1_000_000, count: 48_576, releasing: true)
    #expect(try file.bytes(at: 1_000_000, count: 48_576).allSatisfy { $0 == 0 })
    // Longer or shorter by this program, too.
    try file.setSize(2 << 20)
    #expect(try file.bytes(at: 1 << 20, count: 1000).allSatisfy { $0 == 0 })
    #expect(throws: StorageError.self) { try file.bytes(at: 500_000, count: 1) }
    try file.setSize(400_000)
    try file.setSize(1 << 20)
    #expect(try file.bytes(at: 500_000, count: 1) == [0])
    #expect(throws: StorageError.self) { try file.bytes(at: 350_000, count: 1) }
  }

  /// Whatever the format: each sector is what it was, what was written since, or an error.
  @Test(arguments: ["raw", "qcow2", "vhd", "vdi", "vhdx"])
  func aGuestNeverReadsZerosForWhatIsLost(_ format: String) throws {
    let scratch = Scratch()
    let path = scratch.file("disk", [])
    let size = 8 << 20
    do {
      let store = try HostFile(path: path, writable: true)
      let kind = try #require(ImageFormats.named(format) as? any CreatableFormat)
      let wish = ImageWish(byteCount: UInt64(size))
      try kind.create(store, try wish.checked(for: kind, name: path), MemoryFolder().context)
      store.close()
    }
    let opened = try ImageOpener.open(path: path, kind: .disk)
    let device = opened.device
    var model = QCOW2Maker.pattern(size, 9)
    // The second half has no room yet.
    for n in 0..<4 { try device.write(block: UInt64(n << 11), model[n << 20..<(n + 1) << 20]) }
    model.replaceSubrange(4 << 20..<8 << 20, with: repeatElement(0, count: 4 << 20))
    try device.flush()
    let long = try #require(
      try FileManager.default.attributesOfItem(atPath: path)[.size] as? UInt64)
    try cut(path, to: format == "raw" ? 2 << 20 : long - (2 << 20))
    let new = QCOW2Maker.pattern(1 << 20, 10)
    // Where the tables are lost it is refused.
    let isWritten = (try? device.write(block: 6 << 11, new)) != nil
    if isWritten { model.replaceSubrange(6 << 20..<7 << 20, with: new) }
    #expect(isWritten || format != "raw")
    var lost = 0
    for block in 0..<device.blockCount {
      guard let now = try? device.contents(of: block) else {
        lost += 1
        continue
      }
      let at = Int(block) * 512
      if now != Array(model[at..<at + 512]) { Issue.record("\(format): sector \(block)") }
    }
    #expect(lost > 0)
    device.close()
  }
}
