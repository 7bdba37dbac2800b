// Commands that go back in time.
//
// Owns: rs rn rc goto last-write and what they mean. Must not know: how the past is reached (`ReverseControl`).

import CPU
import Machine

extension Debugger {
  static var reverseCommands: [Command] {
    [
      Command(
        "rs reverse-step reverse-stepi rsi", "[COUNT]", "reverse", repeats: true,
        "Go back one instruction, or COUNT."
      ) {
        d, a in
        let reverse = try d.history()
        let n = a.isEmpty ? 1 : try d.count(a)
        let now = d.machine.instructionCount
        guard n <= now, now - n >= reverse.range.lowerBound else {
          throw DebuggerError("the history begins at #\(reverse.range.lowerBound)")
        }
        try d.travel(reverse, to: now - n)
        return try d.stopped(.step)
      },
      Command(
        "rn reverse-next reverse-nexti rni", "", "reverse", repeats: true,
        "Go back one instruction of this procedure: calls that returned count as one."
      ) { d, _ in try d.reverseNext() },
      Command(
        "rc reverse-continue", "", "reverse",
        "Go back to the last breakpoint before here, or to the beginning."
      ) { d, _ in try d.reverseContinue() },
      Command(
        "goto", "INSTRUCTION", "reverse",
        """
        Go to an instruction by its number (decimal), back or ahead; breakpoints on the way do not count.
        icount NUMBER goes ahead and obeys them.
        """
      ) {
        d, a in
        if a.isEmpty { throw DebuggerError("an instruction's number is missing") }
        let n = try d.count(a.hasPrefix("#") ? String(a.dropFirst()) : a)
        if n > d.machine.instructionCount {
          let stop = d.run(until: n, obeysBreakpoints: false)
          if case .step = stop { return try d.stopped(.arrived) }
          return try d.stopped(stop)
        }
        let reverse = try d.history()
        guard n >= reverse.range.lowerBound else {
          throw DebuggerError("the history begins at #\(reverse.range.lowerBound)")
        }
        if n < d.machine.instructionCount { try d.travel(reverse, to: n) }
        return try d.stopped(.arrived)
      },
      Command(
        "last-write lw", "ADDRESS[, LENGTH]", "reverse",
        "Go back to the last instruction that wrote LENGTH bytes (default 4) at an address."
      ) { d, a in try d.lastWrite(a) },
    ]
  }

  private func history() throws(DebuggerError) -> any ReverseControl {
    guard let reverse else {
      throw DebuggerError("this run keeps no history to go back in (see --history)")
    }
    return reverse
  }

  private func travel(_ reverse: any ReverseControl, to instruction: UInt64) throws(DebuggerError) {
    machine.debugConditions = DebugConditions()
    runningChanged(true)
    defer {
      runningChanged(false)
      select(machine.runningProcessor)
    }
    do { try reverse.go(to: instruction) } catch TimeTravelError.interrupted {
      throw DebuggerError("interrupted; the machine is at #\(machine.instructionCount)")
    } catch { throw DebuggerError("\(error)") }
  }

  private func goBack(
    _ conditions: DebugConditions, where accept: (RunExit, [DebugRecord]) -> Bool
  ) throws(DebuggerError) -> RunExit? {
    let reverse = try history()
    runningChanged(true)
    defer {
      runningChanged(false)
      select(machine.runningProcessor)
    }
    do {
      return try reverse.goBack(to: conditions) { exit, records in
        select(machine.runningProcessor)
        return accept(exit, records)
      }
    } catch {
      throw DebuggerError("\(error)")
    }
  }

  private func reverseContinue() throws(DebuggerError) -> View {
    var hits: [(id: Int, record: DebugRecord?)] = []
    let list = breakpoints
    let found = try goBack(list.conditions) { exit, records in
      let physical = cpu.peekTranslate(LinearAddress(cpu.nextLinear))?.value
      let accepted = list.candidates(exit, physical: physical, records).filter { candidate in
        guard let condition = list[candidate.id]?.condition else { return true }
        eventValues = Debugger.values(of: candidate.record)
        return (try? condition.evaluate(self)) != 0
      }
      if accepted.isEmpty { return false }
      hits = accepted
      return true
    }
    if found == nil {
      let reverse = try history()
      try travel(reverse, to: reverse.range.lowerBound)
      return try stopped(.start)
    }
    // Commands of breakpoints are for going forward.
    stop = .breakpoints(hits)
    return stopView()
  }

  /// The previous instruction executed with the stack pointer where it is now or above.
  private func reverseNext() throws(DebuggerError) -> View {
    let reverse = try history()
    let start = machine.instructionCount
    guard start > reverse.range.lowerBound else {
      throw DebuggerError("the history begins at #\(reverse.range.lowerBound)")
    }
    let sp = stackLinear
    let selector = cpu[segment: SegmentRegister.ss].selector
    try travel(reverse, to: start - 1)
    let isInside = { [unowned self] in
      cpu[segment: SegmentRegister.ss].selector == selector && sp &- stackLinear < 0x10_0000
        && stackLinear < sp
    }
    guard isInside(), let here = instruction(at: cpu.nextLinear), here.flow == .return else {
      return try stopped(.step)
    }
    // A call has just returned: back to the CALL, which is the instruction before the place it returned to.
    try travel(reverse, to: start)
    let back = cpu.nextLinear
    for length in UInt32(2)...7 {
      let at = back &- length
      guard let i = instruction(at: at), i.length == Int(length),
        i.flow == .call || i.flow == .interrupt
      else { continue }
      var conditions = DebugConditions()
      conditions.linear = [at]
      let found = try goBack(conditions) { _, _ in
        cpu[segment: SegmentRegister.ss].selector == selector && stackLinear == sp
      }
      if found != nil { return try stopped(.arrived) }
    }
    try travel(reverse, to: start - 1)
    return try stopped(.step)
  }

  private func lastWrite(_ arguments: String) throws(DebuggerError) -> View {
    var parts = arguments.split(separator: ",", maxSplits: 1).map { Debugger.trim(String($0)) }
    guard let first = parts.first else { throw DebuggerError("an address is missing") }
    var length: UInt64 = 4
    if parts.count > 1 { length = try count(parts.removeLast()) }
    guard (1...0x10000).contains(length) else {
      throw DebuggerError("a length of 1 to 65536 is wanted")
    }
    let at = try place(first)
    var conditions = DebugConditions()
    conditions.watchpoints = [
      Watchpoint(
        address: at.address, length: length, onRead: false, onWrite: true,
        isPhysical: at.physical)
    ]
    var record: DebugRecord?
    let found = try goBack(conditions) { _, records in
      record = records.last {
        switch $0.event {
        case .memory, .otherWrite: return true
        default: return false
        }
      }
      return record != nil
    }
    guard found != nil, let record else {
      return View(["not written since #\(try history().range.lowerBound)"], json: .null)
    }
    let view = try stopped(.arrived)
    let line =
      "#\(record.count) \(place(cs: record.cs, eip: record.eip, linear: record.linear)): "
      + text(of: record)
    return View(
      [line] + view.lines,
      json: .object([
        ("instruction", .number(record.count)), ("linear", .of(record.linear)),
        ("event", .string(text(of: record))), ("stop", view.json),
      ]))
  }
}
