// A scan line's pixels: from memory and registers to colours.
//
// Owns: shifting, characters, palette, for one line at a time. Must not know: frames, blanking, the beam.
// Follows the IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem"; where it is silent, what was measured on hardware:
// eight-bit pixels go through the palette nibble by nibble, and a DAC that is not held for two dots (mode control bit 6 off in a mode
// with 256-colour shifting) shows each dot the last two nibbles. Graphics have eight dots a character clock, also where it has nine.

/// Renders scan lines for one set of registers.
final class LineRenderer {
  /// The widest line in dots, with a character more for panning.
  private static let lineCapacity = 321 * 9 + 16
  /// A graphics line's pixels, behind one that is always 0.
  private let line: UnsafeMutablePointer<UInt8>
  private let dots: UnsafeMutablePointer<UInt32>
  private let shift = PixelShift()
  /// For each byte its eight bits as eight masks, highest bit first.
  private let masks: UnsafeMutablePointer<SIMD8<UInt32>>
  /// The colour of each pixel value.
  private let colours: UnsafeMutablePointer<UInt32>

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
  /// The row that `cells` holds.
  private var gathered: UInt32?

  /// How graphics pixels come out of the shift registers and the attribute controller.
  private enum Pixels {
    /// Four bits.
    case four
    /// Eight bits, held for two dots.
    case eight
    /// Eight bits, of which each dot shows what there is of them.
    case sliding
  }

  private(set) var registers: PictureRegisters?
  /// Of the numbers of cells.
  var cellMask = VGA.memorySize / 4 - 1
  private var pixels = Pixels.four
  private var showsCursor = false
  private var hidesBlinking = false

  init() {
    line = .allocate(capacity: LineRenderer.lineCapacity)
    line.initialize(repeating: 0, count: LineRenderer.lineCapacity)
    dots = .allocate(capacity: LineRenderer.lineCapacity)
    dots.initialize(repeating: 0, count: LineRenderer.lineCapacity)
    masks = .allocate(capacity: 256)
    colours = .allocate(capacity: 256)
    colours.initialize(repeating: 0, count: 256)
    cells = .allocate(capacity: LineRenderer.lineCapacity)
    for byte in 0..<256 {
      var mask = SIMD8<UInt32>()
      for i in 0..<8 where byte & (0x80 >> i) != 0 { mask[i] = UInt32.max }
      (masks + byte).initialize(to: mask)
    }
  }

  deinit {
    line.deallocate()
    dots.deallocate()
    shift.deallocate()
    masks.deallocate()
    colours.deallocate()
    cells.deallocate()
  }

  /// Takes other registers.
  /// - Parameters: whether the cursor and what blinks are in their visible halves.
  func prepare(_ registers: PictureRegisters, cursorPhase: Bool, blinkPhase: Bool) {
    self.registers = registers
    gathered = nil
    let (attribute, dac) = (registers.attribute, registers.dac)
    showsCursor = cursorPhase && registers.crtc.registers[0x0A] & 0x20 == 0
    hidesBlinking = attribute.blinkEnabled && !blinkPhase
    if !registers.graphics.isGraphics {
      for i in 0..<16 { colours[i] = dac.colour(attribute.dacAddress(UInt8(i))) }
      return
    }
    pixels = attribute.eightBitPixels ? .eight : registers.graphics.shift256 ? .sliding : .four
    if pixels == .four {
      for i in 0..<16 {
        let shown = attribute.shown(UInt8(i), phase: blinkPhase)
        colours[i] = dac.colour(attribute.dacAddress(shown: shown))
      }
    } else {
      for i in 0..<256 { colours[i] = dac.colour(attribute.dacAddress(eightBit: UInt8(i))) }
    }
  }

  /// Renders the line that a walk stands at, as wide as its geometry.
  func render(
    _ walk: ScanWalk, memory: UnsafeMutablePointer<UInt32>,
    into target: UnsafeMutablePointer<UInt32>
  ) {
    if walk.geometry.isGraphics {
      renderGraphics(walk, memory, target)
    } else {
      renderText(walk, memory, target)
    }
  }

  // MARK: Text

  /// What a row's cells show, whatever the scan line.
  private func gather(
    _ walk: ScanWalk, _ registers: PictureRegisters, _ memory: UnsafeMutablePointer<UInt32>
  ) {
    let geometry = walk.geometry
    let row = walk.row
    let sequencer = registers.sequencer
    let crtc = registers.crtc
    let font0 = sequencer.fontAddress(attributeBit3: 0)
    let font1 = sequencer.fontAddress(attributeBit3: 1)
    let lineGraphics = registers.attribute.lineGraphics
    let blinks = registers.attribute.blinkEnabled
    // The cursor's skew is in character clocks, of which several may show one address.
    let cursorSkew = Int(crtc.registers[0x0B] >> 5 & 3)
    let cursorAddress = crtc.cursorAddress & 0xFFFF
    for column in 0...geometry.columns {
      let place = geometry.firstColumn + column
      let cell = memory[
        VGA.cell(geometry.address(row: row, column: place, rowScan: walk.rowScan))]
      let character = cell & 0xFF
      let attribute = cell >> 8 & 0xFF
      var flags: UInt8 = 0
      // The ninth dot repeats the eighth for the line-drawing characters, and is background otherwise.
      if lineGraphics && character & 0xE0 == 0xC0 { flags |= TextCell.repeatsEighth }
      if hidesBlinking && attribute & 0x80 != 0 { flags |= TextCell.hidden }
      if attribute & 0x07 == 1 { flags |= TextCell.underlined }
      if place >= cursorSkew,
        geometry.counter(row: row, column: place - cursorSkew) == cursorAddress
      {
        flags |= TextCell.cursor
      }
      cells[column] = TextCell(
        glyph: (attribute & 8 == 0 ? font0 : font1) &+ character << 5,
        on: colours[Int(attribute & 0x0F)],
        off: colours[Int(attribute >> 4 & (blinks ? 7 : 15))], flags: flags)
    }
  }

  private func renderText(
    _ walk: ScanWalk, _ memory: UnsafeMutablePointer<UInt32>, _ target: UnsafeMutablePointer<UInt32>
  ) {
    guard let registers else { return }
    let geometry = walk.geometry
    let rowScan = walk.rowScan
    if gathered != walk.row || geometry.fetchesByScan {
      gather(walk, registers, memory)
      gathered = walk.row
    }
    let crtc = registers.crtc.registers
    var filled: UInt8 = 0
    if rowScan == Int(crtc[0x14] & 0x1F) { filled |= TextCell.underlined }
    if showsCursor, rowScan >= Int(crtc[0x0A] & 0x1F), rowScan <= Int(crtc[0x0B] & 0x1F) {
      filled |= TextCell.cursor
    }
    let nine = geometry.cellWidth == 9
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
    target.update(from: dots + walk.panning, count: geometry.width)
  }

  // MARK: Graphics

  private func renderGraphics(
    _ walk: ScanWalk, _ memory: UnsafeMutablePointer<UInt32>, _ target: UnsafeMutablePointer<UInt32>
  ) {
    guard let registers else { return }
    let geometry = walk.geometry
    let (row, rowScan, first) = (walk.row, walk.rowScan, geometry.firstColumn)
    let nibbles = registers.graphics.shift256
    let interleaved = registers.graphics.shiftInterleave
    let loadsEvery = registers.sequencer.loadsEvery
    let pixels = pixels
    let bytes = UnsafeMutableRawPointer(line + 1)
    if nibbles, pixels == .eight, loadsEvery == 1 {
      // The pixels of mode 13h are memory's bytes.
      for column in 0...geometry.columns {
        let address = geometry.address(row: row, column: first + column, rowScan: rowScan)
        let cell = memory[VGA.wideCell(address) & cellMask]
        bytes.storeBytes(of: cell.littleEndian, toByteOffset: column * 4, as: UInt32.self)
      }
    } else {
      for column in 0...geometry.columns {
        let place = first + column
        let later = place & (loadsEvery - 1)
        let address = geometry.address(row: row, column: place - later, rowScan: rowScan)
        let cell = memory[VGA.wideCell(address) & cellMask]
        var eight =
          nibbles ? shift.split(cell) : interleaved ? shift.interleave(cell) : shift.planes(cell)
        if later != 0 { eight = shift.chained(eight, later: later) }
        if pixels == .eight {
          let four = shift.join(eight).littleEndian
          bytes.storeBytes(of: four, toByteOffset: column * 4, as: UInt32.self)
        } else {
          bytes.storeBytes(of: eight.littleEndian, toByteOffset: column * 8, as: UInt64.self)
        }
      }
    }
    let source = line + 1 + walk.panning
    let width = geometry.width
    if pixels == .sliding {
      for x in 0..<width { target[x] = colours[Int(source[x - 1] << 4 | source[x])] }
    } else {
      for x in 0..<width { target[x] = colours[Int(source[x])] }
    }
  }
}
