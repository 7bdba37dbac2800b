// From the command line to the exit code.
//
// Owns: the order of things: check, open, build, connect, run, write, report. Must not know: how a machine works inside.

import ArgumentParser
import Debugger
import Host
import Machine
import SDLFrontend
import Session
import Storage
import Synchronization
import Video

/// The program.
enum ApusProgram {
  /// Runs the program and ends the process.
  /// - Parameter debugging: the machine starts in the debugger (`apus debug`).
  static func main(_ arguments: [String]? = nil, debugging: Bool = false) -> Never {
    HostSignals.ignorePipe()
    var (arguments, json) = JSONTarget.taken(from: arguments ?? HostPath.arguments)
    let command = debugging ? "apus debug" : "apus"
    do {
      // Help comes before any complaint.
      if !arguments.contains(where: { ["-h", "--help", "--version"].contains($0) }) {
        try ArgumentScan(arguments).check()
      }
      let begun = try TemplateArguments.found(in: arguments)
      if let begun { arguments = begun.words }
      let options = try ApusOptions.parse(arguments)
      var plan = try Plan(
        options, media: try ArgumentScan(arguments).media, debugging: debugging,
        template: begun?.template)
      if debugging {
        plan.debugs = true
        plan.startsInDebugger = true
        // Who debugs wants to see it.
        if options.onTripleFault == nil && !options.resetOnTripleFault && plan.replay == nil {
          plan.configuration.resetsOnTripleFault = false
        }
      }
      try plan.checkDebugger()
      if plan.explain { say(plan.explanations) }
      say(plan.warnings.map { "apus: \($0)" })
      finish(try CommandRun(plan).run())
    } catch let failure as Failure {
      fail(failure, json: json)
    } catch {
      endParsing(
        text: ApusOptions.fullMessage(for: error),
        isSuccess: ApusOptions.exitCode(for: error).isSuccess, command: command, json: json)
    }
  }
}
