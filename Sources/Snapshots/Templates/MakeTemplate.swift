// Making a template of a snapshot.
//
// Owns: the order of the file's parts, copying them. Must not know: whose machine it is, command lines.

import Host
import Machine
import State
import Storage
import Store

extension SnapshotTree {
  /// Makes a template of a snapshot: from it machines begin as this one was.
  /// - Parameters:
  ///   - disks: the machine's disks as the snapshot has them (`disk`), with what they are; nobody writes their images meanwhile.
  ///   - replaces: a file of that name is replaced.
  ///   - progress: told how many of how many bytes are looked at.
  /// - Throws: nothing of the file is left.
  public func makeTemplate(
    of snapshot: SnapshotRecord, disks: [(TemplateHeader.Disk, any BlockDevice)], to path: String,
    replacing replaces: Bool = false, progress: @escaping (UInt64, UInt64) -> Void = { _, _ in }
  ) throws(StorageError) -> TemplateHeader {
    guard let head = try head(of: snapshot) else {
      var error = StorageError(
        path: folder,
        reason:
          "'\(snapshot.name)' has disks alone: a template is made of a machine that ran when it was taken"
      )
      error.isUsage = true
      throw error
    }
    var header = TemplateHeader(
      name: snapshot.name, created: snapshot.created, note: snapshot.note,
      arguments: snapshot.arguments, instruction: snapshot.instruction, time: snapshot.time,
      memoryCount: snapshot.pageCount << 12, disks: disks.map(\.0))
    // The header's length does not depend on what is filled in later.
    header.contentHash = [UInt8](repeating: 0, count: 32)
    header.headHash = SHA256.hash(head)
    var end = TemplateWriter.aligned(64 + UInt64(header.bytes.count))
    func take(_ count: UInt64) -> UInt64 {
      defer { end = TemplateWriter.aligned(end + count) }
      return end
    }
    header.headCount = UInt64(head.count)
    header.headOffset = take(header.headCount)
    header.memoryOffset = take(header.memoryCount)
    for index in header.disks.indices {
      header.disks[index].offset = take(header.disks[index].byteCount)
    }
    header.fileSize = end

    let files = NewImageFiles(replaces: replaces)
    do throws(StorageError) {
      let file = try files.make(path)
      try file.setSize(end)
      let writer = TemplateWriter(
        file, total: header.memoryCount + header.disks.reduce(0) { $0 + $1.byteCount }, progress)
      try writer.put(head, at: header.headOffset)
      try putMemory(of: snapshot, writer, &header)
      for (disk, device) in zip(header.disks, disks.map(\.1)) { try writer.put(device, disk) }
      header.contentHash = writer.finish()
      try writer.put(header)
      try files.finish()
    } catch {
      files.abandon()
      throw error
    }
    return header
  }

  private func putMemory(
    of snapshot: SnapshotRecord, _ writer: TemplateWriter, _ header: inout TemplateHeader
  ) throws(StorageError) {
    let list = try ContentList(snapshot.memory, in: store, count: snapshot.pageCount)
    var used: UInt64 = 0
    try list.forEach(in: store) { (slot, name) throws(StorageError) in
      if name == .zero { return }
      used += 1
      try writer.putPage(header.memoryOffset + slot << 12) {
        (page) throws(StorageError) in try store.read(name, into: page)
      }
    }
    try writer.flushPiece()
    header.usedPages = used
  }
}

/// Writes the contents of a template, and hashes them.
private final class TemplateWriter {
  private let file: any ByteStore
  private let total: UInt64
  private let progress: (UInt64, UInt64) -> Void
  private var done: UInt64 = 0
  private var hash = TemplateHash()
  private let room: UnsafeMutableRawBufferPointer
  /// Where the piece in `room` belongs; nil: it is empty.
  private var place: UInt64?
  private static let piece = UInt64(TemplateHeader.piece)

  static func aligned(_ offset: UInt64) -> UInt64 { (offset + piece - 1) & ~(piece - 1) }

  init(_ file: any ByteStore, total: UInt64, _ progress: @escaping (UInt64, UInt64) -> Void) {
    self.file = file
    self.total = total
    self.progress = progress
    room = .allocate(byteCount: TemplateHeader.piece, alignment: 4096)
  }

  deinit { room.deallocate() }

  /// Fills a page of 4096 bytes; pages come in ascending order.
  func putPage(
    _ offset: UInt64, _ fill: (UnsafeMutableRawBufferPointer) throws(StorageError) -> Void
  ) throws(StorageError) {
    let start = offset & ~(TemplateWriter.piece - 1)
    if place != start {
      try flushPiece()
      room.initializeMemory(as: UInt8.self, repeating: 0)
      place = start
    }
    let at = Int(offset - start)
    try fill(UnsafeMutableRawBufferPointer(rebasing: room[at..<at + 4096]))
  }

  /// Writes what was gathered.
  func flushPiece() throws(StorageError) {
    guard let place else { return }
    try put(UnsafeRawBufferPointer(room), at: place)
    self.place = nil
    done += TemplateWriter.piece
    progress(min(done, total), total)
  }

  private func put(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
    if ZeroSearch.isZero(bytes) { return }
    hash.add(bytes, at: offset)
    try file.write(at: offset, from: bytes)
  }

  func put(_ bytes: [UInt8], at offset: UInt64) throws(StorageError) {
    var at = 0
    while at < bytes.count {
      let count = min(TemplateHeader.piece, bytes.count - at)
      for n in 0..<count { room[n] = bytes[at + n] }
      try put(UnsafeRawBufferPointer(rebasing: room[..<count]), at: offset + UInt64(at))
      at += count
    }
  }

  func put(_ device: any BlockDevice, _ disk: TemplateHeader.Disk) throws(StorageError) {
    let size = UInt64(device.blockSize)
    let perPiece = TemplateWriter.piece / size
    var block = device.nextData(from: 0) / perPiece * perPiece
    while block < device.blockCount {
      let count = min(perPiece, device.blockCount - block)
      let part = UnsafeMutableRawBufferPointer(rebasing: room[..<Int(count * size)])
      try device.read(block: block, into: part)
      try put(UnsafeRawBufferPointer(part), at: disk.offset + block * size)
      progress(min(done + block * size, total), total)
      block =
        max(device.nextData(from: min(block + count, device.blockCount)), block + count) / perPiece
        * perPiece
    }
    done += disk.byteCount
  }

  func put(_ header: TemplateHeader) throws(StorageError) {
    let bytes = header.bytes
    var first = StateWriter()
    for byte in TemplateHeader.magic { first.write(byte) }
    first.write(TemplateHeader.version)
    first.write(UInt32(0))
    first.write(UInt64(bytes.count))
    for byte in SHA256.hash(bytes) { first.write(byte) }
    first.write(header.fileSize)
    try file.write(at: 0, first.bytes + bytes)
  }

  func finish() -> [UInt8] { hash.finish() }
}
