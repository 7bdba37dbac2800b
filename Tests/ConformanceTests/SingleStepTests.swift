import CPU
import Conformance
import Foundation
import Testing

/// The vectors' folder: APUS_CONFORMANCE, or ../shared/conformance beside the package.
let conformanceFolder: String? = {
  let fallback = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../../shared/conformance").standardized.path
  let folder = ProcessInfo.processInfo.environment["APUS_CONFORMANCE"] ?? fallback
  return FileManager.default.fileExists(atPath: folder) ? folder : nil
}()

/// What others measured on silicon; nothing of it is in this repository.
@Suite(
  "Shared vectors",
  .enabled(if: conformanceFolder != nil, "set APUS_CONFORMANCE to the vectors' folder"))
struct SharedVectorTests {
  private func run(_ name: String, atLeast: Int) throws {
    let selection = SuiteFiles(
      paths: [conformanceFolder! + "/" + name],
      filter: ProcessInfo.processInfo.environment["APUS_FILTER"] ?? "")
    #expect(selection.problems.isEmpty)
    let report = try ConformanceRun(files: selection.files, options: ConformanceOptions()).run()
    print(report.text())
    #expect(report.failed == 0)
    #expect(report.damaged == 0)
    #expect(report.passed >= atLeast)
  }

  @Test func every286VectorPassesButTheNamedOnes() throws { try run("sst286", atLeast: 62_000) }
  @Test func every8086VectorPassesButTheNamedOnes() throws { try run("sst8086", atLeast: 57_000) }
  @Test func everyX87VectorPasses() throws { try run("x87", atLeast: 109_680) }
}
