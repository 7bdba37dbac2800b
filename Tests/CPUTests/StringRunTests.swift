// Runs of string instructions against one unit after the other.
//
// Owns: random places, lengths and overlaps in a buffer. Must not know: instructions.
// Follows: Intel SDM volume 2: a repetition is its iterations one by one.

import TestSupport
import Testing

@testable import CPU

@Suite("String runs") struct StringRunTests {
  private static let size = 512

  /// The same in two buffers: as a run and unit by unit.
  private func check<T: FixedWidthInteger & UnsignedInteger>(
    _: T.Type, seed: UInt64,
    _ body: (inout Random, UnsafeMutableRawPointer, UnsafeMutableRawPointer) -> Bool
  ) {
    var random = Random(seed: seed)
    let a = UnsafeMutableRawPointer.allocate(byteCount: Self.size, alignment: 16)
    let b = UnsafeMutableRawPointer.allocate(byteCount: Self.size, alignment: 16)
    defer {
      a.deallocate()
      b.deallocate()
    }
    for round in 0..<4000 {
      // Few values, so that comparisons go on for some time.
      let few = round & 1 == 0
      for n in 0..<Self.size {
        let byte = few ? UInt8(random.below(40) == 0 ? 1 : 0) : UInt8(random.below(256))
        a.storeBytes(of: byte, toByteOffset: n, as: UInt8.self)
        b.storeBytes(of: byte, toByteOffset: n, as: UInt8.self)
      }
      let agree = body(&random, a, b)
      let same = (0..<Self.size).allSatisfy {
        a.load(fromByteOffset: $0, as: UInt8.self) == b.load(fromByteOffset: $0, as: UInt8.self)
      }
      #expect(agree && same, "\(T.self), round \(round)")
      if !agree || !same { return }
    }
  }

  /// A number of units, and two places that often overlap closely.
  private func places(_ r: inout Random, _ size: Int) -> (n: Int, from: Int, to: Int) {
    let n = 1 + r.below(r.below(2) == 0 ? 12 : 200 / size)
    let from = 40 + r.below(200)
    let to = r.below(2) == 0 ? from - 20 + r.below(40) : 40 + r.below(200)
    return (n, from, to)
  }

  private func moves<T: FixedWidthInteger & UnsignedInteger>(_: T.Type, down: Bool) {
    let size = MemoryLayout<T>.size
    check(T.self, seed: down ? 5 : 6) { r, a, b in
      let (n, from, to) = places(&r, size)
      if down {
        StringRuns.moveDown(a + to, a + from, n, T.self)
      } else {
        StringRuns.move(a + to, a + from, n, T.self)
      }
      for k in down ? Array((0..<n).reversed()) : Array(0..<n) {
        let unit = b.loadUnaligned(fromByteOffset: from + k * size, as: T.self)
        b.storeBytes(of: unit, toByteOffset: to + k * size, as: T.self)
      }
      return true
    }
  }

  @Test(arguments: [false, true]) func copiesThatOverlapRepeatWhatTheyWrote(down: Bool) {
    moves(UInt8.self, down: down)
    moves(UInt16.self, down: down)
    moves(UInt32.self, down: down)
  }

  private func others<T: FixedWidthInteger & UnsignedInteger>(_: T.Type) {
    let size = MemoryLayout<T>.size
    check(T.self, seed: 7) { r, a, b in
      let (n, _, to) = places(&r, size)
      let value = r.below(3) == 0 ? T.max : T(truncatingIfNeeded: r.below(1 << 31))
      StringRuns.fill(a + to, n, value)
      for k in 0..<n { b.storeBytes(of: value, toByteOffset: to + k * size, as: T.self) }
      return true
    }
    for whileEqual in [false, true] {
      check(T.self, seed: 8) { r, a, b in
        let (n, from, to) = places(&r, size)
        let last = StringRuns.compare(a + from, a + to, n, whileEqual: whileEqual, T.self)
        var k = 0
        while k < n - 1,
          (b.loadUnaligned(fromByteOffset: from + k * size, as: T.self)
            == b.loadUnaligned(fromByteOffset: to + k * size, as: T.self)) == whileEqual
        {
          k += 1
        }
        return k == last
      }
      check(T.self, seed: 9) { r, a, b in
        let (n, from, _) = places(&r, size)
        let value = T(r.below(2))
        let last = StringRuns.scan(a + from, n, value, whileEqual: whileEqual)
        var k = 0
        while k < n - 1,
          (b.loadUnaligned(fromByteOffset: from + k * size, as: T.self) == value) == whileEqual
        {
          k += 1
        }
        return k == last
      }
    }
  }

  @Test func fillsComparisonsAndSearchesEndWhereTheyWould() {
    others(UInt8.self)
    others(UInt16.self)
    others(UInt32.self)
  }
}
