// The arithmetic and the drawing of benchmark reports, against numbers worked out by hand.

import Foundation
import Testing

@testable import Benchmark

#if canImport(FoundationXML)
  import FoundationXML
#endif

/// Apus and two others over three pieces of work; the last has no part in means.
private func sample() -> BenchmarkReport {
  var report = BenchmarkReport(
    contestants: ["apus", "qemu", "a<b&\"c\""], versions: ["", "1", ""], subjects: [0])
  report.rows = [
    .init(
      name: "one", group: "kernels",
      entries: [
        .init(seconds: [1, 9, 2]), .init(seconds: [4, 4]), .init(seconds: [], isLeftOut: true),
      ]),
    .init(
      name: "two", group: "kernels",
      entries: [
        .init(seconds: [1, 3]), .init(seconds: [1]), .init(seconds: [4]),
      ]),
    .init(
      name: "three", group: "",
      entries: [
        .init(seconds: [100]), .init(seconds: [1]), .init(seconds: [1], problem: "wrong"),
      ]),
  ]
  return report
}

@Suite struct ReportTests {
  @Test func theMedianIsTheMiddleOrTheMeanOfTheTwoInTheMiddle() {
    #expect(BenchmarkReport.Entry(seconds: [1, 9, 2]).median == 2)
    #expect(BenchmarkReport.Entry(seconds: [8, 1, 3, 2]).median == 2.5)
    #expect(BenchmarkReport.Entry(seconds: []).median == nil)
    #expect(BenchmarkReport.Entry(seconds: [1], problem: "x").median == nil)
    #expect(BenchmarkReport.Entry(seconds: [.nan]).median == nil)
  }

  @Test func ratiosAreApusByTheOther() throws {
    let report = sample()
    #expect(report.pairs.map(\.reference) == [1, 2])
    #expect(report.ratio(report.rows[0], report.pairs[0]) == 0.5)
    #expect(report.ratio(report.rows[0], report.pairs[1]) == nil)
    #expect(report.ratio(report.rows[1], report.pairs[0]) == 2)
    // sqrt(0.5 * 2) and 2/4 alone; "three" belongs to no group.
    let mean = try #require(report.mean("kernels", report.pairs[0]))
    #expect(abs(mean - 1) < 1e-9)
    #expect(abs(try #require(report.mean("kernels", report.pairs[1])) - 0.5) < 1e-9)
    #expect(report.mean("Linux", report.pairs[0]) == nil)
  }

  @Test func theMeanOfManySmallAndLargeRatiosIsRight() throws {
    var report = BenchmarkReport(contestants: ["a", "b"], versions: ["", ""], subjects: [0])
    // 2^-8 ... 2^7: the mean is 2^-0.5.
    for power in -8..<8 {
      let value = power < 0 ? 1.0 / Double(1 << -power) : Double(1 << power)
      report.rows.append(
        .init(
          name: "\(power)", group: "g",
          entries: [.init(seconds: [value]), .init(seconds: [1])]))
    }
    let mean = try #require(report.mean("g", report.pairs[0]))
    #expect(abs(mean - 0.5.squareRoot()) < 1e-9)
  }

  @Test func problemsNameTheWorkAndTheContestant() {
    #expect(sample().problems == ["three, a<b&\"c\": wrong"])
  }

  @Test func numbersHaveThreeUsefulDigits() {
    #expect(BenchmarkReport.digits(0.0304) == "0.030")
    #expect(BenchmarkReport.digits(9.9996) == "10.000")
    #expect(BenchmarkReport.digits(12.345) == "12.35")
    #expect(BenchmarkReport.digits(123.45) == "123.5")
    #expect(BenchmarkReport.digits(.infinity) == "-")
  }

  @Test func theTableIsAligned() {
    let lines = sample().table().split(separator: "\n").map(String.init)
    #expect(lines.count == 5)
    #expect(Set(lines.map(\.count)).count == 1)
    #expect(lines[1].hasPrefix("one"))
    #expect(lines[3].contains("failed"))
    #expect(lines[4].hasPrefix("geometric mean, kernels"))
  }

  @Test func barsGrowWithTheTime() {
    let lines = sample().bars(width: 20).split(separator: "\n").map(String.init)
    func length(_ line: String) -> Int { line.filter { $0 == "#" || $0 == "=" }.count }
    #expect(lines.count == 7)
    #expect(length(lines[0]) < length(lines[1]))
    #expect(lines[1].hasPrefix("     "))
    #expect(lines.map(length).max() == 20)
    #expect(lines.map(length).min() == 1)
  }

  @Test func logarithmsArePlacedRight() {
    #expect(abs(LogScale.log2(8) - 3) < 1e-9)
    #expect(abs(LogScale.log2(0.3) - -1.736_965_594_166_206) < 1e-8)
    let scale = LogScale(low: 0.01, high: 100)
    #expect(abs(scale.position(1) - 0.5) < 1e-8)
    #expect(scale.position(0) == 0)
    #expect(scale.position(1e9) == 1)
    #expect(LogScale.label(0.01) == "0.01 s")
    #expect(LogScale.label(100) == "100 s")
  }

  @Test func thePictureIsWellFormed() throws {
    final class Counter: NSObject, XMLParserDelegate {
      var names: [String: Int] = [:]
      func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?,
        qualifiedName: String?, attributes: [String: String]
      ) { names[name, default: 0] += 1 }
    }
    let empty = BenchmarkReport(contestants: ["apus"], versions: [""], subjects: [0])
    for (report, bars) in [(sample(), 7), (empty, 0)] {
      let parser = XMLParser(data: Data(report.svg().utf8))
      let counter = Counter()
      parser.delegate = counter
      #expect(parser.parse())
      // Each bar says on hovering what it is; failed and absent ones are not drawn.
      #expect(counter.names["title", default: 0] == bars)
    }
  }
}

@Suite struct LinuxDiskTests {
  @Test func archivesHaveTheNewFormat() {
    var archive = CPIOArchive()
    archive.add("ab", mode: 0o100755, Array("hello".utf8))
    archive.close()
    let text = String(decoding: archive.bytes, as: UTF8.self)
    // Thirteen numbers of eight digits behind the magic; names and contents end at multiples of four.
    let numbers = [
      "00000001", "000081ED", "00000000", "00000000", "00000001", "00000000", "00000005",
      "00000000", "00000000", "00000000", "00000000", "00000003", "00000000",
    ]
    let start = "070701" + numbers.joined() + "ab\0\0\0\0hello\0\0\0" + "070701"
    #expect(text.hasPrefix(start))
    #expect(archive.bytes.count % 4 == 0)
    #expect(text.contains("TRAILER!!!"))
  }

  @Test func damagedKernelsAndProgramsAreRefused() {
    #expect(throws: BenchmarkError.self) {
      try LinuxWorkload(kernel: [1, 2, 3], initrd: [], busybox: nil)
    }
    var kernel = [UInt8](repeating: 0, count: 4096)
    kernel.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
    #expect(throws: BenchmarkError.self) {
      try LinuxWorkload(kernel: kernel, initrd: nil, busybox: nil)
    }
    #expect(!LinuxWorkload.isStatic386([0x7F, 0x45, 0x4C, 0x46, 1]))
    var elf = [UInt8](repeating: 0xFF, count: 64)
    elf.replaceSubrange(0..<5, with: [0x7F, 0x45, 0x4C, 0x46, 1])
    elf[18] = 3
    elf[19] = 0
    // A program header table that points nowhere must not trap.
    _ = LinuxWorkload.isStatic386(elf)
    #expect(throws: BenchmarkError.self) {
      try LinuxWorkload(kernel: kernel, initrd: nil, busybox: [1])
    }
  }
}

@Suite struct KernelTests {
  @Test func everyKernelHasItsSourceAndSums() {
    #expect(Kernel.all.count == 16)
    for kernel in Kernel.all {
      #expect(BenchmarkSources.files["\(kernel.name).c"] != nil)
      #expect(kernel.checksums[kernel.rounds] != nil)
      #expect(kernel.checksums[kernel.quickRounds] != nil)
      #expect(Kernel.named(kernel.name) == kernel)
    }
    #expect(Kernel.named("nothing") == nil)
  }

  @Test func checksumsAreReadFromTheOutput() {
    func sum(_ text: String) -> UInt32? { Contestant.checksum(in: Array(text.utf8)) }
    #expect(sum("noise\r\nbench: start\nbench: 00c0ffee\n") == 0xC0_FFEE)
    #expect(sum("bench: 00c0ffe\n") == nil)
    #expect(sum("bench: exception 0000000e code 00000000\n") == nil)
    #expect(sum("") == nil)
  }
}
