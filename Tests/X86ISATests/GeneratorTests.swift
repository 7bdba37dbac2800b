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

  private static let forms = """

    # What a loop does.
    for way in load store, n in 16 32
      {way}{n}N = s.{way}(p, {bytes})
    movRR32 = s.move(p)
    jump movRR32 z =
        s.compare(p)
        return s.holds({If}) ? .yes : .no
    pair movRR32 load32N
    slow movRR16 movMR16 movRM16 movMR32 movRM32 jz fpu
    """

  private func problem(_ text: String, forms: String = "") -> String? {
    do {
      _ = try Forms(forms, Table([("t.txt", text)]))
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

  @Test("makes the forms of whole blocks and their switch") func wholeBlocks() throws {
    let table = try Table([("t.txt", GeneratorTests.small)])
    let forms = try Forms(GeneratorTests.forms, table)
    let switches = table.carryOutFile(forms)
    #expect(switches.contains("case .load16N: s.load(p, 2)\n"))
    #expect(switches.contains("case .store32N: s.store(p, 4)\n"))
    #expect(
      switches.contains(
        "case .movRR32Jz:\n      s.compare(p)\n      return s.holds(If.Z.self) ? .yes : .no\n"))
    #expect(
      switches.contains(
        "case .movRR32AndLoad32N:\n      s.move(p)\n      p += 1\n      s.load(p, 4)\n"))
    // Nothing is left to a default.
    #expect(!switches.contains("default"))
    let enumeration = try table.formsFile(forms)
    #expect(enumeration.contains("case .hlt") == false)
    #expect(enumeration.contains("(.movRR32, 4, .movRR32Jz)"))
    #expect(enumeration.contains("(.movRR32, .load32N, .movRR32AndLoad32N)"))
  }

  @Test("refuses forms that say nothing or too much") func formMistakes() {
    func problem(_ forms: String) -> String? { self.problem(GeneratorTests.small, forms: forms) }
    #expect(problem("movRR32 =\n") == "forms.txt:1: nothing is done for movRR32")
    #expect(problem("nop = a\nnop = b\n") == "forms.txt:2: nop is there already")
    #expect(problem("pair nop nop\n")?.contains("unknown forms") == true)
    #expect(problem("jump nop q = a\n")?.contains("no condition 'q'") == true)
    #expect(problem("nop{n} = a\n")?.contains("no list") == true)
    #expect(problem("for n 8\n  nop = a\n")?.contains("for VAR in WORD") == true)
  }

  @Test("gives the same text each time") func deterministic() throws {
    func made() throws -> [String] {
      let table = try Table([("t.txt", GeneratorTests.small)])
      return [
        table.operationsFile(), try table.handlersFile(), try table.rowsFile(),
        table.dispatchFile(),
        try table.formsFile(Forms(GeneratorTests.forms, table)),
        table.carryOutFile(try Forms(GeneratorTests.forms, table)),
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
