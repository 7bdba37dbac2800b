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

@Suite struct SingleStepTests {
  private func check(_ name: String, _ rules: SingleStepRunner.Rules) throws {
    guard let conformanceFolder else {
      print("skipped: no conformance vectors (set APUS_CONFORMANCE to their folder)")
      return
    }
    let suite = SingleStepSuite(folder: conformanceFolder + "/" + name, rules: rules)
    let report = try suite.run(
      model: .pentium2, filter: ProcessInfo.processInfo.environment["APUS_FILTER"] ?? "")
    print("\(name): \(report.passed) passed, \(report.failures.count) failed")
    for (reason, count) in report.excluded.sorted(by: { $0.key < $1.key }) {
      print("  excluded \(count): \(reason)")
    }
    var shown: [String: Int] = [:]
    for (file, failure) in report.failures {
      shown[file, default: 0] += 1
      if shown[file]! <= 2 {
        print("  \(file) \(failure.test.index) \(failure.test.name): \(failure.differences)")
      }
    }
    for (file, count) in shown.sorted(by: { $0.key < $1.key }) { print("  \(file): \(count)") }
    #expect(report.passed > 0)
    #expect(report.failures.isEmpty)
    #expect(report.damaged.isEmpty)
  }

  @Test func every286VectorPassesButTheNamedOnes() throws { try check("sst286", .i286) }
  @Test func every8086VectorPassesButTheNamedOnes() throws { try check("sst8086", .i8086) }
}
