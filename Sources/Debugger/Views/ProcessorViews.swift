// Several processors: which is looked at, and what each is doing.
//
// Owns: `cpu`, `info cpus`, choosing. Must not know: whose turn it is next; that is the machine's.
// Registers, linear addresses and steps are the chosen processor's. A stop chooses the processor that stopped. Breakpoints and
// watchpoints hold for all.

import CPU
import Machine

extension Debugger {
  var hasSeveralProcessors: Bool { machine.processors.count > 1 }

  /// Looks at a processor from now on.
  func select(_ processor: Int) {
    if selected == processor { return }
    selected = processor
    // What changed is told of registers of one.
    shownRegisters = [:]
  }

  static var processorCommands: [Command] {
    [
      Command(
        "cpu", "[NUMBER]", "views",
        """
        Choose the processor that registers, addresses and s are of; alone: which it is.
        info cpus lists them. A stop chooses the one that stopped; breakpoints hold for all.
        """
      ) { d, a in
        if !a.isEmpty {
          let number = try d.count(a)
          guard number < UInt64(d.machine.processors.count) else {
            let last = d.machine.processors.count - 1
            throw DebuggerError(
              last == 0 ? "there is one processor, 0" : "there are processors 0 to \(last)")
          }
          d.select(Int(number))
        }
        return View(
          [d.processorLine(d.selected)],
          json: d.processorJSON(d.selected))
      }
    ]
  }

  /// `info cpus`.
  func processorsView() -> View {
    let all = machine.processors.indices
    return View(all.map(processorLine), json: .array(all.map(processorJSON)))
  }

  private func condition(_ n: Int) -> String {
    let cpu = machine.processors[n]
    if !machine.isStarted(n) { return "waits to be started" }
    if cpu.s.pointee.shutdown { return "shut down" }
    if cpu.s.pointee.halted { return "halted" }
    return n == machine.runningProcessor ? "runs" : "waits for its turn"
  }

  /// What a processor is and does.
  func processorText(_ n: Int) -> String {
    "cpu \(n) (\(machine.processors[n].model.name)), \(condition(n))"
  }

  private func processorLine(_ n: Int) -> String {
    let cpu = machine.processors[n]
    let cs = cpu[segment: SegmentRegister.cs]
    let offset = hexDigits(cpu.currentEIP, cpu.isCode32 ? 8 : 4)
    return
      "\(n == selected ? "*" : " ") cpu \(n)  \(hexDigits(cs.selector, 4)):\(offset)"
      + (symbols.text(cpu.nextLinear).map { " <\($0)>" } ?? "")
      + "  \(condition(n)), \(modeText(cpu.mode)), \(cpu.model.name), "
      + "\(machine.executedInstructions(of: n)) instructions"
  }

  private func processorJSON(_ n: Int) -> JSONValue {
    let cpu = machine.processors[n]
    return .object([
      ("cpu", .of(n)), ("chosen", .bool(n == selected)), ("model", .string(cpu.model.name)),
      ("started", .bool(machine.isStarted(n))), ("halted", .bool(cpu.s.pointee.halted)),
      ("running", .bool(n == machine.runningProcessor)), ("linear", .of(cpu.nextLinear)),
      ("mode", modeJSON(cpu.mode)), ("executed", .number(machine.executedInstructions(of: n))),
    ])
  }

  /// Runs the others until it is the chosen processor's turn, if it takes turns.
  /// - Returns: what stopped the machine before that, or nil.
  func awaitTurn() -> DebugStop? {
    let chosen = selected
    while machine.runningProcessor != chosen {
      guard machine.isStarted(chosen), machine.processors[chosen].canRun,
        let end = machine.presentTurnEnd
      else {
        select(machine.runningProcessor)
        return nil
      }
      let stop = run(until: end)
      guard case .step = stop else { return stop }
      select(machine.runningProcessor)
    }
    select(chosen)
    return nil
  }
}
