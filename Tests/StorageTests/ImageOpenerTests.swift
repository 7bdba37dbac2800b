import Foundation
import Testing

@testable import Storage

/// Files for one test in a directory of its own.
final class Scratch {
  let directory: String

  init() {
    directory =
      FileManager.default.temporaryDirectory
      .appendingPathComponent("apus-storage-\(UUID().uuidString)").path
    try! FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  func file(_ name: String, _ bytes: [UInt8]) -> String {
    let path = directory + "/" + name
    _ = FileManager.default.createFile(atPath: path, contents: Data(bytes))
    return path
  }

  /// A file of zeros with pieces at offsets.
  func file(_ name: String, size: Int, _ pieces: [(Int, [UInt8])] = []) -> String {
    var bytes = [UInt8](repeating: 0, count: size)
    for (offset, piece) in pieces {
      bytes.replaceSubrange(offset..<offset + piece.count, with: piece)
    }
    return file(name, bytes)
  }

  func contents(_ path: String) -> [UInt8] { [UInt8](FileManager.default.contents(atPath: path)!) }
}

let bootSignature: (Int, [UInt8]) = (510, [0x55, 0xAA])

/// The BIOS parameter block of a FAT12 disk.
func bpb(total: Int, sectors: Int, heads: Int, media: UInt8 = 0xF0) -> (Int, [UInt8]) {
  func word(_ value: Int) -> [UInt8] { [UInt8(value & 0xFF), UInt8(value >> 8)] }
  return (
    11,
    word(512) + [1] + word(1) + [2] + word(224) + word(total) + [media] + word(9) + word(sectors)
      + word(heads)
  )
}

/// A partition table entry made from CHS ends with a given geometry.
func partition(_ index: Int, start: Int, count: Int, heads: Int, sectors: Int) -> (Int, [UInt8]) {
  func chs(_ lba: Int) -> [UInt8] {
    let cylinder = lba / (heads * sectors)
    if cylinder > 1023 { return [UInt8(heads - 1), UInt8(sectors) | 0xC0, 0xFF] }
    return [
      UInt8(lba / sectors % heads), UInt8(lba % sectors + 1) | UInt8(cylinder >> 2 & 0xC0),
      UInt8(cylinder & 0xFF),
    ]
  }
  func long(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(value >> (8 * $0) & 0xFF) } }
  return (
    446 + 16 * index,
    [0x80] + chs(start) + [0x06] + chs(start + count - 1) + long(start) + long(count)
  )
}

func reason(_ path: String, _ kind: ImageKind = .auto) -> String {
  do {
    _ = try ImageOpener.open(path: path, kind: kind)
    return "opened"
  } catch {
    #expect(!error.description.contains("\n"))
    #expect(error.description.contains(path))
    return error.reason
  }
}

@Suite struct ImageOpenerTests {
  @Test func everyStandardFloppySizeIsItsFormat() throws {
    let scratch = Scratch()
    let table: [(Int, Int, Int, Int)] = [
      (163_840, 40, 1, 8), (184_320, 40, 1, 9), (327_680, 40, 2, 8), (368_640, 40, 2, 9),
      (737_280, 80, 2, 9), (1_228_800, 80, 2, 15), (1_474_560, 80, 2, 18), (1_720_320, 80, 2, 21),
      (2_949_120, 80, 2, 36),
    ]
    for (size, cylinders, heads, sectors) in table {
      let image = try ImageOpener.open(path: scratch.file("\(size)", size: size))
      guard case .floppy(let format) = image.medium else {
        Issue.record("\(size) is not a floppy")
        continue
      }
      #expect(format.cylinders == cylinders && format.heads == heads && format.sectors == sectors)
      #expect(image.device.sectorCount == UInt64(size / 512))
      #expect(!image.device.isReadOnly)
      #expect(image.warnings.isEmpty)
    }
  }

  @Test func theReasonsNameSizeGeometryAndBPB() throws {
    let scratch = Scratch()
    let path = scratch.file("f", size: 1_474_560, [bpb(total: 2880, sectors: 18, heads: 2)])
    let image = try ImageOpener.open(path: path)
    #expect(
      image.reasons == [
        "1474560 bytes: 80 cylinders, 2 heads, 18 sectors: 1.44 MB floppy; the BPB agrees"
      ])
  }

  @Test func aShortFloppyIsFilledUpAndNotWritten() throws {
    let scratch = Scratch()
    let path = scratch.file("short", size: 100_100, [bootSignature, (100_099, [0x77])])
    let image = try ImageOpener.open(path: path)
    guard case .floppy(let format) = image.medium else {
      Issue.record("not a floppy")
      return
    }
    #expect(format.name == "1.44 MB")
    #expect(image.device.sectorCount == 2880)
    #expect(image.device.isReadOnly)
    #expect(image.warnings.count == 1)
    var sector = [UInt8](repeating: 1, count: 1024)
    try sector.withUnsafeMutableBytes { try image.device.read(block: 195, into: $0) }
    #expect(sector[100_099 - 195 * 512] == 0x77)
    #expect(sector[(100_100 - 195 * 512)...].allSatisfy { $0 == 0 })
    // A snapshot of it can be written.
    let snapshot = try ImageOpener.open(path: path, snapshot: true)
    #expect(!snapshot.device.isReadOnly)
    try sector.withUnsafeBytes { try snapshot.device.write(block: 2878, from: $0) }
    #expect(scratch.contents(path).count == 100_100)
  }

  @Test func theBPBDecidesForSizesThatAreNoFormat() throws {
    let scratch = Scratch()
    // 720 KB cut short, 1.44 MB with something behind it, and 82 tracks.
    let short = try ImageOpener.open(
      path: scratch.file("a", size: 200_192, [bpb(total: 1440, sectors: 9, heads: 2)]))
    #expect(short.medium == .floppy(FloppyFormat.all[4]))
    let long = try ImageOpener.open(
      path: scratch.file("b", size: 1_480_000, [bpb(total: 2880, sectors: 18, heads: 2)]))
    #expect(long.medium == .floppy(FloppyFormat.all[6]))
    #expect(!long.device.isReadOnly)
    let odd = try ImageOpener.open(
      path: scratch.file("c", size: 82 * 36 * 512, [bpb(total: 82 * 36, sectors: 18, heads: 2)]))
    guard case .floppy(let format) = odd.medium else {
      Issue.record("not a floppy")
      return
    }
    #expect(format.cylinders == 82 && format.heads == 2 && format.sectors == 18)
  }

  @Test func disksTakeTheGeometryThatTheirPartitionTableAgreesWith() throws {
    let scratch = Scratch()
    func geometry(_ size: Int, _ pieces: [(Int, [UInt8])]) throws -> OpenedImage.Medium {
      try ImageOpener.open(path: scratch.file("disk", size: size, pieces)).medium
    }
    // 10 MB: 306 cylinders of 4 heads and 17 sectors.
    let small = 306 * 4 * 17
    let old = DiskGeometry(cylinders: 306, heads: 4, sectors: 17)
    #expect(
      try geometry(
        small * 512,
        [bootSignature, partition(0, start: 17, count: small - 17, heads: 4, sectors: 17)])
        == .disk(physical: old, translated: old))
    // A partition that does not end on a cylinder boundary still agrees with 64 heads and 32 sectors only.
    let zip = 20 * 64 * 32
    #expect(
      try geometry(
        zip * 512,
        [bootSignature, partition(0, start: 32, count: zip - 777, heads: 64, sectors: 32)])
        == .disk(
          physical: DiskGeometry(cylinders: zip / 1008, heads: 16, sectors: 63),
          translated: DiskGeometry(cylinders: 20, heads: 64, sectors: 32)))
    // Nothing recorded: the standard.
    let blank = DiskGeometry(cylinders: 20, heads: 16, sectors: 63)
    #expect(
      try geometry(20 * 1008 * 512, []) == .disk(physical: blank, translated: blank))
  }

  @Test func aFileSystemWithoutPartitionsIsADiskByItsDescriptor() throws {
    let scratch = Scratch()
    let image = try ImageOpener.open(
      path: scratch.file(
        "hd", size: 4096 * 512,
        [bootSignature, bpb(total: 4096, sectors: 32, heads: 2, media: 0xF8)]))
    let geometry = DiskGeometry(cylinders: 64, heads: 2, sectors: 32)
    #expect(image.medium == .disk(physical: geometry, translated: geometry))
  }

  @Test func aRawDiskIsOneWhateverItLooksLike() throws {
    let scratch = Scratch()
    let path = scratch.file(
      "disk.img", size: 1 << 20, [(0, Array("QFI\u{FB}".unicodeScalars.map { UInt8($0.value) }))])
    #expect(throws: StorageError.self) { try ImageOpener.open(path: path, kind: .disk) }
    let image = try ImageOpener.open(path: "raw:" + path, kind: .disk)
    #expect(image.path == "raw:" + path)
    #expect(try image.device.bytes(at: 0, count: 3) == Array("QFI".utf8))
    #expect(image.device.byteCount == 1 << 20)
    try image.device.write(block: 0, [UInt8](repeating: 7, count: 512))
    image.device.close()
    #expect(scratch.contents(path)[511] == 7)
    // A file of that very name is meant if there is one; a CD has no raw form of its own.
    #expect(reason("raw:" + path, .cd).contains("a CD needs no word"))
    #expect { try ImageOpener.open(path: "raw:" + path + ".none", kind: .disk) } throws: {
      "\($0)" == path + ".none: there is no such file"
    }
  }

  @Test func largeDisksAreTranslatedAsBIOSesDo() {
    func assisted(_ sectors: UInt64) -> DiskGeometry {
      DiskGeometry.lbaAssisted(sectorCount: sectors)
    }
    #expect(assisted(1024 * 16 * 63) == DiskGeometry(cylinders: 1024, heads: 16, sectors: 63))
    #expect(assisted(1024 * 16 * 63 + 2016) == DiskGeometry(cylinders: 513, heads: 32, sectors: 63))
    #expect(assisted(4_194_304).heads == 128)
    #expect(assisted(1 << 34) == DiskGeometry(cylinders: 1024, heads: 255, sectors: 63))
    #expect(
      DiskGeometry.standard(sectorCount: 1 << 34)
        == DiskGeometry(cylinders: 16383, heads: 16, sectors: 63))
    #expect(DiskGeometry.standard(sectorCount: 1).cylinders == 1)
  }

  @Test func badInputEndsInOneClearLine() throws {
    let scratch = Scratch()
    #expect(reason(scratch.directory + "/none") == "there is no such file")
    #expect(reason(scratch.directory).contains("directory"))
    #expect(reason("/dev/null").contains("device"))
    #expect(
      reason(scratch.file("empty", []))
        == "the file is empty: what goes into a drive has a sector at least")
    #expect(reason(scratch.file("tiny", size: 511)).contains("511 bytes"))
    #expect(reason(scratch.file("odd", size: 5_000)).contains("not a disk image"))
    #expect(reason(scratch.file("oddDisk", size: 5_000_001)).contains("whole number"))
    #expect(reason(scratch.file("big", size: 3_000_320), .floppy).contains("too many for a floppy"))
    #expect(
      reason(scratch.file("cd", size: 409_600, [(0x8001, Array("CD001".utf8))])).contains("CD"))
    #expect(
      reason(scratch.file("q", size: 200_000, [(0, [0x51, 0x46, 0x49, 0xFB])])).contains("qcow2"))
    #expect(reason(scratch.file("gz", size: 9_000, [(0, [0x1F, 0x8B, 8])])).contains("gzip"))
    let fifo = scratch.directory + "/fifo"
    #expect(mkfifo(fifo, 0o600) == 0)
    #expect(reason(fifo).contains("pipe"))
    #expect(reason(scratch.file("x", size: 512), .cd).contains("CD"))
  }

  @Test func elToritoAndHybridCDsAreTold() throws {
    let scratch = Scratch()
    let pieces: [(Int, [UInt8])] = [
      (0x8001, Array("CD001".utf8)), (0x8807, Array("EL TORITO SPECIFICATION".utf8)),
    ]
    #expect(
      reason(scratch.file("boot.iso", size: 1 << 20, pieces)).contains("'CD001' is missing"))
    let hybrid = try ImageOpener.open(
      path: scratch.file(
        "hybrid.iso", size: 4 << 20,
        pieces + [bootSignature, partition(0, start: 0, count: 2048, heads: 64, sectors: 32)]))
    guard case .disk = hybrid.medium else {
      Issue.record("not a disk")
      return
    }
    #expect(hybrid.reasons[0].contains("CD"))
    // GRUB's rescue floppy is such an image, shorter than a floppy.
    let small = try ImageOpener.open(
      path: scratch.file(
        "rescue.img", size: 1_296_384,
        pieces + [bootSignature, partition(0, start: 0, count: 2532, heads: 64, sectors: 32)]))
    #expect(small.medium == .floppy(FloppyFormat.all[6]))
    #expect(small.device.isReadOnly)
  }

  @Test func aDiskWithAnIncompleteLastSectorIsReadButNotGrown() throws {
    let scratch = Scratch()
    let path = scratch.file("odd", size: 4_000_100, [bootSignature, (4_000_099, [9])])
    let image = try ImageOpener.open(path: path)
    #expect(image.device.sectorCount == 7813)
    #expect(image.warnings.count == 1)
    let sector = [UInt8](repeating: 1, count: 512)
    #expect(throws: StorageError.self) {
      try sector.withUnsafeBytes { try image.device.write(block: 7812, from: $0) }
    }
    try sector.withUnsafeBytes { try image.device.write(block: 7811, from: $0) }
    #expect(scratch.contents(path).count == 4_000_100)
  }

  @Test func aFixedVHDIsADiskWithoutItsFooter() throws {
    let scratch = Scratch()
    let footer = VHDFooter(
      kind: .fixed, byteCount: 1 << 20, creator: "win ", uniqueID: .zero, time: 0
    ).bytes
    let image = try ImageOpener.open(
      path: scratch.file("v", size: (1 << 20) + 512, [(1 << 20, footer)]))
    #expect(image.device.sectorCount == 2048)
  }

  @Test func truncatedDisksAreTold() throws {
    let scratch = Scratch()
    let image = try ImageOpener.open(
      path: scratch.file(
        "t", size: 5 << 20,
        [bootSignature, partition(0, start: 63, count: 40_000, heads: 16, sectors: 63)]))
    #expect(image.warnings.count == 1)
    #expect(image.warnings[0].contains("truncated"))
  }
}
