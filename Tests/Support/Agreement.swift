// What the host's unit and the software have agreed upon.
//
// Owns: comparing digests with those kept. Must not know: what was run.

import Foundation

/// A hash of outcomes.
public struct Digest {
  public private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325
  public init() {}
  public mutating func add<T: FixedWidthInteger>(_ x: T) {
    value = (value ^ UInt64(truncatingIfNeeded: x)) &* 0x100_0000_01B3 &+ value >> 29
  }
}

/// Outcomes that the host's unit and the software have agreed upon, on processors of more than one maker. Tests hold the software to
/// their digests; with APUS_COMPARE_HOST in the environment they compare with this host again, case by case, and print what they get.
public struct Agreement: Sendable {
  public static let comparesHost = ProcessInfo.processInfo.environment["APUS_COMPARE_HOST"] != nil
  private let digests: [String: UInt64]

  /// - Parameter digests: a line each: a name with underscores for spaces, the digest in hexadecimal.
  public init(_ digests: String) {
    var table: [String: UInt64] = [:]
    for line in digests.split(separator: "\n") {
      let parts = line.split(separator: " ")
      if parts.count == 2 { table[String(parts[0])] = UInt64(parts[1], radix: 16) }
    }
    self.digests = table
  }

  /// Whether outcomes are those agreed upon; where this host is compared with, true, and the digest is printed.
  public func holds(_ name: String, _ digest: Digest) -> Bool {
    let key = name.replacing(" ", with: "_")
    if Agreement.comparesHost {
      print("agreed:", key, String(digest.value, radix: 16))
      return true
    }
    return digests[key] == digest.value
  }
}
