// Booting from CDs: every kind of boot image, several entries, discs that contradict themselves.
// What the guest expects stands in TestROMs/bios/cd/eltorito.asm, and what the BIOS has to find on a
// disc in the El Torito specification 1.0.

import Foundation
import Machine
import Storage
import TestSupport
import Testing

@Suite struct CDBootTests {
  /// The kinds of image: media type, size, geometry.
  struct Kind: Sendable, CustomTestStringConvertible {
    var code: UInt8
    var cylinders = 0
    var heads = 0
    var sectors = 0
    /// CMOS's number of the drive.
    var type: UInt8 = 0
    var drive: UInt8

    var testDescription: String { "media type \(code)" }

    static let none = Kind(code: 0, drive: 0xE0)
    static let floppies = [
      Kind(code: 1, cylinders: 80, heads: 2, sectors: 15, type: 2, drive: 0),
      Kind(code: 2, cylinders: 80, heads: 2, sectors: 18, type: 4, drive: 0),
      Kind(code: 3, cylinders: 80, heads: 2, sectors: 36, type: 6, drive: 0),
    ]
    static let disk = Kind(code: 4, cylinders: 100, heads: 2, sectors: 18, drive: 0x80)
    static let all = [none] + floppies + [disk]
  }

  /// The test program on a disc of a kind, told what to expect in the drive at a position.
  private func disc(
    _ kind: Kind, position: Int = 2, entry change: (inout ElToritoDisc.Entry) -> Void = { _ in }
  ) throws -> ElToritoDisc {
    let assembled = try #require(TestROMs.bios["eltorito"])
    var program = assembled()
    let used = (try #require(program.lastIndex { $0 != 0 }) + 512) / 512
    program = Array(program.prefix(used * 512))
    let mark = Array("EXPECTED".utf8)
    let at =
      try #require(
        (512..<program.count - 8).first { Array(program[$0..<$0 + 8]) == mark }) + mark.count
    var entry = ElToritoDisc.Entry(
      kind: kind.code, count: kind.code == 0 ? UInt16(program.count / 512) : 1)
    change(&entry)
    let size = kind.code == 0 ? program.count : kind.cylinders * kind.heads * kind.sectors * 512
    let blank = ElToritoDisc(image: [UInt8](repeating: 0, count: size), entry: entry)
    let last = (max(kind.cylinders, 1) - 1, max(kind.heads, 1) - 1)
    for (value, width, offset) in [
      (UInt32(kind.code), 1, 0), (UInt32(kind.drive), 1, 1), (UInt32(position >> 1), 1, 2),
      (UInt32(kind.type), 1, 3), (UInt32(position & 1), 2, 4), (UInt32(entry.loadSegment), 2, 6),
      (UInt32(ElToritoDisc.image), 4, 8), (UInt32(blank.sectors), 4, 12),
      (UInt32(blank.filler), 4, 16), (UInt32(entry.count), 2, 20), (UInt32(last.0), 1, 22),
      (UInt32(last.1), 1, 23), (UInt32(kind.sectors), 1, 24),
    ] {
      put(value, width, into: &program, at: at + offset)
    }
    var image = program
    if kind.code != 0 {
      image = [UInt8](repeating: 0, count: size)
      for sector in 0..<size / 512 {
        put(UInt32(sector), 4, into: &image, at: sector * 512)
        put(UInt32(sector), 4, into: &image, at: sector * 512 + 508)
      }
      image.replaceSubrange(0..<program.count, with: program)
    }
    if kind.code == 4 {
      // One partition, which begins on the second track and ends where the disk does.
      let end = UInt8(kind.sectors | (last.0 >> 8) << 6)
      image.replaceSubrange(
        0x1BE..<0x1C6, with: [0x80, 1, 1, 0, 6, UInt8(last.1), end, UInt8(last.0 & 0xFF)])
      put(36, 4, into: &image, at: 0x1C6)
      put(UInt32(size / 512 - 36), 4, into: &image, at: 0x1CA)
    }
    return ElToritoDisc(image: image, entry: entry)
  }

  /// What the guest said, and what was on the screen.
  struct Outcome {
    var text: String
    var screen: String
  }

  private func run(
    _ disc: ElToritoDisc?, position: Int = 2, board: String = "isa",
    change: (inout MachineConfiguration) throws -> Void = { _ in }
  ) throws -> Outcome {
    var configuration = MachineConfiguration.small(
      floppy: Array("OWN ".utf8) + [UInt8](repeating: 0, count: 1_474_556))
    configuration.memoryMegabytes = 4
    configuration.board = board
    configuration.bootOrder = [.cd]
    if let disc {
      let path = FileManager.default.temporaryDirectory
        .appendingPathComponent("apus-cd-\(UUID().uuidString).iso").path
      #expect(FileManager.default.createFile(atPath: path, contents: Data(disc.bytes)))
      defer { try? FileManager.default.removeItem(atPath: path) }
      configuration.cds[position] = .disc(
        MachineImage(try ImageOpener.open(path: path, kind: .cd)))
    } else {
      configuration.cds[position] = .empty
    }
    // The same bytes, and a boot sector that ends the run: and al,al; mov al,10h; out F4h,al; hlt.
    var sector = Array("OWN ".utf8) + [0xC0, 0xB0, 0x10, 0xE6, 0xF4, 0xF4]
    sector += [UInt8](repeating: 0, count: 500) + [0x55, 0xAA]
    let geometry = DiskGeometry(cylinders: 40, heads: 16, sectors: 63)
    configuration.disks[position == 0 ? 1 : 0] = MachineImage(
      name: "disk", device: MemoryImage(bytes: sector, sectorCount: 40 * 16 * 63),
      medium: .disk(physical: geometry, translated: geometry))
    try change(&configuration)
    let machine = try Machine(configuration)
    final class Gathered {
      var bytes: [UInt8] = []
    }
    let gathered = Gathered()
    machine.debugOutput = { gathered.bytes.append($0) }
    _ = machine.run(untilInstruction: 2_000_000_000)
    return Outcome(
      text: String(decoding: gathered.bytes, as: UTF8.self),
      screen: (machine.screenText ?? []).joined(separator: "\n"))
  }

  @Test(arguments: Kind.all)
  func everyKindOfImageBoots(kind: Kind) throws {
    #expect(try run(disc(kind)).text == "PASS\n")
  }

  /// Beside or behind the hard disk.
  @Test(arguments: [0, 1, 3])
  func theDriveMayBeAnywhere(position: Int) throws {
    for kind in [Kind.none, Kind.floppies[1], Kind.disk] {
      let outcome = try run(disc(kind, position: position), position: position)
      #expect(outcome.text == "PASS\n", "\(kind.code)")
    }
  }

  @Test func theOtherBoardBootsToo() throws {
    for kind in Kind.all {
      #expect(try run(disc(kind), board: "pc").text == "PASS\n", "\(kind.code)")
    }
  }

  /// The default entry is not for booting; behind a section for another platform comes one for this, whose first entry is not
  /// for booting either and has two extensions.
  @Test func theFirstEntryOfUseIsTaken() throws {
    var disc = try disc(.none)
    let entry = Array(
      disc.bytes[ElToritoDisc.catalog * 2048 + 32..<ElToritoDisc.catalog * 2048 + 64])
    var extended = ElToritoDisc.Entry(indicator: 0, kind: 0x20).bytes
    disc.writeCatalog([0], at: 32)
    disc.writeCatalog(
      ElToritoDisc.header(platform: 0xEF, count: 1, isLast: false)
        + ElToritoDisc.Entry(kind: 0, image: 1).bytes
        + ElToritoDisc.header(count: 2, isLast: true) + extended, at: 64)
    extended = [UInt8](repeating: 0, count: 64)
    extended.replaceSubrange(0..<2, with: [0x44, 0x20])
    extended[32] = 0x44
    disc.writeCatalog(extended + entry, at: 192)
    #expect(try run(disc).text == "PASS\n")
  }

  /// More entries than the catalog's first sector holds.
  @Test func catalogsMayHaveSeveralSectors() throws {
    var disc = try disc(.none)
    let at = ElToritoDisc.catalog * 2048
    let entry = Array(disc.bytes[at + 32..<at + 64])
    disc.setPlatform(0xEF)
    disc.writeCatalog(ElToritoDisc.header(count: 101, isLast: true), at: 64)
    disc.writeCatalog([UInt8](repeating: 0, count: 3200), at: 96)
    disc.writeCatalog(entry, at: 3296)
    #expect(try run(disc).text == "PASS\n")
  }

  /// What is damaged, and what the BIOS says of it.
  private static let damages: [(String, String, @Sendable (inout ElToritoDisc) -> Void)] = [
    ("the boot record's name", "no boot record", { $0.write([0], at: 17 * 2048 + 9) }),
    ("the checksum", "damaged boot catalog", { $0.writeCatalog([1], at: 0x1C) }),
    ("the key", "damaged boot catalog", { $0.writeCatalog([0], at: 0x1E) }),
    (
      "where the catalog is", "read error",
      { $0.write([0xF0, 0xFF, 0xFF, 0xFF], at: 17 * 2048 + 0x47) }
    ),
    ("another platform", "no entry for this kind", { $0.setPlatform(1) }),
    ("the kind of image", "no known kind", { $0.writeCatalog([7], at: 33) }),
    ("where the image is", "read error", { $0.writeCatalog([0xFF, 0xFF, 0xFF, 0x7F], at: 40) }),
    ("a segment too high", "does not fit", { $0.writeCatalog([0, 0x9F], at: 34) }),
    ("a segment too low", "does not fit", { $0.writeCatalog([0x10, 0], at: 34) }),
    ("too many sectors", "does not fit", { $0.writeCatalog([0xFF, 0xFF], at: 38) }),
    ("a disk without a partition", "no known kind", { $0.writeCatalog([4], at: 33) }),
    (
      "entries without end", "no entry for this kind",
      {
        $0.writeCatalog([0], at: 32)
        $0.writeCatalog([0x90, 0, 0xFF, 0xFF], at: 64)
      }
    ),
  ]

  @Test(arguments: damages.indices)
  func damagedDiscsAreNamedAndTheNextThingIsTried(index: Int) throws {
    let (what, message, damage) = Self.damages[index]
    var disc = try disc(.none)
    damage(&disc)
    let outcome = try run(disc) { $0.bootOrder = [.cd, .disk] }
    #expect(outcome.text.isEmpty, "\(what)")
    #expect(outcome.screen.contains("Booting from CD-ROM: "), "\(what)\n\(outcome.screen)")
    #expect(outcome.screen.contains(message), "\(what)\n\(outcome.screen)")
    #expect(outcome.screen.contains("Booting from hard disk:"), "\(what)")
  }

  @Test func anEmptyDriveIsPassedOver() throws {
    let outcome = try run(nil) { $0.bootOrder = [.cd, .disk] }
    #expect(outcome.screen.contains("Booting from CD-ROM: no disc"), "\(outcome.screen)")
    #expect(outcome.screen.contains("Booting from hard disk:"))
  }

  /// A disc of nothing but ones, of zeros, of one sector.
  @Test func whatIsNoBootDiscIsPassedOver() throws {
    for (byte, sectors) in [(UInt8(0xFF), 60), (0, 60), (0x55, 1), (0, 18)] {
      let disc = ElToritoDisc(bytes: [UInt8](repeating: byte, count: sectors * 2048))
      let outcome = try run(disc) { $0.bootOrder = [.cd, .disk] }
      #expect(outcome.text.isEmpty)
      #expect(outcome.screen.contains("Booting from hard disk:"))
    }
  }

  @Test func discsAreChangedWhileItRuns() throws {
    let assembled = try #require(TestROMs.bios["cd_change"])
    let disc = ElToritoDisc(image: [0xF4], entry: ElToritoDisc.Entry())
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("apus-cd-\(UUID().uuidString).iso").path
    #expect(FileManager.default.createFile(atPath: path, contents: Data(disc.bytes)))
    defer { try? FileManager.default.removeItem(atPath: path) }
    var configuration = MachineConfiguration.small(floppy: assembled())
    configuration.cds[2] = .disc(MachineImage(try ImageOpener.open(path: path, kind: .cd)))
    let machine = try Machine(configuration)
    final class Gathered {
      var text = ""
    }
    let gathered = Gathered()
    machine.debugOutput = { [unowned machine] in
      gathered.text.append(Character(UnicodeScalar($0)))
      if gathered.text.hasSuffix("EJECT\n") { machine.input.post(.cd(drive: 0, disc: nil)) }
      if gathered.text.hasSuffix("INSERT\n") {
        machine.input.post(.cd(drive: 0, disc: FloppyChoice(path: path)))
      }
    }
    _ = machine.run(untilInstruction: 500_000_000)
    #expect(gathered.text == "EJECT\nINSERT\nPASS\n")
  }
}
