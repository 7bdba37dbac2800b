import CPU
import Conformance
import Foundation
import Host
import Testing

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  /// Instructions as the host's processor executes them. Serialized: there is one region and one set of signal handlers.
  @Suite("Host comparison", .serialized) struct HostTests {
    /// nil, with a message, where the host allows no LDT segments or low memory.
    private func hostRun(
      seed: UInt64, filter: String = "", engine: Engine = .interpreter
    ) -> HostRun? {
      do { return try HostRun(seed: seed, model: .pentium4, filter: filter, engine: engine) } catch
      {
        print("skipped: \(error.reason)")
        return nil
      }
    }

    /// Runs cases; nothing may differ. Returns how they ended, or nil when skipped.
    private func compare(
      _ cases: UInt64, seed: UInt64, filter: String = "", engine: Engine = .interpreter
    ) -> HostRun? {
      guard let run = hostRun(seed: seed, filter: filter, engine: engine) else { return nil }
      var failures: [String] = []
      for number in 0..<cases {
        if let failure = run.run(number: number) {
          failures.append("case \(failure.number): \(failure.text)")
        }
      }
      for text in failures.prefix(5) { print(text) }
      #expect(failures.isEmpty)
      return run
    }

    @Test func randomInstructionsDoWhatTheHostDoes() throws {
      guard let run = compare(40_000, seed: 20) else { return }
      // Most cases are carried out; every kind of fault that level 3 can see occurs, those of x87 and SSE too.
      #expect(run.vectors[1, default: 0] > 25_000)
      for vector in [UInt8(0), 3, 4, 5, 6, 12, 13, 14, 16, 19] {
        #expect(run.vectors[vector, default: 0] > 0, "no #\(vector)")
      }
    }

    @Test(arguments: [
      "d8,d9,da,db,dc,dd,de,df,9b", "fxsave,fxrstor,ldmxcsr,stmxcsr",
      "callfar,jmpfar,retfar,iret,lds,les,lss,lfs,lgs,lar,lsl,verr,verw,movseg,popseg,pushseg",
    ])
    func chosenFormsDoWhatTheHostDoes(filter: String) {
      _ = compare(5000, seed: 21, filter: filter)
    }

    @Test func translatedCodeDoesWhatTheHostDoes() {
      _ = compare(5000, seed: 22, engine: .translator)
    }

    @Test func casesBecomeTestsThatRunWithoutTheHost() throws {
      guard let run = hostRun(seed: 23) else { return }
      var written = 0
      for number in 0..<UInt64(400) {
        #expect(run.run(number: number)?.text == nil)
        // Some cases are no tests: those whose exception only a rule explains, and long repetitions.
        guard let test = try? run.test(number: number) else { continue }
        let read = try StateTest(bytes: Array(test.json().utf8), path: "case")
        #expect(try StateTestRunner(read, model: nil).run() == [], "case \(number)")
        written += 1
      }
      #expect(written > 360)
    }

    @Test func enginesAgreeInLockstep() {
      _ = compare(3000, seed: 24, engine: .lockstep)
    }

    @Test func theSameSeedGivesTheSameCases() throws {
      let entries = HostCase.Entries(HostCase.entries)
      let a = HostCase(seed: 5, number: 123, entries: entries)
      let b = HostCase(seed: 5, number: 123, entries: entries)
      let c = HostCase(seed: 6, number: 123, entries: entries)
      #expect(a.bytes == b.bytes && a.state == b.state)
      #expect(a.bytes != c.bytes || a.state != c.state)
    }
  }
#endif
