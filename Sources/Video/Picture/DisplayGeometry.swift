// What the CRT controller scans: which characters, which address, on which line.
//
// Owns: the shape of the picture, what of it is blanked, what is around it. Must not know: pixels and colours.
// All sizes are bounded by the registers' widths: at most 260 characters by 2050 lines, borders included.
//
// A picture is what display enable lets through, from the first to the last character and line. Where blanking falls into it, it is
// black, as on the screen. Between display enable and blanking lies the border in the overscan colour, which is outside the picture
// and only drawn when it is asked for.

/// The scan-out parameters that the registers stand for at one moment.
struct DisplayGeometry {
  var isGraphics: Bool
  /// The first character clock shown: display enable's skew.
  var firstColumn: Int
  /// Character clocks shown.
  var columns: Int
  /// Dots of a character clock in the picture: 9 or 8, 4 with eight-bit pixels.
  var cellWidth: Int
  /// Scan lines shown.
  var lines: Int
  /// Scan lines that show the same, so that one picture row stands for them.
  var repeats: Int
  /// Whether the screen shows anything.
  var blank: Bool
  /// The columns and lines of the picture that blanking makes black.
  var blackColumns: [Range<Int>] = []
  var blackLines: [Range<Int>] = []

  var startAddress: UInt32
  var pitch: UInt32
  var maximumScanLine: Int
  var doubleScan: Bool
  var lineCompare: Int
  var presetRowScan: Int
  /// Pixels to shift to the left.
  var panning: Int
  var panningStopsAtSplit: Bool
  var bytePanning: UInt32

  /// Of plane addresses.
  private var addressMask: UInt32
  private let countBy: UInt32
  private let doubleword: Bool
  private let word: Bool
  private let wordBit: UInt32
  private let rowScan13: Bool
  private let rowScan14: Bool

  var width: Int { columns * cellWidth }
  var height: Int { max(1, lines / repeats) }
  /// What a row's address counter is cut to.
  var rowMask: UInt32 { addressMask }

  init(_ vga: VGA) { self.init(vga.pictureRegisters) }

  init(_ registers: PictureRegisters) {
    let crtc = registers.crtc
    let mode = crtc.registers[0x17]
    isGraphics = registers.graphics.isGraphics
    firstColumn = crtc.displaySkew
    columns = crtc.horizontalDisplay
    let eightBit = registers.attribute.eightBitPixels && isGraphics
    cellWidth = eightBit ? 4 : isGraphics ? 8 : registers.sequencer.dotsPerCharacter
    lines = crtc.verticalDisplay
    addressMask = 0xFFFF
    startAddress = crtc.startAddress
    pitch = crtc.rowPitch
    maximumScanLine = crtc.maximumScanLine
    doubleScan = crtc.doubleScan
    lineCompare = crtc.lineCompare
    presetRowScan = crtc.presetRowScan
    bytePanning = crtc.bytePanning
    panningStopsAtSplit = registers.attribute.panningStopsAtSplit
    countBy = mode & 0x08 != 0 ? 1 : crtc.registers[0x14] & 0x20 != 0 ? 2 : 0
    doubleword = crtc.registers[0x14] & 0x40 != 0
    word = mode & 0x40 == 0
    wordBit = mode & 0x20 != 0 ? 15 : 13
    rowScan13 = mode & 0x01 == 0
    rowScan14 = mode & 0x02 == 0
    blank =
      !registers.isEnabled || !registers.sequencer.isRunning || registers.sequencer.screenOff
      || !registers.attribute.displayEnabled || !crtc.retraceEnabled

    let pan = registers.attribute.panning
    if eightBit {
      panning = pan >> 1 & 3
    } else if cellWidth == 9 {
      panning = pan >= 8 ? 0 : pan + 1
    } else {
      panning = pan & 7
    }

    if let planar = registers.planar {
      (startAddress, pitch, addressMask) = (planar.start, planar.pitch, planar.mask)
      if let size = planar.size {
        (firstColumn, columns, lines) = (0, size.columns, size.lines)
        (lineCompare, presetRowScan, bytePanning, panning) = (Int.max - 1, 0, 0, 0)
        (maximumScanLine, doubleScan, repeats) = (0, false, 1)
        return
      }
    }
    blackColumns = crtc.horizontalBlanking.inside(firstColumn..<firstColumn + columns)
    blackLines = crtc.verticalBlanking.inside(0..<lines)

    // Lines that differ in nothing but their number are shown once, unless a split, a preset or blanking falls between them.
    repeats = doubleScan ? 2 : 1
    if isGraphics, !rowScan13, !rowScan14 { repeats *= maximumScanLine + 1 }
    if lines % repeats != 0 || presetRowScan != 0 && repeats > 1
      || lineCompare + 1 < lines && (lineCompare + 1) % repeats != 0
      || blackLines.contains(where: {
        $0.lowerBound % repeats != 0 || $0.upperBound % repeats != 0
      })
    {
      repeats = 1
    }
  }

  /// Whether the scan lines of a row of characters are fetched from different places, as the CGA does it.
  var fetchesByScan: Bool { rowScan13 || rowScan14 }

  /// The address counter at a character clock.
  @inline(__always)
  func counter(row: UInt32, column: Int) -> UInt32 {
    (row &+ (UInt32(truncatingIfNeeded: column) >> countBy)) & addressMask
  }

  /// The plane address fetched for a character clock, counted from the left end of the line whether it is shown or not.
  @inline(__always)
  func address(row: UInt32, column: Int, rowScan: Int) -> UInt32 {
    var a = counter(row: row, column: column)
    if doubleword {
      a = a & ~0xFFFF | a << 2 & 0xFFFC | a >> 14 & 3
    } else if word {
      a = a & ~0xFFFF | a << 1 & 0xFFFE | a >> wordBit & 1
    }
    if rowScan13 { a = a & ~0x2000 | UInt32(rowScan & 1) << 13 }
    if rowScan14 { a = a & ~0x4000 | UInt32(rowScan & 2) << 13 }
    return a
  }
}

/// What adapters know of a picture in planes beyond the VGA's registers.
struct PlanarPicture: Equatable, Sendable {
  /// Plane addresses.
  var start: UInt32
  var pitch: UInt32
  var mask: UInt32
  /// Character clocks and scan lines, where others than the CRT controller's.
  var size: (columns: Int, lines: Int)?

  static func == (a: PlanarPicture, b: PlanarPicture) -> Bool {
    a.start == b.start && a.pitch == b.pitch && a.mask == b.mask
      && a.size?.columns == b.size?.columns && a.size?.lines == b.size?.lines
  }
}

/// What is drawn around a picture: character clocks and scan lines in the overscan colour.
struct DisplayBorder: Equatable {
  var left = 0
  var right = 0
  var top = 0
  var bottom = 0

  init() {}

  /// The border between display and blanking or retrace.
  init(_ crtc: CRTController) {
    (left, right) = DisplayBorder.around(
      crtc.displaySkew..<crtc.displaySkew + crtc.horizontalDisplay, total: crtc.horizontalTotal,
      [crtc.horizontalBlanking, crtc.horizontalRetrace])
    (top, bottom) = DisplayBorder.around(
      0..<crtc.verticalDisplay, total: crtc.verticalTotal,
      [crtc.verticalBlanking, crtc.verticalRetrace])
  }

  /// How many counts before and behind the display are outside all gates, where what lies between belongs to the end first.
  private static func around(
    _ display: Range<Int>, total: Int, _ gates: [CounterGate]
  ) -> (before: Int, behind: Int) {
    let spare = max(0, total - display.count)
    func open(_ count: Int) -> Bool { !gates.contains { $0.contains(count % total) } }
    var behind = 0
    while behind < spare, open(display.upperBound + behind) { behind += 1 }
    var before = 0
    while before < spare - behind, open(display.lowerBound + total - 1 - before) { before += 1 }
    return (before, behind)
  }
}
