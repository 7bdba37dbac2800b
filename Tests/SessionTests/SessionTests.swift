// Whole ways through a session: from a configuration to an outcome, without a command line. The promise behind most of them: whatever is
// done to a session from outside that is no input leaves the machine as it would have been.

import Bus
import Chipset
import Foundation
import Host
import Machine
import Session
import Testing

/// Where the demo disk has drawn its screen.
private let drawn: UInt64 = 300_000_000

/// The hash of the demo at an instruction when nobody does anything to it.
private func undisturbed(at instruction: UInt64) throws -> UInt64 {
  let session = try Session(demo())
  #expect(try session.run(until: .instruction(instruction)) == .instructionLimit)
  return session.stateHash
}

@Suite struct RunTests {
  @Test func theDemoDiskBootsHeadless() throws {
    let session = try Session(demo { $0.instructionLimit = drawn })
    #expect(try session.run() == .instructionLimit)
    let outcome = session.finish()
    #expect(outcome.end == .instructionLimit && outcome.end.canGoOn)
    #expect(outcome.machine.instructions == drawn)
    #expect(outcome.machine.screen?.contains { $0.contains("Apus demo disk") } == true)
    #expect(outcome.machine.hashes == nil && outcome.losses.isEmpty)
  }

  @Test func aScriptTypesAndWaits() throws {
    let session = try Session(
      demo {
        $0.steps = [
          .expect("Press a key from the list"), .type(KeyScript.strokes(of: "hello"), "hello"),
          .type([.press([.f10])], "<f10>"),
        ]
        $0.instructionLimit = 2_000_000_000
      })
    #expect(try session.run() == .powerOff)
    // The last key may be down still when the guest turns the machine off.
    #expect(session.stepsDone >= 2)
    #expect(session.screenText?.contains { $0.contains("hello") } == true)
    #expect(session.finish().waitingFor == nil)
  }

  @Test func meetingTheLastExpectationEndsTheRun() throws {
    let session = try Session(demo { $0.steps = [.expect("Press a key from the list")] })
    #expect(try session.run() == .expectationMet)
  }

  @Test func anExpectationThatIsNotMetInItsTimeIsTold() throws {
    let never = try Awaited(.text, "never shown", limit: 2_000_000_000)
    let session = try Session(demo { $0.steps = [.await(never)] })
    #expect(try session.run() == .expectationMissed(never))
    #expect(session.finish().waitingFor == never)
  }

  @Test func typingFromOutsideReachesTheGuest() throws {
    let session = try Session(demo { $0.instructionLimit = 3_000_000_000 })
    try session.run(until: .instruction(drawn))
    try session.type("A<shift-b>")
    session.paste("c!")
    // Keys that are pressed do not wait for those that are typed.
    try session.run(until: .instructions(100_000_000))
    session.key(0x07, down: true)
    session.key(0x07, down: false)
    try session.run(until: .instructions(200_000_000))
    #expect(session.screenText?.contains { $0.contains("ABc!d") } == true)
    // F10, by its USB HID usage.
    session.key(0x43, down: true)
    #expect(try session.run() == .powerOff)
  }

  @Test func aTripleFaultEndsTheRunWithTheProcessorsState() throws {
    let session = try Session(demo { $0.drives[.floppy(0)] = floppy(Guest.tripleFault) })
    #expect(try session.run() == .tripleFault)
    let outcome = session.finish()
    #expect(outcome.machine.cpu.code.prefix(2) == [0x0F, 0x0B])
    #expect(outcome.machine.processorText.contains("EIP="))
  }

  @Test func serialPortsTalkBothWays() throws {
    let heard = Gathered<[UInt8]>()
    let session = try Session(
      demo { $0.drives[.floppy(0)] = floppy(Guest.serial) }, observing: .serial
    ) { if case .serialOutput(0, let bytes) = $0 { heard.add(bytes) } }
    session.send(Array("HAL".utf8))
    try session.run(until: .virtualTime(5_000_000_000))
    #expect(heard.all.flatMap { $0 } == Array("IBM".utf8))
  }

  @Test func aSessionThatHasEndedRunsNoMoreAndLeavesItsPlaces() throws {
    let scratch = try Scratch()
    let path = scratch.path("serial")
    // Twice in one process: what the first one listened at is free.
    for _ in 0..<2 {
      let session = try Session(
        demo {
          $0.drives[.floppy(0)] = floppy(Guest.serial)
          $0.serial = [.tcpServer(port: 47_113), .unix(path)]
        })
      try session.run(until: .instructions(1_000_000))
      session.finish()
      #expect(session.isFinished)
      #expect(throws: SessionError.self) { try session.run() }
      #expect(throws: SessionError.self) { try session.start() }
      let isFree = eventually {
        guard let channel = try? CharacterChannel(.tcpServer(port: 47_113)) else { return false }
        channel.close()
        return true
      }
      #expect(isFree && !HostFiles.exists(path))
    }
  }

  @Test func aStateBehindTheEndOfTheRunIsRefused() throws {
    let scratch = try Scratch()
    let path = scratch.path("state")
    let first = try Session(demo { ($0.saveState, $0.instructionLimit) = (path, 2_000_000) })
    try first.run()
    first.finish()
    let state = LoadFile(path: path, bytes: Array(try Data(contentsOf: URL(fileURLWithPath: path))))
    let session = try Session(demo { ($0.loadState, $0.instructionLimit) = (state, 2_000_000) })
    session.finish()
    #expect {
      _ = try Session(demo { ($0.loadState, $0.instructionLimit) = (state, 1_999_999) })
    } throws: {
      "\($0)".contains("was saved at instruction 2000000, behind the end of the run at 1999999")
    }
  }

  @Test func resetsAndNewTextAreTold() throws {
    let resets = Gathered<ResetRequest>()
    let texts = Gathered<[String]?>()
    let session = try Session(demo(), observing: [.resets, .text]) {
      switch $0 {
      case .reset(let kind): resets.add(kind)
      case .textChanged(let rows): texts.add(rows)
      default: break
      }
    }
    try session.run(until: .instruction(drawn))
    let before = resets.all.count
    session.reset()
    try session.run(until: .instructions(1_000_000))
    #expect(resets.all.dropFirst(before).first == .system)
    #expect(texts.all.contains { $0?.contains { $0.contains("Apus demo disk") } == true })
  }

  @Test func aDiskThatIsNotThereIsToldAndChangesNothing() throws {
    let notices = Gathered<String>()
    let session = try Session(demo(), observing: .notices) {
      if case .notice(let line) = $0 { notices.add(line) }
    }
    session.insert("/nowhere/disk.img")
    try session.run(until: .instruction(drawn))
    #expect(notices.all.count == 1 && notices.all[0].contains("/nowhere/disk.img"))
    #expect(session.stateHash == (try undisturbed(at: drawn)))
  }
}

@Suite struct ThreadTests {
  @Test func pausingAndLookingLeaveTheRunAsItWas() throws {
    let session = try Session(demo())
    try session.start(until: .instruction(drawn))
    var looks = 0
    let alarm = HostCondition()
    while !session.hasEnded {
      session.pause()
      let before = session.instructions
      _ = session.screenText
      _ = session.snapshot()
      alarm.locked { alarm.wait(nanoseconds: 3_000_000) }
      // It stands, and its time too.
      if !session.hasEnded { #expect(session.instructions == before) }
      session.resume()
      looks += 1
      alarm.locked { alarm.wait(nanoseconds: 3_000_000) }
    }
    #expect(session.wait() == .instructionLimit)
    #expect(looks > 1)
    #expect(session.stateHash == (try undisturbed(at: drawn)))
  }

  @Test func anInterruptedRunGoesOnAsIfItHadNotBeen() throws {
    let session = try Session(demo())
    session.interrupt()
    #expect(try session.run(until: .instruction(drawn)) == .interrupted)
    #expect(try session.run(until: .instruction(drawn)) == .instructionLimit)
    #expect(session.stateHash == (try undisturbed(at: drawn)))
  }

  @Test func twoSessionsRunAtOnce() throws {
    let sessions = try (0..<2).map { _ in try Session(demo { $0.instructionLimit = drawn }) }
    for session in sessions { try session.start() }
    for session in sessions { #expect(session.wait() == .instructionLimit) }
    let hashes = sessions.map(\.stateHash)
    #expect(hashes[0] == hashes[1])
    #expect(hashes[0] == (try undisturbed(at: drawn)))
  }

  @Test func anotherThreadStopsIt() throws {
    let stops = Gathered<SessionEnd>()
    let session = try Session(
      demo { $0.drives[.floppy(0)] = floppy(Guest.busy) }, observing: .stops
    ) { if case .stopped(let end) = $0 { stops.add(end) } }
    try session.start()
    #expect(eventually { session.instructions > 10_000_000 })
    session.stop()
    #expect(session.wait() == .stopped)
    #expect(stops.all == [.stopped])
    #expect(session.finish().end == .stopped)
    // It has ended for good: what it was connected to is closed.
    #expect(throws: SessionError.self) { try session.run() }
  }

  @Test func aTimeLimitEndsIt() throws {
    let session = try Session(
      demo {
        $0.drives[.floppy(0)] = floppy(Guest.busy)
        $0.timeout = 0.3
      })
    #expect(try session.run() == .timeout)
    #expect(session.finish().hostSeconds >= 0.29)
  }

  @Test func aSessionThatIsGivenUpGoesAway() throws {
    weak var gone: Session?
    do {
      let session = try Session(demo { $0.timeout = 1000 })
      try session.run(until: .instructions(1_000_000))
      session.finish()
      gone = session
    }
    #expect(gone == nil)
  }
}

@Suite struct ContinuationTests {
  @Test func aSavedSessionGoesOnInANewOneAsItWouldHaveDone() throws {
    let scratch = try Scratch()
    let first = try Session(demo())
    try first.run(until: .instruction(200_000_000))
    try first.save(to: scratch.path("demo.state"))
    try first.run(until: .instruction(drawn))
    let bytes = try HostFiles.read(scratch.path("demo.state"), limit: 1 << 30)
    let second = try Session(
      demo { $0.loadState = LoadFile(path: scratch.path("demo.state"), bytes: bytes) })
    #expect(second.instructions == 200_000_000)
    try second.run(until: .instruction(drawn))
    #expect(second.stateHash == first.stateHash)
  }

  @Test func aSnapshotIsTheStateOfThatMoment() throws {
    let first = try Session(demo())
    try first.start(until: .instruction(drawn))
    let bytes = first.snapshot()
    first.wait()
    let second = try Session(demo { $0.loadState = LoadFile(path: "snapshot", bytes: bytes) })
    try second.run(until: .instruction(drawn))
    #expect(second.stateHash == first.stateHash)
  }

  @Test func aRecordedSessionIsRepeated() throws {
    let scratch = try Scratch()
    let path = scratch.path("demo.rec")
    let first = try Session(demo { $0.record = path })
    try first.run(until: .instruction(drawn))
    try first.type("hello")
    try first.run(until: .instructions(100_000_000))
    first.finish()
    let recording = NamedRecording(
      try Recording(try HostFiles.read(path, limit: 1 << 20)), path: path)
    let second = try Session(demo { $0.adopt(recording) })
    guard case .recordingEnd = try second.run() else {
      Issue.record("not repeated")
      return
    }
    #expect(second.stateHash == first.stateHash)
  }

  @Test func resultsAreWrittenWhenItEnds() throws {
    let scratch = try Scratch()
    let session = try Session(
      demo {
        $0.screenshot = scratch.path("screen.png")
        $0.saveState = scratch.path("end.state")
        $0.hashesState = true
        $0.collectsStatistics = true
      })
    try session.run(until: .instruction(drawn))
    let outcome = session.finish()
    #expect(outcome.machine.hashes?.all == session.stateHash)
    #expect(outcome.machine.hashes?.parts.contains { $0.name == "cpu" } == true)
    #expect(outcome.statistics?.shares.isEmpty == false)
    let picture = try HostFiles.read(scratch.path("screen.png"), limit: 1 << 20)
    #expect(picture.prefix(4) == [0x89, 0x50, 0x4E, 0x47])
    #expect(HostFiles.exists(scratch.path("end.state")))
    #expect(outcome.losses.isEmpty)
  }
}

@Suite struct ConfigurationTests {
  private func refusal(_ change: (inout SessionConfiguration) -> Void) -> SessionError? {
    do {
      _ = try Session(demo(change))
      return nil
    } catch { return error }
  }

  @Test func whatCannotBeIsRefused() {
    #expect(refusal { $0.speed = .factor(0) }?.kind == .configuration)
    #expect(refusal { $0.adaptsRate = true }?.kind == .configuration)
    #expect(refusal { $0.serial = [.null, .stdio, .stdio] }?.kind == .configuration)
    #expect(
      refusal { $0.serial = Array(repeating: .null, count: 5) }?.reason.contains("four") == true)
    #expect(refusal { $0.timeout = 0 }?.kind == .configuration)
    #expect(refusal { $0.machine.memoryMegabytes = 0 }?.kind == .configuration)
    #expect(refusal { $0.acceptsOtherDisks = true }?.kind == .configuration)
    #expect(refusal { $0.drives[.disk(4)] = .file("x") }?.kind == .configuration)
    #expect(refusal { $0.drives[.disk(0)] = .demoDisk }?.kind == .configuration)
    #expect(refusal { $0.screenshot = "/nowhere/x.png" }?.file == "/nowhere/x.png")
    #expect(refusal { $0.drives[.disk(0)] = .file("/nowhere/x.img") }?.kind == .image)
    #expect(
      refusal { $0.loadState = LoadFile(path: "x.state", bytes: [1, 2, 3]) }?.kind == .state)
  }

  @Test func aFileIsNotWrittenByTwoDrives() throws {
    let scratch = try Scratch()
    let path = scratch.path("disk.img")
    try HostFiles.writeAtomically(path, [UInt8](repeating: 0, count: 1 << 20))
    let error = refusal {
      $0.drives[.disk(0)] = .file(path)
      $0.drives[.disk(1)] = .file(path)
    }
    #expect(error?.kind == .configuration && error?.file == path)
    #expect(
      refusal {
        $0.drives[.disk(0)] = .file(path, .snapshot)
        $0.drives[.disk(1)] = .file(path, .snapshot)
      } == nil)
    #expect(
      refusal {
        $0.drives[.disk(0)] = .file(path)
        $0.screenshot = path
      }?.file == path)
  }
}

extension KeyScript {
  /// Strokes of letters.
  fileprivate static func strokes(of text: String) -> [KeyStroke] { (try? parse(text)) ?? [] }
}
