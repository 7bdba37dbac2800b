// Another size, for every format that can have one: in memory against a flat model, and in files against QEMU's tools.

import Foundation
import Testing

@testable import Storage

extension Trials {
  /// Gives an image one size after the other, and works on it in between.
  /// - Parameters:
  ///   - theirs: the format's name for qemu-img; nil: it does not know these.
  ///   - allowsLeaks: a check may find room that nobody uses any more.
  static func resize(
    _ format: any TriedFormat, _ options: [String: String], _ sizes: [UInt64], theirs: String?,
    suffix: String = "img", allowsLeaks: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let scratch = Scratch()
    let path = scratch.file("image.\(suffix)", [])
    let store = try HostFile(path: path, writable: true)
    let start = 3 << 20
    try format.create(
      store, try wish(UInt64(start), options).checked(for: format, name: path),
      scratch.context(path))
    store.close()
    // Of large disks only the beginning is compared byte by byte, and the end.
    let looked = 48 << 20
    var model = [UInt8](repeating: 0, count: start)
    var random = TrialRandom(state: UInt64(options.count))
    for size in [UInt64(start)] + sizes {
      let device = try format.open(
        HostFile(path: path, writable: true), scratch.context(path)
      ).device
      try device.resize(to: size / 512)
      #expect(device.blockCount == size / 512, sourceLocation: sourceLocation)
      let shown = Int(min(size, UInt64(looked)))
      if shown < model.count {
        model.removeLast(model.count - shown)
      } else {
        model += [UInt8](repeating: 0, count: shown - model.count)
      }
      #expect(
        try device.bytes(at: 0, count: shown) == model, "\(size)", sourceLocation: sourceLocation)
      let end = try device.bytes(at: size - 65536, count: 65536)
      if size > UInt64(looked) {
        #expect(end.allSatisfy { $0 == 0 }, "\(size)", sourceLocation: sourceLocation)
        try device.write(block: size / 512 - 3, [UInt8](repeating: 0x6B, count: 512))
      }
      for _ in 0..<30 {
        let count = Int(1 + random.below(200))
        let block = Int(random.below(UInt64(model.count / 512 - count)))
        let bytes = [UInt8](
          repeating: UInt8(truncatingIfNeeded: random.next()) | 1, count: count * 512)
        try device.write(block: UInt64(block), bytes)
        model.replaceSubrange(block * 512..<(block + count) * 512, with: bytes)
      }
      // The last block of the disk too.
      if size <= UInt64(looked) {
        let bytes = [UInt8](repeating: 0x3C, count: 1024)
        try device.write(block: size / 512 - 2, bytes)
        model.replaceSubrange(model.count - 1024..<model.count, with: bytes)
      }
      device.close()
      let file = try HostFile(path: path, writable: false)
      let check = try format.check(file, .none, scratch.context(path, writable: false))
      #expect(
        check.corruptions + check.unreadables + (allowsLeaks ? 0 : check.leaks) == 0,
        "\(size): \(check.findings.prefix(3))", sourceLocation: sourceLocation)
      let again = try format.open(file, scratch.context(path, writable: false)).device
      #expect(again.blockCount == size / 512, sourceLocation: sourceLocation)
      #expect(
        try again.bytes(at: 0, count: shown) == model, "\(size)", sourceLocation: sourceLocation)
      again.close()
      guard QEMU.isThere, let theirs else { continue }
      if size <= UInt64(looked) {
        let raw = scratch.file("model", model)
        let result = try QEMU.run(["compare", "-f", theirs, "-F", "raw", path, raw])
        #expect(result.status == 0, "\(size): \(result.text)", sourceLocation: sourceLocation)
      } else {
        let read = try QEMU.run(
          ["-f", theirs, "-r", "-c", "read -P 0x6b \(size - 1536) 512", path], tool: "qemu-io")
        #expect(
          !read.text.contains("failed") && read.status == 0, "\(size): \(read.text)",
          sourceLocation: sourceLocation)
      }
      if theirs != "vpc" {
        let result = try QEMU.run(["check", "-f", theirs, path])
        #expect(
          result.status == 0 || (allowsLeaks && result.status == 3), "\(size): \(result.text)",
          sourceLocation: sourceLocation)
      }
      // Written on over there.
      if options["subformat"] != "streamOptimized" {
        let io = try QEMU.run(
          ["-f", theirs, "-c", "write -P 0x5a 100352 1024", path], tool: "qemu-io")
        #expect(io.status == 0 && !io.text.contains("failed"), "\(size): \(io.text)")
        model.replaceSubrange(
          100_352..<101_376, with: repeatElement(0x5A, count: 1024))
      }
    }
  }
}
