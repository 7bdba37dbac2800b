// The 64K I/O port space.
//
// Owns: which device answers at which port, the splitting of accesses that are wider than a device takes, and what is told about
// ports where nobody answers (reads float high, writes vanish, as on an ISA bus). Must not know: any particular device.

import Bus

/// A port at which no device answered, and how it was used.
public struct UnknownPort: Equatable, Sendable {
  /// The port that was accessed.
  public var port: UInt16
  /// Whether it was written (else read).
  public var isWrite: Bool
  /// The width of the latest access in bytes: 1, 2 or 4.
  public var width: Int
  /// How often it was accessed in this direction.
  public var count: UInt64
  /// What was last written (for a read: the all-ones value the guest got).
  public var lastValue: UInt32
}

/// One access of the guest to the port space, for reports.
public struct PortAccess: Equatable, Sendable {
  /// The first port.
  public var port: UInt16
  /// Whether the guest wrote.
  public var isWrite: Bool
  /// 1, 2 or 4 bytes.
  public var width: UInt8
  /// The value written or read.
  public var value: UInt32
}

/// Dispatches the guest's IN and OUT to devices.
public final class PortBus {
  /// What an access to the ISA side takes, in nanoseconds: eight clocks of 8.33 MHz and the bridge.
  public static let isaAccessTime: UInt64 = 1_000

  private struct Entry {
    let device: any PortDevice
    let maxWidth: Int
    let isSlow: Bool
    let takesPieces: Bool
  }

  /// What an access needs, without reference counting: `entries` keeps the devices alive.
  @usableFromInline
  struct Slot {
    fileprivate let handler: Unmanaged<PortHandler>
    fileprivate let maxWidth: Int
    /// How many units of `isaAccessTime` an access of 1, 2, 4 bytes takes, in a byte each.
    @usableFromInline let cycles: UInt32
    fileprivate let takesPieces: Bool
  }

  /// A device behind two virtual methods.
  fileprivate class PortHandler {
    func read(_ port: UInt16, _ width: Int) -> UInt32 { UInt32.max }
    func write(_ port: UInt16, _ value: UInt32, _ width: Int) {}
  }

  private final class TypedHandler<D: PortDevice>: PortHandler {
    private let device: Unmanaged<D>
    init(_ device: D) { self.device = Unmanaged.passUnretained(device) }
    override func read(_ port: UInt16, _ width: Int) -> UInt32 {
      device._withUnsafeGuaranteedRef { $0.readPort(port, width: width) }
    }
    override func write(_ port: UInt16, _ value: UInt32, _ width: Int) {
      device._withUnsafeGuaranteedRef { $0.writePort(port, value, width: width) }
    }
  }

  private static func handler<D: PortDevice>(for device: D) -> PortHandler { TypedHandler(device) }

  private static let maximumEntries = 255

  private var entries: [Entry] = []
  /// Keeps what `slots` refers to.
  private var handlers: [PortHandler] = []
  /// The entries again, for `map` to index; 0 stands for "nobody", so entry n is at n + 1.
  @usableFromInline let slots: UnsafeMutablePointer<Slot>
  @usableFromInline let map: UnsafeMutablePointer<UInt8>
  private let recent: UnsafeMutablePointer<PortAccess>
  private var recentCount: UInt64 = 0
  private var unknown: [UInt32: UnknownPort] = [:]

  /// How many accesses the guest has made. Not part of the state: only differences mean something.
  public var accessCount: UInt64 { recentCount }

  /// Called the first time a port without a device is used in a direction.
  public var onUnknownPort: ((UnknownPort) -> Void)?

  public init() {
    map = .allocate(capacity: 65536)
    map.initialize(repeating: 0, count: 65536)
    slots = .allocate(capacity: PortBus.maximumEntries + 1)
    // Nobody: a cycle that nobody answers ends when it would have.
    let nobody = PortHandler()
    handlers.append(nobody)
    slots.initialize(
      to: Slot(
        handler: Unmanaged.passUnretained(nobody), maxWidth: 0, cycles: 0x01_01_01,
        takesPieces: false))
    recent = .allocate(capacity: 16)
    recent.initialize(
      repeating: PortAccess(port: 0, isWrite: false, width: 1, value: 0), count: 16)
  }

  deinit {
    map.deallocate()
    slots.deallocate()
    recent.deallocate()
  }

  /// Gives `ports` to `device`; a later registration takes ports from an earlier one.
  ///
  /// The first port of an access decides: accesses up to `maxWidth` bytes reach its device whole, wider ones are split in
  /// halves, the lower first.
  /// - Parameters:
  ///   - maxWidth: The widest access the device takes: 1, 2 or 4 bytes.
  ///   - isSlow: each access is a cycle of the ISA bus (`accessCycles`).
  ///   - takesPieces: Whether the parts of wider accesses reach the device. On the ISA side they do, as the bus controller makes
  ///     bytes of them; a chip that decodes the size of an access (a register inside the window of a wider one) is not asked.
  public func register(
    _ device: any PortDevice, ports: ClosedRange<UInt16>, maxWidth: Int = 1, isSlow: Bool = true,
    takesPieces: Bool = true
  ) {
    precondition(maxWidth == 1 || maxWidth == 2 || maxWidth == 4)
    var index = entries.firstIndex {
      $0.device === device && $0.maxWidth == maxWidth && $0.isSlow == isSlow
        && $0.takesPieces == takesPieces
    }
    if index == nil {
      precondition(entries.count < PortBus.maximumEntries, "too many port devices")
      entries.append(
        Entry(device: device, maxWidth: maxWidth, isSlow: isSlow, takesPieces: takesPieces))
      let handler = PortBus.handler(for: device)
      handlers.append(handler)
      let cycles: UInt32 =
        !isSlow ? 0 : maxWidth == 1 ? 0x04_02_01 : maxWidth == 2 ? 0x02_01_01 : 0x01_01_01
      (slots + entries.count).initialize(
        to: Slot(
          handler: Unmanaged.passUnretained(handler), maxWidth: maxWidth, cycles: cycles,
          takesPieces: takesPieces))
      index = entries.count - 1
    }
    for port in ports { map[Int(port)] = UInt8(index! + 1) }
  }

  /// Takes `ports` away from `device` where it still owns them (a PCI base address register moved).
  public func unregister(_ device: any PortDevice, ports: ClosedRange<UInt16>) {
    for port in ports {
      let index = Int(map[Int(port)])
      if index != 0, entries[index - 1].device === device { map[Int(port)] = 0 }
    }
  }

  /// The device at a port, or nil.
  public func device(at port: UInt16) -> (any PortDevice)? {
    let index = Int(map[Int(port)])
    return index == 0 ? nil : entries[index - 1].device
  }

  /// How many units of `isaAccessTime` an access of `width` bytes (1, 2 or 4) takes; 0 for devices that do not wait. The device at the
  /// first port decides; what it takes in parts takes as many cycles.
  public func accessCycles(_ port: UInt16, width: Int) -> UInt64 {
    entry(port).cycles(width)
  }

  /// What answers at a port, found once for the questions of one access. Good until something is registered.
  public struct Answer {
    @usableFromInline let slot: UnsafeMutablePointer<Slot>
    @usableFromInline init(slot: UnsafeMutablePointer<Slot>) { self.slot = slot }

    /// `accessCycles`.
    @inlinable @inline(__always)
    public func cycles(_ width: Int) -> UInt64 {
      UInt64(slot.pointee.cycles >> UInt32((width & 6) << 2) & 0xFF)
    }
  }

  /// What answers at a port.
  @inlinable @inline(__always)
  public func entry(_ port: UInt16) -> Answer { Answer(slot: slots + Int(map[Int(port)])) }

  /// The guest reads `width` bytes (1, 2 or 4) at `port`.
  public func read(_ port: UInt16, width: Int) -> UInt32 { read(port, width, entry(port)) }

  /// The guest reads at a port whose `entry` is known.
  public func read(_ port: UInt16, _ width: Int, _ entry: Answer) -> UInt32 {
    let slot = entry.slot
    let value =
      width <= slot.pointee.maxWidth
      ? slot.pointee.handler._withUnsafeGuaranteedRef { $0.read(port, width) } & PortBus.mask(width)
      : readParts(port, width, isPiece: false)
    note(port, value, width, false)
    return value
  }

  /// The guest writes the low `width` bytes (1, 2 or 4) of `value` at `port`.
  public func write(_ port: UInt16, _ value: UInt32, width: Int) {
    write(port, value, width, entry(port))
  }

  /// The guest writes at a port whose `entry` is known.
  public func write(_ port: UInt16, _ value: UInt32, _ width: Int, _ entry: Answer) {
    let value = value & PortBus.mask(width)
    note(port, value, width, true)
    let slot = entry.slot
    if width <= slot.pointee.maxWidth {
      slot.pointee.handler._withUnsafeGuaranteedRef { $0.write(port, value, width) }
    } else {
      writeParts(port, value, width, isPiece: false)
    }
  }

  @inline(__always) private static func mask(_ width: Int) -> UInt32 {
    width >= 4 ? 0xFFFF_FFFF : width == 2 ? 0xFFFF : 0xFF
  }

  @inline(__always) private func note(
    _ port: UInt16, _ value: UInt32, _ width: Int, _ isWrite: Bool
  ) {
    recent[Int(recentCount & 15)] = PortAccess(
      port: port, isWrite: isWrite, width: UInt8(truncatingIfNeeded: width), value: value)
    recentCount &+= 1
  }

  /// Counts the accesses of a block transfer that went past `read` and `write`, so that the count does not depend on how the guest's
  /// repetition was cut.
  /// - Parameters:
  ///   - value: shown for all of them.
  ///   - count: how many, 0 or more.
  public func noteBlock(_ port: UInt16, _ value: UInt32, width: Int, isWrite: Bool, count: Int) {
    let shown = min(max(count, 0), 16)
    recentCount &+= UInt64(max(count, 0) - shown)
    for _ in 0..<shown { note(port, value, width, isWrite) }
  }

  private func readParts(_ port: UInt16, _ width: Int, isPiece: Bool) -> UInt32 {
    let index = Int(map[Int(port)])
    if index != 0, width <= slots[index].maxWidth, !isPiece || slots[index].takesPieces {
      return slots[index].handler._withUnsafeGuaranteedRef { $0.read(port, width) }
        & PortBus.mask(width)
    }
    if isUnclaimed(port, width, isPiece) {
      noteUnknown(port, PortBus.mask(width), width, false)
      return PortBus.mask(width)
    }
    if width == 1 { return 0xFF }
    let half = width >> 1
    let low = readParts(port, half, isPiece: true)
    let (next, beyond) = port.addingReportingOverflow(UInt16(half))
    let high = beyond ? PortBus.mask(half) : readParts(next, half, isPiece: true)
    return low | high << UInt32(8 * half)
  }

  private func writeParts(_ port: UInt16, _ value: UInt32, _ width: Int, isPiece: Bool) {
    let index = Int(map[Int(port)])
    if index != 0, width <= slots[index].maxWidth, !isPiece || slots[index].takesPieces {
      slots[index].handler._withUnsafeGuaranteedRef { $0.write(port, value, width) }
      return
    }
    if isUnclaimed(port, width, isPiece) {
      noteUnknown(port, value, width, true)
      return
    }
    if width == 1 { return }
    let half = width >> 1
    writeParts(port, value & PortBus.mask(half), half, isPiece: true)
    let (next, beyond) = port.addingReportingOverflow(UInt16(half))
    if !beyond { writeParts(next, value >> UInt32(8 * half), half, isPiece: true) }
  }

  /// Whether no device is reached by an access, or by any of its parts.
  private func isUnclaimed(_ port: UInt16, _ width: Int, _ isPiece: Bool) -> Bool {
    for i in 0..<width where Int(port) + i < 65536 {
      let index = Int(map[Int(port) + i])
      if index == 0 { continue }
      if slots[index].takesPieces || (width == 1 && !isPiece) { return false }
    }
    return true
  }

  private func noteUnknown(_ port: UInt16, _ value: UInt32, _ width: Int, _ isWrite: Bool) {
    let key = UInt32(port) << 1 | (isWrite ? 1 : 0)
    if var known = unknown[key] {
      known.count &+= 1
      known.lastValue = value
      known.width = width
      unknown[key] = known
      return
    }
    let first = UnknownPort(port: port, isWrite: isWrite, width: width, count: 1, lastValue: value)
    unknown[key] = first
    onUnknownPort?(first)
  }

  /// Every port that was used though no device is there, in ascending order, reads before writes.
  public var unknownPorts: [UnknownPort] {
    unknown.sorted { $0.key < $1.key }.map(\.value)
  }

  /// The last accesses of the guest (at most 16), the oldest first.
  public var recentAccesses: [PortAccess] {
    let count = min(recentCount, 16)
    return (0..<count).map { recent[Int((recentCount &- count &+ $0) & 15)] }
  }
}
