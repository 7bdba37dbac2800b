// The program's entry.

switch CommandLine.arguments.dropFirst().first {
case "conform": ConformProgram.main(Array(CommandLine.arguments.dropFirst(2)))
case "bench": BenchProgram.main(Array(CommandLine.arguments.dropFirst(2)))
case "debug": ApusProgram.main(Array(CommandLine.arguments.dropFirst(2)), debugging: true)
default: ApusProgram.main()
}
