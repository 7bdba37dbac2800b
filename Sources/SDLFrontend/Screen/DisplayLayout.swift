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

  private static func wholeMultiple(
    _ fw: Int, _ fh: Int, _ aw: Int, _ ah: Int, _ ww: Int, _ wh: Int
  ) -> (Int, Int)? {
    var best: (Int, Int)?
    var bestScore = -1.0
    for ky in 1...max(1, wh / fh) where fh * ky <= wh {
      // The two whole factors around the right one.
      let ideal = Double(fh * ky * aw) / Double(ah * fw)
      for kx in [Int(ideal.rounded(.down)), Int(ideal.rounded(.up))]
      where kx >= 1 && fw * kx <= ww {
        // Size counts, but not at the price of a picture that looks wrong.
        let error = abs(Double(kx) / ideal - 1)
        let score = Double(fw * kx * fh * ky) * max(0.05, 1 - 4 * error)
        if score > bestScore {
          bestScore = score
          best = (fw * kx, fh * ky)
        }
      }
    }
    return best
  }
}
