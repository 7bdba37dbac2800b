// Runs one vector file: reading, exclusions, rules, the report of it.
//
// Owns: the order of these, one runner for each rule set. Must not know: threads, output.

import CPU
import Host

/// What to run of a suite.
public struct ConformanceOptions: Sendable {
  /// The processor model; nil: a 386 for the 386's tests, else the latest.
  public var model: CPUModel?
  /// This shard of so many, from 1.
  public var shard = (number: 1, of: 1)
  /// See `SingleStepRunner.seed`.
  public var seed: UInt64 = 0
  /// Threads.
  public var jobs = 1
  /// What executes the instructions; in lockstep both engines run each test, and must agree in everything.
  public var engine = Engine.interpreter
  /// What carries out x87 instructions; nil: what the engine does best.
  public var fpu: FPUUnit?
  /// Asked between tests; once it says so, the run ends with what it has.
  public var isCancelled: @Sendable () -> Bool = { false }

  public init() {}

  /// Whether the test of an ordinal number belongs to the shard.
  func wants(_ ordinal: Int) -> Bool { ordinal % shard.of == shard.number - 1 }
}

/// Runs files, one after the other.
final class FileRunner {
  private let options: ConformanceOptions
  private var runners: [String: SingleStepRunner] = [:]
  private var x87: X87Runner?

  init(_ options: ConformanceOptions) { self.options = options }

  /// Runs a file; what is wrong with it becomes part of the report.
  func run(_ file: VectorFile) -> FileReport {
    var report = FileReport(suite: file.suite, name: file.name)
    do {
      switch file.format {
      case .testFloat: try runTestFloat(file, &report)
      case .moo, .json: try runSingleStep(file, &report)
      case .state: try runState(file, &report)
      }
    } catch let error as VectorFileError {
      report.damage = error.description
    } catch {
      report.damage = "\(file.path): \(error)"
    }
    return report
  }

  private func runner(_ rules: SingleStepRules) throws -> SingleStepRunner {
    if let runner = runners[rules.rawValue] { return runner }
    let model = options.model ?? (rules == .i386 ? .i386 : .pentium2)
    let runner = try SingleStepRunner(
      rules: rules, model: model, engine: options.engine, fpu: options.fpu)
    runner.seed = options.seed
    runners[rules.rawValue] = runner
    return runner
  }

  /// The rules for a CPU name of a MOO header or metadata.json.
  static func rules(_ cpu: String) -> SingleStepRules? {
    let name = cpu.uppercased()
    if name.contains("386") { return .i386 }
    if name.contains("286") { return .i286 }
    if name.contains("8086") || name.contains("8088") { return .i8086 }
    return nil
  }

  private func runSingleStep(_ file: VectorFile, _ report: inout FileReport) throws {
    let bytes = try readMaybeCompressed(file.path)
    let content: MOOFile
    if file.format == .moo {
      content = try MOOFile(bytes: bytes, path: file.path, wanted: options.wants)
    } else {
      content = try MOOFile(json: bytes, path: file.path, wanted: options.wants)
    }
    try run(content, file, &report)
  }

  /// Runs the tests of a file that has been read.
  func runSingle(_ content: MOOFile, _ file: VectorFile) throws -> FileReport {
    var report = FileReport(suite: file.suite, name: file.name)
    try run(content, file, &report)
    return report
  }

  private func run(_ content: MOOFile, _ file: VectorFile, _ report: inout FileReport) throws {
    var cpu = content.cpu.isEmpty ? file.folder.cpu : content.cpu
    if cpu.isEmpty {
      // JSON without metadata: the folder's or file's path may tell; the format began with the 8088.
      cpu = ["80386", "80286", "8088"].first { file.path.contains($0) } ?? "8086"
    }
    guard let rules = FileRunner.rules(cpu) else {
      throw VectorFileError(
        path: file.path, offset: 20,
        reason: "tests of '\(cpu)'; 8086, 8088, 80286 and 80386 are known")
    }
    let runner = try runner(rules)
    var fileMasks = SingleStepMasks()
    if let flags = file.folder.flagMasks[file.name] { fileMasks.flags = flags }
    fileMasks.apply(content.masks)
    let excluded = file.folder.excluded[file.name] ?? [:]
    for test in content.tests {
      if options.isCancelled() { return }
      if let reason = excluded[test.index] ?? file.folder.revoked[test.hash.lowercased()] {
        report.excluded[reason, default: 0] += 1
        continue
      }
      run(test, file.name, runner, fileMasks, &report)
    }
  }

  private func run(
    _ test: MOOTest, _ name: String, _ runner: SingleStepRunner, _ fileMasks: SingleStepMasks,
    _ report: inout FileReport
  ) {
    let shape = TestShape(test)
    let rules = runner.rules
    let reason: String? =
      switch rules {
      case .i286: Rules286.excluded(name, test, shape)
      case .i8086: Rules8086.excluded(name, test, shape)
      case .i386:
        (test.initial.registers.dwords[0] ?? 0) & 0x8000_0001 == 0
          ? nil : "a protected-mode start, which needs descriptors the format does not give"
      }
    if let reason {
      report.excluded[reason, default: 0] += 1
      return
    }
    var masks = fileMasks
    masks.apply(test.masks)
    let differences = runner.run(test, masks: masks)
    defer { runner.cleanUp(test) }
    if let apart = runner.engineDifferences(test) {
      report.fail(record(test, apart))
      return
    }
    if differences.isEmpty {
      report.passed += 1
      return
    }
    var names = Set<String>()
    if rules == .i8086, let whole = Rules8086.whole(test, shape, runner) {
      report.excluded[whole, default: 0] += 1
      return
    }
    var open: [Difference] = []
    for difference in differences {
      let rule: String? =
        switch rules {
        case .i286: Rules286.excuse(difference, test, shape, runner, flags: masks.flags)
        case .i8086:
          Rules8086.excuse(difference, test, shape, runner, flags: masks.flags)
        case .i386: nil
        }
      if let rule { names.insert(rule) } else { open.append(difference) }
    }
    if !open.isEmpty && rules == .i286 && test.exception?.vector == 13 {
      runner.cleanUp(test)
      let again = runner.run(test, masks: masks, stackFaultAsGeneralProtection: true)
      runner.bringTogether()
      names = ["#SS where the 286 raises #GP, else equal"]
      open = again.filter { difference in
        guard let rule = Rules286.excuse(difference, test, shape, runner, flags: masks.flags)
        else { return true }
        names.insert(rule)
        return false
      }
    }
    if open.isEmpty {
      report.passed += 1
      for name in names { report.byRule[name, default: 0] += 1 }
      return
    }
    report.fail(record(test, open.map(\.description)))
  }

  private func record(_ test: MOOTest, _ differences: [String]) -> FailureRecord {
    FailureRecord(
      index: Int(test.index), name: test.name,
      bytes: test.bytes.map { hexByte($0) }.joined(separator: " "), hash: test.hash,
      differences: differences)
  }

  // MARK: - Tests in our own schema

  private func runState(_ file: VectorFile, _ report: inout FileReport) throws {
    let test = try StateTest(bytes: try readMaybeCompressed(file.path), path: file.path)
    if !options.wants(0) { return }
    if test.mode == nil {
      report.excluded[
        "a test without \"mode\" runs by: apus conform program IMAGE --expect-state", default: 0] +=
        1
      return
    }
    let runner = StateTestRunner(
      test, model: options.model, engine: options.engine, fpu: options.fpu)
    let differences = try runner.run()
    if differences.isEmpty {
      report.passed += 1
    } else {
      report.fail(
        FailureRecord(
          index: 0, name: test.name, bytes: test.code.map { hexByte($0) }.joined(separator: " "),
          differences: differences))
    }
  }

  // MARK: - x87

  private func runTestFloat(_ file: VectorFile, _ report: inout FileReport) throws {
    let parts = file.name.split(separator: ".").map(String.init)
    let roundings = [
      "near_even": 0, "rnear_even": 0, "min": 1, "rmin": 1, "max": 2, "rmax": 2, "minMag": 3,
      "rminMag": 3,
    ]
    let precisions = ["p32": 0, "p64": 2, "p80": 3]
    guard let operation = parts.first.flatMap({ TestFloatOperation(rawValue: $0) }),
      let rounding = parts.count > 1 ? roundings[parts[1]] : 0,
      let precision = parts.count > 2 ? precisions[parts[2]] : 3
    else {
      throw VectorFileError(
        path: file.path, offset: 0,
        reason: "the name is not OPERATION.ROUNDING.PRECISION, say extF80_add.near_even.p80.txt")
    }
    let control = UInt16(0x3F | precision << 8 | rounding << 10)
    let runner =
      try x87
      ?? X87Runner(
        model: options.model ?? .pentium2, engine: options.engine, fpu: options.fpu)
    x87 = runner
    let bytes = try readMaybeCompressed(file.path)
    var at = 0
    var ordinal = 0
    var batch: [X87Vector] = []
    func flush() {
      run(batch, operation, control: control, runner, &report)
      batch.removeAll(keepingCapacity: true)
    }
    while at < bytes.count {
      if batch.isEmpty && options.isCancelled() { break }
      let end = bytes[at...].firstIndex(of: 0x0A) ?? bytes.count
      defer { at = end + 1 }
      let line = String(decoding: bytes[at..<end], as: UTF8.self)
      let fields = line.split(whereSeparator: { $0 == " " || $0 == "\r" })
      if fields.isEmpty { continue }
      ordinal += 1
      if !options.wants(ordinal - 1) { continue }
      guard fields.count == operation.operandCount + 2, let flags = UInt8(fields.last!, radix: 16),
        let operands = operation.operandBytes(fields[..<operation.operandCount])
      else {
        throw VectorFileError(
          path: file.path, offset: at,
          reason: "no line of \(operation.rawValue): \(line.prefix(80))"
        )
      }
      batch.append(
        X87Vector(
          line: ordinal, text: fields.prefix(operation.operandCount).joined(separator: " "),
          operands: operands, result: fields[operation.operandCount].uppercased(), flags: flags))
      if batch.count == X87Runner.most { flush() }
    }
    flush()
    if ordinal == 0 && !options.isCancelled() {
      throw VectorFileError(path: file.path, offset: 0, reason: "no vectors")
    }
  }

  /// One line of a TestFloat file in full, or nil when there is no such line.
  func explainTestFloat(_ file: VectorFile, line wanted: Int) throws -> String? {
    let bytes = try readMaybeCompressed(file.path)
    let lines = bytes.split(separator: 0x0A).filter { line in line.contains { $0 > 0x20 } }
    guard lines.indices.contains(wanted - 1) else { return nil }
    var report = FileReport(suite: file.suite, name: file.name)
    var own = options
    own.shard = (wanted, lines.count)
    try FileRunner(own).runTestFloat(file, &report)
    let text = String(decoding: lines[wanted - 1], as: UTF8.self)
    let outcome = report.failures.first.map { ["differs:"] + $0.differences.map { "  " + $0 } }
    return
      (["\(file.suite) \(file.name):\(wanted)", "line     \(text)"]
      + (outcome ?? ["passes"])).joined(separator: "\n")
  }

  /// A line of a TestFloat file.
  private struct X87Vector {
    var line: Int
    var text: String
    var operands: [UInt8]
    var result: String
    var flags: UInt8
  }

  private func run(
    _ batch: [X87Vector], _ operation: TestFloatOperation, control: UInt16, _ runner: X87Runner,
    _ report: inout FileReport
  ) {
    if batch.isEmpty { return }
    let (outcomes, different) = runner.run(
      operation, batch.map(\.operands), control: control)
    for (n, vector) in batch.enumerated() {
      var differences: [String] = []
      if outcomes[n].result != vector.result {
        differences.append("result: \(outcomes[n].result), expected \(vector.result)")
      }
      if outcomes[n].flags != vector.flags {
        differences.append(
          "flags: \(hexByte(outcomes[n].flags)), expected \(hexByte(vector.flags))")
      }
      if let apart = different[n] { differences += ["the engines differ:"] + apart }
      if differences.isEmpty {
        report.passed += 1
      } else {
        report.fail(
          FailureRecord(index: vector.line, name: vector.text, differences: differences))
      }
    }
  }
}

/// Two hexadecimal digits.
func hexByte(_ value: UInt8) -> String {
  (value < 16 ? "0" : "") + String(value, radix: 16, uppercase: true)
}
