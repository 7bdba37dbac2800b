// CD images: what is read of each kind of sector, what is made where the file lacks it, CUE sheets and ISO files and what is wrong with
// them. Expectations are those of ECMA-130, ECMA-119 and the CUE sheet commands, computed here another way than the program does.

import Foundation
import Testing

@testable import Storage

/// GF(2^8) of ECMA-130 annex A by its definition: multiplication bit by bit.
private func product(_ a: UInt8, _ b: UInt8) -> UInt8 {
  var (x, sum) = (UInt16(a), UInt8(0))
  for n in 0..<8 {
    if b >> UInt8(n) & 1 != 0 { sum ^= UInt8(x & 0xFF) }
    x <<= 1
    if x & 0x100 != 0 { x ^= 0x11D }
  }
  return sum
}

/// Alpha to a power.
private func alpha(_ power: Int) -> UInt8 {
  (0..<power).reduce(1) { value, _ in product(value, 2) }
}

/// The two syndromes of a vector: both are zero for a code word.
private func syndromes(_ vector: [UInt8]) -> [UInt8] {
  let plain = vector.reduce(0, ^)
  let weighted = vector.enumerated().reduce(UInt8(0)) {
    $0 ^ product(alpha(vector.count - 1 - $1.offset), $1.element)
  }
  return [plain, weighted]
}

/// Whether all P and Q vectors of a sector are code words (ECMA-130 A.5 and A.6).
private func isCodeWord(_ sector: [UInt8]) -> Bool {
  for half in 0..<2 {
    let bytes = (0..<1170).map { sector[12 + 2 * $0 + half] }
    for n in 0..<43 {
      if syndromes((0..<26).map { bytes[43 * $0 + n] }) != [0, 0] { return false }
    }
    for n in 0..<26 {
      let data = (0..<43).map { bytes[(44 * $0 + 43 * n) % 1118] }
      if syndromes(data + [bytes[1118 + n], bytes[1144 + n]]) != [0, 0] { return false }
    }
  }
  return true
}

/// The remainder of bytes and their EDC by the polynomial of ECMA-130 14.3, bits of a byte from the least significant one.
private func edcRemainder(_ bytes: ArraySlice<UInt8>) -> UInt64 {
  // (x^16 + x^15 + x^2 + 1)(x^16 + x^2 + x + 1)
  var polynomial: UInt64 = 0
  for a in [16, 15, 2, 0] { for b in [16, 2, 1, 0] { polynomial ^= 1 << UInt64(a + b) } }
  var rest: UInt64 = 0
  for byte in bytes {
    for n in 0..<8 {
      rest = rest << 1 | UInt64(byte >> UInt8(n) & 1)
      if rest >> 32 & 1 != 0 { rest ^= polynomial }
    }
  }
  return rest
}

/// Bytes that differ from sector to sector.
private func pattern(_ count: Int, _ seed: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 37) ^ ($0 >> 5) &+ seed &* 101) }
}

private func context(_ files: [String: [UInt8]], kind: ImageKind = .cd) -> ImageContext {
  ImageContext(kind: kind) { name throws(StorageError) in
    guard let bytes = files[name] else {
      throw StorageError.missing(name)
    }
    return MemoryStore(bytes, name: name, isWritable: false)
  }
}

private func cue(_ text: String, _ files: [String: [UInt8]] = [:]) throws -> CDImage {
  let store = MemoryStore(Array(text.utf8), name: "x.cue", isWritable: false)
  return try #require(try ImageFormats.open(store, context(files)).cd)
}

private func iso(_ bytes: [UInt8], kind: ImageKind = .cd) throws -> ImageContents {
  try ImageFormats.open(
    MemoryStore(bytes, name: "x.iso", isWritable: false), context([:], kind: kind))
}

private func raw(_ image: CDImage, _ lba: Int) throws -> [UInt8] {
  var bytes = [UInt8](repeating: 0xEE, count: 2352)
  try bytes.withUnsafeMutableBytes { _ = try image.readRaw(lba, into: $0.baseAddress!) }
  return bytes
}

private func user(_ image: CDImage, _ lba: Int, _ count: Int = 1) throws -> [UInt8] {
  var bytes = [UInt8](repeating: 0xEE, count: 2048 * count)
  try bytes.withUnsafeMutableBytes {
    try image.readUserData(lba, count: count, into: $0.baseAddress!)
  }
  return bytes
}

/// A file system of so many sectors, as far as volume descriptors go.
private func volume(_ sectors: Int, says: Int? = nil) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: sectors * 2048)
  let size = UInt32(says ?? sectors)
  let little = (0..<4).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) }
  var at = 16 * 2048
  bytes[at] = 1
  bytes.replaceSubrange(at + 1..<at + 6, with: Array("CD001".utf8))
  bytes.replaceSubrange(at + 40..<at + 45, with: Array("APUS ".utf8))
  bytes.replaceSubrange(at + 80..<at + 88, with: little + little.reversed())
  bytes.replaceSubrange(at + 128..<at + 132, with: [0, 8, 8, 0])
  bytes[at + 158] = 18
  at += 2048
  bytes[at] = 255
  bytes.replaceSubrange(at + 1..<at + 6, with: Array("CD001".utf8))
  return bytes
}

private func reason(_ body: () throws -> Void) -> String {
  do {
    try body()
    return ""
  } catch { return "\(error)" }
}

@Suite struct CDImageTests {
  @Test func aSectorOfUserDataGetsWhatTheStandardPutsAround() throws {
    let data = pattern(2048 * 20, 1)
    let image = try #require(try iso(data).cd)
    let sector = try raw(image, 9)
    #expect(Array(sector[0..<12]) == [0] + [UInt8](repeating: 0xFF, count: 10) + [0])
    // 2 seconds and 9 frames, mode 1.
    #expect(Array(sector[12..<16]) == [0x00, 0x02, 0x09, 1])
    #expect(Array(sector[16..<2064]) == Array(data[9 * 2048..<10 * 2048]))
    #expect(edcRemainder(sector[0..<2068]) == 0)
    #expect(sector[2068..<2076].allSatisfy { $0 == 0 })
    #expect(isCodeWord(sector))
    // A single wrong byte is none.
    var wrong = sector
    wrong[1000] ^= 1
    #expect(!isCodeWord(wrong) && edcRemainder(wrong[0..<2068]) != 0)
    #expect(try user(image, 3, 4) == Array(data[3 * 2048..<7 * 2048]))
  }

  @Test func form1SectorsHaveASubheaderAndAnECCThatLeavesTheHeaderOut() throws {
    let image = try cue(
      "FILE \"a\" BINARY\nTRACK 01 MODE2/2048\nINDEX 01 00:00:00\n", ["a": pattern(2048 * 3, 4)])
    var sector = try raw(image, 2)
    #expect(Array(sector[12..<16]) == [0, 2, 2, 2])
    #expect(Array(sector[16..<24]) == [0, 0, 8, 0, 0, 0, 8, 0])
    #expect(edcRemainder(sector[16..<2076]) == 0)
    for n in 12..<16 { sector[n] = 0 }
    #expect(isCodeWord(sector))
    #expect(try user(image, 2) == Array(pattern(2048 * 3, 4)[4096...]))
    // An XA disc says so in its table of contents.
    #expect(image.tableOfContents()[0].value == (1, 0x20, 0))
  }

  /// A file of whole sectors may be an odd disc; what is neither that nor has a volume was made for something else.
  @Test func whatHasNoVolumeIsToldOrRefused() throws {
    let odd = try iso(pattern(2048 * 20, 7))
    #expect(
      odd.warnings.count == 1 && odd.warnings[0].hasPrefix("x.iso: as a CD it may be unreadable"))
    #expect {
      _ = try iso(pattern(2048 * 20 + 1000, 7))
    } throws: {
      "\($0)".contains("is no CD image: its 41960 bytes are no whole sectors of 2048")
    }
    // ISO 9660, UDF (ECMA-167 2/9.2), HFS (logical block 2), a partition map (block 1).
    #expect(try iso(volume(60)).warnings.isEmpty)
    #expect(try iso(volume(60) + [1, 2, 3]).warnings[0].contains("the last 3 bytes"))
    for (mark, at) in [
      ("BEA01", 16 * 2048 + 1), ("NSR02", 17 * 2048 + 1), ("BD", 1024), ("PM", 512),
    ] {
      var bytes = [UInt8](repeating: 0, count: 40 * 2048)
      bytes.replaceSubrange(at..<at + mark.utf8.count, with: Array(mark.utf8))
      #expect(try iso(bytes).warnings.isEmpty, "\(mark)")
      #expect(try iso(bytes + [0, 0]).cd?.leadOut == 41, "\(mark)")
    }
  }

  @Test func rawFilesAreReadByTheirHeaders() throws {
    let data = pattern(2048 * 4, 7)
    let plain = try #require(try iso(data).cd)
    var bytes: [UInt8] = []
    for n in 0..<4 { bytes += try raw(plain, n) }
    let contents = try iso(bytes)
    let image = try #require(contents.cd)
    #expect(image.leadOut == 4 && image.tracks[0].kind == .mode1)
    #expect(try user(image, 0, 4) == data)
    #expect(try raw(image, 2) == Array(bytes[2 * 2352..<3 * 2352]))
    // Half a sector behind the last one is none.
    #expect(try iso(bytes + [1, 2, 3]).cd?.leadOut == 4)
    #expect(try iso(bytes + [1, 2, 3]).warnings[0].contains("the last 3 bytes"))
    // Form 2 has no user data of 2048 bytes.
    var form2 = bytes
    form2[15] = 2
    form2[18] = 0x20
    form2[22] = 0x20
    let mixed = try #require(try iso(form2).cd)
    #expect(throws: CDReadError.wrongMode) { try user(mixed, 0) }
    #expect(throws: CDReadError.outside) { try user(mixed, 4) }
  }

  @Test func aSheetOfDataAndAudioInOneFile() throws {
    var bytes: [UInt8] = []
    let plain = try #require(try iso(pattern(2048 * 100, 2)).cd)
    for n in 0..<100 { bytes += try raw(plain, n) }
    let audio = pattern(2352 * 300, 9)
    let image = try cue(
      """
      CATALOG 1234567890123
      FILE "x y.bin" BINARY
        TRACK 01 MODE1/2352
          INDEX 01 00:00:00
        TRACK 02 AUDIO
          FLAGS DCP PRE
          ISRC ABCDE1234567
          PREGAP 00:02:00
          INDEX 01 00:01:25
          INDEX 02 00:02:00
        TRACK 03 AUDIO
          INDEX 00 00:03:00
          INDEX 01 00:04:00
      """, ["x y.bin": bytes + audio])
    #expect(image.catalogue == "1234567890123" && image.sessions.count == 1)
    // Track 2: behind 100 sectors of data and 150 of silence; track 3: 200 sectors later, 75 of them pause.
    #expect(image.tracks.map(\.start) == [0, 250, 450])
    #expect(image.tracks.map(\.pregap) == [0, 100, 375])
    #expect(image.leadOut == 550)
    #expect(image.tracks.map(\.control) == [4, 3, 0])
    #expect(image.tracks[1].isrc == "ABCDE1234567" && image.tracks[1].indices == [300])
    #expect(try raw(image, 200) == [UInt8](repeating: 0, count: 2352))
    #expect(try raw(image, 250) == Array(audio[..<2352]))
    #expect(try raw(image, 549) == Array(audio[(299 * 2352)...]))
    #expect(throws: CDReadError.wrongMode) { try user(image, 250) }
    // Q: control and ADR, track, index, time in the track, zero, time on the disc, all in BCD.
    #expect(Array(image.subchannelQ(at: 261)[..<10]) == [0x31, 2, 1, 0, 0, 0x11, 0, 0, 5, 0x36])
    #expect(Array(image.subchannelQ(at: 300)[..<10]) == [0x31, 2, 2, 0, 0, 0x50, 0, 0, 6, 0])
    // In a pause the time runs backwards to the track.
    #expect(Array(image.subchannelQ(at: 440)[..<6]) == [0x01, 3, 0, 0, 0, 0x10])
    #expect(Array(image.subchannelQ(at: 551)[..<3]) == [0x01, 0xAA, 1])
    // The CRC is inverted on the disc, so that all bytes leave a remainder of ones (ECMA-130 22.3.3.4).
    var rest: UInt32 = 0
    for byte in image.subchannelQ(at: 261) {
      for n in (0..<8).reversed() {
        rest = rest << 1 | UInt32(byte >> UInt8(n) & 1)
        if rest >> 16 & 1 != 0 { rest ^= 0x1_1021 }
      }
    }
    #expect(rest == 0xFFFF)
    #expect(
      image.tableOfContents().map(\.point) == [0xA0, 0xA1, 0xA2, 1, 2, 3])
  }

  @Test func sessionsAreApartAsTheMultisessionStandardHasIt() throws {
    let image = try cue(
      """
      REM SESSION 01
      FILE "a" BINARY
        TRACK 01 MODE1/2048
          INDEX 01 00:00:00
      REM SESSION 02
      FILE "b" BINARY
        TRACK 02 MODE1/2048
          INDEX 01 00:00:00
      """, ["a": pattern(2048 * 30, 0), "b": pattern(2048 * 40, 5)])
    #expect(image.sessions.map(\.leadOut) == [30, 30 + 11400 + 40])
    #expect(image.tracks[1].start == 30 + 11400)
    #expect(try user(image, 30 + 11400) == Array(pattern(2048 * 40, 5)[..<2048]))
    #expect(throws: CDReadError.blank) { try user(image, 5000) }
    #expect(
      image.tableOfContents().map(\.point) == [
        0xA0, 0xA1, 0xA2, 1, 0xB0, 0xC0, 0xA0, 0xA1, 0xA2, 2, 0xB0,
      ])
    #expect(image.tableOfContents(from: 2).first?.session == 2)
  }

  @Test func aPauseMayStandInTheFileBefore() throws {
    let image = try cue(
      """
      FILE "a" BINARY
        TRACK 01 AUDIO
          INDEX 01 00:00:00
        TRACK 02 AUDIO
          INDEX 00 00:00:50
      FILE "b" MOTOROLA
          INDEX 01 00:00:00
      """, ["a": pattern(2352 * 60, 1), "b": pattern(2352 * 20, 2)])
    #expect(image.tracks.map(\.start) == [0, 60] && image.tracks[1].pregap == 50)
    let swapped = pattern(2352 * 20, 2)
    #expect(Array(try raw(image, 60)[..<4]) == [swapped[1], swapped[0], swapped[3], swapped[2]])
  }

  @Test func aWrongSheetIsRefusedWithLineAndReason() {
    let file = pattern(2352 * 10, 0)
    func refusal(_ text: String) -> String { reason { _ = try cue(text, ["a": file]) } }
    let head = "FILE \"a\" BINARY\n"
    #expect(
      refusal(head + "TRACK 01 AUDIO\nINDEX 01 00:00:99\n")
        == "x.cue: line 3: INDEX takes a number from 0 to 99 and a time MM:SS:FF")
    #expect(
      refusal(head + "TRACK 01 AUDIO\nINDEX 01 00:00:00\nTRACK 02 AUDIO\nINDEX 01 00:02:00\n")
        == "x.cue: line 5: INDEX 1 lies behind the end of 'a' (23520 bytes)")
    #expect(
      refusal(head + "TRACK 01 MODE1/2352\nINDEX 01 00:00:00\n")
        == "a: at offset 0: track 1 is MODE1/2352, but no sector of 2352 bytes begins here")
    #expect(
      refusal(head + "TRACK 01 AUDIO\nINDEX 02 00:00:00\n").contains(
        "line 2: track 1 begins with INDEX 2"))
    #expect(
      refusal(head + "TRACK 02 AUDIO\nINDEX 01 00:00:00\nTRACK 04 AUDIO\n").contains(
        "line 4: track 4 follows track 2"))
    #expect(refusal(head + "TRACK 01 CDG\n").contains("line 2: tracks of mode 'CDG'"))
    #expect(
      refusal(head + "TRACK 01 AUDIO\nINDEX 01 00:00:05\nINDEX 02 00:00:04\n").contains(
        "line 4: INDEX 02 at 00:00:04 lies before"))
    #expect(refusal(head + "TRACK 01 AUDIO\n").contains("line 2: track 1 has no INDEX"))
    #expect(
      refusal("FILE \"b\" BINARY\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n")
        == "x.cue: line 1: b: there is no such file")
    #expect(
      refusal("FILE \"a\" MP3\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n").contains(
        "line 1: files of kind 'MP3'"))
    #expect(
      refusal("REM SESSION 3\nFILE \"a\" BINARY\nTRACK 01 AUDIO\n").contains(
        "line 1: session 3 follows 0"))
    #expect(
      refusal(
        head
          + "TRACK 01 AUDIO\nINDEX 01 00:00:00\nPOSTGAP 99:59:00\nTRACK 02 AUDIO\nINDEX 01 00:00:09\n"
      ).contains("ends behind 99:59:74"))
    #expect(
      refusal(head + "TRACK 01 AUDIO\nINDEX 01 00:00:00\nTRACK 02 AUDIO\nINDEX 01 00:00:00\n")
        .contains("track 1 has no sectors"))
    #expect(refusal(head + "NONSENSE\nTRACK 01 AUDIO\n").contains("line 2"))
  }

  @Test func damagedVolumesAreTold() throws {
    #expect(try iso(volume(100)).notes.last == "ISO 9660 volume 'APUS' of 100 sectors")
    let short = try iso(volume(50, says: 90))
    #expect(short.cd?.leadOut == 50)
    #expect(
      short.warnings == [
        "x.iso: at offset 102400: the file ends behind 50 sectors, but its volume has 90: it was cut short"
      ])
    func refusal(_ change: (inout [UInt8]) -> Void) -> String {
      var bytes = volume(60)
      change(&bytes)
      return reason { _ = try iso(bytes) }
    }
    #expect(
      refusal { $0[32768 + 84] = 7 }.hasPrefix(
        "x.iso: at offset 32848: the volume descriptor is damaged: its size"))
    #expect(
      refusal { $0[32768 + 129] = 7 }.contains(
        "at offset 32896: the volume descriptor is damaged: logical blocks"))
    #expect(refusal { $0[32768 + 158] = 99 }.contains("at offset 32926"))
    #expect(
      refusal { $0[34817] = 0 }.contains(
        "at offset 34817: the volume descriptor is damaged: 'CD001' is missing"))
    #expect(refusal { $0.removeLast(2048 * 43) }.contains("the file ends before the last one"))
    #expect(reason { _ = try iso([1, 2, 3]) } == "x.iso: is less than one sector of a CD")
  }

  @Test func whatIsLargerThanACDIsADVD() throws {
    final class Large: ByteStore {
      let name = "dvd"
      let size: UInt64
      let isWritable = false
      init(_ sectors: UInt64) { size = sectors * 2048 }
      func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
      {
        for n in buffer.indices { buffer[n] = 0 }
      }
      func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {}
      func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {}
      func setSize(_ size: UInt64) throws(StorageError) {}
      func flush() throws(StorageError) {}
    }
    #expect(try ImageFormats.open(Large(360_000), context([:])).cd?.isDVD == false)
    let dvd = try #require(try ImageFormats.open(Large(2_295_104), context([:])).cd)
    #expect(dvd.isDVD && dvd.leadOut == 2_295_104)
    #expect(throws: StorageError.self) { try ImageFormats.open(Large(1 << 24), context([:])) }
  }

  @Test func aDiscOnTheHostIsOneSetOfFilesThatNobodyWrites() throws {
    let scratch = Scratch()
    let data = scratch.file("d.bin", pattern(2048 * 40, 3))
    let sheet = scratch.file(
      "d.cue", Array("FILE d.bin BINARY\nTRACK 01 MODE1/2048\nINDEX 01 00:00:00\n".utf8))
    let image = try ImageOpener.open(path: sheet, kind: .cd)
    guard case .cd(let cd) = image.medium else {
      Issue.record("no CD")
      return
    }
    #expect(cd.leadOut == 40 && image.device.isReadOnly)
    #expect(image.device.layers.compactMap(\.file) == [sheet, data])
    // Sheet and data together are what a state or a recording knows it by.
    let hash = try image.device.contentHash()
    let other = scratch.file("other.bin", pattern(2048 * 40, 4))
    #expect(throws: StorageError.self) {
      try ImageOpener.open(path: data, kind: .disk).device.write(
        block: 0, [UInt8](repeating: 0, count: 512))
    }
    image.device.close()
    _ = other
    let again = try ImageOpener.open(path: sheet)
    #expect(try again.device.contentHash() == hash)
    // A sheet names only what lies beside it.
    let away = scratch.file(
      "away.cue", Array("FILE ../d.bin BINARY\nTRACK 01 MODE1/2048\nINDEX 01 00:00:00\n".utf8))
    #expect(throws: StorageError.self) { try ImageOpener.open(path: away) }
  }

  @Test func noSheetAndNoFileCrashes() {
    var state: UInt64 = 88_172_645_463_325_252
    func random(_ limit: Int) -> Int {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Int(state >> 1) % limit
    }
    let words = [
      "FILE", "\"a\"", "BINARY", "WAVE", "MOTOROLA", "TRACK", "INDEX", "PREGAP", "POSTGAP", "AUDIO",
      "MODE1/2352", "MODE2/2336", "MODE1/2048", "00", "01", "02", "99", "00:00:00", "00:00:01",
      "99:59:74", "999:59:74", "REM", "SESSION", "FLAGS", "ISRC", "\n", "\n", "\n", "\"", "-1",
    ]
    let file = pattern(2352 * 8, 0)
    var opened = 0
    for round in 0..<20_000 {
      var text = "FILE \"a\" BINARY\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n"
      if round & 1 == 0 { text = "FILE \"a\" BINARY\n" }
      for _ in 0..<random(20) { text += words[random(words.count)] + (random(4) == 0 ? "\n" : " ") }
      guard let image = try? cue(text, ["a": file]) else { continue }
      opened += 1
      for _ in 0..<4 {
        let lba = random(image.leadOut + 400) - 200
        _ = try? raw(image, lba)
        _ = try? user(image, lba)
        _ = image.subchannelQ(at: lba)
      }
      _ = image.tableOfContents()
    }
    #expect(opened > 100)
    for _ in 0..<500 {
      var bytes = volume(20 + random(4))
      for _ in 0..<8 { bytes[32768 + random(4096)] = UInt8(random(256)) }
      _ = try? iso(bytes)
    }
  }
}
