// One counter of an 8254 (Intel 8254 data sheet, 231164-005), as a pure value.
//
// Owns: the six modes, count register, counting element, output latch, status; advancing by any number of CLK pulses at once.
// Must not know: time in nanoseconds, ports, what OUT is connected to.

import State

/// A counter in the terms of the data sheet: CR (count register), CE (counting element), OL (output latch), GATE, OUT.
struct PITCounter: Equatable {
  /// D5-D0 of the last control word: RW1 RW0 M2 M1 M0 BCD.
  private(set) var control: UInt8 = 0x30
  private(set) var gate = true
  private(set) var out = false
  /// CR as written.
  private var countRegister: UInt16 = 0
  /// CE as a number from 0 to 65536 (or 10000): a count of 0 is loaded as the modulus and reads as 0.
  private var ce: UInt32 = 0
  /// The half period of mode 3 being counted began with an odd count (its high half is one longer).
  private var odd = false
  /// The next CLK pulse moves CR to CE.
  private var loadPending = false
  /// A count was written since the control word.
  private var countWritten = false
  /// CE was loaded since the control word, so it counts.
  private var counting = false
  /// Modes 0, 1, 4, 5: the end of the count has yet to come.
  private var armed = false
  private var nullCount = true
  /// Mode 0 between the two bytes of a count: counting is disabled.
  private var halfWritten = false
  private var writeHigh = false
  private var writeLow: UInt8 = 0
  private var readHigh = false
  private var countLatched = false
  private var latchHigh = false
  private var outputLatch: UInt16 = 0
  private var statusLatched = false
  private var statusLatch: UInt8 = 0
  /// The CLK pulse up to which it has counted.
  private(set) var tick: UInt64 = 0
  /// Changes with every rising edge of OUT of the periodic modes (the refresh toggle of a PC).
  private(set) var cycleParity = false

  init(tick: UInt64 = 0) { self.tick = tick }

  /// The mode, 0 to 5 (6 and 7 are 2 and 3).
  var mode: UInt8 {
    let bits = control >> 1 & 7
    return bits > 5 ? bits & 3 : bits
  }
  private var access: UInt8 { control >> 4 & 3 }
  private var bcd: Bool { control & 1 != 0 }
  private var modulus: UInt32 { bcd ? 10_000 : 65_536 }

  /// The count that a load of CR gives, 1 to the modulus. The periodic modes have no count of 1; it acts as 2.
  private var initialCount: UInt32 {
    var n = UInt32(countRegister)
    if bcd {
      let digits = countRegister
      n = UInt32(digits >> 12) * 1000 + UInt32(digits >> 8 & 15) * 100
      n = (n + UInt32(digits >> 4 & 15) * 10 + UInt32(digits & 15)) % 10_000
    }
    if n == 0 { return modulus }
    if n == 1 && (mode == 2 || mode == 3) { return 2 }
    return n
  }

  /// CE as the guest reads it.
  private var count: UInt16 {
    var n = ce % modulus
    if !bcd { return UInt16(n) }
    var digits: UInt16 = 0
    for shift in [UInt16(0), 4, 8, 12] {
      digits |= UInt16(n % 10) << shift
      n /= 10
    }
    return digits
  }

  // MARK: Registers

  /// A control word with RW not 0: the counter returns to the initial state of the mode at once.
  mutating func writeControl(_ bits: UInt8) {
    control = bits & 0x3F
    if ce > modulus { ce %= modulus }
    countRegister = 0
    loadPending = false
    countWritten = false
    counting = false
    armed = false
    nullCount = true
    halfWritten = false
    writeHigh = false
    readHigh = false
    countLatched = false
    statusLatched = false
    odd = false
    out = mode != 0
  }

  /// The counter latch command.
  mutating func latchCount() {
    if countLatched { return }
    countLatched = true
    outputLatch = count
    latchHigh = access == 2
  }

  /// The status half of the read-back command.
  mutating func latchStatus() {
    if statusLatched { return }
    statusLatched = true
    statusLatch = (out ? 0x80 : 0) | (nullCount ? 0x40 : 0) | control
  }

  mutating func read() -> UInt8 {
    if statusLatched {
      statusLatched = false
      return statusLatch
    }
    if countLatched {
      let value = UInt8(truncatingIfNeeded: latchHigh ? outputLatch >> 8 : outputLatch)
      if access == 3 && !latchHigh { latchHigh = true } else { countLatched = false }
      return value
    }
    let value = count
    switch access {
    case 1: return UInt8(truncatingIfNeeded: value)
    case 2: return UInt8(truncatingIfNeeded: value >> 8)
    default:
      defer { readHigh.toggle() }
      return UInt8(truncatingIfNeeded: readHigh ? value >> 8 : value)
    }
  }

  mutating func write(_ value: UInt8) {
    switch access {
    case 1: setCount(UInt16(value))
    case 2: setCount(UInt16(value) << 8)
    default:
      if writeHigh {
        writeHigh = false
        setCount(UInt16(value) << 8 | UInt16(writeLow))
      } else {
        writeHigh = true
        writeLow = value
        if mode == 0 {
          // The first byte stops the count and sets OUT low, without a clock pulse.
          halfWritten = true
          loadPending = false
          armed = false
          out = false
        }
      }
    }
  }

  private mutating func setCount(_ value: UInt16) {
    countRegister = value
    countWritten = true
    nullCount = true
    halfWritten = false
    switch mode {
    case 0:
      out = false
      armed = false
      loadPending = true
    case 4: loadPending = true
    case 2, 3: if !counting { loadPending = true }
    default: break
    }
  }

  mutating func setGate(_ level: Bool) {
    if level == gate { return }
    gate = level
    switch mode {
    case 1, 5: if level && countWritten { loadPending = true }
    case 2, 3:
      if level {
        if countWritten { loadPending = true }
      } else {
        raise()
      }
    default: break
    }
  }

  /// Sets OUT high, counting the edge.
  private mutating func raise() {
    if !out { cycleParity.toggle() }
    out = true
  }

  // MARK: Counting

  private mutating func load() {
    loadPending = false
    counting = true
    nullCount = false
    ce = initialCount
    switch mode {
    case 0: armed = true
    case 1:
      armed = true
      out = false
    case 3:
      odd = ce & 1 != 0
      ce &= ~1
      raise()
    case 2: raise()
    default:
      armed = true
      out = true
    }
  }

  /// How many pulses the present half of mode 3 still takes, at least 1.
  private var halfLeft: UInt64 { max(1, UInt64(ce / 2) + (out && odd ? 1 : 0)) }

  /// What a debugger sees of it.
  var view: PIT8254.CounterView {
    PIT8254.CounterView(
      control: control, mode: mode, count: count, reload: countRegister, gate: gate, out: out)
  }

  /// Counts up to the CLK pulse `now`; does nothing where that lies behind.
  @inline(__always)
  mutating func count(to now: UInt64) {
    if now <= tick { return }
    let pulses = now &- tick
    tick = now
    // The refresh counter of a PC is looked at whenever a program waits by port 61h.
    if control & 0x0E == 0x04, counting, gate, !loadPending, pulses < UInt64(ce) {
      ce &-= UInt32(truncatingIfNeeded: pulses)
      out = ce != 1
      return
    }
    if isIdle { return }
    advance(pulses)
  }

  /// Pulses change nothing: no count, or held by GATE, which mode 1 does not look at. Without modes 4 and 5, whose strobe ends.
  @inline(__always)
  private var isIdle: Bool {
    !loadPending && control & 0x08 == 0 && (!counting || (!gate && control & 0x0E != 0x02))
  }

  /// Counts `pulses` CLK pulses; takes the same time however many there are.
  mutating func advance(_ pulses: UInt64) {
    var d = pulses
    if d == 0 { return }
    if loadPending {
      load()
      d -= 1
      if d == 0 { return }
    }
    // The strobe of modes 4 and 5 lasts one pulse whatever GATE does.
    if mode >= 4 { out = true }
    if !counting { return }
    switch mode {
    case 0:
      if !gate || halfWritten { return }
      if armed && d >= UInt64(ce) {
        armed = false
        out = true
      }
      wrapDown(d)
    case 1:
      if armed && d >= UInt64(ce) {
        armed = false
        out = true
      }
      wrapDown(d)
    case 2: if gate { advanceRate(d) }
    case 3: if gate { advanceSquare(d) }
    default:
      if mode == 4 && !gate { return }
      if armed && d >= UInt64(ce) {
        armed = false
        out = d > UInt64(ce)
      }
      wrapDown(d)
    }
  }

  private mutating func wrapDown(_ d: UInt64) {
    let r = UInt32(d % UInt64(modulus))
    ce = (ce + modulus - r) % modulus
  }

  private mutating func advanceRate(_ pulses: UInt64) {
    var d = pulses
    let left = UInt64(max(ce, 1))
    if d < left {
      ce = UInt32(left - d)
    } else {
      d -= left
      let period = UInt64(initialCount)
      nullCount = false
      // OUT rises at each reload.
      if (d / period + 1) & 1 != 0 { cycleParity.toggle() }
      ce = UInt32(period - d % period)
    }
    out = ce != 1
  }

  private mutating func advanceSquare(_ pulses: UInt64) {
    var d = pulses
    var reduced = false
    while d >= halfLeft {
      d -= halfLeft
      out.toggle()
      if out { cycleParity.toggle() }
      let n = initialCount
      nullCount = false
      odd = n & 1 != 0
      ce = n & ~1
      if !reduced {
        reduced = true
        if (d / UInt64(n)) & 1 != 0 { cycleParity.toggle() }
        d %= UInt64(n)
      }
    }
    ce -= min(ce, UInt32(truncatingIfNeeded: d * 2))
  }

  /// How many pulses it takes until OUT changes, or nil if it will not by itself.
  var pulsesToChange: UInt64? {
    if loadPending {
      var next = self
      next.load()
      if next.out != out { return 1 }
      guard let more = next.pulsesToChange else { return nil }
      return more + 1
    }
    if mode >= 4 && !out { return 1 }
    if !counting { return nil }
    switch mode {
    case 0: return armed && gate && !halfWritten ? max(1, UInt64(ce)) : nil
    case 1, 5: return armed ? max(1, UInt64(ce)) : nil
    case 2: return gate ? (ce > 1 ? UInt64(ce - 1) : 1) : nil
    case 3: return gate ? halfLeft : nil
    default: return armed && gate ? max(1, UInt64(ce)) : nil
    }
  }

  /// What a speaker at OUT will do until a register or GATE changes: the pulses until OUT changes (nil: never), then, for the periodic
  /// modes, how long it stays high and low in turn.
  var waveform: (level: Bool, firstChange: UInt64?, high: UInt64, low: UInt64) {
    let first = pulsesToChange
    let n = UInt64(initialCount)
    switch mode {
    case 2: return (out, first, n - 1, 1)
    case 3: return (out, first, n - n / 2, n / 2)
    default: return (out, first, 0, 0)
    }
  }

  // MARK: State

  func save(to writer: inout StateWriter) {
    writer.write(tick)
    writer.write(control)
    writer.write(countRegister)
    writer.write(ce)
    writer.write(writeLow)
    writer.write(outputLatch)
    writer.write(statusLatch)
    for flag in [
      gate, out, odd, loadPending, countWritten, counting, armed, nullCount, halfWritten, writeHigh,
      readHigh, countLatched, latchHigh, statusLatched, cycleParity,
    ] { writer.write(flag) }
  }

  /// - Parameter tick: the time that all were computed for, in states of version 1, else nil.
  mutating func restore(from reader: inout StateReader, tick: UInt64?) throws(StateError) {
    if let tick { self.tick = tick } else { self.tick = try reader.read() }
    control = try reader.read(in: 0...0x3F)
    countRegister = try reader.read()
    ce = try reader.read(in: 0...modulus)
    writeLow = try reader.read()
    outputLatch = try reader.read()
    statusLatch = try reader.read()
    gate = try reader.readBool()
    out = try reader.readBool()
    odd = try reader.readBool()
    loadPending = try reader.readBool()
    countWritten = try reader.readBool()
    counting = try reader.readBool()
    armed = try reader.readBool()
    nullCount = try reader.readBool()
    halfWritten = try reader.readBool()
    writeHigh = try reader.readBool()
    readHigh = try reader.readBool()
    countLatched = try reader.readBool()
    latchHigh = try reader.readBool()
    statusLatched = try reader.readBool()
    cycleParity = try reader.readBool()
  }
}
