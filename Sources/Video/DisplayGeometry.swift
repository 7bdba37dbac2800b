// What the CRT controller scans: which address, which row scan, on which line.
//
// Owns: the shape of the picture and the walk over its scan lines, shared by pictures and by text extraction.
// Must not know: pixels and colours. All sizes are bounded by the registers' widths: at most 2304 by 2048.

/// The scan-out parameters that the registers stand for at one moment.
struct DisplayGeometry {
  var isGraphics: Bool
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

  private let countBy: UInt32
  private let doubleword: Bool
  private let word: Bool
  private let wordBit: UInt32
  private let rowScan13: Bool
  private let rowScan14: Bool

  var width: Int { columns * cellWidth }
  var height: Int { max(1, lines / repeats) }

  init(_ vga: VGA) {
    let crtc = vga.crtc
    let mode = crtc.registers[0x17]
    isGraphics = vga.graphics.isGraphics
    columns = crtc.horizontalDisplay
    let eightBit = vga.attribute.eightBitPixels && isGraphics
    cellWidth = eightBit ? 4 : isGraphics ? 8 : vga.sequencer.dotsPerCharacter
    lines = crtc.verticalDisplay
    startAddress = crtc.startAddress
    pitch = crtc.rowPitch
    maximumScanLine = crtc.maximumScanLine
    doubleScan = crtc.doubleScan
    lineCompare = crtc.lineCompare
    presetRowScan = crtc.presetRowScan
    bytePanning = crtc.bytePanning
    panningStopsAtSplit = vga.attribute.panningStopsAtSplit
    countBy = crtc.registers[0x14] & 0x20 != 0 ? 2 : mode & 0x08 != 0 ? 1 : 0
    doubleword = crtc.registers[0x14] & 0x40 != 0
    word = mode & 0x40 == 0
    wordBit = mode & 0x20 != 0 ? 15 : 13
    rowScan13 = mode & 0x01 == 0
    rowScan14 = mode & 0x02 == 0
    blank =
      !vga.isEnabled || !vga.sequencer.isRunning || vga.sequencer.screenOff
      || !vga.attribute.displayEnabled || !crtc.retraceEnabled

    let pan = vga.attribute.panning
    if eightBit {
      panning = pan >> 1 & 3
    } else if cellWidth == 9 {
      panning = pan >= 8 ? 0 : pan + 1
    } else {
      panning = pan & 7
    }

    // Lines that differ in nothing but their number are shown once, unless a split or preset falls between them.
    repeats = doubleScan ? 2 : 1
    if isGraphics, !rowScan13, !rowScan14 { repeats *= maximumScanLine + 1 }
    if lines % repeats != 0 || presetRowScan != 0 && repeats > 1
      || lineCompare + 1 < lines && (lineCompare + 1) % repeats != 0
    {
      repeats = 1
    }
  }

  /// Whether the scan lines of a row of characters are fetched from different places, as the CGA does it.
  var fetchesByScan: Bool { rowScan13 || rowScan14 }

  /// The plane address fetched for a character clock.
  @inline(__always)
  func address(row: UInt32, column: Int, rowScan: Int) -> UInt32 {
    var a = (row &+ (UInt32(truncatingIfNeeded: column) >> countBy)) & 0xFFFF
    if doubleword {
      a = a << 2 & 0xFFFC | a >> 14
    } else if word {
      a = a << 1 & 0xFFFE | a >> wordBit & 1
    }
    if rowScan13 { a = a & ~0x2000 | UInt32(rowScan & 1) << 13 }
    if rowScan14 { a = a & ~0x4000 | UInt32(rowScan & 2) << 13 }
    return a
  }
}

/// The walk over a frame's scan lines.
struct ScanWalk {
  /// The scan line, 0 first.
  private(set) var line = 0
  /// The address counter at the line's left end.
  private(set) var row: UInt32
  /// The row scan within the character row, 0 to 31.
  private(set) var rowScan: Int
  /// Pixels to shift to the left on this line.
  private(set) var panning: Int
  private var rowStart: UInt32
  private var bytePanning: UInt32
  private var repeated = false
  private let geometry: DisplayGeometry

  init(_ geometry: DisplayGeometry) {
    self.geometry = geometry
    rowStart = geometry.startAddress
    bytePanning = geometry.bytePanning
    row = (rowStart &+ bytePanning) & 0xFFFF
    rowScan = geometry.presetRowScan
    panning = geometry.panning
  }

  /// Moves on to the next scan line.
  mutating func advance() {
    if line == geometry.lineCompare {
      rowStart = 0
      rowScan = 0
      repeated = false
      if geometry.panningStopsAtSplit {
        panning = 0
        bytePanning = 0
      }
    } else if geometry.doubleScan, !repeated {
      repeated = true
    } else {
      repeated = false
      if rowScan == geometry.maximumScanLine {
        rowScan = 0
        rowStart = (rowStart &+ geometry.pitch) & 0xFFFF
      } else {
        rowScan = (rowScan + 1) & 31
      }
    }
    row = (rowStart &+ bytePanning) & 0xFFFF
    line += 1
  }
}
