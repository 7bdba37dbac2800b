// What the store does to a file system.
//
// Owns: the interface, so that tests can record, cut and fail each step. Must not know: packs, roots.
//
// Nothing here follows a symbolic link at the end of a path: whoever can write into the folder must not lead the store elsewhere.

import Storage

/// An open regular file, closed with its last mention. Reads may come from any thread.
protocol StoreFile: AnyObject, Sendable {
  /// What it is called in errors.
  var path: String { get }
  /// Bytes that it has now.
  func size() throws(StorageError) -> UInt64
  /// Bytes of room that it takes.
  func allocated() -> UInt64
  /// Reads exactly `buffer.count` bytes, or throws.
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
  /// Writes all bytes, also behind the end, or throws.
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError)
  /// Returns when everything written is on stable storage.
  func sync() throws(StorageError)
  /// Gives the room of some bytes back to the host, after which they are zeros; where the host cannot, nothing happens.
  func punch(at offset: UInt64, count: UInt64)
}

/// Names of files.
protocol StoreFiles: AnyObject, Sendable {
  /// Makes a file for reading and writing.
  /// - Throws: also when there is anything of that name.
  func create(_ path: String) throws(StorageError) -> any StoreFile
  /// Opens a regular file.
  func open(_ path: String, writable: Bool) throws(StorageError) -> any StoreFile
  /// Whether anything has that name.
  func exists(_ path: String) -> Bool
  /// Whether a folder, and not a link to one, has that name.
  func isFolder(_ path: String) -> Bool
  /// What is in a folder, in no order.
  func names(in folder: String) throws(StorageError) -> [String]
  /// Makes a folder; that there is one is fine.
  func makeFolder(_ path: String) throws(StorageError)
  /// Gives a file another name; what had that name is gone.
  func rename(_ path: String, to other: String) throws(StorageError)
  /// Removes a file; that there is none is fine.
  func remove(_ path: String) throws(StorageError)
  /// Brings the names in a folder to stable storage.
  func syncFolder(_ path: String) throws(StorageError)
  /// Makes a file where there is none, and locks it for as long as what is returned is there.
  /// - Throws: when another has it.
  func lock(_ path: String) throws(StorageError) -> any StoreLock
}

/// A lock that is held.
protocol StoreLock: AnyObject, Sendable {}
