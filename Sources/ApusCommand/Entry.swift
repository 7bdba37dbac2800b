// The program's entry.

/// The command line, apart from the executable: what links the two decides how much of the toolchain's libraries is loaded.
public enum Apus {
  /// Runs what the command line asks for.
  public static func main() {
    switch CommandLine.arguments.dropFirst().first {
    case "conform": ConformProgram.main(Array(CommandLine.arguments.dropFirst(2)))
    case "bench": BenchProgram.main(Array(CommandLine.arguments.dropFirst(2)))
    case "debug": ApusProgram.main(Array(CommandLine.arguments.dropFirst(2)), debugging: true)
    default: ApusProgram.main()
    }
  }
}
