// Where a picture goes in a window.
//
// Owns: aspect and scaling arithmetic. Must not know: SDL.

/// A place in a window, in its pixels.
struct DisplayRectangle: Equatable {
  var x: Int
  var y: Int
  var width: Int
  var height: Int
}

enum DisplayLayout {
  /// The window's size for a picture, while the user leaves that alone: one pixel for each of a picture of square ones that is about as
  /// large as the window usually is, or larger, as long as there is room for it; for other pictures the usual size.
  /// - Parameter room: what the display has for windows and their frames.
  static func windowSize(
    frameWidth: Int, frameHeight: Int, isSquare: Bool, usual: (width: Int, height: Int),
    room: (width: Int, height: Int)
  ) -> (width: Int, height: Int) {
    // A title bar and edges.
    let fits = frameWidth + 16 <= room.width && frameHeight + 48 <= room.height
    return fits && isSquare && frameWidth * 4 >= usual.width * 3
      && frameHeight * 4 >= usual.height * 3
      ? (frameWidth, frameHeight) : usual
  }

  /// The largest centred rectangle of the displayed shape.
  /// - Parameter integer: use whole multiples of the picture's pixels, as near to the shape as they come.
  static func place(
    frameWidth: Int, frameHeight: Int, aspectWidth: Int, aspectHeight: Int, windowWidth: Int,
    windowHeight: Int, integer: Bool
  ) -> DisplayRectangle {
    let (fw, fh) = (max(1, frameWidth), max(1, frameHeight))
    let (aw, ah) = (max(1, aspectWidth), max(1, aspectHeight))
    let (ww, wh) = (max(1, windowWidth), max(1, windowHeight))
    var width: Int
    var height: Int
    if ww * ah <= wh * aw {
      width = ww
      height = max(1, ww * ah / aw)
    } else {
      height = wh
      width = max(1, wh * aw / ah)
    }
    if integer, let exact = wholeMultiple(fw, fh, aw, ah, ww, wh) { (width, height) = exact }
    return DisplayRectangle(
      x: (ww - width) / 2, y: (wh - height) / 2, width: width, height: height)
  }

  /// How far from the right shape a pixel may be, so that a picture still looks like itself.
  private static let tolerance = 0.2

  /// The largest whole factors that come near to the shape, else the same one in both directions; nil: even one is too large.
  private static func wholeMultiple(
    _ fw: Int, _ fh: Int, _ aw: Int, _ ah: Int, _ ww: Int, _ wh: Int
  ) -> (Int, Int)? {
    let square = min(ww / fw, wh / fh)
    if square < 1 { return nil }
    var best = (fw * square, fh * square)
    var bestScore = -1.0
    for ky in 1...wh / fh {
      // The two whole factors around the right one.
      let ideal = Double(fh * ky * aw) / Double(ah * fw)
      for kx in [Int(ideal.rounded(.down)), Int(ideal.rounded(.up))]
      where kx >= 1 && fw * kx <= ww {
        let error = abs(Double(kx) / ideal - 1)
        if error > tolerance + 1e-9 { continue }
        // Size counts, but not at the price of a picture that looks wrong.
        let score = Double(fw * kx * fh * ky) * (1 - 4 * error)
        if score > bestScore {
          bestScore = score
          best = (fw * kx, fh * ky)
        }
      }
    }
    return best
  }
}
