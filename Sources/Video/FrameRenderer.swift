// From VGA state to a picture.
//
// Owns: shifting plane bytes into pixels, characters into dots, colours. Must not know: when pictures are wanted, who shows them.
// Reads the VGA only. One picture shows the state of one moment; changes while the beam runs are not followed.

/// Renders pictures of a VGA.
///
/// Use it on the thread that runs the machine. `isStale` says whether a new picture would differ from the last one.
public final class FrameRenderer {
  /// The widest line in dots, with a character more for panning.
  private static let lineCapacity = 257 * 9 + 16
  private let line: UnsafeMutablePointer<UInt8>
  private let dots: UnsafeMutablePointer<UInt32>
  /// For each byte its eight bits as eight bytes, highest bit first.
  private let bits: UnsafeMutablePointer<UInt64>
  /// For each byte its four bit pairs as four bytes, highest pair first.
  private let pairs: UnsafeMutablePointer<UInt32>
  /// For each byte its eight bits as eight masks, highest bit first.
  private let masks: UnsafeMutablePointer<SIMD8<UInt32>>
  /// A character of a row of text.
  private struct TextCell {
    /// Address of its first scan line in the font.
    var glyph: UInt32
    var on: UInt32
    var off: UInt32
    var flags: UInt8

    static let repeatsEighth: UInt8 = 1
    static let hidden: UInt8 = 2
    static let underlined: UInt8 = 4
    static let cursor: UInt8 = 8
  }
  private let cells: UnsafeMutablePointer<TextCell>
  private var lastGeneration: UInt64?
  private var directFrames: UInt64 = 0
  private var lastBlink = 0

  public init() {
    line = .allocate(capacity: FrameRenderer.lineCapacity)
    line.initialize(repeating: 0, count: FrameRenderer.lineCapacity)
    dots = .allocate(capacity: FrameRenderer.lineCapacity)
    dots.initialize(repeating: 0, count: FrameRenderer.lineCapacity)
    bits = .allocate(capacity: 256)
    pairs = .allocate(capacity: 256)
    masks = .allocate(capacity: 256)
    cells = .allocate(capacity: FrameRenderer.lineCapacity)
    for byte in 0..<256 {
      var wide: UInt64 = 0
      for i in 0..<8 where byte & (0x80 >> i) != 0 { wide |= 1 << UInt64(8 * i) }
      (bits + byte).initialize(to: wide)
      var mask = SIMD8<UInt32>()
      for i in 0..<8 where byte & (0x80 >> i) != 0 { mask[i] = UInt32.max }
      (masks + byte).initialize(to: mask)
      var narrow: UInt32 = 0
      for i in 0..<4 { narrow |= UInt32(byte >> (6 - 2 * i) & 3) << UInt32(8 * i) }
      (pairs + byte).initialize(to: narrow)
    }
  }

  deinit {
    line.deallocate()
    dots.deallocate()
    bits.deallocate()
    pairs.deallocate()
    masks.deallocate()
    cells.deallocate()
  }

  /// Which of the blinking things are shown: bit 0 the cursor, bit 1 characters. Both change with virtual time only.
  private func blinkPhase(_ vga: VGA) -> Int {
    let frames = vga.frameCount
    var phase = 0
    if frames & 8 == 0, !vga.graphics.isGraphics, vga.crtc.registers[0x0A] & 0x20 == 0 {
      phase |= 1
    }
    if frames & 16 == 0 || !vga.attribute.blinkEnabled { phase |= 2 }
    return phase
  }

  /// Whether the screen has changed since the last `render`.
  public func isStale(_ vga: VGA) -> Bool {
    lastGeneration != vga.frameGeneration || vga.isDirect || lastBlink != blinkPhase(vga)
  }

  /// Renders what the screen shows now.
  public func render(_ vga: VGA, into frame: inout Frame) {
    lastGeneration = vga.frameGeneration
    lastBlink = blinkPhase(vga)
    frame.generation = vga.frameGeneration
    if vga.isDirect {
      // Nobody tells what has changed.
      directFrames &+= 1
      frame.generation = 1 << 63 | directFrames
    }
    frame.aspectWidth = 4
    frame.aspectHeight = 3
    let geometry = DisplayGeometry(vga)
    frame.resize(width: geometry.width, height: geometry.height)
    frame.pixels.withUnsafeMutableBufferPointer { pixels in
      if geometry.blank {
        pixels.update(repeating: blankColour(vga))
      } else if geometry.isGraphics {
        renderGraphics(vga, geometry, pixels.baseAddress!)
      } else {
        renderText(vga, geometry, pixels.baseAddress!)
      }
    }
  }

  /// Screen off is black; a palette taken away from the display leaves the border's colour.
  private func blankColour(_ vga: VGA) -> UInt32 {
    let onlyPalette =
      vga.isEnabled && vga.sequencer.isRunning && !vga.sequencer.screenOff
      && vga.crtc.retraceEnabled
    return onlyPalette ? vga.dac.colour(vga.attribute.overscan) : 0xFF00_0000
  }

  // MARK: Text

  private func renderText(
    _ vga: VGA, _ geometry: DisplayGeometry, _ pixels: UnsafeMutablePointer<UInt32>
  ) {
    let palette = (0..<16).map { vga.dac.colour(vga.attribute.dacAddress(UInt8($0))) }
    let memory = vga.memory
    let fonts = [
      vga.sequencer.fontAddress(attributeBit3: 0), vga.sequencer.fontAddress(attributeBit3: 1),
    ]
    let nine = geometry.cellWidth == 9
    let lineGraphics = vga.attribute.lineGraphics
    let blinks = vga.attribute.blinkEnabled
    let hideBlinking = lastBlink & 2 == 0
    let underline = Int(vga.crtc.registers[0x14] & 0x1F)
    let cursorStart = Int(vga.crtc.registers[0x0A] & 0x1F)
    let cursorEnd = Int(vga.crtc.registers[0x0B] & 0x1F)
    let cursorAddress =
      (vga.crtc.cursorAddress &+ UInt32(vga.crtc.registers[0x0B] >> 5 & 3)) & 0xFFFF
    let showCursor = lastBlink & 1 != 0

    /// What a row's cells show, whatever the scan line.
    func gather(_ row: UInt32, _ rowScan: Int) {
      for column in 0...geometry.columns {
        let address = geometry.address(row: row, column: column, rowScan: rowScan)
        let cell = memory[VGA.cell(address)]
        let character = cell & 0xFF
        let attribute = cell >> 8 & 0xFF
        var flags: UInt8 = 0
        // The ninth dot repeats the eighth for the line-drawing characters, and is background otherwise.
        if lineGraphics && character & 0xE0 == 0xC0 { flags |= TextCell.repeatsEighth }
        if blinks && hideBlinking && attribute & 0x80 != 0 { flags |= TextCell.hidden }
        if attribute & 0x07 == 1 { flags |= TextCell.underlined }
        if (row &+ UInt32(column)) & 0xFFFF == cursorAddress { flags |= TextCell.cursor }
        cells[column] = TextCell(
          glyph: fonts[Int(attribute >> 3 & 1)] &+ character << 5,
          on: palette[Int(attribute & 0x0F)],
          off: palette[Int(attribute >> 4 & (blinks ? 7 : 15))], flags: flags)
      }
    }

    var walk = ScanWalk(geometry)
    var gathered: UInt32?
    for y in 0..<geometry.height * geometry.repeats {
      defer { walk.advance() }
      if y % geometry.repeats != 0 { continue }
      let rowScan = walk.rowScan
      if gathered != walk.row || geometry.fetchesByScan {
        gather(walk.row, rowScan)
        gathered = walk.row
      }
      var filled: UInt8 = 0
      if rowScan == underline { filled |= TextCell.underlined }
      if showCursor && rowScan >= cursorStart && rowScan <= cursorEnd { filled |= TextCell.cursor }
      var out = dots
      for column in 0...geometry.columns {
        let cell = cells[column]
        var glyph = memory[VGA.cell(cell.glyph &+ UInt32(rowScan))] >> 16 & 0xFF
        var ninth = cell.flags & TextCell.repeatsEighth != 0 ? glyph & 1 : 0
        if cell.flags & TextCell.hidden != 0 { (glyph, ninth) = (0, 0) }
        if cell.flags & filled != 0 { (glyph, ninth) = (0xFF, 1) }
        let eight =
          SIMD8(repeating: cell.off) ^ (masks[Int(glyph)] & SIMD8(repeating: cell.on ^ cell.off))
        UnsafeMutableRawPointer(out).storeBytes(of: eight, as: SIMD8<UInt32>.self)
        out += 8
        if nine {
          out[0] = ninth != 0 ? cell.on : cell.off
          out += 1
        }
      }
      (pixels + (y / geometry.repeats) * geometry.width).update(
        from: dots + walk.panning, count: geometry.width)
    }
  }

  // MARK: Graphics

  private func renderGraphics(
    _ vga: VGA, _ geometry: DisplayGeometry, _ pixels: UnsafeMutablePointer<UInt32>
  ) {
    let nibbles = vga.graphics.shift256
    let eightBit = vga.attribute.eightBitPixels
    let interleaved = vga.graphics.shiftInterleave
    let colours: [UInt32]
    if eightBit {
      colours = (0..<256).map { vga.dac.colour(UInt8($0)) }
    } else {
      // With blinking on, colours with the highest bit lose it half of the time.
      let keep: UInt8 = lastBlink & 2 != 0 ? 0x0F : 0x07
      colours = (0..<16).map { vga.dac.colour(vga.attribute.dacAddress(UInt8($0) & keep)) }
    }
    let memory = vga.memory
    let width = geometry.width
    let raw = UnsafeMutableRawPointer(line)

    var walk = ScanWalk(geometry)
    for y in 0..<geometry.height * geometry.repeats {
      defer { walk.advance() }
      if y % geometry.repeats != 0 { continue }
      let row = walk.row
      let rowScan = walk.rowScan
      for column in 0...geometry.columns {
        let address = geometry.address(row: row, column: column, rowScan: rowScan)
        let cell = memory[VGA.cell(address)]
        if nibbles, eightBit {
          raw.storeBytes(of: cell.littleEndian, toByteOffset: column * 4, as: UInt32.self)
          continue
        }
        let eight = nibbles ? split(cell) : interleaved ? interleave(cell) : planes(cell)
        if eightBit {
          raw.storeBytes(of: join(eight).littleEndian, toByteOffset: column * 4, as: UInt32.self)
        } else {
          raw.storeBytes(of: eight.littleEndian, toByteOffset: column * 8, as: UInt64.self)
        }
      }
      let source = line + walk.panning
      let target = pixels + (y / geometry.repeats) * width
      colours.withUnsafeBufferPointer { colours in
        let mask = UInt8(truncatingIfNeeded: colours.count - 1)
        for x in 0..<width { target[x] = colours[Int(source[x] & mask)] }
      }
    }
  }

  /// Eight pixels of a bit from each plane.
  @inline(__always)
  private func planes(_ cell: UInt32) -> UInt64 {
    bits[Int(cell & 0xFF)] | bits[Int(cell >> 8 & 0xFF)] << 1
      | bits[Int(cell >> 16 & 0xFF)] << 2 | bits[Int(cell >> 24)] << 3
  }

  /// Eight pixels of two bits from planes 0 and 2, then from planes 1 and 3.
  @inline(__always)
  private func interleave(_ cell: UInt32) -> UInt64 {
    let first = pairs[Int(cell & 0xFF)] | pairs[Int(cell >> 16 & 0xFF)] << 2
    let second = pairs[Int(cell >> 8 & 0xFF)] | pairs[Int(cell >> 24)] << 2
    return UInt64(first) | UInt64(second) << 32
  }

  /// Eight pixels of four bits, plane after plane, high nibble first.
  @inline(__always)
  private func split(_ cell: UInt32) -> UInt64 {
    var spread = UInt64(cell)
    spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF
    spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF
    return spread >> 4 & 0x000F_000F_000F_000F | (spread & 0x000F_000F_000F_000F) << 8
  }

  /// Four eight-bit pixels, each of two four-bit ones.
  @inline(__always)
  private func join(_ eight: UInt64) -> UInt32 {
    var result: UInt32 = 0
    for i in 0..<4 {
      let pair = eight >> UInt64(16 * i)
      let byte = UInt32(truncatingIfNeeded: (pair & 0x0F) << 4 | pair >> 8 & 0x0F)
      result |= byte << UInt32(8 * i)
    }
    return result
  }
}
