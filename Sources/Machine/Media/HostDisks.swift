// The host's side of the disks: what is not ready yet, and what the host refuses.
//
// Owns: where the machine stands still for the host, whether a guest learns of the host's errors, that a run is repeated with them.
// Must not know: controllers, threads, the time of day.
// A command's end is a virtual time. Where the host has not done its part by then, the machine stands still between two instructions, its
// time too: nothing in it can tell. An error of the host that reaches the guest is input like any other, and recorded.

import Bus
import Storage

/// What becomes of an access that the host refuses.
public enum DiskErrorPolicy: String, CaseIterable, Sendable {
  /// The machine waits until there is room again; other errors reach the guest.
  case full
  /// The machine waits, whatever it is.
  case stop
  /// The guest sees an error of the device.
  case report
}

extension Machine {
  /// Something went wrong with an image; the first time of each is told.
  func note(_ error: StorageError, of disk: MachineDisk) {
    if isMuted || imageFailures.contains(where: { $0.name == disk.name }) { return }
    let failure = ImageFailure(name: disk.name, reason: error.description)
    imageFailures.append(failure)
    imageFailed(failure)
  }

  /// How drives are numbered where errors of the host's disks are written down: hard disks from 0, CD drives and floppy drives from these.
  private static let cdNumbers = 4
  private static let floppyNumbers = 8
  /// The highest such number.
  static let lastDiskNumber = 9

  /// Connects what drives ask about the host's errors. Only hard disks wait: the guests of others see all of them.
  func connectHostDisks() {
    for (index, disk) in hardDisks.enumerated() {
      guard let disk else { continue }
      connectErrors(disk, number: index)
      disk.mayWait = { [unowned self] error in
        switch configuration.diskErrors {
        case .full: error.lacksRoom
        case .stop: true
        case .report: false
        }
      }
    }
    for (index, disk) in floppyDisks.enumerated() { connectFloppy(disk, index) }
    for (index, drive) in cdDrives.enumerated() {
      let number = Machine.cdNumbers + index
      drive.reported = { [unowned self] sector in
        log(.diskError(drive: number, block: UInt64(max(sector, 0))))
      }
      drive.repeated = { [unowned self] sector in
        repeatsError(drive: number, block: UInt64(max(sector, 0)))
      }
    }
  }

  /// The same for a disk that goes into a floppy drive.
  func connectFloppy(_ disk: MachineDisk?, _ drive: Int) {
    if let disk { connectErrors(disk, number: Machine.floppyNumbers + drive) }
  }

  private func connectErrors(_ disk: MachineDisk, number: Int) {
    disk.reported = { [unowned self] block in log(.diskError(drive: number, block: block)) }
    disk.repeated = { [unowned self] block in repeatsError(drive: number, block: block) }
  }

  /// Whether the run that is repeated had an error here.
  private func repeatsError(drive: Int, block: UInt64) -> Bool {
    guard let journal, let next = journal.next, next.instruction == instructionCount,
      isError(next.event, drive, block)
    else { return false }
    journal.advance()
    return true
  }

  private func isError(_ event: RecordedEvent, _ drive: Int, _ block: UInt64) -> Bool {
    if case .input(.diskError(drive, block), _) = event { true } else { false }
  }

  /// Runs what is due.
  /// - Returns: why the run has to end while the host is waited for.
  func runDueEvents() -> StopReason? {
    clock.runDueEvents()
    var rounds = 0
    while clock.isHeld {
      rounds += 1
      if let stop = standStill() { return stop }
      // Short waits are made up for; after long ones time goes on from there.
      if rounds > 1 { attendant?.timeJumped() }
      clock.runDueEvents()
    }
    return nil
  }

  /// Waits for the host's disk, and does meanwhile what is asked for.
  private func standStill() -> StopReason? {
    guard
      let disk = (hardDisks + floppyDisks + cdDiscs).lazy.compactMap({ $0 }).first(where: {
        $0.isWaitedFor
      })
    else { return nil }
    passOn()
    let wait = disk.takeWaiting()
    if let error = wait.error, !isMuted, disk.tellsOfTrouble() {
      notice("\(error): the machine stands still until it can be done")
    }
    // What was refused is tried again after half a second, what is only slow as soon as it is there.
    for _ in 0..<(wait.isRefused ? 10 : 1) {
      disk.awaitProgress(nanoseconds: 50_000_000, always: wait.isRefused)
      if input.hasPending {
        if input.attend(self) { attendant?.timeJumped() }
        if let stop = input.stopReason { return .host(stop) }
      }
    }
    return nil
  }
}
