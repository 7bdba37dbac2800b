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

  /// What is wrong with a text that is to be a date, in one line.
  public struct Problem: Error, Equatable, CustomStringConvertible {
    public var description: String
  }

  /// - Parameter text: "host" or "localtime", "utc", or a date of the years 1980 to 2099, which are what systems
  ///   make of a PC's clock: "1995-08-24", "1995-08-24T12:30", "1995-08-24T12:30:00"; a space may stand for the T.
  /// - Throws: what is wrong with it.
  public init(_ text: some StringProtocol) throws(Problem) {
    switch String(text) {
    case "host", "localtime": self = .localTime
    case "utc": self = .utc
    case let date: self = .fixed(try StartTime.seconds(Array(date.utf8)))
    }
  }

  /// The years of a PC's clock: DOS counts from 1980, and with two digits of a year and two of a century in BCD nobody agrees on what is
  /// behind 2099.
  public static let years: ClosedRange<Int64> = 1980...2099

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

  private static func seconds(_ text: [UInt8]) throws(Problem) -> Int64 {
    // 0123456789012345678
    // YYYY-MM-DDTHH:MM:SS
    let marks: [Int: String] = [4: "-", 7: "-", 10: "Tt ", 13: ":", 16: ":"]
    let isDigit = { (byte: UInt8) in (0x30...0x39).contains(byte) }
    let isDate = text.enumerated().allSatisfy { at, byte in
      marks[at].map { $0.utf8.contains(byte) } ?? isDigit(byte)
    }
    guard [10, 16, 19].contains(text.count), isDate else {
      throw Problem(
        description:
          "host, localtime, utc or a date is wanted, as in 1995-08-24 or 1995-08-24T12:30:00")
    }
    func number(_ range: Range<Int>) -> Int64 {
      text[range].reduce(0) { $0 * 10 + Int64($1 - 0x30) }
    }
    let (year, month, day) = (number(0..<4), number(5..<7), number(8..<10))
    guard years.contains(year) else {
      throw Problem(
        description:
          "the year \(year): a PC's clock goes from \(years.lowerBound) to \(years.upperBound)")
    }
    guard (1...12).contains(month) else { throw Problem(description: "there is no month \(month)") }
    guard day >= 1, day <= length(month, year) else {
      throw Problem(
        description:
          "there is no day \(day) in month \(month) of \(year), which has \(length(month, year))")
    }
    var clock: [Int64] = [0, 0, 0]
    for (part, what) in ["hour", "minute", "second"].enumerated() where 11 + 3 * part < text.count {
      let value = number(11 + 3 * part..<13 + 3 * part)
      let last: Int64 = part == 0 ? 23 : 59
      guard value <= last else {
        throw Problem(description: "there is no \(what) \(value) (0 to \(last))")
      }
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
