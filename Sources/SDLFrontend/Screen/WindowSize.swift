// The size of a window that its user has not chosen.
//
// Owns: noticing that the user has, changing it with the picture. Must not know: pictures' pixels, full screen.

#if SDL
  import CSDL2

  @MainActor
  final class WindowSize {
    private let window: OpaquePointer
    private let usual: (width: Int, height: Int)
    /// Nobody but this has given it a size.
    private var isOurs: Bool
    /// As it was given last.
    private var current: (width: Int, height: Int)
    private var picture = (width: 0, height: 0)

    /// - Parameter isGiven: the user has said how large it is to be.
    init(_ window: OpaquePointer, usual: (width: Int, height: Int), isGiven: Bool) {
      (self.window, self.usual, current, isOurs) = (window, usual, usual, !isGiven)
    }

    /// A picture of this size is shown from now on.
    func follow(_ width: Int, _ height: Int, isSquare: Bool) {
      if !isOurs || picture == (width, height) { return }
      picture = (width, height)
      var (w, h): (Int32, Int32) = (0, 0)
      SDL_GetWindowSize(window, &w, &h)
      if (Int(w), Int(h)) != current {
        isOurs = false
        return
      }
      var bounds = SDL_Rect()
      guard SDL_GetDisplayUsableBounds(max(0, SDL_GetWindowDisplayIndex(window)), &bounds) == 0
      else { return }
      let wanted = DisplayLayout.windowSize(
        frameWidth: width, frameHeight: height, isSquare: isSquare, usual: usual,
        room: (Int(bounds.w), Int(bounds.h)))
      if wanted == current { return }
      SDL_SetWindowSize(window, Int32(wanted.width), Int32(wanted.height))
      current = wanted
    }
  }
#endif
