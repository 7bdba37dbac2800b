// Completions for shells, and the subcommands as one tree for them.
//
// Owns: the tree that completion scripts are made of. Must not know: what subcommands do.

import ArgumentParser
import Host

/// Everything that can be completed. It is never run.
private struct CompletionTree: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus", abstract: "A PC that boots legacy operating systems.",
    subcommands: [Debug.self, Explain.self, Conform.self, Bench.self, Schema.self, Shells.self])
  @OptionGroup var options: ApusOptions

  struct Debug: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "debug", abstract: "Start in the debugger's console.")
    @OptionGroup var options: ApusOptions
  }
  struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "explain", abstract: "What images are taken for, and why.")
    @OptionGroup var options: ApusOptions
  }
  struct Conform: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "conform", abstract: "The processor against test suites.",
      subcommands: ConformCommand.configuration.subcommands)
    @OptionGroup var options: ConformSuites
  }
  struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "bench", abstract: "Speed, beside other emulators.")
    @OptionGroup var options: BenchCommand
  }
  struct Schema: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "schema", abstract: "What --json prints.")
    @Argument(completion: .list(Schemas.all.map(\.name))) var name: String?
  }
  struct Shells: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "completions", abstract: "Completions for a shell.")
    @Argument(completion: .list(CompletionProgram.shells)) var shell: String
  }
}

/// `apus completions SHELL`.
enum CompletionProgram {
  static let shells = ["bash", "zsh", "fish"]

  static func main(_ arguments: [String]) -> Never {
    HostSignals.ignorePipe()
    if arguments.contains(where: { ["-h", "--help"].contains($0) }) {
      ApusProgram.print(
        "USAGE: apus completions bash|zsh|fish    (.ci/setup --install installs them)")
      ApusProgram.finish(0)
    }
    guard arguments.count == 1, let script = script(arguments[0]) else {
      ApusProgram.fail(
        .usage("bash, zsh or fish is wanted"), command: "apus completions", json: false)
    }
    ApusProgram.print(script)
    ApusProgram.finish(0)
  }

  /// The script of a shell, or nil.
  static func script(_ shell: String) -> String? {
    guard let shell = CompletionShell(rawValue: shell) else { return nil }
    return CompletionTree.completionScript(for: shell)
  }

  /// The shell of `--generate-completion-script SHELL`, as other programs have it.
  static func shell(in arguments: [String]) -> String? {
    let name = "--generate-completion-script"
    if let index = arguments.firstIndex(of: name) {
      return index + 1 < arguments.count ? arguments[index + 1] : ""
    }
    return arguments.first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
  }
}
