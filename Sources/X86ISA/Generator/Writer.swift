// Swift from the table: what module X86ISA needs.
//
// Owns: the text of `Op`, `Handler` and the rows of the table. Must not know: the grammar of the table, what calls do.

/// The first lines of a file.
func heading(
  _ what: String, of source: String = "the instruction table (Sources/X86ISA/Table)"
) -> String {
  "// Made from \(source) by isatool: \(what)\n\n"
}

/// Words in lines of moderate length.
func wrapped(_ words: [String], indent: String, separator: String = ",") -> String {
  var lines: [String] = []
  var line = indent
  for (n, word) in words.enumerated() {
    let text = word + (n + 1 < words.count ? separator : "")
    if line.count + text.count > 110 && line != indent {
      lines.append(line)
      line = indent
    }
    line += (line == indent ? "" : " ") + text
  }
  lines.append(line)
  return lines.joined(separator: "\n")
}

/// A name as Swift takes it.
func quoted(_ name: String) -> String {
  ["in", "is", "as", "do", "if", "for", "self", "break", "case"].contains(name)
    ? "`\(name)`" : name
}

extension Table {
  /// `Op` and `OperandKind`.
  func operationsFile() -> String {
    heading("operations and their mnemonics.") + """
      /// What an instruction does. Named by Intel's mnemonics, with a suffix where one mnemonic has several shapes.
      @frozen
      public enum Op: UInt16, CaseIterable, Sendable {
        case
      \(wrapped(operations.map { quoted($0.name) }, indent: "    "))

        /// Intel's name, where the operation alone decides it.
        public var mnemonic: String { Op.mnemonics[Int(rawValue)] }

        private static let mnemonics: [String] = [
      \(wrapped(operations.map { "\"\($0.mnemonic)\"" }, indent: "    "))
        ]
      }

      /// How an instruction names an operand; see Table/integer.txt.
      public enum OperandKind: UInt8, Sendable {
        case
      \(wrapped(Table.operandKinds.map(\.kind), indent: "    "))
      }

      """
  }

  /// `Handler`.
  func handlersFile() throws -> String {
    let bits = ["o", "s", "z", "a", "p", "c"]
    var used: Set<String> = []
    var touched: Set<String> = []
    for encoding in encodings {
      let flags = encoding.flags.values.joined()
      let touches = bits.contains { flags.contains($0) }
      for place in 0..<8 {
        let name = try handler(of: encoding, place).name
        used.insert(name)
        if touches { touched.insert(name) }
      }
    }
    let keeping = handlers.filter {
      $0.group == nil && $0.name != "ud" && used.contains($0.name) && !touched.contains($0.name)
    }
    let plain = handlers.filter(\.isPlain)
    let shapes = Table.shapes.compactMap { condition, name in
      let list = shaped(condition).map { "." + $0 }
      return list.isEmpty
        ? nil : "    case\n" + wrapped(list, indent: "      ") + ":\n      .\(name)"
    }
    func property(_ text: String, _ name: String, _ list: [HandlerLine]) -> String {
      """
        /// \(text)
        @inlinable
        public var \(name): Bool {
          switch self {
          case
      \(wrapped(list.map { "." + $0.name }, indent: "      ")):
            true
          default: false
          }
        }
      """
    }
    return heading("which method carries out which form of an operation.") + """
      /// What the interpreter dispatches on: an operation together with its operand shape and size.
      ///
      /// RR register,register; RM register from memory; MR memory from register; RI, MI with an immediate; then the size in bits.
      @frozen
      public enum Handler: UInt16, CaseIterable, Sendable {
        case
      \(wrapped(handlers.map { quoted($0.name) }, indent: "    "))

        /// The handler of a number that the table gave.
        @inlinable @inline(__always)
        init(number: UInt16) { self = unsafeBitCast(number, to: Handler.self) }

      \(property("Neither looks at arithmetic flags nor changes them.", "leavesFlags", keeping))

      \(property("Touches nothing but registers and cannot fault.", "isPlain", plain))

        /// What its operands are, of those that the table tells apart by it.
        public var shape: OperandShape? {
          switch self {
      \(shapes.joined(separator: "\n"))
          default: nil
          }
        }
      }

      """
  }

  /// Conditions of handlers, and the cases of `OperandShape`.
  private static let shapes = [
    ("RR", "registerRegister"), ("RM", "registerMemory"), ("MR", "memoryRegister"),
    ("RI", "registerImmediate"), ("MI", "memoryImmediate"),
  ]

  /// Handlers that are chosen by such a condition.
  private func shaped(_ condition: String) -> [String] {
    let names = operations.flatMap(\.choices).filter { $0.conditions.contains(condition) }.flatMap {
      choice in
      [8, 16, 32].map {
        choice.handler.replacing("%", with: "\($0)").replacing("#", with: "\($0)")
      }
    }
    return handlers.map(\.name).filter(names.contains)
  }

  /// The rows.
  func rowsFile() throws -> String {
    var lists: [[String]] = []
    var numbers: [[String]: Int] = [:]
    var features: [[String]] = []
    var rows = ""
    let handlerNumbers = Dictionary(
      uniqueKeysWithValues: handlers.enumerated().map { ($1.name, $0) })
    let opNumbers = Dictionary(uniqueKeysWithValues: operations.enumerated().map { ($1.name, $0) })
    for encoding in encodings {
      let list = try (0..<8).map { place in
        let (name, swaps) = try handler(of: encoding, place)
        return (swaps ? "-" : "") + name
      }
      let choice = numbers[list] ?? lists.count
      if choice == lists.count {
        lists.append(list)
        numbers[list] = choice
      }
      let op = operation(encoding.op)!
      var a = encoding.opcode & 0xFFF | opNumbers[op.name]! << 12
      for (n, operand) in encoding.operands.enumerated() {
        guard let kind = Table.operandKinds.firstIndex(where: { $0.operand == operand }) else {
          throw TableError(description: "no operand '\(operand)': '\(encoding.text)'")
        }
        a |= kind << (24 + 6 * n)
      }
      a |= ["66": 1, "F3": 2, "F2": 3][encoding.prefix ?? "", default: 0] << 42
      a |= encoding.form << 44 | encoding.modrm << 50
      if let digit = encoding.digit { a |= (1 | digit << 1) << 46 }
      func mask(_ use: String) -> Int {
        (encoding.flags[use] ?? "").reduce(0) { $0 | Table.flagBits["\($1)"]! }
      }
      let b = mask("r") | mask("w") << 16 | mask("u") << 32 | encoding.memorySize << 48
      let needs = encoding.words.filter(Table.features.contains).sorted()
      let feature = features.firstIndex(of: needs) ?? features.count
      if feature == features.count { features.append(needs) }
      var c = feature | op.number << 32 | choice << 40
      for word in encoding.words {
        if let bit = ["lock", "end", "endrep", "rep", "alias", "foreign"].firstIndex(of: word) {
          c |= 1 << (52 + bit)
        }
      }
      if encoding.prefix != nil { c |= 1 << 58 }
      if Table.isByte(encoding.operands) { c |= 1 << 59 }
      rows += "    \(hex(a)), \(hex(b)), \(hex(c)),  // \(encoding.text)\n"
    }
    var choices = ""
    for list in lists {
      let numbers = list.map { name in
        name.hasPrefix("-")
          ? 0x8000 | handlerNumbers[String(name.dropFirst())]! : handlerNumbers[name]!
      }
      let names = list.reduce(into: [String]()) { if $0.last != $1 { $0.append($1) } }
      choices += "    \(numbers.map(String.init).joined(separator: ", ")),  "
      choices += "// \(names.joined(separator: " "))\n"
    }
    return heading("its encodings.") + """
      /// The table as words; `OpcodeTable` tells what is where.
      enum OpcodeRows {
        static let rows: [UInt64] = [
      \(rows)  ]

        /// What an encoding needs, by the number in its row.
        static let features: [CPUFeatures] = [
      \(wrapped(features.map { "[" + $0.map { "." + $0 }.joined(separator: ", ") + "]" }, indent: "    "))
        ]

        /// Handlers by register or memory, operand size, count; "-": reg and rm change places.
        static let choices: [UInt16] = [
      \(choices)  ]
      }

      """
  }

  /// As the table has them, and the cases of `OperandKind`.
  private static let operandKinds: [(operand: String, kind: String)] =
    "- Eb Ew Ev Es Gb Gw Gv M Mp Ma Mq Ms Ib Ibs Iw Iz Iv Ib2 Jb Jz Ap Ob Ov AL AX eAX CL DX 1 Zb Zv Sw Rd Cd Dd Td Xb Xv Xz Yb Yv Yz es cs ss ds fs gs Pq Qq Nq Vx Wx Ux ST STi"
    .split(separator: " ").map { word in
      let kind =
        switch word {
        case "-": "none"
        case "1": "one"
        case "es", "cs", "ss", "ds", "fs", "gs": "seg" + word.uppercased()
        default: word.lowercased()
        }
      return (String(word), kind)
    }

  private func hex(_ value: Int) -> String { "0x" + String(value, radix: 16) }
}
