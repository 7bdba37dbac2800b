// What can be seen of a session's machine, from any thread.
//
// Owns: views of the machine between two instructions, its state as bytes and files, the feed of a window. Must not know: formats.

import CPU
import Host
import Machine
import Storage
import Video

extension Session {
  /// Retired instructions since power-on.
  public var instructions: UInt64 { perform { $0.instructionCount } }

  /// The rows of the text screen; nil in a graphics mode.
  public var screenText: [String]? { perform { $0.screenText } }

  /// A picture of the screen.
  public func screenshot() -> Frame { perform { $0.screenshot() } }

  /// A hash of everything that the guest's future depends on.
  public var stateHash: UInt64 { perform { $0.stateHash() } }

  /// What can be said of the machine now.
  /// - Parameter hashes: whether all of the state is hashed.
  public func facts(hashes: Bool = false) -> MachineFacts {
    perform { MachineFacts($0, hashes: hashes) }
  }

  /// How many steps of the script are done.
  public var stepsDone: Int { perform { [script] _ in script?.done ?? 0 } }

  /// The whole state of the machine as it is now. A session with it as `SessionConfiguration.loadState` continues from here, with disks
  /// that hold what they hold now.
  public func snapshot() -> [UInt8] { perform { $0.saveState() } }

  /// The same into a file.
  /// - Throws: `SessionError` when it cannot be written, or somebody has changed an image meanwhile.
  public func save(to path: String) throws(SessionError) {
    try perform { (machine) throws(SessionError) in try Session.save(machine, to: path) }
  }

  static func save(_ machine: Machine, to path: String) throws(SessionError) {
    if !machine.imagesChangedByOthers.isEmpty {
      throw SessionError(
        .host, "the state is not saved: it would not belong to what the images hold now", file: path
      )
    }
    let bytes: [UInt8]
    do throws(StorageError) { bytes = try machine.stateFile(named: path) } catch {
      throw SessionError(.host, "\(error)", file: path)
    }
    do throws(HostError) { try HostFiles.writeAtomically(path, bytes) } catch {
      throw SessionError(.host, "\(error)", file: path)
    }
  }

  /// Guest and host code of the block that begins at a linear address, or why there is none.
  public func blockText(linear: UInt32) -> (text: String, isThere: Bool) {
    perform { [lockstep] machine in
      let machine = lockstep?.translated ?? machine
      if let text = machine.blockText(linear: linear) { return (text, true) }
      return (machine.blockObstacle(linear: linear), false)
    }
  }

  // MARK: Windows

  /// The face of the machine for a window, which shows it from now on. To be called before the machine runs, once.
  public func openWindow() -> MachineWindow {
    let feed = perform { MachineWindow.attach(to: $0) }
    window.withLock { $0 = feed }
    for (drive, list) in configuration.floppyLists.enumerated() { feed.setDisks(drive, list) }
    // Discs to come may go into any drive; the first of the list is the first drive's, and the only one is nobody else's.
    let isAlone = configuration.cdList.count == 1 && !configuration.beginsWithoutCD
    for drive in 0..<(isAlone ? 1 : MachineWindow.mostCDDrives) {
      feed.setDisks(
        MachineWindow.cdList + drive, configuration.cdList,
        next: drive == 0 && configuration.beginsWithoutCD ? 0 : 1)
    }
    let observers = observers
    feed.setOutside { observers.tell(.notice($0)) }
    feed.setDebugger(control?.takesBreakKey ?? false)
    feed.setSnapshots { [weak self, weak feed] request in
      guard let self, let feed else { return }
      answer(request, feed)
    }
    if let reason = control?.waitsFor { feed.setStanding("waiting for \(reason)") }
    return feed
  }

  /// Says in the window's title that the machine stands, and why; nil: it runs.
  public func setStanding(_ reason: String?) { window.withLock { $0 }?.setStanding(reason) }

  /// Why the session is to end, if somebody asked for that.
  public var requestedStop: HostStop? { machine.input.requestedStop }
}
