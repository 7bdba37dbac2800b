// What the packet commands answer: tables of contents, READ CD, audio, mode pages, features. Expectations are those of MMC-3 and SFF-8020i.

import Testing

@testable import Chipset
@testable import Storage

@Suite struct ATAPICommandTests {
  @Test func tablesOfContentsInAllFormats() {
    let bench = ATAPIBench.ready(mixedDisc())
    // Tracks 1 (data, 0), 2 (audio, 650), 3 (audio, 1250), lead-out 1850.
    let plain = bench.command([0x43, 0, 0, 0, 0, 0, 0, 4, 0]) ?? []
    #expect(
      plain == [
        0, 34, 1, 3, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x10, 2, 0, 0, 0, 2, 0x8A, 0, 0x10, 3, 0, 0, 0,
        4, 0xE2,
        0, 0x10, 0xAA, 0, 0, 0, 7, 0x3A,
      ])
    // By time, from track 3 on: 1250 + 150 are 18 seconds and 50 frames, 1850 + 150 are 26:50.
    #expect(
      bench.command([0x43, 2, 0, 0, 0, 0, 3, 4, 0]) == [
        0, 18, 1, 3, 0, 0x10, 3, 0, 0, 0, 18, 50, 0, 0x10, 0xAA, 0, 0, 0, 26, 50,
      ])
    #expect(bench.command([0x43, 0, 0, 0, 0, 0, 0xAA, 4, 0])?.count == 12)
    #expect(bench.failure([0x43, 0, 0, 0, 0, 0, 4, 4, 0]) == [5, 0x24, 0])
    #expect(bench.command([0x43, 0, 0, 0, 0, 0, 0, 0, 4]) == Array(plain[..<4]))
    // Sessions: format 1, by MMC in byte 2 and by SFF-8020i in byte 9.
    let sessions: [UInt8] = [0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0]
    #expect(bench.command([0x43, 0, 1, 0, 0, 0, 0, 4, 0]) == sessions)
    #expect(bench.command([0x43, 0, 0, 0, 0, 0, 0, 4, 0, 0x40]) == sessions)
    let full = bench.command([0x43, 2, 0, 0, 0, 0, 1, 4, 0, 0x80]) ?? []
    #expect(full.count == 4 + 6 * 11 && Array(full[..<4]) == [0, 68, 1, 1])
    #expect(Array(full[4..<15]) == [1, 0x14, 0, 0xA0, 0, 0, 0, 0, 1, 0, 0])
    #expect(Array(full[26..<37]) == [1, 0x10, 0, 0xA2, 0, 0, 0, 0, 0, 26, 50])
    #expect(bench.failure([0x43, 0, 4, 0, 0, 0, 0, 4, 0]) == [5, 0x24, 0])
  }

  /// Bytes of a sector by the selection of READ CD (MMC-3, "Number of bytes returned based on data selection field"); nil: illegal.
  static let lengths: [(main: UInt8, mode1: Int?, form1: Int?, form2: Int?)] = [
    (0x10, 2048, 2048, 2328), (0x18, 2336, 2328, 2328), (0x20, 4, 4, 4), (0x30, 2052, nil, nil),
    (0x38, 2340, nil, nil), (0x40, 0, 8, 8), (0x50, 2048, 2056, 2336), (0x58, 2336, 2336, 2336),
    (0x60, 4, 12, 12), (0x70, 2052, 2060, 2340), (0x78, 2340, 2340, 2340), (0x80, 12, 12, 12),
    (0x90, nil, nil, nil), (0xA0, 16, 16, 16), (0xB0, 2064, nil, nil), (0xE0, 16, 24, 24),
    (0xF0, 2064, 2072, 2352), (0xF8, 2352, 2352, 2352),
  ]

  @Test func readCDGivesThePartsThatAreAskedFor() {
    let xa: [UInt8] = (0..<2).flatMap { n -> [UInt8] in
      let submode: UInt8 = n == 0 ? 8 : 0x28
      return [1, 2, submode, 0, 1, 2, submode, 0] + [UInt8](repeating: UInt8(n + 1), count: 2328)
    }
    let sheet = "FILE \"x\" BINARY\nTRACK 01 MODE2/2336\nINDEX 01 00:00:00\n"
    let context = ImageContext(kind: .cd) { name throws(StorageError) in
      MemoryStore(xa, name: name, isWritable: false)
    }
    let disc = try! CDContents(
      cue: MemoryStore(Array(sheet.utf8), name: "c", isWritable: false), context
    ).image
    let mode1 = ATAPIBench.ready(dataDisc())
    let mode2 = ATAPIBench.ready(disc)
    for entry in ATAPICommandTests.lengths {
      for (bench, lba, length) in [
        (mode1, UInt8(5), entry.mode1), (mode2, 0, entry.form1), (mode2, 1, entry.form2),
      ] {
        let packet: [UInt8] = [0xBE, 0, 0, 0, 0, lba, 0, 0, 1, entry.main]
        #expect(bench.command(packet)?.count == length, "selection \(entry.main) of sector \(lba)")
        if length == nil { #expect(bench.sense() == [5, 0x24, 0]) }
      }
    }
    // Error flags and subchannel come behind.
    #expect(mode1.command([0xBE, 0, 0, 0, 0, 5, 0, 0, 2, 0x12, 2])?.count == 2 * (2048 + 294 + 16))
    #expect(mode1.command([0xBE, 0, 0, 0, 0, 5, 0, 0, 1, 0xFC, 1])?.count == 2352 + 296 + 96)
    #expect(mode1.command([0xBE, 0, 0, 0, 0, 5, 0, 0, 1, 0, 2])?.count == 16)
    #expect(mode1.command([0xBE, 0, 0, 0, 0, 5, 0, 0, 1, 0, 0]) == [])
    #expect(mode1.command([0xBE, 0, 0, 0, 0, 5, 0, 0, 0, 0x10, 0]) == [])
    // The wrong type, no type, no subchannel.
    #expect(mode1.failure([0xBE, 1 << 2, 0, 0, 0, 5, 0, 0, 1, 0x10]) == [5, 0x64, 0])
    #expect(mode1.command([0xBE, 2 << 2, 0, 0, 0, 5, 0, 0, 1, 0x10])?.count == 2048)
    #expect(mode1.failure([0xBE, 7 << 2, 0, 0, 0, 5, 0, 0, 1, 0x10]) == [5, 0x24, 0])
    #expect(mode1.failure([0xBE, 0, 0, 0, 0, 5, 0, 0, 1, 0x10, 3]) == [5, 0x24, 0])
    #expect(mode1.failure([0xBE, 0, 0, 0, 3, 0xE7, 0, 0, 2, 0x10]) == [5, 0x21, 0])
    // By time: sectors 5 and 6 are 00:02:05 up to 00:02:07.
    let byTime = mode1.command([0xB9, 0, 0, 0, 2, 5, 0, 2, 7, 0x10]) ?? []
    #expect(byTime == Array(numberedSectors(7)[(5 * 2048)...]))
    #expect(mode1.failure([0xB9, 0, 0, 0, 2, 75, 0, 3, 0, 0x10]) == [5, 0x24, 0])
    // Many sectors in small blocks are the same bytes.
    let whole: [UInt8] = [0xBE, 0, 0, 0, 0, 1, 0, 0, 90, 0xF8]
    #expect(mode1.command(whole, limit: 0x900) == mode1.command(whole))
    // Q of sector 5: data, track 1, index 1, 00:00:05, 00:02:05.
    let q = mode1.command([0xBE, 0, 0, 0, 0, 5, 0, 0, 1, 0, 2]) ?? []
    #expect(Array(q[..<10]) == [0x41, 1, 1, 0, 0, 5, 0, 0, 2, 5])
  }

  /// A mode 1 sector has no sub-header: nothing comes, but the drive goes over the sectors, and the guest's time with it.
  @Test func sectorsOfWhichNothingIsWantedTakeTime() {
    let bench = ATAPIBench.ready(dataDisc(1000))
    func time(_ sectors: Int) -> UInt64 {
      let start = bench.time.now
      let high = UInt8(sectors >> 8)
      let packet: [UInt8] = [0xBE, 0, 0, 0, 0, 5, 0, high, UInt8(sectors & 0xFF), 0x40]
      #expect(bench.command(packet) == [])
      return bench.time.now - start
    }
    let one = time(1)
    #expect(time(900) > one + 100_000)
  }

  /// What is left of a command was asked of another disc (SPC-2: unit attention, the medium may have changed).
  @Test func anExchangedDiscEndsTheReadThatIsUnderWay() {
    let bench = ATAPIBench.ready(dataDisc(200))
    bench.send(ATAPIBench.packet(0x28, lba: 0, count: 100), limit: 2048)
    var bytes: [UInt8] = []
    var status = bench.wait()
    while status & 8 != 0 {
      for _ in 0..<1024 {
        let value = bench.word()
        bytes += [UInt8(value & 0xFF), UInt8(value >> 8)]
      }
      if bytes.count == 2048 {
        let other = MemoryStore(
          [UInt8](repeating: 0xEE, count: 200 * 2048), name: "other", isWritable: false)
        bench.drive.change(to: try! CDContents(sectors: other).image)
      }
      status = bench.wait()
    }
    #expect(status & 1 == 1)
    #expect(bench.sense() == [6, 0x28, 0])
    // What came before is the first disc's.
    #expect(bytes.count < 100 * 2048 && bytes == Array(numberedSectors(200)[..<bytes.count]))
    // The next command is the new disc's.
    #expect(
      bench.command(ATAPIBench.packet(0x28, lba: 0, count: 1))
        == [UInt8](repeating: 0xEE, count: 2048))
  }

  @Test func audioIsReadAsDataWithItsSubchannel() {
    let bench = ATAPIBench.ready(mixedDisc())
    let bytes = bench.command([0xBE, 4, 0, 0, 2, 0x8A, 0, 0, 1, 0xF8, 1]) ?? []
    #expect(bytes.count == 2448 && bytes[..<2352].allSatisfy { $0 == 7 })
    // Bit 6 of the 96 bytes is Q, first bit first.
    let q = (0..<12).map { n in
      (0..<8).reduce(UInt8(0)) { $0 << 1 | bytes[2352 + 8 * n + $1] >> 6 & 1 }
    }
    #expect(Array(q[..<10]) == [0x01, 2, 1, 0, 0, 0, 0, 0, 0x10, 0x50])
    #expect(bytes[2352...].allSatisfy { $0 & 0x80 == 0 })
  }

  @Test func playingMovesTheHeadWithTime() {
    let bench = ATAPIBench.ready(mixedDisc())
    let position: [UInt8] = [0x42, 0, 0x40, 1, 0, 0, 0, 0, 16]
    func status() -> UInt8 { (bench.command(position) ?? [0, 0])[1] }
    func address() -> Int {
      (bench.command(position) ?? [])[8..<12].reduce(0) { $0 << 8 | Int($1) }
    }
    #expect(status() == 0x15)
    #expect(bench.failure([0x45, 0, 0, 0, 0, 9, 0, 0, 9]) == [5, 0x64, 0])
    #expect(bench.failure([0x4B, 0, 0, 0, 0, 0, 0, 0, 0]) == [5, 0x2C, 0])
    // 300 sectors of track 2: four seconds.
    #expect(bench.command([0x45, 0, 0, 0, 2, 0x8A, 0, 1, 0x2C]) == [])
    #expect(status() == 0x11)
    bench.run(2_000_000_000)
    #expect((798...802).contains(address()))
    let report = bench.command(position) ?? []
    #expect(Array(report[..<8]) == [0, 0x11, 0, 12, 1, 0x10, 2, 1])
    #expect(bench.command([0x4B]) == [])
    let paused = address()
    bench.run(1_000_000_000)
    #expect(address() == paused && status() == 0x12)
    #expect(bench.command([0x4B, 0, 0, 0, 0, 0, 0, 0, 1]) == [])
    bench.run(3_000_000_000)
    // Told once.
    #expect(status() == 0x13 && status() == 0x15)
    // By time, track and index; a read of data ends it.
    #expect(bench.command([0x47, 0, 0, 0, 10, 50, 0, 12, 0]) == [] && status() == 0x11)
    #expect(bench.command([0x48, 0, 0, 0, 2, 2, 0, 3, 1]) == [])
    #expect(address() >= 950 && address() < 960)
    #expect(bench.command(ATAPIBench.packet(0x28, lba: 0, count: 1))?.count == 2048)
    #expect(status() == 0x15)
    #expect(bench.command([0xA5, 0, 0, 0, 4, 0xE2, 0, 0, 0, 5]) == [] && status() == 0x11)
    #expect(bench.command([0x4E]) == [] && status() == 0x15)
    // Catalogue and recording codes.
    let catalogue = bench.command([0x42, 0, 0x40, 2, 0, 0, 0, 0, 24]) ?? []
    #expect(Array(catalogue[..<9]) == [0, 0x15, 0, 20, 2, 0, 0, 0, 0x80])
    #expect(Array(catalogue[9..<22]) == Array("1234567890123".utf8))
    let code = bench.command([0x42, 0, 0x40, 3, 0, 0, 2, 0, 24]) ?? []
    #expect(code[8] == 0x80 && Array(code[9..<21]) == Array("ABCDE1234567".utf8))
  }

  @Test func modePagesAreReadAndSet() {
    let bench = ATAPIBench.ready(dataDisc())
    let page = bench.command([0x5A, 0, 0x2A, 0, 0, 0, 0, 1, 0]) ?? []
    // Header of 8 bytes: length behind the first two, medium type "data, 120 mm".
    #expect(Array(page[..<8]) == [0, UInt8(page.count - 2), 1, 0, 0, 0, 0, 0])
    #expect(page[8] == 0x2A && Int(page[9]) == page.count - 10)
    let short = bench.command([0x1A, 0, 0x0E, 0, 255]) ?? []
    #expect(short.count == 20 && short[0] == 19 && short[4] == 0x0E && short[5] == 14)
    #expect(bench.failure([0x5A, 0, 0xEA, 0, 0, 0, 0, 1, 0]) == [5, 0x39, 0])
    #expect(bench.failure([0x5A, 0, 0x05, 0, 0, 0, 0, 1, 0]) == [5, 0x24, 0])
    let all = bench.command([0x5A, 0, 0x3F, 0, 0, 0, 0, 1, 0]) ?? []
    #expect(Int(all[1]) == all.count - 2)
    // Volume of both ports; what cannot be changed stays.
    var parameters: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0]
    parameters += [0x0E, 14, 6, 0, 0, 0, 0, 1, 1, 0x80, 2, 0x40, 0, 0, 0, 0]
    #expect(bench.command([0x55, 0x10, 0, 0, 0, 0, 0, 0, 24], data: parameters) == [])
    let set = bench.command([0x5A, 0, 0x0E, 0, 0, 0, 0, 1, 0]) ?? []
    #expect(Array(set[8...]) == [0x0E, 14, 6, 0, 0, 0, 0, 75, 1, 0x80, 2, 0x40, 0, 0, 0, 0])
    parameters[8] = 0x08
    #expect(bench.failure([0x55, 0x10, 0, 0, 0, 0, 0, 0, 24], data: parameters) == [5, 0x26, 0])
    #expect(bench.failure([0x55, 0x10, 0, 0, 0, 0, 0, 0, 6], data: parameters) == [5, 0x1A, 0])
  }

  @Test func featuresInformationAndStructures() {
    let bench = ATAPIBench.ready(mixedDisc())
    let all = bench.command([0x46, 0, 0, 0, 0, 0, 0, 4, 0]) ?? []
    #expect(all[..<8].elementsEqual([0, 0, 0, UInt8(all.count - 4), 0, 0, 0, 8]))
    #expect(
      bench.command([0x46, 2, 0, 3, 0, 0, 0, 4, 0]) == [
        0, 0, 0, 12, 0, 0, 0, 8, 0, 3, 3, 4, 0x29, 0, 0, 0,
      ])
    let information = bench.command([0x51, 0, 0, 0, 0, 0, 0, 0, 34]) ?? []
    #expect(Array(information[..<8]) == [0, 32, 0x0E, 1, 1, 1, 3, 0x20])
    let track = bench.command([0x52, 1, 0, 0, 0, 2, 0, 0, 36]) ?? []
    #expect(Array(track[..<12]) == [0, 34, 2, 1, 0, 0, 0x0F, 0, 0, 0, 2, 0x8A])
    #expect(Array(track[24..<28]) == [0, 0, 2, 0x58])
    #expect(bench.command([0x44, 0, 0, 0, 0, 9, 0, 0, 8]) == [1, 0, 0, 0, 0, 0, 0, 9])
    #expect(bench.failure([0xAD, 0, 0, 0, 0, 0, 0, 0, 8]) == [5, 0x30, 2])
  }
}
