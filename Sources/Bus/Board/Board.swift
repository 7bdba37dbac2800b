// What carries the parts of a machine.
//
// Owns: the buses and wires, which devices there are and in what order, what they offer to each other, what they take of the board.
// Must not know: any particular device. A device's file says how it is put on a board (`PartType`), a board's description which there are.

import State

/// How far a reset reaches that the guest or the user asks for.
public enum ResetRequest: Equatable, Sendable {
  /// INIT of the processor only (fast reset of 286 programs, 8042 pulse, port 92h, CF9h soft).
  case processor
  /// The whole system (CF9h hard).
  case system
}

/// What a device asks of the machine. It ends the present instruction; the run loop carries it out.
public enum BoardRequest: Equatable, Sendable {
  case reset(ResetRequest)
  case powerOff
  /// The run ends with a code.
  case exit(Int)
}

/// A board cannot be built as it is described.
public struct BoardError: Error, CustomStringConvertible {
  /// One line.
  public var reason: String
  public init(_ reason: String) { self.reason = reason }
  public var description: String { reason }
}

/// What can map registers into physical memory.
public protocol MemoryMap: AnyObject {
  /// Maps registers at whole pages.
  /// - Parameters:
  ///   - isMemory: accesses depend on no time and reach nothing outside of the device.
  ///   - priority: who is seen where mappings overlap.
  func map(
    _ file: RegisterFile, at address: PhysicalAddress, count: UInt64, isMemory: Bool, priority: Int
  ) -> MappingID
  /// Takes a mapping away.
  func unmap(_ id: MappingID)
  /// Moves a mapping.
  func move(_ id: MappingID, to address: PhysicalAddress)
  /// Chooses for whole pages between 640 KiB and 1 MiB who is read and who is written: the RAM beneath, or what is mapped there.
  func setShadow(_ range: ClosedRange<UInt32>, readRAM: Bool, writeRAM: Bool)
  /// Lets processors see the RAM at A0000h to BFFFFh in place of what is mapped there.
  /// - Parameters:
  ///   - isOpen: in any mode.
  ///   - isEnabled: in system management mode.
  ///   - hidesData: they fetch code from it, while data are what is mapped there.
  func setSMRAM(isOpen: Bool, isEnabled: Bool, hidesData: Bool)
}

/// SMI#: an edge, which the machine takes to the first processor, as emulators of this board do. (Where all processors get it, each needs a
/// memory of its own for its state from the first one on; firmware for these boards does not see to that.)
public final class ManagementInterrupt {
  /// Told of each edge.
  public var raised: () -> Void = {}
  public init() {}
}

extension MemoryMap {
  /// Memory without such RAM.
  public func setSMRAM(isOpen: Bool, isEnabled: Bool, hidesData: Bool) {}
}

/// The parts of a machine and what is between them.
public final class Board {
  public let clock: VirtualClock
  public let ports: PortSpace
  public let memory: any MemoryMap
  /// Carries out what devices ask for.
  public let request: (BoardRequest) -> Void
  /// In the order of saved states.
  public private(set) var devices: [any Device] = []
  /// Places for what comes from outside, in order.
  public private(set) var sockets: [Socket] = []
  /// Ports that nobody but their owners can have.
  private var reserved: [(ports: ClosedRange<UInt16>, owner: String)] = []
  /// The kinds of parts that were added.
  private(set) var kinds: Set<String> = []
  /// What was added to the description, as text: part of what recordings and states must agree in.
  public private(set) var additions: [(name: String, options: String)] = []
  private var lines: [Line] = []
  /// Wires of other buses.
  private var otherLines: [Line] = []
  private var offers: [ObjectIdentifier: AnyObject] = [:]

  private final class Offer<T> {
    let value: T
    init(_ value: T) { self.value = value }
  }

  public init(
    clock: VirtualClock, ports: PortSpace, memory: any MemoryMap,
    request: @escaping (BoardRequest) -> Void
  ) {
    (self.clock, self.ports, self.memory, self.request) = (clock, ports, memory, request)
  }

  // MARK: Devices

  /// Puts a device on the board. Its ports and wires it has taken before.
  public func add(_ device: any Device) throws(BoardError) {
    if devices.contains(where: { $0.stateName == device.stateName }) {
      throw BoardError("there is a '\(device.stateName)' already: give it another name (id=...)")
    }
    devices.append(device)
  }

  /// Adds a place for what comes from outside.
  public func add(_ socket: Socket) throws(BoardError) {
    if sockets.contains(where: { $0.name == socket.name }) {
      throw BoardError("there is a '\(socket.name)' already: give it another name (id=...)")
    }
    if let other = sockets.first(where: {
      $0.kind == socket.kind && $0.controller == socket.controller && $0.unit == socket.unit
    }) {
      throw BoardError("\(socket.name): '\(other.name)' is at that place already")
    }
    sockets.append(socket)
  }

  /// The first device of a type, or nil.
  public func first<D: Device>(_ type: D.Type) -> D? { all(type).first }

  /// All devices of exactly a type, in order.
  public func all<D: Device>(_ type: D.Type) -> [D] {
    devices.compactMap { device in
      // A dynamic cast out of an existential costs a microsecond.
      Swift.type(of: device) == type ? unsafeDowncast(device, to: D.self) : nil
    }
  }

  /// The device of a type that something else cannot do without.
  public func need<D: Device>(_ type: D.Type, for user: String) throws(BoardError) -> D {
    guard let device = first(type) else { throw BoardError("\(user) needs a \(type)") }
    return device
  }

  /// Notes a part's kind before the part is made.
  func noteKind(_ type: PartType) throws(BoardError) {
    if !kinds.insert(type.name).inserted && !type.isMultiple {
      throw BoardError("\(type.name): there is one already, and a machine has at most one")
    }
  }

  /// Notes that something was added to what the board's description has.
  public func noteAddition(_ name: String, _ options: String) { additions.append((name, options)) }

  // MARK: Offers

  /// Offers something to the devices that come later: a DMA controller, the A20 gate, the images for drives.
  public func offer<T>(_ value: T, as type: T.Type = T.self) {
    offers[ObjectIdentifier(type)] = Offer(value)
  }

  /// What was offered of a type, or nil.
  public func offered<T>(_ type: T.Type) -> T? {
    offers[ObjectIdentifier(type)].map { unsafeDowncast($0, to: Offer<T>.self).value }
  }

  /// What was offered of a type.
  public func need<T>(offer type: T.Type, for user: String) throws(BoardError) -> T {
    guard let value = offered(type) else { throw BoardError("\(user) needs a \(type)") }
    return value
  }

  // MARK: Wires

  /// The interrupt controller gives its inputs. Where one is at two numbers (2 and 9 of an AT), so is its wire.
  public func connectInterrupts(_ inputs: [Signal]) {
    var known: [ObjectIdentifier: Line] = [:]
    lines = inputs.map { input in
      let line = known[ObjectIdentifier(input)] ?? Line(input)
      known[ObjectIdentifier(input)] = line
      return line
    }
  }

  /// How many interrupt requests there are: 16, or none without an interrupt controller.
  public var interruptCount: Int { lines.count }

  /// A driver for an interrupt request.
  public func interrupt(_ number: Int, for user: String) throws(BoardError) -> Signal {
    guard lines.indices.contains(number) else {
      throw BoardError(
        lines.isEmpty
          ? "\(user) needs an interrupt controller"
          : "\(user): IRQ \(number) is none of 0 to \(lines.count - 1)")
    }
    return lines[number].driver()
  }

  /// After a state was restored.
  public func resynchronizeLines() {
    for line in otherLines { line.resynchronize() }
    for line in lines { line.resynchronize() }
  }

  /// Has a wire besides the interrupt requests take part in that.
  func resynchronize(_ line: Line) { otherLines.append(line) }

  // MARK: Ports

  /// Keeps ports that nobody has yet for a device whose place firmware chooses when the machine runs: from now on they are another's.
  /// - Parameter owner: as refusals call it.
  public func reserve(_ ports: ClosedRange<UInt16>, for owner: String) {
    reserved.append((ports, owner))
  }

  /// Whose a port is so that it cannot be another's, or nil.
  public func claimant(of port: UInt16) -> String? {
    ports.claimant(of: port) ?? reserved.first { $0.ports.contains(port) }?.owner
  }

  /// Gives ports to a device, which may not be another's.
  @discardableResult
  public func claim(
    _ registers: some Registers, at ports: ClosedRange<UInt16>, offset: UInt32 = 0,
    _ traits: PortTraits = .isa, owner: String, priority: Int = 0
  ) throws(BoardError) -> MappingID {
    if self.ports.space.mappings.count >= PortSpace.mostClaims {
      throw BoardError(
        "\(owner): a board has \(PortSpace.mostClaims) places for ports, which are taken")
    }
    for port in ports {
      if let other = claimant(of: port) {
        throw BoardError("port \(Port(port)) belongs to '\(other)' and cannot be \(owner)'s")
      }
    }
    return self.ports.map(
      registers, at: ports, offset: offset, traits, owner: owner, priority: priority)
  }
}
