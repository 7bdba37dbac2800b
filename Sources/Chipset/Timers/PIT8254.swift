// The 8254 interval timer of a PC/AT and port 61h (Intel 8254 data sheet, 231164-005; IBM AT Technical Reference).
//
// Owns: three counters clocked at 1,193,182 Hz of virtual time, IRQ 0, the speaker's gate and data bits. Each counter is computed when
// somebody looks at it; only the edges of counter 0 are events. Must not know: sound hardware, the interrupt controller.
//
//   40h-42h  read and write counters 0-2
//   43h      write: control word (SC RW M BCD), counter latch (RW = 0), read-back (SC = 3)
//   61h      0 gate of counter 2, 1 speaker data, 2-3 NMI disables (stored), 4 refresh toggle, 5 OUT of counter 2

import Bus
import State

/// The interval timer.
public final class PIT8254: Device, Registers {
  public let stateName = "pit"
  /// 2: each counter with the time that it was computed for.
  public let stateVersion: UInt16 = 2

  /// The frequency of CLK in hertz.
  public static let frequency: UInt64 = 1_193_182

  /// The speaker at counter 2.
  public let speaker: PCSpeaker

  /// A counter as a debugger sees it: control word, count now, reload value, GATE and OUT.
  public struct CounterView: Sendable {
    public var control: UInt8
    public var mode: UInt8
    public var count: UInt16
    public var reload: UInt16
    public var gate: Bool
    public var out: Bool
  }

  /// The counters as they are at the present time; nothing changes.
  public var counterViews: [CounterView] {
    let tick = PIT8254.tick(at: clock.now)
    return (0..<PIT8254.count).map { n in
      var now = counters[n]
      now.count(to: tick)
      return now.view
    }
  }

  private let clock: VirtualClock
  private let irq: Signal
  private var edge: EventID!
  private static let count = 3
  /// Behind a pointer, as programs that wait look at them with every other instruction.
  private let counters: UnsafeMutablePointer<PITCounter>
  private var speakerData = false

  /// - Parameter irq: OUT of counter 0 (IRQ 0 of the interrupt controller).
  public init(clock: VirtualClock, irq: Signal) {
    self.clock = clock
    self.irq = irq
    speaker = PCSpeaker()
    counters = .allocate(capacity: PIT8254.count)
    counters.initialize(repeating: PITCounter(), count: PIT8254.count)
    edge = clock.register("pit.out0") { [unowned self] in settle() }
    start()
    irq.restore(level: counters[0].out)
  }

  deinit { counters.deallocate() }

  /// How many CLK pulses there were before a virtual time.
  static func tick(at nanoseconds: UInt64) -> UInt64 {
    let (seconds, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    return seconds &* frequency &+ rest &* frequency / 1_000_000_000
  }

  /// The first virtual nanosecond at which the tick has happened, or `VirtualClock.never`.
  static func time(of tick: UInt64) -> UInt64 {
    let (high, low) = tick.multipliedFullWidth(by: 1_000_000_000)
    if high >= frequency { return VirtualClock.never }
    let (quotient, remainder) = frequency.dividingFullWidth((high, low))
    return quotient &+ (remainder == 0 ? 0 : 1)
  }

  private func start() {
    counters.update(
      repeating: PITCounter(tick: PIT8254.tick(at: clock.now)), count: PIT8254.count)
    // The refresh counter as every firmware leaves it; port 61h shows it toggling also when a kernel was loaded without firmware.
    counters[1].writeControl(0x14)
    counters[1].write(18)
    counters[2].setGate(false)
    speakerData = false
  }

  public func reset(_ kind: ResetKind) {
    start()
    settle()
    describeSpeaker()
  }

  // MARK: Time

  /// Counter `n` at the present time.
  @inline(__always)
  private func synced(_ n: Int) -> UnsafeMutablePointer<PITCounter> {
    if n == 0 { syncInterrupt() } else { counters[n].count(to: PIT8254.tick(at: clock.now)) }
    return counters + n
  }

  /// Counts counter 0 up to the present time. Every edge of it reaches IRQ 0, even when several fall into one instruction.
  private func syncInterrupt() {
    let now = PIT8254.tick(at: clock.now)
    // A tampered state may lie far in the past: after some edges the rest is taken in one step.
    for _ in 0..<64 {
      guard let next = counters[0].pulsesToChange, counters[0].tick &+ next <= now else { break }
      counters[0].count(to: counters[0].tick &+ next)
      irq.set(counters[0].out)
    }
    counters[0].count(to: now)
    irq.set(counters[0].out)
  }

  /// Brings counter 0 up to date and makes the next edge of counter 0 that matters an event.
  private func settle() {
    syncInterrupt()
    guard var next = counters[0].pulsesToChange else {
      clock.cancel(edge)
      return
    }
    // The one-pulse gap of mode 2 is made up for at its end; only its rising edge is worth an event.
    if counters[0].mode == 2 && counters[0].out {
      var after = counters[0]
      after.count(to: after.tick &+ next)
      next += after.pulsesToChange ?? 1
    }
    let (at, overflow) = counters[0].tick.addingReportingOverflow(next)
    clock.schedule(edge, at: overflow ? VirtualClock.never : PIT8254.time(of: at))
  }

  // MARK: Ports

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    let n = Int(offset & 3)
    return n == 3 ? 0xFF : UInt32(synced(n).pointee.read())
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    let n = Int(offset & 3)
    if n == 3 {
      writeControl(byte)
    } else {
      synced(n).pointee.write(byte)
      changed(n)
    }
  }

  /// Counter `n` was written.
  private func changed(_ n: Int) {
    if n == 0 { settle() }
    if n == 2 { describeSpeaker() }
  }

  private func writeControl(_ byte: UInt8) {
    let n = Int(byte >> 6)
    if n == 3 {
      for i in 0..<3 where byte & (2 << UInt8(i)) != 0 {
        let counter = synced(i)
        if byte & 0x20 == 0 { counter.pointee.latchCount() }
        if byte & 0x10 == 0 { counter.pointee.latchStatus() }
      }
    } else if byte & 0x30 == 0 {
      synced(n).pointee.latchCount()
    } else {
      synced(n).pointee.writeControl(byte)
      changed(n)
    }
  }

  // MARK: Port 61h

  /// OUT of counter 2 and the refresh toggle, at the present time.
  func systemPortBits() -> (out2: Bool, refresh: Bool) {
    let tick = PIT8254.tick(at: clock.now)
    counters[1].count(to: tick)
    counters[2].count(to: tick)
    return (counters[2].out, counters[1].cycleParity)
  }

  /// Bits 0 and 1 of port 61h.
  func setSpeaker(gate: Bool, data: Bool) {
    if gate == counters[2].gate && data == speakerData { return }
    synced(2).pointee.setGate(gate)
    speakerData = data
    describeSpeaker()
  }

  private func describeSpeaker() {
    guard speaker.isRecording else { return }
    // A copy, so that describing never counts: after a restore the counters may be behind.
    let now = clock.now
    var counter = counters[2]
    counter.count(to: PIT8254.tick(at: now))
    let wave = counter.waveform
    guard speakerData else {
      speaker.replace(from: now, with: [PCSpeaker.Change(time: now, shape: .level(false))])
      return
    }
    var changes = [PCSpeaker.Change(time: now, shape: .level(wave.level))]
    if let first = wave.firstChange {
      let time = PIT8254.time(of: counter.tick &+ first)
      if wave.low > 0 {
        changes.append(
          PCSpeaker.Change(
            time: time,
            shape: .square(
              startsHigh: !wave.level, highPulses: UInt32(wave.high), lowPulses: UInt32(wave.low))))
      } else {
        changes.append(PCSpeaker.Change(time: time, shape: .level(!wave.level)))
      }
    }
    speaker.replace(from: now, with: changes)
  }

  /// Starts or stops the recording of what the speaker does. The guest cannot see it.
  public func recordSpeaker(_ on: Bool) {
    speaker.isRecording = on
    if on { describeSpeaker() }
  }

  // MARK: State

  public func save(to writer: inout StateWriter) {
    // Saved as last computed: counting up to now would show edges to the interrupt controller before their events.
    for n in 0..<PIT8254.count { counters[n].save(to: &writer) }
    writer.write(speakerData)
    writer.write(irq.level)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    // Once they all counted at the same time.
    var tick: UInt64?
    if version < 2 { tick = try reader.read() }
    for n in 0..<PIT8254.count { try counters[n].restore(from: &reader, tick: tick) }
    speakerData = try reader.readBool()
    irq.restore(level: try reader.readBool())
    describeSpeaker()
  }
}

/// Port 61h of a PC/AT.
public final class SystemPortB: Device, Registers {
  public let stateName = "port61"
  private let pit: PIT8254
  private var bits: UInt8 = 0

  public init(pit: PIT8254) { self.pit = pit }

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    let (out2, refresh) = pit.systemPortBits()
    return UInt32(bits | (refresh ? 0x10 : 0) | (out2 ? 0x20 : 0))
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    bits = UInt8(truncatingIfNeeded: value) & 0x0F
    pit.setSpeaker(gate: bits & 1 != 0, data: bits & 2 != 0)
  }

  public func reset(_ kind: ResetKind) {
    bits = 0
    pit.setSpeaker(gate: false, data: false)
  }

  public func save(to writer: inout StateWriter) { writer.write(bits) }
  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    bits = try reader.read(in: 0...15)
  }
}

extension PIT8254 {
  /// Offsets: the counters, and the control word.
  public static let part = PartType("pit", "8254 timer") { board, _ in
    let pit = PIT8254(clock: board.clock, irq: try board.interrupt(0, for: "pit"))
    try board.claim(pit, at: 0x40...0x43, owner: pit.stateName)
    try board.add(pit)
  }

  public func inspect() -> [Field] {
    counterViews.enumerated().map { n, counter in
      .group(
        "counter \(n)",
        [
          .register("control", counter.control), .count("mode", counter.mode),
          .register("count", counter.count), .register("reload", counter.reload),
          .flag("gate", counter.gate), .flag("out", counter.out),
        ])
    }
  }
}

extension SystemPortB {
  public static let part = PartType("port61", "system control port B: speaker, NMI masks, timer") {
    board, _ in
    let port = SystemPortB(pit: try board.need(PIT8254.self, for: "port61"))
    try board.claim(port, at: 0x61...0x61, owner: port.stateName)
    try board.add(port)
  }

  public func inspect() -> [Field] { [.register("stored", bits)] }
}
