// Values of views for programs.
//
// Owns: a small JSON tree with keys in the order they were given, so that transcripts are the same each time. Must not know: views.

import Host

/// A JSON value.
public indirect enum JSONValue: Equatable, Sendable {
  case null
  case bool(Bool)
  case number(UInt64)
  case signed(Int64)
  case string(String)
  case array([JSONValue])
  case object([(String, JSONValue)])

  public static func == (a: JSONValue, b: JSONValue) -> Bool { a.text == b.text }

  /// A number of any width.
  public static func of(_ value: some BinaryInteger) -> JSONValue {
    value < 0 ? .signed(Int64(clamping: value)) : .number(UInt64(clamping: value))
  }

  /// The value as one line.
  public var text: String {
    switch self {
    case .null: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .number(let value): return String(value)
    case .signed(let value): return String(value)
    case .string(let value): return JSONValue.quoted(value)
    case .array(let values): return "[" + values.map(\.text).joined(separator: ",") + "]"
    case .object(let pairs):
      return "{" + pairs.map { JSONValue.quoted($0.0) + ":" + $0.1.text }.joined(separator: ",")
        + "}"
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in HostPath.shown(text).unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      default:
        if scalar.value < 0x20 {
          let digits = String(scalar.value, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }
}

/// What a command has to show: lines for people, a value for programs.
public struct View: Sendable {
  public var lines: [String]
  public var json: JSONValue

  /// - Parameter json: nil makes the lines themselves the value.
  public init(_ lines: [String], json: JSONValue? = nil) {
    self.lines = lines
    self.json = json ?? .object([("text", .array(lines.map { .string($0) }))])
  }

  public static var nothing: View { View([], json: .null) }
}

/// A number as hexadecimal digits.
func hexDigits(_ value: some BinaryInteger, _ count: Int = 0) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, count - text.count)) + text
}

/// A text filled with spaces to a width.
func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(0, width - text.count))
}
