// Power failures at any point of a guest's work, for every format that is written.
//
// Owns: the driver: run a workload, cut, open what is left, check it, compare. Must not know: any format.
// A format's test calls `PowerCuts(format, files).run(...)`. APUS_CUTS says how many cuts there are (100000 is a thorough run); without it there
// are as many as fit into a second or two.

import Foundation
import Testing

@testable import Storage

struct PowerCuts {
  var format: any CheckableFormat
  /// The image and whatever it names, by name; the image is the first.
  var files: [(name: String, bytes: [UInt8])]
  var formats: [any ImageFormat] = ImageFormats.all
  /// Whether a check before the image is opened for the first time must find nothing corrupt. Formats that mend themselves when they are opened
  /// (a log to replay, a mark that says "not closed") are looked at behind that only.
  var checksBeforeOpening = true
  /// Of encrypted images.
  var keys: DiskKeys?

  init(_ format: any CheckableFormat, _ files: [(name: String, bytes: [UInt8])]) {
    self.format = format
    self.files = files
  }

  init(_ format: any CheckableFormat, image: [UInt8]) {
    self.init(format, [("image", image)])
  }

  /// What a workload is given: the guest's device, and numbers.
  typealias Workload = (GuestWitness, inout PowerCutRandom) throws -> Void

  /// How many cuts a test makes.
  static func count(normally: Int) -> Int {
    ProcessInfo.processInfo.environment["APUS_CUTS"].flatMap { Int($0) } ?? normally
  }

  static func context(
    formats: [any ImageFormat], _ file: @escaping (String) -> (any ByteStore)?
  ) -> ImageContext {
    ImageContext(kind: .disk, formats: formats) { (name, use) throws(StorageError) in
      guard let store = file(name) else {
        throw StorageError.missing(name)
      }
      return store
    }
  }

  /// Runs a workload again and again, with other numbers each time, and cuts each run a few hundred times.
  /// - Parameter goesOn: is asked between two runs.
  /// - Returns: how many cuts there were.
  @discardableResult
  func run(
    count: Int, seed: UInt64, cutsPerRun: Int = 250, _ workload: Workload,
    goesOn: (_ cuts: Int) -> Bool = { _ in true },
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> Int {
    var done = 0
    var failures = 0
    var round: UInt64 = 0
    while done < count && failures < 5 && goesOn(done) {
      round += 1
      var random = PowerCutRandom(seed: seed &* 0x1_0001 &+ round)
      let disk = PowerCutDisk()
      for file in files { disk.add(file.name, file.bytes) }
      var context = PowerCuts.context(formats: formats) { disk[$0] }
      context.keys = keys
      let device = try format.open(disk.files[0], context).device
      let witness = try GuestWitness(device, disk)
      try workload(witness, &random)
      var cuts = (0..<min(cutsPerRun, count - done)).map { _ in random.below(disk.log.count + 1) }
      cuts.sort()
      var cursor = PowerCutDisk.Cursor(disk)
      for cut in cuts {
        cursor.advance(to: cut)
        let images = cursor.images(&random)
        if let complaint = complaint(images, witness, cut, &random) {
          failures += 1
          Issue.record(
            "seed \(seed), round \(round), cut \(cut) of \(disk.log.count): \(complaint)",
            sourceLocation: sourceLocation)
          if let folder = ProcessInfo.processInfo.environment["APUS_CUTS_KEEP"] {
            for (file, bytes) in zip(files, images) {
              try? Data(bytes).write(
                to: URL(fileURLWithPath: "\(folder)/\(seed)-\(round)-\(cut)-\(file.name)"))
            }
          }
          if failures >= 5 { break }
        }
        done += 1
      }
    }
    return done
  }

  /// What is wrong with what a failure left, or nil.
  private func complaint(
    _ images: [[UInt8]], _ witness: GuestWitness, _ cut: Int, _ random: inout PowerCutRandom
  ) -> String? {
    let stores = zip(files, images).map { MemoryStore($1, name: $0.name) }
    var context = PowerCuts.context(formats: formats) { name in
      zip(files, stores).first { $0.0.name == name }?.1
    }
    context.keys = keys
    func corruption() throws -> String? {
      let check = try format.check(stores[0], .none, context)
      // A flag that is clear costs a copy, and no data.
      return check.findings.first { $0.severity != .leak && $0.text != QCOW2Checker.clearFlag }.map
      {
        "\($0.text) at \($0.offset.map(String.init) ?? "?")"
      }
    }
    do {
      if checksBeforeOpening, let found = try corruption() { return "before opening: \(found)" }
      let device = try format.open(stores[0], context).device
      if let found = witness.complaint(try GuestWitness.hashes(of: device), cut: cut) {
        return found
      }
      // Who goes on must not stumble over what is left, nor lose what was there.
      var model = try device.bytes(at: 0, count: Int(device.blockCount) * device.blockSize)
      for _ in 0..<4 {
        let block = random.below(Int(device.blockCount))
        let bytes = [UInt8](
          repeating: UInt8(truncatingIfNeeded: random.next()), count: device.blockSize)
        try device.write(block: UInt64(block), bytes)
        let at = block * device.blockSize
        model.replaceSubrange(at..<at + bytes.count, with: bytes)
      }
      try device.flush()
      if try device.bytes(at: 0, count: model.count) != model {
        return "writes behind the cut went wrong"
      }
      device.close()
      if let found = try corruption() { return "after writing on: \(found)" }
      return nil
    } catch {
      return "\(error)"
    }
  }

  /// What a busy guest does: writes of all sizes, zeros, discards, now and then a flush.
  static func busyGuest(steps: Int, longest: Int = 24) -> Workload {
    { (device, random) throws in
      for _ in 0..<steps {
        let count = 1 + random.below(random.one(in: 3) ? longest : 3)
        let block = random.below(max(1, Int(device.blockCount) - count))
        let size = min(count, Int(device.blockCount) - block)
        switch random.below(12) {
        case 10, 11: _ = try device.settle()
        case 0: try device.writeZeroes(block: UInt64(block), count: UInt64(size))
        case 1: try device.discard(block: UInt64(block), count: UInt64(size))
        case 2: try device.flush()
        default:
          let tag = random.next()
          let bytes = (0..<size * device.blockSize / 8).flatMap { word in
            withUnsafeBytes(of: tag &+ UInt64(word)) { Array($0) }
          }
          try device.write(block: UInt64(block), bytes)
        }
      }
    }
  }
}
