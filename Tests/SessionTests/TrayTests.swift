// Changing CDs while the guest keeps the tray locked: scripts wait for it or force it, a window's keys and dropped files do not lose a disc.
// The guest is TestROMs/script/tray.asm.

import Foundation
import Host
import Machine
import Storage
import Testing

@testable import Session

@Suite struct TrayTests {
  /// A second or less after power-on the guest has told of its lock.
  private static let locked = ScriptStep.expect("the tray is locked")

  private func disc(_ scratch: Scratch, _ name: String, _ mark: UInt8) throws -> String {
    let path = scratch.path(name)
    try Data(repeating: mark, count: 50 * 2048).write(to: URL(fileURLWithPath: path))
    return path
  }

  /// - Parameter keeps: the guest never lets go.
  private func configuration(_ disc: String?, keeps: Bool) throws -> SessionConfiguration {
    let rom = try #require(TimingROMs.all["tray"])
    var image = rom()
    if keeps { image[509] = 1 }
    return demo {
      $0.drives[.floppy(0)] = .floppy(image, name: "tray")
      if let disc {
        $0.drives[.cd(2)] = .file(disc, .protected)
      } else {
        $0.machine.cds[2] = .empty
      }
      $0.instructionLimit = 2_000_000_000
    }
  }

  private func change(_ path: String?, forced: Bool = false, limit: UInt64? = nil) -> ScriptStep {
    .change(
      .cd(
        drive: 0, disc: path.map { FloppyChoice(path: $0, isProtected: true) }, forced: forced),
      "\(forced ? "!" : "")cd=\(path ?? "")", limit: limit)
  }

  private func present(_ session: Session) -> String? {
    session.perform { $0.cdDriveStatus[0].disc.map { String($0.suffix(5)) } }
  }

  private func isOpen(_ session: Session) -> Bool {
    session.perform { $0.cdDriveStatus[0].isTrayOpen }
  }

  private func isLocked(_ session: Session) -> Bool {
    session.perform { $0.cdDriveStatus[0].isLocked }
  }

  private func floppy(_ session: Session) -> String? {
    session.perform { $0.floppyDrives[0].disk }
  }

  @Test func aChangeWaitsUntilTheGuestHasLetGo() throws {
    let scratch = try Scratch()
    let second = try disc(scratch, "2.iso", 2)
    for path in [second, nil] {
      var configuration = try self.configuration(disc(scratch, "1.iso", 1), keeps: false)
      configuration.steps = [Self.locked, change(path, limit: 1_000_000_000)]
      let session = try Session(configuration)
      try session.run()
      #expect(session.stepsDone == 2)
      #expect(present(session) == path.map { _ in "2.iso" })
      #expect(isOpen(session) == (path == nil))
    }
  }

  @Test func aTrayThatStaysLockedFailsTheStep() throws {
    let scratch = try Scratch()
    var configuration = try self.configuration(disc(scratch, "1.iso", 1), keeps: true)
    configuration.steps = [
      Self.locked, change(try disc(scratch, "2.iso", 2), limit: 1_000_000_000), .expect("never"),
    ]
    let session = try Session(configuration)
    guard case .changeFailed(let reason) = try session.run() else {
      Issue.record("the run went on")
      return
    }
    #expect(reason.contains("--change cd=") && reason.contains("kept the tray locked for 1.0 s"))
    #expect(present(session) == "1.iso")
    // It was asked once.
    configuration.steps[1] = change(scratch.path("2.iso"))
    configuration.instructionLimit = 500_000_000
    let waiting = try Session(configuration)
    #expect(try waiting.run() == .instructionLimit)
    #expect(waiting.finish().waitingChange?.contains("unlocked the tray") == true)
  }

  @Test func forceOpensTheTray() throws {
    let scratch = try Scratch()
    var configuration = try self.configuration(disc(scratch, "1.iso", 1), keeps: true)
    configuration.instructionLimit = 300_000_000
    configuration.steps = [Self.locked, change(try disc(scratch, "2.iso", 2), forced: true)]
    let session = try Session(configuration)
    try session.run()
    #expect(session.stepsDone == 2 && present(session) == "2.iso")
    #expect(isLocked(session))
  }

  @Test func aChangeThatIsNotPossibleFailsTheStep() throws {
    let scratch = try Scratch()
    var configuration = try self.configuration(disc(scratch, "1.iso", 1), keeps: false)
    let short = scratch.path("short.iso")
    try Data([1, 2, 3]).write(to: URL(fileURLWithPath: short))
    for input in [
      MachineInput.cd(drive: 0, disc: FloppyChoice(path: short)),
      .cd(drive: 0, disc: FloppyChoice(path: scratch.path("none.iso"))),
      .cd(drive: 3, disc: nil), .floppy(drive: 0, disk: FloppyChoice(path: short)),
      .floppy(drive: 1, disk: nil),
    ] {
      configuration.steps = [.change(input, "x=y"), .expect("never")]
      let end = try Session(configuration).run()
      guard case .changeFailed(let reason) = end else {
        Issue.record("\(input): \(end)")
        continue
      }
      #expect(reason.hasPrefix("--change x=y: "))
    }
  }

  @Test func aRecordingRepeatsAChangeByForce() throws {
    let scratch = try Scratch()
    var configuration = try self.configuration(disc(scratch, "1.iso", 1), keeps: true)
    configuration.instructionLimit = 300_000_000
    configuration.hashesState = true
    configuration.record = scratch.path("run.apus")
    configuration.steps = [Self.locked, change(try disc(scratch, "2.iso", 2), forced: true)]
    let first = try Session(configuration)
    try first.run()
    let expected = first.finish().machine.hashes?.all
    configuration.record = nil
    configuration.steps = []
    let path = scratch.path("run.apus")
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    configuration.adopt(NamedRecording(try Recording(bytes), path: path))
    let again = try Session(configuration)
    guard case .recordingEnd = try again.run() else {
      Issue.record("the replay did not reach its end")
      return
    }
    #expect(again.finish().machine.hashes?.all == expected && present(again) == "2.iso")
  }

  // MARK: The window

  private func notices(_ window: MachineWindow) -> [String] {
    var list: [String] = []
    while let message = window.takeMessage() {
      if case .notice(let text) = message { list.append(text) }
    }
    return list
  }

  /// A disk that a key has ejected comes back by the key for the next one, though there is no other.
  @Test func theOnlyDiskComesBackByItsKey() throws {
    let scratch = try Scratch()
    let disk = scratch.path("one.img")
    try Data(count: 1_474_560).write(to: URL(fileURLWithPath: disk))
    var configuration = try self.configuration(nil, keeps: false)
    configuration.drives[.floppy(1)] = .file(disk, .write)
    configuration.floppyLists = [[], [disk]]
    let session = try Session(configuration)
    let window = session.openWindow()
    func second() -> String? { session.perform { $0.floppyDrives[1].disk } }
    try session.run(until: .virtualTime(1_500_000_000))
    #expect(second() != nil)
    window.request(.nextDisk(drive: 1))
    #expect(notices(window).contains { $0.contains("no other disk for B") })
    for isIn in [false, true, false, true] {
      window.request(isIn ? .nextDisk(drive: 1) : .eject(drive: 1))
      try session.run(until: .instructions(10_000_000))
      #expect((second() != nil) == isIn)
    }
    window.request(.nextDisk(drive: 1))
    #expect(notices(window).contains { $0.contains("no other disk for B") })
  }

  @Test func theNextDiscIsKeptWhileTheTrayIsLocked() throws {
    let scratch = try Scratch()
    let first = try disc(scratch, "1.iso", 1)
    let second = try disc(scratch, "2.iso", 2)
    var configuration = try self.configuration(first, keeps: false)
    configuration.cdList = [first, second]
    let session = try Session(configuration)
    let window = session.openWindow()
    try session.run(until: .virtualTime(1_500_000_000))
    #expect(isLocked(session))
    _ = notices(window)
    window.request(.nextCD)
    try session.run(until: .instructions(50_000_000))
    #expect(present(session) == "1.iso")
    #expect(notices(window).contains { $0.contains("was asked to let go") })
    // The guest has unlocked by now: the same disc is the next one.
    window.request(.nextCD)
    try session.run(until: .instructions(10_000_000))
    #expect(present(session) == "2.iso")
    window.request(.nextCD)
    try session.run(until: .instructions(10_000_000))
    #expect(present(session) == "1.iso")
  }

  @Test func theKeysOfTheWindowReachEveryCDDrive() throws {
    let scratch = try Scratch()
    let first = try disc(scratch, "1.iso", 1)
    let second = try disc(scratch, "2.iso", 2)
    var configuration = try self.configuration(first, keeps: false)
    configuration.machine.cds[3] = .empty
    configuration.cdList = [first, second]
    let session = try Session(configuration)
    let window = session.openWindow()
    func discs() -> [String?] {
      session.perform { $0.cdDriveStatus.map { $0.disc.map { String($0.suffix(5)) } } }
    }
    window.request(.otherCDDrive)
    try session.run(until: .instructions(1_000_000))
    #expect(
      notices(window).contains("Ctrl+Alt+B is for CD2, the secondary slave: no disc"))
    window.request(.nextCD)
    try session.run(until: .instructions(1_000_000))
    #expect(discs() == ["1.iso", "2.iso"])
    window.request(.ejectCD(drive: nil))
    try session.run(until: .instructions(1_000_000))
    #expect(discs() == ["1.iso", nil])
    window.request(.otherCDDrive)
    try session.run(until: .instructions(1_000_000))
    #expect(notices(window).contains("Ctrl+Alt+B is for CD, the secondary master: 1.iso"))
  }

  @Test func theTitleNamesADiscThatIsThere() throws {
    let scratch = try Scratch()
    var configuration = try self.configuration(try disc(scratch, "1.iso", 1), keeps: false)
    configuration.drives[.cd(3)] = .file(try disc(scratch, "2.iso", 2), .protected)
    let session = try Session(configuration)
    let window = session.openWindow()
    window.setSubject("1.iso", in: .cd(0))
    session.ejectCD()
    #expect(
      eventually {
        _ = try? session.run(until: .instructions(1_000_000))
        return window.subject == "2.iso"
      })
  }

  @Test func aDriveMayBeginEmptyWithDiscsToCome() throws {
    let scratch = try Scratch()
    var configuration = try self.configuration(nil, keeps: false)
    configuration.cdList = [try disc(scratch, "1.iso", 1)]
    configuration.beginsWithoutCD = true
    let session = try Session(configuration)
    let window = session.openWindow()
    window.request(.nextCD)
    try session.run(until: .instructions(1_000_000))
    #expect(present(session) == "1.iso")
    window.request(.nextCD)
    try session.run(until: .instructions(1_000_000))
    #expect(notices(window).contains { $0.contains("there is no other CD") })
  }

  @Test func droppedFilesGoWhereTheyBelong() throws {
    let scratch = try Scratch()
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
      let path = scratch.path(name)
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      return path
    }
    let iso = try disc(scratch, "a.ISO", 1)
    let raw = [0] + [UInt8](repeating: 0xFF, count: 10) + [0, 0, 2, 0, 1]
    let bin = try write("track.bin", (raw + [UInt8](repeating: 0, count: 2336)) + [])
    let cue = try write(
      "track.cue",
      Array("FILE \"track.bin\" BINARY\nTRACK 01 MODE1/2352\nINDEX 01 00:00:00\n".utf8))
    let image = try write("dos.img", [UInt8](repeating: 0, count: 1_474_560))
    let hard = try write("hard.img", [UInt8](repeating: 0, count: 8 << 20))
    let text = try write("notes.txt", Array("hello".utf8))
    let files = DroppedFiles([iso, bin, cue, image, hard, text, scratch.folder.path])
    #expect(files.discs == [iso, cue] && files.floppies == [image])
    #expect(files.refused.count == 3)
    #expect(files.refused.contains { $0.hasPrefix("hard.img: ") && $0.contains("--disk") })
    #expect(files.refused.contains { $0.hasPrefix("notes.txt: ") })
    #expect(files.refused.contains { $0.contains("is a folder") })
    // A file of tracks brings its sheet along.
    #expect(DroppedFiles([bin]).discs == [cue])

    let session = try Session(configuration(try disc(scratch, "1.iso", 1), keeps: false))
    let window = session.openWindow()
    window.request(.drop([iso, image, text], toSecond: false))
    try session.run(until: .instructions(1_000_000))
    #expect(present(session) == "a.ISO")
    #expect(floppy(session) == image)
    let told = notices(window)
    #expect(told.contains("CD: a.ISO") && told.contains("A: dos.img"))
    #expect(told.contains { $0.hasPrefix("notes.txt: ") })
  }

  @Test func aDiscDroppedOnALockedTrayIsNotForgotten() throws {
    let scratch = try Scratch()
    let session = try Session(configuration(try disc(scratch, "1.iso", 1), keeps: false))
    let window = session.openWindow()
    try session.run(until: .virtualTime(1_500_000_000))
    window.request(.drop([try disc(scratch, "2.iso", 2)], toSecond: false))
    try session.run(until: .instructions(50_000_000))
    #expect(present(session) == "1.iso")
    #expect(notices(window).contains { $0.contains("Ctrl+Alt+B puts 2.iso in") })
    window.request(.nextCD)
    try session.run(until: .instructions(10_000_000))
    #expect(present(session) == "2.iso")
  }

  @Test func theTitleFollowsTheDiscThatItNames() throws {
    let scratch = try Scratch()
    let session = try Session(configuration(try disc(scratch, "1.iso", 1), keeps: false))
    let window = session.openWindow()
    window.setSubject("1.iso", in: .cd(0))
    session.ejectCD()
    session.insertCD(try disc(scratch, "2.iso", 2))
    // The title is renewed twice a second of the host.
    #expect(
      eventually {
        _ = try? session.run(until: .instructions(1_000_000))
        return window.subject == "2.iso"
      })
  }
}
