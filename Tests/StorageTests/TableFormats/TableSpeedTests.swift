// How fast images with tables are, and how little they need: measured when APUS_SPEED is set, as other work disturbs it.

import Foundation
import Testing

@testable import Storage

@Suite(.serialized) struct TableSpeedTests {
  static let formats: [(any TriedFormat, [String: String])] = [
    (VDIFormat(), [:]), (VHDXFormat(), [:]), (VHDFormat(), [:]), (VMDKFormat(), [:]),
  ]

  /// One format alone, for a profile.
  static let only = ProcessInfo.processInfo.environment["APUS_SPEED_FORMAT"]

  /// What a process has in memory, in bytes.
  static func resident() -> Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else {
      return 0
    }
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
  }

  /// Seconds of the processor, which other work disturbs less than the clock on the wall.
  static func time(_ body: () throws -> Void) rethrows -> Double {
    func now() -> Double {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
    let begin = now()
    try body()
    return now() - begin
  }

  /// A thin image of 1 TB opens at once, whatever is in it, and its first write is not late either.
  @Test func largeThinImagesOpenAtOnce() throws {
    for (format, options) in TableSpeedTests.formats {
      let scratch = Scratch()
      let path = scratch.file("large.img", [])
      let store = try HostFile(path: path, writable: true)
      try format.create(store, Trials.wish(1 << 40, options), scratch.context(path))
      store.close()
      let before = TableSpeedTests.resident()
      var device: (any BlockDevice)?
      let opening = try TableSpeedTests.time {
        device = try ImageOpener.open(path: path, kind: .disk).device
      }
      let disk = device!
      let memory = TableSpeedTests.resident() - before
      let writing = try TableSpeedTests.time {
        try disk.write(block: disk.blockCount - 8, [UInt8](repeating: 1, count: 4096))
        try disk.flush()
      }
      #expect(disk.nextData(from: 0) >= disk.blockCount - 65536)
      let all = TableSpeedTests.resident() - before
      disk.close()
      print(
        "\(format.name): 1 TB opened in \(opening * 1000) ms with \(memory >> 10) KB, first write and flush \(writing * 1000) ms, then \(all >> 10) KB"
      )
      if ProcessInfo.processInfo.environment["APUS_SPEED"] != nil {
        #expect(opening < 0.02 && all < 20 << 20)
      }
    }
  }

  @Test(
    .enabled(if: ProcessInfo.processInfo.environment["APUS_SPEED"] != nil, "APUS_SPEED is not set"))
  func sequentialTransfersAreAsFastAsRaw() throws {
    let size: UInt64 = 1 << 30
    let scratch = Scratch()
    let chunk = [UInt8](repeating: 0x5A, count: 1 << 18)
    func run(_ device: any BlockDevice) throws -> (first: Double, again: Double, read: Double) {
      let count = size / UInt64(chunk.count)
      let blocks = UInt64(chunk.count / device.blockSize)
      func write() throws {
        try chunk.withUnsafeBytes { bytes in
          for n in 0..<count { try device.write(block: n * blocks, from: bytes) }
        }
        try device.flush()
      }
      let first = try TableSpeedTests.time { try write() }
      let again = try TableSpeedTests.time { try write() }
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk.count, alignment: 4096)
      defer { buffer.deallocate() }
      let read = try TableSpeedTests.time {
        for n in 0..<count { try device.read(block: n * blocks, into: buffer) }
      }
      return (first, again, read)
    }
    func rate(_ seconds: Double) -> Int { Int(Double(size >> 20) / seconds) }
    for _ in 0..<3 {
      let raw = scratch.file("raw", [])
      #expect(truncate(raw, Int(size)) == 0)
      let rawDevice = try ImageOpener.open(path: raw, kind: .disk).device
      let base = try run(rawDevice)
      rawDevice.close()
      print("raw: \(rate(base.first)), \(rate(base.again)), \(rate(base.read)) MB/s")
      for (format, options) in TableSpeedTests.formats
      where TableSpeedTests.only == nil || TableSpeedTests.only == format.name {
        let path = scratch.file("image", [])
        let store = try HostFile(path: path, writable: true)
        try format.create(store, Trials.wish(size, options), scratch.context(path))
        store.close()
        let device = try ImageOpener.open(path: path, kind: .disk).device
        let own = try run(device)
        device.close()
        print(
          "\(format.name): first \(rate(own.first)) (\(base.first / own.first)), again \(rate(own.again)) (\(base.again / own.again)), read \(rate(own.read)) (\(base.read / own.read))"
        )
      }
    }
  }
}
