// Words of the window itself over the guest's picture: help, and short messages.
//
// Owns: laying them out and drawing them into a copy of the picture. Must not know: SDL, what the words mean.
// Letters are the BIOS's 8 by 16; a picture that is too small for them is enlarged by whole factors, which changes nothing of it.

import FirmwareImages
import Video

enum Overlay {
  private static let cell = (width: 8, height: 16)
  /// The least size at which words are readable: 80 by 25 characters.
  private static let least = (width: 640, height: 400)
  private static let paper: UInt32 = 0xFF10_2040
  private static let ink: UInt32 = 0xFFF0_F0F0
  private static let strong: UInt32 = 0xFFFF_D060

  /// A line of words; the first part stands out.
  struct Line: Equatable {
    var strong = ""
    var plain = ""
    var count: Int { strong.count + plain.count }
  }

  /// The help that the table of keys makes.
  static func help(title: String) -> [Line] {
    [Line(strong: title), Line()]
      + Shortcut.lines.map { Line(strong: $0.keys.padded(to: 14), plain: $0.action) }
      + [Line(), Line(plain: "Any key goes back to the guest.")]
  }

  /// The picture with words over it.
  /// - Parameters:
  ///   - panel: lines in the middle, over the darkened picture; none: no panel.
  ///   - message: a line at the bottom; empty: none.
  static func compose(_ frame: borrowing Frame, panel: [Line], message: String) -> Frame {
    let kx = max(1, (least.width + frame.width - 1) / frame.width)
    let ky = max(1, (least.height + frame.height - 1) / frame.height)
    var result = Frame(width: frame.width * kx, height: frame.height * ky)
    result.aspectWidth = frame.aspectWidth
    result.aspectHeight = frame.aspectHeight
    for y in 0..<result.height {
      let source = y / ky * frame.width
      let target = y * result.width
      for x in 0..<frame.width {
        var pixel = frame.pixels[source + x]
        if !panel.isEmpty { pixel = 0xFF00_0000 | (pixel >> 2 & 0x3F3F3F) }
        for n in 0..<kx { result.pixels[target + x * kx + n] = pixel }
      }
    }
    if !panel.isEmpty { draw(panel, in: &result, bottom: false) }
    if !message.isEmpty {
      let columns = result.width / cell.width - 4
      draw(wrapped(message, columns).map { Line(plain: $0) }, in: &result, bottom: true)
    }
    return result
  }

  /// A text as lines of at most so many characters, cut between words where that is possible.
  static func wrapped(_ text: String, _ columns: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
      var rest = Substring(word)
      if !line.isEmpty && line.count + 1 + rest.count > columns {
        lines.append(line)
        line = ""
      }
      while rest.count > columns {
        lines.append(String(rest.prefix(columns)))
        rest = rest.dropFirst(columns)
      }
      line += line.isEmpty ? String(rest) : " " + rest
    }
    return line.isEmpty ? lines : lines + [line]
  }

  /// Lines on a panel in the middle or at the bottom.
  private static func draw(_ lines: [Line], in frame: inout Frame, bottom: Bool) {
    let columns = (lines.map(\.count).max() ?? 0) + 2
    let pad = bottom ? 4 : 8
    let width = min(frame.width, columns * cell.width)
    let height = min(frame.height, lines.count * cell.height + 2 * pad)
    let left = (frame.width - width) / 2
    let top = bottom ? frame.height - height - 4 : (frame.height - height) / 2
    for y in max(0, top)..<min(frame.height, top + height) {
      for x in left..<left + width { frame.pixels[y * frame.width + x] = paper }
    }
    for (row, line) in lines.enumerated() {
      var x = left + cell.width
      let y = top + pad + row * cell.height
      for (text, colour) in [(line.strong, strong), (line.plain, ink)] {
        for character in text {
          draw(character, x, y, colour, in: &frame)
          x += cell.width
        }
      }
    }
  }

  private static let codes: [Character: UInt8] = {
    var codes: [Character: UInt8] = [:]
    for code in UInt8.min...UInt8.max { codes[CodePage437.character(code)] = code }
    return codes
  }()
  private static let font = FirmwareImages.font8x16

  private static func draw(
    _ character: Character, _ x: Int, _ y: Int, _ colour: UInt32, in frame: inout Frame
  ) {
    let code = Int(codes[character] ?? UInt8(ascii: "?"))
    for row in 0..<cell.height where y + row >= 0 && y + row < frame.height {
      let bits = font[code * cell.height + row]
      for column in 0..<cell.width
      where bits & 0x80 >> UInt8(column) != 0 && x + column < frame.width {
        frame.pixels[(y + row) * frame.width + x + column] = colour
      }
    }
  }
}
