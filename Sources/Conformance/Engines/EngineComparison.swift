// What differs between a processor that interprets and one that runs translated code, after the same run.
//
// Owns: what is compared, and the words. Must not know: what ran.

import CPU
import State

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Differences between two processors and their memories; the first of each pair interprets.
enum EngineComparison {
  /// What of the processors' whole state differs, instruction counts included; empty when nothing does.
  static func processor(_ a: CPU, _ b: CPU) -> [String] {
    var (first, second) = (StateWriter(), StateWriter())
    a.save(to: &first)
    b.save(to: &second)
    if first.bytes == second.bytes { return [] }
    let list = CPUComparison.differing(a, b).map {
      "\($0.name): \($0.first), translated \($0.second)"
    }
    return list.isEmpty ? ["the processor's hidden state"] : list
  }

  /// Bytes of RAM that differ, at most some of them.
  static func memory(_ a: PhysicalMemory, _ b: PhysicalMemory, _ range: Range<Int>) -> [String] {
    var list: [String] = []
    let end = min(range.upperBound, Int(a.layout.low), Int(b.layout.low))
    for start in stride(from: range.lowerBound, to: end, by: 4096) {
      let count = min(4096, end - start)
      if memcmp(a.ram + start, b.ram + start, count) == 0 { continue }
      for n in start..<start + count {
        let x = a.ram.load(fromByteOffset: n, as: UInt8.self)
        let y = b.ram.load(fromByteOffset: n, as: UInt8.self)
        if x != y { list.append("[\(hex(n, 5))]: \(hex(x, 2)), translated \(hex(y, 2))") }
        // Enough for anyone.
        if list.count >= 64 { return list }
      }
    }
    return list
  }

  /// Gives the second processor the state of the first, so that a difference does not show again in what runs next.
  static func makeEqual(_ a: CPU, _ b: CPU) {
    var writer = StateWriter()
    writer.section("cpu", version: CPU.stateVersion) { a.save(to: &$0) }
    var reader = StateReader(writer.bytes)
    try? reader.section("cpu", versions: 1...CPU.stateVersion) {
      (reader, version) throws(StateError) in
      try b.restore(from: &reader, version: version)
    }
  }
}
