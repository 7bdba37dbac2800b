// What a guest is given of the host's time: the date once, and a rate of instructions that software of its processor's time bears.

import CPU
import Chipset
import Foundation
import Host
import Machine
import TestSupport
import Testing

@testable import Session

/// The floppy of TestROMs/script that times LOOPs.
enum TimingROMs {}

@Suite struct StartTimeTests {
  @Test func datesAreReadAsISO8601HasThem() throws {
    let formatter = ISO8601DateFormatter()
    formatter.timeZone = TimeZone(identifier: "UTC")
    for text in [
      "1999-12-31T23:59:59", "2000-02-29T12:00:00", "1980-01-01T00:00:00", "2038-01-19T03:14:08",
      "2099-12-31T23:59:59",
    ] {
      let expected = Int64(try #require(formatter.date(from: text + "Z")).timeIntervalSince1970)
      #expect(try StartTime(text) == .fixed(expected), "\(text)")
      #expect(StartTime.text(expected) == text.replacingOccurrences(of: "T", with: " "))
      #expect(try StartTime(text.replacingOccurrences(of: "T", with: " ")) == .fixed(expected))
      #expect(try StartTime(text.prefix(16)) == StartTime(text.prefix(16) + ":00"))
      #expect(try StartTime(text.prefix(10)) == StartTime(text.prefix(10) + "T00:00:00"))
    }
    #expect(try StartTime("host") == .localTime && StartTime("localtime") == .localTime)
    #expect(try StartTime("utc") == .utc)
  }

  @Test func whatIsNoDateIsRefused() {
    for text in [
      "", "1995", "1995-8-24", "1995-08-32", "1995-02-29", "1900-02-29", "1995-00-10", "1995-08-00",
      "0000-01-01", "1995-08-24T24:00", "1995-08-24T12:60", "1995-08-24T12:00:60", "1995/08/24",
      "1995-08-24T12", "1995-08-24T12:00:00Z", "1995-08-24T12:00+02:00", "+995-08-24", "HOST",
      "1995-08-2\u{0664}", "tomorrow",
    ] { #expect(throws: StartTime.Problem.self, "\(text)") { try StartTime(text) } }
  }

  @Test func whatIsWrongWithADateIsNamed() {
    func problem(_ text: String) -> String {
      do {
        _ = try StartTime(text)
        return ""
      } catch { return "\(error)" }
    }
    let table = [
      ("1995-13-01", "no month 13"), ("1995-00-10", "no month 0"), ("1995-02-29", "no day 29"),
      ("1995-04-31", "which has 30"), ("1995-08-24T25:00", "no hour 25"),
      ("1995-08-24T12:61", "no minute 61"), ("1995-08-24T12:00:99", "no second 99"),
      ("1979-12-31", "the year 1979"), ("2100-01-01", "1980 to 2099"), ("2150-01-01", "year 2150"),
      ("tomorrow", "as in 1995-08-24"), ("1995-08-24T12", "a date is wanted"),
    ]
    for (text, words) in table { #expect(problem(text).contains(words), "\(text)") }
  }

  @Test func timesOfOtherCenturiesAreTold() {
    // date -u -d @N
    #expect(StartTime.text(-11_644_473_600) == "1601-01-01 00:00:00")
    #expect(StartTime.text(0) == "1970-01-01 00:00:00")
    #expect(StartTime.text(4_107_542_399) == "2100-02-28 23:59:59")
  }

  @Test func textOfAnyNumberIsADate() {
    #expect(StartTime.text(Int64.min) == "0001-01-01 00:00:00")
    #expect(StartTime.text(Int64.max) == "9999-12-31 23:59:59")
  }

  /// Winter and summer, and a time that has been.
  @Test func localTimeIsThatOfTheHostsZone() {
    for utc: Int64 in [1_705_312_800, 1_721_037_600, 946_684_800, 0] {
      let offset = TimeZone.current.secondsFromGMT(
        for: Date(timeIntervalSince1970: TimeInterval(utc)))
      #expect(HostClock.localSeconds(atUTC: utc) == utc + Int64(offset))
    }
    #expect((0...60).contains(StartTime.utc.seconds() - HostClock.utcSeconds()))
  }

  @Test func aReplayShowsTheRecordedDate() throws {
    let scratch = try Scratch()
    let path = scratch.path("run.rec")
    func hour(_ session: Session) -> [UInt8] {
      [0x32, 9, 8, 7, 4, 2].map { session.machine.cmos[$0] }
    }
    let recorded = try Session(
      demo {
        $0.machine.initialTime = 809_267_400
        $0.record = path
        $0.instructionLimit = 1_000_000
      })
    _ = try recorded.run()
    #expect(hour(recorded) == [0x19, 0x95, 0x08, 0x24, 0x12, 0x30])
    _ = recorded.finish()
    let recording = try Recording(try HostFiles.read(path, limit: 1 << 20))
    #expect(recording.initialTime == 809_267_400)
    var again = demo { $0.machine.initialTime = 0 }
    again.adopt(NamedRecording(recording, path: path))
    let replayed = try Session(again)
    _ = try replayed.run()
    #expect(hour(replayed) == [0x19, 0x95, 0x08, 0x24, 0x12, 0x30])
    // A state has it, too: whoever loads it has a machine made for another date.
    let state = recorded.machine.saveState()
    let loaded = try Session(demo { $0.loadState = LoadFile(path: "x.state", bytes: state) })
    #expect(hour(loaded) == [0x19, 0x95, 0x08, 0x24, 0x12, 0x30])
  }
}

@Suite struct AutomaticRateTests {
  /// A host so quick that every bound is reached.
  private final class QuickHost {
    private unowned let machine: Machine
    init(_ machine: Machine) { self.machine = machine }
    /// A billion instructions a second.
    func now() -> UInt64 { machine.cpu.instructionCount }
  }

  private static let bounds: [(CPUModel, UInt64)] = [
    (.i386, 20), (.i486, 60), (.pentium, 150), (.pentiumMMX, 150), (.pentium2, 500),
    (.pentium3, 500), (.pentium4, 500),
  ]

  /// - Parameter output: where the lines of the guest go.
  private func session(_ model: CPUModel, limits: Bool = true, output: String? = nil) throws
    -> Session
  {
    let rom = try #require(TimingROMs.all["loops"])
    var configuration = SessionConfiguration()
    configuration.machine = .small(floppy: rom())
    configuration.machine.cpu = model
    configuration.speed = .factor(1)
    configuration.adaptsRate = true
    configuration.limitsRate = limits
    configuration.debugConsole = output.map { .file($0) }
    let session = try Session(configuration)
    let host = QuickHost(session.machine)
    session.pacing.pacer.processorTime = { host.now() }
    return session
  }

  @Test func everyModelHasItsBound() throws {
    #expect(Set(CPUModel.all.map(\.name)) == Set(AutomaticRateTests.bounds.map { $0.0.name }))
    for (model, millions) in AutomaticRateTests.bounds {
      #expect(model.automaticRate == millions * 1_000_000, "\(model.name)")
    }
  }

  /// Windows 95 divides by these milliseconds.
  @Test func loopsTakeAMillisecondAtLeastOnEveryModel() throws {
    let scratch = try Scratch()
    for (model, millions) in AutomaticRateTests.bounds {
      let path = scratch.path(model.name)
      let session = try session(model, output: path)
      #expect(session.machine.clock.instructionsPerSecond <= millions * 1_000_000)
      let stop = try session.run()
      #expect(stop == .guestExit(1), "\(model.name)")
      #expect(session.machine.clock.instructionsPerSecond == millions * 1_000_000, "\(model.name)")
      _ = session.finish()
      let text = String(decoding: try HostFiles.read(path, limit: 4096), as: UTF8.self)
      let lines = text.split(separator: "\n").compactMap { UInt64($0) }
      #expect(lines.count == 40 && lines.allSatisfy { $0 >= 1000 })
      // With the bound reached 2^20 LOOPs take that many microseconds.
      let last = try #require(lines.last)
      #expect((last - 60...last).contains((1 << 20) / millions), "\(model.name): \(last)")
    }
  }

  @Test func withoutTheBoundTheHostDecides() throws {
    let session = try session(.pentium4, limits: false)
    _ = try session.run()
    #expect(session.machine.clock.instructionsPerSecond == 850_000_000)
  }

  @Test func aStateWithAHigherRateIsBroughtBelowTheBound() throws {
    let session = try session(.i386)
    session.machine.take(.rate(21_000_000))
    #expect(try session.run() == .guestExit(1))
    #expect(session.machine.clock.instructionsPerSecond == 20_000_000)
  }
}

@Suite struct QuietGuestTests {
  /// What a guest slept too long because that was wished is made up for, also when the host was late on top; what it was too slow for is
  /// forgotten.
  @Test func onlyWhatNobodyWishedIsForgotten() {
    final class Host { var now: UInt64 = 1_000_000_000_000 }
    let host = Host()
    var pacer = Pacer()
    pacer.speed = .factor(1)
    pacer.hostTime = { host.now }
    let ms: UInt64 = 1_000_000
    #expect(pacer.delay(virtual: 0) == 0)
    for round: UInt64 in 0..<20 {
      // Asked to sleep 10 ms, it slept 95 ms more, and the host was 30 ms late.
      let begin = round * 200 * ms
      #expect(pacer.delay(virtual: begin + 10 * ms) == 10 * ms)
      pacer.overslept(95 * ms)
      host.now += 135 * ms
      #expect(pacer.delay(virtual: begin + 20 * ms) == 0)
      #expect(pacer.delay(virtual: begin + 130 * ms) == 0)
      #expect(pacer.delay(virtual: begin + 200 * ms) == 65 * ms)
      host.now += 65 * ms
    }
    // Nobody wished this.
    host.now += 150 * ms
    #expect(pacer.delay(virtual: 4010 * ms) == 0)
    #expect(pacer.delay(virtual: 4020 * ms) == 10 * ms)
  }

  /// Its timer interrupts 250 times a second, and nothing else happens; nobody deals with it, and it shows nothing.
  @Test func aGuestThatOnlyTicksWakesTheHostNowAndThen() throws {
    var configuration = demo()
    // mov al,34h / out 43h,al / mov al,0a5h / out 40h,al / mov al,12h / out 40h,al / sti / l: hlt / jmp l
    configuration.drives[.floppy(0)] = floppy("b034e643b0a5e640b012e640fbf4ebfd")
    configuration.speed = .factor(1)
    let session = try Session(configuration)
    let (begin, looked) = (HostClock.nanoseconds(), Gathered<UInt64>())
    session.pacing.picture = { looked.add($0.clock.now) }
    try session.run(until: .virtualTime(5_000_000_000))
    // It does not run ahead of the host, and follows it: what it missed in one sleep it makes up for behind it.
    #expect(HostClock.nanoseconds() - begin >= 4_800_000_000)
    // Its ticks are not lost.
    #expect(HostClock.nanoseconds() - begin < 20_000_000_000)
    let late = looked.all.filter { $0 >= 3_000_000_000 }
    // 500 ticks in two seconds.
    #expect((1...80).contains(late.count), "\(late.count)")
  }
}
