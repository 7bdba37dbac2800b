// The registers that decide about the picture, as one value.
//
// Owns: their present values together, and setting one of them by its name. Must not know: ports, time, pixels.

/// A register that decides about the picture, or a colour of the DAC.
enum PictureRegister: Equatable, Sendable {
  case sequencer(UInt8)
  case crtc(UInt8)
  case graphics(UInt8)
  case attribute(UInt8)
  /// The palette address source bit.
  case paletteSource
  /// Its value is red, green and blue, eight bits each, red lowest.
  case colour(UInt8)
  case mask
}

/// What a picture is made from, memory aside.
struct PictureRegisters: Sendable {
  var sequencer: Sequencer
  var crtc: CRTController
  var graphics: GraphicsController
  var attribute: AttributeController
  var dac: VideoDAC
  /// Whether the subsystem is on.
  var isEnabled: Bool
  /// What says how large the picture is in place of the CRT controller, and where it is in memory.
  var planar: PlanarPicture?

  /// Gives a register another value.
  mutating func set(_ register: PictureRegister, _ value: UInt32) {
    let byte = UInt8(truncatingIfNeeded: value)
    switch register {
    case .sequencer(let i): sequencer.registers[Int(i)] = byte
    case .crtc(let i): crtc.registers[Int(i)] = byte
    case .graphics(let i): graphics.registers[Int(i)] = byte
    case .attribute(let i): attribute.registers[Int(i)] = byte
    case .paletteSource: attribute.displayEnabled = value != 0
    case .colour(let i): dac.setPacked(i, value)
    case .mask: dac.mask = byte
    }
  }
}

extension VGA {
  /// The registers as they are now.
  var pictureRegisters: PictureRegisters {
    PictureRegisters(
      sequencer: sequencer, crtc: crtc, graphics: graphics, attribute: attribute, dac: dac,
      isEnabled: isEnabled && !(cirrus?.isAsleep ?? false), planar: planarPicture)
  }
}

extension PictureRegister {
  /// Whether it decides about more than colours.
  var changesGeometry: Bool {
    switch self {
    case .colour, .mask: false
    case .attribute(let index): index >= 0x10 && index != 0x11 && index != 0x12 && index != 0x14
    default: true
    }
  }
}
