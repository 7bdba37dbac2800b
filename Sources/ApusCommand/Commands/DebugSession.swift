// The debugger's console beside a machine.
//
// Owns: which console (terminal, pipe, command line), the commands given at the start, Ctrl-C and the break keys, the terminal that
// console and guest share. Must not know: what commands do.
//
// Every machine has one where a terminal (or a command line) can serve as console. It costs nothing until the machine starts in it or a
// break key is pressed; only then a past to go back in is kept.

import Debugger
import Host
import Machine
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

/// A debugger for a session.
final class DebugSession: @unchecked Sendable {
  private enum Control {
    /// The machine runs by itself.
    static let idle = 0
    /// The console waits for a line.
    static let console = 1
    /// The guest runs under the console.
    static let guest = 2
  }

  private let plan: Plan
  private let machine: Machine
  private let debugger: Debugger
  private let control = Atomic<Int>(Control.idle)
  /// Told whether the console has control, on the machine's thread. Set before the machine runs.
  var consoleHasControl: (Bool) -> Void = { _ in }
  /// The terminal, if a serial port has it too.
  let shared: SharedTerminal?

  /// Whether this run can have a console at all.
  static func isPossible(_ plan: Plan) -> Bool {
    plan.gdb == nil && plan.configuration.engine != .lockstep
      && (plan.debugs || (HostTerminal.isInteractive && HostTerminal.isTerminal(1)))
  }

  init(_ plan: Plan, _ machine: Machine) {
    self.plan = plan
    self.machine = machine
    let isTerminal = HostTerminal.isInteractive && HostTerminal.isTerminal(1)
    let shared = isTerminal && plan.serial.contains(.stdio) ? SharedTerminal() : nil
    self.shared = shared
    let port: any ConsolePort =
      isTerminal
      ? LineEditor(
        read: { shared.map { $0.next() } ?? HostFiles.readByte() },
        put: { HostFiles.print(Array(HostPath.shown($0).utf8)) }, ownsTerminal: shared == nil)
      : StreamPort()
    debugger = Debugger(machine: machine, console: port)
    debugger.printsJSON = plan.json
    debugger.otherFiles = plan.filesInUse
    if let limit = plan.maxInstructions { debugger.instructionLimit = limit }
    debugger.runningChanged = { [unowned self] in
      control.store($0 ? Control.guest : Control.console, ordering: .relaxed)
      shared?.give(toConsole: !$0)
      consoleHasControl(!$0)
    }
  }

  /// How many commands failed; what a user mistypes at a terminal does not count.
  var failures: Int {
    HostTerminal.isInteractive && plan.debugCommands.isEmpty ? 0 : debugger.failures
  }

  /// Whether the console has had control at all.
  private(set) var wasUsed = false

  /// Whether the console has control, not the guest.
  var isWaiting: Bool { control.load(ordering: .relaxed) == Control.console }

  /// Ctrl-C: stops a guest that runs under the console; says no when none does.
  func breakIn() -> Bool {
    guard control.load(ordering: .relaxed) == Control.guest else { return false }
    machine.input.requestBreak()
    return true
  }

  /// A break key: stops the guest, however it runs.
  func breakKey() {
    if !isWaiting { machine.input.requestBreak() }
  }

  /// The program is to end: a console that waits for a line waits no longer. From any thread.
  func end() {
    shared?.end()
    HostFiles.stopReading()
  }

  private func begin() {
    wasUsed = true
    control.store(Control.console, ordering: .relaxed)
    shared?.give(toConsole: true)
    consoleHasControl(true)
    if plan.historyMegabytes > 0 { debugger.keepHistory(megabytes: plan.historyMegabytes) }
  }

  /// Carries out the commands of the command line, then those of the console.
  func run() -> StopReason {
    begin()
    if plan.startsInDebugger {
      if plan.debugCommands.isEmpty { debugger.showStop() }
    } else if plan.debugCommands.isEmpty {
      debugger.execute("c")
    }
    for command in plan.debugCommands where !debugger.isFinished {
      switch command {
      case .line(let text): debugger.execute(text)
      case .file(let path): debugger.execute("source \"\(path)\"")
      }
      debugger.runPending()
    }
    // Commands that were given are all there is, unless somebody sits at a terminal.
    if plan.debugCommands.isEmpty || HostTerminal.isInteractive { debugger.runConsole() }
    return debugger.ending ?? .host(machine.input.requestedStop ?? .user)
  }

  /// The console after a break key in a machine that ran by itself.
  func runBroken() -> StopReason {
    begin()
    debugger.showBreak()
    debugger.runConsole()
    return debugger.ending ?? .host(machine.input.requestedStop ?? .user)
  }
}
