// Results as JSON.
//
// Owns: writing Codable values as JSON text; the standard library alone has no such writer. Must not know: what is written.

/// Writes JSON on one line, members in the order in which they are declared; members that are nil are left out.
public enum JSONText {
  public static func encode(_ value: some Encodable) throws -> String {
    let node = Node()
    try value.encode(to: TextEncoder(node))
    var text = ""
    node.write(to: &text)
    return text
  }

  /// A value that is being put together.
  private final class Node {
    enum Form {
      case text(String)
      case array([Node])
      case object([(String, Node)])
    }
    var form = Form.text("null")

    func member(_ name: String) -> Node {
      let node = Node()
      if case .object(let members) = form {
        form = .object(members + [(name, node)])
      } else {
        form = .object([(name, node)])
      }
      return node
    }

    func element() -> Node {
      let node = Node()
      if case .array(var nodes) = form {
        form = .text("")
        nodes.append(node)
        form = .array(nodes)
      } else {
        form = .array([node])
      }
      return node
    }

    func write(to text: inout String) {
      switch form {
      case .text(let value): text += value
      case .array(let nodes):
        text += "["
        for (n, node) in nodes.enumerated() {
          if n > 0 { text += "," }
          node.write(to: &text)
        }
        text += "]"
      case .object(let members):
        text += "{"
        for (n, member) in members.enumerated() {
          if n > 0 { text += "," }
          text += JSONText.quoted(member.0) + ":"
          member.1.write(to: &text)
        }
        text += "}"
      }
    }
  }

  /// A text in quotation marks.
  public static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value):
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  private struct TextEncoder: Encoder {
    let node: Node
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }
    init(_ node: Node) { self.node = node }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
      node.form = .object([])
      return KeyedEncodingContainer(Members<Key>(node: node))
    }
    func unkeyedContainer() -> any UnkeyedEncodingContainer {
      node.form = .array([])
      return Elements(node: node)
    }
    func singleValueContainer() -> any SingleValueEncodingContainer { Single(node: node) }
  }

  private static func put<Value: Encodable>(_ value: Value, _ node: Node) throws {
    switch value {
    case let value as String: node.form = .text(quoted(value))
    case let value as Bool: node.form = .text(value ? "true" : "false")
    case let value as Double:
      node.form = .text(value.isFinite ? "\((value * 1e6).rounded() / 1e6)" : "null")
    case let value as any BinaryInteger: node.form = .text("\(value)")
    default: try value.encode(to: TextEncoder(node))
    }
  }

  private struct Members<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let node: Node
    var codingPath: [any CodingKey] { [] }
    func encodeNil(forKey key: Key) { node.member(key.stringValue).form = .text("null") }
    func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
      try put(value, node.member(key.stringValue))
    }
    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key)
      -> KeyedEncodingContainer<Nested>
    {
      TextEncoder(node.member(key.stringValue)).container(keyedBy: type)
    }
    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
      TextEncoder(node.member(key.stringValue)).unkeyedContainer()
    }
    func superEncoder() -> any Encoder { TextEncoder(node.member("super")) }
    func superEncoder(forKey key: Key) -> any Encoder { TextEncoder(node.member(key.stringValue)) }
  }

  private struct Elements: UnkeyedEncodingContainer {
    let node: Node
    var codingPath: [any CodingKey] { [] }
    var count: Int { if case .array(let nodes) = node.form { nodes.count } else { 0 } }
    func encodeNil() { node.element().form = .text("null") }
    func encode<T: Encodable>(_ value: T) throws { try put(value, node.element()) }
    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type)
      -> KeyedEncodingContainer<Nested>
    {
      TextEncoder(node.element()).container(keyedBy: type)
    }
    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
      TextEncoder(node.element()).unkeyedContainer()
    }
    func superEncoder() -> any Encoder { TextEncoder(node.element()) }
  }

  private struct Single: SingleValueEncodingContainer {
    let node: Node
    var codingPath: [any CodingKey] { [] }
    func encodeNil() { node.form = .text("null") }
    func encode<T: Encodable>(_ value: T) throws { try put(value, node) }
  }
}
