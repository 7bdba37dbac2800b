// The walk of the CRT controller's counters down a frame.
//
// Owns: address counter and row scan, line by line. Must not know: columns, pixels.

/// The walk over a frame's scan lines.
struct ScanWalk {
  /// The scan line, 0 first.
  private(set) var line = 0
  /// The address counter at the line's left end.
  private(set) var row: UInt32
  /// The row scan within the character row, 0 to 31.
  private(set) var rowScan: Int
  private var rowStart: UInt32
  private var isRepeated = false
  private var isSplit = false
  /// The registers' parameters; others may take their place between lines.
  var geometry: DisplayGeometry {
    didSet { fetchRow() }
  }

  init(_ geometry: DisplayGeometry) {
    self.geometry = geometry
    rowStart = geometry.startAddress
    row = (rowStart &+ geometry.bytePanning) & geometry.rowMask
    rowScan = geometry.presetRowScan
  }

  /// Pixels to shift to the left on this line.
  var panning: Int { isSplit && geometry.panningStopsAtSplit ? 0 : geometry.panning }

  private mutating func fetchRow() {
    let panning = isSplit && geometry.panningStopsAtSplit ? 0 : geometry.bytePanning
    row = (rowStart &+ panning) & geometry.rowMask
  }

  /// Moves on to the next scan line.
  mutating func advance() {
    if line == geometry.lineCompare {
      rowStart = 0
      rowScan = 0
      isRepeated = false
      isSplit = true
    } else if geometry.doubleScan, !isRepeated {
      isRepeated = true
    } else {
      isRepeated = false
      if rowScan == geometry.maximumScanLine {
        rowScan = 0
        rowStart = (rowStart &+ geometry.pitch) & geometry.rowMask
      } else {
        rowScan = (rowScan + 1) & 31
      }
    }
    fetchRow()
    line += 1
  }
}
