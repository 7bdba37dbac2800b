// The opcode table in memory: parsed once from its text.
//
// Owns: entries, operand kinds, the index from opcode bytes to entries. Must not know: what reads it (decoder, disassembler, ...).

/// How an instruction names an operand; see OpcodeTableText.swift.
public enum OperandKind: UInt8, Sendable {
  case none, eb, ew, ev, es, gb, gw, gv, m, mp, ma, mq, ms
  case ib, ibs, iw, iz, iv, ib2, jb, jz, ap, ob, ov
  case al, eax, cl, dx, one, zb, zv, sw, rd, cd, dd, td
  case xb, xv, xz, yb, yv, yz
  case segES, segCS, segSS, segDS, segFS, segGS
  case pq, qq, nq, vx, wx, ux

  /// By the name in the table.
  fileprivate static let byName: [TableWord: OperandKind] = [
    "Eb": .eb, "Ew": .ew, "Ev": .ev, "Es": .es, "Gb": .gb, "Gw": .gw, "Gv": .gv, "M": .m,
    "Mp": .mp, "Ma": .ma, "Mq": .mq, "Ms": .ms, "Ib": .ib, "Ibs": .ibs, "Iw": .iw, "Iz": .iz,
    "Iv": .iv, "Ib2": .ib2, "Jb": .jb, "Jz": .jz, "Ap": .ap, "Ob": .ob, "Ov": .ov, "AL": .al,
    "eAX": .eax, "CL": .cl, "DX": .dx, "1": .one, "Zb": .zb, "Zv": .zv, "Sw": .sw, "Rd": .rd,
    "Cd": .cd, "Dd": .dd, "Td": .td, "Xb": .xb, "Xv": .xv, "Xz": .xz, "Yb": .yb, "Yv": .yv,
    "Yz": .yz, "es": .segES, "cs": .segCS, "ss": .segSS, "ds": .segDS, "fs": .segFS, "gs": .segGS,
    "Pq": .pq, "Qq": .qq, "Nq": .nq, "Vx": .vx, "Wx": .wx, "Ux": .ux, "-": .none,
  ]

  /// Needs a ModRM byte.
  var usesModRM: Bool {
    switch self {
    case .eb, .ew, .ev, .es, .gb, .gw, .gv, .m, .mp, .ma, .mq, .ms, .sw, .rd, .cd, .dd, .td: true
    default: isVector
    }
  }

  /// An MMX or XMM register, or memory in its place.
  public var isVector: Bool {
    switch self {
    case .pq, .qq, .nq, .vx, .wx, .ux: true
    default: false
    }
  }

  /// Memory only.
  var isMemoryOnly: Bool { self == .m || self == .mp || self == .ma || self == .mq || self == .ms }
}

/// A line of the opcode table.
public struct OpcodeEntry: Sendable {
  /// The opcode; 0F00h is added for the two-byte map.
  public var opcode: UInt16
  public var op: Op
  public var operands: (OperandKind, OperandKind, OperandKind)
  /// EFLAGS bits read, written and left undefined.
  public var flagsRead: UInt32 = 0
  public var flagsWritten: UInt32 = 0
  public var flagsUndefined: UInt32 = 0
  public var isLockable = false
  public var endsBlock = false
  public var isRepeatable = false
  /// What the model must have.
  public var features: CPUFeatures = []
  /// The mandatory prefix.
  public var prefix = MandatoryPrefix.none
  /// ModRM.reg of a line with /n, else -1.
  public var digit: Int8 = -1

  /// Whether a ModRM byte follows the opcode.
  public var usesModRM: Bool {
    digit >= 0 || operands.0.usesModRM || operands.1.usesModRM || operands.2.usesModRM
  }
}

/// The prefix that belongs to an opcode of the two-byte map.
public enum MandatoryPrefix: UInt8, Sendable {
  case none, operandSize, rep, repne
}

/// All entries with the index from opcode to entry.
public struct OpcodeTable: Sendable {
  /// The one table.
  public static let shared = OpcodeTable()

  /// The lines in order.
  public private(set) var entries: [OpcodeEntry] = []
  /// Entry number plus one for (map << 8 | opcode) * 8 + digit; 0: undefined.
  private(set) var index = [UInt16](repeating: 0, count: 512 * 8)
  /// The same of the opcodes of the two-byte map with a mandatory prefix, (prefix << 8 | opcode) * 8 + digit.
  private(set) var prefixedIndex = [UInt16](repeating: 0, count: 4 * 256 * 8)
  /// Whether 66, F2 and F3 choose the instruction for (map << 8 | opcode).
  private(set) var takesPrefix = [Bool](repeating: false, count: 512)
  /// Whether (map << 8 | opcode) has a ModRM byte.
  private(set) var hasModRM = [Bool](repeating: false, count: 512)

  private init() {
    var names: [TableWord: Op] = [:]
    names.reserveCapacity(Op.allCases.count)
    for op in Op.allCases { names[TableWord(op.rawValue)] = op }
    entries.reserveCapacity(700)
    for text in [OpcodeTableText.lines, OpcodeTableText.simdLines] {
      var words = TableWords(text)
      while !words.isAtEnd { readLine(&words, names) }
    }
  }

  private mutating func readLine(_ words: inout TableWords, _ names: [TableWord: Op]) {
    var code = words.next()
    var prefix: TableWord?
    if code.end == UInt8(ascii: ".") {
      prefix = code
      code = words.next()
    }
    var digit: Int8 = -1
    if code.end == UInt8(ascii: "/") { digit = Int8(words.next().hexadecimal) }
    guard let op = names[words.next()] else { preconditionFailure("operation in the opcode table") }
    var kinds = (OperandKind.none, OperandKind.none, OperandKind.none)
    var word = words.next()
    for n in 0..<3 {
      guard let kind = OperandKind.byName[word] else {
        preconditionFailure("operand in the opcode table")
      }
      switch n {
      case 0: kinds.0 = kind
      case 1: kinds.1 = kind
      default: kinds.2 = kind
      }
      if word.end != UInt8(ascii: ",") { break }
      word = words.next()
    }
    let opcode = UInt16(code.hexadecimal)
    var entry = OpcodeEntry(opcode: opcode, op: op, operands: kinds)
    entry.digit = digit
    while word.end == UInt8(ascii: " ") {
      word = words.next()
      if word.end == UInt8(ascii: ":") {
        OpcodeTable.apply(word, flags: words.next().flags, to: &entry)
        word.end = words.lastEnd
      } else {
        OpcodeTable.apply(word, to: &entry)
      }
    }
    let slot = Int(opcode & 0xFF) | (opcode & 0xFF00 != 0 ? 0x100 : 0)
    if let prefix { entry.prefix = OpcodeTable.prefix(prefix) }
    if prefix != nil || kinds.0.isVector || kinds.1.isVector || kinds.2.isVector {
      takesPrefix[slot] = true
    }
    entries.append(entry)
    if entry.usesModRM { hasModRM[slot] = true }
    for digit in digit >= 0 ? Int(digit)...Int(digit) : 0...7 {
      if entry.prefix == .none {
        index[slot * 8 + digit] = UInt16(entries.count)
      } else {
        let place = Int(entry.prefix.rawValue) << 8 | Int(opcode & 0xFF)
        prefixedIndex[place * 8 + digit] = UInt16(entries.count)
      }
    }
  }

  private static func prefix(_ word: TableWord) -> MandatoryPrefix {
    switch word {
    case "np": return .none
    case "66": return .operandSize
    case "F3": return .rep
    case "F2": return .repne
    default: preconditionFailure("prefix in the opcode table")
    }
  }

  private static let features: [TableWord: CPUFeatures] = [
    "i486": .i486, "cpuid": .cpuid, "cx8": .cx8, "tsc": .tsc, "msr": .msr, "rdpmc": .rdpmc,
    "sep": .sep, "fxsr": .fxsr, "cmov": .cmov, "p6": .p6, "mmx": .mmx, "sse": .sse, "sse2": .sse2,
  ]

  private static func apply(_ word: TableWord, to entry: inout OpcodeEntry) {
    switch word {
    case "lock": entry.isLockable = true
    case "end": entry.endsBlock = true
    case "rep": entry.isRepeatable = true
    default:
      guard let feature = features[word] else {
        preconditionFailure("attribute in the opcode table")
      }
      entry.features.insert(feature)
    }
  }

  private static func apply(_ word: TableWord, flags: UInt32, to entry: inout OpcodeEntry) {
    switch word {
    case "r": entry.flagsRead = flags
    case "w": entry.flagsWritten = flags
    case "u": entry.flagsUndefined = flags
    default: preconditionFailure("attribute in the opcode table")
    }
  }
}

// MARK: - The text

/// A word of up to 16 characters. The table is read at each start of the program, which strings would make ten times longer.
private struct TableWord: Hashable, ExpressibleByStringLiteral {
  private var text: UInt128 = 0
  /// What stands behind the word.
  var end: UInt8 = 0

  init() {}
  init(_ text: String) { for byte in text.utf8 { append(byte) } }
  init(stringLiteral text: StaticString) {
    text.withUTF8Buffer { for byte in $0 { append(byte) } }
  }

  mutating func append(_ byte: UInt8) { text = text << 8 | UInt128(byte) }

  static func == (a: TableWord, b: TableWord) -> Bool { a.text == b.text }
  func hash(into hasher: inout Hasher) {
    hasher.combine(UInt64(truncatingIfNeeded: text ^ text >> 64))
  }

  private func forEachByte(_ body: (UInt8) -> Void) {
    var shift: UInt128 = 128
    while shift > 0 {
      shift -= 8
      let byte = UInt8(truncatingIfNeeded: text >> shift)
      if byte != 0 { body(byte) }
    }
  }

  var hexadecimal: Int {
    var value = 0
    forEachByte { value = value << 4 | Int($0 & 0xF) + ($0 >= 0x41 ? 9 : 0) }
    return value
  }

  /// Letters of flags as EFLAGS bits.
  var flags: UInt32 {
    var bits: UInt32 = 0
    forEachByte { letter in
      switch letter {
      case UInt8(ascii: "o"): bits |= EFLAGS.of
      case UInt8(ascii: "s"): bits |= EFLAGS.sf
      case UInt8(ascii: "z"): bits |= EFLAGS.zf
      case UInt8(ascii: "a"): bits |= EFLAGS.af
      case UInt8(ascii: "p"): bits |= EFLAGS.pf
      case UInt8(ascii: "c"): bits |= EFLAGS.cf
      case UInt8(ascii: "d"): bits |= EFLAGS.df
      case UInt8(ascii: "i"): bits |= EFLAGS.if
      case UInt8(ascii: "t"): bits |= EFLAGS.tf
      case UInt8(ascii: "n"): bits |= EFLAGS.nt
      default: preconditionFailure("flag in the opcode table")
      }
    }
    return bits
  }
}

/// The words of the table's text in order.
private struct TableWords {
  private let text: UnsafePointer<UInt8>
  private let count: Int
  private var at = 0
  /// What stands behind the last word.
  private(set) var lastEnd = UInt8(ascii: "\n")

  init(_ text: StaticString) {
    self.text = text.utf8Start
    count = text.utf8CodeUnitCount
    skip()
  }

  var isAtEnd: Bool { at >= count }

  /// Spaces and empty lines.
  private mutating func skip() {
    while at < count, text[at] == 0x20 || text[at] == 0x0A {
      if text[at] == 0x0A { lastEnd = 0x0A }
      at += 1
    }
  }

  /// Up to a separator: space, end of line, and those inside columns.
  mutating func next() -> TableWord {
    var word = TableWord()
    while at < count {
      let byte = text[at]
      switch byte {
      case 0x20, 0x0A:
        lastEnd = byte
        skip()
        word.end = lastEnd
        return word
      case UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: ","), UInt8(ascii: ":"):
        at += 1
        lastEnd = byte
        word.end = byte
        return word
      default:
        word.append(byte)
        at += 1
      }
    }
    lastEnd = 0x0A
    word.end = 0x0A
    return word
  }
}
