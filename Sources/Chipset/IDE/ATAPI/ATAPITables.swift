// What the drive tells of a disc: tables of contents, subchannel, disc and track information, DVD structures.
//
// Owns: the layout of these answers. Must not know: registers, files.
// After: MMC-3 clauses 6.26 READ DISC INFORMATION to 6.31 READ TRACK INFORMATION; SFF-8020i for the format in byte 9 of READ TOC.

import Storage

extension ATAPIDrive {
  /// An address as a command wants it: a number of sectors, or minutes, seconds, frames.
  private static func address(_ lba: Int, _ msf: Bool) -> [UInt8] {
    if !msf { return big(UInt32(truncatingIfNeeded: lba)) }
    let (m, s, f) = CDAddress.msf(lba)
    return [0, m, s, f]
  }

  /// An answer with its length in the first two bytes.
  private static func sized(_ bytes: [UInt8]) -> [UInt8] {
    [UInt8(truncatingIfNeeded: bytes.count >> 8), UInt8(truncatingIfNeeded: bytes.count)] + bytes
  }

  // MARK: READ TOC/PMA/ATIP

  func readTable(_ disc: CDImage) {
    let msf = packet[1] & 2 != 0
    // ATAPI before MMC has the format at the end.
    let format = packet[2] & 0x0F != 0 ? packet[2] & 0x0F : packet[9] >> 6
    let allocation = word(7)
    let number = packet[6]
    let last = disc.tracks[disc.tracks.count - 1]
    switch format {
    case 0:
      if number > UInt8(last.number) && number != 0xAA { return fail(.invalidField) }
      var bytes = [UInt8(disc.tracks[0].number), UInt8(last.number)]
      for track in disc.tracks where track.number >= Int(number) {
        bytes += [0, 0x10 | track.control, UInt8(track.number), 0]
        bytes += ATAPIDrive.address(track.start, msf)
      }
      bytes += [0, 0x10 | last.control, 0xAA, 0] + ATAPIDrive.address(disc.leadOut, msf)
      reply(ATAPIDrive.sized(bytes), allocation: allocation)
    case 1:
      let session = disc.sessions[disc.sessions.count - 1]
      guard let track = disc.track(session.firstTrack) else { return fail(.invalidField) }
      let bytes =
        [1, UInt8(disc.sessions.count), 0, 0x10 | track.control, UInt8(track.number), 0]
        + ATAPIDrive.address(track.start, msf)
      reply(ATAPIDrive.sized(bytes), allocation: allocation)
    case 2:
      if Int(number) > disc.sessions.count { return fail(.invalidField) }
      var bytes: [UInt8] = [1, UInt8(disc.sessions.count)]
      for entry in disc.tableOfContents(from: Int(number)) {
        bytes += [entry.session, entry.adrControl, 0, entry.point]
        bytes += [entry.time.0, entry.time.1, entry.time.2, entry.zero]
        bytes += [entry.value.0, entry.value.1, entry.value.2]
      }
      reply(ATAPIDrive.sized(bytes), allocation: allocation)
    default:
      // PMA and ATIP are those of recordable discs, CD-TEXT is in no image.
      fail(.invalidField)
    }
  }

  // MARK: READ SUB-CHANNEL, READ HEADER

  func readSubchannel(_ disc: CDImage) {
    let msf = packet[1] & 2 != 0
    let allocation = word(7)
    let status = audio.report(now: now)
    if packet[2] & 0x40 == 0 { return reply([0, status, 0, 0], allocation: allocation) }
    var bytes: [UInt8]
    switch packet[3] {
    case 1:
      let at = audio.position(now: now) ?? head
      let position = disc.position(at: at)
      let track = position?.track ?? disc.tracks[disc.tracks.count - 1]
      bytes = [
        1, 0x10 | track.control, position == nil ? 0xAA : UInt8(track.number),
        UInt8(min(position?.index ?? 1, 99)),
      ]
      bytes += ATAPIDrive.address(at, msf)
      let relative = position.map { $0.index == 0 ? -$0.relative : $0.relative } ?? 0
      if msf {
        let (m, s, f) = CDAddress.frames(abs(relative))
        bytes += [0, m, s, f]
      } else {
        bytes += ATAPIDrive.big(UInt32(truncatingIfNeeded: relative))
      }
    case 2:
      bytes = [2, 0, 0, 0]
      if let catalogue = disc.catalogue {
        bytes += [0x80] + Array(catalogue.utf8) + [0, 0]
      } else {
        bytes += [UInt8](repeating: 0, count: 16)
      }
    case 3:
      guard let track = disc.track(Int(packet[6])) else { return fail(.invalidField) }
      bytes = [3, 0x10 | track.control, UInt8(track.number), 0]
      if let isrc = track.isrc {
        bytes += [0x80] + Array(isrc.utf8) + [0, 0, 0]
      } else {
        bytes += [UInt8](repeating: 0, count: 16)
      }
    default: return fail(.invalidField)
    }
    let length = [UInt8(bytes.count >> 8), UInt8(bytes.count & 0xFF)]
    reply([0, status] + length + bytes, allocation: allocation)
  }

  func readHeader(_ disc: CDImage) {
    let lba = double(2)
    guard lba < disc.leadOut else { return fail(.outOfRange) }
    guard let track = disc.track(at: lba), track.kind != .audio else {
      return fail(.wrongTrackMode)
    }
    head = lba
    let bytes: [UInt8] = [track.kind == .mode1 ? 1 : 2, 0, 0, 0]
    reply(bytes + ATAPIDrive.address(lba, packet[1] & 2 != 0), allocation: word(7))
  }

  // MARK: Disc and track information

  func discInformation(_ disc: CDImage) {
    let session = disc.sessions[disc.sessions.count - 1]
    var bytes = [UInt8](repeating: 0, count: 32)
    // The last session and the disc are complete.
    bytes[0] = 0x0E
    bytes[1] = UInt8(disc.tracks[0].number)
    bytes[2] = UInt8(disc.sessions.count)
    bytes[3] = UInt8(session.firstTrack)
    bytes[4] = UInt8(session.lastTrack)
    // Unrestricted use; the disc's type, 20h with mode 2 sectors; no next session can be begun.
    bytes[5] = 0x20
    bytes[6] = disc.has(.mode2) ? 0x20 : 0
    for n in 14..<22 { bytes[n] = 0xFF }
    reply(ATAPIDrive.sized(bytes), allocation: word(7))
  }

  func trackInformation(_ disc: CDImage) {
    let number = double(2)
    let track: CDTrack?
    switch packet[1] & 3 {
    case 0: track = disc.track(at: number)
    case 1: track = disc.track(number)
    case 2: track = disc.tracks.first { $0.session == number }
    default: track = nil
    }
    guard let track else { return fail(.invalidField) }
    var bytes = [UInt8](repeating: 0, count: 34)
    bytes[0] = UInt8(track.number)
    bytes[1] = UInt8(track.session)
    bytes[3] = track.control
    bytes[4] = track.kind == .audio ? 0x0F : track.kind == .mode1 ? 1 : 2
    bytes.replaceSubrange(6..<10, with: ATAPIDrive.big(UInt32(track.start)))
    bytes.replaceSubrange(22..<26, with: ATAPIDrive.big(UInt32(track.end - track.start)))
    reply(ATAPIDrive.sized(bytes), allocation: word(7))
  }

  // MARK: READ DVD STRUCTURE

  func dvdStructure(_ disc: CDImage) {
    guard disc.isDVD else { return fail(.incompatibleMedium) }
    if packet[6] != 0 { return fail(.invalidField) }
    var bytes: [UInt8]
    switch packet[7] {
    case 0:
      // DVD-ROM 1.0, 120 mm, one layer, read-only; data from 30000h on (ECMA-267).
      bytes = [UInt8](repeating: 0, count: 2050)
      bytes[2] = 0x01
      bytes[3] = 0x0F
      bytes[4] = 0x01
      let first: UInt32 = 0x30000
      bytes.replaceSubrange(6..<10, with: ATAPIDrive.big(first))
      bytes.replaceSubrange(10..<14, with: ATAPIDrive.big(first + UInt32(disc.leadOut) - 1))
    case 1: bytes = [0, 0, 0, 0, 0, 0]  // no protection, every region
    case 4: bytes = [UInt8](repeating: 0, count: 2050)
    case 0xFF:
      bytes = [0, 0]
      for (format, length) in [(0, 2052), (1, 8), (4, 2052)] as [(UInt8, Int)] {
        bytes += [format, 0x40, UInt8(length >> 8), UInt8(length & 0xFF)]
      }
    default: return fail(.invalidField)
    }
    reply(ATAPIDrive.sized(bytes), allocation: word(8))
  }
}
