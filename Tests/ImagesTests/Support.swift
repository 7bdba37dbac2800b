// What the tests of this folder share: files of their own, other programs, random disks.

import Foundation
import Host
import Images
import Storage
import Testing
import ToolSupport

/// One after the other: between a fork and its exec another test's program holds the locks of this one's files.
@Suite(.serialized) struct WorkOnImages {}

/// Whether bytes are the same; a test that fails does not print them all.
func same(_ a: [UInt8], _ b: [UInt8]) -> Bool { a == b }

/// Files for one test in a directory of its own.
final class Scratch {
  let directory: String

  init() {
    directory =
      FileManager.default.temporaryDirectory
      .appendingPathComponent("apus-images-\(UUID().uuidString)").path
    try! FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  func path(_ name: String) -> String { directory + "/" + name }

  @discardableResult
  func file(_ name: String, _ bytes: [UInt8]) -> String {
    _ = FileManager.default.createFile(atPath: path(name), contents: Data(bytes))
    return path(name)
  }

  func contents(_ name: String) -> [UInt8] {
    [UInt8](FileManager.default.contents(atPath: path(name)) ?? Data())
  }

  var names: [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: directory))?.sorted() ?? []
  }
}

/// Numbers that are the same in each run.
struct Numbers: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

/// A disk with data and zeros in runs of all sizes.
func randomDisk(_ size: Int, seed: UInt64) -> [UInt8] {
  var numbers = Numbers(state: seed &* 2 + 1)
  var bytes = [UInt8](repeating: 0, count: size)
  var at = 0
  while at < size {
    let count = min(size - at, 512 << Int.random(in: 0..<11, using: &numbers))
    if Bool.random(using: &numbers) {
      for n in at..<at + count { bytes[n] = UInt8(truncatingIfNeeded: numbers.next() | 1) }
    }
    at += count
  }
  return bytes
}

/// Another program; nil: it is not installed.
func tool(_ name: String, _ arguments: [String]) -> (code: Int32, text: String)? {
  guard let path = HostProcess.find(name, folders: ["/usr/sbin", "/sbin"]) else { return nil }
  let environment = [
    "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC",
  ]
  guard let run = try? Tool.run(path, arguments, environment: environment) else { return nil }
  return (run.status, run.text)
}

/// The formats of the program and the made-up one.
func withModel<T>(_ body: () throws -> T) rethrows -> T {
  try DiskImage.$formats.withValue([ModelFormat()] + ImageFormats.all) { try body() }
}
