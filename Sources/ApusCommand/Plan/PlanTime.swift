// How fast the guest's time passes, and what its clock shows at the beginning.
//
// Owns: the meaning of --speed, --cpu-speed, --rtc and the limits of a run. Must not know: how a run keeps to them.

import Machine
import Session

extension Plan {
  mutating func readTime(_ options: ApusOptions) throws {
    speed = headless && !isInteractive ? .max : .factor(1)
    switch options.speed {
    case nil: break
    case "max": speed = .max
    case "realtime": speed = .factor(1)
    case let text?:
      guard let factor = Double(text), factor > 0, factor <= 1000, factor >= 0.001 else {
        throw Failure.usage("--speed \(text): max, realtime or a factor (0.001 to 1000) is wanted")
      }
      speed = .factor(factor)
    }
    adaptsRate = (!headless || isInteractive) && speed == .factor(1)
    switch options.cpuSpeed {
    case nil: break
    case let text? where text == "auto" || text == "max":
      if speed == .max {
        throw Failure.usage(
          "--cpu-speed \(text) follows the host's time, which --speed max leaves behind")
      }
      adaptsRate = true
      limitsRate = text == "auto"
    case let text?:
      guard let millions = Double(text), millions >= 0.01, millions <= 100_000 else {
        throw Failure.usage(
          "--cpu-speed \(text): auto, max or 0.01 to 100000 (million a second) is wanted")
      }
      adaptsRate = false
      configuration.instructionsPerSecond = UInt64(millions * 1e6)
    }
    if let text = options.diskLatency {
      let most = Double(MachineConfiguration.mostDiskLatency)
      guard let nanoseconds = Plan.nanoseconds(text), nanoseconds <= most else {
        throw Failure.usage(
          "--disk-latency \(text): a time up to 1s is wanted, as in 500us, 2.5ms or 0")
      }
      configuration.diskLatency = UInt64(nanoseconds)
    }
    if let text = options.onDiskError {
      guard let policy = DiskErrorPolicy(rawValue: text) else {
        throw Failure.usage(
          "--on-disk-error \(text): stop, report or full (wait for room, report the rest) is wanted"
        )
      }
      configuration.diskErrors = policy
    }
    if let text = options.diskThread {
      switch text {
      case "auto": configuration.diskThreads = .adaptive
      case "on": configuration.diskThreads = .always
      case "off": configuration.diskThreads = .never
      default: throw Failure.usage("--disk-thread \(text): auto, on or off is wanted")
      }
    }
    if let text = options.timeout {
      guard let seconds = Double(text), seconds > 0, seconds <= 1e9 else {
        throw Failure.usage("--timeout \(text): \(Plan.secondsWanted)")
      }
      timeout = seconds
    }
    if let text = options.maxInstructions {
      guard let count = UInt64(text.filter { $0 != "_" }), count > 0 else {
        throw Failure.usage("--max-instructions \(text): a number above 0 is wanted")
      }
      maxInstructions = count
    }
    // Its instructions count twice: the host's speed says nothing.
    if configuration.engine == .lockstep { adaptsRate = false }
    try readClock(options)
  }

  /// A time with its unit (ns, us, ms, s; none: seconds), or nil.
  private static func nanoseconds(_ text: String) -> Double? {
    let units: [(String, Double)] = [("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("", 1e9)]
    guard let (unit, factor) = units.first(where: { text.hasSuffix($0.0) }),
      let number = Double(text.dropLast(unit.count)), number >= 0, number.isFinite
    else { return nil }
    return (number * factor).rounded()
  }

  /// The date at power-on. What is taken of the host is part of the configuration from here on.
  private mutating func readClock(_ options: ApusOptions) throws {
    guard let text = options.rtc else {
      if !headless {
        configuration.initialTime = SessionConfiguration.hostTime
        session.followsHostTime = true
      }
      return
    }
    if loadState != nil {
      throw Failure.usage(
        "--rtc \(text): a state that is loaded has a clock, which goes on from where it was")
    }
    // As QEMU's -rtc writes it.
    let value = text.hasPrefix("base=") ? text.dropFirst(5) : Substring(text)
    do throws(StartTime.Problem) {
      configuration.initialTime = try StartTime(value).seconds()
      // Other than a date that was given, the host's time is meant.
      session.followsHostTime = value.first?.isNumber == false
    } catch {
      throw Failure.usage("--rtc \(text): \(error)")
    }
    explanations.append("the guest's clock begins at \(StartTime.text(configuration.initialTime))")
  }
}
