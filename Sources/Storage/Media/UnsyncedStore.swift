// A file that nobody finds before it is whole.
//
// Owns: leaving out what is flushed on the way. Must not know: when the file gets its name.

/// A file that has no name yet, so that the order in which its parts reach stable storage matters to nobody.
final class UnsyncedStore: ByteStore {
  private let file: HostFile
  /// Flushes do nothing.
  var isUnsynced = true

  init(_ file: HostFile) { self.file = file }

  var name: String { file.name }
  var size: UInt64 { file.size }
  var isWritable: Bool { file.isWritable }
  var writeRefusal: String? { file.writeRefusal }
  var zeroesCheaply: Bool { file.zeroesCheaply }
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try file.read(at: offset, into: buffer)
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try file.write(at: offset, from: buffer)
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try file.zero(at: offset, count: count, releasing: releasing)
  }
  func setSize(_ size: UInt64) throws(StorageError) { try file.setSize(size) }
  func extend(at offset: UInt64, _ bytes: [UInt8]) throws(StorageError) {
    try file.extend(at: offset, bytes)
  }
  func flush() throws(StorageError) { if !isUnsynced { try file.flush() } }
  func nextData(from offset: UInt64) -> UInt64 { file.nextData(from: offset) }
  func nextHole(from offset: UInt64) -> UInt64 { file.nextHole(from: offset) }
  func mark() -> FileMark { file.mark() }
  func change(since mark: FileMark) -> String? { file.change(since: mark) }
  var displacement: String? { file.displacement }
  func shareLock() { file.shareLock() }
  func unlock() { file.unlock() }
  func lockAgain(exclusive: Bool) throws(StorageError) { try file.lockAgain(exclusive: exclusive) }
  func close() { file.close() }
}
