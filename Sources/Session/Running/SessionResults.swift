// The end of a session.
//
// Owns: what is written when the machine has ended, in which order, and that it happens once. Must not know: what is printed.

import CPU
import Host
import Machine
import Snapshots
import Storage
import Video

extension Session {
  /// Ends the session: the recording is finished, images are flushed, picture and state are written, connections are closed. Nothing runs
  /// afterwards. What could not be written is told by `lost` events and stands in the outcome. A second call gives the same outcome.
  ///
  /// It does not wait for a run on another thread: call it when that has ended, or can never go on.
  @discardableResult
  public func finish() -> SessionOutcome {
    let (known, stop, start) = progress.withLock { ($0.outcome, $0.stop ?? .host(.user), $0.start) }
    if let known { return known }
    beginFinishing()
    let seconds = start.map { Double(HostClock.nanoseconds() &- $0) / 1e9 } ?? 0
    alarm.cancel()
    machine.finishRecording(stop)
    writeResults()
    machine.input.close()
    for channel in channels { channel?.close() }
    debugConsole?.close()
    profile?.stop()
    let waitingFor = script?.nextExpectation
    let outcome = SessionOutcome(
      end: SessionEnd(stop, script), waitingFor: waitingFor, waitingChange: script?.waitingChange,
      hostSeconds: seconds,
      losses: losses.withLock { $0 },
      machine: MachineFacts(machine, hashes: configuration.hashesState),
      statistics: profile.map {
        SessionStatistics(
          report: machine.executionReport,
          executed: machine.processors.count == 1
            ? [] : machine.processors.indices.map { machine.executedInstructions(of: $0) },
          before: executedBefore, shares: $0.shares)
      })
    progress.withLock { $0.outcome = outcome }
    return outcome
  }

  /// After `finish`: others may have the session's images.
  public func close() {
    if isFinished { closeImages() }
  }

  func closeImages() {
    let opened = machine.configuration
    var images = opened.disks + opened.floppies + [opened.flash]
    for case .disc(let image) in opened.cds { images.append(image) }
    for image in images { image?.device.close() }
  }

  /// Images flushed, picture and state written; failures are told.
  private func writeResults() {
    func attempt(_ what: SessionLoss.What, _ path: String?, _ body: () throws -> Void) {
      do { try body() } catch { lose(SessionLoss(what, "\(error)", file: path)) }
    }
    let isMissed: Bool =
      if case .expectationMissed = progress.withLock({ $0.stop }) { true } else { false }
    // What is elsewhere now is not touched.
    let hasFiles = moving.withLock { $0.hasFiles }
    if let name = configuration.takenAtEnd, !isMissed, hasFiles {
      attempt(.other, nil) {
        let (snapshot, _) = try takeSnapshot(SnapshotWish(name))
        observers.tell(.notice("snapshot '\(snapshot.name)' was taken"))
      }
    }
    let suspended = suspend(attempt)
    // While a debugger keeps a past, writes are kept back.
    if let travel = machine.timeTravel { attempt(.image, nil) { try travel.commitDisks() } }
    let images =
      configuration.machine.floppies + configuration.machine.disks + [configuration.machine.flash]
    for image in images.compactMap({ $0 }) where hasFiles {
      attempt(.image, image.name) { try image.device.finish() }
    }
    if hasFiles { attempt(.image, nil) { try machine.finishDisks() } }
    // What the images are like now is what the snapshots go with.
    if hasFiles, let tree = snapshotTree {
      attempt(.other, tree.folder) { try tree.finish(suspendedAt: suspended) }
    }
    for (name, reason) in machine.lostImages {
      lose(
        SessionLoss(
          .image, "\(name): \(reason): what the guest wrote to it is lost", file: name))
    }
    if let path = configuration.record, let error = machine.recorder?.failure {
      lose(SessionLoss(.recording, "\(error)", file: path))
    }
    if let path = configuration.screenshot {
      attempt(.screenshot, path) {
        try HostFiles.writeAtomically(path, PNG.encode(machine.screenshot()))
      }
    }
    if let kernel = machine.kernelNotStarted {
      observers.tell(
        .notice(
          "\(kernel): was never started: the BIOS has not come so far, or runs no option ROMs (one at CF000h, and fw_cfg's genroms/, start a kernel)"
        ))
    }
    for change in machine.imagesChangedByOthers {
      observers.tell(.notice("\(change) while this machine used it"))
    }
    if let path = configuration.saveState {
      attempt(.state, path) { try Session.save(machine, to: path) }
    }
  }

  /// Keeps the machine as it is, where it is to be.
  /// - Returns: the snapshot that it goes on from.
  private func suspend(_ attempt: (SessionLoss.What, String?, () throws -> Void) -> Void) -> String?
  {
    guard configuration.suspendsAtEnd, moving.withLock({ !$0.isGone }) else { return nil }
    switch progress.withLock({ $0.stop }) {
    case .host(.user), .host(.signal): break
    default: return nil
    }
    var suspended: String?
    attempt(.other, snapshotFolder) {
      let names = Set((snapshotTree?.snapshots ?? []).map(\.name))
      var name = "suspended"
      var number = 2
      while names.contains(name) {
        name = "suspended-\(number)"
        number += 1
      }
      var wish = SnapshotWish(name)
      wish.note = "where the machine goes on at its next start"
      suspended = try takeSnapshot(wish).0.id
      observers.tell(
        .notice("the machine is kept as it is, and goes on from here at its next start"))
    }
    return suspended
  }
}
