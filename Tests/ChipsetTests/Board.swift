// What the tests of this folder share: a clock that is advanced by hand, a block of memory, and a board with every device wired as on a PC.

import Bus
import State

@testable import Chipset

/// Virtual time under the test's control; one instruction is one nanosecond.
final class TestClock {
  let clock = VirtualClock(instructionsPerSecond: 1_000_000_000)
  private(set) var now: UInt64 = 0

  init() { clock.instructionCount = { [unowned self] in now } }

  /// Lets time pass, stopping exactly at each event on the way.
  func advance(_ nanoseconds: UInt64) { advance(to: now + nanoseconds) }

  func advance(to target: UInt64) {
    while clock.nextDeadline <= target {
      now = max(now, clock.nextDeadline)
      clock.runDueEvents()
    }
    now = max(now, target)
  }

  /// Puts the clock at a time without running events (after a restore).
  func jump(to time: UInt64) { now = time }
}

/// Memory that notes nothing but its bytes.
final class TestMemory: DMAMemory {
  var bytes = [UInt8](repeating: 0, count: 1 << 21)

  func dmaRead(_ address: UInt32, into buffer: UnsafeMutableRawBufferPointer) {
    for i in 0..<buffer.count { buffer[i] = bytes[(Int(address) + i) & 0x1FFFFF] }
  }

  func dmaWrite(_ address: UInt32, from buffer: UnsafeRawBufferPointer) {
    for i in 0..<buffer.count { bytes[(Int(address) + i) & 0x1FFFFF] = buffer[i] }
  }
}

/// All devices of the module on one bus.
final class Board {
  let time = TestClock()
  let bus = PortSpace()
  let memory = TestMemory()
  let pic = PIC8259Pair()
  let pit: PIT8254
  let portB: SystemPortB
  let cmos: CMOS
  let dma: DMA8237Pair
  let gate = A20Gate()
  let keyboardController: KeyboardController8042
  let portA: SystemPortA
  let com1: UART16550
  let lpt: LPT
  let console = DebugConsole()
  let post = PostCodes()
  let resetControl: ResetControl
  let typist: Typist
  final class Log {
    var resets: [ResetRequest] = []
    var sent: [UInt8] = []
    var printed: [UInt8] = []
  }
  let log = Log()
  let devices: [any Device]

  /// 2001-02-03 04:05:06
  static let date: Int64 = 981_173_106

  init() {
    let clock = time.clock
    let log = self.log
    pit = PIT8254(clock: clock, irq: pic.irq(0))
    portB = SystemPortB(pit: pit)
    cmos = CMOS(clock: clock, irq: pic.irq(8), initialTime: Board.date)
    dma = DMA8237Pair(memory: memory)
    keyboardController = KeyboardController8042(
      clock: clock, irq1: pic.irq(1), irq12: pic.irq(12), gate: gate
    ) { log.resets.append($0) }
    portA = SystemPortA(gate: gate) { log.resets.append($0) }
    com1 = UART16550(name: "com1", clock: clock, irq: pic.irq(4))
    com1.transmit = { log.sent.append($0) }
    lpt = LPT(name: "lpt1", clock: clock, irq: pic.irq(7))
    lpt.sink = { log.printed.append($0) }
    resetControl = ResetControl { log.resets.append($0) }
    typist = Typist(clock: clock, keyboard: keyboardController.keyboard)
    devices = [
      pic, pit, portB, cmos, dma, keyboardController, portA, com1, lpt, console, post, resetControl,
      typist,
    ]
    let post = self.post
    dma.connect(post)
    for (ports, offset): (ClosedRange<UInt16>, UInt32) in [
      (0x20...0x21, 0), (0xA0...0xA1, 2), (0x4D0...0x4D1, 4),
    ] { bus.map(pic, at: ports, offset: offset) }
    bus.map(pit, at: 0x40...0x43)
    bus.map(portB, at: 0x61...0x61)
    bus.map(cmos, at: CMOS.ports)
    for (ports, offset) in DMA8237Pair.ports { bus.map(dma, at: ports, offset: offset) }
    bus.map(keyboardController, at: 0x60...0x60)
    bus.map(keyboardController, at: 0x64...0x64, offset: 1)
    bus.map(portA, at: 0x92...0x92)
    bus.map(com1, at: 0x3F8...0x3FF)
    bus.map(lpt, at: 0x378...0x37B)
    bus.map(console, at: 0xE9...0xE9)
    bus.map(resetControl, at: 0xCF9...0xCF9, PortTraits(takesPieces: false))
  }

  func out(_ port: UInt16, _ value: UInt8) { bus.write(port, UInt32(value), width: 1) }
  func `in`(_ port: UInt16) -> UInt8 { UInt8(bus.read(port, width: 1)) }

  func save() -> [UInt8] {
    var writer = StateWriter()
    writer.write(time.now)
    writer.section("clock", version: 1) { time.clock.save(to: &$0) }
    for device in devices {
      writer.section(device.stateName, version: device.stateVersion) { device.save(to: &$0) }
    }
    return writer.bytes
  }

  func restore(_ bytes: [UInt8]) throws {
    var reader = StateReader(bytes)
    time.jump(to: try reader.read())
    try reader.section("clock", versions: 1...1) { (inner, _) throws(StateError) in
      try time.clock.restore(from: &inner)
    }
    for device in devices {
      try reader.section(device.stateName, versions: 1...device.stateVersion) {
        (inner, version) throws(StateError) in
        try device.restore(from: &inner, version: version)
      }
    }
  }

  /// Both interrupt controllers as a PC's firmware sets them up: vectors 08h and 70h, nothing masked.
  func initialisePICs(icw4: UInt8 = 0x01) {
    for (port, values) in [(UInt16(0x20), [0x08, 0x04] as [UInt8]), (0xA0, [0x70, 0x02])] {
      out(port, 0x11)
      out(port + 1, values[0])
      out(port + 1, values[1])
      out(port + 1, port == 0x20 ? icw4 : 0x01)
      out(port + 1, 0x00)
    }
  }
}
