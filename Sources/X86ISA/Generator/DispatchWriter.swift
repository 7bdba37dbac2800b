// Swift from the table: what module CPU needs.
//
// Owns: the text of the interpreter's switches. Must not know: the grammar of the table, what calls do.

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
}
