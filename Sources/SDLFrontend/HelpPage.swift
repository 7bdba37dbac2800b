// The page that tells the window's keys, drawn in place of the guest's picture. The guest sees nothing of it.
//
// Owns: its words and pixels. Must not know: SDL, the machine.

import FirmwareImages
import Video

/// The help page as a picture in the VGA's own font.
enum HelpPage {
  private static let columns = 64
  private static let rows = 25
  private static let background: UInt32 = 0xFF10_2040
  private static let bright: UInt32 = 0xFFFF_FFFF
  private static let plain: UInt32 = 0xFFB0_C4E0

  /// The lines, without their colours.
  static var lines: [String] {
    var lines = ["", "  Apus - keys of the window", ""]
    lines += Shortcut.all.map { shortcut in
      let key = "Ctrl+Alt+\(shortcut.name)"
      return "  " + key + String(repeating: " ", count: max(1, 16 - key.count)) + shortcut.text
    }
    lines += [
      "", "  A click grabs the mouse when the guest uses one; the title tells",
      "  how to let go. A file dropped on the window goes into drive A,",
      "  with Shift into drive B.", "", "  Any key closes this page.",
    ]
    return lines
  }

  /// The page.
  static func frame() -> Frame {
    var frame = Frame(width: columns * 8, height: rows * 16)
    for i in frame.pixels.indices { frame.pixels[i] = background }
    let font = FirmwareImages.textFont
    for (row, line) in lines.prefix(rows).enumerated() {
      for (column, character) in line.prefix(columns).enumerated() {
        let code = Int(CodePage437.code(character) ?? 0x20)
        for y in 0..<16 {
          let bits = font[code * 16 + y]
          for x in 0..<8 where bits << x & 0x80 != 0 {
            frame.pixels[(row * 16 + y) * frame.width + column * 8 + x] =
              row == 1 || column < 18 ? bright : plain
          }
        }
      }
    }
    return frame
  }
}
