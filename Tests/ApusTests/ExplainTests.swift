// `apus explain` refuses what a run refuses, and tells what is to be known of every image.

import Foundation
import Testing

@testable import ApusCommand

@Suite(.enabled(if: Program.path != nil), .serialized) struct ExplainTests {
  @Test func whatARunRefusesIsRefused() throws {
    let scratch = try Scratch()
    let f = try scratch.floppy("f.img", halts)
    let g = try scratch.floppy("g.img", halts)
    let table: [[String]] = [
      [f, f], ["\(f):ro", f], ["--floppy-a", f, "--floppy-b", f],
      ["--floppy-a", f, "--floppy-a", f],
      [f, "--rom", "\(f)@D0000"], [f, "--device", "uart,port=60"], [f, "--exit-port", "60"],
      [f, "--load-state", f], [f, "--history", "5"], [f, "--command", "regs"], [f, g, "--disk", f],
      [f, "--timeout", "1e300"], [f, "--expect-regex", "a\\nb"], [f, "--screenshot", "x.gif"],
      [f, "--record", scratch.path("y"), "--save-state", scratch.folder.path + "/./y"],
    ]
    for arguments in table {
      let run = try Program.run(["--headless", "--max-instructions", "1000"] + arguments)
      let explained = try Program.run(
        ["explain", "--headless", "--max-instructions", "1000"] + arguments)
      #expect(run.code == 64, "\(arguments): \(run.error)")
      #expect(explained.code == 64, "\(arguments): \(explained.error)")
      // The same words behind one prefix.
      let words = run.error.split(separator: "\n").last.map { $0.dropFirst("apus: ".count) } ?? ""
      #expect(explained.error.contains("apus explain: \(words)"), "\(explained.error)")
      #expect(!explained.error.contains("apus: "), "\(explained.error)")
    }
    for arguments in [
      [f], [f, g], ["--snapshot", f, f], ["\(f):ro", "\(f):ro"],
      ["--floppy-a", f, "--floppy-a", g],
      ["--boot", "ca", f], ["--boot", "ac", f], ["--boot", "menu", f], ["--boot", "dnca,menu", f],
      [f, "--debug", "--history", "5"],
      [f, "--record", scratch.path("r"), "--save-state", scratch.path("s")],
    ] {
      let explained = try Program.run(["explain", "--headless"] + arguments)
      #expect(explained.code == 0, "\(arguments): \(explained.error)")
    }
    let left = try FileManager.default.contentsOfDirectory(atPath: scratch.folder.path)
    #expect(left.sorted() == ["f.img", "g.img"])
  }

  @Test func statesGoOnlyWithTheirDisks() throws {
    let scratch = try Scratch()
    let f = try scratch.floppy("f.img", loops)
    let state = scratch.path("state")
    let run = ["--headless", "--max-instructions", "300000000"]
    #expect(try Program.run(run + [f, "--save-state", state]).code == 4)
    #expect(try Program.run(["explain", f, "--load-state", state]).code == 0)
    #expect(try Program.run(["explain", f, "--load-state", state, "--memory", "8"]).code == 64)
    #expect(try Program.run(["explain", "--load-state", state]).code == 64)
  }

  @Test func everyImageAndItsProtectionIsTold() throws {
    let scratch = try Scratch()
    let a = try scratch.floppy("a.img", halts)
    let b = try scratch.floppy("b.img", halts)
    let c = try scratch.floppy("c.img", halts)
    let third = try Program.run(["explain", a, "\(b):ro", c])
    #expect(third.code == 64)
    #expect(third.output.contains("\(c): a floppy, but no floppy drive is left"))
    #expect(third.output.contains("write-protected"))
    let text = try Program.run(["explain", "--json", "--floppy-a", a, "--floppy-a", b, "\(c):ro"])
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(text.output.utf8)) as? [String: Any])
    let schema =
      try JSONSerialization.jsonObject(
        with: Data(try Program.run(["schema", "explain"]).output.utf8)) as? [String: Any]
    #expect(SchemaCheck.problems(object, try #require(schema)) == [])
    let drives = try #require(object["drives"] as? [[String: Any]])
    #expect(drives.map { $0["writeProtected"] as? Bool } == [false, true])
    let further = try #require(object["further"] as? [[String: Any]])
    #expect(further.map { $0["drive"] as? String } == ["A"])
    #expect(further.map { $0["file"] as? String } == [b])
  }

  @Test func wordsThatAreMeantForCommandsAreTaken() throws {
    #expect(try Program.run(["help"]).output.contains("USAGE"))
    #expect(try Program.run(["help", "explain"]).output.contains("apus explain"))
    #expect(try Program.run(["version"]).output.hasPrefix("apus "))
    #expect(try Program.run(["degub"]).error.contains("did you mean apus debug?"))
    #expect(try Program.run(["explian", "x.img"]).error.contains("did you mean apus explain?"))
  }
}
