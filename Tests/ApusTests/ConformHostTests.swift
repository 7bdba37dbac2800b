import Testing

/// `apus conform host` in a process of its own: random instructions, natively and in Apus.
@Suite struct ConformHostTests {
  @Test(arguments: ["interpreter", "translator"])
  func randomInstructionsDoWhatTheHostDoes(engine: String) throws {
    let run = try Program.run(
      ["conform", "host", "--cases", "20000", "--seed", "20", "--engine", engine])
    // 74: the host allows no LDT segments or low memory, or is of another kind.
    if run.code == 74 {
      print("skipped: \(run.error)")
      return
    }
    #expect(run.code == 0, "\(run.output)\n\(run.error)")
  }

  @Test(arguments: [
    ["--engine", "translator", "--fpu", "host"], ["--engine", "translator", "--fpu", "software"],
    ["--engine", "lockstep"],
  ])
  func x87InstructionsDoWhatTheHostDoes(options: [String]) throws {
    let run = try Program.run(
      ["conform", "host", "--cases", "5000", "--seed", "26", "--filter", "d8,d9,da,db,dc,dd,de,df"]
        + options)
    if run.code == 74 { return }
    #expect(run.code == 0, "\(run.output)\n\(run.error)")
  }
}
