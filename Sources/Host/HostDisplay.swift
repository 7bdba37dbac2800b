// Whether a window can be opened at all.
//
// Owns: what tells that before anything is tried. Must not know: the library that opens windows.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The host's display.
public enum HostDisplay {
  /// Why there can be no window, or nil where there may be one.
  public static var obstacle: String? {
    #if canImport(Darwin)
      return nil
    #else
      func isSet(_ name: String) -> Bool {
        guard let value = getenv(name) else { return false }
        return value.pointee != 0
      }
      // Who chooses a driver of SDL's knows what he does.
      if ["DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"].contains(
        where: isSet)
      {
        return nil
      }
      return "there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    #endif
  }

  /// Does something during which libraries have nothing to say on standard error.
  public static func silently<T>(_ body: () -> T) -> T {
    let saved = fcntl(2, F_DUPFD_CLOEXEC, 3)
    let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
    if saved >= 0, null >= 0 { dup2(null, 2) }
    let result = body()
    if saved >= 0 {
      if null >= 0 { dup2(saved, 2) }
      close(saved)
    }
    if null >= 0 { close(null) }
    return result
  }
}
