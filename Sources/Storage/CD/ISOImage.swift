// A file of nothing but the sectors of one data track: an ISO file, or a raw dump.
//
// Owns: which of the two it is, what its volume descriptors say against it. Must not know: directories, drives.
// After: ECMA-119 (ISO 9660) clauses 8.1 to 8.4, the El Torito specification 1.0 (boot record volume descriptor), ECMA-167 (UDF) 2/9,
// Inside Macintosh: Files (signatures of HFS volumes), Technical Note TN1150 (HFS Plus), Inside Macintosh: Devices (partition maps).

extension CDContents {
  /// What is in a file that has data sectors from its start.
  private struct Volume {
    var size: Int
    var name: String
    var isBootable = false
  }

  /// A file with one data track.
  init(sectors store: any ByteStore) throws(StorageError) {
    let head = try store.bytes(at: 0, count: 16)
    var form = CDExtent.Form.user
    var kind = CDTrackKind.mode1
    if head.starts(with: CDSector.sync), head.count == 16 {
      form = .raw
      switch head[15] & 3 {
      case 1: kind = .mode1
      case 2: kind = .mode2
      default:
        throw StorageError(
          path: store.name, offset: 15,
          reason: "the first sector's header says mode \(head[15]), which no data sector has")
      }
    }
    if form == .raw { try CDContents.checkSpacing(store) }
    try CDContents.refuseOthers(store, head)
    var notes: [String] = []
    var warnings: [String] = []
    let size = UInt64(form.rawValue)
    let tail = store.size % size
    // The end of a last sector of user data reads as zeros; half a raw one is none.
    let count = store.size / size + (tail != 0 && form == .user ? 1 : 0)
    if store.size < size {
      throw StorageError(path: store.name, reason: "is less than one sector of a CD")
    }
    if count > 1 << 23 {
      throw StorageError(
        path: store.name, reason: "\(count) sectors are more than a DVD has (\(1 << 23))")
    }
    if tail != 0 {
      warnings.append(
        "\(store.name): the last \(tail) bytes are no whole sector of \(size) bytes"
          + (form == .user ? ": the rest of it reads as zeros" : " and are left out"))
    }
    let isDVD = form == .user && count > UInt64(CDAddress.largestCD)
    if form == .raw {
      notes.append("sectors of 2352 bytes, mode \(kind == .mode1 ? 1 : 2)")
      if count > UInt64(CDAddress.frameLimit - CDAddress.firstPause) {
        throw StorageError(path: store.name, reason: "\(count) sectors do not go on a CD")
      }
    }
    let track = CDTrack(
      number: 1, session: 1, kind: kind, pregap: 0, start: 0, end: Int(count))
    image = CDImage(
      name: store.name, tracks: [track],
      sessions: [CDSession(number: 1, firstTrack: 1, lastTrack: 1, leadOut: Int(count))],
      extents: [CDExtent(start: 0, count: Int(count), form: form, store: store, kind: kind)],
      isDVD: isDVD)
    stores = [store]
    notes.append(image.description)
    if let volume = try CDContents.volume(image, store, form) {
      notes.append(
        "ISO 9660 volume '\(volume.name)' of \(volume.size) sectors"
          + (volume.isBootable ? ", with El Torito boot" : ""))
      if volume.size > Int(count) {
        warnings.append(
          "\(store.name): at offset \(store.size): the file ends behind \(count) sectors, but its volume has "
            + "\(volume.size): it was cut short")
      }
    } else if let other = try CDContents.otherVolume(store, form) {
      notes.append("no ISO 9660 volume in it, but \(other)")
    } else {
      notes.append("no ISO 9660 volume in it")
      if form == .user {
        // Drives read whatever is on a disc, but a file of no whole sectors was made for something else.
        if tail != 0 {
          throw StorageError(
            path: store.name,
            reason: "is no CD image: its \(store.size) bytes are no whole sectors of 2048, and "
              + CDContents.noVolume)
        }
        warnings.append(
          "\(store.name): as a CD it may be unreadable to guests: " + CDContents.noVolume)
      }
    }
    self.notes = notes
    self.warnings = warnings
  }

  private static let noVolume = "no volume that is known (ISO 9660, UDF, HFS) begins in it"

  /// A volume of another kind, in words; nil: none that is known.
  private static func otherVolume(
    _ store: any ByteStore, _ form: CDExtent.Form
  ) throws(StorageError) -> String? {
    guard form == .user else { return nil }
    // UDF's recognition sequence stands where ISO 9660's would.
    for number in UInt64(16)..<20 {
      let name = try store.bytes(at: number * 2048 + 1, count: 5)
      if ["BEA01", "NSR02", "NSR03"].contains(where: { name.elementsEqual($0.utf8) }) {
        return "a UDF one"
      }
      if name.elementsEqual("CD-I ".utf8) { return "a CD-i one" }
    }
    let master = try store.bytes(at: 1024, count: 2)
    if ["BD", "H+", "HX"].contains(where: { master.elementsEqual($0.utf8) }) {
      return "an HFS one"
    }
    // A map of partitions, as discs for the Macintosh have it.
    if try store.bytes(at: 512, count: 2).elementsEqual("PM".utf8) {
      return "an Apple partition map"
    }
    return nil
  }

  /// Refuses raw sectors with something between them.
  private static func checkSpacing(_ store: any ByteStore) throws(StorageError) {
    let sync = CDSector.sync
    func begins(_ offset: UInt64) throws(StorageError) -> Bool {
      try store.bytes(at: offset, count: sync.count).starts(with: sync)
    }
    if store.size < 2 * 2448 { return }
    if try begins(2352) { return }
    for size: UInt64 in [2368, 2448] where try begins(size) {
      throw StorageError(
        path: store.name, offset: 2352,
        reason:
          "sectors of \(size) bytes, with subchannels, cannot be read (2048 and 2352 can): make an image without them"
      )
    }
  }

  /// Refuses what other programs make of discs.
  private static func refuseOthers(
    _ store: any ByteStore, _ head: [UInt8]
  ) throws(StorageError) {
    func refusal(_ what: String) -> StorageError {
      StorageError(path: store.name, reason: "is \(what)")
    }
    if head.starts(with: Array("[CloneCD]".utf8)) {
      throw refusal("a CloneCD sheet: give the .img file beside it, or a CUE sheet")
    }
    if head.starts(with: Array("MEDIA DESCRIPTOR".utf8)) {
      throw refusal("a descriptor of Alcohol 120%: give the .mdf file beside it")
    }
    if store.size >= 12 {
      let tail = try store.bytes(at: store.size - 12, count: 12)
      if tail.starts(with: Array("NER5".utf8)) || tail.dropFirst(4).starts(with: Array("NERO".utf8))
      {
        throw refusal(
          "a Nero image, which cannot be read: convert it to an ISO file, or BIN and CUE")
      }
    }
    if store.name.lowercased().hasSuffix(".cue") {
      throw refusal(
        "no CUE sheet: it does not begin with a command of one, or has no FILE or no TRACK")
    }
  }

  /// The primary volume descriptor, if the disc has one.
  /// - Throws: when it contradicts itself.
  private static func volume(
    _ image: CDImage, _ store: any ByteStore, _ form: CDExtent.Form
  ) throws(StorageError) -> Volume? {
    var found: Volume?
    var isBootable = false
    var isSequence = false
    let sector = UnsafeMutableRawPointer.allocate(byteCount: CDSector.userSize, alignment: 16)
    defer { sector.deallocate() }
    for number in 16..<32 {
      func refusal(_ at: Int, _ reason: String) -> StorageError {
        let inside = form == .user ? 0 : image.tracks[0].kind == .mode1 ? 16 : 24
        return StorageError(
          path: store.name, offset: UInt64(number * form.rawValue + inside + at),
          reason: "the volume descriptor is damaged: \(reason)")
      }
      if number >= image.leadOut {
        if isSequence { throw refusal(0, "the file ends before the last one (type 255)") }
        break
      }
      do throws(CDReadError) { try image.readUserData(number, into: sector) } catch { break }
      let bytes = Array(UnsafeRawBufferPointer(start: sector, count: CDSector.userSize))
      guard bytes[1...5].elementsEqual("CD001".utf8) else {
        if isSequence { throw refusal(1, "'CD001' is missing") }
        break
      }
      isSequence = true
      func word(_ at: Int) -> Int { Int(bytes[at]) | Int(bytes[at + 1]) << 8 }
      func double(_ at: Int) -> Int { word(at) | word(at + 2) << 16 }
      func bigDouble(_ at: Int) -> Int {
        (0..<4).reduce(0) { $0 << 8 | Int(bytes[at + $1]) }
      }
      switch bytes[0] {
      case 0: isBootable = isBootable || bytes[7..<30].elementsEqual("EL TORITO SPECIFICATION".utf8)
      case 1 where found == nil:
        if double(80) != bigDouble(84) {
          throw refusal(80, "its size is \(double(80)) and \(bigDouble(84)) at once")
        }
        if double(80) == 0 { throw refusal(80, "its size is zero") }
        let block = word(128)
        if ![512, 1024, 2048].contains(block) {
          throw refusal(128, "logical blocks of \(block) bytes")
        }
        if double(158) == 0 || double(158) >= double(80) {
          throw refusal(158, "the root directory at block \(double(158)) of \(double(80))")
        }
        let name = String(decoding: bytes[40..<72], as: UTF8.self)
        found = Volume(
          size: (double(80) * block + 2047) / 2048,
          name: CUESheet.printable(String(name.prefix { $0 != "\0" })).trimmedEnd)
      case 255:
        found?.isBootable = isBootable
        return found
      default: break
      }
    }
    found?.isBootable = isBootable
    return found
  }
}

extension String {
  /// Without the spaces at its end.
  fileprivate var trimmedEnd: String {
    var text = self[...]
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}
