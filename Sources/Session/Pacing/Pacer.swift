// Keeping the guest's time beside the host's.
//
// Owns: how long to sleep, and how fast the host can run the guest. Must not know: devices. Nothing here reaches the guest except a
// change of rate, which goes through the input queue like a key.

import Host

/// How fast virtual time may pass.
public enum Speed: Equatable, Sendable {
  /// As fast as the host can.
  case max
  /// This many virtual seconds in a second; 1 is real time.
  case factor(Double)
}

/// Holds the run loop back.
public struct Pacer {
  /// The wanted speed.
  public var speed = Speed.max
  /// Whether the number of instructions per virtual second follows what the host can do.
  public var adaptsRate = false
  /// The rate never follows the host above this many instructions per virtual second.
  public var mostInstructionsPerSecond = UInt64.max

  /// The host's time, in nanoseconds.
  public var hostTime: () -> UInt64 = { HostClock.nanoseconds() }
  /// The processor time of the thread that runs the machine, in nanoseconds.
  public var processorTime: () -> UInt64 = { HostClock.threadNanoseconds() }

  private var baseVirtual: UInt64 = 0
  private var baseHost: UInt64 = 0
  private var isStarted = false
  /// How much of what the guest is behind the host was wished.
  private var wishedLag: UInt64 = 0

  private var busyInstructions: UInt64 = 0
  private var busyNanoseconds: UInt64 = 0
  private var changes = 0

  /// More than this behind the host is forgotten: a guest that was too slow does not race to catch up.
  private static let forgivenLag: UInt64 = 100_000_000

  public init() {}

  /// Virtual time has jumped: from here on it passes anew.
  mutating func restart() { isStarted = false }

  /// The guest was let sleep so much longer than `delay` said, in host nanoseconds: it makes up for that.
  mutating func overslept(_ nanoseconds: UInt64) { wishedLag = nanoseconds }

  /// How long to sleep, in host nanoseconds, before the guest may be at a virtual time.
  mutating func delay(virtual: UInt64) -> UInt64 {
    guard case .factor(let factor) = speed, factor > 0 else { return 0 }
    let host = hostTime()
    if !isStarted {
      isStarted = true
      wishedLag = 0
      baseVirtual = virtual
      baseHost = host
      return 0
    }
    let due = Double(virtual &- baseVirtual) / factor
    let elapsed = Double(host &- baseHost)
    if elapsed > due + Double(Pacer.forgivenLag &+ wishedLag) {
      baseVirtual = virtual
      baseHost = host
      wishedLag = 0
      return 0
    }
    if elapsed > due { return 0 }
    wishedLag = 0
    return UInt64(min(due - elapsed, 1e18))
  }

  /// The guest ran this much in this time of the host's processor. Time in which other programs ran does not count: a busy host makes
  /// the guest late, not slow, and it has its whole speed again when the host is free.
  /// - Returns: a new rate, when the present one is far from what the host can do.
  mutating func ran(instructions: UInt64, nanoseconds: UInt64, rate: UInt64) -> UInt64? {
    guard adaptsRate else { return nil }
    // A state that was loaded can have brought it along.
    if rate > mostInstructionsPerSecond { return mostInstructionsPerSecond }
    busyInstructions &+= instructions
    busyNanoseconds &+= nanoseconds
    // The first measure comes early, so that a window does not start slowly.
    guard busyNanoseconds > (changes == 0 ? 20_000_000 : 150_000_000) else { return nil }
    let able = Double(busyInstructions) * 1e9 / Double(busyNanoseconds)
    busyInstructions = 0
    busyNanoseconds = 0
    changes += 1
    // A little below what is possible, and in round numbers, so that the rate rests.
    let possible = max(5e6, (able * 0.85 / 5e6).rounded(.down) * 5e6)
    let wanted = min(possible, Double(mostInstructionsPerSecond))
    let ratio = wanted / Double(rate)
    return ratio > 1.15 || ratio < 0.95 ? UInt64(min(wanted, 1e11)) : nil
  }
}
