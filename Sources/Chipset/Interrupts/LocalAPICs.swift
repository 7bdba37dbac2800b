// The local APICs of all processors, and the bus between them and the I/O APIC.
//
// Owns: who gets a message, which APIC's registers an access reaches, where they are. Must not know: what an APIC does with a message,
// what a processor is. Follows: Intel SDM volume 3, "Issuing Interprocessor Interrupts", "Lowest Priority Delivery Mode"; 82093AA.
//
// Each processor sees the registers of its own APIC, at the base its MSR 1Bh gives. As only one processor executes at a time, there is
// one mapping, which moves where the bases of two differ. As that drops all that is known of memory, the machine lets them take turns less
// often then (`areApart`).

import Bus

/// Requests that a processor takes also where it halted with IF clear.
public struct ForcedRequests: OptionSet, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let smi = ForcedRequests(rawValue: 1)
  public static let nmi = ForcedRequests(rawValue: 2)
  public static let initialize = ForcedRequests(rawValue: 4)

  /// That of a delivery mode, 0 to 7; none where it asks for IF.
  init(delivery: UInt32) {
    switch delivery {
    case LocalAPIC.Delivery.smi: self = .smi
    case LocalAPIC.Delivery.nmi: self = .nmi
    case LocalAPIC.Delivery.initialize: self = .initialize
    default: self = []
    }
  }
}

/// The APIC bus.
public final class LocalAPICs {
  /// Whom a message is for.
  enum Receivers {
    case addressed(UInt8, logical: Bool)
    case own(LocalAPIC)
    case all
    case others(LocalAPIC)
  }

  /// One a processor, in their order.
  public let all: [LocalAPIC]
  /// Told of the end of a level-triggered interrupt: the I/O APIC.
  var endOfInterrupt: (UInt8) -> Void = { _ in }
  /// What the inputs of the I/O APIC could send one.
  var forcedByInputs: (LocalAPIC) -> ForcedRequests = { _ in [] }

  /// The processor whose accesses come now.
  public var current = 0 {
    didSet {
      present.apic = .passUnretained(all[current])
      if all.count > 1 && (all[current].base != mappedAt || isMapped != wantsMap) { remap() }
    }
  }

  private let memory: (any MemoryMap)?
  private var mapping: MappingID?
  private var mappedAt: UInt64 = 0
  private let present: PresentLocalAPIC
  private let file: RegisterFile

  /// - Parameters:
  ///   - count: how many processors there are.
  ///   - memory: where their registers appear.
  init(clock: VirtualClock, kind: LocalAPIC.Kind, count: Int, memory: any MemoryMap) {
    all = (0..<max(count, 1)).map { LocalAPIC(clock: clock, kind: kind, number: $0) }
    self.memory = memory
    present = PresentLocalAPIC(all)
    file = .of(present)
    for apic in all { apic.messages = self }
    remap()
  }

  /// One APIC by itself, wherever its registers are.
  init(alone apic: LocalAPIC) {
    all = [apic]
    memory = nil
    present = PresentLocalAPIC(all)
    file = .of(present)
    apic.messages = self
  }

  deinit { for apic in all { apic.messages = nil } }

  public subscript(_ processor: Int) -> LocalAPIC { all[processor] }

  // MARK: Registers

  private var isMapped: Bool { mapping != nil }
  private var wantsMap: Bool { all[current].globallyEnabled }

  /// Two have their registers at different places, or one has none.
  public private(set) var areApart = false

  /// An APIC was switched on or off, or its registers moved.
  func baseChanged(_ apic: LocalAPIC) {
    areApart = all.contains {
      $0.base != all[0].base || $0.globallyEnabled != all[0].globallyEnabled
    }
    if apic === all[current], apic.base != mappedAt || isMapped != wantsMap { remap() }
  }

  /// Above RAM, wherever that is.
  private static let priority = 100

  private func remap() {
    guard let memory else { return }
    let base = all[current].base
    if let mapping {
      if wantsMap { memory.move(mapping, to: PhysicalAddress(base)) } else { memory.unmap(mapping) }
      if !wantsMap { self.mapping = nil }
    } else if wantsMap {
      mapping = memory.map(
        file, at: PhysicalAddress(base), count: 0x1000, isMemory: false,
        priority: LocalAPICs.priority)
    }
    mappedAt = base
  }

  // MARK: Messages

  /// What devices' requests could become for a processor, as the registers are, that wakes it also with IF clear.
  public func forcedRequests(_ processor: Int) -> ForcedRequests {
    let apic = all[processor]
    return apic.forcedByLINT.union(forcedByInputs(apic))
  }

  /// Those that a message is for.
  func members(of receivers: Receivers) -> [LocalAPIC] {
    switch receivers {
    case .addressed(let destination, let logical):
      all.filter { $0.isAddressed(destination: destination, logical: logical) }
    case .own(let apic): [apic]
    case .all: all
    case .others(let apic): all.filter { $0 !== apic }
    }
  }

  /// Delivers a message.
  /// - Returns: whether anybody is there that it was for.
  @discardableResult
  func send(delivery: UInt32, vector: UInt8, level: Bool, to receivers: Receivers) -> Bool {
    var list = members(of: receivers)
    if delivery == LocalAPIC.Delivery.lowestPriority {
      list = lowest(of: list.filter(\.acceptsFixed), vector).map { [$0] } ?? []
    }
    for apic in list { apic.receive(delivery: delivery, vector: vector, level: level) }
    return !list.isEmpty
  }

  /// Who gets an interrupt with lowest priority: the focus processor, or the lowest arbitration priority, of equal ones the first.
  private func lowest(of list: [LocalAPIC], _ vector: UInt8) -> LocalAPIC? {
    if let focus = list.first(where: { $0.isFocus(of: vector) }) { return focus }
    return list.min { $0.apr < $1.apr }
  }
}

/// The registers of the APIC of the processor that executes. Reference counts are not touched: some systems read their ID there for
/// every lock they take.
private final class PresentLocalAPIC: Registers {
  private let all: [LocalAPIC]
  var apic: Unmanaged<LocalAPIC>

  init(_ all: [LocalAPIC]) {
    self.all = all
    apic = .passUnretained(all[0])
  }

  func read(at offset: UInt32, width: Int) -> UInt32 {
    apic._withUnsafeGuaranteedRef { $0.read(at: offset, width: width) }
  }

  func write(at offset: UInt32, _ value: UInt32, width: Int) {
    apic._withUnsafeGuaranteedRef { $0.write(at: offset, value, width: width) }
  }

  func plainRead(at offset: UInt32, width: Int) -> UInt32? {
    apic._withUnsafeGuaranteedRef { $0.plainRead(at: offset, width: width) }
  }
}

extension LocalAPIC {
  public static let part = PartType(
    "local-apic", "the local APICs of a Pentium's and its successors' processors",
    options: [
      PartOption("kind", .choice(["pentium", "p6", "pentium4"]), "p6", "whose processor's")
    ]
  ) { board, values in
    let kinds: [String: LocalAPIC.Kind] = ["pentium": .pentium, "pentium4": .pentium4]
    let apics = LocalAPICs(
      clock: board.clock, kind: kinds[values["kind"]] ?? .p6,
      count: board.sockets(.processor).count, memory: board.memory)
    board.offer(apics)
    for apic in apics.all { try board.add(apic) }
  }
}
