// A machine with two processors: turns, time, states, recordings, the past.

import Bus
import TestSupport
import Testing

@testable import CPU
@testable import Machine

/// Two processors in real mode.
enum Pair {
  /// The usual board and a second processor.
  static func configuration(_ engine: Engine = .interpreter) -> MachineConfiguration {
    .small {
      $0.engine = engine
      $0.board = "isa"
      $0.processorCount = 2
    }
  }

  /// - Parameters:
  ///   - first: code at 0000:1000 of the first processor.
  ///   - second: code at 0000:2000 of the second; nil: it waits.
  static func machine(
    _ first: [UInt8], _ second: [UInt8]?, _ configuration: MachineConfiguration = configuration()
  ) throws -> Machine {
    let machine = try Machine(configuration)
    put(machine, 0, 0x1000, first)
    if let second {
      put(machine, 1, 0x2000, second)
      machine.startProcessor(1)
    }
    return machine
  }

  private static func put(_ machine: Machine, _ n: Int, _ address: UInt32, _ code: [UInt8]) {
    code.withUnsafeBytes { machine.memory.copyIn(address, from: $0) }
    let cpu = machine.processors[n]
    for segment in 0..<4 { #expect(cpu.setSegmentSelector(segment, 0)) }
    cpu[Register.esp] = address
    cpu.s.pointee.eip = address
  }

  static func word(_ machine: Machine, _ address: UInt32) -> Int {
    let bytes = machine.memory.peek(address, count: 2)
    return Int(bytes[0]) | Int(bytes[1]) << 8
  }

  /// again: inc ax; lock inc word [3000h]; jmp again
  static let counting: [UInt8] = [0x40, 0xF0, 0xFF, 0x06, 0x00, 0x30, 0xEB, 0xF8]

  /// again: rdtsc; mov [3010h],eax; in al,80h; inc word [3018h]; jmp again
  static let stamping: [UInt8] = [
    0x0F, 0x31, 0x66, 0xA3, 0x10, 0x30, 0xE4, 0x80, 0xFF, 0x06, 0x18, 0x30, 0xEB, 0xF2,
  ]
}

@Suite struct TwoProcessorTests {
  @Test(arguments: [Engine.interpreter, .translator])
  func bothTakeTurnsAndOneCountIsOfAll(engine: Engine) throws {
    let machine = try Pair.machine(Pair.counting, Pair.counting, Pair.configuration(engine))
    #expect(machine.run(untilInstruction: 48_000) == .instructionLimit)
    #expect(machine.instructionCount == 48_000)
    // Parts of 2000: twelve each; three instructions make a pass.
    #expect(machine.executedInstructions(of: 0) == 24_000)
    #expect(machine.executedInstructions(of: 1) == 24_000)
    #expect(Pair.word(machine, 0x3000) == 16_000)
    #expect(machine.processors.map { $0[0] & 0xFFFF } == [8000, 8000])
    // 24,000 instructions each, at the same time.
    #expect(machine.clock.now == 240_000)
  }

  @Test func aProcessorThatWasNotStartedWaits() throws {
    let machine = try Pair.machine(Pair.counting, nil)
    #expect(machine.run(untilInstruction: 9000) == .instructionLimit)
    #expect(Pair.word(machine, 0x3000) == 3000)
    #expect(machine.processors[1].currentEIP == 0xFFF0)
    machine.startProcessor(1)
    machine.reset(.processor)
    #expect(!machine.isStarted(1))
    #expect(machine.runningProcessor == 0)
    #expect(machine.instructionCount == 9000)
  }

  @Test func whoHaltsGivesItsTurnAndSleepIsOfAll() throws {
    // cli; hlt
    let machine = try Pair.machine(Pair.counting, [0xFA, 0xF4])
    #expect(machine.run(untilInstruction: 10_000) == .instructionLimit)
    #expect(machine.executedInstructions(of: 1) == 2)
    // The rest of its only part passed in sleep; then the first is alone.
    #expect(machine.executedInstructions(of: 0) == 8000)
    #expect(machine.clock.now == 20_000 + 60_000)
    // Both halted for good: the run ends, as with one.
    let asleep = try Pair.machine([0xFA, 0xF4], [0xFA, 0xF4])
    #expect(asleep.run(untilInstruction: 10_000) == .halted)
    #expect(asleep.executedInstructions == 4)
  }

  /// SDM volume 3, 17.17: the counters of processors that share a reset run together; here they count virtual time, also past slow
  /// accesses of the other.
  @Test func timeIsTheSameForBoth() throws {
    let machine = try Pair.machine(Pair.stamping, Pair.stamping)
    var before: UInt64 = 0
    for n in UInt64(1)...100 {
      #expect(machine.run(untilInstruction: n * 777) == .instructionLimit)
      let now = machine.clock.now
      #expect(now > before)
      before = now
      let expected = now * (machine.cpu.model.hertz / 1_000_000) / 1000
      let found = machine.running.timeStampCounter
      #expect(max(found, expected) - min(found, expected) < 8, "\(n)")
    }
    // Another rate, as --cpu-speed auto sets it, changes neither.
    machine.take(.rate(50_000_000))
    for n in UInt64(101)...120 {
      _ = machine.run(untilInstruction: n * 777)
      let expected = machine.clock.now * (machine.cpu.model.hertz / 1_000_000) / 1000
      let found = machine.running.timeStampCounter
      #expect(max(found, expected) - min(found, expected) < 16, "\(n)")
    }
    // A fifth of the instructions are slow accesses.
    #expect(before > 777 * 100 / 5 * 1000)
    #expect(Pair.word(machine, 0x3018) > 10_000)
  }

  @Test func howARunIsCutDoesNotShow() throws {
    let whole = try Pair.machine(Pair.counting, Pair.stamping)
    let cut = try Pair.machine(Pair.counting, Pair.stamping)
    _ = whole.run(untilInstruction: 20_000)
    var at: UInt64 = 0
    while at < 20_000 {
      at = min(at + 1 + at % 7 * 53, 20_000)
      _ = cut.run(untilInstruction: at)
      #expect(cut.instructionCount == at)
    }
    #expect(whole.partHashes().map(\.hash) == cut.partHashes().map(\.hash))
  }

  @Test func aStateGoesOnTheSame() throws {
    let machine = try Pair.machine(Pair.counting, Pair.stamping)
    // In the middle of the second's turn.
    _ = machine.run(untilInstruction: 11_234)
    #expect(machine.runningProcessor == 1)
    #expect(machine.clock.sharers == 2)
    let state = machine.saveState()
    _ = machine.run(untilInstruction: 50_000)
    let again = try Machine(Pair.configuration())
    try again.restoreState(state)
    #expect(again.runningProcessor == 1)
    #expect(again.saveState() == state)
    _ = again.run(untilInstruction: 50_000)
    #expect(again.partHashes().map(\.hash) == machine.partHashes().map(\.hash))
    #expect(machine.partHashes().map(\.name).prefix(4) == ["clock", "cpu", "cpu1", "turns"])
    // A machine with one refuses it.
    var one = Pair.configuration()
    one.processorCount = 1
    #expect { try Machine(one).restoreState(state) } throws: { "\($0)".contains("saved with") }
  }

  @Test func aRecordingIsRepeated() throws {
    let machine = try Pair.machine(Pair.counting, Pair.stamping)
    var bytes: [UInt8] = []
    try machine.startRecording(to: RecordingWriter.Target(append: { bytes += $0 }))
    _ = machine.run(untilInstruction: 5_500)
    machine.take(.key(usage: 4, down: true))
    let stop = machine.run(untilInstruction: 40_000)
    machine.finishRecording(stop)
    let again = try Pair.machine(Pair.counting, Pair.stamping)
    try again.startReplay(try Recording(bytes))
    #expect(again.run() == .recordingEnd(.instructionLimit))
    #expect(again.stateHash() == machine.stateHash())
  }

  @Test func thePastOfBothIsReached() throws {
    let machine = try Pair.machine(Pair.counting, Pair.stamping)
    let travel = machine.enableTimeTravel(megabytes: 16)
    _ = machine.run(untilInstruction: 12_345)
    let there = machine.stateHash()
    _ = machine.run(untilInstruction: 30_000)
    let end = machine.stateHash()
    try travel.goto(12_345)
    #expect(machine.stateHash() == there)
    #expect(machine.runningProcessor == 0)
    try travel.stepBack(2_000)
    #expect(machine.runningProcessor == 1)
    try travel.goto(30_000)
    #expect(machine.stateHash() == end)
  }

  /// SDM volume 2, PAUSE: a processor that spins gives way. The time of its part passes all the same.
  @Test(arguments: [Engine.interpreter, .translator])
  func whoPausesGivesItsPartAway(engine: Engine) throws {
    // again: pause; cmp byte [3020h],0; je again; hlt
    let waiting: [UInt8] = [0xF3, 0x90, 0x80, 0x3E, 0x20, 0x30, 0x00, 0x74, 0xF7, 0xF4]
    let machine = try Pair.machine(Pair.counting, waiting, Pair.configuration(engine))
    for cpu in machine.processors { cpu.translationThreshold = 1 }
    #expect(machine.run(untilInstruction: 40_000) == .instructionLimit)
    #expect(machine.executedInstructions(of: 0) == 20_000)
    // Three instructions a pass, one pass a part.
    #expect(machine.executedInstructions(of: 1) == 28)
    #expect(machine.clock.now == 200_000)
    // Alone there is nobody to give way to.
    let alone = try Pair.machine(waiting, nil, Pair.configuration(engine))
    #expect(alone.run(untilInstruction: 40_000) == .instructionLimit)
    #expect(alone.executedInstructions(of: 0) == 40_000)
  }

  /// SDM volume 3, "Multiple-Processor (MP) Initialization": INIT, then a start-up message with the page where the second begins; it has
  /// an APIC of its own at the same address.
  @Test(arguments: [Engine.interpreter, .translator])
  func oneStartsTheOtherByItsAPIC(engine: Engine) throws {
    var configuration = MachineConfiguration.small {
      $0.engine = engine
      $0.processorCount = 2
    }
    configuration.cpu = .pentium3
    // In protected mode: mov dword [FEE00310h],01000000h; mov dword [FEE00300h],value
    func send(_ value: [UInt8]) -> [UInt8] {
      [0x67, 0x66, 0xC7, 0x05, 0x10, 0x03, 0xE0, 0xFE, 0x00, 0x00, 0x00, 0x01]
        + [0x67, 0x66, 0xC7, 0x05, 0x00, 0x03, 0xE0, 0xFE] + value
    }
    // INIT assert (level), de-assert, start-up at page 2, twice as the protocol has it; then count.
    let first =
      send([0x00, 0xC5, 0x00, 0x00]) + send([0x00, 0x85, 0x00, 0x00])
      + send([0x02, 0x06, 0x00, 0x00]) + send([0x02, 0x06, 0x00, 0x00]) + Pair.counting
    // mov eax,[FEE00020h]; shr eax,24; cs: mov [3010h],ax; mov [3012h],cs; hlt
    let second: [UInt8] = [
      0x67, 0x66, 0xA1, 0x20, 0x00, 0xE0, 0xFE, 0x66, 0xC1, 0xE8, 0x18, 0xA3, 0x10, 0x30,
      0x8C, 0x0E, 0x12, 0x30, 0xF4,
    ]
    let machine = try Pair.machine(first, nil, configuration)
    second.withUnsafeBytes { machine.memory.copyIn(0x2000, from: $0) }
    for cpu in machine.processors {
      // Segments that reach everything, as after a visit to protected mode.
      var segment = cpu[segment: SegmentRegister.ds]
      (segment.limit, segment.base) = (0xFFFF_FFFF, 0)
      cpu[segment: SegmentRegister.ds] = segment
    }
    // A reset leaves the limit alone that INIT gives: the second reaches its APIC by what DS is then.
    #expect(!machine.isStarted(1))
    _ = machine.run(untilInstruction: 12)
    #expect(machine.isStarted(1))
    var segment = machine.processors[1][segment: SegmentRegister.ds]
    segment.limit = 0xFFFF_FFFF
    machine.processors[1][segment: SegmentRegister.ds] = segment
    #expect(machine.run(untilInstruction: 50_000) == .instructionLimit)
    #expect(Pair.word(machine, 0x3010) == 1)
    #expect(Pair.word(machine, 0x3012) == 0x200)
    #expect(Pair.word(machine, 0x3000) > 1000)
  }

  @Test func bothEnginesAgree() throws {
    let machines = try [Engine.interpreter, .translator].map {
      let machine = try Pair.machine(Pair.counting, Pair.stamping, Pair.configuration($0))
      for cpu in machine.processors { cpu.translationThreshold = 1 }
      return machine
    }
    for machine in machines { _ = machine.run(untilInstruction: 77_777) }
    #expect(machines[0].partHashes().map(\.hash) == machines[1].partHashes().map(\.hash))
    #expect(machines[1].executionReport.translatedBlocks > 0)
  }
}
