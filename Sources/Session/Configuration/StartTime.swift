// What the guest's clock shows when a session begins.
//
// Owns: the choices, dates as text (ISO 8601, without time zones: a PC's clock has none), taking the host's time once. Must not know:
// clocks of guests.

import Host

/// A date and time for `MachineConfiguration.initialTime`.
public enum StartTime: Equatable, Sendable {
  /// The host's local time, with its time zone and summer time: what a PC's clock shows on most systems.
  case localTime
  /// The host's time as UTC, as many Unix systems keep it.
  case utc
  /// Seconds since 1970-01-01 00:00 of whatever zone the guest shall be in.
  case fixed(Int64)

  /// - Parameter text: "host" or "localtime", "utc", or a date of the years 1 to 9999: "1995-08-24", "1995-08-24T12:30",
  ///   "1995-08-24T12:30:00"; a space may stand for the T.
  /// - Returns: nil when it is none of these.
  public init?(_ text: some StringProtocol) {
    switch String(text) {
    case "host", "localtime": self = .localTime
    case "utc": self = .utc
    case let date:
      guard let seconds = StartTime.seconds(Array(date.utf8)) else { return nil }
      self = .fixed(seconds)
    }
  }

  /// Seconds since 1970-01-01 00:00 of the guest's zone. Of the host's clock it is the present time: who wants a run to be repeated keeps
  /// the value.
  public func seconds() -> Int64 {
    switch self {
    case .localTime: HostClock.localSeconds()
    case .utc: HostClock.utcSeconds()
    case .fixed(let seconds): seconds
    }
  }

  // MARK: Dates

  private static func seconds(_ text: [UInt8]) -> Int64? {
    // 0123456789012345678
    // YYYY-MM-DDTHH:MM:SS
    guard [10, 16, 19].contains(text.count) else { return nil }
    func number(_ range: Range<Int>) -> Int64? {
      var value: Int64 = 0
      for byte in text[range] {
        guard (0x30...0x39).contains(byte) else { return nil }
        value = value * 10 + Int64(byte - 0x30)
      }
      return value
    }
    func isMark(_ index: Int, _ marks: String) -> Bool { marks.utf8.contains(text[index]) }
    guard isMark(4, "-"), isMark(7, "-"), let year = number(0..<4), let month = number(5..<7),
      let day = number(8..<10), year >= 1, (1...12).contains(month), day >= 1,
      day <= length(month, year)
    else { return nil }
    var clock: [Int64] = [0, 0, 0]
    for (part, at) in [11, 14, 17].enumerated() where at < text.count {
      guard isMark(at - 1, part == 0 ? "Tt " : ":"), let value = number(at..<at + 2),
        value < (part == 0 ? 24 : 60)
      else { return nil }
      clock[part] = value
    }
    return days(year, month, day) * 86400 + clock[0] * 3600 + clock[1] * 60 + clock[2]
  }

  private static func isLeap(_ year: Int64) -> Bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
  }

  private static func length(_ month: Int64, _ year: Int64) -> Int64 {
    month == 2 ? (isLeap(year) ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
  }

  /// Days from 1970-01-01 to a date of the Gregorian calendar, of the years 1 to 9999.
  private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let before = year - 1
    var days = before * 365 + before / 4 - before / 100 + before / 400 - 719_162
    for earlier in 1..<month { days += length(earlier, year) }
    return days + day - 1
  }

  /// "1995-08-24 12:30:00"; what is beyond the years 1 to 9999 is clamped, as the clock does.
  public static func text(_ seconds: Int64) -> String {
    let clamped = min(max(seconds, -62_135_596_800), 253_402_300_799)
    // From 0001-01-01 on nothing is negative.
    let elapsed = clamped + 62_135_596_800
    let (day, rest) = elapsed.quotientAndRemainder(dividingBy: 86400)
    var year = day / 366 + 1
    while days(year + 1, 1, 1) + 719_162 <= day { year += 1 }
    var left = day - (days(year, 1, 1) + 719_162)
    var month: Int64 = 1
    while left >= length(month, year) {
      left -= length(month, year)
      month += 1
    }
    func digits(_ value: Int64, _ count: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, count - text.count)) + text
    }
    return digits(year, 4) + "-" + digits(month, 2) + "-" + digits(left + 1, 2) + " "
      + digits(rest / 3600, 2) + ":" + digits(rest / 60 % 60, 2) + ":" + digits(rest % 60, 2)
  }
}
