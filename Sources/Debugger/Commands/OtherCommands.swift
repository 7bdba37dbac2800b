// The remaining commands: stack, symbols, screen, keys, files, help.
//
// Owns: bt load symbols screen type save source assert echo help quit. Must not know: how the guest runs.

import CPU
import Chipset
import Host
import Machine
import Video

extension Debugger {
  static var otherCommands: [Command] {
    [
      Command(
        "bt backtrace where k", "[COUNT]", "views",
        """
        The chain of procedures, by what the code of the innermost has done to the stack, then by the frame pointer (BP or EBP).
        A return address that no CALL precedes is marked with ?.
        """
      ) { d, a in d.backtrace(a.isEmpty ? 32 : Int(clamping: try d.count(a))) },
      Command("stack print-stack", "[COUNT]", "views", "What is on the stack, with symbols.") {
        d, a in
        d.stackView(a.isEmpty ? 16 : Int(min(try d.count(a), 4096)))
      },
      Command("where-am-i state ?s", "", "views", "Show the stop again.") { d, _ in
        d.stopView()
      },
      Command(
        "load symbol-file file ldsym", "[symbols] FILE [+OFFSET]", "files",
        """
        Load symbols: ELF, nm or System.map, GNU ld map, NASM map or listing.
        OFFSET is added to every address. load state FILE is not possible in a running machine (use --load-state).
        """
      ) { d, a in try d.loadSymbols(a) },
      Command(
        "symbol sym", "NAME [= ADDRESS] | ADDRESS", "files", "Define a symbol, or name an address."
      ) {
        d, a in
        if let equals = a.firstIndex(of: "=") {
          let name = Debugger.trim(String(a[..<equals]))
          let value = try d.evaluate(String(a[a.index(after: equals)...]))
          guard !name.isEmpty else { throw DebuggerError("a name is missing") }
          d.symbols.define(name, UInt32(truncatingIfNeeded: value))
          return View([])
        }
        let at = try d.place(a).linear
        return View(
          [d.address(at)],
          json: .object([
            ("address", .of(at)), ("symbol", d.symbols.text(at).map { .string($0) } ?? .null),
          ]))
      },
      Command(
        "screen", "[FILE.png]", "files",
        "The text screen, or a picture of the screen into a PNG file."
      ) { d, a in try d.screen(a) },
      Command(
        "type", "TEXT", "files",
        "Type on the guest's keyboard when it runs: type dir<enter>. Names as for --type."
      ) { d, a in
        do { d.machine.act(.strokes(try KeyScript.parse(Debugger.unquoted(a)))) } catch {
          throw DebuggerError("\(error)")
        }
        return View([])
      },
      Command(
        "save", "state FILE | memory FILE START LENGTH", "files",
        "Save the machine's state (for --load-state), or bytes of memory."
      ) { d, a in try d.save(a) },
      Command("source", "FILE", "files", "Carry out the lines of a file; # begins a comment.") {
        d, a in
        let path = Debugger.unquoted(a)
        if path.isEmpty { throw DebuggerError("a file is missing") }
        try d.runFile(path)
        return View([])
      },
      Command("echo", "TEXT", "files", "Print TEXT; {EXPRESSION} in it is replaced by its value.") {
        d, a in
        var text = ""
        var rest = Substring(Debugger.unquoted(a))
        while let open = rest.firstIndex(of: "{") {
          text += rest[..<open]
          guard let close = rest[open...].firstIndex(of: "}") else { break }
          text += hexDigits(try d.evaluate(String(rest[rest.index(after: open)..<close])))
          rest = rest[rest.index(after: close)...]
        }
        text += rest
        return View([text], json: .string(text))
      },
      Command("assert", "EXPRESSION", "files", "An error unless EXPRESSION is true: for scripts.") {
        d, a in
        if try d.evaluate(a) == 0 { throw DebuggerError("assertion failed: \(a)") }
        return View([])
      },
      Command("json", "on|off", "files", "Print every view as one JSON object.") { d, a in
        switch a {
        case "on", "": d.printsJSON = true
        case "off": d.printsJSON = false
        default: throw DebuggerError("on or off is wanted")
        }
        return View([])
      },
      Command("reset", "", "files", "Press the reset button.") { d, _ in
        d.machine.act(.reset(.system))
        return try d.stopped(.start)
      },
      Command("power", "", "files", "Press the power button.") { d, _ in
        d.machine.act(.powerButton)
        return try d.stopped(.powerButton)
      },
      Command("help h", "[COMMAND]", "files", "The commands, or one command.") { d, a in
        try d.help(a)
      },
      Command("quit q exit", "", "files", "End the program.") { d, _ in
        d.isFinished = true
        return .nothing
      },
    ]
  }

  // MARK: - Stack

  private func stackView(_ n: Int) -> View {
    let size = cpu[segment: SegmentRegister.ss].isBig ? 4 : 2
    let csBase = cpu[segment: SegmentRegister.cs].base
    var lines: [String] = []
    var items: [JSONValue] = []
    for k in 0..<n {
      let at = stackLinear &+ UInt32(k * size)
      guard let value = memory.number(at, size: size, physical: false) else {
        lines.append("\(hexDigits(at, 8)) not mapped")
        break
      }
      lines.append(
        "\(hexDigits(at, 8)) \(hexDigits(value, size * 2))"
          + (symbols.text(csBase &+ UInt32(value)).map { " <\($0)>" } ?? ""))
      items.append(.number(value))
    }
    return View(lines, json: .object([("address", .of(stackLinear)), ("values", .array(items))]))
  }

  // MARK: - Files

  private func loadSymbols(_ arguments: String) throws(DebuggerError) -> View {
    var text = arguments
    let (first, rest) = Debugger.firstWord(text)
    if first == "symbols" { text = rest }
    if first == "state" {
      throw DebuggerError("a state goes into a fresh machine only: start with --load-state")
    }
    var offset: UInt32 = 0
    if let plus = text.firstRange(of: " +") {
      offset = UInt32(truncatingIfNeeded: try evaluate(String(text[plus.upperBound...])))
      text = String(text[..<plus.lowerBound])
    }
    let path = Debugger.unquoted(Debugger.trim(text))
    if path.isEmpty { throw DebuggerError("a file is missing") }
    let bytes = try file(path)
    let result: (kind: String, symbols: [DebugSymbol])
    do { result = try SymbolFiles.read(bytes) } catch {
      throw DebuggerError("\(path): \(error)")
    }
    symbols.add(
      result.symbols.map { DebugSymbol($0.name, $0.address &+ offset, size: $0.size) })
    return View(
      ["\(result.symbols.count) symbols (\(result.kind))"],
      json: .object([("symbols", .of(result.symbols.count)), ("kind", .string(result.kind))]))
  }

  private func screen(_ arguments: String) throws(DebuggerError) -> View {
    let path = Debugger.unquoted(arguments)
    if !path.isEmpty {
      try write(PNG.encode(machine.screenshot()), to: path)
      return View([])
    }
    guard var rows = machine.screenText else {
      throw DebuggerError("the screen is in a graphics mode (screen FILE.png makes a picture)")
    }
    while rows.last == "" { rows.removeLast() }
    return View(rows, json: .array(rows.map { .string($0) }))
  }

  private func save(_ arguments: String) throws(DebuggerError) -> View {
    let (what, rest) = Debugger.firstWord(arguments)
    let (path, place) = Debugger.firstWord(rest)
    if path.isEmpty { throw DebuggerError("a file is missing") }
    let bytes: [UInt8]
    var notes: [String] = []
    switch what {
    case "state":
      if let changed = machine.imagesChangedByOthers.first {
        throw DebuggerError(
          "\(changed) while this machine used it: a state would not belong to what it holds now")
      }
      do { bytes = try machine.stateFile(named: Debugger.unquoted(path)) } catch {
        throw DebuggerError("\(error)")
      }
      notes = machine.imagesThatAreWritten.map {
        "\($0) is written when the run goes on; what it holds now must be there to load this state (--snapshot or a copy keeps it)"
      }
    case "memory":
      let (start, text, _) = try leadingPlace(place)
      let length = try evaluate(text)
      guard (1...0x4000_0000).contains(length) else {
        throw DebuggerError("a length up to 40000000h is wanted")
      }
      bytes = memory.bytes(start.address, count: Int(length), physical: start.physical).map {
        $0 ?? 0xFF
      }
    default: throw DebuggerError("state or memory is wanted")
    }
    try write(bytes, to: Debugger.unquoted(path))
    return View(
      ["\(bytes.count) bytes"] + notes,
      json: .object([
        ("bytes", .of(bytes.count)), ("notes", .array(notes.map { .string($0) })),
      ]))
  }

  /// Carries out the lines of a file.
  public func runFile(_ path: String) throws(DebuggerError) {
    if sourceDepth >= Debugger.maximumSourceDepth {
      throw DebuggerError("source is nested too deeply")
    }
    let text = HostPath.decode(try file(path, limit: 16 << 20), controls: false)
    sourceDepth += 1
    defer { sourceDepth -= 1 }
    // `commands` takes its lines from here; what a breakpoint adds comes before the file goes on.
    let waiting = pendingLines
    pendingLines = text.split(omittingEmptySubsequences: false) { $0.isNewline }.map(String.init)
    while !pendingLines.isEmpty && !isFinished { execute(pendingLines.removeFirst()) }
    pendingLines = waiting
  }

  // MARK: - Help

  private func help(_ arguments: String) throws(DebuggerError) -> View {
    if !arguments.isEmpty {
      let command = try CommandTable.shared.find(arguments)
      var lines = ["\(command.names[0]) \(command.usage)"]
      if command.names.count > 1 {
        lines.append("also: " + command.names.dropFirst().joined(separator: " "))
      }
      lines += command.help.split(separator: "\n", omittingEmptySubsequences: false).map(
        String.init)
      return View(
        lines,
        json: .object([
          ("names", .array(command.names.map { .string($0) })), ("usage", .string(command.usage)),
          ("help", .string(command.help)),
        ]))
    }
    var lines: [String] = []
    let groups = [
      ("run", "Running"), ("reverse", "Going back"), ("breakpoints", "Breakpoints"),
      ("memory", "Memory"), ("registers", "Registers and expressions"), ("views", "Looking"),
      ("files", "Files and the rest"),
    ]
    for (group, title) in groups {
      lines.append("\(title):")
      for command in CommandTable.shared.commands where command.group == group {
        let summary = command.help.split(separator: "\n").first.map(String.init) ?? ""
        let names = command.names.joined(separator: " ")
        lines.append("  \(padded(names, 26)) \(summary)")
      }
    }
    lines.append(
      "help COMMAND tells more. Numbers are hexadecimal, counts decimal; names may be shortened.")
    return View(
      lines,
      json: .array(
        CommandTable.shared.commands.map {
          .object([
            ("names", .array($0.names.map { .string($0) })), ("usage", .string($0.usage)),
            ("help", .string($0.help)),
          ])
        }))
  }
}
