// Where reports go: to which file or stream, and that they stand alone there.

import Foundation
import Testing

@testable import ApusCommand

/// `mov al, 'x' / out 0E9h, al / mov al, 15h / out 0F4h, al / jmp $`: a line that is left open, then an exit code.
private let leavesLineOpen: [UInt8] = [
  0xB0, 0x78, 0xE6, 0xE9, 0xB0, 0x15, 0xE6, 0xF4, 0xEB, 0xFE,
]

@Suite(.enabled(if: Program.path != nil), .serialized) struct ReportPlaceTests {
  private func object(_ text: some StringProtocol) throws -> [String: Any] {
    try #require(
      try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
  }

  @Test func theReportBeginsALineOfItsOwn() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", leavesLineOpen)
    let run = ["--headless", image, "--exit-port", "f4", "--debug-console", "-"]
    let lines = try Program.run(run + ["--json"]).output.split(separator: "\n")
    #expect(lines.count == 2 && lines[0] == "x")
    #expect(try object(lines[1])["reason"] as? String == "guest-exit")
    let screen = try Program.run(run + ["--screen-text"]).output
    #expect(screen.hasPrefix("x\n"))
    // Nothing is put before a report that is alone.
    let alone = try Program.run(["--headless", image, "--exit-port", "f4", "--json"]).output
    #expect(alone.hasPrefix("{"))
  }

  @Test func theReportGoesToAFile() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", leavesLineOpen)
    let file = scratch.path("report.json")
    for words in [["--json=\(file)"], ["--json", file]] {
      try? FileManager.default.removeItem(atPath: file)
      let result = try Program.run(
        ["--headless"] + words + [image, "--exit-port", "f4", "--debug-console", "-"])
      #expect(result.output == "x" && result.code == 0x2B, "\(words): \(result.error)")
      let text = try String(contentsOfFile: file, encoding: .utf8)
      #expect(try object(text)["exitCode"] as? Int == 0x2B)
    }
    let dash = try Program.run(["--headless", "--json", "-", image, "--exit-port", "f4"])
    #expect(try object(dash.output)["reason"] as? String == "guest-exit")
  }

  @Test func whereJSONGoesIsReadFromTheWords() {
    func taken(_ words: String...) -> (arguments: [String], target: JSONTarget?) {
      JSONTarget.taken(from: words)
    }
    #expect(taken("--json", "a.img").target == .output)
    #expect(taken("--json", "a.img").arguments == ["--json", "a.img"])
    #expect(taken("--json", "r.json", "a.img").arguments == ["--json-file=r.json", "a.img"])
    #expect(taken("--json=x").target == .file("x"))
    #expect(taken("--json=-").arguments == ["--json"])
    #expect(taken("--type", "--json=x").target == nil)
    #expect(taken("--", "--json").target == nil)
    #expect(taken("a.img").target == nil)
    #expect(JSONTarget.valued(in: ["x", "--json", "b.json"]) == .file("b.json"))
    #expect(JSONTarget.valued(in: ["x", "--json"]) == .output)
    #expect(JSONTarget.valued(in: ["--json=-"]) == .output)
  }

  @Test func errorsGoWhereTheReportWouldHaveGone() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", halts)
    let before = try Data(contentsOf: URL(fileURLWithPath: image))
    let file = scratch.path("b.json")
    for arguments in [
      ["bench", "--json", file, "nope"], ["conform", scratch.path("none"), "--json", file],
      ["--headless", "--json=\(file)", "--no-such"], ["explain", "--json", file, "missing.img"],
      ["conform", "host", "--cases", "1", "--cases", "2", "--json", file],
    ] {
      try? FileManager.default.removeItem(atPath: file)
      #expect(try Program.run(arguments).code == 64, "\(arguments)")
      let text = try String(contentsOfFile: file, encoding: .utf8)
      #expect(try object(text)["schema"] as? String == "apus-error", "\(arguments)")
    }
    let missing = try Program.run(["conform", "host", "--json"])
    #expect(missing.code == 64)
    #expect(try object(missing.output)["exitCode"] as? Int == 64)
    // An image is no report's file, and not an error's either.
    let wrong = try Program.run(["--headless", image, "--json=\(image)"])
    #expect(wrong.code == 64 && wrong.error.contains("would overwrite"))
    #expect(try Data(contentsOf: URL(fileURLWithPath: image)) == before)
    // Nor is a file of the user's that is JSON, or empty.
    for contents in ["{\"mine\": 1}", ""] {
      let file = try scratch.file("mine.json", Array(contents.utf8))
      let refused = try Program.run(["--headless", image, "--bios", file, "--json=\(file)"])
      #expect(refused.code == 64)
      #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == Data(contents.utf8))
    }
  }

  @Test func optionsGivenTwiceAreRefusedEverywhere() throws {
    let scratch = try Scratch()
    for arguments in [
      ["conform", "host", "--seed", "1", "--seed=2"], ["bench", "--runs", "1", "--runs", "2"],
      ["--headless", "--json=\(scratch.path("a"))", "--json=\(scratch.path("b"))"],
    ] {
      let result = try Program.run(arguments)
      #expect(result.code == 64 && result.error.contains("given twice"), "\(result.error)")
    }
    #expect(throws: Never.self) {
      try OptionsTwice.check(["--also", "a", "--also", "b"], help: BenchCommand.helpMessage())
    }
  }

  @Test func aPictureIsPNGAndAloneOnStandardOutput() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", halts)
    let picture = scratch.path("out.png")
    #expect(
      try shell("$APUS --headless '\(image)' --screenshot - 2>/dev/null > '\(picture)'").code == 0)
    let bytes = try Data(contentsOf: URL(fileURLWithPath: picture))
    #expect(bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]))
    for words in [
      ["--screenshot", "-", "--json"], ["--screenshot", "-", "--screen-text"],
      ["--screenshot", "-", "--debug-console", "-"], ["--screenshot", "-", "--serial", "stdio"],
      ["--screenshot", scratch.path("s.gif")],
    ] {
      let result = try Program.run(["--headless", image] + words)
      #expect(result.code == 64 && result.error.contains("--screenshot"), "\(words)")
    }
  }

  @Test(.enabled(if: FileManager.default.fileExists(atPath: "/dev/full")))
  func aLossIsTheMessageOfTheReport() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", leavesLineOpen)
    let result = try Program.run([
      "--headless", "--json", image, "--exit-port", "f4", "--debug-console", "/dev/full",
    ])
    let message = try object(result.output)["message"] as? String
    #expect(result.code == 74 && message?.contains("--debug-console /dev/full") == true)
  }
}
