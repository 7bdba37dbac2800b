// The debugger and gdb's protocol with two processors.

import Bus
import CPU
import Machine
import TestSupport
import Testing

@testable import Debugger

@Suite struct ProcessorTests {
  /// again: inc ax; nop; jmp again at 1000h and 2000h; the second adds to CX and writes it to [3000h].
  private func client() throws -> (Machine, Debugger, ScriptedPort, GDBMachine) {
    let configuration = MachineConfiguration.small {
      $0.engine = .interpreter
      $0.board = "isa"
      $0.processorCount = 2
    }
    let machine = try Machine(configuration)
    let code: [(UInt32, [UInt8])] = [
      (0x1000, [0x40, 0x90, 0xEB, 0xFC]),
      (0x2000, [0x41, 0x89, 0x0E, 0x00, 0x30, 0xEB, 0xF9]),
    ]
    for (n, (address, bytes)) in code.enumerated() {
      bytes.withUnsafeBytes { machine.memory.copyIn(address, from: $0) }
      let cpu = machine.processors[n]
      for segment in 0..<4 { #expect(cpu.setSegmentSelector(segment, 0)) }
      cpu[Register.ecx] = 0
      cpu[Register.eax] = 0
      cpu.s.pointee.eip = address
    }
    machine.startProcessor(1)
    let port = ScriptedPort()
    let debugger = Debugger(machine: machine, console: port)
    debugger.instructionLimit = 1_000_000
    return (machine, debugger, port, GDBMachine(debugger, port))
  }

  private func run(_ debugger: Debugger, _ port: ScriptedPort, _ commands: String...) -> String {
    for command in commands {
      debugger.execute(command)
      debugger.runPending()
    }
    return port.take()
  }

  @Test func aProcessorIsChosenAndStepped() throws {
    let (machine, debugger, port, _) = try client()
    let list = run(debugger, port, "info cpus")
    #expect(list.contains("* cpu 0  0000:1000  runs"))
    #expect(list.contains("  cpu 1  0000:2000  waits for its turn"))
    #expect(run(debugger, port, "cpu").contains("cpu 0"))
    #expect(run(debugger, port, "cpu 2").contains("processors 0 to 1"))
    #expect(run(debugger, port, "s").contains("cpu 0"))
    #expect(machine.instructionCount == 1)
    _ = run(debugger, port, "cpu 1")
    #expect(run(debugger, port, "print $eip").contains("2000"))
    // The first has its part of the round before.
    let stop = run(debugger, port, "s")
    #expect(stop.contains("cpu 1") && stop.contains("2001"))
    #expect(machine.instructionCount == 2001)
    #expect(machine.executedInstructions(of: 1) == 1)
    #expect(machine.processors[1][Register.ecx] == 1)
    _ = run(debugger, port, "s 3")
    #expect(machine.executedInstructions(of: 1) == 4)
    #expect(run(debugger, port, "info threads").contains("* cpu 1"))
  }

  @Test func breakpointsAndWatchpointsHoldForAll() throws {
    let (machine, debugger, port, _) = try client()
    let stop = run(debugger, port, "b 2005", "c")
    #expect(stop.contains("breakpoint 1") && stop.contains("cpu 1"))
    #expect(machine.runningProcessor == 1)
    #expect(debugger.selected == 1)
    // Once a round.
    _ = run(debugger, port, "c")
    #expect(machine.executedInstructions(of: 1) == 5)
    #expect(run(debugger, port, "delete", "b 1001", "c").contains("cpu 0"))
    let watch = run(debugger, port, "delete", "watch 3000,2", "c")
    #expect(watch.contains("write of 2") && watch.contains("cpu 1"))
    // A step over nothing stays with the processor that is looked at.
    _ = run(debugger, port, "delete", "cpu 0")
    let before = machine.executedInstructions(of: 0)
    _ = run(debugger, port, "n")
    #expect(debugger.selected == 0)
    #expect(machine.executedInstructions(of: 0) == before + 1)
  }

  @Test func processorsAreThreadsToGDB() throws {
    let (machine, _, _, target) = try client()
    func ask(_ packets: String...) -> [String] {
      let transport = ScriptedTransport(packets.map { Array($0.utf8) })
      GDBServer(target, transport, runs: false).run()
      return transport.replies
    }
    #expect(
      ask("qfThreadInfo", "qsThreadInfo", "qC", "T2", "T3", "?") == [
        "m1,2", "l", "QC1", "OK", "E01", "T05thread:1;",
      ])
    #expect(
      ask("Hg2", "p8", "Hg1", "p8", "Hg0", "Hc-1", "p8") == [
        "OK", "00200000", "OK", "00100000", "OK", "OK", "00100000",
      ])
    let info = ask("qThreadExtraInfo,2")[0]
    #expect(
      GDBHex.decode(Array(info.utf8)[...]).map { String(decoding: $0, as: UTF8.self) }
        == "cpu 1 (pentium2), waits for its turn")
    #expect(
      ask("qSupported:swbreak+", "Z0,2005,1", "c", "p8").dropFirst() == [
        "OK", "T05thread:2;swbreak:;", "05200000",
      ])
    #expect(machine.runningProcessor == 1)
    #expect(
      ask("z0,2005,1", "vCont;s:2;c", "p8", "vCont;s:1;c") == [
        "OK", "T05thread:2;", "00200000", "T05thread:1;",
      ])
  }

  @Test func managementModeIsToldInJSON() throws {
    var configuration = MachineConfiguration.small { $0.engine = .interpreter }
    configuration.cpu = .pentium2
    let machine = try Machine(configuration)
    let port = ScriptedPort()
    let debugger = Debugger(machine: machine, console: port)
    debugger.printsJSON = true
    #expect(
      run(debugger, port, "info cpu").contains("\"managementMode\":false,\"smbase\":196608"))
    machine.cpu.raiseSMI()
    #expect(run(debugger, port, "s", "info cpu").contains("\"managementMode\":true"))
    configuration.cpu = .i386
    let older = Debugger(machine: try Machine(configuration), console: port)
    older.printsJSON = true
    #expect(run(older, port, "info cpu").contains("\"managementMode\":false,\"smbase\":null"))
  }

  /// Intel SDM volume 3, "Local APIC": registers after power-up; 82093AA: all inputs masked.
  @Test func interruptControllersAreShown() throws {
    var configuration = MachineConfiguration.small {
      $0.engine = .interpreter
      $0.processorCount = 2
    }
    configuration.cpu = .pentium3
    let machine = try Machine(configuration)
    let port = ScriptedPort()
    let debugger = Debugger(machine: machine, console: port)
    let all = run(debugger, port, "info apic")
    #expect(all.contains("local APIC of cpu 0: enabled at fee00000"))
    #expect(all.contains("local APIC of cpu 1"))
    #expect(all.contains("version=00040011") && all.contains("svr=000000ff"))
    #expect(!all.contains("(no "))
    let one = run(debugger, port, "info apic 1")
    #expect(one.contains("id=01000000") && !one.contains("cpu 0"))
    #expect(one.contains("lvt timer        00010000  vector 00, one-shot, masked"))
    #expect(run(debugger, port, "info apic 2").contains("processors 0 to 1"))
    let inputs = run(debugger, port, "info ioapic")
    #expect(
      inputs.contains("input 23 0000000000010000  vector 00, fixed to physical 00, edge, masked"))
  }
}
