// Pictures in a window without a graphics processor.
//
// Owns: the window's surface. Must not know: events, the machine.
// An OpenGL that runs in software takes much memory and draws everything anew; here only what changed is drawn and sent.

#if SDL
  import CSDL2
  import Video

  #if canImport(Glibc)
    import Glibc
  #elseif canImport(Musl)
    import Musl
  #endif

  /// What shows pictures in a window.
  @MainActor
  protocol WindowScreen: AnyObject {
    var integerScaling: Bool { get set }
    /// Takes over a picture.
    func upload(_ frame: borrowing Frame)
    /// Shows the picture.
    /// - Parameter everything: not only what changed: the window has a new size or was uncovered.
    func draw(everything: Bool)
    /// What the window shows, read back from it.
    func capture() -> Frame?
    /// Drops what the host has lost.
    func forgetTextures()
    func close()
  }

  enum WindowScreens {
    /// The right one for this host; nil when nothing can draw into the window.
    @MainActor static func make(window: OpaquePointer) -> (any WindowScreen)? {
      let chosen = SDL_getenv("SDL_RENDER_DRIVER").map { String(cString: $0) } ?? ""
      if chosen.isEmpty, !hasGraphicsProcessor, let screen = SDLSurfaceScreen(window: window) {
        return screen
      }
      return SDLScreen(window: window) ?? SDLSurfaceScreen(window: window)
    }

    /// Where this cannot be told it is taken for granted.
    private static var hasGraphicsProcessor: Bool {
      #if os(Linux)
        for path in [
          "/dev/dri/renderD128", "/dev/dri/card0", "/dev/dri/card1", "/dev/nvidia0", "/dev/dxg",
        ]
        where access(path, R_OK | W_OK) == 0 {
          return true
        }
        return false
      #else
        return true
      #endif
    }
  }

  /// Draws frames into the memory of a window.
  @MainActor
  final class SDLSurfaceScreen: WindowScreen {
    private let window: OpaquePointer
    private var scaler = PictureScaler()
    private var size = (width: 0, height: 0)
    /// Where the picture is; what is beside it is black.
    private var place: DisplayRectangle?
    var integerScaling = false { didSet { scaler.forget() } }

    /// nil when the window's memory has another form than 32-bit pixels.
    init?(window: OpaquePointer) {
      // Else SDL makes the surface a texture of the renderer that is to be avoided.
      _ = SDL_SetHint("SDL_FRAMEBUFFER_ACCELERATION", "0")
      self.window = window
      guard let surface = SDL_GetWindowSurface(window) else { return nil }
      let format = surface.pointee.format.pointee
      guard format.BytesPerPixel == 4, format.Rmask == 0xFF0000, format.Gmask == 0xFF00,
        format.Bmask == 0xFF
      else { return nil }
    }

    func close() {}
    func forgetTextures() { scaler.forget() }
    func upload(_ frame: borrowing Frame) { scaler.take(frame) }

    func draw(everything: Bool) {
      guard let surface = SDL_GetWindowSurface(window) else { return }
      let (w, h) = (Int(surface.pointee.w), Int(surface.pointee.h))
      guard w > 0, h > 0, SDL_LockSurface(surface) == 0 else { return }
      guard let memory = surface.pointee.pixels else {
        SDL_UnlockSurface(surface)
        return
      }
      let pitch = Int(surface.pointee.pitch) / 4
      let target = memory.bindMemory(to: UInt32.self, capacity: pitch * h)
      let place = DisplayLayout.place(
        frameWidth: scaler.width, frameHeight: scaler.height, aspectWidth: scaler.aspect.width,
        aspectHeight: scaler.aspect.height, windowWidth: w, windowHeight: h,
        integer: integerScaling)
      let all = everything || size != (w, h) || place != self.place
      if all {
        size = (w, h)
        self.place = place
        scaler.forget()
        for y in 0..<h { (target + y * pitch).update(repeating: 0xFF00_0000, count: w) }
      }
      var drawn = scaler.draw(into: target, pitch: pitch, place: place)
      SDL_UnlockSurface(surface)
      if all { drawn = [DisplayRectangle(x: 0, y: 0, width: w, height: h)] }
      if drawn.isEmpty { return }
      let rectangles = drawn.map {
        SDL_Rect(x: Int32($0.x), y: Int32($0.y), w: Int32($0.width), h: Int32($0.height))
      }
      _ = SDL_UpdateWindowSurfaceRects(window, rectangles, Int32(rectangles.count))
    }

    func capture() -> Frame? {
      guard let surface = SDL_GetWindowSurface(window), let memory = surface.pointee.pixels else {
        return nil
      }
      let (w, h) = (Int(surface.pointee.w), Int(surface.pointee.h))
      guard w > 0, h > 0 else { return nil }
      var frame = Frame(width: w, height: h)
      let pitch = Int(surface.pointee.pitch)
      for y in 0..<h {
        for x in 0..<w {
          frame.pixels[y * w + x] =
            memory.load(fromByteOffset: y * pitch + x * 4, as: UInt32.self) | 0xFF00_0000
        }
      }
      return frame
    }
  }
#endif
