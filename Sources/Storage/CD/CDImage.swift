// A disc: sessions, tracks, and what is read of its sectors.
//
// Owns: which sectors there are and what they hold, the table of contents, the Q subchannel. Must not know: files' formats, drives,
// commands.
// After: ECMA-130; the "Red Book" for audio; MMC-3 for what a drive tells of a disc.

/// Why a sector was not read.
public enum CDReadError: Error, Equatable {
  /// No such address on the disc.
  case outside
  /// Between the sessions: nothing is recorded there.
  case blank
  /// An audio sector, or form 2, where user data of 2048 bytes were wanted.
  case wrongMode
  /// The host could not read the file.
  case host(StorageError)

  public static func == (a: Self, b: Self) -> Bool {
    switch (a, b) {
    case (.outside, .outside), (.blank, .blank), (.wrongMode, .wrongMode): true
    case (.host(let x), .host(let y)): x.description == y.description
    default: false
    }
  }
}

/// A disc. It belongs to one machine.
public final class CDImage: @unchecked Sendable, Equatable {
  /// What it is called in messages.
  public let name: String
  /// Ascending, at least one.
  public let tracks: [CDTrack]
  /// Ascending, at least one.
  public let sessions: [CDSession]
  /// The media catalogue number, 13 digits, if it has one.
  public let catalogue: String?
  /// Whether it is larger than a CD: a DVD of one track.
  public let isDVD: Bool
  private let extents: [CDExtent]
  /// The extent used last: the next read goes on there as a rule.
  private var recent = 0
  private let scratch: UnsafeMutableRawPointer
  /// What reads ahead of time, where somebody does.
  private var ahead: CDAhead?

  /// - Parameters:
  ///   - tracks, sessions: consistent with each other, as `CDLayout` makes them.
  ///   - extents: ascending and apart.
  init(
    name: String, tracks: [CDTrack], sessions: [CDSession], extents: [CDExtent],
    catalogue: String? = nil, isDVD: Bool = false
  ) {
    precondition(!tracks.isEmpty && !sessions.isEmpty && !extents.isEmpty)
    self.name = name
    self.tracks = tracks
    self.sessions = sessions
    self.extents = extents
    self.catalogue = catalogue
    self.isDVD = isDVD
    scratch = UnsafeMutableRawPointer.allocate(byteCount: CDSector.rawSize, alignment: 16)
  }

  deinit { scratch.deallocate() }

  /// The same disc for another machine: the files are shared.
  public func twin() -> CDImage {
    CDImage(
      name: name, tracks: tracks, sessions: sessions, extents: extents, catalogue: catalogue,
      isDVD: isDVD)
  }

  /// The same disc, not one that holds the same.
  public static func == (a: CDImage, b: CDImage) -> Bool { a === b }

  /// Where the last session's lead-out begins: one more than the last address.
  public var leadOut: Int { sessions[sessions.count - 1].leadOut }

  /// Whether the disc has tracks of a kind.
  public func has(_ kind: CDTrackKind) -> Bool { tracks.contains { $0.kind == kind } }

  /// The track that an address belongs to, its pause included; nil outside and between sessions.
  public func track(at lba: Int) -> CDTrack? {
    var (low, high) = (0, tracks.count)
    while low < high {
      let middle = (low + high) / 2
      if tracks[middle].end <= lba { low = middle + 1 } else { high = middle }
    }
    guard low < tracks.count else { return nil }
    let track = tracks[low]
    // The first pause of two seconds is in no file and has addresses below zero.
    let pause = low == 0 ? min(track.pregap, -CDAddress.firstPause) : track.pregap
    return lba >= pause ? track : nil
  }

  /// A track by its number.
  public func track(_ number: Int) -> CDTrack? { tracks.first { $0.number == number } }

  // MARK: Ahead of time

  /// Has a thread read the files beside the machine where the host's disk is slow.
  /// - Parameter files: the disc's files as blocks, as `ImageOpener` gives them.
  /// - Returns: what to use in place of `files` from now on.
  public func readAhead(_ files: any BlockDevice, mode: QueuedDevice.Mode) -> any BlockDevice {
    guard ahead == nil, let files = files as? CDFiles else { return files }
    let ahead = CDAhead(files, mode: mode)
    self.ahead = ahead
    return ahead.queue
  }

  /// Lets the host begin with sectors that will be read next; as many of them as lie together in a file.
  public func prepare(_ lba: Int, count: Int) {
    guard let ahead else { return }
    guard let extent = try? extent(at: lba), let store = extent.store else { return }
    let size = extent.form.rawValue
    ahead.prepare(
      store, at: extent.offset + UInt64(lba - extent.start) * UInt64(size),
      count: size * min(count, extent.end - lba))
  }

  /// Whether what was prepared last can be read without waiting for the host.
  public func isReady() -> Bool { ahead?.isReady() ?? true }
  /// Whether the last answer was no, and nobody has waited since.
  public var isWaitedFor: Bool { ahead?.isWaitedFor ?? false }
  /// Waits until the host has gone on, or so long.
  public func awaitProgress(nanoseconds: UInt64) { ahead?.awaitProgress(nanoseconds: nanoseconds) }

  // MARK: Sectors

  private func extent(at lba: Int) throws(CDReadError) -> CDExtent {
    let known = extents[recent]
    if lba >= known.start && lba < known.end { return known }
    if lba < 0 || lba >= leadOut { throw .outside }
    var (low, high) = (0, extents.count)
    while low < high {
      let middle = (low + high) / 2
      if extents[middle].end <= lba { low = middle + 1 } else { high = middle }
    }
    guard low < extents.count, lba >= extents[low].start else { throw .blank }
    recent = low
    return extents[low]
  }

  private func fetch(
    _ extent: CDExtent, _ lba: Int, _ count: Int, into target: UnsafeMutableRawPointer
  ) throws(CDReadError) {
    let size = extent.form.rawValue
    let buffer = UnsafeMutableRawBufferPointer(start: target, count: size * count)
    guard let store = extent.store else {
      buffer.initializeMemory(as: UInt8.self, repeating: 0)
      return
    }
    let offset = extent.offset + UInt64(lba - extent.start) * UInt64(size)
    // The end of the last sector may be missing.
    let kept = offset < store.size ? Int(min(UInt64(buffer.count), store.size - offset)) : 0
    let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<kept])
    do throws(StorageError) {
      if let ahead, kept > 0 {
        try ahead.read(store, at: offset, into: wanted)
      } else {
        try store.read(at: offset, into: wanted)
      }
    } catch { throw .host(error) }
    for n in kept..<buffer.count { buffer[n] = 0 }
    if extent.isSwapped {
      for n in stride(from: 0, to: buffer.count - 1, by: 2) { buffer.swapAt(n, n + 1) }
    }
  }

  /// Reads the 2048 bytes of user data of consecutive sectors (mode 1, mode 2 form 1).
  /// - Parameter target: room for `count` times 2048 bytes.
  public func readUserData(_ lba: Int, count: Int = 1, into target: UnsafeMutableRawPointer)
    throws(CDReadError)
  {
    var done = 0
    while done < count {
      let at = lba &+ done
      let extent = try extent(at: at)
      let place = target + done * CDSector.userSize
      if extent.kind == .audio { throw .wrongMode }
      if extent.form == .user {
        let part = min(count - done, extent.end - at)
        try fetch(extent, at, part, into: place)
        done += part
        continue
      }
      try fetch(extent, at, 1, into: scratch)
      // A raw sector says itself what it is; one of a mode 2 track without that has only its subheader.
      let header = extent.form == .raw ? 16 : 0
      let mode =
        extent.store == nil
        ? extent.kind.rawValue
        : extent.form == .raw ? scratch.load(fromByteOffset: 15, as: UInt8.self) & 3 : 2
      switch mode {
      case 1: place.copyMemory(from: scratch + header, byteCount: CDSector.userSize)
      case 2 where scratch.load(fromByteOffset: header + 2, as: UInt8.self) & CDSector.formBit == 0:
        place.copyMemory(from: scratch + header + 8, byteCount: CDSector.userSize)
      case 0:
        for n in 0..<CDSector.userSize { place.storeBytes(of: 0, toByteOffset: n, as: UInt8.self) }
      default: throw .wrongMode
      }
      done += 1
    }
  }

  /// Reads a whole sector of 2352 bytes as it is on the disc (not scrambled); what the file lacks of it is made.
  /// - Parameter target: room for 2352 bytes.
  /// - Returns: what kind of sector it is.
  @discardableResult
  public func readRaw(_ lba: Int, into target: UnsafeMutableRawPointer) throws(CDReadError)
    -> CDTrackKind
  {
    // The first pause holds what belongs to its track, and nothing in it.
    if lba < 0, lba >= -CDAddress.firstPause {
      makeEmpty(tracks[0].kind, lba, target)
      return tracks[0].kind
    }
    let extent = try extent(at: lba)
    if extent.store == nil {
      makeEmpty(extent.kind, lba, target)
      return extent.kind
    }
    switch extent.form {
    case .raw:
      try fetch(extent, lba, 1, into: target)
      if extent.kind == .audio { return .audio }
      return target.load(fromByteOffset: 15, as: UInt8.self) & 3 == 2 ? .mode2 : .mode1
    case .mode2:
      try fetch(extent, lba, 1, into: target + 16)
      CDSector.putHeader(target, lba: lba, mode: 2)
      return .mode2
    case .user:
      if extent.kind == .mode2 {
        try fetch(extent, lba, 1, into: target + CDSector.xaUserOffset)
        CDSector.completeForm1(target, lba: lba)
        return .mode2
      }
      try fetch(extent, lba, 1, into: target + CDSector.userOffset)
      CDSector.completeMode1(target, lba: lba)
      return .mode1
    }
  }

  private func makeEmpty(_ kind: CDTrackKind, _ lba: Int, _ target: UnsafeMutableRawPointer) {
    for n in 0..<CDSector.rawSize { target.storeBytes(of: 0, toByteOffset: n, as: UInt8.self) }
    switch kind {
    case .audio: break
    case .mode1: CDSector.completeMode1(target, lba: lba)
    case .mode2: CDSector.completeForm1(target, lba: lba)
    }
  }

  // MARK: Subchannel

  /// The position that the Q subchannel tells at an address.
  public struct Position: Equatable, Sendable {
    public var track: CDTrack
    /// 0 in the pause.
    public var index: Int
    /// Sectors from the track's start; in the pause those that are left.
    public var relative: Int
  }

  /// Where an address is; nil outside and between sessions.
  public func position(at lba: Int) -> Position? {
    guard let track = track(at: lba) else { return nil }
    if lba < track.start { return Position(track: track, index: 0, relative: track.start - lba) }
    return Position(
      track: track, index: 1 + track.indices.count { $0 <= lba }, relative: lba - track.start)
  }

  /// The 12 bytes of the Q subchannel (mode 1: position) at an address: BCD, CRC at the end.
  public func subchannelQ(at lba: Int) -> [UInt8] {
    var bytes: [UInt8]
    let (m, s, f) = CDAddress.msf(lba)
    let absolute = [m, s, f].map(CDAddress.bcd)
    if let position = position(at: lba) {
      let relative = CDAddress.frames(position.relative)
      bytes = [
        position.track.control << 4 | 1, CDAddress.bcd(UInt8(position.track.number)),
        CDAddress.bcd(UInt8(min(position.index, 99))), CDAddress.bcd(relative.minutes),
        CDAddress.bcd(relative.seconds), CDAddress.bcd(relative.frames), 0,
      ]
    } else {
      // The lead-out: track AAh, counted from where it begins.
      let last = sessions.last { $0.leadOut <= lba } ?? sessions[sessions.count - 1]
      let control = track(last.lastTrack)?.control ?? 4
      let relative = CDAddress.frames(max(0, lba - last.leadOut))
      bytes = [
        control << 4 | 1, 0xAA, 1, CDAddress.bcd(relative.minutes),
        CDAddress.bcd(relative.seconds), CDAddress.bcd(relative.frames), 0,
      ]
    }
    bytes += absolute
    let crc = CDSector.subchannelCRC(bytes)
    return bytes + [UInt8(crc >> 8), UInt8(crc & 0xFF)]
  }

  // MARK: Table of contents

  /// The entries of all sessions' lead-ins as they stand there, from a session on.
  public func tableOfContents(from first: Int = 1) -> [CDTableEntry] {
    var entries: [CDTableEntry] = []
    for session in sessions where session.number >= first {
      let number = UInt8(session.number)
      let own = tracks.filter { $0.session == session.number }
      guard let firstTrack = own.first, let lastTrack = own.last else { continue }
      func add(_ adrControl: UInt8, _ point: UInt8, _ value: (UInt8, UInt8, UInt8)) {
        entries.append(
          CDTableEntry(
            session: number, adrControl: adrControl, point: point, time: (0, 0, 0), value: value))
      }
      // 20h: a disc with mode 2 sectors (CD-ROM XA).
      let type: UInt8 = own.contains { $0.kind == .mode2 } ? 0x20 : 0
      add(0x10 | firstTrack.control, 0xA0, (UInt8(firstTrack.number), type, 0))
      add(0x10 | lastTrack.control, 0xA1, (UInt8(lastTrack.number), 0, 0))
      add(0x10 | lastTrack.control, 0xA2, CDAddress.msf(session.leadOut))
      for track in own {
        add(0x10 | track.control, UInt8(track.number), CDAddress.msf(track.start))
      }
      if sessions.count > 1 {
        // Where the next session's tracks begin or could, and the outermost lead-out of a disc of 74 minutes at least.
        let next = sessions.first { $0.number == session.number + 1 }
        let start =
          next.flatMap { n in tracks.first { $0.number == n.firstTrack }?.start }
          ?? session.leadOut + CDLayout.gap(after: session.number)
        entries.append(
          CDTableEntry(
            session: number, adrControl: 0x50 | lastTrack.control, point: 0xB0,
            time: next == nil ? (0xFF, 0xFF, 0xFF) : CDAddress.frames(start),
            value: CDAddress.frames(max(leadOut + CDAddress.firstPause, 79 * 4500 + 59 * 75)),
            zero: 2))
        if session.number == 1 {
          entries.append(
            CDTableEntry(
              session: number, adrControl: 0x50 | lastTrack.control, point: 0xC0,
              time: (0, 0, 0), value: (95, 0, 0)))
        }
      }
    }
    return entries
  }
}
