// Sectors of the disc on their way to the host.
//
// Owns: READ, READ CD and their like, which parts of a sector a READ CD wants. Must not know: registers, files.
// After: MMC-3 clause 6.15 (READ CD), its tables of sector types and of bytes by selection.

import Storage

/// What READ CD wants of each sector.
struct ATAPISelection: Equatable {
  /// Bits 4-2 of byte 1: 0 any, 1 audio, 2 mode 1, 3 mode 2 without form, 4 form 1, 5 form 2.
  var expected: UInt8
  /// Byte 9: 80h synchronisation, 60h header codes, 10h user data, 08h EDC and ECC, 06h error flags.
  var main: UInt8
  /// Byte 10: 0 none, 1 raw P-W (96), 2 formatted Q (16), 4 R-W (96).
  var subchannel: UInt8

  /// The most bytes that a sector can give.
  static let largest = CDSector.rawSize + 296 + 96

  /// Kinds of sectors as the field `expected` counts them.
  enum Kind: UInt8 {
    case audio = 1
    case mode1 = 2
    case formless = 3
    case form1 = 4
    case form2 = 5
  }

  /// Whether the fields are such as there are.
  var isValid: Bool {
    expected <= 5 && [0, 1, 2, 4].contains(subchannel) && main & 6 != 6 && main & 1 == 0
      && (main & 8 == 0 || main & 0x10 != 0)
  }

  /// Which bytes of a raw sector are wanted; nil when they would not be in one piece.
  func range(_ kind: Kind) -> Range<Int>? {
    if kind == .audio { return 0..<(main & 0xF8 != 0 ? CDSector.rawSize : 0) }
    var fields: [(isWanted: Bool, range: Range<Int>)] = [
      (main & 0x80 != 0, 0..<12), (main & 0x20 != 0, 12..<16),
    ]
    let (subheader, user, check) = (main & 0x40 != 0, main & 0x10 != 0, main & 0x08 != 0)
    switch kind {
    case .mode1, .audio: fields += [(user, 16..<2064), (check, 2064..<2352)]
    case .formless: fields += [(user, 16..<2352)]
    case .form1: fields += [(subheader, 16..<24), (user, 24..<2072), (check, 2072..<2352)]
    // The four bytes behind form 2's data count as such.
    case .form2: fields += [(subheader, 16..<24), (user, 24..<2352)]
    }
    var whole: Range<Int>?
    for field in fields where field.isWanted {
      if let present = whole, present.upperBound != field.range.lowerBound { return nil }
      whole = (whole?.lowerBound ?? field.range.lowerBound)..<field.range.upperBound
    }
    return whole ?? 0..<0
  }

  /// Bytes of C2 error flags.
  var errorBytes: Int { [0, 294, 296, 0][Int(main >> 1 & 3)] }
  var subchannelBytes: Int { [0, 96, 16, 0, 96, 0, 0, 0][Int(subchannel & 7)] }
}

extension ATAPIDrive {
  /// The sectors that READ and its like name; nil when they are not on the disc, and then the command is over.
  private func checked(_ disc: CDImage, _ first: Int, _ count: Int) -> Bool {
    if first < disc.leadOut && count <= disc.leadOut - first { return true }
    fail(.outOfRange)
    return false
  }

  func read(_ disc: CDImage, _ first: Int, _ count: Int) {
    guard checked(disc, first, count) else { return }
    if count == 0 { return complete() }
    send(from: first, count: count, bytes: CDSector.userSize, nil)
  }

  func seek(_ disc: CDImage) {
    guard checked(disc, double(2), 0) else { return }
    audio.stop()
    head = double(2)
    complete()
  }

  func verify(_ disc: CDImage) {
    if packet[1] & 2 != 0 { return fail(.invalidField) }
    guard checked(disc, double(2), word(7)) else { return }
    complete()
  }

  // MARK: READ CD

  func readCD(_ disc: CDImage) {
    let first = Int(Int32(truncatingIfNeeded: double(2)))
    readCD(disc, first, triple(6))
  }

  func readCDByTime(_ disc: CDImage) {
    guard
      let first = CDAddress.lba(minutes: packet[3], seconds: packet[4], frames: packet[5]),
      let end = CDAddress.lba(minutes: packet[6], seconds: packet[7], frames: packet[8]),
      end >= first
    else { return fail(.invalidField) }
    readCD(disc, first, end - first)
  }

  private func readCD(_ disc: CDImage, _ first: Int, _ count: Int) {
    let wanted = ATAPISelection(
      expected: packet[1] >> 2 & 7, main: packet[9], subchannel: packet[10] & 7)
    guard wanted.isValid else { return fail(.invalidField) }
    if disc.isDVD { return fail(.incompatibleMedium) }
    guard first >= -CDAddress.firstPause, first < disc.leadOut, count <= disc.leadOut - first else {
      return fail(.outOfRange)
    }
    // Nothing but the main channel's data moves bytes.
    if count == 0 || (wanted.main & 0xFE == 0 && wanted.subchannel == 0) { return complete() }
    send(from: first, count: count, bytes: CDSector.rawSize, wanted)
  }

  // MARK: Ahead of time

  /// Lets the host's disk begin with what a command in `packet` will read, when it is one that reads.
  func prepareCommand() {
    switch packet[0] {
    case 0x28, 0xBE: prepareSectors(double(2), packet[0] == 0x28 ? word(7) : triple(6))
    case 0xA8: prepareSectors(double(2), double(6))
    default: break
    }
  }

  /// The same for as many sectors as the buffer takes.
  func prepareSectors(_ first: Int, _ count: Int) {
    if count > 0 {
      medium?.prepare(first, count: min(count, IDEDrive.capacity / CDSector.userSize))
    }
  }

  /// Reads from the next sector on, or fails as when the run was recorded. An error of the host is written down.
  private func reading(_ body: () throws(CDReadError) -> Void) throws(CDReadError) {
    if repeated(nextSector) {
      throw .host(
        StorageError(
          path: medium?.name ?? "", reason: "an error of the host's disk, as it was recorded"))
    }
    do throws(CDReadError) { try body() } catch {
      if case .host = error { reported(nextSector) }
      throw error
    }
  }

  // MARK: The buffer

  /// Puts the next sectors into the buffer; returns why not even one could be put there.
  func fill() -> ATAPISense? {
    position = 0
    windowEnd = 0
    validEnd = 0
    guard let disc = medium else { return noMedium }
    if nextSector == ATAPIDrive.goneSector {
      changeAttention = false
      return .mediumChanged
    }
    if let selection { return fillRaw(disc, selection) }
    let most = min(sectorsLeft, IDEDrive.capacity / CDSector.userSize - 1)
    // When one of many cannot be read, those before it go to the host first.
    var failure = CDReadError.outside
    for step in most > 1 ? [most, 1] : [1] {
      var done = 0
      while done + step <= most {
        do throws(CDReadError) {
          try reading { () throws(CDReadError) in
            try disc.readUserData(
              nextSector, count: step, into: buffer + done * CDSector.userSize)
          }
        } catch {
          failure = error
          break
        }
        done += step
        took(step)
      }
      if done > 0 {
        validEnd = done * CDSector.userSize
        return nil
      }
    }
    return sense(failure)
  }

  private func took(_ count: Int) {
    nextSector &+= count
    sectorsLeft -= count
    head = nextSector &- 1
  }

  private func sense(_ error: CDReadError) -> ATAPISense {
    let at = UInt32(truncatingIfNeeded: nextSector)
    switch error {
    case .outside: return .outOfRange
    case .wrongMode: return ATAPISense(5, 0x64, 0, at: at)
    case .blank: return ATAPISense(3, 0x11, 0, at: at)
    case .host(let reason):
      refused(reason)
      return ATAPISense(3, 0x11, 0, at: at)
    }
  }

  private func fillRaw(_ disc: CDImage, _ wanted: ATAPISelection) -> ATAPISense? {
    var end = 0
    sectorBytes = 0
    // As many as fit when the whole of each is wanted, also where little or nothing is.
    let left = max(sectorsLeft - IDEDrive.capacity / CDSector.rawSize, 0)
    // The raw sector is read behind what goes to the host.
    while sectorsLeft > left, end + ATAPISelection.largest + CDSector.rawSize <= IDEDrive.capacity {
      let raw = buffer + (IDEDrive.capacity - CDSector.rawSize)
      var failure: ATAPISense?
      do throws(CDReadError) {
        var track = CDTrackKind.audio
        try reading { () throws(CDReadError) in track = try disc.readRaw(nextSector, into: raw) }
        let kind = ATAPIDrive.kind(track, raw)
        if wanted.expected != 0 && wanted.expected != kind.rawValue {
          failure = ATAPISense(5, 0x64, 0, at: UInt32(truncatingIfNeeded: nextSector))
        } else if let range = wanted.range(kind) {
          let start = end
          (buffer + end).copyMemory(from: raw + range.lowerBound, byteCount: range.count)
          end += range.count
          for n in 0..<wanted.errorBytes {
            buffer.storeBytes(of: 0, toByteOffset: end + n, as: UInt8.self)
          }
          end += wanted.errorBytes
          end += putSubchannel(disc, wanted.subchannel, at: end)
          sectorBytes = max(sectorBytes, end - start)
        } else {
          failure = .invalidField
        }
      } catch { failure = sense(error) }
      if let failure {
        if end == 0 { return failure }
        break
      }
      took(1)
    }
    validEnd = end
    return nil
  }

  /// The kind of a raw sector.
  static func kind(_ track: CDTrackKind, _ raw: UnsafeRawPointer) -> ATAPISelection.Kind {
    switch track {
    case .audio: return .audio
    case .mode1: return .mode1
    case .mode2:
      let isTwice = (0..<4).allSatisfy {
        raw.load(fromByteOffset: 16 + $0, as: UInt8.self)
          == raw.load(fromByteOffset: 20 + $0, as: UInt8.self)
      }
      if !isTwice { return .formless }
      return raw.load(fromByteOffset: 18, as: UInt8.self) & 0x20 == 0 ? .form1 : .form2
    }
  }

  /// Puts the subchannel's data of the next sector into the buffer; returns how many bytes.
  private func putSubchannel(_ disc: CDImage, _ which: UInt8, at end: Int) -> Int {
    guard which != 0 else { return 0 }
    let q = disc.subchannelQ(at: nextSector)
    let isPause = disc.position(at: nextSector)?.index == 0
    var bytes: [UInt8]
    switch which {
    case 1:
      // A bit of each channel in every byte: P in bit 7, Q in bit 6.
      bytes = (0..<96).map { n in
        (isPause ? 0x80 : 0) | (q[n / 8] >> UInt8(7 - n % 8) & 1) << 6
      }
    case 2: bytes = q + [0, 0, 0, isPause ? 0x80 : 0]
    default: bytes = [UInt8](repeating: 0, count: 96)
    }
    bytes.withUnsafeBytes {
      (buffer + end).copyMemory(from: $0.baseAddress!, byteCount: bytes.count)
    }
    return bytes.count
  }
}
