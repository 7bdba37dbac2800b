// The MC146818 real-time clock and CMOS memory of a PC/AT (Motorola MC146818 data sheet; IBM AT Technical Reference).
//
// Owns: 128 bytes, the calendar, alarm, periodic and update interrupts, the NMI mask. Must not know: the host's date (it is told an initial
// one), what firmware keeps in the bytes. Time is computed when somebody looks; events exist only for enabled interrupts.
//
//   70h  write: bits 6-0 index, bit 7 masks NMI          71h  data
//   00h-09h  seconds, alarm, minutes, alarm, hours, alarm, day of week, day, month, year (BCD or binary, 24 or 12 hours)
//   0Ah  UIP DV2-0 RS3-0     0Bh  SET PIE AIE UIE SQWE DM 24/12 DSE     0Ch  IRQF PF AF UF (cleared by reading)     0Dh  VRT
//   32h  century

import Bus
import State

/// The battery-backed clock and memory.
public final class CMOS: Device, Registers {
  public let stateName = "cmos"

  /// The ports to register.
  /// Offsets: 0 the index, 1 the data.
  public static let ports: ClosedRange<UInt16> = 0x70...0x71

  /// High while NMI is masked (bit 7 of port 70h).
  public let nmiMask = Signal()

  private let clock: VirtualClock
  private let irq: Signal
  private var event: EventID!
  private var bytes = [UInt8](repeating: 0, count: 128)
  private var index: UInt8 = 0
  /// Where the divider chain began to count, in virtual nanoseconds; signed, for it may lie before power-on.
  private var origin: Int64 = 0
  /// The 32,768 Hz pulse of the divider up to which the calendar and the flags are computed.
  private var tick: UInt64 = 0

  private enum Register {
    static let a = 0x0A
    static let b = 0x0B
    static let c = 0x0C
    static let d = 0x0D
    static let century = 0x32
  }
  private static let second: UInt64 = 32768
  /// UIP rises 244 us before an update, which then takes 1,984 us: 8 + 65 pulses.
  private static let uipPulses: UInt64 = 73

  /// - Parameters:
  ///   - irq: IRQ 8 of the interrupt controller (high means requested, although the pin is active low).
  ///   - initialTime: The date at virtual time 0, in seconds since 1970-01-01 00:00 of the zone the guest shall see.
  public init(clock: VirtualClock, irq: Signal, initialTime: Int64) {
    self.clock = clock
    self.irq = irq
    event = clock.register("cmos.rtc") { [unowned self] in update() }
    bytes[Register.a] = 0x26
    bytes[Register.b] = 0x02
    bytes[Register.d] = 0x80
    origin = Int64(clamping: clock.now)
    setDate(initialTime)
  }

  // MARK: For the machine

  /// A byte of the memory as it is stored, without the side effects of the ports. Indices are taken modulo 128.
  public subscript(index: UInt8) -> UInt8 {
    get { bytes[Int(index & 0x7F)] }
    set { bytes[Int(index & 0x7F)] = newValue }
  }

  /// Writes the checksum of 10h-2Dh to 2Eh (high) and 2Fh (low), as PC firmware expects it.
  public func updateChecksum() {
    var sum: UInt16 = 0
    for i in 0x10...0x2D { sum &+= UInt16(bytes[i]) }
    bytes[0x2E] = UInt8(sum >> 8)
    bytes[0x2F] = UInt8(sum & 0xFF)
  }

  /// Sets the calendar to seconds since 1970-01-01 00:00 (dates outside the years 1 to 9999 are clamped).
  public func setDate(_ seconds: Int64) {
    let clamped = min(max(seconds, -62_135_596_800), 253_402_300_799)
    var days = clamped / 86400
    var rest = clamped % 86400
    if rest < 0 {
      rest += 86400
      days -= 1
    }
    // Days to a date by 400-year eras that begin on 1 March.
    let z = days + 719_468
    let era = (z >= 0 ? z : z - 146_096) / 146_097
    let dayOfEra = z - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shifted + 2) / 5 + 1
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    bytes[0] = encode(Int(rest % 60))
    bytes[2] = encode(Int(rest / 60 % 60))
    bytes[4] = encodeHour(Int(rest / 3600))
    // 1970-01-01 was a Thursday; 1 is Sunday.
    bytes[6] = encode(Int(((days + 4) % 7 + 7) % 7) + 1)
    bytes[7] = encode(Int(day))
    bytes[8] = encode(Int(month))
    bytes[9] = encode(Int(year % 100))
    bytes[Register.century] = encode(Int(year / 100))
  }

  /// Time has gone by while the machine stood still: the calendar is where the chip's battery would have brought it.
  public func skip(seconds: UInt64) {
    sync()
    guard running, !isSet, seconds > 0 else { return }
    bytes[Register.c] |= 0x10
    if let alarm = secondsToAlarm, alarm <= seconds { bytes[Register.c] |= 0x20 }
    advance(min(seconds, 1 << 40))
    update()
  }

  // MARK: Formats

  private var binary: Bool { bytes[Register.b] & 0x04 != 0 }
  private var is24Hour: Bool { bytes[Register.b] & 0x02 != 0 }

  private func encode(_ n: Int) -> UInt8 {
    let n = min(max(n, 0), 99)
    return binary ? UInt8(n) : UInt8((n / 10) << 4 | n % 10)
  }

  private func decode(_ byte: UInt8) -> Int {
    binary ? Int(byte) : Int(byte >> 4) * 10 + Int(byte & 15)
  }

  private func encodeHour(_ hour: Int) -> UInt8 {
    if is24Hour { return encode(hour) }
    return encode((hour + 11) % 12 + 1) | (hour >= 12 ? 0x80 : 0)
  }

  private func decodeHour(_ byte: UInt8) -> Int {
    if is24Hour { return min(decode(byte), 23) }
    return decode(byte & 0x7F) % 12 + (byte & 0x80 != 0 ? 12 : 0)
  }

  /// Writes register B without SET. The data sheet wants the ten bytes set anew after a change of DM or 24/12; who only changes the
  /// mode finds the same time in the other format, as in other emulators (MC146818A data sheet, "Time, calendar, and alarm locations").
  private func setMode(_ byte: UInt8) {
    guard (bytes[Register.b] ^ byte) & 0x06 != 0 else {
      bytes[Register.b] = byte
      return
    }
    let places = [0, 2, 6, 7, 8, 9, Register.century]
    let (values, hour) = (places.map { decode(bytes[$0]) }, decodeHour(bytes[4]))
    bytes[Register.b] = byte
    for (place, value) in zip(places, values) { bytes[place] = encode(value) }
    bytes[4] = encodeHour(hour)
  }

  // MARK: Time

  /// Whether the divider chain runs (DV2-0 name a time base and not a reset or a test mode).
  private var running: Bool { bytes[Register.a] & 0x70 <= 0x20 }
  private var isSet: Bool { bytes[Register.b] & 0x80 != 0 }

  /// The divider's pulse at the present time.
  private var presentTick: UInt64 {
    let elapsed = Int64(clamping: clock.now).subtractingReportingOverflow(origin)
    if elapsed.overflow || elapsed.partialValue <= 0 { return 0 }
    let (high, low) = UInt64(elapsed.partialValue).multipliedFullWidth(by: 64)
    return UInt64(1_953_125).dividingFullWidth((high, low)).quotient
  }

  /// The first virtual nanosecond at which a pulse has happened.
  private func time(of tick: UInt64) -> UInt64 {
    let (high, low) = tick.multipliedFullWidth(by: 1_953_125)
    if high >= 64 { return VirtualClock.never }
    let (quotient, remainder) = UInt64(64).dividingFullWidth((high, low))
    guard quotient <= UInt64(Int64.max) - 1 else { return VirtualClock.never }
    let (sum, overflow) = Int64(quotient + (remainder == 0 ? 0 : 1)).addingReportingOverflow(origin)
    return overflow ? VirtualClock.never : UInt64(max(0, sum))
  }

  /// The period of the periodic flag in pulses, or nil.
  private var periodicPulses: UInt64? {
    let rate = UInt64(bytes[Register.a] & 0x0F)
    if rate == 0 { return nil }
    // Rates 1 and 2 repeat 8 and 9.
    return 1 << ((rate < 3 ? rate + 7 : rate) - 1)
  }

  /// Brings calendar and flags up to the present time.
  private func sync() {
    guard running else { return }
    let now = presentTick
    guard now > tick else { return }
    var flags: UInt8 = 0
    if let period = periodicPulses, now / period != tick / period { flags |= 0x40 }
    let seconds = now / CMOS.second - tick / CMOS.second
    tick = now
    if seconds > 0 && !isSet {
      flags |= 0x10
      if let alarm = secondsToAlarm, alarm <= seconds { flags |= 0x20 }
      advance(seconds)
    }
    bytes[Register.c] |= flags
  }

  private func advance(_ seconds: UInt64) {
    var total = UInt64(min(decode(bytes[0]), 59)) + seconds
    bytes[0] = encode(Int(total % 60))
    total /= 60
    if total == 0 { return }
    total += UInt64(min(decode(bytes[2]), 59))
    bytes[2] = encode(Int(total % 60))
    total /= 60
    if total == 0 { return }
    total += UInt64(decodeHour(bytes[4]))
    bytes[4] = encodeHour(Int(total % 24))
    total /= 24
    if total > 0 { advance(days: total) }
  }

  private func advance(days: UInt64) {
    let weekday = UInt64(max(1, min(decode(bytes[6]), 7)) - 1) + days % 7
    bytes[6] = encode(Int(weekday % 7) + 1)
    // Within the chip every fourth year is a leap year, so the calendar repeats after 1,461 days but for the year.
    var left = days % 1461
    var day = min(decode(bytes[7]), 31)
    var month = max(1, min(decode(bytes[8]), 12))
    var year = UInt64(min(decode(bytes[9]), 99)) + days / 1461 * 4
    while left > 0 {
      left -= 1
      day += 1
      let february = year & 3 == 0 ? 29 : 28
      let length = month == 2 ? february : [4, 6, 9, 11].contains(month) ? 30 : 31
      if day > length {
        day = 1
        month += 1
        if month > 12 {
          month = 1
          year += 1
        }
      }
    }
    bytes[7] = encode(day)
    bytes[8] = encode(month)
    bytes[9] = encode(Int(year % 100))
    if year >= 100 {
      let centuries = UInt64(min(decode(bytes[Register.century]), 99)) + year / 100
      bytes[Register.century] = encode(Int(centuries % 100))
    }
  }

  /// In how many seconds the alarm matches next (at least 1), or nil if it never does.
  private var secondsToAlarm: UInt64? {
    func matches(_ alarm: UInt8, _ value: UInt8) -> Bool { alarm >= 0xC0 || alarm == value }
    let start =
      decodeHour(bytes[4]) * 3600 + min(decode(bytes[2]), 59) * 60 + min(decode(bytes[0]), 59)
    var t = start + 1
    while t <= start + 86400 {
      if !matches(bytes[5], encodeHour(t / 3600 % 24)) {
        t = (t / 3600 + 1) * 3600
      } else if !matches(bytes[3], encode(t / 60 % 60)) {
        t = (t / 60 + 1) * 60
      } else if !matches(bytes[1], encode(t % 60)) {
        t += 1
      } else {
        return UInt64(t - start)
      }
    }
    return nil
  }

  /// Brings everything up to date, drives IRQ 8 and makes the next enabled interrupt an event.
  private func update() {
    sync()
    let enabled = bytes[Register.b] & 0x70
    let requested = bytes[Register.c] & enabled != 0
    if requested { bytes[Register.c] |= 0x80 } else { bytes[Register.c] &= 0x7F }
    irq.set(requested)
    // While the request stands nothing further can be seen until register C is read.
    guard !requested, running else {
      clock.cancel(event)
      return
    }
    var next = UInt64.max
    if enabled & 0x40 != 0, let period = periodicPulses { next = (tick / period + 1) * period }
    if !isSet {
      let base = tick / CMOS.second
      if enabled & 0x10 != 0 { next = min(next, (base + 1) * CMOS.second) }
      if enabled & 0x20 != 0, let alarm = secondsToAlarm {
        next = min(next, (base + alarm) * CMOS.second)
      }
    }
    if next == UInt64.max { clock.cancel(event) } else { clock.schedule(event, at: time(of: next)) }
  }

  private var updateInProgress: Bool {
    running && !isSet && tick % CMOS.second >= CMOS.second - CMOS.uipPulses
  }

  // MARK: Ports

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    // The index register cannot be read.
    if offset == 0 { return 0xFF }
    let n = Int(index)
    if n > 0x0D && n != Register.century { return UInt32(bytes[n]) }
    sync()
    switch n {
    case Register.a: return UInt32(bytes[n] & 0x7F | (updateInProgress ? 0x80 : 0))
    case Register.c:
      let value = bytes[n] | (bytes[n] & bytes[Register.b] & 0x70 != 0 ? 0x80 : 0)
      bytes[n] = 0
      update()
      return UInt32(value)
    default: return UInt32(bytes[n])
    }
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    if offset == 0 {
      index = byte & 0x7F
      nmiMask.set(byte & 0x80 != 0)
      return
    }
    let n = Int(index)
    if n > 0x0D && n != Register.century {
      bytes[n] = byte
      return
    }
    sync()
    switch n {
    case Register.a:
      let wasRunning = running
      bytes[n] = byte & 0x7F
      if running && !wasRunning {
        // The first update comes half a second after the divider is released.
        origin = Int64(clamping: clock.now).subtractingReportingOverflow(500_000_000).partialValue
        tick = presentTick
      }
    case Register.b:
      // SET ends an update and disables its interrupt.
      if byte & 0x80 != 0 {
        bytes[n] = byte & ~0x10
      } else {
        setMode(byte)
      }
    case Register.c, Register.d: return
    default: bytes[n] = byte
    }
    update()
  }

  public func reset(_ kind: ResetKind) {
    // RESET# touches neither the calendar nor the memory.
    sync()
    bytes[Register.b] &= ~0x78
    bytes[Register.c] = 0
    index = 0
    nmiMask.set(false)
    update()
  }

  // MARK: State

  public func save(to writer: inout StateWriter) {
    writer.write(bytes: bytes)
    writer.write(index)
    writer.write(origin)
    writer.write(tick)
    writer.write(irq.level)
    writer.write(nmiMask.level)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    bytes = try reader.readBytes(count: 128)
    index = try reader.read(in: 0...127)
    origin = try reader.read(in: -(1 << 40)...(1 << 62))
    // Some centuries of pulses leave room for every sum above.
    tick = try reader.read(in: 0...(1 << 50))
    irq.restore(level: try reader.readBool())
    nmiMask.restore(level: try reader.readBool())
  }
}

extension CMOS {
  public static let part = PartType("cmos", "MC146818 clock with 128 bytes of memory") { board, _ in
    let cmos = CMOS(
      clock: board.clock, irq: try board.interrupt(8, for: "cmos"),
      initialTime: board.offered(PowerOnTime.self)?.seconds ?? 0)
    try board.claim(cmos, at: ports, owner: cmos.stateName)
    try board.add(cmos)
  }
}

/// What the clock shows at power-on, in seconds since 1970-01-01 00:00; offered to boards.
public struct PowerOnTime: Sendable {
  public var seconds: Int64
  public init(seconds: Int64) { self.seconds = seconds }
}

extension CMOS {
  public func inspect() -> [Field] {
    [
      .register("index", index), .register("a", bytes[Register.a]),
      .register("b", bytes[Register.b]), .register("c", bytes[Register.c]),
      .register("d", bytes[Register.d]), .flag("nmi masked", nmiMask.level),
      .flag("irq", irq.level), .bytes("bytes", Array(bytes)),
    ]
  }
}
