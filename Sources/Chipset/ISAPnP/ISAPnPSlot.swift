// What one card keeps for itself of the Plug and Play protocol.
//
// Owns: a card's state, number, place in its identity and resource data, its logical devices with their registers. Must not know: other
// cards, ports.
// Follows: Plug and Play ISA Specification 1.0a, chapters 3 and 4.

import Bus
import State

/// A card in its slot.
final class ISAPnPSlot {
  /// What a card does; all wait for the key together, which the bus knows.
  enum State: UInt8 {
    case sleep, isolation, configuration
  }

  /// A logical device of the card.
  final class Function {
    let device: any ISAPnPLogicalDevice
    let layout: ISAPnPLayout
    /// Counted over all cards.
    let number: Int
    /// Of its ports, for messages.
    let owner: String
    var registers: ISAPnPRegisters
    /// What it was told last.
    var given: ISAPnPResources?
    /// Where its ports are mapped now.
    var windows: [(window: Window, mapping: MappingID)?]
    let check = ISAPnPRangeCheck()

    init(_ device: any ISAPnPLogicalDevice, number: Int, owner: String) {
      (self.device, self.number, self.owner) = (device, number, owner)
      layout = device.pnpLayout
      registers = ISAPnPRegisters(layout)
      windows = Array(repeating: nil, count: layout.ports.count)
    }
  }

  /// Where a range of ports is seen, and as what.
  struct Window: Equatable {
    var base: UInt16
    var isCheck: Bool
  }

  let card: any ISAPnPCard
  let functions: [Function]
  private let identity: ISAPnPIdentity
  /// Identity and resource data, as one device holds them.
  private let data: [UInt8]

  var state = State.sleep
  /// The card select number.
  var number: UInt8 = 0
  /// Where it is read; 0: nowhere yet.
  var readPort: UInt16 = 0
  /// The number of the logical device that was chosen.
  var function: UInt8 = 0
  /// The bit of the identity that is next, and whether its first half was read.
  private var bit = 0
  private var isSecondHalf = false
  /// Another card drove the first half.
  private var hasHeard = false
  /// The byte of `data` that is next.
  private var position = 0

  init(_ card: any ISAPnPCard, firstFunction: Int) {
    self.card = card
    identity = card.pnpIdentity
    data = identity.bytes + card.pnpResourceData
    functions = card.pnpDevices.enumerated().map {
      Function($1, number: firstFunction + $0, owner: card.pnpName)
    }
  }

  /// The logical device that was chosen, if there is one of this number.
  var selected: Function? {
    functions.indices.contains(Int(function)) ? functions[Int(function)] : nil
  }

  // MARK: Commands

  /// Wake[CSN]: who is called goes on, everybody else sleeps; all begin anew with what they shift out.
  func wake(_ called: UInt8) {
    (bit, isSecondHalf, hasHeard, position) = (0, false, false, 0)
    state = called != number ? .sleep : called == 0 ? .isolation : .configuration
  }

  /// It is the one that is left, and gets its number. Its identity was read: the resource data is next.
  func select(_ number: UInt8) {
    self.number = number
    state = .configuration
    position = identity.bytes.count
  }

  func reset() {
    (state, number, readPort, function) = (.sleep, 0, 0, 0)
    (bit, isSecondHalf, hasHeard, position) = (0, false, false, 0)
  }

  // MARK: Isolation

  /// Whether it takes part in a read of the isolation register at a port.
  func isIsolating(_ port: UInt16) -> Bool {
    state == .isolation && readPort == port && bit < ISAPnPIdentity.bitCount
  }

  /// What it drives now; all ones: nothing.
  var driven: UInt8 { !identity.bit(bit) ? 0xFF : isSecondHalf ? 0xAA : 0x55 }

  /// What all of them drove together.
  func sees(_ value: UInt8) {
    if !isSecondHalf {
      isSecondHalf = true
      hasHeard = value & 3 == 1
      return
    }
    isSecondHalf = false
    if hasHeard && value & 3 == 2 && !identity.bit(bit) { state = .sleep }
    bit += 1
  }

  // MARK: Registers

  /// Reads a register in the configuration state; FFh where it drives nothing.
  func read(_ register: UInt8) -> UInt8 {
    switch register {
    case 0x04:
      guard position < data.count else { return 0xFF }
      position += 1
      return data[position - 1]
    case 0x05: return position < data.count ? 1 : 0
    case 0x06: return number
    case 0x07: return function
    case 0x00...0x03: return 0xFF
    case 0x20...0x2F: return card.pnpReadCard(register)
    case 0x38...0x3F, 0xF0...0xFE: return selected?.device.pnpRead(register) ?? 0
    case 0x30...: return selected?.registers.read(register) ?? 0
    default: return 0
    }
  }

  // MARK: State

  func save(to writer: inout StateWriter) {
    writer.write(state.rawValue)
    writer.write(number)
    writer.write(readPort)
    writer.write(function)
    writer.write(UInt8(bit))
    writer.write(isSecondHalf)
    writer.write(hasHeard)
    writer.write(UInt32(position))
    for function in functions { writer.write(bytes: function.registers.values) }
  }

  func restore(from reader: inout StateReader) throws(StateError) {
    guard let state = State(rawValue: try reader.read()) else {
      throw reader.error("an unknown state of a Plug and Play card")
    }
    self.state = state
    number = try reader.read()
    readPort = try reader.read()
    if readPort != 0 && (readPort & 3 != 3 || !(0x203...0x3FF).contains(readPort)) {
      throw reader.error("a port where no Plug and Play card is read")
    }
    function = try reader.read()
    bit = Int(try reader.read(in: UInt8(0)...UInt8(ISAPnPIdentity.bitCount)))
    isSecondHalf = try reader.readBool()
    hasHeard = try reader.readBool()
    position = Int(try reader.read(in: UInt32(0)...UInt32(data.count)))
    for function in functions {
      function.registers.restore(try reader.readBytes(count: 256))
    }
  }

  func inspect() -> [Field] {
    [
      .text("state", "\(state)"), .register("csn", number), .register("read port", readPort),
      .register("logical device", function), .count("bit", bit), .count("position", position),
    ]
      + functions.enumerated().map { n, function in
        .group(
          "device \(n)",
          [
            .flag("active", function.registers.isActive),
            .bytes("registers 30h-A8h", Array(function.registers.values[0x30...0xA8])),
          ])
      }
  }
}

/// What the ports of an inactive device read as while they are checked for others.
final class ISAPnPRangeCheck: RegisterFile {
  var value: UInt8 = 0
  override func read(_ offset: UInt32, _ width: Int) -> UInt32 { UInt32(value) }
}
