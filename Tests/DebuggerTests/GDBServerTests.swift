// gdb's remote protocol against the boot sector of Guest.swift, without sockets; and the real gdb where there is one.

import Foundation
import Host
import Machine
import Testing

@testable import Debugger

/// Packets given beforehand; the replies are kept.
final class ScriptedTransport: GDBTransport {
  var events: [GDBEvent]
  var sent: [UInt8] = []
  init(_ packets: [[UInt8]]) { events = packets.reversed().map { .packet($0) } }
  func send(_ bytes: [UInt8]) { sent += bytes }
  func next() -> GDBEvent? { events.popLast() }
  func beginRun() -> Bool { true }
  func endRun() -> Bool { false }

  /// The contents of what was sent, without acknowledgements.
  var replies: [String] {
    var parser = GDBParser()
    return sent.compactMap {
      if case .packet(let body)? = parser.take($0) {
        String(decoding: body, as: UTF8.self)
      } else {
        nil
      }
    }
  }
}

/// A client of the boot sector.
final class Client {
  let console: Console
  let target: GDBMachine

  init(history: Bool = false) throws {
    console = try Console()
    if history { console.debugger.keepHistory(megabytes: 32) }
    target = GDBMachine(console.debugger, console.port)
  }

  func ask(bytes packets: [[UInt8]]) -> [String] {
    let transport = ScriptedTransport(packets)
    GDBServer(target, transport, runs: false).run()
    return transport.replies
  }

  func ask(_ packets: String...) -> [String] { ask(bytes: packets.map { Array($0.utf8) }) }
}

@Suite struct GDBServerTests {
  @Test func aBreakpointStopsAtTheBootSector() throws {
    let c = try Client()
    let replies = c.ask(
      "qSupported:swbreak+;hwbreak+", "?", "Z0,7c0c,1", "c", "p8", "m7c0c,4", "s", "p8", "z0,7c0c,1"
    )
    #expect(replies[0].contains("PacketSize=4000") && !replies[0].contains("Reverse"))
    #expect(
      replies.dropFirst() == [
        "T05thread:1;", "OK", "T05thread:1;swbreak:;", "0c7c0000", "fa31c08e", "T05thread:1;",
        "0d7c0000", "OK",
      ])
  }

  @Test func steppingWalksTheCode() throws {
    let c = try Client()
    // CLI; XOR AX,AX; MOV DS,AX; MOV SS,AX with MOV SP,imm; MOV CX,3.
    let replies = c.ask("Z1,7c0c,1", "vCont;c", "vCont;s:1;c", "vCont;s", "vCont;s", "p8", "p0")
    #expect(replies[1] == "T05thread:1;")
    #expect(replies.suffix(2) == ["117c0000", "00000000"])
  }

  @Test func watchpointsTellTheAddress() throws {
    let c = try Client()
    // Before, the boot sector itself is written there.
    _ = c.ask("Z0,7c0c,1", "c", "z0,7c0c,1")
    let replies = c.ask("Z2,7c52,2", "c", "p8", "m7c52,2", "z2,7c52,2", "Z3,7c52,2", "c", "p8")
    #expect(
      replies == [
        "OK", "T05thread:1;watch:7c52;", "417c0000", "0100", "OK", "OK",
        "T05thread:1;rwatch:7c52;", replies[7],
      ])
    // MOV AX,[count] after its execution.
    #expect(replies[7] == "4f7c0000")
  }

  @Test func registersAndMemoryChange() throws {
    let c = try Client()
    let replies = c.ask(
      "Z0,7c0c,1", "c", "P3=78563412", "p3", "M500,3:010203", "m500,3", "P8=197c0000", "p8",
      "Pa=00000100", "P63=00", "P3=7856")
    #expect(
      replies.dropFirst(2) == [
        "OK", "78563412", "OK", "010203", "OK", "197c0000", "E22", "E01", "E01",
      ])
    #expect(c.console.machine.cpu[3] == 0x1234_5678)
    let all = try #require(c.ask("g").first)
    #expect(all.count == 2 * GDBRegisters.sizes.reduce(0, +))
    #expect(c.ask("G" + all, "G00") == ["OK", "E01"])
    #expect(
      c.ask(bytes: [Array("X500,2:".utf8) + [0x7D, 0x03, 0x41], Array("m500,2".utf8)]) == [
        "OK", "2341",
      ])
  }

  @Test func memoryThatIsNotThereIsAnError() throws {
    let c = try Client()
    #expect(c.ask("m80000000,4", "M80000000,1:00", "m7c00,0") == ["E14", "E14", ""])
    // No longer than a packet.
    #expect(c.ask("m0,ffffffff")[0].count < GDBParser.maximumLength)
    #expect(
      c.ask("m,", "m1", "mzz,1", "M0,2:00", "Z0,zz,1", "Z2,0,0", "Z9,0,1") == [
        "E01", "E01", "E01", "E01", "E01", "E22", "",
      ])
  }

  @Test func linearAddressesInProtectedMode() throws {
    let c = try Client()
    let replies = c.ask("Z0,7c55,4", "c", "p8", "pa")
    #expect(replies.suffix(2) == ["557c0000", "08000000"])
  }

  @Test func monitorIsTheConsole() throws {
    let c = try Client()
    let command = String(decoding: GDBHex.encode("print 2+3".utf8), as: UTF8.self)
    let replies = c.ask("qRcmd," + command, "qRcmd,0")
    let text = GDBHex.decode(Array(replies[0].utf8.dropFirst())) ?? []
    #expect(replies[0].hasPrefix("O"))
    #expect(String(decoding: text, as: UTF8.self).contains("5h = 5"))
    #expect(replies.suffix(2) == ["OK", "E01"])
  }

  @Test func theDescriptionComesInParts() throws {
    let c = try Client()
    let whole = c.ask("qXfer:features:read:target.xml:0,1fff")[0]
    #expect(whole.hasPrefix("l<?xml") && whole.contains("<architecture>i8086"))
    let first = c.ask("qXfer:features:read:target.xml:0,10")[0]
    #expect(first.hasPrefix("m<?xml"))
    #expect(
      c.ask("qXfer:features:read:target.xml:ffffffff,ffffffff", "qXfer:features:read:a:0,1") == [
        "l", "E00",
      ])
  }

  @Test func goingBack() throws {
    let c = try Client(history: true)
    let replies = c.ask("qSupported", "Z0,7c3d,1", "c", "c", "bc", "p1", "bs", "p8")
    #expect(replies[0].contains("ReverseStep+;ReverseContinue+"))
    // The second arrival at `work` has CX = 2, the first 3; before it is the CALL.
    #expect(replies[5] == "03000000")
    #expect(replies[7] == "197c0000")
    #expect(c.ask("z0,7c3d,1", "bc")[1] == "T05thread:1;replaylog:begin;")
  }

  @Test func acknowledgementsEndOnRequest() throws {
    let c = try Client()
    let transport = ScriptedTransport(
      ["QStartNoAckMode", "qC", "vMustReplyEmpty", "k", "qC"].map { Array($0.utf8) })
    GDBServer(c.target, transport, runs: false).run()
    #expect(String(decoding: transport.sent, as: UTF8.self) == "+$OK#9a$QC1#c5$#00")
  }

  @Test func garbageIsSurvived() throws {
    let c = try Client()
    var seed: UInt64 = 0x1234_5678_9ABC_DEF1
    func random(_ n: Int) -> Int {
      seed ^= seed << 13
      seed ^= seed >> 7
      seed ^= seed << 17
      return Int(seed % UInt64(n))
    }
    // Nothing that runs the guest, which would take long; monitor has tests of its own.
    let starts = [
      "?", "g", "G", "p", "P", "m", "M", "X", "Z", "z", "H", "T", "q", "Q", "v", "vCont;",
      "qXfer:features:read:target.xml:", "qSupported", "Z0,", "Z2,", "m0,", "P8=", "X0,", "D:", "",
    ]
    let alphabet = Array("0123456789abcdefF,:;=#}xz\u{0}\u{ff}-".utf8)
    var packets: [[UInt8]] = []
    for _ in 0..<4000 {
      var packet = Array(starts[random(starts.count)].utf8)
      for _ in 0..<random(24) { packet.append(alphabet[random(alphabet.count)]) }
      if packet.starts(with: "vCont;c".utf8) || packet.first == UInt8(ascii: "D") { continue }
      packets.append(packet)
    }
    let replies = c.ask(bytes: packets)
    #expect(replies.count > 3000)
  }

  /// The real client over a socket.
  @Test(.enabled(if: HostProcess.find("gdb") != nil, "gdb is not installed"))
  func theRealClient() throws {
    let folder = try HostProcess.temporaryFolder("gdb")
    defer { HostProcess.removeFolder(folder) }
    let place = folder + "/socket"
    let ready = DispatchSemaphore(value: 0)
    let ended = DispatchSemaphore(value: 0)
    let thread = Thread {
      if let console = try? Console(),
        let session = try? GDBSession(machine: console.machine, at: .unix(place))
      {
        session.keepHistory(megabytes: 32)
        ready.signal()
        _ = session.run(stopped: true)
      } else {
        ready.signal()
      }
      ended.signal()
    }
    thread.stackSize = 8 << 20
    thread.start()
    ready.wait()
    var arguments = ["gdb", "-nx", "-batch"]
    for command in [
      "set architecture i8086", "set confirm off", "target remote " + place, "hbreak *0x7c0c",
      "continue", "info registers eip", "stepi", "x/i $pc", "delete", "watch *(short*)0x7c52",
      "continue", "print/x $pc", "set var $ebx = 0x1234", "set var *(char*)0x500 = 0x5a",
      "x/1xb 0x500", "monitor r", "reverse-stepi", "print/x $eip", "kill",
    ] {
      arguments += ["-ex", command]
    }
    let result = try HostProcess.run(arguments, timeout: 60)
    let text = String(decoding: result.output + result.error, as: UTF8.self)
    #expect(text.contains("eip            0x7c0c"), "\(text)")
    #expect(text.contains("xor    %ax,%ax"), "\(text)")
    #expect(text.contains("New value = 1"), "\(text)")
    #expect(text.contains("0x500:\t0x5a"), "\(text)")
    #expect(text.contains("ebx=00001234"), "\(text)")
    #expect(text.contains("= 0x7c3d"), "\(text)")
    #expect(ended.wait(timeout: .now() + 10) == .success)
  }
}
