// Ctrl-C and its relatives.
//
// Owns: the process's handlers for SIGINT, SIGTERM, SIGHUP, SIGQUIT; SIGPIPE is ignored (a closed pipe is an error of the write that meets it).
// What whoever started the program has ignored (nohup, a shell's background) stays ignored.
// Must not know: what ending means.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Signals that ask the program to end.
public enum HostSignals {
  /// Signals that come together are one: timeout(1) sends its own to the program and then to the program's group.
  private static let together: UInt64 = 500_000_000

  /// From now on `handler` is called, on a thread of its own, with the number of the first signal that asks to end. A second one, half a
  /// second later or more, while the first is being obeyed ends the process at once.
  /// - Parameters:
  ///   - interrupt: is asked first about SIGINT; when it returns true, that was all.
  ///   - quit: what SIGQUIT (Ctrl-\) does; nil leaves it as it is.
  public static func onEnd(
    interrupt: (@Sendable () -> Bool)? = nil, quit: (@Sendable () -> Void)? = nil,
    _ handler: @escaping @Sendable (Int32) -> Void
  ) throws(HostError) {
    ignorePipe()
    let numbers = ([SIGINT, SIGTERM, SIGHUP] + (quit == nil ? [] : [SIGQUIT])).filter {
      !isIgnored($0)
    }
    if numbers.isEmpty { return }
    var set = sigset_t()
    sigemptyset(&set)
    for number in numbers { sigaddset(&set, number) }
    // Threads inherit the mask, so that only the one below receives them.
    pthread_sigmask(SIG_BLOCK, &set, nil)
    _ = try HostThread(detached: true) {
      var set = sigset_t()
      sigemptyset(&set)
      for number in numbers { sigaddset(&set, number) }
      var first: UInt64?
      while true {
        var number: Int32 = 0
        if sigwait(&set, &number) != 0 { continue }
        if number == SIGINT, let interrupt, interrupt() { continue }
        if number == SIGQUIT {
          quit?()
          continue
        }
        let now = HostClock.nanoseconds()
        if let first {
          if now &- first < together { continue }
          HostTerminal.restore()
          HostSockets.removeFiles()
          _exit(128 &+ number)
        }
        first = now
        handler(number)
      }
    }
  }

  private static func isIgnored(_ number: Int32) -> Bool {
    let former = signal(number, SIG_IGN)
    // SIG_IGN is the function at address 1.
    if unsafeBitCast(former, to: Int.self) == 1 { return true }
    signal(number, former)
    return false
  }

  /// The number of the signal for a closed pipe.
  public static let pipe: Int32 = SIGPIPE

  /// Makes writes to closed pipes and sockets fail instead of killing the process.
  public static func ignorePipe() { signal(SIGPIPE, SIG_IGN) }
}
