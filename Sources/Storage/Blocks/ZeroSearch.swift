// Whether bytes are zeros: asked of every byte that is copied.
//
// Owns: the search, as quick as memory is. Must not know: what the bytes are.

/// Looks for zeros.
public enum ZeroSearch {
  /// Whether all bytes are zeros.
  public static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let start = bytes.baseAddress else { return true }
    // Most of what is no zeros says so at once.
    if bytes.count >= 8, start.loadUnaligned(as: UInt64.self) != 0 { return false }
    var at = 0
    let vectors = bytes.count & ~127
    while at < vectors {
      let a = start.loadUnaligned(fromByteOffset: at, as: SIMD8<UInt64>.self)
      let b = start.loadUnaligned(fromByteOffset: at &+ 64, as: SIMD8<UInt64>.self)
      let any = a | b
      if any != SIMD8<UInt64>.zero { return false }
      at &+= 128
    }
    while at < bytes.count {
      if start.load(fromByteOffset: at, as: UInt8.self) != 0 { return false }
      at &+= 1
    }
    return true
  }
}
