// The program's entry.

switch CommandLine.arguments.dropFirst().first {
case "conform": ConformProgram.main(Array(CommandLine.arguments.dropFirst(2)))
case "bench": BenchProgram.main(Array(CommandLine.arguments.dropFirst(2)))
default: ApusProgram.main()
}
