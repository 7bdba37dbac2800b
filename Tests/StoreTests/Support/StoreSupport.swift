// What the tests of the store share.
//
// Owns: numbers that look random, contents, folders on the host. Must not know: what is tested.

import Foundation
import Storage

@testable import Store

/// Numbers that look random and repeat themselves (Steele, Lea and Flood's SplitMix64).
struct StoreRandom: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number below `limit`.
  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(limit, 1))) }
  /// Whether one of `limit` cases has come.
  mutating func one(in limit: Int) -> Bool { below(limit) == 0 }

  /// Contents that do not compress.
  mutating func bytes(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { room, filled in
      var at = 0
      while at < count {
        var word = next()
        for _ in 0..<8 where at < count {
          room[at] = UInt8(truncatingIfNeeded: word)
          word >>= 8
          at += 1
        }
      }
      filled = count
    }
  }

  /// Contents that do.
  mutating func text(_ count: Int) -> [UInt8] {
    let words = (0..<8).map { _ in bytes(7) }
    var result: [UInt8] = []
    while result.count < count { result += words[below(8)] }
    return Array(result.prefix(count))
  }
}

/// A folder on the host that is removed with it.
final class TestFolder {
  let path: String
  init(_ name: String = "x") {
    path = "/tmp/store-\(name)-\(UInt64.random(in: 0...UInt64.max))"
  }
  deinit { try? FileManager.default.removeItem(atPath: path) }
}

extension ContentStore {
  func bytes(_ name: ContentName) throws(StorageError) -> [UInt8] {
    try bytes(of: name, limit: 16 << 20)
  }

  /// A sweep by somebody who knows what lives.
  @discardableResult func sweep(_ live: [ContentName]) throws(StorageError) -> UInt64 {
    try sweep(live: Set(live), asOf: sequence)
  }
}

enum TestCounts {
  /// How many cases a test has, or an environment variable says.
  static func of(_ variable: String, normally: Int) -> Int {
    ProcessInfo.processInfo.environment[variable].flatMap { Int($0) } ?? normally
  }
}

extension Array where Element == UInt8 {
  /// The names in a payload of names.
  var names: [ContentName] {
    withUnsafeBytes { buffer in
      stride(from: 0, to: count - 31, by: 32).map { ContentName(buffer.baseAddress! + $0) }
    }
  }
}
