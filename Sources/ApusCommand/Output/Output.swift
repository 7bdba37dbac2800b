// What the program says, and how it ends.
//
// Owns: standard output and error as a whole: what is written there is harmless on a terminal, a full disk is told, errors have a form for
// programs. Must not know: what was run.

import Host

extension ApusProgram {
  /// Lines for people, on standard error. Names and texts may come from anywhere: no control character reaches the terminal.
  static func say(_ lines: [String]) {
    for line in lines { HostFiles.print(Array((harmless(line) + "\n").utf8), toError: true) }
  }

  /// Text with its control characters written out.
  static func harmless(_ text: String) -> String {
    let text = HostPath.shown(text)
    func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
      switch scalar.value {
      case 0x0A, 0x09: false
      case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x202A...0x202E, 0x2066...0x2069: true
      default: false
      }
    }
    if !text.unicodeScalars.contains(where: isHarmful) { return text }
    var result = ""
    for scalar in text.unicodeScalars {
      if isHarmful(scalar) {
        result += "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// Prints to standard output.
  static func print(_ text: String) { HostFiles.print(Array((text + "\n").utf8)) }

  /// Prints to standard output what must not be part of a line that the guest began there and left open.
  static func printOnOwnLine(_ text: String) {
    print(HostFiles.outputBeginsLine ? text : "\n" + text)
  }

  /// Ends the process: with `code`, unless standard output did not take everything.
  static func finish(_ code: Int32) -> Never {
    HostFiles.exit(finalCode(code))
  }

  /// The code, standard output considered.
  static func finalCode(_ code: Int32) -> Int32 {
    guard let problem = HostFiles.outputProblem else { return code }
    // Who reads the output has gone (head, less): that is his business and no error to be told.
    if problem.isClosedPipe { return ApusExit.signal(HostSignals.pipe).code }
    say(["apus: standard output: \(problem.reason)"])
    return ApusExit.host.code
  }

  /// Ends with an error, for people and, when JSON was asked for, for programs.
  static func fail(_ failure: Failure, command: String = "apus", json: JSONTarget?) -> Never {
    say(["\(command): \(failure.message)"])
    json?.deliver(error: failure.json.text, about: failure.file)
    finish(failure.exit.code)
  }

  /// What the parser has to say: help, version, or what is wrong.
  static func endParsing(
    text: String, isSuccess: Bool, command: String, json: JSONTarget?, subcommand: String? = nil
  ) -> Never {
    if isSuccess {
      print(text)
      finish(0)
    }
    // The first line says what is wrong; the usage is for who asks.
    let line = text.split(separator: "\n").first.map(String.init) ?? text
    let words = line.hasPrefix("Error: ") ? String(line.dropFirst(7)) : line
    fail(
      .usage("\(withoutFarSuggestion(words)) (\(subcommand ?? command) --help tells more)"),
      command: command,
      json: json)
  }

  /// The parser suggests the nearest option, however far it is.
  static func withoutFarSuggestion(_ words: String) -> String {
    let parts = words.split(separator: "'", omittingEmptySubsequences: false)
    guard parts.count == 5, parts[2].contains("Did you mean") else { return words }
    let (typed, near) = (parts[1].drop { $0 == "-" }, parts[3].drop { $0 == "-" })
    let isClose =
      typed.count >= 4
      && ForeignOptions.distance(Array(typed), Array(near)) <= (typed.count < 6 ? 1 : 2)
    return isClose ? words : "\(parts[0])'\(parts[1])'"
  }
}

extension Failure {
  /// The object of --json for a run that did not begin, or could not leave what it should.
  var json: JSON {
    .object([
      ("schema", .string("apus-error")), ("version", .number(1)),
      ("kind", .string(exit == .usage ? "usage" : "host")), ("message", .string(message)),
      ("file", file.map { .string($0) } ?? .null), ("exitCode", .signed(Int(exit.code))),
    ])
  }
}
