// The 64K I/O port space.
//
// Owns: which device answers at which port, the splitting of accesses that are wider than a device takes, what an access takes, and
// what is told about ports where nobody answers (reads float high, writes vanish, as on an ISA bus). Must not know: any device.

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

  @inlinable init(port: UInt16, isWrite: Bool, width: UInt8, value: UInt32) {
    (self.port, self.isWrite, self.width, self.value) = (port, isWrite, width, value)
  }
}

/// How a device is reached by port.
public struct PortTraits: Sendable {
  /// The widest access that the device takes: 1, 2 or 4 bytes. Accesses up to it reach the device whole where their first port is its,
  /// wider ones are split in halves, the lower first.
  public var maxWidth: Int
  /// Each access is a cycle of the ISA bus, which takes `PortSpace.isaAccessTime`.
  public var isSlow: Bool
  /// Whether the parts of wider accesses reach the device. On the ISA side they do, as the bus controller makes bytes of them; a chip
  /// that decodes the size of an access (a register inside the window of a wider one) is not asked.
  public var takesPieces: Bool
  /// The device listens above whoever else is at the port, and passes accesses on: the port is still free.
  public var isListener: Bool

  public init(
    maxWidth: Int = 1, isSlow: Bool = true, takesPieces: Bool = true, isListener: Bool = false
  ) {
    precondition(maxWidth == 1 || maxWidth == 2 || maxWidth == 4)
    (self.maxWidth, self.isSlow, self.takesPieces) = (maxWidth, isSlow, takesPieces)
    self.isListener = isListener
  }

  /// A byte-wide register on the ISA bus.
  public static let isa = PortTraits()
  /// What takes no time of its own: registers on a local bus, and what no PC has.
  public static let quick = PortTraits(isSlow: false)
}

/// What answers at a port.
public struct PortTarget {
  /// The registers.
  public let file: RegisterFile
  /// The offset of the mapping's first port.
  public let offset: UInt32
  public let traits: PortTraits
  /// Who is told of as the owner of the ports.
  public let owner: String

  public init(file: RegisterFile, offset: UInt32, traits: PortTraits, owner: String) {
    (self.file, self.offset, self.traits, self.owner) = (file, offset, traits, owner)
  }
}

/// Dispatches the guest's IN and OUT to devices.
public final class PortSpace {
  /// What an access to the ISA side takes, in nanoseconds: eight clocks of 8.33 MHz and the bridge.
  public static let isaAccessTime: UInt64 = 1_000

  /// What an access needs, without reference counting: `space` keeps the devices alive, those that are unmapped in the middle of an
  /// access until `AddressSpace.releaseUnmapped`.
  @usableFromInline
  struct Slot {
    @usableFromInline let file: Unmanaged<RegisterFile>
    @usableFromInline let maxWidth: Int
    /// How many units of `isaAccessTime` an access of 1, 2, 4 bytes takes, in a byte each.
    @usableFromInline let cycles: UInt32
    /// What makes an offset of a port number.
    @usableFromInline let bias: UInt32
    fileprivate let takesPieces: Bool

    @inlinable @inline(__always) func offset(_ port: UInt16) -> UInt32 { UInt32(port) &+ bias }
  }

  /// Who is where.
  public let space = AddressSpace<Port, PortTarget>()
  /// What of it is seen, for `map` to index; slot 0 stands for "nobody".
  @usableFromInline private(set) var slots: UnsafeMutablePointer<Slot>
  @usableFromInline let map: UnsafeMutablePointer<UInt16>
  private var capacity = 128
  private var slotOf: [MappingID: UInt16] = [:]
  private var freeSlots: [UInt16] = (1...127).reversed()
  /// Slots that became too few. An access that made them too few may still have its eyes on them.
  private var oldSlots: [UnsafeMutablePointer<Slot>] = []
  /// How many mappings boards may have, so that there is room for what moves while the machine runs.
  static let mostClaims = 60_000
  private let nobody = RegisterFile()
  @usableFromInline let recent: UnsafeMutablePointer<PortAccess>
  @usableFromInline var recentCount: UInt64 = 0
  private var unknown: [UInt32: UnknownPort] = [:]

  /// How many accesses the guest has made. Not part of the state: only differences mean something.
  public var accessCount: UInt64 { recentCount }

  /// Called the first time a port without a device is used in a direction.
  public var onUnknownPort: ((UnknownPort) -> Void)?

  public init() {
    map = .allocate(capacity: 65536)
    map.initialize(repeating: 0, count: 65536)
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: PortSpace.empty(nobody), count: capacity)
    recent = .allocate(capacity: 16)
    recent.initialize(
      repeating: PortAccess(port: 0, isWrite: false, width: 1, value: 0), count: 16)
    space.changed = { [unowned self] in renew($0) }
  }

  /// A cycle that nobody answers ends when it would have.
  private static func empty(_ nobody: RegisterFile) -> Slot {
    Slot(
      file: Unmanaged.passUnretained(nobody), maxWidth: 0, cycles: 0x01_01_01, bias: 0,
      takesPieces: false)
  }

  deinit {
    map.deallocate()
    slots.deallocate()
    for slots in oldSlots { slots.deallocate() }
    recent.deallocate()
  }

  /// Maps registers at ports; a later mapping is seen above an earlier one of the same priority.
  /// - Parameters:
  ///   - offset: of the first port, in the registers.
  ///   - owner: for messages.
  @discardableResult
  public func map(
    _ registers: some Registers, at ports: ClosedRange<UInt16>, offset: UInt32 = 0,
    _ traits: PortTraits = .isa, owner: String = "", priority: Int = 0
  ) -> MappingID {
    space.map(
      PortTarget(file: .of(registers), offset: offset, traits: traits, owner: owner),
      at: Port(ports.lowerBound)...Port(ports.upperBound), priority: priority)
  }

  /// Something else may be seen at some ports.
  private func renew(_ ports: ClosedRange<Port>) {
    for mapping in space.mappings where slotOf[mapping.id] == nil {
      if freeSlots.isEmpty { grow() }
      guard let slot = freeSlots.popLast() else { preconditionFailure("too many port mappings") }
      slotOf[mapping.id] = slot
    }
    if slotOf.count > space.mappings.count {
      let known = Set(space.mappings.map(\.id))
      for (id, slot) in slotOf where !known.contains(id) {
        slotOf[id] = nil
        freeSlots.append(slot)
      }
    }
    for mapping in space.mappings { slots[Int(slotOf[mapping.id]!)] = PortSpace.slot(mapping) }
    space.forEachPiece(of: ports) { range, mapping in
      let slot = mapping.flatMap { slotOf[$0.id] } ?? 0
      for port in Int(range.lowerBound.value)...Int(range.upperBound.value) { map[port] = slot }
    }
  }

  private func grow() {
    let more = min(2 * capacity, Int(UInt16.max) + 1)
    if more == capacity { return }
    let new = UnsafeMutablePointer<Slot>.allocate(capacity: more)
    new.initialize(from: slots, count: capacity)
    (new + capacity).initialize(repeating: PortSpace.empty(nobody), count: more - capacity)
    freeSlots = (capacity..<more).reversed().map { UInt16($0) }
    oldSlots.append(slots)
    (slots, capacity) = (new, more)
  }

  private static func slot(_ mapping: AddressSpace<Port, PortTarget>.Mapping) -> Slot {
    let target = mapping.target
    let traits = target.traits
    let cycles: UInt32 =
      !traits.isSlow
      ? 0 : traits.maxWidth == 1 ? 0x04_02_01 : traits.maxWidth == 2 ? 0x02_01_01 : 0x01_01_01
    return Slot(
      file: Unmanaged.passUnretained(target.file), maxWidth: traits.maxWidth, cycles: cycles,
      bias: target.offset &- UInt32(mapping.addresses.lowerBound.value),
      takesPieces: traits.takesPieces)
  }

  /// Whose a port is, or nil.
  public func owner(of port: UInt16) -> String? { space.seen(at: Port(port))?.target.owner }

  /// Whose a port is so that it cannot be another's, or nil: who listens passes accesses on, and who stands behind others (a priority
  /// below 0) gives way.
  public func claimant(of port: UInt16) -> String? {
    space.mappings.last {
      $0.isEnabled && $0.priority >= 0 && !$0.target.traits.isListener
        && $0.addresses.contains(Port(port))
    }?.target.owner
  }

  /// What answers at a port, found once for the questions of one access. Good until the map changes.
  public struct Answer {
    @usableFromInline let slot: UnsafeMutablePointer<Slot>
    @usableFromInline init(slot: UnsafeMutablePointer<Slot>) { self.slot = slot }

    /// How many units of `isaAccessTime` an access of `width` bytes (1, 2 or 4) takes; 0 for devices that do not wait. The device at
    /// the first port decides; what it takes in parts takes as many cycles.
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
  @inlinable @inline(__always)
  public func read(_ port: UInt16, _ width: Int, _ entry: Answer) -> UInt32 {
    let slot = entry.slot
    let value =
      width <= slot.pointee.maxWidth
      ? slot.pointee.file._withUnsafeGuaranteedRef { $0.read(slot.pointee.offset(port), width) }
        & PortSpace.mask(width)
      : readParts(port, width, isPiece: false)
    note(port, value, width, false)
    return value
  }

  /// The guest writes the low `width` bytes (1, 2 or 4) of `value` at `port`.
  public func write(_ port: UInt16, _ value: UInt32, width: Int) {
    write(port, value, width, entry(port))
  }

  /// The guest writes at a port whose `entry` is known.
  @inlinable @inline(__always)
  public func write(_ port: UInt16, _ value: UInt32, _ width: Int, _ entry: Answer) {
    let value = value & PortSpace.mask(width)
    note(port, value, width, true)
    let slot = entry.slot
    if width <= slot.pointee.maxWidth {
      slot.pointee.file._withUnsafeGuaranteedRef {
        $0.write(slot.pointee.offset(port), value, width)
      }
    } else {
      writeParts(port, value, width, isPiece: false)
    }
  }

  /// The bits of `width` bytes (1, 2 or 4).
  @inlinable @inline(__always) static func mask(_ width: Int) -> UInt32 {
    UInt32.max &>> UInt32(truncatingIfNeeded: 32 &- 8 &* width)
  }

  @inlinable @inline(__always) func note(
    _ port: UInt16, _ value: UInt32, _ width: Int, _ isWrite: Bool
  ) {
    recent[Int(recentCount & 15)] = PortAccess(
      port: port, isWrite: isWrite, width: UInt8(truncatingIfNeeded: width), value: value)
    recentCount &+= 1
  }

  /// Counts the accesses of a block transfer that went past `read` and `write`, so that the count does not depend on how the guest's
  /// repetition was cut.
  private func noteBlock(_ port: UInt16, width: Int, isWrite: Bool, count: Int) {
    let shown = min(max(count, 0), 16)
    recentCount &+= UInt64(max(count, 0) - shown)
    for _ in 0..<shown { note(port, 0, width, isWrite) }
  }

  /// The device that takes an access whole, or nil.
  @inline(__always)
  private func whole(_ port: UInt16, _ width: Int, _ isPiece: Bool) -> UnsafeMutablePointer<Slot>? {
    let slot = slots + Int(map[Int(port)])
    return width <= slot.pointee.maxWidth && (!isPiece || slot.pointee.takesPieces) ? slot : nil
  }

  @usableFromInline
  func readParts(_ port: UInt16, _ width: Int, isPiece: Bool) -> UInt32 {
    if let slot = whole(port, width, isPiece) {
      return slot.pointee.file._withUnsafeGuaranteedRef {
        $0.read(slot.pointee.offset(port), width)
      } & PortSpace.mask(width)
    }
    if isUnclaimed(port, width, isPiece) {
      noteUnknown(port, PortSpace.mask(width), width, false)
      return PortSpace.mask(width)
    }
    if width == 1 { return 0xFF }
    let half = width >> 1
    let low = readParts(port, half, isPiece: true)
    let (next, beyond) = port.addingReportingOverflow(UInt16(half))
    let high = beyond ? PortSpace.mask(half) : readParts(next, half, isPiece: true)
    return low | high << UInt32(8 * half)
  }

  @usableFromInline
  func writeParts(_ port: UInt16, _ value: UInt32, _ width: Int, isPiece: Bool) {
    if let slot = whole(port, width, isPiece) {
      slot.pointee.file._withUnsafeGuaranteedRef {
        $0.write(slot.pointee.offset(port), value, width)
      }
      return
    }
    if isUnclaimed(port, width, isPiece) {
      noteUnknown(port, value, width, true)
      return
    }
    if width == 1 { return }
    let half = width >> 1
    writeParts(port, value & PortSpace.mask(half), half, isPiece: true)
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

  // MARK: Blocks

  /// How many units of `width` bytes a port can move at once; see `Registers.blockRoom`.
  public func blockRoom(_ port: UInt16, width: Int) -> Int {
    guard let slot = whole(port, width, false) else { return 0 }
    return slot.pointee.file._withUnsafeGuaranteedRef {
      $0.blockRoom(slot.pointee.offset(port), width)
    }
  }

  /// Fast string input; see `Registers.readBlock`. Counted as that many accesses.
  public func readBlock(
    _ port: UInt16, width: Int, into buffer: UnsafeMutableRawPointer, count: Int
  ) -> Int {
    guard let slot = whole(port, width, false) else { return 0 }
    let moved = slot.pointee.file._withUnsafeGuaranteedRef {
      $0.readBlock(slot.pointee.offset(port), width, into: buffer, count)
    }
    noteBlock(port, width: width, isWrite: false, count: moved)
    return moved
  }

  /// Fast string output; see `Registers.writeBlock`. Counted as that many accesses.
  public func writeBlock(
    _ port: UInt16, width: Int, from buffer: UnsafeRawPointer, count: Int
  ) -> Int {
    guard let slot = whole(port, width, false) else { return 0 }
    let moved = slot.pointee.file._withUnsafeGuaranteedRef {
      $0.writeBlock(slot.pointee.offset(port), width, from: buffer, count)
    }
    noteBlock(port, width: width, isWrite: true, count: moved)
    return moved
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
