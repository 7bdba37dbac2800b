// The A20 gate and port 92h (IBM PS/2 Technical Reference; 82371SB).
//
// Owns: the latch that opens the gate, system control port A. Must not know: the memory behind the gate.
//
//   92h  bit 0 going high resets the processor, bit 1 is the gate, the others are stored
//
// Boards once had two gates and a line that was open while either was. Chip sets that watch for the keyboard controller's command
// have one latch instead, which both ways write and read. Firmware leaves the line open for today's programs, so with two gates a
// memory manager that knows only one way could never close it.

import Bus
import State

/// Address line 20: as the keyboard controller or port 92h last said.
public final class A20Gate {
  /// High: A20 follows the processor. Low: it is forced to 0.
  public let output = Signal()

  /// Open, as after power-on, when the processor fetches from the top of memory.
  public init() { output.restore(level: true) }

  var isOpen: Bool { output.level }

  func set(_ level: Bool) { output.set(level) }

  func restore(_ level: Bool) { output.restore(level: level) }
}

/// Port 92h: fast A20 and fast reset.
public final class SystemPortA: Device, Registers {
  public let stateName = "port92"
  private let gate: A20Gate
  private let request: (ResetRequest) -> Void
  private var value: UInt8 = 0

  /// - Parameter request: Asked to reset the processor.
  public init(gate: A20Gate, request: @escaping (ResetRequest) -> Void) {
    self.gate = gate
    self.request = request
  }

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    UInt32(value & ~2 | (gate.isOpen ? 2 : 0))
  }

  public func write(at offset: UInt32, _ newValue: UInt32, width: Int) {
    let old = value
    value = UInt8(truncatingIfNeeded: newValue)
    gate.set(value & 2 != 0)
    if value & 1 != 0 && old & 1 == 0 {
      // The pulse is over when the processor starts again, so the next write can reset once more.
      value &= ~1
      request(.processor)
    }
  }

  public func reset(_ kind: ResetKind) {
    value = 0
  }

  public func save(to writer: inout StateWriter) {
    writer.write(value & ~2 | (gate.isOpen ? 2 : 0))
  }
  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    value = try reader.read()
    gate.restore(value & 2 != 0)
  }
}

extension SystemPortA {
  public static let part = PartType("port92", "system control port A: fast A20 and reset") {
    board, _ in
    let port = SystemPortA(
      gate: try board.need(offer: A20Gate.self, for: "port92"),
      request: { [request = board.request] in request(.reset($0)) })
    try board.claim(port, at: 0x92...0x92, owner: port.stateName)
    try board.add(port)
  }

  public func inspect() -> [Field] { [.register("stored", value), .flag("a20", gate.isOpen)] }
}
