// The Plug and Play side of the ISA bus: three ports that all cards listen to.
//
// Owns: the initiation key, the states of all cards, commands, isolation, resource data, registers, the ports of logical devices. Must not
// know: any card, what firmware and drivers make of it.
// Follows: Plug and Play ISA Specification 1.0a (May 5, 1994).
//
//   279h       write: the number of a register, or a byte of the initiation key. A printer's status is read here, as before
//   A79h       write: data of that register
//   203h-3FFh  read: data of that register; where, software chooses (bits 1 and 0 are always set)
//
// On hardware each card is alone with these ports; here the bus goes through the cards. What several drive at once is the AND of it. A card
// stands behind whatever else is at an address: nothing that software writes here hides another device.

import Bus
import State

/// All Plug and Play cards of a machine, and what they share.
public final class ISAPnPBus: Device, Registers {
  public let stateName = "isapnp"

  static let addressPort: UInt16 = 0x279
  static let writePort: UInt16 = 0xA79
  /// Offsets of the registers, with that of port 0 for reading.
  private enum Offset {
    static let address: UInt32 = 0x10000
    static let write: UInt32 = 0x10001
  }
  /// Who is seen where things overlap: the address port listens beside whoever has it; cards stand behind others, the first before the
  /// second; then come answers to range checks, and last the port for reading.
  private enum Priority {
    static let listening = 1
    static let devices = -1
    static let checks = -1_000
    static let reading = -10_000
  }

  private unowned let ports: PortSpace
  private(set) var cards: [ISAPnPSlot] = []
  /// Where cards are read, with who answers there.
  private var readPorts: [UInt16: MappingID] = [:]

  /// All cards wait for the initiation key; else none does.
  private(set) var awaitsKey = true
  private var key = ISAPnPShiftRegister()
  private var matched: UInt8 = 0
  /// The register that was chosen.
  private(set) var index: UInt8 = 0

  private static let keyLength: UInt8 = 32

  init(ports: PortSpace) {
    self.ports = ports
    ports.map(
      self, at: ISAPnPBus.addressPort...ISAPnPBus.addressPort, offset: Offset.address,
      PortTraits(isListener: true), owner: stateName, priority: Priority.listening)
  }

  public static let part = PartType(
    "isapnp", "Plug and Play ISA: ports 279h and A79h, for the cards that have it"
  ) { board, _ in
    let bus = ISAPnPBus(ports: board.ports)
    try board.claim(bus, at: writePort...writePort, offset: Offset.write, owner: bus.stateName)
    try board.add(bus)
  }

  /// Puts a card into a slot. Cards come while the board is built.
  public func add(_ card: any ISAPnPCard) {
    let first = cards.reduce(0) { $0 + $1.functions.count }
    cards.append(ISAPnPSlot(card, firstFunction: first))
    // A device that may be needed to boot from can be active from the start.
    for function in cards[cards.count - 1].functions { settle(function) }
  }

  // MARK: Ports

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    if offset == Offset.address { return readBehind() }
    if offset >= Offset.address { return 0xFF }
    return UInt32(readData(UInt16(truncatingIfNeeded: offset)))
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    switch offset {
    case Offset.address:
      writeBehind(byte)
      writeAddress(byte)
    case Offset.write: writeData(byte)
    default: break
    }
  }

  /// What is at the address port apart from this.
  private var behind: (target: PortTarget, offset: UInt32)? {
    let port = Port(ISAPnPBus.addressPort)
    guard let seen = ports.space.seen(at: port, below: Priority.listening) else { return nil }
    let offset = seen.target.offset &+ UInt32(port.value - seen.addresses.lowerBound.value)
    return (seen.target, offset)
  }

  private func readBehind() -> UInt32 { behind.map { $0.target.file.read($0.offset, 1) } ?? 0xFF }

  private func writeBehind(_ value: UInt8) {
    if let behind { behind.target.file.write(behind.offset, UInt32(value), 1) }
  }

  // MARK: Key and register number

  private func writeAddress(_ value: UInt8) {
    guard awaitsKey else {
      index = value
      return
    }
    if value != key.value {
      (key, matched) = (ISAPnPShiftRegister(), 0)
      return
    }
    key.shift()
    matched += 1
    if matched == ISAPnPBus.keyLength {
      (key, matched, awaitsKey) = (ISAPnPShiftRegister(), 0, false)
      for card in cards { card.state = .sleep }
    }
  }

  // MARK: Writing

  private func writeData(_ value: UInt8) {
    if awaitsKey { return }
    switch index {
    case 0x00:
      for card in cards where card.state == .isolation { card.readPort = ISAPnPBus.port(value) }
      mapReadPorts()
    case 0x02: control(value)
    case 0x03:
      for card in cards { card.wake(value) }
    case 0x06:
      for card in cards where card.state == .isolation { card.select(value) }
    case 0x07:
      for card in cards where card.state == .configuration && card.functions.count > 1 {
        card.function = value
      }
    case 0x20...0x2F:
      for card in cards where card.state == .configuration {
        card.card.pnpWriteCard(index, value)
      }
    case 0x30...:
      for card in cards where card.state == .configuration {
        guard let function = card.selected else { continue }
        switch index {
        case 0x38...0x3F, 0xF0...0xFE: function.device.pnpWrite(index, value)
        default: if function.registers.write(index, value) { settle(function) }
        }
      }
    default: break
    }
  }

  /// The port that a value of register 0 means; 0: none that cards may be read at.
  private static func port(_ value: UInt8) -> UInt16 {
    value >= 0x80 ? UInt16(value) << 2 | 3 : 0
  }

  /// Config Control.
  private func control(_ value: UInt8) {
    if value & 0x01 != 0 { resetFunctions { $0.device.pnpReset() } }
    if value & 0x04 != 0 { for card in cards { card.number = 0 } }
    if value & 0x02 != 0 {
      awaitsKey = true
      for card in cards { card.state = .sleep }
    }
  }

  private func resetFunctions(_ then: (ISAPnPSlot.Function) -> Void) {
    for card in cards {
      for function in card.functions {
        function.registers.reset()
        settle(function)
        then(function)
      }
    }
  }

  // MARK: Reading

  private func readData(_ port: UInt16) -> UInt8 {
    if awaitsKey { return 0xFF }
    if index == 0x01 { return isolate(port) }
    var value: UInt8 = 0xFF
    for card in cards where card.state == .configuration && card.readPort == port {
      value &= card.read(index)
    }
    return value
  }

  /// Reads half a bit of the identities of all cards that are left. A card drives 55h, then AAh for a one; for a zero it listens, and
  /// leaves when another one drives.
  private func isolate(_ port: UInt16) -> UInt8 {
    var value: UInt8 = 0xFF
    for card in cards where card.isIsolating(port) { value &= card.driven }
    for card in cards where card.isIsolating(port) { card.sees(value) }
    return value
  }

  /// Answers at the ports that cards are read at.
  private func mapReadPorts() {
    let wanted = Set(cards.map(\.readPort)).subtracting([0])
    for (port, mapping) in readPorts where !wanted.contains(port) {
      ports.space.unmap(mapping)
      readPorts[port] = nil
    }
    for port in wanted.sorted() where readPorts[port] == nil {
      readPorts[port] = ports.map(
        self, at: port...port, offset: UInt32(port), owner: stateName, priority: Priority.reading)
    }
  }

  // MARK: Logical devices

  /// Lets a logical device have what its registers say.
  private func settle(_ function: ISAPnPSlot.Function, isRestoring: Bool = false) {
    map(function)
    let given = function.registers.isActive ? function.registers.resources : nil
    if isRestoring {
      function.given = given
      function.device.pnpRestore(given)
    } else if given != function.given {
      function.given = given
      function.device.pnpConfigure(given)
    }
  }

  private func map(_ function: ISAPnPSlot.Function) {
    let pattern = function.registers.checkPattern
    function.check.value = pattern ?? 0
    let isSeen = function.registers.isActive || pattern != nil
    let bases = function.registers.resources.ports
    for (n, range) in function.layout.ports.enumerated() {
      let wanted =
        isSeen ? bases[n].map { ISAPnPSlot.Window(base: $0, isCheck: pattern != nil) } : nil
      if wanted == function.windows[n]?.window { continue }
      if let old = function.windows[n] { ports.space.unmap(old.mapping) }
      function.windows[n] = wanted.map { window in
        let number = function.number * 8 + n
        let target = PortTarget(
          file: window.isCheck ? function.check : range.file,
          offset: window.isCheck ? 0 : range.offset,
          traits: window.isCheck ? .isa : range.traits, owner: function.owner)
        let mapping = ports.space.map(
          target, at: Port(window.base)...Port(window.base + UInt16(range.count - 1)),
          priority: (window.isCheck ? Priority.checks : Priority.devices) - number)
        return (window, mapping)
      }
    }
  }

  // MARK: Reset and state

  public func reset(_ kind: ResetKind) {
    (awaitsKey, key, matched, index) = (true, ISAPnPShiftRegister(), 0, 0)
    for card in cards { card.reset() }
    mapReadPorts()
    // Devices hear of the reset themselves.
    resetFunctions { _ in }
  }

  public func save(to writer: inout StateWriter) {
    writer.write(awaitsKey)
    writer.write(key.value)
    writer.write(matched)
    writer.write(index)
    writer.write(UInt8(truncatingIfNeeded: cards.count))
    for card in cards { card.save(to: &writer) }
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    awaitsKey = try reader.readBool()
    key.value = try reader.read()
    matched = try reader.read(in: 0...ISAPnPBus.keyLength - 1)
    index = try reader.read()
    if Int(try reader.read(UInt8.self)) != cards.count {
      throw reader.error("another number of Plug and Play cards")
    }
    for card in cards { try card.restore(from: &reader) }
    mapReadPorts()
    for card in cards { for function in card.functions { settle(function, isRestoring: true) } }
  }

  public func inspect() -> [Field] {
    [.flag("waits for key", awaitsKey), .register("register", index)]
      + cards.map { .group($0.card.pnpName, $0.inspect()) }
  }
}
