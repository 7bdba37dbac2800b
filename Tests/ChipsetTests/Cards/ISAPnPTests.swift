// Expectations from the Plug and Play ISA Specification 1.0a: its key, its example of a checksum, its states and commands.

import Bus
import State
import TestSupport
import Testing

@testable import Chipset

/// A card with so many logical devices, each with two ranges of ports, an interrupt, a channel and memory.
private final class TestCard: ISAPnPCard {
  final class Part: RegisterFile, ISAPnPLogicalDevice {
    var told: [ISAPnPResources?] = []
    var restored: [ISAPnPResources?] = []
    var resets = 0
    var bytes = [UInt8](repeating: 0, count: 16)
    var vendor: UInt8 = 0
    lazy var pnpLayout = ISAPnPLayout(
      ports: [
        .init(self, count: 8, alignment: 8),
        .init(self, offset: 8, count: 3, alignment: 1, decodesAll: false),
      ], interrupts: 1, channels: 1,
      memory: [.init(size: 0x4000), .init(size: 0x10_0000, is32Bit: true)])
    func pnpConfigure(_ resources: ISAPnPResources?) { told.append(resources) }
    func pnpRestore(_ resources: ISAPnPResources?) { restored.append(resources) }
    func pnpReset() { resets += 1 }
    func pnpRead(_ register: UInt8) -> UInt8 { vendor ^ register }
    func pnpWrite(_ register: UInt8, _ value: UInt8) { vendor = value }
    override func read(_ offset: UInt32, _ width: Int) -> UInt32 { UInt32(bytes[Int(offset)]) }
    override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
      bytes[Int(offset)] = UInt8(truncatingIfNeeded: value)
    }
  }

  let pnpName: String
  let pnpIdentity: ISAPnPIdentity
  let pnpResourceData: [UInt8]
  let parts: [Part]
  var pnpDevices: [any ISAPnPLogicalDevice] { parts }

  init(_ serial: UInt32, devices: Int = 1, product: EISAIdentifier = EISAIdentifier("PXQ5409")) {
    pnpName = "card \(serial)"
    pnpIdentity = ISAPnPIdentity(product, serial: serial)
    var data = ISAPnPResourceData()
    data.name("A card")
    for _ in 0..<devices {
      data.device(EISAIdentifier("PNP0501"))
      data.ports(0x100...0x3F8, alignment: 8, count: 8)
      data.interrupt([3, 4, 10])
      data.channel([1, 3], flags: 0)
    }
    pnpResourceData = data.bytes
    parts = (0..<devices).map { _ in Part() }
  }
}

/// The bus with cards, as software reaches it.
private final class World {
  let ports = PortSpace()
  let bus: ISAPnPBus
  let cards: [TestCard]
  var readPort: UInt16 = 0x203

  init(_ cards: [TestCard]) {
    bus = ISAPnPBus(ports: ports)
    ports.map(bus, at: 0xA79...0xA79, offset: 0x10001)
    self.cards = cards
    for card in cards { bus.add(card) }
  }

  /// A device that is there for good.
  func map(_ file: RegisterFile, at range: ClosedRange<UInt16>) {
    ports.space.map(
      PortTarget(file: file, offset: 0, traits: .isa, owner: "another"),
      at: Port(range.lowerBound)...Port(range.upperBound))
  }

  /// The table of the specification.
  static let key: [UInt8] = [
    0x6A, 0xB5, 0xDA, 0xED, 0xF6, 0xFB, 0x7D, 0xBE, 0xDF, 0x6F, 0x37, 0x1B, 0x0D, 0x86, 0xC3, 0x61,
    0xB0, 0x58, 0x2C, 0x16, 0x8B, 0x45, 0xA2, 0xD1, 0xE8, 0x74, 0x3A, 0x9D, 0xCE, 0xE7, 0x73, 0x39,
  ]

  func out(_ port: UInt16, _ value: UInt8) { ports.write(port, UInt32(value), width: 1) }
  func `in`(_ port: UInt16) -> UInt8 { UInt8(ports.read(port, width: 1)) }

  func sendKey() { for byte in [0, 0] + World.key { out(0x279, byte) } }
  func write(_ register: UInt8, _ value: UInt8) {
    out(0x279, register)
    out(0xA79, value)
  }
  func read(_ register: UInt8) -> UInt8 {
    out(0x279, register)
    return self.in(readPort)
  }
  func setReadPort(_ port: UInt16) {
    readPort = port
    write(0x00, UInt8(port >> 2))
  }

  /// Seventy-two pairs of reads; nil when there was no one at all among the bits.
  func identity() -> [UInt8]? {
    out(0x279, 1)
    var bytes = [UInt8](repeating: 0, count: 9)
    for n in 0..<72 {
      let (first, second) = (self.in(readPort), self.in(readPort))
      if first == 0x55 && second == 0xAA { bytes[n >> 3] |= 1 << UInt8(n & 7) }
    }
    return bytes.allSatisfy { $0 == 0 } ? nil : bytes
  }

  /// Isolates all cards and gives them the numbers 1, 2, ...
  func isolateAll(at port: UInt16 = 0x203) -> [[UInt8]] {
    var found: [[UInt8]] = []
    sendKey()
    write(2, 4)
    write(3, 0)
    setReadPort(port)
    while let identity = identity() {
      found.append(identity)
      write(6, UInt8(found.count))
      write(3, 0)
    }
    return found
  }

  func save() -> [UInt8] {
    var writer = StateWriter()
    bus.save(to: &writer)
    return writer.bytes
  }
}

@Suite struct ISAPnPTests {
  @Test func theChecksumIsThatOfTheSpecificationsExample() {
    let identity = ISAPnPIdentity(EISAIdentifier("PXQ5409"), serial: 0x0400_0100)
    #expect(identity.bytes == [0x43, 0x11, 0x54, 0x09, 0x00, 0x01, 0x00, 0x04, 0xDC])
  }

  @Test func identifiersAreCompressedAsEISAHasIt() {
    // PNP is 41h D0h in every table of device identifiers.
    #expect(EISAIdentifier("PNP0501").bytes == [0x41, 0xD0, 0x05, 0x01])
  }

  @Test func nothingAnswersBeforeTheKey() {
    let world = World([TestCard(1)])
    func answers() -> Bool {
      world.write(3, 0)
      world.setReadPort(0x203)
      return world.identity() != nil
    }
    #expect(!answers())
    // Each byte wrong once.
    for n in 0..<32 {
      world.out(0x279, 0)
      for (i, byte) in World.key.enumerated() { world.out(0x279, i == n ? ~byte : byte) }
      #expect(!answers(), "\(n)")
    }
    world.sendKey()
    #expect(answers())
    world.write(2, 2)
    #expect(!answers())
  }

  @Test func cardsAreIsolatedOneAfterTheOther() {
    // They differ in the first bit, in the last, in vendors, and not before the fourth byte.
    let serials: [[UInt32]] = [
      [1, 2], [2, 1], [0, 0x8000_0000], [5, 4, 7], [0xFF00, 0xFF01, 0],
    ]
    for list in serials {
      let world = World(list.map { TestCard($0) })
      let found = world.isolateAll()
      #expect(Set(found) == Set(world.cards.map(\.pnpIdentity.bytes)), "\(list)")
      #expect(found.count == list.count)
      // At the first bit where they differ the card with a one wins.
      func order(_ bytes: [UInt8]) -> [Int] {
        bytes.flatMap { byte in (0..<8).map { byte >> UInt8($0) & 1 == 0 ? 1 : 0 } }
      }
      for (a, b) in zip(found, found.dropFirst()) {
        #expect(order(a).lexicographicallyPrecedes(order(b)))
      }
      // Each has its number.
      for (n, identity) in found.enumerated() {
        world.write(3, UInt8(n + 1))
        let read = (0..<9).map { _ in world.read(4) }
        #expect(read == identity)
      }
    }
  }

  @Test func cardsThatAreAlikeAreNotToldApart() {
    let world = World([TestCard(9), TestCard(9)])
    #expect(world.isolateAll().count == 1)
    #expect(world.bus.cards.map(\.number) == [1, 1])
  }

  /// The kernel's way: 64 bits and the checksum, a verified one, otherwise the next place to read at.
  @Test func theReadPortIsMovedWhereSomethingElseAnswers() throws {
    let world = World([TestCard(1), TestCard(2)])
    // Another device at the first place.
    let other = TestCard.Part()
    world.map(other, at: 0x203...0x203)
    other.bytes[0] = 0x55
    world.sendKey()
    world.write(2, 5)
    world.write(2, 2)
    world.sendKey()
    world.write(3, 0)
    world.setReadPort(0x203)
    #expect(world.identity() == nil)
    world.write(3, 0)
    world.setReadPort(0x223)
    let identity = try #require(world.identity())
    #expect(world.cards.contains { $0.pnpIdentity.bytes == identity })
    world.write(6, 1)
    world.write(3, 0)
    world.setReadPort(0x223)
    #expect(world.identity() != nil)
    world.write(6, 2)
    #expect(world.read(6) == 2)
    world.write(2, 2)
    #expect(world.in(0x223) == 0xFF)
  }

  @Test func resourceDataComesByteByByte() throws {
    let world = World([TestCard(3, devices: 2)])
    #expect(world.isolateAll().count == 1)
    world.write(3, 1)
    func all() -> [UInt8] {
      var bytes: [UInt8] = []
      while world.read(5) & 1 != 0 && bytes.count < 1000 { bytes.append(world.read(4)) }
      return bytes
    }
    let identity = world.cards[0].pnpIdentity.bytes
    #expect(all() == identity + world.cards[0].pnpResourceData)
    #expect(world.read(4) == 0xFF)
    // Directly after isolation the identity was read already.
    world.write(2, 4)
    world.write(3, 0)
    #expect(world.identity() == identity)
    world.write(6, 7)
    let data = all()
    #expect(data.prefix(3) == [0x0A, 0x10, 0x10])
    #expect(data.suffix(2).first == 0x79)
    #expect(data.reduce(0, &+) == 0)
    // 82h: the name; 15h: a logical device of five bytes; 47h: ports; 22h: interrupts; 2Ah: channels.
    #expect(data[3...5] == [0x82, 6, 0])
    #expect(data[12...17] == [0x15, 0x41, 0xD0, 0x05, 0x01, 0x02])
    #expect(data[18...25] == [0x47, 1, 0x00, 0x01, 0xF8, 0x03, 8, 8])
    #expect(data[26...28] == [0x22, 0x18, 0x04])
    #expect(data[29...31] == [0x2A, 0x0A, 0x00])
  }

  @Test func logicalDevicesGetWhatTheirRegistersSay() throws {
    let world = World([TestCard(1), TestCard(2, devices: 2)])
    _ = world.isolateAll()
    let csn = UInt8(try #require(world.bus.cards.last?.number))
    let part = world.cards[1].parts[1]
    world.write(3, csn)
    world.write(7, 1)
    #expect(world.read(7) == 1)
    #expect(world.read(0x71) == 2 && world.read(0x74) == 4 && world.read(0x75) == 4)
    // 16 KB and 1 MB: what of the address is compared cannot be changed.
    world.write(0x43, 0)
    #expect(world.read(0x43) == 0xFF && world.read(0x44) == 0xC0)
    #expect([0x7B, 0x7C, 0x7D, 0x7E].map { world.read($0) } == [0xFF, 0xF0, 0, 0])
    for (register, value) in [
      (0x60, 0x12), (0x61, 0x47), (0x62, 0xFF), (0x63, 0x21), (0x70, 0x0A), (0x74, 0x03),
      (0x40, 0x0D), (0x41, 0x7F), (0x76, 0xFE), (0x77, 0xDF),
    ] as [(UInt8, UInt8)] { world.write(register, value) }
    #expect(world.read(0x61) == 0x40 && world.read(0x62) == 0x03 && world.read(0x41) == 0x40)
    #expect(part.told.isEmpty)
    world.write(0x30, 0xFF)
    #expect(world.read(0x30) == 1)
    #expect(
      part.told == [
        ISAPnPResources(
          ports: [0x1240, 0x321], interrupts: [10], channels: [3], memory: [0x0D_4000, 0xFED0_0000])
      ])
    world.out(0x1243, 0x77)
    world.out(0x323, 0x88)
    #expect(part.bytes[3] == 0x77 && part.bytes[10] == 0x88)
    #expect(world.in(0x1243) == 0x77 && world.in(0x324) == 0xFF && world.in(0x1248) == 0xFF)
    // Moved while it is active.
    world.write(0x60, 0x20)
    #expect(world.in(0x2043) == 0x77 && world.in(0x1243) == 0xFF)
    #expect(part.told.count == 2)
    // Written again as it is: nothing to tell.
    world.write(0x60, 0x20)
    world.write(0x30, 0x01)
    #expect(part.told.count == 2)
    world.write(0xF5, 0x0F)
    #expect(world.read(0xF5) == 0x0F ^ 0xF5)
    world.write(0x30, 0)
    #expect(part.told.count == 3 && part.told.last == .some(nil))
    #expect(world.in(0x2043) == 0xFF)
    #expect(world.cards[1].parts[0].told.isEmpty)
    // A logical device that is not there.
    world.write(7, 2)
    world.write(0x30, 1)
    #expect(world.read(0x30) == 0)
  }

  @Test func rangesAreCheckedBehindOtherDevices() throws {
    let world = World([TestCard(1)])
    let other = TestCard.Part()
    other.bytes = [0x11, 0x12] + other.bytes.dropFirst(2)
    world.map(other, at: 0x302...0x303)
    _ = world.isolateAll()
    world.write(3, 1)
    world.write(0x60, 0x03)
    world.write(0x31, 0x03)
    #expect((0x300...0x308).map { world.in($0) } == [85, 85, 0x11, 0x12, 85, 85, 85, 85, 0xFF])
    world.write(0x31, 0x02)
    #expect(world.in(0x300) == 0xAA)
    world.write(0x30, 1)
    world.out(0x300, 0x33)
    #expect(world.in(0x300) == 0x33 && world.in(0x302) == 0x11)
    world.write(0x30, 0)
    #expect(world.in(0x300) == 0xAA)
    world.write(0x31, 0)
    #expect(world.in(0x300) == 0xFF)
  }

  @Test func commandsDoWhatTheyAreFor() throws {
    let world = World([TestCard(1), TestCard(2)])
    _ = world.isolateAll()
    for csn in UInt8(1)...2 {
      world.write(3, csn)
      world.write(0x60, 0x10 + csn)
      world.write(0x30, 1)
    }
    // The key again: numbers and devices are what they were.
    world.write(2, 2)
    world.sendKey()
    #expect(world.read(6) == 0xFF)
    world.write(3, 1)
    #expect(world.read(6) == 1 && world.read(0x30) == 1 && world.read(0x60) == 0x11)
    // The reset command reaches all cards, whatever their state; number and state stay.
    world.write(2, 1)
    #expect(world.read(6) == 1 && world.read(0x30) == 0 && world.read(0x60) == 0)
    #expect(
      world.cards.allSatisfy { $0.parts[0].resets == 1 && $0.parts[0].told.last == .some(nil) })
    world.write(2, 4)
    #expect(world.bus.cards.allSatisfy { $0.number == 0 })
    // The bus's reset line: all of it.
    _ = world.isolateAll()
    world.bus.reset(.system)
    #expect(
      world.bus.awaitsKey && world.bus.cards.allSatisfy { $0.number == 0 && $0.readPort == 0 })
    #expect(world.ports.owner(of: 0x203) == nil)
  }

  @Test func aPrinterAtTheSamePortIsReadAsBefore() throws {
    let world = World([TestCard(1)])
    let printer = TestCard.Part()
    printer.bytes = [1, 0xDF, 3] + printer.bytes.dropFirst(3)
    #expect(world.ports.claimant(of: 0x279) == nil)
    world.map(printer, at: 0x278...0x27A)
    #expect(world.in(0x279) == 0xDF)
    #expect(world.isolateAll().count == 1)
    #expect(world.ports.claimant(of: 0x279) != nil)
  }

  @Test func statesContinueIdenticallyWhateverTheGuestDoes() throws {
    var random = Random(seed: 13)
    func fresh() -> World { World([TestCard(1), TestCard(2, devices: 2), TestCard(0x8000_0001)]) }
    var world = fresh()
    func act(_ world: World, _ choice: UInt32, _ value: UInt32) -> UInt64 {
      let byte = UInt8(truncatingIfNeeded: value)
      switch choice % 100 {
      case 0: world.sendKey()
      case 1: world.write(3, byte & 3)
      case 2: world.write(2, byte & 7)
      case 3: world.write(6, byte & 3)
      case 4: world.write(0, byte)
      case 5: world.bus.reset(.system)
      case 6: return UInt64(world.identity()?.reduce(0, &+) ?? 0)
      case 7..<20: world.out(0x279, byte)
      case 20..<40: world.out(0xA79, byte)
      case 40..<60: world.write(0x30 + byte % 0x50, UInt8(truncatingIfNeeded: value >> 8))
      case 60..<70: return UInt64(world.in(0x203 | UInt16(byte & 0x7F) << 2))
      case 70..<80: return UInt64(world.in(world.readPort))
      case 80..<90:
        let port = UInt16(truncatingIfNeeded: value)
        world.out(port == 0x279 || port == 0xA79 ? 0x300 : port & 0x3FF, byte)
      default: return UInt64(world.in(UInt16(truncatingIfNeeded: value)))
      }
      return 0
    }
    for step in 0..<1_000_000 {
      let (choice, value) = (random.word(), random.word())
      _ = act(world, choice, value)
      world.ports.space.releaseUnmapped()
      if step % 10_000 != 9999 { continue }
      let saved = world.save()
      let other = fresh()
      var reader = StateReader(saved)
      try other.bus.restore(from: &reader, version: 1)
      #expect(reader.remaining == 0 && other.save() == saved)
      other.readPort = world.readPort
      for (a, b) in zip(world.cards, other.cards) {
        for (p, q) in zip(a.parts, b.parts) { (q.bytes, q.vendor) = (p.bytes, p.vendor) }
        #expect(b.parts.allSatisfy { $0.told.isEmpty })
      }
      var again = random
      for _ in 0..<300 {
        let (choice, value) = (again.word(), again.word())
        #expect(act(world, choice, value) == act(other, choice, value))
      }
      #expect(world.save() == other.save())
      world = other
    }
  }

  @Test func tamperedStatesAreErrorsOrStates() {
    let world = World([TestCard(1), TestCard(2, devices: 2)])
    _ = world.isolateAll()
    let saved = world.save()
    for n in 0..<saved.count {
      for flip in [0x01, 0x80, 0xFF] as [UInt8] {
        var bytes = saved
        bytes[n] ^= flip
        let other = World([TestCard(1), TestCard(2, devices: 2)])
        var reader = StateReader(bytes)
        try? other.bus.restore(from: &reader, version: 1)
        _ = other.identity()
        _ = other.read(4)
      }
    }
  }
}
