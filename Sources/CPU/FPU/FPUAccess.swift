// The x87, MMX and SSE registers for those outside of this module: tests, debuggers, conformance.
//
// Owns: reading and replacing the registers as a value, ST(n) and tags by their architectural names. Must not know: instructions.
// Follows: Intel SDM volume 1, sections 8.1.2 (register stack), 8.1.7 (tags), 9.2.2 (MMX registers).

extension CPU {
  /// All registers of x87, MMX and SSE; to be replaced between instructions only. The summary bits of the status word are taken as
  /// given.
  public var fpuState: FPUState {
    get { fpu.pointee }
    set {
      fpu.pointee = newValue
      fpu.pointee.sw &= ~0x3800
      fpu.pointee.top &= 7
    }
  }
}

extension FPUState {
  /// Physical register `n`, 0 to 7.
  public subscript(physical n: Int) -> Float80Bits {
    get {
      withUnsafeBytes(of: r) { $0.load(fromByteOffset: (n & 7) * 16, as: Float80Bits.self) }
    }
    set {
      withUnsafeMutableBytes(of: &r) {
        $0.storeBytes(of: newValue.significand, toByteOffset: (n & 7) * 16, as: UInt64.self)
        $0.storeBytes(of: newValue.signExponent, toByteOffset: (n & 7) * 16 + 8, as: UInt16.self)
      }
    }
  }

  /// ST(n), 0 to 7.
  public subscript(st n: Int) -> Float80Bits {
    get { self[physical: Int(top) &+ n] }
    set { self[physical: Int(top) &+ n] = newValue }
  }

  /// XMMn, 0 to 7.
  public subscript(xmm n: Int) -> XMMBits {
    get { withUnsafeBytes(of: xmm) { $0.load(fromByteOffset: (n & 7) * 16, as: XMMBits.self) } }
    set {
      withUnsafeMutableBytes(of: &xmm) {
        $0.storeBytes(of: newValue, toByteOffset: (n & 7) * 16, as: XMMBits.self)
      }
    }
  }

  /// The status word with TOP.
  public var statusWord: UInt16 {
    get { sw & ~0x3800 | UInt16(top & 7) << 11 }
    set {
      sw = newValue & ~0x3800
      top = UInt8(newValue >> 11 & 7)
    }
  }

  /// The full tag word: valid 0, zero 1, special 2, empty 3 for each physical register.
  public var tagWord: UInt16 {
    var word: UInt16 = 0
    for n in 0..<8 {
      let value = self[physical: n]
      let tag: UInt16 =
        empty >> UInt8(n) & 1 != 0 ? 3 : value.isNormal ? 0 : value.isZero ? 1 : 2
      word |= tag << UInt16(2 * n)
    }
    return word
  }
}
