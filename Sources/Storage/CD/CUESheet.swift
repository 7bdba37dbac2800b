// A CUE sheet as it is written.
//
// Owns: its grammar, and what contradicts itself in it. Must not know: the files it names, addresses on the disc.
// After: the CDRWIN user's guide, "CUE-SHEET COMMANDS"; REM SESSION as CD dumping programs write it.

/// A CUE sheet.
struct CUESheet {
  enum FileKind: Equatable {
    case binary, motorola, wave
  }

  struct File: Equatable {
    var name: String
    var kind: FileKind
    var line: Int
  }

  struct Index: Equatable {
    var number: Int
    /// Which of `files`.
    var file: Int
    /// Sectors from the file's start.
    var frames: Int
    var line: Int
  }

  struct Track: Equatable {
    var number: Int
    var kind: CDTrackKind
    var form: CDExtent.Form
    var mode: String
    var session: Int
    var line: Int
    var flags: UInt8 = 0
    var isrc: String?
    /// Sectors of pauses that are in no file.
    var pregap = 0
    var postgap = 0
    var indices: [Index] = []
  }

  private(set) var files: [File] = []
  private(set) var tracks: [Track] = []
  private(set) var catalogue: String?
  private var session = 1

  /// A sheet is never longer than this.
  static let largest: UInt64 = 256 << 10

  /// Whether a text is a CUE sheet: its first words are such, and it has a file and a track.
  static func isLikely(_ bytes: [UInt8]) -> Bool {
    guard !bytes.contains(0) else { return false }
    let text = String(decoding: bytes, as: UTF8.self).drop { $0 == "\u{FEFF}" || $0.isWhitespace }
    let first = text.prefix { !$0.isWhitespace }.uppercased()
    let openers: Set<String> = [
      "REM", "CATALOG", "FILE", "TITLE", "PERFORMER", "SONGWRITER", "CDTEXTFILE",
    ]
    guard openers.contains(first) else { return false }
    let words = text.uppercased()
    return words.contains("FILE ") && words.contains("TRACK ")
  }

  /// Reads a sheet.
  /// - Parameter name: the sheet's, for messages.
  init(_ bytes: [UInt8], name: String) throws(StorageError) {
    let text = String(decoding: bytes, as: UTF8.self)
    var number = 0
    for raw in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
      number += 1
      if let reason = read(raw.drop { $0 == "\u{FEFF}" }, number) {
        throw StorageError(path: name, reason: "line \(number): \(reason)")
      }
    }
    if tracks.isEmpty { throw StorageError(path: name, reason: "is a CUE sheet without a track") }
    for track in tracks {
      if let reason = CUESheet.check(track) {
        throw StorageError(path: name, reason: "line \(track.line): \(reason)")
      }
    }
  }

  private static func check(_ track: Track) -> String? {
    guard let first = track.indices.first else { return "track \(track.number) has no INDEX" }
    var expected = first.number
    if expected > 1 { return "track \(track.number) begins with INDEX \(expected)" }
    for index in track.indices {
      if index.number != expected {
        return "INDEX \(index.number) of track \(track.number) stands where \(expected) is due"
      }
      expected += 1
    }
    return expected < 2 ? "track \(track.number) has no INDEX 01" : nil
  }

  /// Reads a line; returns what is wrong with it.
  private mutating func read(_ line: Substring, _ number: Int) -> String? {
    let words = CUESheet.words(line)
    guard let command = words.first?.uppercased() else { return nil }
    switch command {
    case "REM": return remark(words)
    case "TITLE", "PERFORMER", "SONGWRITER", "CDTEXTFILE": return nil
    case "CATALOG":
      guard words.count == 2, words[1].utf8.count == 13,
        words[1].utf8.allSatisfy({ (0x30...0x39).contains($0) })
      else { return "CATALOG takes 13 digits" }
      catalogue = words[1]
    case "FILE": return file(words, number)
    case "TRACK": return track(words, number)
    default:
      guard !tracks.isEmpty else { return "\(command) stands before the first TRACK" }
      return trackLine(command, words, number)
    }
    return nil
  }

  private mutating func remark(_ words: [String]) -> String? {
    guard words.count >= 3, words[1].uppercased() == "SESSION" else { return nil }
    guard let value = CUESheet.number(words[2], 1...99) else {
      return "'\(CUESheet.printable(words[2]))' is no session's number"
    }
    let present = tracks.last?.session ?? 0
    if value < present || value > present + 1 { return "session \(value) follows \(present)" }
    session = value
    return nil
  }

  private mutating func file(_ words: [String], _ line: Int) -> String? {
    guard words.count >= 3 else {
      return "FILE takes a name and a kind, as in FILE \"x.bin\" BINARY"
    }
    let kind: FileKind
    switch words[words.count - 1].uppercased() {
    case "BINARY": kind = .binary
    case "MOTOROLA": kind = .motorola
    case "WAVE": kind = .wave
    default:
      return
        "files of kind '\(CUESheet.printable(words[words.count - 1]))' cannot be read (BINARY, MOTOROLA and WAVE can)"
    }
    // A name with spaces and without quotes.
    let name = words[1..<words.count - 1].joined(separator: " ")
    if name.isEmpty { return "the file has no name" }
    files.append(File(name: name, kind: kind, line: line))
    return files.count > 200 ? "more files than a disc can have tracks" : nil
  }

  private mutating func track(_ words: [String], _ line: Int) -> String? {
    guard words.count == 3, let number = CUESheet.number(words[1], 1...99) else {
      return "TRACK takes a number from 1 to 99 and a mode"
    }
    if files.isEmpty { return "TRACK stands before the first FILE" }
    if let last = tracks.last, number != last.number + 1 {
      return "track \(number) follows track \(last.number)"
    }
    if session > (tracks.last?.session ?? 0) + 1 { return "a session has no track" }
    let mode = words[2].uppercased()
    guard let (kind, form) = CUESheet.modes[mode] else {
      return "tracks of mode '\(CUESheet.printable(words[2]))' cannot be read"
    }
    tracks.append(
      Track(number: number, kind: kind, form: form, mode: mode, session: session, line: line))
    return nil
  }

  private static let modes: [String: (CDTrackKind, CDExtent.Form)] = [
    "AUDIO": (.audio, .raw), "MODE1/2048": (.mode1, .user), "MODE1/2352": (.mode1, .raw),
    "MODE2/2048": (.mode2, .user), "MODE2/2336": (.mode2, .mode2), "MODE2/2352": (.mode2, .raw),
    "CDI/2336": (.mode2, .mode2), "CDI/2352": (.mode2, .raw),
  ]

  private mutating func trackLine(_ command: String, _ words: [String], _ line: Int) -> String? {
    let at = tracks.count - 1
    switch command {
    case "INDEX":
      guard words.count == 3, let number = CUESheet.number(words[1], 0...99),
        let frames = CUESheet.time(words[2])
      else { return "INDEX takes a number from 0 to 99 and a time MM:SS:FF" }
      let index = Index(number: number, file: files.count - 1, frames: frames, line: line)
      let before = tracks[at].indices.last ?? (at > 0 ? tracks[at - 1].indices.last : nil)
      if let before, before.file == index.file, before.frames > frames {
        return "INDEX \(words[1]) at \(words[2]) lies before the one above it"
      }
      if tracks[at].indices.count > 100 { return "more than 100 indices" }
      tracks[at].indices.append(index)
    case "PREGAP", "POSTGAP":
      guard words.count == 2, let frames = CUESheet.time(words[1]) else {
        return "\(command) takes a time MM:SS:FF"
      }
      if command == "PREGAP" {
        if !tracks[at].indices.isEmpty { return "PREGAP stands behind an INDEX" }
        tracks[at].pregap = frames
      } else {
        tracks[at].postgap = frames
      }
    case "FLAGS":
      for word in words.dropFirst() {
        switch word.uppercased() {
        case "DCP": tracks[at].flags |= 2
        case "4CH": tracks[at].flags |= 8
        case "PRE": tracks[at].flags |= 1
        case "SCMS", "DATA": break
        default: return "'\(CUESheet.printable(word))' is no flag"
        }
      }
    case "ISRC":
      // Written with hyphens between its parts, too.
      let code = words.count == 2 ? words[1].uppercased().filter { $0 != "-" } : ""
      guard code.utf8.count == 12,
        code.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) })
      else { return "ISRC takes 12 letters and digits" }
      tracks[at].isrc = code
    default: return "'\(CUESheet.printable(command))' is no command of a CUE sheet"
    }
    return nil
  }

  // MARK: Words

  private static func words(_ line: Substring) -> [String] {
    var words: [String] = []
    var rest = line[...]
    while true {
      rest = rest.drop { $0.isWhitespace }
      guard let first = rest.first else { return words }
      if first == "\"" {
        rest = rest.dropFirst()
        words.append(String(rest.prefix { $0 != "\"" }))
        rest = rest.drop { $0 != "\"" }.dropFirst()
      } else {
        words.append(String(rest.prefix { !$0.isWhitespace }))
        rest = rest.drop { !$0.isWhitespace }
      }
    }
  }

  private static func number(_ text: String, _ range: ClosedRange<Int>) -> Int? {
    guard (1...2).contains(text.utf8.count), let value = Int(text), range.contains(value),
      text.utf8.allSatisfy({ (0x30...0x39).contains($0) })
    else { return nil }
    return value
  }

  /// Minutes, seconds and frames; minutes may have three digits.
  private static func time(_ text: String) -> Int? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 3 else { return nil }
    var values: [Int] = []
    for part in parts {
      guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
        let value = Int(part)
      else { return nil }
      values.append(value)
    }
    guard values[1] < 60, values[2] < 75 else { return nil }
    return (values[0] * 60 + values[1]) * 75 + values[2]
  }

  static func printable(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.prefix(40).map {
          $0.value < 0x20 || $0.value == 0x7F ? Unicode.Scalar(0x3F)! : $0
        }))
  }
}
