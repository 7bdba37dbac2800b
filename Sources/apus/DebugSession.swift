// The debugger's console beside a machine.
//
// Owns: which console (terminal, pipe, command line), the commands given at the start, Ctrl-C. Must not know: what commands do.

import Debugger
import Host
import Machine
import Synchronization

/// A debugger for a session.
final class DebugSession: @unchecked Sendable {
  private let plan: Plan
  private let machine: Machine
  private let debugger: Debugger
  private let isRunning = Atomic<Bool>(false)

  init(_ plan: Plan, _ machine: Machine) {
    self.plan = plan
    self.machine = machine
    let port: any ConsolePort =
      HostTerminal.isInteractive && HostTerminal.isTerminal(1)
      ? LineEditor(
        read: { HostFiles.readByte() }, put: { HostFiles.print(Array($0.utf8)) })
      : StreamPort()
    debugger = Debugger(machine: machine, console: port)
    debugger.printsJSON = plan.json
    if plan.historyMegabytes > 0 { debugger.keepHistory(megabytes: plan.historyMegabytes) }
    if let limit = plan.maxInstructions { debugger.instructionLimit = limit }
    debugger.runningChanged = { [unowned self] in isRunning.store($0, ordering: .relaxed) }
  }

  /// How many commands failed; what a user mistypes at a terminal does not count.
  var failures: Int {
    HostTerminal.isInteractive && plan.debugCommands.isEmpty ? 0 : debugger.failures
  }

  /// Whether the console has control, not the guest.
  var isWaiting: Bool { !isRunning.load(ordering: .relaxed) }

  /// Ctrl-C: stops the guest; says no when it does not run.
  func breakIn() -> Bool {
    guard isRunning.load(ordering: .relaxed) else { return false }
    machine.input.requestBreak()
    return true
  }

  /// Carries out the commands of the command line, then those of the console.
  func run() -> StopReason {
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
    return debugger.ending ?? .host(.user)
  }
}
