// The program's entry.

ApusProgram.main()
