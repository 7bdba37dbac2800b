// What systems that are not at hand do with BIOS and drives: the programs in TestROMs/bios/systems and drivers walk through what is publicly known of
// the loaders, setup programs and drivers of Windows, OS/2, BeOS and DOS, in machines with drives and cards of all kinds.

import Chipset
import Machine
import Storage
import TestSupport
import Testing

@Suite struct SystemsTests {
  /// What is on the two IDE channels: primary master to secondary slave.
  enum Drive: UInt8 {
    case none, disk, cd
  }

  static let arrangements: [[Drive]] = [
    [.disk, .none, .cd, .none], [.disk, .cd, .none, .none], [.disk, .disk, .cd, .none],
    [.none, .disk, .none, .none], [.cd, .none, .none, .none], [.cd, .disk, .none, .none],
    [.none, .none, .none, .cd], [.cd, .none, .disk, .cd], [.none, .none, .cd, .disk],
    [.disk, .none, .none, .none],
  ]

  /// Runs a program and says what it said.
  private func run(
    _ name: String, board: String, drives: [Drive] = [.none, .none, .none, .none],
    cylinders: Int = 4, cards: Int = 0
  ) throws -> String {
    let assembled = try #require(TestROMs.bios[name])
    var program = assembled()
    /// Says it in the program's own words.
    func put(_ values: [UInt8], behind mark: String) {
      let mark = Array(mark.utf8)
      guard
        let place = (512..<16384).first(where: {
          program[$0..<$0 + mark.count].elementsEqual(mark)
        })
      else { return }
      program.replaceSubrange(
        place + mark.count..<place + mark.count + values.count, with: values)
    }
    put(drives.map(\.rawValue), behind: "DRIVES")
    put([UInt8(cards)], behind: "CARDS")
    let geometry = DiskGeometry(cylinders: cylinders, heads: 16, sectors: 63)
    var configuration = MachineConfiguration.small(floppy: program, name: name) {
      $0.board = board
      $0.memoryMegabytes = 32
      $0.parts = Array(repeating: "pnp-uart", count: cards)
    }
    for (place, drive) in drives.enumerated() {
      switch drive {
      case .none: break
      case .disk:
        let bytes = (0..<64 * 512).map { UInt8(truncatingIfNeeded: $0 >> 9 &+ $0 &+ place) }
        configuration.disks[place] = MachineImage(
          name: "disk \(place)",
          device: MemoryImage(bytes: bytes, sectorCount: cylinders * 16 * 63),
          medium: .disk(physical: geometry, translated: geometry))
      case .cd:
        let bytes = (0..<1000 * 2048).map {
          UInt8(truncatingIfNeeded: $0 / 2048 + ($0 & 2047) / 256)
        }
        configuration.cds[place] = .disc(
          MachineImage(try ImageOpener.disc(bytes, name: "disc")))
      }
    }
    let machine = try Machine(configuration)
    var text: [UInt8] = []
    machine.debugOutput = { text.append($0) }
    _ = machine.run(untilInstruction: 3_000_000_000)
    return String(decoding: text, as: UTF8.self)
  }

  /// Each system's way to find drives, in all places, with what it does with them then.
  @Test(
    arguments: [
      "ide_nt", "ide_win9x", "ide_os2", "ide_beos", "cd_dos", "ntdetect", "beos_boot", "os2_boot",
    ], ["isa", "pc"])
  func drivesAreFoundWhereTheyAre(name: String, board: String) throws {
    for drives in SystemsTests.arrangements {
      let text = try run(name, board: board, drives: drives)
      #expect(text == "PASS\n", "\(drives)")
    }
  }

  /// More than 1024 cylinders: geometry and tables are translated.
  @Test(arguments: ["ide_os2", "ntdetect", "beos_boot", "os2_boot"], ["isa", "pc"])
  func largeDisksAreTranslatedForAll(name: String, board: String) throws {
    let text = try run(
      name, board: board, drives: [.disk, .none, .none, .none], cylinders: 1219)
    #expect(text == "PASS\n")
  }

  /// What POST made of Plug and Play cards, and what a system makes of them afterwards.
  @Test(arguments: 0...2, ["isa", "pc"])
  func plugAndPlayIsTakenOver(cards: Int, board: String) throws {
    let text = try run("pnp_win9x", board: board, cards: cards)
    #expect(text == "PASS\n")
  }

  /// IRQ 9 is the system control interrupt's with ACPI, 10 and 11 the PCI bus's where functions have them: three cards share none.
  @Test(arguments: [ACPIRevision.off, .first])
  func everyCardGetsARequestOfItsOwn(acpi: ACPIRevision) throws {
    let machine = try Machine(
      .small(floppy: bootFloppy([0xEB, 0xFE]), name: "stays") {
        $0.board = "pc"
        $0.cpu = .pentium2
        $0.acpi = acpi
        $0.parts = Array(repeating: "pnp-uart", count: 3)
      })
    _ = machine.run(untilInstruction: 50_000_000)
    let requests = machine.board.devices.compactMap { device -> String? in
      guard device.stateName.hasSuffix(".card"),
        case .text(let text)? = device.inspect().first?.value
      else { return nil }
      return text
    }
    #expect(Set(requests).count == 3 && !requests.contains("none"), "\(requests)")
    #expect(acpi == .off || !requests.contains("9"))
  }

  /// Where CMOS says that the operating system does it, POST only numbers cards that are not needed to start from.
  @Test(arguments: ["isa", "pc"])
  func cardsAreLeftToAPlugAndPlaySystem(board: String) throws {
    let text = try run("isapnp_os", board: board, cards: 1)
    #expect(text == "PASS\n")
  }

  @Test(arguments: ["isa", "pc"])
  func powerManagementIsConnected(board: String) throws {
    let text = try run("apm_win9x", board: board)
    #expect(text == "PASS\n")
  }

  @Test func interruptRoutersAreFoundAndSet() throws {
    let text = try run("pci_win9x", board: "pc", drives: SystemsTests.arrangements[0])
    #expect(text == "PASS\n")
  }
}
