// `apus bench` as a user runs it: what it refuses, and every kernel in Apus with the checksum that the host's processor, QEMU and Bochs have.

import Benchmark
import Foundation
import Testing

private let hasTools: Bool = {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    "apus-bench-tools-\(ProcessInfo.processInfo.processIdentifier)")
  try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return (try? Toolchain(folder: folder.path)) != nil
}()

@Suite(.enabled(if: Program.path != nil)) struct BenchCommandTests {
  @Test(arguments: [
    ["nothing"], ["--runs", "0"], ["--runs", "x"], ["--against", "vmware"],
    ["--engines", "magic"], ["--engines", ""], ["--timeout", "0"], ["--initrd", "x"],
    ["--linux", "/nonexistent"], ["--json", "/nonexistent/file"], ["--rounds", "-1"],
    ["--wrong"], ["--also", "/nonexistent", "start"],
  ])
  func badUsageIsToldInOneLine(_ arguments: [String]) throws {
    let end = try Program.run(["bench"] + arguments)
    #expect(end.code == 64)
    #expect(end.error.hasPrefix("apus bench: "))
    #expect(end.error.split(separator: "\n").count == 1)
    #expect(end.output.isEmpty)
  }

  @Test func helpNamesTheKernels() throws {
    let end = try Program.run(["bench", "--help"])
    #expect(end.code == 0)
    #expect(end.output.contains("vgaplane"))
  }

  @Test(.enabled(if: hasTools)) func kernelsHaveTheirChecksumsInApus() throws {
    let scratch = try Scratch()
    let (json, svg) = (scratch.path("out.json"), scratch.path("out.svg"))
    let end = try Program.run([
      "bench", "--rounds", "2", "--runs", "1", "--against", "none", "--json", json, "--svg", svg,
    ])
    #expect(end.error == "")
    #expect(end.code == 0)
    let data = try Data(contentsOf: URL(fileURLWithPath: json))
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let rows = try #require(object["rows"] as? [[String: Any]])
    #expect(rows.count == 17)
    for row in rows {
      let results = try #require(row["results"] as? [String: [String: Any]])
      #expect((results["apus"]?["median"] as? Double ?? 0) > 0)
    }
    #expect(try String(contentsOfFile: svg, encoding: .utf8).hasPrefix("<?xml"))
    #expect(end.output.contains("vgaplane"))
  }

  @Test(.enabled(if: hasTools)) func kernelsHaveTheirChecksumsUnderPaging() throws {
    let end = try Program.run([
      "bench", "intmix", "calls", "string", "smc", "--rounds", "2", "--runs", "1", "--against",
      "none",
      "--paging",
    ])
    #expect(end.error == "")
    #expect(end.code == 0)
  }

  #if os(Linux) && arch(x86_64)
    @Test(.enabled(if: hasTools)) func theHostHasTheSameChecksums() throws {
      let end = try Program.run([
        "bench", "intmix", "sha256", "calls", "partial", "x87", "--rounds", "2", "--runs", "1",
        "--against", "native",
      ])
      #expect(end.code == 0)
      #expect(end.output.contains("native") || end.error.contains("without native"))
    }
  #endif
}
