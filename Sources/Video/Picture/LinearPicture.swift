// Pictures whose lines are runs of whole pixels in memory.
//
// Owns: their shape and where they are. Must not know: who set the mode, how pixels become colours on the host (LinearRenderer.swift).

/// How a pixel is kept, lowest byte first.
enum PixelFormat: UInt8, Sendable {
  /// A number of one of the DAC's colours.
  case indexed8
  /// Five bits each of blue, green, red, and one that is not used.
  case rgb15
  /// Five bits of blue, six of green, five of red.
  case rgb16
  /// A byte each of blue, green, red.
  case rgb24
  /// The same and one that is not used.
  case rgb32

  var bytes: Int {
    switch self {
    case .indexed8: 1
    case .rgb15, .rgb16: 2
    case .rgb24: 3
    case .rgb32: 4
    }
  }
}

/// A picture in linear memory.
struct LinearPicture: Equatable, Sendable {
  /// Pixels.
  var width: Int
  /// Different lines.
  var height: Int
  var format: PixelFormat
  /// The byte of memory where it begins.
  var start: Int
  /// Bytes from one line to the next.
  var pitch: Int
  /// From this line on it goes on with byte 0 of memory.
  var split = Int.max
  /// Whether the screen is dark.
  var isBlank = false

  /// The byte of memory where a line begins.
  func lineStart(_ y: Int) -> Int { y < split ? start + y * pitch : (y - split) * pitch }
  var lineBytes: Int { width * format.bytes }

}

extension Frame {
  /// Gives it the shape it is displayed in: small ones fill the screen, large ones have square pixels.
  mutating func shape() {
    let fills = width <= 720 && height <= 576 || width * 3 == height * 4
    (aspectWidth, aspectHeight) = fills ? (4, 3) : (width, height)
  }
}

extension VGA {
  /// The picture, while it is a linear one.
  var linearPicture: LinearPicture? {
    if let cirrus { return cirrusPicture(cirrus) }
    guard let display, display.isEnabled, display.depth >= 8 else { return nil }
    let format: PixelFormat =
      switch display.depth {
      case 15: .rgb15
      case 16: .rgb16
      case 24: .rgb24
      case 32: .rgb32
      default: .indexed8
      }
    return LinearPicture(
      width: display.width, height: display.height, format: format, start: display.start,
      pitch: display.pitch, isBlank: !isLit)
  }

  private func cirrusPicture(_ cirrus: CirrusChip) -> LinearPicture? {
    guard cirrus.isPacked, graphics.isGraphics else { return nil }
    var lines = crtc.displayEnd
    if cirrus.isInterlaced { lines *= 2 }
    var repeats = crtc.maximumScanLine + 1
    if crtc.doubleScan { repeats *= 2 }
    let start = Int(crtc.startAddress | cirrus.startAddress) * 4
    let pitch = (Int(crtc.registers[0x13]) | Int(cirrus.offset)) * 8
    var picture = LinearPicture(
      width: crtc.horizontalDisplay * 8, height: max(1, lines / repeats), format: cirrus.format,
      start: start, pitch: pitch, isBlank: !isLit)
    let split = (crtc.lineCompare + 1) / repeats
    if split < picture.height { picture.split = split }
    return picture
  }

  /// What the picture in planes has beyond the VGA's registers.
  var planarPicture: PlanarPicture? {
    if let cirrus, !cirrus.isPacked, graphics.isGraphics {
      if cirrus.startAddress == 0, cirrus.offset == 0, !cirrus.wrapsWide { return nil }
      return PlanarPicture(
        start: crtc.startAddress | cirrus.startAddress, pitch: crtc.rowPitch + cirrus.offset * 2,
        mask: cirrus.wrapsWide ? UInt32(video.size / 4 - 1) : 0xFFFF)
    }
    guard let display, display.isEnabled, display.depth == 4 else { return nil }
    return PlanarPicture(
      start: UInt32(display.start), pitch: UInt32(display.pitch), mask: UInt32(video.size / 4 - 1),
      size: (columns: display.width / 8, lines: display.height))
  }

  /// Whether anything but darkness is shown.
  var isLit: Bool {
    isEnabled && attribute.displayEnabled && !(cirrus?.isAsleep ?? false)
      && !(cirrus?.isDark ?? sequencer.screenOff)
  }

  /// Whether the screen shows pixels, not characters.
  var showsPixels: Bool { linearPicture != nil || graphics.isGraphics }
}
