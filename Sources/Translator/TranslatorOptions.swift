// The translator's optimisations, each with its own switch.
//
// Owns: their names. Must not know: how they work; each is asked for where it is done.
// A new optimisation gets a bit and a line in `named`; with it off, the code must be right all the same.

/// What the translator may do to make code faster. Anything can be left out: to find out which optimisation is at fault, or what it gains.
public struct TranslatorOptions: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Blocks jump to each other directly.
  public static let link = TranslatorOptions(rawValue: 1 << 0)
  /// Targets known only at run time are looked up in translated code.
  public static let lookup = TranslatorOptions(rawValue: 1 << 1)
  /// Flags that are replaced before anything looks at them are not kept.
  public static let liveness = TranslatorOptions(rawValue: 1 << 2)
  /// The same over the end of a block, where the target replaces them.
  public static let unseen = TranslatorOptions(rawValue: 1 << 3)
  /// Flags are made again from registers instead of being saved.
  public static let recipes = TranslatorOptions(rawValue: 1 << 4)
  /// Memory operands are reached in translated code.
  public static let memory = TranslatorOptions(rawValue: 1 << 5)
  /// Near jumps, calls and returns are carried out in translated code.
  public static let control = TranslatorOptions(rawValue: 1 << 6)
  /// x87 instructions run on the host's x87.
  public static let x87 = TranslatorOptions(rawValue: 1 << 16)
  /// MMX and SSE instructions run on the host's units.
  public static let simd = TranslatorOptions(rawValue: 1 << 17)

  /// Unpaged memory is reached through the window of host addresses.
  public static let window = TranslatorOptions(rawValue: 1 << 7)
  /// String instructions without repetition are carried out in translated code.
  public static let strings = TranslatorOptions(rawValue: 1 << 8)
  /// Short paths for CLI, STI, PUSHF, POPF.
  public static let system = TranslatorOptions(rawValue: 1 << 9)

  /// Returns are expected to lead behind the call that pushed at the same place.
  public static let returns = TranslatorOptions(rawValue: 1 << 10)

  /// Short repetitions of string instructions are carried out in translated code.
  public static let repeats = TranslatorOptions(rawValue: 1 << 11)

  /// Segment registers other than CS and SS are loaded and stored in translated code.
  public static let segments = TranslatorOptions(rawValue: 1 << 12)

  /// Data next to code are written in translated code.
  public static let codeWrites = TranslatorOptions(rawValue: 1 << 13)

  /// Short paths of INT n, IRET and far CALL, JMP and RET.
  public static let transfers = TranslatorOptions(rawValue: 1 << 14)
  /// Short paths of IN, OUT and moves to and from devices.
  public static let devices = TranslatorOptions(rawValue: 1 << 15)

  /// Missing table entries are made without interpreting the instruction.
  public static let fills = TranslatorOptions(rawValue: 1 << 18)

  /// Flags stay recipes where a block leads back to its own beginning.
  public static let loops = TranslatorOptions(rawValue: 1 << 19)

  /// Every optimisation.
  public static let all = TranslatorOptions(rawValue: UInt32.max)

  /// The names for command lines.
  public static let named: [(name: String, option: TranslatorOptions)] = [
    ("link", .link), ("lookup", .lookup), ("liveness", .liveness), ("unseen", .unseen),
    ("recipes", .recipes), ("memory", .memory), ("control", .control),
    ("window", .window), ("strings", .strings), ("system", .system), ("returns", .returns),
    ("repeats", .repeats), ("segments", .segments), ("code-writes", .codeWrites),
    ("transfers", .transfers), ("devices", .devices), ("fills", .fills), ("loops", .loops),
    ("x87", .x87), ("simd", .simd),
  ]

  /// The option of that name, or nil.
  public static func named(_ name: String) -> TranslatorOptions? {
    named.first { $0.name == name }?.option
  }
}
