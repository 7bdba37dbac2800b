// Where the beam is: input status registers from virtual time.
//
// Owns: the frame's timing as a function of the registers, and when one of them changed. Must not know: events; nothing is scheduled, the position is computed when
// it is asked for. Frames are counted from virtual time 0, so that two runs agree.

import Bus

/// A frame's timing, in scan lines and character clocks.
struct VGATiming {
  /// The length of a frame in virtual nanoseconds, at least 1.
  var framePeriod: UInt64 = 1
  var lines: UInt64 = 1
  var displayLines: UInt64 = 1
  var characters: UInt64 = 1
  /// The first character clock of the display, and the first behind it.
  var displayStart: UInt64 = 0
  var displayEnd: UInt64 = 1
  var retraceStart: UInt64 = 0
  /// The scan lines of vertical retrace.
  var retrace = CounterGate()
}

extension VGA {
  func updateTiming() {
    var t = VGATiming()
    t.lines = UInt64(crtc.verticalTotal)
    t.displayLines = UInt64(crtc.verticalDisplay)
    t.characters = UInt64(crtc.horizontalTotal)
    t.displayStart = UInt64(crtc.displaySkew)
    t.displayEnd = UInt64(crtc.horizontalDisplay + crtc.displaySkew)
    t.retraceStart = UInt64(crtc.retraceStart)
    t.retrace = crtc.verticalRetrace
    let clock: UInt64 =
      cirrus?.dotClock(miscOutput >> 2) ?? (miscOutput & 0x04 == 0 ? 25_175_000 : 28_322_000)
    let dots = UInt64(sequencer.dotsPerCharacter) * (sequencer.halfDotClock ? 2 : 1)
    // At most 260 characters of 18 dots in 2050 lines: no overflow, and never less than 10 characters in 2 lines.
    t.framePeriod = max(1, t.characters * dots * t.lines * 1_000_000_000 / clock)
    // Registers of an extended mode that was set in part are no monitor's.
    if cirrus != nil { t.framePeriod = min(max(t.framePeriod, 4_000_000), 50_000_000) }
    if let display, display.isEnabled {
      // Nothing of it says how quickly it is drawn: 60 times a second.
      t.displayLines = UInt64(display.height)
      t.retraceStart = t.displayLines + 10
      t.lines = t.displayLines + 40
      t.retrace = CounterGate(
        start: display.height + 10, end: display.height + 12 & 0x0F, mask: 0x0F,
        total: display.height + 40)
      (t.displayStart, t.displayEnd, t.characters) = (0, 160, 200)
      t.framePeriod = 16_666_667
    }
    // The numbers of frames mean something else from now on.
    if t.framePeriod != timing.framePeriod { raster = RasterLog() }
    timing = t
  }

  /// Where the beam is: the frame's number, the scan line, the character clock.
  private var beam: (frame: UInt64, line: UInt64, character: UInt64) {
    let t = timing
    let (frame, rest) = clock.now.quotientAndRemainder(dividingBy: t.framePeriod)
    let (line, inLine) = (rest * t.lines).quotientAndRemainder(dividingBy: t.framePeriod)
    return (frame, line, inLine * t.characters / t.framePeriod)
  }

  /// Remembers that a register which decides about the picture has changed, for frames that change while the beam draws them.
  func noteChange(_ register: PictureRegister, _ old: UInt32, _ new: UInt32) {
    // Linear pictures and those of other sizes are not followed.
    if let display, display.isEnabled { return }
    if let cirrus, cirrus.isPacked { return }
    let (frame, line, character) = beam
    // What changes in a line's second half or behind it is seen from the next line on.
    let first = Int(character < timing.displayEnd / 2 ? line : line + 1)
    raster.note(
      RasterChange(line: Int32(first), register: register, old: old, new: new), frame: frame,
      isSeen: line < timing.displayLines)
  }

  /// The number of whole frames since virtual time 0, which blinking follows.
  public var frameCount: UInt64 { clock.now / timing.framePeriod }

  /// The length of a frame in virtual nanoseconds, at least 1.
  public var framePeriod: UInt64 { timing.framePeriod }

  /// Input Status 1: bit 0 not displaying, bit 3 vertical retrace, bits 5-4 two bits of the colour that is shown.
  func inputStatus1() -> UInt8 {
    let t = timing
    let (_, line, character) = beam
    var status: UInt8 = 0
    if line >= t.displayLines || character < t.displayStart || character >= t.displayEnd {
      status |= 0x01
      // The diagnostic bits show the border here, through the multiplexer of the color plane enable register.
      let colour = attribute.overscan
      switch attribute.registers[0x12] >> 4 & 3 {
      case 0: status |= (colour & 1) << 4 | (colour & 4) << 3
      case 1: status |= colour & 0x30
      case 2: status |= (colour & 2) << 3 | (colour & 8) << 2
      default: status |= colour >> 2 & 0x30
      }
    }
    if t.retrace.contains(Int(line)) { status |= 0x08 }
    return status
  }

  /// Input Status 0: bit 4 monitor sense, bit 7 vertical interrupt pending.
  func inputStatus0() -> UInt8 {
    var status: UInt8 = 0x10
    let control = crtc.registers[0x11]
    if control & 0x30 == 0x10 {
      // Pending if a retrace began since the interrupt was armed.
      let t = timing
      let start = t.framePeriod * min(t.retraceStart, t.lines) / t.lines
      func begun(_ time: UInt64) -> UInt64 {
        time < start ? 0 : (time - start) / t.framePeriod + 1
      }
      if begun(clock.now) > begun(interruptArmed) { status |= 0x80 }
    }
    return status
  }
}
