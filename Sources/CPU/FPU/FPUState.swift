// The register state of x87, MMX and SSE.
//
// Owns: the layout. Must not know: arithmetic (SoftFloat80) or instructions (FPUInstructions).
// Follows: Intel SDM volume 1, chapter 8.

/// An 80-bit extended value as its bits.
public struct Float80Bits: Equatable, Sendable {
  /// Integer bit and fraction.
  public var significand: UInt64
  /// Sign in bit 15, biased exponent below.
  public var signExponent: UInt16

  public init(signExponent: UInt16, significand: UInt64) {
    self.signExponent = signExponent
    self.significand = significand
  }
}

/// A 128-bit register.
public struct XMMBits: Equatable, Sendable {
  public var low: UInt64
  public var high: UInt64

  @inline(__always)
  public init(_ low: UInt64 = 0, _ high: UInt64 = 0) {
    self.low = low
    self.high = high
  }
}

/// Everything x87, MMX and SSE keep. The MMX registers are the significands of R0-R7.
public struct FPUState: Sendable {
  /// Physical registers R0-R7 (not rotated).
  public var r:
    (
      Float80Bits, Float80Bits, Float80Bits, Float80Bits,
      Float80Bits, Float80Bits, Float80Bits, Float80Bits
    )
  /// XMM0-XMM7.
  public var xmm: (XMMBits, XMMBits, XMMBits, XMMBits, XMMBits, XMMBits, XMMBits, XMMBits)
  /// Control word.
  public var cw: UInt16 = 0x0040
  /// Status word without TOP (bits 11-13).
  public var sw: UInt16 = 0
  /// Top of stack, 0 to 7.
  public var top: UInt8 = 0
  /// Physical register i is empty when bit i is set.
  public var empty: UInt8 = 0
  /// Last instruction: opcode (11 bits), instruction pointer, operand pointer with selectors.
  public var fop: UInt16 = 0
  public var fip: UInt32 = 0
  public var fcs: UInt16 = 0
  public var fdp: UInt32 = 0
  public var fds: UInt16 = 0
  /// Control and status of SSE.
  public var mxcsr: UInt32 = 0x1F80

  public init() {
    let zero = Float80Bits(signExponent: 0, significand: 0)
    let x = XMMBits()
    xmm = (x, x, x, x, x, x, x, x)
    r = (zero, zero, zero, zero, zero, zero, zero, zero)
  }
}
