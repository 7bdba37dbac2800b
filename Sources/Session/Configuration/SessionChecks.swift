// What a configuration must not be.
//
// Owns: ranges and contradictions of a session's values, told before anything is opened or made. Must not know: the words of a command
// line, which checks more (files that would be overwritten) and tells it in its own terms.

import Host
import Machine
import Storage

extension SessionConfiguration {
  /// Looks for what cannot be.
  /// - Throws: `SessionError` of the kind `configuration`.
  public func check() throws(SessionError) {
    func refuse(_ reason: String, file: String? = nil) throws(SessionError) -> Never {
      throw SessionError(.configuration, reason, file: file)
    }
    if case .factor(let factor) = speed, !(0.001...1000).contains(factor) {
      try refuse("a speed is a factor of 0.001 to 1000")
    }
    if adaptsRate && speed == .max {
      try refuse("the rate cannot follow the host's time where virtual time leaves it behind")
    }
    if adaptsRate && machine.engine == .lockstep {
      try refuse("two engines in lockstep have no speed that the rate could follow")
    }
    if serial.count > 4 { try refuse("a PC has four serial ports at most") }
    for (index, target) in serial.enumerated()
    where target != .null && target != .pty && serial[..<index].contains(target) {
      try refuse("two serial ports cannot both lead to \(target)")
    }
    if let limit = instructionLimit, limit == 0 { try refuse("a run has at least one instruction") }
    if let seconds = timeout, !(seconds > 0 && seconds <= 1e9) {
      try refuse("a time limit is a number of seconds above 0")
    }
    if replay != nil {
      if record != nil { try refuse("a replay is not recorded") }
      if !steps.isEmpty { try refuse("a replay brings its own keys: it has no script") }
    }
    if template != nil && loadState != nil {
      try refuse("a machine goes on from a template or from a state, not from both")
    }
    if suspendsAtEnd && (snapshots == .none || replay != nil || machine.engine == .lockstep) {
      try refuse(
        "a machine is kept in its snapshots, which one without them, a replay and a lockstep have not"
      )
    }
    if acceptsOtherDisks && loadState == nil {
      try refuse("no state is loaded that could accept other disks")
    }
    try checkDrives()
    try checkOutputs()
  }

  private func checkDrives() throws(SessionError) {
    for drive in drives.keys {
      let isThere: Bool
      switch drive {
      case .floppy(let index):
        isThere =
          machine.floppies.indices.contains(index) && machine.floppies[index] == nil
      case .disk(let index):
        isThere =
          machine.disks.indices.contains(index) && machine.disks[index] == nil
          && drives[.cd(index)] == nil
      case .cd(let index):
        isThere = machine.cds.indices.contains(index) && machine.cds[index] == nil
      }
      if !isThere {
        throw SessionError(.configuration, "\(drive): there is no such drive, or it has an image")
      }
    }
    let files = drives.sorted { "\($0.key)" < "\($1.key)" }.compactMap { drive, image in
      image.path.map { path in
        // A CD is never written.
        if case .cd = drive {
          (drive, path, SessionImage.Mode.protected)
        } else {
          (drive, path, image.mode)
        }
      }
    }
    for (index, (drive, path, mode)) in files.enumerated() {
      for (other, second, otherMode) in files[..<index]
      where mode == .write || otherMode == .write {
        if HostFiles.isSame(path, second) {
          throw SessionError(
            .configuration, "\(path): is in \(other) and in \(drive), and may be written",
            file: path)
        }
      }
    }
    if acceptsOtherDisks, let written = files.first(where: { $0.2 == .write }) {
      throw SessionError(
        .configuration,
        "\(written.1): a guest that is continued on another disk than its own would destroy it",
        file: written.1)
    }
  }

  /// Files to be written must be possible, and be no input.
  private func checkOutputs() throws(SessionError) {
    var outputs: [(what: String, path: String)] = []
    if let screenshot { outputs.append(("the picture", screenshot)) }
    if let saveState { outputs.append(("the state", saveState)) }
    if let record { outputs.append(("the recording", record)) }
    for case .file(let path) in serial { outputs.append(("serial output", path)) }
    if case .file(let path) = debugConsole { outputs.append(("debugging output", path)) }
    var inputs = drives.values.compactMap(\.path)
    if let replay { inputs.append(replay.path) }
    for (index, (what, path)) in outputs.enumerated() {
      if let reason = HostFiles.refusalToWrite(path) {
        throw SessionError(
          .configuration, "\(path): \(what) cannot go there: \(reason)", file: path)
      }
      for input in inputs where HostFiles.isSame(path, input) {
        throw SessionError(.configuration, "\(path): \(what) would overwrite an input", file: path)
      }
      for (other, second) in outputs[..<index] where HostFiles.isSame(path, second) {
        throw SessionError(
          .configuration, "\(path): \(other) and \(what) would both be written there")
      }
    }
  }

  private func beside(_ image: MachineImage?) -> MachineImage? {
    image?.beside(mode: machine.diskThreads, writesBehind: machine.diskErrors != .report)
  }

  /// The machine's configuration with all images opened.
  func opened() throws(SessionError) -> MachineConfiguration {
    var result = machine
    result.serialPorts = max(result.serialPorts, serial.count)
    for (drive, image) in drives {
      switch drive {
      case .floppy(let index): result.floppies[index] = try image.open(for: drive)
      case .disk(let index): result.disks[index] = try image.open(for: drive)
      case .cd(let index): result.cds[index] = .disc(try image.open(for: drive))
      }
    }
    for index in result.disks.indices { result.disks[index] = beside(result.disks[index]) }
    for index in result.floppies.indices { result.floppies[index] = beside(result.floppies[index]) }
    result.flash = beside(result.flash)
    for index in result.cds.indices {
      if case .disc(let image) = result.cds[index] {
        result.cds[index] = beside(image).map { .disc($0) }
      }
    }
    return result
  }
}
