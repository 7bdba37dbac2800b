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

  /// The time of day as seconds since 1970-01-01 00:00:00 UTC.
  public static func utcSeconds() -> Int64 { Int64(time(nil)) }

  /// Local wall-clock time as seconds since 1970-01-01 00:00:00 of the same local time: what a PC's clock shows.
  public static func localSeconds() -> Int64 { localSeconds(atUTC: utcSeconds()) }

  /// The local wall-clock time at a time of day, with the host's time zone and the summer time that holds there then.
  /// - Parameter utc: seconds since 1970-01-01 00:00:00 UTC.
  public static func localSeconds(atUTC utc: Int64) -> Int64 {
    var moment = time_t(utc)
    var parts = tm()
    // localtime_r need not look at the time zone by itself.
    tzset()
    // Beyond the years that it knows there is no zone to tell of.
    guard localtime_r(&moment, &parts) != nil else { return utc }
    return utc &+ Int64(parts.tm_gmtoff)
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
