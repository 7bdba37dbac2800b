// Names on FAT file systems.
//
// Owns: short names (8.3), long names and what they are cut into, which names are possible. Must not know: where entries are.
// After: Microsoft FAT specification 1.03, "FAT Directory Structure" and "FAT Long Directory Entries"; code page 437.

/// Names.
enum FATNames {
  /// The upper half of code page 437, which short names of DOS are written in.
  private static let upper = Array(
    ("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
      + "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{A0}")
      .unicodeScalars)

  /// What a byte of a short name stands for. What only a damaged or odd file system has there is U+FFFD: a "/" would be taken for a path's.
  static func character(_ byte: UInt8) -> Unicode.Scalar {
    if byte < 0x80 {
      return byte < 0x20 || byte == 0x7F || byte == 0x2F ? "\u{FFFD}" : Unicode.Scalar(byte)
    }
    let index = Int(byte) - 0x80
    return index < upper.count ? upper[index] : "\u{FFFD}"
  }

  /// The text of a short name's eleven bytes.
  /// - Parameter flags: byte 12 of the entry: 08h the name is in small letters, 10h the extension is.
  static func text(short: [UInt8], flags: UInt8) -> String {
    func part(_ bytes: ArraySlice<UInt8>, _ isSmall: Bool) -> String {
      var bytes = Array(bytes)
      while bytes.last == 0x20 { bytes.removeLast() }
      var text = String.UnicodeScalarView()
      for byte in bytes { text.append(character(byte)) }
      return isSmall ? String(text).lowercased() : String(text)
    }
    var bytes = short
    // E5h marks deleted entries; a name that begins with it has 05h there.
    if bytes[0] == 0x05 { bytes[0] = 0xE5 }
    let name = part(bytes[0..<8], flags & 0x08 != 0)
    let ending = part(bytes[8..<11], flags & 0x10 != 0)
    return ending.isEmpty ? name : name + "." + ending
  }

  /// Why a name cannot be on a FAT file system, or nil.
  static func refusal(_ name: String) -> String? {
    let units = Array(name.utf16)
    if units.isEmpty || name == "." || name == ".." { return "is no name" }
    if units.count > 255 { return "is longer than 255 characters" }
    for scalar in name.unicodeScalars {
      if scalar.value < 0x20 || scalar.value == 0x7F
        || "\"*/:<>?\\|".unicodeScalars.contains(scalar)
      {
        return "has a character that no name on a FAT file system has"
      }
    }
    if name.hasSuffix(".") || name.hasSuffix(" ") || name.hasPrefix(" ") {
      return "begins or ends with a character that such names do not"
    }
    return nil
  }

  /// A name for a file that has one which cannot be: what is wrong with it is replaced.
  static func possible(_ name: String) -> String {
    let text = String(
      String.UnicodeScalarView(
        name.unicodeScalars.prefix(200).map {
          $0.value < 0x20 || $0.value == 0x7F || $0 == "\u{FFFD}"
            || "\"*/:<>?\\|".unicodeScalars.contains($0) ? "_" : $0
        }))
    return refusal(text) == nil ? text : "_" + text + "_"
  }

  private static let allowed = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'()-@^_`{}~".utf8)

  /// The short name that a name is in itself, with the flags for small letters; nil: it needs a long one.
  static func plain(_ name: String) -> (short: [UInt8], flags: UInt8)? {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), (1...8).contains(parts[0].utf8.count),
      parts.count == 1 || (1...3).contains(parts[1].utf8.count)
    else { return nil }
    var short = [UInt8](repeating: 0x20, count: 11)
    var flags: UInt8 = 0
    for (index, part) in parts.enumerated() {
      let big = part.uppercased()
      guard big.utf8.allSatisfy({ allowed.contains($0) }), big.utf8.count == part.utf8.count else {
        return nil
      }
      if part != big {
        if part != part.lowercased() { return nil }
        flags |= index == 0 ? 0x08 : 0x10
      }
      for (n, byte) in big.utf8.enumerated() { short[index * 8 + n] = byte }
    }
    return (short, flags)
  }

  /// A short name for a long one, that none of the others is.
  static func short(for name: String, isTaken: ([UInt8]) -> Bool) -> [UInt8]? {
    func clean(_ text: some StringProtocol) -> [UInt8] {
      var bytes: [UInt8] = []
      for scalar in text.uppercased().unicodeScalars where scalar != " " && scalar != "." {
        let byte = scalar.isASCII ? UInt8(scalar.value) : 0x5F
        bytes.append(allowed.contains(byte) ? byte : 0x5F)
      }
      return bytes
    }
    let trimmed = name.drop { $0 == "." }
    let dot = trimmed.lastIndex(of: ".")
    let base = clean(dot.map { trimmed[..<$0] } ?? trimmed[...])
    let ending = clean(dot.map { trimmed[trimmed.index(after: $0)...] } ?? "").prefix(3)
    for number in 1...999_999 {
      let tail = Array("~\(number)".utf8)
      var short = Array(base.prefix(8 - tail.count)) + tail
      short += repeatElement(0x20, count: 8 - short.count)
      short += ending + repeatElement(0x20, count: 3 - ending.count)
      if !isTaken(short) { return short }
    }
    return nil
  }

  /// The checksum of a short name, by which its long name's entries know it.
  static func checksum(_ short: some Sequence<UInt8>) -> UInt8 {
    short.reduce(0) { sum, byte in (sum & 1) << 7 &+ sum >> 1 &+ byte }
  }

  /// The entries of a long name, in the order in which they stand before the short one's.
  static func longEntries(_ name: String, short: [UInt8]) -> [[UInt8]] {
    var units = Array(name.utf16)
    let count = (units.count + 12) / 13
    if units.count % 13 != 0 {
      units.append(0)
      units += repeatElement(0xFFFF, count: count * 13 - units.count)
    }
    let sum = checksum(short)
    return (0..<count).reversed().map { index in
      var entry = [UInt8](repeating: 0, count: 32)
      entry[0] = UInt8(index + 1) | (index == count - 1 ? 0x40 : 0)
      entry[11] = 0x0F
      entry[13] = sum
      for (n, place) in unitPlaces.enumerated() {
        let unit = units[index * 13 + n]
        entry[place] = UInt8(unit & 0xFF)
        entry[place + 1] = UInt8(unit >> 8)
      }
      return entry
    }
  }

  static let unitPlaces = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30]

  /// What names are compared by: letters' sizes make no difference.
  static func key(_ name: String) -> String { name.uppercased() }
}
