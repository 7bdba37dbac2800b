// Pictures in a window through SDL's renderer.
//
// Owns: the renderer and its textures. Must not know: events, the machine.

#if SDL
  import CSDL2
  import Video

  /// Draws frames into a window, in their displayed shape.
  @MainActor
  final class SDLScreen: WindowScreen {
    private let renderer: OpaquePointer
    private var texture: OpaquePointer?
    /// The picture enlarged by whole factors, from which the window's size is made by averaging: sharp at every size.
    private var enlarged: OpaquePointer?
    private var enlargedSize = (width: 0, height: 0)
    private var frameSize = (width: 0, height: 0)
    /// Which picture the texture has.
    private var mark = Frame.Mark()
    private var aspect = (width: 4, height: 3)
    var integerScaling = false

    /// nil when no renderer works on the window.
    init?(window: OpaquePointer) {
      _ = SDL_SetHint("SDL_RENDER_BATCHING", "1")
      let accelerated = SDL_RENDERER_ACCELERATED.rawValue | SDL_RENDERER_TARGETTEXTURE.rawValue
      guard
        let renderer = SDL_CreateRenderer(window, -1, accelerated)
          ?? SDL_CreateRenderer(window, -1, SDL_RENDERER_SOFTWARE.rawValue)
      else { return nil }
      self.renderer = renderer
    }

    func close() {
      forgetTextures()
      SDL_DestroyRenderer(renderer)
    }

    /// Drops the textures, whose contents the host has lost.
    func forgetTextures() {
      if let texture { SDL_DestroyTexture(texture) }
      if let enlarged { SDL_DestroyTexture(enlarged) }
      texture = nil
      enlarged = nil
      frameSize = (0, 0)
      mark = Frame.Mark()
      enlargedSize = (0, 0)
    }

    private func makeTexture(_ access: SDL_TextureAccess, _ width: Int, _ height: Int)
      -> OpaquePointer?
    {
      SDL_CreateTexture(
        renderer, SDL_PIXELFORMAT_ARGB8888.rawValue, Int32(access.rawValue), Int32(width),
        Int32(height))
    }

    /// Takes over a picture.
    func upload(_ frame: borrowing Frame, everything: Bool) {
      let size = (width: frame.width, height: frame.height)
      aspect = (frame.aspectWidth, frame.aspectHeight)
      if texture == nil || size != frameSize {
        forgetTextures()
        texture = makeTexture(SDL_TEXTUREACCESS_STREAMING, size.width, size.height)
        guard let texture else { return }
        _ = SDL_SetTextureScaleMode(texture, SDL_ScaleModeNearest)
        frameSize = size
      }
      guard let texture,
        let first = (0..<size.height).first(where: { frame.differs(line: $0, from: mark) }),
        let last = (0..<size.height).last(where: { frame.differs(line: $0, from: mark) })
      else { return }
      mark = frame.mark
      var lines = SDL_Rect(
        x: 0, y: Int32(first), w: Int32(size.width), h: Int32(last - first + 1))
      frame.pixels.withUnsafeBytes {
        _ = SDL_UpdateTexture(
          texture, &lines, $0.baseAddress.map { $0 + first * size.width * 4 },
          Int32(size.width * 4))
      }
    }

    /// Shows the picture.
    func draw(everything: Bool) {
      var (w, h): (Int32, Int32) = (0, 0)
      _ = SDL_GetRendererOutputSize(renderer, &w, &h)
      _ = SDL_SetRenderTarget(renderer, nil)
      _ = SDL_SetRenderDrawColor(renderer, 0, 0, 0, 255)
      _ = SDL_RenderClear(renderer)
      if let texture, w > 0, h > 0 {
        let place = DisplayLayout.place(
          frameWidth: frameSize.width, frameHeight: frameSize.height, aspectWidth: aspect.width,
          aspectHeight: aspect.height, windowWidth: Int(w), windowHeight: Int(h),
          integer: integerScaling)
        var target = SDL_Rect(
          x: Int32(place.x), y: Int32(place.y), w: Int32(place.width), h: Int32(place.height))
        let source = enlarge(texture, to: place) ?? texture
        _ = SDL_RenderCopy(renderer, source, nil, &target)
      }
      SDL_RenderPresent(renderer)
    }

    /// The picture at the next whole multiple above its place, unless it fits exactly or that would be too large.
    private func enlarge(_ texture: OpaquePointer, to place: DisplayRectangle) -> OpaquePointer? {
      if place.width % frameSize.width == 0, place.height % frameSize.height == 0 { return nil }
      let width = (place.width + frameSize.width - 1) / frameSize.width * frameSize.width
      let height = (place.height + frameSize.height - 1) / frameSize.height * frameSize.height
      if width > 8192 || height > 8192 { return nil }
      if enlarged == nil || enlargedSize != (width, height) {
        if let enlarged { SDL_DestroyTexture(enlarged) }
        enlarged = makeTexture(SDL_TEXTUREACCESS_TARGET, width, height)
        enlargedSize = (width, height)
        if let enlarged { _ = SDL_SetTextureScaleMode(enlarged, SDL_ScaleModeLinear) }
      }
      guard let enlarged, SDL_SetRenderTarget(renderer, enlarged) == 0 else { return nil }
      _ = SDL_RenderCopy(renderer, texture, nil, nil)
      _ = SDL_SetRenderTarget(renderer, nil)
      return enlarged
    }

    /// What the window shows, read back from it.
    func capture() -> Frame? {
      var (w, h): (Int32, Int32) = (0, 0)
      guard SDL_GetRendererOutputSize(renderer, &w, &h) == 0, w > 0, h > 0 else { return nil }
      var frame = Frame(width: Int(w), height: Int(h))
      let pitch = w * 4
      let result = frame.pixels.withUnsafeMutableBytes {
        SDL_RenderReadPixels(
          renderer, nil, SDL_PIXELFORMAT_ARGB8888.rawValue, $0.baseAddress, pitch)
      }
      return result == 0 ? frame : nil
    }
  }
#endif
