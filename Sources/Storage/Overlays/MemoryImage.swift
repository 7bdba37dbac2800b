// Images that live in memory: embedded demo disks, tests.
//
// Owns: the bytes. Must not know: files, controllers.

import State

/// A block device in memory. Its contents belong to the machine's state.
public final class MemoryImage: BlockDevice {
  /// The contents, whole blocks.
  public private(set) var bytes: [UInt8]
  public let blockSize: Int
  public let capabilities: BlockCapabilities
  public let name: String
  public private(set) var generation: UInt64 = 0

  /// - Parameter bytes: filled up with zeros to whole blocks and to `sectorCount` sectors of 512 bytes, where that is given and larger.
  public init(
    bytes: [UInt8], sectorCount: Int = 0, isReadOnly: Bool = false, name: String = "(memory)",
    blockSize: Int = 512
  ) {
    precondition(BlockSize.isValid(blockSize))
    let wished = max(bytes.count, sectorCount * 512)
    let whole = (wished + blockSize - 1) / blockSize * blockSize
    self.bytes = bytes + [UInt8](repeating: 0, count: whole - bytes.count)
    self.name = name
    self.blockSize = blockSize
    capabilities =
      isReadOnly ? [.temporary] : [.writable, .temporary, .zeroesCheaply]
  }

  public var blockCount: UInt64 { UInt64(bytes.count / blockSize) }
  public var persistence: BlockPersistence { .memory }
  public var layer: BlockLayer { BlockLayer(kind: "memory", of: self) }

  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    let start = Int(block) * blockSize
    bytes.withUnsafeBytes {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + buffer.count]))
    }
  }

  public func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    if isReadOnly { throw StorageError(path: name, reason: "the image is write-protected") }
    let start = Int(block) * blockSize
    generation &+= 1
    bytes.withUnsafeMutableBytes {
      UnsafeMutableRawBufferPointer(rebasing: $0[start..<start + buffer.count])
        .copyMemory(from: buffer)
    }
  }

  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try checkBlocks(block, count)
    if isReadOnly { throw StorageError(path: name, reason: "the image is write-protected") }
    let start = Int(block) * blockSize
    generation &+= 1
    _ = bytes.withUnsafeMutableBytes {
      UnsafeMutableRawBufferPointer(rebasing: $0[start..<start + Int(count) * blockSize])
        .initializeMemory(as: UInt8.self, repeating: 0)
    }
  }

  public func flush() throws(StorageError) {}

  public func saveContents(to writer: inout StateWriter) { writer.write(bytes: bytes) }

  public func restoreContents(from reader: inout StateReader) throws(StateError) {
    bytes = try reader.readBytes(count: bytes.count)
    generation &+= 1
  }
}
