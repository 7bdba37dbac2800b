// Power failures while clusters are kept: the image holds what was flushed, and every period's beginning is what it was.
//
// Owns: the driver: a guest whose periods begin now and then, cuts, what must be there behind them. Must not know: formats, how logs look.
// APUS_CUTS says how many cuts there are for each kind of image.

import Testing

@testable import Storage

@Suite struct UndoPowerCutTests {
  /// A period's beginning.
  private struct Start {
    var period: UInt64
    /// Operations on the disk when `begin` had returned.
    var done: Int
    var bytes: [UInt8]
  }
  private static let periods = 8

  private struct Run {
    var disk: PowerCutDisk
    var witness: GuestWitness
    var starts: [Start] = []
    var imageCount: Int
    /// By which the logs are sealed; nil: they are not.
    var secret: ContentSecret?
  }

  private static func run(
    _ kind: WrittenKind, _ files: [(name: String, bytes: [UInt8])], _ random: inout PowerCutRandom
  ) throws -> Run {
    let disk = PowerCutDisk()
    for file in files { disk.add(file.name, file.bytes) }
    for period in 0..<periods { disk.add("undo-\(period)", []) }
    let context = PowerCuts.context(formats: ImageFormats.all) { disk[$0] }
    let device = UndoDevice(try kind.checkable().open(disk.files[0], context).device)
    if random.one(in: 2) {
      device.mostBytes = UInt64(random.below(6)) << 16
      device.manyBytes = device.mostBytes / 3
    }
    let witness = try GuestWitness(device, disk)
    var run = Run(disk: disk, witness: witness, imageCount: files.count)
    if random.one(in: 3) { run.secret = Undo.secret }
    let isTorn = random.one(in: 2)
    func begin(_ random: inout PowerCutRandom) throws {
      let period = UInt64(run.starts.count)
      if random.one(in: 2) { try device.prepareBegin() }
      let bytes = try device.bytes(at: 0, count: kind.size)
      let seal = try run.secret.map { try UndoSeal($0, for: "log") }
      try device.begin(
        Undo.log(period, of: device, seal: seal) {
          let store = disk["undo-\(period)"]!
          return isTorn ? TornStore(store) : store
        })
      run.starts.append(Start(period: period, done: disk.log.count, bytes: bytes))
    }
    if random.one(in: 2) {
      for _ in 0..<5 { try Undo.step(witness, &random) }
    }
    try begin(&random)
    for _ in 0..<20 + random.below(40) {
      switch random.below(12) {
      case 0 where run.starts.count < periods:
        if device.isHeld { try device.release() }
        try begin(&random)
      case 1: if device.isHeld { try device.release() } else if random.one(in: 4) { device.hold() }
      default:
        // A flush does not reach what is held back; nobody says so to the guest, who is not there meanwhile.
        if device.isHeld {
          let tag = random.next() & 0xFFFF
          let block = UInt64(random.below(1000))
          let bytes = QCOW2Maker.pattern(512 * (1 + random.below(200)), tag)
          try witness.write(block: block, bytes)
        } else {
          try Undo.step(witness, &random)
        }
      }
    }
    if device.isHeld { try device.release() }
    return run
  }

  /// What is wrong with what a failure left, or nil.
  private static func complaint(
    _ kind: WrittenKind, _ run: Run, _ images: [[UInt8]], _ cut: Int,
    _ random: inout PowerCutRandom
  ) -> String? {
    let stores = zip(run.disk.files, images).map { MemoryStore($1, name: $0.name) }
    let context = PowerCuts.context(formats: ImageFormats.all) { name in
      stores.first { $0.name == name }
    }
    do {
      let image = try kind.checkable().open(stores[0], context).device
      if let found = run.witness.complaint(try GuestWitness.hashes(of: image), cut: cut) {
        return found
      }
      var logs: [UndoLog] = []
      for period in 0..<periods {
        logs.append(
          try Undo.open(stores[run.imageCount + period], UInt64(period), secret: run.secret))
      }
      func starts() throws -> String? {
        for start in run.starts where start.done <= cut {
          if let found = try Undo.complaint(
            start.bytes, period: start.period, logs, image)
          {
            return found
          }
        }
        return nil
      }
      if let found = try starts() { return found }
      // The program begins anew, and a period with it.
      let again = UndoDevice(image)
      let next = UInt64(periods)
      let store = MemoryStore([])
      let log = Undo.log(next, of: again) { store }
      try again.begin(log)
      for _ in 0..<6 { try Undo.step(again, &random) }
      try again.begin(nil)
      if !store.bytes.isEmpty { logs.append(try Undo.open(store, next)) }
      return try starts().map { "after writing on: \($0)" }
    } catch {
      return "\(error)"
    }
  }

  @Test(arguments: Undo.kinds) func everyBeginningIsWhatItWas(_ kind: WrittenKind) throws {
    let files = try kind.make()
    let count = PowerCuts.count(normally: 400)
    var (done, failures, round): (Int, Int, UInt64) = (0, 0, 0)
    while done < count && failures < 3 {
      round += 1
      var random = PowerCutRandom(seed: round &* 0x1_0001 &+ 77)
      let run = try UndoPowerCutTests.run(kind, files, &random)
      let cuts = (0..<min(40, count - done)).map { _ in
        random.below(run.disk.log.count + 1)
      }
      var cursor = PowerCutDisk.Cursor(run.disk)
      for cut in cuts.sorted() {
        cursor.advance(to: cut)
        let images = cursor.images(&random)
        if let found = UndoPowerCutTests.complaint(kind, run, images, cut, &random) {
          failures += 1
          Issue.record("round \(round), cut \(cut) of \(run.disk.log.count): \(found)")
          if failures >= 3 { break }
        }
        done += 1
      }
    }
  }

  /// The driver notices a device that does not wait for the log.
  @Test func aLogThatIsNotOnStableStorageIsNoticed() throws {
    let kind = Undo.kinds[0]
    let files = try kind.make()
    var found = 0
    for round: UInt64 in 0..<20 {
      var random = PowerCutRandom(seed: round)
      let disk = PowerCutDisk()
      disk.add("image", files[0].bytes)
      let store = disk.add("undo-0", [])
      let context = PowerCuts.context(formats: ImageFormats.all) { disk[$0] }
      let device = UndoDevice(try kind.checkable().open(disk.files[0], context).device)
      let before = try device.bytes(at: 0, count: kind.size)
      try device.begin(Undo.log(0, of: device) { Unflushed(store) })
      for _ in 0..<20 { try Undo.step(device, &random) }
      var cursor = PowerCutDisk.Cursor(disk)
      for cut in stride(from: 0, through: disk.log.count, by: 3) {
        cursor.advance(to: cut)
        let images = cursor.images(&random)
        let log = try? Undo.open(MemoryStore(images[1]), 0)
        let image = try kind.checkable().open(MemoryStore(images[0]), context).device
        if log == nil { found += 1 }
        if let log, try Undo.complaint(before, period: 0, [log], image) != nil { found += 1 }
      }
    }
    #expect(found > 20)
  }
}

/// Says that it flushes, and does not.
private final class Unflushed: ByteStore {
  let store: any ByteStore
  init(_ store: any ByteStore) { self.store = store }
  var name: String { store.name }
  var size: UInt64 { store.size }
  var isWritable: Bool { true }
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try store.read(at: offset, into: buffer)
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try store.write(at: offset, from: buffer)
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try store.zero(at: offset, count: count, releasing: releasing)
  }
  func setSize(_ size: UInt64) throws(StorageError) { try store.setSize(size) }
  func flush() throws(StorageError) {}
}
