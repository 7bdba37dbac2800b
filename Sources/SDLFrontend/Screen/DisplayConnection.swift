// The connection to an X server, which may break while the program runs.
//
// Owns: what Xlib does then: it would end the process with exit code 1. Must not know: what is still to be written.
// Follows: Xlib - C Language X Interface, 11.8.2. The library is SDL's and may not be there: nothing is linked with it.

#if SDL && os(Linux)
  #if canImport(Glibc)
    import Glibc
  #elseif canImport(Musl)
    import Musl
  #endif
  import Synchronization

  private typealias ErrorHandler =
    @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Int32
  private typealias IOErrorHandler = @convention(c) (UnsafeMutableRawPointer?) -> Int32
  private typealias SetErrorHandler = @convention(c) (ErrorHandler?) -> UnsafeMutableRawPointer?
  private typealias SetIOErrorHandler = @convention(c) (IOErrorHandler?) -> UnsafeMutableRawPointer?

  /// A request that the server refused costs a picture at most; Xlib would end the process.
  private func requestFailed(_ display: UnsafeMutableRawPointer?, _ error: UnsafeMutableRawPointer?)
    -> Int32
  { 0 }

  /// When this returns Xlib ends the process.
  private func connectionFailed(_ display: UnsafeMutableRawPointer?) -> Int32 {
    DisplayConnection.noteLoss()
    return 0
  }

  /// The connection to the display.
  public enum DisplayConnection {
    /// Set once, before any handler can be called.
    private nonisolated(unsafe) static var lost: () -> Void = {}
    private nonisolated(unsafe) static var mainThread = pthread_self()
    private static let otherThreadMetIt = Atomic<Bool>(false)

    /// Whether another thread than the window's has met the loss: it never goes on.
    public static var holdsAnotherThread: Bool {
      otherThreadMetIt.load(ordering: .acquiring)
    }

    /// From now on `body` is called when the connection is lost, on this thread, which is the window's. It ends the process. Call when
    /// there is a window.
    public static func watch(_ body: @escaping () -> Void) {
      guard let library = dlopen("libX11.so.6", RTLD_LAZY | RTLD_NOLOAD),
        let setIOError = dlsym(library, "XSetIOErrorHandler"),
        let setError = dlsym(library, "XSetErrorHandler")
      else { return }
      lost = body
      mainThread = pthread_self()
      _ = unsafeBitCast(setIOError, to: SetIOErrorHandler.self)(connectionFailed)
      _ = unsafeBitCast(setError, to: SetErrorHandler.self)(requestFailed)
    }

    fileprivate static func noteLoss() {
      if pthread_equal(pthread_self(), mainThread) != 0 { return lost() }
      // Waking the window is a request, too. Its own thread meets the loss soon, and whoever came here must not go back to Xlib.
      otherThreadMetIt.store(true, ordering: .releasing)
      while true { sleep(60) }
    }
  }
#else
  /// The connection to the display.
  public enum DisplayConnection {
    /// Elsewhere nothing is known of it.
    public static func watch(_ body: @escaping () -> Void) {}
    public static var holdsAnotherThread: Bool { false }
  }
#endif
