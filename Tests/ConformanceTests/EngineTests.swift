import CPU
import Foundation
import Testing
import Translator
import TranslatorX86_64

@testable import Conformance

/// Suites in both engines side by side, and the two ways to carry out x87 instructions.
@Suite(
  "Engines of conformance runs",
  .enabled(if: Translator.obstacle == nil, "this host runs no translated code"))
struct EngineTests {
  private func run(
    _ paths: [String], engine: Engine, fpu: FPUUnit? = nil, shard: Int = 1
  ) throws -> ConformanceReport {
    let selection = SuiteFiles(paths: paths)
    #expect(selection.problems.isEmpty)
    var options = ConformanceOptions()
    options.engine = engine
    options.fpu = fpu
    options.jobs = 2
    options.shard = (1, shard)
    return try ConformanceRun(files: selection.files, options: options).run()
  }

  /// The shared vectors, where they are.
  private static let vectors: String? = {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    var places = [ProcessInfo.processInfo.environment["APUS_CONFORMANCE"] ?? ""]
    places += ["../shared/conformance", "../../shared/conformance"].map {
      root.appendingPathComponent($0).path
    }
    return places.first { FileManager.default.fileExists(atPath: $0 + "/x87") }
  }()

  /// 1 + 1 and 1 / 3, with one wrong result.
  private func additions(_ folder: Folder) throws {
    try folder.write(
      "extF80_add.near_even.p80.txt",
      Array(
        """
        3FFF8000000000000000 3FFF8000000000000000 40008000000000000000 00
        3FFF8000000000000000 3FFF8000000000000000 40008000000000000001 00
        7FFFA000000000000000 3FFF8000000000000000 7FFFE000000000000000 10

        """.utf8))
    try folder.write(
      "extF80_div.min.p32.txt",
      Array("3FFF8000000000000000 4000C000000000000000 3FFDAAAAAA0000000000 01\n".utf8))
    try folder.write(
      "extF80_le_quiet.txt", Array("7FFFA000000000000000 3FFF8000000000000000 0 10\n".utf8))
    try folder.write("i32_to_extF80.txt", Array("FFFFFFFE C0008000000000000000 00\n".utf8))
    try folder.write("extF80_to_f32.max.txt", Array("3FFF8000000000000001 3F800001 01\n".utf8))
  }

  @Test(arguments: [Engine.interpreter, .translator, .lockstep], [FPUUnit.software, .host])
  func x87VectorsRunAsGuestCode(engine: Engine, fpu: FPUUnit) throws {
    if fpu.unavailable(with: engine) != nil { return }
    let folder = try Folder()
    try additions(folder)
    let report = try run([folder.path], engine: engine, fpu: fpu)
    #expect(report.passed == 6)
    #expect(report.failed == 1)
    let failure = try #require(report.files.first { $0.failed > 0 }?.failures.first)
    #expect(failure.index == 2)
    #expect(
      failure.differences == ["result: 40008000000000000000, expected 40008000000000000001"])
  }

  @Test func theInterpreterHasNoHostX87() {
    #expect(FPUUnit.host.unavailable(with: .interpreter) != nil)
    #expect(FPUUnit.host.unavailable(with: .translator) == nil)
    for engine in Engine.allCases { #expect(FPUUnit.software.unavailable(with: engine) == nil) }
  }

  @Test(
    .enabled(if: vectors != nil, "no vectors beside the package"),
    arguments: [(Engine.translator, FPUUnit.software), (.translator, .host), (.lockstep, .host)])
  func sharedX87VectorsPass(engine: Engine, fpu: FPUUnit) throws {
    let report = try run([EngineTests.vectors! + "/x87"], engine: engine, fpu: fpu)
    #expect(report.passed > 100_000)
    #expect(report.failed == 0)
  }

  @Test(.enabled(if: vectors != nil, "no vectors beside the package"))
  func sharedSingleStepTestsPassInLockstep() throws {
    let folders = ["sst286", "sst8086"].map { EngineTests.vectors! + "/" + $0 }
    let report = try run(folders, engine: .lockstep, shard: 40)
    #expect(report.passed > 2500)
    #expect(report.failed == 0)
  }

  @Test func singleStepTestsRunInBothEngines() throws {
    let folder = try Folder()
    try folder.write("01.MOO", ConformanceTests.additions(20, wrong: [5]))
    let report = try run([folder.path], engine: .lockstep)
    #expect(report.passed == 19)
    #expect(report.failed == 1)
    #expect(
      report.files[0].failures[0].differences == [
        "ax: 0x0106, expected 0x0107, differs in 0x0001"
      ])
  }

  @Test func whatTheEnginesDoDifferentlyIsTold() throws {
    let runner = try SingleStepRunner(rules: .i286, model: .pentium2, engine: .lockstep)
    let file = try MOOFile(bytes: ConformanceTests.additions(3), path: "01")
    for test in file.tests {
      #expect(runner.run(test).isEmpty)
      #expect(runner.engineDifferences(test) == nil)
      runner.cleanUp(test)
    }
    // A byte that one of them alone has.
    runner.twin?.poke(0x500, 7)
    #expect(runner.run(file.tests[0]).isEmpty)
    #expect(
      runner.engineDifferences(file.tests[0]) == [
        "the engines differ after 2 instructions:", "[0x00500]: 0x00, translated 0x07",
      ])
    runner.cleanUp(file.tests[0])
    // Once only.
    #expect(runner.run(file.tests[1]).isEmpty)
    #expect(runner.engineDifferences(file.tests[1]) == nil)
  }

  @Test func testsInJSONRunInBothEngines() throws {
    for (mode, exception) in [("real", ""), ("protected32", ""), ("user32", "")] {
      // inc eax; fld1; hlt
      let json = """
        { "format": "apus-state-test/1", "mode": "\(mode)", "code": "40 D9 E8 F4",
          "expected": { "eax": 1, "st0": "3FFF8000000000000000"\(exception) } }
        """
      let test = try StateTest(bytes: Array(json.utf8), path: "test.json")
      #expect(try StateTestRunner(test, model: nil, engine: .lockstep).run() == [], "\(mode)")
    }
  }
}
