import Bus
import State
import Testing

@testable import Chipset

@Suite struct PortBusTests {
  final class Recorder: PortDevice {
    let stateName = "recorder"
    var log: [String] = []
    func readPort(_ port: UInt16, width: Int) -> UInt32 {
      log.append("r\(port).\(width)")
      return UInt32(port & 0xFF) | 0xABCD_EF00
    }
    func writePort(_ port: UInt16, _ value: UInt32, width: Int) {
      log.append("w\(port).\(width)=\(value)")
    }
    func save(to writer: inout StateWriter) {}
    func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {}
    func reset(_ kind: ResetKind) {}
  }

  @Test func wideAccessesAreSplitAscending() {
    let bus = PortBus()
    let device = Recorder()
    bus.register(device, ports: 0x10...0x13)
    #expect(bus.read(0x10, width: 4) == 0x1312_1110)
    #expect(device.log == ["r16.1", "r17.1", "r18.1", "r19.1"])
    device.log = []
    bus.write(0x11, 0xA1B2, width: 2)
    #expect(device.log == ["w17.1=178", "w18.1=161"])
  }

  @Test func slowPortsTakeACycleForEachPart() {
    let bus = PortBus()
    bus.register(Recorder(), ports: 0x10...0x13)
    bus.register(Recorder(), ports: 0x20...0x23, maxWidth: 2)
    bus.register(Recorder(), ports: 0x30...0x33, maxWidth: 4, isSlow: false)
    func cycles(_ port: UInt16) -> [UInt64] {
      [1, 2, 4].map { bus.accessCycles(port, width: $0) }
    }
    #expect(cycles(0x10) == [1, 2, 4])
    #expect(cycles(0x20) == [1, 1, 2])
    #expect(cycles(0x30) == [0, 0, 0])
    // Nobody: one cycle that nobody answers.
    #expect(cycles(0x40) == [1, 1, 1])
  }

  @Test func aWideDeviceGetsItsWidthAtTheFirstPort() {
    let bus = PortBus()
    let device = Recorder()
    bus.register(device, ports: 0x1F0...0x1F0, maxWidth: 2)
    bus.write(0x1F0, 0x1122_3344, width: 4)
    #expect(device.log == ["w496.2=13124"])
    #expect(bus.unknownPorts.map(\.port) == [0x1F2])
    #expect(bus.read(0x1F0, width: 2) == 0xEFF0)
  }

  @Test func partsOfWiderAccessesReachADeviceOnlyIfItTakesThem() {
    let bus = PortBus()
    let device = Recorder()
    bus.register(device, ports: 0xCF9...0xCF9, takesPieces: false)
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
    bus.register(neighbour, ports: 0xCFA...0xCFA)
    bus.write(0xCF8, 0x0033_0000, width: 4)
    #expect(neighbour.log == ["w3322.1=51"])
    #expect(device.log.count == 2)
  }

  @Test func unknownPortsFloatHighAndAreCounted() {
    let bus = PortBus()
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
    let bus = PortBus()
    let device = Recorder()
    bus.register(device, ports: 0xFFFF...0xFFFF)
    bus.register(device, ports: 0...0)
    #expect(bus.read(0xFFFF, width: 2) == 0xFFFF)
    bus.write(0xFFFF, 0x1234_5678, width: 4)
    #expect(device.log == ["r65535.1", "w65535.1=120"])
  }

  @Test func theLastSixteenAccessesAreRemembered() {
    let bus = PortBus()
    for i in 0..<20 { bus.write(UInt16(i), 7, width: 1) }
    #expect(bus.recentAccesses.map(\.port) == (4..<20).map { UInt16($0) })
  }

  @Test func unregisterTakesOnlyOwnPorts() {
    let bus = PortBus()
    let a = Recorder()
    let b = Recorder()
    bus.register(a, ports: 0...7)
    bus.register(b, ports: 4...7)
    bus.unregister(a, ports: 0...7)
    #expect(bus.device(at: 0) == nil)
    #expect(bus.device(at: 4) === b)
  }
}
