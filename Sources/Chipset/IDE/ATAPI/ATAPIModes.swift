// Mode pages and configuration features: what the drive can do, and what can be set.
//
// Owns: MODE SENSE and SELECT in both lengths, GET CONFIGURATION. Must not know: registers, files.
// After: MMC-3 clauses 5 (features) and 6.10/6.11, its mode pages 01h, 0Eh, 1Ah, 2Ah; SFF-8020i for page 0Dh and the medium types.

import State
import Storage

/// What MODE SELECT can change, and SET CD SPEED.
struct ATAPIModes: Equatable {
  /// Page 01h: parameters of error recovery, and how often a read is tried again.
  var recovery: UInt8 = 0
  var retries: UInt8 = 5
  /// Page 0Dh: the inactivity timer, lower four bits.
  var inactivity: UInt8 = 0x0D
  /// Page 0Eh: bit 1 SOTC; two ports' channel selection and volume.
  var audioControl: UInt8 = 0x04
  var ports: [UInt8] = [1, 0xFF, 2, 0xFF]
  /// In thousands of bytes a second.
  var speed: UInt16 = 7056

  var stopsAtTrackEnd: Bool { audioControl & 2 != 0 }

  static let pages: [UInt8] = [0x01, 0x0D, 0x0E, 0x1A, 0x2A]

  /// A page with its two bytes of header.
  func page(_ code: UInt8, isLocked: Bool) -> [UInt8] {
    switch code {
    case 0x01: return [0x01, 6, recovery, retries, 0, 0, 0, 0]
    // 60 seconds in a minute, 75 frames in a second.
    case 0x0D: return [0x0D, 6, 0, inactivity, 0, 60, 0, 75]
    case 0x0E:
      return [0x0E, 14, audioControl, 0, 0, 0, 0, 75] + ports + [0, 0, 0, 0]
    case 0x1A: return [0x1A, 10] + [UInt8](repeating: 0, count: 10)
    default:
      func word(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }
      // Reads CD-R, CD-RW, method 2 and DVD-ROM; writes nothing; plays audio, knows mode 2 and sessions; reads audio as data, accurately, with
      // C2 and catalogue numbers; a tray that can be locked; volume and mute of each channel.
      var bytes: [UInt8] = [0x2A, 20, 0x0F, 0x00, 0x71, 0x63, 0x29 | (isLocked ? 2 : 0), 0x03]
      bytes += word(7056) + word(256) + word(UInt16(IDEDrive.capacity / 1024)) + word(speed)
      bytes += [0, 0, 0, 0, 0, 0]
      return bytes
    }
  }

  /// The bits of a page that MODE SELECT changes.
  static func changeable(_ code: UInt8) -> [UInt8] {
    switch code {
    case 0x01: [0x01, 6, 0xFF, 0xFF, 0, 0, 0, 0]
    case 0x0D: [0x0D, 6, 0, 0x0F, 0, 0, 0, 0]
    case 0x0E: [0x0E, 14, 0x06, 0, 0, 0, 0, 0, 0x0F, 0xFF, 0x0F, 0xFF, 0, 0, 0, 0]
    case 0x1A: [0x1A, 10] + [UInt8](repeating: 0, count: 10)
    default: [0x2A, 20] + [UInt8](repeating: 0, count: 20)
    }
  }

  /// Takes a page; bits that cannot be changed stay as they are.
  mutating func set(_ page: ArraySlice<UInt8>) {
    let bytes = Array(page)
    switch bytes[0] & 0x3F {
    case 0x01: (recovery, retries) = (bytes[2], bytes[3])
    case 0x0D: inactivity = bytes[3] & 0x0F
    case 0x0E:
      audioControl = bytes[2] & 0x06
      ports = [bytes[8] & 0x0F, bytes[9], bytes[10] & 0x0F, bytes[11]]
    default: break
    }
  }

  func save(to writer: inout StateWriter) {
    for value in [recovery, retries, inactivity, audioControl] + ports { writer.write(value) }
    writer.write(speed)
  }

  mutating func restore(from reader: inout StateReader) throws(StateError) {
    recovery = try reader.read()
    retries = try reader.read()
    inactivity = try reader.read()
    audioControl = try reader.read()
    for n in 0..<4 { ports[n] = try reader.read() }
    speed = try reader.read()
  }
}

extension ATAPIDrive {
  // MARK: MODE SENSE and SELECT

  /// The medium type in the header of mode parameters.
  private var mediumType: UInt8 {
    if isTrayOpen { return 0x71 }
    guard let disc else { return 0x70 }
    if disc.isDVD { return 0x41 }
    let hasAudio = disc.has(.audio)
    let hasData = disc.has(.mode1) || disc.has(.mode2)
    return hasAudio ? (hasData ? 3 : 2) : 1
  }

  func modeSense(isShort: Bool) {
    let code = packet[2] & 0x3F
    if packet[2] >> 6 == 3 { return fail(.savingNotSupported) }
    guard code == 0x3F || ATAPIModes.pages.contains(code) else { return fail(.invalidField) }
    let source: (UInt8) -> [UInt8] = { [self] page in
      switch packet[2] >> 6 {
      case 1: ATAPIModes.changeable(page)
      case 2: ATAPIModes().page(page, isLocked: isLocked)
      default: modes.page(page, isLocked: isLocked)
      }
    }
    var bytes: [UInt8] = []
    for page in ATAPIModes.pages where code == 0x3F || code == page { bytes += source(page) }
    if isShort {
      reply([UInt8(bytes.count + 3), mediumType, 0, 0] + bytes, allocation: Int(packet[4]))
    } else {
      reply(
        [0, UInt8(bytes.count + 6), mediumType, 0, 0, 0, 0, 0] + bytes, allocation: word(7))
    }
  }

  /// The parameters of MODE SELECT have come.
  func takeParameters(_ bytes: [UInt8]) {
    let isShort = packet[0] == 0x15
    // Saving is not possible.
    if packet[1] & 1 != 0 { return fail(.invalidField) }
    if bytes.isEmpty { return complete() }
    let header = isShort ? 4 : 8
    guard bytes.count >= header else { return fail(.parameterLength) }
    let descriptors = isShort ? Int(bytes[3]) : Int(bytes[6]) << 8 | Int(bytes[7])
    var new = modes
    var at = header + descriptors
    if at > bytes.count { return fail(.parameterLength) }
    while at < bytes.count {
      let code = bytes[at] & 0x3F
      guard ATAPIModes.pages.contains(code) else { return fail(.invalidParameter) }
      guard at + 1 < bytes.count else { return fail(.parameterLength) }
      let length = 2 + Int(bytes[at + 1])
      if length != ATAPIModes.changeable(code).count { return fail(.invalidParameter) }
      guard at + length <= bytes.count else { return fail(.parameterLength) }
      new.set(bytes[at..<at + length])
      at += length
    }
    modes = new
    complete()
  }

  // MARK: GET CONFIGURATION

  private func feature(_ code: UInt16, _ flags: UInt8, _ bytes: [UInt8]) -> [UInt8] {
    [UInt8(code >> 8), UInt8(code & 0xFF), flags, UInt8(bytes.count)] + bytes
  }

  func getConfiguration() {
    let kind = packet[1] & 3
    if kind == 3 { return fail(.invalidField) }
    let start = UInt16(word(2))
    let isCD = medium.map { !$0.isDVD } ?? false
    let isDVD = medium?.isDVD ?? false
    let persistent: UInt8 = 3
    func current(_ isCurrent: Bool, _ version: UInt8 = 0) -> UInt8 {
      version << 2 | (isCurrent ? 1 : 0)
    }
    let features: [(code: UInt16, flags: UInt8, bytes: [UInt8])] = [
      // Profiles: DVD-ROM, CD-ROM.
      (0x0000, persistent, [0, 0x10, isDVD ? 1 : 0, 0, 0, 0x08, isCD ? 1 : 0, 0]),
      // Core: the interface is ATAPI.
      (0x0001, persistent, [0, 0, 0, 2]),
      (0x0002, persistent, [0, 0, 0, 0]),
      // Removable medium: a tray that is ejected and locked.
      (0x0003, persistent, [0x29, 0, 0, 0]),
      // Random readable: sectors of 2048 bytes, one at a time; recovery page present.
      (0x0010, current(medium != nil), [0, 0, 8, 0, 0, 1, 1, 0]),
      (0x001D, current(isCD), []),
      (0x001E, current(isCD), [0, 0, 0, 0]),
      (0x001F, current(isDVD), []),
      (0x0100, persistent, []),
      // Audio: volume and mute of each channel, 256 steps.
      (0x0103, current(isCD), [3, 0, 1, 0]),
      (0x0105, persistent, []),
    ]
    var bytes: [UInt8] = []
    for entry in features {
      let isWanted: Bool
      switch kind {
      case 0: isWanted = entry.code >= start
      case 1: isWanted = entry.code >= start && entry.flags & 1 != 0
      default: isWanted = entry.code == start
      }
      if isWanted { bytes += feature(entry.code, entry.flags, entry.bytes) }
    }
    let profile: UInt8 = isDVD ? 0x10 : isCD ? 0x08 : 0
    reply(
      ATAPIDrive.big(UInt32(bytes.count + 4)) + [0, 0, 0, profile] + bytes, allocation: word(7))
  }
}
