// The x87's arithmetic by the names that Berkeley TestFloat gives operations.
//
// Owns: the mapping of TestFloat's functions and its hexadecimal fields. Must not know: files.
// Follows: TestFloat 3e's documentation (operand and flag encoding).

/// One of TestFloat's functions on 80-bit values.
public enum TestFloatOperation: String, Sendable, CaseIterable {
  case add = "extF80_add"
  case subtract = "extF80_sub"
  case multiply = "extF80_mul"
  case divide = "extF80_div"
  case remainder = "extF80_rem"
  case squareRoot = "extF80_sqrt"
  case roundToInt = "extF80_roundToInt"
  case equal = "extF80_eq"
  case lessOrEqual = "extF80_le"
  case less = "extF80_lt"
  case equalSignaling = "extF80_eq_signaling"
  case lessOrEqualQuiet = "extF80_le_quiet"
  case lessQuiet = "extF80_lt_quiet"
  case toF32 = "extF80_to_f32"
  case toF64 = "extF80_to_f64"
  case toI32 = "extF80_to_i32"
  case toI64 = "extF80_to_i64"
  case fromF32 = "f32_to_extF80"
  case fromF64 = "f64_to_extF80"
  case fromI32 = "i32_to_extF80"
  case fromI64 = "i64_to_extF80"

  /// How many operands a line has.
  public var operandCount: Int {
    switch self {
    case .add, .subtract, .multiply, .divide, .remainder, .equal, .lessOrEqual, .less,
      .equalSignaling, .lessOrEqualQuiet, .lessQuiet:
      2
    default: 1
    }
  }

  /// Carries the operation out.
  /// - Parameters:
  ///   - operands: hexadecimal fields, as many as `operandCount`.
  ///   - control: the x87 control word.
  /// - Returns: the result's field and the exception flags in TestFloat's order (1 inexact, 2 underflow, 4 overflow, 8 infinite,
  ///   16 invalid), or nil when an operand is no number of the right size.
  public func evaluate(_ operands: [Substring], control: UInt16) -> (result: String, flags: UInt8)?
  {
    var unit = SoftFloat80(control: control)
    guard operands.count == operandCount, let result = compute(operands, &unit) else { return nil }
    var flags: UInt8 = 0
    if unit.flags & FPUStatus.pe != 0 { flags |= 1 }
    if unit.flags & FPUStatus.ue != 0 { flags |= 2 }
    if unit.flags & FPUStatus.oe != 0 { flags |= 4 }
    if unit.flags & FPUStatus.ze != 0 { flags |= 8 }
    if unit.flags & FPUStatus.ie != 0 { flags |= 16 }
    return (result, flags)
  }

  private func compute(_ fields: [Substring], _ unit: inout SoftFloat80) -> String? {
    switch self {
    case .fromF32, .fromF64, .fromI32, .fromI64:
      let wide = self == .fromF64 || self == .fromI64
      guard fields[0].utf8.count == (wide ? 16 : 8), let bits = UInt64(fields[0], radix: 16) else {
        return nil
      }
      switch self {
      case .fromF32: return TestFloatOperation.text(unit.load(bits, .single))
      case .fromF64: return TestFloatOperation.text(unit.load(bits, .double))
      case .fromI32:
        return TestFloatOperation.text(
          SoftFloat80.fromInteger(Int64(Int32(truncatingIfNeeded: bits))))
      default: return TestFloatOperation.text(SoftFloat80.fromInteger(Int64(bitPattern: bits)))
      }
    default: break
    }
    guard let a = TestFloatOperation.value(fields[0]) else { return nil }
    var b = a
    if fields.count > 1 {
      guard let second = TestFloatOperation.value(fields[1]) else { return nil }
      b = second
    }
    switch self {
    case .add: return TestFloatOperation.text(unit.add(a, b))
    case .subtract: return TestFloatOperation.text(unit.subtract(a, b))
    case .multiply: return TestFloatOperation.text(unit.multiply(a, b))
    case .divide: return TestFloatOperation.text(unit.divide(a, b))
    case .squareRoot: return TestFloatOperation.text(unit.squareRoot(a))
    case .roundToInt: return TestFloatOperation.text(unit.roundToInteger(a))
    case .remainder:
      var partial = a
      while true {
        let (result, conditions) = unit.remainder(partial, b, nearest: true)
        if (conditions ?? 0) & FPUStatus.c2 == 0 { return TestFloatOperation.text(result) }
        partial = result
      }
    case .toF32: return TestFloatOperation.digits(unit.store(a, .single), 8)
    case .toF64: return TestFloatOperation.digits(unit.store(a, .double), 16)
    case .toI32: return TestFloatOperation.digits(unit.toInteger(a, width: 32) & 0xFFFF_FFFF, 8)
    case .toI64: return TestFloatOperation.digits(unit.toInteger(a, width: 64), 16)
    default:
      let quiet = self == .equal || self == .lessOrEqualQuiet || self == .lessQuiet
      let conditions = unit.compare(a, b, quiet: quiet)
      if conditions & FPUStatus.c2 != 0 { return "0" }
      let less = conditions & FPUStatus.c0 != 0
      let equal = conditions & FPUStatus.c3 != 0
      switch self {
      case .equal, .equalSignaling: return equal ? "1" : "0"
      case .lessOrEqual, .lessOrEqualQuiet: return less || equal ? "1" : "0"
      default: return less ? "1" : "0"
      }
    }
  }

  private static func value(_ text: Substring) -> Float80Bits? {
    guard text.utf8.count == 20, let head = UInt16(text.prefix(4), radix: 16),
      let significand = UInt64(text.dropFirst(4), radix: 16)
    else { return nil }
    return Float80Bits(signExponent: head, significand: significand)
  }

  private static func text(_ value: Float80Bits) -> String {
    digits(UInt64(value.signExponent), 4) + digits(value.significand, 16)
  }

  private static func digits(_ value: UInt64, _ count: Int) -> String {
    let text = String(value, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, count - text.count)) + text
  }
}
