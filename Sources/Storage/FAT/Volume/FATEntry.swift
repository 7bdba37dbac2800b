// Directory entries.
//
// Owns: what an entry says, reading entries with their long names out of a directory's bytes, the form of new ones. Must not know: where
// directories are.
// After: Microsoft FAT specification 1.03, "FAT Directory Structure".

/// A date and time as FAT has it: local, to two seconds, from 1980 to 2107.
public struct FATTime: Equatable, Sendable, CustomStringConvertible {
  public var date: UInt16
  public var time: UInt16

  public init(date: UInt16, time: UInt16) {
    self.date = date
    self.time = time
  }

  /// - Parameter seconds: local seconds since 1970.
  public init(localSeconds seconds: Int64) {
    // From 1980-01-01 to 2107-12-31.
    let seconds = min(max(seconds, 315_532_800), 4_354_819_198)
    let days = seconds / 86400
    let rest = seconds % 86400
    // Days of the civil calendar, counted in eras of 400 years from March on.
    let z = days + 719_468
    let era = z / 146_097
    let dayOfEra = z % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shifted + 2) / 5 + 1
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    date = UInt16((year - 1980) << 9 | month << 5 | day)
    time = UInt16((rest / 3600) << 11 | (rest / 60 % 60) << 5 | rest % 60 / 2)
  }

  /// Local seconds since 1970; nil: it is no date.
  public var localSeconds: Int64? {
    let (year, month, day) = (Int64(date >> 9) + 1980, Int64(date >> 5 & 15), Int64(date & 31))
    guard (1...12).contains(month), (1...31).contains(day) else { return nil }
    let y = month <= 2 ? year - 1 : year
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let yearOfEra = y % 400
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    let days = y / 400 * 146_097 + dayOfEra - 719_468
    return days * 86400 + Int64(time >> 11) * 3600 + Int64(time >> 5 & 63) * 60
      + Int64(time & 31) * 2
  }

  /// As in "1994-05-31 06:22:00".
  public var description: String {
    func two(_ n: UInt16) -> String { n < 10 ? "0\(n)" : "\(n)" }
    return "\((date >> 9) + 1980)-\(two(date >> 5 & 15))-\(two(date & 31)) "
      + "\(two(time >> 11)):\(two(time >> 5 & 63)):\(two((time & 31) * 2))"
  }
}

/// A file or folder.
public struct FATEntry: Equatable, Sendable {
  /// The long name, or the short one where there is none.
  public var name: String
  public var shortName: String
  public var attributes: UInt8
  public var firstCluster: UInt32
  public var size: UInt32
  public var time: FATTime
  /// The eleven bytes of the short name.
  var short: [UInt8] = []
  /// Where the entries are on the volume, the short one's last.
  var places: [UInt64] = []

  public static let readOnly: UInt8 = 0x01
  public static let hidden: UInt8 = 0x02
  public static let system: UInt8 = 0x04
  public static let volume: UInt8 = 0x08
  public static let folder: UInt8 = 0x10
  public static let archive: UInt8 = 0x20

  public var isFolder: Bool { attributes & FATEntry.folder != 0 }
  /// As in "--rhsa", a letter for each attribute that is set.
  public var attributeText: String {
    let letters: [(UInt8, String)] = [
      (FATEntry.folder, "d"), (FATEntry.readOnly, "r"), (FATEntry.hidden, "h"),
      (FATEntry.system, "s"), (FATEntry.archive, "a"),
    ]
    return letters.map { attributes & $0.0 != 0 ? $0.1 : "-" }.joined()
  }

  /// The root directory, which has no entry.
  static func root(_ layout: FATLayout) -> FATEntry {
    FATEntry(
      name: "", shortName: "", attributes: folder, firstCluster: layout.rootCluster, size: 0,
      time: FATTime(date: 0x21, time: 0))
  }

  /// The 32 bytes of a short entry.
  static func bytes(
    short: [UInt8], flags: UInt8, attributes: UInt8, firstCluster: UInt32, size: UInt32,
    time: FATTime
  ) -> [UInt8] {
    var entry = short + [attributes, flags, 0]
    entry += words([time.time, time.date, time.date, UInt16(firstCluster >> 16)])
    entry += words([time.time, time.date, UInt16(firstCluster & 0xFFFF)])
    entry += words([UInt16(size & 0xFFFF), UInt16(size >> 16)])
    return entry
  }

  private static func words(_ values: [UInt16]) -> [UInt8] {
    values.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
  }
}

/// Reads entries one after the other; long names are put together on the way.
struct FATEntryReader {
  private let kind: FATKind
  private var units: [UInt16] = []
  private var wanted = 0
  private var sum: UInt8 = 0
  private var places: [UInt64] = []
  /// The volume's label, if this directory has one.
  private(set) var label: String?
  /// The directory's end was seen.
  private(set) var isAtEnd = false

  init(_ kind: FATKind) { self.kind = kind }

  private mutating func forget() {
    units = []
    wanted = 0
    places = []
  }

  /// Takes 32 bytes; returns the file or folder that ends with them.
  mutating func take(_ bytes: ArraySlice<UInt8>, at place: UInt64) -> FATEntry? {
    let start = bytes.startIndex
    let first = bytes[start]
    if first == 0 {
      isAtEnd = true
      return nil
    }
    if first == 0xE5 {
      forget()
      return nil
    }
    let attributes = bytes[start + 11]
    if attributes & 0x3F == 0x0F {
      takeLong(bytes, at: place)
      return nil
    }
    defer { forget() }
    let entry = Array(bytes)
    let short = Array(entry[0..<11])
    if attributes & FATEntry.volume != 0 {
      if attributes & FATEntry.folder == 0 {
        var text = short
        while text.last == 0x20 { text.removeLast() }
        label = label ?? String(String.UnicodeScalarView(text.map { FATNames.character($0) }))
      }
      return nil
    }
    let shortName = FATNames.text(short: short, flags: entry[12])
    var name = shortName
    var all = [place]
    if wanted == 0, !units.isEmpty, sum == FATNames.checksum(short) {
      let text = units.prefix { $0 != 0 }.map { $0 == 0x2F ? 0xFFFD : $0 }
      let long = String(decoding: text, as: UTF16.self)
      if !long.isEmpty {
        name = long
        all = places + [place]
      }
    }
    let high = kind == .fat32 ? UInt32(little16(entry, 20)) << 16 : 0
    return FATEntry(
      name: name, shortName: shortName, attributes: attributes,
      firstCluster: high | UInt32(little16(entry, 26)), size: little32(entry, 28),
      time: FATTime(date: little16(entry, 24), time: little16(entry, 22)), short: short,
      places: all)
  }

  private mutating func takeLong(_ bytes: ArraySlice<UInt8>, at place: UInt64) {
    let entry = Array(bytes)
    let number = Int(entry[0] & 0x3F)
    if entry[0] & 0x40 != 0 {
      forget()
      guard (1...20).contains(number) else { return }
      wanted = number
      sum = entry[13]
    }
    guard wanted > 0, number == wanted, entry[13] == sum else { return forget() }
    wanted -= 1
    units = FATNames.unitPlaces.map { little16(entry, $0) } + units
    places.append(place)
  }
}
