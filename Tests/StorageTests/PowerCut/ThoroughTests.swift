// The proof by one command: power cuts of every kind of image that is written, and hostile images of every format, in numbers.
//
//   APUS_THOROUGH=cuts swift test -c release -Xswiftc -enable-testing --filter ThoroughTests
//
// Owns: the numbers, the seeds, the progress, the time. Must not know: any format's inside.
//   APUS_THOROUGH          cuts, fuzz, or all
//   APUS_CUTS              cuts for each kind (100000)
//   APUS_FUZZ              hostile images in all (10000000)
//   APUS_THOROUGH_SECONDS  ends each kind after so much time, whatever is left (no end)
//   APUS_THOROUGH_SEED     other numbers (1)
//   APUS_THOROUGH_ONLY     only the kinds whose name has this
// A failure says seed, round and cut, which repeat it; APUS_CUTS_KEEP and APUS_FUZZ_KEEP name a folder for the images.

import Foundation
import Testing

@testable import Storage

@Suite(.serialized) struct ThoroughTests {
  static let environment = ProcessInfo.processInfo.environment
  static let wish = environment["APUS_THOROUGH"] ?? ""
  static let seconds = environment["APUS_THOROUGH_SECONDS"].flatMap { Double($0) } ?? .infinity
  static let seed = environment["APUS_THOROUGH_SEED"].flatMap { UInt64($0) } ?? 1
  static func isWished(_ what: String) -> Bool { wish == what || wish == "all" }
  static let why: Comment = "APUS_THOROUGH is not set"

  /// Says how far it is every few seconds, and when the time is over.
  final class Progress {
    let name: String
    let wanted: Int
    private let begin = ContinuousClock.now
    private var last = ContinuousClock.now

    init(_ name: String, _ wanted: Int) {
      self.name = name
      self.wanted = wanted
    }

    var elapsed: Double {
      let time = ContinuousClock.now - begin
      return Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
    }

    private func say(_ done: Int, _ word: String) {
      let rate = Int(Double(done) / max(elapsed, 0.001))
      print("\(name): \(done) of \(wanted) \(word), \(Int(elapsed)) s, \(rate) a second")
      fflush(nil)
    }

    func goesOn(_ done: Int) -> Bool {
      if ContinuousClock.now - last > .seconds(10) {
        last = .now
        say(done, "done")
      }
      return elapsed < ThoroughTests.seconds
    }

    func end(_ done: Int) { say(done, done < wanted ? "done when it ended" : "done") }
  }

  static func kinds(_ all: [WrittenKind] = WrittenKind.all) -> [WrittenKind] {
    guard let only = environment["APUS_THOROUGH_ONLY"] else { return all }
    return all.filter { $0.testDescription.contains(only) }
  }

  // MARK: Power cuts

  @Test(.enabled(if: isWished("cuts"), why)) func powerCuts() throws {
    let count = PowerCuts.count(normally: 100_000)
    var sum = 0
    for kind in ThoroughTests.kinds() {
      let progress = Progress("cuts, \(kind.testDescription), seed \(ThoroughTests.seed)", count)
      let cuts = PowerCuts(kind.checkable(), try kind.make())
      let done = try cuts.run(
        count: count, seed: ThoroughTests.seed, PowerCuts.busyGuest(steps: 50),
        goesOn: progress.goesOn)
      progress.end(done)
      sum += done
    }
    print("cuts: \(sum) in all")
  }

  // MARK: Hostile images

  /// An image that hostile ones are made of.
  struct Sample {
    var name: String
    var format: any ImageFormat
    var files: [(name: String, bytes: [UInt8])]
    /// For each of the files, offsets of fields.
    var fields: [[Int]]
    var seal: ((SparseStore) throws -> Void)?
  }

  private static func samples() throws -> [Sample] {
    var samples: [Sample] = []
    for kind in kinds(WrittenKind.mapped) {
      var files = try kind.make()
      let disk = TrialFiles()
      for (name, bytes) in files { disk.stores[name] = SparseStore(bytes, name: name) }
      let format = kind.checkable()
      // Some data, so that there are blocks of all kinds.
      let device = try format.open(disk.stores["image"]!, disk.context()).device
      for n: UInt64 in 0..<6 {
        let block = n * 67 % (device.blockCount - 4)
        try device.write(block: block, [UInt8](repeating: UInt8(n + 1), count: 1024))
      }
      try device.discard(block: 0, count: min(130, device.blockCount))
      if let image = device as? any SnapshottingDevice {
        // Counts of one bit have no room for it.
        try? image.createSnapshot(named: "s", time: 7)
        try device.write(block: 10, [UInt8](repeating: 7, count: 1024))
      }
      device.close()
      files = files.map { ($0.name, (disk.stores[$0.name] as! SparseStore).contents()) }
      var seal: ((SparseStore) throws -> Void)?
      if kind.format == "vhd" { seal = VHDTests().seal }
      if kind.format == "vhdx" { seal = VHDXTests().seal }
      samples.append(
        Sample(
          name: kind.testDescription, format: format, files: files,
          fields: files.map { fields(of: $0.bytes) },
          seal: seal))
    }
    return samples
  }

  /// Where something else than zeros or data is: what is near a byte that is not like its neighbours.
  private static func fields(of bytes: [UInt8]) -> [Int] {
    var fields: [Int] = []
    for start in stride(from: 0, to: bytes.count, by: 512) {
      let end = min(start + 512, bytes.count)
      let part = bytes[start..<end]
      if part.allSatisfy({ $0 == part.first }) { continue }
      for at in start..<end
      where bytes[max(at - 8, start)..<min(at + 9, end)].contains(where: { $0 != 0 }) {
        fields.append(at)
      }
    }
    return fields
  }

  @Test(.enabled(if: isWished("fuzz"), why)) func hostileImages() throws {
    let count = Trials.fuzzCount(10_000_000)
    let samples = try ThoroughTests.samples()
    if samples.isEmpty { return }
    let each = max(1, count / samples.count)
    var sum = 0
    var slowest: Duration = .zero
    for sample in samples {
      let progress = Progress("hostile, \(sample.name), seed \(ThoroughTests.seed)", each)
      var random = TrialRandom(state: ThoroughTests.seed)
      var opened = 0
      var done = 0
      while done < each, done % 64 != 0 || progress.goesOn(done) {
        let begin = ContinuousClock.now
        if ThoroughTests.tryCase(sample, done, &random) { opened += 1 }
        let took = ContinuousClock.now - begin
        slowest = max(slowest, took)
        if took > .seconds(10) { Issue.record("\(sample.name), case \(done): \(took)") }
        done += 1
      }
      progress.end(done)
      print("  \(opened) of them opened; the slowest of all took \(slowest)")
      #expect(opened > done / 50 || done < 1000)
      sum += done
    }
    print("hostile: \(sum) in all")
  }

  private static let extremes: [UInt64] = [
    0, 1, 2, 3, 7, 8, 9, 0x3F, 0x40, 0x7F, 0x80, 0xFF, 0x100, 0x1FF, 0x200, 0x7FFF, 0x8000,
    0xFFFF, 0x10000, 0x10_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF,
    0x1_0000_0000, 1 << 40, 1 << 55, 1 << 62, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000,
    .max - 511, .max - 1, .max,
  ]

  /// One hostile image: opened and read; one of eight also written, checked and mended.
  private static func tryCase(
    _ sample: Sample, _ number: Int, _ random: inout TrialRandom
  ) -> Bool {
    // The first is what is opened; with others behind it, any of them may be the damaged one.
    let hurt =
      sample.files.count == 1 ? 0 : Int(random.below(UInt64(sample.files.count)))
    let (image, fields) = (sample.files[hurt].bytes, sample.fields[hurt])
    var size = UInt64(image.count)
    if random.below(16) == 0 { size = random.below(size + 4096) }
    let files = TrialFiles()
    for (n, file) in sample.files.enumerated() {
      files.stores[file.name] =
        n == hurt
        ? SparseStore(image, size: size, name: file.name)
        : SparseStore(file.bytes, name: file.name, isWritable: n == 0)
    }
    let store = files.stores[sample.files[0].name] as! SparseStore
    let damaged = files.stores[sample.files[hurt].name] as! SparseStore
    for _ in 0..<1 + (random.below(3) == 0 ? random.below(8) : 0) where !fields.isEmpty {
      let at = fields[Int(random.below(UInt64(fields.count)))]
      let width = [1, 2, 4, 8][Int(random.below(4))]
      var value = extremes[Int(random.below(UInt64(extremes.count)))]
      var bytes: [UInt8]
      switch random.below(6) {
      case 0: value = random.next()
      case 1: value = random.below(UInt64(image.count) / 512 + 4)
      case 2:
        // Another field's bytes.
        let from = fields[Int(random.below(UInt64(fields.count)))] & ~7
        value = image[from..<min(from + 8, image.count)].reduce(0) { $0 << 8 | UInt64($1) }
      default: break
      }
      bytes = little(value, width)
      if random.below(2) == 0 { bytes.reverse() }
      let place = random.below(2) == 0 ? at : at & ~(width - 1)
      let room = UInt64(place) < size ? Int(min(UInt64(width), size - UInt64(place))) : 0
      if room > 0 { try? damaged.write(at: UInt64(place), Array(bytes[..<room])) }
    }
    if let seal = sample.seal, random.below(8) != 0 { try? seal(store) }
    var only = files.context()
    only.formats = [sample.format] + (sample.files.count > 1 ? ImageFormats.all : [])
    _ = try? sample.format.probe(store, only)
    guard
      let device = try? ImageFormats.open(store, only, as: sample.format).device
    else { return false }
    let blocks = device.blockCount
    let size512 = UInt64(device.blockSize)
    for n in 0..<3 {
      let block = n == 0 ? 0 : random.below(blocks)
      _ = try? device.bytes(at: block * size512, count: device.blockSize * 3)
      _ = try? device.extent(at: block, limit: min(blocks - block, 4096))
    }
    if random.below(8) == 0 {
      for n in 0..<3 {
        let block = n == 0 ? blocks - 1 : random.below(blocks)
        try? device.write(block: block, [UInt8](repeating: 0xA5, count: device.blockSize))
        try? device.discard(block: block, count: min(3, blocks - block))
        _ = try? device.settle()
      }
      try? device.flush()
      device.close()
      if let checked = sample.format as? any CheckableFormat {
        _ = try? checked.check(store, .none, only)
        _ = try? checked.check(store, .all, only)
      }
    } else {
      device.close()
    }
    return true
  }
}
