// The disc that a CUE sheet and its files make.
//
// Owns: opening the files, where each track's sectors are in them, what contradicts the sheet. Must not know: grammar, drives.

/// A disc and what it is made of.
struct CDContents {
  var image: CDImage
  /// Every file, the one that was named first.
  var stores: [any ByteStore]
  var notes: [String] = []
  var warnings: [String] = []
}

extension CDContents {
  /// A file of the sheet: which of its bytes are sectors.
  private struct Source {
    var store: any ByteStore
    var offset: UInt64
    var size: UInt64
    var isSwapped: Bool
  }

  /// Opens what a sheet names.
  init(cue store: any ByteStore, _ context: ImageContext) throws(StorageError) {
    if store.size > CUESheet.largest {
      throw StorageError(path: store.name, reason: "is too long for a CUE sheet")
    }
    let sheet = try CUESheet(
      store.bytes(at: 0, count: Int(store.size)), name: store.name)
    func refusal(_ line: Int, _ reason: String) -> StorageError {
      StorageError(path: store.name, reason: "line \(line): \(reason)")
    }
    var sources: [Source] = []
    for file in sheet.files {
      sources.append(try CDContents.source(file, store, context))
    }
    var warnings: [String] = []
    var layout = CDLayout()
    var session = 0
    // Where the next index of the same file begins.
    var offset: UInt64 = 0
    for (number, track) in sheet.tracks.enumerated() {
      while session < track.session {
        layout.beginSession()
        session += 1
      }
      var parts: [CDLayout.Part] = []
      // The first track of all has a pause of two seconds in any case.
      let pregap = number == 0 ? max(0, track.pregap - CDAddress.firstPause) : track.pregap
      if pregap > 0 { parts.append(CDLayout.Part(index: 0, count: pregap)) }
      for (place, index) in track.indices.enumerated() {
        let source = sources[index.file]
        let before =
          place > 0
          ? track.indices[place - 1] : number > 0 ? sheet.tracks[number - 1].indices.last : nil
        if track.kind != .audio, sheet.files[index.file].kind == .wave {
          throw refusal(index.line, "a data track in a WAVE file")
        }
        let size = UInt64(track.form.rawValue)
        if before?.file != index.file {
          offset = 0
          // What stands before the first index of a file belongs to its track's pause.
          if index.frames > 0 {
            guard UInt64(index.frames) * size <= source.size else {
              throw refusal(index.line, CDContents.beyond(index, source))
            }
            parts.append(
              CDLayout.Part(
                index: index.number == 0 ? 0 : max(0, index.number - 1), count: index.frames,
                store: source.store, offset: source.offset, isSwapped: source.isSwapped))
            offset = UInt64(index.frames) * size
          }
        }
        guard offset <= source.size else {
          throw refusal(index.line, CDContents.beyond(index, source))
        }
        let following =
          place + 1 < track.indices.count
          ? track.indices[place + 1]
          : number + 1 < sheet.tracks.count ? sheet.tracks[number + 1].indices.first : nil
        let count: Int
        if let following, following.file == index.file {
          count = following.frames - index.frames
          if offset + UInt64(count) * size > source.size {
            throw refusal(following.line, CDContents.beyond(following, source))
          }
        } else {
          let left = source.size - offset
          count = Int(min(left / size, UInt64(CDAddress.frameLimit)))
          if left % size != 0 {
            warnings.append(
              "\(source.store.name): the last \(left % size) bytes are no whole sector of \(size) "
                + "bytes and are left out")
          }
        }
        if index.number == 1 { try CDContents.check(track, source, offset, count) }
        parts.append(
          CDLayout.Part(
            index: index.number, count: count, store: source.store,
            offset: source.offset + offset, isSwapped: source.isSwapped))
        offset += UInt64(count) * size
      }
      if track.postgap > 0 {
        parts.append(
          CDLayout.Part(index: track.indices[track.indices.count - 1].number, count: track.postgap))
      }
      let plan = CDTrack(
        number: track.number, session: track.session, kind: track.kind, pregap: 0, start: 0, end: 0,
        flags: track.flags, isrc: track.isrc)
      if let reason = layout.add(plan, form: track.form, parts: parts) {
        throw refusal(track.line, reason)
      }
    }
    image = layout.image(name: store.name, catalogue: sheet.catalogue)
    stores = [store] + sources.map(\.store)
    notes = [image.description]
    self.warnings = warnings
  }

  private static func beyond(_ index: CUESheet.Index, _ source: Source) -> String {
    "INDEX \(index.number) lies behind the end of '\(source.store.name)' (\(source.size) bytes)"
  }

  /// Refuses a sheet that says another kind of sector than is in the file.
  private static func check(
    _ track: CUESheet.Track, _ source: Source, _ offset: UInt64, _ count: Int
  ) throws(StorageError) {
    guard track.kind != .audio, count > 0 else { return }
    let head = try source.store.bytes(at: source.offset + offset, count: 16)
    guard head.count == 16 else { return }
    if track.form != .raw {
      // Nobody's data begin so.
      if !head.starts(with: CDSector.sync) { return }
      throw StorageError(
        path: source.store.name, offset: source.offset + offset,
        reason: "track \(track.number) is \(track.mode), but sectors of 2352 bytes begin here")
    }
    // A pause may be nothing but zeros.
    if head.allSatisfy({ $0 == 0 }) { return }
    if !head.starts(with: CDSector.sync) {
      throw StorageError(
        path: source.store.name, offset: source.offset + offset,
        reason: "track \(track.number) is \(track.mode), but no sector of 2352 bytes begins here")
    }
    let mode = head[15] & 3
    if mode != 0 && mode != track.kind.rawValue {
      throw StorageError(
        path: source.store.name, offset: source.offset + offset + 15,
        reason: "track \(track.number) is \(track.mode), but the sector's header says mode \(mode)")
    }
  }

  private static func source(
    _ file: CUESheet.File, _ sheet: any ByteStore, _ context: ImageContext
  ) throws(StorageError) -> Source {
    let store: any ByteStore
    do throws(StorageError) { store = try context.file(named: plainName(file.name)) } catch {
      throw StorageError(path: sheet.name, reason: "line \(file.line): \(error)")
    }
    if file.kind == .wave {
      let (offset, size) = try WaveFile.samples(store)
      return Source(store: store, offset: offset, size: size, isSwapped: false)
    }
    if store.size == 0 {
      throw StorageError(
        path: sheet.name, reason: "line \(file.line): \(store.name): the file is empty")
    }
    return Source(store: store, offset: 0, size: store.size, isSwapped: file.kind == .motorola)
  }

  /// Sheets made on another computer may name a folder there: the file lies beside the sheet.
  private static func plainName(_ name: String) -> String {
    if let last = name.lastIndex(of: "\\") { return String(name[name.index(after: last)...]) }
    guard name.hasPrefix("/"), let last = name.lastIndex(of: "/") else { return name }
    return String(name[name.index(after: last)...])
  }
}

extension CDImage: CustomStringConvertible {
  /// The disc in words: tracks, sessions, size.
  public var description: String {
    if isDVD { return "a DVD of \(leadOut) sectors" }
    func count(_ number: Int, _ what: String) -> String? {
      number == 0 ? nil : "\(number) \(what)\(number == 1 ? "" : "s")"
    }
    let audio = tracks.count { $0.kind == .audio }
    let parts = [
      count(tracks.count - audio, "data track"), count(audio, "audio track"),
      sessions.count > 1 ? count(sessions.count, "session") : nil,
    ].compactMap { $0 }
    let (m, s, f) = CDAddress.msf(leadOut)
    func two(_ value: UInt8) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return "a CD: \(parts.joined(separator: ", ")), lead-out at \(two(m)):\(two(s)):\(two(f))"
  }
}

/// Samples in a RIFF file, as far as a CD has such.
enum WaveFile {
  /// Where the samples are.
  /// - Throws: when they are not 16 bits, two channels, 44,100 a second.
  static func samples(_ store: any ByteStore) throws(StorageError) -> (offset: UInt64, size: UInt64)
  {
    func word(_ bytes: [UInt8], _ at: Int, _ count: Int) -> UInt64 {
      (0..<count).reduce(0) { $0 | UInt64(bytes[at + $1]) << UInt64(8 * $1) }
    }
    let head = try store.bytes(at: 0, count: 12)
    guard head.count == 12, head.starts(with: Array("RIFF".utf8)),
      head[8...].elementsEqual("WAVE".utf8)
    else { throw StorageError(path: store.name, offset: 0, reason: "is no WAVE file") }
    var at: UInt64 = 12
    var isFitting = false
    for _ in 0..<1000 {
      let chunk = try store.bytes(at: at, count: 8)
      guard chunk.count == 8 else { break }
      let size = word(chunk, 4, 4)
      if chunk.starts(with: Array("fmt ".utf8)) {
        let format = try store.bytes(at: at + 8, count: 16)
        // FFFEh: the format stands behind, as the first bytes of a GUID.
        var kind = format.count == 16 ? word(format, 0, 2) : 0
        if kind == 0xFFFE, size >= 40 {
          let sub = try store.bytes(at: at + 8 + 24, count: 2)
          kind = sub.count == 2 ? word(sub, 0, 2) : 0
        }
        guard kind == 1, word(format, 2, 2) == 2, word(format, 4, 4) == 44100,
          word(format, 14, 2) == 16
        else {
          throw StorageError(
            path: store.name, offset: at,
            reason: "a CD has samples of 16 bits, two channels, 44100 a second; these are others")
        }
        isFitting = true
      } else if chunk.starts(with: Array("data".utf8)) {
        guard isFitting else {
          throw StorageError(path: store.name, offset: at, reason: "samples without a format")
        }
        return (at + 8, min(size, store.size - (at + 8)))
      }
      at += 8 + size + size % 2
    }
    throw StorageError(path: store.name, reason: "is a WAVE file without samples")
  }
}
