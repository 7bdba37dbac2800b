// Commands for breakpoints of every kind.
//
// Owns: their arguments and the list as a view. Must not know: how the processor watches (Breakpoints.swift).

import CPU

extension Debugger {
  private static let conditionHelp =
    "Anything may be followed by: if CONDITION. A condition may use value, old, addr, size, write, port, vector, error, hits."

  static var breakpointCommands: [Command] {
    [
      Command(
        "b break br lb lbreak hbreak blist", "[ADDRESS [if CONDITION]]", "breakpoints",
        """
        Stop before the instruction at a linear address (or seg:off, or a symbol); alone: list.
        p:ADDRESS means physical. \(conditionHelp)
        """
      ) { d, a in
        if a.isEmpty { return d.breakpointList() }
        return try d.addExecution(a, temporary: false)
      },
      Command("vb vbreak", "SEG:OFF", "breakpoints", "The same as b, as Bochs names it.") { d, a in
        try d.addExecution(a, temporary: false)
      },
      Command("pb pbreak", "ADDRESS", "breakpoints", "Stop at a physical address.") { d, a in
        try d.addExecution("p:" + a, temporary: false)
      },
      Command("tb tbreak thbreak", "ADDRESS", "breakpoints", "Stop once at an address.") { d, a in
        try d.addExecution(a, temporary: true)
      },
      Command(
        "watch", "ADDRESS[, LENGTH] [if CONDITION]", "breakpoints",
        """
        Stop after an instruction that writes any of LENGTH bytes (default 4) at a linear address; p:ADDRESS is physical.
        *(char*)ADDRESS and the like say the length too; watch r ADDRESS and watch w ADDRESS are Bochs' ways.
        \(conditionHelp)
        """
      ) { d, a in
        let (kind, rest) = Debugger.firstWord(a)
        if a.isEmpty { return d.breakpointList() }
        if !rest.isEmpty, !rest.hasPrefix("if "), d.symbols.address(of: kind) == nil {
          if kind == "r" || kind == "read" { return try d.addWatch(rest, read: true, write: false) }
          if kind == "w" || kind == "write" {
            return try d.addWatch(rest, read: false, write: true)
          }
        }
        return try d.addWatch(a, read: false, write: true)
      },
      Command(
        "rwatch", "ADDRESS[, LENGTH]", "breakpoints", "Stop after an instruction that reads there."
      ) { d, a in try d.addWatch(a, read: true, write: false) },
      Command(
        "awatch", "ADDRESS[, LENGTH]", "breakpoints",
        "Stop after an instruction that reads or writes there."
      ) { d, a in try d.addWatch(a, read: true, write: true) },
      Command(
        "iobp", "PORT[-PORT] [r|w]", "breakpoints",
        "Stop after an instruction that uses a port. \(conditionHelp)"
      ) { d, a in try d.addPorts(a) },
      Command(
        "intbp", "VECTOR[-VECTOR] [hard] [soft] [exc]", "breakpoints",
        """
        Stop at the first instruction of an interrupt's handler.
        hard: interrupts of devices and NMI; soft: INT n; exc: exceptions; default: hard and soft.
        """
      ) { d, a in try d.addInterrupts(a, [.external, .software]) },
      Command(
        "excbp exception-bp", "[VECTOR[-VECTOR]]", "breakpoints",
        "Stop when an exception is delivered (default: any, 00 to 1F)."
      ) { d, a in try d.addInterrupts(a.isEmpty ? "0-1f" : a, [.exception]) },
      Command(
        "modebp", "[real] [v86] [paging] [code] [cpl]", "breakpoints",
        """
        Stop after a change of mode: protection (real), V86, paging, 16 or 32-bit code, or privilege.
        Default: all but code and cpl.
        """
      ) { d, a in try d.addModes(a) },
      Command("taskbp", "", "breakpoints", "Stop after a hardware task switch.") { d, a in
        try d.addEvents(.tasks, "task switches", a)
      },
      Command("haltbp", "", "breakpoints", "Stop after HLT.") { d, a in
        try d.addEvents(.halt, "HLT", a)
      },
      Command("triplebp", "", "breakpoints", "Stop at a triple fault, before what follows.") {
        d, a in
        try d.addEvents(.tripleFault, "triple fault", a)
      },
      Command("msrbp", "", "breakpoints", "Stop after RDMSR and WRMSR (msr, value, write).") {
        d, a in
        try d.addEvents(.msr, "MSRs", a)
      },
      Command(
        "crbp", "", "breakpoints",
        "Stop after a write to a control register (register, old, value)."
      ) {
        d, a in try d.addEvents(.control, "control registers", a)
      },
      Command("farbp", "", "breakpoints", "Stop after far transfers, interrupts and their returns.")
      {
        d, a in try d.addEvents(.farBranches, "far transfers", a)
      },
      Command("magicbp", "", "breakpoints", "Stop before xchg bx,bx.") { d, a in
        try d.addEvents(.magic, "xchg bx,bx", a)
      },
      Command(
        "delete del bc bpd", "[NUMBER|FIRST-LAST...]", "breakpoints",
        "Delete breakpoints; alone: all. delete display N: as undisplay."
      ) { d, words in
        let (a, isDisplay) = Debugger.withoutKind(words)
        if isDisplay { return try d.undisplay(a) }
        if a.isEmpty {
          let count = d.breakpoints.all.count
          d.breakpoints.removeAll()
          return View(["\(count) deleted"], json: .object([("deleted", .of(count))]))
        }
        for id in try d.numbers(a) { d.breakpoints.remove(id) }
        return View([])
      },
      Command("enable be bpe", "[NUMBER...]", "breakpoints", "Enable breakpoints; alone: all.") {
        d, a in
        try d.setEnabled(a, true)
      },
      Command("disable dis bd", "[NUMBER...]", "breakpoints", "Disable breakpoints; alone: all.") {
        d, a in
        try d.setEnabled(a, false)
      },
      Command(
        "cond condition", "NUMBER [CONDITION]", "breakpoints",
        "Give a breakpoint a condition, or none."
      ) {
        d, a in
        let (word, rest) = Debugger.firstWord(a)
        guard let id = Int(word) else { throw DebuggerError("a breakpoint's number is missing") }
        let condition = rest.isEmpty ? nil : try Expression.parse(rest)
        try d.breakpoints.change(id) {
          $0.condition = condition
          $0.conditionText = rest
        }
        return View([])
      },
      Command(
        "ignore", "NUMBER COUNT", "breakpoints", "Let a breakpoint pass COUNT (decimal) times."
      ) {
        d, a in
        let (word, rest) = Debugger.firstWord(a)
        guard let id = Int(word), !rest.isEmpty else {
          throw DebuggerError("a breakpoint's number and a count are wanted")
        }
        let n = try d.count(rest)
        try d.breakpoints.change(id) { $0.ignore = n }
        return View([])
      },
      Command(
        "commands", "NUMBER [{ COMMAND; COMMAND }]", "breakpoints",
        """
        Commands to carry out when a breakpoint stops.
        Without { } the following lines up to "end" are taken; c among them goes on.
        """
      ) { d, a in try d.setCommands(a) },
    ]
  }

  static func firstWord(_ text: String) -> (String, String) {
    let word = text.prefix { !$0.isWhitespace }
    return (String(word), trim(String(text.dropFirst(word.count))))
  }

  private func numbers(_ text: String) throws(DebuggerError) -> [Int] {
    var ids: [Int] = []
    for word in text.split(whereSeparator: { $0.isWhitespace || $0 == "," }) {
      let ends = word.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        .map { Int($0) }
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, first <= last,
        last - first < 10000
      else { throw DebuggerError("there is no breakpoint \(word)") }
      let found = (first...last).filter { breakpoints[$0] != nil }
      if found.isEmpty { throw DebuggerError("there is no breakpoint \(word)") }
      ids += found
    }
    return ids
  }

  private func setEnabled(_ words: String, _ on: Bool) throws(DebuggerError) -> View {
    let (text, isDisplay) = Debugger.withoutKind(words)
    if isDisplay { return try enableDisplays(text, on) }
    if ["once", "count", "delete"].contains(Debugger.firstWord(text).0) {
      throw DebuggerError(
        "a breakpoint that stops once is made by tb ADDRESS; ignore N COUNT lets some pass")
    }
    let ids = text.isEmpty ? breakpoints.all.map(\.id) : try numbers(text)
    for id in ids { try breakpoints.change(id) { $0.isEnabled = on } }
    return View([])
  }

  /// Separates "if CONDITION".
  private func splitCondition(_ text: String) throws(DebuggerError) -> (String, Expression?, String)
  {
    let padded = " " + text
    guard let range = padded.firstRange(of: " if ") else { return (text, nil, "") }
    let condition = Debugger.trim(String(padded[range.upperBound...]))
    return (
      Debugger.trim(String(padded[..<range.lowerBound])), try Expression.parse(condition), condition
    )
  }

  private func added(
    _ kind: Breakpoint.Kind, _ what: String, _ condition: Expression?, _ text: String,
    temporary: Bool = false
  ) throws(DebuggerError) -> View {
    let id = breakpoints.add(kind, what, temporary: temporary)
    if let condition {
      try breakpoints.change(id) {
        $0.condition = condition
        $0.conditionText = text
      }
    }
    return View(
      ["breakpoint \(id): \(what)"],
      json: .object([("id", .of(id)), ("what", .string(what))]))
  }

  private func addExecution(_ arguments: String, temporary: Bool) throws(DebuggerError) -> View {
    if Debugger.trim(arguments).isEmpty || arguments == "p:" {
      throw DebuggerError("an address is missing")
    }
    let (text, condition, words) = try splitCondition(arguments)
    let at = try place(text)
    let what =
      (at.physical ? "physical " : "")
      + (at.physical ? hexDigits(at.address, 8) : address(at.linear))
    return try added(
      .execution(address: at.address, physical: at.physical),
      (temporary ? "once at " : "at ") + what,
      condition, words, temporary: temporary)
  }

  private func addWatch(_ arguments: String, read: Bool, write: Bool) throws(DebuggerError) -> View
  {
    let (text, condition, conditionText) = try splitCondition(arguments)
    var parts = text.split(separator: ",", maxSplits: 1).map(String.init)
    guard !parts.isEmpty else { throw DebuggerError("an address is missing") }
    var length: UInt64 = 4
    let hasLength = parts.count > 1
    if parts.count > 1 { length = try count(Debugger.trim(parts.removeLast())) }
    let what = Debugger.trim(parts[0])
    if registers.value(Habits.withoutDollar(what).lowercased()) != nil, !what.contains(":") {
      throw DebuggerError(
        "\(what) is a register; memory can be watched: watch *\(what) is what it points at (crbp stops at control registers)"
      )
    }
    let at: MemoryPlace
    if what.hasPrefix("*") || what.hasPrefix("{") || what.hasPrefix("-l") {
      // gdb's way: an expression that names memory.
      let text = what.hasPrefix("-l") ? String(what.drop { !$0.isWhitespace }) : what
      let expression = try Expression.parse(text)
      guard let place = expression.place else { throw DebuggerError("'\(text)' names no memory") }
      let address = try place.address.evaluate(self)
      at = try MemoryPlace(
        place.physical ? address : address & 0xFFFF_FFFF, physical: place.physical)
      if !hasLength { length = UInt64(place.size) }
    } else {
      at = try self.place(what)
      if !hasLength, let size = symbols.size(of: what), (1...0x1000).contains(size) {
        length = UInt64(size)
      }
    }
    guard (1...0x1000_0000).contains(length) else {
      throw DebuggerError("a length of 1 to 10000000h is wanted")
    }
    let kind = read ? (write ? "access to" : "read of") : "write of"
    let words =
      "\(kind) \(length) at "
      + (at.physical ? "physical \(hexDigits(at.address, 8))" : address(at.linear))
    return try added(
      .watch(
        Watchpoint(
          address: at.address, length: length, onRead: read, onWrite: write,
          isPhysical: at.physical)), words, condition, conditionText)
  }

  /// "A", "A-B" in a range.
  private func range(_ text: String, most: UInt64) throws(DebuggerError) -> ClosedRange<UInt64> {
    let parts = text.split(separator: "-", maxSplits: 1).map { Debugger.trim(String($0)) }
    guard let first = parts.first else { throw DebuggerError("a number is missing") }
    let low = try evaluate(first)
    let high = parts.count > 1 ? try evaluate(parts[1]) : low
    guard low <= high, high <= most else {
      throw DebuggerError("'\(text)' is no range up to \(hexDigits(most))")
    }
    return low...high
  }

  private func addPorts(_ arguments: String) throws(DebuggerError) -> View {
    let (text, condition, words) = try splitCondition(arguments)
    let (ports, kinds) = Debugger.firstWord(text)
    let r = try range(ports, most: 0xFFFF)
    let read = kinds.isEmpty || kinds.contains("r")
    let write = kinds.isEmpty || kinds.contains("w")
    let what =
      "\(read && write ? "use of" : read ? "IN from" : "OUT to") port \(hexDigits(r.lowerBound, 4))"
      + (r.count > 1 ? "-\(hexDigits(r.upperBound, 4))" : "")
    return try added(
      .ports(
        WatchedPorts(
          ports: UInt16(r.lowerBound)...UInt16(r.upperBound), onRead: read, onWrite: write)), what,
      condition, words)
  }

  private func addInterrupts(_ arguments: String, _ usual: [DebugInterruptSource])
    throws(DebuggerError) -> View
  {
    let (text, condition, words) = try splitCondition(arguments)
    let (vectors, kinds) = Debugger.firstWord(text)
    let r = try range(vectors == "all" ? "0-ff" : vectors, most: 0xFF)
    var sources: [DebugInterruptSource] = []
    for kind in kinds.split(whereSeparator: \.isWhitespace) {
      switch kind {
      case "hard": sources.append(.external)
      case "soft": sources.append(.software)
      case "exc": sources.append(.exception)
      default: throw DebuggerError("'\(kind)': hard, soft or exc are possible")
      }
    }
    if sources.isEmpty { sources = usual }
    let what =
      "vector \(hexDigits(r.lowerBound, 2))"
      + (r.count > 1 ? "-\(hexDigits(r.upperBound, 2))" : "")
      + " (\(sources.map(\.rawValue).joined(separator: ", ")))"
    return try added(
      .interrupts(first: UInt8(r.lowerBound), last: UInt8(r.upperBound), sources: sources), what,
      condition, words)
  }

  private func addModes(_ arguments: String) throws(DebuggerError) -> View {
    let (text, condition, words) = try splitCondition(arguments)
    var mask: CPUMode = []
    let names: [(String, CPUMode)] = [
      ("real", .protected), ("protected", .protected), ("v86", .v86), ("paging", .paging),
      ("code", .code32), ("cpl", .privilege),
    ]
    for word in text.split(whereSeparator: \.isWhitespace) {
      guard let found = names.first(where: { $0.0 == word.lowercased() }) else {
        throw DebuggerError("'\(word)': real, v86, paging, code or cpl are possible")
      }
      mask.formUnion(found.1)
    }
    if mask.isEmpty { mask = [.protected, .v86, .paging] }
    return try added(
      .modes(mask), "mode changes" + (text.isEmpty ? "" : " (\(text))"), condition, words)
  }

  private func addEvents(_ events: DebugEvents, _ what: String, _ arguments: String)
    throws(DebuggerError) -> View
  {
    let (_, condition, words) = try splitCondition(arguments)
    return try added(.events(events), what, condition, words)
  }

  private func setCommands(_ arguments: String) throws(DebuggerError) -> View {
    let (word, rest) = Debugger.firstWord(arguments)
    guard let id = Int(word), breakpoints[id] != nil else {
      throw DebuggerError("a breakpoint's number is wanted")
    }
    var lines: [String] = []
    if rest.hasPrefix("{") {
      guard rest.hasSuffix("}") else { throw DebuggerError("'}' is missing") }
      lines = Debugger.parts(String(rest.dropFirst().dropLast()))
    } else {
      while true {
        let line =
          pendingLines.isEmpty
          ? console.readLine(prompt: "> ", complete: complete) : pendingLines.removeFirst()
        guard let line, Debugger.trim(line) != "end" else { break }
        lines.append(line)
        if lines.count > 1000 { break }
      }
    }
    try breakpoints.change(id) { $0.commands = lines }
    return View([])
  }

  /// `info b`.
  func breakpointList() -> View {
    var lines: [String] = []
    var items: [JSONValue] = []
    for b in breakpoints.all {
      var line = padded("\(b.id)", 3) + (b.isEnabled ? " on   " : " off  ") + b.what
      if !b.conditionText.isEmpty { line += " if \(b.conditionText)" }
      line += ", hits \(b.hits)"
      if b.ignore > 0 { line += ", ignores \(b.ignore) more" }
      lines.append(line)
      lines += b.commands.map { "      " + $0 }
      items.append(
        .object([
          ("id", .of(b.id)), ("what", .string(b.what)), ("enabled", .bool(b.isEnabled)),
          ("temporary", .bool(b.isTemporary)), ("condition", .string(b.conditionText)),
          ("hits", .number(b.hits)), ("ignore", .number(b.ignore)),
          ("commands", .array(b.commands.map { .string($0) })),
        ]))
    }
    if lines.isEmpty { lines = ["no breakpoints"] }
    return View(lines, json: .array(items))
  }
}
