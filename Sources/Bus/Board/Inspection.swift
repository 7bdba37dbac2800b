// What a device shows to people who look at it: named, typed values.
//
// Owns: the values. Must not know: any particular device, debuggers, how values are printed.
// A device describes itself beside its registers (`Device.inspect`): views read these fields by name and never reach into a device.

/// A named value.
public struct Field: Equatable, Sendable {
  public var name: String
  public var value: FieldValue

  public init(_ name: String, _ value: FieldValue) {
    self.name = name
    self.value = value
  }

  /// A register, shown with as many hexadecimal digits as its type has.
  public static func register(_ name: String, _ value: some FixedWidthInteger & UnsignedInteger)
    -> Field
  {
    Field(name, .register(UInt64(value), digits: value.bitWidth / 4))
  }
  public static func flag(_ name: String, _ value: Bool) -> Field { Field(name, .flag(value)) }
  public static func count(_ name: String, _ value: some BinaryInteger) -> Field {
    Field(name, .count(Int(clamping: value)))
  }
  public static func text(_ name: String, _ value: String) -> Field { Field(name, .text(value)) }
  public static func bytes(_ name: String, _ value: [UInt8]) -> Field { Field(name, .bytes(value)) }
  public static func group(_ name: String, _ fields: [Field]) -> Field {
    Field(name, .group(fields))
  }
}

/// A value of a device.
public enum FieldValue: Equatable, Sendable {
  /// Bits as a register holds them, shown in hexadecimal.
  case register(UInt64, digits: Int)
  /// On or off; the level of a line.
  case flag(Bool)
  /// A quantity, shown in decimal.
  case count(Int)
  /// One of several named states.
  case text(String)
  case bytes([UInt8])
  /// A part with fields of its own.
  case group([Field])
}

extension [Field] {
  /// The value of a name; parts are reached by their names with dots between: "keyboard.set".
  public subscript(name: String) -> FieldValue? {
    guard let dot = name.firstIndex(of: ".") else { return first { $0.name == name }?.value }
    guard case .group(let fields)? = first(where: { $0.name == name[..<dot] })?.value else {
      return nil
    }
    return fields[String(name[name.index(after: dot)...])]
  }
}
