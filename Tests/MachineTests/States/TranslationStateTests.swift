// What a processor has translated is part of a state: a guest that clears accessed bits without INVLPG sees the difference.
// Follows: Intel SDM volume 3, 4.10.2.3 (details of TLB use) and 4.8 (accessed and dirty flags).

import CPU
import Session
import State
import Testing

@testable import Machine

enum StateROMs {}

@Suite struct TranslationStateTests {
  private func guest(_ engine: Engine) throws -> Machine {
    let rom = try #require(StateROMs.all["accessed"])
    var configuration = MachineConfiguration.small(floppy: rom())
    configuration.cpu = .pentium2
    configuration.exitPort = 0xF4
    configuration.engine = engine
    return try Machine(configuration)
  }

  private func sum(_ machine: Machine) -> [UInt8] { machine.memory.peek(0x9000, count: 4) }

  @Test(arguments: [Engine.interpreter, .translator])
  func savingAndLoadingShowsNothing(engine: Engine) throws {
    let straight = try guest(engine)
    #expect(straight.run(untilInstruction: enough) == .guestExit(1))
    let expected = straight.stateHash()
    let end = straight.instructionCount
    let source = try guest(engine)
    var random = SplitMix(seed: 5)
    // The last two hundred rounds: before them the BIOS runs.
    let first = end - 60_000
    var lost = 0
    for _ in 0..<60 {
      let at = max(source.instructionCount, first) + random.next() % 1_900
      if at >= end { break }
      _ = source.run(untilInstruction: at)
      let saved = source.saveState()
      let loaded = try guest(engine)
      try loaded.restoreState(saved)
      #expect(loaded.saveState() == saved, "saved again at \(at)")
      #expect(loaded.run(untilInstruction: enough) == .guestExit(1))
      #expect(loaded.stateHash() == expected, "loaded at \(at)")
      // This guest can tell.
      let forgetful = try guest(engine)
      try forgetful.restoreState(saved)
      forgetful.cpu.flushTLB()
      _ = forgetful.run(untilInstruction: enough)
      if forgetful.stateHash() != expected { lost += 1 }
    }
    #expect(lost > 5)
    #expect(source.run(untilInstruction: enough) == .guestExit(1))
    #expect(source.stateHash() == expected)
  }

  @Test func theEnginesTranslateTheSame() throws {
    let (one, other) = (try guest(.interpreter), try guest(.translator))
    let straight = try guest(.interpreter)
    _ = straight.run(untilInstruction: enough)
    let end = straight.instructionCount
    for at in stride(from: end - 60_000, to: end, by: 997) {
      _ = one.run(untilInstruction: at)
      _ = other.run(untilInstruction: at)
      #expect(one.saveState() == other.saveState(), "at \(at)")
    }
  }

  @Test func entriesThatLeadNowhereAreRefused() throws {
    let source = try guest(.interpreter)
    let straight = try guest(.interpreter)
    _ = straight.run(untilInstruction: enough)
    _ = source.run(untilInstruction: straight.instructionCount - 10_000)
    var writer = StateWriter()
    source.cpu.saveTranslations(to: &writer)
    let bytes = writer.bytes
    var random = SplitMix(seed: 11)
    var refused = 0
    for _ in 0..<20_000 {
      var damaged = bytes
      for _ in 0...random.next() % 3 {
        damaged[Int(random.next() % UInt64(damaged.count))] = UInt8(
          truncatingIfNeeded: random.next())
      }
      if random.next() % 4 == 0 { damaged.removeLast(Int(random.next() % UInt64(damaged.count))) }
      var reader = StateReader(damaged)
      do throws(StateError) {
        let saved = try source.cpu.readTranslations(from: &reader)
        source.cpu.restoreTranslations(saved)
      } catch {
        refused += 1
      }
    }
    #expect(refused > 1000)
  }
}
