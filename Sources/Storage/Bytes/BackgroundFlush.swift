// Flushes of a host file that nobody waits for.
//
// Owns: the thread that flushes, and which flushes are done. Must not know: what was written, and what may be written when it is done.

import Host

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The flushes of one descriptor. A thread is there only while there is something to flush.
final class BackgroundFlush: @unchecked Sendable {
  private let condition = HostCondition()
  // All below only with the condition's lock.
  private var asked: UInt64 = 0
  private var done: UInt64 = 0
  private var isRunning = false
  private var failure: Int32 = 0

  /// Flushes a descriptor, and waits; 0, or an error's number.
  static func flush(_ descriptor: Int32) -> Int32 {
    #if canImport(Darwin)
      let result = fcntl(descriptor, F_FULLFSYNC) == -1 ? fsync(descriptor) : 0
    #else
      let result = fdatasync(descriptor)
    #endif
    return result == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : errno
  }

  /// Begins a flush of all that was written before.
  /// - Returns: its number; nil where the host has no thread for it.
  func begin(_ descriptor: Int32) -> UInt64? {
    let (number, starts) = condition.locked {
      asked += 1
      defer { isRunning = true }
      return (asked, !isRunning)
    }
    if !starts { return number }
    let isThere = (try? HostThread(detached: true) { [self] in work(descriptor) }) != nil
    if !isThere { condition.locked { isRunning = false } }
    return isThere ? number : nil
  }

  private func work(_ descriptor: Int32) {
    while true {
      let wanted: UInt64? = condition.locked {
        if done < asked { return asked }
        isRunning = false
        condition.broadcast()
        return nil
      }
      guard let wanted else { return }
      let result = BackgroundFlush.flush(descriptor)
      condition.locked {
        if result == 0 {
          done = max(done, wanted)
        } else {
          // Who waits for it begins anew.
          failure = result
          isRunning = false
          condition.broadcast()
        }
      }
      if result != 0 { return }
    }
  }

  /// Whether the flush with that number is done, and what went wrong since the last time that was told.
  func state(_ number: UInt64) -> (isDone: Bool, failure: Int32) {
    condition.locked { (done >= number, failure) }
  }

  /// The error of a flush that nobody was told of, once: the host tells of it only once, too.
  func takeFailure() -> Int32 {
    condition.locked {
      defer { failure = 0 }
      return failure
    }
  }

  /// Returns when no flush is under way: the descriptor can be closed.
  func wait() { condition.locked { while isRunning { condition.wait() } } }
}
