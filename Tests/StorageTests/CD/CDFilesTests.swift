// CD images as other programs and other computers leave them: names, sounds, sectors with more in them than a drive reads, descriptions that
// are none.

import Foundation
import Testing

@testable import Storage

private final class Folder {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent(
    "apus-cds-\(UUID().uuidString)")
  init() throws {
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(at: url) }

  @discardableResult
  func file(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = url.appendingPathComponent(name)
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: file)
    return file.path
  }

  /// The disc of a sheet.
  func cue(_ text: String, name: String = "x.cue") throws -> CDImage {
    let image = try ImageOpener.open(path: try file(name, Array(text.utf8)), kind: .cd)
    guard case .cd(let cd) = image.medium else { throw StorageError(path: name, reason: "no CD") }
    return cd
  }

  func refusal(_ text: String) -> String {
    do {
      _ = try cue(text)
      return ""
    } catch { return "\(error)" }
  }
}

private func raw(_ count: Int, mode: UInt8 = 1, gap: Int = 0) -> [UInt8] {
  var bytes: [UInt8] = []
  for n in 0..<count {
    bytes += [0] + [UInt8](repeating: 0xFF, count: 10) + [0]
    bytes += [0, 2, UInt8(n % 75), mode]
    bytes += [UInt8](repeating: UInt8(truncatingIfNeeded: n), count: 2336 + gap)
  }
  return bytes
}

private func wave(
  format: UInt16 = 1, channels: UInt16 = 2, bits: UInt16 = 16, sectors: Int,
  extensible: Bool = false
) -> [UInt8] {
  func little(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
  let data = [UInt8](repeating: 0x11, count: sectors * 2352)
  var head = little(extensible ? 0xFFFE : Int(format), 2) + little(Int(channels), 2)
  head += little(44100, 4) + little(176_400, 4) + little(4, 2) + little(Int(bits), 2)
  if extensible {
    head += little(22, 2) + little(16, 2) + little(3, 4) + little(Int(format), 2)
    head += [UInt8](repeating: 0, count: 14)
  }
  let chunks =
    Array("fmt ".utf8) + little(head.count, 4) + head + Array("data".utf8) + little(data.count, 4)
    + data
  return Array("RIFF".utf8) + little(chunks.count + 4, 4) + Array("WAVE".utf8) + chunks
}

@Suite struct CDFilesTests {
  private let sheet = "FILE \"%\" BINARY\n TRACK 01 MODE1/2352\n  INDEX 01 00:00:00\n"
  private func sheet(_ name: String) -> String { sheet.replacingOccurrences(of: "%", with: name) }

  @Test func namesAreFoundAsTheyWereMeant() throws {
    let folder = try Folder()
    try folder.file("Game Disc.bin", raw(20))
    try folder.file("sub/track.bin", raw(30))
    for name in [
      "Game Disc.bin", "GAME DISC.BIN", "game disc.bin", "./Game Disc.bin",
      "C:\\CDs\\Game Disc.bin",
      "/home/me/Game Disc.bin",
    ] { #expect(try folder.cue(sheet(name)).leadOut == 20, "\(name)") }
    for name in ["sub/track.bin", "SUB/TRACK.BIN"] {
      #expect(try folder.cue(sheet(name)).leadOut == 30, "\(name)")
    }
    // Without quotes, and with commands in small letters.
    let small = "file Game Disc.bin binary\r\n track 01 mode1/2352\r\n  index 01 00:00:00\r\n"
    #expect(try folder.cue(small).leadOut == 20)
    // Two that differ in nothing else are not guessed at.
    try folder.file("GAME DISC.bin", raw(21))
    #expect(folder.refusal(sheet("game disc.BIN")).contains("there is no such file"))
    #expect(folder.refusal(sheet("../Game Disc.bin")).contains("does not lie in its folder"))
  }

  @Test func whatIsWrongWithAFileIsToldWithTheLine() throws {
    let folder = try Folder()
    try folder.file("empty.bin", [])
    try folder.file("short.bin", raw(5))
    try folder.file("iso.bin", [UInt8](repeating: 7, count: 40 * 2048))
    #expect(folder.refusal(sheet("none.bin")).contains("x.cue: line 1: "))
    #expect(folder.refusal(sheet("none.bin")).contains("none.bin: there is no such file"))
    #expect(folder.refusal(sheet("empty.bin")).contains("x.cue: line 1: "))
    #expect(folder.refusal(sheet("empty.bin")).contains("the file is empty"))
    let beyond = sheet("short.bin") + " TRACK 02 AUDIO\n  INDEX 01 00:01:00\n"
    #expect(folder.refusal(beyond).contains("line 5: INDEX 1 lies behind the end of"))
    #expect(folder.refusal(sheet("iso.bin")).contains("no sector of 2352 bytes begins here"))
    let plain = sheet("short.bin").replacingOccurrences(of: "MODE1/2352", with: "MODE1/2048")
    #expect(folder.refusal(plain).contains("sectors of 2352 bytes begin here"))
    let mode2 = sheet("short.bin").replacingOccurrences(of: "MODE1", with: "MODE2")
    #expect(folder.refusal(mode2).contains("the sector's header says mode 1"))
    // Bytes that are no sector are left out, with a word.
    try folder.file("odd.bin", raw(5) + [1, 2, 3])
    let odd = try ImageOpener.open(
      path: try folder.file("odd.cue", Array(sheet("odd.bin").utf8)), kind: .cd)
    #expect(odd.warnings.contains { $0.contains("the last 3 bytes are no whole sector") })
  }

  @Test func soundsOfWAVEFilesAreTracks() throws {
    let folder = try Folder()
    try folder.file("data.bin", raw(20))
    try folder.file("two.wav", wave(sectors: 300))
    try folder.file("three.wav", wave(sectors: 200, extensible: true))
    try folder.file("mono.wav", wave(channels: 1, sectors: 10))
    try folder.file("float.wav", wave(format: 3, sectors: 10, extensible: true))
    let image = try folder.cue(
      sheet("data.bin") + """
        FILE "two.wav" WAVE
          TRACK 02 AUDIO
            FLAGS DCP
            ISRC us-abc-99-12345
            PREGAP 00:02:00
            INDEX 01 00:00:00
        FILE "three.wav" WAVE
          TRACK 03 AUDIO
            INDEX 00 00:00:00
            INDEX 01 00:01:00
            POSTGAP 00:00:10
        """)
    #expect(image.tracks.map(\.start) == [0, 170, 170 + 300 + 75])
    #expect(image.tracks.map(\.pregap) == [0, 20, 470] && image.leadOut == 170 + 500 + 10)
    #expect(image.tracks[1].isrc == "USABC9912345" && image.tracks[1].flags & 2 != 0)
    for name in ["mono.wav", "float.wav"] {
      let text = "FILE \"\(name)\" WAVE\n TRACK 01 AUDIO\n  INDEX 01 00:00:00\n"
      #expect(folder.refusal(text).contains("16 bits, two channels"), "\(name)")
    }
    #expect(
      folder.refusal("FILE \"data.bin\" WAVE\n TRACK 01 AUDIO\n  INDEX 01 00:00:00\n").contains(
        "is no WAVE file"))
    #expect(
      folder.refusal("FILE \"two.wav\" WAVE\n TRACK 01 MODE1/2352\n  INDEX 01 00:00:00\n").contains(
        "a data track in a WAVE file"))
  }

  @Test func rawSectorsAreToldByWhatIsInThemNotByTheName() throws {
    let folder = try Folder()
    for name in ["a.iso", "a.img", "a.bin", "a.mdf"] {
      let image = try ImageOpener.open(path: try folder.file(name, raw(30)))
      guard case .cd(let cd) = image.medium else {
        Issue.record("\(name)")
        continue
      }
      #expect(cd.leadOut == 30)
    }
    let wide = try folder.file("wide.img", raw(30, gap: 96))
    #expect {
      try ImageOpener.open(path: wide)
    } throws: { "\($0)".contains("at offset 2352: sectors of 2448 bytes, with subchannels") }
  }

  @Test func descriptionsOfDiscsThatCannotBeReadAreRefusedByName() throws {
    let folder = try Folder()
    let table = [
      ("a.ccd", "[CloneCD]\r\nVersion=3\r\n", "CloneCD sheet"),
      ("a.mds", "MEDIA DESCRIPTOR\u{1}\u{3}", "give the .mdf"),
      ("a.cue", "nothing of the kind", "no CUE sheet"), ("b.cue", "REM only a remark\n", "no CUE"),
    ]
    for (name, text, words) in table {
      for size in [0, 3000] {
        let path = try folder.file(
          name, Array(text.utf8) + [UInt8](repeating: 0x20, count: size))
        for kind in [ImageKind.auto, .cd] {
          #expect {
            try ImageOpener.open(path: path, kind: kind)
          } throws: { "\($0)".contains(name) && ("\($0)".contains(words) || size == 0) }
        }
      }
    }
    let nero = try folder.file(
      "a.nrg",
      [UInt8](repeating: 1, count: 40 * 2048) + Array("NER5".utf8) + [0, 0, 0, 0, 0, 0, 1, 0])
    #expect { try ImageOpener.open(path: nero, kind: .cd) } throws: {
      "\($0)".contains("a Nero image")
    }
  }
}
