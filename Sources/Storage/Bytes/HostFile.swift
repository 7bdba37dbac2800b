// A host file that holds a disk image.
//
// Owns: opening with all its refusals, the advisory lock, positioned reads and writes that are complete or fail.
// Must not know: image formats, controllers.

import Host

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The system's, which a method of the same name hides.
private func closeDescriptor(_ descriptor: Int32) { _ = close(descriptor) }

/// An open, locked regular file. Its size changes by `setSize` only; what somebody else does to it is an error where it is noticed. What was
/// cut off stays an error as long as it is open, also when a write further on makes the file long again.
final class HostFile: ByteStore {
  let path: String
  private(set) var size: UInt64
  /// Whether it was opened for writing.
  let isWritable: Bool
  /// Why it is not writable although that was wished, or nil.
  let writeRefusal: String?
  /// -1: it was let go of.
  private var descriptor: Int32
  /// The same file past the host's cache; -1: accesses go through it.
  private var direct: Int32 = -1
  private let cache: HostCache
  /// It is never locked.
  let looksOnly: Bool
  /// Where it was made, if it was.
  private var madePlace: String?
  private let background = BackgroundFlush()
  /// What others cut off and nothing was written to since.
  private var lost = ByteRanges()

  /// Opens and locks a file: exclusively for writing, shared for reading.
  ///
  /// A file that may not be written is opened for reading instead; `writeRefusal` then says why.
  /// - Parameter looksOnly: it is opened for reading and not locked, and says of itself what it would say if it were not.
  init(
    path: String, writable: Bool, looksOnly: Bool = false, cache: HostCache = .writeback
  ) throws(StorageError) {
    // The kind is looked at before opening: opening a FIFO or a device can block or have effects.
    var status = stat()
    if stat(HostPath.system(path), &status) != 0 { throw HostFile.openError(path, errno) }
    try HostFile.checkKind(path, status.st_mode)

    var fd: Int32 = -1
    var refusal: String?
    if writable, looksOnly {
      if access(HostPath.system(path), W_OK) != 0 { refusal = HostFile.text(errno) }
    } else if writable {
      fd = HostFile.openRetrying(
        path, cache == .writethrough ? O_RDWR | O_DSYNC : O_RDWR)
      if fd < 0 {
        let code = errno
        guard code == EACCES || code == EROFS || code == EPERM || code == ETXTBSY else {
          throw HostFile.openError(path, code)
        }
        refusal = HostFile.text(code)
      }
    }
    let opensForWriting = fd >= 0 || (writable && looksOnly && refusal == nil)
    if fd < 0 { fd = HostFile.openRetrying(path, O_RDONLY) }
    if fd < 0 { throw HostFile.openError(path, errno) }

    var opened = stat()
    if fstat(fd, &opened) != 0 {
      let code = errno
      closeDescriptor(fd)
      throw HostFile.openError(path, code)
    }
    do {
      try HostFile.checkKind(path, opened.st_mode)
      if !looksOnly { try HostFile.lock(fd, path, exclusive: opensForWriting) }
    } catch {
      closeDescriptor(fd)
      throw error
    }
    self.path = path
    self.looksOnly = looksOnly
    self.cache = cache
    size = UInt64(max(0, opened.st_size))
    isWritable = opensForWriting
    writeRefusal = refusal
    descriptor = fd
    if cache == .none && !looksOnly { try openDirect() }
  }

  /// Opens what is open already once more, past the cache.
  private func openDirect() throws(StorageError) {
    #if os(Linux)
      let mode = isWritable ? O_RDWR : O_RDONLY
      direct = HostFile.openRetrying("/proc/self/fd/\(descriptor)", mode | O_DIRECT)
      if direct < 0 {
        throw StorageError(
          path: path,
          reason: "its file system does nothing past the cache: \(HostFile.text(errno))")
      }
    #elseif canImport(Darwin)
      _ = fcntl(descriptor, F_NOCACHE, 1)
    #endif
  }

  /// By which of the two an access goes.
  private func way(_ offset: UInt64, _ buffer: UnsafeRawBufferPointer) -> Int32 {
    direct >= 0 && HostCache.isAligned(offset, buffer) ? direct : descriptor
  }

  /// Makes a new, empty, writable file and locks it.
  /// - Parameters:
  ///   - place: where it is made; there must be none of that name.
  ///   - name: what it is called in messages and will be renamed to.
  init(creating place: String, named name: String) throws(StorageError) {
    let fd = open(
      HostPath.system(place), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o666)
    if fd < 0 {
      let code = errno
      var error = StorageError(
        path: name,
        reason: code == EEXIST
          ? "'\(place)' exists already" : "cannot be made: \(HostFile.text(code))")
      error.nameIsTaken = code == EEXIST
      throw error
    }
    do {
      try HostFile.lock(fd, name, exclusive: true)
    } catch {
      closeDescriptor(fd)
      throw error
    }
    path = name
    looksOnly = false
    cache = .writeback
    size = 0
    isWritable = true
    writeRefusal = nil
    descriptor = fd
    madePlace = place
  }

  deinit { close() }

  var name: String { path }

  /// Lets go of the file and its lock.
  func close() {
    background.wait()
    if descriptor >= 0 { closeDescriptor(descriptor) }
    if direct >= 0 { closeDescriptor(direct) }
    descriptor = -1
    direct = -1
  }

  func remove() {
    close()
    if let place = madePlace { _ = unlink(HostPath.system(place)) }
  }

  func shareLock() { if !looksOnly { _ = FileLock.take(descriptor, exclusive: false) } }

  /// Looks whether somebody has made the file shorter, before what comes next makes it long again with zeros where data were.
  /// - Returns: how long it is.
  @discardableResult
  private func noteLoss() -> UInt64 {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return size }
    let now = UInt64(max(0, status.st_size))
    if now < size { lost.add(now..<size) }
    return now
  }

  /// Reads exactly `buffer.count` bytes at `offset`.
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    if !lost.isEmpty, let gone = lost.first(in: offset..<offset &+ UInt64(buffer.count)) {
      throw StorageError(
        path: path, offset: gone.lowerBound,
        reason: "what was here is lost: another program has cut the file off")
    }
    var done = 0
    var way = way(offset, UnsafeRawBufferPointer(buffer))
    while done < buffer.count {
      let place = offset &+ UInt64(done)
      let count = pread(
        way, buffer.baseAddress! + done, buffer.count - done,
        off_t(truncatingIfNeeded: place))
      if count < 0 {
        if errno == EINTR { continue }
        throw StorageError(
          path: path, offset: place, reason: "cannot be read: \(HostFile.text(errno))")
      }
      if count == 0 {
        throw StorageError(
          path: path, offset: place,
          reason: "the file ends here, it was \(size) bytes long when it was opened")
      }
      done += count
      // What is left need not be aligned any more.
      way = descriptor
    }
  }

  /// Writes all of `buffer` at `offset`.
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    noteLoss()
    var done = 0
    defer { if !lost.isEmpty { lost.remove(offset..<offset &+ UInt64(done)) } }
    var way = way(offset, buffer)
    while done < buffer.count {
      let place = offset &+ UInt64(done)
      let count = pwrite(
        way, buffer.baseAddress! + done, buffer.count - done,
        off_t(truncatingIfNeeded: place))
      if count < 0 {
        if errno == EINTR { continue }
        let code = errno
        throw StorageError(
          path: path, offset: place, reason: "cannot be written: \(HostFile.text(code))",
          lacksRoom: HostFile.isLackOfRoom(code))
      }
      if count == 0 {
        throw StorageError(
          path: path, offset: place, reason: "cannot be written: no room is left", lacksRoom: true)
      }
      done += count
      way = descriptor
    }
  }

  func extend(at offset: UInt64, _ bytes: [UInt8]) throws(StorageError) {
    // A write behind the end, not a change of the size and then a write.
    do throws(StorageError) {
      try StorageError.passing { failure in
        bytes.withUnsafeBytes { buffer in
          do throws(StorageError) { try write(at: offset, from: buffer) } catch { failure = error }
        }
      }
    } catch {
      // Half of it may be there.
      if offset >= size { try? setSize(size) }
      throw error
    }
    size = max(size, offset + UInt64(bytes.count))
  }

  #if os(Linux)
    let zeroesCheaply = true
  #else
    let zeroesCheaply = false
  #endif

  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    if offset > size || count > size - offset {
      throw StorageError(path: path, offset: offset, reason: "the file ends at \(size) bytes")
    }
    if count == 0 { return }
    if noteLoss() < offset + count { try changeSize(to: size) }
    #if os(Linux)
      // FALLOC_FL_KEEP_SIZE with FALLOC_FL_PUNCH_HOLE or FALLOC_FL_ZERO_RANGE, which not every file system has.
      let mode: Int32 = releasing ? 0x01 | 0x02 : 0x01 | 0x10
      while fallocate(descriptor, mode, off_t(offset), off_t(count)) != 0 {
        if errno != EINTR { return try writeZeros(at: offset, count: count) }
      }
      lost.remove(offset..<offset + count)
    #else
      try writeZeros(at: offset, count: count)
    #endif
  }

  func setSize(_ size: UInt64) throws(StorageError) {
    noteLoss()
    try changeSize(to: size)
    if size < self.size { lost.remove(size..<self.size) }
    self.size = size
  }

  private func changeSize(to size: UInt64) throws(StorageError) {
    guard let length = off_t(exactly: size) else {
      throw StorageError(path: path, reason: "\(size) bytes are too many for a file")
    }
    while ftruncate(descriptor, length) != 0 {
      if errno == EINTR { continue }
      let code = errno
      throw StorageError(
        path: path, offset: self.size, reason: "cannot be made longer: \(HostFile.text(code))",
        lacksRoom: HostFile.isLackOfRoom(code))
    }
  }

  /// Returns when everything written is with the host's stable storage.
  func flush() throws(StorageError) {
    guard isWritable, descriptor >= 0, cache != .unsafe else { return }
    let earlier = background.takeFailure()
    let result = BackgroundFlush.flush(descriptor)
    let code = result != 0 ? result : earlier
    if code != 0 {
      throw StorageError(
        path: path, reason: "cannot be flushed: \(HostFile.text(code))",
        lacksRoom: HostFile.isLackOfRoom(code))
    }
  }

  func beginFlush() throws(StorageError) -> UInt64 {
    guard isWritable, descriptor >= 0 else { return 0 }
    if let number = background.begin(descriptor) { return number }
    try flush()
    return 0
  }

  func hasFlushed(_ number: UInt64) throws(StorageError) -> Bool {
    let (isDone, failure) = background.state(number)
    if failure != 0, !isDone {
      throw StorageError(path: path, reason: "cannot be flushed: \(HostFile.text(failure))")
    }
    return isDone
  }

  // MARK: The file itself

  private static func stamp(_ status: stat) -> FileStamp {
    #if canImport(Darwin)
      let time = status.st_mtimespec
    #else
      let time = status.st_mtim
    #endif
    return FileStamp(
      device: UInt64(truncatingIfNeeded: status.st_dev),
      number: UInt64(truncatingIfNeeded: status.st_ino), size: Int64(status.st_size),
      seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
  }

  /// The open file as it is now; nil when the host does not say.
  private func stamp() -> FileStamp? {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? HostFile.stamp(status) : nil
  }

  func mark() -> FileMark { FileMark(stamp()) }

  func change(since mark: FileMark) -> String? {
    guard let before = mark.stamps.first ?? nil, let now = stamp() else { return nil }
    if before.size != now.size {
      return "its size has changed from \(before.size) to \(now.size) bytes"
    }
    if before != now { return "it was written by another program" }
    return displacement
  }

  var displacement: String? {
    var status = stat()
    guard let own = stamp() else { return nil }
    if stat(HostPath.system(path), &status) != 0 {
      return errno == ENOENT ? "it was deleted or renamed" : nil
    }
    let other = HostFile.stamp(status)
    return other.device != own.device || other.number != own.number
      ? "another file has taken its name" : nil
  }

  // MARK: The lock

  func unlock() { if descriptor >= 0 { FileLock.release(descriptor) } }

  func lockAgain(exclusive: Bool) throws(StorageError) {
    if descriptor >= 0, !looksOnly { try HostFile.lock(descriptor, path, exclusive: exclusive) }
  }

  /// What the file system keeps; it knows of holes.
  func nextData(from offset: UInt64) -> UInt64 {
    if offset >= size { return UInt64.max }
    #if canImport(Darwin)
      let seekData: Int32 = 4
    #else
      let seekData: Int32 = 3
    #endif
    let found = lseek(descriptor, off_t(truncatingIfNeeded: offset), seekData)
    // Anything but "no more data": a file system that does not know of holes.
    if found < 0 && errno != ENXIO { return offset }
    if found < 0 { noteLoss() }
    let next = found < 0 ? UInt64.max : UInt64(found)
    // Who takes what is lost for a hole would never read it.
    return lost.first(in: offset..<max(next, offset))?.lowerBound ?? next
  }

  /// As `nextData`, the other way round.
  func nextHole(from offset: UInt64) -> UInt64 {
    if offset >= size { return size }
    #if canImport(Darwin)
      let seekHole: Int32 = 3
    #else
      let seekHole: Int32 = 4
    #endif
    var place = offset
    while true {
      let found = lseek(descriptor, off_t(truncatingIfNeeded: place), seekHole)
      guard found >= 0 else { return size }
      guard let gone = lost.first(in: UInt64(found)..<UInt64(found) + 1) else {
        return UInt64(found)
      }
      place = lost.whole(gone).upperBound
      if place >= size { return size }
    }
  }

  private static func openRetrying(_ path: String, _ mode: Int32) -> Int32 {
    while true {
      let fd = open(HostPath.system(path), mode | O_CLOEXEC | O_NONBLOCK)
      if fd >= 0 || errno != EINTR { return fd }
    }
  }

  private static func checkKind(_ path: String, _ mode: mode_t) throws(StorageError) {
    let reason: String
    switch mode & S_IFMT {
    case S_IFREG: return
    case S_IFDIR: reason = "is a directory, not a disk image"
    case S_IFBLK, S_IFCHR: reason = "is a device; only image files can be used"
    case S_IFIFO: reason = "is a pipe, not a disk image"
    case S_IFSOCK: reason = "is a socket, not a disk image"
    default: reason = "is not a regular file"
    }
    throw StorageError(path: path, reason: reason)
  }

  private static func lock(_ fd: Int32, _ path: String, exclusive: Bool) throws(StorageError) {
    // A program that this one, or the last user of the file, has just started has the lock too until it is loaded; and who ends takes a
    // moment.
    var patience = 25
    while !FileLock.take(fd, exclusive: exclusive) {
      if patience > 0 {
        patience -= 1
        usleep(10_000)
        continue
      }
      throw StorageError(
        path: path,
        reason: exclusive
          ? "is in use (locked) by another program or another drive; "
            + "to use it several times, open each as a snapshot or read-only"
          : "is being written (locked) by another program or another drive")
    }
  }

  private static func openError(_ path: String, _ code: Int32) -> StorageError {
    let reason: String
    switch code {
    case ENOENT: return .missing(path)
    case ENOTDIR: reason = "a part of the path is not a directory"
    case EACCES, EPERM: reason = "may not be read (permission denied)"
    case ELOOP: reason = "is a symbolic link that leads to itself"
    default: reason = "cannot be opened: \(text(code))"
    }
    return StorageError(path: path, reason: reason)
  }

  /// A full file system, or a quota: others can make room. A limit of the size of files (EFBIG) stays.
  private static func isLackOfRoom(_ code: Int32) -> Bool { code == ENOSPC || code == EDQUOT }

  private static func text(_ code: Int32) -> String { String(cString: strerror(code)) }
}
