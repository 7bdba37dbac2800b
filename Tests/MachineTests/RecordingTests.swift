// Recording and replay: the same to the byte, what differs is told, hostile and cut-off files.

import Chipset
import Host
import Session
import TestSupport
import Testing

@testable import Machine

/// Takes a recording in memory.
private final class Tape {
  var bytes: [UInt8] = []
  var target: RecordingWriter.Target {
    RecordingWriter.Target(append: { (more) throws(HostError) in self.bytes += more })
  }
}

/// Records a guest that echoes keys, with input of every kind.
private func recordKeys(
  _ tape: Tape, state: [UInt8]? = nil, stop: StopReason = .instructionLimit
) throws -> Machine {
  let machine = try machine(booting: Guest.echoKeys)
  if let state { try machine.restoreState(state) }
  try machine.startRecording(to: tape.target, notes: [("image", "test")])
  machine.script = Script([.type(KeyScript.strokes(typing: "xyz"), "xyz")])
  var at = max(machine.cpu.instructionCount, 150_000_000)
  for (n, usage) in [UInt16(0x04), 0x05, 0x06].enumerated() {
    _ = machine.run(untilInstruction: at)
    machine.input.post(.key(usage: usage, down: true))
    machine.input.post(.mouse(dx: 5, dy: -3, wheel: 0, buttons: UInt8(n)))
    machine.input.post(.mouse(dx: 1, dy: 1, wheel: -1, buttons: UInt8(n)))
    _ = machine.run(untilInstruction: at + 5_000_000)
    machine.input.post(.key(usage: usage, down: false))
    machine.input.post(.serial(port: n & 1, bytes: Array("serial \(n)".utf8)))
    machine.input.post(.rate(UInt64(90 + 10 * n) * 1_000_000))
    at += 20_000_000
  }
  machine.input.post(.text("Ab"))
  _ = machine.run(untilInstruction: at + 30_000_000)
  machine.finishRecording(stop)
  return machine
}

@Suite struct ButtonRecordingTests {
  @Test func thePowerButtonIsRepeated() throws {
    let tape = Tape()
    let recorded = try machine(booting: [0xEB, 0xFE])
    try recorded.startRecording(to: tape.target, notes: [])
    _ = recorded.run(untilInstruction: 200_000_000)
    recorded.input.post(.powerButton)
    let stop = recorded.run(untilInstruction: 300_000_000)
    #expect(stop == .powerOff)
    recorded.finishRecording(stop)
    let repeated = try machine(booting: [0xEB, 0xFE])
    try repeated.startReplay(try Recording(tape.bytes))
    #expect(repeated.run() == .powerOff)
    #expect(repeated.stateHash() == recorded.stateHash())
  }
}

private func replay(_ bytes: [UInt8], state: [UInt8]? = nil) throws -> (Machine, StopReason) {
  let machine = try machine(booting: Guest.echoKeys)
  if let state { try machine.restoreState(state) }
  try machine.startReplay(try Recording(bytes))
  return (machine, machine.run())
}

/// The file with other events, its checksums right.
private func repack(_ bytes: [UInt8], _ change: (Int, inout [UInt8]) -> Void) -> [UInt8] {
  var result = RecordingFormat.magic
  var offset = result.count
  var number = 0
  while offset + 12 <= bytes.count {
    let length = (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    var payload = Array(bytes[offset + 12..<offset + 12 + length])
    change(number, &payload)
    if !payload.isEmpty { result += RecordingFormat.frame(payload, number: UInt64(number)) }
    offset += 12 + length
    number += 1
  }
  return result
}

@Suite struct RecordingTests {
  /// A file that holds no recording is not left behind.
  @Test(arguments: [0, 1])
  func whatCannotBeBegunIsDiscarded(written: Int) throws {
    let machine = try machine(booting: Guest.echoKeys)
    var (count, discarded) = (0, 0)
    let target = RecordingWriter.Target(
      append: { (_) throws(HostError) in
        if count == written { throw HostError("cannot be written: No space left on device") }
        count += 1
      }, discard: { discarded += 1 })
    #expect(throws: HostError.self) { try machine.startRecording(to: target) }
    #expect(discarded == 1)
  }

  @Test func whatDiffersNamesTheDriveAndTheState() throws {
    func reason(_ body: () throws -> Void) -> String {
      do { try body() } catch { return "\(error)" }
      return ""
    }
    let tape = Tape()
    _ = try recordKeys(tape)
    let recording = try Recording(tape.bytes)
    let other = try machine(booting: [0xEB, 0xFE])
    let refusal = reason { try other.startReplay(recording) }
    #expect(refusal.contains("in drive A") && refusal.contains("give the image as it was then"))

    let started = try machine(booting: Guest.echoKeys)
    _ = started.run(untilInstruction: 160_000_000)
    let late = Tape()
    _ = try recordKeys(late, state: started.saveState())
    let fresh = try machine(booting: Guest.echoKeys)
    #expect(
      reason { try fresh.startReplay(try Recording(late.bytes)) }.contains(
        "give that state too (--load-state)"))
  }

  @Test func aReplayIsTheSameToTheByte() throws {
    let tape = Tape()
    let first = try recordKeys(tape)
    let recording = try Recording(tape.bytes)
    #expect(recording.cutAt == nil)
    #expect(recording.stop == .instructionLimit)
    #expect(recording.inputCount >= 17)
    let (second, stop) = try replay(tape.bytes)
    #expect(stop == .recordingEnd(.instructionLimit))
    #expect(second.cpu.instructionCount == first.cpu.instructionCount)
    #expect(second.stateHash() == first.stateHash())
    #expect(second.screenText == first.screenText)
    #expect(first.screenText?.contains { $0.contains("xyzabc") } == true)
    // At the end it stays at the end.
    #expect(second.run() == .recordingEnd(.instructionLimit))
  }

  @Test func howAReplayIsCutDoesNotShow() throws {
    let tape = Tape()
    let first = try recordKeys(tape)
    let machine = try machine(booting: Guest.echoKeys)
    try machine.startReplay(try Recording(tape.bytes))
    var random = SplitMix(seed: 99)
    var stop = StopReason.instructionLimit
    while stop == .instructionLimit {
      stop = machine.run(
        untilInstruction: machine.cpu.instructionCount + random.next() % 3_000_000 + 1)
    }
    #expect(stop == .recordingEnd(.instructionLimit))
    #expect(machine.stateHash() == first.stateHash())
  }

  @Test func aGuestThatEndsEndsItsReplay() throws {
    for code in [Guest.serialHello, Guest.powerOff, Guest.halt, Guest.tripleFault] {
      let tape = Tape()
      let first = try machine(booting: code)
      try first.startRecording(to: tape.target)
      let recorded = first.run(untilInstruction: enough)
      first.finishRecording(recorded)
      let second = try machine(booting: code)
      try second.startReplay(try Recording(tape.bytes))
      let stop = second.run()
      #expect(stop == recorded || stop == .recordingEnd(recorded))
      #expect(second.cpu.instructionCount == first.cpu.instructionCount)
      #expect(second.stateHash() == first.stateHash())
    }
  }

  @Test func aRecordingMayStartFromASavedState() throws {
    let source = try machine(booting: Guest.echoKeys)
    _ = source.run(untilInstruction: 140_000_000)
    let state = source.saveState()
    let tape = Tape()
    let first = try recordKeys(tape, state: state)
    let (second, stop) = try replay(tape.bytes, state: state)
    #expect(stop == .recordingEnd(.instructionLimit))
    #expect(second.stateHash() == first.stateHash())
    // Without the state, or with another, it is refused.
    #expect(throws: RecordingError.self) { try replay(tape.bytes) }
    _ = source.run(untilInstruction: 141_000_000)
    #expect(throws: RecordingError.self) { try replay(tape.bytes, state: source.saveState()) }
  }

  @Test func otherMachinesAreRefused() throws {
    let tape = Tape()
    _ = try recordKeys(tape)
    let recording = try Recording(tape.bytes)
    let others = [
      try machine(booting: Guest.echoKeys) { $0.memoryMegabytes = 3 },
      try machine(booting: Guest.echoKeys) { $0.cpu = .i486 },
      try machine(booting: Guest.echoKeys) { $0.exitPort = nil },
      try machine(booting: Guest.ticks), try machine(booting: nil),
    ]
    let words = ["memory", "cpu", "exit port", "drive A", "drive A"]
    for (other, word) in zip(others, words) {
      do {
        try other.startReplay(recording)
        Issue.record("accepted although \(word) differs")
      } catch {
        #expect("\(error)".contains(word))
      }
    }
  }

  @Test func aDifferenceIsToldWithItsPlace() throws {
    let tape = Tape()
    _ = try recordKeys(tape)
    let machine = try machine(booting: Guest.echoKeys)
    try machine.startReplay(try Recording(tape.bytes))
    _ = machine.run(untilInstruction: 160_000_000)
    [UInt8(0x55)].withUnsafeBytes { machine.memory.copyIn(0x9_0000, from: $0) }
    guard case .replayDiffers(let what) = machine.run() else {
      Issue.record("the difference was not seen")
      return
    }
    #expect(what.contains("memory"))
    #expect(what.contains("instruction"))
    #expect(!what.contains("cpu"))
  }

  @Test func aKeyThatWasChangedIsNoticed() throws {
    let tape = Tape()
    _ = try recordKeys(tape)
    let recording = try Recording(tape.bytes)
    let changed = repack(tape.bytes) { number, payload in
      if number == 0 { return }
      // The key "a" becomes the key "z".
      for n in 0..<payload.count - 1 where payload[n] == RecordingFormat.Kind.keyDown {
        if payload[n + 1] == 0x04 { payload[n + 1] = 0x1D }
      }
    }
    #expect(try Recording(changed).entries.count == recording.entries.count)
    let (_, stop) = try replay(changed)
    guard case .replayDiffers = stop else {
      Issue.record("\(stop)")
      return
    }
  }

  @Test func anIdleMachineAddsNothing() throws {
    let tape = Tape()
    let machine = try machine(booting: Guest.echoKeys)
    try machine.startRecording(to: tape.target)
    _ = machine.run(untilInstruction: 400_000_000)
    machine.recorder?.flush()
    let size = tape.bytes.count
    // A hundred seconds of waiting for a key.
    _ = machine.run(untilInstruction: 10_400_000_000)
    machine.recorder?.flush()
    #expect(tape.bytes.count - size < 1000)
    #expect(tape.bytes.count < 4000)
  }

  @Test func hashesComeAlongTheWay() throws {
    let tape = Tape()
    // `inc eax / jmp` executes all the time.
    let machine = try machine(booting: bytes("6640ebfc"))
    try machine.startRecording(to: tape.target)
    _ = machine.run(untilInstruction: 2_000_000_000)
    machine.finishRecording(.host(.user))
    let checkpoints = try Recording(tape.bytes).entries.count - 1
    #expect((2...4).contains(checkpoints))
  }

  // MARK: Damaged and hostile files

  @Test func aCutOffFileIsRepeatedUpToTheCut() throws {
    let tape = Tape()
    _ = try recordKeys(tape)
    let whole = try Recording(tape.bytes)
    var replayed = 0
    for length in stride(from: 0, to: tape.bytes.count, by: 37) {
      let cut = Array(tape.bytes[..<length])
      guard let recording = try? Recording(cut) else { continue }
      #expect(recording.cutAt != nil)
      #expect(whole.entries.starts(with: recording.entries))
      replayed += 1
      if length % 5 != 0 { continue }
      let (machine, stop) = try replay(cut)
      #expect(stop == .recordingEnd(nil))
      #expect(machine.cpu.instructionCount == recording.lastInstruction)
    }
    #expect(replayed > 0)
    // Zeros that a file system left count as a cut.
    let zeros = Array(tape.bytes.dropLast(200)) + [UInt8](repeating: 0, count: 200)
    if let recording = try? Recording(zeros) { #expect(recording.cutAt != nil) }
  }

  @Test func damageIsToldWithItsOffset() throws {
    let tape = Tape()
    _ = try recordKeys(tape)
    var random = SplitMix(seed: 17)
    for _ in 0..<300 {
      var damaged = tape.bytes
      let at = Int(random.next() % UInt64(damaged.count))
      damaged[at] ^= 1 << UInt8(random.next() % 8)
      do {
        // Only damage to the last frame may pass, as a cut.
        #expect(try Recording(damaged).cutAt != nil)
      } catch {
        #expect(error.offset != nil)
      }
    }
    #expect(throws: RecordingError.self) { try Recording([]) }
    #expect(throws: RecordingError.self) { try Recording(Array("APUSRECL".utf8)) }
    #expect(throws: RecordingError.self) { try Recording(Array("APUSSTAT    ".utf8)) }
  }

  /// Behind right checksums nothing is trusted either: what is accepted must run without a trap.
  @Test func hostileContentsAreRefusedOrHarmless() throws {
    let tape = Tape()
    _ = try recordKeys(tape)
    var random = SplitMix(seed: 41)
    var accepted = 0
    for round in 0..<400 {
      let hostile = repack(tape.bytes) { number, payload in
        if number == 0 && round % 8 != 0 { return }
        for _ in 0...(round % 3) {
          let at = Int(random.next() % UInt64(payload.count))
          switch random.next() % 4 {
          case 0: payload[at] = 0xFF
          case 1: payload[at] = UInt8(truncatingIfNeeded: random.next())
          case 2: payload.insert(UInt8(truncatingIfNeeded: random.next()), at: at)
          default: payload.remove(at: at)
          }
        }
      }
      guard let recording = try? Recording(hostile) else { continue }
      let machine = try machine(booting: Guest.echoKeys)
      do { try machine.startReplay(recording) } catch { continue }
      accepted += 1
      if accepted <= 25 { _ = machine.run(untilInstruction: 260_000_000) }
    }
    #expect(accepted > 0)
  }
}
