// Recording, replay and going back with real systems; see GuestTests.swift for where they come from.

import CPU
import Chipset
import Foundation
import Host
import Session
import Storage
import Testing

@testable import Machine

private let folder = ProcessInfo.processInfo.environment["APUS_GUESTS"]

private func guest(_ name: String) -> String { "\(folder ?? "")/\(name)" }

private func has(_ names: String...) -> Bool {
  folder != nil && names.allSatisfy { FileManager.default.fileExists(atPath: guest($0)) }
}

@Suite(.serialized) struct GuestReverseTests {
  private func freeDOS() throws -> Machine {
    var configuration = MachineConfiguration()
    configuration.floppies[0] = MachineImage(
      try ImageOpener.open(path: guest("freedos.img"), snapshot: true))
    return try Machine(configuration)
  }

  @Test(.enabled(if: has("freedos.img")))
  func typedCommandsAreRecordedAndReplayed() throws {
    var bytes: [UInt8] = []
    let first = try freeDOS()
    try first.startRecording(
      to: RecordingWriter.Target(append: { (more) throws(HostError) in bytes += more }))
    let script = Script([
      .expect("A:\\>"), .type(try KeyScript.parse("echo swift> new.txt<enter>"), ""),
      .type(try KeyScript.parse("echo the swift<enter>"), ""), .expect("the swift\n"),
    ])
    first.script = script
    let stop = first.run(untilInstruction: 20_000_000_000)
    #expect(stop == .expectationMet)
    first.finishRecording(stop)

    let second = try freeDOS()
    try second.startReplay(try Recording(bytes))
    #expect(second.run() == .recordingEnd(.expectationMet))
    #expect(second.screenText == first.screenText)
    #expect(second.stateHash() == first.stateHash())
  }

  private func linux() throws -> Machine {
    func file(_ name: String) throws -> LoadFile {
      LoadFile(path: name, bytes: [UInt8](try Data(contentsOf: URL(fileURLWithPath: guest(name)))))
    }
    var configuration = MachineConfiguration()
    configuration.kernel = KernelConfiguration(
      kernel: try file("vmlinuz-686"), commandLine: "console=ttyS0",
      initrd: try file("initramfs.gz"))
    return try Machine(configuration)
  }

  @Test(.enabled(if: has("vmlinuz-686", "initramfs.gz")))
  func linuxGoesBackToWhereItWas() throws {
    var random = SplitMix(seed: 12)
    // To the shell, unbroken.
    let straight = try linux()
    let script = Script([.expect("# ")])
    straight.script = script
    straight.serialOutput = { script.serialOutput($0, $1) }
    var start = HostClock.processNanoseconds()
    #expect(straight.run(untilInstruction: 100_000_000_000) == .expectationMet)
    let plain = HostClock.processNanoseconds() &- start
    let end = straight.cpu.instructionCount
    let expected = straight.stateHash()
    let again = try linux()
    let places = (0..<6).map { _ in random.next() % end }.sorted()
    let hashes = places.map {
      _ = again.run(untilInstruction: $0)
      return again.stateHash()
    }

    let machine = try linux()
    let travel = machine.enableTimeTravel()
    start = HostClock.processNanoseconds()
    _ = machine.run(untilInstruction: end)
    let tracked = HostClock.processNanoseconds() &- start
    #expect(machine.stateHash() == expected)
    print(
      "boot \(plain / 1_000_000) ms, with snapshots \(tracked / 1_000_000) ms, of which "
        + "\(travel.snapshotNanoseconds / 1_000_000) ms taking \(travel.snapshotCount) that hold "
        + "\(travel.byteCount >> 20) MB")

    func timed(_ what: String, _ body: () throws -> Void) rethrows {
      let start = HostClock.processNanoseconds()
      try body()
      print("\(what): \((HostClock.processNanoseconds() &- start) / 1_000_000) ms")
    }
    for n in 1...4 { try timed("back \(n)") { try travel.stepBack() } }
    #expect(machine.cpu.instructionCount == end - 4)
    try timed("back a million") { try travel.stepBack(1_000_000) }
    for n in [3, 0, 5, 1, 4, 2] {
      try timed("to \(places[n])") { try travel.goto(places[n]) }
      #expect(machine.stateHash() == hashes[n], "at \(places[n])")
    }
    try timed("to the end") { try travel.goto(end) }
    #expect(machine.stateHash() == expected)

    // The word on top of the stack was pushed by somebody.
    let ss = machine.cpu[segment: SegmentRegister.ss]
    let sp = ss.base &+ machine.cpu[Register.esp]
    let physical = try #require(machine.cpu.peekTranslate(LinearAddress(sp))?.low)
    let value = machine.memory.peek(physical, count: 4)
    var conditions = DebugConditions()
    conditions.watchpoints = [
      Watchpoint(address: UInt64(sp), length: 4, onRead: false, onWrite: true)
    ]
    var records: [DebugRecord] = []
    try timed("last write to the stack") {
      let found = try travel.goBack(to: conditions) { _, all in
        records = all
        return true
      }
      #expect(found == .watchpoint)
    }
    let record = try #require(records.last)
    #expect(machine.cpu.instructionCount == record.count + 1)
    #expect(machine.memory.peek(physical, count: 4) == value)
    try travel.goto(record.count)
    try travel.goto(end)
    #expect(machine.stateHash() == expected)
  }
}
