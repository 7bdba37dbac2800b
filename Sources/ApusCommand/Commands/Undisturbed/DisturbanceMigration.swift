// Moving a machine in the middle of a run that must not show it.
//
// Owns: both ends in one process. Must not know: what is sent.

import Host
import Machine
import Migration
import Session
import Storage

extension Disturbance {
  /// The machine moves to another session while it runs, at whatever instruction that comes to be.
  /// - Parameter limit: the run's end, which it may reach meanwhile.
  func migrate(until limit: UInt64) throws {
    let source = session
    let ends: (HostStream, HostStream)
    let (runner, mover): (HostThread, HostThread)
    do throws(HostError) {
      ends = try HostStream.pair()
      runner = try HostThread { _ = try? source.run(until: .instruction(limit)) }
      let link = ends.0
      mover = try HostThread {
        _ = try? source.move(over: link, to: "there", MoveRequest())
      }
    } catch { throw Failure.host("\(error)") }
    defer {
      mover.join()
      runner.join()
      source.finish()
      source.close()
    }
    let receiver = MigrationReceiver(MigrationLink(ends.1, to: "here"))
    do {
      let offer = try receiver.hear()
      let disks = try MigrateDisks(offer, into: nil, format: nil, keys: nil)
      let words = try MigrateArguments(offer, ["--headless"]).words
      let plan = try Plan(
        try ApusOptions.parse(words), media: try ArgumentScan(words).media, given: disks.images)
      var configuration = plan.finalSession
      configuration.disksComeLater = true
      configuration.snapshots = .wanted
      configuration.releasesHeldInput = false
      configuration.arguments = offer.arguments
      let other = try Disturbance.session(configuration)
      let arrival = try other.perform { (machine) throws(StorageError) in
        try receiver.take(machine, [:])
      }
      guard case .mayRun = arrival else { throw Failure.host("the machine stands in doubt") }
      try other.imagesHaveCome(try disks.shared())
      receiver.tellRunning()
      session = other
    } catch {
      receiver.refuse("\(error)")
      throw Failure.host((error as? Failure)?.message ?? "\(error)")
    }
  }
}
