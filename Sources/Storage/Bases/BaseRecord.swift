// What an overlay knows of its base: enough to notice that somebody changed it since.
//
// Owns: the record, its form in bytes, the hash of contents, and the comparison. Must not know: where an overlay keeps it, paths, formats.
//
// An overlay over a base that was written since shows a disk that never was. So it notes the size, the number (inode) and the time of each
// file below it, and the SHA-256 of what they show together. Files that are as they were need no look at their contents; files that were
// copied or touched are hashed.

/// What an overlay knows of its base.
public struct BaseRecord: Equatable, Sendable {
  /// One file below.
  public struct File: Equatable, Sendable {
    public var size: UInt64
    public var inode: UInt64
    public var seconds: Int64
    public var nanoseconds: Int64
  }
  /// The base's file, and those below it.
  public var files: [File]
  /// The disk's bytes.
  public var byteCount: UInt64
  /// The hash of what the base shows (`BaseRecord.hash`); nil: nobody has computed it.
  public var hash: [UInt8]?

  /// What a base is like now.
  /// - Parameter hash: what `BaseRecord.hash` made of it, or nil.
  public init(of base: any BlockDevice, hash: [UInt8]? = nil) {
    files = base.mark().stamps.prefix(BaseRecord.mostFiles).map { stamp in
      File(
        size: UInt64(max(0, stamp?.size ?? 0)), inode: stamp?.number ?? 0,
        seconds: stamp?.seconds ?? 0, nanoseconds: stamp?.nanoseconds ?? 0)
    }
    byteCount = base.blockCount * UInt64(base.blockSize)
    self.hash = hash
  }

  // MARK: Bytes

  // 0  "APUSBASE"
  // 8  version (u32): 1
  // 12 files (u32)
  // 16 the disk's bytes (u64)
  // 24 whether there is a hash (u32): 0 or 1
  // 28 zeros (u32)
  // 32 the hash
  // 64 for each file: size (u64), inode (u64), seconds (i64), nanoseconds (i64)
  // All little-endian.

  private static let magic = Array("APUSBASE".utf8)
  static let mostFiles = 32

  public var bytes: [UInt8] {
    func number(_ value: UInt64, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    var result = BaseRecord.magic + number(1, 4) + number(UInt64(files.count), 4)
    result += number(byteCount, 8) + number(hash == nil ? 0 : 1, 4) + number(0, 4)
    result += hash ?? Array(repeating: 0, count: 32)
    for file in files {
      result += number(file.size, 8) + number(file.inode, 8)
      result += number(UInt64(bitPattern: file.seconds), 8)
      result += number(UInt64(bitPattern: file.nanoseconds), 8)
    }
    return result
  }

  /// Reads a record; nil when the bytes are none.
  public init?(bytes: [UInt8]) {
    func number(_ at: Int, _ count: Int) -> UInt64 {
      bytes[at..<at + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    guard bytes.count >= 64, bytes.starts(with: BaseRecord.magic), number(8, 4) == 1,
      number(24, 4) <= 1
    else { return nil }
    let count = number(12, 4)
    guard count <= UInt64(BaseRecord.mostFiles), bytes.count >= 64 + 32 * Int(count) else {
      return nil
    }
    byteCount = number(16, 8)
    hash = number(24, 4) == 1 ? Array(bytes[32..<64]) : nil
    files = (0..<Int(count)).map { index in
      let at = 64 + index * 32
      return File(
        size: number(at, 8), inode: number(at + 8, 8),
        seconds: Int64(bitPattern: number(at + 16, 8)),
        nanoseconds: Int64(bitPattern: number(at + 24, 8)))
    }
  }

  // MARK: Comparison

  /// What a comparison says.
  public enum Verdict: Equatable, Sendable {
    /// The files are the very ones.
    case same
    /// The files are others, or were touched, but hold the same: what to note instead.
    case sameContents(BaseRecord)
    /// It changed: how, in words.
    case changed(String)
  }

  /// Compares with what a base is like now; its contents are read only if something else differs.
  public func compare(
    _ base: any BlockDevice,
    hashing: (any BlockDevice) throws(StorageError) -> [UInt8] = { device throws(StorageError) in
      try BaseRecord.hash(device)
    }
  ) throws(StorageError) -> Verdict {
    var now = BaseRecord(of: base, hash: hash)
    if now == self { return .same }
    if now.byteCount != byteCount {
      return .changed("its disk had \(byteCount) bytes and has \(now.byteCount)")
    }
    let how =
      now.files.count != files.count
      ? "other files are below it"
      : zip(files, now.files).contains { $0.size != $1.size }
        ? "a file's size differs"
        : zip(files, now.files).contains { $0.inode != $1.inode }
          ? "another file has its name" : "it was written"
    guard let hash else {
      return .changed("\(how), and nobody noted the hash of what it held")
    }
    now.hash = try hashing(base)
    if now.hash != hash { return .changed("\(how), and it holds something else") }
    return .sameContents(now)
  }

  // MARK: Hash of contents

  /// Bytes that are hashed as one.
  static let chunk = 1 << 20

  /// A hash of what a device shows, which does not depend on how it is kept: SHA-256 over the number of bytes (u64, little-endian) and, for
  /// each MiB that holds anything but zeros, its number (u64, little-endian) and its SHA-256. What follows the device's end is zeros.
  public static func hash(
    _ device: any BlockDevice, step: (_ done: UInt64) throws(StorageError) -> Void = { _ in }
  ) throws(StorageError) -> [UInt8] {
    func number(_ value: UInt64) -> [UInt8] {
      (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    let size = device.blockCount * UInt64(device.blockSize)
    var total = SHA256()
    total.add(number(size))
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 4096)
    defer { buffer.deallocate() }
    let per = UInt64(chunk / device.blockSize)
    var block: UInt64 = 0
    while true {
      block = device.nextData(from: block)
      if block >= device.blockCount { break }
      block -= block % per
      let count = min(per, device.blockCount - block)
      let used = Int(count) * device.blockSize
      try device.read(block: block, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<used]))
      UnsafeMutableRawBufferPointer(rebasing: buffer[used...]).initializeMemory(
        as: UInt8.self, repeating: 0)
      if !ZeroSearch.isZero(UnsafeRawBufferPointer(buffer)) {
        var part = SHA256()
        part.add(UnsafeRawBufferPointer(buffer))
        total.add(number(block / per))
        total.add(part.finish())
      }
      block += count
      try step(block * UInt64(device.blockSize))
    }
    return total.finish()
  }
}
