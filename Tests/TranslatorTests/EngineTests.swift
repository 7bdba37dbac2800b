// Random programs in both engines, in every mode.
//
// APUS_ENGINE_PROGRAMS=N runs N of each model, APUS_ENGINE_SEED=N others than the usual ones. A program that differs is shown with its
// number; `apus conform engines --seed S --cpu M --only N` runs it again.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU
  import Conformance
  import Glibc
  import TestSupport
  import Testing
  import Translator

  private func number(_ name: String, _ usual: UInt64) -> UInt64 {
    guard let text = getenv(name), let value = UInt64(String(cString: text)) else { return usual }
    return value
  }

  @Suite struct EngineTests {
    @Test(arguments: ["386", "pentium2", "pentium4"])
    func randomProgramsRunAlike(name: String) throws {
      let model = try #require(CPUModel.named(name))
      let run = try EngineRun(seed: number("APUS_ENGINE_SEED", 1), model: model)
      var failed = 0
      for n in 0..<number("APUS_ENGINE_PROGRAMS", 1500) {
        guard let failure = run.run(number: n) else { continue }
        Issue.record("program \(failure.number): \(failure.text)")
        failed += 1
        if failed == 3 { break }
      }
    }

    @Test(arguments: TranslatorOptions.named.map(\.name))
    func eachOptimisationCanBeLeftOut(name: String) throws {
      let model = try #require(CPUModel.named("pentium4"))
      let option = try #require(TranslatorOptions.named(name))
      let run = try EngineRun(
        seed: 7, model: model, options: TranslatorOptions.all.subtracting(option))
      for n in 0..<number("APUS_ENGINE_PROGRAMS", 300) {
        guard let failure = run.run(number: n) else { continue }
        Issue.record("without \(name), program \(failure.number): \(failure.text)")
        break
      }
    }
  }
#endif
