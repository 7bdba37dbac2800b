// Disks that are changed while the machine runs: what the guest, the file, a recording, the past and a saved state make of it.

import Chipset
import Foundation
import Host
import Storage
import TestSupport
import Testing

@testable import Machine

/// Reads sector 2 of drive A until that succeeds and tells its first byte by port E9h; then asks INT 13h AH=16h until the disk was
/// changed, tells c, and reads again.
private let tellDisk = bytes(
  "31c08ed88ec08ed0bc007cfbeb10b416b200cd1373f88826357cb063e6e9b80102b90200ba0000bb0006cd1372f0a00006e6e9ebd900"
)
/// Waits for another disk, writes W all over its sector 3, tells INT 13h's status as a digit (3: write-protected), and again.
private let writeDisk = bytes(
  """
  31c08ed88ec08ed0bc007cfbbf0006b90002b057f3aab416b200cd1373f8b80103b90300ba0000bb0006cd13730580fc0375eb88e00430e6e9ebdb
  """)

private func floppy(_ code: [UInt8], mark: UInt8) -> [UInt8] {
  bootFloppy(code, mark: mark)
}

/// Image files that go away.
private final class Scratch {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    "apus-media-\(UUID().uuidString)")
  init() throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(at: folder) }
  func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
  @discardableResult func file(_ name: String, mark: UInt8, _ code: [UInt8] = []) throws -> String {
    try Data(floppy(code, mark: mark)).write(to: URL(fileURLWithPath: path(name)))
    return path(name)
  }
  func byte(_ name: String, at offset: Int) throws -> UInt8 {
    try Data(contentsOf: URL(fileURLWithPath: path(name)))[offset]
  }
}

/// A machine and what it has told.
private final class Told {
  let machine: Machine
  var text = ""
  var notices: [String] = []

  init(_ code: [UInt8], _ change: (inout MachineConfiguration) -> Void = { _ in }) throws {
    machine = try MachineTests.machine(booting: nil) {
      $0.floppies[0] = MachineImage(floppy: floppy(code, mark: 0x31), name: "first")
      change(&$0)
    }
    machine.debugOutput = { [unowned self] in text.append(Character(UnicodeScalar($0))) }
    machine.notice = { [unowned self] in notices.append($0) }
  }

  func run(_ instructions: UInt64) {
    _ = machine.run(untilInstruction: machine.cpu.instructionCount + instructions)
  }

  /// Runs until this has been told, at most a virtual minute.
  func waits(for wanted: String) -> Bool {
    for _ in 0..<600 where text != wanted { run(10_000_000) }
    return text == wanted
  }

  func put(_ path: String?, drive: Int = 0, isProtected: Bool = false) {
    machine.input.post(
      .floppy(drive: drive, disk: path.map { FloppyChoice(path: $0, isProtected: isProtected) }))
  }
}

@Suite struct MediaTests {
  @Test func theGuestSeesTheChangeAndReadsTheNewDisk() throws {
    let scratch = try Scratch()
    let told = try Told(tellDisk)
    #expect(told.waits(for: "1"))
    told.put(try scratch.file("second.img", mark: 0x32))
    #expect(told.waits(for: "1c2"))
    told.run(100_000_000)
    #expect(told.text == "1c2")
    told.put(nil)
    told.run(100_000_000)
    told.put(try scratch.file("third.img", mark: 0x33))
    #expect(told.waits(for: "1c2c3"))
    #expect(told.notices == ["A: second.img", "A: ejected", "A: third.img"])
  }

  @Test func theDiskThatTheBIOSAsksForBoots() throws {
    let scratch = try Scratch()
    let told = try Told(tellDisk) {
      $0.floppies[0] = MachineImage(
        floppy: [UInt8](repeating: 0, count: 1_474_560), name: "no boot sector")
    }
    func asks() -> Bool {
      (told.machine.screenText ?? []).contains { $0.contains("Insert a disk and press a key") }
    }
    for _ in 0..<600 where !asks() { told.run(10_000_000) }
    #expect(asks())
    told.put(try scratch.file("second.img", mark: 0x32, tellDisk))
    told.machine.input.post(.text(" "))
    #expect(told.waits(for: "2"))
  }

  @Test func writesAreInTheFileWhenTheDiskIsOutAndTheFileIsFree() throws {
    let scratch = try Scratch()
    let path = try scratch.file("second.img", mark: 0x32)
    let told = try Told(writeDisk)
    told.run(100_000_000)
    told.put(path)
    #expect(told.waits(for: "0"))
    // It is ours while it is in the drive.
    #expect(throws: StorageError.self) { try ImageOpener.open(path: path) }
    told.put(nil)
    told.run(10_000_000)
    #expect(try scratch.byte("second.img", at: 1024) == UInt8(ascii: "W"))
    #expect(try ImageOpener.open(path: path).device.isReadOnly == false)
  }

  @Test func theFileIsFreeAlsoWhileAPastIsKept() throws {
    let scratch = try Scratch()
    let path = try scratch.file("second.img", mark: 0x32)
    let told = try Told(writeDisk)
    told.run(100_000_000)
    told.machine.enableTimeTravel(megabytes: 64)
    try told.machine.changeFloppy(drive: 0, to: FloppyChoice(path: path))
    #expect(told.waits(for: "0"))
    let inside = told.machine.cpu.instructionCount
    #expect(throws: StorageError.self) { try ImageOpener.open(path: path) }
    try told.machine.changeFloppy(drive: 0, to: nil)
    #expect(try scratch.byte("second.img", at: 1024) == UInt8(ascii: "W"))
    #expect(try ImageOpener.open(path: path).device.isReadOnly == false)
    try told.machine.changeFloppy(drive: 0, to: FloppyChoice(path: path, isProtected: true))
    #expect(told.machine.floppyDrives[0].isProtected)
    told.run(1_000_000)
    // The disk of then is in the drive, and the file is ours again.
    try told.machine.timeTravel?.goto(inside - 1000)
    #expect(told.machine.floppyDrives[0].isProtected == false)
  }

  @Test func aDiskThatIsOnlyReadMayBeInBothDrives() throws {
    let scratch = try Scratch()
    let path = try scratch.file("second.img", mark: 0x32)
    // Drive B is there when it has had a disk.
    let told = try Told(tellDisk) {
      $0.floppies[1] = MachineImage(floppy: floppy(tellDisk, mark: 0x33), name: "other")
    }
    told.run(50_000_000)
    let choice = FloppyChoice(path: path, isProtected: true)
    try told.machine.changeFloppy(drive: 0, to: choice)
    try told.machine.changeFloppy(drive: 1, to: choice)
    #expect(told.machine.floppyDrives.map(\.disk) == [path, path])
  }

  @Test func aFileThatLostItsNameIsMissed() throws {
    let scratch = try Scratch()
    let path = try scratch.file("second.img", mark: 0x32)
    let told = try Told(writeDisk)
    told.run(100_000_000)
    told.put(path)
    #expect(told.waits(for: "0"))
    #expect(told.machine.lostImages.isEmpty)
    try FileManager.default.removeItem(atPath: path)
    #expect(told.machine.lostImages.map(\.name) == [path])
    told.notices = []
    told.put(nil)
    told.run(10_000_000)
    #expect(told.notices.contains { $0.contains("deleted") }, "\(told.notices)")
  }

  @Test func aProtectedDiskIsNotWritten() throws {
    let scratch = try Scratch()
    let told = try Told(writeDisk)
    told.run(100_000_000)
    told.put(try scratch.file("second.img", mark: 0x32), isProtected: true)
    #expect(told.waits(for: "3"))
    #expect(told.machine.floppyDrives[0].isProtected)
    told.put(nil)
    told.run(10_000_000)
    #expect(try scratch.byte("second.img", at: 1024) == 0)
    #expect(FloppyChoice.parts(of: "x.img:ro").path == "x.img")
    #expect(FloppyChoice.parts(of: "x.img").isProtected == false)
  }

  @Test func withASnapshotWritesStayInMemoryAndComeBackWithTheDisk() throws {
    let scratch = try Scratch()
    let path = try scratch.file("second.img", mark: 0x32)
    let told = try Told(writeDisk) { $0.keepsWritesInMemory = true }
    told.run(100_000_000)
    told.put(path)
    #expect(told.waits(for: "0"))
    told.put(nil)
    told.run(10_000_000)
    #expect(try scratch.byte("second.img", at: 1024) == 0)
    told.put(path)
    told.run(1_000_000)
    let medium = try #require(told.machine.floppyController.medium(in: 0))
    var sector = [UInt8](repeating: 0, count: 512)
    try sector.withUnsafeMutableBytes { try medium.image.read(block: 2, into: $0) }
    #expect(sector[0] == UInt8(ascii: "W"))
  }

  @Test func aFileThatWasBuiltAgainIsReadAgain() throws {
    let scratch = try Scratch()
    let told = try Told(tellDisk)
    #expect(told.waits(for: "1"))
    told.put(try scratch.file("second.img", mark: 0x32))
    #expect(told.waits(for: "1c2"))
    try FileManager.default.removeItem(atPath: scratch.path("second.img"))
    told.put(try scratch.file("second.img", mark: 0x34))
    #expect(told.waits(for: "1c2c4"))
  }

  @Test func whatCannotGoInIsRefusedAndChangesNothing() throws {
    let scratch = try Scratch()
    let path = try scratch.file("second.img", mark: 0x32)
    let told = try Told(tellDisk) {
      $0.floppies[1] = MachineImage(try! ImageOpener.open(path: path))
    }
    told.run(50_000_000)
    let before = told.machine.floppyDrives
    let large = scratch.path("large.img")
    try Data(count: 2_949_120).write(to: URL(fileURLWithPath: large))
    for (wrong, drive, reason) in [
      (path, 0, "is in drive B already"), (scratch.path("none.img"), 0, "no such file"),
      (large, 0, "does not fit"), (scratch.folder.path, 0, "directory"),
      (path, 5, "no floppy drive"),
    ] {
      told.notices = []
      told.put(wrong, drive: drive)
      told.run(1_000_000)
      #expect(told.notices.count == 1)
      #expect(told.notices.first?.contains(reason) == true, "\(told.notices)")
      #expect(throws: MediaError.self) {
        try told.machine.changeFloppy(drive: drive, to: FloppyChoice(path: wrong))
      }
    }
    #expect(told.machine.floppyDrives == before)
  }

  private final class Tape {
    var bytes: [UInt8] = []
    var target: RecordingWriter.Target {
      RecordingWriter.Target(append: { (more) throws(HostError) in self.bytes += more })
    }
  }

  @Test func aReplayPutsInTheSameDisksOrIsRefused() throws {
    let scratch = try Scratch()
    let second = try scratch.file("second.img", mark: 0x32)
    let third = try scratch.file("third.img", mark: 0x33)
    let tape = Tape()
    let told = try Told(tellDisk) { $0.keepsWritesInMemory = true }
    try told.machine.startRecording(to: tape.target)
    #expect(told.waits(for: "1"))
    for (path, text) in [(second, "1c2"), (third, "1c2c3"), (second, "1c2c3c2")] {
      told.put(path)
      #expect(told.waits(for: text))
    }
    told.put(nil)
    told.run(50_000_000)
    told.machine.finishRecording(.instructionLimit)

    let again = try Told(tellDisk) { $0.keepsWritesInMemory = true }
    try again.machine.startReplay(try Recording(tape.bytes))
    #expect(again.machine.run() == .recordingEnd(.instructionLimit))
    #expect(again.text == told.text)
    #expect(again.machine.stateHash() == told.machine.stateHash())

    try scratch.file("third.img", mark: 0x39)
    let other = try Told(tellDisk)
    let recording = try Recording(tape.bytes)
    #expect {
      try other.machine.startReplay(recording)
    } throws: { error in
      (error as? RecordingError)?.reason.contains("third.img") == true
    }
  }

  @Test func damagedChangesInARecordingAreRefused() throws {
    var bytes: [UInt8] = []
    RecordingFormat.append(
      .input(
        .floppy(drive: 1, disk: FloppyChoice(path: "x", isProtected: true, identity: "y")),
        check: 7), after: 3, to: &bytes)
    #expect(bytes[1] == RecordingFormat.Kind.insert && bytes[2] == 1)
  }

  @Test func thePastHasTheDisksOfItsTime() throws {
    let scratch = try Scratch()
    let told = try Told(tellDisk)
    let machine = told.machine
    let travel = machine.enableTimeTravel()
    #expect(told.waits(for: "1"))
    let before = (machine.cpu.instructionCount, machine.stateHash())
    travel.mark()
    told.put(try scratch.file("second.img", mark: 0x32))
    #expect(told.waits(for: "1c2"))
    travel.mark()
    told.put(nil)
    told.run(20_000_000)
    told.put(try scratch.file("third.img", mark: 0x33))
    #expect(told.waits(for: "1c2c3"))
    let after = (machine.cpu.instructionCount, machine.stateHash())
    try travel.goto(before.0)
    #expect(machine.stateHash() == before.1)
    #expect(machine.floppyDrives[0].disk == "first")
    try travel.goto(after.0)
    #expect(machine.stateHash() == after.1)
    #expect(machine.floppyDrives[0].disk == scratch.path("third.img"))
    // It is not told twice.
    #expect(told.text == "1c2c3")
    // Another future from a place in the past.
    try travel.goto(before.0)
    told.run(1_000_000)
    try machine.changeFloppy(drive: 0, to: FloppyChoice(path: scratch.path("third.img")))
    told.run(1_000_000_000)
    #expect(told.text.hasSuffix("c3"))
  }

  @Test func aStateKnowsTheDiskThatWasPutIn() throws {
    let scratch = try Scratch()
    let second = try scratch.file("second.img", mark: 0x32)
    let told = try Told(tellDisk)
    #expect(told.waits(for: "1"))
    told.put(second)
    #expect(told.waits(for: "1c2"))
    let state = told.machine.saveState()
    let hash = told.machine.stateHash()
    told.put(nil)
    told.run(20_000_000)
    let empty = told.machine.saveState()

    let same = try Told(tellDisk) {
      $0.floppies[0] = MachineImage(try! ImageOpener.open(path: second))
    }
    try same.machine.restoreState(state)
    #expect(same.machine.stateHash() == hash)
    // The disk of the start is not the one it was saved with.
    #expect(throws: (any Error).self) { try Told(tellDisk).machine.restoreState(state) }
    // Saved without a disk: the drive is the same nevertheless.
    let third = try scratch.file("third.img", mark: 0x33)
    let without = try Told(tellDisk) { $0.floppies[0] = nil }
    try without.machine.restoreState(empty)
    #expect(without.machine.floppyDrives[0].disk == nil)
    without.put(third)
    without.run(1_000_000)
    #expect(without.machine.floppyDrives[0].disk == third)
  }
}
