// Expectations from the wave forms and the text of the 8254 data sheet.

import Bus
import TestSupport
import Testing

@testable import Chipset

@Suite struct PITCounterTests {
  /// Runs a counter pulse by pulse and writes down "count" or "count*" (OUT high) after each.
  private func trace(_ counter: inout PITCounter, _ pulses: Int) -> String {
    var parts: [String] = []
    for _ in 0..<pulses {
      counter.advance(1)
      counter.latchCount()
      let low = counter.read()
      parts.append(String(low, radix: 16) + (counter.out ? "*" : ""))
    }
    return parts.joined(separator: " ")
  }

  private func counter(_ control: UInt8, gate: Bool = true) -> PITCounter {
    var counter = PITCounter()
    counter.setGate(gate)
    counter.writeControl(control)
    return counter
  }

  @Test func mode0() {
    var c = counter(0x10)
    #expect(!c.out)
    c.write(4)
    #expect(trace(&c, 7) == "4 3 2 1 0* ff* fe*")
    // GATE holds the count.
    c = counter(0x10)
    c.write(3)
    #expect(trace(&c, 2) == "3 2")
    c.setGate(false)
    #expect(trace(&c, 2) == "2 2")
    c.setGate(true)
    #expect(trace(&c, 3) == "1 0* ff*")
    // A new count is loaded on the next pulse.
    c = counter(0x10)
    c.write(3)
    #expect(trace(&c, 3) == "3 2 1")
    c.write(2)
    #expect(trace(&c, 4) == "2 1 0* ff*")
    // Written while GATE is low, it is loaded all the same.
    c = counter(0x10, gate: false)
    c.write(2)
    #expect(trace(&c, 2) == "2 2")
    c.setGate(true)
    #expect(trace(&c, 2) == "1 0*")
  }

  @Test func mode0FirstByteStopsTheCount() {
    var c = counter(0x30)
    c.write(2)
    c.write(0)
    c.advance(3)
    #expect(c.out)
    c.write(5)
    #expect(!c.out)
    c.advance(100)
    #expect(!c.out)
    c.write(0)
    c.advance(5)
    #expect(!c.out)
    c.advance(1)
    #expect(c.out)
  }

  @Test func mode1() {
    var c = counter(0x12, gate: false)
    #expect(c.out)
    c.write(3)
    c.advance(5)
    #expect(c.out)
    c.setGate(true)
    #expect(trace(&c, 3) == "3 2 1")
    #expect(trace(&c, 2) == "0* ff*")
    // Retriggered: the pulse is prolonged; a new count waits for the next trigger; a falling gate does nothing.
    c.setGate(false)
    c.setGate(true)
    #expect(trace(&c, 2) == "3 2")
    c.write(2)
    c.setGate(false)
    #expect(trace(&c, 1) == "1")
    c.setGate(true)
    #expect(trace(&c, 3) == "2 1 0*")
  }

  @Test func mode2() {
    var c = counter(0x14)
    c.write(3)
    #expect(trace(&c, 7) == "3* 2* 1 3* 2* 1 3*")
    c = counter(0x14)
    c.write(3)
    #expect(trace(&c, 2) == "3* 2*")
    c.setGate(false)
    #expect(trace(&c, 1) == "2*")
    c.setGate(true)
    #expect(trace(&c, 4) == "3* 2* 1 3*")
    // GATE going low sets OUT high at once.
    _ = trace(&c, 2)
    #expect(!c.out)
    c.setGate(false)
    #expect(c.out)
    c = counter(0x14)
    c.write(4)
    #expect(trace(&c, 2) == "4* 3*")
    c.write(5)
    #expect(trace(&c, 5) == "2* 1 5* 4* 3*")
  }

  @Test func mode3() {
    var c = counter(0x16)
    c.write(4)
    #expect(trace(&c, 8) == "4* 2* 4 2 4* 2* 4 2")
    c = counter(0x16)
    c.write(5)
    #expect(trace(&c, 10) == "4* 2* 0* 4 2 4* 2* 0* 4 2")
    // A new count is taken at the end of the half period.
    c = counter(0x16)
    c.write(4)
    #expect(trace(&c, 1) == "4*")
    c.write(6)
    #expect(trace(&c, 5) == "2* 6 4 2 6*")
    // GATE low: high at once, and the whole period again after it rises.
    _ = trace(&c, 3)
    #expect(!c.out)
    c.setGate(false)
    #expect(c.out)
    c.setGate(true)
    #expect(trace(&c, 4) == "6* 4* 2* 6")
  }

  @Test func mode4() {
    var c = counter(0x18)
    #expect(c.out)
    c.write(3)
    #expect(trace(&c, 6) == "3* 2* 1* 0 ff* fe*")
    c = counter(0x18)
    c.write(3)
    c.setGate(false)
    #expect(trace(&c, 2) == "3* 3*")
    c.setGate(true)
    #expect(trace(&c, 4) == "2* 1* 0 ff*")
    c = counter(0x18)
    c.write(3)
    #expect(trace(&c, 3) == "3* 2* 1*")
    c.write(2)
    #expect(trace(&c, 4) == "2* 1* 0 ff*")
  }

  @Test func mode5() {
    var c = counter(0x1A, gate: false)
    c.write(3)
    c.advance(4)
    c.setGate(true)
    #expect(trace(&c, 5) == "3* 2* 1* 0 ff*")
    c.setGate(false)
    c.setGate(true)
    #expect(trace(&c, 2) == "3* 2*")
    c.setGate(false)
    c.setGate(true)
    #expect(trace(&c, 4) == "3* 2* 1* 0")
  }

  @Test func bcdCountsInDecimal() {
    var c = counter(0x31)
    c.write(0x00)
    c.write(0x10)
    c.advance(2)
    c.latchCount()
    #expect(c.read() == 0x99)
    #expect(c.read() == 0x09)
    // 0 is 10,000.
    c = counter(0x35)
    c.write(0)
    c.write(0)
    c.advance(2)
    #expect(c.read() == 0x99)
    #expect(c.read() == 0x99)
    c.advance(9998)
    #expect(!c.out || c.pulsesToChange == 1)
  }

  @Test func aCountOfZeroIsTheLargest() {
    var c = counter(0x34)
    c.write(0)
    c.write(0)
    c.advance(1)
    #expect(c.pulsesToChange == 65535)
    c = counter(0x36)
    c.write(0)
    c.write(0)
    c.advance(1)
    #expect(c.pulsesToChange == 32768)
  }

  @Test func modes6And7Are2And3ButReadBackAsWritten() {
    var c = counter(0x1E)
    c.write(4)
    #expect(trace(&c, 4) == "4* 2* 4 2")
    c.latchStatus()
    #expect(c.read() & 0x3F == 0x1E)
  }

  @Test func latchedCountsWaitForTheirBytes() {
    var c = counter(0x34)
    c.write(0x34)
    c.write(0x12)
    c.advance(1)
    c.latchCount()
    c.advance(0x100)
    // A second latch command is ignored.
    c.latchCount()
    #expect(c.read() == 0x34)
    c.advance(5)
    #expect(c.read() == 0x12)
    #expect(c.read() == 0x2F)
    #expect(c.read() == 0x11)
    c = counter(0x24)
    c.write(0x12)
    c.advance(1)
    c.latchCount()
    c.advance(0x1000)
    #expect(c.read() == 0x12)
    #expect(c.read() == 0x02)
  }

  @Test func statusShowsOutNullCountAndComesFirst() {
    var c = counter(0x36)
    c.latchStatus()
    #expect(c.read() == 0xF6)
    c.write(8)
    c.write(0)
    c.latchStatus()
    #expect(c.read() == 0xF6)
    c.advance(1)
    c.latchCount()
    c.latchStatus()
    #expect(c.read() == 0xB6)
    #expect(c.read() == 8)
    #expect(c.read() == 0)
    c.write(6)
    c.write(0)
    c.latchStatus()
    #expect(c.read() == 0xF6)
    c.advance(4)
    c.latchStatus()
    #expect(c.read() == 0x36)
  }

  @Test func manyPulsesAtOnceEqualManySingleOnes() {
    var random = Random(seed: 42)
    for _ in 0..<400 {
      var a = PITCounter()
      a.setGate(random.below(2) == 0)
      a.writeControl(UInt8(random.below(3) + 1) << 4 | UInt8(random.below(16)))
      for _ in 0..<30 {
        switch random.below(5) {
        case 0: a.write(UInt8(random.below(random.below(2) == 0 ? 6 : 256)))
        case 1: a.setGate(random.below(2) == 0)
        default: break
        }
        let pulses = random.below(random.below(3) == 0 ? 3000 : 20)
        var b = a
        let foreseen = b.pulsesToChange
        let level = b.out
        var first: UInt64?
        for i in 0..<pulses {
          b.advance(1)
          if first == nil && b.out != level { first = UInt64(i) + 1 }
        }
        a.advance(UInt64(pulses))
        #expect(a == b)
        if let first { #expect(foreseen == first) } else { #expect((foreseen ?? .max) > pulses) }
      }
    }
  }
}

@Suite struct PITTests {
  @Test func ticksAreExactOverDays() {
    let day: UInt64 = 86_400_000_000_000
    #expect(PIT8254.tick(at: 30 * day) == 30 * 86400 * 1_193_182)
    for tick in [UInt64(1), 2, 3, 1_193_181, 1_193_183, 12_345_678_901] {
      let time = PIT8254.time(of: tick)
      #expect(PIT8254.tick(at: time) == tick)
      #expect(PIT8254.tick(at: time - 1) == tick - 1)
    }
    #expect(PIT8254.time(of: UInt64.max) == VirtualClock.never)
  }

  @Test func counter0InterruptsAtItsRate() {
    let board = Board()
    board.initialisePICs()
    board.out(0x43, 0x34)
    board.out(0x40, 0x9C)
    board.out(0x40, 0x2E)  // 11,932
    var edges = 0
    for _ in 0..<20_000 {
      board.time.advance(500_000)
      if board.pic.output.level {
        #expect(board.pic.acknowledge() == 0x08)
        board.out(0x20, 0x20)
        edges += 1
      }
    }
    // OUT rises with the control word, then at the end of each period: floor((11,931,820 - 1) / 11,932) more edges.
    #expect(edges == 1 + 999)
  }

  @Test func noEdgeIsLostWhenTimeIsCoarse() {
    let board = Board()
    board.initialisePICs(icw4: 0x03)
    let coarse = VirtualClock(instructionsPerSecond: 2_000)
    var instructions: UInt64 = 0
    coarse.instructionCount = { instructions }
    let irq = Signal()
    var rises = 0
    irq.connect { if $0 { rises += 1 } }
    let pit = PIT8254(clock: coarse, irq: irq)
    pit.write(at: 3, 0x14, width: 1)
    pit.write(at: 0, 250, width: 1)
    let before = rises
    for _ in 0..<2_000 {
      instructions += 1
      coarse.runDueEvents()
    }
    #expect(rises - before == (1_193_182 - 1) / 250)
  }

  @Test func mode0GivesOneInterrupt() {
    let board = Board()
    board.initialisePICs()
    board.out(0x43, 0x30)
    board.out(0x40, 100)
    board.out(0x40, 0)
    board.time.advance(PIT8254.time(of: 101) - 1)
    #expect(!board.pic.output.level)
    board.time.advance(1)
    #expect(board.pic.output.level)
    _ = board.pic.acknowledge()
    board.out(0x20, 0x20)
    board.time.advance(1_000_000_000)
    #expect(!board.pic.output.level)
    #expect(board.time.clock.nextDeadline == VirtualClock.never)
  }

  @Test func readBackReachesSeveralCounters() {
    let board = Board()
    board.out(0x43, 0x36)
    board.out(0x40, 0x10)
    board.out(0x40, 0x27)
    board.out(0x43, 0xB0)
    board.out(0x42, 0x34)
    board.out(0x42, 0x12)
    board.time.advance(1_000)
    // Count and status of counters 0 and 2.
    board.out(0x43, 0xCA)
    #expect(board.in(0x40) == 0xB6)
    #expect(board.in(0x40) == 0x10)
    #expect(board.in(0x40) == 0x27)
    #expect(board.in(0x42) == 0x30)
    #expect(board.in(0x42) == 0x34)
    #expect(board.in(0x42) == 0x12)
  }

  @Test func port61ShowsCounter2AndTheRefreshToggle() {
    let board = Board()
    board.out(0x61, 0x01)
    board.out(0x43, 0xB0)
    board.out(0x42, 0xE8)
    board.out(0x42, 0x03)
    #expect(board.in(0x61) & 0x2F == 0x01)
    board.time.advance(PIT8254.time(of: 1_002))
    #expect(board.in(0x61) & 0x2F == 0x21)
    // The refresh request comes every 18 pulses, some 15 us.
    var changes = 0
    var last = board.in(0x61) & 0x10
    for _ in 0..<10_000 {
      board.time.advance(1_000)
      let now = board.in(0x61) & 0x10
      if now != last { changes += 1 }
      last = now
    }
    #expect((662...664).contains(changes))
  }

  @Test func aToneIsOneEntryAndNoEvents() {
    let board = Board()
    board.pit.recordSpeaker(true)
    board.out(0x43, 0xB6)
    board.out(0x42, 0xA9)
    board.out(0x42, 0x04)  // 1,193: 1,000 Hz
    board.out(0x61, 0x03)
    #expect(board.time.clock.nextDeadline == VirtualClock.never)
    board.time.advance(100_000_000)
    board.out(0x61, 0x00)
    let changes = board.pit.speaker.drain(until: board.time.now)
    let tones = changes.compactMap { change -> UInt32? in
      if case .square(_, let high, let low) = change.shape { return high + low }
      return nil
    }
    #expect(tones == [1193])
    #expect(changes.last?.shape == .level(false))
    var renderer = SpeakerRenderer(sampleRate: 44_100)
    let samples = renderer.render(changes, from: 0, count: 4_410)
    let rises = zip(samples, samples.dropFirst()).filter { $0 < 0.5 && $1 >= 0.5 }.count
    #expect((99...101).contains(rises))
    #expect(abs(samples.reduce(0, +) / Float(samples.count) - 0.5) < 0.02)
  }

  @Test func pulseWidthSoundIsForeseenWithoutEvents() {
    let board = Board()
    board.pit.recordSpeaker(true)
    board.out(0x61, 0x03)
    board.out(0x43, 0x90)
    for i in 0..<50 {
      board.out(0x42, UInt8(10 + i % 20))
      board.time.advance(60_000)
    }
    let changes = board.pit.speaker.drain(until: board.time.now)
    let lows = changes.filter { $0.shape == .level(false) }.count
    #expect(lows >= 49)
    for (a, b) in zip(changes, changes.dropFirst()) { #expect(a.time <= b.time) }
  }
}
