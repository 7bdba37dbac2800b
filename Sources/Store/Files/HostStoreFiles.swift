// The store's files on the host.
//
// Owns: system calls, complete reads and writes, errors in words. Must not know: packs, roots.
// After: open(2), pread(2), fsync(2), fallocate(2), flock(2), rename(2).

import Host
import Storage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The system's, which methods of the same names hide.
private func systemOpen(_ path: String, _ flags: Int32) -> Int32 {
  while true {
    let descriptor = open(HostPath.system(path), flags | O_CLOEXEC | O_NONBLOCK, 0o666)
    if descriptor >= 0 || errno != EINTR { return descriptor }
  }
}
private func systemClose(_ descriptor: Int32) { _ = close(descriptor) }
private func systemRename(_ path: String, _ other: String) -> Int32 {
  rename(HostPath.system(path), HostPath.system(other))
}

/// A failed call in words.
private func failure(_ path: String, _ what: String, _ code: Int32, at offset: UInt64? = nil)
  -> StorageError
{
  StorageError(
    path: path, offset: offset, reason: "\(what): \(String(cString: strerror(code)))",
    lacksRoom: code == ENOSPC || code == EDQUOT)
}

/// An open file of the host.
final class HostStoreFile: StoreFile {
  let path: String
  private let descriptor: Int32

  fileprivate init(_ path: String, _ descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { systemClose(descriptor) }

  fileprivate func status() throws(StorageError) -> stat {
    var status = stat()
    if fstat(descriptor, &status) != 0 { throw failure(path, "cannot be looked at", errno) }
    return status
  }

  func size() throws(StorageError) -> UInt64 { UInt64(max(0, try status().st_size)) }

  func allocated() -> UInt64 {
    guard let status = try? status() else { return 0 }
    return UInt64(max(0, status.st_blocks)) &* 512
  }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    var done = 0
    while done < buffer.count {
      let place = offset &+ UInt64(done)
      let count = pread(
        descriptor, buffer.baseAddress! + done, buffer.count - done,
        off_t(truncatingIfNeeded: place))
      if count < 0 {
        if errno == EINTR { continue }
        throw failure(path, "cannot be read", errno, at: place)
      }
      if count == 0 { throw StorageError(path: path, offset: place, reason: "the file ends here") }
      done += count
    }
  }

  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    var done = 0
    while done < buffer.count {
      let place = offset &+ UInt64(done)
      let count = pwrite(
        descriptor, buffer.baseAddress! + done, buffer.count - done,
        off_t(truncatingIfNeeded: place))
      if count < 0 {
        if errno == EINTR { continue }
        throw failure(path, "cannot be written", errno, at: place)
      }
      if count == 0 { throw failure(path, "cannot be written", ENOSPC, at: place) }
      done += count
    }
  }

  func sync() throws(StorageError) {
    #if canImport(Darwin)
      // Only this reaches the medium there.
      if fcntl(descriptor, F_FULLFSYNC) == 0 { return }
    #endif
    while fsync(descriptor) != 0 {
      let code = errno
      if code == EINTR { continue }
      throw failure(path, "cannot be brought to stable storage", code)
    }
  }

  func punch(at offset: UInt64, count: UInt64) {
    #if os(Linux)
      // FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE.
      while fallocate(descriptor, 0x01 | 0x02, off_t(offset), off_t(count)) != 0 && errno == EINTR {
      }
    #elseif canImport(Darwin)
      var range = fpunchhole_t(
        fp_flags: 0, reserved: 0, fp_offset: off_t(offset), fp_length: off_t(count))
      _ = fcntl(descriptor, F_PUNCHHOLE, &range)
    #endif
  }
}

/// A lock of the host's.
private final class HostStoreLock: StoreLock {
  let descriptor: Int32
  init(_ descriptor: Int32) { self.descriptor = descriptor }
  deinit { systemClose(descriptor) }
}

/// The host's file system.
final class HostStoreFiles: StoreFiles {
  private static let most = 4 << 20

  func create(_ path: String) throws(StorageError) -> any StoreFile {
    let descriptor = systemOpen(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW)
    if descriptor < 0 {
      let code = errno
      var error = failure(path, "cannot be made", code)
      error.nameIsTaken = code == EEXIST
      throw error
    }
    return HostStoreFile(path, descriptor)
  }

  func open(_ path: String, writable: Bool) throws(StorageError) -> any StoreFile {
    // What it is is looked at first: opening a device can have effects.
    try check(path, status(path))
    let descriptor = systemOpen(path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW)
    if descriptor < 0 { throw failure(path, "cannot be opened", errno) }
    let file = HostStoreFile(path, descriptor)
    try check(path, file.status())
    return file
  }

  private func status(_ path: String) throws(StorageError) -> stat {
    var status = stat()
    if lstat(HostPath.system(path), &status) != 0 {
      throw failure(path, "cannot be opened", errno)
    }
    return status
  }

  private func check(_ path: String, _ status: stat) throws(StorageError) {
    if status.st_mode & S_IFMT == S_IFLNK {
      throw StorageError(path: path, reason: "is a symbolic link; a store has none")
    }
    if status.st_mode & S_IFMT != S_IFREG {
      throw StorageError(path: path, reason: "is no regular file")
    }
  }

  func exists(_ path: String) -> Bool { (try? status(path)) != nil }

  func isFolder(_ path: String) -> Bool {
    guard let status = try? status(path) else { return false }
    return status.st_mode & S_IFMT == S_IFDIR
  }

  func names(in folder: String) throws(StorageError) -> [String] {
    guard let handle = opendir(HostPath.system(folder)) else {
      throw failure(folder, "cannot be listed", errno)
    }
    defer { closedir(handle) }
    var found: [String] = []
    while found.count < HostStoreFiles.most, let entry = readdir(handle) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        HostPath.decode($0.prefix { $0 != 0 })
      }
      if name != "." && name != ".." { found.append(name) }
    }
    return found
  }

  func makeFolder(_ path: String) throws(StorageError) {
    if mkdir(HostPath.system(path), 0o777) != 0 {
      let code = errno
      if code == EEXIST && HostFiles.isDirectory(path) { return }
      throw failure(path, "cannot be made", code)
    }
  }

  func rename(_ path: String, to other: String) throws(StorageError) {
    if systemRename(path, other) != 0 { throw failure(other, "cannot be replaced", errno) }
  }

  func remove(_ path: String) throws(StorageError) {
    if unlink(HostPath.system(path)) != 0 && errno != ENOENT {
      throw failure(path, "cannot be removed", errno)
    }
  }

  func syncFolder(_ path: String) throws(StorageError) {
    let descriptor = systemOpen(path, O_RDONLY)
    if descriptor < 0 { throw failure(path, "cannot be opened", errno) }
    defer { systemClose(descriptor) }
    while fsync(descriptor) != 0 {
      let code = errno
      if code == EINTR { continue }
      // File systems whose folders cannot be synced keep their own order.
      if code == EINVAL || code == ENOTSUP { return }
      throw failure(path, "cannot be brought to stable storage", code)
    }
  }

  func lock(_ path: String) throws(StorageError) -> any StoreLock {
    let descriptor = systemOpen(path, O_RDWR | O_CREAT | O_NOFOLLOW)
    if descriptor < 0 { throw failure(path, "cannot be opened for writing", errno) }
    let lock = HostStoreLock(descriptor)
    // A program that this one has just started has the lock too until it is loaded; and who ends takes a moment.
    var patience = 25
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let code = errno
      if code == EINTR { continue }
      // File systems without locks get none: refusing them would lock their users out.
      if code != EWOULDBLOCK { break }
      if patience == 0 {
        var error = StorageError(
          path: path,
          reason:
            "the store is being written (locked) by another program or another part of this one; "
            + "it can be read meanwhile")
        error.asksAgain = true
        throw error
      }
      patience -= 1
      usleep(10_000)
    }
    return lock
  }
}
