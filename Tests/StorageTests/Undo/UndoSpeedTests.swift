// What keeping costs: streams of writes to raw images, without and with it. With APUS_BENCH=1 only.

import Foundation
import Testing

@testable import Storage

@Suite(.serialized) struct UndoSpeedTests {
  static let isWished = ProcessInfo.processInfo.environment["APUS_BENCH"] != nil
  /// MiB in a disk.
  private static let size = 512

  private func image(_ path: String) throws -> any BlockDevice {
    let file = try HostFile(path: path, writable: true)
    return RawFormat().open(file, PowerCuts.context(formats: []) { _ in nil }).device
  }

  /// Milliseconds that a stream of writes of 64 KiB takes, to a disk that has data or none.
  private func stream(keeps: Bool, hasData: Bool, flushes: Bool) throws -> Int {
    let folder = NSTemporaryDirectory() + "undo-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    _ = FileManager.default.createFile(atPath: folder + "/disk", contents: nil)
    truncate(folder + "/disk", off_t(UndoSpeedTests.size) << 20)
    let bytes = QCOW2Maker.pattern(65536, 5)
    let device = UndoDevice(try image(folder + "/disk"))
    if hasData {
      for n in 0..<UInt64(UndoSpeedTests.size * 16) { try device.write(block: n * 128, bytes) }
      try device.flush()
    }
    if keeps {
      try device.begin(
        UndoLog(
          path: folder + "/log", identity: Undo.identity, period: 0,
          diskSize: UInt64(UndoSpeedTests.size) << 20))
    }
    let new = QCOW2Maker.pattern(65536, 6)
    let begin = ContinuousClock.now
    for n in 0..<UInt64(UndoSpeedTests.size * 16) { try device.write(block: n * 128, new) }
    if flushes { try device.flush() }
    let took = ContinuousClock.now - begin
    device.close()
    return Int(took / .milliseconds(1))
  }

  @Test(.enabled(if: isWished)) func streams() throws {
    for flushes in [false, true] {
      for hasData in [true, false] {
        for keeps in [false, true] {
          let times = try (0..<3).map { _ in
            try stream(keeps: keeps, hasData: hasData, flushes: flushes)
          }
          print(
            "\(UndoSpeedTests.size) MiB to a disk \(hasData ? "with data" : "of holes")"
              + "\(flushes ? ", flushed" : ""), \(keeps ? "kept" : "not kept"): "
              + "\(times.min()!) ms of \(times)")
        }
      }
    }
  }

  /// Writes to clusters that are kept cost what they cost without.
  @Test(.enabled(if: isWished)) func smallWrites() throws {
    for keeps in [false, true] {
      let device = UndoDevice(MemoryImage(bytes: [], sectorCount: 1 << 16))
      if keeps { try device.begin(Undo.log(0, of: device) { MemoryStore([]) }) }
      let bytes = [UInt8](repeating: 1, count: 4096)
      for n in 0..<UInt64(1 << 13) { try device.write(block: n * 8, bytes) }
      try device.flush()
      let begin = ContinuousClock.now
      for _ in 0..<40 {
        for n in 0..<UInt64(1 << 13) { try device.write(block: n * 8 % 65536, bytes) }
      }
      let took = (ContinuousClock.now - begin) / (40 << 13)
      print("4 KiB to memory, \(keeps ? "kept earlier" : "not kept"): \(took)")
    }
  }
}
