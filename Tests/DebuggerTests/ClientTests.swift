// Real clients of gdb's remote protocol beyond the boot sector: lldb, a change of mode, an interruption, detaching.

import Foundation
import Host
import Machine
import Testing

@testable import Debugger

/// A machine that is served at a socket on a thread of its own.
private final class Served {
  let folder: String
  var place: String { folder + "/socket" }
  private let ended = DispatchSemaphore(value: 0)

  init(history: Bool = true) throws {
    folder = try HostProcess.temporaryFolder("gdb")
    let place = folder + "/socket"
    let ready = DispatchSemaphore(value: 0)
    let ended = self.ended
    let thread = Thread {
      if let console = try? Console(),
        let session = try? GDBSession(machine: console.machine, at: .unix(place))
      {
        if history { session.keepHistory(megabytes: 32) }
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
  }

  /// Whether the session is over.
  func hasEnded() -> Bool { ended.wait(timeout: .now() + 10) == .success }

  deinit { HostProcess.removeFolder(folder) }
}

/// An lldb that starts; one without its Python does not.
private let lldb: String? = ["lldb", "lldb-14", "/usr/bin/lldb", "/usr/bin/lldb-14"].first {
  guard HostProcess.find($0) != nil,
    let result = try? HostProcess.run([$0, "--version"], timeout: 20)
  else { return false }
  return String(decoding: result.output, as: UTF8.self).contains("lldb")
}

@Suite struct ClientTests {
  @Test(.enabled(if: lldb != nil, "no lldb that starts"))
  func lldbWalksABootSector() throws {
    let served = try Served()
    var arguments = [lldb ?? "", "--no-lldbinit", "-b"]
    for command in [
      "process connect unix-connect://" + served.place, "breakpoint set -a 0x7c0c",
      "process continue", "register read eip cs_base code16", "stepi", "stepi",
      "register read eip", "memory write 0x500 0x5a", "memory read 0x500 -c 1",
      "register write ebx 0x1234", "process plugin packet monitor r",
      "breakpoint set -a 0x7c55", "process continue", "register read eip code16", "process kill",
    ] {
      arguments += ["-o", command]
    }
    let result = try HostProcess.run(arguments, timeout: 90)
    let text = String(decoding: result.output + result.error, as: UTF8.self)
    #expect(text.contains("eip = 0x00007c0c"), "\(text)")
    #expect(text.contains("code16 = 0x00000001"), "\(text)")
    #expect(text.contains("eip = 0x00007c0f"), "\(text)")
    #expect(text.contains("0x00000500: 5a"), "\(text)")
    #expect(text.contains("ebx=00001234"), "\(text)")
    #expect(text.contains("eip = 0x00007c55"), "\(text)")
    #expect(text.contains("code16 = 0x00000000"), "\(text)")
    #expect(served.hasEnded())
  }

  /// From 16-bit into 32-bit code: the user is told, registers and disassembly are right.
  @Test(.enabled(if: HostProcess.find("gdb") != nil, "gdb is not installed"))
  func gdbFollowsIntoProtectedMode() throws {
    let served = try Served()
    var arguments = ["gdb", "-nx", "-batch"]
    for command in [
      "set confirm off", "target remote " + served.place, "hbreak *0x7c55", "continue",
      "set architecture i386", "x/2i $pc", "print/x $cr0 & 1", "print/x $cs", "stepi", "stepi",
      "print/x $ds", "watch *(int*)0x20000", "continue", "delete", "reverse-continue",
      "print/x $code16", "kill",
    ] {
      arguments += ["-ex", command]
    }
    let result = try HostProcess.run(arguments, timeout: 60)
    let text = String(decoding: result.output + result.error, as: UTF8.self)
    #expect(text.contains("32-bit code from here on"), "\(text)")
    #expect(text.contains("mov    $0x10,%ax"), "\(text)")
    #expect(text.contains("= 0x8"), "\(text)")
    #expect(text.contains("= 0x10"), "\(text)")
    #expect(text.contains("New value = 287454020"), "\(text)")
    #expect(text.contains("No more reverse-execution history"), "\(text)")
    #expect(served.hasEnded())
  }

  /// What comes apart, twice or damaged on a socket.
  @Test func bytesOfAnyKindOnTheSocket() throws {
    let c = try Client()
    var parser = GDBParser()
    var seed: UInt64 = 0xD1CE_5EED
    var packets: [[UInt8]] = []
    for _ in 0..<200_000 {
      seed ^= seed << 13
      seed ^= seed >> 7
      seed ^= seed << 17
      let alphabet = Array("$#+-g0123456789abcdef}mMp,:\u{3}".utf8)
      let byte =
        seed % 5 == 0
        ? UInt8(truncatingIfNeeded: seed >> 8) : alphabet[Int(seed >> 8) % alphabet.count]
      if case .packet(let body)? = parser.take(byte) { packets.append(body) }
    }
    // Packets that happen to be right and do not run the guest.
    _ = c.ask(
      bytes: packets.filter {
        !["c", "s", "C", "S", "v", "D"].contains(String(decoding: $0.prefix(1), as: UTF8.self))
      })
    #expect(c.ask("p8").count == 1)
  }
}
