// Types of C in expressions: (char)x, *(int*)p, {short}p.
//
// Owns: their names, sizes and signs. Must not know: expressions.

/// A type of C as far as its size and sign matter.
struct CType: Equatable {
  /// Of a plain value, or of what `depth` pointers lead to in the end.
  private var baseSize: Int
  private var baseIsSigned: Bool
  /// How many stars follow.
  var depth: Int

  static let int = CType(baseSize: 4, baseIsSigned: false, depth: 0)

  private init(baseSize: Int, baseIsSigned: Bool, depth: Int) {
    self.baseSize = baseSize
    self.baseIsSigned = baseIsSigned
    self.depth = depth
  }

  var size: Int { depth > 0 ? 4 : baseSize }
  var isSigned: Bool { depth == 0 && baseIsSigned }
  var pointee: CType? {
    depth == 0
      ? nil : CType(baseSize: baseSize, baseIsSigned: baseIsSigned, depth: depth - 1)
  }

  private static let sizes: [String: Int] = [
    "char": 1, "short": 2, "int": 4, "long": 4, "void": 1, "int8_t": 1, "int16_t": 2, "int32_t": 4,
    "int64_t": 8, "uint8_t": 1, "uint16_t": 2, "uint32_t": 4, "uint64_t": 8, "size_t": 4,
    "uintptr_t": 4, "u8": 1, "u16": 2, "u32": 4, "u64": 8, "byte": 1, "word": 2, "dword": 4,
    "qword": 8,
  ]

  /// - Parameter isSure: nothing but a type can stand there; elsewhere (byte) alone may be a symbol.
  init?(_ words: [String], stars: Int, isSure: Bool) {
    let words = words.map { $0.lowercased() }.filter { $0 != "const" && $0 != "volatile" }
    let plain = words.filter { $0 != "unsigned" && $0 != "signed" }
    if words.isEmpty { return nil }
    guard plain.allSatisfy({ CType.sizes[$0] != nil }) else { return nil }
    switch plain {
    case []: baseSize = 4
    case ["long", "long"], ["long", "long", "int"]: baseSize = 8
    case ["short", "int"]: baseSize = 2
    case ["long", "int"]: baseSize = 4
    default:
      guard plain.count == 1, let size = CType.sizes[plain[0]] else { return nil }
      let ambiguous = plain[0].hasSuffix("word") || plain[0] == "byte" || plain[0].hasPrefix("u")
      if ambiguous && !isSure && stars == 0 && !plain[0].hasSuffix("_t") { return nil }
      baseSize = size
    }
    let isC = plain.allSatisfy { ["char", "short", "int", "long"].contains($0) }
    baseIsSigned = !words.contains("unsigned") && (isC || plain[0].hasPrefix("int"))
    depth = stars
  }

  /// A value as this type holds it; signed ones are extended to 32 bits (to 64 if they have them).
  func cut(_ value: UInt64) -> UInt64 {
    if size == 8 { return value }
    let bits = UInt64(8 * size)
    let low = value & (1 << bits - 1)
    if isSigned && size < 4 && low >> (bits - 1) != 0 {
      return low | (0xFFFF_FFFF & ~(1 << bits - 1))
    }
    return low
  }
}
