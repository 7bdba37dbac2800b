// What a disk image looks like to a controller.
//
// Owns: the interface between controllers and image formats. Must not know: any controller, any guest.

/// Why a block operation failed. The guest sees a device error; the host's user sees the text.
public struct StorageError: Error, CustomStringConvertible {
  /// The file concerned.
  public var path: String
  /// The byte offset in the file, where one is to blame.
  public var offset: UInt64?
  /// What was wrong.
  public var reason: String

  public init(path: String, offset: UInt64? = nil, reason: String) {
    self.path = path
    self.offset = offset
    self.reason = reason
  }

  public var description: String {
    offset.map { "\(path): at offset \($0): \(reason)" } ?? "\(path): \(reason)"
  }
}

/// A fixed number of 512-byte sectors.
public protocol BlockDevice: AnyObject {
  /// The number of 512-byte sectors.
  var sectorCount: UInt64 { get }
  /// Writes are refused when true (write-protect tab, read-only file).
  var isReadOnly: Bool { get }
  /// Fills `buffer` (a multiple of 512 bytes) from consecutive sectors; the range lies inside the device.
  func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
  /// Writes `buffer` (a multiple of 512 bytes) to consecutive sectors; the range lies inside the device.
  func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError)
  /// Returns when everything written is with the host's stable storage.
  func flush() throws(StorageError)
  /// Hashes of what it holds; whoever knows what was written since the last time reads only that again.
  func clusterHashes() throws(StorageError) -> ClusterHashes
  /// Lets go of the file: others may use it; nothing can be read or written any more.
  func close()
}

extension BlockDevice {
  public func close() {}
}
