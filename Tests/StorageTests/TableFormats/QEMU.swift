// QEMU's tools as an oracle, where they are installed.

import Foundation
import Testing
import ToolSupport

@testable import Storage

enum QEMU {
  static let path = ["/usr/bin/qemu-img", "/usr/local/bin/qemu-img", "/opt/homebrew/bin/qemu-img"]
    .first { FileManager.default.isExecutableFile(atPath: $0) }
  static var isThere: Bool { path != nil }
  static let missing: Comment = "qemu-img is not installed"

  /// Runs qemu-img, or another of QEMU's tools beside it. Making an encrypted image it measures the time of a few milliseconds' work, and
  /// gives up where the host's clock of processor time has not moved meanwhile, which is half of the time on some: it is asked again.
  @discardableResult
  static func run(_ arguments: [String], tool: String = "qemu-img") throws -> (
    status: Int32, text: String
  ) {
    let program = path!.replacing("qemu-img", with: tool)
    let end = ContinuousClock.now + .seconds(30)
    while true {
      let result = try Tool.run(program, arguments)
      if !couldNotMeasure(result.text) || .now > end { return result }
    }
  }

  /// It gave up for its clock's sake, which says nothing about us.
  static func couldNotMeasure(_ text: String) -> Bool {
    text.contains("Unable to get accurate CPU usage")
  }

  /// Both ways: what is written here is read there, and what is written there is read here, and written on.
  /// - Parameters:
  ///   - theirs: the format's name there.
  ///   - checks: it has a `qemu-img check`.
  static func cross(
    _ format: any TriedFormat, theirs: String, size: UInt64, ours options: [String: String] = [:],
    theirOptions: String? = nil, checks: Bool, sectorSize: Int = 512,
    suffix: String = "img", sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let scratch = Scratch()
    func expectSame(_ path: String, _ model: [UInt8], _ what: String) throws {
      let raw = scratch.file("model", model)
      let result = try run(["compare", "-f", theirs, "-F", "raw", path, raw])
      #expect(result.status == 0, "\(what): \(result.text)", sourceLocation: sourceLocation)
      if checks {
        let result = try run(["check", "-f", theirs, path])
        #expect(result.status == 0, "\(what): \(result.text)", sourceLocation: sourceLocation)
      }
    }
    var random = TrialRandom(state: size)
    func work(_ path: String, _ model: inout [UInt8]) throws {
      let image = try ImageOpener.open(path: path, kind: .disk)
      let device = image.device
      for _ in 0..<40 {
        let count = 1 + random.below(random.below(4) == 0 ? 3000 : 30)
        let block = random.below(device.blockCount - count)
        let range = Int(block * 512)..<Int((block + count) * 512)
        if random.below(6) == 0 {
          try device.discard(block: block, count: count)
          model.replaceSubrange(range, with: repeatElement(0, count: range.count))
        } else {
          let tag = UInt8(truncatingIfNeeded: random.next())
          let bytes = (0..<range.count).map { UInt8(truncatingIfNeeded: $0 >> 7) ^ tag }
          try device.write(block: block, bytes)
          model.replaceSubrange(range, with: bytes)
        }
      }
      try device.flush()
      device.close()
    }

    // Ours.
    let own = scratch.file("own.\(suffix)", [])
    do {
      let store = try HostFile(path: own, writable: true)
      let wish = try Trials.wish(size, options, sectorSize: sectorSize).checked(
        for: format, name: own)
      try format.create(store, wish, scratch.context(own))
    }
    var model = [UInt8](repeating: 0, count: Int(size))
    try expectSame(own, model, "our new image")
    try work(own, &model)
    try expectSame(own, model, "our image, written here")
    try expectClean(format, own, scratch, sourceLocation)
    // Written on over there.
    let io = try run(
      ["-f", theirs, "-c", "write -P 0x5a 300000 100000", "-c", "write -P 0x5b 2000384 512", own],
      tool: "qemu-io")
    #expect(io.status == 0, "\(io.text)", sourceLocation: sourceLocation)
    model.replaceSubrange(300_000..<400_000, with: repeatElement(0x5A, count: 100_000))
    model.replaceSubrange(2_000_384..<2_000_896, with: repeatElement(0x5B, count: 512))
    #expect(
      try ImageOpener.open(path: own, kind: .disk, readOnly: true).device.bytes(
        at: 0, count: model.count) == model, sourceLocation: sourceLocation)
    try expectClean(format, own, scratch, sourceLocation)

    // Theirs.
    let raw = scratch.file("raw", model)
    let other = scratch.directory + "/other.\(suffix)"
    let made = try run(
      ["convert", "-f", "raw", "-O", theirs] + (theirOptions.map { ["-o", $0] } ?? []) + [
        raw, other,
      ])
    #expect(made.status == 0, "\(made.text)", sourceLocation: sourceLocation)
    try expectClean(format, other, scratch, sourceLocation)
    let opened = try ImageOpener.open(path: other, kind: .disk)
    #expect(
      try opened.device.bytes(at: 0, count: model.count) == model, sourceLocation: sourceLocation)
    let writable = !opened.device.isReadOnly
    opened.device.close()
    if writable {
      try work(other, &model)
      try expectSame(other, model, "their image, written here")
      try expectClean(format, other, scratch, sourceLocation)
    }
  }

  private static func expectClean(
    _ format: any TriedFormat, _ path: String, _ scratch: Scratch,
    _ sourceLocation: SourceLocation
  ) throws {
    let store = try HostFile(path: path, writable: false)
    let check = try format.check(store, .none, scratch.context(path))
    #expect(check.isClean, "\(check.findings.prefix(3))", sourceLocation: sourceLocation)
  }
}

extension Scratch {
  /// Files beside an image.
  func context(_ path: String, writable: Bool = true) -> ImageContext {
    ImageContext(kind: .disk) { [directory] (name, use) throws(StorageError) in
      let place = directory + "/" + name
      if use == .newPart {
        _ = FileManager.default.createFile(atPath: place, contents: nil)
      }
      return try HostFile(path: place, writable: use != .base && writable)
    }
  }
}
