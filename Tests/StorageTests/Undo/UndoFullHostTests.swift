// A host without room while clusters are kept: the guest is told, and no period's beginning is lost by it.
//
// Owns: the trials: refuse any operation on the host's files, once or for a while, go on, and look at what is left. Must not know: formats.
// APUS_CUTS says how many trials there are for each kind of image.

import Testing

@testable import Storage

/// A disk on a host that may have no room, and what it held when its periods began.
private final class Trial {
  let kind: WrittenKind
  let host: FullHost
  let device: UndoDevice
  private(set) var starts: [[UInt8]] = []

  init(_ kind: WrittenKind, _ host: FullHost) throws {
    self.kind = kind
    self.host = host
    device = UndoDevice(try Trial.image(kind, host))
  }

  static func image(_ kind: WrittenKind, _ host: FullHost) throws -> any BlockDevice {
    try kind.checkable().open(host.files["image"]!, host.context).device
  }

  static func log(_ period: Int, of device: any BlockDevice, on host: FullHost) -> UndoLog {
    Undo.log(UInt64(period), of: device) { () throws(StorageError) -> any ByteStore in
      try host.made("undo-\(period)")
    }
  }

  /// Does something that may be refused for want of room.
  static func unlessFull(_ body: () throws(StorageError) -> Void) throws(StorageError) -> Bool {
    do throws(StorageError) {
      try body()
      return true
    } catch {
      if !error.lacksRoom { throw error }
      return false
    }
  }

  func begin() throws {
    let bytes = try device.bytes(at: 0, count: kind.size)
    let log = Trial.log(starts.count, of: device, on: host)
    let hasBegun = try Trial.unlessFull { () throws(StorageError) in try device.begin(log) }
    if hasBegun { starts.append(bytes) }
  }

  func release() throws {
    let isDone = try Trial.unlessFull { () throws(StorageError) in try device.release() }
    if !isDone {
      host.refused = 0..<0
      try device.release()
    }
  }

  /// What is wrong with what an image and the logs in some host's files say, or nil.
  func complaint(_ image: any BlockDevice, _ host: FullHost) throws -> String? {
    var logs: [UndoLog] = []
    for period in starts.indices {
      if let bytes = host.files["undo-\(period)"]?.bytes {
        logs.append(try Undo.open(MemoryStore(bytes), UInt64(period)))
      }
    }
    for (period, bytes) in starts.enumerated() {
      if let found = try Undo.complaint(bytes, period: UInt64(period), logs, image) {
        return found
      }
    }
    return nil
  }
}

@Suite struct UndoFullHostTests {
  /// One guest, until there is room again.
  /// - Returns: what is wrong, or nil.
  private func complaint(
    _ kind: WrittenKind, _ files: [(name: String, bytes: [UInt8])], seed: UInt64, most: inout Int
  ) throws -> String? {
    var random = PowerCutRandom(seed: seed)
    let host = FullHost(files, seed: seed)
    let trial = try Trial(kind, host)
    let device = trial.device
    if random.one(in: 2) {
      device.mostBytes = UInt64(random.below(6)) << 16
      device.manyBytes = device.mostBytes / 3
    }
    var guest = try ToldGuest(device)
    try trial.begin()
    let first = 1 + random.below(most)
    host.refused = first..<first + [1, 1, 2, 7, 30, 1 << 30][random.below(6)]
    for _ in 0..<6 {
      try guest.work(device, steps: 1 + random.below(8), &random)
      if random.one(in: 3) { try trial.begin() }
      if random.one(in: 5) {
        device.hold()
        for _ in 0..<3 { try guest.work(device, steps: 1, &random) }
        try trial.release()
        // What the guest flushed meanwhile was not written.
        host.refused = 0..<0
        try guest.flush(device)
      }
    }
    most = max(most, host.count)
    if let found = try guest.complaint(device) { return "before: \(found)" }
    // Below it everything is as it is in the files: what waits is not there, nor need its record be.
    if let found = try trial.complaint(device.device, host) { return found }
    // The program is killed, now or after it had room again.
    if random.one(in: 2) {
      host.refused = 0..<0
      try guest.flush(device)
      try device.begin(nil)
    }
    let again = FullHost(host.contents(), seed: seed)
    let image = try Trial.image(kind, again)
    if let found = try guest.complaintWhenKilled(image) { return "killed: \(found)" }
    return try trial.complaint(image, again).map { "killed: \($0)" }
  }

  @Test(arguments: Undo.kinds) func nothingIsLostWithoutRoom(_ kind: WrittenKind) throws {
    let files = try kind.make()
    var (most, failures) = (40, 0)
    for seed in 0..<UInt64(PowerCuts.count(normally: 150)) {
      if let found = try complaint(kind, files, seed: seed, most: &most) {
        Issue.record("seed \(seed): \(found)")
        failures += 1
        if failures >= 3 { break }
      }
    }
  }

  /// A write that is refused is asked once more when there is room: nothing was done by the first one.
  @Test func aRefusedWriteChangesNothing() throws {
    let image = MemoryImage(bytes: QCOW2Maker.pattern(4 << 16, 3))
    let host = FullHost([])
    let device = UndoDevice(image)
    try device.begin(Trial.log(0, of: device, on: host))
    let before = image.bytes
    let bytes = [UInt8](repeating: 9, count: 1024)
    // The file, its header, a flush, the record; the flush of the record comes with the guest's.
    for n in 1...4 {
      host.refused = host.count + n..<1 << 30
      let error = #expect(throws: StorageError.self) { try device.write(block: 127, bytes) }
      #expect(error?.lacksRoom == true)
      #expect(image.bytes == before)
      #expect(try device.bytes(at: 0, count: before.count) == before)
      #expect(device.keptClusters.isEmpty)
    }
    host.refused = 0..<0
    try device.write(block: 127, bytes)
    host.refused = host.count + 1..<host.count + 3
    for _ in 0..<2 {
      let error = #expect(throws: StorageError.self) { try device.flush() }
      #expect(error?.lacksRoom == true)
      #expect(try device.bytes(at: 127 * 512, count: 1024) == bytes)
      #expect(image.bytes == before)
    }
    try device.flush()
    #expect(Array(image.bytes[127 * 512..<129 * 512]) == bytes)
    let log = try Undo.open(host.files["undo-0"]!, 0)
    #expect(log.clusters == [0, 1])
    #expect(try Undo.contents(before.count, [log], device) == before)
  }
}
