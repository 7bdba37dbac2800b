// What a session is connected to: states and recordings before it runs, channels while it does.
//
// Owns: the order in which things are opened, what is done with what arrives and what is sent. Must not know: how channels work.

import CPU
import Host
import Machine
import State
import Storage

extension Session {
  func loadState() throws(SessionError) {
    guard let state = configuration.loadState else { return }
    let accepts = configuration.acceptsOtherDisks
    let differences: [String]
    let bytes: [UInt8]
    do throws(StorageError) { bytes = try machine.opened(state.bytes, named: state.path) } catch {
      throw SessionError(.state, "\(error)", file: state.path)
    }
    do throws(StateError) {
      if let lockstep {
        differences = try lockstep.restoreState(bytes, acceptingOtherDisks: accepts)
      } else {
        differences = try machine.restoreState(bytes, acceptingOtherDisks: accepts)
      }
    } catch {
      throw SessionError(.state, "\(state.path): \(error)", file: state.path)
    }
    let limit = configuration.instructionLimit ?? UInt64.max
    if machine.instructionCount > limit {
      throw SessionError(
        .configuration,
        "\(state.path): was saved at instruction \(machine.instructionCount), behind the end of the run at \(limit) (both are counted from power-on)",
        file: state.path)
    }
    for difference in differences { observers.tell(.notice("\(state.path): \(difference)")) }
    // A recording knows what was held and when it was let go.
    if configuration.replay == nil && configuration.releasesHeldInput {
      machine.releaseHeldInput()
    }
  }

  func startRecordingOrReplay() throws(SessionError) {
    if let replay = configuration.replay {
      do {
        if let lockstep {
          try lockstep.startReplay(replay.recording)
        } else {
          try machine.startReplay(replay.recording)
        }
      } catch { throw SessionError(.recording, "\(replay.path): \(error)", file: replay.path) }
    }
    guard let path = configuration.record else { return }
    for name in machine.imagesThatAreWritten { observers.tell(.recordsWrittenImage(name)) }
    do {
      try machine.startRecording(
        to: machine.recordingTarget(path), notes: configuration.recordingNotes)
    } catch { throw SessionError(.host, "\(path): \(error)", file: path) }
  }

  /// Whether all connections are made.
  public var isConnected: Bool { connected.load(ordering: .acquiring) }

  /// Opens where serial ports and others lead, and begins the time limit. The first run does it, if nobody has before.
  /// - Throws: `SessionError` of the kind `host`.
  public func connect() throws(SessionError) {
    if isConnected { return }
    do {
      try control?.connect(to: self, machine: machine)
      try connectChannels()
    } catch {
      throw SessionError(.host, "\(error)")
    }
    connected.store(true, ordering: .releasing)
    carryOut()
    if let seconds = configuration.timeout {
      do throws(HostError) { try alarm.set(seconds, machine.input) } catch {
        throw SessionError(.host, "\(error)")
      }
    }
    if configuration.collectsStatistics {
      do throws(HostError) { profile = try RunProfile(machine) } catch {
        throw SessionError(.host, error.reason)
      }
    }
    executedBefore = machine.executionReport.instructions
    progress.withLock { $0.start = HostClock.nanoseconds() }
  }

  private func connectChannels() throws {
    for target in configuration.serial { channels.append(try CharacterChannel(target)) }
    if let target = configuration.debugConsole {
      let channel = try CharacterChannel(target)
      debugConsole = channel
      watch(channel, .debugConsole)
    }
    let (input, control) = (machine.input, control)
    for (index, channel) in channels.enumerated() {
      guard let channel else { continue }
      watch(channel, .serial(port: index))
      if let notice = channel.notice { observers.tell(.notice(notice)) }
      if channel.target.canReceive { input.addSource() }
      try channel.start(
        CharacterChannel.Events(
          received: { input.post(.serial(port: index, bytes: $0)) },
          ended: {
            input.removeSource()
            control?.inputEnded()
          }, quit: { input.requestStop(.user) }, debugger: { control?.breakKey() },
          taken: { control?.take($0) ?? false }))
    }
  }

  /// What the machine sends goes where it belongs from now on.
  private func carryOut() {
    let (script, channels, debugConsole, observers) = (script, channels, debugConsole, observers)
    sent = Array(repeating: [], count: machine.serial.count)
    machine.serialOutput = { [unowned self] port, byte in
      script?.serialOutput(port, byte)
      if port < channels.count { channels[port]?.write(byte) }
      if observers.wants(.serial), port < sent.count { sent[port].append(byte) }
    }
    machine.imageFailed = { [unowned self] failure in
      observers.tell(.imageFailed(failure))
      lose(SessionLoss(.guestAccess, failure.reason, file: failure.name))
    }
    machine.debugOutput = { debugConsole?.write($0) }
    machine.flushOutput = { [unowned self] in
      for channel in channels { channel?.flush() }
      debugConsole?.flush()
      if observers.wants(.serial) { tellSerialOutput() }
    }
    pacing.outputPassed = { [unowned self] machine in
      if observers.wants(.text) { tellText(machine) }
    }
  }

  private func tellSerialOutput() {
    for port in sent.indices where !sent[port].isEmpty {
      let bytes = sent[port]
      sent[port] = []
      observers.tell(.serialOutput(port: port, bytes: bytes))
    }
  }

  private func tellText(_ machine: Machine) {
    if shownGeneration == machine.vga.frameGeneration { return }
    let text = machine.screenText
    // A graphics mode that draws tells nothing new.
    if shownGeneration != nil && text == shownText { return }
    shownGeneration = machine.vga.frameGeneration
    shownText = text
    observers.tell(.textChanged(text))
  }

  /// Output that is lost is told at once.
  private func watch(_ channel: CharacterChannel, _ what: SessionLoss.What) {
    let input = machine.input
    let name: String? = if case .file(let path) = channel.target { path } else { nil }
    channel.onFailure = { [weak self] reason, isClosedPipe in
      if isClosedPipe && name == nil {
        // Nobody reads it any more: as if the signal had come.
        input.requestStop(.signal(HostSignals.pipe))
      } else {
        self?.lose(SessionLoss(what, reason, file: name))
      }
    }
  }

  /// Notes that something is lost, and tells it. From any thread; for front ends that lose something themselves, too.
  public func lose(_ loss: SessionLoss) {
    losses.withLock { $0.append(loss) }
    observers.tell(.lost(loss))
  }

  /// Tells a line to whoever listens to notices.
  public func tell(_ line: String) { observers.tell(.notice(line)) }
}
