// A host without room in the middle of a guest's work that goes on (`--on-disk-error report`), for every format that is written.
//
// Owns: the trials: fail at any operation on the host's files, once or for a while, go on, and look at what is left. Must not know: formats.
// APUS_CUTS says how many trials there are for each kind.

import Testing

@testable import Storage

@Suite struct FullHostTests {
  /// How a trial ends.
  private enum End: Int, CaseIterable {
    /// There is room again, and the program ends as it should.
    case closed
    /// It never comes again.
    case closedWithoutRoom
    /// The program is killed.
    case killed
  }

  /// What a check has to say of it, apart from room that nobody uses; nil: nothing.
  private static func corruption(_ kind: WrittenKind, _ host: FullHost) throws -> String? {
    let check = try kind.checkable().check(host.files["image"]!, .none, host.context)
    let bad = check.findings.filter {
      $0.severity != .leak && $0.text != QCOW2Checker.clearFlag
    }
    return bad.first.map { "\($0.text) at \($0.offset.map(String.init) ?? "?")" }
  }

  /// What is wrong with what is left, or nil.
  private static func complaint(
    _ kind: WrittenKind, _ host: FullHost, _ random: inout PowerCutRandom,
    _ expect: (any BlockDevice) throws -> String?
  ) throws -> String? {
    if let found = try corruption(kind, host) { return "a check: \(found)" }
    let device = try kind.checkable().open(host.files["image"]!, host.context).device
    if let found = try expect(device) { return found }
    var guest = try ToldGuest(device)
    try guest.work(device, steps: 8, &random)
    if let found = try guest.complaint(device) { return "going on: \(found)" }
    device.close()
    return try corruption(kind, host).map { "a check, after going on: \($0)" }
  }

  /// - Parameter work: what is done on the way besides.
  private static func trials(
    _ kind: WrittenKind, count: Int, seed: UInt64,
    _ work: (any BlockDevice, inout PowerCutRandom) throws -> Void = { _, _ in }
  ) throws {
    let files = try kind.make()
    var random = PowerCutRandom(seed: seed)
    var most = 60
    var failures = 0
    var trial = 0
    while trial < count && failures < 3 {
      trial += 1
      let own = random.next()
      let host = FullHost(files, seed: own)
      let device = try kind.checkable().open(host.files["image"]!, host.context).device
      var guest = try ToldGuest(device)
      let first = 1 + random.below(most)
      let length = [1, 1, 2, 7, 30, 1 << 30][random.below(6)]
      host.refused = first..<first + length
      var steps = PowerCutRandom(seed: own)
      func told() -> String {
        "trial \(trial): refused \(first) and \(length - 1) more of \(host.count)"
      }
      do {
        for _ in 0..<3 {
          try guest.work(device, steps: 6, &steps)
          do { try work(device, &steps) } catch let error as StorageError {
            if !error.lacksRoom { throw error }
          }
        }
        let end = End.allCases[random.below(3)]
        if end != .closedWithoutRoom { host.refused = 0..<0 }
        // What it says of itself before the end.
        if let found = try guest.complaint(device) { throw Complaint(text: "before: \(found)") }
        var found: String?
        switch end {
        case .closed:
          try guest.flush(device)
          device.close()
          found = try complaint(kind, host, &steps, guest.complaint)
        case .closedWithoutRoom:
          device.close()
          host.refused = 0..<0
          found = try complaint(kind, host, &steps, guest.complaintWhenKilled)
        case .killed:
          let left = FullHost(host.contents())
          found = try complaint(kind, left, &steps, guest.complaintWhenKilled)
        }
        most = max(most, host.count)
        if let found { throw Complaint(text: "\(end): \(found)") }
      } catch let complaint as Complaint {
        failures += 1
        Issue.record("\(told()): \(complaint.text)")
      } catch {
        failures += 1
        Issue.record("\(told()): \(error)")
      }
    }
  }

  private struct Complaint: Error { var text: String }

  @Test(arguments: WrittenKind.mapped)
  func whateverWasRefusedTheImageIsWholeAndHasWhatWasFlushed(_ kind: WrittenKind) throws {
    try FullHostTests.trials(kind, count: PowerCuts.count(normally: 60), seed: 31)
  }

  @Test(arguments: [
    WrittenKind("qcow2", ["cluster_size": "512"]), WrittenKind("qcow2", ["cluster_size": "4096"]),
    WrittenKind("qcow2", ["extended_l2": "on", "cluster_size": "16384"]),
  ])
  func soItIsWithSnapshots(_ kind: WrittenKind) throws {
    var number = 0
    try FullHostTests.trials(kind, count: PowerCuts.count(normally: 60), seed: 32) {
      (device, random) in
      let image = try #require(device as? QCOW2Image)
      number += 1
      if random.one(in: 3), let last = try image.snapshots().last {
        try image.deleteSnapshot(last.id)
      } else {
        try image.createSnapshot(named: "s\(number)", time: 7)
      }
    }
  }

  /// A disk that cannot become larger, or smaller, as there is no room, has one of the sizes and all that was flushed.
  @Test(arguments: ResizePowerCutTests.kinds) func soItIsWhenTheSizeChanges(_ kind: WrittenKind)
    throws
  {
    let files = try kind.make()
    var random = PowerCutRandom(seed: 33)
    var most = 20
    for trial in 0..<PowerCuts.count(normally: 40) {
      let host = FullHost(files, seed: random.next())
      let device = try kind.checkable().open(host.files["image"]!, host.context).device
      var guest = try ToldGuest(device)
      try guest.work(device, steps: 10, &random)
      try guest.flush(device)
      let before = device.blockCount
      let isLonger = random.one(in: 2)
      let wanted = isLonger ? before * 3 + 7 : before - 5
      let first = host.count + 1 + random.below(most)
      host.refused = first..<first + [1, 3, 1 << 30][random.below(3)]
      let start = host.count
      do throws(StorageError) {
        try device.resize(to: wanted)
        try device.flush()
        most = max(most, host.count - start)
      } catch { if !error.lacksRoom { throw error } }
      host.refused = 0..<0
      let isKilled = random.one(in: 2)
      if !isKilled { device.close() }
      let left = FullHost(host.contents())
      if let found = try FullHostTests.corruption(kind, left) {
        Issue.record("trial \(trial), to \(wanted) from \(before), killed \(isKilled): \(found)")
        continue
      }
      let again = try kind.checkable().open(left.files["image"]!, left.context).device
      #expect((min(before, wanted)...max(before, wanted)).contains(again.blockCount))
      if isLonger {
        #expect(try guest.complaintWhenKilled(again) == nil, "trial \(trial), killed \(isKilled)")
      }
      // The same once more goes on.
      if again.blockCount != wanted { try again.resize(to: wanted) }
      try again.flush()
      #expect(again.blockCount == wanted)
      again.close()
      #expect(try FullHostTests.corruption(kind, left) == nil, "trial \(trial)")
    }
  }
}
