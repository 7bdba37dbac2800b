// From the command line to the exit code.
//
// Owns: the order of things: check, open, build, connect, run, write, report. Must not know: how a machine works inside.

import ArgumentParser
import Debugger
import Host
import Machine
import SDLFrontend
import Session
import Storage
import Synchronization
import Video

/// The program.
enum ApusProgram {
  /// Runs the program and ends the process.
  /// - Parameter debugging: the machine starts in the debugger (`apus debug`).
  static func main(_ arguments: [String]? = nil, debugging: Bool = false) -> Never {
    HostSignals.ignorePipe()
    let arguments = arguments ?? HostPath.arguments
    let command = debugging ? "apus debug" : "apus"
    let json = arguments.contains("--json")
    do {
      // Help comes before any complaint.
      if !arguments.contains(where: { ["-h", "--help", "--version"].contains($0) }) {
        try ArgumentScan(arguments).check()
      }
      let options = try ApusOptions.parse(arguments)
      var plan = try Plan(
        options, media: try ArgumentScan(arguments).media, debugging: debugging)
      if debugging {
        plan.debugs = true
        plan.startsInDebugger = true
        // Who debugs wants to see it.
        if options.onTripleFault == nil && !options.resetOnTripleFault && plan.replay == nil {
          plan.configuration.resetsOnTripleFault = false
        }
      }
      try plan.checkDebugger()
      if plan.explain { say(plan.explanations) }
      say(plan.warnings.map { "apus: \($0)" })
      let session = try CommandSession(plan)
      finish(try session.run())
    } catch let failure as Failure {
      fail(failure, json: json)
    } catch {
      endParsing(
        text: ApusOptions.fullMessage(for: error),
        isSuccess: ApusOptions.exitCode(for: error).isSuccess, command: command, json: json)
    }
  }
}

/// A machine with everything it is connected to.
final class CommandSession: @unchecked Sendable {
  private let plan: Plan
  private let machine: Machine
  /// Runs the machine, and a second one beside it.
  private let lockstep: Lockstep?
  private let script: Script?
  private var channels: [CharacterChannel?] = []
  private var debugConsole: CharacterChannel?
  private var stop: StopReason?
  private var debugSession: DebugSession?
  private var gdb: GDBSession?
  /// Whether the machine may run: until then a signal has nothing to be told.
  private let isConnected = Atomic<Bool>(false)
  private let machineHasEnded = Atomic<Bool>(false)
  /// When the run began, and what was executed before.
  private var start: UInt64 = 0
  private var instructionsBefore: UInt64 = 0
  private var profile: RunProfile?
  /// What could not be written while it ran.
  private let losses = Mutex<[Failure]>([])

  init(_ plan: Plan) throws {
    self.plan = plan
    if !plan.headless, let obstacle = HostDisplay.obstacle {
      throw Failure.host("no window: \(obstacle); use --headless")
    }
    do {
      lockstep = plan.configuration.engine == .lockstep ? try Lockstep(plan.configuration) : nil
      machine = try lockstep?.machine ?? Machine(plan.configuration)
    } catch let error as HostError {
      throw Failure.host(error.reason)
    } catch {
      throw Failure.usage("\(error)")
    }
    if let state = plan.loadState {
      do {
        let force = plan.forcesState
        let differences =
          try lockstep?.restoreState(state.bytes, acceptingOtherDisks: force)
          ?? machine.restoreState(state.bytes, acceptingOtherDisks: force)
        ApusProgram.say(differences.map { "apus: \(state.path): \($0)" })
        // A recording knows what was held and when it was let go.
        if plan.replay == nil { machine.releaseHeldInput() }
      } catch {
        let hint =
          plan.usesDemoDisk
          ? " (no image is given: name those that the state was saved with)" : ""
        throw Failure.usage("\(state.path): \(error)\(hint)", file: state.path)
      }
    }
    script = plan.steps.isEmpty ? nil : Script(plan.steps)
    if let lockstep {
      lockstep.follower = script
      lockstep.progress = { ApusProgram.say(["apus: lockstep: \($0)"]) }
    } else {
      machine.script = script
    }
    machine.notice = { ApusProgram.say(["apus: \($0)"]) }
    machine.pacing.pacer.speed = plan.speed
    machine.pacing.pacer.adaptsRate = plan.adaptsRate
    try startRecordingOrReplay()
  }

  private func startRecordingOrReplay() throws {
    if let (recording, path) = plan.replay {
      do {
        if let lockstep {
          try lockstep.startReplay(recording)
        } else {
          try machine.startReplay(recording)
        }
      } catch { throw Failure.usage("\(path): \(error)", file: path) }
    }
    guard let path = plan.record else { return }
    for image in plan.images where image.overlay == nil && !image.device.isReadOnly {
      ApusProgram.say([
        "apus: \(image.path): is written while it is recorded: a replay needs it as it is now (keep a copy, or use "
          + "--snapshot)"
      ])
    }
    var notes = plan.images.map { (key: "image", value: $0.path) }
    notes.append(("command line", (["apus"] + HostPath.arguments).joined(separator: " ")))
    do { try machine.startRecording(to: .file(path), notes: notes) } catch {
      throw Failure.host("\(path): \(error)", file: path)
    }
  }

  // MARK: Connections

  private func connect() throws {
    do {
      if DebugSession.isPossible(plan) { debugSession = DebugSession(plan, machine) }
      let session = debugSession
      var quit: (@Sendable () -> Void)?
      if let session { quit = { session.breakKey() } }
      let input = machine.input
      // Before any thread is made: each inherits which signals are not for it.
      try HostSignals.onEnd(
        interrupt: { session?.breakIn() ?? false }, quit: quit,
        { [unowned self] number in
          // A server that does not answer holds up only this program's beginning.
          if !isConnected.load(ordering: .acquiring) { HostFiles.exitAtOnce(128 &+ number) }
          input.requestStop(.signal(number))
          session?.end()
        })
      if let place = plan.gdb {
        let session = try GDBSession(machine: machine, at: place)
        session.otherFiles = plan.filesInUse
        if plan.historyMegabytes > 0 { session.keepHistory(megabytes: plan.historyMegabytes) }
        session.instructionLimit = plan.maxInstructions ?? UInt64.max
        gdb = session
        ApusProgram.say([
          "apus: \(plan.waitsForGDB ? "waiting" : "listening") for gdb at \(plan.gdbPlace)"
        ])
      }
      for target in plan.serial { channels.append(try CharacterChannel(target)) }
      if let path = plan.debugConsole {
        let target = path == "-" ? CharacterTarget.stdio : .file(path)
        debugConsole = try CharacterChannel(target)
        watch(debugConsole!, "--debug-console", target)
      }
      for (index, channel) in channels.enumerated() {
        guard let channel else { continue }
        watch(channel, "--serial", plan.serial[index])
        if let notice = channel.notice { ApusProgram.say(["apus: \(notice)"]) }
        if channel.target.canReceive { input.addSource() }
        try channel.start(
          CharacterChannel.Events(
            received: { input.post(.serial(port: index, bytes: $0)) },
            ended: {
              input.removeSource()
              session?.shared?.end()
            }, quit: { input.requestStop(.user) }, debugger: { session?.breakKey() },
            taken: { session?.shared?.take($0) ?? false }))
      }
    } catch {
      throw Failure.host("\(error)")
    }
    isConnected.store(true, ordering: .releasing)
    let (script, channels, debugConsole) = (script, channels, debugConsole)
    machine.serialOutput = { port, byte in
      script?.serialOutput(port, byte)
      if port < channels.count { channels[port]?.write(byte) }
    }
    machine.imageFailed = { [unowned self] failure in
      lose(Failure.host("\(failure.reason) (the guest sees an error)", file: failure.name))
    }
    machine.debugOutput = { debugConsole?.write($0) }
    machine.flushOutput = {
      for channel in channels { channel?.flush() }
      debugConsole?.flush()
    }
    if let seconds = plan.timeout {
      let input = machine.input
      let end = HostClock.nanoseconds() &+ UInt64(seconds * 1e9)
      do {
        _ = try HostThread(detached: true) {
          let alarm = HostCondition()
          while true {
            let now = HostClock.nanoseconds()
            if now >= end { break }
            alarm.locked { alarm.wait(nanoseconds: end - now) }
          }
          input.requestStop(.timeout)
        }
      } catch { throw Failure.host("\(error)") }
    }
  }

  /// Output that is lost is told at once, and the run ends with its code.
  private func watch(_ channel: CharacterChannel, _ option: String, _ target: CharacterTarget) {
    let input = machine.input
    let name: String? = if case .file(let path) = target { path } else { nil }
    channel.onFailure = { [unowned self] reason, isClosedPipe in
      if isClosedPipe && name == nil {
        // Nobody reads it any more: as if the signal had come.
        input.requestStop(.signal(HostSignals.pipe))
      } else {
        lose(
          Failure.host(
            "\(option) \(name ?? "stdio"): cannot be written: \(reason)", file: name))
      }
    }
  }

  private func lose(_ failure: Failure) {
    ApusProgram.say(["apus: \(failure.message)"])
    losses.withLock { $0.append(failure) }
  }

  // MARK: Running

  /// Runs to the end and writes what is to be written.
  /// - Returns: the exit code.
  func run() throws -> Int32 {
    try connect()
    if plan.stats {
      do { profile = try RunProfile(machine) } catch { throw Failure.host(error.reason) }
    }
    instructionsBefore = machine.cpu.executionReport.instructions
    start = HostClock.nanoseconds()
    if plan.headless {
      stop = runMachine(until: plan.maxInstructions ?? UInt64.max)
    } else {
      try runInWindow()
    }
    return conclude()
  }

  /// What is done when the machine has ended.
  /// - Returns: the exit code.
  private func conclude() -> Int32 {
    let seconds = Double(HostClock.nanoseconds() &- start) / 1e9
    machine.finishRecording(stop ?? .host(.user))
    var outcome = Outcome(stop ?? .host(.user), plan: plan, script: script)
    if let debugSession, debugSession.wasUsed {
      // The console has told how the machine ended.
      outcome.message = nil
      if debugSession.failures > 0 && outcome.exit == .success { outcome.exit = .notMet }
    }
    writeResults()
    for channel in channels { channel?.close() }
    debugConsole?.close()
    HostTerminal.restore()

    var report = RunReport(outcome: outcome, hostSeconds: seconds)
    if let profile {
      profile.stop()
      report.statistics = RunStatistics(
        report: machine.cpu.executionReport, before: instructionsBefore, seconds: seconds,
        shares: profile.shares)
    }
    if let text = report.text(machine) { ApusProgram.say([text]) }
    if plan.screenText && !plan.json {
      if let rows = machine.screenText {
        ApusProgram.print(CommandSession.trimmed(rows).joined(separator: "\n"))
      } else {
        ApusProgram.say(["apus: the screen is in a graphics mode and has no text (--screen-text)"])
      }
    }
    if !plan.json, let text = report.statistics?.text { ApusProgram.say([text]) }
    for address in plan.dumpBlocks {
      let machine = lockstep?.translated ?? machine
      let text = machine.blockText(linear: address)
      ApusProgram.say([text ?? "apus: " + machine.blockObstacle(linear: address)])
    }
    // What was lost matters more than how the guest ended: a result that is not there must not look like one.
    report.failures = losses.withLock { $0 }
    if !report.failures.isEmpty { report.outcome.exit = .host }
    if plan.json && !plan.debugs { ApusProgram.print(report.json(machine)) }
    return report.outcome.exit.code
  }

  /// Without the empty rows at the end.
  private static func trimmed(_ rows: [String]) -> [String] {
    var rows = rows
    while rows.last == "" { rows.removeLast() }
    return rows
  }

  /// Runs the machine to its end, or the debugger's console to its own.
  private func runMachine(until limit: UInt64) -> StopReason {
    if let debugSession, plan.debugs { return debugSession.run() }
    if let gdb { return gdb.run(stopped: plan.waitsForGDB) }
    guard let lockstep else {
      let stop = machine.run(untilInstruction: limit)
      if stop == .host(.debugger), let debugSession { return debugSession.runBroken() }
      return stop
    }
    switch lockstep.run(untilInstruction: limit) {
    case .stopped(let stop): return stop
    case .differs(let difference): return .enginesDiffer(difference.text)
    }
  }

  /// The machine on a thread of its own, the window on this one.
  private func runInWindow() throws {
    let window = MachineWindow.attach(to: machine)
    var failure: Failure?
    MainActor.assumeIsolated {
      do {
        var choices = FrontendOptions()
        choices.mouseSpeed = plan.mouseSpeed
        nameSubject(window)
        followDebugger(window)
        let frontend = try SDLFrontend(machine: window, options: choices)
        for (drive, list) in plan.floppyLists.enumerated() { window.setDisks(drive, list) }
        let limit = plan.maxInstructions ?? UInt64.max
        window.setDebugger(debugSession != nil)
        let thread = try HostThread(stackSize: 8 << 20) { [self] in
          stop = runMachine(until: limit)
          machineHasEnded.store(true, ordering: .releasing)
          window.markEnded()
        }
        DisplayConnection.watch { [self] in
          lose(Failure.host("the window is lost: the display does not answer any more"))
          machine.input.requestStop(.user)
          debugSession?.end()
          // Where the machine's thread has met it, it stands between two instructions.
          let alarm = HostCondition()
          while !machineHasEnded.load(ordering: .acquiring), !DisplayConnection.holdsAnotherThread {
            alarm.locked { alarm.wait(nanoseconds: 5_000_000) }
          }
          let code = ApusProgram.finalCode(conclude())
          HostTerminal.restore()
          HostFiles.exitAtOnce(code)
        }
        frontend.run()
        machine.input.requestStop(.user)
        // A console that waits for a line does not hear of the window's end.
        if debugSession?.isWaiting != true { thread.join() }
      } catch {
        failure = Failure.host("\(error)")
      }
    }
    if let failure { throw failure }
  }

  /// Says what the title names: the first image, else the kernel.
  private func nameSubject(_ window: MachineWindow) {
    func last(_ path: String) -> String { String(path.split(separator: "/").last ?? "") }
    let first = plan.images.first?.path
    let drive = plan.configuration.floppies.firstIndex { $0 != nil && $0?.name == first }
    if first == nil, let kernel = plan.configuration.kernel {
      window.setSubject(last(kernel.kernel.path))
    } else {
      // Without an image the demo disk is in A.
      window.setSubject(first.map(last) ?? "demo disk", drive: first == nil ? 0 : drive)
    }
  }

  /// The title says when a debugger has the machine.
  private func followDebugger(_ window: MachineWindow) {
    debugSession?.consoleHasControl = {
      window.setStanding($0 ? "stopped: the debugger has the terminal" : nil)
    }
    gdb?.runningChanged = { window.setStanding($0 ? nil : "stopped by gdb") }
    if plan.waitsForGDB { window.setStanding("waiting for gdb at \(plan.gdbPlace)") }
  }

  /// Images flushed, screenshot and state written; failures are told.
  private func writeResults() {
    func attempt(_ option: String, _ path: String? = nil, _ body: () throws -> Void) {
      do { try body() } catch {
        lose(Failure.host(path.map { "\(option) \($0): \(error)" } ?? "\(error)", file: path))
      }
    }
    // While a debugger keeps a past, writes are kept back.
    if let travel = machine.timeTravel { attempt("") { try travel.commitDisks() } }
    for image in plan.images {
      do { try image.device.flush() } catch {
        lose(Failure.host("\(error)", file: image.path))
      }
    }
    attempt("") { try machine.flushDisks() }
    for (name, reason) in machine.lostImages {
      lose(Failure.host("\(name): \(reason): what the guest wrote to it is lost", file: name))
    }
    if let path = plan.record, let error = machine.recorder?.failure {
      attempt("--record", path) { throw error }
    }
    if let path = plan.screenshot {
      attempt("--screenshot", path) {
        try HostFiles.writeAtomically(path, PNG.encode(machine.screenshot()))
      }
    }
    let changed = machine.imagesChangedByOthers
    ApusProgram.say(changed.map { "apus: \($0) while this machine used it" })
    if let path = plan.saveState {
      attempt("--save-state", path) {
        if !changed.isEmpty {
          throw HostError("the state is not saved: it would not belong to what the images hold now")
        }
        try HostFiles.writeAtomically(path, machine.saveState())
      }
    }
  }
}
