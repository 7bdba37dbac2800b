// What is said of a machine before it is moved.
//
// Owns: its fields and their form. Must not know: how it is moved, command lines.

import Machine
import State
import Storage

/// Which machine comes, and what belongs to it.
public struct MigrationOffer: Sendable {
  /// What is in a drive, and written to its file.
  public struct Disk: Equatable, Sendable {
    /// "floppy0", "disk1", "flash".
    public var drive: String
    /// The image's path, from the root.
    public var path: String
    /// What its format is called.
    public var format: String
    public var blockSize: Int
    public var blockCount: UInt64
    /// Of a hard disk.
    public var physical: DiskGeometry?
    public var translated: DiskGeometry?

    public init(drive: String, path: String, format: String, blockSize: Int, blockCount: UInt64) {
      (self.drive, self.path, self.format) = (drive, path, format)
      (self.blockSize, self.blockCount) = (blockSize, blockCount)
    }

    /// Bytes.
    public var byteCount: UInt64 { blockCount * UInt64(blockSize) }
    /// Whether clusters of it are sent; a floppy comes with the machine's head.
    public var hasClusters: Bool { !drive.hasPrefix("floppy") }
    /// Clusters of `UndoDevice.clusterSize` bytes; the last may be shorter.
    var clusterCount: UInt64 {
      let size = UInt64(UndoDevice.clusterSize)
      return byteCount / size + (byteCount % size == 0 ? 0 : 1)
    }
    func length(of cluster: UInt64) -> Int {
      Int(min(UInt64(UndoDevice.clusterSize), byteCount - cluster << 16))
    }
  }

  /// A drive whose medium is not written, or empty.
  public struct Medium: Equatable, Sendable {
    /// "floppy0", "cd2", "disk1".
    public var drive: String
    /// The image's path from the root; nil: nothing is in it.
    public var path: String?
    /// What is written stays in memory, and comes with the machine's head.
    public var isTemporary: Bool

    public init(drive: String, path: String?, isTemporary: Bool = false) {
      (self.drive, self.path, self.isTemporary) = (drive, path, isTemporary)
    }
  }

  /// Version of the protocol.
  public static let version: UInt16 = 1

  /// What the right of the old place is known by.
  public var lock: [UInt8]
  /// How the machine was started, and in which folder.
  public var arguments: [String]
  public var folder: String
  /// Whether disks come along; otherwise both places have the same files.
  public var carriesDisks: Bool
  public var pageCount: UInt64
  public var disks: [Disk]
  public var media: [Medium]
  /// The machine's head as it is now, by which the new place sees whether it can have it.
  public var head: [UInt8]

  public init(
    lock: [UInt8], arguments: [String], folder: String, carriesDisks: Bool, pageCount: UInt64,
    disks: [Disk], media: [Medium], head: [UInt8]
  ) {
    (self.lock, self.arguments, self.folder) = (lock, arguments, folder)
    (self.carriesDisks, self.pageCount) = (carriesDisks, pageCount)
    (self.disks, self.media, self.head) = (disks, media, head)
  }

  func save(to writer: inout StateWriter) {
    writer.section("offer", version: MigrationOffer.version) { writer in
      writer.write(bytes: lock)
      writer.write(UInt32(arguments.count))
      for word in arguments { writer.write(word) }
      writer.write(folder)
      writer.write(carriesDisks)
      writer.write(pageCount)
      writer.write(UInt32(disks.count))
      for disk in disks {
        writer.write(disk.drive)
        writer.write(disk.path)
        writer.write(disk.format)
        writer.write(UInt32(disk.blockSize))
        writer.write(disk.blockCount)
        writer.write(disk.physical != nil)
        for geometry in [disk.physical, disk.translated].compactMap({ $0 }) {
          for number in [geometry.cylinders, geometry.heads, geometry.sectors] {
            writer.write(UInt32(number))
          }
        }
      }
      writer.write(UInt32(media.count))
      for medium in media {
        writer.write(medium.drive)
        writer.write(medium.path != nil)
        writer.write(medium.path ?? "")
        writer.write(medium.isTemporary)
      }
      writer.write(bytes: head)
    }
  }

  init(from reader: inout StateReader) throws(StateError) {
    var offer = MigrationOffer(
      lock: [], arguments: [], folder: "", carriesDisks: false, pageCount: 0, disks: [], media: [],
      head: [])
    let version = MigrationOffer.version
    try reader.section("offer", versions: version...version) { (reader, _) throws(StateError) in
      offer.lock = try reader.readBytes(count: MigrationRight.lockLength)
      for _ in 0..<(try reader.read(in: 0...UInt32(10_000))) {
        offer.arguments.append(try reader.readString())
      }
      offer.folder = try reader.readString()
      offer.carriesDisks = try reader.readBool()
      offer.pageCount = try reader.read(in: 256...UInt64(1) << 28)
      for _ in 0..<(try reader.read(in: 0...UInt32(8))) {
        offer.disks.append(try Disk(from: &reader))
      }
      for _ in 0..<(try reader.read(in: 0...UInt32(16))) {
        let drive = try reader.readString()
        let isThere = try reader.readBool()
        let path = try reader.readString()
        offer.media.append(
          Medium(
            drive: drive, path: isThere ? path : nil, isTemporary: try reader.readBool()))
      }
      offer.head = try reader.readBytes()
    }
    let drives = offer.disks.map(\.drive) + offer.media.map(\.drive)
    guard drives.allSatisfy(MigrationOffer.drives.contains), Set(drives).count == drives.count
    else { throw reader.error("drives that no machine has") }
    self = offer
  }

  /// Those that there are.
  private static let drives =
    Set((0..<4).flatMap { ["disk\($0)", "cd\($0)"] } + ["floppy0", "floppy1", "flash"])
}

extension MigrationOffer.Disk {
  fileprivate init(from reader: inout StateReader) throws(StateError) {
    drive = try reader.readString()
    path = try reader.readString()
    format = try reader.readString()
    blockSize = Int(try reader.read(UInt32.self))
    guard BlockSize.isValid(blockSize) else { throw reader.error("blocks of \(blockSize) bytes") }
    blockCount = try reader.read(in: 1...(UInt64(1) << 56) / UInt64(blockSize))
    if try reader.readBool() {
      func geometry(_ reader: inout StateReader) throws(StateError) -> DiskGeometry {
        DiskGeometry(
          cylinders: Int(try reader.read(in: UInt32(1)...65536)),
          heads: Int(try reader.read(in: UInt32(1)...256)),
          sectors: Int(try reader.read(in: UInt32(1)...255)))
      }
      physical = try geometry(&reader)
      translated = try geometry(&reader)
    }
    if drive.hasPrefix("disk") != (physical != nil) {
      throw reader.error("a disk without, or another with a geometry")
    }
  }
}
