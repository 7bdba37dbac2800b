// What a disc consists of: sessions, tracks, and where their sectors are kept.
//
// Owns: the values, and what they say in a table of contents. Must not know: how they were found out, drives.
// After: ECMA-130 clauses 20 to 22, MMC-3 tables of READ TOC/PMA/ATIP.

/// What the sectors of a track are.
public enum CDTrackKind: UInt8, Sendable {
  case audio
  case mode1
  case mode2
}

/// A track.
public struct CDTrack: Equatable, Sendable {
  /// 1 to 99.
  public var number: Int
  /// From 1.
  public var session: Int
  public var kind: CDTrackKind
  /// Where its pause begins (index 0); `start` when it has none.
  public var pregap: Int
  /// Where it begins (index 1).
  public var start: Int
  /// The address behind its last sector.
  public var end: Int
  /// Where its indices from 2 on begin, ascending.
  public var indices: [Int] = []
  /// Control bits of the Q subchannel beside that for data: 1 pre-emphasis, 2 copying permitted, 8 four channels.
  public var flags: UInt8 = 0
  /// ISRC of 12 characters, if it has one.
  public var isrc: String?

  /// The control field: bit 2 is data.
  public var control: UInt8 { flags & 0x0B | (kind == .audio ? 0 : 4) }
}

/// A session.
public struct CDSession: Equatable, Sendable {
  /// From 1.
  public var number: Int
  public var firstTrack: Int
  public var lastTrack: Int
  /// Where its lead-out begins.
  public var leadOut: Int
}

/// An entry of a table of contents as it stands in the Q subchannel of a lead-in.
public struct CDTableEntry: Equatable, Sendable {
  public var session: UInt8
  /// ADR in the upper, control in the lower four bits.
  public var adrControl: UInt8
  /// A track, or A0h first track, A1h last track, A2h lead-out, B0h where a next session can begin, C0h where the first lead-in began.
  public var point: UInt8
  /// Minutes, seconds, frames; meaningful with points B0h and C0h.
  public var time: (UInt8, UInt8, UInt8)
  /// What the point says: an address, or numbers.
  public var value: (UInt8, UInt8, UInt8)
  /// The number between the two.
  public var zero: UInt8 = 0

  public static func == (a: Self, b: Self) -> Bool {
    a.session == b.session && a.adrControl == b.adrControl && a.point == b.point
      && a.time == b.time && a.value == b.value && a.zero == b.zero
  }
}

/// A run of sectors and where they are kept.
struct CDExtent {
  /// How the bytes of a sector stand in a file.
  enum Form: Int {
    /// User data only.
    case user = 2048
    /// All of a mode 2 sector but synchronisation and header.
    case mode2 = 2336
    case raw = 2352
  }

  var start: Int
  var count: Int
  var form: Form
  /// nil: zeros that are in no file.
  var store: (any ByteStore)?
  /// Where its first sector begins.
  var offset: UInt64 = 0
  /// Audio samples stand with the high byte first.
  var isSwapped = false
  var kind: CDTrackKind

  var end: Int { start + count }
}
