// Swift from the table: what module CPU needs.
//
// Owns: the text of the interpreter's switches and of the forms of whole blocks. Must not know: the grammar of the table, what calls do.

extension Table {
  /// The switches over handlers and over the operations of each group.
  func dispatchFile() -> String {
    let often = handlers.filter(\.isOften)
    let seldom = handlers.filter { !$0.isOften }
    var text = heading("which method carries out which handler and operation.")
    text += """
      import X86ISA

      extension CPU {
        /// Executes one decoded instruction.
        @inline(__always)
        func execute(_ i: Insn) throws(Fault) {
          switch i.pointee.handler {
      \(cases(often))
          case
      \(list(seldom)):
            try executeSeldom(i)
          }
        }

        /// Executes an instruction whose handler is met less often.
        @inline(never)
        func executeSeldom(_ i: Insn) throws(Fault) {
          switch i.pointee.handler {
      \(cases(seldom))
          case
      \(list(often)):
            preconditionFailure("a handler of the other switch")
          }
        }

      """
    for handler in handlers.compactMap(\.group) {
      let own = operations.filter { $0.group.map(Table.handler) == handler }
      let others = operations.filter { $0.group.map(Table.handler) != handler }
      text += """

          /// Executes an instruction of the group "\(handler)".
          @inline(never)
          func execute\(Table.functionName(handler))(_ i: Insn) throws(Fault) {
            switch i.pointee.op {

        """
      for operation in own {
        let check = ["x87": "try checkFPU()", "sse": "try checkSSE()", "mmx": "try checkMMX(i)"]
        text += "    case .\(operation.name):\n"
        if let check = check[operation.group!] { text += "      \(check)\n" }
        text += "      \(operation.call!)\n"
      }
      text += """
            case
        \(wrapped(others.map { "." + $0.name }, indent: "      ")):
              preconditionFailure("an operation of another group")
            }
          }

        """
    }
    return text + "}\n"
  }

  private static func functionName(_ group: String) -> String {
    ["fpu": "FPU", "simd": "SIMD"][group] ?? group.prefix(1).uppercased() + group.dropFirst()
  }

  private func cases(_ list: [HandlerLine]) -> String {
    list.map { "    case .\($0.name): \($0.call)" }.joined(separator: "\n")
  }

  private func list(_ list: [HandlerLine]) -> String {
    wrapped(list.map { "." + $0.name }, indent: "      ")
  }

  /// `Form`, from its own file of lines: `quick NAME...` seldom handlers that have a form, `form NAME...` forms, and
  /// `jump FORM NAME : CONDITION...` those that carry out FORM together with a conditional jump behind it.
  func formsFile(_ source: String) throws -> String {
    var names = handlers.filter { $0.isOften }.map(\.name)
    let often = names.count
    var jumps: [(form: String, conditions: [(number: Int, name: String)])] = []
    var added: [String] = []
    for line in source.split(separator: "\n") where !line.hasPrefix("#") {
      let words = line.split(separator: " ").map(String.init)
      switch words.first {
      case "quick": names += words.dropFirst()
      case "form": added += words.dropFirst()
      case "jump":
        let conditions: [(number: Int, name: String)] = try words.dropFirst(2).map { condition in
          guard let op = operation("j" + condition), op.isNumbered else {
            throw TableError(description: "no condition '\(condition)'")
          }
          return (op.number, words[1] + "J" + condition)
        }
        jumps.append((words[1], conditions))
        added += conditions.map(\.name)
      default: throw TableError(description: "forms: '\(line)'")
      }
    }
    for name in names.dropFirst(often) where !handlers.contains(where: { $0.name == name }) {
      throw TableError(description: "no handler '\(name)'")
    }
    // The form with memory operands is named F, the pair of it with a jump is not.
    func parent(_ name: String) -> String {
      added.contains(name + "F") && name.contains("M") ? name + "F" : name
    }
    let slow = handlers.map(\.name).filter { !names.contains($0) }
    return heading("the forms of whole blocks; see HandlerForms.swift.") + """
      import X86ISA

      /// What the loop over whole blocks carries out: a handler, or a quicker form of it.
      enum Form: UInt16 {
        case
      \(wrapped(names.map(quoted) + ["byHandler"] + added, indent: "    "))

        static let count = \(names.count + 1 + added.count)

        /// The form that does what the handler does.
        init(_ handler: Handler) {
          switch handler {
      \(names.map { "    case .\($0): self = .\($0)" }.joined(separator: "\n"))
          case
      \(wrapped(slow.map { "." + $0 }, indent: "      ")):
            self = .byHandler
          }
        }

        /// Forms of an instruction together with the jump behind it: of which, on which condition, which.
        static let withJumps: [(Form, Int, Form)] = [
      \(jumps.map { jump in wrapped(jump.conditions.map { "(.\(parent(jump.form)), \($0.number), .\($0.name))" }, indent: "    ") + "," }.joined(separator: "\n"))
        ]
      }

      """
  }
}
