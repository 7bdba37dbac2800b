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
    private static let isLost = Atomic<Bool>(false)

    /// From now on `body` is called when the connection is lost, on the thread that has met it. It ends the process. Call when there is
    /// a window.
    public static func watch(_ body: @escaping () -> Void) {
      guard let library = dlopen("libX11.so.6", RTLD_LAZY | RTLD_NOLOAD),
        let setIOError = dlsym(library, "XSetIOErrorHandler"),
        let setError = dlsym(library, "XSetErrorHandler")
      else { return }
      lost = body
      _ = unsafeBitCast(setIOError, to: SetIOErrorHandler.self)(connectionFailed)
      _ = unsafeBitCast(setError, to: SetErrorHandler.self)(requestFailed)
    }

    fileprivate static func noteLoss() {
      // Another thread that meets it while the first ends the process waits for that.
      if isLost.exchange(true, ordering: .sequentiallyConsistent) {
        sleep(60)
      } else {
        lost()
      }
    }
  }
#else
  /// The connection to the display.
  public enum DisplayConnection {
    /// Elsewhere nothing is known of it.
    public static func watch(_ body: @escaping () -> Void) {}
  }
#endif
