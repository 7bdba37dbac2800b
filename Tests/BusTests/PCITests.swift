// Tests of configuration space, base address registers and interrupt pins, after the PCI Local Bus Specification 2.1, chapters 2 and 6.

import State
import Testing

@testable import Bus

/// Where things are in memory, without any memory.
private final class Map: MemoryMap {
  let space = AddressSpace<PhysicalAddress, RegisterFile>()

  func map(
    _ file: RegisterFile, at address: PhysicalAddress, count: UInt64, isMemory: Bool, priority: Int
  ) -> MappingID {
    precondition(address.value & 0xFFF == 0 && count & 0xFFF == 0 && count > 0)
    return space.map(
      file, at: address...PhysicalAddress(address.value + count - 1), priority: priority)
  }
  func unmap(_ id: MappingID) { space.unmap(id) }
  func move(_ id: MappingID, to address: PhysicalAddress) { space.move(id, to: address) }
  func setShadow(_ range: ClosedRange<UInt32>, readRAM: Bool, writeRAM: Bool) {}
  func setSMRAM(isOpen: Bool, isEnabled: Bool, hidesData: Bool) {}

  func read(_ address: UInt64, _ width: Int = 4) -> UInt32 {
    guard let seen = space.seen(at: PhysicalAddress(address)) else { return UInt32.max }
    return seen.target.read(UInt32(address - seen.addresses.lowerBound.value), width)
  }
}

/// Registers that answer with a tag and the offset.
private final class Tagged: RegisterFile {
  let tag: UInt32
  var written: [(UInt32, UInt32, Int)] = []
  init(_ tag: UInt32) { self.tag = tag }
  override func read(_ offset: UInt32, _ width: Int) -> UInt32 { tag << 16 | offset }
  override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
    written.append((offset, value, width))
  }
}

private final class Card: PCIFunction {
  let stateName: String
  let configuration: PCIConfiguration
  var seen: [(Int, Int)] = []

  init(_ name: String, pin: UInt8 = 0, multi: Bool = false, _ setUp: (PCIConfiguration) -> Void) {
    stateName = name
    var identity = PCIIdentity(
      vendor: 0x1234, device: 0x5678, revision: 9, classCode: 0x078001, interruptPin: pin)
    identity.isMultifunction = multi
    identity.subsystemVendor = 0xABCD
    configuration = PCIConfiguration(identity)
    setUp(configuration)
  }

  func configurationWritten(at offset: Int, width: Int) { seen.append((offset, width)) }
  func save(to writer: inout StateWriter) { configuration.save(to: &writer) }
  func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    try configuration.restore(from: &reader)
  }
  func reset(_ kind: ResetKind) { configuration.reset() }
  func inspect() -> [Field] { configuration.inspect() }
}

@Suite struct PCITests {
  private final class World {
    let map = Map()
    let ports = PortSpace()
    let board: Board
    let bus: PCIBus
    init() {
      board = Board(
        clock: VirtualClock(instructionsPerSecond: 1_000_000), ports: ports, memory: map
      ) { _ in }
      bus = PCIBus(board)
    }
    func dword(_ position: UInt8, _ offset: Int) -> UInt32 {
      bus.read(bus: 0, position, offset, width: 4)
    }
    func write(_ position: UInt8, _ offset: Int, _ value: UInt32, _ width: Int = 4) {
      bus.write(bus: 0, position, offset, value, width: width)
    }
  }

  private static func full(_ name: String = "card", tag: UInt32 = 1) -> Card {
    Card(name) {
      $0.addBAR(0, .io(size: 32), Tagged(tag), name: "ports")
      $0.addBAR(1, .memory(size: 0x10000), Tagged(tag + 1), name: "memory")
      $0.addBAR(2, .memory64(size: 0x100000), Tagged(tag + 2), name: "frames")
      $0.addBAR(4, .memory(size: 256), Tagged(tag + 3), name: "registers")
    }
  }

  @Test func headerTellsIdentityAndKeepsIt() throws {
    let w = World()
    try w.bus.add(PCITests.full(), slot: 3)
    #expect(w.dword(0x18, 0) == 0x5678_1234)
    #expect(w.dword(0x18, 8) == 0x0780_0109)
    #expect(w.dword(0x18, 0x2C) == 0x0000_ABCD)
    for offset in [0, 2, 8, 9, 0x2C, 0x3D] { w.write(0x18, offset, 0, 1) }
    #expect(w.dword(0x18, 0) == 0x5678_1234)
    #expect(w.dword(0x18, 8) == 0x0780_0109)
    // Scratch for software.
    w.write(0x18, 0x3C, 11, 1)
    #expect(w.bus.read(bus: 0, 0x18, 0x3C, width: 1) == 11)
    // Nobody answers elsewhere.
    #expect(w.dword(0x19, 0) == UInt32.max)
    #expect(w.bus.read(bus: 1, 0x18, 0, width: 4) == UInt32.max)
  }

  @Test func statusBitsAreClearedByOnes() throws {
    let w = World()
    let card = PCITests.full()
    try w.bus.add(card, slot: 3)
    card.configuration[word: 6] = 0xFA80
    w.write(0x18, 4, 0x0000_0000)
    #expect(card.configuration[word: 6] == 0xFA80)
    w.write(0x18, 6, 0x2000, 2)
    #expect(card.configuration[word: 6] == 0xDA80)
  }

  @Test func sizesAreAskedWithOnesAndTypesStay() throws {
    let w = World()
    try w.bus.add(PCITests.full(), slot: 3)
    w.write(0x18, 4, 3, 2)
    for n in 0..<6 { w.write(0x18, 0x10 + 4 * n, UInt32.max) }
    #expect(w.dword(0x18, 0x10) == 0xFFFF_FFE1)
    #expect(w.dword(0x18, 0x14) == 0xFFFF_0000)
    #expect(w.dword(0x18, 0x18) == 0xFFF0_000C)
    #expect(w.dword(0x18, 0x1C) == 0xFFFF_FFFF)
    #expect(w.dword(0x18, 0x20) == 0xFFFF_FF00)
    #expect(w.dword(0x18, 0x24) == 0)
    // While it asks nothing is mapped.
    #expect(w.map.space.mappings.isEmpty)
    for n in 0..<6 { w.write(0x18, 0x10 + 4 * n, 0) }
    #expect(w.dword(0x18, 0x10) == 1)
    #expect(w.dword(0x18, 0x18) == 0xC)
    #expect(w.map.space.mappings.isEmpty)
  }

  @Test func rangesMoveAndSwitchOff() throws {
    let w = World()
    try w.bus.add(PCITests.full(), slot: 3)
    w.write(0x18, 0x10, 0xC000)
    w.write(0x18, 0x14, 0xE000_0000)
    w.write(0x18, 0x18, 0xE100_0000)
    w.write(0x18, 0x20, 0xE020_0300)
    #expect(w.ports.read(0xC004, width: 4) == UInt32.max)
    #expect(w.map.read(0xE000_0004) == UInt32.max)
    w.write(0x18, 4, 3, 2)
    #expect(w.ports.read(0xC004, width: 4) == 0x0001_0004)
    #expect(w.map.read(0xE000_0004) == 0x0002_0004)
    #expect(w.map.read(0xE10F_FFFC) == 0x0003_FFFC | 0x000F_0000)
    #expect(w.map.read(0xE020_0304) == 0x0004_0004)
    #expect(w.map.read(0xE020_0404) == UInt32.max)
    // A 64-bit range goes above 4 GiB.
    w.write(0x18, 0x1C, 1)
    #expect(w.map.read(0xE10F_FFFC) == UInt32.max)
    #expect(w.map.read(0x1_E10F_FFFC) == 0x000F_FFFC | 0x0003_0000)
    w.write(0x18, 0x10, 0xD000)
    #expect(w.ports.read(0xC004, width: 4) == UInt32.max)
    #expect(w.ports.read(0xD004, width: 4) == 0x0001_0004)
    w.write(0x18, 4, 1, 2)
    #expect(w.map.read(0xE000_0004) == UInt32.max)
    #expect(w.map.read(0xE020_0304) == UInt32.max)
    #expect(w.ports.read(0xD004, width: 4) == 0x0001_0004)
    w.write(0x18, 4, 0, 2)
    #expect(w.ports.read(0xD004, width: 4) == UInt32.max)
    #expect(w.map.space.mappings.isEmpty)
  }

  @Test func whereRangesOverlapTheEarlierPositionIsSeen() throws {
    for order in [[0x18, 0x20], [0x20, 0x18]] as [[UInt8]] {
      let w = World()
      try w.bus.add(PCITests.full("a", tag: 0x10), slot: 3)
      try w.bus.add(PCITests.full("b", tag: 0x20), slot: 4)
      for position in order {
        w.write(position, 0x10, 0xC000)
        w.write(position, 0x14, 0xE000_0000)
        w.write(position, 0x20, 0xE800_0000)
        w.write(position, 4, 3, 2)
      }
      #expect(w.ports.read(0xC000, width: 4) == 0x0010_0000)
      #expect(w.map.read(0xE000_0000) == 0x0011_0000)
      #expect(w.map.read(0xE800_0000) == 0x0013_0000)
      // What was beneath comes out when the upper one goes.
      w.write(0x18, 4, 0, 2)
      #expect(w.ports.read(0xC000, width: 4) == 0x0020_0000)
      #expect(w.map.read(0xE000_0000) == 0x0021_0000)
      #expect(w.map.read(0xE800_0000) == 0x0023_0000)
    }
  }

  @Test func expansionROMNeedsItsOwnEnable() throws {
    let w = World()
    let rom: [UInt8] = [0x55, 0xAA, 4, 0xCB] + [UInt8](repeating: 7, count: 3000)
    try w.bus.add(Card("rom") { $0.addROM(rom, name: "rom") }, slot: 3)
    w.write(0x18, 0x30, 0xFFFF_FFFE)
    #expect(w.dword(0x18, 0x30) == 0xFFFF_F000)
    w.write(0x18, 0x30, 0xE000_0000)
    w.write(0x18, 4, 2, 2)
    #expect(w.map.read(0xE000_0000) == UInt32.max)
    w.write(0x18, 0x30, 0xE000_0001)
    #expect(w.map.read(0xE000_0000) == 0xCB04_AA55)
    #expect(w.map.read(0xE000_0FFC) == UInt32.max)
  }

  @Test func pinsAreSharedAndTurnedBySlots() throws {
    let w = World()
    let a = Card("a", pin: 1) { _ in }
    let b = Card("b", pin: 1) { _ in }
    let c = Card("c", pin: 1) { _ in }
    let d = Card("d", pin: 3) { _ in }
    try w.bus.add(a, slot: 2)
    try w.bus.add(b, slot: 6)
    try w.bus.add(c, slot: 3)
    try w.bus.add(d, slot: 4)
    var levels: [Bool] { w.bus.interrupts.map(\.level) }
    a.configuration.interrupt.set(true)
    #expect(levels == [false, true, false, false])
    b.configuration.interrupt.set(true)
    a.configuration.interrupt.set(false)
    #expect(levels == [false, true, false, false])
    b.configuration.interrupt.set(false)
    #expect(levels == [false, false, false, false])
    c.configuration.interrupt.set(true)
    #expect(levels == [false, false, true, false])
    d.configuration.interrupt.set(true)
    #expect(levels == [false, true, true, false])
  }

  @Test func slotsAreGivenAndRefused() throws {
    let w = World()
    try w.bus.add(Card("a") { _ in }, slot: nil)
    #expect(w.bus[0x10]?.stateName == "a")
    try w.bus.add(Card("b") { _ in }, slot: nil)
    #expect(w.bus[0x18]?.stateName == "b")
    #expect(throws: BoardError.self) { try w.bus.add(Card("c") { _ in }, slot: 2) }
    #expect(throws: BoardError.self) { try w.bus.add(Card("d") { _ in }, slot: 2, function: 1) }
    #expect(throws: BoardError.self) { try w.bus.add(Card("e") { _ in }, slot: 32) }
    try w.bus.add(Card("f", multi: true) { _ in }, slot: 9)
    try w.bus.add(Card("g") { _ in }, slot: 9, function: 1)
    for n in 0..<40 {
      do { try w.bus.add(Card("h\(n)") { _ in }, slot: nil) } catch {
        #expect(n == 27)
        break
      }
    }
  }

  @Test func resetsAndStatesTakeTheMapAlong() throws {
    let w = World()
    let card = PCITests.full()
    try w.bus.add(card, slot: 3)
    w.write(0x18, 0x10, 0xC000)
    w.write(0x18, 0x14, 0xE000_0000)
    w.write(0x18, 4, 3, 2)
    var writer = StateWriter()
    card.save(to: &writer)
    card.reset(.system)
    #expect(w.dword(0x18, 0x10) == 1)
    #expect(w.ports.read(0xC004, width: 4) == UInt32.max)
    var reader = StateReader(writer.bytes)
    try card.restore(from: &reader, version: 1)
    #expect(w.ports.read(0xC004, width: 4) == 0x0001_0004)
    #expect(w.map.read(0xE000_0004) == 0x0002_0004)
    // What says what the function is does not come from a file.
    var bytes = writer.bytes
    bytes[4] ^= 1
    var damaged = StateReader(bytes)
    #expect(throws: StateError.self) { try card.restore(from: &damaged, version: 1) }
  }

  @Test func anyWritesLeaveADefinedMap() throws {
    let w = World()
    for slot in 2..<6 {
      try w.bus.add(PCITests.full("c\(slot)", tag: UInt32(slot) << 4), slot: slot)
    }
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    func next() -> UInt32 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt32(truncatingIfNeeded: state >> 33)
    }
    for _ in 0..<20_000 {
      let position = UInt8(next() & 0x3F)
      let width = [1, 2, 4][Int(next() % 3)]
      let offset = Int(next() & 0x3F) & ~(width - 1)
      let value =
        next() & 1 == 0 ? next() : [0, UInt32.max, 0xFFFF_F000, 0xC000, 3][Int(next() % 5)]
      w.write(position, offset, value, width)
      _ = w.ports.read(UInt16(truncatingIfNeeded: next()), width: 4)
      _ = w.map.read(UInt64(next() & ~3))
    }
    for position in [0x10, 0x18, 0x20, 0x28] as [UInt8] { w.write(position, 4, 0, 2) }
    #expect(w.map.space.mappings.isEmpty)
    #expect(w.ports.space.mappings.isEmpty)
  }
}
