// Bytes in memory where a file would be: for formats that are tried without files.
//
// Owns: the bytes. Must not know: files, formats.

/// A store in memory.
public final class MemoryStore: ByteStore {
  public private(set) var bytes: [UInt8]
  public let name: String
  public let isWritable: Bool

  public init(_ bytes: [UInt8], name: String = "(memory)", isWritable: Bool = true) {
    self.bytes = bytes
    self.name = name
    self.isWritable = isWritable
  }

  public var size: UInt64 { UInt64(bytes.count) }

  private func check(_ offset: UInt64, _ count: UInt64) throws(StorageError) {
    if offset > size || count > size - offset {
      throw StorageError(path: name, offset: offset, reason: "ends here, at \(size) bytes")
    }
  }

  private func checkWritable() throws(StorageError) {
    if !isWritable { throw StorageError(path: name, reason: "may not be written") }
  }

  public func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    try check(offset, UInt64(buffer.count))
    let start = Int(offset)
    bytes.withUnsafeBytes {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + buffer.count]))
    }
  }

  public func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try checkWritable()
    try check(offset, UInt64(buffer.count))
    let start = Int(offset)
    bytes.withUnsafeMutableBytes {
      UnsafeMutableRawBufferPointer(rebasing: $0[start..<start + buffer.count])
        .copyMemory(from: buffer)
    }
  }

  public func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try checkWritable()
    try check(offset, count)
    bytes.replaceSubrange(
      Int(offset)..<Int(offset + count), with: repeatElement(0, count: Int(count)))
  }

  public func setSize(_ size: UInt64) throws(StorageError) {
    try checkWritable()
    let size = Int(size)
    if size < bytes.count {
      bytes.removeLast(bytes.count - size)
    } else {
      bytes += repeatElement(0, count: size - bytes.count)
    }
  }

  public func flush() throws(StorageError) {}
}
