// The packet commands: which there are, what each needs before it is carried out, and the short ones.
//
// Owns: dispatch, the order of checks (command, unit attention, medium), tray and lock. Must not know: registers.
// After: MMC-3 (T10 1363-D), SPC-2 for INQUIRY and REQUEST SENSE, SFF-8020i rev. 2.6 clause 10.8.

import Storage

extension ATAPIDrive {
  /// What a command needs.
  private struct Needs: OptionSet {
    let rawValue: UInt8
    /// A disc that can be read.
    static let medium = Needs(rawValue: 1)
    /// It is carried out although the guest has not heard yet of a reset or another disc, which stays to be told.
    static let noAttention = Needs(rawValue: 2)
    /// It moves data of the medium, or the head.
    static let time = Needs(rawValue: 4)
    /// What the last failure was stays known.
    static let keepsSense = Needs(rawValue: 8)
  }

  private func needs(_ operation: UInt8) -> Needs? {
    switch operation {
    case 0x00: .medium
    case 0x03: [.noAttention, .keepsSense]
    case 0x12, 0x46, 0x4A: .noAttention
    case 0x28, 0xA8, 0xBE, 0xB9, 0x2B, 0x2F: [.medium, .time]
    case 0x25, 0x42, 0x43, 0x44, 0x51, 0x52, 0xAD: .medium
    case 0x45, 0xA5, 0x47, 0x48: [.medium, .time]
    case 0x4B, 0x4E: .medium
    case 0x1B, 0x1E, 0x15, 0x55, 0x1A, 0x5A, 0xBB, 0xBD: []
    default: nil
    }
  }

  /// How long a command takes before its data come or it ends.
  func latency(of operation: UInt8) -> UInt64 {
    needs(operation)?.contains(.time) == true && medium != nil
      ? max(latency, ATAPITiming.short) : ATAPITiming.short
  }

  /// Why nothing can be read.
  var noMedium: ATAPISense { ATAPISense(2, 0x3A, isTrayOpen ? 2 : 1) }

  // MARK: Fields of the packet

  func word(_ at: Int) -> Int { Int(packet[at]) << 8 | Int(packet[at + 1]) }
  func double(_ at: Int) -> Int { word(at) << 16 | word(at + 2) }
  func triple(_ at: Int) -> Int { Int(packet[at]) << 16 | word(at + 1) }

  /// Carries the packet's command out.
  func perform() {
    let operation = packet[0]
    guard let needs = needs(operation) else {
      sense = .none
      return fail(.invalidCommand)
    }
    if !needs.contains(.keepsSense) { sense = .none }
    if !needs.contains(.noAttention) {
      if resetAttention {
        resetAttention = false
        changeAttention = false
        return fail(.wasReset)
      }
      if changeAttention {
        changeAttention = false
        return fail(.mediumChanged)
      }
    }
    if needs.contains(.medium) {
      guard let medium else { return fail(noMedium) }
      return perform(operation, medium)
    }
    switch operation {
    case 0x03: requestSense()
    case 0x12: inquiry()
    case 0x1B: startStop()
    case 0x1E:  // PREVENT ALLOW MEDIUM REMOVAL
      isLocked = packet[4] & 1 != 0
      complete()
    case 0x15: demand(Int(packet[4]))
    case 0x55: demand(word(7))
    case 0x1A: modeSense(isShort: true)
    case 0x5A: modeSense(isShort: false)
    case 0x46: getConfiguration()
    case 0x4A: eventStatus()
    case 0xBB:  // SET CD SPEED
      modes.speed = UInt16(min(max(word(2), 176), 7056))
      complete()
    case 0xBD:  // MECHANISM STATUS
      let bytes: [UInt8] = [0, isTrayOpen ? 0x10 : 0, 0, 0, 0, 1, 0, 0]
      reply(bytes, allocation: word(8))
    default: fail(.invalidCommand)
    }
  }

  private func perform(_ operation: UInt8, _ disc: CDImage) {
    switch operation {
    case 0x00: complete()
    case 0x25: reply(ATAPIDrive.big(UInt32(disc.leadOut - 1)) + [0, 0, 8, 0], allocation: 8)
    case 0x28: read(disc, double(2), word(7))
    case 0xA8: read(disc, double(2), double(6))
    case 0xBE: readCD(disc)
    case 0xB9: readCDByTime(disc)
    case 0x2B: seek(disc)
    case 0x2F: verify(disc)
    case 0x42: readSubchannel(disc)
    case 0x43: readTable(disc)
    case 0x44: readHeader(disc)
    case 0x45: play(disc, from: double(2), count: word(7))
    case 0xA5: play(disc, from: double(2), count: double(6))
    case 0x47: playByTime(disc)
    case 0x48: playTracks(disc)
    case 0x4B: pauseOrResume()
    case 0x4E:
      audio.stop()
      complete()
    case 0x51: discInformation(disc)
    case 0x52: trackInformation(disc)
    case 0xAD: dvdStructure(disc)
    default: fail(.invalidCommand)
    }
  }

  static func big(_ value: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
  }

  static func text(_ text: String, _ count: Int) -> [UInt8] {
    let bytes = text.utf8.prefix(count).map { $0 }
    return bytes + [UInt8](repeating: 0x20, count: count - bytes.count)
  }

  // MARK: Who it is, what went wrong

  private func requestSense() {
    var bytes = [UInt8](repeating: 0, count: 18)
    bytes[0] = 0x70
    bytes[2] = sense.key
    if let information = sense.information {
      bytes[0] |= 0x80
      bytes.replaceSubrange(3..<7, with: ATAPIDrive.big(information))
    }
    bytes[7] = 10
    bytes[12] = sense.code
    bytes[13] = sense.qualifier
    sense = .none
    reply(bytes, allocation: Int(packet[4]))
  }

  private func inquiry() {
    // Vital product data are for later standards.
    if packet[1] & 1 != 0 || packet[2] != 0 { return fail(.invalidField) }
    var bytes: [UInt8] = [0x05, 0x80, 0, 0x21, 31, 0, 0, 0]
    bytes += ATAPIDrive.text("APUS", 8) + ATAPIDrive.text("CD/DVD-ROM", 16)
    bytes += ATAPIDrive.text("1.0", 4)
    reply(bytes, allocation: word(3))
  }

  // MARK: Tray

  private func startStop() {
    if packet[4] & 2 == 0 {
      // Start and stop of the motor, or a power condition: the disc is ready when it is asked for.
      if packet[4] & 1 == 0 { audio.stop() }
      if packet[4] & 1 != 0 && packet[4] >> 4 == 0 && medium == nil { return fail(noMedium) }
      return complete()
    }
    let was = medium
    let opens = packet[4] & 1 == 0
    if opens && isLocked && !isTrayOpen { return fail(.removalPrevented) }
    isTrayOpen = opens
    mediumMoved(was)
    complete()
  }

  private func eventStatus() {
    // Only when asked for, never later by itself.
    if packet[1] & 1 == 0 { return fail(.invalidField) }
    let media: UInt8 = 0x10
    if packet[4] & media == 0 { return reply([0, 2, 0x80, media], allocation: word(7)) }
    let presence: UInt8 = (isTrayOpen ? 1 : 0) | (medium != nil ? 2 : 0)
    let event = mediaEvent
    if word(7) > 4 { mediaEvent = .none }
    reply([0, 6, 4, media, event.rawValue, presence, 0, 0], allocation: word(7))
  }
}
