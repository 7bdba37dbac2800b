// The program's entry.

import Host

/// The command line, apart from the executable: what links the two decides how much of the toolchain's libraries is loaded.
public enum Apus {
  /// What the first word may be, apart from an image.
  static let subcommands = [
    "debug", "explain", "devices", "image", "snapshot", "backup", "store", "template", "fork",
    "migrate",
    "conform", "bench", "schema", "completions",
  ]

  /// Runs what the command line asks for.
  public static func main() {
    HostStart.prepare()
    let arguments = HostPath.arguments
    main(arguments.first, Array(arguments.dropFirst()), arguments)
  }

  private static func main(_ first: String?, _ rest: [String], _ all: [String]? = nil) -> Never {
    let arguments = all ?? [first ?? ""] + rest
    switch first {
    case "conform": ConformProgram.main(rest)
    case "bench": BenchProgram.main(rest)
    case "debug": ApusProgram.main(rest, debugging: true)
    case "explain": ExplainProgram.main(rest)
    case "devices": DevicesProgram.main(rest)
    case "image": ImageProgram.main(rest)
    case "snapshot": SnapshotProgram.main(rest)
    case "template": TemplateProgram.main(rest)
    case "fork": ForkProgram.main(rest)
    case "migrate": MigrateProgram.main(rest)
    case "backup": BackupProgram.main(rest)
    case "store": StoreProgram.main(rest)
    case "schema": SchemaProgram.main(rest)
    case "completions": CompletionProgram.main(rest)
    // As other programs have them.
    case "help" where rest.isEmpty: ApusProgram.main(["--help"])
    case "help" where subcommands.contains(rest[0]):
      main(rest[0], rest.dropFirst().prefix { !$0.hasPrefix("-") } + ["--help"])
    case "version" where rest.isEmpty: ApusProgram.main(["--version"])
    default:
      if let shell = CompletionProgram.shell(in: arguments) { CompletionProgram.main([shell]) }
      ApusProgram.main(arguments)
    }
  }
}
