// Saved states: continuing from one equals never having stopped, whatever the guest did before; tampered states end in errors.

import Bus
import State
import TestSupport
import Testing

@testable import Chipset

@Suite struct ChipsetStateTests {
  private static let ports: [UInt16] = {
    var ports: [UInt16] = [0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0xE9, 0xCF9, 0x4D0, 0x4D1, 0x1234]
    ports += [0x20, 0x21, 0xA0, 0xA1, 0x40, 0x41, 0x42, 0x43, 0x40, 0x43, 0x60, 0x64, 0x71]
    ports += [UInt16](0x00...0x0F) + [UInt16](0x80...0x8F) + [UInt16](0xC0...0xDF)
    ports += [UInt16](0x3F8...0x3FF) + [UInt16](0x3F8...0x3FF) + [UInt16](0x378...0x37B)
    return ports
  }()

  /// One random thing that a guest or a host does; what could be seen of it goes into `trace`.
  private func act(_ board: Board, _ random: inout Random, _ trace: inout UInt64) {
    func see(_ value: some BinaryInteger) {
      trace = (trace ^ UInt64(truncatingIfNeeded: value)) &* 0x100_0000_01B3
    }
    let choice = random.below(100)
    let value = random.word()
    let port = Self.ports[Int(random.below(UInt32(Self.ports.count)))]
    let width = [1, 1, 1, 2, 4][Int(random.below(5))]
    switch choice {
    case 0..<45: board.bus.write(port, value, width: width)
    case 45..<75: see(board.bus.read(port, width: width))
    case 75..<85: board.time.advance(UInt64(value % 3_000_000))
    case 85: board.time.advance(UInt64(value % 300) * 1_000_000)
    case 86..<90:
      let key = Key(rawValue: UInt8(value % UInt32(Key.allCases.count))) ?? .a
      board.keyboardController.keyboard.key(key, down: value & 0x1000 != 0)
    case 90:
      board.keyboardController.mouse.move(
        dx: Int(Int8(truncatingIfNeeded: value)), dy: Int(Int16(truncatingIfNeeded: value)), dz: 1)
    case 91: board.keyboardController.mouse.button(.left, down: value & 1 != 0)
    case 92: _ = board.com1.receive(UInt8(truncatingIfNeeded: value))
    case 93: board.com1.setModem(.init(clearToSend: value & 1 != 0, ring: value & 2 != 0))
    case 94:
      var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: value), count: Int(value % 700))
      let channel = Int(value >> 10 & 7)
      let result =
        value & 0x2000 != 0
        ? bytes.withUnsafeBytes { board.dma.transferToMemory(channel: channel, from: $0) }
        : bytes.withUnsafeMutableBytes {
          board.dma.transferFromMemory(channel: channel, into: $0)
        }
      see(result.count)
    case 95: board.typist.type([.press([.leftShift, .a]), .wait(milliseconds: 5)])
    case 96: if value % 50 == 0 { board.initialisePICs() }
    default: if board.pic.output.level { see(board.pic.acknowledge()) }
    }
    see(board.pic.output.level ? 1 : 0)
    see(board.gate.output.level ? 1 : 0)
  }

  @Test func randomAccessNeverTrapsAndSavedStatesContinueIdentically() throws {
    for seed in UInt64(1)...2 {
      var random = Random(seed: seed)
      var trace: UInt64 = 0
      var board = Board()
      board.initialisePICs()
      // One board records its speaker, which the guest must not notice.
      board.pit.recordSpeaker(seed % 2 == 0)
      for _ in 0..<25 {
        for _ in 0..<1_000 { act(board, &random, &trace) }
        let state = board.save()
        let copy = Board()
        copy.memory.bytes = board.memory.bytes
        try copy.restore(state)
        #expect(copy.save() == state)
        var otherRandom = random
        var otherTrace = trace
        for _ in 0..<1_000 {
          act(board, &random, &trace)
          act(copy, &otherRandom, &otherTrace)
        }
        #expect(trace == otherTrace)
        #expect(board.save() == copy.save())
        #expect(board.pic.irq(1).level == copy.pic.irq(1).level)
        board = copy
      }
    }
  }

  /// A guest that asks for the same again and again and hardly reads: no queue grows beyond what a state may hold.
  @Test func repeatedCommandsLeaveStatesThatLoad() throws {
    var random = Random(seed: 17)
    let commands: [(port: UInt16, values: [UInt8])] = [
      (0x60, Array(0xED...0xFF) + [0, 2, 0xC8, 0x50]),
      (0x64, Array(0x20...0x21) + Array(0xA7...0xAE)),
      (0x64, [0xC0, 0xD0, 0xD1, 0xD2, 0xD3, 0xE0]), (0x3F8, [0x55]), (0x3FA, [0, 1, 7]),
      (0x3FB, [3, 0x43, 0x83]), (0x3FC, [0, 0x10, 0x1F]), (0x80, [1, 2]), (0x43, Array(0...0xFF)),
      (0x40, [0, 1, 0x99]), (0x42, [0, 0xFF]), (0x61, [0, 1, 2, 3]), (0x20, [0x11, 0x20, 0x0A]),
      (0x21, [0, 1, 4, 0xFF]), (0x70, [0x0A, 0x0B, 0x8F]), (0x71, [0, 0x26, 0x7F, 0xFF]),
      (0x37A, [0, 1, 0x3F]), (0x0B, [0x44, 0x58]), (0x0C, [0]), (0x01, [0, 0xFF]), (0xE9, [0x41]),
    ]
    for seed in 0..<6 {
      let board = Board()
      board.initialisePICs()
      if seed % 2 == 0 { board.keyboardController.mouse.move(dx: 1, dy: 1) }
      for _ in 0..<150 {
        let (port, values) = commands[Int(random.below(UInt32(commands.count)))]
        let value = values[Int(random.below(UInt32(values.count)))]
        let reads = random.below(4) == 0
        // To the keyboard or, through the controller, to the mouse.
        let prefix = port == 0x60 && random.below(3) == 0
        let pause = UInt64([100, 10_000, 1_000_000, 2_500_000][Int(random.below(4))])
        for _ in 0..<(1 + random.below(60)) {
          if prefix { board.out(0x64, 0xD4) }
          board.out(port, value)
          board.time.advance(pause)
          if reads { _ = board.in(port) }
        }
        switch random.below(8) {
        case 0: for _ in 0..<40 { _ = board.com1.receive(0x31) }
        case 1: board.keyboardController.keyboard.key(.pause, down: random.below(2) == 0)
        case 2: for n in 0..<100 as Range<UInt8> { board.keyboardController.mouse.hold(n) }
        default: break
        }
        let state = board.save()
        let copy = Board()
        try copy.restore(state)
        #expect(copy.save() == state)
      }
    }
  }

  @Test func savingDoesNotDisturb() throws {
    var randomA = Random(seed: 99)
    var randomB = randomA
    var traceA: UInt64 = 0
    var traceB: UInt64 = 0
    let a = Board()
    let b = Board()
    for _ in 0..<5_000 {
      act(a, &randomA, &traceA)
      act(b, &randomB, &traceB)
      _ = b.save()
    }
    #expect(traceA == traceB)
    #expect(a.save() == b.save())
  }

  @Test func awkwardMoments() throws {
    /// Runs to a moment, saves, and compares what the copy and the original show afterwards.
    func check(_ name: String, _ prepare: (Board) throws -> Void, _ observe: (Board) -> [UInt8])
      throws
    {
      let board = Board()
      board.initialisePICs()
      try prepare(board)
      let copy = Board()
      try copy.restore(board.save())
      #expect(observe(board) == observe(copy), "\(name)")
    }
    try check("between the ICWs") {
      $0.out(0x20, 0x11)
    } _: { board in
      board.out(0x21, 0x40)
      board.out(0x21, 0x04)
      board.out(0x21, 0x01)
      board.pic.irq(3).set(true)
      return [board.pic.acknowledge()]
    }
    try check("between the bytes of a count") { board in
      board.out(0x43, 0x34)
      board.out(0x40, 0x10)
    } _: { board in
      board.out(0x40, 0x01)
      board.time.advance(50_000)
      return [board.in(0x40), board.in(0x40)]
    }
    try check("in the gap of mode 2") { board in
      board.out(0x43, 0x14)
      board.out(0x40, 100)
      board.time.advance(PIT8254.time(of: 100))
      _ = board.in(0x40)
    } _: { board in
      board.time.advance(2_000)
      return [board.pic.output.level ? 1 : 0, board.in(0x40)]
    }
    try check("in the middle of a scan code") { board in
      board.keyboardController.keyboard.key(.up, down: true)
      board.time.advance(1_300_000)
    } _: { board in
      (0..<6).map { _ in
        board.time.advance(500_000)
        return board.in(0x60)
      }
    }
    try check("after F0h was swallowed") { board in
      board.keyboardController.keyboard.key(.a, down: true)
      board.keyboardController.keyboard.key(.a, down: false)
      board.time.advance(1_000_000)
      _ = board.in(0x60)
      board.time.advance(1_000_000)
    } _: { board in
      board.time.advance(1_000_000)
      return [board.in(0x60)]
    }
    try check("during the update cycle") { board in
      board.time.advance(999_000_000)
    } _: { board in
      board.out(0x70, 0x0A)
      let before = board.in(0x71)
      board.time.advance(1_000_000)
      return [before, board.in(0x71)]
    }
    try check("with a character half sent") { board in
      board.out(0x3F8, 0x41)
      board.time.advance(100)
    } _: { board in
      board.time.advance(20_000_000)
      return board.log.sent
    }
  }

  @Test func tamperedStatesAreRefusedOrHarmless() {
    var random = Random(seed: 7)
    var trace: UInt64 = 0
    let board = Board()
    board.initialisePICs()
    for _ in 0..<3_000 { act(board, &random, &trace) }
    let state = board.save()
    for i in 0..<3_000 {
      var bytes = state
      // The header with the time and the clock's section are not this module's.
      let first = 200
      for _ in 0...(i % 3) {
        bytes[first + Int(random.below(UInt32(bytes.count - first)))] = UInt8(
          truncatingIfNeeded: random.word())
      }
      if i % 50 == 0 { bytes.removeLast(Int(random.below(300))) }
      let victim = Board()
      guard (try? victim.restore(bytes)) != nil else { continue }
      for _ in 0..<30 { act(victim, &random, &trace) }
    }
  }
}
