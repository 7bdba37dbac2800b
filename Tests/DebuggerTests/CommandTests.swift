// Each command against a boot sector whose source is in Guest.swift; expectations follow from the source and the manuals.

import CPU
import Host
import Machine
import Testing

@testable import Debugger

@Suite struct CommandTests {
  @Test(arguments: [Engine.interpreter, .translator])
  func breakpointStopsAtEachArrival(engine: Engine) throws {
    let c = try Console(engine: engine)
    #expect(c.run("b work").contains("breakpoint 1: at 00007c3d <work>"))
    for turn in 1...3 {
      let text = c.run("c")
      #expect(text.contains("breakpoint 1"))
      #expect(text.contains("0000:7c3d"))
      #expect(c.run("? [w count]").contains("= \(turn - 1)"))
    }
    c.run("haltbp")
    #expect(c.run("c").contains("HLT"))
    #expect(c.run("info b").contains("hits 3"))
  }

  @Test func aRunIsTheSameWithTheDebuggerAndWithout() throws {
    let plain = try Console()
    plain.run("c")
    let watched = try Console()
    watched.run(
      "b work", "watch count,2", "iobp e9", "intbp 40", "modebp", "c", "c", "c", "s 3", "n")
    for _ in 0..<30 { watched.run("c") }
    #expect(plain.machine.cpu.instructionCount == watched.machine.cpu.instructionCount)
    #expect(plain.machine.stateHash() == watched.machine.stateHash())
  }

  @Test func stepsCountInstructions() throws {
    let c = try Console()
    c.run("tb 7c0c", "c")
    let start = c.machine.cpu.instructionCount
    let text = c.run("s")
    #expect(c.pc == 0x7C0D)
    #expect(c.machine.cpu.instructionCount == start + 1)
    #expect(text.contains("=>0000:7c0d  31c0"))
    #expect(text.contains("xor ax,ax"))
    c.run("s 4")
    #expect(c.pc == 0x7C16)
    #expect(c.run("s 0").contains("error"))
  }

  @Test func aCountIsNotNegative() throws {
    let c = try Console()
    for command in ["s -1", "goto -1", "icount -1", "n -1", "rs -1", "stack -1"] {
      #expect(c.run(command).contains("error"), "\(command)")
    }
  }

  @Test func aTraceThatCannotBeWrittenIsRefusedAtOnce() throws {
    let c = try Console()
    #expect(c.run("trace on /no such folder/x").contains("error"))
    #expect(c.run("trace on /nonexistent/x").contains("error"))
    #expect(c.run("trace").contains("trace is off"))
  }

  @Test func changedRegistersAreMarked() throws {
    let c = try Console()
    c.run("tb 7c16", "c")
    let text = c.run("s")
    #expect(text.contains("ecx=00000003*"))
    #expect(text.contains("eip=00007c19*"))
    #expect(text.contains("esp=00007c00\n"))
  }

  @Test(arguments: [Engine.interpreter, .translator])
  func nextStepsOverCallsAndLoops(engine: Engine) throws {
    let c = try Console(engine: engine)
    c.run("tb 7c19", "c", "n")
    #expect(c.pc == 0x7C1C)
    #expect(c.run("? [w count]").contains("1h"))
    c.run("n")
    #expect(c.pc == 0x7C1E)
    #expect(c.run("? [w count]").contains("3h"))
  }

  @Test(arguments: [Engine.interpreter, .translator])
  func finishRunsOutOfTheProcedure(engine: Engine) throws {
    let c = try Console(engine: engine)
    c.run("tb inner", "c", "s 2", "finish")
    #expect(c.pc == 0x7C47)
    c.run("finish")
    #expect(c.pc == 0x7C1C)
  }

  @Test func runningToAnAddress() throws {
    let c = try Console()
    #expect(c.run("c 7c29").contains("arrived"))
    #expect(c.pc == 0x7C29)
    c.run("g 0:7c2b")
    #expect(c.pc == 0x7C2B)
    #expect(c.run("info b").contains("no breakpoints"))
  }

  @Test func conditionsIgnoreCountsAndCommands() throws {
    let c = try Console()
    c.run("b work if [w count]==2")
    c.run("c")
    #expect(c.run("? [w count]").contains("2h"))
    let d = try Console()
    d.run("b inner", "ignore 1 2", "commands 1 { echo here {[w count]}; c }")
    d.run("tb start", "c")
    let text = d.run("haltbp", "c")
    #expect(text.contains("here 3"))
    #expect(!text.contains("here 2"))
    #expect(text.contains("HLT"))
    d.run("disable 1")
    #expect(d.run("info b").contains("1   off"))
    d.run("delete 1")
    #expect(d.run("delete 1").contains("error: there is no breakpoint 1"))
  }

  @Test(arguments: [Engine.interpreter, .translator])
  func watchpointsTellOldAndNew(engine: Engine) throws {
    let c = try Console(engine: engine)
    // The boot sector itself is written there first.
    c.run("tb start", "c", "watch flag_, 1")
    c.run("symbol flag_ = 7c54", "watch flag_, 1", "rwatch p:7c52,2 if value==2")
    let first = c.run("c")
    #expect(first.contains("read of 2 at count 00007c52: 0002"))
    let second = c.run("delete 3", "c")
    #expect(second.contains("write of 1 at flag_ 00007c54: 00 -> 5a"))
    #expect(c.pc == 0x7C23)
  }

  @Test func portsInterruptsAndModes() throws {
    let c = try Console()
    c.run("tb start", "c", "iobp e9 w if value==41", "intbp 40", "modebp real")
    #expect(c.run("c").contains("OUT 00e9, 41"))
    #expect(c.run("c").contains("INT 40 at 0000:7c29"))
    #expect(c.pc == 0x7C51)
    let mode = c.run("c")
    #expect(mode.contains("real mode, 16-bit code, CPL 0 -> protected mode, 16-bit code, CPL 0"))
    #expect(c.pc == 0x7C38)
  }

  @Test func exceptionsControlRegistersAndMagic() throws {
    let c = try Console()
    c.run("tb start", "c", "crbp", "magicbp", "excbp")
    #expect(c.run("c").contains("CR0:"))
    #expect(c.run("c").contains("magic breakpoint"))
    #expect(c.pc == 0x7C76)
    // UD2 in place of XCHG: there is no IDT that could take the exception.
    c.run("e 7c76 0f 0b", "triplebp")
    #expect(c.run("c").contains("exception 06 (invalid opcode)"))
  }

  @Test func tablesInProtectedMode() throws {
    let c = try Console()
    c.run("c 7c55")
    #expect(c.run("r").contains("cs=0008"))
    let gdt = c.run("info gdt")
    #expect(gdt.contains("GDT base=00007c80 limit=0017"))
    #expect(
      gdt.contains("0008 base=00000000 limit=ffffffff code32 readable, accessed, DPL 0")
        || gdt.contains("0008 base=00000000 limit=ffffffff code32 readable"))
    #expect(gdt.contains("0010 base=00000000 limit=ffffffff data32 writable"))
    #expect(c.run("sreg").contains("gdtr base=00007c80 limit=0017"))
    #expect(c.run("creg").contains("PE"))
    #expect(c.run("info tab").contains("paging is off"))
    #expect(c.run("info tss").contains("TR is null"))
    #expect(c.run("info ldt").contains("LDTR is null"))
    #expect(c.run("u").contains("mov ax,0x10"))
  }

  @Test func memoryViewsAndChanges() throws {
    let c = try Console()
    c.run("tb start", "c")
    #expect(c.run("x /4bx 7c0c").contains("00007c0c <start>: fa 31 c0 8e"))
    #expect(c.run("x /2h 0:7c0c").contains("31fa 8ec0"))
    #expect(c.run("xp /1w 7c0c").contains("8ec031fa"))
    #expect(c.run("x /1tb 7c0c").contains("11111010"))
    #expect(c.run("d 7c0c 4").contains("fa 31 c0 8e"))
    #expect(c.run("e 8000 12 34 \"AB\"", "x /4b 8000").contains("12 34 41 42"))
    #expect(c.run("setmem 8000 h = 1234, 5678", "x /2h 8000").contains("1234 5678"))
    #expect(c.run("find 7c00 7dff 8e d8").contains("00007c0f"))
    #expect(c.run("find 7c00 7dff \"nothing\"").contains("not found"))
    #expect(c.run("x /1 fffffff0").contains("ea") || c.run("x /1 fffffff0").contains("?"))
    #expect(c.run("setmem fffffff0 b = 1").contains("no RAM"))
    #expect(c.run("x /3i 7c0d").contains("mov ds,ax"))
    c.run("e 8100 \"text\" 0")
    #expect(c.run("x /s 8100").contains("\"text\""))
  }

  @Test func viewsChangeNothing() throws {
    let c = try Console()
    c.run("c 7c29")
    let before = c.machine.stateHash()
    let topics =
      Debugger.infoTopics.filter { $0 != "reverse" } + c.machine.allDevices.map(\.stateName)
    for topic in topics {
      let text = c.run("info \(topic)")
      #expect(!text.isEmpty && !text.hasPrefix("error"), "info \(topic): \(text)")
    }
    for command in [
      "r", "sreg", "creg", "dreg", "fpu", "mmx", "sse", "msr", "bt", "stack", "u", "screen",
      "d 0a0000", "x /4 0b8000", "x 3f8", "info tab", "help",
    ] {
      let text = c.run(command)
      #expect(!text.isEmpty && !text.hasPrefix("error"), "\(command): \(text)")
    }
    #expect(c.machine.stateHash() == before)
  }

  @Test func registersCanBeSet() throws {
    let c = try Console()
    c.run("tb start", "c", "set eax = 12345678", "set ah = ff", "set cf = 1", "r ebx = 5", "r cx 7")
    #expect(c.machine.cpu[0] == 0x1234_FF78)
    #expect(c.machine.cpu[1] & 0xFFFF == 7)
    #expect(c.run("? cf").contains("1h"))
    #expect(c.run("r ebx").contains("ebx=5"))
    c.run("set es = b800")
    #expect(c.run("? es:10").contains("b8010h"))
    #expect(c.run("set ax = 12345").contains("does not fit"))
    #expect(c.run("set $a = 5", "? $a * 2").contains("ah = 10"))
    #expect(c.run("set nothing = 1").contains("error"))
  }

  @Test func backtraceFollowsFrames() throws {
    let c = try Console()
    c.run("tb inner", "c", "s 2")
    let text = c.run("bt")
    #expect(text.contains("#0   7c4c <inner+3>"))
    #expect(text.contains("#1   7c47 <work+a>"))
    #expect(c.run("stack 2").contains("7c47 <work+a>"))
  }

  @Test func operandsHaveTheirValuesAtTheStop() throws {
    let c = try Console()
    #expect(c.run("c work").contains("inc word [0x7c52]"))
    #expect(c.run("u /1").contains("ds:7c52 <count> = 0000"))
    c.run("c 7c1c")
    #expect(c.run("u /1").contains("taken"))
    c.run("set cx = 1")
    #expect(c.run("u /1").contains("not taken"))
    c.run("tb 7c48", "set cx = 2", "c")
    #expect(c.run("u /1").contains("to 7c1c"))
    c.run("set syntax = att")
    #expect(c.run("u /2 work").contains("incw 0x7c52"))
  }

  @Test func traceIsWritten() throws {
    let c = try Console()
    c.run("tb start", "c", "trace on")
    let text = c.run("s 3")
    #expect(text.contains("0000:7c0c <start> fa"))
    #expect(text.contains("xor ax,ax"))
    #expect(c.run("trace off").contains("3 lines"))
  }

  @Test func jsonIsOneObjectForEachCommand() throws {
    let c = try Console()
    c.debugger.printsJSON = true
    let lines = c.run("tb start", "c", "r", "info gdt", "nonsense").split(separator: "\n")
    #expect(lines.count == 5)
    #expect(lines[1].hasPrefix("{\"command\":\"c\",\"result\":{\"reason\":\"breakpoint\""))
    #expect(lines[1].contains("\"symbol\":\"start\""))
    #expect(lines[2].contains("\"eip\":31756"))
    #expect(lines[4].contains("\"error\""))
  }

  @Test func transcriptsAreTheSameEachTime() throws {
    func transcript() throws -> String {
      let c = try Console()
      return c.run(
        "b work", "c", "info pit", "info events", "c", "n", "u", "bt", "info stats", "info cpu")
    }
    #expect(try transcript() == transcript())
  }

  @Test func scriptsStopNowhereAndCountFailures() throws {
    let c = try Console()
    c.run("assert 1 == 1")
    #expect(c.debugger.failures == 0)
    #expect(c.run("assert eax == 12345").contains("assertion failed"))
    #expect(c.debugger.failures == 1)
    c.run("quit")
    #expect(c.debugger.isFinished)
  }

  @Test func reverseWithoutHistorySaysSo() throws {
    let c = try Console()
    for command in ["rs", "rn", "rc", "goto 0", "last-write 500"] {
      #expect(c.run(command).contains("error"))
    }
  }

  @Test(arguments: [Engine.interpreter, .translator])
  func goingBack(engine: Engine) throws {
    let c = try Console(engine: engine)
    c.debugger.keepHistory(megabytes: 32)
    c.run("tb start", "c", "b inner", "c")
    let first = c.machine.cpu.instructionCount
    c.run("c", "c")
    let third = c.machine.cpu.instructionCount
    let hash = c.machine.stateHash()
    #expect(c.run("? [w count]").contains("3h"))
    c.run("rs")
    #expect(c.machine.cpu.instructionCount == third - 1)
    #expect(c.pc == 0x7C44)
    c.run("rc")
    #expect(c.pc == 0x7C49)
    #expect(c.run("? [w count]").contains("2h"))
    #expect(c.run("last-write count, 2").contains("write of 2 at count 00007c52: 0001 -> 0002"))
    // Going ahead passes breakpoints; what is there is what was there.
    c.run("goto \(third)")
    #expect(c.machine.cpu.instructionCount == third)
    #expect(c.machine.stateHash() == hash)
    #expect(c.run("? [w count]").contains("3h"))
    c.run("goto \(first)", "goto \(third + 100)", "goto \(third)")
    #expect(c.machine.stateHash() == hash)
    #expect(c.run("goto 1a2b").contains("counts are decimal"))
    c.run("delete")
    // A call that has returned is one instruction on the way back.
    c.run("c 7c1c", "rn")
    #expect(c.pc == 0x7C19)
    #expect(c.run("info reverse").contains("history from"))
  }
}
