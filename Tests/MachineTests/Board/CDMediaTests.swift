// Discs that are changed while the machine runs: what the guest, a recording, the past and a saved state make of it. The guests' programs were
// run on QEMU, too.

import Chipset
import Foundation
import Host
import Storage
import TestSupport
import Testing

@testable import Machine

/// Reads sector 0 of the disc in the secondary master again and again by READ(10) and tells its first byte by port E9h, or e for a failure,
/// when it is another than before.
private let tellDisc = bytes(
  """
  31c08ed88ec08ed0bc007cba7603b002eeba7601b0a0ee30dbba710131c0eeba7401ee42b008eeba7701b0a0eee83000be6d7cb90600ba7001fcf36f
  e82100a808b0657411bf0006b90004ba7001f36de80d00a0000638d874bf88c3e6e9ebb9ba7603eca88075fbba7701ecc32800000000000000010000
  00
  """)
/// Locks the tray, tells l, asks GET EVENT STATUS until the button was pressed, tells r, unlocks and opens the tray, tells o.
private let lockTray = bytes(
  """
  31c08ed88ec08ed0bc007cba7603b002eeba7601b0a0eebe8f7ce82f00be9b7ce82900b06ce6e9bebf7ce81f00803e04060175f3b072e6e9bea77ce8
  0e00beb37ce80800b06fe6e9faf4ebfdba710131c0eeba7401ee42b008eeba7701b0a0eee81f00b90600ba7001fcf36fe81300a808740ebf0006b904
  00ba7001f36de80100c3ba7603eca88075fbba7701ecc30000000000000000000000001e00000001000000000000001e00000000000000000000001b
  00000002000000000000004a0100001000000008000000
  """)

private final class Scratch {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    "apus-cd-\(UUID().uuidString)")
  init() throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(at: folder) }
  func disc(_ name: String, _ mark: Character) throws -> String {
    let path = folder.appendingPathComponent(name).path
    try Data(repeating: mark.asciiValue!, count: 50 * 2048).write(to: URL(fileURLWithPath: path))
    return path
  }
}

private final class Told {
  let machine: Machine
  var text = ""
  var notices: [String] = []

  init(_ code: [UInt8], disc: String?, _ change: (inout MachineConfiguration) -> Void = { _ in })
    throws
  {
    machine = try MachineTests.machine(booting: nil) {
      $0.floppies[0] = MachineImage(floppy: bootFloppy(code, mark: 0x31), name: "boot")
      if let disc {
        $0.cds[2] = .disc(MachineImage(try! ImageOpener.open(path: disc, kind: .cd)))
      } else {
        $0.cds[2] = .empty
      }
      change(&$0)
    }
    machine.debugOutput = { [unowned self] in text.append(Character(UnicodeScalar($0))) }
    machine.notice = { [unowned self] in notices.append($0) }
  }

  func run(_ instructions: UInt64) {
    _ = machine.run(untilInstruction: machine.cpu.instructionCount + instructions)
  }

  /// What was told; the first command after power-on fails to tell of the reset, unless the BIOS had that already.
  var heard: String { text.hasPrefix("e1") ? String(text.dropFirst()) : text }

  func waits(for wanted: String) -> Bool {
    for _ in 0..<600 where heard != wanted { run(10_000_000) }
    return heard == wanted
  }

  func put(_ path: String?) {
    machine.input.post(
      .cd(drive: 0, disc: path.map { FloppyChoice(path: $0, isProtected: true) }))
  }
}

@Suite struct CDMediaTests {
  @Test func theGuestHearsOfEachDiscAndReadsIt() throws {
    let scratch = try Scratch()
    let told = try Told(tellDisc, disc: scratch.disc("1.iso", "1"))
    #expect(told.waits(for: "1"))
    told.put(try scratch.disc("2.iso", "2"))
    #expect(told.waits(for: "1e2"))
    told.put(nil)
    #expect(told.waits(for: "1e2e"))
    told.run(50_000_000)
    #expect(told.machine.cdDriveStatus[0].isTrayOpen && told.machine.cdDriveStatus[0].disc == nil)
    told.put(try scratch.disc("3.iso", "3"))
    #expect(told.waits(for: "1e2e3"))
    #expect(told.notices == ["CD: 2.iso", "CD: ejected", "CD: 3.iso"])
    told.put(scratch.folder.path + "/none.iso")
    told.run(10_000_000)
    #expect(told.notices.last?.contains("there is no such file") == true && told.heard == "1e2e3")
  }

  @Test func aLockedTrayKeepsTheDiscUntilTheGuestLetsGo() throws {
    let scratch = try Scratch()
    let told = try Told(lockTray, disc: scratch.disc("1.iso", "1"))
    #expect(told.waits(for: "l"))
    #expect(told.machine.cdDriveStatus[0].isLocked)
    told.put(try scratch.disc("2.iso", "2"))
    #expect(told.waits(for: "lro"))
    #expect(told.machine.cdDriveStatus[0].isTrayOpen)
    #expect(told.machine.cdDriveStatus[0].disc?.hasSuffix("1.iso") == true)
    #expect(
      told.notices == [
        "CD: the guest has locked the tray and was asked to let go of the disc; the other one was not put in"
      ])
    // Now it is free.
    told.put(try scratch.disc("2.iso", "2"))
    told.run(10_000_000)
    #expect(told.machine.cdDriveStatus[0].disc?.hasSuffix("2.iso") == true)
    #expect(!told.machine.cdDriveStatus[0].isTrayOpen)
  }

  @Test func aStateAndThePastKnowTheDiscOfTheirTime() throws {
    let scratch = try Scratch()
    let first = try scratch.disc("1.iso", "1")
    let second = try scratch.disc("2.iso", "2")
    let told = try Told(tellDisc, disc: first)
    let travel = told.machine.enableTimeTravel()
    #expect(told.waits(for: "1"))
    travel.mark()
    let before = (told.machine.cpu.instructionCount, told.machine.stateHash())
    told.put(second)
    #expect(told.waits(for: "1e2"))
    let after = (told.machine.cpu.instructionCount, told.machine.stateHash())
    let state = told.machine.saveState()
    try travel.goto(before.0)
    #expect(told.machine.stateHash() == before.1)
    #expect(told.machine.cdDriveStatus[0].disc == first)
    try travel.goto(after.0)
    #expect(told.machine.stateHash() == after.1)
    #expect(told.machine.cdDriveStatus[0].disc == second)

    let same = try Told(tellDisc, disc: second)
    try same.machine.restoreState(state)
    #expect(same.machine.stateHash() == after.1)
    let other = try Told(tellDisc, disc: first)
    #expect(throws: (any Error).self) { try other.machine.restoreState(state) }
    let none = try Told(tellDisc, disc: nil)
    #expect(throws: (any Error).self) { try none.machine.restoreState(state) }
  }

  @Test func oneDriveAPlace() throws {
    let scratch = try Scratch()
    let path = try scratch.disc("1.iso", "1")
    #expect(throws: ConfigurationError.self) {
      try Told(tellDisc, disc: path) {
        $0.disks[2] = MachineImage(
          try! ImageOpener.open(path: path, kind: .disk, snapshot: true))
      }
    }
    // Beside a disk, and at all four places.
    let told = try Told(tellDisc, disc: path) {
      $0.cds[0] = .empty
      $0.cds[1] = .empty
      $0.cds[3] = .empty
    }
    #expect(
      told.machine.cdDriveStatus.map(\.place) == [
        "primary master", "primary slave", "secondary master", "secondary slave",
      ])
    #expect(told.machine.cdDriveStatus.map { $0.disc != nil } == [false, false, true, false])
  }

  @Test func aRecordingHasTheChangesOfDiscs() {
    var bytes: [UInt8] = []
    RecordingFormat.append(
      .input(.cd(drive: 2, disc: nil), check: 7), after: 3, to: &bytes)
    #expect(bytes[1] == RecordingFormat.Kind.ejectCD && bytes[2] == 2)
    bytes = []
    RecordingFormat.append(
      .input(.cd(drive: 1, disc: nil, forced: true), check: 7), after: 3, to: &bytes)
    #expect(bytes[1] == RecordingFormat.Kind.forceEjectCD && bytes[2] == 1)
  }

  @Test func forceTakesTheDiscOutOfALockedTray() throws {
    let scratch = try Scratch()
    let told = try Told(lockTray, disc: scratch.disc("1.iso", "1"))
    #expect(told.waits(for: "l"))
    let second = try scratch.disc("2.iso", "2")
    #expect(try !told.machine.changeCD(drive: 0, to: FloppyChoice(path: second)))
    #expect(told.machine.cdDriveStatus[0].disc?.hasSuffix("1.iso") == true)
    #expect(try told.machine.changeCD(drive: 0, to: FloppyChoice(path: second), forced: true))
    #expect(told.machine.cdDriveStatus[0].disc?.hasSuffix("2.iso") == true)
    #expect(told.machine.cdDriveStatus[0].isLocked)
  }

  /// Its files have blocks of 512 bytes, which nobody counts.
  @Test func theSizeOfADiscIsToldInItsOwnSectors() throws {
    let scratch = try Scratch()
    let first = try scratch.disc("1.iso", "1")
    let state = try Told(tellDisc, disc: first).machine.saveState()
    let longer = scratch.folder.appendingPathComponent("3.iso").path
    try Data(repeating: 0x33, count: 60 * 2048).write(to: URL(fileURLWithPath: longer))
    let other = try Told(tellDisc, disc: longer).machine
    #expect {
      try other.restoreState(state)
    } throws: {
      "\($0)".contains("'1.iso' in the CD drive (secondary master), of 50 sectors")
        && "\($0)".contains("of 60")
    }
    #expect(
      try other.diskIdentity(try #require(other.cdDiscs[0])).hasPrefix("60 sectors, hash "))
  }
}
