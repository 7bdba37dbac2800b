// Going back to a snapshot that a part of the machine does not take: the machine stays what it was, or does not run any more.

import Bus
import State
import TestSupport
import Testing

@testable import Machine

@Suite struct RefusedSnapshotTests {
  /// A device whose states of some values it does not read.
  private final class Moody: Device {
    let stateName = "moody"
    var value: UInt8 = 0
    var refused: Set<UInt8> = []

    func reset(_ kind: ResetKind) {}
    func save(to writer: inout StateWriter) { writer.write(value) }
    func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
      value = try reader.read()
      if refused.contains(value) { throw reader.error("a value of \(value)") }
    }
    func inspect() -> [Field] { [.register("value", value)] }

    static let part = PartType("moody", "refuses what it saved") { board, _ in
      try board.add(Moody())
    }
  }

  private func machine() throws -> (Machine, Moody) {
    let machine = try MachineTests.machine(booting: Guest.ticks)
    let catalogue = PartCatalogue(PartCatalogue.all.types + [Moody.part])
    try BoardDescription(name: "test", text: "moody\n").build(
      machine.board, catalogue, facts: [])
    return (machine, try #require(machine.board.all(Moody.self).first))
  }

  private let middle: UInt64 = 40_000_000
  private let end: UInt64 = 50_000_000

  @Test func theMachineStaysWhereItWas() throws {
    let (straight, mood) = try machine()
    mood.value = 2
    _ = straight.run(untilInstruction: end)
    let expected = straight.stateHash()

    let (machine, moody) = try machine()
    moody.value = 1
    let travel = machine.enableTimeTravel()
    moody.value = 2
    moody.refused = [1]
    _ = machine.run(untilInstruction: middle)
    let hash = machine.stateHash()
    for _ in 0..<2 {
      #expect { try travel.goto(1_000) } throws: {
        "\($0)".contains("a snapshot cannot be put back") && "\($0)".contains("a value of 1")
      }
      #expect(travel.position == middle)
      #expect(machine.stateHash() == hash)
    }
    _ = machine.run(untilInstruction: end)
    #expect(machine.stateHash() == expected)
    // With its consent the way is free.
    moody.refused = []
    try travel.goto(1_000)
    #expect(travel.position == 1_000 && moody.value == 1)
  }

  @Test func whatCannotGoBackEitherDoesNotRun() throws {
    let (machine, moody) = try machine()
    moody.value = 1
    let travel = machine.enableTimeTravel()
    moody.value = 2
    moody.refused = [1, 2]
    _ = machine.run(untilInstruction: middle)
    #expect { try travel.goto(1_000) } throws: { "\($0)".contains("half in its past") }
    let position = machine.instructionCount
    let stop = machine.run(untilInstruction: end)
    guard case .replayDiffers(let why) = stop else {
      Issue.record("it ran: \(stop)")
      return
    }
    #expect(why.contains("a value of 2"))
    #expect(machine.instructionCount == position)
    #expect(throws: TimeTravelError.self) { try travel.goto(end) }
  }
}
