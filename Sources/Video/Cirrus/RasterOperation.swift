// The sixteen raster operations of the BitBLT engine.
//
// Owns: their codes and what they compute, for whole rows. Must not know: where rows are.
// Follows: Cirrus Logic CL-GD5446 Technical Reference Manual, GR32. Codes that it does not list leave the destination alone.

/// What becomes of a source (S) and a destination (D).
enum RasterOperation: UInt8, CaseIterable {
  case zero = 0x00
  case sAndD = 0x05
  case d = 0x06
  case sAndNotD = 0x09
  case notD = 0x0B
  case s = 0x0D
  case one = 0x0E
  case notSAndD = 0x50
  case sXorD = 0x59
  case sOrD = 0x6D
  /// Not (S or D).
  case nor = 0x90
  case sXnorD = 0x95
  case sOrNotD = 0xAD
  case notS = 0xD0
  case notSOrD = 0xD6
  /// Not (S and D).
  case nand = 0xDA

  @inline(__always)
  func apply<T: FixedWidthInteger>(_ s: T, _ d: T) -> T {
    switch self {
    case .zero: 0
    case .sAndD: s & d
    case .d: d
    case .sAndNotD: s & ~d
    case .notD: ~d
    case .s: s
    case .one: ~0
    case .notSAndD: ~s & d
    case .sXorD: s ^ d
    case .sOrD: s | d
    case .nor: ~(s | d)
    case .sXnorD: ~(s ^ d)
    case .sOrNotD: s | ~d
    case .notS: ~s
    case .notSOrD: ~s | d
    case .nand: ~(s & d)
    }
  }

  /// Works on a row; source and destination do not overlap, or are eight bytes apart in the direction of the work, which is upwards.
  func row(_ target: UnsafeMutableRawPointer, _ source: UnsafeRawPointer, _ count: Int) {
    @inline(__always)
    func run(_ body: (UInt64, UInt64) -> UInt64) {
      var n = 0
      while n &+ 8 <= count {
        let s = source.loadUnaligned(fromByteOffset: n, as: UInt64.self)
        let d = target.loadUnaligned(fromByteOffset: n, as: UInt64.self)
        target.storeBytes(of: body(s, d), toByteOffset: n, as: UInt64.self)
        n &+= 8
      }
      while n < count {
        let s = UInt64(source.load(fromByteOffset: n, as: UInt8.self))
        let d = UInt64(target.load(fromByteOffset: n, as: UInt8.self))
        target.storeBytes(
          of: UInt8(truncatingIfNeeded: body(s, d)), toByteOffset: n, as: UInt8.self)
        n &+= 1
      }
    }
    switch self {
    case .zero: target.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    case .one: target.initializeMemory(as: UInt8.self, repeating: 0xFF, count: count)
    case .d: break
    case .s: target.copyMemory(from: source, byteCount: count)
    case .sAndD: run { $0 & $1 }
    case .sAndNotD: run { $0 & ~$1 }
    case .notD: run { _, d in ~d }
    case .notSAndD: run { ~$0 & $1 }
    case .sXorD: run { $0 ^ $1 }
    case .sOrD: run { $0 | $1 }
    case .nor: run { ~($0 | $1) }
    case .sXnorD: run { ~($0 ^ $1) }
    case .sOrNotD: run { $0 | ~$1 }
    case .notS: run { s, _ in ~s }
    case .notSOrD: run { ~$0 | $1 }
    case .nand: run { ~($0 & $1) }
    }
  }
}
