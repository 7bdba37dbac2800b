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
    /// - Parameter everything: not only what changed: `draw` will be asked for all of it.
    func upload(_ frame: borrowing Frame, everything: Bool)
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
    /// The window was made black since it was shown last.
    private var isBlack = false
    /// The picture needs no scaling: its pixels are in the window's memory and nowhere else, that of `mark`.
    private var isDirect = false
    private var mark = Frame.Mark()
    private var changes = PictureChanges()
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
    /// The window's memory as it is now.
    private struct Canvas {
      var pixels: UnsafeMutablePointer<UInt32>
      /// Pixels from one row to the next.
      var pitch: Int
      var width: Int
      var height: Int
    }

    private func withCanvas(_ body: (Canvas) -> Void) {
      guard let surface = SDL_GetWindowSurface(window) else { return }
      let (w, h) = (Int(surface.pointee.w), Int(surface.pointee.h))
      guard w > 0, h > 0, SDL_LockSurface(surface) == 0 else { return }
      defer { SDL_UnlockSurface(surface) }
      guard let memory = surface.pointee.pixels else { return }
      let pitch = Int(surface.pointee.pitch) / 4
      body(
        Canvas(
          pixels: memory.bindMemory(to: UInt32.self, capacity: pitch * h), pitch: pitch, width: w,
          height: h))
    }

    /// A picture that needs no scaling goes into the window's memory at once, which is the copy that the next one is compared with.
    func upload(_ frame: borrowing Frame, everything: Bool) {
      withCanvas { canvas in
        let place = DisplayLayout.place(
          frameWidth: frame.width, frameHeight: frame.height, aspectWidth: frame.aspectWidth,
          aspectHeight: frame.aspectHeight, windowWidth: canvas.width,
          windowHeight: canvas.height, integer: integerScaling)
        let wasDirect = isDirect
        isDirect = place.width == frame.width && place.height == frame.height
        if !isDirect {
          if wasDirect { scaler = PictureScaler() }
          return scaler.take(frame)
        }
        if prepare(canvas, place, anyway: everything || !wasDirect) { mark = Frame.Mark() }
        let known = mark
        mark = frame.mark
        let first = canvas.pixels + place.y * canvas.pitch + place.x
        frame.pixels.withUnsafeBufferPointer { new in
          guard let new = new.baseAddress else { return }
          for y in 0..<frame.height where frame.differs(line: y, from: known) {
            changes.take(
              row: y, from: new + y * frame.width, to: first + y * canvas.pitch,
              width: frame.width)
          }
        }
      }
    }

    /// Makes a window black whose picture goes to another place than the last one, or anyway.
    /// - Returns: whether it did.
    private func prepare(_ canvas: Canvas, _ place: DisplayRectangle, anyway: Bool = false) -> Bool
    {
      if !anyway, size == (canvas.width, canvas.height), place == self.place { return false }
      size = (canvas.width, canvas.height)
      self.place = place
      for y in 0..<canvas.height {
        (canvas.pixels + y * canvas.pitch).update(repeating: 0xFF00_0000, count: canvas.width)
      }
      isBlack = true
      return true
    }

    func draw(everything: Bool) {
      var drawn: [DisplayRectangle] = []
      withCanvas { canvas in
        if isDirect {
          // Where the window has got another size just now, all of it follows.
          if let place, size == (canvas.width, canvas.height) {
            drawn = changes.rows.map {
              DisplayRectangle(
                x: place.x + changes.columns.lowerBound, y: place.y + $0.lowerBound,
                width: changes.columns.count, height: $0.count)
            }
          }
          changes = PictureChanges()
        } else {
          let place = DisplayLayout.place(
            frameWidth: scaler.width, frameHeight: scaler.height,
            aspectWidth: scaler.aspect.width, aspectHeight: scaler.aspect.height,
            windowWidth: canvas.width, windowHeight: canvas.height, integer: integerScaling)
          if prepare(canvas, place, anyway: everything) { scaler.forget() }
          drawn = scaler.draw(into: canvas.pixels, pitch: canvas.pitch, place: place)
        }
        if isBlack {
          isBlack = false
          drawn = [DisplayRectangle(x: 0, y: 0, width: canvas.width, height: canvas.height)]
        }
      }
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
