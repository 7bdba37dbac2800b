// What the file system says of files, and what is done to whole files: names, folders, times.
//
// Owns: the system calls and their errors in words. Must not know: what is in the files, who asks.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What the host's file system says of one file.
public struct HostFileFacts: Equatable, Sendable {
  public enum Kind: Sendable {
    case file
    case folder
    case link
    case other
  }
  public var kind: Kind
  /// Bytes to be read.
  public var size: UInt64
  /// Bytes of room that it takes: fewer where it has holes.
  public var allocated: UInt64
  /// The numbers that it has in its file system, and the file system's.
  public var inode: UInt64
  public var device: UInt64
  /// When it was last written, in seconds since 1970 and nanoseconds.
  public var seconds: Int64
  public var nanoseconds: Int64
  public var mayBeWritten: Bool
}

extension HostFiles {
  /// What the file system says; nil: there is none of that name.
  /// - Parameter followsLinks: of what a symbolic link leads to.
  public static func facts(_ path: String, followsLinks: Bool = true) -> HostFileFacts? {
    var status = stat()
    let name = HostPath.system(path)
    guard (followsLinks ? stat(name, &status) : lstat(name, &status)) == 0 else { return nil }
    let kind: HostFileFacts.Kind =
      switch status.st_mode & S_IFMT {
      case S_IFREG: .file
      case S_IFDIR: .folder
      case S_IFLNK: .link
      default: .other
      }
    #if canImport(Darwin)
      let time = status.st_mtimespec
    #else
      let time = status.st_mtim
    #endif
    return HostFileFacts(
      kind: kind, size: UInt64(max(0, status.st_size)),
      allocated: UInt64(max(0, status.st_blocks)) &* 512,
      inode: UInt64(truncatingIfNeeded: status.st_ino),
      device: UInt64(truncatingIfNeeded: status.st_dev), seconds: Int64(time.tv_sec),
      nanoseconds: Int64(time.tv_nsec), mayBeWritten: access(name, W_OK) == 0)
  }

  /// When a file was made, as a text that is another one for a file made later: another of that name may have its number and its size. Nil:
  /// the host does not say.
  public static func birth(of path: String) -> String? {
    #if canImport(Glibc)
      var status = statx()
      let wanted = UInt32(STATX_BTIME)
      guard statx(AT_FDCWD, HostPath.system(path), 0, wanted, &status) == 0,
        status.stx_mask & wanted != 0
      else { return nil }
      return "\(status.stx_btime.tv_sec).\(status.stx_btime.tv_nsec)"
    #elseif canImport(Darwin)
      var status = stat()
      guard stat(HostPath.system(path), &status) == 0 else { return nil }
      return "\(status.st_birthtimespec.tv_sec).\(status.st_birthtimespec.tv_nsec)"
    #else
      return nil
    #endif
  }

  /// Lets those read, write and run a file who may another one, where the host allows that.
  public static func copyMode(of path: String, to other: String) {
    var status = stat()
    if stat(HostPath.system(path), &status) == 0 {
      _ = chmod(HostPath.system(other), status.st_mode & 0o777)
    }
  }

  /// Gives a file another name; what had that name is gone.
  public static func move(_ path: String, to other: String) throws(HostError) {
    if rename(HostPath.system(path), HostPath.system(other)) != 0 {
      throw HostError("cannot be renamed to '\(other)': \(reason(errno))")
    }
  }

  /// Gives a file a second name, which there is not yet.
  public static func link(_ path: String, as other: String) throws(HostError) {
    #if canImport(Glibc)
      let result = Glibc.link(HostPath.system(path), HostPath.system(other))
    #elseif canImport(Musl)
      let result = Musl.link(HostPath.system(path), HostPath.system(other))
    #else
      let result = Darwin.link(HostPath.system(path), HostPath.system(other))
    #endif
    if result != 0 { throw HostError("cannot be linked as '\(other)': \(reason(errno))") }
  }

  /// Removes a file, or a link and not what it leads to; that there is none is fine.
  public static func remove(_ path: String) throws(HostError) {
    if unlink(HostPath.system(path)) != 0 && errno != ENOENT {
      throw HostError("cannot be removed: \(reason(errno))")
    }
  }

  /// Removes an empty folder.
  public static func removeEmptyFolder(_ path: String) throws(HostError) {
    if rmdir(HostPath.system(path)) != 0 && errno != ENOENT {
      throw HostError("cannot be removed: \(reason(errno))")
    }
  }

  /// Makes a folder; that there is one is fine.
  /// - Parameter isPrivate: a new one is its owner's alone.
  public static func makeFolder(_ path: String, isPrivate: Bool = false) throws(HostError) {
    if mkdir(HostPath.system(path), isPrivate ? 0o700 : 0o777) != 0 {
      let code = errno
      if code == EEXIST && isDirectory(path) { return }
      throw HostError("cannot be made: \(reason(code))")
    }
  }

  /// Says when a file was last written.
  public static func setTime(_ path: String, seconds: Int64) {
    var times = [timespec(), timespec()]
    times[0].tv_sec = time_t(seconds)
    times[1].tv_sec = time_t(seconds)
    _ = utimensat(AT_FDCWD, HostPath.system(path), times, 0)
  }

  /// Brings the names in a folder to stable storage: a rename is then there to stay. Where the host cannot, nothing happens.
  public static func syncFolder(of path: String) {
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    let descriptor = open(HostPath.system(folder), O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { return }
    _ = fsync(descriptor)
    close(descriptor)
  }

  /// Bytes that a file system has room for; nil: the host does not say.
  public static func freeBytes(at path: String) -> UInt64? {
    var status = statvfs()
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    guard statvfs(HostPath.system(folder), &status) == 0 else { return nil }
    return UInt64(status.f_bavail) &* UInt64(status.f_frsize)
  }
}
