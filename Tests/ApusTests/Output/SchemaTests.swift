// JSON of every command, held against the published schemas.

import Foundation
import Testing

@testable import ApusCommand

@Suite(.enabled(if: Program.path != nil), .serialized) struct SchemaTests {
  private func schema(_ name: String) throws -> [String: Any] {
    let result = try Program.run(["schema", name])
    #expect(result.code == 0)
    return try #require(
      try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
  }

  private func check(_ text: String, _ name: String) throws -> [String: Any] {
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
    #expect(SchemaCheck.problems(object, try schema(name)) == [])
    return object
  }

  @Test func theCheckerFindsWhatIsWrong() throws {
    let rule = try schema("error")
    let good: [String: Any] = [
      "schema": "apus-error", "version": 1, "kind": "usage", "message": "x", "file": NSNull(),
      "exitCode": 64,
    ]
    #expect(SchemaCheck.problems(good, rule) == [])
    for (name, value) in [
      ("schema", "other"), ("version", 2), ("kind", "x"), ("message", 1), ("file", 1),
      ("exitCode", 0), ("more", 1),
    ] as [(String, Any)] {
      var bad = good
      bad[name] = value
      #expect(!SchemaCheck.problems(bad, rule).isEmpty, "\(name)")
    }
    for name in good.keys {
      var bad = good
      bad[name] = nil
      #expect(!SchemaCheck.problems(bad, rule).isEmpty, "without \(name)")
    }
  }

  @Test func aRunsReport() throws {
    let scratch = try Scratch()
    let table: [(code: [UInt8], options: [String], reason: String)] = [
      (exits, ["--exit-port", "f4"], "guest-exit"), (halts, [], "halted"),
      (halts, ["--expect", "never"], "halted"),
      (loops, ["--max-instructions", "1000", "--stats"], "instruction-limit"),
      (loops, ["--expect", "never", "--within", ".2"], "expectation-missed"),
      (loops, ["--timeout", ".2"], "timeout"), (tripleFaults, [], "triple-fault"),
    ]
    for (code, options, reason) in table {
      let image = try scratch.floppy("boot.img", code)
      let result = try Program.run(["--headless", "--json", image] + options)
      let object = try check(result.output, "run")
      #expect(object["reason"] as? String == reason)
      #expect(object["exitCode"] as? Int == Int(result.code))
    }
  }

  @Test func errorsAtTheStart() throws {
    let scratch = try Scratch()
    let missing = scratch.path("missing.img")
    let table: [(arguments: [String], code: Int, file: String?)] = [
      (["--json", "--headless", missing], 64, missing), (["--json", "--nonsense"], 64, nil),
      (["--json", "-net", "none"], 64, nil), (["explain", "--json", missing], 64, missing),
      (["debug", "--json", "--headless", missing], 64, missing),
      (["conform", missing, "--json", "-"], 64, nil),
      (["conform", "--nonsense", "--json", "-"], 64, nil),
      (["bench", "nonsense", "--json", "-"], 64, nil),
      (["--json", "--headless", "--serial", "tcp:1.2.3.4.5:1"], 74, nil),
      (["--json", "--headless", "--load-state", missing], 64, missing),
    ]
    for (arguments, code, file) in table {
      let result = try Program.run(arguments)
      #expect(Int(result.code) == code, "\(arguments)")
      let object = try check(result.output, "error")
      #expect(object["exitCode"] as? Int == code)
      if let file { #expect(object["file"] as? String == file, "\(arguments)") }
      let message = try #require(object["message"] as? String)
      #expect(result.error.contains(message), "\(arguments)")
    }
  }

  @Test func explanations() throws {
    let scratch = try Scratch()
    let floppy = try scratch.floppy("boot.img", halts)
    let disk = try scratch.file("disk.img", [UInt8](repeating: 0, count: 4 << 20))
    let result = try Program.run(["explain", "--json", floppy, disk])
    #expect(result.code == 0)
    let drives = try #require(try check(result.output, "explain")["drives"] as? [[String: Any]])
    #expect(drives.map { $0["drive"] as? String } == ["A", "disk 1"])
    #expect(drives.map { $0["kind"] as? String } == ["floppy", "disk"])
    _ = try check(try Program.run(["explain", "--json"]).output, "explain")
    let text = try Program.run(["explain", floppy])
    #expect(text.code == 0 && text.output.contains("\(floppy): drive A"))
  }

  @Test func theDebuggersLines() throws {
    let result = try Program.run([
      "debug", "--headless", "--json", "--command", "info cpu", "--command", "nonsense",
    ])
    for line in result.output.split(separator: "\n") { _ = try check(String(line), "debug") }
    #expect(result.output.split(separator: "\n").count >= 2)
  }

  @Test func explainTellsOfEveryImageAlsoBehindABadOne() throws {
    let scratch = try Scratch()
    let short = try scratch.file("short.img", [1, 2, 3])
    let good = try scratch.file("good.img", [UInt8](repeating: 0, count: 1_474_560))
    let missing = scratch.path("missing.img")
    let result = try Program.run(["explain", short, good, missing])
    #expect(result.code == 64)
    #expect(result.output.contains("\(good): drive A"))
    #expect(result.error.contains(short) && result.error.contains(missing))
    let object = try check(
      try Program.run(["explain", "--json", short, good, missing]).output, "explain")
    #expect((object["failures"] as? [[String: Any]])?.count == 2)
  }

  /// Linux boot protocol: 55AAh at 1FEh, "HdrS" at 202h. Multiboot 1: magic, flags and checksum in the first 8192 bytes.
  @Test func aKernelGivenAsAnImageIsRecognised() throws {
    let scratch = try Scratch()
    var linux = [UInt8](repeating: 0, count: 3 << 20)
    linux[0x1FE] = 0x55
    linux[0x1FF] = 0xAA
    linux.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
    var multiboot = [UInt8](repeating: 0, count: 3 << 20)
    multiboot.replaceSubrange(0..<4, with: [0x7F, 0x45, 0x4C, 0x46])
    multiboot.replaceSubrange(
      0x1000..<0x100C, with: [0x02, 0xB0, 0xAD, 0x1B, 0, 0, 0, 0, 0xFE, 0x4F, 0x52, 0xE4])
    let path = try scratch.file("bzImage", linux)
    let result = try Program.run(["explain", path])
    #expect(result.code == 0)
    #expect(result.error.contains("\(path): is a Linux kernel: use --kernel"), "\(result.error)")
    #expect(try !Program.run(["explain", "--disk", path]).error.contains("--kernel"))
    // Nothing that boots begins like this.
    let refused = try Program.run(["explain", try scratch.file("kernel.elf", multiboot)])
    #expect(refused.code == 64 && refused.error.contains("--kernel"), "\(refused.error)")
  }

  @Test func conformanceReports() throws {
    let scratch = try Scratch()
    let test = try scratch.file(
      "t.json",
      Array(
        """
        {"format": "apus-state-test/1", "name": "t", "mode": "real", "code": "90 F4",
         "expected": {"eax": "1"}}
        """.utf8))
    let result = try Program.run(["conform", test, "--json", "-"])
    #expect(result.code == 1, "\(result.error)")
    _ = try check(result.output, "conform")
  }

  @Test func everySchemaIsPublishedAndNamed() throws {
    let list = try Program.run(["schema"]).output
    for document in Schemas.all {
      #expect(list.contains("  \(document.name) "))
      #expect(try schema(document.name)["$id"] as? String == "apus-\(document.name)-1")
      #expect(Schemas.named("apus-" + document.name)?.text == document.text)
    }
    #expect(try Program.run(["schema", "nonsense"]).code == 64)
  }
}
