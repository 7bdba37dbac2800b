// Keeping two users of an image file apart.
//
// Owns: which locks are taken, and when somebody else's are in the way. Must not know: what is in files.
// After: flock(2); fcntl(2), "open file description locks". QEMU (since 2.10) tells others by locks on single bytes of the file what it does
// with it and what others must not do; Apus says the same of itself there, so that both hear of each other.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The locks of an open file. All are advisory, and the file description's: they go when it is closed.
enum FileLock {
  /// Takes them; those that were held before change to these.
  /// - Parameter exclusive: to write; otherwise others may read, too.
  /// - Returns: false: somebody else's are in the way, and none is held.
  static func take(_ descriptor: Int32, exclusive: Bool) -> Bool {
    let mode = (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB
    while flock(descriptor, mode) != 0 {
      if errno == EINTR { continue }
      // File systems without locks get none: refusing them would lock their users out.
      if errno == EWOULDBLOCK { return false }
      break
    }
    if QEMULocks.take(descriptor, exclusive: exclusive) { return true }
    release(descriptor)
    return false
  }

  static func release(_ descriptor: Int32) {
    QEMULocks.release(descriptor)
    _ = flock(descriptor, LOCK_UN)
  }
}

#if os(Linux)
  /// QEMU's locks. For each thing that a user may do there is a byte that is locked by those who do it, and one that is locked by those who do
  /// not want others to do it. All locks are shared ones; whoever comes looks whether a byte that speaks against it is locked.
  private enum QEMULocks {
    /// The numbers of what a user may do.
    private enum Use: Int, CaseIterable {
      case consistentRead
      case write
      case writeUnchanged
      case resize
    }

    private static let does = 100
    private static let mustNot = 200
    /// F_OFD_GETLK, F_OFD_SETLK
    private static let (getLock, setLock): (Int32, Int32) = (36, 37)

    private static func call(_ descriptor: Int32, _ command: Int32, _ type: Int32, _ byte: Int)
      -> Int16?
    {
      var lock = flock()
      lock.l_type = Int16(type)
      lock.l_whence = Int16(SEEK_SET)
      lock.l_start = off_t(byte)
      lock.l_len = 1
      while true {
        let result = withUnsafeMutablePointer(to: &lock) { fcntl(descriptor, command, $0) }
        if result == 0 { return lock.l_type }
        if errno != EINTR { return nil }
      }
    }

    /// What an own user does, and what others must not.
    private static func uses(_ exclusive: Bool) -> (does: [Use], mustNot: [Use]) {
      (exclusive ? [.consistentRead, .write, .resize] : [.consistentRead], [.write, .resize])
    }

    static func take(_ descriptor: Int32, exclusive: Bool) -> Bool {
      let (own, others) = uses(exclusive)
      for use in Use.allCases {
        for (base, list) in [(does, own), (mustNot, others)] {
          let type = list.contains(use) ? F_RDLCK : F_UNLCK
          // A host, or a file system, that has no such locks: then there are none.
          if call(descriptor, setLock, Int32(type), base + use.rawValue) == nil { return true }
        }
      }
      func isLocked(_ byte: Int) -> Bool {
        let found = call(descriptor, getLock, Int32(F_WRLCK), byte)
        return found != nil && found != Int16(F_UNLCK)
      }
      return !own.contains { isLocked(mustNot + $0.rawValue) }
        && !others.contains { isLocked(does + $0.rawValue) }
    }

    static func release(_ descriptor: Int32) {
      for use in Use.allCases {
        for base in [does, mustNot] {
          if call(descriptor, setLock, Int32(F_UNLCK), base + use.rawValue) == nil { return }
        }
      }
    }
  }
#else
  /// Such locks are Linux's.
  private enum QEMULocks {
    static func take(_ descriptor: Int32, exclusive: Bool) -> Bool { true }
    static func release(_ descriptor: Int32) {}
  }
#endif
