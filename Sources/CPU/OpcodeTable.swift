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

  init(_ text: Substring) {
    switch text {
    case "Eb": self = .eb
    case "Ew": self = .ew
    case "Ev": self = .ev
    case "Es": self = .es
    case "Gb": self = .gb
    case "Gw": self = .gw
    case "Gv": self = .gv
    case "M": self = .m
    case "Mp": self = .mp
    case "Ma": self = .ma
    case "Mq": self = .mq
    case "Ms": self = .ms
    case "Ib": self = .ib
    case "Ibs": self = .ibs
    case "Iw": self = .iw
    case "Iz": self = .iz
    case "Iv": self = .iv
    case "Ib2": self = .ib2
    case "Jb": self = .jb
    case "Jz": self = .jz
    case "Ap": self = .ap
    case "Ob": self = .ob
    case "Ov": self = .ov
    case "AL": self = .al
    case "eAX": self = .eax
    case "CL": self = .cl
    case "DX": self = .dx
    case "1": self = .one
    case "Zb": self = .zb
    case "Zv": self = .zv
    case "Sw": self = .sw
    case "Rd": self = .rd
    case "Cd": self = .cd
    case "Dd": self = .dd
    case "Td": self = .td
    case "Xb": self = .xb
    case "Xv": self = .xv
    case "Xz": self = .xz
    case "Yb": self = .yb
    case "Yv": self = .yv
    case "Yz": self = .yz
    case "es": self = .segES
    case "cs": self = .segCS
    case "ss": self = .segSS
    case "ds": self = .segDS
    case "fs": self = .segFS
    case "gs": self = .segGS
    case "Pq": self = .pq
    case "Qq": self = .qq
    case "Nq": self = .nq
    case "Vx": self = .vx
    case "Wx": self = .wx
    case "Ux": self = .ux
    case "-": self = .none
    default: preconditionFailure("operand '\(text)' in the opcode table")
    }
  }

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
    var names: [String: Op] = [:]
    for op in Op.allCases { names["\(op)"] = op }
    let text = OpcodeTableText.lines.description + "\n" + OpcodeTableText.simdLines.description
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      let dotted = words[0].split(separator: ".")
      let code = dotted[dotted.count - 1].split(separator: "/")
      guard let opcode = UInt16(code[0], radix: 16), let op = names[String(words[1])] else {
        preconditionFailure("opcode table line '\(line)'")
      }
      var kinds = [OperandKind.none, .none, .none]
      for (n, text) in words[2].split(separator: ",").enumerated() {
        kinds[n] = OperandKind(text)
      }
      var entry = OpcodeEntry(opcode: opcode, op: op, operands: (kinds[0], kinds[1], kinds[2]))
      if code.count > 1 { entry.digit = Int8(code[1]) ?? -1 }
      for word in words[3...] { OpcodeTable.apply(word, to: &entry) }
      let slot = Int(opcode & 0xFF) | (opcode & 0xFF00 != 0 ? 0x100 : 0)
      if dotted.count > 1 { entry.prefix = OpcodeTable.prefix(dotted[0]) }
      if dotted.count > 1 || kinds.contains(where: { $0.isVector }) { takesPrefix[slot] = true }
      entries.append(entry)
      if code.count > 1 || kinds.contains(where: { $0.usesModRM }) { hasModRM[slot] = true }
      let digits = code.count > 1 ? Int(code[1])!...Int(code[1])! : 0...7
      for digit in digits {
        if entry.prefix == .none {
          index[slot * 8 + digit] = UInt16(entries.count)
        } else {
          let place = Int(entry.prefix.rawValue) << 8 | Int(opcode & 0xFF)
          prefixedIndex[place * 8 + digit] = UInt16(entries.count)
        }
      }
    }
  }

  private static func prefix(_ text: Substring) -> MandatoryPrefix {
    switch text {
    case "np": return .none
    case "66": return .operandSize
    case "F3": return .rep
    case "F2": return .repne
    default: preconditionFailure("prefix '\(text)' in the opcode table")
    }
  }

  private static func apply(_ word: Substring, to entry: inout OpcodeEntry) {
    switch word {
    case "lock": entry.isLockable = true
    case "end": entry.endsBlock = true
    case "rep": entry.isRepeatable = true
    case "i486": entry.features.insert(.i486)
    case "cpuid": entry.features.insert(.cpuid)
    case "cx8": entry.features.insert(.cx8)
    case "tsc": entry.features.insert(.tsc)
    case "msr": entry.features.insert(.msr)
    case "rdpmc": entry.features.insert(.rdpmc)
    case "sep": entry.features.insert(.sep)
    case "fxsr": entry.features.insert(.fxsr)
    case "cmov": entry.features.insert(.cmov)
    case "p6": entry.features.insert(.p6)
    case "mmx": entry.features.insert(.mmx)
    case "sse": entry.features.insert(.sse)
    case "sse2": entry.features.insert(.sse2)
    default:
      let bits = word.dropFirst(2).reduce(UInt32(0)) { $0 | flag($1) }
      switch word.prefix(2) {
      case "r:": entry.flagsRead = bits
      case "w:": entry.flagsWritten = bits
      case "u:": entry.flagsUndefined = bits
      default: preconditionFailure("attribute '\(word)' in the opcode table")
      }
    }
  }

  private static func flag(_ letter: Character) -> UInt32 {
    switch letter {
    case "o": EFLAGS.of
    case "s": EFLAGS.sf
    case "z": EFLAGS.zf
    case "a": EFLAGS.af
    case "p": EFLAGS.pf
    case "c": EFLAGS.cf
    case "d": EFLAGS.df
    case "i": EFLAGS.if
    case "t": EFLAGS.tf
    case "n": EFLAGS.nt
    default: preconditionFailure("flag '\(letter)' in the opcode table")
    }
  }
}
