// A picture of the screen.
//
// Owns: the pixels and the shape they are displayed in. Must not know: where they came from, who shows them.

/// One rendered picture. Keep and reuse it: rendering into it again does not allocate while its size stays the same.
public struct Frame: Sendable {
  /// Pixels in a row, at least 1.
  public var width: Int
  /// Rows, at least 1.
  public var height: Int
  /// `width * height` pixels, row by row, each FFRRGGBB.
  public var pixels: [UInt32]
  /// The shape the whole picture is displayed in (4 by 3 for every VGA mode).
  public var aspectWidth = 4
  public var aspectHeight = 3
  /// The VGA's `frameGeneration` it shows.
  public var generation: UInt64 = 0

  /// Whose lines these are, and up to which of its pictures; 0: they have to be drawn all.
  var source: UInt64 = 0
  var stamp: UInt64 = 0
  /// For each line the picture of that source in which it changed last; empty where nobody knows.
  var lineStamps: [UInt64] = []

  /// A picture of which something is kept, to be asked what of a later one differs.
  public struct Mark: Sendable {
    fileprivate var source: UInt64 = 0
    fileprivate var stamp: UInt64 = 0
    /// Of no picture: everything differs from it.
    public init() {}
  }

  /// Of this picture.
  public var mark: Mark {
    var mark = Mark()
    (mark.source, mark.stamp) = (source, stamp)
    return mark
  }

  /// Whether a line may differ from the same of an earlier picture of the same size.
  @inline(__always)
  public func differs(line: Int, from mark: Mark) -> Bool {
    if source == 0 || mark.source != source || lineStamps.count != height { return true }
    return lineStamps[line] > mark.stamp
  }

  /// A black picture.
  public init(width: Int = 1, height: Int = 1) {
    self.width = max(1, width)
    self.height = max(1, height)
    pixels = [UInt32](repeating: 0xFF00_0000, count: self.width * self.height)
  }

  /// The width of a pixel as displayed, with its height as 1.
  public var pixelAspect: Double {
    Double(aspectWidth * height) / Double(aspectHeight * width)
  }

  /// Changes the size; the contents are undefined afterwards.
  public mutating func resize(width: Int, height: Int) {
    if self.width == width, self.height == height { return }
    source = 0
    self.width = max(1, width)
    self.height = max(1, height)
    let count = self.width * self.height
    if pixels.count > count {
      pixels.removeLast(pixels.count - count)
    } else {
      pixels.append(contentsOf: repeatElement(0xFF00_0000, count: count - pixels.count))
    }
  }

  /// The pixel at a place inside the picture, without the FF.
  public subscript(x: Int, y: Int) -> UInt32 { pixels[y * width + x] & 0xFFFFFF }
}
