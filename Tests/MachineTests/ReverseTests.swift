// Going back in time: every place is what it was, disks and all; the past can be changed.

import CPU
import Chipset
import Session
import Storage
import TestSupport
import Testing

@testable import Machine

/// Writes sectors 1 to 8 of cylinder 5 in turn, each with a count that goes up, through INT 13h.
private let writeSectors = bytes("31c08ed88ec0bb0080ff0600808b0e008083e10741b50531d2b80103cd13ebe9")

@Suite struct ReverseTests {
  /// Hashes of an unbroken run at the given places.
  private func hashes(_ machine: Machine, _ places: [UInt64]) -> [UInt64] {
    places.map {
      _ = machine.run(untilInstruction: $0)
      return machine.stateHash()
    }
  }

  private func backAndForth(
    _ code: [UInt8], seed: UInt64, rounds: Int, megabytes: Int = 256,
    snapshots: UInt64 = 3_000_000
  ) throws -> Machine {
    let end: UInt64 = 60_000_000
    var random = SplitMix(seed: seed)
    let places = (0..<20).map { _ in random.next() % end }.sorted() + [end]
    let expected = hashes(try machine(booting: code), places)

    let machine = try machine(booting: code)
    let travel = machine.enableTimeTravel(megabytes: megabytes)
    var at: UInt64 = 0
    while at < end {
      at = min(at + random.next() % snapshots, end)
      _ = machine.run(untilInstruction: at)
      travel.mark()
    }
    #expect(machine.stateHash() == expected.last)
    for _ in 0..<rounds {
      let n = Int(random.next() % UInt64(places.count))
      guard places[n] >= travel.oldest else { continue }
      try travel.goto(places[n])
      #expect(machine.cpu.instructionCount == places[n])
      #expect(machine.stateHash() == expected[n], "at \(places[n])")
      if random.next() & 1 == 0, travel.position > 10 {
        try travel.stepBack(random.next() % 9 + 1)
      }
    }
    try travel.goto(end)
    #expect(machine.stateHash() == expected.last)
    return machine
  }

  @Test func everyPlaceIsWhatItWas() throws {
    _ = try backAndForth(Guest.ticks, seed: 1, rounds: 60)
  }

  @Test func fewSnapshotsAreEnough() throws {
    let machine = try backAndForth(Guest.ticks, seed: 2, rounds: 12, snapshots: 30_000_000)
    #expect(machine.timeTravel!.byteCount < 64 << 20)
  }

  @Test func diskWritesAreUndone() throws {
    _ = try backAndForth(writeSectors, seed: 3, rounds: 40)
  }

  @Test func everyInstructionBackwards() throws {
    let machine = try machine(booting: Guest.ticks)
    let travel = machine.enableTimeTravel()
    let start: UInt64 = 30_000_000
    var expected: [UInt64] = []
    for n in 0..<400 as Range<UInt64> {
      _ = machine.run(untilInstruction: start + n)
      expected.append(machine.stateHash())
    }
    for n in (0..<399).reversed() {
      try travel.stepBack()
      #expect(machine.cpu.instructionCount == start + UInt64(n))
      #expect(machine.stateHash() == expected[n])
    }
    #expect(throws: TimeTravelError.self) { try travel.stepBack(start + 1) }
  }

  @Test func inputIsTakenAgainAndOutputIsNotRepeated() throws {
    let machine = try machine(booting: Guest.echoSerial)
    var output: [UInt8] = []
    machine.serialOutput = { output.append($1) }
    let travel = machine.enableTimeTravel()
    var at: UInt64 = 200_000_000
    var hashes: [(UInt64, UInt64)] = []
    for letter in "back in time".utf8 {
      machine.input.post(.serial(port: 0, bytes: [letter]))
      at += 1_000_003
      _ = machine.run(untilInstruction: at)
      travel.mark()
      hashes.append((at, machine.stateHash()))
    }
    #expect(String(decoding: output, as: UTF8.self) == "back in time")
    for (at, hash) in hashes.reversed() {
      try travel.goto(at - 17)
      #expect(travel.isInPast)
      try travel.goto(at)
      #expect(machine.stateHash() == hash)
    }
    // What comes while the past is run through waits for the present.
    machine.input.post(.serial(port: 0, bytes: Array("!".utf8)))
    _ = machine.run(untilInstruction: at + 1_000_000)
    #expect(String(decoding: output, as: UTF8.self) == "back in time!")
    #expect(!travel.isInPast)
  }

  @Test func aSmallBudgetKeepsThePresent() throws {
    // rep stosd over 16 MB again and again needs flat segments; unreal mode is not worth it: DMA-free writes below 640 KB.
    let configuration = MachineConfiguration.small(booting: Guest.ticks) { $0.memoryMegabytes = 32 }
    let machine = try Machine(configuration)
    let travel = machine.enableTimeTravel(megabytes: 16)
    travel.budget = 2 << 20
    for n in 1...300 as ClosedRange<UInt64> {
      _ = machine.run(untilInstruction: n * 100_000)
      travel.mark()
    }
    #expect(travel.byteCount < 3 << 20)
    let hash = machine.stateHash()
    let end = machine.cpu.instructionCount
    try travel.goto(travel.oldest)
    try travel.goto(end)
    #expect(machine.stateHash() == hash)
  }

  @Test func goingBackForgetsNothingAhead() throws {
    let configuration = MachineConfiguration.small(booting: Guest.ticks) { $0.memoryMegabytes = 32 }
    let machine = try Machine(configuration)
    let travel = machine.enableTimeTravel(megabytes: 16)
    travel.budget = 2 << 20
    for n in 1...300 as ClosedRange<UInt64> {
      _ = machine.run(untilInstruction: n * 100_000)
      travel.mark()
    }
    let end = machine.cpu.instructionCount
    let last = try #require(travel.latestSnapshot(at: end - 1_000_000))
    let near = travel.instruction(ofSnapshot: last)
    #expect(end - near < 4_000_000)
    var random = SplitMix(seed: 3)
    for _ in 0..<40 { try travel.goto(travel.oldest + random.next() % 15_000_000) }
    #expect(travel.byteCount < 3 << 20)
    let present = try #require(travel.latestSnapshot(at: end - 1_000_000))
    #expect(travel.instruction(ofSnapshot: present) == near)
  }

  @Test func theFutureOfAChangedPastIsAnother() throws {
    let code = Guest.ticks
    func change(_ machine: Machine) {
      [UInt8](repeating: 0xAB, count: 64).withUnsafeBytes {
        machine.memory.copyIn(0x7_0000, from: $0)
      }
      machine.cpu[3] = 0x1234_5678
    }
    let straight = try machine(booting: code)
    _ = straight.run(untilInstruction: 20_000_000)
    change(straight)
    _ = straight.run(untilInstruction: 30_000_000)
    let middle = straight.stateHash()
    _ = straight.run(untilInstruction: 40_000_000)
    let expected = straight.stateHash()

    let machine = try machine(booting: code)
    let travel = machine.enableTimeTravel()
    for n in 1...30 as ClosedRange<UInt64> {
      _ = machine.run(untilInstruction: n * 1_000_000)
      travel.mark()
    }
    try travel.goto(20_000_000)
    change(machine)
    travel.diverge()
    #expect(travel.frontier == 20_000_000)
    _ = machine.run(untilInstruction: 40_000_000)
    #expect(machine.stateHash() == expected)
    try travel.goto(30_000_000)
    #expect(machine.stateHash() == middle)
    // Through the change by running, from before it.
    try travel.goto(19_000_000)
    _ = machine.run(untilInstruction: 40_000_000)
    #expect(machine.stateHash() == expected)
  }

  @Test func aReplayCanBeGoneBackIn() throws {
    var recorded: [UInt8] = []
    let first = try machine(booting: Guest.echoKeys)
    try first.startRecording(
      to: RecordingWriter.Target(append: { (more) in recorded += more }))
    first.script = Script([.type(KeyScript.strokes(typing: "reverse"), "")])
    _ = first.run(untilInstruction: 300_000_000)
    first.finishRecording(.host(.user))
    let hash = first.stateHash()

    let machine = try machine(booting: Guest.echoKeys)
    try machine.startReplay(try Recording(recorded))
    let travel = machine.enableTimeTravel()
    _ = machine.run(untilInstruction: 200_000_000)
    let middle = machine.stateHash()
    #expect(machine.run() == .recordingEnd(.host(.user)))
    #expect(machine.stateHash() == hash)
    try travel.goto(200_000_000)
    #expect(machine.stateHash() == middle)
    #expect(machine.run() == .recordingEnd(.host(.user)))
    #expect(machine.stateHash() == hash)
  }

  @Test func imageFilesAreWrittenAtCommitOnly() throws {
    let image = MemoryImage(bytes: bootFloppy(writeSectors))
    /// Stands for a file: no image in memory for the machine.
    final class File: BlockDevice {
      let memory: MemoryImage
      init(_ memory: MemoryImage) { self.memory = memory }
      var blockSize: Int { memory.blockSize }
      var blockCount: UInt64 { memory.blockCount }
      var capabilities: BlockCapabilities { .writable }
      var generation: UInt64 { memory.generation }
      func read(block sector: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(StorageError)
      {
        try memory.read(block: sector, into: buffer)
      }
      func write(block sector: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
        try memory.write(block: sector, from: buffer)
      }
      func flush() throws(StorageError) {}
    }
    let before = image.bytes
    /// Sectors that are not what they were.
    func changed() -> [Int] {
      (0..<before.count / 512).filter {
        image.bytes[$0 * 512..<$0 * 512 + 512] != before[$0 * 512..<$0 * 512 + 512]
      }
    }
    let sectors = Array(180..<188)
    let machine = try machine(booting: nil) {
      $0.floppies[0] = MachineImage(
        name: "file", device: File(image), medium: .floppy(FloppyFormat.all[6]))
    }
    let travel = machine.enableTimeTravel()
    _ = machine.run(untilInstruction: 400_000_000)
    travel.mark()
    #expect(travel.holdsDiskWritesBack)
    #expect(changed() == [])
    try travel.commitDisks()
    #expect(changed() == sectors)
    // Going back further than a commit still works, and can be committed too.
    try travel.goto(1_000)
    try travel.commitDisks()
    #expect(changed() == [])
    _ = machine.run(untilInstruction: 400_000_000)
    try travel.commitDisks()
    #expect(changed() == sectors)
  }

  // MARK: Searching

  /// Where a straight run stops for conditions: count and exit of each stop before `end`.
  private func stops(_ code: [UInt8], _ conditions: DebugConditions, end: UInt64) throws
    -> [UInt64]
  {
    let machine = try machine(booting: code)
    machine.cpu.debugConditions = conditions
    var stops: [UInt64] = []
    while case .debug = machine.run(untilInstruction: end) {
      stops.append(machine.cpu.instructionCount)
    }
    return stops.filter { $0 < end }
  }

  @Test func everyBreakpointIsFoundBackwards() throws {
    let end: UInt64 = 200_000_000
    var execution = DebugConditions()
    // `mov ah, 0Eh` of the loop of `ticks`.
    execution.linear = [0x7C04]
    var memory = DebugConditions()
    memory.watchpoints = [
      Watchpoint(address: 0x8000, length: 2, onRead: false, onWrite: true, isPhysical: true)
    ]
    var ports = DebugConditions()
    ports.events = .ports
    ports.ports = [WatchedPorts(ports: 0x3F8...0x3F8, onRead: false, onWrite: true)]
    for conditions in [execution, memory, ports] {
      let expected = try stops(Guest.ticks, conditions, end: end)
      #expect(expected.count > 10)
      let machine = try machine(booting: Guest.ticks)
      let travel = machine.enableTimeTravel()
      for n in 1...end / 10_000_000 {
        _ = machine.run(untilInstruction: n * 10_000_000)
        travel.mark()
      }
      let hash = machine.stateHash()
      for place in expected.suffix(30).reversed() {
        let found = try travel.goBack(to: conditions)
        #expect(found != nil)
        #expect(travel.position == place)
      }
      // What is not accepted does not count; where nothing is found the machine stays.
      try travel.goto(end)
      var seen = 0
      let first = expected[0]
      let found = try travel.goBack(to: conditions) { _, _ in
        seen += 1
        return travel.position == first
      }
      #expect(found != nil && travel.position == first)
      #expect(seen == expected.count)
      #expect(try travel.goBack(to: conditions) == nil)
      #expect(travel.position == first)
      try travel.goto(end)
      #expect(machine.stateHash() == hash)
    }
  }
}
