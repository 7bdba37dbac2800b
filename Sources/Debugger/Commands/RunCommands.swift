// Commands that make the guest run.
//
// Owns: c s n finish until and their kin, traces. Must not know: how runs are done (Debugger.swift).

import CPU
import Machine

extension Debugger {
  /// Notes a stop, runs the commands of its breakpoints, and shows it.
  func stopped(_ new: DebugStop) throws(DebuggerError) -> View {
    stop = new
    if case .ended(let reason) = new { ending = reason } else { ending = nil }
    if case .ended(.host) = new { isFinished = true }
    var view = stopView()
    // Who ended it knows; there is nothing to be looked at.
    if case .ended(.host(.user)) = new { view.lines = [] }
    if case .breakpoints(let hits) = new {
      var isSilent = true
      var lines: [String] = []
      for hit in hits {
        if let b = breakpoints[hit.id] {
          // As in gdb, a first command "silent" keeps the stop to itself.
          lines += b.commands.first == "silent" ? b.commands.dropFirst() : b.commands[...]
          if b.commands.first != "silent" { isSilent = false }
          if b.isTemporary { breakpoints.remove(hit.id) }
        }
      }
      if pendingLines.count < 1000 { pendingLines = lines + pendingLines }
      if isSilent { return .nothing }
    }
    return view
  }

  /// Sets CS:EIP to a linear address in the present code segment.
  func setProgramCounter(_ linear: UInt32) throws(DebuggerError) {
    let cs = cpu[segment: SegmentRegister.cs]
    let offset = linear &- cs.base
    if offset > (cs.isBig ? UInt32.max : 0xFFFF) {
      throw DebuggerError(
        "\(hexDigits(linear, 8)) is not in the code segment (base \(hexDigits(cs.base, 8))): set cs first"
      )
    }
    cpu.s.pointee.eip = offset
    nextCode = nil
    reverse?.wasChanged()
  }

  /// Goes on; the breakpoint that has just stopped is passed some times.
  private func continuePassing(_ count: UInt64) throws(DebuggerError) -> View {
    if count == 0 { throw DebuggerError("a count above 0 is wanted") }
    if count > 1 {
      guard case .breakpoints(let hits) = stop, let hit = hits.first, breakpoints[hit.id] != nil
      else {
        throw DebuggerError(
          "no breakpoint has stopped here that could be passed; for an address write 0x or use until"
        )
      }
      try breakpoints.change(hit.id) { $0.ignore = count - 1 }
    }
    return try stopped(run())
  }

  /// One instruction; calls as a whole, and a jump back until it is not taken any more.
  private func stepOut(ofLoop: Bool) -> DebugStop {
    let pc = cpu.nextLinear
    guard let i = instruction(at: pc), i.flow == .conditional || i.flow == .jump,
      i.farSelector == nil, let target = i.target,
      target <= pc &- cpu[segment: SegmentRegister.cs].base
    else { return stepOver() }
    return runTo(pc &+ UInt32(i.length))
  }

  private func steps(_ arguments: String) throws(DebuggerError) -> View {
    let n = arguments.isEmpty ? 1 : try count(arguments)
    if n == 0 { throw DebuggerError("a count above 0 is wanted") }
    if trace.isOn { return try tracedRun { $0 >= n } }
    return try stopped(step(n))
  }

  /// Runs one instruction at a time and writes each into the trace.
  private func tracedRun(_ isDone: (UInt64) -> Bool) throws(DebuggerError) -> View {
    var done: UInt64 = 0
    trace.toConsole = { [unowned self] in console.write($0) }
    while true {
      traceOne()
      let stop = step(1)
      done += 1
      switch stop {
      case .step where !isDone(done) && trace.lines < trace.limit: continue
      default:
        try trace.flush()
        return try stopped(stop)
      }
    }
  }

  private func traceOne() {
    let pc = cpu.nextLinear
    if let range = trace.range, !range.contains(pc) { return }
    let bytes = memory.code(pc)
    let base = cpu[segment: SegmentRegister.cs].base
    let i = disassembler.instruction(
      bytes, mode: DecodeMode(big: cpu.isCode32), eip: pc &- base, syntax: syntax,
      symbol: { [symbols] in symbols.text(base &+ $0) })
    let cs = cpu[segment: SegmentRegister.cs].selector
    let eip = cpu.currentEIP
    var line =
      "\(machine.instructionCount) \(place(cs: cs, eip: eip, linear: pc)) "
      + padded(bytes.prefix(i?.length ?? 1).map { hexDigits($0, 2) }.joined(), 14) + " "
      + (i?.text ?? "not mapped")
    if trace.showsRegisters {
      line += " ;"
      for (n, name) in RegisterFile.general.enumerated() {
        line += " \(name)=\(hexDigits(cpu[n], 8))"
      }
      line += " eflags=\(hexDigits(cpu.eflags, 8))"
    }
    trace.add(line)
  }

  static var runCommands: [Command] {
    [
      Command(
        "c cont continue fg", "[COUNT|ADDRESS]", "run", repeats: true,
        """
        Run until something stops the guest, or until ADDRESS.
        Up to three decimal digits are a COUNT: the breakpoint that has just stopped is passed COUNT - 1 times (write 0x500 for an
        address). Ctrl-C stops the guest (in a window Ctrl+Alt+D too).
        """
      ) { d, a in
        if (1...3).contains(a.count), let n = UInt64(a) { return try d.continuePassing(n) }
        if !a.isEmpty { return try d.stopped(d.runTo(try d.place(a).linear)) }
        if d.trace.isOn { return try d.tracedRun { _ in false } }
        return try d.stopped(d.run())
      },
      Command(
        "s step stepi si", "[COUNT]", "run", repeats: true,
        """
        Execute one instruction, or COUNT (decimal).
        An iteration of a REP counts as one. Of a halted processor, the next is the first instruction of the handler that wakes it.
        """
      ) { d, a in try d.steps(a) },
      Command(
        "n next nexti ni proceed", "[COUNT]", "run", repeats: true,
        "Execute one instruction; calls, INTs, repetitions and LOOPs as a whole."
      ) { d, a in
        var left = a.isEmpty ? 1 : try d.count(a)
        if left == 0 { throw DebuggerError("a count above 0 is wanted") }
        while true {
          let stop = d.stepOver()
          left -= 1
          switch stop {
          case .step, .arrived: if left > 0 { continue }
          default: return try d.stopped(stop)
          }
          return try d.stopped(.step)
        }
      },
      Command(
        "finish fin out return", "", "run",
        """
        Run to the end of the present procedure and out of it.
        The end is the first RET or IRET that is executed with the stack pointer where it is now or a little above.
        """
      ) { d, _ in try d.stopped(d.finish()) },
      Command(
        "until advance", "[ADDRESS]", "run", repeats: true,
        "Run until ADDRESS is reached; alone: as n, but a jump back is passed until the loop has ended."
      ) { d, a in
        if a.isEmpty { return try d.stopped(d.stepOut(ofLoop: true)) }
        return try d.stopped(d.runTo(try d.place(a).linear))
      },
      Command(
        "jump j", "ADDRESS", "run", "Go on at ADDRESS: CS:EIP is set to it, and the guest runs."
      ) { d, a in
        if a.isEmpty { throw DebuggerError("an address is missing") }
        try d.setProgramCounter(try d.place(a).linear)
        return try d.stopped(d.run())
      },
      Command(
        "run starti", "", "run",
        "Run from the start; of a machine that has run, reset and c are what is wanted."
      ) { d, a in
        if !a.isEmpty {
          throw DebuggerError("arguments go on apus' own command line")
        }
        guard case .start = d.stop else {
          throw DebuggerError(
            "the machine is running already: c goes on, reset presses its reset button")
        }
        return try d.stopped(d.run())
      },
      Command(
        "g go", "[=START] [ADDRESS...]", "run",
        "As in DEBUG: go (from START), with temporary breakpoints at the ADDRESSes."
      ) { d, a in
        var rest = a
        if rest.hasPrefix("=") {
          let word = rest.dropFirst().prefix { !$0.isWhitespace }
          let start = try d.place(String(word)).linear
          try d.setProgramCounter(start)
          rest = Debugger.trim(String(rest.dropFirst(word.count + 1)))
        }
        for word in rest.split(whereSeparator: \.isWhitespace) {
          let at = try d.place(String(word))
          _ = d.breakpoints.add(
            .execution(address: at.address, physical: at.physical), String(word), temporary: true)
        }
        return try d.stopped(d.run())
      },
      Command(
        "t", "[COUNT]", "run", repeats: true, "As in DEBUG: trace, that is, step."
      ) { d, a in try d.steps(a) },
      Command(
        "icount", "COUNT", "run",
        "Run until COUNT (decimal) instructions since power-on; +COUNT counts from here."
      ) { d, a in
        if a.isEmpty {
          return View(["\(d.machine.instructionCount)"], json: .number(d.machine.instructionCount))
        }
        let relative = a.hasPrefix("+")
        let n = try d.count(relative ? String(a.dropFirst()) : a)
        let target = relative ? d.machine.instructionCount &+ n : n
        if target <= d.machine.instructionCount {
          throw DebuggerError(
            "that is not ahead of #\(d.machine.instructionCount) (goto goes back)")
        }
        return try d.stopped(d.run(until: target))
      },
      Command(
        "trace", "on [FILE] [regs] [from A to B] | off", "run",
        """
        Write executed instructions to the console or FILE while c and s run (one at a time, so slowly).
        regs adds the registers; from A to B keeps to a range of linear addresses.
        """
      ) { d, a in try d.traceCommand(a) },
    ]
  }

  private func traceCommand(_ arguments: String) throws(DebuggerError) -> View {
    var words = arguments.split(whereSeparator: \.isWhitespace).map(String.init)
    guard !words.isEmpty else {
      return View([
        trace.isOn ? "trace is on, \(trace.lines) lines" : "trace is off"
      ])
    }
    switch words.removeFirst() {
    case "off":
      try trace.stop()
      return View(["trace is off, \(trace.lines) lines"])
    case "on":
      var path: String?
      trace.range = nil
      trace.showsRegisters = false
      while !words.isEmpty {
        let word = words.removeFirst()
        switch word {
        case "regs": trace.showsRegisters = true
        case "from":
          guard words.count >= 3, words[1] == "to" else {
            throw DebuggerError("from A to B is wanted")
          }
          let first = try place(words[0]).linear
          let last = try place(words[2]).linear
          if last < first { throw DebuggerError("the range is empty") }
          trace.range = first...last
          words.removeFirst(3)
        case "file": break
        default: path = Debugger.unquoted(word)
        }
      }
      trace.toFile = { [unowned self] (bytes, path) throws(DebuggerError) in
        try write(bytes, to: path)
      }
      try trace.start(path: path)
      return View(["trace is on"])
    default: throw DebuggerError("trace on or trace off is wanted")
    }
  }
}
