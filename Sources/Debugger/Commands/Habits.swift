// What hands that know gdb, Bochs' debugger or DEBUG type, and what it is called here.
//
// Owns: commands that only exist for them, answers to those that have no place here, suggestions for what is mistyped. Nothing that is typed
// stays without an answer. Must not know: how commands work. Follows: Debugging with GDB; the Bochs user manual, internal debugger.

import CPU
import Machine

/// Answers to what is no command.
enum Habits {
  /// Commands of others without a counterpart, and what helps instead.
  static let hints: [String: String] = {
    let frames =
      "procedures are not selected here: bt shows them, r and x what they have (x /8x $fp)"
    let source = "there is no source text here: the machine runs code of any origin"
    let types = "there are no types here: x shows memory, print/x (char)X cuts values"
    let script =
      "the console has no programs of its own; source FILE runs commands, conditions go to breakpoints (b ADDRESS if ...)"
    let list: [(String, String)] = [
      ("f frame up down select-frame", frames),
      ("thread threads", "info cpus lists the processors, cpu N chooses one"),
      ("kill", "the guest ends with the program: quit ends both, reset presses the reset button"),
      (
        "call",
        "the guest's procedures are not called from here: print shows values, jump goes on elsewhere"
      ),
      ("detach", "c lets the guest go on, delete takes the breakpoints away"),
      ("attach target remote", "this is the machine itself; another gdb is served by --gdb"),
      ("add-symbol-file", "load FILE +OFFSET adds symbols moved by OFFSET"),
      ("directory dir search edit", source),
      ("ptype whatis", types),
      ("define document if while python py", script),
      ("handle signal", "interrupts stop at intbp, exceptions at excbp"),
      ("catch", "excbp stops at exceptions, intbp at interrupts, triplebp at triple faults"),
      ("layout tui focus", "each stop shows code and registers; display shows more"),
      (
        "checkpoint restart",
        "goto NUMBER goes back to any instruction (info time tells the present one)"
      ),
      ("record", "the past is kept already: rs, rn, rc, goto (--history)"),
      ("shell make", "the console starts no programs of the host"),
      ("append restore", "save memory FILE START LENGTH writes memory to a file"),
      (
        "instrument trace-reg trace-mem",
        "trace on [FILE] [regs] writes what is executed; watch stops at memory"
      ),
      ("show-param", "--explain on the command line tells what the machine is made of"),
      ("start", "run starts; b ADDRESS and c stop at a place"),
    ]
    var hints: [String: String] = [:]
    for (names, hint) in list {
      for name in names.split(separator: " ") { hints[String(name)] = hint }
    }
    return hints
  }()

  static func withoutDollar(_ text: String) -> String {
    text.hasPrefix("$") ? String(text.dropFirst()) : text
  }

  /// Why FILE:LINE means nothing; nil when the text is something else.
  static func sourceLine(_ text: String) -> String? {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let file = text[..<colon]
    let known = [".c", ".s", ".asm", ".cpp", ".cc", ".h", ".swift", ".rs", ".pas"]
    guard known.contains(where: { file.lowercased().hasSuffix($0) }) else { return nil }
    return "there are no source lines here: an address, SEG:OFF or a symbol is wanted"
  }

  static func unknownName(_ name: String) -> String {
    if name.hasPrefix("$") {
      let rest = name.dropFirst()
      if rest.allSatisfy(\.isNumber) {
        return "'\(name)': values that were printed are not kept (set $x = keeps one)"
      }
      return "'\(name)' is no register or variable (set \(name) = makes a variable)"
    }
    return "'\(name)' is no register, symbol or number"
  }

  /// Names that are nearly the same, at most three.
  static func similar(_ word: String, among names: [String]) -> [String] {
    guard (3...24).contains(word.count) else { return [] }
    return names.filter { $0.count > 1 && distance(Array(word), Array($0)) == 1 }.prefix(3).map {
      $0
    }
  }

  /// 1 when a letter was left out, added, changed, or two changed places; 0 when equal; else 2.
  private static func distance(_ a: [Character], _ b: [Character]) -> Int {
    if a == b { return 0 }
    if abs(a.count - b.count) > 1 { return 2 }
    var start = 0
    while start < min(a.count, b.count), a[start] == b[start] { start += 1 }
    let (restA, restB) = (a[start...], b[start...])
    if restA.dropFirst() == restB.dropFirst() { return 1 }
    if restA.dropFirst() == restB || restA == restB.dropFirst() { return 1 }
    if restA.count > 1, restB.count == restA.count, restA[start] == restB[start + 1],
      restA[start + 1] == restB[start], restA.dropFirst(2) == restB.dropFirst(2)
    {
      return 1
    }
    return 2
  }
}

/// The topics of `info` with their other names.
enum InfoTopics {
  private static let others: [String: String] = [
    "break": "b", "breakpoints": "b", "watchpoints": "b", "watch": "b", "reg": "r",
    "registers": "r", "all-registers": "r", "regs": "r", "creg": "cr", "float": "fpu",
    "vector": "sse", "xmm": "sse", "sse": "sse", "mmx": "mmx", "msr": "msr", "dreg": "dreg",
    "tlb": "tab", "mem": "tab", "cmos": "rtc", "keyboard": "kbd", "mouse": "kbd", "disk": "ide",
    "floppy": "fdc", "cdrom": "cd", "cds": "cd", "atapi": "cd", "uart": "serial", "flags": "eflags",
    "f": "frame", "s": "stack",
    "stack": "stack", "symbol": "symbol", "line": "line", "program": "program",
    "target": "program", "threads": "threads", "files": "symbols", "functions": "symbols",
    "variables": "symbols",
  ]
  private static let absent: [String: String] = [
    "inferiors": "there is one machine",
    "locals": "there are no types or local variables here: x /8x $sp shows the stack",
    "args": "there are no types or arguments here: x /8x $fp shows the frame",
    "source": "there is no source text here", "sources": "there is no source text here",
    "scope": "there are no types or local variables here",
    "types": "there are no types here", "signals": "exceptions stop at excbp, interrupts at intbp",
    "sharedlibrary": "load FILE [+OFFSET] adds symbols",
    "checkpoints": "info reverse tells what is kept",
    "macro": "there is no source text here", "record": "info reverse tells what is kept",
  ]

  /// Everything that can follow `info`.
  static var names: [String] { Array(Set(Debugger.infoTopics + others.keys)).sorted() }

  /// The topic that a name, another name or an unambiguous beginning means.
  static func find(_ given: String, _ devices: [String]) throws(DebuggerError) -> String {
    let low = given.lowercased()
    if low.isEmpty {
      throw DebuggerError("info what? \(Debugger.infoTopics.joined(separator: " "))")
    }
    if devices.contains(given), !Debugger.infoTopics.contains(low) { return given }
    if Debugger.infoTopics.contains(low) { return low }
    if let topic = others[low] { return topic }
    if let hint = absent[low] { throw DebuggerError("info \(low): \(hint)") }
    let all = names.filter { $0.hasPrefix(low) }
    let meant = Set(all.map { others[$0] ?? $0 })
    if meant.count == 1, let topic = meant.first { return topic }
    if meant.count > 1 {
      throw DebuggerError("info \(given) may be \(all.joined(separator: ", "))")
    }
    throw DebuggerError("'\(given)' is none of \(Debugger.infoTopics.joined(separator: " "))")
  }
}

extension Debugger {
  static var habitCommands: [Command] {
    [
      Command(
        "clear", "ADDRESS", "breakpoints", "Delete the breakpoints at an address."
      ) { d, a in
        if a.isEmpty { throw DebuggerError("an address is missing (delete takes numbers)") }
        let at = try d.place(a)
        let ids = d.breakpoints.all.filter {
          $0.kind == .execution(address: at.address, physical: at.physical)
        }.map(\.id)
        if ids.isEmpty { throw DebuggerError("there is no breakpoint at \(d.address(at.linear))") }
        for id in ids { d.breakpoints.remove(id) }
        return View(["\(ids.count) deleted"], json: .object([("deleted", .of(ids.count))]))
      },
      Command("unwatch", "[NUMBER...]", "breakpoints", "Delete watchpoints; alone: all.") { d, a in
        let all = d.breakpoints.all.filter {
          if case .watch = $0.kind { true } else { false }
        }.map(\.id)
        let ids = try a.isEmpty ? all : d.breakpointNumbers(a)
        for id in ids where !all.contains(id) {
          throw DebuggerError("breakpoint \(id) is no watchpoint")
        }
        for id in ids { d.breakpoints.remove(id) }
        return View(["\(ids.count) deleted"], json: .object([("deleted", .of(ids.count))]))
      },
      Command(
        "sb", "COUNT", "run", "Run COUNT (decimal) instructions, as Bochs' time breakpoint does."
      ) { d, a in
        try CommandTable.shared.find("icount").run(d, "+" + a)
      },
      Command("sba", "COUNT", "run", "Run until COUNT (decimal) instructions since power-on.") {
        d, a in
        if a.isEmpty { throw DebuggerError("a count is missing") }
        return try CommandTable.shared.find("icount").run(d, a)
      },
      Command("ptime", "", "views", "Instructions and virtual time so far.") { d, _ in
        try CommandTable.shared.find("info").run(d, "time")
      },
      Command("page", "ADDRESS", "views", "The physical address of a linear one.") { d, a in
        if a.isEmpty { throw DebuggerError("an address is missing") }
        let at = try d.place(a).linear
        guard let physical = d.cpu.peekTranslate(LinearAddress(at))?.value else {
          throw DebuggerError("\(hexDigits(at, 8)) is not mapped")
        }
        return View(
          ["linear \(hexDigits(at, 8)) is physical \(hexDigits(physical, 8))"],
          json: .object([("linear", .of(at)), ("physical", .of(physical))]))
      },
      Command(
        "setpmem", "ADDRESS SIZE VALUE", "memory",
        "Change 1, 2 or 4 bytes of physical memory, as in Bochs."
      ) { d, a in
        let words = a.split(whereSeparator: \.isWhitespace).map(String.init)
        let sizes = ["1": "b", "2": "h", "4": "w"]
        guard words.count == 3, let size = sizes[words[1]] else {
          throw DebuggerError("ADDRESS SIZE VALUE is wanted, the size 1, 2 or 4")
        }
        return try CommandTable.shared.find("setmem").run(d, "p:\(words[0]) \(size) = \(words[2])")
      },
      Command("monitor mon", "COMMAND", "files", "The same as COMMAND, as gdb's clients write it.")
      {
        d, a in
        if a.isEmpty { throw DebuggerError("a command is missing") }
        d.execute(a)
        return .nothing
      },
      Command(
        "silent", "", "breakpoints", "First among a breakpoint's commands: the stop is not shown."
      ) {
        _, _ in throw DebuggerError("silent stands first among a breakpoint's commands")
      },
      Command(
        "printf", "\"FORMAT\", EXPRESSION...", "files",
        "Print values by %d %u %x %o %c %s (a string in memory); %% is a percent sign, \\n a new line."
      ) { d, a in try d.printf(a) },
      Command("apropos", "WORD", "files", "Commands whose help speaks of WORD.") { d, a in
        if a.isEmpty { throw DebuggerError("a word is missing") }
        let found = CommandTable.shared.commands.filter {
          ($0.names + [$0.help]).joined(separator: " ").lowercased().contains(a.lowercased())
        }
        if found.isEmpty { throw DebuggerError("no command speaks of '\(a)'") }
        return View(
          found.map {
            "\(padded($0.names.joined(separator: " "), 26)) \($0.help.split(separator: "\n").first ?? "")"
          }, json: .array(found.map { .string($0.names[0]) }))
      },
      Command("show", "[version|syntax|...]", "files", "Settings: syntax, version.") { d, a in
        switch a.lowercased() {
        case "version": return View(["Apus \(ApusVersion.text)"])
        case "syntax", "disassembly-flavor": return View(["syntax \(d.syntax.rawValue)"])
        case "", "convenience", "conv":
          let lines = d.variables.sorted { $0.key < $1.key }.map {
            "$\($0.key) = \(hexDigits($0.value))h"
          }
          return View(["syntax \(d.syntax.rawValue)"] + lines)
        default: throw DebuggerError("'\(a)' is no setting here (syntax, version)")
        }
      },
    ]
  }

  /// `info registers eax ebx`.
  func registersView(_ names: String) throws(DebuggerError) -> View {
    if names.isEmpty { return View(registerLines([]), json: registersJSON()) }
    var lines: [String] = []
    var items: [(String, JSONValue)] = []
    for word in names.split(whereSeparator: { $0.isWhitespace || $0 == "," }) {
      let name = Habits.withoutDollar(String(word)).lowercased()
      guard
        let value = word.hasPrefix("$")
          ? pointerRegister(name) ?? registers.value(name) : registers.value(name)
      else { throw DebuggerError("'\(word)' is no register") }
      let digits = max(1, (RegisterFile.bits(name) ?? 32) / 4)
      lines.append("\(name)=\(hexDigits(value, digits)) = \(value)")
      items.append((name, .number(value)))
    }
    return View(lines, json: .object(items))
  }

  /// `info symbol ADDRESS`.
  func symbolAt(_ text: String) throws(DebuggerError) -> View {
    if text.isEmpty { throw DebuggerError("an address is missing (info symbols lists all)") }
    let at = try place(text).linear
    guard let found = symbols.text(at) else {
      return View(
        [
          "no symbol is at \(hexDigits(at, 8))\(symbols.count == 0 ? " (load FILE reads symbols)" : "")"
        ],
        json: .null)
    }
    return View(["\(hexDigits(at, 8)) is \(found)"], json: .string(found))
  }

  /// `info line ADDRESS`.
  func lineView(_ text: String) throws(DebuggerError) -> View {
    let at = try text.isEmpty ? cpu.nextLinear : place(text).linear
    let code = codeView(at: at, count: 1)
    nextCode = nil
    return View(["there are no source lines; at \(address(at)):"] + code.lines, json: code.json)
  }

  fileprivate func breakpointNumbers(_ text: String) throws(DebuggerError) -> [Int] {
    var ids: [Int] = []
    for word in text.split(whereSeparator: { $0.isWhitespace || $0 == "," }) {
      guard let id = Int(word), breakpoints[id] != nil else {
        throw DebuggerError("there is no breakpoint \(word)")
      }
      ids.append(id)
    }
    return ids
  }

  fileprivate func printf(_ arguments: String) throws(DebuggerError) -> View {
    guard arguments.hasPrefix("\""), let end = arguments.dropFirst().lastIndex(of: "\"") else {
      throw DebuggerError("printf \"FORMAT\", EXPRESSION... is wanted")
    }
    let format = Array(arguments[arguments.index(after: arguments.startIndex)..<end])
    var values = String(arguments[arguments.index(after: end)...]).split(
      separator: ",", omittingEmptySubsequences: true
    ).map { Debugger.trim(String($0)) }.filter { !$0.isEmpty }[...]
    var text = ""
    var n = 0
    while n < format.count {
      let c = format[n]
      n += 1
      if c == "\\", n < format.count {
        text += ["n": "\n", "t": "\t", "\\": "\\", "\"": "\""][format[n]] ?? String(format[n])
        n += 1
      } else if c == "%", n < format.count {
        var width = ""
        while n < format.count, format[n].isNumber || "-#lh".contains(format[n]) {
          width.append(format[n])
          n += 1
        }
        guard n < format.count else { throw DebuggerError("the format ends within %") }
        let kind = format[n]
        n += 1
        if kind == "%" {
          text += "%"
          continue
        }
        guard let expression = values.popFirst() else {
          throw DebuggerError("an expression for %\(kind) is missing")
        }
        let value = try evaluate(expression)
        var item: String
        switch kind {
        case "d", "i": item = number(value, value >> 32 == 0 ? 4 : 8, "d")
        case "u": item = "\(value)"
        case "x", "X", "p": item = (kind == "p" ? "0x" : "") + hexDigits(value)
        case "o": item = String(value, radix: 8)
        case "c": item = Debugger.character(UInt8(truncatingIfNeeded: value))
        case "s":
          item = ""
          var at = UInt32(truncatingIfNeeded: value)
          while item.count < 256, let byte = memory.linear(at), byte != 0 {
            item += Debugger.character(byte)
            at = at &+ 1
          }
        default: throw DebuggerError("%\(kind): d u x o c s are possible")
        }
        let digits = width.filter(\.isNumber)
        if let least = Int(digits), least <= 64, item.count < least {
          item =
            String(repeating: digits.hasPrefix("0") ? "0" : " ", count: least - item.count) + item
        }
        text += item
      } else {
        text.append(c)
      }
    }
    if !values.isEmpty { throw DebuggerError("'\(values.first ?? "")' has no % in the format") }
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    if lines.last == "" { lines.removeLast() }
    return View(lines, json: .string(text))
  }
}
