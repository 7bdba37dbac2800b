// The program's entry.

import Host

/// The command line, apart from the executable: what links the two decides how much of the toolchain's libraries is loaded.
public enum Apus {
  /// What the first word may be, apart from an image.
  static let subcommands = [
    "debug", "explain", "devices", "conform", "bench", "schema", "completions",
  ]

  /// Runs what the command line asks for.
  public static func main() {
    HostStart.prepare()
    let arguments = HostPath.arguments
    let rest = Array(arguments.dropFirst())
    switch arguments.first {
    case "conform": ConformProgram.main(rest)
    case "bench": BenchProgram.main(rest)
    case "debug": ApusProgram.main(rest, debugging: true)
    case "explain": ExplainProgram.main(rest)
    case "devices": DevicesProgram.main(rest)
    case "schema": SchemaProgram.main(rest)
    case "completions": CompletionProgram.main(rest)
    default:
      if let shell = CompletionProgram.shell(in: arguments) { CompletionProgram.main([shell]) }
      ApusProgram.main(arguments)
    }
  }
}
