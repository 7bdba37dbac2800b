// The generator: what it makes of a small table, and what it refuses.
// Expectations: the form of the table as told in Sources/X86ISA/Table/integer.txt.

import Testing

@Suite("The generator of the instruction table") struct GeneratorTests {
  private static let small = """
    op mov often
      movRR# RR plain = move(i, UInt#.self)
      movMR# MR = try store(i, UInt#.self)
      movRM# RM = try load(i, UInt#.self)
    op jz number:4 often = jump(zf)
    op hlt system = try halt()
    op fadd.32 x87 = try add(i)
    handler system seldom = try executeSystem(i)
    handler fpu often = try executeFPU(i)
    89 mov Ev,Gv
    8B mov Gv,Ev
    74 jz Jb r:z end
    F4 hlt - end
    D8/0m fadd.32 M mem4
    """

  private func problem(_ text: String) -> String? {
    do {
      _ = try Table([("t.txt", text)])
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test("makes operations, handlers and switches") func files() throws {
    let table = try Table([("t.txt", GeneratorTests.small)])
    #expect(table.operationsFile().contains("mov, jz, hlt, fadd32"))
    #expect(table.operationsFile().contains(#""mov", "jz", "hlt", "fadd""#))
    #expect(try table.handlersFile().contains("movRR16, movMR16, movRM16, movRR32"))
    let dispatch = table.dispatchFile()
    #expect(dispatch.contains("case .movMR32: try store(i, UInt32.self)"))
    #expect(dispatch.contains("case .hlt:\n      try halt()"))
    // x87 instructions have their check before them.
    #expect(dispatch.contains("case .fadd32:\n      try checkFPU()\n      try add(i)"))
    // Nothing is left to a default.
    #expect(!dispatch.contains("default"))
  }

  @Test("gives the same text each time") func deterministic() throws {
    func made() throws -> [String] {
      let table = try Table([("t.txt", GeneratorTests.small)])
      return [
        table.operationsFile(), try table.handlersFile(), try table.rowsFile(),
        table.dispatchFile(), try table.formsFile("form movRR32N\njump movRR32 z\n"),
      ]
    }
    #expect(try made() == made())
  }

  @Test("turns registers round where reg is the destination") func swaps() throws {
    let table = try Table([("t.txt", GeneratorTests.small)])
    let encodings = table.encodings
    let store = try #require(encodings.first { $0.opcode == 0x89 })
    let load = try #require(encodings.first { $0.opcode == 0x8B })
    // Register form, 32-bit operand size.
    #expect(try table.handler(of: store, 2) == ("movRR32", false))
    #expect(try table.handler(of: load, 2) == ("movRR32", true))
    #expect(try table.handler(of: load, 6) == ("movRM32", false))
  }

  @Test("refuses an operation that nothing carries out") func forgotten() {
    #expect(problem(GeneratorTests.small + "\nop frob system") == "t.txt:15: nothing to call")
    #expect(
      problem(GeneratorTests.small + "\n0F04 frob -")
        == "no operation 'frob' for '0F04 frob -'")
    #expect(
      problem(GeneratorTests.small + "\nop frob seldom = frob(i)")
        == "operation 'frob' has no encoding")
  }

  @Test("refuses forms that no handler is for, and words it does not know") func mistakes() {
    #expect(
      problem(GeneratorTests.small + "\nC6/0 mov Eb,Ib")?.contains(
        "no handler for 'C6/0 mov Eb,Ib'")
        == true)
    #expect(
      problem(GeneratorTests.small + "\nF4 hlt - end")?.contains("'F4' is there already") == true)
    #expect(problem(GeneratorTests.small + "\nF8 hlt - w:q")?.contains("no flag 'q'") == true)
    #expect(problem(GeneratorTests.small + "\nF8 hlt - often")?.contains("attribute") == true)
    #expect(problem("op hlt system = halt()\nF4 hlt -")?.contains("has no handler") == true)
  }
}
