// The characters on a text screen.
//
// Owns: reading them out of the VGA as text. Must not know: fonts; a guest that redefines characters still gets code page 437.

/// The characters of a text screen and where each is kept.
public struct TextScreenCells {
  public var columns: Int
  /// Row after row; blanks of every kind are 20h.
  public var codes: [UInt8] = []
  /// For each of `codes` a number of its place in video memory. On one row they are neighbours.
  public var places: [Int] = []
  /// The offset in `codes` of the cursor, wherever it blinks or is hidden.
  public var cursor: Int?

  public var rows: Int { columns == 0 ? 0 : codes.count / columns }
}

/// Reads text screens.
public enum TextScreen {
  /// The rows of characters that the screen shows, trailing spaces removed, or nil in a graphics mode.
  /// A screen that is turned off still has its text.
  public static func extract(from vga: VGA) -> [String]? {
    let geometry = DisplayGeometry(vga)
    if vga.showsPixels { return nil }
    var rows: [String] = []
    eachRow(geometry) { rows.append(text(vga, geometry, $0)) }
    return rows
  }

  /// The characters with their places, or nil in a graphics mode.
  public static func cells(of vga: VGA) -> TextScreenCells? {
    let geometry = DisplayGeometry(vga)
    if vga.showsPixels { return nil }
    var cells = TextScreenCells(columns: geometry.columns)
    let cursor = vga.crtc.cursorAddress & 0xFFFF
    eachRow(geometry) { walk in
      if cursor >= walk.row, cursor - walk.row < UInt32(geometry.columns), cells.cursor == nil {
        cells.cursor = cells.codes.count + Int(cursor - walk.row)
      }
      for column in 0..<geometry.columns {
        let address = geometry.address(row: walk.row, column: column, rowScan: walk.rowScan)
        let code = UInt8(truncatingIfNeeded: vga.memory[VGA.cell(address)])
        cells.codes.append(isBlank(code) ? 0x20 : code)
        cells.places.append(Int(address & 0xFFFF))
      }
    }
    return cells
  }

  /// Whether a code shows nothing.
  @inline(__always)
  public static func isBlank(_ code: UInt8) -> Bool { code == 0x20 || code == 0 || code == 0xFF }

  private static func eachRow(_ geometry: DisplayGeometry, _ body: (ScanWalk) -> Void) {
    var walk = ScanWalk(geometry)
    var lastRow: UInt32?
    var lastScan = Int.max
    for _ in 0..<geometry.lines {
      if walk.row != lastRow || walk.rowScan < lastScan { body(walk) }
      lastRow = walk.row
      lastScan = walk.rowScan
      walk.advance()
    }
  }

  private static func text(_ vga: VGA, _ geometry: DisplayGeometry, _ walk: ScanWalk) -> String {
    var codes: [UInt8] = []
    codes.reserveCapacity(geometry.columns)
    for column in geometry.firstColumn..<geometry.firstColumn + geometry.columns {
      let address = geometry.address(row: walk.row, column: column, rowScan: walk.rowScan)
      codes.append(UInt8(truncatingIfNeeded: vga.memory[VGA.cell(address)]))
    }
    while let last = codes.last, isBlank(last) { codes.removeLast() }
    return String(codes.map { $0 == 0xFF ? " " : CodePage437.character($0) })
  }
}
