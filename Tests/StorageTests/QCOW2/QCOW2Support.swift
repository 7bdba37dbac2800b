// What the QCOW2 tests share: images in memory, a model disk beside the device, QEMU's programs as oracles.

import Foundation
import Testing
import ToolSupport

@testable import Storage

/// Files in memory, by name; new ones can be made.
final class MemoryFolder {
  private(set) var files: [String: MemoryStore] = [:]

  func add(_ name: String, _ bytes: [UInt8]) -> MemoryStore {
    let store = MemoryStore(bytes, name: name)
    files[name] = store
    return store
  }

  var context: ImageContext {
    ImageContext(kind: .disk) { [self] (name, use) throws(StorageError) in
      if use == .newPart { return add(name, []) }
      guard let store = files[name] else {
        throw StorageError.missing(name)
      }
      return use == .base ? MemoryStore(store.bytes, name: name, isWritable: false) : store
    }
  }
}

enum QCOW2Maker {
  /// A new image of `size` bytes with qemu-img's options, as in "cluster_size=512,compat=0.10".
  static func make(
    _ store: any ByteStore, size: Int, _ options: String = "",
    base: (name: String, format: String)? = nil, provisioning: Provisioning = .thin,
    in folder: MemoryFolder = MemoryFolder()
  ) throws {
    var wish = ImageWish(byteCount: UInt64(size))
    wish.provisioning = provisioning
    for option in options.split(separator: ",") {
      let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
      wish.options[parts[0]] = parts[1]
    }
    if let base {
      wish.base = NewBase(
        name: base.name, formatName: base.format,
        contents: ImageContents(
          try folder.context.base(named: base.name, formatName: base.format)))
    }
    let format = QCOW2Format()
    try format.create(store, try wish.checked(for: format, name: store.name), folder.context)
  }

  static func image(
    size: Int, _ options: String = "", base: (name: String, format: String)? = nil,
    in folder: MemoryFolder = MemoryFolder()
  ) throws -> MemoryStore {
    let store = folder.add("image", [])
    try make(store, size: size, options, base: base, in: folder)
    return store
  }

  static func open(_ store: any ByteStore, in folder: MemoryFolder = MemoryFolder()) throws
    -> QCOW2Image
  {
    try #require(try QCOW2Format().open(store, folder.context).device as? QCOW2Image)
  }

  /// Opens a file by the opener, and gives the image behind what a drive sees.
  static func openFile(_ path: String) throws -> QCOW2Image {
    let folder = String(path[...path.lastIndex(of: "/")!])
    let context = ImageContext(kind: .disk) { (name, use) throws(StorageError) in
      try HostFile(path: folder + name, writable: use != .base)
    }
    return try #require(
      try QCOW2Format().open(try HostFile(path: path, writable: true), context).device
        as? QCOW2Image)
  }

  static func check(
    _ store: any ByteStore, _ repair: ImageRepair = .none, in folder: MemoryFolder = MemoryFolder()
  ) throws -> ImageCheck {
    try QCOW2Format().check(store, repair, folder.context)
  }

  /// A pattern that says where and when it was written.
  static func pattern(_ count: Int, _ tag: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    for n in 0..<count / 8 {
      withUnsafeBytes(of: (tag << 24) &+ UInt64(n / 3) | 1) {
        for k in 0..<8 { bytes[n * 8 + k] = $0[k] }
      }
    }
    return bytes
  }

  static func exerciseUncompressed(
    _ device: any BlockDevice, _ model: inout [UInt8], steps: Int, seed: UInt64
  ) throws { try exercise(device, &model, steps: steps, seed: seed, isPacking: false) }

  /// Writes, zeros, discards at random on a device and a model, and compares.
  static func exercise(
    _ device: any BlockDevice, _ model: inout [UInt8], steps: Int, seed: UInt64, longest: Int = 300,
    isPacking: Bool = true,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    var random = PowerCutRandom(seed: seed)
    let blocks = Int(device.blockCount)
    for step in 0..<steps {
      var count = 1 + random.below(random.one(in: 3) ? longest : 9)
      var block = random.below(blocks)
      if random.one(in: 3) { block &= ~127 }
      if random.one(in: 4) { count = (count + 127) & ~127 }
      count = min(count, blocks - block)
      let range = block * 512..<(block + count) * 512
      switch random.below(8) {
      case 0:
        try device.writeZeroes(block: UInt64(block), count: UInt64(count))
        model.replaceSubrange(range, with: repeatElement(0, count: range.count))
      case 1:
        try device.discard(block: UInt64(block), count: UInt64(count))
        model.replaceSubrange(range, with: repeatElement(0, count: range.count))
      case 2: try device.flush()
      case 3:
        let read = try device.bytes(at: UInt64(range.lowerBound), count: range.count)
        #expect(read == Array(model[range]), "step \(step)", sourceLocation: sourceLocation)
      case 4:
        guard isPacking, let packer = device as? CompressingDevice else { continue }
        let unit = Int(packer.compressionUnit) * 512
        let start = range.lowerBound / unit * unit
        let bytes = pattern(min(unit, model.count - start), random.next())
        try bytes.withUnsafeBytes {
          try packer.writeCompressed(block: UInt64(start / 512), from: $0)
        }
        model.replaceSubrange(start..<start + bytes.count, with: bytes)
      default:
        let bytes = pattern(range.count, random.next())
        try device.write(block: UInt64(block), bytes)
        model.replaceSubrange(range, with: bytes)
      }
    }
    #expect(
      try device.bytes(at: 0, count: model.count) == model, sourceLocation: sourceLocation)
  }
}

/// QEMU's programs, where they are installed.
enum QCOW2Oracle {
  static func run(_ arguments: String...) throws -> (status: Int32, output: String) {
    let run = try Tool.run("/usr/bin/env", arguments)
    return (run.status, run.text)
  }

  static let isThere: Bool = {
    let isThere = ((try? run("qemu-img", "--version").status) ?? 1) == 0
    if !isThere { print("qemu-img is not installed: comparisons with QEMU are left out") }
    return isThere
  }()

  /// What qemu-img says is wrong with an image; empty: nothing.
  static func complaint(_ path: String, leaksAllowed: Bool = false) throws -> String {
    let result = try run("qemu-img", "check", "-f", "qcow2", path)
    return result.status == 0 || (leaksAllowed && result.status == 3) ? "" : result.output
  }

  /// An image's contents as QEMU reads them.
  static func contents(_ path: String, snapshot: String? = nil, in scratch: Scratch) throws
    -> [UInt8]
  {
    let raw = scratch.directory + "/contents.raw"
    let result =
      if let snapshot {
        try run(
          "qemu-img", "convert", "-l", "snapshot.name=\(snapshot)", "-f", "qcow2", "-O", "raw",
          path,
          raw)
      } else { try run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw) }
    if result.status != 0 { Issue.record("qemu-img convert: \(result.output)") }
    return scratch.contents(raw)
  }

  /// Commands for qemu-io.
  @discardableResult
  static func io(_ path: String, _ commands: [String]) throws -> String {
    let result = try Tool.run(
      "/usr/bin/env", ["qemu-io", "-f", "qcow2"] + commands.flatMap { ["-c", $0] } + [path])
    if result.status != 0 { Issue.record("qemu-io: \(result.text)") }
    return result.text
  }
}
