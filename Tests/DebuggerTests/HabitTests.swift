// What hands that know gdb and Bochs type. Formats: as gdb 15 prints them (`p/FORMAT`, `x/FORMAT`), apart from its "$1 =" and "0x".

import CPU
import Machine
import Testing

@testable import Debugger

@Suite struct HabitTests {
  private func atStart() throws -> Console {
    let c = try Console()
    c.run("tb start", "c")
    return c
  }

  // MARK: set

  @Test func aVariableNeverHidesARegister() throws {
    let c = try atStart()
    #expect(c.run("set $eax=7") == "")
    #expect(c.machine.cpu[0] == 7)
    #expect(c.run("p $eax").contains("7h = 7"))
    c.run("set $al = 0xff", "set $EBX = 0x12345678", "set var $ecx = 3", "set $cf=1", "set dx=-1")
    #expect(c.machine.cpu[0] == 0xFF)
    #expect(c.machine.cpu[3] == 0x1234_5678)
    #expect(c.machine.cpu[1] == 3)
    #expect(c.machine.cpu[2] & 0xFFFF == 0xFFFF)
    #expect(c.run("p $cf").contains("1h"))
    c.run("set $x = 0x10", "set $x += 2", "set $eax += $x")
    #expect(c.run("p $x").contains("12h"))
    #expect(c.machine.cpu[0] == 0x111)
    c.run("p $ebx = 5", "print $ebx=$ebx+1")
    #expect(c.machine.cpu[3] == 6)
    #expect(c.run("set $al = 100").contains("does not fit"))
  }

  @Test func pointersAreLinearAddresses() throws {
    let c = try atStart()
    c.run("set $pc = 0x7c19")
    #expect(c.pc == 0x7C19)
    c.run("set ss = 100", "set $sp = 0x1ff0", "set $fp = 0x1ff4")
    #expect(c.machine.cpu[Register.esp] & 0xFFFF == 0xFF0)
    #expect(c.machine.cpu[Register.ebp] & 0xFFFF == 0xFF4)
    #expect(c.run("p/x $sp").contains("0x1ff0"))
    #expect(c.run("p/x $fp").contains("0x1ff4"))
    #expect(c.run("p/x $ps") == c.run("p/x $eflags"))
    #expect(c.run("set $sp = 0x500").contains("not in the stack segment"))
    #expect(c.run("p/x $cs") == "0x0\n")
  }

  @Test func memoryIsSetAsInC() throws {
    let c = try atStart()
    c.run("set {int}0x8000 = 0x11223344", "set {char}0x8001 = -1", "set *(short*)0x8004 = 0x5566")
    #expect(c.run("x/6xb 0x8000").contains("44 ff 22 11 66 55"))
    c.run("set *0x8000 = 1", "set [w 8004] = 2", "set {unsigned char}(0x8000+4) += 1")
    #expect(c.run("x/6xb 0x8000").contains("01 00 00 00 03 00"))
    #expect(c.run("p *(char*)0x8004").contains("3h"))
    #expect(c.run("p *((short*)0x8000+2)").contains("3h"))
    #expect(c.run("p {short}0x8004 == 3").contains("1h"))
    #expect(c.run("p &*(int*)0x8000").contains("8000h"))
    #expect(c.run("set {char}0x8000 = 0x100").contains("does not fit"))
    #expect(c.run("set {char}0xfffffff0 = 1").contains("no RAM"))
    // A symbol without a size could be of any.
    #expect(c.run("set var count = 5").contains("{short}count"))
    c.run("set var {short}count = 5")
    #expect(c.run("p [w count]").contains("5h"))
    #expect(c.run("set nothing = 1").contains("no register or symbol"))
    #expect(c.run("set 5 = 1").contains("cannot be set"))
    #expect(c.run("set var").contains("error"))
    #expect(c.run("set pagination off").contains("nothing changes"))
    c.run("set disassembly-flavor att")
    #expect(c.run("u /1 work").contains("incw"))
  }

  // MARK: print

  @Test func pPrints() throws {
    let c = try atStart()
    let before = c.machine.cpu.instructionCount
    let text = c.run("p count")
    #expect(text.contains("7c52h") && text.contains("<count>") && text.contains("holds"))
    #expect(c.run("p").contains("n steps over"))
    #expect(c.run("p 5").contains("5h = 5"))
    #expect(c.machine.cpu.instructionCount == before)
    #expect(c.run("p nosuch").contains("no register, symbol or number"))
    #expect(c.run("p $nosuch").contains("set $nosuch ="))
    #expect(c.run("p $1").contains("not kept"))
    c.run("n")
    #expect(c.machine.cpu.instructionCount == before + 1)
  }

  @Test(
    arguments: [
      ("x", "0n31", "0x1f"), ("d", "0xffffffff", "-1"), ("u", "(char)0xc8", "200"),
      ("d", "(char)0xc8", "-56"), ("x", "-1", "0xffffffff"), ("x", "(short)-1", "0xffff"),
      ("c", "0n200", "-56 '\\310'"), ("c", "0x41", "65 'A'"), ("c", "0x141", "65 'A'"),
      ("o", "8", "010"), ("o", "0", "0"), ("z", "5", "0x00000005"),
      ("a", "0x7c3d", "0x7c3d <work>"),
      ("f", "0x3f800000", "1.0"), ("z", "(char)5", "0x05"),
      ("t", "(char)0x0a", "1010"), ("c", "-1", "-1 '\\377'"),
    ])
  func printsInFormats(format: String, expression: String, expected: String) throws {
    let c = try atStart()
    #expect(c.run("p/\(format) \(expression)") == expected + "\n")
    #expect(c.run("print/\(format) \(expression)") == expected + "\n")
  }

  @Test func whatMakesNoSenseIsSaid() throws {
    let c = try atStart()
    #expect(c.run("p/i 5").contains("x/i"))
    #expect(c.run("p/2x 5").contains("count is for memory"))
    #expect(c.run("p/bx 5").contains("sizes are for memory"))
    #expect(c.run("p/q 1").contains("possible"))
    #expect(c.run("x/-2x 7c00").contains("forward only"))
    #expect(c.run("p (int").contains("error"))
    #expect(c.run("p {").contains("a type stands"))
  }

  // MARK: x

  @Test func memoryInFormats() throws {
    let c = try atStart()
    c.run("e 8000 41 42 c8 ff 12 34 56 78 0 0 80 3f \"hi\" 0")
    for (command, expected) in [
      ("x/4xb 0x8000", "41 42 c8 ff"), ("x/4db 0x8000", "65 66 -56 -1"),
      ("x/4ub 0x8000", "65 66 200 255"), ("x/2ob 0x8000", "0101 0102"),
      ("x/2tb 0x8000", "01000001 01000010"),
      ("x/4cb 0x8000", "65 'A' 66 'B' -56 '\\310' -1 '\\377'"),
      ("x/2zh 0x8000", "0x4241 0xffc8"), ("x/1fw 0x8008", "1.0"), ("x/s 0x800c", "\"hi\""),
      ("x/2oh 0x8000", "041101 0177710"), ("x/1aw 0x7c9c", "0x"), ("xp /4bx 8000", "41 42 c8 ff"),
      ("x/8xb $pc", "fa 31 c0 8e"), ("x/2i $pc", "cli"), ("x/i 0x7c3d", "inc word"),
    ] {
      #expect(c.run(command).contains(expected), "\(command): \(c.run(command))")
    }
    c.run("x/2dh 0x8000")
    #expect(c.run("x").contains(": 13330"))
  }

  // MARK: Breakpoints

  @Test func breakpointsOfGDBAndBochs() throws {
    let c = try Console()
    c.run("break *0x7c0c", "b *0x7c3d if [w count] == 1", "tbreak *(0x7c00+0x49)", "hbreak start")
    let list = c.run("info break")
    for part in ["00007c0c", "00007c3d", "if [w count] == 1", "once at 00007c49"] {
      #expect(list.contains(part), "\(part) in \(list)")
    }
    #expect(c.run("blist") == list)
    #expect(c.run("info breakpoints") == list)
    #expect(c.run("i b") == list)
    c.run("bpd 1", "delete 4", "lb 0x7c29", "vb 0:7c2b", "pb 0x7c1c", "disable 3", "bpe 3")
    #expect(c.run("info b").contains("physical 00007c1c"))
    #expect(c.run("delete 5-7") == "")
    #expect(c.run("clear 0x7c29").contains("no breakpoint"))
    #expect(c.run("clear *0x7c3d").contains("1 deleted"))
    #expect(c.run("b main.c:10").contains("no source lines"))
    #expect(c.run("delete breakpoints").contains("deleted"))
  }

  @Test func watchpointsOfGDBAndBochs() throws {
    let c = try atStart()
    #expect(c.run("watch *(short*)0x7c52").contains("write of 2 at 00007c52"))
    #expect(c.run("rwatch {char}count").contains("read of 1 at 00007c52"))
    #expect(c.run("awatch *count").contains("access to 4 at"))
    #expect(c.run("watch r 0x500, 1").contains("read of 1 at 00000500"))
    #expect(c.run("watch w 0x500, 1").contains("write of 1 at 00000500"))
    #expect(c.run("watch -l *(char*)0x501").contains("write of 1 at 00000501"))
    #expect(c.run("watch $eax").contains("is a register"))
    #expect(c.run("watch *5 + 5").contains("names no memory"))
    c.run("delete 3-7")
    #expect(c.run("c").contains("count 00007c52: 0000 -> 0001"))
    #expect(c.run("unwatch").contains("1 deleted"))
  }

  @Test func continuingACountOfTimes() throws {
    let c = try Console()
    #expect(c.run("c 2").contains("no breakpoint has stopped here"))
    c.run("b work", "c", "c 2")
    #expect(c.run("p [w count]").contains("= 2"))
    #expect(c.run("info b").contains("hits 3"))
    #expect(c.run("c 0").contains("above 0"))
  }

  @Test func silentBreakpoints() throws {
    let c = try atStart()
    c.run("b work", "commands 2 { silent; printf \"count %d\\n\", [w count]; c }", "haltbp")
    let text = c.run("c")
    #expect(text.hasPrefix("count 0\ncount 1\ncount 2\n"))
    #expect(!text.contains("breakpoint 2"))
    #expect(text.contains("HLT"))
  }

  // MARK: Running

  @Test func steppingAndJumping() throws {
    let c = try Console()
    #expect(c.run("run").contains("ended") || c.machine.cpu.instructionCount > 0)
    let d = try Console()
    d.run("b *0x7c0c")
    #expect(d.run("run").contains("breakpoint 1"))
    #expect(d.run("run").contains("running already"))
    d.run("stepi", "si 2", "ni", "nexti 2")
    #expect(d.pc == 0x7C19)
    d.run("advance *0x7c1c")
    #expect(d.pc == 0x7C1C)
    // LOOP jumps back: until leaves the loop.
    d.run("until")
    #expect(d.pc == 0x7C1E)
    #expect(d.run("p [w count]").contains("3h"))
    d.run("set $cx = 1", "set {short}count = 0", "b *0x7c1e", "jump *0x7c19")
    #expect(d.pc == 0x7C1E)
    #expect(d.run("p [w count]").contains("1h"))
    #expect(d.run("jump 0x12345678").contains("not in the code segment"))
  }

  // MARK: Looking

  @Test func infoByItsNames() throws {
    let c = try atStart()
    c.run("set $eax = 0x1234")
    #expect(c.run("info reg") == c.run("info registers"))
    #expect(c.run("i r eax").contains("eax=00001234 = 4660"))
    #expect(c.run("info registers $ax ebx").contains("ax=1234"))
    #expect(c.run("info r zz").contains("no register"))
    #expect(c.run("info symbol 0x7c3e").contains("work+1"))
    #expect(c.run("info symbol *0x100000").contains("no symbol"))
    #expect(c.run("info line *0x7c3d").contains("no source lines"))
    #expect(c.run("info locals").contains("no types"))
    #expect(c.run("info threads").contains("one processor"))
    #expect(c.run("info disp").contains("no displays"))
    #expect(c.run("info eflags").contains("iopl=0"))
    #expect(c.run("info p").contains("may be"))
    #expect(c.run("info xyz").contains("none of"))
    #expect(c.run("sreg").contains("gdtr"))
    #expect(c.run("u /3").contains("cli"))
    #expect(c.run("list *0x7c3d").contains("inc word"))
    #expect(c.run("disas 0x7c0c,+4").contains("mov ds,ax"))
    #expect(c.run("disassemble 0x7c0c, 0x7c0d").contains("xor ax,ax"))
    #expect(c.run("page 0x7c00").contains("physical 00007c00"))
    #expect(c.run("ptime").contains("instructions"))
    #expect(c.run("find 0x7c00, 0x7dff, 0x8e, 0xd8").contains("00007c0f"))
  }

  @Test func displaysAreShownAtEachStop() throws {
    let c = try atStart()
    #expect(c.run("display/i $pc").contains("cli"))
    #expect(c.run("display/x $esp").contains("2: /x $esp = 0x"))
    #expect(c.run("display nosuch").contains("error"))
    let text = c.run("si")
    #expect(text.contains("1: /i $pc") && text.contains("2: /x $esp"))
    c.run("disable display 1")
    #expect(!c.run("si").contains("1: /i"))
    c.run("undisplay 2", "enable display 1")
    let next = c.run("si")
    #expect(next.contains("1: /i") && !next.contains("2: /x"))
    #expect(c.run("undisplay 9").contains("no display 9"))
    c.run("delete display 1")
    #expect(c.run("info display").contains("no displays"))
    // u and x go on where they were.
    c.run("display/i 0x7c3d", "x/2xb 0x7c00", "si")
    #expect(c.run("x/1xb").contains("00007c02"))
  }

  @Test func nothingStaysWithoutAnAnswer() throws {
    let c = try atStart()
    for name in Habits.hints.keys.sorted() {
      #expect(c.run(name).hasPrefix("error: '\(name)': "), "\(name)")
      #expect(CommandTable.shared[name] == nil, "\(name)")
    }
    #expect(c.run("braek 0x7c00").contains("did you mean break"))
    #expect(c.run("dis").contains("error") == false)
    #expect(c.run("wa 0x500").contains("may be") || c.run("wa 0x500").contains("write of"))
    #expect(c.run("qqq").contains("is no command"))
    #expect(c.run("p*0x7c00").contains("h = "))
    #expect(c.run("monitor p 2+2").contains("4h"))
    #expect(c.run("apropos watchpoint").contains("unwatch"))
    #expect(c.run("apropos zzzz").contains("error"))
    #expect(c.run("printf \"%d%% %x %s\\n\", 0n10, ff").contains("is missing"))
    #expect(c.run("printf \"%d%% %04x %c\\n\", 0n10, ff, 0x41") == "10% 00ff A\n")
    for command in ["help x", "help display", "help p", "help set", "help jump"] {
      #expect(!c.run(command).contains("error"))
    }
    #expect(c.run("kill").contains("quit ends both"))
  }

  /// What `info kbd` shows is what the controller says of itself.
  @Test func theOutputPortIsNotTheOutputBuffer() throws {
    let c = try atStart()
    let port = c.machine.keyboardController
    for (offset, value) in [(1, 0xD2), (0, 0x9C)] as [(UInt32, UInt32)] {
      port.write(at: offset, value, width: 1)
    }
    let text = c.run("info kbd")
    #expect(text.contains("full: 9c from the keyboard"))
    // Reset line high, A20 open, IRQ 1: bits 0, 1 and 4, and 6 and 7 (clock and data).
    #expect(text.contains("output port d3 (A20 enabled)"))
    #expect(c.run("info device i8042").contains("output port=d3"))
  }

  /// Views find every field that they name.
  @Test func viewsKnowTheirDevices() throws {
    let c = try atStart()
    for topic in ["kbd", "dma", "fdc", "ide", "pnp"] {
      #expect(!c.run("info \(topic)").contains("(no "), "\(topic)")
      c.debugger.printsJSON = true
      let json = c.run("info \(topic)")
      #expect(!json.contains(":null"), "\(topic): \(json)")
      c.debugger.printsJSON = false
    }
  }
}
