// PCI functions, Plug and Play and CD drives in the console, and the changing of their discs.

import Foundation
import Host
import Storage
import TestSupport
import Testing

@testable import Chipset
@testable import Debugger
@testable import Machine

/// A machine with a PCI bus and a CD drive, and its debugger.
private final class Bench {
  let port = ScriptedPort()
  let machine: Machine
  let debugger: Debugger
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    "apus-views-\(UUID().uuidString)")

  init(board: String = "pc", code: [UInt8] = bootSector) throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    machine = try Machine(
      .small(floppy: bootFloppy(code), name: "boot") {
        $0.board = board
        $0.cds[2] = .empty
        $0.cds[3] = .empty
      })
    debugger = Debugger(machine: machine, console: port)
    debugger.instructionLimit = 50_000_000
  }
  deinit { try? FileManager.default.removeItem(at: folder) }

  func disc(_ name: String) throws -> String {
    let url = folder.appendingPathComponent(name)
    try Data(repeating: 7, count: 50 * 2048).write(to: url)
    return url.path
  }

  @discardableResult
  func run(_ command: String) -> String {
    debugger.execute(command)
    debugger.runPending()
    return port.take()
  }
}

@Suite struct BusViewTests {
  @Test func functionsOfTheBusAreListed() throws {
    let bench = try Bench()
    bench.run("c 7c0c")
    let text = bench.run("info pci")
    // Device numbers and IDs of the datasheets (82441FX, 82371SB).
    #expect(text.contains("0.0   8086:1237 host bridge (i440fx)"), "\(text)")
    #expect(text.contains("1.0   8086:7000 ISA bridge (piix3)"))
    #expect(text.contains("1.1   8086:7010 IDE (piix-ide)"))
    #expect(text.contains("piix-ide at ") && !text.contains("at 00000000"))
    #expect(!text.contains("(no "))
    bench.debugger.printsJSON = true
    let json = bench.run("info pci")
    #expect(json.contains("\"at\":\"1.1\"") && json.contains("\"class\":65920"))
    #expect(try Bench(board: "isa").run("info pci").contains("no PCI bus"))
  }

  @Test func drivesShowWhatTheyKeep() throws {
    let bench = try Bench()
    let text = bench.run("info cd")
    #expect(text.contains("CD: secondary master (ide1, drive 0), tray"))
    #expect(text.contains("CD2: secondary slave") && text.contains("no disc"))
    #expect(text.contains("status="))
    #expect(bench.run("info cdrom") == text)
    #expect(bench.run("insert CD \(try bench.disc("a.iso"))").contains("a.iso"))
    #expect(bench.run("info cd").contains("a CD: 1 data track, lead-out at 00:02:50"))
    #expect(bench.run("info ide").contains("drive 0: status="))
    #expect(bench.run("info pnp").contains("no Plug and Play cards"))
  }

  @Test func topicsShowThePartThatIsAskedFor() throws {
    let bench = try Bench()
    bench.run("c 7c0c")
    for name in ["2", "cd2", "CD2"] {
      let second = bench.run("info cd \(name)")
      #expect(second.hasPrefix("CD2: secondary slave") && !second.contains("CD: "), "\(name)")
    }
    #expect(bench.run("info cd 1").hasPrefix("CD: ") && !bench.run("info cd 1").contains("CD2"))
    for wrong in ["3", "x", "0"] {
      #expect(bench.run("info cd \(wrong)").contains("there is no CD drive '\(wrong)' (CD, CD2)"))
    }
    for name in ["1.1", "piix-ide", "0:1.1", "00:01.1"] {
      let function = bench.run("info pci \(name)")
      #expect(function.contains("(piix-ide)") && !function.contains("(piix3)"), "\(name)")
    }
    let slot = bench.run("info pci 1")
    #expect(slot.contains("(piix3)") && slot.contains("(piix-ide)") && !slot.contains("(i440fx)"))
    #expect(bench.run("info pci 9.0").contains("there is no function '9.0'"))
    let all = bench.run("info ide")
    #expect(all.contains("ide0's bus master: ") && all.contains("ide1's bus master: "))
    let one = bench.run("info ide 1")
    #expect(one.contains("ide1: ports") && !one.contains("ide0"))
    #expect(bench.run("info ide 2").contains("there is no channel '2' (ide0, ide1)"))
    #expect(bench.run("info pit 2").contains("takes nothing else"))
    #expect(bench.run("help eject").contains("CD2") && bench.run("help insert").contains("CD2"))
  }

  @Test func topicsAreCompleted() throws {
    let bench = try Bench()
    let found = bench.debugger.complete("info p")
    #expect(found.contains("pci") && found.contains("pnp"))
    #expect(bench.debugger.complete("info c").contains("cd"))
    #expect(bench.debugger.complete("eject c") == ["CD", "CD2"])
    #expect(bench.debugger.complete("insert a") == ["A"])
  }

  @Test func changeIsInsertAndForceOpensALockedTray() throws {
    // jmp $; the BIOS is done with the drives by then.
    let bench = try Bench(code: [0xEB, 0xFE])
    _ = bench.machine.run(untilInstruction: 200_000_000)
    let (a, b) = (try bench.disc("a.iso"), try bench.disc("b.iso"))
    #expect(bench.run("change CD \(a)").contains("CD: \(a)"))
    // As PREVENT ALLOW MEDIUM REMOVAL does.
    bench.machine.cdDrives[0].isLocked = true
    #expect(bench.machine.cdDriveStatus[0].isLocked)
    let refused = bench.run("change CD \(b)")
    #expect(refused.contains("error") && refused.contains("insert -f CD \(b)"), "\(refused)")
    #expect(bench.machine.cdDriveStatus[0].disc == a)
    #expect(bench.run("eject CD").contains("eject -f CD does it"))
    #expect(bench.run("change -f CD \(b)").contains("b.iso"))
    #expect(bench.run("change !cd \(a)").contains("a.iso"))
    #expect(bench.run("eject CD -f").contains("CD: no disc"))
    #expect(bench.run("eject -f A").contains("only the tray of a CD drive"))
    #expect(bench.run("eject").contains("a drive is A, B or CD"))
    #expect(bench.run("change cd").contains("a file is missing"))
  }

}
