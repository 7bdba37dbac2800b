// The instruction table in memory.
//
// Owns: entries, the index from opcode bytes to entries, the choice of handlers. The rows come from the generator (Table/*.txt).
// Must not know: what reads it (decoder, disassembler, ...).

/// Which forms of ModRM an entry is for.
public enum ModRMForm: UInt8, Sendable {
  case any, memory, register
  /// One byte alone.
  case exact
}

/// The prefix that belongs to an opcode of the two-byte map.
public enum MandatoryPrefix: UInt8, Sendable {
  case none = 0
  case operandSize = 1
  case rep = 2
  case repne = 3
}

/// An encoding of the instruction table.
public struct OpcodeEntry: Sendable {
  /// The opcode; 0F00h is added for the two-byte map.
  public var opcode: UInt16
  public var op: Op
  public var operands: (OperandKind, OperandKind, OperandKind)
  /// EFLAGS bits read, written and left undefined.
  public var flagsRead: UInt32
  public var flagsWritten: UInt32
  public var flagsUndefined: UInt32
  public var isLockable: Bool
  public var endsBlock: Bool
  /// Ends a block with REP or REPNE only.
  public var endsBlockRepeated: Bool
  public var isRepeatable: Bool
  /// Works, but has no name in the manual.
  public var isAlias: Bool
  /// Must not be compared with a host's processor.
  public var isForeign: Bool
  /// What the model must have.
  public var features: CPUFeatures
  /// The mandatory prefix.
  public var prefix: MandatoryPrefix
  /// ModRM.reg of a line with /n, else -1.
  public var digit: Int8
  public var form: ModRMForm
  /// The ModRM byte where `form` is `exact`.
  public var modrm: UInt8
  /// Bytes of the memory operand where its kind does not tell.
  public var memorySize: UInt8
  /// The number of a numbered operation.
  public var number: UInt16
  /// Whether the operand is a byte.
  public var isByte: Bool
  /// Written with its mandatory prefix, be it none.
  var takesPrefixes: Bool
  /// Where the handlers of this entry are in `OpcodeTable.choices`.
  var choice: UInt16

  /// Whether a ModRM byte follows the opcode.
  public var usesModRM: Bool {
    digit >= 0 || form != .any || operands.0.usesModRM || operands.1.usesModRM
      || operands.2.usesModRM
  }

  /// An x87 instruction of D8 to DF.
  public var isX87: Bool { opcode & 0xFFF8 == 0xD8 }

  /// An instruction of MMX, SSE or SSE2.
  public var isSIMD: Bool { !features.isDisjoint(with: [.mmx, .sse, .sse2]) }

  /// A ModRM byte that belongs to this entry, as near to the given one as may be.
  public func fitting(_ modrm: UInt8) -> UInt8 {
    if form == .exact { return self.modrm }
    var fit = modrm
    if digit >= 0 { fit = fit & 0xC7 | UInt8(digit) << 3 }
    if form == .register { fit |= 0xC0 }
    if form == .memory && fit >= 0xC0 { fit &= 0xBF }
    return fit
  }
}

/// All entries with the index from opcode to entry.
public struct OpcodeTable: Sendable {
  /// The one table.
  public static let shared = OpcodeTable()

  /// The lines in order.
  public let entries: [OpcodeEntry]
  /// Entry number plus one for ((map << 8 | opcode) * 2 + register form) * 8 + digit; 0: undefined.
  private(set) var index = [UInt16](repeating: 0, count: 512 * 16)
  /// The same of the opcodes of the two-byte map with a mandatory prefix, by prefix and opcode.
  private(set) var prefixedIndex = [UInt16](repeating: 0, count: 4 * 256 * 16)
  /// The same of D8 to DF by the opcode's low bits and the whole of ModRM.
  private(set) var x87Index = [UInt16](repeating: 0, count: 8 * 256)
  /// Whether 66, F2 and F3 choose the instruction for (map << 8 | opcode).
  private(set) var takesPrefix = [Bool](repeating: false, count: 512)
  /// Whether (map << 8 | opcode) has a ModRM byte.
  private(set) var hasModRM = [Bool](repeating: false, count: 512)
  /// Eight for each entry's `choice`: a handler, and whether reg and rm change places, by memory (4), operand size (2) and a count (1).
  let choices = OpcodeRows.choices
  static let swapsRegisters: UInt16 = 0x8000

  /// The entry of an instruction of D8 to DF.
  public func x87Entry(_ opcode: UInt16, _ modrm: UInt8) -> Int {
    Int(x87Index[Int(opcode & 7) << 8 | Int(modrm)]) - 1
  }

  /// Whether a ModRM byte follows an opcode (0F00h is added for the two-byte map).
  public func hasModRM(_ opcode: UInt16) -> Bool { hasModRM[OpcodeTable.slot(opcode)] }

  /// Map and opcode in nine bits.
  private static func slot(_ opcode: UInt16) -> Int {
    Int(opcode & 0xFF) | (opcode & 0xFF00 != 0 ? 0x100 : 0)
  }

  private init() {
    let rows = OpcodeRows.rows
    entries = stride(from: 0, to: rows.count, by: 3).map {
      OpcodeEntry(rows[$0], rows[$0 + 1], rows[$0 + 2])
    }
    for (n, entry) in entries.enumerated() { add(entry, UInt16(n + 1)) }
  }

  private mutating func add(_ entry: OpcodeEntry, _ number: UInt16) {
    let slot = OpcodeTable.slot(entry.opcode)
    if entry.usesModRM { hasModRM[slot] = true }
    if entry.isX87 {
      for byte in UInt8.min...UInt8.max where entry.fitting(byte) == byte {
        x87Index[(slot & 7) << 8 | Int(byte)] = number
      }
      return
    }
    let (first, second, third) = entry.operands
    if entry.takesPrefixes || first.isVector || second.isVector || third.isVector {
      takesPrefix[slot] = true
    }
    for digit in entry.digit >= 0 ? Int(entry.digit)...Int(entry.digit) : 0...7 {
      for isRegister in 0...1 {
        if isRegister == 0 && entry.form == .register || isRegister == 1 && entry.form == .memory {
          continue
        }
        if entry.prefix == .none {
          index[(slot * 2 + isRegister) * 8 + digit] = number
        } else {
          let place = Int(entry.prefix.rawValue) << 8 | Int(entry.opcode & 0xFF)
          prefixedIndex[(place * 2 + isRegister) * 8 + digit] = number
        }
      }
    }
  }
}

extension OpcodeEntry {
  /// From a row of the generated table. First word: opcode, operation, three operands, prefix, ModRM; second: flags read, written,
  /// undefined; third: features, number, choice, attributes.
  fileprivate init(_ a: UInt64, _ b: UInt64, _ c: UInt64) {
    func field(_ word: UInt64, _ at: UInt64, _ bits: UInt64) -> UInt64 {
      word >> at & (1 << bits - 1)
    }
    func kind(_ at: UInt64) -> OperandKind { OperandKind(rawValue: UInt8(field(a, at, 6)))! }
    opcode = UInt16(field(a, 0, 12))
    op = Op(rawValue: UInt16(field(a, 12, 12)))!
    operands = (kind(24), kind(30), kind(36))
    prefix = MandatoryPrefix(rawValue: UInt8(field(a, 42, 2)))!
    form = ModRMForm(rawValue: UInt8(field(a, 44, 2)))!
    digit = field(a, 46, 1) != 0 ? Int8(field(a, 47, 3)) : -1
    modrm = UInt8(field(a, 50, 8))
    flagsRead = UInt32(field(b, 0, 16))
    flagsWritten = UInt32(field(b, 16, 16))
    flagsUndefined = UInt32(field(b, 32, 16))
    memorySize = UInt8(field(b, 48, 8))
    features = OpcodeRows.features[Int(field(c, 0, 32))]
    number = UInt16(field(c, 32, 8))
    choice = UInt16(field(c, 40, 12))
    isLockable = field(c, 52, 1) != 0
    endsBlock = field(c, 53, 1) != 0
    endsBlockRepeated = field(c, 54, 1) != 0
    isRepeatable = field(c, 55, 1) != 0
    isAlias = field(c, 56, 1) != 0
    isForeign = field(c, 57, 1) != 0
    takesPrefixes = field(c, 58, 1) != 0
    isByte = field(c, 59, 1) != 0
  }
}
