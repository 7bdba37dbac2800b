// Where the object of --json goes.
//
// Owns: reading it from a command line (also from one that is wrong otherwise), delivering an object there. Must not know: what is in it.

import Host

/// Where the object of --json goes.
enum JSONTarget: Equatable {
  case output
  case file(String)

  private init(_ value: String) { self = value == "-" ? .output : .file(value) }

  /// Takes what --json has for a value out of the words of a command line of which --json may stand alone: an image follows it as a rule. So
  /// its value stands behind "=", or is "-", or ends in ".json", as no image does.
  /// - Returns: the words with --json or --json-file=FILE in place of it, and where the object goes; nil: none is wanted.
  static func taken(from arguments: [String]) -> (arguments: [String], target: JSONTarget?) {
    var words: [String] = []
    var target: JSONTarget?
    func take(_ value: String) {
      target = JSONTarget(value)
      words.append(value == "-" ? "--json" : "--json-file=\(value)")
    }
    var index = 0
    while index < arguments.count {
      let word = arguments[index]
      let next = index + 1 < arguments.count ? arguments[index + 1] : nil
      index += 1
      if word == "--" {
        words += arguments[(index - 1)...]
        break
      }
      if ArgumentScan.valued.contains(word), let next {
        words += [word, next]
        index += 1
      } else if word.hasPrefix("--json=") {
        take(String(word.dropFirst(7)))
      } else if word == "--json", let next,
        next == "-" || next.hasSuffix(".json") && !next.hasPrefix("-")
      {
        take(next)
        index += 1
      } else {
        if word == "--json" { target = .output }
        words.append(word)
      }
    }
    return (words, target)
  }

  /// The same of a command line of which --json always has a value.
  static func valued(in arguments: [String]) -> JSONTarget? {
    for (index, word) in arguments.enumerated() {
      if word.hasPrefix("--json=") { return JSONTarget(String(word.dropFirst(7))) }
      // Without its value that is what is wrong; whoever asked for JSON wants to read it.
      if word == "--json" {
        return index + 1 < arguments.count ? JSONTarget(arguments[index + 1]) : .output
      }
    }
    return nil
  }

  /// Writes an object.
  /// - Throws: `Failure` when the file cannot be written.
  func deliver(_ object: String) throws {
    guard case .file(let path) = self else {
      ApusProgram.printOnOwnLine(object)
      return
    }
    do throws(HostError) { try HostFiles.writeAtomically(path, Array((object + "\n").utf8)) } catch
    {
      throw Failure.host("--json \(path): \(error)", file: path)
    }
  }

  /// Writes the object of an error, whatever is wrong with the command line: also that the file is an image, or another's.
  /// - Parameter file: the file that the error is about, which stays as it is.
  func deliver(error object: String, about file: String?) {
    guard case .file(let path) = self else {
      ApusProgram.printOnOwnLine(object)
      return
    }
    if HostFiles.refusalToWrite(path) != nil { return }
    if let file, HostFiles.isSame(file, path) { return }
    if HostFiles.exists(path) {
      // Only an object of before is replaced.
      guard let bytes = try? HostFiles.read(path, limit: 64 << 20),
        bytes.starts(with: #"{"schema":"apus-"#.utf8)
      else { return }
    }
    try? HostFiles.writeAtomically(path, Array((object + "\n").utf8))
  }
}
