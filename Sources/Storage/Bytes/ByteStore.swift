// What image formats stand on: bytes with a size.
//
// Owns: the interface between formats and what keeps their bytes (a host file; memory; another device). Must not know: formats, blocks,
// paths. A format never opens a file: it is given its store, and asks for others by name (`ImageContext`).

/// Bytes that can be read, and written where that is allowed.
public protocol ByteStore: AnyObject {
  /// What it is called in messages: a file's name as it was given.
  var name: String { get }
  /// How many bytes there are now.
  var size: UInt64 { get }
  /// Whether it may be written.
  var isWritable: Bool { get }
  /// Why it is not writable although that was wished, or nil.
  var writeRefusal: String? { get }
  /// Whether `zero` takes less than writing as many zeros.
  var zeroesCheaply: Bool { get }

  /// Reads exactly `buffer.count` bytes at `offset`, or throws.
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
  /// Writes all of `buffer` at `offset`, inside the size, or throws.
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError)
  /// Makes bytes inside the size zeros.
  /// - Parameter releasing: their room is given back to the host; otherwise it stays theirs.
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError)
  /// Makes it longer (with zeros) or shorter. Only formats whose files grow do that; a raw image never does.
  func setSize(_ size: UInt64) throws(StorageError)
  /// Writes bytes at the end or behind it, up to which zeros come to be. Where a file system says that a file is longer only when its data are
  /// there, as the usual ones do, nobody finds the new size without the bytes, whenever the power fails.
  func extend(at offset: UInt64, _ bytes: [UInt8]) throws(StorageError)
  /// Returns when everything written is with the host's stable storage. What must not be seen before something else is written after a
  /// flush: that is how formats keep their order.
  func flush() throws(StorageError)
  /// Begins what `flush` does, for all that was written so far, and does not wait for it.
  /// - Returns: a number to ask `hasFlushed` with.
  func beginFlush() throws(StorageError) -> UInt64
  /// Whether that flush is done.
  /// - Throws: when it failed; `flush` throws that once more, as nobody may overlook it.
  func hasFlushed(_ number: UInt64) throws(StorageError) -> Bool
  /// Where the next bytes at or behind `offset` are that are kept; before them are zeros. `UInt64.max` when there are none.
  func nextData(from offset: UInt64) -> UInt64
  /// Where the next bytes at or behind `offset` are that are not kept and read as zeros; the size when there are none.
  func nextHole(from offset: UInt64) -> UInt64

  // MARK: Others

  /// The file as it is now.
  func mark() -> FileMark
  /// What has happened to it since, if it was not written through this; nil: nothing.
  func change(since mark: FileMark) -> String?
  /// Why its name does not lead to it any more, or nil.
  var displacement: String? { get }
  /// It will not be written after all: others may open it for reading.
  func shareLock()
  /// Lets go of the lock, while what is in the file can still be read.
  func unlock()
  /// Takes the lock again that `unlock` let go of.
  func lockAgain(exclusive: Bool) throws(StorageError)
  /// Lets go of the file and its lock.
  func close()
  /// Lets go of a file that was made through this, and removes it: nothing names it yet.
  func remove()
}

extension ByteStore {
  public var writeRefusal: String? { nil }
  public var zeroesCheaply: Bool { false }
  public func extend(at offset: UInt64, _ bytes: [UInt8]) throws(StorageError) {
    let (before, end) = (size, offset + UInt64(bytes.count))
    if end > before { try setSize(end) }
    do throws(StorageError) { try write(at: offset, bytes) } catch {
      if end > before { try? setSize(before) }
      throw error
    }
  }
  public func beginFlush() throws(StorageError) -> UInt64 {
    try flush()
    return 0
  }
  public func hasFlushed(_ number: UInt64) throws(StorageError) -> Bool { true }
  public func nextData(from offset: UInt64) -> UInt64 { offset < size ? offset : .max }
  public func nextHole(from offset: UInt64) -> UInt64 { size }
  public func mark() -> FileMark { FileMark() }
  public func change(since mark: FileMark) -> String? { nil }
  public var displacement: String? { nil }
  public func shareLock() {}
  public func unlock() {}
  public func lockAgain(exclusive: Bool) throws(StorageError) {}
  public func close() {}
  public func remove() { close() }

  /// Reads up to `count` bytes at `offset`, fewer at the end.
  public func bytes(at offset: UInt64, count: Int) throws(StorageError) -> [UInt8] {
    if offset >= size || count <= 0 { return [] }
    let length = Int(min(UInt64(count), size - offset))
    var result = [UInt8](repeating: 0, count: length)
    try StorageError.passing { failure in
      result.withUnsafeMutableBytes { buffer in
        do throws(StorageError) { try read(at: offset, into: buffer) } catch { failure = error }
      }
    }
    return result
  }

  /// Writes an array.
  public func write(at offset: UInt64, _ bytes: [UInt8]) throws(StorageError) {
    try StorageError.passing { failure in
      bytes.withUnsafeBytes { buffer in
        do throws(StorageError) { try write(at: offset, from: buffer) } catch { failure = error }
      }
    }
  }

  /// Makes bytes zeros by writing them.
  func writeZeros(at offset: UInt64, count: UInt64) throws(StorageError) {
    let zeros = [UInt8](repeating: 0, count: Int(min(count, 1 << 20)))
    var done: UInt64 = 0
    while done < count {
      let part = min(count - done, UInt64(zeros.count))
      try write(
        at: offset + done, part == UInt64(zeros.count) ? zeros : Array(zeros[..<Int(part)]))
      done += part
    }
  }
}

/// What tells whether somebody else has changed files.
public struct FileMark: Equatable, Sendable {
  /// One for each file, in the order of the layers.
  var stamps: [FileStamp?] = []

  public init() {}
  init(_ stamp: FileStamp?) { stamps = [stamp] }

  /// The marks of a file and of those below it.
  public static func + (upper: FileMark, lower: FileMark) -> FileMark {
    var sum = upper
    sum.stamps += lower.stamps
    return sum
  }

  /// The mark of the first file, and what is left for those below it.
  public var split: (first: FileMark, rest: FileMark) {
    var (first, rest) = (FileMark(), FileMark())
    first.stamps = Array(stamps.prefix(1))
    rest.stamps = Array(stamps.dropFirst())
    return (first, rest)
  }
}

/// A file as the host's file system describes it.
struct FileStamp: Equatable, Sendable {
  var device: UInt64
  var number: UInt64
  var size: Int64
  var seconds: Int64
  var nanoseconds: Int64
}
