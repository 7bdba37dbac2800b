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
  private static var lastError: String { String(cString: strerror(errno)) }

  /// Whether anything has that name.
  public static func exists(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0
  }

  /// Whether a directory has that name.
  public static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Whether two names mean the same file, existing or not.
  public static func isSame(_ a: String, _ b: String) -> Bool {
    if a == b { return true }
    var first = stat()
    var second = stat()
    guard stat(a, &first) == 0, stat(b, &second) == 0 else { return false }
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino
  }

  /// The contents of a regular file.
  /// - Throws: `HostError` without the name, which the caller knows better.
  public static func read(_ path: String, limit: Int) throws(HostError) -> [UInt8] {
    var status = stat()
    if stat(path, &status) != 0 { throw HostError("cannot be opened: \(lastError)") }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw HostError("is a directory")
    default: throw HostError("is no regular file")
    }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
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
    var status = stat()
    if stat(path, &status) == 0 {
      if status.st_mode & S_IFMT == S_IFDIR { return "is a directory" }
      return access(path, W_OK) == 0 ? nil : "cannot be written: \(lastError)"
    }
    if errno != ENOENT { return "cannot be written: \(lastError)" }
    let folder: String
    if let slash = path.lastIndex(of: "/") {
      folder = slash == path.startIndex ? "/" : String(path[..<slash])
    } else {
      folder = "."
    }
    if stat(folder, &status) != 0 { return "there is no directory '\(folder)'" }
    if status.st_mode & S_IFMT != S_IFDIR { return "'\(folder)' is no directory" }
    return access(folder, W_OK) == 0 ? nil : "cannot be made: \(lastError)"
  }

  /// Writes a file under another name and then gives it the right one: the old contents stay until the new ones are complete.
  public static func writeAtomically(_ path: String, _ bytes: [UInt8]) throws(HostError) {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      // A device or a pipe cannot be replaced.
      try write(path, bytes, flags: O_WRONLY)
      return
    }
    let temporary = "\(path).\(getpid()).tmp"
    do {
      try write(temporary, bytes, flags: O_WRONLY | O_CREAT | O_EXCL)
    } catch {
      unlink(temporary)
      throw error
    }
    if rename(temporary, path) != 0 {
      let reason = lastError
      unlink(temporary)
      throw HostError("cannot be written: \(reason)")
    }
  }

  private static func write(_ path: String, _ bytes: [UInt8], flags: Int32) throws(HostError) {
    let descriptor = open(path, flags | O_CLOEXEC, 0o666)
    if descriptor < 0 { throw HostError("cannot be written: \(lastError)") }
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
  }

  private static let outputFailure = Atomic<Int32>(0)

  /// Why standard output lost something of what was printed, or nil.
  public static var outputProblem: (reason: String, isClosedPipe: Bool)? {
    let code = outputFailure.load(ordering: .relaxed)
    return code == 0 ? nil : (String(cString: strerror(code)), code == EPIPE)
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
    guard let handle = opendir(directory.isEmpty ? "." : directory) else { return [] }
    defer { closedir(handle) }
    var found: [String] = []
    while let entry = readdir(handle), found.count < 500 {
      let isDirectory = entry.pointee.d_type == UInt8(DT_DIR)
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name.hasPrefix("."), !start.hasPrefix(".") { continue }
      if name.hasPrefix(start) { found.append(directory + name + (isDirectory ? "/" : "")) }
    }
    return found.sorted()
  }

  /// The next byte of standard input, or nil at its end.
  public static func readByte() -> UInt8? {
    var byte: UInt8 = 0
    while true {
      let count = systemRead(0, &byte, 1)
      if count == 1 { return byte }
      if count < 0 && errno == EINTR { continue }
      return nil
    }
  }
}
