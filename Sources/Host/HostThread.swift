// Threads with a chosen stack, and a lock one can wait on.
//
// Owns: pthread calls. Must not know: what runs in a thread.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A thread of the host.
public struct HostThread: @unchecked Sendable {
  private let handle: pthread_t

  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// Starts a thread.
  /// - Parameters:
  ///   - stackSize: bytes, rounded by the host.
  ///   - detached: nobody will `join` it.
  /// - Throws: `HostError` when the host has no thread to give.
  public init(
    stackSize: Int = 256 << 10, detached: Bool = false, _ body: @escaping @Sendable () -> Void
  ) throws(HostError) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, stackSize)
    if detached {
      pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    }
    let context = Unmanaged.passRetained(Body(body)).toOpaque()
    #if canImport(Darwin)
      var thread: pthread_t?
      let result = pthread_create(&thread, &attributes, HostThread.entry, context)
    #else
      var thread = pthread_t()
      let result = pthread_create(&thread, &attributes, HostThread.entry, context)
    #endif
    pthread_attr_destroy(&attributes)
    if result != 0 {
      Unmanaged<Body>.fromOpaque(context).release()
      throw HostError("the host starts no thread: \(String(cString: strerror(result)))")
    }
    #if canImport(Darwin)
      handle = thread!
    #else
      handle = thread
    #endif
  }

  #if canImport(Darwin)
    private static let entry: @convention(c) (UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? =
      {
        Unmanaged<Body>.fromOpaque($0).takeRetainedValue().run()
        return nil
      }
  #else
    private static let entry:
      @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? =
        {
          Unmanaged<Body>.fromOpaque($0!).takeRetainedValue().run()
          return nil
        }
  #endif

  /// How many threads the host runs at once.
  public static var processorCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// A number that no other thread has while this one lives.
  public static var currentIdentity: UInt {
    #if canImport(Darwin)
      UInt(bitPattern: pthread_self())
    #else
      UInt(pthread_self())
    #endif
  }

  /// Waits for the end of a thread that is not detached; once only.
  public func join() { pthread_join(handle, nil) }
}

/// A mutex with a condition to wait for.
public final class HostCondition: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  public init() {
    pthread_mutex_init(mutex, nil)
    #if canImport(Darwin)
      pthread_cond_init(condition, nil)
    #else
      var attributes = pthread_condattr_t()
      pthread_condattr_init(&attributes)
      // Waits must not depend on somebody setting the calendar.
      pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
      pthread_cond_init(condition, &attributes)
      pthread_condattr_destroy(&attributes)
    #endif
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// Runs `body` with the mutex held.
  @discardableResult
  public func locked<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }

  /// Lets go of the mutex for as long as `body` runs; inside `locked`.
  public func unlocked<T>(_ body: () -> T) -> T {
    pthread_mutex_unlock(mutex)
    defer { pthread_mutex_lock(mutex) }
    return body()
  }

  /// Wakes all who wait. With the mutex held or not.
  public func broadcast() { pthread_cond_broadcast(condition) }

  /// Waits with the mutex held (inside `locked`); may wake without a reason.
  /// - Parameter nanoseconds: at most this long; nil: until woken.
  public func wait(nanoseconds: UInt64? = nil) {
    guard let nanoseconds else {
      pthread_cond_wait(condition, mutex)
      return
    }
    var time = timespec()
    #if canImport(Darwin)
      time.tv_sec = Int(nanoseconds / 1_000_000_000)
      time.tv_nsec = Int(nanoseconds % 1_000_000_000)
      pthread_cond_timedwait_relative_np(condition, mutex, &time)
    #else
      let end = HostClock.nanoseconds() &+ min(nanoseconds, 1 << 60)
      time.tv_sec = Int(end / 1_000_000_000)
      time.tv_nsec = Int(end % 1_000_000_000)
      pthread_cond_timedwait(condition, mutex, &time)
    #endif
  }
}
