// Expressions, lines, symbol files: what they mean, and that nothing anybody writes ends the program.

import Host
import Testing

@testable import Debugger

@Suite struct ParserTests {
  private final class Names: ExpressionContext {
    func value(named name: String) -> UInt64? {
      ["ax": 0x1234, "cf": 1, "face": 7, "esp": 0xFFFF_FFFC][name]
    }
    func segmentBase(register name: String) -> UInt32? { name == "ds" ? 0x12340 : nil }
    func segmentBase(selector: UInt16) -> UInt32? { UInt32(selector) << 4 }
    func load(_ address: UInt64, size: Int, physical: Bool) -> UInt64? {
      address > 0xFFFF ? nil : address & (UInt64.max >> UInt64(64 - 8 * size))
    }
  }

  @Test(
    arguments: [
      ("10", 16), ("0x10", 16), ("10h", 16), ("0n10", 10), ("10t", 10), ("1_0000", 0x10000),
      ("1+2*3", 7), ("(1+2)*3", 9), ("-1", 0xFFFF_FFFF), ("~0", 0xFFFF_FFFF), ("!0", 1), ("!5", 0),
      ("ax", 0x1234), ("AX", 0), ("cf", 1), ("0cf", 0xCF), ("face", 7), ("dead", 0xDEAD),
      ("f000:fff0", 0xFFFF0), ("ds:4", 0x12344), ("ds:4+1", 0x12345), ("[w 20]", 0x20),
      ("[b 123]", 0x23), ("[123]", 0x123), ("[d p:20]", 0x20), ("word [20]", 0x20),
      ("[w ds:0] ", -1),
      ("esp+8", 4), ("esp == -4", 1), ("1 << 4 | 1", 0x11), ("1 == 1 && 2 < 3", 1),
      ("1 > 2 || 0", 0),
      ("10 % 3", 1), ("'A'", 0x41), ("1 != 1", 0), ("2 >= 2", 1), ("ffffffff + 1", 0),
    ] as [(String, Int64)])
  func expressionsHaveTheirValues(text: String, value: Int64) throws {
    let names = Names()
    if value < 0 || text == "AX" {
      #expect(throws: DebuggerError.self) { try Expression.parse(text).evaluate(names) }
    } else {
      #expect(try Expression.parse(text).evaluate(names) == UInt64(value))
    }
  }

  @Test(
    arguments: [
      "", "(", ")", "1 +", "[", "[w", "1:", ":1", "zz", "1/0", "'A", "12345zz", "1 2", "\u{1F600}",
    ])
  func wrongExpressionsAreErrors(text: String) {
    #expect(throws: DebuggerError.self) { try Expression.parse(text).evaluate(Names()) }
  }

  @Test func deepNestingIsAnError() {
    let text = String(repeating: "(", count: 100_000)
    #expect(throws: DebuggerError.self) { try Expression.parse(text) }
    let minus = String(repeating: "-", count: 100_000) + "1"
    #expect(throws: DebuggerError.self) { try Expression.parse(minus) }
  }

  /// A chain of operators is as deep as it is long; what it takes grows with its length only.
  @Test func longChainsHaveTheirValueOrAreTooLong() throws {
    let names = Names()
    for op in ["+", "-", "|", "*", "&&", "=="] {
      let chain = Array(repeating: "1", count: 4_000).joined(separator: op)
      let value = try Expression.parse(chain).evaluate(names)
      #expect(value == ["+": 4_000, "-": 0xFFFF_F062][op] ?? 1)
    }
    // Pointers stay pointers along the chain.
    #expect(try Expression.parse("(short*)10+1+1-1+2").evaluate(names) == 0x16)
    #expect(try Expression.parse("1+(short*)10+1").evaluate(names) == 0x14)
    #expect(try Expression.parse("1-1+(char*)10+(2)").evaluate(names) == 0x12)
    for text in ["1+", "(1+", "-", "*", "[", "1 "] {
      let long = String(repeating: text, count: 200_000) + "1"
      #expect(throws: DebuggerError.self) { try Expression.parse(long) }
    }
    let long = Array(repeating: "1", count: 20_000).joined(separator: "+")
    #expect { try Expression.parse(long) } throws: { "\($0)".contains("too long") }
  }

  @Test func randomLinesNeverCrash() throws {
    let c = try Console()
    c.run("tb start", "c")
    c.debugger.instructionLimit = c.machine.cpu.instructionCount + 200_000
    var seed: UInt64 = 12345
    func random(_ n: Int) -> Int {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(seed >> 33) % n
    }
    let files: Set<String> = ["save", "source", "load", "quit", "q", "exit", "trace", "screen"]
    let names = CommandTable.shared.names.filter { !files.contains($0) }
    let pieces = [
      "eax", "cs:ip", "7c00", "[", "]", "(", ")", "w", "/16bx", "/", "=", ",", "-1", "ffffffff",
      "if",
      "&&", "p:", "{", "}", "\"", "'", "start", "0", "99999999999999999999", "-", "1-2", "all",
      "\u{0}",
      "é", "$x", "%", "l", "regs", "/99999i", "/5000bx", "?",
    ]
    for _ in 0..<3000 {
      var line = random(8) == 0 ? "" : names[random(names.count)]
      for _ in 0..<random(6) { line += " " + pieces[random(pieces.count)] }
      let word = Debugger.split(line).0
      let isFile =
        (try? CommandTable.shared.find(word)).map { !files.isDisjoint(with: $0.names) } ?? false
      if isFile || line.contains(";") { continue }
      c.debugger.execute(line)
      _ = c.port.take()
    }
    #expect(!c.debugger.isFinished || c.debugger.ending != nil)
  }

  @Test func symbolFilesOfEachKind() throws {
    let map = """
      - NASM Map file ---
      ---- Section .text ---
      Real              Virtual           Name
                  7C0C              7C0C  start
                  7C54              7C54  flag
      """
    #expect(
      try SymbolFiles.read(Array(map.utf8)).symbols == [
        DebugSymbol("start", 0x7C0C), DebugSymbol("flag", 0x7C54),
      ])
    let nm = "c0100000 T _text\nc0100010 t helper\n         U outside\n"
    #expect(
      try SymbolFiles.read(Array(nm.utf8)).symbols == [
        DebugSymbol("_text", 0xC010_0000), DebugSymbol("helper", 0xC010_0010),
      ])
    let ld =
      "Linker script and memory map\n .text          0x00100000      0x123 a.o\n                0x00100020                main\n"
    #expect(
      try SymbolFiles.read(Array(ld.utf8)).symbols.contains(DebugSymbol("main", 0x100020)))
    let listing = """
           1                                  org 0x7c00
           2 00000000 FA                      start:  cli
           3                                  protected:
           4 00000055 66B81000                        mov ax,0x10
      """
    #expect(
      try SymbolFiles.read(Array(listing.utf8)).symbols == [
        DebugSymbol("start", 0x7C00), DebugSymbol("protected", 0x7C55),
      ])
    #expect(throws: DebuggerError.self) { try SymbolFiles.read([]) }
    #expect(throws: DebuggerError.self) { try SymbolFiles.read(Array("hello".utf8)) }
  }

  /// A 32-bit ELF file with one function.
  private var elf: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 52 + 3 * 40 + 32 + 16)
    func put(_ at: Int, _ value: UInt32, _ size: Int = 4) {
      for n in 0..<size { bytes[at + n] = UInt8(truncatingIfNeeded: value >> UInt32(8 * n)) }
    }
    for (n, byte) in [0x7F, 0x45, 0x4C, 0x46, 1, 1, 1].enumerated() { bytes[n] = UInt8(byte) }
    put(0x20, 52)
    put(0x2E, 40, 2)
    put(0x30, 3, 2)
    let symbols = 52 + 120
    let names = symbols + 32
    put(52 + 40 + 4, 2)
    put(52 + 40 + 0x10, UInt32(symbols))
    put(52 + 40 + 0x14, 32)
    put(52 + 40 + 0x18, 2)
    put(52 + 80 + 4, 3)
    put(52 + 80 + 0x10, UInt32(names))
    put(52 + 80 + 0x14, 16)
    put(symbols + 16, 1)
    put(symbols + 20, 0x100040)
    put(symbols + 24, 8)
    bytes[symbols + 28] = 0x12
    put(symbols + 30, 1, 2)
    for (n, c) in "main".utf8.enumerated() { bytes[names + 1 + n] = c }
    return bytes
  }

  @Test func elfSymbols() throws {
    let result = try SymbolFiles.read(elf)
    #expect(result.kind == "ELF")
    #expect(result.symbols == [DebugSymbol("main", 0x100040, size: 8)])
  }

  @Test func damagedELFFilesAreErrorsOrNothing() {
    let good = elf
    for n in good.indices {
      for value in [UInt8(0), 1, 0x7F, 0x80, 0xFF] {
        var bytes = good
        bytes[n] = value
        _ = try? SymbolFiles.read(bytes)
      }
      _ = try? SymbolFiles.read(Array(good[..<n]))
    }
  }

  @Test func symbolsNearAnAddress() {
    let table = SymbolTable()
    table.add([DebugSymbol("a", 0x100), DebugSymbol("b", 0x200, size: 0x10)])
    #expect(table.text(0x100) == "a")
    #expect(table.text(0x1FF) == "a+ff")
    #expect(table.text(0x20F) == "b+f")
    #expect(table.text(0x210) == nil)
    #expect(table.text(0xFF) == nil)
  }
}

@Suite struct LineEditorTests {
  /// The line that keys make.
  private func line(
    _ keys: String, history: [String] = [], complete: @escaping (String) -> [String] = { _ in [] }
  ) -> String? {
    var bytes = Array((history.map { $0 + "\r" }.joined() + keys).utf8).reversed() as [UInt8]
    let editor = LineEditor(read: { bytes.popLast() }, put: { _ in })
    for _ in history { _ = editor.readLine(prompt: "", complete: complete) }
    return editor.readLine(prompt: "", complete: complete)
  }

  @Test func keysEditTheLine() {
    #expect(line("abc\r") == "abc")
    #expect(line("abc\u{7F}d\r") == "abd")
    #expect(line("abc\u{1B}[D\u{1B}[DX\r") == "aXbc")
    #expect(line("abc\u{01}X\u{05}Y\r") == "XabcY")
    #expect(line("one two\u{17}x\r") == "one x")
    #expect(line("abc\u{15}x\r") == "x")
    #expect(line("abc\u{1B}[H\u{1B}[3~\r") == "bc")
    #expect(line("wrong\u{03}right\r") == "right")
    #expect(line("\u{04}") == nil)
    #expect(line("é\r") == "é")
  }

  @Test func historyAndCompletion() {
    #expect(line("\u{1B}[A\r", history: ["first", "second"]) == "second")
    #expect(line("\u{1B}[A\u{1B}[A\r", history: ["first", "second"]) == "first")
    #expect(line("\u{1B}[A\u{1B}[B\r", history: ["first"]) == "")
    #expect(line("\u{12}fir\rx\r", history: ["first", "second"]) == "firstx")
    #expect(line("fi\t\r", complete: { _ in ["finish"] }) == "finish ")
    #expect(line("i\t\r", complete: { _ in ["info", "inf"] }) == "inf")
  }

  @Test func randomKeysNeverCrash() {
    var seed: UInt64 = 99
    for _ in 0..<300 {
      var bytes: [UInt8] = (0..<60).map { _ in
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let byte = UInt8(truncatingIfNeeded: seed >> 40)
        return byte & 1 == 0 ? byte & 0x1F : byte
      }
      let editor = LineEditor(read: { bytes.popLast() }, put: { _ in })
      while editor.readLine(prompt: "> ", complete: { [$0 + "x"] }) != nil {}
    }
  }
}
