// A parallel port with a printer that is always ready (IBM AT Technical Reference, Parallel Adapter).
//
// Owns: data, status and control registers, the handshake in virtual time. Must not know: where the printed bytes go.
//
//   0  data                                    1  status: 3 no error  4 selected  5 paper out  6 not ACK  7 not busy
//   2  control: 0 strobe 1 auto feed 2 not init 3 select 4 interrupt on ACK 5 input direction

import Bus
import State

/// A parallel port.
public final class LPT: Device, Registers {
  public let stateName: String
  /// Takes each printed byte. Without one the port has no printer: unselected, busy.
  public var sink: ((UInt8) -> Void)?

  private let clock: VirtualClock
  private let irq: Signal
  private var event: EventID!
  private var data: UInt8 = 0
  private var control: UInt8 = 0x0C
  private enum Phase: UInt8 {
    case ready, busy, acknowledging
  }
  private var phase = Phase.ready

  /// The printer is busy for 10 us with a byte, then acknowledges for 10 us.
  private static let phaseTime: UInt64 = 10_000

  /// - Parameters:
  ///   - name: Unique in the machine, such as "lpt1".
  ///   - irq: IRQ 7 or 5; high while ACK is active and the interrupt enabled.
  public init(name: String, clock: VirtualClock, irq: Signal) {
    stateName = name
    self.clock = clock
    self.irq = irq
    event = clock.register("\(name).handshake") { [unowned self] in next() }
  }

  private func next() {
    switch phase {
    case .ready: break
    case .busy:
      phase = .acknowledging
      clock.schedule(event, after: LPT.phaseTime)
    case .acknowledging: phase = .ready
    }
    updateIRQ()
  }

  private func updateIRQ() { irq.set(phase == .acknowledging && control & 0x10 != 0) }

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    switch offset {
    case 0: return UInt32(control & 0x20 != 0 ? 0xFF : data)
    case 1:
      // Open inputs read high; BUSY is inverted.
      if sink == nil { return 0x7F }
      switch phase {
      case .ready: return 0xDF
      case .busy: return 0x5F
      case .acknowledging: return 0x1F
      }
    case 2: return UInt32(control | 0xC0)
    default: return 0xFF
    }
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    switch offset {
    case 0: data = byte
    case 2:
      let old = control
      control = byte & 0x3F
      // The printer takes the data when STROBE becomes active.
      if control & 1 != 0 && old & 1 == 0 && phase == .ready, let sink {
        sink(data)
        phase = .busy
        clock.schedule(event, after: LPT.phaseTime)
      }
      updateIRQ()
    default: break
    }
  }

  public func reset(_ kind: ResetKind) {
    clock.cancel(event)
    data = 0
    control = 0x0C
    phase = .ready
    updateIRQ()
  }

  public func save(to writer: inout StateWriter) {
    writer.write(data)
    writer.write(control)
    writer.write(phase.rawValue)
    writer.write(irq.level)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    data = try reader.read()
    control = try reader.read(in: 0...0x3F)
    guard let restored = Phase(rawValue: try reader.read()) else {
      throw reader.error("an unknown phase of the handshake")
    }
    phase = restored
    irq.restore(level: try reader.readBool())
  }
}

extension LPT {
  public func inspect() -> [Field] {
    [
      .register("data", data), .register("control", control), .text("phase", "\(phase)"),
      .flag("interrupt", irq.level),
    ]
  }
}

extension LPT {
  /// Offsets: 0 data, 1 status, 2 control.
  public static let part = PartType(
    "lpt", "parallel port", isMultiple: true,
    options: [
      PartOption("port", .port, "278", "the first of its three ports"),
      PartOption("irq", .interrupt, "5", "its interrupt request"),
    ]
  ) { board, values in
    let name = try values.identity(on: board)
    let printer = LPT(
      name: name, clock: board.clock, irq: try board.interrupt(values.number("irq"), for: name))
    let base = values.port("port")
    guard base <= 0xFFFD else {
      throw BoardError("\(name): three ports do not fit at \(Port(base))")
    }
    try board.claim(printer, at: base...base + 2, owner: name)
    try board.add(printer)
  }
}
