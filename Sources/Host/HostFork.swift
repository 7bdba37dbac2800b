// A process that becomes two.
//
// Owns: fork(2) with what memory needs afterwards, waiting for children. Must not know: what the processes do.
// Whoever forks has one thread: of others nothing is left in a child but the locks they held.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

// Swift hides it, since most programs have threads.
@_silgen_name("fork") private func systemFork() -> Int32

#if os(Linux)
  @_silgen_name("prctl") private func systemControl(
    _ option: Int32, _ a: UInt, _ b: UInt, _ c: UInt, _ d: UInt
  ) -> Int32
#endif

/// Processes made from this one.
public enum HostFork {
  /// Makes a copy of this process. It is asked to end (SIGTERM) when this one is gone.
  /// - Returns: the child's number; in the child nil.
  /// - Throws: `HostError` when this process has more threads than one, has memory that a copy would share, or the host refuses. In a child
  ///   that cannot have memory of its own the process ends.
  public static func fork() throws(HostError) -> Int32? {
    if let count = threadCount, count > 1 {
      throw HostError("a process of \(count) threads is not copied")
    }
    if HostMemory.sharedRegions > 0 {
      throw HostError("a process whose machines share memory with windows of it is not copied")
    }
    let child = systemFork()
    if child < 0 { throw HostError("no process: \(String(cString: strerror(errno)))") }
    if child > 0 { return child }
    #if os(Linux)
      // PR_SET_PDEATHSIG
      _ = systemControl(1, UInt(SIGTERM), 0, 0, 0)
    #endif
    do throws(HostError) { try CodeCopies.separate() } catch {
      HostFiles.print(Array("apus: \(error)\n".utf8), toError: true)
      _exit(71)
    }
    return nil
  }

  /// The threads of this process; nil: the host does not tell.
  private static var threadCount: Int? {
    #if os(Linux)
      let count = HostFiles.names(in: "/proc/self/task").count { Int($0) != nil }
      return count == 0 ? nil : count
    #else
      return nil
    #endif
  }

  /// Waits until one of this process's children has ended.
  /// - Returns: its number, and its exit code or 128 and the signal's number; nil: there are none.
  public static func wait() -> (child: Int32, code: Int32)? {
    var status: Int32 = 0
    while true {
      let child = waitpid(-1, &status, 0)
      if child < 0 {
        if errno == EINTR { continue }
        return nil
      }
      let signal = status & 0x7F
      return (child, signal == 0 ? status >> 8 & 0xFF : 128 + signal)
    }
  }

  /// Asks a child to end.
  public static func end(_ child: Int32) { _ = kill(child, SIGTERM) }

  /// Leads standard output and error into files, which are made or cut.
  public static func redirect(output: String, errors: String) throws(HostError) {
    for (path, descriptor) in [(output, Int32(1)), (errors, Int32(2))] {
      let file = open(HostPath.system(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
      guard file >= 0, dup2(file, descriptor) >= 0 else {
        throw HostError("\(path): \(String(cString: strerror(errno)))")
      }
      close(file)
    }
  }
}
