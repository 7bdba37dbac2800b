// `apus migrate` as its users have it: processes that send and receive, over sockets and TLS, with disks that both have or that come along.

import Foundation
import TestSupport
import Testing

@testable import ApusCommand

@Suite(.enabled(if: Program.path != nil), .serialized) struct MigrateCommandTests {
  /// A process that goes away with this.
  private final class Running {
    let process = Process()
    private let errors: String
    init(_ scratch: Scratch, _ words: [String]) throws {
      errors = scratch.path("\(UUID().uuidString).err")
      _ = FileManager.default.createFile(atPath: errors, contents: nil)
      process.executableURL = URL(fileURLWithPath: try #require(Program.path))
      process.arguments = words
      process.standardInput = FileHandle.nullDevice
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle(forWritingAtPath: errors)
      try process.start()
    }
    deinit {
      if process.isRunning {
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
      }
    }
    var said: String { (try? String(contentsOfFile: errors, encoding: .utf8)) ?? "" }
    func await(_ text: String) {
      for _ in 0..<500 where !said.contains(text) && process.isRunning { usleep(20_000) }
    }
    func code() -> Int32 {
      process.waitUntilExit()
      return process.terminationStatus
    }
  }

  private func answer(_ words: [String], code: Int32 = 0) throws -> [String: Any] {
    let result = try Program.run(["migrate"] + words + ["--json"])
    #expect(result.code == code, "\(words): \(result.output) \(result.error)")
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any],
      "\(result.output)")
    if code == 0 {
      let schema = try Program.run(["schema", "migrate"])
      let known = try #require(
        try JSONSerialization.jsonObject(with: Data(schema.output.utf8)) as? [String: Any])
      #expect(SchemaCheck.problems(object, known) == [], "\(words)")
    }
    return object
  }

  /// A machine that runs for ever, with a disk that has something on it.
  private func start(_ scratch: Scratch, _ control: String) throws -> Running {
    let disk = scratch.path("d.img")
    _ = FileManager.default.createFile(
      atPath: disk, contents: Data(repeating: 0x5A, count: 3 << 20))
    let running = try Running(
      scratch,
      [
        "--headless", "--floppy-a", try scratch.floppy("boot.img", [0xEB, 0xFE]), "--hda", disk,
        "--memory", "16", "--serial", "null", "--control", control,
      ])
    for _ in 0..<500 {
      if try Program.run(["migrate", "show", control]).code == 0 { break }
      usleep(20_000)
    }
    return running
  }

  @Test func aMachineGoesFromOneProcessToTheNext() throws {
    let scratch = try Scratch()
    let (first, second) = (scratch.path("1.sock"), scratch.path("2.sock"))
    let there = "unix:" + scratch.path("there.sock")
    let source = try start(scratch, first)
    #expect(try answer(["show", first])["state"] as? String == "runs")
    // Nobody waits there yet.
    #expect(try Program.run(["migrate", "send", first, there]).code == 74)
    let target = try Running(
      scratch, ["migrate", "receive", there, "--", "--headless", "--control", second])
    target.await("waits for a machine")
    let report = try answer(["send", first, there])
    #expect(report["state"] as? String == "moved" && (report["rounds"] as? Int ?? 0) > 0)
    #expect(source.code() == 0)
    #expect(source.said.contains("goes on in another process"))
    #expect(try answer(["show", second])["state"] as? String == "runs")
    // There is nothing to be decided, and the old place is gone.
    #expect(try Program.run(["migrate", "drop", second]).code == 64)
    #expect(try Program.run(["migrate", "show", first]).code == 74)
    target.process.terminate()
    #expect(target.code() == 143)
    #expect(
      FileManager.default.contents(atPath: scratch.path("d.img"))
        == Data(repeating: 0x5A, count: 3 << 20))
  }

  @Test func disksComeAlongOverTLS() throws {
    let scratch = try Scratch()
    let (first, second) = (scratch.path("1.sock"), scratch.path("2.sock"))
    let key = try scratch.file("key", Array("a secret that both of them know".utf8))
    let other = try scratch.file("other", Array("a secret that one of them knows".utf8))
    let port = 20_000 + Int(getpid()) % 20_000
    let there = "tcp:127.0.0.1:\(port)"
    let source = try start(scratch, first)
    #expect(try Program.run(["migrate", "send", first, there]).code == 64)
    let target = try Running(
      scratch,
      [
        "migrate", "receive", there, "--secret", key, "--into", scratch.path("new"), "--format",
        "qcow2", "--", "--headless", "--control", second,
      ])
    target.await("waits for a machine")
    #expect(
      try Program.run(["migrate", "send", first, there, "--carry", "--secret", other]).code == 74)
    #expect(try answer(["show", first])["state"] as? String == "runs")
    let report = try answer(["send", first, there, "--carry", "--secret", key])
    #expect(report["clusters"] as? Int ?? 0 >= 48)
    #expect(source.code() == 0)
    #expect(target.said.contains("somebody connected who sends no machine"))
    target.process.terminate()
    _ = target.code()
    let compared = try Program.run([
      "image", "compare", scratch.path("d.img"), scratch.path("new/d.img"),
    ])
    #expect(compared.code == 0, "\(compared.output)")
    #expect(
      try Program.run(["image", "info", scratch.path("new/d.img")]).output.contains("qcow2"))
  }

  @Test func whatCannotBeIsRefusedAndTheMachineStays() throws {
    let scratch = try Scratch()
    let (first, there) = (scratch.path("1.sock"), "unix:" + scratch.path("there.sock"))
    let source = try start(scratch, first)
    // Disks that come along have no place.
    let target = try Running(scratch, ["migrate", "receive", there, "--", "--headless"])
    target.await("waits for a machine")
    let refused = try Program.run(["migrate", "send", first, there, "--carry"])
    #expect(refused.code == 74 && refused.error.contains("--into"), "\(refused.error)")
    #expect(target.code() == 74)
    #expect(try answer(["show", first])["state"] as? String == "runs")
    #expect(source.process.isRunning)
    for words in [
      ["send", first, "nowhere"], ["send", first, "tcp:localhost:0"], ["send", first],
      ["resume", first], ["sned", first, there], ["receive", "tcp:1:2:x"],
      ["receive", there, "--", "--no-such-option"], ["receive", there, "--", "x.img"],
    ] {
      #expect(try Program.run(["migrate"] + words).code == 64, "\(words)")
    }
  }
}
