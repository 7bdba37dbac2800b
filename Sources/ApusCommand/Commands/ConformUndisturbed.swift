// `apus conform undisturbed`: whatever is done to a machine that runs leaves it as it would have been.
//
// Owns: the run that nobody disturbs, the one that is disturbed at random points, the comparison. Must not know: how anything of it is done.

import ArgumentParser
import Bus
import Conformance
import Host
import Images
import Machine
import Session
import Snapshots
import Storage
import Video

struct ConformUndisturbed: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "undisturbed",
    abstract: "Takes snapshots, goes back, saves and loads at random points, and compares the end.",
    discussion: """
      The options behind -- are those of a run (apus); the word {} in them stands for a copy of --image, which is made anew in each of \
      --formats. The machine runs to --instructions once as it is, and once in each format with --points operations on the way. Then all \
      that a saved state has must be the same.

        apus conform undisturbed --image deb.img --formats raw,qcow2 --instructions 3000000000 -- {} --memory 256

      Operations: take (a snapshot), disks (one of disks alone), back (to one of the last snapshots), delete, load (the state is saved, the \
      run ended, and another goes on from it), restart (the run is ended, and another goes on from a snapshot), travel (back in time and \
      forward again), look (registers, devices and picture are read), template (another machine begins from a template of this one, both go \
      on, and are compared).

      Exit codes: 0 the same, 1 different.
      """)

  @Option(help: ArgumentHelp("A disk image; it is not written.", valueName: "file"))
  var image: String?
  @Option(help: ArgumentHelp("Formats of the copies, separated by commas.", valueName: "names"))
  var formats = "raw"
  @Option(help: ArgumentHelp("How long the run is.", valueName: "n"))
  var instructions: UInt64 = 1_000_000_000
  @Option(help: ArgumentHelp("Operations on the way.", valueName: "n"))
  var points = 100
  @Option(help: ArgumentHelp("Which operations, separated by commas.", valueName: "names"))
  var operations = "take,disks,back,delete,load,restart,travel,look,template"
  @Option(help: ArgumentHelp("Other points and operations.", valueName: "n"))
  var seed: UInt64 = 1
  @Option(
    help: ArgumentHelp(
      "Where copies are made. (default: a new folder in TMPDIR)", valueName: "folder"))
  var folder: String?
  @Argument(
    parsing: .postTerminator, help: ArgumentHelp("The run's options.", valueName: "options"))
  var options: [String] = []

  private enum Operation: String, CaseIterable {
    case take, disks, back, delete, load, restart, travel, look, template
  }

  func run() throws {
    let wanted = try operations.split(separator: ",").map { word in
      guard let operation = Operation(rawValue: String(word)) else {
        throw Failure.usage(
          "--operations: there is no '\(word)', but "
            + Operation.allCases.map(\.rawValue).joined(separator: ", "))
      }
      return operation
    }
    if wanted.isEmpty { throw Failure.usage("--operations: none is given") }
    if options.contains("{}") != (image != nil) {
      throw Failure.usage("--image goes with {} in the options behind --")
    }
    try ConformInterrupt.watch()
    let place: String
    do throws(HostError) {
      if let folder { place = folder } else { place = try HostProcess.temporaryFolder("apus") }
      try HostFiles.makeFolder(place)
    } catch { throw Failure.host("\(error)") }
    defer { if folder == nil { HostProcess.removeFolder(place) } }
    var isDifferent = false
    var expected: [(name: String, hash: UInt64)]?
    for format in image == nil ? ["-"] : formats.split(separator: ",").map(String.init) {
      let copy = image.map { _ in "\(place)/disk.\(format)" }
      if expected == nil {
        try make(copy, format)
        defer { remove(copy) }
        let straight = try Disturbance(try plan(copy), copy, nil)
        let stop = try straight.run(to: instructions)
        expected = straight.hashes
        ConformProgram.print(
          "undisturbed: \(straight.instructions) instructions, hash \(straight.hash), \(stop)")
        straight.end()
      }
      try make(copy, format)
      defer { remove(copy) }
      let start = HostClock.nanoseconds()
      let run = try Disturbance(try plan(copy), copy, seed)
      run.plan = { try plan(copy) }
      let counts = try disturb(run, wanted)
      if ConformInterrupt.isRequested { throw ExitCode(130) }
      let stop = try run.run(to: instructions)
      let differing = zip(expected ?? [], run.hashes).filter { $0 != $1 }.map(\.0.name)
      isDifferent = isDifferent || !differing.isEmpty
      ConformProgram.print(
        "\(format): \(points) operations (\(counts)), hash \(run.hash), \(stop), "
          + "\((HostClock.nanoseconds() - start) / 1_000_000_000) s: "
          + (differing.isEmpty ? "the same" : "different in \(differing.joined(separator: ", "))"))
      run.end()
    }
    if isDifferent { throw ExitCode(1) }
  }

  private func disturb(_ run: Disturbance, _ wanted: [Operation]) throws -> String {
    var counts: [Operation: Int] = [:]
    let step = max(2, 2 * instructions / UInt64(max(points, 1)))
    for _ in 0..<points {
      if ConformInterrupt.isRequested { break }
      let at = min(instructions, run.instructions + 1 + run.random(step))
      if try run.run(to: at) != "to the limit" { break }
      let operation = wanted[Int(run.random(UInt64(wanted.count)))]
      counts[operation, default: 0] += 1
      switch operation {
      case .take: try run.take(onlyDisks: false)
      case .disks: try run.take(onlyDisks: true)
      case .back: try run.goBack()
      case .delete: try run.delete()
      case .load: try run.load()
      case .restart: try run.restart()
      case .travel: run.travel()
      case .look: run.look()
      case .template: try run.template()
      }
    }
    return Operation.allCases.compactMap { operation in
      counts[operation].map { "\(operation.rawValue) \($0)" }
    }.joined(separator: ", ")
  }

  private func make(_ copy: String?, _ format: String) throws {
    guard let copy, let image else { return }
    remove(copy)
    var request = ConvertRequest(ImageReference(image), to: copy, format: format)
    request.syncs = false
    do { _ = try ImageOperations.convert(request) } catch let error as ImageUsageError {
      throw Failure.usage("\(error)")
    } catch let error as StorageError { throw Failure.host("\(error)", file: error.path) }
  }

  private func remove(_ copy: String?) {
    guard let copy else { return }
    try? HostFiles.remove(copy)
    SnapshotTree.remove(SnapshotTree.folder(of: copy))
  }

  private func plan(_ copy: String?) throws -> SessionConfiguration {
    let words = options.map { $0 == "{}" ? copy ?? $0 : $0 } + ["--headless"]
    let plan = try Plan(
      try ApusOptions.parse(words), media: try ArgumentScan(words).media, debugging: false)
    var session = plan.finalSession
    session.snapshots = .wanted
    session.instructionLimit = nil
    session.timeout = nil
    session.releasesHeldInput = false
    return session
  }
}

/// A machine that is run to places, and what is done to it there.
private final class Disturbance {
  private var session: Session
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

  private static func session(_ configuration: SessionConfiguration) throws -> Session {
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

  private func wrap<T>(_ body: () throws -> T) throws -> T {
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
