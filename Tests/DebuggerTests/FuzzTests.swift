// Whatever is typed at the console, it answers; and looking changes nothing.

import CPU
import Machine
import TestSupport
import Testing

@testable import Debugger

@Suite struct FuzzTests {
  private static let words = [
    "0", "1", "7c00", "ffffffff", "-1", "[", "]", "(", ")", "ds:si", "0:7c0c", "ffff:ffff", "eax",
    "cs", "cf", "st0", "xmm7", "/99999s", "/16bx", "/3i", "/0x", "/", "=", "==", "if", "{", "}",
    "\"", "\"a b", "phys:", "p:500", "1-5", "ff-0", "0-ffff", "99999999999999999999", "zz", "$a",
    "$", "*", "/0", "%0", "<<", "&&", "!", "~", "count", "start+4", "[w", "[q p:0]", "'a'", "'",
    "é", "\u{1}", ",", "L", "to", "from", "regs", "r", "w", "hard", "real", "cpl", "att", "0n10",
    "10t", "1h", "#5", "+3", ".", "_", "1.5e400", "NaN", "-0.0", "0123456789abcdef0123",
    "*0x7c00", "*(int*)0x7c00", "{char}", "{int}500", "(char)", "((short*)", "$eax=7", "$sp", "$fp",
    "$_", "$1", "+=", "-=1", "/x", "/c", "/i", "/f", "/-3", "/2i", "main.c:10", "var", "display",
    "1-3", "if 1", "&count", "**", "-l", "\"%d %s\\n\",", "%", "eax", "register", "reg", "b",
  ]

  /// Not those that write files or end the console.
  private static let without: Set<String> = [
    "save", "screen", "trace", "source", "load", "quit", "json", "commands",
  ]

  @Test(arguments: [1, 2, 3] as [UInt64])
  func anyLineIsAnswered(seed: UInt64) throws {
    var random = Random(seed: seed &* 0x9E37_79B9_7F4A_7C15)
    let c = try Console()
    c.debugger.instructionLimit = 2_500_000
    c.debugger.keepHistory(megabytes: 16)
    c.run("c start")
    let commands = CommandTable.shared.commands.filter { !FuzzTests.without.contains($0.names[0]) }
    for _ in 0..<1500 {
      var line = random.one(of: random.one(of: commands).names)
      for _ in 0..<random.below(5) {
        line += random.below(4) == 0 ? "" : " "
        line += random.one(of: FuzzTests.words)
      }
      if random.below(20) == 0 { line = String(line.reversed()) }
      if line.contains("source") || line.contains("load") || line.contains("save") { continue }
      c.run(line)
      // None of these commands ends the console.
      #expect(!c.debugger.isFinished, "\(line)")
      c.debugger.isFinished = false
    }
    // It still works.
    c.debugger.printsJSON = false
    #expect(c.run("print 2+3").contains("5h = 5"))
  }

  /// Registers and tables full of nonsense are shown like any others.
  @Test func nonsenseInTheGuestIsShown() throws {
    var random = Random(seed: 77)
    let c = try Console()
    c.run("c 7c55", "s 4")
    for _ in 0..<60 {
      for register in [
        "eax", "esp", "ebp", "esi", "gdtr", "idtr", "eflags", "dr0", "dr7", "eip", "cr2",
      ] {
        let value = random.below(3) == 0 ? 0xFFFF_FFFF - random.below(20) : Int(random.word())
        c.run("set \(register) = \(String(value, radix: 16))")
      }
      let before = c.machine.stateHash()
      for command in [
        "r", "sreg", "creg", "dreg", "fpu", "mmx", "sse", "msr", "bt", "stack 40", "u",
        "u 0fffffff0",
        "x /20i 0fffffff5", "x /10gx 0fffffffc", "d 0fffffff8 40", "info gdt 0 20", "info idt 0 20",
        "info ldt", "info tss", "info tss 8", "info tss 0ffff", "info tab", "info cpu",
        "info events",
        "info device", "info ide", "info fdc", "info dma", "info kbd", "where-am-i",
        "find 0fffff000 0ffffffff 55",
      ] {
        c.run(command)
      }
      #expect(c.machine.stateHash() == before)
    }
  }

  @Test func wideRegistersCanBeSet() throws {
    let c = try Console()
    #expect(c.run("set xmm3 = 0123456789abcdeffedcba9876543210") == "")
    #expect(c.run("sse").contains("xmm3=0123456789abcdeffedcba9876543210"))
    // 1.5 is 1.1b: SDM volume 1, 4.2.2.
    #expect(c.run("set st0 = -1.5") == "")
    #expect(c.run("fpu").contains("st0=bfffc000000000000000"))
    #expect(c.run("set st1 = 4000c90fdaa22168c235") == "")
    #expect(c.run("fpu").contains("st1=4000c90fdaa22168c235"))
    #expect(c.run("set st8 = 1").contains("error"))
    #expect(c.run("set st0 = x").contains("error"))
    #expect(c.run("set mm2 = 1122334455667788") == "")
    #expect(c.run("mmx").contains("mm2=1122334455667788"))
  }

  @Test func codeIsShownInTheSegmentThatWasNamed() throws {
    let c = try Console()
    c.run("c start")
    #expect(c.run("u 7c0:0c 7c0:0d").contains("07c0:000c  fa"))
    #expect(c.run("d 7c0:0c 10").contains("07c0:0000"))
    // Beyond the reach of CS in real mode: the segment of 64 KiB.
    #expect(c.run("u 0ffff0").contains("f000:fff0  ea"))
    #expect(c.run("u 7c0c 7c0d").contains("0000:7c0c"))
  }
}
