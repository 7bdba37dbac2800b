// Raw images: the sectors one after the other in a file.
//
// Owns: the mapping of sectors to the file's bytes, and the promise that the file never changes its size.
// Must not know: how the number of sectors was decided (`ImageOpener`), any controller.

/// A block device whose sectors are a file's bytes.
///
/// It may be larger than the file (a floppy image that was cut short): what lies behind the file's end reads as zeros and
/// cannot be written. It may be smaller (a footer behind the disk).
public final class RawImage: BlockDevice {
  public let sectorCount: UInt64
  public let isReadOnly: Bool
  /// The file's name as it was given.
  public var path: String { file.path }
  /// The file's size in bytes.
  public var fileSize: UInt64 { file.size }
  private let file: HostFile
  /// Hashes of what the file held; clusters that were written since; the file as it was before they were read.
  private var hashes: ClusterHashes?
  private var written = Set<Int>()
  private var hashedStamp: HostFile.Stamp?

  /// Opens a file as it is; an incomplete last sector is filled up with zeros and cannot be written.
  /// - Parameter readOnly: opens without the right to write; without it, a file that may not be written is opened read-only.
  public convenience init(path: String, readOnly: Bool = false) throws(StorageError) {
    let file = try HostFile(path: path, writable: !readOnly)
    self.init(file: file, sectorCount: (file.size + 511) / 512, writeProtected: false)
  }

  init(file: HostFile, sectorCount: UInt64, writeProtected: Bool) {
    self.file = file
    self.sectorCount = sectorCount
    isReadOnly = writeProtected || !file.isWritable
  }

  public func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    try checkRange(path, sector, buffer.count, sectorCount)
    let offset = sector * 512
    let inFile = offset < file.size ? Int(min(UInt64(buffer.count), file.size - offset)) : 0
    if inFile > 0 {
      try file.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<inFile]))
    }
    if inFile < buffer.count {
      UnsafeMutableRawBufferPointer(rebasing: buffer[inFile...]).initializeMemory(
        as: UInt8.self, repeating: 0)
    }
  }

  public func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try checkRange(path, sector, buffer.count, sectorCount)
    let offset = sector * 512
    if isReadOnly {
      throw StorageError(path: path, offset: offset, reason: "the image is write-protected")
    }
    if offset + UInt64(buffer.count) > file.size {
      throw StorageError(
        path: path, offset: offset,
        reason: "the write would make the file longer, which is not done")
    }
    if buffer.count == 0 { return }
    if let hashes {
      for cluster in hashes.cluster(
        of: sector)...hashes.cluster(
          of: sector + UInt64(buffer.count / 512) - 1)
      {
        written.insert(cluster)
      }
    }
    hashedStamp = nil
    try file.write(at: offset, from: buffer)
  }

  public func flush() throws(StorageError) { try file.flush() }

  // MARK: What it holds

  /// Holes of sparse files are not read; after the first time only what was written is.
  public func clusterHashes() throws(StorageError) -> ClusterHashes {
    // Somebody else's writes are noticed as long as there are none of our own.
    if let hashedStamp, hashedStamp != file.stamp() { hashes = nil }
    let stamp = file.stamp()
    if var known = hashes {
      if !written.isEmpty {
        try known.update(written.sorted(), from: self)
        written = []
        hashes = known
      }
      return known
    }
    var new = ClusterHashes(sectorCount: sectorCount)
    let clusterBytes = new.sectorsPerCluster * 512
    var data: UInt64 = 0
    for number in 0..<new.count {
      let start = UInt64(number) * clusterBytes
      if data < start { data = file.nextData(from: start) }
      if data < start + clusterBytes { try new.update(CollectionOfOne(number), from: self) }
    }
    hashes = new
    written = []
    hashedStamp = stamp
    return new
  }

  /// What tells whether somebody else has changed the file.
  public struct Mark {
    fileprivate let stamp: HostFile.Stamp?
  }

  /// The file as it is now.
  public func mark() -> Mark { Mark(stamp: file.stamp()) }

  /// What has happened to the file since, if this image was not written itself; nil: nothing.
  public func change(since mark: Mark) -> String? {
    guard let before = mark.stamp, let now = file.stamp() else { return nil }
    if before.size != now.size {
      return "its size has changed from \(before.size) to \(now.size) bytes"
    }
    if before != now { return "it was written by another program" }
    return file.replacement
  }

  /// Why nobody will find what was written, or nil: the file's name does not lead to it any more.
  public var replacement: String? { file.replacement }

  public func close() { file.close() }

  /// Lets others have the file for as long as nothing is written; reading stays possible.
  public func unlock() { file.unlock() }

  /// Takes the file again.
  /// - Throws: when somebody else has it.
  public func lockAgain() throws(StorageError) { try file.lockAgain(exclusive: !isReadOnly) }
}

/// Refuses ranges outside a device; callers check before, this keeps a mistake there from reaching memory or files.
func checkRange(_ path: String, _ sector: UInt64, _ count: Int, _ sectorCount: UInt64)
  throws(StorageError)
{
  let sectors = UInt64((count + 511) / 512)
  if count % 512 != 0 || sector > sectorCount || sectors > sectorCount - sector {
    throw StorageError(
      path: path,
      reason: "sectors \(sector) to \(sector &+ sectors) are outside the \(sectorCount) there are")
  }
}
