// A format that the program does not know, through the same opener: what it holds, what layers do above it, what is refused.

import Foundation
import State
import Testing

@testable import Storage

func little(_ value: UInt64, _ bytes: Int) -> [UInt8] {
  (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}

/// An empty image of the made-up format.
func sparse(
  blockSize: UInt64 = 4096, blocks: UInt64 = 512, table: UInt64 = 512, base: String = "",
  entries: [UInt32] = [], size: Int = 4096
) -> [UInt8] {
  var bytes =
    SparseFormat.magic + little(blockSize, 4) + little(UInt64(base.utf8.count), 4)
    + little(blocks, 8) + little(table, 8) + Array(base.utf8)
  bytes += [UInt8](repeating: 0, count: max(size - bytes.count, 0))
  for (n, entry) in entries.enumerated() {
    let at = Int(table) + n * 4
    bytes.replaceSubrange(at..<at + 4, with: little(UInt64(entry), 4))
  }
  return bytes
}

let withSparse: [any ImageFormat] = [SparseFormat()] + ImageFormats.all

@Suite struct ImageFormatTests {
  func open(_ path: String, readOnly: Bool = false, snapshot: Bool = false) throws -> OpenedImage {
    try ImageOpener.open(path: path, readOnly: readOnly, snapshot: snapshot, formats: withSparse)
  }

  /// Writes, zeroes and discards at random on a device and on an array.
  func exercise(_ device: any BlockDevice, _ model: inout [UInt8], steps: Int, seed: UInt64) throws
  {
    var state = seed
    func random(_ limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
    let size = device.blockSize
    let blocks = Int(device.blockCount)
    for _ in 0..<steps {
      let count = random(20) + 1
      let block = random(blocks - count)
      let range = block * size..<(block + count) * size
      switch random(5) {
      case 0, 1:
        let bytes = (0..<count * size).map { UInt8(truncatingIfNeeded: $0 / 64 + block) | 1 }
        try device.write(block: UInt64(block), bytes)
        model.replaceSubrange(range, with: bytes)
      case 2:
        try device.writeZeroes(block: UInt64(block), count: UInt64(count))
        model.replaceSubrange(range, with: repeatElement(0, count: range.count))
      case 3:
        try device.discard(block: UInt64(block), count: UInt64(count))
        model.replaceSubrange(range, with: repeatElement(0, count: range.count))
      default:
        #expect(
          try device.bytes(at: UInt64(range.lowerBound), count: range.count) == Array(model[range]))
      }
    }
    #expect(try device.bytes(at: 0, count: model.count) == model)
  }

  @Test func anotherFormatIsReadAndWrittenThroughTheOpener() throws {
    let scratch = Scratch()
    let path = scratch.file("disk", sparse())
    var model = [UInt8](repeating: 0, count: 512 * 4096)
    do {
      let image = try open(path)
      guard case .disk = image.medium else {
        Issue.record("not a disk")
        return
      }
      #expect(image.reasons[0] == "a sparse image in blocks of 4096 bytes")
      // Drives see sectors of 512 bytes, whatever the image has.
      #expect(image.device.blockSize == 512 && image.device.blockCount == 4096)
      #expect(!image.device.isReadOnly && image.device.persistence == .file)
      #expect(image.device.layers.map(\.kind) == ["blocks of 512 bytes", "sparse image"])
      #expect(image.device.layers[1].file == path && image.device.layers[1].blockSize == 4096)
      try exercise(image.device, &model, steps: 300, seed: 1)
      try image.device.flush()
      // Somebody else does not get it meanwhile.
      #expect(throws: StorageError.self) { try open(path) }
      image.device.close()
    }
    let again = try open(path, readOnly: true)
    #expect(again.device.isReadOnly && again.reasons.last == "write-protected")
    #expect(try again.device.bytes(at: 0, count: model.count) == model)
    // What keeps the contents does not matter for what a saved state says of them.
    #expect(try again.device.contentHash() == MemoryImage(bytes: model).contentHash())
  }

  @Test func discardedRoomIsUsedAgain() throws {
    let store = MemoryStore(sparse())
    let image = try ImageFormats.open(store, context([:])).device
    try image.write(block: 7, [UInt8](repeating: 1, count: 8192))
    let size = store.size
    #expect(image.nextData(from: 0) == 7 && image.nextData(from: 9) == 512)
    try image.discard(block: 0, count: 512)
    #expect(image.nextData(from: 0) == 512)
    try image.write(block: 100, [UInt8](repeating: 2, count: 8192))
    #expect(store.size == size)
    #expect(try image.contents(of: 7) == [UInt8](repeating: 0, count: 4096))
    #expect(try image.contents(of: 101) == [UInt8](repeating: 2, count: 4096))
  }

  /// A context whose files are in memory.
  func context(_ files: [String: [UInt8]]) -> ImageContext {
    ImageContext(formats: withSparse) { name throws(StorageError) in
      guard let bytes = files[name] else {
        throw StorageError.missing(name)
      }
      return MemoryStore(bytes, name: name, isWritable: false)
    }
  }

  /// Whatever the words: the files of an image in several end where there is none, and nowhere else.
  @Test func theFilesOfASplitImageEndWhereThereIsNone() throws {
    let first = MemoryStore([UInt8](repeating: 1, count: 1024), name: "disk.001")
    func open(_ third: StorageError) throws -> ImageContents {
      let context = ImageContext(kind: .disk) { name throws(StorageError) in
        if name == "disk.002" {
          return MemoryStore([UInt8](repeating: 2, count: 512), name: name)
        }
        throw name == "disk.003" ? third : .missing(name)
      }
      return try SplitFormat().open(first, context)
    }
    var error = StorageError(path: "disk.003", reason: "is not here")
    error.isMissing = true
    #expect(try open(error).device.blockCount == 3)
    #expect(throws: StorageError.self) {
      try open(StorageError(path: "disk.003", reason: "its disk says: no such file or block"))
    }
  }

  @Test func aSnapshotOfAnyFormatNeverWritesItsFile() throws {
    let scratch = Scratch()
    let path = scratch.file("disk", sparse())
    try open(path).device.write(block: 9, [UInt8](repeating: 9, count: 512))
    let before = scratch.contents(path)
    let image = try open(path, snapshot: true)
    var model = try image.device.bytes(at: 0, count: 512 * 4096)
    #expect(model[9 * 512] == 9)
    try exercise(image.device, &model, steps: 300, seed: 2)
    #expect(scratch.contents(path) == before)
    #expect(try image.device.contentHash() == MemoryImage(bytes: model).contentHash())

    // The state of one goes with another format of the same contents.
    var base = [UInt8](repeating: 0, count: 512 * 4096)
    base.replaceSubrange(9 * 512..<10 * 512, with: repeatElement(9, count: 512))
    let raw = try ImageOpener.open(
      path: scratch.file("raw", base), kind: .disk, snapshot: true)
    #expect(try raw.device.base?.contentHash() == image.device.base?.contentHash())
    var writer = StateWriter()
    image.device.saveContents(to: &writer)
    var reader = StateReader(writer.bytes)
    try raw.device.restoreContents(from: &reader)
    #expect(try raw.device.bytes(at: 0, count: model.count) == model)
  }

  @Test func imagesStandAboveEachOther() throws {
    let scratch = Scratch()
    // The lowest is raw and shorter than what stands above it.
    let lowest = scratch.file("lowest.img", [UInt8](repeating: 0x11, count: 5 * 512))
    _ = scratch.file("middle", sparse(base: "lowest.img"))
    let path = scratch.file("top", sparse(base: "middle"))
    let image = try open(path)
    #expect(try image.device.bytes(at: 0, count: 2560) == [UInt8](repeating: 0x11, count: 2560))
    #expect(try image.device.bytes(at: 2560, count: 512) == [UInt8](repeating: 0, count: 512))
    #expect(
      image.device.layers.compactMap(\.file).map { $0.split(separator: "/").last! }
        == ["top", "middle", "lowest.img"])
    // A part of a block: the rest of it comes from below, and goes up with it.
    try image.device.write(block: 1, [UInt8](repeating: 0x22, count: 512))
    #expect(try image.device.bytes(at: 0, count: 1) == [0x11])
    #expect(try image.device.bytes(at: 512, count: 1) == [0x22])
    // What is discarded does not show from below.
    try image.device.discard(block: 0, count: 8)
    #expect(try image.device.bytes(at: 0, count: 4096) == [UInt8](repeating: 0, count: 4096))
    #expect(scratch.contents(lowest) == [UInt8](repeating: 0x11, count: 5 * 512))

    // A change of any of the files is noticed, and nobody writes one meanwhile.
    #expect(throws: StorageError.self) { try RawImage(path: lowest) }
    let mark = image.device.mark()
    #expect(image.device.change(since: mark) == nil)
    #expect(truncate(lowest, 6 * 512) == 0)
    #expect(image.device.change(since: mark) == "its size has changed from 2560 to 3072 bytes")
  }

  @Test func anImageNamesOnlyFilesOfItsFolder() throws {
    let scratch = Scratch()
    for name in ["/etc/hostname", "../secret", "a/../../b", "a//b", "bad\u{1B}[2J", "back\\slash"] {
      let path = scratch.file("top", sparse(base: name))
      do {
        _ = try open(path, snapshot: true)
        Issue.record("\(name) was opened")
      } catch let error as StorageError {
        #expect(error.path == path && error.reason.contains("names another file"))
        #expect(!error.description.contains("\u{1B}"))
      }
    }
    // Nor is there an end to one that names itself.
    let loop = scratch.file("loop", sparse(base: "loop"))
    #expect(throws: StorageError.self) { try open(loop) }
    do {
      _ = try open(loop, snapshot: true)
      Issue.record("opened")
    } catch let error as StorageError { #expect(error.reason.contains("above each other")) }
  }

  @Test func hostileHeadersAreRefusedWithFileOffsetAndReason() throws {
    let cases: [(String, [UInt8], UInt64)] = [
      ("cut short", Array(sparse().prefix(20)), 0),
      ("blocks of 0 bytes", sparse(blockSize: 0), 8),
      ("blocks of 4095 bytes", sparse(blockSize: 4095), 8),
      ("blocks of 2147483648 bytes", sparse(blockSize: 1 << 31), 8),
      ("0 blocks", sparse(blocks: 0), 16),
      ("18446744073709551615 blocks", sparse(blocks: .max), 16),
      ("4611686018427387905 blocks", sparse(blocks: 1 << 62 | 1), 16),
      ("a table at 18446744073709551612", sparse(table: .max - 3, size: 4096), 24),
      ("a table at 0", sparse(table: 0), 24),
      ("block 0 lies outside", sparse(entries: [.max]), 512),
      ("block 1 lies outside", sparse(entries: [0, 2]), 516),
      ("block 5 lies where another", sparse(entries: [0, 1, 1, 1] + [2, 2], size: 3 * 4096), 532),
    ]
    for (reason, bytes, offset) in cases {
      do {
        _ = try ImageFormats.open(MemoryStore(bytes, name: "evil"), context([:]))
        Issue.record("opened: \(reason)")
      } catch {
        #expect(error.path == "evil")
        #expect(error.offset == offset, "\(error)")
        #expect(error.reason.contains(reason), "\(error)")
      }
    }
    var name = sparse(base: "x")
    name[32] = 0xFF
    #expect(throws: StorageError.self) { try ImageFormats.open(MemoryStore(name), context([:])) }
    #expect(throws: StorageError.self) {
      try ImageFormats.open(MemoryStore(sparse(base: "gone")), context([:]))
    }
  }

  @Test func whatAFormatHandsOutIsChecked() throws {
    struct Wrong: ImageFormat {
      let name = "wrong"
      let size: Int
      let count: UInt64
      func probe(_ store: any ByteStore, _ context: ImageContext) -> FormatConfidence? { .certain }
      func open(_ store: any ByteStore, _ context: ImageContext) -> ImageContents {
        final class Device: BlockDevice {
          let blockSize: Int
          let blockCount: UInt64
          let capabilities: BlockCapabilities = []
          let generation: UInt64 = 0
          init(_ size: Int, _ count: UInt64) { (blockSize, blockCount) = (size, count) }
          func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) {}
          func write(block: UInt64, from buffer: UnsafeRawBufferPointer) {}
          func flush() {}
        }
        return ImageContents(Device(size, count))
      }
    }
    for (size, count) in [(500, 10), (1 << 20, 10), (0, 1), (512, 0), (512, UInt64.max / 512)] {
      let context = ImageContext(formats: [Wrong(size: size, count: count)]) {
        _ throws(StorageError) in
        throw StorageError(path: "", reason: "")
      }
      #expect(throws: StorageError.self) { try ImageFormats.open(MemoryStore([]), context) }
    }
  }

  @Test func theSurestFormatHasTheFile() throws {
    // Nothing says that it is anything: raw.
    let context = context([:])
    #expect(
      try ImageFormats.format(of: MemoryStore([1, 2, 3]), context).name == "raw")
    #expect(try ImageFormats.format(of: MemoryStore(sparse()), context).name == "sparse")
    let none = ImageContext(formats: [SparseFormat()]) { _ throws(StorageError) in
      throw StorageError(path: "", reason: "")
    }
    #expect(throws: StorageError.self) {
      try ImageFormats.format(of: MemoryStore([1, 2, 3]), none)
    }
  }

  @Test func knownFormatsThatCannotBeReadAreRefusedByName() throws {
    let scratch = Scratch()
    func refusal(_ signature: [UInt8], at offset: Int = 0, boot: Bool = false) -> String {
      reason(
        scratch.file(
          "x", size: 1 << 20, [(offset, signature)] + (boot ? [bootSignature] : [])))
    }
    // Those that can be read are not taken for anything else when they are damaged.
    let damaged = "is a VHD image whose footer is damaged: its check sum is wrong"
    #expect(refusal(Array("conectix".utf8)) == damaged)
    #expect(refusal(Array("conectix".utf8), at: (1 << 20) - 512) == damaged)
    #expect(refusal([0x42, 0x5A, 0x68]) == "is compressed by bzip2; unpack it first")
    #expect(refusal([0x50, 0x4B, 3, 4]) == "is a ZIP archive; unpack it first")
    #expect(refusal([0x7F, 0x45, 0x4C, 0x46]).hasPrefix("is an ELF program, not a disk"))
    // A boot sector may begin with any instruction, but no image format has one.
    #expect(refusal([0x7F, 0x45, 0x4C, 0x46], boot: true) == "opened")
    #expect(refusal([0x51, 0x46, 0x49, 0xFB], boot: true).contains("qcow2"))
  }
}
