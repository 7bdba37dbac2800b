// A disk that is elsewhere yet: its shape, without contents.
//
// Owns: refusing what would need them. Must not know: where the disk is, when it comes.

/// What stands for a disk until it is there (`UndoDevice.exchange`).
public final class AbsentDevice: BlockDevice {
  public let name: String
  public let blockSize: Int
  public let blockCount: UInt64
  public var capabilities: BlockCapabilities { .writable }
  public var generation: UInt64 { 0 }
  public var layer: BlockLayer { BlockLayer(kind: "disk that is not here yet", of: self) }

  public init(name: String, blockSize: Int, blockCount: UInt64) {
    self.name = name
    self.blockSize = blockSize
    self.blockCount = blockCount
  }

  private var absence: StorageError { StorageError(path: name, reason: "is not here yet") }

  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    throw absence
  }
  public func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    throw absence
  }
  public func flush() throws(StorageError) {}
}
