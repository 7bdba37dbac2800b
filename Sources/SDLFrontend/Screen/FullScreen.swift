// The whole display for the window.
//
// Owns: going there and back, with a window manager and without one. Must not know: events, pictures.
// Follows: Extended Window Manager Hints 1.5 (_NET_SUPPORTING_WM_CHECK). SDL asks the window manager for full screen and takes it for done;
// on a bare X display nobody does it, and the window has to be made as large as the display.

#if SDL
  import CSDL2

  #if canImport(Glibc)
    import Glibc
  #elseif canImport(Musl)
    import Musl
  #elseif canImport(Darwin)
    import Darwin
  #endif

  extension SDLFrontend {
    func toggleFullScreen() {
      if let place = placeBefore {
        fullScreen = false
        placeBefore = nil
        move(to: place)
        SDL_SetWindowBordered(window, SDL_TRUE)
      } else if !fullScreen, WindowManager.isMissing {
        var (place, display) = (SDL_Rect(), SDL_Rect())
        SDL_GetWindowPosition(window, &place.x, &place.y)
        SDL_GetWindowSize(window, &place.w, &place.h)
        if SDL_GetDisplayBounds(max(0, SDL_GetWindowDisplayIndex(window)), &display) == 0 {
          placeBefore = place
          fullScreen = true
          SDL_SetWindowBordered(window, SDL_FALSE)
          move(to: display)
        }
      } else {
        let flags = fullScreen ? 0 : SDL_WINDOW_FULLSCREEN_DESKTOP.rawValue
        if SDL_SetWindowFullscreen(window, flags) == 0 { fullScreen.toggle() }
      }
      _ = SDL_ShowCursor(fullScreen ? 0 : 1)
      let hint = "Alt+Enter leaves full screen"
      if fullScreen {
        tell(hint)
      } else if notice?.text == hint {
        notice = nil
        updateTitle(force: true)
      }
      needsRedraw = true
    }

    private func move(to place: SDL_Rect) {
      SDL_SetWindowPosition(window, place.x, place.y)
      SDL_SetWindowSize(window, place.w, place.h)
    }
  }

  /// The manager of an X display's windows.
  private enum WindowManager {
    /// Whether the display is X without one that knows full screen.
    static var isMissing: Bool {
      guard SDL_GetCurrentVideoDriver().map({ String(cString: $0) }) == "x11",
        let library = dlopen("libX11.so.6", RTLD_LAZY | RTLD_LOCAL)
      else { return false }
      // A connection of its own: what is asked there disturbs nothing of SDL's.
      typealias Display = OpaquePointer
      guard
        let open: @convention(c) (UnsafePointer<CChar>?) -> Display? = function(
          "XOpenDisplay", library),
        let root: @convention(c) (Display) -> UInt = function("XDefaultRootWindow", library),
        let atom: @convention(c) (Display, UnsafePointer<CChar>, Int32) -> UInt = function(
          "XInternAtom", library),
        let property:
          @convention(c) (
            Display, UInt, UInt, Int, Int, Int32, UInt, UnsafeMutablePointer<UInt>,
            UnsafeMutablePointer<Int32>, UnsafeMutablePointer<UInt>, UnsafeMutablePointer<UInt>,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>
          ) -> Int32 = function("XGetWindowProperty", library),
        let free: @convention(c) (UnsafeMutableRawPointer) -> Int32 = function("XFree", library),
        let close: @convention(c) (Display) -> Int32 = function("XCloseDisplay", library),
        let display = open(nil)
      else { return false }
      defer { _ = close(display) }
      let name = atom(display, "_NET_SUPPORTING_WM_CHECK", 0)
      var (type, count, rest): (UInt, UInt, UInt) = (0, 0, 0)
      var format: Int32 = 0
      var value: UnsafeMutableRawPointer?
      let status = property(
        display, root(display), name, 0, 1, 0, 0, &type, &format, &count, &rest, &value)
      if let value { _ = free(value) }
      return status == 0 && count == 0
    }

    private static func function<Function>(
      _ name: String, _ library: UnsafeMutableRawPointer
    ) -> Function? {
      dlsym(library, name).map { unsafeBitCast($0, to: Function.self) }
    }
  }
#endif
