// States and what their drives held: a guest never goes on with a disk that it does not know.

import Foundation
import State
import TestSupport
import Testing

@testable import Machine
@testable import Storage

/// For ever: the word at 0:600h counts, and its sector is written to sector 3 of the floppy (INT 13h AH=03h).
///
///     xor ax,ax / mov ds,ax / mov es,ax / mov ss,ax / mov sp,7C00h
///     again: inc word [600h] / mov bx,600h / mov ax,0301h / mov cx,3 / mov dx,0 / int 13h / jmp again
private let writesForEver = bytes(
  "31c08ed88ec08ed0bc007cff060006bb0006b80103b90300ba0000cd13ebec")

@Suite struct StateDiskTests {
  private final class Folder {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent(
      "apus-states-\(UUID().uuidString)")
    init() throws {
      try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(at: url) }
    func image(_ name: String, _ bytes: [UInt8]) throws -> String {
      let file = url.appendingPathComponent(name)
      try Data(bytes).write(to: file)
      return file.path
    }
  }

  private func machine(_ path: String, snapshot: Bool) throws -> Machine {
    let image = try ImageOpener.open(path: path, kind: .floppy, snapshot: snapshot)
    return try MachineTests.machine(booting: nil) { $0.floppies[0] = MachineImage(image) }
  }

  private func refusal(_ machine: Machine, _ state: [UInt8], force: Bool = false) -> String {
    do throws(StateError) {
      try machine.restoreState(state, acceptingOtherDisks: force)
      return "accepted"
    } catch { return error.description }
  }

  @Test func snapshotsGoOnWithTheirImageOnly() throws {
    let folder = try Folder()
    let a = try folder.image("a.img", bootFloppy(writesForEver))
    var other = bootFloppy(writesForEver)
    other[900_000] = 1
    let b = try folder.image("b.img", other)
    // Each goes before the next: an image that is open cannot be opened for writing.
    var state: [UInt8] = []
    do {
      let source = try machine(a, snapshot: true)
      _ = source.run(untilInstruction: 60_000_000)
      state = source.saveState()
      _ = source.run(untilInstruction: 90_000_000)
      let same = try machine(a, snapshot: true)
      try same.restoreState(state)
      #expect(same.saveState() == state)
      _ = same.run(untilInstruction: 90_000_000)
      #expect(same.stateHash() == source.stateHash())
    }

    let text = refusal(try machine(b, snapshot: true), state)
    for part in ["drive A", "b.img", "a.img", "another image", "--force --snapshot"] {
      #expect(text.contains(part), "\(part) in \(text)")
    }
    do {
      let forced = try machine(b, snapshot: true)
      #expect(try forced.restoreState(state, acceptingOtherDisks: true).count == 1)
      _ = forced.run(untilInstruction: 70_000_000)
    }
    #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: b))) == other)
    // What the guest wrote is in the state and must not get lost.
    #expect(refusal(try machine(a, snapshot: false), state).contains("--snapshot again"))
    // Where writes reach a file, nothing accepts another disk.
    #expect(refusal(try machine(b, snapshot: false), state, force: true).contains("another image"))
  }

  @Test func aDiskThatWasWrittenSinceIsRefused() throws {
    let folder = try Folder()
    let path = try folder.image("disk.img", bootFloppy(writesForEver))
    var state: [UInt8] = []
    do {
      let source = try machine(path, snapshot: false)
      _ = source.run(untilInstruction: 60_000_000)
      state = source.saveState()
    }
    do {
      // The file is as it was: it goes on, and writes.
      let next = try machine(path, snapshot: false)
      try next.restoreState(state)
      _ = next.run(untilInstruction: 90_000_000)
    }
    let text = refusal(try machine(path, snapshot: false), state)
    #expect(text.contains("written since"), "\(text)")
    #expect(refusal(try machine(path, snapshot: true), state).contains("written since"))
  }

  /// A state of a run that wrote to a file goes on with --snapshot too, and the file stays.
  @Test func aFileMayBecomeASnapshot() throws {
    let folder = try Folder()
    let path = try folder.image("disk.img", bootFloppy(writesForEver))
    var state: [UInt8] = []
    do {
      let source = try machine(path, snapshot: false)
      _ = source.run(untilInstruction: 60_000_000)
      state = source.saveState()
    }
    let before = try Data(contentsOf: URL(fileURLWithPath: path))
    let next = try machine(path, snapshot: true)
    try next.restoreState(state)
    _ = next.run(untilInstruction: 90_000_000)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
  }

  @Test func drivesMustBeTheSame() throws {
    let folder = try Folder()
    let a = try folder.image("a.img", bootFloppy(writesForEver))
    let source = try machine(a, snapshot: true)
    let state = source.saveState()
    #expect(refusal(try MachineTests.machine(booting: nil), state).contains("give that image too"))
    let empty = try MachineTests.machine(booting: nil).saveState()
    #expect(refusal(try machine(a, snapshot: true), empty).contains("leave that out"))
    let small = try folder.image("small.img", [UInt8](repeating: 0xF6, count: 737_280))
    #expect(refusal(try machine(small, snapshot: true), state).contains("of 1440"))
    #expect(
      refusal(try MachineTests.machine(booting: Guest.halt), state).contains("is no file"))
  }

  @Test func olderStatesAreNamed() throws {
    let machine = try MachineTests.machine(booting: Guest.halt)
    var state = machine.saveState()
    state[8] = 1
    let text = refusal(try MachineTests.machine(booting: Guest.halt), state)
    #expect(text.contains("older Apus (format version 1)"))
    state[8] = 4
    #expect(
      refusal(try MachineTests.machine(booting: Guest.halt), state).contains("version 4"))
  }

  /// What the state says of its drives may be anything.
  @Test func hostileDrivesAreRefusedOrHarmless() throws {
    let folder = try Folder()
    let a = try folder.image("a.img", bootFloppy(writesForEver))
    let source = try machine(a, snapshot: true)
    _ = source.run(untilInstruction: 60_000_000)
    let body = Array(source.saveState()[28...])
    let name = Array("media".utf8)
    let start = try #require(
      body.indices.first { body[$0...].starts(with: name) })
    let overlay = Array("medium-floppy0".utf8)
    let last = try #require(body.indices.last { body[$0...].starts(with: overlay) })
    var random = SplitMix(seed: 41)
    for round in 0..<200 {
      var hostile = body
      let from = round & 1 == 0 ? start : last
      for _ in 0..<(1 + round % 3) {
        let at = from + Int(random.next() % 90)
        hostile[at] = round % 5 == 0 ? 0xFF : UInt8(truncatingIfNeeded: random.next())
      }
      let fresh = try machine(a, snapshot: true)
      var reader = StateReader(hostile)
      do throws(StateError) {
        try fresh.restoreBody(&reader, acceptingOtherDisks: round % 3 == 0)
      } catch {
        #expect(!error.reason.isEmpty)
        #expect(error.reason.utf8.allSatisfy { $0 >= 0x20 }, "\(error.reason)")
      }
    }
    #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: a))) == bootFloppy(writesForEver))
  }

  /// What the guest wrote while a past is kept does not go to a file that somebody else has written meanwhile.
  @Test func writesThatWereKeptBackDoNotGoToAnotherFile() throws {
    let folder = try Folder()
    let original = bootFloppy(writesForEver)
    let path = try folder.image("disk.img", original)
    let machine = try machine(path, snapshot: false)
    let travel = machine.enableTimeTravel()
    _ = machine.run(untilInstruction: 60_000_000)
    #expect(machine.imagesChangedByOthers.isEmpty)
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.seek(toOffset: 5000)
    try handle.write(contentsOf: Data([0xEE]))
    try handle.close()
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: 1_000_000)], ofItemAtPath: path)
    #expect(machine.imagesChangedByOthers.count == 1)
    do {
      try travel.commitDisks()
      Issue.record("written")
    } catch {
      #expect(error.description.contains("written by another program"))
      #expect(error.description.contains("not written"))
    }
    var expected = original
    expected[5000] = 0xEE
    #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: path))) == expected)
  }

  /// Time travel, too, keeps the count of writes that a state carries.
  @Test func goingBackTakesTheGenerationBack() throws {
    let folder = try Folder()
    let path = try folder.image("disk.img", bootFloppy(writesForEver))
    let machine = try machine(path, snapshot: true)
    let travel = machine.enableTimeTravel()
    _ = machine.run(untilInstruction: 60_000_000)
    let state = machine.saveState()
    _ = machine.run(untilInstruction: 120_000_000)
    #expect(machine.saveState() != state)
    try travel.goto(60_000_000)
    #expect(machine.saveState() == state)
  }

  /// Beyond the first 512 MB every byte counts as well.
  @Test func recordingsKnowAllOfALargeDisk() throws {
    let folder = try Folder()
    let path = try folder.image("big.img", bootFloppy(Guest.halt))
    var handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: 700 << 20)
    try handle.close()
    func identity() throws -> String {
      let image = try ImageOpener.open(path: path, kind: .disk, snapshot: true)
      let machine = try MachineTests.machine(booting: nil) { $0.disks[0] = MachineImage(image) }
      return try machine.recordingIdentity().first { $0.key == "disk 1" }?.value ?? ""
    }
    let before = try identity()
    handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.seek(toOffset: 650_000_001)
    try handle.write(contentsOf: Data([1]))
    try handle.close()
    #expect(try identity() != before)
  }
}
