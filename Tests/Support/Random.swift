// Random numbers that are the same in every run.
//
// Owns: the generator. Must not know: what is made of the numbers; suites extend it with operands of their kind.

/// A linear congruential generator.
public struct Random {
  private var state: UInt64

  public init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

  /// Any 64 bits.
  public mutating func next() -> UInt64 {
    let high = step()
    return high << 32 | step()
  }

  private mutating func step() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state >> 32
  }

  /// Any 32 bits.
  public mutating func word() -> UInt32 { UInt32(truncatingIfNeeded: next() >> 16) }

  /// Any 8 bits.
  public mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next() >> 20) }

  /// A number from 0 to `n` - 1.
  public mutating func below<T: FixedWidthInteger>(_ n: T) -> T {
    T(truncatingIfNeeded: Int(next() >> 33) % Int(n))
  }

  /// True once in `n` times.
  public mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }

  /// One of a list that is not empty.
  public mutating func one<T>(of list: [T]) -> T { list[below(list.count)] }
}
