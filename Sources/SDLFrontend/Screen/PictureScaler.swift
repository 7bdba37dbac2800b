// Scaling a picture to a rectangle of 32-bit pixels, as much of it as changed.
//
// Owns: the arithmetic and the copy of the picture it compares with. Must not know: SDL.
//
// A pixel of the target is the average of what lies beneath it, as if the picture was first enlarged by a whole factor:
// sharp at every size. Only rows and columns that differ from the last picture are scaled again.

import Video

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What of a picture differs from a copy: columns and bands of rows.
struct PictureChanges {
  private(set) var columns = 0..<0
  private(set) var rows: [Range<Int>] = []

  /// Bands of changed rows that are nearer than this become one.
  private static let gap = 8

  /// Brings a row of the copy up to date and notes where it differed.
  mutating func take(
    row y: Int, from new: UnsafePointer<UInt32>, to old: UnsafeMutablePointer<UInt32>, width: Int
  ) {
    if memcmp(old, new, width * 4) == 0 { return }
    var left = 0
    while old[left] == new[left] { left += 1 }
    var right = width
    while old[right - 1] == new[right - 1] { right -= 1 }
    memcpy(old + left, new + left, (right - left) * 4)
    columns =
      columns.isEmpty
      ? left..<right : min(left, columns.lowerBound)..<max(right, columns.upperBound)
    if let last = rows.last, y < last.upperBound + PictureChanges.gap, y >= last.lowerBound {
      rows[rows.count - 1] = last.lowerBound..<max(last.upperBound, y + 1)
    } else {
      rows.append(y..<y + 1)
    }
  }
}

/// Scales pictures, remembering the last one.
struct PictureScaler {
  /// Where one pixel of the target comes from: two neighbours and the share of the second, in 1/256.
  private struct Tap {
    var first: Int32
    var second: Int32
    var share: UInt32
  }

  private(set) var width = 0
  private(set) var height = 0
  private(set) var aspect = (width: 4, height: 3)
  private var pixels: [UInt32] = []
  /// Which picture that is.
  private var mark = Frame.Mark()
  /// What differs from what was last drawn.
  private var changes = PictureChanges()
  private var allDirty = true

  private var place = DisplayRectangle(x: 0, y: 0, width: 0, height: 0)
  private var columns: [Tap] = []
  private var rows: [Tap] = []
  /// Two rows of the picture at the target's width, and which they are.
  private var lines: [[UInt32]] = [[], []]
  private var lineRows = [-1, -1]

  /// Everything has to be drawn again.
  mutating func forget() { allDirty = true }

  /// Takes over a picture.
  mutating func take(_ frame: borrowing Frame) {
    let known = mark
    mark = frame.mark
    let shape = (frame.aspectWidth, frame.aspectHeight)
    if frame.width != width || frame.height != height || shape != aspect {
      width = frame.width
      height = frame.height
      aspect = shape
      pixels = frame.pixels
      allDirty = true
      columns = []
      return
    }
    pixels.withUnsafeMutableBufferPointer { old in
      frame.pixels.withUnsafeBufferPointer { new in
        for y in 0..<height where frame.differs(line: y, from: known) {
          let a = old.baseAddress! + y * width
          let b = new.baseAddress! + y * width
          changes.take(row: y, from: b, to: a, width: width)
        }
      }
    }
  }

  /// Brings a target up to date.
  /// - Parameters:
  ///   - target: its first pixel; each is xxRRGGBB.
  ///   - pitch: pixels from one row to the next.
  ///   - place: where the picture goes; it must lie within the target.
  /// - Returns: the rectangles that were drawn.
  mutating func draw(
    into target: UnsafeMutablePointer<UInt32>, pitch: Int, place newPlace: DisplayRectangle
  ) -> [DisplayRectangle] {
    guard width > 0, height > 0, newPlace.width > 0, newPlace.height > 0 else { return [] }
    if newPlace != place || columns.isEmpty {
      place = newPlace
      columns = PictureScaler.taps(from: width, to: place.width)
      rows = PictureScaler.taps(from: height, to: place.height)
      lines = [
        [UInt32](repeating: 0, count: place.width), [UInt32](repeating: 0, count: place.width),
      ]
      allDirty = true
    }
    lineRows = [-1, -1]
    var drawn: [DisplayRectangle] = []
    let bands = allDirty ? [0..<height] : changes.rows
    let across =
      allDirty ? 0..<place.width : PictureScaler.reach(changes.columns, width, place.width)
    for band in bands {
      let down = PictureScaler.reach(band, height, place.height)
      for y in down {
        scaleRow(y, across, target + (place.y + y) * pitch + place.x)
      }
      drawn.append(
        DisplayRectangle(
          x: place.x + across.lowerBound, y: place.y + down.lowerBound, width: across.count,
          height: down.count))
    }
    allDirty = false
    changes = PictureChanges()
    return drawn
  }

  /// The pixels of the target that some pixels of the picture reach.
  private static func reach(_ range: Range<Int>, _ from: Int, _ to: Int) -> Range<Int> {
    max(
      0, range.lowerBound * to / from - 1)..<min(to, (range.upperBound * to + from - 1) / from + 1)
  }

  private static func taps(from: Int, to: Int) -> [Tap] {
    (0..<to).map { i in
      // The span of pixel i, in units of 1/to of a pixel of the picture.
      let (start, end) = (i * from, (i + 1) * from)
      let first = start / to
      let last = min((end - 1) / to, from - 1)
      if first == last { return Tap(first: Int32(first), second: Int32(first), share: 0) }
      // Shrinking, more than two lie beneath; the outer ones stand for them.
      let share = last == first + 1 ? (end - last * to) * 256 / from : 128
      return Tap(first: Int32(first), second: Int32(last), share: UInt32(share))
    }
  }

  @inline(__always)
  private static func mix(_ a: UInt32, _ b: UInt32, _ share: UInt32) -> UInt32 {
    let keep = 256 &- share
    let redBlue = ((a & 0xFF00FF) &* keep &+ (b & 0xFF00FF) &* share) >> 8 & 0xFF00FF
    let green = ((a & 0x00FF00) &* keep &+ (b & 0x00FF00) &* share) >> 8 & 0x00FF00
    return 0xFF00_0000 | redBlue | green
  }

  private mutating func scaleRow(
    _ y: Int, _ across: Range<Int>, _ target: UnsafeMutablePointer<UInt32>
  ) {
    let tap = rows[y]
    if tap.share == 0, place.width == width {
      pixels.withUnsafeBufferPointer {
        let row = $0.baseAddress! + Int(tap.first) * width
        (target + across.lowerBound).update(from: row + across.lowerBound, count: across.count)
      }
      return
    }
    let first = line(Int(tap.first), across, besides: Int(tap.second))
    if tap.share == 0 {
      lines[first].withUnsafeBufferPointer {
        (target + across.lowerBound).update(
          from: $0.baseAddress! + across.lowerBound, count: across.count)
      }
      return
    }
    let second = line(Int(tap.second), across, besides: Int(tap.first))
    lines[first].withUnsafeBufferPointer { a in
      lines[second].withUnsafeBufferPointer { b in
        for x in across { target[x] = PictureScaler.mix(a[x], b[x], tap.share) }
      }
    }
  }

  /// The number of the line that holds a row of the picture.
  private mutating func line(_ row: Int, _ across: Range<Int>, besides other: Int) -> Int {
    if lineRows[0] == row { return 0 }
    if lineRows[1] == row { return 1 }
    let index = lineRows[0] == other ? 1 : 0
    lineRows[index] = row
    let start = row * width
    lines[index].withUnsafeMutableBufferPointer { out in
      pixels.withUnsafeBufferPointer { source in
        columns.withUnsafeBufferPointer { taps in
          for x in across {
            let tap = taps[x]
            let a = source[start + Int(tap.first)]
            out[x] =
              tap.share == 0
              ? a : PictureScaler.mix(a, source[start + Int(tap.second)], tap.share)
          }
        }
      }
    }
    return index
  }
}
