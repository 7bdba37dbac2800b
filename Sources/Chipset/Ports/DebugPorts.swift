// Small ports for firmware writers and test harnesses, and the reset control register.
//
// Owns: the debug console (E9h as in Bochs, 402h as SeaBIOS uses it), the POST-code history, the exit port, port CF9h of the PIIX3.
// Must not know: where the text goes, or what a reset does.

import Bus
import State

/// A port whose written bytes go to a sink; reading it gives the low byte of its own number, by which guests find it.
public final class DebugConsole: Device, Registers {
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
  public func read(at offset: UInt32, width: Int) -> UInt32 { 0xE9 }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
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
  public var history: [UInt8] {
    (0..<kept).map { codes[(next + $0) % kept] }
  }
  /// Told of each code.
  public var sink: ((UInt8) -> Void)?
  /// Until it is full, in order; then a ring whose oldest code is at `next`. Behind a pointer, as delay loops write here.
  private let codes: UnsafeMutablePointer<UInt8>
  private var kept = 0
  private var next = 0
  private var last: UInt8?

  public init() {
    codes = .allocate(capacity: PostCodes.capacity)
    codes.initialize(repeating: 0, count: PostCodes.capacity)
  }

  deinit { codes.deallocate() }

  /// A code was written.
  public func write(_ code: UInt8) {
    if sink != nil { tell(code) }
    if last == code { return }
    last = code
    if kept < PostCodes.capacity {
      codes[kept] = code
      kept += 1
    } else {
      codes[next] = code
      next = (next &+ 1) & (PostCodes.capacity - 1)
    }
  }

  @inline(never) private func tell(_ code: UInt8) { sink?(code) }

  public func reset(_ kind: ResetKind) { take([]) }
  public func save(to writer: inout StateWriter) { writer.write(bytes: history) }
  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    let bytes = try reader.readBytes()
    if bytes.count > PostCodes.capacity { throw reader.error("too many POST codes") }
    take(bytes)
  }

  private func take(_ bytes: [UInt8]) {
    kept = bytes.count
    for (n, code) in bytes.enumerated() { codes[n] = code }
    next = 0
    last = bytes.last
  }
}

/// A port by which the guest ends the run: writing v asks for the exit code (v << 1) | 1, as QEMU's isa-debug-exit does.
public final class DebugExit: Device, Registers {
  public let stateName = "debug-exit"
  /// Told of the exit code, 1 to 255 (only the low seven bits of the value count).
  public var exit: (Int) -> Void

  public init(exit: @escaping (Int) -> Void) { self.exit = exit }

  public func read(at offset: UInt32, width: Int) -> UInt32 { 0 }
  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    exit(Int(value & 0x7F) << 1 | 1)
  }
  public func reset(_ kind: ResetKind) {}
  public func save(to writer: inout StateWriter) {}
  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {}
}

/// Port CF9h, the reset control register (82371SB): bit 1 chooses a hard reset, bit 2 going high triggers it.
public final class ResetControl: Device, Registers {
  public let stateName = "reset-control"
  /// Asked to reset.
  public var request: (ResetRequest) -> Void
  private var value: UInt8 = 0

  public init(request: @escaping (ResetRequest) -> Void) { self.request = request }

  public func read(at offset: UInt32, width: Int) -> UInt32 { UInt32(value) }

  public func write(at offset: UInt32, _ newValue: UInt32, width: Int) {
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

extension DebugConsole {
  public static let part = PartType(
    "debug-console", "a port whose written bytes go to --debug-console", isMultiple: true,
    options: [PartOption("port", .port, "E9", "its port")]
  ) { board, values in
    let console = DebugConsole(name: try values.identity(on: board))
    let port = values.port("port")
    // What no PC has takes no time.
    try board.claim(console, at: port...port, .quick, owner: console.stateName)
    try board.add(console)
  }

  public func inspect() -> [Field] { [.count("bytes", count)] }
}

extension DebugExit {
  public static let part = PartType(
    "debug-exit", "a port by which the guest ends the run",
    options: [PartOption("port", .port, "F4", "its first port; the next three too, where free")]
  ) { board, values in
    let port = values.port("port")
    if let owner = board.ports.owner(of: port) ?? board.claimant(of: port) {
      throw BoardError("port \(Port(port)) belongs to '\(owner)' and cannot be the exit port")
    }
    let exit = DebugExit { [request = board.request] in request(.exit($0)) }
    let (last, overflow) = port.addingReportingOverflow(3)
    let top = overflow ? UInt16.max : last
    var end = port
    while end < top, board.ports.owner(of: end + 1) == nil, board.claimant(of: end + 1) == nil {
      end += 1
    }
    try board.claim(
      exit, at: port...end, PortTraits(maxWidth: 4, isSlow: false), owner: exit.stateName)
    try board.add(exit)
  }

  public func inspect() -> [Field] { [] }
}

extension ResetControl {
  /// Only bytes: a wider access to CF8h means the address register of PCI configuration.
  public static let part = PartType("reset-control", "port CF9h, the reset control register") {
    board, _ in
    let control = ResetControl(request: { [request = board.request] in request(.reset($0)) })
    // The bridge claims its own register itself: no base address of a function stands above it.
    try board.claim(
      control, at: 0xCF9...0xCF9, PortTraits(takesPieces: false), owner: control.stateName,
      priority: Int.max)
    try board.add(control)
  }

  public func inspect() -> [Field] { [.register("value", value)] }
}

extension PostCodes {
  public func inspect() -> [Field] { [.bytes("codes", history)] }
}
