// One operation of the BitBLT engine.
//
// Owns: what its registers ask for, and the rows it writes. Must not know: registers' numbers (CirrusRegisters.swift), when it starts,
// what is on the screen. Follows: Cirrus Logic CL-GD5446 Technical Reference Manual, chapter "BitBLT Engine", GR20 to GR33.
//
// All addresses are cut to the memory there is, byte by byte: what goes over its end goes on at its beginning. Rows are written one after
// the other and bytes one after the other in the direction of the work, so that a source that overlaps its destination is defined.

/// Bits of the mode register, GR30.
struct BlitMode: OptionSet {
  let rawValue: UInt8
  /// From the last byte to the first.
  static let backwards = BlitMode(rawValue: 0x01)
  static let toSystem = BlitMode(rawValue: 0x02)
  static let fromSystem = BlitMode(rawValue: 0x04)
  static let transparent = BlitMode(rawValue: 0x08)
  /// The source is a pattern of 8 by 8 pixels.
  static let pattern = BlitMode(rawValue: 0x40)
  /// A bit of the source for each pixel.
  static let expands = BlitMode(rawValue: 0x80)
}

/// Bits of the mode extensions, GR33.
struct BlitExtensions: OptionSet {
  let rawValue: UInt8
  /// Lines of expanded pixels from the system are whole doublewords.
  static let doublewords = BlitExtensions(rawValue: 0x01)
  /// Transparent expansion writes pixels of zeros, in the background colour.
  static let inverts = BlitExtensions(rawValue: 0x02)
  static let solid = BlitExtensions(rawValue: 0x04)
}

/// What is to be done.
struct Blit {
  /// Bytes of a row, and rows.
  var width: Int
  var height: Int
  var targetPitch: Int
  var sourcePitch: Int
  var target: Int
  var source: Int
  var mode: BlitMode
  var extensions: BlitExtensions
  /// Bytes of a pixel, 1 to 4.
  var pixel: Int
  var operation: RasterOperation?
  /// GR2F.
  var skip: UInt8
  var foreground: UInt32
  var background: UInt32
  /// The colour that is not written.
  var key: UInt16

  /// Whole pixels of a row; what is left of a row has none.
  var pixels: Int { (width + pixel - 1) / pixel }
  /// Bytes at the beginning of each row that are not written.
  private var skippedBytes: Int { pixel == 3 ? Int(skip & 0x1F) : Int(skip & 7) * pixel }

  var isSolid: Bool {
    extensions.contains(.solid)
      && mode.intersection([.toSystem, .transparent, .pattern, .expands]) == [.pattern, .expands]
  }
  /// Pixels and colours come from a pattern or from bits.
  private var isMade: Bool { !mode.isDisjoint(with: [.pattern, .expands]) }

  /// The bytes of a pattern in memory.
  var patternBytes: Int { mode.contains(.expands) ? 8 : pixel == 3 ? 256 : 64 * pixel }
  private var patternPitch: Int { pixel == 3 ? 32 : 8 * pixel }

  /// The bytes that the system gives, or takes, at a time: a row, or a whole pattern.
  var systemRow: Int {
    if mode.contains(.toSystem) { return (width + 3) & ~3 }
    if mode.contains(.pattern) { return patternBytes }
    if !mode.contains(.expands) { return (width + 3) & ~3 }
    return extensions.contains(.doublewords) ? ((pixels + 31) >> 5) * 4 : (pixels + 7) >> 3
  }

  // MARK: From memory to memory

  /// Does all of it with the source in memory.
  func run(_ memory: VideoMemory) {
    let rows = BlitRows(memory, self)
    if isSolid {
      rows.fillSolid()
    } else if mode.contains(.pattern) {
      var bytes = [UInt8](repeating: 0, count: patternBytes)
      let start = source & ~(patternBytes - 1)
      for n in bytes.indices { bytes[n] = memory[start + n] }
      rows.pattern(bytes, phase: source & 7)
    } else if mode.contains(.expands) {
      // A row's bits follow the last one's.
      let count = (pixels + 7) >> 3
      var bits = [UInt8](repeating: 0, count: count)
      for y in 0..<height {
        for n in 0..<count { bits[n] = memory[source + y * count + n] }
        rows.expand(bits, row: y)
      }
    } else {
      rows.copy()
    }
  }

  /// Does a row, or with a pattern all rows, with what came from the system.
  func run(_ memory: VideoMemory, row: Int, from bytes: [UInt8]) {
    let rows = BlitRows(memory, self)
    if mode.contains(.pattern) {
      rows.pattern(bytes, phase: source & 7)
    } else if mode.contains(.expands) {
      rows.expand(bytes, row: row)
    } else {
      rows.give(bytes, row: row)
    }
  }

  // MARK: Rows of pixels

  /// The bytes of a row of a colour.
  func colourRow(_ colour: UInt32) -> [UInt8] {
    var row = [UInt8](repeating: 0, count: pixels * pixel)
    for x in 0..<pixels { put(colour, x, &row) }
    return row
  }

  @inline(__always)
  private func put(_ colour: UInt32, _ x: Int, _ row: inout [UInt8]) {
    for n in 0..<pixel { row[x * pixel + n] = UInt8(truncatingIfNeeded: colour >> UInt32(8 * n)) }
  }

  /// The bytes of a row of a pattern of colours.
  func patternRow(_ bytes: [UInt8], _ y: Int) -> [UInt8] {
    var row = [UInt8](repeating: 0, count: pixels * pixel)
    let line = y * patternPitch
    let cycle = 8 * pixel
    for n in row.indices { row[n] = bytes[line + n % cycle] }
    return row
  }

  /// The bytes of a row of bits, the highest first, and which of them are written; nil: all.
  /// - Parameter bit: tells the bit of a pixel.
  @inline(__always)
  func expandedRow(_ bit: (Int) -> Bool) -> (row: [UInt8], mask: [UInt8]?) {
    var row = [UInt8](repeating: 0, count: pixels * pixel)
    guard mode.contains(.transparent) else {
      for x in 0..<pixels { put(bit(x) ? foreground : background, x, &row) }
      return (row, nil)
    }
    let inverts = extensions.contains(.inverts)
    let colour = inverts ? background : foreground
    var mask = row
    for x in 0..<pixels where bit(x) != inverts {
      put(colour, x, &row)
      put(0xFFFF_FFFF, x, &mask)
    }
    return (row, mask)
  }

  /// The bytes of a row that are written.
  var written: Range<Int> {
    let first = isMade ? skippedBytes : 0
    return first < width ? first..<width : width..<width
  }

  /// The bit of a pixel in a line of bits.
  @inline(__always)
  func bit(_ bits: [UInt8], _ x: Int) -> Bool {
    x >> 3 < bits.count && bits[x >> 3] & (0x80 >> UInt8(x & 7)) != 0
  }
}

extension VideoMemory {
  /// The byte at an address, which is cut to the memory there is.
  @inline(__always)
  subscript(_ address: Int) -> UInt8 {
    get { base.load(fromByteOffset: address & (size &- 1), as: UInt8.self) }
    set {
      let place = address & (size &- 1)
      written[place / VideoMemory.pageSize] = 0xFF
      base.storeBytes(of: newValue, toByteOffset: place, as: UInt8.self)
    }
  }
}
