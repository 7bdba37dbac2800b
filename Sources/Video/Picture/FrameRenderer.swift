// From VGA state to a picture.
//
// Owns: putting lines together to a frame: its size, blanking, border, registers that change on the way down.
// Must not know: when pictures are wanted, who shows them. Reads the VGA only. Memory is as it is at one moment; registers are followed
// line by line where RasterLog.swift says so.

/// Renders pictures of a VGA.
///
/// Use it on the thread that runs the machine. `isStale` says whether a new picture would differ from the last one.
public final class FrameRenderer {
  /// Whether the border is drawn around the picture, in the overscan colour, up to where blanking begins.
  public var showsBorder = false

  private static let black: UInt32 = 0xFF00_0000
  private let lines = LineRenderer()
  private let linear = LinearRenderer()
  private var wasLinear = false
  private var lastCursor: CursorImage?
  private var lastPlace: CursorPlace?
  /// What of memory's writes the last picture has.
  private var lastSerial: UInt64 = 0
  /// A line of a frame whose lines differ in width.
  private var scratch: [UInt32] = []
  private var lastGeneration: UInt64?
  private var unannounced: UInt64 = 0
  private var lastBlink = 0
  private var lastFollowed: UInt64?

  public init() {}

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
    if lastGeneration != vga.frameGeneration || hasNewCursor(vga) { return true }
    if let picture = vga.linearPicture { return linear.isStale(picture, vga.video) }
    return wasLinear || isWritten(vga) || lastBlink != blinkPhase(vga)
      || lastFollowed != nil && lastFollowed != vga.raster.followed(now: vga.frameCount)
  }

  /// Whether the cursor is elsewhere or, as far as writes of memory tell, another.
  private func hasNewCursor(_ vga: VGA) -> Bool {
    let place = vga.cursorPlace
    if place != lastPlace { return true }
    guard let place else { return false }
    return vga.video.isWritten(place.start, place.count)
      || vga.video.changed(place.start, place.count, since: lastSerial)
  }

  /// Whether plain bytes have changed, which nobody tells of.
  private func isWritten(_ vga: VGA) -> Bool {
    let size = min(vga.video.size, 1 << 20)
    return vga.video.isWritten(0, size) || vga.video.changed(0, size, since: lastSerial)
  }

  /// Renders what the screen shows now.
  public func render(_ vga: VGA, into frame: inout Frame) {
    let isNews = isWritten(vga)
    if vga.video.collect() { vga.watchWrites() }
    lastSerial = vga.video.serial
    lastGeneration = vga.frameGeneration
    lastPlace = vga.cursorPlace
    let cursor = vga.cursorImage
    defer { lastCursor = cursor }
    if let picture = vga.linearPicture {
      wasLinear = true
      unannounced &+= 1
      frame.generation = 1 << 63 | unannounced
      var colours: [UInt32] = []
      if picture.format == .indexed8 { colours = (0..<256).map { vga.dac.colour(UInt8($0)) } }
      let rows = [lastCursor, cursor].compactMap { $0?.rows }
      linear.render(picture, vga.video, colours: colours, overlay: rows, into: &frame)
      if !picture.isBlank { cursor?.draw(into: &frame) }
      return
    }
    wasLinear = false
    frame.source = 0
    lastBlink = blinkPhase(vga)
    let now = vga.frameCount
    lastFollowed = vga.raster.followed(now: now)
    frame.generation = vga.frameGeneration
    if isNews || lastFollowed != nil {
      // Nobody tells what has changed.
      unannounced &+= 1
      frame.generation = 1 << 63 | unannounced
    }
    frame.aspectWidth = 4
    frame.aspectHeight = 3
    var registers = vga.pictureRegisters
    lines.cellMask = Int(vga.cellMask)
    var changes: [RasterChange] = []
    if lastFollowed != nil { changes = vga.raster.changes(now: now, from: &registers) }
    draw(registers, changes, memory: vga.memory, at: now, into: &frame)
    if vga.planarPicture != nil { frame.shape() }
    if vga.graphics.isGraphics { cursor?.draw(into: &frame) }
  }

  private func draw(
    _ start: PictureRegisters, _ changes: [RasterChange], memory: UnsafeMutablePointer<UInt32>,
    at time: UInt64, into frame: inout Frame
  ) {
    var registers = start
    var geometry = DisplayGeometry(registers)
    let border = showsBorder ? DisplayBorder(registers.crtc) : DisplayBorder()
    let repeats = changes.isEmpty ? geometry.repeats : 1
    var cellWidth = geometry.cellWidth
    for change in changes where change.register.changesGeometry {
      registers.set(change.register, change.new)
      let other = DisplayGeometry(registers).cellWidth
      // Eight-bit pixels are half as many.
      if max(cellWidth, other) % min(cellWidth, other) == 0 { cellWidth = max(cellWidth, other) }
    }
    registers = start
    let (left, right) = (border.left * cellWidth, border.right * cellWidth)
    let (top, bottom) = (border.top / repeats, border.bottom / repeats)
    let width = geometry.columns * cellWidth
    let height = max(1, geometry.lines / repeats)
    let stride = left + width + right
    frame.resize(width: stride, height: top + height + bottom)
    let (cursorPhase, blinkPhase) = (time & 8 == 0, time & 16 == 0)
    lines.prepare(registers, cursorPhase: cursorPhase, blinkPhase: blinkPhase)

    frame.pixels.withUnsafeMutableBufferPointer { pixels in
      let base = pixels.baseAddress!
      func fillBorder(_ rows: Range<Int>) {
        let colour = borderColour(registers)
        (base + rows.lowerBound * stride).update(repeating: colour, count: rows.count * stride)
      }
      fillBorder(0..<top)
      var walk = ScanWalk(geometry)
      var next = 0
      for y in 0..<height * repeats {
        defer { walk.advance() }
        if next < changes.count, changes[next].line <= y {
          var isOther = false
          while next < changes.count, changes[next].line <= y {
            registers.set(changes[next].register, changes[next].new)
            isOther = isOther || changes[next].register.changesGeometry
            next += 1
          }
          lines.prepare(registers, cursorPhase: cursorPhase, blinkPhase: blinkPhase)
          if isOther {
            geometry = DisplayGeometry(registers)
            walk.geometry = geometry
          }
        }
        if y % repeats != 0 { continue }
        let row = top + y / repeats
        if stride != width { fillBorder(row..<row + 1) }
        let target = base + row * stride + left
        drawLine(walk, registers, memory, y, target, width)
      }
      fillBorder(top + height..<top + height + bottom)
    }
  }

  /// The colour where display enable is off and blanking is not on.
  private func borderColour(_ registers: PictureRegisters) -> UInt32 {
    let isOn =
      registers.isEnabled && registers.sequencer.isRunning && !registers.sequencer.screenOff
      && registers.crtc.retraceEnabled
    return isOn ? registers.dac.colour(registers.attribute.overscan) : FrameRenderer.black
  }

  private func drawLine(
    _ walk: ScanWalk, _ registers: PictureRegisters, _ memory: UnsafeMutablePointer<UInt32>,
    _ y: Int,
    _ target: UnsafeMutablePointer<UInt32>, _ width: Int
  ) {
    let geometry = walk.geometry
    if geometry.blackLines.contains(where: { $0.contains(y) }) {
      target.update(repeating: FrameRenderer.black, count: width)
      return
    }
    if geometry.blank {
      // Screen off is black; a palette taken away from the display leaves the border's colour.
      target.update(repeating: borderColour(registers), count: width)
    } else if geometry.width == width {
      lines.render(walk, memory: memory, into: target)
    } else {
      // Another number of dots or characters than the frame began with: as wide as it is on the screen.
      if scratch.count < geometry.width { scratch = [UInt32](repeating: 0, count: 2904) }
      scratch.withUnsafeMutableBufferPointer { line in
        lines.render(walk, memory: memory, into: line.baseAddress!)
        for x in 0..<width { target[x] = line[x * geometry.width / width] }
      }
    }
    for columns in geometry.blackColumns {
      let from = columns.lowerBound * width / geometry.columns
      let to = columns.upperBound * width / geometry.columns
      (target + from).update(repeating: FrameRenderer.black, count: to - from)
    }
  }
}
