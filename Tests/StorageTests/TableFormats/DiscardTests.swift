// Room that a guest gives back: the host has it again, and the image uses its place again.

import Foundation
import Testing

@testable import Storage

@Suite struct DiscardTests {
  /// Bytes of the host's disk that an image's files take.
  private func taken(_ scratch: Scratch) -> Int {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: scratch.directory)) ?? []
    return names.reduce(0) {
      var status = stat()
      return stat(scratch.directory + "/" + $1, &status) == 0
        ? $0 + Int(status.st_blocks) * 512 : $0
    }
  }

  static let kinds: [(String, [String: String])] = [
    ("raw", [:]), ("qcow2", [:]), ("qcow2", ["cluster_size": "4096"]),
    ("qcow2", ["compat": "0.10"]), ("qcow2", ["extended_l2": "on"]), ("vdi", [:]),
    ("vdi", ["static": "on"]), ("vhd", [:]), ("vhd", ["subformat": "fixed"]), ("vhdx", [:]),
    ("vmdk", [:]), ("vmdk", ["subformat": "monolithicFlat"]),
    ("vmdk", ["subformat": "streamOptimized"]), ("vmdk", ["subformat": "twoGbMaxExtentSparse"]),
  ]

  @Test(arguments: kinds) func roomComesBackAndIsUsedAgain(
    _ name: String, _ options: [String: String]
  ) throws {
    let scratch = Scratch()
    let path = scratch.file("disk.img", [])
    let format = ImageFormats.named(name)! as! any CreatableFormat
    let context = scratch.context(path)
    do {
      let store = try HostFile(path: path, writable: true)
      try format.create(
        store, try Trials.wish(64 << 20, options).checked(for: format, name: path), context)
    }
    let device = try format.open(try HostFile(path: path, writable: true), context).device
    // Nothing that a compressor makes small.
    var random = TrialRandom(state: 1)
    let megabyte = (0..<1 << 17).flatMap { _ in little(random.next(), 8) }
    func write(_ range: Range<UInt64>) throws {
      for n in range { try device.write(block: n * 2048, megabyte) }
      try device.flush()
    }
    try write(0..<24)
    let full = taken(scratch)
    try #require(full >= 23 << 20, "the host's file system says \(full) bytes")
    func files() -> Int { HostFileSizes.sum(scratch.directory) }
    let length = files()
    for _ in 0..<2 {
      try device.discard(block: 2 * 2048, count: 16 * 2048)
      try device.flush()
      #expect(taken(scratch) <= full - 15 << 20, "\(full >> 20) MiB, then \(taken(scratch) >> 20)")
      #expect(try device.bytes(at: 2 << 20, count: 16 << 20).allSatisfy { $0 == 0 })
      try write(2..<18)
      #expect(taken(scratch) <= full + 2 << 20)
    }
    // What is compressed is always appended.
    if options["subformat"] != "streamOptimized" { #expect(files() <= length + 2 << 20) }
    #expect(try device.bytes(at: 17 << 20, count: 1 << 20) == megabyte)
    device.close()
    if let checked = format as? any CheckableFormat {
      let file = try HostFile(path: path, writable: false)
      let check = try checked.check(file, .none, scratch.context(path, writable: false))
      #expect(check.isClean, "\(check.findings.prefix(3))")
    }
  }
}

private enum HostFileSizes {
  static func sum(_ directory: String) -> Int {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    return names.reduce(0) {
      var status = stat()
      return stat(directory + "/" + $1, &status) == 0 ? $0 + Int(status.st_size) : $0
    }
  }
}
