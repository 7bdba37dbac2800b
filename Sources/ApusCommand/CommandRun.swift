// A session for the command line: signals, the terminal, the window, what is said.
//
// Owns: what belongs to a process and not to a session: signals, standard output and error, the main thread. Must not know: options, how a
// session runs.

import Debugger
import DebuggerFrontend
import Host
import Machine
import SDLFrontend
import Session
import Synchronization
import Video

/// Runs what the command line asks for.
final class CommandRun: @unchecked Sendable {
  private let plan: Plan
  private let session: Session
  private let console: SessionConsole?
  /// Where others ask for snapshots.
  private let servers = Mutex<[SnapshotServer]>([])

  /// - Parameter made: the plan's machine, made before; nil: it is made.
  init(_ plan: Plan, adopting made: Machine? = nil) throws {
    self.plan = plan
    if !plan.headless, let obstacle = HostDisplay.obstacle {
      throw Failure.host("no window: \(obstacle); use --headless")
    }
    console = CommandRun.hasConsole(plan) ? SessionConsole(CommandRun.consoleOptions(plan)) : nil
    do throws(SessionError) {
      session = try Session(
        plan.finalSession, control: console ?? CommandRun.gdb(plan),
        observing: [.notices, .failures], observer: { CommandRun.say($0) }, adopting: made)
    } catch { throw Failure(error, plan) }
  }

  /// Makes the machine of a run as the run does, and throws it away: nothing is connected, nothing is written.
  /// - Throws: what the run would be refused for.
  static func rehearse(_ plan: Plan) throws {
    var configuration = plan.finalSession
    configuration.record = nil
    configuration.snapshots = .none
    do throws(SessionError) { _ = try Session(configuration) } catch { throw Failure(error, plan) }
  }

  /// Whether this run can have a console at all. It costs nothing until the machine starts in it or a break key is pressed.
  private static func hasConsole(_ plan: Plan) -> Bool {
    plan.gdb == nil && plan.configuration.engine != .lockstep
      && (plan.debugs || SessionConsole.hasTerminal)
  }

  private static func consoleOptions(_ plan: Plan) -> SessionConsoleOptions {
    var options = SessionConsoleOptions()
    options.debugs = plan.debugs
    options.startsStopped = plan.startsInDebugger
    options.commands = plan.debugCommands
    options.printsJSON = plan.json
    options.instructionLimit = plan.maxInstructions
    options.historyMegabytes = plan.historyMegabytes
    options.sharesTerminal = plan.serial.contains(.stdio)
    options.otherFiles = plan.filesInUse
    return options
  }

  private static func gdb(_ plan: Plan) -> SessionGDB? {
    guard let place = plan.gdb else { return nil }
    let gdb = SessionGDB(at: place, name: plan.gdbPlace, waits: plan.waitsForGDB)
    gdb.historyMegabytes = plan.historyMegabytes
    gdb.instructionLimit = plan.maxInstructions
    gdb.otherFiles = plan.filesInUse
    return gdb
  }

  /// What happens, on standard error.
  private static func say(_ event: SessionEvent) {
    switch event {
    case .notice(let line): ApusProgram.say(["apus: \(line)"])
    case .searching(let line): ApusProgram.say(["apus: lockstep: \(line)"])
    case .recordsWrittenImage(let name):
      ApusProgram.say([
        "apus: \(name): is written while it is recorded: a replay needs it as it is now (keep a copy, or use "
          + "--snapshot)"
      ])
    case .lost(let loss): ApusProgram.say(["apus: \(Failure(loss).message)"])
    default: break
    }
  }

  // MARK: Running

  /// Runs to the end and writes what is to be written.
  /// - Parameter begin: what is done before the machine runs, when it can be asked.
  /// - Returns: the exit code.
  func run(_ begin: (Session) throws -> Void = { _ in }) throws -> Int32 {
    // Before any thread is made: each inherits which signals are not for it.
    do throws(HostError) { try obeySignals() } catch { throw Failure.host("\(error)") }
    do throws(SessionError) { try session.connect() } catch { throw Failure(error, plan) }
    try serve()
    do { try begin(session) } catch {
      endServing()
      throw error
    }
    if plan.headless {
      do throws(SessionError) { try session.run() } catch { throw Failure(error, plan) }
    } else {
      try runInWindow()
      let code = ApusProgram.finalCode(conclude())
      // The window goes with the process: to take it down would be to wait for a display that may have lost it meanwhile.
      HostFiles.exitAtOnce(code)
    }
    return conclude()
  }

  /// Others may ask at the socket that was wished, and for snapshots as soon as there is a place for them.
  private func serve() throws {
    if let path = plan.controlSocket {
      do throws(HostError) { try serve(session, at: path) } catch {
        throw Failure.host("--control \(path): \(error)", file: path)
      }
    }
    session.onSnapshotTree { [weak self] session, folder in
      let path = SnapshotClient.socket(in: folder)
      do throws(HostError) { try self?.serve(session, at: path) } catch {
        // A machine that was moved here leaves its socket soon.
        let retry = try? HostThread(detached: true) { [weak self] in
          let condition = HostCondition()
          for _ in 0..<200 {
            condition.locked { condition.wait(nanoseconds: 25_000_000) }
            guard let self else { return }
            if (try? serve(session, at: path)) != nil { return }
          }
          ApusProgram.say(["apus: nobody can ask for snapshots of this run: \(error)"])
        }
        if retry == nil {
          ApusProgram.say(["apus: nobody can ask for snapshots of this run: \(error)"])
        }
      }
    }
  }

  private func serve(_ session: Session, at path: String) throws(HostError) {
    let server = try SnapshotServer(session, at: path)
    servers.withLock { $0.append(server) }
  }

  private func endServing() { for server in servers.withLock({ $0 }) { server.end() } }

  private func obeySignals() throws(HostError) {
    let (session, console) = (session, console)
    var quit: (@Sendable () -> Void)?
    if let console { quit = { console.breakKey() } }
    try HostSignals.onEnd(
      interrupt: { console?.breakIn() ?? false }, quit: quit,
      { number in
        // A server that does not answer holds up only this program's beginning.
        if !session.isConnected { HostFiles.exitAtOnce(128 &+ number) }
        session.stop(.signal(number))
        console?.end()
      })
  }

  /// The machine on a thread of its own, the window on this one.
  private func runInWindow() throws {
    let window = session.openWindow()
    nameSubject(window)
    var failure: Failure?
    MainActor.assumeIsolated {
      do {
        var choices = FrontendOptions()
        choices.mouseSpeed = plan.mouseSpeed
        let frontend = try SDLFrontend(machine: window, options: choices)
        try session.start()
        DisplayConnection.watch { [self] in
          session.lose(
            SessionLoss(.other, "the window is lost: the display does not answer any more"))
          session.stop()
          console?.end()
          // Where the machine's thread has met it, it stands between two instructions.
          let alarm = HostCondition()
          while !session.hasEnded, !DisplayConnection.holdsAnotherThread {
            alarm.locked { alarm.wait(nanoseconds: 5_000_000) }
          }
          let code = ApusProgram.finalCode(conclude())
          HostTerminal.restore()
          HostFiles.exitAtOnce(code)
        }
        frontend.run()
        if frontend.isLost {
          session.lose(SessionLoss(.other, "the window is lost: it was destroyed from outside"))
          console?.end()
        }
        session.stop()
        // A console that waits for a line does not hear of the window's end.
        if console?.isWaiting != true { session.wait() }
      } catch {
        failure = Failure.host("\(error)")
      }
    }
    if let failure { throw failure }
  }

  /// Says what the title names: what boots.
  private func nameSubject(_ window: MachineWindow) {
    let (name, place) = plan.subject
    window.setSubject(name, in: place)
  }

  // MARK: Telling

  /// What is done when the machine has ended.
  /// - Returns: the exit code.
  private func conclude() -> Int32 {
    endServing()
    let ending = session.finish()
    HostTerminal.restore()
    var outcome = Outcome(ending, plan: plan)
    if let console, console.wasUsed {
      // The console has told how the machine ended.
      outcome.message = nil
      if console.failures > 0 && outcome.exit == .success { outcome.exit = .notMet }
    }
    var report = RunReport(outcome: outcome, ending: ending)
    if let text = report.text { ApusProgram.say([text]) }
    if plan.screenText && !plan.json {
      if let rows = ending.machine.screen {
        ApusProgram.printOnOwnLine(CommandRun.trimmed(rows).joined(separator: "\n"))
      } else {
        ApusProgram.say(["apus: the screen is in a graphics mode and has no text (--screen-text)"])
      }
    }
    if !plan.json, let text = report.statistics?.text { ApusProgram.say([text]) }
    for address in plan.dumpBlocks {
      let (text, isThere) = session.blockText(linear: address)
      ApusProgram.say([isThere ? text : "apus: " + text])
    }
    // What was lost matters more than how the guest ended: a result that is not there must not look like one.
    report.tellLosses()
    if plan.printsScreenshot {
      HostFiles.print(session.perform { PNG.encode($0.screenshot()) })
    }
    if let target = plan.jsonTarget, !plan.debugs {
      do { try target.deliver(report.json) } catch {
        ApusProgram.say(["apus: \((error as? Failure)?.message ?? "\(error)")"])
        report.outcome.exit = .host
      }
    }
    return report.outcome.exit.code
  }

  /// Without the empty rows at the end.
  private static func trimmed(_ rows: [String]) -> [String] {
    var rows = rows
    while rows.last == "" { rows.removeLast() }
    return rows
  }
}

extension Failure {
  /// A session that could not be made or begun.
  init(_ error: SessionError, _ plan: Plan) {
    let hint =
      error.kind == .state && plan.usesDemoDisk
      ? " (no image is given: name those that the state was saved with)" : ""
    self.init(
      exit: error.kind == .host ? .host : .usage, message: error.reason + hint, file: error.file)
  }

  /// Something that was lost, with the option it was wanted by.
  init(_ loss: SessionLoss) {
    func lost(_ option: String) -> String {
      "\(option) \(loss.file ?? "stdio"): cannot be written: \(loss.reason)"
    }
    func failed(_ option: String) -> String { "\(option) \(loss.file ?? ""): \(loss.reason)" }
    let message =
      switch loss.what {
      case .serial: lost("--serial")
      case .debugConsole: lost("--debug-console")
      case .guestAccess: "\(loss.reason) (the guest sees an error)"
      case .recording: failed("--record")
      case .screenshot: failed("--screenshot")
      case .state: failed("--save-state")
      case .image, .other: loss.reason
      }
    self.init(exit: .host, message: message, file: loss.file)
  }
}
