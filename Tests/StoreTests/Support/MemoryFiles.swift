// A file system in memory, whose every step is recorded and can be made to fail.
//
// Owns: files, names, locks, the record. Must not know: stores.

import Host
import Storage

@testable import Store

/// A file as such, whatever names it has.
final class MemoryFile: @unchecked Sendable {
  let number: Int
  var bytes: [UInt8]
  init(_ number: Int, _ bytes: [UInt8]) {
    self.number = number
    self.bytes = bytes
  }
}

/// What was done, in its order.
enum FileStep {
  case create(path: String, file: Int)
  case write(file: Int, offset: Int, bytes: [UInt8])
  case punch(file: Int, offset: Int, count: Int)
  case sync(file: Int)
  case makeFolder(path: String)
  case rename(path: String, other: String, file: Int)
  case remove(path: String)
  case syncFolder(path: String)
}

final class MemoryFiles: StoreFiles, @unchecked Sendable {
  private let lock = HostCondition()
  private var names: [String: MemoryFile] = [:]
  private var folders: Set<String> = []
  private var locks: Set<String> = []
  private var nextFile = 0
  private(set) var log: [FileStep] = []
  var records = true
  /// Which step fails, counted from now on; every later one works again, unless `failsOn`.
  var failsAfter: Int?
  /// How many fail.
  var failures = 1
  var lacksRoom = true
  private(set) var failed: [String] = []

  init(folders: Set<String> = [], names: [String: [UInt8]] = [:]) {
    self.folders = folders
    for (path, bytes) in names {
      self.names[path] = MemoryFile(nextFile, bytes)
      nextFile += 1
    }
  }

  subscript(path: String) -> [UInt8]? {
    get { lock.locked { names[path]?.bytes } }
    set {
      lock.locked {
        guard let newValue else {
          names[path] = nil
          return
        }
        names[path] = MemoryFile(nextFile, newValue)
        nextFile += 1
      }
    }
  }

  var paths: [String] { lock.locked { names.keys.sorted() } }
  var allFolders: Set<String> { lock.locked { folders } }
  var totalBytes: Int { lock.locked { names.values.reduce(0) { $0 + $1.bytes.count } } }

  /// Before every step that changes something.
  fileprivate func step(_ path: String, _ step: FileStep) throws(StorageError) {
    if let left = failsAfter {
      if left > 0 {
        failsAfter = left - 1
      } else {
        failures -= 1
        if failures <= 0 { failsAfter = nil }
        failed.append("\(path): \(step)".prefix(120).description)
        throw StorageError(
          path: path, reason: lacksRoom ? "No space left on device" : "Input/output error",
          lacksRoom: lacksRoom)
      }
    }
    if records { log.append(step) }
  }

  private func refuse(_ path: String, _ reason: String) -> StorageError {
    StorageError(path: path, reason: reason)
  }

  func create(_ path: String) throws(StorageError) -> any StoreFile {
    try lock.locked { () throws(StorageError) -> any StoreFile in
      if names[path] != nil { throw refuse(path, "exists") }
      let file = MemoryFile(nextFile, [])
      try step(path, .create(path: path, file: file.number))
      nextFile += 1
      names[path] = file
      return OpenMemoryFile(path, file, self)
    }
  }

  func open(_ path: String, writable: Bool) throws(StorageError) -> any StoreFile {
    try lock.locked { () throws(StorageError) -> any StoreFile in
      guard let file = names[path] else { throw refuse(path, "there is no such file") }
      return OpenMemoryFile(path, file, self)
    }
  }

  func exists(_ path: String) -> Bool {
    lock.locked { names[path] != nil || folders.contains(path) }
  }

  func isFolder(_ path: String) -> Bool { lock.locked { folders.contains(path) } }

  func names(in folder: String) throws(StorageError) -> [String] {
    lock.locked {
      (Array(names.keys) + Array(folders)).filter { $0.hasPrefix(folder + "/") }
        .map { String($0.dropFirst(folder.count + 1)) }.filter { !$0.contains("/") }
    }
  }

  func makeFolder(_ path: String) throws(StorageError) {
    try lock.locked { () throws(StorageError) in
      try step(path, .makeFolder(path: path))
      folders.insert(path)
    }
  }

  func rename(_ path: String, to other: String) throws(StorageError) {
    try lock.locked { () throws(StorageError) in
      guard let file = names[path] else { throw refuse(path, "there is no such file") }
      try step(path, .rename(path: path, other: other, file: file.number))
      names[path] = nil
      names[other] = file
    }
  }

  func remove(_ path: String) throws(StorageError) {
    try lock.locked { () throws(StorageError) in
      if names[path] == nil { return }
      try step(path, .remove(path: path))
      names[path] = nil
    }
  }

  func syncFolder(_ path: String) throws(StorageError) {
    try lock.locked { () throws(StorageError) in try step(path, .syncFolder(path: path)) }
  }

  func lock(_ path: String) throws(StorageError) -> any StoreLock {
    try lock.locked { () throws(StorageError) -> any StoreLock in
      if !locks.insert(path).inserted { throw refuse(path, "is locked") }
      return MemoryLock { [self] in _ = lock.locked { locks.remove(path) } }
    }
  }

  fileprivate func locked<T>(_ body: () throws(StorageError) -> T) throws(StorageError) -> T {
    try lock.locked(body)
  }
}

private final class MemoryLock: StoreLock {
  private let release: @Sendable () -> Void
  init(_ release: @escaping @Sendable () -> Void) { self.release = release }
  deinit { release() }
}

private final class OpenMemoryFile: StoreFile {
  let path: String
  private let file: MemoryFile
  private let disk: MemoryFiles

  init(_ path: String, _ file: MemoryFile, _ disk: MemoryFiles) {
    self.path = path
    self.file = file
    self.disk = disk
  }

  func size() throws(StorageError) -> UInt64 {
    try disk.locked { () throws(StorageError) in UInt64(file.bytes.count) }
  }

  func allocated() -> UInt64 { (try? size()) ?? 0 }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try disk.locked { () throws(StorageError) in
      guard offset <= UInt64(file.bytes.count),
        UInt64(buffer.count) <= UInt64(file.bytes.count) - offset
      else { throw StorageError(path: path, offset: offset, reason: "the file ends here") }
      file.bytes.withUnsafeBytes {
        buffer.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + buffer.count]))
      }
    }
  }

  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try disk.locked { () throws(StorageError) in
      let bytes = Array(buffer)
      try disk.step(path, .write(file: file.number, offset: Int(offset), bytes: bytes))
      MemoryFiles.put(bytes, at: Int(offset), into: &file.bytes)
    }
  }

  func sync() throws(StorageError) {
    try disk.locked { () throws(StorageError) in try disk.step(path, .sync(file: file.number)) }
  }

  func punch(at offset: UInt64, count: UInt64) {
    try? disk.locked { () throws(StorageError) in
      try disk.step(path, .punch(file: file.number, offset: Int(offset), count: Int(count)))
      file.bytes.replaceSubrange(
        Int(offset)..<Int(offset + count), with: repeatElement(0, count: Int(count)))
    }
  }
}

extension MemoryFiles {
  /// Writes into bytes, which become longer where they must.
  static func put(_ part: [UInt8], at offset: Int, into bytes: inout [UInt8]) {
    if bytes.count < offset + part.count {
      bytes += repeatElement(0, count: offset + part.count - bytes.count)
    }
    bytes.replaceSubrange(offset..<offset + part.count, with: part)
  }
}
