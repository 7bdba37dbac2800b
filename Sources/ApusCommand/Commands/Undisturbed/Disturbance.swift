// A machine to which things are done that must not show in it.
//
// Owns: each operation of `apus conform undisturbed`. Must not know: when they are done, what the end is compared with.

import Bus
import Host
import Images
import Machine
import Session
import Snapshots
import Storage
import Video

/// A machine that is run to places, and what is done to it there.
final class Disturbance {
  var session: Session
  private let image: String?
  private var state: UInt64
  var plan: (() throws -> SessionConfiguration)?
  /// Snapshots of whole machines that there are.
  private var snapshots: [String] = []
  private static let mostSnapshots = 8

  init(_ configuration: SessionConfiguration, _ image: String?, _ seed: UInt64?) throws {
    var configuration = configuration
    if seed == nil { configuration.snapshots = .none }
    session = try Disturbance.session(configuration)
    self.image = image
    state = (seed ?? 0) &* 2 &+ 1
  }

  static func session(_ configuration: SessionConfiguration) throws -> Session {
    do { return try Session(configuration) } catch {
      throw Failure.usage(error.reason, file: error.file)
    }
  }

  func random(_ below: UInt64) -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state >> 33) % max(below, 1)
  }

  var instructions: UInt64 { session.instructions }
  var hashes: [(name: String, hash: UInt64)] { session.perform { $0.partHashes() } }
  var hash: String { String(session.stateHash, radix: 16) }

  func run(to instruction: UInt64) throws -> String {
    do {
      let end = try session.run(until: .instruction(instruction))
      return end == .instructionLimit ? "to the limit" : "\(end)"
    } catch { throw Failure.host("\(error)") }
  }

  func end() {
    session.finish()
    session.close()
  }

  func wrap<T>(_ body: () throws -> T) throws -> T {
    do { return try body() } catch let error as StorageError {
      throw Failure.host("\(error)", file: error.path)
    }
  }

  func take(onlyDisks: Bool) throws {
    try wrap {
      var wish = SnapshotWish()
      wish.onlyDisks = onlyDisks
      let (snapshot, _) = try session.takeSnapshot(wish)
      if !onlyDisks { snapshots.append(snapshot.name) }
      if snapshots.count > Disturbance.mostSnapshots { try delete() }
    }
  }

  /// Mostly to the last one: the run is to come to its end.
  func goBack() throws {
    if snapshots.isEmpty { return try take(onlyDisks: false) }
    let index = max(0, snapshots.count - 1 - Int(random(random(3) + 1)))
    try wrap { _ = try session.goBack(to: snapshots[index]) }
  }

  func delete() throws {
    if snapshots.isEmpty { return }
    let name = snapshots.remove(at: Int(random(UInt64(snapshots.count))))
    try wrap { _ = try session.deleteSnapshots([name]) }
  }

  /// The state goes into a file's bytes, and a session of its own goes on from it.
  func load() throws {
    guard let plan else { return }
    let bytes = session.snapshot()
    end()
    var configuration = try plan()
    configuration.loadState = LoadFile(path: "(saved)", bytes: bytes)
    session = try Disturbance.session(configuration)
  }

  /// The machine ends at a snapshot, as if its computer had been turned off, and goes on from there.
  func restart() throws {
    guard let plan, let image else { return try load() }
    if snapshots.isEmpty { try take(onlyDisks: false) }
    guard let name = snapshots.last else { return }
    end()
    try wrap {
      let place = SnapshotPlace(image: image, folder: SnapshotTree.folder(of: image))
      _ = try place.change { try $0.restore(name, onlyDisks: false) }
    }
    session = try Disturbance.session(try plan())
  }

  /// Back by a random number of instructions, and forward again.
  func travel() {
    let distance = random(2_000_000) + 1
    session.perform { machine in
      let travel = machine.enableTimeTravel(megabytes: 64)
      let here = machine.instructionCount
      if here > travel.oldest + 1 {
        try? travel.goto(max(travel.oldest, here - min(distance, here)))
        try? travel.goto(here)
      }
    }
  }

  /// Another machine begins from a template of this one; both go on for a while, and must be the same then.
  func template() throws {
    guard let image else { return }
    let path = image + ".template"
    defer { try? HostFiles.remove(path) }
    let template = try wrap { () throws -> MachineTemplate in
      _ = try session.makeTemplate(at: path, replacing: true)
      return try MachineTemplate(path)
    }
    var configuration = session.configuration
    configuration.template = template
    configuration.loadState = nil
    configuration.snapshots = .none
    for disk in template.header.disks {
      guard let number = Int(disk.drive.dropFirst("medium-disk".count)) else { continue }
      configuration.machine.disks[number] = MachineImage(try wrap { try template.disk(disk) })
    }
    let other = try Disturbance.session(configuration)
    let end = instructions + 1 + random(20_000_000)
    _ = try run(to: end)
    do { _ = try other.run(until: .instruction(end)) } catch { throw Failure.host("\(error)") }
    let theirs = other.perform { $0.partHashes() }
    let differing = zip(hashes, theirs).filter { $0 != $1 && !$0.name.hasPrefix("medium-") }
    other.finish()
    if !differing.isEmpty {
      throw Failure.host(
        "at instruction \(end) the machine that began from a template differs in "
          + differing.map(\.0.name).joined(separator: ", "))
    }
  }

  func look() {
    session.perform { machine in
      _ = machine.screenshot()
      _ = machine.saveState()
      _ = machine.allDevices.map { $0.inspect() }
      _ = machine.screenText
    }
  }
}
