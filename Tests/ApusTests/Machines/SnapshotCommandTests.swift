// `apus snapshot` as its users have it: the program is run, with a machine and without one.

import Foundation
import Testing

@testable import ApusCommand

@Suite(.enabled(if: Program.path != nil), .serialized) struct SnapshotCommandTests {
  private func schema(_ name: String) throws -> [String: Any] {
    let result = try Program.run(["schema", name])
    #expect(result.code == 0)
    return try #require(
      try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
  }

  /// Runs a command with --json and holds what it prints against its schema.
  private func answer(_ words: [String], _ name: String, code: Int32 = 0) throws -> [String: Any] {
    let result = try Program.run(["snapshot"] + words + ["--json"])
    #expect(result.code == code, "\(words): \(result.output)")
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any],
      "\(result.output)")
    #expect(SchemaCheck.problems(object, try schema(name)) == [], "\(words)")
    return object
  }

  private func names(_ object: [String: Any]) -> [String] {
    (object["snapshots"] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
  }

  @Test func whatIsPrintedFollowsTheSchemas() throws {
    let scratch = try Scratch()
    let disk = scratch.path("d.img")
    _ = FileManager.default.createFile(atPath: disk, contents: Data(count: 1 << 20))
    let floppy = try scratch.floppy("boot.img", [0xEB, 0xFE])
    #expect(names(try answer(["list", disk], "snapshot-list")) == [])
    // A run that takes one of the whole machine at its end, and one without a machine.
    let run = try Program.run([
      "--headless", "--floppy-a", floppy + ":ro", "--hda", disk, "--memory", "4",
      "--max-instructions", "400_000_000", "--take", "first",
    ])
    #expect(run.code == 4)
    let taken = try answer(["take", disk, "second", "--note", "by hand"], "snapshot")
    #expect(names(taken) == ["second"] && taken["running"] as? Bool == false)
    let list = try answer(["list", disk], "snapshot-list")
    #expect(names(list) == ["first", "second"])
    let show = try answer(
      ["show", disk, "first", "--picture", scratch.path("p.png")], "snapshot-show")
    #expect((show["machine"] as? [String: Any])?["memory"] as? String == "4 MB")
    #expect(FileManager.default.contents(atPath: scratch.path("p.png"))?.first == 0x89)
    _ = try answer(["diff", disk, "first", "second"], "snapshot-diff")
    let copy = scratch.path("copy.qcow2")
    _ = try answer(["export", disk, "first", copy, "-O", "qcow2"], "snapshot-export")
    #expect(try Program.run(["image", "compare", disk, copy]).code == 0)
    _ = try answer(["restore", disk, "first"], "snapshot")
    // The next run goes on from there: nothing boots anew.
    let again = try Program.run([
      "--headless", "--json", "--floppy-a", floppy + ":ro", "--hda", disk, "--memory", "4",
      "--max-instructions", "400_000_100",
    ])
    let report = try JSONSerialization.jsonObject(with: Data(again.output.utf8)) as? [String: Any]
    #expect(report?["instructions"] as? Int == 400_000_100)
    _ = try answer(["du", disk], "snapshot-du")
    _ = try answer(["quota", disk, "1G"], "snapshot-quota")
    _ = try answer(["verify", disk], "snapshot-verify")
    _ = try answer(["gc", disk], "snapshot-gc")
    _ = try answer(["accept", "--unchanged", disk], "snapshot-accept")
    #expect(names(try answer(["delete", disk, "first", "second"], "snapshot")).count == 2)
    #expect(names(try answer(["list", disk], "snapshot-list")) == [])
  }

  @Test func whatIsWrongIsSaid() throws {
    let scratch = try Scratch()
    let disk = scratch.path("d.img")
    _ = FileManager.default.createFile(atPath: disk, contents: Data(count: 1 << 20))
    for words in [
      ["take", scratch.path("none.img")], ["restore", disk, "x"], ["tkae", disk],
      ["take", disk, String(repeating: "x", count: 201)], ["take", disk, "--throw-away"],
    ] {
      let result = try Program.run(["snapshot"] + words)
      #expect(result.code == 64, "\(words): \(result.output)")
    }
    #expect(try Program.run(["snapshot", "take", disk, "one"]).code == 0)
    #expect(try Program.run(["snapshot", "take", disk, "one"]).code == 64)
    #expect(try Program.run(["snapshot", "restore", disk, "two"]).code == 64)
    // Another program writes the disk.
    let handle = try #require(FileHandle(forWritingAtPath: disk))
    try handle.write(contentsOf: Data([1]))
    try handle.close()
    let refused = try Program.run(["snapshot", "restore", disk, "one"])
    #expect(refused.code == 74)
    #expect(try Program.run(["--headless", "--hda", disk, "--max-instructions", "1"]).code == 64)
  }
}
