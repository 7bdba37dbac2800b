// The characters on a text screen.
//
// Owns: reading them out of the VGA as text. Must not know: fonts; a guest that redefines characters still gets code page 437.

/// Reads text screens.
public enum TextScreen {
  /// The rows of characters that the screen shows, trailing spaces removed, or nil in a graphics mode.
  /// A screen that is turned off still has its text.
  public static func extract(from vga: VGA) -> [String]? {
    let geometry = DisplayGeometry(vga)
    if geometry.isGraphics { return nil }
    var rows: [String] = []
    var walk = ScanWalk(geometry)
    var lastRow: UInt32?
    var lastScan = Int.max
    for _ in 0..<geometry.lines {
      if walk.row != lastRow || walk.rowScan < lastScan {
        rows.append(text(vga, geometry, walk))
      }
      lastRow = walk.row
      lastScan = walk.rowScan
      walk.advance()
    }
    return rows
  }

  private static func text(_ vga: VGA, _ geometry: DisplayGeometry, _ walk: ScanWalk) -> String {
    var codes: [UInt8] = []
    codes.reserveCapacity(geometry.columns)
    for column in geometry.firstColumn..<geometry.firstColumn + geometry.columns {
      let address = geometry.address(row: walk.row, column: column, rowScan: walk.rowScan)
      codes.append(UInt8(truncatingIfNeeded: vga.memory[VGA.cell(address)]))
    }
    while let last = codes.last, last == 0x20 || last == 0 || last == 0xFF { codes.removeLast() }
    return String(codes.map { $0 == 0xFF ? " " : CodePage437.character($0) })
  }
}
