// Instructions as the host's processor executes them: what was agreed upon, without asking the host.
//
// Owns: digests of cases that `apus conform host` found to be the same on processors of different makers, or told apart by a named rule;
// the rules; what is made of a difference. Must not know: which processor this is.
// The digests stand for: Intel family 6 model 6Ah and AMD family 19h. `apus conform host` with the same seeds compares again.

import CPU
import Foundation
import Host
import Testing

@testable import Conformance

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  @Suite("Host comparison", .serialized) struct HostComparisonTests {
    private func run(
      seed: UInt64, filter: String = "", engine: Engine = .interpreter,
      identity: HostIdentity = HostIdentity(vendor: "", family: 0, model: 0)
    ) throws -> HostRun {
      try HostRun(
        seed: seed, model: .pentium4, filter: filter, engine: engine, identity: identity,
        usesHost: false)
    }

    /// Runs cases in Apus; they must end as agreed.
    private func check(
      _ cases: UInt64, seed: UInt64, filter: String = "", engine: Engine = .interpreter,
      agreed: UInt64
    ) throws -> HostRun {
      let run = try run(seed: seed, filter: filter, engine: engine)
      for number in 0..<cases {
        if let failure = run.run(number: number) { Issue.record("\(failure.text)") }
      }
      let words =
        "apus conform host --seed \(seed) --cases \(cases) --filter '\(filter)' tells more"
      #expect(run.digest == agreed, "digest \(String(run.digest, radix: 16)); \(words)")
      return run
    }

    @Test func randomInstructionsEndAsAgreed() throws {
      let run = try check(40_000, seed: 20, agreed: 0xD26A_42E8_6961_BFD8)
      // Most cases are carried out; every kind of fault that level 3 can see occurs, those of x87 and SSE too.
      #expect(run.vectors[1, default: 0] > 25_000)
      for vector in [UInt8(0), 3, 4, 5, 6, 12, 13, 14, 16, 19] {
        #expect(run.vectors[vector, default: 0] > 0, "no #\(vector)")
      }
    }

    @Test(
      arguments: [
        ("d8,d9,da,db,dc,dd,de,df,9b", 0xD806_52E6_E5A1_8B5C),
        ("fxsave,fxrstor,ldmxcsr,stmxcsr", 0xC247_F127_A997_44CF),
        (
          "callfar*,jmpfar*,retfar,iret,lds,les,lss,lfs,lgs,lar,lsl,verr,verw,mov*seg,popseg,pushseg",
          0x4C63_AADC_E960_35A1
        ),
      ] as [(String, UInt64)])
    func chosenFormsEndAsAgreed(filter: String, agreed: UInt64) throws {
      _ = try check(5000, seed: 21, filter: filter, agreed: agreed)
    }

    @Test(
      .enabled(if: Engine.translator.unavailableForTests == nil),
      arguments: [Engine.interpreter, .translator, .lockstep])
    func everyEngineEndsAsAgreed(engine: Engine) throws {
      _ = try check(4000, seed: 22, engine: engine, agreed: 0x9341_7E07_6272_EF08)
    }

    @Test func casesBecomeTestsThatRunWithoutTheHost() throws {
      let run = try run(seed: 23)
      var written = 0
      for number in 0..<UInt64(400) {
        #expect(run.run(number: number)?.text == nil)
        // Some cases are no tests: long repetitions.
        guard let test = try? run.test(number: number) else { continue }
        let read = try StateTest(bytes: Array(test.json().utf8), path: "case")
        #expect(try StateTestRunner(read, model: nil).run() == [], "case \(number)")
        written += 1
      }
      #expect(written > 360)
    }

    @Test func theSameSeedGivesTheSameCases() throws {
      let entries = HostCase.Entries(HostCase.entries)
      let a = HostCase(seed: 5, number: 123, entries: entries)
      let b = HostCase(seed: 5, number: 123, entries: entries)
      let c = HostCase(seed: 6, number: 123, entries: entries)
      #expect(a.bytes == b.bytes && a.state == b.state)
      #expect(a.bytes != c.bytes || a.state != c.state)
    }

    // MARK: - Differences

    @Test func aDifferenceIsShrunkAndTold() throws {
      let run = try run(seed: 1, filter: "xor")
      run.alter = { test, host in
        if host.vector == 1 && test.state.registers[2] != 0 { host.registers[2] ^= 0x10 }
      }
      let found = (0..<UInt64(50)).compactMap { run.run(number: $0) }
      let failure = try #require(found.first)
      #expect(failure.operation == "xor")
      #expect(failure.text.contains("EDX: "))
      #expect(failure.text.contains("eax=00000000"))
    }

    private static let zen4 = HostIdentity(vendor: "AuthenticAMD", family: 0x19, model: 0x11)
    private static let iceLake = HostIdentity(vendor: "GenuineIntel", family: 6, model: 0x6A)

    @Test func rulesAreForTheProcessorsTheyName() throws {
      for (identity, isExplained) in [(Self.zen4, true), (Self.iceLake, false)] {
        let run = try run(seed: 2, filter: "verr", identity: identity)
        // LOCK with VERR is no #UD on AMD's processors; what it does there instead is not looked at.
        run.alter = { test, host in
          if host.vector == 6 && test.prefixes.contains(0xF0) { host.vector = 1 }
        }
        let found = (0..<UInt64(400)).compactMap { run.run(number: $0) }
        #expect(found.isEmpty == isExplained)
        let rules = run.byRule.keys.filter { $0.hasPrefix("lock-verr") }
        #expect(rules.isEmpty != isExplained)
      }
    }

    @Test func aRuleExplainsNothingElse() throws {
      let run = try run(seed: 2, filter: "verr", identity: Self.zen4)
      run.alter = { _, host in if host.vector == 1 { host.eflags ^= 0x40 } }
      #expect((0..<UInt64(50)).contains { run.run(number: $0) != nil })
    }

    @Test func rulesHaveNamesOfTheirOwnAndTellWhatTheManualSays() {
      let names = HostRules.all.map(\.name)
      #expect(Set(names).count == names.count)
      for rule in HostRules.all {
        #expect(!rule.what.isEmpty && !rule.manual.isEmpty && !rule.processorText.isEmpty)
      }
    }

    @Test func processorsAreToldByCPUID() {
      func word(_ text: String) -> UInt32 {
        text.utf8.reversed().reduce(0) { $0 << 8 | UInt32($1) }
      }
      let leaves: [UInt32: HostIdentity.Leaf] = [
        0: .init(eax: 0x10, ebx: word("Auth"), ecx: word("cAMD"), edx: word("enti")),
        // Family Fh + Ah, model 1h << 4 | 1, stepping 1: AMD's EPYC 9004.
        1: .init(eax: 0x00A1_0F11), 7: .init(ebx: 1 << 6 | 1 << 13),
        0x8000_0000: .init(eax: 0x8000_0028),
        0x8000_0002: .init(
          eax: word("AMD "), ebx: word("EPYC"), ecx: word(" 965"), edx: word("4   ")),
      ]
      let host = HostIdentity { leaves[$0] ?? .init() }
      #expect(host.maker == .amd)
      #expect((host.family, host.model, host.stepping) == (0x19, 0x11, 1))
      #expect(host.tellsDataPointerOnExceptions && host.hasNoPointerSelectors)
      #expect(
        host.text == "AuthenticAMD family 19h model 11h stepping 1 (AMD EPYC 9654)")
      // Family 6, model 6Ah, stepping 6.
      let intel = HostIdentity {
        switch $0 {
        case 0: .init(eax: 1, ebx: word("Genu"), ecx: word("ntel"), edx: word("ineI"))
        case 1: .init(eax: 0x0006_06A6)
        default: .init()
        }
      }
      #expect(intel.text == "GenuineIntel family 6h model 6Ah stepping 6")
    }
  }
#endif
