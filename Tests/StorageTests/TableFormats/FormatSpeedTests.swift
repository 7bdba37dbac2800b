// How fast every format is beside raw: sequential, 64 KiB and 4 KiB at random; with APUS_SPEED=1, as other work disturbs it.
//
// In time of the processor, the best of three, in turns. APUS_SPEED_FORMAT takes one format alone, for a profile.

import Foundation
import Testing

@testable import Storage

@Suite(.serialized) struct FormatSpeedTests {
  static let kinds: [(String, [String: String])] = [
    ("raw", [:]), ("qcow2", [:]), ("qcow2", ["cluster_size": "4096"]),
    ("qcow2", ["extended_l2": "on"]), ("vdi", [:]), ("vhd", [:]),
    ("vhd", ["subformat": "fixed"]), ("vhdx", [:]), ("vmdk", [:]),
    ("vmdk", ["subformat": "monolithicFlat"]),
  ]
  static let size: UInt64 = 256 << 20
  static let columns = [
    "first", "again", "read", "64K write", "64K read", "4K write", "4K read",
  ]

  /// Seconds for each of the columns.
  private func measure(_ device: any BlockDevice) throws -> [Double] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 4096)
    defer { buffer.deallocate() }
    buffer.initializeMemory(as: UInt8.self, repeating: 0x5A)
    func part(_ count: Int) -> UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
    }
    func sequential(_ body: (UInt64) throws -> Void) throws -> Double {
      try TableSpeedTests.time {
        for n in 0..<FormatSpeedTests.size >> 18 { try body(n * 512) }
      }
    }
    func random(_ count: Int, _ times: Int, _ body: (UInt64) throws -> Void) throws -> Double {
      var random = PowerCutRandom(seed: 4)
      let unit = UInt64(count)
      return try TableSpeedTests.time {
        for _ in 0..<times {
          try body(random.next() % (FormatSpeedTests.size / unit) * (unit / 512))
        }
      }
    }
    func write(_ block: UInt64, _ count: Int) throws {
      try device.write(block: block, from: UnsafeRawBufferPointer(part(count)))
    }
    var times: [Double] = []
    for _ in 0..<2 {
      times.append(try sequential { try write($0, 1 << 18) })
      try device.flush()
    }
    times.append(try sequential { try device.read(block: $0, into: buffer) })
    for (count, number) in [(1 << 16, 3000), (1 << 12, 20000)] {
      times.append(try random(count, number) { try write($0, count) })
      try device.flush()
      times.append(try random(count, number) { try device.read(block: $0, into: part(count)) })
    }
    return times
  }

  @Test(.enabled(if: QCOW2SpeedTests.isWished, "APUS_SPEED is not set"))
  func besideRaw() throws {
    let kinds = FormatSpeedTests.kinds.filter {
      $0.0 == "raw" || TableSpeedTests.only == nil || TableSpeedTests.only == $0.0
    }
    var best = [[Double]](repeating: [], count: kinds.count)
    for _ in 0..<3 {
      for (n, (name, options)) in kinds.enumerated() {
        let scratch = Scratch()
        let path = scratch.file("disk.img", [])
        let format = ImageFormats.named(name)! as! any CreatableFormat
        let context = scratch.context(path)
        let store = try HostFile(path: path, writable: true)
        try format.create(
          store,
          try Trials.wish(FormatSpeedTests.size, options).checked(for: format, name: path), context)
        store.close()
        let device = try format.open(try HostFile(path: path, writable: true), context).device
        let times = try measure(device)
        device.close()
        best[n] = best[n].isEmpty ? times : zip(best[n], times).map { min($0, $1) }
      }
    }
    print("of raw: " + FormatSpeedTests.columns.joined(separator: ", "))
    for (n, (name, options)) in kinds.enumerated() where n > 0 {
      let ratios = zip(best[0], best[n]).map { String(format: "%.2f", $0 / $1) }
      print("\(name) \(options): \(ratios.joined(separator: ", "))")
    }
  }
}
