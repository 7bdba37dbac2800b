// `apus template` and `apus fork` as their users have them: the program is run.

import Foundation
import Testing

@testable import ApusCommand

@Suite(.enabled(if: Program.path != nil), .serialized) struct TemplateCommandTests {
  private func answer(_ words: [String], _ name: String, code: Int32 = 0) throws -> [String: Any] {
    let result = try Program.run(words)
    #expect(result.code == code, "\(words): \(result.output)")
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any],
      "\(result.output)")
    let schema = try Program.run(["schema", name])
    let known = try #require(
      try JSONSerialization.jsonObject(with: Data(schema.output.utf8)) as? [String: Any])
    #expect(SchemaCheck.problems(object, known) == [], "\(words)")
    return object
  }

  @Test func aMachineBecomesAFileAndManyMachines() throws {
    let scratch = try Scratch()
    let disk = scratch.path("d.img")
    _ = FileManager.default.createFile(atPath: disk, contents: Data(count: 1 << 20))
    let floppy = try scratch.floppy("boot.img", [0xEB, 0xFE])
    let file = scratch.path("t.apt")
    #expect(try Program.run(["template", "make", disk, file]).code == 64)
    let run = try Program.run([
      "--headless", "--floppy-a", floppy + ":ro", "--hda", disk, "--memory", "4",
      "--max-instructions", "400_000_000", "--take", "first",
    ])
    #expect(run.code == 4)
    let made = try answer(["template", "make", disk, file, "--json"], "template")
    #expect(made["instructions"] as? Int == 400_000_000)
    #expect(made["memoryBytes"] as? Int == 4 << 20)
    // Nothing is replaced unasked.
    #expect(try Program.run(["template", "make", disk, file]).code != 0)
    #expect(try Program.run(["template", "make", disk, file, "--replace"]).code == 0)
    _ = try answer(["template", "show", file, "--json"], "template")
    _ = try answer(["template", "verify", file, "--json"], "template-verify")
    // The machine and its disk may be gone.
    try FileManager.default.removeItem(atPath: disk)
    let again = try Program.run([file, "--headless", "--json", "--max-instructions", "400_000_100"])
    let report = try JSONSerialization.jsonObject(with: Data(again.output.utf8)) as? [String: Any]
    #expect(report?["instructions"] as? Int == 400_000_100)
    let fork = try answer(
      [
        "fork", file, "--count", "5", "--into", scratch.path("out"), "--json", "--",
        "--max-instructions", "400_000_{n}00", "--screenshot", scratch.path("{n}.png"),
        "--json=" + scratch.path("{n}.json"),
      ], "fork", code: 1)
    let children = try #require(fork["children"] as? [[String: Any]])
    #expect(children.compactMap { $0["exitCode"] as? Int } == [4, 4, 4, 4, 4])
    for n in 1...5 {
      #expect(FileManager.default.contents(atPath: scratch.path("\(n).png"))?.first == 0x89)
      let report = try JSONSerialization.jsonObject(
        with: FileManager.default.contents(atPath: scratch.path("\(n).json")) ?? Data())
      #expect((report as? [String: Any])?["instructions"] as? Int == 400_000_000 + 100 * n)
      let said = FileManager.default.contents(atPath: scratch.path("out/\(n).err"))
      #expect(String(decoding: said ?? Data(), as: UTF8.self).contains("400000\(n)00"))
    }
    // Of a file with a hole in its middle it is said.
    let handle = try #require(FileHandle(forWritingAtPath: file))
    try handle.truncate(atOffset: 100_000)
    try handle.close()
    #expect(try Program.run([file, "--headless", "--max-instructions", "1"]).code == 64)
    let damage = try answer(["template", "verify", file, "--json"], "template-verify", code: 1)
    #expect((damage["damage"] as? String)?.contains("cut off") == true)
  }

  /// The machine was started with an image of another name.
  @Test func anImageMayHaveBeenRenamed() throws {
    let scratch = try Scratch()
    let (old, new) = (scratch.path("old.img"), scratch.path("new.img"))
    _ = FileManager.default.createFile(atPath: old, contents: Data(count: 1 << 20))
    let floppy = try scratch.floppy("boot.img", [0xEB, 0xFE])
    let run = try Program.run([
      "--headless", "--floppy-a", floppy + ":ro", old, "--memory", "4", "--max-instructions",
      "300_000_000", "--take", "first",
    ])
    #expect(run.code == 4)
    let files = FileManager.default
    try files.moveItem(atPath: old, toPath: new)
    try files.moveItem(atPath: old + ".snapshots", toPath: new + ".snapshots")
    let file = scratch.path("t.apt")
    #expect(try Program.run(["template", "make", new, file]).code == 0)
    let end = ["--headless", "--max-instructions", "300_000_100"]
    #expect(try Program.run([file] + end).code == 4)
    #expect(try Program.run(["fork", new, "--"] + end).code == 1)
    // Also where something else has the name by now.
    _ = files.createFile(atPath: old, contents: Data(count: 1 << 20))
    #expect(try Program.run([file] + end).code == 4)
    // What is lost with the run is not promised.
    #expect(try Program.run([file, "--headless", "--take", "x"]).code == 64)
    #expect(try Program.run([new, "--headless", "--snapshot", "--take", "x"]).code == 64)
  }

  /// A picture takes the place of a picture, and of nothing else; nor does an image that of a store's file.
  @Test func whatIsNamedByMistakeStays() throws {
    let scratch = try Scratch()
    let disk = scratch.path("d.img")
    _ = FileManager.default.createFile(atPath: disk, contents: Data(count: 1 << 20))
    let floppy = try scratch.floppy("boot.img", [0xEB, 0xFE])
    let run = try Program.run([
      "--headless", "--floppy-a", floppy + ":ro", "--hda", disk, "--memory", "4",
      "--max-instructions", "300_000_000", "--take", "first",
    ])
    #expect(run.code == 4)
    let root = disk + ".snapshots/store/root"
    for path in [disk, root] {
      let before = FileManager.default.contents(atPath: path)
      #expect(
        try Program.run(["snapshot", "show", disk, "first", "--picture", path]).code == 64)
      #expect(FileManager.default.contents(atPath: path) == before)
    }
    let picture = scratch.path("p.png")
    for _ in 0..<2 {
      #expect(
        try Program.run(["snapshot", "show", disk, "first", "--picture", picture]).code == 0)
    }
    let before = FileManager.default.contents(atPath: root)
    #expect(try Program.run(["template", "make", disk, root, "--replace"]).code != 0)
    #expect(try Program.run(["snapshot", "export", disk, "first", root, "--replace"]).code != 0)
    #expect(FileManager.default.contents(atPath: root) == before)
  }

  @Test func whatIsWrongIsSaid() throws {
    let scratch = try Scratch()
    let plain = scratch.path("plain.img")
    _ = FileManager.default.createFile(atPath: plain, contents: Data(count: 1 << 20))
    for words in [
      ["fork", plain], ["fork", plain, "--count", "0"], ["fork"], ["template", "mkae"],
      ["fork", scratch.path("none")],
    ] {
      #expect(try Program.run(words).code == 64, "\(words)")
    }
    #expect(try Program.run(["template", "show", plain]).code == 74)
  }
}
