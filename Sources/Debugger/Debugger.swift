// A debugger for one machine.
//
// Owns: running the machine until something stops it, and what the stop was. Must not know: the text of commands (Commands*.swift).
// Use it from the thread that the machine runs on; only the input queue's `requestBreak` comes from elsewhere.

import Bus
import CPU
import Machine

/// Why the machine stands still.
enum DebugStop {
  /// Nothing has run yet.
  case start
  /// A step, or the count that was asked for, is done.
  case step
  /// Breakpoints, each with the event it waited for.
  case breakpoints([(id: Int, record: DebugRecord?)])
  /// An address that the user wanted to run to.
  case arrived
  /// Ctrl-C and its relatives.
  case interrupted
  /// It stands where it stood; the power button was pressed.
  case powerButton
  /// The machine ended, or the host ends it.
  case ended(StopReason)
}

/// A segment as an address named it: `es:bx`, `1234:5`.
struct SegmentedPlace {
  var selector: UInt16
  var base: UInt32
}

/// The console's machine, breakpoints, symbols and variables.
public final class Debugger {
  public let machine: Machine
  let console: any ConsolePort
  var breakpoints = BreakpointList()
  let symbols = SymbolTable()
  var variables: [String: UInt64] = [:]
  /// Prints each view as one JSON object.
  public var printsJSON = false
  var syntax = AssemblySyntax.intel
  /// Instructions from power-on at which every run stops.
  public var instructionLimit = UInt64.max
  /// Why the machine stands.
  var stop = DebugStop.start
  /// Runs the machine; a recorder may stand in between.
  public var runMachine: ((UInt64) -> StopReason)?
  /// Called when the guest runs again and when it stops (true: runs).
  public var runningChanged: (Bool) -> Void = { _ in }
  /// Going back in time, or nil.
  public var reverse: (any ReverseControl)?
  /// What does something with snapshots, or nil.
  public var snapshots: (any DebuggerSnapshots)?
  /// Files besides the machine's own that no command may write over, and what they are.
  public var otherFiles: [(what: String, path: String)] = []
  /// The processor that is looked at.
  var selected = 0
  let trace = TraceLog()
  let disassembler: Disassembler
  /// Registers at the last stop that was shown, to mark what changed.
  var shownRegisters: [String: UInt64] = [:]
  /// `value`, `port` and so on of the event being judged or shown.
  var eventValues: [String: UInt64] = [:]
  /// The console ends.
  public internal(set) var isFinished = false
  /// How the machine ended, if it has.
  public internal(set) var ending: StopReason?
  /// How many commands failed.
  public internal(set) var failures = 0
  /// Where `u`, `x` and `d` go on.
  var nextCode: UInt32?
  var nextCodeSegment: SegmentedPlace?
  var nextData: UInt64 = 0
  var nextDataSegment: SegmentedPlace?
  /// How `x` showed memory last.
  var lastExamine: (format: Character, size: Int)?
  var lastCommand = ""
  /// Shown at every stop.
  var displays: [DisplayItem] = []
  var lastDisplay = 0
  var sourceDepth = 0
  /// Lines that commands of a breakpoint and files wait to run.
  var pendingLines: [String] = []

  /// - Parameter console: where commands come from and views go.
  public init(machine: Machine, console: any ConsolePort) {
    self.machine = machine
    self.console = console
    disassembler = Disassembler(model: machine.cpu.model)
  }

  /// The processor that is looked at.
  var cpu: CPU { machine.processors[selected] }
  var registers: RegisterFile { RegisterFile(cpu: cpu) }
  var memory: GuestMemory { GuestMemory(machine: machine, cpu: cpu) }

  /// The linear stack pointer.
  var stackLinear: UInt32 {
    let ss = cpu[segment: SegmentRegister.ss]
    return ss.base &+ (cpu[Register.esp] & (ss.isBig ? UInt32.max : 0xFFFF))
  }

  // MARK: - Running

  /// What a run stops at beyond the user's breakpoints.
  struct Goal {
    /// An address, and whether being there counts.
    var linear: UInt32?
    var counts: () -> Bool = { true }
    /// The RET of the procedure whose stack pointer this is.
    var returnAbove: UInt32?
    /// The one processor that can reach it; nil: any.
    var processor: Int?
    /// The SS that belongs to it.
    var stack: UInt16 = 0
    /// The first instruction of an interrupt handler.
    var anyInterrupt = false
  }

  /// Runs until a breakpoint, the goal, or `limit` instructions from power-on.
  /// - Parameter obeysBreakpoints: no: only the limit, the user and the guest's own end stop it.
  func run(
    until limit: UInt64 = UInt64.max, goal: Goal = Goal(), obeysBreakpoints: Bool = true
  ) -> DebugStop {
    var conditions = obeysBreakpoints ? breakpoints.conditions : DebugConditions()
    if let linear = goal.linear { conditions.linear.insert(linear) }
    conditions.returnsAbove = goal.returnAbove
    if goal.anyInterrupt {
      conditions.events.insert(.interrupts)
      conditions.interrupts = .all
    }
    machine.debugConditions = conditions
    machine.skipBreakpointsOnce()
    let end = min(limit, instructionLimit)
    runningChanged(true)
    defer { runningChanged(false) }
    while true {
      let reason = runMachine.map { $0(end) } ?? machine.run(untilInstruction: end)
      let records = machine.takeDebugRecords()
      select(machine.runningProcessor)
      let isGoal = goal.processor == nil || goal.processor == selected
      switch reason {
      case .debug(let exit):
        let physical = cpu.peekTranslate(LinearAddress(cpu.nextLinear))?.value
        var hits: [(id: Int, record: DebugRecord?)] = []
        for candidate in breakpoints.candidates(exit, physical: physical, records)
        where judge(candidate.id, candidate.record) {
          hits.append(candidate)
        }
        if !hits.isEmpty { return .breakpoints(hits) }
        if case .breakpoint(let linear) = exit, linear == goal.linear, isGoal, goal.counts() {
          return .arrived
        }
        // Handlers and DOS kernels return on stacks of their own meanwhile.
        if isGoal, records.contains(where: { $0.event == .returning }),
          cpu[segment: SegmentRegister.ss].selector == goal.stack
        {
          return .arrived
        }
        if goal.anyInterrupt, isGoal,
          records.contains(where: {
            if case .interrupt(_, .external, _) = $0.event { return true }
            return false
          })
        {
          return .arrived
        }
        if machine.instructionCount >= end {
          return end == instructionLimit ? .ended(.instructionLimit) : .step
        }
      case .instructionLimit:
        return end == instructionLimit ? .ended(.instructionLimit) : .step
      case .host(.debugger): return .interrupted
      default: return .ended(reason)
      }
    }
  }

  /// Whether a breakpoint that was met stops: its condition and ignore count. Counts the hit.
  private func judge(_ id: Int, _ record: DebugRecord?) -> Bool {
    guard let b = breakpoints[id] else { return false }
    eventValues = Debugger.values(of: record)
    eventValues["hits"] = b.hits &+ 1
    if let condition = b.condition {
      // A condition that cannot be evaluated stops, so that the user sees why.
      if let value = try? condition.evaluate(self), value == 0 { return false }
    }
    var stops = true
    try? breakpoints.change(id) { b in
      b.hits &+= 1
      if b.ignore > 0 {
        b.ignore -= 1
        stops = false
      }
    }
    return stops
  }

  /// The names a condition may use for an event.
  static func values(of record: DebugRecord?) -> [String: UInt64] {
    guard let record else { return [:] }
    switch record.event {
    case .memory(let linear, let physical, let size, let isWrite, let old, let new):
      return [
        "addr": UInt64(linear), "phys": UInt64(physical), "size": UInt64(size),
        "write": isWrite ? 1 : 0, "old": old, "value": new,
      ]
    case .otherWrite(_, let linear, let physical, let size, let old, let new):
      return [
        "addr": UInt64(linear), "phys": UInt64(physical), "size": UInt64(size), "write": 1,
        "old": old, "value": new,
      ]
    case .port(let port, let width, let isWrite, let value):
      return [
        "port": UInt64(port), "size": UInt64(width), "write": isWrite ? 1 : 0,
        "value": UInt64(value),
      ]
    case .interrupt(let vector, _, let code):
      return ["vector": UInt64(vector), "error": UInt64(code ?? 0)]
    case .msr(let number, let isWrite, let value):
      return ["msr": UInt64(number), "write": isWrite ? 1 : 0, "value": value]
    case .control(let register, let old, let new):
      return ["register": UInt64(register), "old": UInt64(old), "value": UInt64(new)]
    case .farBranch(let from, let to): return ["from": UInt64(from), "to": UInt64(to)]
    case .task(let from, let to): return ["from": UInt64(from), "to": UInt64(to)]
    default: return [:]
    }
  }

  /// Executes `count` instructions (iterations of REP count one each).
  func step(_ count: UInt64) -> DebugStop {
    if cpu.s.pointee.halted {
      // Nothing executes before an interrupt: its handler's first instruction is where the step leads.
      let stop = run(goal: Goal(processor: selected, anyInterrupt: true))
      if case .arrived = stop { return count > 1 ? step(count - 1) : .step }
      return stop
    }
    if !hasSeveralProcessors { return run(until: machine.instructionCount &+ count) }
    let chosen = selected
    for _ in 0..<max(count, 1) {
      if let stop = awaitTurn() { return stop }
      let stop = run(until: machine.instructionCount &+ 1)
      guard case .step = stop else { return stop }
      // With that instruction its turn may have ended.
      select(chosen)
    }
    return .step
  }

  /// The instruction at an address as the processor would decode it now.
  func instruction(at linear: UInt32) -> DisassembledInstruction? {
    disassembler.instruction(
      memory.code(linear), mode: DecodeMode(big: cpu.isCode32),
      eip: linear &- cpu[segment: SegmentRegister.cs].base,
      syntax: syntax)
  }

  /// Like `step`, but calls, interrupts, repetitions and loops count as one.
  func stepOver() -> DebugStop {
    let pc = cpu.nextLinear
    guard !cpu.s.pointee.halted, let i = instruction(at: pc) else { return step(1) }
    switch i.flow {
    case .call, .interrupt, .repeated: break
    case .conditional:
      switch i.condition {
      case .count, .countAndZero: break
      case .flags, .noCount, nil: return step(1)
      }
    default: return step(1)
    }
    let cs = cpu[segment: SegmentRegister.cs]
    let eip = cpu.currentEIP &+ UInt32(i.length)
    let next = cs.base &+ (cs.isBig ? eip : eip & 0xFFFF)
    let sp = stackLinear
    let selector = cpu[segment: SegmentRegister.ss].selector
    // A deeper call of the same code is not where this step ends.
    if let stop = awaitTurn() { return stop }
    return run(
      goal: Goal(
        linear: next,
        counts: { [unowned self] in
          cpu[segment: SegmentRegister.ss].selector != selector || stackLinear >= sp
        }, processor: selected))
  }

  /// Runs to the end of the present procedure, and out of it.
  func finish() -> DebugStop {
    let stop = run(
      goal: Goal(
        returnAbove: stackLinear, processor: selected,
        stack: cpu[segment: SegmentRegister.ss].selector))
    guard case .arrived = stop else { return stop }
    return step(1)
  }

  /// Runs to an address.
  func runTo(_ linear: UInt32) -> DebugStop { run(goal: Goal(linear: linear)) }
}

// MARK: - Names

extension Debugger: ExpressionContext {
  func value(named name: String) -> UInt64? {
    if name.hasPrefix("$") {
      let rest = String(name.dropFirst())
      if rest.isEmpty { return UInt64(cpu.nextLinear) }
      // A variable never hides a register.
      return pointerRegister(rest) ?? registers.value(rest.lowercased()) ?? variables[rest]
        ?? eventValues[rest]
    }
    if let value = registers.value(name.lowercased()) { return value }
    if let address = symbols.address(of: name) { return UInt64(address) }
    return eventValues[name] ?? variables[name]
  }

  func segmentBase(register name: String) -> UInt32? {
    registers.segmentBase(name.lowercased())
  }

  func segmentBase(selector: UInt16) -> UInt32? { cpu.segmentBase(ofSelector: selector) }

  func load(_ address: UInt64, size: Int, physical: Bool) -> UInt64? {
    memory.number(address, size: size, physical: physical)
  }

  /// The value of an expression's text.
  func evaluate(_ text: String) throws(DebuggerError) -> UInt64 {
    try Expression.parse(text).evaluate(self)
  }
}
