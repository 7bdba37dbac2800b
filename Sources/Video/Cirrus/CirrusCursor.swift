// The cursor that the chip puts over the picture.
//
// Owns: its image as memory and registers have it, drawing it. Must not know: what is beneath.
// Follows: Cirrus Logic CL-GD5446 Technical Reference Manual, SR10 to SR13: 32 by 32 or 64 by 64 pixels of two bits in the last 16 KiB.
// (plane 1, plane 0): 00 transparent, 01 inverted, 10 the first colour, 11 the second.

/// The cursor at one moment.
struct CursorImage: Equatable {
  var x: Int
  var y: Int
  /// Pixels of a side.
  var size: Int
  /// Plane 0 and plane 1, a line after the other.
  var planes: [[UInt8]]
  var colours: [UInt32]

  var rows: Range<Int> { y..<y + size }

  func draw(into frame: inout Frame) {
    for row in rows.clamped(to: 0..<frame.height) {
      for column in 0..<size where x + column < frame.width {
        let at = (row - y) * size / 8 + column / 8
        let bit = UInt8(0x80) >> UInt8(column & 7)
        let place = row * frame.width + x + column
        switch (planes[1][at] & bit != 0, planes[0][at] & bit != 0) {
        case (false, false): break
        case (false, true): frame.pixels[place] ^= 0xFF_FFFF
        case (true, let isSecond): frame.pixels[place] = colours[isSecond ? 1 : 0]
        }
      }
    }
  }
}

/// Where it is on the screen, and its image in memory.
struct CursorPlace: Equatable {
  var x: Int
  var y: Int
  /// Pixels of a side.
  var size: Int
  /// The first byte of the image, and bytes.
  var start: Int
  var count: Int { size * size / 4 }
}

extension VGA {
  /// Where the cursor is, while the chip shows one.
  var cursorPlace: CursorPlace? {
    guard let cirrus, cirrus.sr[0x12] & 0x01 != 0 else { return nil }
    let isLarge = cirrus.sr[0x12] & 0x04 != 0
    let number = Int(cirrus.sr[0x13] & (isLarge ? 0x3C : 0x3F))
    return CursorPlace(
      x: cirrus.cursorX, y: cirrus.cursorY, size: isLarge ? 64 : 32,
      start: video.size - 0x4000 + number * 256)
  }

  /// The cursor, while the chip shows one.
  var cursorImage: CursorImage? {
    guard let cirrus, let place = cursorPlace else { return nil }
    let size = place.size
    // Large ones have the lines of both planes in turn, small ones a plane after the other.
    let (line, plane) = (size / 8, size == 64 ? 8 : 128)
    let planes = (0..<2).map { n in
      (0..<size * line).map { at in
        video[place.start + n * plane + at / line * (size == 64 ? 16 : 4) + at % line]
      }
    }
    let colours = [0, 15].map { n -> UInt32 in
      let c = cirrus.cursorColours[3 * n..<3 * n + 3].map { UInt32($0) << 2 | UInt32($0) >> 4 }
      return 0xFF00_0000 | c[0] << 16 | c[1] << 8 | c[2]
    }
    return CursorImage(x: place.x, y: place.y, size: size, planes: planes, colours: colours)
  }
}
