// Pictures as PNG files.
//
// Owns: the PNG container and scaling to the displayed shape; deflate and CRC are zlib's. Must not know: files.
// Follows the W3C PNG specification (third edition).

import CZlib

/// Writes PNG.
public enum PNG {
  /// The file for a picture, 8-bit RGB.
  /// - Parameter correctAspect: scale so that square pixels show the displayed shape; otherwise pixel for pixel.
  public static func encode(_ frame: Frame, correctAspect: Bool = true) -> [UInt8] {
    let picture = correctAspect ? scaled(frame) : frame
    let rowBytes = picture.width * 3 + 1
    var raw = [UInt8](repeating: 0, count: rowBytes * picture.height)
    var at = 0
    for y in 0..<picture.height {
      at += 1  // filter type 0
      for x in 0..<picture.width {
        let pixel = picture.pixels[y * picture.width + x]
        raw[at] = UInt8(truncatingIfNeeded: pixel >> 16)
        raw[at + 1] = UInt8(truncatingIfNeeded: pixel >> 8)
        raw[at + 2] = UInt8(truncatingIfNeeded: pixel)
        at += 3
      }
    }
    var file: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    chunk("IHDR", big(picture.width) + big(picture.height) + [8, 2, 0, 0, 0], to: &file)
    chunk("IDAT", deflated(raw), to: &file)
    chunk("IEND", [], to: &file)
    return file
  }

  private static func big(_ value: Int) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
  }

  private static func chunk(_ type: String, _ data: [UInt8], to file: inout [UInt8]) {
    let body = Array(type.utf8) + data
    file += big(data.count)
    file += body
    file += big(Int(crc32(0, body, UInt32(body.count))))
  }

  private static func deflated(_ data: [UInt8]) -> [UInt8] {
    var size = compressBound(UInt(data.count))
    return [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
      let result = compress2(buffer.baseAddress, &size, data, UInt(data.count), 6)
      // The only failures are lack of memory and of room, and the room is the bound.
      precondition(result == Z_OK)
      count = Int(size)
    }
  }

  // MARK: Scaling

  /// The picture with square pixels: never smaller than it was, and small ones twice as large.
  public static func scaled(_ frame: Frame) -> Frame {
    var width: Int
    var height: Int
    let (aspectX, aspectY) = (max(1, frame.aspectWidth), max(1, frame.aspectHeight))
    if frame.width * aspectY >= frame.height * aspectX {
      width = frame.width
      height = (width * aspectY + aspectX / 2) / aspectX
    } else {
      height = frame.height
      width = (height * aspectX + aspectY / 2) / aspectY
    }
    // 320 columns are shown as 640, so that 200 lines need no blending over less than two rows each.
    if width <= 400 {
      width *= 2
      height *= 2
    }
    width = max(1, width)
    height = max(1, height)
    if width == frame.width, height == frame.height { return frame }
    return resample(frame, width: width, height: height)
  }

  /// Each new pixel is the average of the area it covers: exact copies at whole factors, sharp edges otherwise.
  private static func resample(_ frame: Frame, width: Int, height: Int) -> Frame {
    let columns = spans(from: frame.width, to: width)
    let rows = spans(from: frame.height, to: height)
    var result = Frame(width: width, height: height)
    for y in 0..<height {
      for x in 0..<width {
        var red = 0
        var green = 0
        var blue = 0
        var total = 0
        for (sy, wy) in rows[y] {
          for (sx, wx) in columns[x] {
            let pixel = Int(frame.pixels[sy * frame.width + sx])
            let weight = wy * wx
            red += (pixel >> 16 & 0xFF) * weight
            green += (pixel >> 8 & 0xFF) * weight
            blue += (pixel & 0xFF) * weight
            total += weight
          }
        }
        let half = total / 2
        red = (red + half) / total
        green = (green + half) / total
        blue = (blue + half) / total
        result.pixels[y * width + x] = 0xFF00_0000 | UInt32(red << 16 | green << 8 | blue)
      }
    }
    return result
  }

  /// For each target position the source positions it covers, with the lengths in units of 1 / `target` of a source pixel.
  private static func spans(from source: Int, to target: Int) -> [[(Int, Int)]] {
    (0..<target).map { t in
      // Target pixel t covers [t * source, (t + 1) * source) on a scale where a source pixel is `target` long.
      let start = t * source
      let end = start + source
      var parts: [(Int, Int)] = []
      var i = start / target
      while i * target < end {
        parts.append((i, min(end, (i + 1) * target) - max(start, i * target)))
        i += 1
      }
      return parts
    }
  }
}
