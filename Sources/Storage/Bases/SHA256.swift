// SHA-256.
//
// Owns: the hash function. Must not know: what is hashed. After: FIPS 180-4, sections 4.1.2, 4.2.2, 5.3.3 and 6.2.
// It tells whether contents are the same; nothing secret goes through it.

/// A hash being computed.
public struct SHA256 {
  private var state: [UInt32] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab,
    0x5be0_cd19,
  ]
  private var pending: [UInt8] = []
  private var length: UInt64 = 0

  public init() {}

  /// Of some bytes.
  public static func hash(_ bytes: [UInt8]) -> [UInt8] {
    var hash = SHA256()
    bytes.withUnsafeBytes { hash.add($0) }
    return hash.finish()
  }

  public mutating func add(_ bytes: UnsafeRawBufferPointer) {
    length += UInt64(bytes.count)
    var rest = bytes[...]
    if !pending.isEmpty {
      let part = rest.prefix(64 - pending.count)
      pending += part
      rest = rest.dropFirst(part.count)
      if pending.count < 64 { return }
      let block = pending
      pending = []
      block.withUnsafeBytes { mix($0) }
    }
    let whole = rest.count & ~63
    if whole > 0 { mix(UnsafeRawBufferPointer(rebasing: rest.prefix(whole))) }
    pending += rest.dropFirst(whole)
  }

  public mutating func add(_ bytes: [UInt8]) { bytes.withUnsafeBytes { add($0) } }

  /// The 32 bytes.
  public mutating func finish() -> [UInt8] {
    let bits = length &* 8
    var padding: [UInt8] = [0x80]
    padding += repeatElement(0, count: (119 - pending.count) % 64)
    padding += (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * $0)) }
    add(padding)
    return state.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * $0)) }
    }
  }

  private static func rotate(_ x: UInt32, _ n: UInt32) -> UInt32 { x >> n | x << (32 &- n) }

  /// Whole blocks of 64 bytes.
  private mutating func mix(_ bytes: UnsafeRawBufferPointer) {
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { w in
      SHA256.constants.withUnsafeBufferPointer { k in
        var (s0, s1, s2, s3) = (state[0], state[1], state[2], state[3])
        var (s4, s5, s6, s7) = (state[4], state[5], state[6], state[7])
        for start in stride(from: 0, to: bytes.count, by: 64) {
          for t in 0..<16 {
            w[t] =
              bytes.loadUnaligned(fromByteOffset: start &+ t &* 4, as: UInt32.self).bigEndian
          }
          for t in 16..<64 {
            let (a, b) = (w[t &- 15], w[t &- 2])
            let first = SHA256.rotate(a, 7) ^ SHA256.rotate(a, 18) ^ a >> 3
            let second = SHA256.rotate(b, 17) ^ SHA256.rotate(b, 19) ^ b >> 10
            w[t] = w[t &- 16] &+ first &+ w[t &- 7] &+ second
          }
          var (a, b, c, d, e, f, g, h) = (s0, s1, s2, s3, s4, s5, s6, s7)
          for t in 0..<64 {
            let sum1 = SHA256.rotate(e, 6) ^ SHA256.rotate(e, 11) ^ SHA256.rotate(e, 25)
            let t1 = h &+ sum1 &+ (e & f ^ ~e & g) &+ k[t] &+ w[t]
            let sum0 = SHA256.rotate(a, 2) ^ SHA256.rotate(a, 13) ^ SHA256.rotate(a, 22)
            let t2 = sum0 &+ (a & b ^ a & c ^ b & c)
            (h, g, f, e, d, c, b, a) = (g, f, e, d &+ t1, c, b, a, t1 &+ t2)
          }
          (s0, s1, s2, s3) = (s0 &+ a, s1 &+ b, s2 &+ c, s3 &+ d)
          (s4, s5, s6, s7) = (s4 &+ e, s5 &+ f, s6 &+ g, s7 &+ h)
        }
        state = [s0, s1, s2, s3, s4, s5, s6, s7]
      }
    }
  }

  /// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
  private static let constants: [UInt32] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4,
    0xab1c_5ed5, 0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe,
    0x9bdc_06a7, 0xc19b_f174, 0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f,
    0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da, 0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7,
    0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967, 0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc,
    0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85, 0xa2bf_e8a1, 0xa81a_664b,
    0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070, 0x19a4_c116,
    0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7,
    0xc671_78f2,
  ]
}
