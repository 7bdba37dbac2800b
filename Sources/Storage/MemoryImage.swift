// Images that live in memory: embedded demo disks, tests.
//
// Owns: the bytes. Must not know: files, controllers.

import State

/// A block device in memory. Its contents belong to the machine's state.
public final class MemoryImage: BlockDevice {
  /// The contents, a multiple of 512 bytes.
  public private(set) var bytes: [UInt8]
  public let isReadOnly: Bool
  /// What it is called in messages.
  public let name: String

  /// - Parameter bytes: filled up with zeros to whole sectors and to `sectorCount`, where that is given and larger.
  public init(
    bytes: [UInt8], sectorCount: Int = 0, isReadOnly: Bool = false, name: String = "(memory)"
  ) {
    let whole = max((bytes.count + 511) / 512, sectorCount) * 512
    self.bytes = bytes + [UInt8](repeating: 0, count: whole - bytes.count)
    self.isReadOnly = isReadOnly
    self.name = name
  }

  public var sectorCount: UInt64 { UInt64(bytes.count / 512) }

  public func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    try checkRange(name, sector, buffer.count, sectorCount)
    let start = Int(sector) * 512
    bytes.withUnsafeBytes {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + buffer.count]))
    }
  }

  public func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try checkRange(name, sector, buffer.count, sectorCount)
    if isReadOnly { throw StorageError(path: name, reason: "the image is write-protected") }
    let start = Int(sector) * 512
    bytes.withUnsafeMutableBytes {
      UnsafeMutableRawBufferPointer(rebasing: $0[start..<start + buffer.count])
        .copyMemory(from: buffer)
    }
  }

  public func flush() throws(StorageError) {}

  /// Writes the contents.
  public func save(to writer: inout StateWriter) { writer.write(bytes: bytes) }

  /// Reads contents of the same size.
  public func restore(from reader: inout StateReader) throws(StateError) {
    bytes = try reader.readBytes(count: bytes.count)
  }
}
