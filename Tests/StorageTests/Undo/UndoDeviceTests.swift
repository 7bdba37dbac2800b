// A device whose overwritten clusters are kept, against a model in memory.

import Foundation
import Testing

@testable import Storage

@Suite struct UndoDeviceTests {
  private func pattern(_ clusters: Int, _ tag: UInt64 = 1) -> [UInt8] {
    QCOW2Maker.pattern(clusters * 65536, tag)
  }

  private func folder() throws -> String {
    let path = NSTemporaryDirectory() + "undo-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  // MARK: What is kept

  @Test func aClusterIsKeptOnce() throws {
    let device = UndoDevice(MemoryImage(bytes: pattern(4)))
    let store = MemoryStore([])
    let log = Undo.log(3, of: device) { store }
    try device.begin(log)
    #expect(store.bytes.isEmpty)
    try device.write(block: 130, [UInt8](repeating: 7, count: 512))
    #expect(store.bytes.count == 512 + 32 + 65536)
    try device.write(block: 131, [UInt8](repeating: 8, count: 1024))
    #expect(store.bytes.count == 512 + 32 + 65536)
    // Two clusters.
    try device.write(block: 255, [UInt8](repeating: 9, count: 1024))
    #expect(device.keptClusters.count == 2)
    #expect(log.clusters == [1, 2])
    #expect(try device.bytes(at: 130 * 512, count: 512) == [UInt8](repeating: 7, count: 512))
    let read = try Undo.open(MemoryStore(store.bytes), 3)
    #expect(try Undo.contents(4 << 16, [read], device) == pattern(4))
  }

  @Test func withoutALogNothingIsKeptOrWaits() throws {
    let image = MemoryImage(bytes: pattern(2))
    let device = UndoDevice(image)
    try device.write(block: 3, [UInt8](repeating: 7, count: 512))
    #expect(image.bytes[3 * 512] == 7)
    let store = MemoryStore([])
    try device.begin(Undo.log(0, of: device) { store })
    try device.write(block: 4, [UInt8](repeating: 8, count: 512))
    // It waits for the log.
    #expect(image.bytes[4 * 512] != 8)
    try device.begin(nil)
    #expect(image.bytes[4 * 512] == 8)
    try device.write(block: 200, [UInt8](repeating: 9, count: 512))
    #expect(image.bytes[200 * 512] == 9)
    let log = try Undo.open(store, 0)
    #expect(log.clusters == [0] && log.isComplete)
  }

  @Test func whatWasKeptAndSyncedGoesStraightThrough() throws {
    let image = MemoryImage(bytes: pattern(2))
    let device = UndoDevice(image)
    try device.begin(Undo.log(0, of: device) { MemoryStore([]) })
    try device.write(block: 4, [UInt8](repeating: 8, count: 512))
    try device.flush()
    try device.write(block: 5, [UInt8](repeating: 9, count: 512))
    #expect(image.bytes[4 * 512] == 8 && image.bytes[5 * 512] == 9)
  }

  @Test func zerosTakeNoRoom() throws {
    let device = UndoDevice(MemoryImage(bytes: [], sectorCount: 1 << 12))
    let store = MemoryStore([])
    try device.begin(Undo.log(0, of: device) { store })
    for n: UInt64 in 0..<32 { try device.write(block: n * 128, [UInt8](repeating: 1, count: 512)) }
    try device.flush()
    #expect(store.bytes.count == 512 + 32 * 32)
    let log = try Undo.open(store, 0)
    #expect(log.clusters == Array(0..<32))
    #expect(try Undo.contents(2 << 20, [log], device).allSatisfy { $0 == 0 })
  }

  /// Only what has data is kept, in a time that does not depend on the size of the disk.
  @Test func aLargeDiskIsDiscardedQuickly() throws {
    let path = try folder()
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(FileManager.default.createFile(atPath: path + "/disk", contents: nil))
    truncate(path + "/disk", 1 << 40)
    let file = try HostFile(path: path + "/disk", writable: true)
    let image = RawFormat().open(file, PowerCuts.context(formats: []) { _ in nil }).device
    let device = UndoDevice(image)
    try device.write(block: 1 << 30, pattern(1))
    let log = UndoLog(path: path + "/log", identity: Undo.identity, period: 0, diskSize: 1 << 40)
    try device.begin(log)
    let begin = ContinuousClock.now
    try device.discard(block: 0, count: device.blockCount)
    try device.writeZeroes(block: 0, count: 1 << 20)
    #expect(ContinuousClock.now - begin < .seconds(5))
    #expect(log.clusters == [1 << 23])
    try device.begin(nil)
    let read = try UndoLog.open(path + "/log", expecting: Undo.identity, period: 0)
    var bytes = [UInt8](repeating: 1, count: 65536)
    #expect(try bytes.withUnsafeMutableBytes { try read.read(1 << 23, into: $0) })
    #expect(bytes == pattern(1))
    #expect(try read.read(5, into: UnsafeMutableRawBufferPointer(start: nil, count: 0)) == false)
  }

  @Test func writesDoNotGatherWithoutEnd() throws {
    let image = MemoryImage(bytes: [], sectorCount: 1 << 17)
    let device = UndoDevice(image)
    try device.begin(Undo.log(0, of: device) { MemoryStore([]) })
    for n: UInt64 in 0..<1024 { try device.write(block: n * 128, pattern(1, n)) }
    #expect(device.pending.writtenBlockCount * 512 <= 9 << 20)
    try device.begin(Undo.log(1, of: device) { MemoryStore([]) })
    for n: UInt64 in 0..<1024 { try device.write(block: n * 128, pattern(1, n + 5000)) }
    #expect(device.pending.writtenBlockCount * 512 <= 9 << 20)
    #expect(try device.bytes(at: 1000 << 16, count: 65536) == pattern(1, 6000))
  }

  @Test func settlingBringsAllToTheDevice() throws {
    let image = MemoryImage(bytes: pattern(8))
    let device = UndoDevice(image)
    let host = PowerCutDisk()
    try device.begin(Undo.log(0, of: device) { host.add("log", []) })
    for n: UInt64 in 0..<8 { try device.write(block: n * 128, pattern(1, n + 9)) }
    var calls = 0
    while try device.settle() {
      calls += 1
      if calls == 20 { break }
    }
    #expect(calls < 20)
    #expect(Array(image.bytes[..<65536]) == pattern(1, 9))
  }

  // MARK: Holding back

  @Test func whatIsHeldBackIsReadAndNotWritten() throws {
    let image = MemoryImage(bytes: pattern(200))
    let device = UndoDevice(image)
    try device.begin(Undo.log(0, of: device) { MemoryStore([]) })
    let before = image.bytes
    device.hold()
    var model = before
    for n in 0..<200 {
      try device.write(block: UInt64(n) * 128, pattern(1, UInt64(n) + 1000))
      model.replaceSubrange(n << 16..<(n + 1) << 16, with: pattern(1, UInt64(n) + 1000))
    }
    try device.discard(block: 1000, count: 30)
    model.replaceSubrange(1000 * 512..<1030 * 512, with: repeatElement(0, count: 30 * 512))
    try device.flush()
    _ = try device.settle()
    #expect(throws: StorageError.self) { try device.begin(nil) }
    #expect(throws: StorageError.self) { try device.resize(to: 5) }
    #expect(image.bytes == before)
    #expect(try device.bytes(at: 0, count: model.count) == model)
    #expect(device.isHeld)
    try device.release()
    #expect(!device.isHeld)
    #expect(image.bytes == model)
  }

  // MARK: Any period

  @Test(arguments: Undo.kinds) func anyPeriodsBeginningIsReadBack(_ kind: WrittenKind) throws {
    for seed: UInt64 in 0..<4 {
      let files = TrialFiles()
      for file in try kind.make() {
        files.stores[file.name] = SparseStore(file.bytes, name: file.name)
      }
      let device = UndoDevice(
        try kind.checkable().open(files.stores["image"]!, files.context()).device)
      var random = PowerCutRandom(seed: seed)
      var starts: [[UInt8]] = []
      for period in 0..<7 {
        starts.append(try device.bytes(at: 0, count: kind.size))
        try device.begin(
          Undo.log(UInt64(period), of: device) {
            let store = SparseStore(name: "undo-\(period)")
            files.stores["undo-\(period)"] = store
            return store
          })
        for _ in 0..<random.below(30) {
          if random.one(in: 10) { device.hold() }
          try Undo.step(device, &random)
          if device.isHeld && random.one(in: 3) { try device.release() }
        }
        try device.release()
      }
      func check(_ image: any BlockDevice) throws {
        var logs: [UndoLog] = []
        for period: UInt64 in 0..<7 {
          if let store = files.stores["undo-\(period)"] {
            logs.append(try Undo.open(store, period))
          }
        }
        for (period, bytes) in starts.enumerated() {
          #expect(try Undo.complaint(bytes, period: UInt64(period), logs, image) == nil)
        }
        for log in logs { try log.verify() }
      }
      for cluster in 0..<starts[6].count / 65536 {
        var part = [UInt8](repeating: 1, count: 65536)
        try part.withUnsafeMutableBytes { try device.readAtBeginning(UInt64(cluster), into: $0) }
        #expect(part[...] == starts[6][cluster << 16..<(cluster + 1) << 16])
      }
      // The last log has what waits too.
      try check(device)
      try device.begin(nil)
      try check(device)
      device.close()
      try check(try kind.checkable().open(files.stores["image"]!, files.context()).device)
    }
  }

  @Test func aDiskThatIsMadeSmallerOrLargerHasWhatItHad() throws {
    let files = TrialFiles()
    let format = ImageFormats.named("qcow2")! as! any TriedFormat
    let store = try Trials.create(format, Trials.wish(1 << 20), files: files)
    let device = UndoDevice(try format.open(store, files.context()).device)
    try device.write(block: 0, pattern(16))
    var stores: [MemoryStore] = []
    var starts: [[UInt8]] = []
    var random = PowerCutRandom(seed: 4)
    for (period, blocks) in [2048, 1000, 2048, 2500, 700, 2048].enumerated() {
      starts.append(try device.bytes(at: 0, count: Int(device.blockCount) * 512))
      let store = MemoryStore([])
      stores.append(store)
      try device.begin(Undo.log(UInt64(period), of: device) { store })
      for _ in 0..<3 { try Undo.step(device, &random) }
      try device.resize(to: UInt64(blocks))
      for _ in 0..<3 { try Undo.step(device, &random) }
      let read = try stores.enumerated().compactMap { n, store in
        store.bytes.isEmpty ? nil : try Undo.open(store, UInt64(n))
      }
      try device.flush()
      for (period, bytes) in starts.enumerated() {
        #expect(try Undo.complaint(bytes, period: UInt64(period), read, device) == nil)
      }
    }
  }
}
