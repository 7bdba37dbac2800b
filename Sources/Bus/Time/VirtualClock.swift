// Virtual time and the one event queue.
//
// Owns: the conversion between retired guest instructions and virtual nanoseconds, and the ordered set of pending events.
// Must not know: the host's clock, any device. Time is a pure function of the instruction count, of what slow accesses were charged
// (`pass`), of the (logged) changes of `instructionsPerSecond` and of how many processors shared it when (`setSharers`); with equal inputs
// two runs see equal times.

import State

/// A registered event of the queue; obtained from `VirtualClock.register`.
public struct EventID: Hashable, Sendable {
  let index: Int
}

/// The machine's only clock.
public final class VirtualClock {
  private struct Event {
    let name: String
    let handler: () -> Void
  }

  /// The deadline of an event that is not pending.
  public static let never = UInt64.max

  private var events: [Event] = []
  /// When each is due, in virtual nanoseconds, or `VirtualClock.never`.
  private var deadlines: [UInt64] = []
  @usableFromInline var baseInstructions: UInt64 = 0
  @usableFromInline var baseNanoseconds: UInt64 = 0
  /// What `baseNanoseconds` leaves out, in 2^-32 nanoseconds; only where processors share the time.
  private var baseFraction: UInt64 = 0
  /// How many instructions of one processor make a virtual second.
  public private(set) var instructionsPerSecond: UInt64 { didSet { rateChanged() } }
  /// How many processors execute in the same time: so many instructions count as one.
  public private(set) var sharers: UInt64 = 1 { didSet { rateChanged() } }
  /// Counts in a virtual second: `instructionsPerSecond` of each sharer.
  public var countsPerSecond: UInt64 { rate }
  private var rate: UInt64
  /// Nanoseconds of an instruction where that is a whole number, otherwise 0.
  @usableFromInline var wholeNanoseconds: UInt64

  /// When the event was due that is running.
  private var present = VirtualClock.never
  /// Whether the last events were cut short by `hold`.
  public private(set) var isHeld = false

  /// The earliest deadline of all pending events in virtual nanoseconds, or `never`.
  public private(set) var nextDeadline = VirtualClock.never

  /// Reads the exact retired-instruction count, also in the middle of a block. Set by the machine.
  public var instructionCount: () -> UInt64 = { 0 }

  /// The same by where it stands in memory, which is looked at instead where set: guests that poll ask for the time with every access,
  /// and a call costs as much as the rest.
  public var counter: InstructionCounter?

  /// Retired instructions, exact also in the middle of a block.
  @inlinable @inline(__always)
  public var count: UInt64 {
    if let counter { return counter.count }
    return countByClosure()
  }

  @usableFromInline @inline(never)
  func countByClosure() -> UInt64 { instructionCount() }

  /// Called when `nextDeadline` moved to an earlier time, so that the engine can shorten its present run. Set by the machine.
  public var deadlineMovedEarlier: () -> Void = {}

  /// - Parameter instructionsPerSecond: 1,000 to 100,000,000,000.
  public init(instructionsPerSecond: UInt64) {
    precondition((1_000...100_000_000_000).contains(instructionsPerSecond))
    self.instructionsPerSecond = instructionsPerSecond
    rate = instructionsPerSecond
    wholeNanoseconds = VirtualClock.wholeNanoseconds(instructionsPerSecond)
  }

  private func rateChanged() {
    rate = instructionsPerSecond &* sharers
    wholeNanoseconds = baseFraction == 0 ? VirtualClock.wholeNanoseconds(rate) : 0
  }

  private static func wholeNanoseconds(_ rate: UInt64) -> UInt64 {
    1_000_000_000 % rate == 0 ? 1_000_000_000 / rate : 0
  }

  /// The present virtual time in nanoseconds since power-on.
  @inlinable
  public var now: UInt64 {
    if wholeNanoseconds != 0 {
      return baseNanoseconds &+ (count &- baseInstructions) &* wholeNanoseconds
    }
    return nanoseconds(atInstruction: count)
  }

  /// The virtual time at a count of retired instructions, not before the last change of rate or slow access.
  public func nanoseconds(atInstruction count: UInt64) -> UInt64 {
    let elapsed = count &- baseInstructions
    if wholeNanoseconds != 0 { return baseNanoseconds &+ elapsed &* wholeNanoseconds }
    if baseFraction != 0 { return exactTime(elapsed).nanoseconds }
    if rate <= 10_000_000_000 {
      // The same number without a division of 128 bits; seconds and the rest of one.
      let (seconds, rest) = elapsed.quotientAndRemainder(dividingBy: rate)
      return baseNanoseconds &+ seconds &* 1_000_000_000 &+ rest &* 1_000_000_000 / rate
    }
    let (high, low) = elapsed.multipliedFullWidth(by: 1_000_000_000)
    return baseNanoseconds &+ rate.dividingFullWidth((high, low)).quotient
  }

  /// The time after `elapsed` counts with its fraction, in 2^-32 nanoseconds.
  private func exactTime(_ elapsed: UInt64) -> (nanoseconds: UInt64, fraction: UInt64) {
    let (high, low) = elapsed.multipliedFullWidth(by: 1_000_000_000)
    let (whole, rest) = rate.dividingFullWidth((high, low))
    let (restHigh, restLow) = rest.multipliedFullWidth(by: 1 << 32)
    let fraction = rate.dividingFullWidth((restHigh, restLow)).quotient &+ baseFraction
    return (baseNanoseconds &+ whole &+ fraction >> 32, fraction & 0xFFFF_FFFF)
  }

  /// The first instruction count at which `nanoseconds(atInstruction:)` has reached `time`; `UInt64.max` for `never`.
  public func instruction(atNanoseconds time: UInt64) -> UInt64 {
    if time == VirtualClock.never { return UInt64.max }
    if time <= baseNanoseconds { return baseInstructions }
    let (high, low) = (time - baseNanoseconds).multipliedFullWidth(by: rate)
    if high >= 1_000_000_000 { return UInt64.max }
    let (quotient, remainder) = UInt64(1_000_000_000).dividingFullWidth((high, low))
    let count = baseInstructions &+ quotient &+ (remainder == 0 ? 0 : 1)
    if baseFraction == 0 { return count }
    // With the fraction it is reached earlier by what fits into that, and one for rounding.
    let (earlier, rest) = baseFraction.multipliedFullWidth(by: rate)
    var first =
      count &- min(quotient, (earlier << 32 | rest >> 32) / 1_000_000_000 &+ 1)
    while first < count && nanoseconds(atInstruction: first) < time { first &+= 1 }
    return first
  }

  /// Changes the rate from now on; virtual time stays continuous.
  public func setInstructionsPerSecond(_ rate: UInt64) {
    precondition((1_000...100_000_000_000).contains(rate))
    let count = self.count
    baseNanoseconds = nanoseconds(atInstruction: count)
    baseInstructions = count
    baseFraction = 0
    instructionsPerSecond = rate
    deadlineMovedEarlier()
  }

  /// From now on so many processors execute in the same time; virtual time stays continuous to the fraction of a nanosecond, as this
  /// changes often.
  /// - Parameter count: 1 to 255.
  public func setSharers(_ number: Int) {
    precondition((1...255).contains(number))
    if UInt64(number) == sharers { return }
    let count = self.count
    (baseNanoseconds, baseFraction) = exactTime(count &- baseInstructions)
    baseInstructions = count
    sharers = UInt64(number)
  }

  /// Time passes without instructions: something slow was accessed. Events that are due now fire when the run loop looks next.
  /// - Parameter nanoseconds: virtual nanoseconds.
  @inlinable @inline(__always)
  public func pass(nanoseconds: UInt64) { baseNanoseconds &+= nanoseconds }

  /// How many instructions take a time in virtual nanoseconds, rounded up.
  public func instructions(inNanoseconds time: UInt64) -> UInt64 {
    let (high, low) = time.multipliedFullWidth(by: rate)
    guard high < 1_000_000_000 else { return UInt64.max }
    let (quotient, remainder) = UInt64(1_000_000_000).dividingFullWidth((high, low))
    return quotient &+ (remainder == 0 ? 0 : 1)
  }

  /// How often something of a fixed frequency has ticked since power-on, whoever executed meanwhile.
  /// - Parameter hertz: below 2^32.
  public func ticks(hertz: UInt64) -> UInt64 {
    let (nanoseconds, fraction) = exactTime(count &- baseInstructions)
    let (high, low) = nanoseconds.multipliedFullWidth(by: hertz)
    let (ticks, rest) = UInt64(1_000_000_000).dividingFullWidth((high, low))
    return ticks &+ (rest &+ (fraction &* hertz) >> 32) / 1_000_000_000
  }

  /// Registers an event by a name that is unique in the machine and stable across versions (it appears in saved states).
  /// The order of registration breaks ties between equal deadlines.
  public func register(_ name: String, _ handler: @escaping () -> Void) -> EventID {
    precondition(!events.contains { $0.name == name }, "event '\(name)' registered twice")
    events.append(Event(name: name, handler: handler))
    deadlines.append(VirtualClock.never)
    return EventID(index: events.count - 1)
  }

  /// Makes `event` due at a time in virtual nanoseconds (a past time means: as soon as possible). Replaces an earlier deadline.
  public func schedule(_ event: EventID, at time: UInt64) {
    deadlines[event.index] = time
    recomputeNextDeadline()
  }

  /// Makes `event` due `delay` virtual nanoseconds from now.
  public func schedule(_ event: EventID, after delay: UInt64) {
    let (time, overflow) = now.addingReportingOverflow(delay)
    schedule(event, at: overflow ? VirtualClock.never : time)
  }

  /// Makes `event` not pending.
  public func cancel(_ event: EventID) {
    if deadlines[event.index] == VirtualClock.never { return }
    deadlines[event.index] = VirtualClock.never
    recomputeNextDeadline()
  }

  /// When `event` is due, or nil.
  public func deadline(of event: EventID) -> UInt64? {
    let deadline = deadlines[event.index]
    return deadline == VirtualClock.never ? nil : deadline
  }

  /// Every pending event with its deadline in virtual nanoseconds, earliest first; for debuggers.
  public var pendingEvents: [(name: String, deadline: UInt64)] {
    pending.sorted { ($0.deadline, $0.name) < ($1.deadline, $1.name) }
  }

  /// The same in the order of registration.
  private var pending: [(name: String, deadline: UInt64)] {
    zip(events, deadlines).filter { $0.1 != VirtualClock.never }.map { ($0.0.name, $0.1) }
  }

  /// Runs every event that is due at the present time, in order of deadline, then of registration; ends early where one is held.
  public func runDueEvents() {
    isHeld = false
    while nextDeadline != VirtualClock.never, nextDeadline <= now {
      present = nextDeadline
      let first = deadlines.firstIndex(of: present).unsafelyUnwrapped
      deadlines[first] = VirtualClock.never
      recomputeNextDeadline()
      events[first].handler()
      if isHeld { return }
    }
  }

  /// Something outside is not ready for the event whose handler this is called from: it stays due and first, and until `runDueEvents` is
  /// called again nothing may happen in the machine. Its time stands still meanwhile, so that nobody in it notices.
  public func hold(_ event: EventID) {
    deadlines[event.index] = present
    recomputeNextDeadline()
    isHeld = true
  }

  private func recomputeNextDeadline() {
    var earliest = VirtualClock.never
    for deadline in deadlines where deadline < earliest { earliest = deadline }
    let moved = earliest < nextDeadline
    nextDeadline = earliest
    if moved { deadlineMovedEarlier() }
  }

  /// Whether the clock makes sense at a count of retired instructions: to be asked when both were restored.
  public func isSound(atInstruction count: UInt64) -> Bool {
    // Some thirty years of virtual time and of instructions leave room for every sum.
    guard count >= baseInstructions, count < 1 << 62, baseNanoseconds < 1 << 60 else {
      return false
    }
    let (high, low) = (count - baseInstructions).multipliedFullWidth(by: 1_000_000_000)
    if high >= rate { return false }
    return rate.dividingFullWidth((high, low)).quotient < 1 << 60
  }

  /// Writes what only a clock has that several processors share; before it is `save`.
  public func saveSharing(to writer: inout StateWriter) {
    writer.write(UInt8(sharers))
    writer.write(UInt32(baseFraction))
  }

  /// Reads what `saveSharing` wrote; before it is `restore`.
  public func restoreSharing(from reader: inout StateReader) throws(StateError) {
    let number = try reader.read(in: UInt8(1)...UInt8.max)
    baseFraction = UInt64(try reader.read(UInt32.self))
    sharers = UInt64(number)
  }

  /// Writes the time base and every pending event by name.
  public func save(to writer: inout StateWriter) {
    writer.write(baseInstructions)
    writer.write(baseNanoseconds)
    writer.write(instructionsPerSecond)
    let pending = pending
    writer.write(UInt32(pending.count))
    for event in pending {
      writer.write(event.name)
      writer.write(event.deadline)
    }
  }

  /// Reads what `save` wrote; every named event must have been registered.
  public func restore(from reader: inout StateReader) throws(StateError) {
    baseInstructions = try reader.read()
    baseNanoseconds = try reader.read()
    instructionsPerSecond = try reader.read(in: 1_000...100_000_000_000)
    for i in deadlines.indices { deadlines[i] = VirtualClock.never }
    let count = try reader.read(UInt32.self)
    for _ in 0..<count {
      let name = try reader.readString()
      guard let index = events.firstIndex(where: { $0.name == name }) else {
        throw reader.error("no event is called '\(name)'")
      }
      deadlines[index] = try reader.read()
    }
    nextDeadline = VirtualClock.never
    recomputeNextDeadline()
  }
}
