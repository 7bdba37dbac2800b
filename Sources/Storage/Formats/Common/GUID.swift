// Identifiers of images.
//
// Owns: 16 bytes, their two orders in files, their text. Must not know: formats. After: RFC 4122; Microsoft's GUID has its first three parts
// little-endian.

/// A UUID, kept in the order of its text.
struct GUID: Equatable, Hashable, CustomStringConvertible {
  let bytes: [UInt8]

  static let zero = GUID(bytes: [UInt8](repeating: 0, count: 16))

  /// - Parameter bytes: 16, in the order of the text.
  init(bytes: [UInt8]) {
    precondition(bytes.count == 16)
    self.bytes = bytes
  }

  /// - Parameter little: 16 bytes as Microsoft and VirtualBox keep them in files.
  init(little: [UInt8]) { self.init(bytes: GUID.swapped(little)) }

  /// A new one; that it is new matters, not what it is: a guest sees none of it.
  static func random() -> GUID { GUID(bytes: ImageWish(byteCount: 0).uuid()) }

  /// As in "2DC27766-F623-4200-9D64-115E9BFD4A08", with braces or without.
  init?(_ text: some StringProtocol) {
    let digits = String(text.filter { $0 != "-" && $0 != "{" && $0 != "}" })
    guard digits.utf8.count == 32 else { return nil }
    var bytes: [UInt8] = []
    var rest = Substring(digits)
    while !rest.isEmpty {
      guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
      bytes.append(byte)
      rest = rest.dropFirst(2)
    }
    guard bytes.count == 16 else { return nil }
    self.init(bytes: bytes)
  }

  /// As Microsoft and VirtualBox keep it in files.
  var little: [UInt8] { GUID.swapped(bytes) }

  private static func swapped(_ b: [UInt8]) -> [UInt8] {
    [b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]] + b[8...]
  }

  var description: String {
    var text = ""
    for (n, byte) in bytes.enumerated() {
      if [4, 6, 8, 10].contains(n) { text += "-" }
      text += (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    return text
  }
}
