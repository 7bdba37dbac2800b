// The commands: their names, help, and the loop that carries lines out.
//
// Owns: the table, finding a command, history of the last line, lists of commands, transcripts. Must not know: what commands do.

import Host

/// A command of the console.
struct Command {
  /// The name and its other names.
  var names: [String]
  /// What follows the name.
  var usage: String
  /// The first line is the summary.
  var help: String
  var group: String
  /// An empty line does it again.
  var repeats = false
  var run: (Debugger, String) throws -> View

  init(
    _ names: String, _ usage: String, _ group: String, repeats: Bool = false, _ help: String,
    _ run: @escaping (Debugger, String) throws -> View
  ) {
    self.names = names.split(separator: " ").map(String.init)
    self.usage = usage
    self.group = group
    self.repeats = repeats
    self.help = help
    self.run = run
  }
}

/// All commands by name.
struct CommandTable: @unchecked Sendable {
  // Commands hold no state: the functions are called on the debugger's thread only.
  static let shared = CommandTable()
  let commands: [Command]
  private let byName: [String: Int]

  private init() {
    commands =
      Debugger.runCommands + Debugger.breakpointCommands + Debugger.memoryCommands
      + Debugger.registerCommands + Debugger.infoCommands + Debugger.processorCommands
      + Debugger.reverseCommands
      + Debugger.displayCommands + Debugger.mediaCommands + Debugger.snapshotCommands
      + Debugger.otherCommands
      + Debugger.habitCommands
    var names: [String: Int] = [:]
    for (n, command) in commands.enumerated() {
      for name in command.names { names[name] = n }
    }
    byName = names
  }

  subscript(name: String) -> Command? { byName[name].map { commands[$0] } }
  var names: [String] { byName.keys.sorted() }

  /// The command a name or its unambiguous beginning means.
  func find(_ name: String) throws(DebuggerError) -> Command {
    let low = name.lowercased()
    if let command = self[low] { return command }
    if let hint = Habits.hints[low] { throw DebuggerError("'\(name)': \(hint)") }
    let matching = low.isEmpty ? [] : Set(byName.filter { $0.key.hasPrefix(low) }.map(\.value))
    if matching.count == 1, let n = matching.first { return commands[n] }
    if matching.count > 1 {
      let names = byName.keys.filter { $0.hasPrefix(low) }.sorted()
      throw DebuggerError("'\(name)' may be \(names.joined(separator: ", "))")
    }
    let similar = Habits.similar(low, among: names)
    throw DebuggerError(
      "'\(name)' is no command ("
        + (similar.isEmpty ? "" : "did you mean \(similar.joined(separator: " or "))? ")
        + "help lists them)")
  }
}

extension Debugger {
  static let maximumSourceDepth = 16

  /// Reads and carries out lines until the console ends or `quit`.
  public func runConsole() {
    while !isFinished {
      if !pendingLines.isEmpty {
        execute(pendingLines.removeFirst())
        continue
      }
      guard let line = console.readLine(prompt: "(apus) ", complete: complete) else {
        isFinished = true
        break
      }
      execute(line)
    }
  }

  /// Carries out the lines that breakpoints left.
  public func runPending() {
    while !pendingLines.isEmpty && !isFinished { execute(pendingLines.removeFirst()) }
  }

  /// Shows where the machine stands.
  public func showStop() { show(stopView(), command: "stop") }

  /// The guest was stopped by a break key: shows where.
  public func showBreak() {
    stop = .interrupted
    console.write("\n")
    showStop()
  }

  /// Carries out a line: one command, or several separated by ";".
  public func execute(_ line: String) {
    let trimmed = Debugger.trim(line)
    if trimmed.hasPrefix("#") { return }
    if trimmed.isEmpty {
      if console.isInteractive,
        let command = try? CommandTable.shared.find(Debugger.split(lastCommand).0),
        command.repeats
      {
        // Stepping goes on with an empty line; views go on where they ended.
        executeOne(command.group == "memory" ? Debugger.split(lastCommand).0 : lastCommand)
      }
      return
    }
    for part in Debugger.parts(trimmed) where !isFinished { executeOne(part) }
  }

  private func executeOne(_ text: String) {
    let (name, arguments) = Debugger.split(text)
    do {
      let command: Command
      // `?EXPRESSION` and `x/8`, `u/8` need no space.
      command = try CommandTable.shared.find(name)
      lastCommand = text
      show(try command.run(self, arguments), command: text)
    } catch {
      failures += 1
      if printsJSON {
        console.write(
          Debugger.object([("command", .string(text)), ("error", .string("\(error)"))]).text + "\n"
        )
      } else {
        console.write("error: \(error)\n")
      }
    }
  }

  /// A line of JSON output.
  private static func object(_ members: [(String, JSONValue)]) -> JSONValue {
    .object(members + [("schema", .string("apus-debug")), ("version", .of(1))])
  }

  /// Puts a view out.
  func show(_ view: View, command: String) {
    if printsJSON {
      console.write(
        Debugger.object([("command", .string(command)), ("result", view.json)]).text + "\n")
    } else if !view.lines.isEmpty {
      console.write(view.lines.joined(separator: "\n") + "\n")
    }
  }

  /// The command's name and the rest of a line.
  static func split(_ line: String) -> (String, String) {
    let text = trim(line)
    if text.hasPrefix("?") { return ("?", trim(String(text.dropFirst()))) }
    guard
      let end = text.dropFirst().firstIndex(where: { $0.isWhitespace || "/=[*$({&".contains($0) })
    else { return (text, "") }
    return (String(text[..<end]), trim(String(text[end...])))
  }

  static func trim(_ text: String) -> String {
    var part = Substring(text)
    while let c = part.first, c.isWhitespace { part = part.dropFirst() }
    while let c = part.last, c.isWhitespace { part = part.dropLast() }
    return String(part)
  }

  /// The parts of a line between ";" outside of quotes and braces.
  static func parts(_ line: String) -> [String] {
    var result: [String] = []
    var current = ""
    var quoted = false
    var depth = 0
    for c in line {
      if c == "\"" { quoted.toggle() }
      if !quoted {
        if c == "{" { depth += 1 }
        if c == "}" { depth -= 1 }
        if c == ";" && depth <= 0 {
          result.append(trim(current))
          current = ""
          continue
        }
      }
      current.append(c)
    }
    result.append(trim(current))
    return result.filter { !$0.isEmpty }
  }

  /// What may continue the last word of a line.
  func complete(_ line: String) -> [String] {
    let words = line.split(omittingEmptySubsequences: false, whereSeparator: \.isWhitespace)
    let last = words.last.map(String.init) ?? ""
    if words.count <= 1 { return CommandTable.shared.names.filter { $0.hasPrefix(last) } }
    let command = (try? CommandTable.shared.find(String(words[0])))?.names.first ?? ""
    switch command {
    case "help": return CommandTable.shared.names.filter { $0.hasPrefix(last) }
    case "info" where words.count == 2:
      return (InfoTopics.names + Debugger.infoTopics + machine.allDevices.map(\.stateName)).filter {
        $0.hasPrefix(last)
      }
    case "eject", "insert":
      if words.count > 2 { return command == "insert" ? LineEditor.files(last) : [] }
      let drives = ["A", "B"] + machine.cdDriveStatus.indices.map { Debugger.cdName($0) }
      return drives.filter { $0.lowercased().hasPrefix(last.lowercased()) }
    case "load", "save", "source", "screen": return LineEditor.files(last)
    default:
      // The last name of an expression.
      let start =
        last.lastIndex { !($0.isLetter || $0.isNumber || "_$.@?".contains($0)) }
        .map { last.index(after: $0) } ?? last.startIndex
      let prefix = String(last[start...])
      if prefix.isEmpty { return [] }
      let names =
        RegisterFile.names.filter { $0.hasPrefix(prefix) }
        + symbols.names(startingWith: prefix, limit: 200)
      return names.map { String(last[..<start]) + $0 }
    }
  }

  // MARK: - Arguments

  /// A decimal count (or 0x hexadecimal); other texts are expressions.
  func count(_ text: String) throws(DebuggerError) -> UInt64 {
    let digits = text.filter { $0 != "_" }
    if let value = UInt64(digits) { return value }
    if text.hasPrefix("-") { throw DebuggerError("'\(text)': a count cannot be negative") }
    if digits.first?.isNumber == true, digits.allSatisfy(\.isHexDigit) {
      throw DebuggerError("'\(text)': counts are decimal (0x\(text) is hexadecimal)")
    }
    let value = try evaluate(text)
    // What an expression makes of 1 - 2; nothing can be counted so far.
    if value > UInt64.max / 2 { throw DebuggerError("'\(text)': a count cannot be negative") }
    return value
  }

  /// A linear or (with "p:" or "phys") physical address.
  func place(_ text: String) throws(DebuggerError) -> MemoryPlace {
    var (expression, physical) = Debugger.physicalPrefix(text)
    // gdb's sign of an address: break *0x7c00.
    if expression.hasPrefix("*") { expression = String(expression.dropFirst()) }
    if let hint = Habits.sourceLine(expression) { throw DebuggerError(hint) }
    return try MemoryPlace(try evaluate(expression), physical: physical)
  }

  static func physicalPrefix(_ text: String) -> (String, Bool) {
    let low = text.lowercased()
    for prefix in ["phys:", "phys ", "p:"] where low.hasPrefix(prefix) {
      return (trim(String(text.dropFirst(prefix.count))), true)
    }
    return (text, false)
  }

  /// Reads a whole file.
  func file(_ path: String, limit: Int = 256 << 20) throws(DebuggerError) -> [UInt8] {
    do { return try HostFiles.read(path, limit: limit) } catch {
      throw DebuggerError("\(path): \(error)")
    }
  }

  /// Writes a whole file: the one way to the disk for all commands.
  /// - Throws: also for what the machine or the run still needs.
  func write(_ bytes: [UInt8], to path: String) throws(DebuggerError) {
    for input in machine.inputFiles where HostFiles.isSame(input, path) {
      throw DebuggerError("\(path): would overwrite an image or another file of this machine")
    }
    for (what, file) in otherFiles where HostFiles.isSame(file, path) {
      throw DebuggerError("\(path): would overwrite \(what)")
    }
    if let reason = HostFiles.refusalToWrite(path) { throw DebuggerError("\(path): \(reason)") }
    do { try HostFiles.writeAtomically(path, bytes) } catch {
      throw DebuggerError("\(path): \(error)")
    }
  }

  /// Without the quotes around it.
  static func unquoted(_ text: String) -> String {
    text.count >= 2 && text.hasPrefix("\"") && text.hasSuffix("\"")
      ? String(text.dropFirst().dropLast()) : text
  }
}
