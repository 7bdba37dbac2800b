// What the host's unit and the software have agreed upon.
//
// Owns: comparing digests with those kept. Must not know: what was run.

import Foundation
import Testing

/// A hash of outcomes.
struct Digest {
  private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325
  mutating func add<T: FixedWidthInteger>(_ x: T) {
    value = (value ^ UInt64(truncatingIfNeeded: x)) &* 0x100_0000_01B3 &+ value >> 29
  }
}

/// Outcomes that the host's unit and the software have agreed upon, on processors of more than one maker. Tests hold the software to
/// their digests; with APUS_COMPARE_HOST in the environment they compare with this host again, case by case, and print what they get.
enum Agreement {
  static let comparesHost = ProcessInfo.processInfo.environment["APUS_COMPARE_HOST"] != nil

  private static let digests: [String: UInt64] = {
    var table: [String: UInt64] = [:]
    for line in agreedDigests.split(separator: "\n") {
      let parts = line.split(separator: " ")
      if parts.count == 2 { table[String(parts[0])] = UInt64(parts[1], radix: 16) }
    }
    return table
  }()

  static func check(_ name: String, _ digest: Digest) {
    let key = name.replacing(" ", with: "_")
    if comparesHost {
      print("agreed:", key, String(digest.value, radix: 16))
      return
    }
    #expect(digests[key] == digest.value, "\(name) (APUS_COMPARE_HOST=1 shows the cases)")
  }
}
