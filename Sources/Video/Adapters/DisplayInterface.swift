// Bochs' display interface as a part of the VGA.
//
// Owns: what its registers do to the VGA's other parts. Must not know: where its ports are (StandardAdapter.swift); its registers'
// ranges are in BochsDisplay.swift.

import Bus

extension VGA {
  /// Reads one of the interface's registers.
  func readDisplay(_ n: Int) -> UInt16 { display?.read(n) ?? 0xFFFF }

  /// Writes one of them.
  func writeDisplay(_ n: Int, _ value: UInt16) {
    guard var new = display else { return }
    let effect = new.write(n, value)
    display = new
    if n == BochsDisplay.Index.enable { dac.isWide = new.hasWideDAC }
    switch effect {
    case .none: return
    case .changed: break
    case .begins:
      beginMode(new)
      if !new.keepsMemory {
        let bytes = new.pitch * (new.depth == 4 ? 4 : 1) * new.height
        video.base.initializeMemory(as: UInt8.self, repeating: 0, count: min(bytes, video.size))
        video.note(0, min(bytes, video.size))
      }
    }
    if n == BochsDisplay.Index.bank {
      updateMemoryMode()
    } else {
      updateDerived()
    }
  }

  /// The host reaches memory as the mode wants it, without the guest's having set all registers of a VGA.
  private func beginMode(_ display: BochsDisplay) {
    graphics.registers[6] = graphics.registers[6] & 0x02 | 0x05
    sequencer.registers[2] = 0x0F
    if display.depth == 4 {
      sequencer.registers[4] = sequencer.registers[4] & ~0x08 | 0x06
      sequencer.registers[1] &= ~0x1C
      graphics.registers[5] &= ~0x70
      crtc.registers[0x14] &= ~0x60
      crtc.registers[0x17] = crtc.registers[0x17] & ~0x0C | 0xC3
    } else {
      sequencer.registers[4] |= 0x0E
      graphics.registers[5] = graphics.registers[5] & ~0x30 | 0x40
    }
  }
}

/// Index and data at 1CEh and 1CFh (and 1D0h), sixteen bits each.
final class DisplayPorts: Registers {
  /// Without reference counting: both are the board's.
  private unowned(unsafe) let vga: VGA
  init(_ vga: VGA) { self.vga = vga }

  func read(at offset: UInt32, width: Int) -> UInt32 {
    guard let display = vga.display else { return UInt32.max }
    return UInt32(offset == 0 ? display.index : vga.readDisplay(Int(display.index)))
  }

  func write(at offset: UInt32, _ value: UInt32, width: Int) {
    let value = UInt16(truncatingIfNeeded: value)
    if offset == 0 {
      vga.display?.index = value
    } else if let index = vga.display?.index {
      vga.writeDisplay(Int(index), value)
    }
  }
}
