// The program's entry.

if CommandLine.arguments.dropFirst().first == "conform" {
  ConformProgram.main(Array(CommandLine.arguments.dropFirst(2)))
}
ApusProgram.main()
