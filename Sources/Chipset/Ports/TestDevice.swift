// The device that kvm-unit-tests expect of their machine: memory and ports that remember.
//
// Owns: 64 KiB of memory-mapped bytes, the ports E0h to EBh, the levels that it gives interrupt requests. Must not know: what the tests
// do with them.
// Follows: QEMU's description of pc-testdev (ports E0h-E3h a value, E4h flush page, E8h-EBh the value byte by byte, 2000h-200Fh the
// level of an interrupt request each, FF000000h memory).

import Bus
import State

/// A device for test kernels.
public final class TestDevice: Device, Registers {
  public let stateName = "test-device"
  /// Where its memory is.
  public static let memoryStart: UInt32 = 0xFF00_0000
  public static let memorySize = 0x10000
  public static let ports: ClosedRange<UInt16> = 0xE0...0xE8
  private var bytes = [UInt8](repeating: 0, count: TestDevice.memorySize)
  private var value: UInt32 = 0
  /// Where each interrupt request has its port, from here on.
  public static let requestPorts: ClosedRange<UInt16> = 0x2000...0x200F
  private let requests: [Signal]

  /// - Parameter requests: drivers of the interrupt requests 0 to 15, or none.
  public init(requests: [Signal] = []) { self.requests = requests }

  public var stateVersion: UInt16 { 2 }

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    // Pages need no flushing.
    offset & 0x0C == 4 ? 0 : value >> UInt32(8 * (offset & 3))
  }

  public func write(at offset: UInt32, _ new: UInt32, width: Int) {
    if offset & 0x0C == 4 { return }
    let shift = UInt32(8 * (offset & 3))
    let mask = (UInt32.max >> UInt32(32 - 8 * min(max(width, 1), 4))) << shift
    value = value & ~mask | new << shift & mask
  }

  public func reset(_ kind: ResetKind) {
    if kind == .power { value = 0 }
    for request in requests { request.set(false) }
  }

  public func save(to writer: inout StateWriter) {
    writer.write(value)
    writer.write(bytes: bytes)
    for request in requests { writer.write(request.level) }
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    value = try reader.read()
    bytes = try reader.readBytes(count: bytes.count)
    for request in requests { request.restore(level: version < 2 ? false : try reader.readBool()) }
  }

  // MARK: - Memory

  /// The 64 KiB of memory.
  public final class Memory: Registers {
    private unowned let device: TestDevice
    init(_ device: TestDevice) { self.device = device }

    public func read(at offset: UInt32, width: Int) -> UInt32 {
      var value: UInt32 = 0
      for n in 0..<UInt32(width) {
        value |= UInt32(device.bytes[Int((offset &+ n) & 0xFFFF)]) << (8 &* n)
      }
      return value
    }

    public func write(at offset: UInt32, _ value: UInt32, width: Int) {
      for n in 0..<UInt32(width) {
        device.bytes[Int((offset &+ n) & 0xFFFF)] = UInt8(truncatingIfNeeded: value >> (8 &* n))
      }
    }
  }
  private lazy var memory = Memory(self)

  /// The ports that give interrupt requests a level: what is written, zero or not.
  private final class Requests: Registers {
    private let signals: [Signal]
    init(_ signals: [Signal]) { self.signals = signals }

    func read(at offset: UInt32, width: Int) -> UInt32 { 0 }

    func write(at offset: UInt32, _ value: UInt32, width: Int) {
      if Int(offset) < signals.count { signals[Int(offset)].set(value & 0xFF != 0) }
    }
  }

  public static let part = PartType(
    "test-device",
    "the device that kvm-unit-tests expect: memory and ports that remember, interrupt requests"
  ) { board, _ in
    var requests: [Signal] = []
    for number in 0..<board.interruptCount {
      requests.append(try board.interrupt(number, for: "test-device"))
    }
    let device = TestDevice(requests: requests)
    try board.claim(
      Requests(requests), at: requestPorts, PortTraits(maxWidth: 1, isSlow: false),
      owner: device.stateName)
    try board.claim(
      device, at: ports, PortTraits(maxWidth: 4, isSlow: false), owner: device.stateName)
    _ = board.memory.map(
      .of(device.memory), at: PhysicalAddress(UInt64(memoryStart)), count: UInt64(memorySize),
      isMemory: false, priority: 0)
    try board.add(device)
  }
}

extension TestDevice {
  public func inspect() -> [Field] { [.register("value", value)] }
}
