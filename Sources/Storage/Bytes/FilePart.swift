// A part of a file as a store of its own.
//
// Owns: where the part is. Must not know: what is in it.

/// A part of a regular file, to be read; the file is locked against whoever writes images.
public final class FilePart: ByteStore {
  private let file: HostFile
  private let start: UInt64
  public let size: UInt64
  public let name: String

  /// - Parameters:
  ///   - name: what messages call it.
  /// - Throws: when the file cannot be opened, or ends before the part does.
  public init(path: String, offset: UInt64, size: UInt64, name: String) throws(StorageError) {
    file = try HostFile(path: path, writable: false)
    guard offset <= file.size, size <= file.size - offset else {
      throw StorageError(
        path: path, offset: file.size, reason: "the file ends here, before '\(name)' in it does")
    }
    start = offset
    self.size = size
    self.name = name
  }

  public var isWritable: Bool { false }
  public func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    guard offset <= size, UInt64(buffer.count) <= size - offset else {
      throw StorageError(path: name, offset: offset, reason: "is behind the end")
    }
    try file.read(at: start + offset, into: buffer)
  }

  private func refuse() -> StorageError { StorageError(path: name, reason: "is only read") }
  public func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    throw refuse()
  }
  public func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    throw refuse()
  }
  public func setSize(_ size: UInt64) throws(StorageError) { throw refuse() }
  public func flush() throws(StorageError) {}

  public func nextData(from offset: UInt64) -> UInt64 {
    let next = file.nextData(from: start + offset)
    return next >= start + size ? .max : next - start
  }
  public func nextHole(from offset: UInt64) -> UInt64 {
    min(max(file.nextHole(from: start + offset), start) - start, size)
  }
  public func close() { file.close() }
}
