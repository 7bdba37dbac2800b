// A file that only grows: for logs that must be of use after a crash.
//
// Owns: the descriptor, complete writes. Must not know: what is in the file.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A new file, written from its beginning on; every `append` leaves its bytes with the host's kernel.
public final class HostAppendFile {
  private var descriptor: Int32
  private let path: String

  /// Makes the file, or empties it.
  /// - Throws: `HostError` without the name, which the caller knows better.
  public init(_ path: String) throws(HostError) {
    self.path = path
    descriptor = try HostFiles.openForWriting(path, O_CREAT | O_TRUNC | O_APPEND)
  }

  deinit { if descriptor >= 0 { _ = Self.systemClose(descriptor) } }

  /// Adds bytes at the end.
  public func append(_ bytes: [UInt8]) throws(HostError) {
    var done = 0
    var failure: Int32 = 0
    bytes.withUnsafeBytes { buffer in
      while done < buffer.count {
        let count = Self.systemWrite(
          descriptor, buffer.baseAddress.unsafelyUnwrapped + done, buffer.count - done)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 {
          failure = errno
          break
        }
        done += count
      }
    }
    if failure != 0 { throw HostError("cannot be written: \(String(cString: strerror(failure)))") }
  }

  /// Brings everything to stable storage and closes; later calls do nothing.
  public func close() throws(HostError) {
    if descriptor < 0 { return }
    // Pipes and devices have no stable storage.
    var failure: Int32 = fsync(descriptor) != 0 && errno != EINVAL && errno != ENOTSUP ? errno : 0
    if Self.systemClose(descriptor) != 0 && failure == 0 { failure = errno }
    descriptor = -1
    if failure != 0 { throw HostError("cannot be written: \(String(cString: strerror(failure)))") }
  }

  /// Closes it and removes the file: nothing of it is worth keeping. Pipes, devices and links stay.
  public func discard() {
    if descriptor < 0 { return }
    _ = Self.systemClose(descriptor)
    descriptor = -1
    var status = stat()
    let name = HostPath.system(path)
    if lstat(name, &status) == 0, status.st_mode & S_IFMT == S_IFREG { unlink(name) }
  }

  private static func systemWrite(_ fd: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    #if canImport(Glibc)
      Glibc.write(fd, bytes, count)
    #elseif canImport(Musl)
      Musl.write(fd, bytes, count)
    #else
      Darwin.write(fd, bytes, count)
    #endif
  }

  private static func systemClose(_ fd: Int32) -> Int32 {
    #if canImport(Glibc)
      Glibc.close(fd)
    #elseif canImport(Musl)
      Musl.close(fd)
    #else
      Darwin.close(fd)
    #endif
  }
}
