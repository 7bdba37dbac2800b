// The host's clocks: for pacing, guards and the start value of a guest's calendar. Never for devices.
//
// Owns: reading and sleeping. Must not know: virtual time.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The host's time.
public enum HostClock {
  /// Nanoseconds of a clock that never goes back; its zero means nothing.
  public static func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }

  /// Local wall-clock time as seconds since 1970-01-01 00:00:00 of the same local time: what a PC's clock shows.
  public static func localSeconds() -> Int64 {
    var now = time(nil)
    var parts = tm()
    localtime_r(&now, &parts)
    return Int64(now) &+ Int64(parts.tm_gmtoff)
  }

  /// Processor time that the calling thread used so far, in nanoseconds.
  public static func threadNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }

  /// Processor time that this process used so far, in nanoseconds.
  public static func processNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }
}
