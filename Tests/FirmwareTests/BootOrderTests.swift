// What the BIOS boots from, and in what order: the configured order, option ROMs, the menu.
// After: BIOS boot specification 1.01; the option ROM is TestROMs/bios/boot/option_rom.asm.

import Foundation
import Machine
import Storage
import TestSupport
import Testing

@Suite struct BootOrderTests {
  /// A machine that is looked at while it starts.
  private final class Guest {
    let machine: Machine
    private(set) var text = ""
    private(set) var isOver = false

    init(_ configuration: MachineConfiguration) throws {
      machine = try Machine(configuration)
      machine.debugOutput = { [unowned self] in text.append(Character(UnicodeScalar($0))) }
    }

    var screen: String { (machine.screenText ?? []).joined(separator: "\n") }

    /// Runs until something is on the screen, the guest ends the run, or it takes too long.
    func run(until words: String? = nil) {
      let step: UInt64 = words == nil ? 10_000_000 : 100_000
      let limit = machine.cpu.instructionCount + 400_000_000
      while !isOver, machine.cpu.instructionCount < limit {
        if let words, screen.contains(words) { return }
        if case .instructionLimit = machine.run(
          untilInstruction: machine.cpu.instructionCount + step)
        {
          continue
        }
        isOver = true
      }
    }

    func press(_ usage: UInt16) {
      machine.input.post(.key(usage: usage, down: true))
      machine.input.post(.key(usage: usage, down: false))
    }
  }

  private static let f12: UInt16 = 0x45
  private static let escape: UInt16 = 0x29
  /// The key of a digit from 1 to 9.
  private static func digit(_ number: UInt16) -> UInt16 { 0x1D + number }

  /// A floppy, or with a signature a disk, that says on port E9h what it is and ends the run.
  private func system(_ letter: Character) throws -> [UInt8] {
    // mov al,letter; out E9h,al; mov al,10h; out F4h,al; hlt
    var bytes: [UInt8] = [
      0xB0, try #require(letter.asciiValue), 0xE6, 0xE9, 0xB0, 0x10, 0xE6, 0xF4,
    ]
    bytes += [UInt8](repeating: 0xF4, count: 502) + [0x55, 0xAA]
    return bytes
  }

  private func rom(mode: UInt8, isDamaged: Bool = false) throws -> MachineROM {
    let assembled = try #require(TestROMs.bios["option_rom"])
    var bytes = Array(assembled().prefix(2048))
    let mark = Array("MODE".utf8)
    let at = try #require(
      (0..<2040).first { Array(bytes[$0..<$0 + 4]) == mark })
    bytes[at + 4] = mode
    bytes[2047] &-= bytes.reduce(0, &+)
    if isDamaged { bytes[100] &+= 1 }
    return MachineROM(file: LoadFile(path: "option ROM", bytes: bytes), address: 0xD0000)
  }

  /// Something on all of floppy, hard disk, CD; they say a, c, d.
  private func configuration(_ order: [BootDevice]) throws -> MachineConfiguration {
    let floppy = try system("a")
    var configuration = MachineConfiguration.small(
      floppy: floppy + [UInt8](repeating: 0, count: 1_474_560 - floppy.count))
    configuration.bootOrder = order
    configuration.offersBootMenu = true
    let geometry = DiskGeometry(cylinders: 40, heads: 16, sectors: 63)
    configuration.disks[0] = MachineImage(
      name: "disk", device: MemoryImage(bytes: try system("c"), sectorCount: 40 * 16 * 63),
      medium: .disk(physical: geometry, translated: geometry))
    var disc = ElToritoDisc(image: try system("d"), entry: ElToritoDisc.Entry())
    let second = try system("e")
    disc.write(second, at: (ElToritoDisc.image + 4) * 2048)
    disc.writeCatalog(
      ElToritoDisc.header(count: 1, isLast: true)
        + ElToritoDisc.Entry(image: UInt32(ElToritoDisc.image + 4)).bytes, at: 64)
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("apus-boot-\(UUID().uuidString).iso").path
    #expect(FileManager.default.createFile(atPath: path, contents: Data(disc.bytes)))
    defer { try? FileManager.default.removeItem(atPath: path) }
    configuration.cds[2] = .disc(MachineImage(try ImageOpener.open(path: path, kind: .cd)))
    return configuration
  }

  @Test(arguments: [
    ([BootDevice.floppy, .disk], "a"), ([.disk, .floppy], "c"), ([.cd, .disk, .floppy], "d"),
    ([.network, .cd], "d"), ([.network, .disk, .cd, .floppy], "c"),
  ])
  func theFirstThingOfTheOrderBoots(order: [BootDevice], letter: String) throws {
    let guest = try Guest(configuration(order))
    guest.run()
    #expect(guest.text == letter, "\(guest.screen)")
  }

  /// Nothing boots from what comes first: an order of four goes to its last.
  @Test func theOrderIsGoneThroughToItsEnd() throws {
    var configuration = try configuration([.network, .disk, .cd, .floppy])
    configuration.disks[0] = nil
    configuration.cds[2] = .empty
    let guest = try Guest(configuration)
    guest.run()
    #expect(guest.text == "a", "\(guest.screen)")
  }

  @Test func whatIsNotInTheOrderIsNotTried() throws {
    var configuration = try configuration([.network, .disk])
    configuration.disks[0] = nil
    let guest = try Guest(configuration)
    guest.run(until: "Nothing to boot from")
    #expect(guest.screen.contains("Nothing to boot from"))
    #expect(guest.text.isEmpty)
  }

  @Test func anOptionROMsEntryIsTakenWhenTheOrderComesToIt() throws {
    for (order, expected) in [
      ([BootDevice.network, .floppy], "PASS\n"), ([.floppy, .network], "a"),
    ] {
      var configuration = try configuration(order)
      configuration.roms = [try rom(mode: 0)]
      let guest = try Guest(configuration)
      guest.run()
      #expect(guest.text == expected, "\(guest.screen)")
    }
  }

  /// By a far return, by INT 18h.
  @Test(arguments: [UInt8(1), 2])
  func anOptionROMThatGivesUpLetsTheNextThingBoot(mode: UInt8) throws {
    var configuration = try configuration([.network, .cd])
    configuration.roms = [try rom(mode: mode)]
    let guest = try Guest(configuration)
    guest.run()
    #expect(guest.text == "d", "\(guest.screen)")
  }

  /// A ROM of before Plug and Play that takes INT 19h has the boot; one that takes INT 18h is the network.
  @Test(arguments: [
    (UInt8(0x64), [BootDevice.floppy], "h"), (0x60, [.network, .floppy], "h"),
    (0x60, [.floppy, .network], "a"),
  ])
  func anOldOptionROMMayTakeABootVector(vector: UInt8, order: [BootDevice], expected: String) throws
  {
    var bytes: [UInt8] = [
      0x55, 0xAA, 1, 0x1E, 0x50,  // push ds; push ax
      0x31, 0xC0, 0x8E, 0xD8,  // xor ax,ax; mov ds,ax
      0xC7, 0x06, vector, 0x00, 0x20, 0x00,  // mov word [vector],20h
      0x8C, 0x0E, vector + 2, 0x00,  // mov [vector + 2],cs
      0x58, 0x1F, 0xCB,  // pop ax; pop ds; retf
    ]
    bytes += [UInt8](repeating: 0, count: 0x20 - bytes.count)
    // mov al,"h"; out E9h,al; mov al,10h; out F4h,al; hlt
    bytes += [0xB0, 0x68, 0xE6, 0xE9, 0xB0, 0x10, 0xE6, 0xF4, 0xF4]
    bytes += [UInt8](repeating: 0, count: 512 - bytes.count)
    bytes[511] &-= bytes.reduce(0, &+)
    var configuration = try configuration(order)
    configuration.roms = [
      MachineROM(file: LoadFile(path: "option ROM", bytes: bytes), address: 0xD0000)
    ]
    let guest = try Guest(configuration)
    guest.run()
    #expect(guest.text == expected, "\(guest.screen)")
  }

  @Test func anOptionROMWithAWrongSumIsLeftAlone() throws {
    var configuration = try configuration([.network, .disk])
    configuration.roms = [try rom(mode: 0, isDamaged: true)]
    let guest = try Guest(configuration)
    guest.run()
    #expect(guest.text == "c", "\(guest.screen)")
  }

  @Test func theMenuListsWhatThereIsAndBootsWhatIsChosen() throws {
    for (number, expected) in [(UInt16(1), "a"), (2, "c"), (3, "d"), (4, "PASS\n")] {
      var configuration = try configuration([.floppy])
      configuration.roms = [try rom(mode: 0)]
      let guest = try Guest(configuration)
      guest.run(until: "F12: boot menu")
      guest.press(Self.f12)
      guest.run(until: "Number")
      // Drives by the names that IDENTIFY has.
      for line in [
        "1  Floppy A: 1.44 MB", "2  Hard disk 0: Apus disk, ", "3  CD-ROM 0: Apus CD/DVD-ROM",
        "4  Network: Test ROM",
      ] {
        #expect(guest.screen.contains(line), "\(guest.screen)")
      }
      #expect(!guest.screen.contains("Only"))
      guest.press(Self.digit(9))
      guest.run(until: "Only 1 to 4, or Esc")
      guest.press(Self.digit(number))
      if number == 3 {
        // The disc has two entries.
        guest.run(until: "Esc: the first")
        guest.press(Self.digit(1))
      }
      guest.run()
      #expect(guest.text == expected, "\(guest.screen)")
    }
  }

  /// Two drives of one model are told apart by their places.
  @Test func theMenuTellsWhereCDDrivesAre() throws {
    var configuration = try configuration([.floppy])
    configuration.cds[3] = .empty
    let guest = try Guest(configuration)
    guest.run(until: "F12: boot menu")
    guest.press(Self.f12)
    guest.run(until: "Number")
    #expect(guest.screen.contains("CD-ROM 0: Apus CD/DVD-ROM, secondary master"), "\(guest.screen)")
    #expect(guest.screen.contains("CD-ROM 1: Apus CD/DVD-ROM, secondary slave"), "\(guest.screen)")
  }

  /// Who does not offer it waits for nobody: the time is that of the self test.
  @Test func theMenuCostsNoTimeWhereItIsNotOffered() throws {
    var configuration = try configuration([.disk])
    configuration.offersBootMenu = false
    let guest = try Guest(configuration)
    guest.run(until: "Booting from hard disk")
    #expect(guest.machine.cpu.instructionCount < 5_000_000)
    guest.run()
    #expect(guest.text == "c", "\(guest.screen)")
  }

  @Test func theSecondEntryOfADiscCanBeChosen() throws {
    let guest = try Guest(configuration([.floppy]))
    guest.run(until: "F12: boot menu")
    guest.press(Self.f12)
    guest.run(until: "Number")
    guest.press(Self.digit(3))
    guest.run(until: "Esc: the first")
    #expect(guest.screen.contains("2  no emulation at \(ElToritoDisc.image + 4)"))
    guest.press(Self.digit(2))
    guest.run()
    #expect(guest.text == "e", "\(guest.screen)")
  }

  @Test func escapeLeavesTheMenuAndOtherKeysDoNotOpenIt() throws {
    let guest = try Guest(configuration([.disk]))
    guest.run(until: "F12: boot menu")
    guest.press(Self.f12)
    guest.run(until: "Number")
    guest.press(Self.escape)
    guest.run()
    #expect(guest.text == "c", "\(guest.screen)")
    let other = try Guest(configuration([.disk]))
    other.run(until: "F12: boot menu")
    other.press(Self.escape)
    other.run()
    #expect(other.text == "c", "\(other.screen)")
  }
}
