import State
import Testing

@testable import Bus

@Suite struct VirtualClockTests {
  final class Log { var names: [String] = [] }

  @Test func eventsRunInOrderOfDeadlineThenRegistration() {
    let clock = VirtualClock(instructionsPerSecond: 1_000_000)
    var instructions: UInt64 = 0
    clock.instructionCount = { instructions }
    let log = Log()
    let a = clock.register("a") { log.names.append("a") }
    let b = clock.register("b") { log.names.append("b") }
    let c = clock.register("c") { log.names.append("c") }
    clock.schedule(c, at: 1_000)
    clock.schedule(b, at: 5_000)
    clock.schedule(a, at: 5_000)
    instructions = 4
    clock.runDueEvents()
    #expect(log.names == ["c"])
    instructions = 5
    clock.runDueEvents()
    #expect(log.names == ["c", "a", "b"])
    #expect(clock.nextDeadline == VirtualClock.never)
  }

  @Test func anEventIsDueAtTheFirstInstructionThatReachesItsTime() {
    let clock = VirtualClock(instructionsPerSecond: 3_000_000)
    for time in [UInt64(1), 333, 334, 1_000, 999_999_999, 1_000_000_007] {
      let n = clock.instruction(atNanoseconds: time)
      #expect(clock.nanoseconds(atInstruction: n) >= time)
      #expect(clock.nanoseconds(atInstruction: n - 1) < time)
    }
  }

  @Test func timeThatPassesWithoutInstructionsMakesEventsDueEarlier() {
    let clock = VirtualClock(instructionsPerSecond: 3_000_000)
    var instructions: UInt64 = 100
    clock.instructionCount = { instructions }
    let before = clock.now
    clock.pass(nanoseconds: 1_000)
    #expect(clock.now == before + 1_000)
    let time = before + 5_000
    let n = clock.instruction(atNanoseconds: time)
    #expect(clock.nanoseconds(atInstruction: n) >= time)
    #expect(clock.nanoseconds(atInstruction: n - 1) < time)
    // What has gone by is due at once.
    let log = Log()
    let a = clock.register("a") { log.names.append("a") }
    clock.schedule(a, after: 500)
    clock.pass(nanoseconds: 600)
    #expect(clock.instruction(atNanoseconds: clock.nextDeadline) <= instructions)
    clock.runDueEvents()
    #expect(log.names == ["a"])
    #expect(clock.instructions(inNanoseconds: 1_000) == 3)
    #expect(clock.instructions(inNanoseconds: 1_001) == 4)
    instructions += 1
  }

  @Test func timeStaysContinuousWhenTheRateChanges() {
    let clock = VirtualClock(instructionsPerSecond: 1_000_000)
    var instructions: UInt64 = 0
    clock.instructionCount = { instructions }
    instructions = 1_000
    clock.setInstructionsPerSecond(2_000_000)
    #expect(clock.now == 1_000_000)
    instructions = 3_000
    #expect(clock.now == 2_000_000)
  }

  @Test func aSavedClockRestoresItsEvents() throws {
    let clock = VirtualClock(instructionsPerSecond: 1_000_000)
    clock.schedule(clock.register("x") {}, at: 77)
    var writer = StateWriter()
    clock.save(to: &writer)
    let other = VirtualClock(instructionsPerSecond: 5_000)
    let x = other.register("x") {}
    var reader = StateReader(writer.bytes)
    try other.restore(from: &reader)
    #expect(other.deadline(of: x) == 77)
    #expect(reader.remaining == 0)
    let stranger = VirtualClock(instructionsPerSecond: 5_000)
    var again = StateReader(writer.bytes)
    #expect(throws: StateError.self) { try stranger.restore(from: &again) }
  }
}
