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
      on, and are compared), migrate (the machine moves to another session while it runs, with its disks' files).

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
  var operations = "take,disks,back,delete,load,restart,travel,look,template,migrate"
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
    case take, disks, back, delete, load, restart, travel, look, template, migrate
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
      case .migrate: try run.migrate(until: instructions)
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
    session.arguments = ["apus"] + words
    return session
  }
}
