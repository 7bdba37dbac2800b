// A machine in one file, from which others begin: memory and disks as they lie there are mapped and read, not copied.
//
// Owns: the form of the file, opening and verifying it. Must not know: how one is made, what is begun from it.
//
// The file (numbers little-endian; everything begins at a multiple of 64 KiB, zeros are holes):
//   0   8   "APUSTMPL"
//   8   4   version: 2; 1 has no hash of the head in its header
//   12  4   0
//   16  8   how many bytes the header has
//   24  32  SHA-256 of the header
//   56  8   how many bytes the file has
//   64      the header: a section "template" as in saved states
//   ...     the capture's head (MachineCapture.swift), then memory page by page, then the disks sector by sector

import Host
import Machine
import State
import Storage
import Store

/// What is in a template, without its contents.
public struct TemplateHeader: Sendable {
  /// A disk of the machine.
  public struct Disk: Sendable {
    /// The drive's name in saved states: "medium-disk0".
    public var drive: String
    /// The image, as the machine had it.
    public var name: String
    /// What the drive reports, and what the BIOS shows.
    public var physical: DiskGeometry
    public var translated: DiskGeometry
    /// Bytes.
    public var byteCount: UInt64
    var offset: UInt64 = 0

    public init(
      drive: String, name: String, physical: DiskGeometry, translated: DiskGeometry,
      byteCount: UInt64
    ) {
      self.drive = drive
      self.name = name
      self.physical = physical
      self.translated = translated
      self.byteCount = byteCount
    }
  }

  /// The snapshot's name, and when it was taken (seconds since 1970, UTC).
  public var name: String
  public var created: Int64
  public var note: String
  /// How the machine was started.
  public var arguments: [String]
  /// Instructions since power-on, and virtual nanoseconds.
  public var instruction: UInt64
  public var time: UInt64
  /// Bytes of memory, with what lies between its parts, and how many pages of it hold anything.
  public var memoryCount: UInt64
  public var usedPages: UInt64 = 0
  public var disks: [Disk]
  var headOffset: UInt64 = 0
  var headCount: UInt64 = 0
  var memoryOffset: UInt64 = 0
  /// SHA-256 of all pieces of 64 KiB of the head, memory and disks that are not zeros, each with its place in the file before it.
  var contentHash: [UInt8] = []
  /// SHA-256 of the head, which is looked at whenever a machine begins; empty: a file of version 1 has none.
  var headHash: [UInt8] = []
  var fileSize: UInt64 = 0

  static let magic = Array("APUSTMPL".utf8)
  static let version: UInt32 = 2
  static let piece = 1 << 16
  static let longest = 16 << 20

  var bytes: [UInt8] {
    var writer = StateWriter()
    writer.section("template", version: 2) { writer in
      writer.write(name)
      writer.write(created)
      writer.write(note)
      writer.write(UInt32(arguments.count))
      for word in arguments { writer.write(word) }
      for number in [instruction, time, memoryCount, usedPages, headOffset, headCount] {
        writer.write(number)
      }
      writer.write(memoryOffset)
      writer.write(UInt32(disks.count))
      for disk in disks {
        writer.write(disk.drive)
        writer.write(disk.name)
        for geometry in [disk.physical, disk.translated] {
          for number in [geometry.cylinders, geometry.heads, geometry.sectors] {
            writer.write(UInt32(number))
          }
        }
        writer.write(disk.byteCount)
        writer.write(disk.offset)
      }
      writer.write(bytes: contentHash)
      writer.write(bytes: headHash)
    }
    return writer.bytes
  }

  init(
    name: String, created: Int64, note: String, arguments: [String], instruction: UInt64,
    time: UInt64, memoryCount: UInt64, disks: [Disk]
  ) {
    (self.name, self.created, self.note) = (name, created, note)
    (self.arguments, self.instruction, self.time) = (arguments, instruction, time)
    (self.memoryCount, self.disks) = (memoryCount, disks)
  }

  fileprivate init(_ bytes: [UInt8], fileSize: UInt64) throws(StateError) {
    var reader = StateReader(bytes)
    var header = TemplateHeader(
      name: "", created: 0, note: "", arguments: [], instruction: 0, time: 0, memoryCount: 0,
      disks: [])
    try reader.section("template", versions: 1...2) { (reader, version) throws(StateError) in
      header.name = try reader.readString()
      header.created = try reader.read()
      header.note = try reader.readString()
      for _ in 0..<(try reader.read(in: 0...UInt32(10_000))) {
        header.arguments.append(try reader.readString())
      }
      header.instruction = try reader.read()
      header.time = try reader.read()
      header.memoryCount = try reader.read(in: 1 << 20...1 << 40)
      header.usedPages = try reader.read()
      header.headOffset = try reader.read()
      header.headCount = try reader.read()
      header.memoryOffset = try reader.read()
      for _ in 0..<(try reader.read(in: 0...UInt32(16))) {
        header.disks.append(try Disk(from: &reader))
      }
      header.contentHash = try reader.readBytes(count: 32)
      if version > 1 { header.headHash = try reader.readBytes(count: 32) }
      func check(_ what: String, _ offset: UInt64, _ count: UInt64) throws(StateError) {
        if offset & UInt64(TemplateHeader.piece - 1) != 0 || offset > fileSize
          || count > fileSize - offset
        {
          throw reader.error(
            "\(what) (\(count) bytes at \(offset)) is not in the file of \(fileSize)")
        }
      }
      try check("the head", header.headOffset, header.headCount)
      try check("the memory", header.memoryOffset, header.memoryCount)
      for disk in header.disks {
        try check(StateError.printable(disk.drive), disk.offset, disk.byteCount)
      }
    }
    if reader.remaining != 0 { throw reader.error("\(reader.remaining) bytes too many") }
    header.fileSize = fileSize
    self = header
  }
}

private let piece = TemplateHeader.piece

extension TemplateHeader.Disk {
  fileprivate init(from reader: inout StateReader) throws(StateError) {
    drive = try reader.readString()
    guard drive.hasPrefix("medium-disk"), let number = Int(drive.dropFirst(11)), number < 4 else {
      throw reader.error("a disk in no drive")
    }
    name = try reader.readString()
    func geometry(_ reader: inout StateReader) throws(StateError) -> DiskGeometry {
      DiskGeometry(
        cylinders: Int(try reader.read(in: UInt32(1)...65536)),
        heads: Int(try reader.read(in: UInt32(1)...256)),
        sectors: Int(try reader.read(in: UInt32(1)...255)))
    }
    physical = try geometry(&reader)
    translated = try geometry(&reader)
    byteCount = try reader.read()
    guard byteCount > 0, byteCount & 511 == 0 else { throw reader.error("a disk of no sectors") }
    offset = try reader.read()
  }
}

/// A template that is open: any number of machines begin from it.
public struct MachineTemplate: Sendable {
  public private(set) var path: String
  public let header: TemplateHeader
  /// The capture's head (`Machine.becomeTemplate`).
  public let head: [UInt8]
  /// What the machines' memory begins with.
  public let memory: MemorySource

  /// Whether a file is a template, by how it begins.
  public static func isTemplate(_ path: String) -> Bool {
    guard HostFiles.facts(path)?.kind == .file,
      let part = try? FilePart(path: path, offset: 0, size: 8, name: path)
    else { return false }
    defer { part.close() }
    return (try? part.bytes(at: 0, count: 8)) == TemplateHeader.magic
  }

  /// - Throws: one line that names the file and says what is wrong; contents are looked at by `verify` alone.
  public init(_ path: String) throws(StorageError) {
    guard let size = HostFiles.size(path), size >= 64 else {
      throw StorageError(path: path, reason: "is no template: it has not even 64 bytes")
    }
    let file = try FilePart(path: path, offset: 0, size: UInt64(size), name: path)
    defer { file.close() }
    let first = try file.bytes(at: 0, count: 64)
    func number(_ at: Int, _ count: Int) -> UInt64 {
      first[at..<at + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    guard Array(first[..<8]) == TemplateHeader.magic else {
      throw StorageError(path: path, offset: 0, reason: "is no template")
    }
    guard (1...UInt64(TemplateHeader.version)).contains(number(8, 8)) else {
      throw StorageError(
        path: path, offset: 8,
        reason:
          "is a template of version \(number(8, 8)); this Apus reads \(TemplateHeader.version)")
    }
    guard number(56, 8) == UInt64(size) else {
      throw StorageError(
        path: path, offset: 56,
        reason: "a template of \(number(56, 8)) bytes was cut off or added to: it has \(size)")
    }
    let count = number(16, 8)
    guard count <= UInt64(TemplateHeader.longest), count <= UInt64(size - 64) else {
      throw StorageError(path: path, offset: 16, reason: "its header has \(count) bytes")
    }
    let bytes = try file.bytes(at: 64, count: Int(count))
    guard SHA256.hash(bytes) == Array(first[24..<56]) else {
      throw StorageError(path: path, offset: 64, reason: "its header is damaged")
    }
    do throws(StateError) { header = try TemplateHeader(bytes, fileSize: UInt64(size)) } catch {
      throw StorageError(path: path, offset: 64, reason: "in its header \(error)")
    }
    guard header.headCount <= 1 << 30 else {
      throw StorageError(path: path, offset: header.headOffset, reason: "its head is too long")
    }
    head = try file.bytes(at: header.headOffset, count: Int(header.headCount))
    if !header.headHash.isEmpty, SHA256.hash(head) != header.headHash {
      throw StorageError(
        path: path, offset: header.headOffset, reason: "what it has of the devices is damaged")
    }
    do throws(HostError) {
      memory = try MemorySource(
        path: path, offset: Int(header.memoryOffset), count: Int(header.memoryCount))
    } catch { throw StorageError(path: path, reason: "\(error)") }
    self.path = path
  }

  /// The same for when its file has lost its name: as long as this is there, its contents are.
  public func withoutName() -> MachineTemplate {
    var template = self
    template.path = memory.openPath
    return template
  }

  /// A disk of it; writes stay in memory.
  public func disk(_ disk: TemplateHeader.Disk) throws(StorageError) -> OpenedImage {
    let part = try FilePart(
      path: path, offset: disk.offset, size: disk.byteCount, name: disk.name)
    return OpenedImage(
      path: disk.name, device: SnapshotOverlay(base: RawImage(part), isReadOnly: false),
      medium: .disk(physical: disk.physical, translated: disk.translated),
      reasons: ["a disk of the template \(path): writes stay in memory"], warnings: [])
  }

  /// Reads all of it.
  /// - Throws: when it is damaged.
  public func verify() throws(StorageError) {
    let file = try FilePart(path: path, offset: 0, size: header.fileSize, name: path)
    defer { file.close() }
    var hash = TemplateHash()
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: piece, alignment: 4096)
    defer { room.deallocate() }
    let areas =
      [(header.headOffset, header.headCount), (header.memoryOffset, header.memoryCount)]
      + header.disks.map { ($0.offset, $0.byteCount) }
    for (offset, count) in areas {
      var at = offset
      while at < offset + count {
        let next = file.nextData(from: at)
        if next >= offset + count { break }
        at = max(at, next & ~UInt64(piece - 1))
        let part = UnsafeMutableRawBufferPointer(
          rebasing: room[..<Int(min(UInt64(piece), offset + count - at))])
        try file.read(at: at, into: part)
        hash.add(UnsafeRawBufferPointer(part), at: at)
        at += UInt64(piece)
      }
    }
    if hash.finish() != header.contentHash {
      throw StorageError(
        path: path, offset: header.memoryOffset,
        reason: "what it has of devices, memory or disks is damaged")
    }
  }
}

/// The hash of what is in memory and disks.
struct TemplateHash {
  private var hashes = SHA256()

  /// Zeros are no part of it, as a copy may have them as a hole or not.
  mutating func add(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) {
    if ZeroSearch.isZero(bytes) { return }
    var words = offset.littleEndian
    withUnsafeBytes(of: &words) { hashes.add($0) }
    hashes.add(ContentName.digest(of: bytes).bytes)
  }

  mutating func finish() -> [UInt8] { hashes.finish() }
}
