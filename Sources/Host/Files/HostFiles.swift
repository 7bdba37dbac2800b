// Whole files: reading with a limit, writing so that a failure leaves the old contents, and questions asked beforehand.
//
// Owns: the system calls and their errors in words. Must not know: what is in the files.

import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Files of the host.
public enum HostFiles {
  private static var lastError: String { reason(errno) }

  /// An error in words.
  static func reason(_ code: Int32) -> String {
    // What `HostStart` leaves where standard output was closed.
    code == EBADF ? "is closed" : String(cString: strerror(code))
  }

  private static func status(_ path: String) -> stat? {
    var status = stat()
    return stat(HostPath.system(path), &status) == 0 ? status : nil
  }

  /// Whether anything has that name.
  public static func exists(_ path: String) -> Bool { status(path) != nil }

  /// Whether a directory has that name.
  public static func isDirectory(_ path: String) -> Bool {
    status(path).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
  }

  /// Whether files in a folder can be reached.
  public static func canEnter(_ folder: String) -> Bool {
    access(HostPath.system(folder), X_OK) == 0
  }

  /// How many bytes a file has; nil: there is none of that name.
  public static func size(_ path: String) -> Int? { status(path).map { Int($0.st_size) } }

  /// Whether two names mean the same file, existing or not.
  public static func isSame(_ a: String, _ b: String) -> Bool {
    // Texts that mean the same characters may be different names.
    if a.utf8.elementsEqual(b.utf8) { return true }
    let (first, second) = (status(a), status(b))
    if let first, let second {
      return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }
    if first != nil || second != nil { return false }
    // Neither is there yet: they become one where they have one name in one folder.
    let (one, other) = (parts(a), parts(b))
    guard one.name.utf8.elementsEqual(other.name.utf8), let folder = status(one.folder),
      let second = status(other.folder)
    else { return false }
    return folder.st_dev == second.st_dev && folder.st_ino == second.st_ino
  }

  /// The folder of a path and the name in it.
  private static func parts(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (".", path) }
    let name = String(path[path.utf8.index(after: slash)...])
    return (slash == path.startIndex ? "/" : String(path[..<slash]), name)
  }

  /// The first bytes of a file, fewer where it is shorter.
  public static func beginning(of path: String, count: Int) throws(HostError) -> [UInt8] {
    let descriptor = open(HostPath.system(path), O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    if descriptor < 0 { throw HostError(String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: count)
    let got = pread(descriptor, &bytes, count, 0)
    if got < 0 { throw HostError(String(cString: strerror(errno))) }
    return Array(bytes[..<got])
  }

  /// The contents of a regular file.
  /// - Throws: `HostError` without the name, which the caller knows better.
  public static func read(_ path: String, limit: Int) throws(HostError) -> [UInt8] {
    guard let status = status(path) else { throw HostError("cannot be opened: \(lastError)") }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw HostError("is a directory")
    default: throw HostError("is no regular file")
    }
    let descriptor = open(HostPath.system(path), O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw HostError("cannot be opened: \(lastError)") }
    defer { close(descriptor) }
    let size = Int(status.st_size)
    if size > limit { throw HostError("\(size) bytes are more than the \(limit) that make sense") }
    var failure: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: max(size, 1)) { buffer, count in
      count = 0
      while count < size {
        let got = systemRead(descriptor, buffer.baseAddress! + count, size - count)
        if got < 0 && errno == EINTR { continue }
        if got < 0 { failure = errno }
        if got <= 0 { break }
        count += got
      }
    }
    if failure != 0 { throw HostError("cannot be read: \(String(cString: strerror(failure)))") }
    return bytes
  }

  private static func systemRead(
    _ descriptor: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int
  ) -> Int {
    #if canImport(Glibc)
      Glibc.read(descriptor, buffer, count)
    #elseif canImport(Musl)
      Musl.read(descriptor, buffer, count)
    #else
      Darwin.read(descriptor, buffer, count)
    #endif
  }

  /// Why a file of that name cannot be written, or nil. Nothing is made or changed.
  public static func refusalToWrite(_ path: String) -> String? {
    if path.isEmpty { return "the name is empty" }
    let name = HostPath.system(path)
    if let status = status(path) {
      if let reason = refusal(of: status, path) { return reason }
      return access(name, W_OK) == 0 ? nil : "cannot be written: \(lastError)"
    }
    if errno != ENOENT { return "cannot be written: \(lastError)" }
    let folder = parts(path).folder
    guard let status = status(folder) else { return "there is no directory '\(folder)'" }
    if status.st_mode & S_IFMT != S_IFDIR { return "'\(folder)' is no directory" }
    return access(HostPath.system(folder), W_OK) == 0 ? nil : "cannot be made: \(lastError)"
  }

  /// What cannot be written to as a file. Opening a pipe waits for whoever reads it, and nothing could end that.
  private static func refusal(of status: stat, _ path: String) -> String? {
    switch status.st_mode & S_IFMT {
    case S_IFDIR: return "is a directory"
    case S_IFSOCK: return "is a socket"
    case S_IFIFO:
      // The shell's >(PROGRAM) and standard output are open already: there opening does not wait.
      if ["/dev/fd/", "/dev/std", "/proc/self/fd/"].contains(where: { path.hasPrefix($0) }) {
        return nil
      }
      return "is a named pipe, which would hold everything up until somebody reads it"
    default: return nil
    }
  }

  /// Opens a file for writing; never waits.
  static func openForWriting(_ path: String, _ flags: Int32) throws(HostError) -> Int32 {
    let descriptor = open(
      HostPath.system(path), flags | O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0o666)
    if descriptor < 0 {
      throw HostError(
        errno == ENXIO
          ? "is a pipe or device that nobody serves" : "cannot be written: \(lastError)")
    }
    var status = stat()
    if fstat(descriptor, &status) == 0, let reason = refusal(of: status, path) {
      close(descriptor)
      throw HostError(reason)
    }
    let mode = fcntl(descriptor, F_GETFL)
    if mode >= 0 { _ = fcntl(descriptor, F_SETFL, mode & ~O_NONBLOCK) }
    return descriptor
  }

  /// Writes a file under another name and then gives it the right one: the old contents stay until the new ones are complete.
  public static func writeAtomically(_ path: String, _ bytes: [UInt8]) throws(HostError) {
    if let status = status(path), status.st_mode & S_IFMT != S_IFREG {
      // A device or a pipe cannot be replaced.
      try write(path, bytes, flags: 0)
      return
    }
    let temporary = "\(path).\(getpid()).tmp"
    do {
      try write(temporary, bytes, flags: O_CREAT | O_EXCL)
    } catch {
      unlink(HostPath.system(temporary))
      throw error
    }
    if rename(HostPath.system(temporary), HostPath.system(path)) != 0 {
      let reason = lastError
      unlink(HostPath.system(temporary))
      throw HostError("cannot be written: \(reason)")
    }
  }

  private static func write(_ path: String, _ bytes: [UInt8], flags: Int32) throws(HostError) {
    let descriptor = try openForWriting(path, flags)
    var done = 0
    var failure: Int32 = 0
    bytes.withUnsafeBytes { buffer in
      while done < buffer.count {
        #if canImport(Glibc)
          let count = Glibc.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
        #elseif canImport(Musl)
          let count = Musl.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
        #else
          let count = Darwin.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
        #endif
        if count < 0 && errno == EINTR { continue }
        if count <= 0 {
          failure = errno
          break
        }
        done += count
      }
    }
    if failure == 0, flags & O_CREAT != 0, fsync(descriptor) != 0 { failure = errno }
    if close(descriptor) != 0 && failure == 0 { failure = errno }
    if failure != 0 { throw HostError("cannot be written: \(String(cString: strerror(failure)))") }
  }

  /// Writes text or bytes to standard output or error, all of it.
  public static func print(_ bytes: [UInt8], toError: Bool = false) {
    let descriptor: Int32 = toError ? 2 : 1
    var done = 0
    bytes.withUnsafeBytes { buffer in
      while done < buffer.count {
        #if canImport(Glibc)
          let count = Glibc.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
        #elseif canImport(Musl)
          let count = Musl.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
        #else
          let count = Darwin.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
        #endif
        if count < 0 && errno == EINTR { continue }
        if count < 0 && errno == EAGAIN {
          var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          poll(&entry, 1, -1)
          continue
        }
        if count <= 0 {
          if !toError {
            _ = outputFailure.compareExchange(
              expected: 0, desired: errno, ordering: .relaxed)
          }
          return
        }
        done += count
      }
    }
    if !toError { noteOutput(bytes.last) }
  }

  private static let lastOutput = Atomic<UInt8>(0x0A)

  /// Remembers what standard output ends with.
  static func noteOutput(_ byte: UInt8?) {
    if let byte { lastOutput.store(byte, ordering: .relaxed) }
  }

  /// Whether what is printed next on standard output begins a line, whoever wrote the last one: a guest may have left it open.
  public static var outputBeginsLine: Bool { lastOutput.load(ordering: .relaxed) == 0x0A }

  private static let outputFailure = Atomic<Int32>(0)

  /// Why standard output lost something of what was printed, or nil.
  public static var outputProblem: (reason: String, isClosedPipe: Bool)? {
    let code = outputFailure.load(ordering: .relaxed)
    return code == 0 ? nil : (reason(code), code == EPIPE)
  }

  /// Ends the process without anything that libraries would still do.
  public static func exitAtOnce(_ code: Int32) -> Never {
    HostSockets.removeFiles()
    _exit(code)
  }

  /// Ends the process at once, without waiting for other threads.
  public static func exit(_ code: Int32) -> Never {
    #if canImport(Glibc)
      Glibc.exit(code)
    #elseif canImport(Musl)
      Musl.exit(code)
    #else
      Darwin.exit(code)
    #endif
  }
}

extension HostFiles {
  /// Paths that begin with a text; directories end in "/". At most 500.
  public static func completions(_ prefix: String) -> [String] {
    let slash = prefix.lastIndex(of: "/")
    let directory = slash.map { String(prefix[...$0]) } ?? ""
    let start = slash.map { String(prefix[prefix.index(after: $0)...]) } ?? prefix
    guard let handle = opendir(HostPath.system(directory.isEmpty ? "." : directory)) else {
      return []
    }
    defer { closedir(handle) }
    var found: [String] = []
    while let entry = readdir(handle), found.count < 500 {
      let isDirectory = entry.pointee.d_type == UInt8(DT_DIR)
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        HostPath.decode($0.prefix { $0 != 0 })
      }
      if name.hasPrefix("."), !start.hasPrefix(".") { continue }
      if name.hasPrefix(start) { found.append(directory + name + (isDirectory ? "/" : "")) }
    }
    return found.sorted()
  }

  /// The names of what is in a folder, in no order; none where it cannot be read. At most 100,000.
  public static func names(in folder: String) -> [String] {
    guard let handle = opendir(HostPath.system(folder)) else { return [] }
    defer { closedir(handle) }
    var found: [String] = []
    while let entry = readdir(handle), found.count < 100_000 {
      found.append(
        withUnsafeBytes(of: entry.pointee.d_name) { HostPath.decode($0.prefix { $0 != 0 }) })
    }
    return found
  }

  /// What comes next from standard input, at most `count` bytes; nil at its end, or when `reading` is to stop.
  public static func readSome(_ count: Int, _ reading: HostReading) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    while !reading.isStopped {
      // A signal is received on another thread and interrupts nothing here.
      var entry = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
      if poll(&entry, 1, 100) == 0 { continue }
      let got = systemRead(0, &bytes, count)
      if got > 0 { return Array(bytes[..<got]) }
      if got < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      return nil
    }
    return nil
  }

  /// The next byte of standard input, or nil at its end.
  public static func readByte(_ reading: HostReading) -> UInt8? { readSome(1, reading)?.first }
}

/// Somebody who reads standard input, and can be told to stop; others read on.
public final class HostReading: Sendable {
  private let stopped = Atomic<Bool>(false)
  public init() {}

  var isStopped: Bool { stopped.load(ordering: .relaxed) }

  /// Whoever waits for standard input in this name, or will, finds it ended.
  public func stop() { stopped.store(true, ordering: .relaxed) }
}
