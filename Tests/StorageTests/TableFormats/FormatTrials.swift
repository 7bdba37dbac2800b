// What every format with a table of blocks has to stand: random work against a flat model, QEMU's tools, hostile files.
//
// Owns: the trials. Must not know: any format's inside. `APUS_FUZZ` says how many hostile files there are.

import Foundation
import Testing

@testable import Storage

typealias TriedFormat = CreatableFormat & CheckableFormat

/// Files in memory, by name.
final class TrialFiles {
  var stores: [String: any ByteStore] = [:]

  func context(kind: ImageKind = .disk) -> ImageContext {
    ImageContext(kind: kind) { [unowned self] (name, use) throws(StorageError) in
      if use == .newPart {
        let store = SparseStore(name: name)
        self.stores[name] = store
        return store
      }
      guard let store = self.stores[name] else {
        throw StorageError.missing(name)
      }
      return store
    }
  }
}

/// The same numbers each time.
struct TrialRandom: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    var value = state
    value ^= value >> 33
    value = value &* 0xFF51_AFD7_ED55_8CCD
    return value ^ value >> 33
  }
  mutating func below(_ limit: UInt64) -> UInt64 { limit == 0 ? 0 : next() % limit }
}

enum Trials {
  /// A wish with fixed identifiers.
  static func wish(
    _ size: UInt64, _ options: [String: String] = [:], base: NewBase? = nil, sectorSize: Int = 512,
    provisioning: Provisioning = .thin
  ) -> ImageWish {
    var wish = ImageWish(byteCount: size)
    wish.options = options
    wish.base = base
    wish.sectorSize = sectorSize
    wish.provisioning = provisioning
    wish.time = 1_700_000_000
    var random = TrialRandom(state: size &+ (base == nil ? 1 : 2))
    let box = Box(random)
    wish.random = { box.value.next() }
    random.state = 0
    return wish
  }

  final class Box<Value> {
    var value: Value
    init(_ value: Value) { self.value = value }
  }

  /// Makes an image in memory.
  static func create(
    _ format: any TriedFormat, _ wish: ImageWish, files: TrialFiles = TrialFiles(),
    name: String = "image"
  ) throws -> SparseStore {
    let store = SparseStore(name: name)
    let checked = try wish.checked(for: format, name: name)
    try format.create(store, checked, files.context())
    files.stores[name] = store
    return store
  }

  static func base(_ name: String, _ formatName: String, _ files: TrialFiles) throws -> NewBase {
    NewBase(
      name: name, formatName: formatName,
      contents: try ImageFormats.open(files.stores[name]!, files.context()))
  }

  /// A check that must find nothing.
  static func expectClean(
    _ format: any TriedFormat, _ store: any ByteStore, _ files: TrialFiles = TrialFiles(),
    allowsLeaks: Bool = false, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let check = try format.check(store, .none, files.context())
    #expect(
      check.corruptions + check.unreadables == 0, "\(check.findings.prefix(3))",
      sourceLocation: sourceLocation)
    if !allowsLeaks {
      #expect(check.leaks == 0, "\(check.findings.prefix(3))", sourceLocation: sourceLocation)
    }
  }

  /// Random work on a device and on an array; the device is opened again now and then.
  static func exercise(
    _ format: any TriedFormat, _ store: any ByteStore, _ files: TrialFiles, model: inout [UInt8],
    rounds: Int = 4, steps: Int = 120, longest: UInt64 = 600, seed: UInt64,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    var random = TrialRandom(state: seed)
    for _ in 0..<rounds {
      let device = try format.open(store, files.context()).device
      let size = UInt64(device.blockSize)
      #expect(device.blockCount * size == UInt64(model.count), sourceLocation: sourceLocation)
      for _ in 0..<steps {
        let count = 1 + random.below(random.below(3) == 0 ? min(longest, device.blockCount) : 9)
        let block = random.below(device.blockCount - min(count, device.blockCount) + 1)
        let range = Int(block * size)..<Int((block + count) * size)
        switch random.below(10) {
        case 0...3:
          let tag = UInt8(truncatingIfNeeded: random.next()) | 1
          let bytes = (0..<range.count).map { UInt8(truncatingIfNeeded: $0 >> 6) ^ tag }
          try device.write(block: block, bytes)
          model.replaceSubrange(range, with: bytes)
        case 4:
          try device.writeZeroes(block: block, count: count)
          model.replaceSubrange(range, with: repeatElement(0, count: range.count))
        case 5:
          try device.discard(block: block, count: count)
          model.replaceSubrange(range, with: repeatElement(0, count: range.count))
        case 6: try device.flush()
        case 7:
          let extent = try device.extent(at: block, limit: count)
          #expect(extent.count >= 1 && extent.count <= count, sourceLocation: sourceLocation)
          if extent.kind == .zero {
            let part = model[range.lowerBound..<range.lowerBound + Int(extent.count * size)]
            #expect(part.allSatisfy { $0 == 0 }, sourceLocation: sourceLocation)
          }
        default:
          let same =
            try device.bytes(at: UInt64(range.lowerBound), count: range.count)
            == Array(model[range])
          #expect(same, "blocks \(block) to \(block + count)", sourceLocation: sourceLocation)
          if !same { return }
        }
      }
      let first = device.nextData(from: 0)
      #expect(
        model[..<Int(first * size)].allSatisfy { $0 == 0 }, sourceLocation: sourceLocation)
      #expect(try device.bytes(at: 0, count: model.count) == model, sourceLocation: sourceLocation)
      device.close()
      let again = try format.open(store, files.context()).device
      #expect(try again.bytes(at: 0, count: model.count) == model, sourceLocation: sourceLocation)
      again.close()
      try expectClean(format, store, files, sourceLocation: sourceLocation)
    }
  }

  // MARK: Hostile files

  static func fuzzCount(_ normally: Int = 2000) -> Int {
    ProcessInfo.processInfo.environment["APUS_FUZZ"].flatMap { Int($0) } ?? normally
  }

  /// Where cases that took too long are kept, to be looked at.
  static let keepFolder = ProcessInfo.processInfo.environment["APUS_FUZZ_KEEP"]

  /// Opens, reads, writes, checks and mends an image whose bytes were changed. All of that may fail, but in words and soon.
  /// - Parameters:
  ///   - headers: where the structures are whose fields go to their extremes.
  ///   - seal: makes check sums right again, so that what is behind them is reached.
  static func fuzz(
    _ format: any TriedFormat, _ image: [UInt8], headers: [Range<Int>], files: TrialFiles,
    count: Int = fuzzCount(), seed: UInt64 = 1, seal: ((SparseStore) throws -> Void)? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    var random = TrialRandom(state: seed)
    let fields = headers.flatMap { range in range.map { $0 } }
    let extremes: [UInt64] = [
      0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x1FF, 0x200, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x10_0000,
      0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF, 0x1_0000_0000, 1 << 40,
      0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, .max - 511, .max - 1, .max,
    ]
    var opened = 0
    for number in 0..<count {
      var size = UInt64(image.count)
      if random.below(12) == 0 { size = random.below(size + 4096) }
      let store = SparseStore(image, size: size, name: "hostile")
      let mutations = 1 + (random.below(3) == 0 ? random.below(8) : 0)
      for _ in 0..<mutations {
        // All fields in turn, then at random.
        let at =
          number < fields.count * 4
          ? fields[number / 4] : fields[Int(random.below(UInt64(fields.count)))]
        let width = [1, 2, 4, 8][Int(random.below(4))]
        var value = extremes[Int(random.below(UInt64(extremes.count)))]
        switch random.below(4) {
        case 0: value = random.next()
        case 1: value = random.below(UInt64(image.count) / 512 + 4)
        default: break
        }
        var bytes = little(value, width)
        if random.below(2) == 0 { bytes.reverse() }
        let room = UInt64(at) < size ? Int(min(UInt64(width), size - UInt64(at))) : 0
        if room > 0 { try? store.write(at: UInt64(at), Array(bytes[..<room])) }
      }
      if let seal, random.below(8) != 0 { try? seal(store) }
      let hostile = keepFolder != nil && store.size < 1 << 26 ? store.contents() : []
      let begin = ContinuousClock.now
      files.stores["hostile"] = store
      if tryOut(format, store, files, &random) { opened += 1 }
      _ = try? format.check(store, .none, files.context())
      _ = try? format.check(store, .all, files.context())
      let took = ContinuousClock.now - begin
      if took > .seconds(10) {
        Issue.record("case \(number) took \(took)", sourceLocation: sourceLocation)
        if let folder = keepFolder {
          try? Data(hostile).write(to: URL(fileURLWithPath: "\(folder)/\(number)"))
        }
      }
    }
    // Otherwise only refusals were tried.
    #expect(opened > count / 50, "\(opened) of \(count)", sourceLocation: sourceLocation)
  }

  private static func tryOut(
    _ format: any TriedFormat, _ store: SparseStore, _ files: TrialFiles,
    _ random: inout TrialRandom
  ) -> Bool {
    _ = try? format.probe(store, files.context())
    guard let device = try? ImageFormats.checkedOpen(format, store, files.context()) else {
      return false
    }
    let count = device.blockCount
    for n in 0..<(count == 0 ? 0 : 6) {
      let block = n == 0 ? 0 : n == 1 ? count - 1 : random.below(count)
      _ = try? device.bytes(at: block * UInt64(device.blockSize), count: device.blockSize * 3)
      _ = try? device.extent(at: block, limit: min(count - block, 4096))
      _ = try? device.write(
        block: block, [UInt8](repeating: 0xA5, count: device.blockSize))
      _ = try? device.discard(block: block, count: min(3, count - block))
    }
    _ = try? device.flush()
    device.close()
    return true
  }
}

extension ImageFormats {
  /// What `open` checks of a device, for one format.
  static func checkedOpen(
    _ format: any ImageFormat, _ store: any ByteStore, _ context: ImageContext
  ) throws -> any BlockDevice {
    var only = context
    only.formats = [format]
    return try ImageFormats.open(store, only).device
  }
}
