// The monitor's identification over two wires of its cable.
//
// Owns: the monitor's end of them: what it makes of clock and data, and its answers. Must not know: registers that drive the wires.
// Follows: I2C-bus specification 2.1; VESA Display Data Channel Standard 3 (DDC2B: 128 bytes at addresses A0h and A1h).
//
// Both wires are high unless somebody pulls them low. Data that falls or rises while the clock is high begins or ends a transfer; else
// a bit is valid while the clock is high.

import State

/// A monitor at the end of a cable, which answers with `EDID.block`.
struct DisplayDataChannel: Equatable {
  private enum Phase: UInt8 {
    /// Nobody is spoken to, or somebody else.
    case idle
    /// The host gives the address of whom it means.
    case address
    /// It gives the number of the byte that is to come next.
    case offset
    /// It gets bytes.
    case sending
  }

  /// What the host drives.
  private var clock = false
  private var data = false
  /// The monitor pulls the data wire low.
  private var pulls = false
  /// What the host answered to the last byte it got.
  private var isAcknowledged = false
  private var phase = Phase.idle
  private var shift: UInt8 = 0
  /// Of a byte and its acknowledgement, 0 to 9.
  private var bits: UInt8 = 0
  private var offset: UInt8 = 0

  /// The wires as they are.
  var clockIsHigh: Bool { clock }
  var dataIsHigh: Bool { data && !pulls }

  /// The host drives the wires.
  mutating func drive(clock newClock: Bool, data newData: Bool) {
    let (oldClock, oldData) = (clock, data)
    (clock, data) = (newClock, newData)
    if oldClock, newClock {
      if oldData == newData || pulls { return }
      phase = newData ? .idle : .address
      bits = 0
      return
    }
    if newClock {
      rise()
    } else if oldClock {
      fall()
    }
  }

  /// Bits are looked at.
  private mutating func rise() {
    switch phase {
    case .idle: break
    case .address, .offset:
      if bits >= 8 { return }
      shift = shift << 1 | (data ? 1 : 0)
      bits += 1
    case .sending: if bits == 9 { isAcknowledged = !data }
    }
  }

  /// Bits are put on the wire, and acknowledged.
  private mutating func fall() {
    switch phase {
    case .idle: break
    case .address, .offset:
      if bits < 8 { return }
      if bits == 8 {
        if phase == .address, shift & 0xFE != 0xA0 {
          phase = .idle
          return
        }
        pulls = true
        bits = 9
        return
      }
      pulls = false
      bits = 0
      if phase == .offset {
        // What may follow would be written, which it cannot be.
        offset = shift
        phase = .idle
      } else if shift & 1 == 0 {
        phase = .offset
      } else {
        phase = .sending
        fetch()
      }
    case .sending:
      if bits < 8 {
        put()
      } else if bits == 8 {
        pulls = false
        bits = 9
      } else if isAcknowledged {
        fetch()
      } else {
        phase = .idle
      }
    }
  }

  private mutating func fetch() {
    shift = EDID.block[Int(offset) % EDID.block.count]
    offset &+= 1
    bits = 0
    put()
  }

  private mutating func put() {
    pulls = shift & 0x80 == 0
    shift <<= 1
    bits += 1
  }

  // MARK: State

  func save(to writer: inout StateWriter) {
    for flag in [clock, data, pulls, isAcknowledged] { writer.write(flag) }
    for value in [phase.rawValue, shift, bits, offset] { writer.write(value) }
  }

  init() {}

  init(from reader: inout StateReader) throws(StateError) {
    clock = try reader.readBool()
    data = try reader.readBool()
    pulls = try reader.readBool()
    isAcknowledged = try reader.readBool()
    guard let phase = Phase(rawValue: try reader.read()) else {
      throw reader.error("a display data channel in no phase that there is")
    }
    self.phase = phase
    shift = try reader.read()
    bits = try reader.read(in: UInt8(0)...9)
    offset = try reader.read()
  }
}
