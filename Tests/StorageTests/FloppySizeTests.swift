// Floppy images of other sizes than the standard ones: what they are taken for, and what --explain is told.

import Testing

@testable import Storage

@Suite struct FloppySizeTests {
  private func floppy(_ image: OpenedImage) -> FloppyFormat? {
    if case .floppy(let format) = image.medium { return format }
    return nil
  }

  /// An image with a boot sector and nothing else in it.
  private func open(sectors: Int, _ pieces: [(Int, [UInt8])] = [bootSignature]) throws
    -> OpenedImage
  {
    let scratch = Scratch()
    return try ImageOpener.open(path: scratch.file("\(sectors)", size: sectors * 512, pieces))
  }

  /// Whole tracks behind the last, and formats with more sectors a track, as formatting programs offered them.
  @Test func wholeTracksAreCounted() throws {
    let table: [(cylinders: Int, sectors: Int, isFiveInch: Bool)] = [
      (81, 18, false), (82, 18, false), (83, 18, false), (84, 18, false), (86, 18, false),
      (80, 19, false), (80, 20, false), (82, 20, false), (82, 21, false), (83, 21, false),
      (80, 22, false), (82, 22, false), (80, 23, false), (80, 24, false),
      (81, 9, false), (82, 9, false), (83, 9, false), (84, 9, false), (86, 9, false),
      (81, 15, true), (82, 15, true), (86, 15, true), (41, 9, true), (42, 9, true),
    ]
    for (cylinders, sectors, isFiveInch) in table {
      let image = try open(sectors: cylinders * 2 * sectors)
      let format = try #require(floppy(image), "\(cylinders) x \(sectors)")
      #expect(format.cylinders == cylinders && format.heads == 2 && format.sectors == sectors)
      #expect(format.isFiveInch == isFiveInch)
      #expect(format.density == (sectors < 10 ? .double : .high))
      #expect(image.device.sectorCount == UInt64(cylinders * 2 * sectors))
      #expect(!image.device.isReadOnly)
      #expect(image.warnings.isEmpty)
      #expect(image.reasons[0].contains("\(cylinders) cylinders, 2 heads, \(sectors) sectors"))
    }
  }

  /// Some sectors too many: the nearest standard format, its last cylinder not complete; all of it can be written.
  @Test func someSectorsTooMany() throws {
    for (count, cylinders, sectors) in [
      (2881, 81, 18), (2882, 81, 18), (2900, 81, 18), (3361, 81, 21), (721, 41, 9), (1442, 81, 9),
      (2401, 81, 15),
    ] {
      let image = try open(sectors: count)
      let format = try #require(floppy(image), "\(count)")
      #expect(format.cylinders == cylinders && format.sectors == sectors, "\(count)")
      #expect(format.sectorCount == count)
      #expect(image.device.sectorCount == UInt64(count))
      #expect(!image.device.isReadOnly)
      #expect(image.reasons[0].contains("not complete"))
      let last = format.cylinders - 1
      let before = last * format.heads * format.sectors
      #expect(format.recordedSectors(cylinder: last, head: 0) == min(count - before, sectors))
      #expect(format.recordedSectors(cylinder: last - 1, head: 1) == sectors)
      #expect(format.recordedSectors(cylinder: last + 1, head: 0) == 0)
      #expect(format.recordedSectors(cylinder: 0, head: 2) == 0)
    }
  }

  /// What is within a few sectors of a standard format is that one: up to 4 more, up to 4 fewer.
  @Test func aFewSectorsMoreOrLess() throws {
    let table: [(bytes: Int, cylinders: Int, heads: Int, sectors: Int, name: String?)] = [
      (163_840 - 1024, 40, 1, 8, "160 KB"), (163_840 - 512, 40, 1, 8, "160 KB"),
      (163_840 + 512, 41, 1, 8, nil), (163_840 + 1024, 41, 1, 8, nil),
      (184_320 - 1024, 40, 1, 9, "180 KB"), (184_320 + 1024, 41, 1, 9, nil),
      (327_680 - 512, 40, 2, 8, "320 KB"), (327_680 + 512, 41, 2, 8, nil),
      (368_128, 40, 2, 9, "360 KB"), (370_688, 41, 2, 9, nil),
      (736_768, 80, 2, 9, "720 KB"), (739_328, 81, 2, 9, nil),
      (1_228_800 - 512, 80, 2, 15, "1.2 MB"), (1_228_800 + 2048, 81, 2, 15, nil),
      (2_949_632, 81, 2, 36, nil), (2_985_984, 81, 2, 36, nil), (3_022_848, 82, 2, 36, nil),
      (86 * 2 * 36 * 512, 86, 2, 36, nil),
    ]
    for (bytes, cylinders, heads, sectors, name) in table {
      let image = try open(sectors: bytes / 512)
      let format = try #require(floppy(image), "\(bytes)")
      #expect(format.cylinders == cylinders, "\(bytes)")
      #expect(format.heads == heads && format.sectors == sectors, "\(bytes)")
      if let name { #expect(format.name == name) } else { #expect(format.byteCount == bytes) }
      // One cut short cannot be written: the file would have to grow.
      #expect(image.device.isReadOnly == (format.byteCount > bytes), "\(bytes)")
    }
    // Near nothing: a small disk, not a large floppy.
    for count in [5765, 5800, 6192 + 1] { #expect(try floppy(open(sectors: count)) == nil) }
    #expect(throws: StorageError.self) {
      let scratch = Scratch()
      _ = try ImageOpener.open(
        path: scratch.file("x", size: 5800 * 512, [bootSignature]), kind: .floppy)
    }
  }

  /// Systems without padding are below 1.44 MB and expect it, whatever their size; a byte more or less changes nothing.
  @Test func imagesCutShortStayWhatTheyWere() throws {
    for count in [1, 100, 330, 700, 1000, 1450, 2000, 2532, 2879] {
      #expect(try floppy(open(sectors: count)) == FloppyFormat.all[6], "\(count)")
    }
    for count in [3100, 3359] { #expect(try floppy(open(sectors: count)) == FloppyFormat.all[7]) }
    for count in [4000, 5759] { #expect(try floppy(open(sectors: count)) == FloppyFormat.all[8]) }
    let scratch = Scratch()
    let image = try ImageOpener.open(
      path: scratch.file("tail", size: 1_474_560 + 100, [bootSignature]))
    #expect(floppy(image) == FloppyFormat.all[6])
  }

  /// A parameter block that accounts for the image wins over the tables, and says how the sectors behind the file system lie.
  @Test func theParameterBlockWins() throws {
    // 84 cylinders of 20 sectors have the size of a DMF disk.
    let twenty = try open(sectors: 3360, [bootSignature, bpb(total: 3360, sectors: 20, heads: 2)])
    #expect(floppy(twenty)?.sectors == 20 && floppy(twenty)?.cylinders == 84)
    let dmf = try open(sectors: 3360, [bootSignature, bpb(total: 3360, sectors: 21, heads: 2)])
    #expect(floppy(dmf) == FloppyFormat.all[7])
    // One that contradicts the size of a standard disk does not.
    let other = try open(sectors: 2880, [bootSignature, bpb(total: 1440, sectors: 9, heads: 2)])
    #expect(floppy(other) == FloppyFormat.all[6])
    // Two more tracks a side than the file system uses, and three sectors.
    let longer = try open(
      sectors: 2880 + 75, [bootSignature, bpb(total: 2880, sectors: 18, heads: 2)])
    #expect(floppy(longer)?.cylinders == 83 && floppy(longer)?.sectorCount == 2955)
    // What no drive could reach is left alone.
    let far = try open(sectors: 4000, [bootSignature, bpb(total: 2880, sectors: 18, heads: 2)])
    #expect(floppy(far) == FloppyFormat.all[6])
  }

  /// Whole tracks are a floppy also without a boot sector; a partition table makes the same size a disk.
  @Test func withoutABootSector() throws {
    #expect(try floppy(open(sectors: 81 * 36, []))?.cylinders == 81)
    let disk = try open(
      sectors: 82 * 36,
      [bootSignature, partition(0, start: 18, count: 82 * 36 - 18, heads: 2, sectors: 18)])
    #expect(floppy(disk) == nil)
    #expect(try floppy(open(sectors: 3001, [])) == nil)
    // A few sectors more or fewer than a standard format are that format, also where nothing is written on it.
    for format in FloppyFormat.all {
      for few in [-4, -2, -1, 1, 2, 4] {
        let image = try open(sectors: format.sectorCount + few, [])
        let found = try #require(floppy(image), "\(format.name) \(few)")
        #expect(found.heads == format.heads && found.sectors == format.sectors)
        #expect(found.sectorCount == format.sectorCount + max(few, 0))
        #expect(image.device.isReadOnly == (few < 0))
      }
      for far in [-5, 5] where (format.sectorCount + far) * 512 >= 1 << 20 {
        #expect(try floppy(open(sectors: format.sectorCount + far, [])) == nil, "\(format.name)")
      }
    }
    // A partition table says otherwise.
    let table = partition(0, start: 18, count: 2862, heads: 2, sectors: 18)
    #expect(try floppy(open(sectors: 2882, [bootSignature, table])) == nil)
  }

  /// Every size up to the largest, with and without nonsense for a parameter block, is a floppy that drives reach or is refused.
  @Test func anySizeIsHarmless() {
    for count in 1...5760 {
      guard let format = FloppyFormat.beyondStandard(sectors: count) else { continue }
      #expect(format.sectorCount == count)
      #expect((1...86).contains(format.cylinders) && format.sectors <= 36)
      #expect(
        format.recordedSectors(cylinder: format.cylinders - 1, head: 0) > 0, "\(count)")
    }
    #expect(FloppyFormat.all[6].holding(sectors: 0) == nil)
    #expect(FloppyFormat.all[6].holding(sectors: -1) == nil)
    #expect(FloppyFormat.all[6].holding(sectors: 87 * 36) == nil)
    var seed: UInt64 = 1
    func random(_ below: Int) -> Int {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(seed >> 33) % below
    }
    for _ in 0..<100 {
      let scratch = Scratch()
      let block = bpb(total: random(65536), sectors: random(70), heads: random(4))
      let path = scratch.file("x", size: 512 + random(2_949_000), [bootSignature, block])
      guard let image = try? ImageOpener.open(path: path, kind: .floppy) else { continue }
      if case .floppy(let format) = image.medium {
        #expect(image.device.sectorCount >= UInt64(format.sectorCount))
      }
    }
  }
}
