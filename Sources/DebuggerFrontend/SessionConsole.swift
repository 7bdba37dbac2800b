// The debugger's console beside a session.
//
// Owns: which console (terminal, pipe, given commands), the commands given at the start, Ctrl-C and the break keys, the terminal that
// console and guest share. Must not know: what commands do, command lines.
//
// Every machine has one where a terminal (or a command line) can serve as console. It costs nothing until the machine starts in it or a
// break key is pressed; only then a past to go back in is kept.

import Debugger
import Host
import Machine
import Session
import Synchronization

/// A terminal whose bytes go to the guest's serial port or to the console.
final class SharedTerminal: @unchecked Sendable {
  private let condition = HostCondition()
  private var bytes: [UInt8] = []
  private var hasEnded = false
  private let consoleHasIt = Atomic<Bool>(false)

  /// Who gets what is typed from now on.
  func give(toConsole: Bool) {
    if toConsole && !consoleHasIt.load(ordering: .relaxed) { condition.locked { bytes = [] } }
    consoleHasIt.store(toConsole, ordering: .relaxed)
  }

  /// On the receiving thread.
  /// - Returns: no when the guest gets them.
  func take(_ new: [UInt8]) -> Bool {
    guard consoleHasIt.load(ordering: .relaxed) else { return false }
    condition.locked { bytes += new }
    condition.broadcast()
    return true
  }

  /// Nothing will be typed any more.
  func end() {
    condition.locked { hasEnded = true }
    condition.broadcast()
  }

  /// The next byte for the console; nil at the end.
  func next() -> UInt8? {
    while true {
      let (byte, ended) = condition.locked { () -> (UInt8?, Bool) in
        if bytes.isEmpty && !hasEnded { condition.wait(nanoseconds: 100_000_000) }
        return (bytes.isEmpty ? nil : bytes.removeFirst(), hasEnded)
      }
      if let byte { return byte }
      if ended { return nil }
    }
  }
}

/// Something the debugger does at its start.
public enum DebugCommand: Equatable, Sendable {
  case line(String)
  /// A file of commands.
  case file(String)
}

/// What a session's console is like.
public struct SessionConsoleOptions: Sendable {
  /// The machine belongs to the console from the start; no: only after a break key.
  public var debugs = false
  /// It starts stopped.
  public var startsStopped = false
  /// What is done first.
  public var commands: [DebugCommand] = []
  /// Views are JSON objects.
  public var printsJSON = false
  /// Instructions from power-on at which every run stops.
  public var instructionLimit: UInt64?
  /// Memory for the past that can be gone back to; 0: none.
  public var historyMegabytes = 256
  /// A serial port has standard input and output, too.
  public var sharesTerminal = false
  /// Files that no command may write over, and what they are.
  public var otherFiles: [(what: String, path: String)] = []

  public init() {}
}

/// A console for a session, on standard input and output.
public final class SessionConsole: SessionControl, @unchecked Sendable {
  private enum Control {
    /// The machine runs by itself.
    static let idle = 0
    /// The console waits for a line.
    static let console = 1
    /// The guest runs under the console.
    static let guest = 2
  }

  private let options: SessionConsoleOptions
  private let control = Atomic<Int>(Control.idle)
  /// The terminal, if a serial port has it too.
  private let shared: SharedTerminal?
  /// Ends with this console; a process may have others.
  private let reading = HostReading()
  /// Where a break is asked for, once there is a machine.
  private let input = Mutex<InputQueue?>(nil)

  // Of the machine's thread.
  private weak var session: Session?
  private var debugger: Debugger?
  /// Whether the console has had control at all.
  public private(set) var wasUsed = false

  /// Whether somebody sits at a terminal that can be a console.
  public static var hasTerminal: Bool { HostTerminal.isInteractive && HostTerminal.isTerminal(1) }

  public init(_ options: SessionConsoleOptions) {
    self.options = options
    shared = SessionConsole.hasTerminal && options.sharesTerminal ? SharedTerminal() : nil
  }

  public func connect(to session: Session, machine: Machine) {
    self.session = session
    input.withLock { $0 = machine.input }
    let (shared, reading) = (shared, reading)
    let port: any ConsolePort =
      SessionConsole.hasTerminal
      ? LineEditor(
        read: { shared.map { $0.next() } ?? HostFiles.readByte(reading) },
        put: { HostFiles.print(Array(HostPath.shown($0).utf8)) }, ownsTerminal: shared == nil)
      : StreamPort(reading)
    let debugger = Debugger(machine: machine, console: port)
    debugger.printsJSON = options.printsJSON
    debugger.otherFiles = options.otherFiles
    if let limit = options.instructionLimit { debugger.instructionLimit = limit }
    debugger.runningChanged = { [unowned self] in
      control.store($0 ? Control.guest : Control.console, ordering: .relaxed)
      shared?.give(toConsole: !$0)
      tellStanding(!$0)
    }
    debugger.snapshots = SessionSnapshots(session)
    self.debugger = debugger
  }

  private func tellStanding(_ stands: Bool) {
    session?.setStanding(stands ? "stopped: the debugger has the terminal; c goes on" : nil)
  }

  /// How many commands failed; what a user mistypes at a terminal does not count.
  public var failures: Int {
    HostTerminal.isInteractive && options.commands.isEmpty ? 0 : debugger?.failures ?? 0
  }

  public var isWaiting: Bool { control.load(ordering: .relaxed) == Control.console }
  public var takesBreakKey: Bool { true }

  /// Ctrl-C: stops a guest that runs under the console; says no when none does.
  public func breakIn() -> Bool {
    guard control.load(ordering: .relaxed) == Control.guest else { return false }
    input.withLock { $0 }?.requestBreak()
    return true
  }

  /// A break key: stops the guest, however it runs.
  public func breakKey() {
    if !isWaiting { input.withLock { $0 }?.requestBreak() }
  }

  public func take(_ bytes: [UInt8]) -> Bool { shared?.take(bytes) ?? false }

  public func inputEnded() { shared?.end() }

  public func end() {
    shared?.end()
    reading.stop()
  }

  // MARK: Running

  public func run(_ machine: Machine, until limit: UInt64) -> StopReason {
    guard let debugger else { return machine.run(untilInstruction: limit) }
    if options.debugs { return run(debugger) }
    let stop = machine.run(untilInstruction: limit)
    return stop == .host(.debugger) ? runBroken(debugger) : stop
  }

  private func begin(_ debugger: Debugger) {
    wasUsed = true
    control.store(Control.console, ordering: .relaxed)
    shared?.give(toConsole: true)
    tellStanding(true)
    if options.historyMegabytes > 0 { debugger.keepHistory(megabytes: options.historyMegabytes) }
  }

  /// Carries out the commands that were given, then those of the console.
  private func run(_ debugger: Debugger) -> StopReason {
    begin(debugger)
    if options.startsStopped {
      if options.commands.isEmpty { debugger.showStop() }
    } else if options.commands.isEmpty {
      debugger.execute("c")
    }
    for command in options.commands where !debugger.isFinished {
      switch command {
      case .line(let text): debugger.execute(text)
      case .file(let path): debugger.execute("source \"\(path)\"")
      }
      debugger.runPending()
    }
    // Commands that were given are all there is, unless somebody sits at a terminal.
    if options.commands.isEmpty || HostTerminal.isInteractive { debugger.runConsole() }
    return ending(debugger)
  }

  /// The console after a break key in a machine that ran by itself.
  private func runBroken(_ debugger: Debugger) -> StopReason {
    begin(debugger)
    debugger.showBreak()
    debugger.runConsole()
    return ending(debugger)
  }

  private func ending(_ debugger: Debugger) -> StopReason {
    debugger.ending ?? .host(debugger.machine.input.requestedStop ?? .user)
  }
}
