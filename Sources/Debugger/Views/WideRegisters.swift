// Registers wider than 64 bits as the console changes them.
//
// Owns: what a text means for ST and XMM registers. Must not know: commands.

import CPU

extension RegisterFile {
  /// Changes one of ST0 to ST7 or XMM0 to XMM7.
  /// - Returns: no when the name is none of these.
  func setWide(_ name: String, _ text: String) throws(DebuggerError) -> Bool {
    guard let n = name.last?.wholeNumberValue, n < 8 else { return false }
    var f = cpu.floatingPoint
    switch name.dropLast() {
    case "st":
      let value = try RegisterFile.extended(text)
      let place = (n + Int(f.top)) & 7
      withUnsafeMutableBytes(of: &f.r) {
        $0.storeBytes(
          of: value, toByteOffset: place * MemoryLayout<Float80Bits>.stride, as: Float80Bits.self)
      }
      f.empty &= ~(1 << UInt8(place))
    case "xmm":
      let (high, low) = try RegisterFile.digits(text, most: 32)
      withUnsafeMutableBytes(of: &f.xmm) {
        $0.storeBytes(
          of: XMMBits(low, high), toByteOffset: n * MemoryLayout<XMMBits>.stride, as: XMMBits.self)
      }
    default: return false
    }
    cpu.floatingPoint = f
    return true
  }

  /// Hexadecimal digits as two halves of 64 bits.
  private static func digits(_ text: String, most: Int) throws(DebuggerError) -> (
    high: UInt64, low: UInt64
  ) {
    var digits = text.filter { $0 != "_" }
    if digits.lowercased().hasPrefix("0x") { digits = String(digits.dropFirst(2)) }
    guard (1...most).contains(digits.count), digits.allSatisfy(\.isHexDigit) else {
      throw DebuggerError("'\(text)': up to \(most) hexadecimal digits are wanted")
    }
    let high = digits.count > 16 ? UInt64(digits.dropLast(16), radix: 16) : 0
    guard let high, let low = UInt64(digits.suffix(16), radix: 16) else {
      throw DebuggerError("'\(text)' is no number")
    }
    return (high, low)
  }

  /// A number of 80 bits: 20 digits as they are, or a decimal number in double precision.
  private static func extended(_ text: String) throws(DebuggerError) -> Float80Bits {
    if text.filter(\.isHexDigit).count == 20, !text.contains(".") {
      let (high, low) = try digits(text, most: 20)
      return Float80Bits(signExponent: UInt16(truncatingIfNeeded: high), significand: low)
    }
    guard
      text.contains(where: { ".eE".contains($0) })
        || text.allSatisfy({ "-0123456789".contains($0) }),
      let value = Double(text), value.isFinite
    else {
      throw DebuggerError("'\(text)': a decimal number or 20 hexadecimal digits are wanted")
    }
    let sign: UInt16 = value.sign == .minus ? 0x8000 : 0
    if value == 0 { return Float80Bits(signExponent: sign, significand: 0) }
    // 1.fraction times 2 to the exponent, subnormal doubles included.
    let significand = UInt64(value.significand * 0x1p62) << 1
    return Float80Bits(
      signExponent: sign | UInt16(truncatingIfNeeded: Int(value.exponent) + 16383),
      significand: significand)
  }
}
