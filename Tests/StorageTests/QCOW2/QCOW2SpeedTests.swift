// How fast QCOW2 images are beside raw ones: APUS_SPEED=1 prints it; what must hold on any machine is tested always.

import Foundation
import Testing

@testable import Storage

@Suite(.serialized) struct QCOW2SpeedTests {
  static let isWished = ProcessInfo.processInfo.environment["APUS_SPEED"] != nil
  private static let size = 512 << 20

  private func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body()
    let time = ContinuousClock.now - start
    return Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
  }

  /// Time of the processor that this thread took, in seconds: what other programs do does not count.
  private func work(_ body: () throws -> Void) rethrows -> Double {
    func now() -> Double {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
    let start = now()
    try body()
    return now() - start
  }

  private func writeAll(_ device: any BlockDevice, _ chunk: Int) throws {
    let bytes = QCOW2Maker.pattern(chunk, 5)
    try bytes.withUnsafeBytes { buffer in
      for at in stride(from: 0, to: QCOW2SpeedTests.size, by: chunk) {
        try device.write(block: UInt64(at / 512), from: buffer)
      }
    }
    try device.flush()
  }

  private func readAll(_ device: any BlockDevice, _ chunk: Int) throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 4096)
    defer { buffer.deallocate() }
    for at in stride(from: 0, to: QCOW2SpeedTests.size, by: chunk) {
      try device.read(block: UInt64(at / 512), into: buffer)
    }
  }

  @Test(.enabled(if: isWished)) func besideRaw() throws {
    let scratch = Scratch()
    for chunk in [65536, 1 << 20] {
      // The best of two each, in turns, as other programs are at work too.
      var best: [String: [Double]] = [:]
      for _ in 0..<2 {
        for options in ["raw", "", "cluster_size=4096", "extended_l2=on", "preallocation=metadata"]
        {
          let path = scratch.file("image", [])
          let file = try HostFile(path: path, writable: true)
          let device: any BlockDevice
          if options == "raw" {
            try file.setSize(UInt64(QCOW2SpeedTests.size))
            device = RawImage(file)
          } else {
            try QCOW2Maker.make(file, size: QCOW2SpeedTests.size, options)
            device = try QCOW2Maker.open(file)
          }
          var times: [Double] = []
          for step in [writeAll, writeAll, readAll] {
            var elapsed = 0.0
            let worked = try work { elapsed = try seconds { try step(device, chunk) } }
            times += [elapsed, worked]
          }
          let before = best[options] ?? times
          best[options] = zip(before, times).map { min($0, $1) }
          device.close()
          try FileManager.default.removeItem(atPath: path)
        }
      }
      let raw = best["raw"]!
      for (options, times) in best.sorted(by: { $0.key < $1.key }) where options != "raw" {
        let ratios = zip(raw, times).map { String(format: "%.2f", $0 / $1) }
        print(
          "speed, chunks of \(chunk), [\(options)]: of raw, in time and processor time: first write "
            + "\(ratios[0]), \(ratios[1]); second \(ratios[2]), \(ratios[3]); read \(ratios[4]), "
            + "\(ratios[5])")
      }
    }
  }

  /// Tables are read when they are needed: a full disk of a terabyte opens as quickly as an empty one.
  @Test(.enabled(if: isWished)) func aTerabyteInUseOpensAtOnce() throws {
    let scratch = Scratch()
    let path = scratch.file("t", [])
    let file = try HostFile(path: path, writable: true)
    try QCOW2Maker.make(file, size: 1 << 40, "preallocation=metadata")
    file.close()
    func resident() -> Int {
      let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
      return (Int(text.split(separator: " ").dropFirst().first ?? "") ?? 0) * 4096
    }
    let before = resident()
    var image: OpenedImage?
    let time = try seconds { image = try ImageOpener.open(path: path, kind: .disk) }
    let opened = resident()
    let device = try #require(image).device
    let first = try seconds { try device.write(block: 12345, [UInt8](repeating: 1, count: 512)) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 512)
    defer { buffer.deallocate() }
    var random = PowerCutRandom(seed: 1)
    let reads = try seconds {
      for _ in 0..<20000 { try device.read(block: random.next() % (1 << 31), into: buffer) }
    }
    print(
      "1 TB: opened in \(time * 1000) ms, \((opened - before) >> 10) KB more; first write \(first * 1000) ms; "
        + "20000 random reads \(reads) s, \((resident() - before) >> 10) KB more at the end")
    device.close()
  }
}
