// Images that other programs made, where somebody has them: every file of the folder in APUS_SAMPLES is opened, read as QEMU reads it, written
// (a copy of it), and looked at again.

import Foundation
import Testing

@testable import Storage

@Suite(.serialized) struct SampleImageTests {
  static let folder = ProcessInfo.processInfo.environment["APUS_SAMPLES"]
  static let endings = ["vhd", "vhdx", "avhdx", "vmdk", "vdi"]

  @Test(.enabled(if: folder != nil && QEMU.isThere, "APUS_SAMPLES names no folder"))
  func samplesAreReadAsQEMUReadsThem() throws {
    let folder = SampleImageTests.folder!
    for name in try FileManager.default.contentsOfDirectory(atPath: folder).sorted() {
      guard let ending = name.split(separator: ".").last.map(String.init),
        SampleImageTests.endings.contains(ending)
      else { continue }
      let path = folder + "/" + name
      do {
        let image = try ImageOpener.open(path: path, kind: .disk, readOnly: true)
        print("\(name): \(image.reasons.prefix(2)) \(image.warnings)")
        let format = try ImageFormats.format(
          of: try HostFile(path: path, writable: false), Scratch().context(path))
        if let format = format as? any CheckableFormat {
          let check = try format.check(
            try HostFile(path: path, writable: false), .none, Scratch().context(path))
          print("  check: \(check.findings.prefix(3)) \(check.allocatedUnits)/\(check.totalUnits)")
        }
        try compare(image.device, path, ending)
        image.device.close()
        try writeCopy(path, ending)
      } catch {
        print("\(name): \(error)")
      }
    }
  }

  static let theirs = ["vhd": "vpc", "avhdx": "vhdx"]

  /// All data that are not zeros are the same.
  func compare(_ device: any BlockDevice, _ path: String, _ ending: String) throws {
    let scratch = Scratch()
    let raw = scratch.file("raw", [])
    #expect(truncate(raw, Int(device.blockCount) * device.blockSize) == 0)
    let target = try RawImage(path: raw)
    var block: UInt64 = 0
    while true {
      block = device.nextData(from: block)
      if block >= device.blockCount { break }
      let count = min(2048, device.blockCount - block)
      try target.write(block: block, try device.bytes(at: block * 512, count: Int(count) * 512))
      block += count
    }
    target.close()
    let format = SampleImageTests.theirs[ending] ?? ending
    var result = try QEMU.run(["compare", "-f", format, "-F", "raw", path, raw])
    if result.text.contains("needs to be replayed") {
      let copy = scratch.directory + "/replayed"
      try FileManager.default.copyItem(atPath: path, toPath: copy)
      try QEMU.run(["check", "-r", "all", "-f", format, copy])
      result = try QEMU.run(["compare", "-f", format, "-F", "raw", copy, raw])
    }
    print("  compare: \(result.status) \(result.text)")
  }

  /// A copy is written, and QEMU finds nothing wrong with it.
  func writeCopy(_ path: String, _ ending: String) throws {
    let scratch = Scratch()
    let copy = scratch.directory + "/copy." + ending
    try FileManager.default.copyItem(atPath: path, toPath: copy)
    let opened = try ImageOpener.open(path: copy, kind: .disk)
    defer { opened.device.close() }
    if opened.device.isReadOnly { return }
    let bytes = [UInt8](repeating: 0xA7, count: 3 << 20)
    let at = min(opened.device.blockCount / 2, 1 << 22)
    let count = min(UInt64(bytes.count / 512), opened.device.blockCount - at)
    try opened.device.write(block: at, Array(bytes[..<Int(count * 512)]))
    opened.device.close()
    let format = SampleImageTests.theirs[ending] ?? ending
    var result = try QEMU.run(
      ["-f", format, "-c", "read -P 0xa7 \(at * 512) \(count * 512)", copy], tool: "qemu-io")
    print("  written: \(result.text.split(separator: "\n").prefix(2))")
    if format != "vpc" {
      result = try QEMU.run(["check", "-f", format, copy])
      print("  check there: \(result.text.split(separator: "\n").prefix(2))")
    }
  }
}
