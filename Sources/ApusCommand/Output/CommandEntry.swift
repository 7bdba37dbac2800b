// What subcommands with an object for --json have in common.
//
// Owns: the entry, the way of errors to people, programs and the exit code, delivering a result. Must not know: what the commands do.

import ArgumentParser
import Host
import Images
import Storage

/// The entry of a subcommand.
enum CommandEntry {
  /// Where the object of --json goes; set once, before anything runs.
  nonisolated(unsafe) static var target: JSONTarget?

  /// Parses the words, runs the command and ends the process.
  /// - Parameters:
  ///   - program: what it is called, for messages.
  ///   - near: what its own subcommands are called elsewhere.
  static func main<Command: ParsableCommand>(
    _ arguments: [String], _ type: Command.Type, _ program: String, near: [String: String] = [:]
  ) -> Never {
    HostSignals.ignorePipe()
    let (words, json) = JSONTarget.taken(from: arguments)
    target = json
    let names = Command.configuration.subcommands.compactMap { $0.configuration.commandName }
    if !names.isEmpty, let word = words.first(where: { !$0.hasPrefix("-") }),
      !(["help"] + names).contains(word),
      let meant = near[word] ?? NearWord.of(word, in: names)
    {
      ApusProgram.fail(
        .usage("there is no command '\(word)'; did you mean '\(meant)'?"), command: program,
        json: json)
    }
    do {
      // What follows "--" is somebody else's.
      let own = words.prefix { $0 != "--" }
      var command = try Command.parseAsRoot(
        own.filter { $0 != "--json" && !$0.hasPrefix("--json-file=") } + words[own.endIndex...])
      try command.run()
      ApusProgram.finish(0)
    } catch let exit as ExitCode {
      ApusProgram.finish(exit.rawValue)
    } catch let failure as Failure {
      ApusProgram.fail(failure, command: program, json: json)
    } catch let error as ImageUsageError {
      ApusProgram.fail(.usage("\(error)"), command: program, json: json)
    } catch let error as StorageError {
      ApusProgram.fail(
        error.isUsage ? .usage("\(error)") : .host("\(error)", file: error.path),
        command: program, json: json)
    } catch is ImageCancelled {
      ApusProgram.say(["\(program): cancelled; nothing is left of it"])
      ApusProgram.finish(130)
    } catch {
      ApusProgram.endParsing(
        text: Command.fullMessage(for: error),
        isSuccess: Command.exitCode(for: error).isSuccess, command: program, json: json)
    }
  }

  /// Delivers a result, to programs or to people.
  static func deliver(_ result: some Encodable, _ lines: @autoclosure () -> [String]) throws {
    if let target {
      try target.deliver(try JSONText.encode(result))
    } else {
      for line in lines() { ApusProgram.print(ApusProgram.harmless(line)) }
    }
  }
}
