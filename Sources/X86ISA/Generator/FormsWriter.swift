// Swift from forms.txt: what module CPU needs for whole blocks.
//
// Owns: the text of `Form` and of the loop's switch. Must not know: the grammar of forms.txt, what calls do.

extension Table {
  /// `Form`.
  func formsFile(_ forms: Forms) throws -> String {
    let handlerNames = Set(handlers.map(\.name))
    let often = handlers.filter(\.isOften).map(\.name)
    for name in forms.slow where !often.contains(name) {
      throw TableError(description: "forms.txt: no handler '\(name)' that is met often")
    }
    let quick = forms.cases.map(\.name).filter { handlerNames.contains($0) && !often.contains($0) }
    let own = forms.cases.map(\.name).filter { !handlerNames.contains($0) }
    let names = often + quick
    let slow = handlers.map(\.name).filter { !names.contains($0) }
    // The form with memory operands is named F, the pair of it with a jump is not.
    func parent(_ name: String) -> String {
      own.contains(name + "F") && name.contains("M") ? name + "F" : name
    }
    return heading("the forms of whole blocks; see HandlerForms.swift.", of: formsSource) + """
      import X86ISA

      /// What the loop over whole blocks carries out: a handler, or a quicker form of it.
      enum Form: UInt16 {
        case
      \(wrapped(names.map(quoted) + ["byHandler"] + own, indent: "    "))

        static let count = \(names.count + 1 + own.count)

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
      \(wrapped(forms.jumps.map { "(.\(parent($0.form)), \($0.condition), .\($0.name))" }, indent: "    "))
        ]

        /// Two forms that often follow each other, and the form of both.
        static let pairs: [(Form, Form, Form)] = [
      \(wrapped(forms.pairs.map { "(.\($0.first), .\($0.second), .\($0.name))" }, indent: "    "))
        ]
      }

      """
  }

  /// The switch of the loop over whole blocks.
  func carryOutFile(_ forms: Forms) -> String {
    var text = ""
    for form in forms.cases {
      let start = "    case .\(form.name):"
      if form.body.count == 1, start.count + form.body[0].count < 110 {
        text += "\(start) \(form.body[0])\n"
      } else {
        text += start + "\n" + form.body.map { "      \($0)\n" }.joined()
      }
    }
    return heading("what the loop over whole blocks does; see BlockRun.swift.", of: formsSource)
      + """
      import X86ISA

      extension CPU {
        /// Carries out the form of a record.
        /// - Parameters:
        ///   - p: the record; afterwards the last of those that were carried out.
        ///   - eip: of the block; where execution goes on, after `branched`.
        @inline(__always)
        func carryOut(_ p: inout Insn, _ eip: inout UInt32, _ block: BlockPointer, _ s: StatePointer)
          throws(Fault) -> BlockStep
        {
          switch p.pointee.form {
      \(text)    case
      \(wrapped((forms.slow + ["byHandler"]).map { "." + $0 }, indent: "      ")):
            return .slow
          }
          return .next
        }
      }

      """
  }

  private var formsSource: String { "Sources/CPU/forms.txt" }
}
