// Tracks in a row become a disc: addresses, sessions, lead-outs.
//
// Owns: where everything lies, and what cannot be on a disc. Must not know: how tracks were described.
// After: ECMA-130 clauses 20 (lengths of lead-in and lead-out), the Multisession CD specification (6750 and 2250 sectors).

/// A disc while it is put together.
struct CDLayout {
  /// A run of sectors of a track.
  struct Part {
    /// 0: pause.
    var index: Int
    var count: Int
    /// nil: zeros.
    var store: (any ByteStore)?
    var offset: UInt64 = 0
    var isSwapped = false
  }

  private(set) var tracks: [CDTrack] = []
  private(set) var sessions: [CDSession] = []
  private(set) var extents: [CDExtent] = []
  /// The address behind everything so far.
  private(set) var next = 0

  /// Sectors from a session's lead-out to the start of the next session's first track: lead-out, lead-in, pause.
  static func gap(after session: Int) -> Int {
    (session == 1 ? 6750 : 2250) + 4500 + CDAddress.firstPause
  }

  /// A session begins.
  mutating func beginSession() {
    if let last = sessions.last {
      next = last.leadOut + CDLayout.gap(after: last.number) - CDAddress.firstPause
    }
    sessions.append(
      CDSession(number: sessions.count + 1, firstTrack: 0, lastTrack: 0, leadOut: next))
  }

  /// Appends a track to the last session.
  /// - Parameters:
  ///   - track: its number, kind, flags and ISRC; the addresses are set here.
  ///   - parts: in order, by their index; index 1 among them.
  /// - Returns: why it cannot be, or nil.
  mutating func add(_ track: CDTrack, form: CDExtent.Form, parts: [Part]) -> String? {
    var track = track
    let session = sessions.count - 1
    let isFirst = sessions[session].firstTrack == 0
    if let last = tracks.last, track.number != last.number + 1 {
      return "track \(track.number) follows track \(last.number)"
    }
    if !(1...99).contains(track.number) { return "a track has a number from 1 to 99" }
    var parts = parts
    if isFirst && session > 0 && !parts.contains(where: { $0.index == 0 && $0.count > 0 }) {
      parts.insert(Part(index: 0, count: CDAddress.firstPause), at: 0)
    }
    track.session = session + 1
    track.pregap = next
    var lastIndex = -1
    for part in parts {
      if part.count < 0 || part.count > CDAddress.frameLimit { return "is longer than a disc" }
      if part.index > 0, part.index != lastIndex {
        if part.index == 1 { track.start = next } else { track.indices.append(next) }
      }
      lastIndex = part.index
      if part.count > 0 {
        extents.append(
          CDExtent(
            start: next, count: part.count, form: part.store == nil ? .raw : form,
            store: part.store, offset: part.offset, isSwapped: part.isSwapped, kind: track.kind))
      }
      next += part.count
      if next > CDAddress.frameLimit - CDAddress.firstPause {
        return "ends behind 99:59:74, where no disc reaches"
      }
    }
    if next <= track.start { return "track \(track.number) has no sectors" }
    track.end = next
    tracks.append(track)
    if isFirst { sessions[session].firstTrack = track.number }
    sessions[session].lastTrack = track.number
    sessions[session].leadOut = next
    return nil
  }

  /// The disc.
  func image(name: String, catalogue: String? = nil) -> CDImage {
    CDImage(name: name, tracks: tracks, sessions: sessions, extents: extents, catalogue: catalogue)
  }
}
