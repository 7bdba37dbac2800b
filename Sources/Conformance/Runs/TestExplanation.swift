// One test in full, for people.
//
// Owns: the text. Must not know: where it is printed.

import CPU

/// Tells what a test holds and how it goes.
public enum TestExplanation {
  /// The texts of all tests of an index in the files; of TestFloat's the index is the line. Empty when there is none.
  public static func texts(_ files: [VectorFile], index: Int, options: ConformanceOptions) throws
    -> [String]
  {
    var texts: [String] = []
    for file in files {
      // A test in JSON tells everything itself.
      if file.format == .state { continue }
      if file.format == .testFloat {
        if let text = try FileRunner(options).explainTestFloat(file, line: index) {
          texts.append(text)
        }
        continue
      }
      let bytes = try readMaybeCompressed(file.path)
      let content =
        file.format == .moo
        ? try MOOFile(bytes: bytes, path: file.path) : try MOOFile(json: bytes, path: file.path)
      for test in content.tests where Int(test.index) == index {
        var one = options
        one.shard = (1, 1)
        let runner = FileRunner(one)
        var copy = content
        copy.tests = [test]
        let report = try runner.runSingle(copy, file)
        texts.append(text(test, file, report))
      }
    }
    return texts
  }

  private static func text(_ test: MOOTest, _ file: VectorFile, _ report: FileReport) -> String {
    var lines = ["\(file.suite) \(file.name):\(test.index)  \(test.name)"]
    lines.append("bytes    " + test.bytes.map { hexByte($0) }.joined(separator: " "))
    if !test.hash.isEmpty { lines.append("hash     \(test.hash)") }
    if let exception = test.exception {
      lines.append("raises   exception \(exception.vector)")
    }
    func registers(_ state: MOOState) -> String {
      if test.is32Bit {
        return zip(SingleStepRunner.dwordNames, state.registers.dwords).compactMap { name, value in
          value.map { "\(name)=\(hex($0, 8).dropFirst(2))" }
        }.joined(separator: " ")
      }
      return zip(SingleStepRunner.wordNames, state.registers.words).compactMap { name, value in
        value.map { "\(name)=\(hex($0, 4).dropFirst(2))" }
      }.joined(separator: " ")
    }
    func memory(_ state: MOOState) -> String {
      state.memory.map { "\(hex($0.address, 5).dropFirst(2)):\(hexByte($0.value))" }
        .joined(separator: " ")
    }
    lines.append("before   \(registers(test.initial))")
    lines.append("         \(memory(test.initial))")
    lines.append("after    \(registers(test.final))")
    lines.append("         \(memory(test.final))")
    if report.passed > 0 { lines.append("passes") }
    for rule in report.byRule.keys.sorted() { lines.append("by rule: \(rule)") }
    for reason in report.excluded.keys.sorted() { lines.append("excluded: \(reason)") }
    for failure in report.failures {
      lines.append("differs:")
      lines += failure.differences.map { "  " + $0 }
    }
    return lines.joined(separator: "\n")
  }
}
