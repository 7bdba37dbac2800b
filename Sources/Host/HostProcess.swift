// Programs run as child processes, and the processor time that they use.
//
// Owns: looking programs up, starting, reading what they write, time limits, the kernel's accounting. Must not know: what runs.
// Follows: POSIX posix_spawn, wait4(2), clock_getcpuclockid(3).

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Child processes of this one.
public enum HostProcess {
  /// How a child ended and what it took.
  public struct Result: Sendable {
    /// The exit code, or 128 and the signal's number.
    public var code: Int32 = 0
    /// User and system time, in seconds.
    public var cpuSeconds = 0.0
    /// The largest resident set, in bytes.
    public var residentBytes = 0
    /// Standard output, up to 4 MiB.
    public var output: [UInt8] = []
    /// Standard error, up to 4 MiB.
    public var error: [UInt8] = []
    /// It was ended because its time was over.
    public var timedOut = false

    public init() {}
  }

  /// The path of a program: itself when it has a slash, else the first on `PATH` or in `folders` that may be executed.
  public static func find(_ name: String, folders: [String] = []) -> String? {
    if name.contains("/") { return access(HostPath.system(name), X_OK) == 0 ? name : nil }
    let path = environment("PATH") ?? "/usr/bin:/bin"
    for folder in path.split(separator: ":").map(String.init) + folders {
      let candidate = "\(folder)/\(name)"
      var status = stat()
      let name = HostPath.system(candidate)
      if stat(name, &status) == 0, status.st_mode & S_IFMT == S_IFREG, access(name, X_OK) == 0 {
        return candidate
      }
    }
    return nil
  }

  /// This process's number.
  public static var ownNumber: Int32 { getpid() }

  /// The path of this program's own file, or nil.
  public static var ownPath: String? {
    #if canImport(Darwin)
      var size: UInt32 = 4096
      var buffer = [CChar](repeating: 0, count: Int(size))
      guard _NSGetExecutablePath(&buffer, &size) == 0 else { return nil }
      return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    #else
      return resolved("/proc/self/exe")
    #endif
  }

  /// A path without links, or nil when there is nothing.
  public static func resolved(_ path: String) -> String? {
    guard let text = realpath(HostPath.system(path), nil) else { return nil }
    defer { free(text) }
    return HostPath.decode(cString: text)
  }

  /// A variable of the environment.
  public static func environment(_ name: String) -> String? {
    getenv(name).map { HostPath.decode(cString: $0) }
  }

  /// Makes a folder of its own below the one for temporary files.
  /// - Throws: `HostError` in the system's words.
  public static func temporaryFolder(_ name: String) throws(HostError) -> String {
    let base = environment("TMPDIR") ?? "/tmp"
    var template = HostPath.system("\(base)/\(name).XXXXXX")
    guard mkdtemp(&template) != nil else {
      throw HostError("no temporary folder in \(base): \(String(cString: strerror(errno)))")
    }
    return template.withUnsafeBufferPointer { HostPath.decode(cString: $0.baseAddress!) }
  }

  /// Removes the files in a folder (none of them a folder), and the folder.
  public static func removeFolder(_ path: String) {
    if let folder = opendir(HostPath.system(path)) {
      while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { HostPath.decode(cString: $0) }
        }
        if name != "." && name != ".." { unlink(HostPath.system("\(path)/\(name)")) }
      }
      closedir(folder)
    }
    rmdir(HostPath.system(path))
  }

  /// Makes a file executable.
  public static func allowExecution(_ path: String) { chmod(HostPath.system(path), 0o755) }

  /// Runs a program to its end with nothing on standard input.
  ///
  /// - Parameters:
  ///   - arguments: the program (a path, or a name looked up on `PATH`) and what it is given.
  ///   - folder: where it runs; here when nil.
  ///   - timeout: seconds after which it is killed.
  ///   - watch: called for each line on standard output with the processor time (user and system, seconds) that the child has used
  ///     so far; false ends the child.
  /// - Throws: `HostError` when it cannot be started.
  public static func run(
    _ arguments: [String], folder: String? = nil, timeout: Double = 600,
    watch: ((String, Double) -> Bool)? = nil
  ) throws(HostError) -> Result {
    guard let path = find(arguments[0]) else { throw HostError("\(arguments[0]): not found") }
    var (output, errors): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
    guard pipe(&output) == 0 else { throw HostError("no pipe: \(lastError)") }
    guard pipe(&errors) == 0 else {
      close(output[0])
      close(output[1])
      throw HostError("no pipe: \(lastError)")
    }
    for descriptor in output + errors { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    defer {
      close(output[0])
      close(errors[0])
    }
    let child: pid_t
    do {
      child = try start(path, arguments, folder: folder, output: output[1], error: errors[1])
    } catch {
      close(output[1])
      close(errors[1])
      throw error
    }
    close(output[1])
    close(errors[1])
    return collect(child, output[0], errors[0], timeout: timeout, watch: watch)
  }

  private static var lastError: String { String(cString: strerror(errno)) }

  private static func start(
    _ path: String, _ arguments: [String], folder: String?, output: Int32, error: Int32
  ) throws(HostError) -> pid_t {
    #if canImport(Darwin)
      var actions: posix_spawn_file_actions_t?
    #else
      var actions = posix_spawn_file_actions_t()
    #endif
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, output, 1)
    posix_spawn_file_actions_adddup2(&actions, error, 2)
    if let folder { posix_spawn_file_actions_addchdir_np(&actions, HostPath.system(folder)) }
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup(HostPath.system($0)) }
    words.append(nil)
    defer { for word in words { free(word) } }
    var child: pid_t = 0
    // Signals as a program expects them at its start, whatever this one blocks or ignores.
    #if canImport(Darwin)
      var attributes: posix_spawnattr_t?
    #else
      var attributes = posix_spawnattr_t()
    #endif
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var set = sigset_t()
    sigemptyset(&set)
    posix_spawnattr_setsigmask(&attributes, &set)
    sigaddset(&set, SIGPIPE)
    sigaddset(&set, SIGXFSZ)
    posix_spawnattr_setsigdefault(&attributes, &set)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    let result = posix_spawn(&child, HostPath.system(path), &actions, &attributes, words, environ)
    if result != 0 { throw HostError("\(path): \(String(cString: strerror(result)))") }
    return child
  }

  private static func collect(
    _ child: pid_t, _ output: Int32, _ error: Int32, timeout: Double,
    watch: ((String, Double) -> Bool)?
  ) -> Result {
    let limit = 4 << 20
    var result = Result()
    var line: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    var entries = [
      pollfd(fd: output, events: Int16(POLLIN), revents: 0),
      pollfd(fd: error, events: Int16(POLLIN), revents: 0),
    ]
    let end = HostClock.nanoseconds() &+ UInt64(max(0, min(timeout, 1e6)) * 1e9)
    var watching = watch != nil
    while entries[0].fd >= 0 || entries[1].fd >= 0 {
      let now = HostClock.nanoseconds()
      if now >= end {
        result.timedOut = true
        kill(child, SIGKILL)
        break
      }
      let wait = Int32(clamping: (end - now) / 1_000_000 + 1)
      if poll(&entries, nfds_t(entries.count), wait) <= 0 { continue }
      for index in 0..<2 where entries[index].fd >= 0 && entries[index].revents != 0 {
        let count = systemRead(entries[index].fd, &buffer)
        if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
        if count <= 0 {
          entries[index].fd = -1
          continue
        }
        if index == 1 {
          if result.error.count < limit { result.error += buffer[..<count] }
          continue
        }
        if result.output.count < limit { result.output += buffer[..<count] }
        guard watching, let watch else { continue }
        let time = cpuSeconds(of: child)
        for byte in buffer[..<count] {
          if byte != 10 {
            if line.count < 4096 { line.append(byte) }
            continue
          }
          if line.last == 13 { line.removeLast() }
          if watching && !watch(String(decoding: line, as: UTF8.self), time) {
            watching = false
            kill(child, SIGKILL)
          }
          line = []
        }
      }
    }
    var status: Int32 = 0
    var usage = rusage()
    while wait4(child, &status, 0, &usage) < 0 && errno == EINTR {}
    let signal = status & 0x7F
    result.code = signal == 0 ? status >> 8 & 0xFF : 128 + signal
    result.cpuSeconds = seconds(usage.ru_utime) + seconds(usage.ru_stime)
    #if canImport(Darwin)
      result.residentBytes = Int(usage.ru_maxrss)
    #else
      result.residentBytes = Int(usage.ru_maxrss) * 1024
    #endif
    return result
  }

  private static func seconds(_ time: timeval) -> Double {
    Double(time.tv_sec) + Double(time.tv_usec) / 1e6
  }

  private static func systemRead(_ descriptor: Int32, _ buffer: inout [UInt8]) -> Int {
    #if canImport(Glibc)
      Glibc.read(descriptor, &buffer, buffer.count)
    #elseif canImport(Musl)
      Musl.read(descriptor, &buffer, buffer.count)
    #else
      Darwin.read(descriptor, &buffer, buffer.count)
    #endif
  }

  /// Processor time that a running child has used; not a number where the host does not tell.
  private static func cpuSeconds(of child: pid_t) -> Double {
    #if canImport(Darwin)
      return .nan
    #else
      var clock = clockid_t()
      var time = timespec()
      guard clock_getcpuclockid(child, &clock) == 0, clock_gettime(clock, &time) == 0 else {
        return .nan
      }
      return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    #endif
  }
}
