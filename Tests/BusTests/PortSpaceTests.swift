import Testing

@testable import Bus

@Suite struct PortSpaceTests {
  /// Notes offsets as the port numbers that they are where it is mapped at its own offsets.
  final class Recorder: Registers {
    var log: [String] = []
    func read(at port: UInt32, width: Int) -> UInt32 {
      log.append("r\(port).\(width)")
      return UInt32(port & 0xFF) | 0xABCD_EF00
    }
    func write(at port: UInt32, _ value: UInt32, width: Int) {
      log.append("w\(port).\(width)=\(value)")
    }
  }

  /// A command line may have any number of devices, and their windows move.
  @Test func thousandsOfMappings() {
    let bus = PortSpace()
    let devices = (0..<3000).map { _ in Recorder() }
    var mappings = devices.enumerated().map { n, device in
      bus.map(device, at: UInt16(n)...UInt16(n), offset: UInt32(n))
    }
    #expect(bus.read(2999, width: 1) == UInt32(2999 & 0xFF))
    for n in 0..<3000 {
      bus.space.unmap(mappings[n % 40])
      mappings[n % 40] = bus.map(devices[n], at: UInt16(5000 + n % 40)...UInt16(5000 + n % 40))
      bus.space.releaseUnmapped()
    }
    _ = bus.read(5039, width: 1)
    #expect(devices[2999].log == ["r2999.1", "r0.1"])
    #expect(bus.owner(of: 39) == nil && bus.read(40, width: 1) == 40)
  }

  @Test func wideAccessesAreSplitAscending() {
    let bus = PortSpace()
    let device = Recorder()
    bus.map(device, at: 0x10...0x13, offset: 0x10)
    #expect(bus.read(0x10, width: 4) == 0x1312_1110)
    #expect(device.log == ["r16.1", "r17.1", "r18.1", "r19.1"])
    device.log = []
    bus.write(0x11, 0xA1B2, width: 2)
    #expect(device.log == ["w17.1=178", "w18.1=161"])
  }

  @Test func slowPortsTakeACycleForEachPart() {
    let bus = PortSpace()
    bus.map(Recorder(), at: 0x10...0x13, offset: 0x10)
    bus.map(Recorder(), at: 0x20...0x23, offset: 0x20, PortTraits(maxWidth: 2))
    bus.map(Recorder(), at: 0x30...0x33, offset: 0x30, PortTraits(maxWidth: 4, isSlow: false))
    func cycles(_ port: UInt16) -> [UInt64] {
      [1, 2, 4].map { bus.entry(port).cycles($0) }
    }
    #expect(cycles(0x10) == [1, 2, 4])
    #expect(cycles(0x20) == [1, 1, 2])
    #expect(cycles(0x30) == [0, 0, 0])
    // Nobody: one cycle that nobody answers.
    #expect(cycles(0x40) == [1, 1, 1])
  }

  @Test func aWideDeviceGetsItsWidthAtTheFirstPort() {
    let bus = PortSpace()
    let device = Recorder()
    bus.map(device, at: 0x1F0...0x1F0, offset: 0x1F0, PortTraits(maxWidth: 2))
    bus.write(0x1F0, 0x1122_3344, width: 4)
    #expect(device.log == ["w496.2=13124"])
    #expect(bus.unknownPorts.map(\.port) == [0x1F2])
    #expect(bus.read(0x1F0, width: 2) == 0xEFF0)
  }

  @Test func partsOfWiderAccessesReachADeviceOnlyIfItTakesThem() {
    let bus = PortSpace()
    let device = Recorder()
    bus.map(device, at: 0xCF9...0xCF9, offset: 0xCF9, PortTraits(takesPieces: false))
    bus.write(0xCF8, 0x8000_0400, width: 4)
    bus.write(0xCF8, 0x0604, width: 2)
    bus.write(0xCF9, 0x0604, width: 2)
    bus.write(0xCF7, 0xFFFF_FFFF, width: 4)
    #expect(bus.read(0xCF8, width: 4) == 0xFFFF_FFFF)
    #expect(device.log.isEmpty)
    #expect(bus.unknownPorts.first { $0.port == 0xCF8 && $0.isWrite }?.count == 2)
    bus.write(0xCF9, 6, width: 1)
    #expect(bus.read(0xCF9, width: 1) == 0xF9)
    #expect(device.log == ["w3321.1=6", "r3321.1"])
    // A device beside it still gets its part.
    let neighbour = Recorder()
    bus.map(neighbour, at: 0xCFA...0xCFA, offset: 0xCFA)
    bus.write(0xCF8, 0x0033_0000, width: 4)
    #expect(neighbour.log == ["w3322.1=51"])
    #expect(device.log.count == 2)
  }

  @Test func unknownPortsFloatHighAndAreCounted() {
    let bus = PortSpace()
    #expect(bus.read(0x1234, width: 4) == 0xFFFF_FFFF)
    #expect(bus.read(0x1234, width: 1) == 0xFF)
    bus.write(0x1234, 0x1FF, width: 1)
    #expect(
      bus.unknownPorts == [
        UnknownPort(port: 0x1234, isWrite: false, width: 1, count: 2, lastValue: 0xFF),
        UnknownPort(port: 0x1234, isWrite: true, width: 1, count: 1, lastValue: 0xFF),
      ])
  }

  @Test func anAccessBeyondTheLastPortFloats() {
    let bus = PortSpace()
    let device = Recorder()
    bus.map(device, at: 0xFFFF...0xFFFF, offset: 0xFFFF)
    bus.map(device, at: 0...0, offset: 0)
    #expect(bus.read(0xFFFF, width: 2) == 0xFFFF)
    bus.write(0xFFFF, 0x1234_5678, width: 4)
    #expect(device.log == ["r65535.1", "w65535.1=120"])
  }

  @Test func theLastSixteenAccessesAreRemembered() {
    let bus = PortSpace()
    for i in 0..<20 { bus.write(UInt16(i), 7, width: 1) }
    #expect(bus.recentAccesses.map(\.port) == (4..<20).map { UInt16($0) })
  }

  @Test func anEarlierMappingIsSeenAgainWhenALaterOneGoes() {
    let bus = PortSpace()
    let a = Recorder()
    let b = Recorder()
    bus.map(a, at: 0...7, owner: "a")
    let later = bus.map(b, at: 4...7, owner: "b")
    #expect(bus.owner(of: 3) == "a")
    #expect(bus.owner(of: 4) == "b")
    _ = bus.read(5, width: 1)
    #expect(b.log == ["r1.1"])
    bus.space.unmap(later)
    #expect(bus.owner(of: 4) == "a")
    _ = bus.read(5, width: 1)
    #expect(a.log == ["r5.1"])
    #expect(bus.owner(of: 8) == nil)
  }

  @Test func offsetsFollowAMappingThatMoves() {
    let bus = PortSpace()
    let device = Recorder()
    let id = bus.map(device, at: 0x300...0x307, offset: 0x10, owner: "card")
    bus.write(0x302, 1, width: 1)
    bus.space.move(id, to: 0xFFF8)
    bus.write(0xFFFF, 2, width: 1)
    #expect(bus.owner(of: 0x302) == nil)
    bus.space.setEnabled(id, false)
    bus.write(0xFFFF, 3, width: 1)
    #expect(bus.owner(of: 0xFFFF) == nil)
    bus.space.setEnabled(id, true)
    bus.write(0xFFF8, 4, width: 1)
    #expect(device.log == ["w18.1=1", "w23.1=2", "w16.1=4"])
  }

  @Test func manyMappingsMayComeAndGo() {
    let bus = PortSpace()
    let device = Recorder()
    for n in 0..<1000 {
      let id = bus.map(device, at: 0x100...0x10F)
      #expect(bus.owner(of: 0x10F) == "", "\(n)")
      bus.space.unmap(id)
    }
    #expect(bus.owner(of: 0x100) == nil)
  }

  /// A device whose own access takes it off the bus, as the base address register of a card would.
  private final class Leaver: Registers {
    var leave: () -> Void = {}
    private var value: UInt32 = 0x11
    private let gone: () -> Void
    init(gone: @escaping () -> Void) { self.gone = gone }
    deinit { gone() }
    func read(at offset: UInt32, width: Int) -> UInt32 {
      leave()
      value += 1
      return value
    }
    func write(at offset: UInt32, _ new: UInt32, width: Int) {
      leave()
      value = new
    }
  }

  @Test func aDeviceThatUnmapsItselfEndsItsAccessAlive() {
    let bus = PortSpace()
    var isGone = false
    func put() {
      let device = Leaver { isGone = true }
      let id = bus.map(device, at: 0x300...0x303)
      device.leave = { [unowned bus] in bus.space.unmap(id) }
    }
    put()
    // The second byte finds nobody any more.
    #expect(bus.read(0x300, width: 2) == 0xFF12)
    #expect(!isGone)
    bus.space.releaseUnmapped()
    #expect(isGone)
    isGone = false
    put()
    bus.write(0x300, 5, width: 1)
    #expect(!isGone)
    bus.space.releaseUnmapped()
    #expect(isGone)
  }
}
