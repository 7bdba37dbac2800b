// A small checker of JSON against JSON Schema: as much of the vocabulary as the published schemas use.

import Foundation

enum SchemaCheck {
  private static let understood: Set<String> = [
    "$schema", "$id", "$defs", "$ref", "title", "description", "type", "const", "enum", "required",
    "properties", "additionalProperties", "items", "minimum", "maximum",
  ]

  /// Where and why a value does not follow a schema.
  static func problems(
    _ value: Any, _ schema: [String: Any], root: [String: Any]? = nil, at path: String = "$"
  ) -> [String] {
    let root = root ?? schema
    var found: [String] = []
    for word in schema.keys where !understood.contains(word) {
      found.append("\(path): the checker does not know '\(word)'")
    }
    if let reference = schema["$ref"] as? String {
      let name = String(reference.dropFirst("#/$defs/".count))
      guard let target = (root["$defs"] as? [String: Any])?[name] as? [String: Any] else {
        return ["\(path): no definition '\(reference)'"]
      }
      return found + problems(value, target, root: root, at: path)
    }
    if let type = schema["type"] {
      let names = type as? [String] ?? [type as! String]
      if !names.contains(where: { isA(value, $0) }) {
        return found + ["\(path): is no \(names.joined(separator: " or ")): \(value)"]
      }
    }
    if let constant = schema["const"], !same(value, constant) {
      found.append("\(path): is \(value), not \(constant)")
    }
    if let values = schema["enum"] as? [Any], !values.contains(where: { same(value, $0) }) {
      found.append("\(path): \(value) is none of \(values)")
    }
    if let number = value as? NSNumber, isA(value, "number") {
      if let least = schema["minimum"] as? Double, number.doubleValue < least {
        found.append("\(path): \(number) is too small")
      }
      if let most = schema["maximum"] as? Double, number.doubleValue > most {
        found.append("\(path): \(number) is too large")
      }
    }
    if let object = value as? [String: Any] {
      for name in schema["required"] as? [String] ?? [] where object[name] == nil {
        found.append("\(path): '\(name)' is missing")
      }
      let properties = schema["properties"] as? [String: Any] ?? [:]
      for (name, member) in object {
        if let rule = properties[name] as? [String: Any] {
          found += problems(member, rule, root: root, at: "\(path).\(name)")
        } else if let rule = schema["additionalProperties"] as? [String: Any] {
          found += problems(member, rule, root: root, at: "\(path).\(name)")
        } else if schema["additionalProperties"] as? Bool == false {
          found.append("\(path): '\(name)' is too much")
        }
      }
    }
    if let array = value as? [Any], let rule = schema["items"] as? [String: Any] {
      for (index, item) in array.enumerated() {
        found += problems(item, rule, root: root, at: "\(path)[\(index)]")
      }
    }
    return found
  }

  /// Numbers and Booleans are the same class; their encodings differ.
  private static func isBool(_ value: Any) -> Bool {
    guard let number = value as? NSNumber else { return false }
    return ["c", "B"].contains(String(cString: number.objCType))
  }

  private static func isA(_ value: Any, _ type: String) -> Bool {
    switch type {
    case "null": value is NSNull
    case "string": value is String
    case "array": value is [Any]
    case "object": value is [String: Any]
    case "boolean": isBool(value)
    case "number": value is NSNumber && !isBool(value) && !(value is String)
    case "integer":
      (value as? NSNumber).map { !isBool(value) && $0.doubleValue == $0.doubleValue.rounded() }
        ?? false
    default: false
    }
  }

  private static func same(_ a: Any, _ b: Any) -> Bool {
    if let a = a as? String, let b = b as? String { return a == b }
    if let a = a as? NSNumber, let b = b as? NSNumber { return a == b }
    return false
  }
}
