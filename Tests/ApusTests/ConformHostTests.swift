// `apus conform host` in a process of its own: what it tells, on any maker's processor; and interrupted runs.

import Foundation
import TestSupport
import Testing

@Suite(.enabled(if: Program.path != nil)) struct ConformHostTests {
  /// Forms in which all processors agree: integer instructions on registers and memory without undefined flags.
  private static let plain = ["--filter", "add,adc,sub,sbb,cmp,inc,dec,neg,not,movzx*,lea,xadd"]

  @Test(arguments: ["interpreter", "translator"])
  func theProcessorAndTheCasesAreTold(engine: String) throws {
    let scratch = try Scratch()
    let file = scratch.path("report.json")
    let run = try Program.run(
      ["conform", "host", "--cases", "500", "--engine", engine, "--json", file] + Self.plain)
    // 74: the host allows no LDT segments or low memory, or is of another kind.
    if run.code == 74 {
      print("skipped: \(run.error)")
      return
    }
    // 1 would be a difference in this host's silicon, which is no fault of the program: it has to be told like any other.
    #expect([0, 1].contains(run.code), "\(run.output)\n\(run.error)")
    #expect(run.output.hasPrefix("host: ") || run.code == 1)
    #expect(run.output.contains("seed 1: 500 cases"))
    let report = try JSONSerialization.jsonObject(
      with: Data(contentsOf: URL(fileURLWithPath: file)))
    let object = try #require(report as? [String: Any])
    #expect(object["host"] as? String != nil)
    #expect(object["interrupted"] == nil)
  }

  @Test func theRulesAreShown() throws {
    let run = try Program.run(["conform", "host", "--rules"])
    if run.code == 74 { return }
    #expect(run.code == 0)
    #expect(run.output.contains("lock-verr (AMD;"))
    #expect(run.output.contains("never compared"))
  }

  /// Starts a run that would take long, and ends it by a signal once it runs.
  private func hearAgain(_ number: Int32) { _ = signal(number, SIG_DFL) }

  private func interrupt(_ arguments: [String], _ signal: Int32) throws -> Finished {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(Program.path))
    process.arguments = arguments
    let (output, error) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = error
    process.standardInput = FileHandle.nullDevice
    // Whoever runs the tests in the background ignores SIGINT, and so would what is started here.
    hearAgain(signal)
    try process.start()
    // Until the thread that waits for signals is there they would end the process at once.
    var blocked = false
    for _ in 0..<2000 where !blocked {
      usleep(5000)
      let status =
        (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8))
        ?? ""
      let mask = status.split(separator: "\n").first { $0.hasPrefix("SigBlk:") }?
        .split(separator: "\t").last.flatMap { UInt64($0, radix: 16) }
      blocked = (mask ?? 0) & (1 << UInt64(signal - 1)) != 0
    }
    usleep(100_000)
    kill(process.processIdentifier, signal)
    let text = output.everything()
    let messages = error.everything()
    process.waitUntilExit()
    return Finished(
      code: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
      error: String(decoding: messages, as: UTF8.self))
  }

  @Test(
    arguments: [
      ["host", "--cases", "4000000000"], ["engines", "--cases", "4000000000", "--show", "1000000"],
    ], [SIGINT, SIGTERM])
  func interruptedRunsKeepWhatTheyHave(kind: [String], signal: Int32) throws {
    let scratch = try Scratch()
    let (json, junit) = (scratch.path("report.json"), scratch.path("report.xml"))
    let run = try interrupt(["conform"] + kind + ["--json", json, "--junit", junit], signal)
    if run.code == 74 || run.code == 64 { return }
    #expect(run.code == 128 + signal, "\(run.output)\n\(run.error)")
    #expect(run.output.contains("seed 1: "))
    #expect(run.output.contains("interrupted"))
    #expect(try String(contentsOfFile: json, encoding: .utf8).contains("\"interrupted\" : true"))
    #expect(try String(contentsOfFile: junit, encoding: .utf8).contains("interrupted"))
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func interruptedSuitesAndProgramsKeepWhatTheyHave(signal: Int32) throws {
    let scratch = try Scratch()
    let json = scratch.path("report.json")
    // Vectors that take some seconds, several times, as the signal may be late.
    let line = "3FFF8000000000000000 3FFF8000000000000000 40008000000000000000 00\n"
    let vectors = try scratch.file(
      "extF80_add.near_even.p80.txt", Array(String(repeating: line, count: 3_000_000).utf8))
    // A ROM that loops: jmp $
    var rom = [UInt8](repeating: 0xF4, count: 0x10000)
    rom.replaceSubrange(0xFFF0..<0xFFF2, with: [0xEB, 0xFE])
    let image = try scratch.file("rom.bin", rom)
    for arguments in [
      Array(repeating: vectors, count: 10) + ["--jobs", "1"],
      ["program", image, "--expect-post", "1", "--max-instructions", "9000000000000"],
    ] {
      let run = try interrupt(["conform"] + arguments + ["--json", json], signal)
      #expect(run.code == 128 + signal, "\(arguments): \(run.output)\n\(run.error)")
      #expect(run.output.contains("interrupted: only what had run until then is counted"))
      #expect(try String(contentsOfFile: json, encoding: .utf8).contains("\"interrupted\" : true"))
    }
  }
}
