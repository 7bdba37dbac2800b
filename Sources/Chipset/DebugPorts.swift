// Small ports for firmware writers and test harnesses, and the reset control register.
//
// Owns: the debug console (E9h as in Bochs, 402h as SeaBIOS uses it), the POST-code history, the exit port, port CF9h of the PIIX3.
// Must not know: where the text goes, or what a reset does.

import Bus
import State

/// A port whose written bytes go to a sink; reading it gives the low byte of its own number, by which guests find it.
public final class DebugConsole: PortDevice {
  public let stateName: String
  /// Takes each byte written.
  public var sink: ((UInt8) -> Void)?
  /// How many bytes were written since power-on.
  public private(set) var count: UInt64 = 0

  /// - Parameter name: Unique in the machine.
  public init(name: String = "debug-console", sink: ((UInt8) -> Void)? = nil) {
    stateName = name
    self.sink = sink
  }

  /// E9h whatever the port (402h is probed for the same value).
  public func readPort(_ port: UInt16, width: Int) -> UInt32 { 0xE9 }

  public func writePort(_ port: UInt16, _ value: UInt32, width: Int) {
    count &+= 1
    sink?(UInt8(truncatingIfNeeded: value))
  }

  public func reset(_ kind: ResetKind) { if kind == .power { count = 0 } }
  public func save(to writer: inout StateWriter) { writer.write(count) }
  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    count = try reader.read()
  }
}

/// The POST codes written to port 80h, latest last. Connect it to the `DMA8237Pair`, which owns the port.
public final class PostCodes: Device {
  public let stateName = "post-codes"
  /// At most this many codes are kept.
  public static let capacity = 64
  /// The history, the oldest first; equal codes in a row are kept once (port 80h is also written for delays).
  public var history: [UInt8] { Array(codes[next...] + codes[..<next]) }
  /// Told of each code.
  public var sink: ((UInt8) -> Void)?
  /// Until it is full, in order; then a ring whose oldest code is at `next`.
  private var codes: [UInt8] = []
  private var next = 0
  private var last: UInt8?

  public init() {}

  /// A code was written.
  public func write(_ code: UInt8) {
    if let sink { sink(code) }
    if last == code { return }
    last = code
    if codes.count < PostCodes.capacity {
      codes.append(code)
    } else {
      codes[next] = code
      next = (next + 1) % PostCodes.capacity
    }
  }

  public func reset(_ kind: ResetKind) { take([]) }
  public func save(to writer: inout StateWriter) { writer.write(bytes: history) }
  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    let bytes = try reader.readBytes()
    if bytes.count > PostCodes.capacity { throw reader.error("too many POST codes") }
    take(bytes)
  }

  private func take(_ bytes: [UInt8]) {
    codes = bytes
    next = 0
    last = bytes.last
  }
}

/// A port by which the guest ends the run: writing v asks for the exit code (v << 1) | 1, as QEMU's isa-debug-exit does.
public final class DebugExit: PortDevice {
  public let stateName = "debug-exit"
  /// Told of the exit code, 1 to 255 (only the low seven bits of the value count).
  public var exit: (Int) -> Void

  public init(exit: @escaping (Int) -> Void) { self.exit = exit }

  public func readPort(_ port: UInt16, width: Int) -> UInt32 { 0 }
  public func writePort(_ port: UInt16, _ value: UInt32, width: Int) {
    exit(Int(value & 0x7F) << 1 | 1)
  }
  public func reset(_ kind: ResetKind) {}
  public func save(to writer: inout StateWriter) {}
  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {}
}

/// How far a reset asked for by the guest reaches.
public enum ResetRequest: Equatable, Sendable {
  /// INIT of the processor only (fast reset of 286 programs, 8042 pulse, port 92h, CF9h soft).
  case processor
  /// The whole system (CF9h hard).
  case system
}

/// Port CF9h, the reset control register (82371SB): bit 1 chooses a hard reset, bit 2 going high triggers it.
public final class ResetControl: PortDevice {
  public let stateName = "reset-control"
  /// Asked to reset.
  public var request: (ResetRequest) -> Void
  private var value: UInt8 = 0

  public init(request: @escaping (ResetRequest) -> Void) { self.request = request }

  public func readPort(_ port: UInt16, width: Int) -> UInt32 { UInt32(value) }

  public func writePort(_ port: UInt16, _ newValue: UInt32, width: Int) {
    let old = value
    value = UInt8(truncatingIfNeeded: newValue) & 0x0E
    if value & 0x04 != 0 && old & 0x04 == 0 {
      request(value & 0x02 != 0 ? .system : .processor)
    }
  }

  public func reset(_ kind: ResetKind) { value = 0 }
  public func save(to writer: inout StateWriter) { writer.write(value) }
  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    value = try reader.read(UInt8.self) & 0x0E
  }
}
