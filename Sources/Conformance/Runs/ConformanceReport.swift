// What a conformance run found, and the joining of such reports.
//
// Owns: the report's layout (also as JSON), merging, the text and JUnit forms. Must not know: how anything is run.

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A test that failed.
public struct FailureRecord: Codable, Sendable, Equatable {
  /// The test's index in its file (line number for x87 vectors).
  public var index: Int
  public var name: String
  /// The instruction's bytes in hexadecimal.
  public var bytes: String
  public var hash: String
  /// Field, actual, expected and difference, in words.
  public var differences: [String]

  public init(
    index: Int, name: String, bytes: String = "", hash: String = "", differences: [String]
  ) {
    self.index = index
    self.name = name
    self.bytes = bytes
    self.hash = hash
    self.differences = differences
  }
}

/// The outcome of one file, as a rule one opcode.
public struct FileReport: Codable, Sendable, Equatable {
  /// The folder, without its path.
  public var suite: String
  /// The file's name without endings.
  public var name: String
  public var passed = 0
  public var failed = 0
  /// Passed with differences that a named rule explains: tests by rule.
  public var byRule: [String: Int] = [:]
  /// Not run or not counted: tests by reason.
  public var excluded: [String: Int] = [:]
  /// The first failures by index.
  public var failures: [FailureRecord] = []
  /// Why the file could not be used.
  public var damage: String?

  /// How many failures a report keeps of one file.
  public static let kept = 200

  public init(suite: String, name: String) {
    self.suite = suite
    self.name = name
  }

  mutating func add(_ other: FileReport) {
    passed += other.passed
    failed += other.failed
    byRule.merge(other.byRule, uniquingKeysWith: +)
    excluded.merge(other.excluded, uniquingKeysWith: +)
    failures = Array(
      (failures + other.failures).sorted { ($0.index, $0.name) < ($1.index, $1.name) }
        .prefix(FileReport.kept))
    damage = damage ?? other.damage
  }

  /// Counts a failure and keeps its record while there is room.
  public mutating func fail(_ record: FailureRecord) {
    failed += 1
    if failures.count < FileReport.kept { failures.append(record) }
  }
}

/// The outcome of a run.
public struct ConformanceReport: Codable, Sendable, Equatable {
  /// The layout's name.
  public var schema: String? = "apus-conform"
  /// The layout's version.
  public var version = 1
  /// The processor model, or "" for each suite's own.
  public var model: String
  /// Seconds of the host, all shards together.
  public var seconds: Double = 0
  /// Sorted by suite and name.
  public var files: [FileReport] = []
  /// The processor that Apus was compared with, where it was one.
  public var host: String?
  /// Whether the run was ended before it had run everything; left out where it was not.
  public var interrupted: Bool?

  public init(model: String) { self.model = model }

  public var passed: Int { files.reduce(0) { $0 + $1.passed } }
  public var failed: Int { files.reduce(0) { $0 + $1.failed } }
  public var damaged: Int { files.count { $0.damage != nil } }
  /// Tests that passed with the help of a rule.
  public var byRule: Int { files.reduce(0) { $0 + $1.byRule.values.reduce(0, +) } }
  public var excluded: Int { files.reduce(0) { $0 + $1.excluded.values.reduce(0, +) } }

  /// Joins the reports of shards (or of different suites).
  public static func merged(_ reports: [ConformanceReport]) -> ConformanceReport {
    var result = ConformanceReport(model: reports.first?.model ?? "")
    var byKey: [String: FileReport] = [:]
    for report in reports {
      result.seconds += report.seconds
      if report.model != result.model { result.model = "mixed" }
      if report.interrupted == true { result.interrupted = true }
      if let host = report.host, result.host?.contains(host) != true {
        result.host = result.host.map { "\($0), \(host)" } ?? host
      }
      for file in report.files {
        let key = file.suite + "/" + file.name
        if byKey[key] == nil { byKey[key] = FileReport(suite: file.suite, name: file.name) }
        byKey[key]!.add(file)
      }
    }
    result.files = byKey.values.sorted { ($0.suite, $0.name) < ($1.suite, $1.name) }
    return result
  }

  /// JSON, keys sorted.
  public func json() -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(self) else { return [] }
    return Array(data) + [0x0A]
  }

  /// Reads what `json` wrote.
  public init(json bytes: [UInt8], path: String) throws(VectorFileError) {
    do {
      self = try JSONDecoder().decode(ConformanceReport.self, from: Data(bytes))
    } catch {
      throw VectorFileError(path: path, offset: 0, reason: "not a conformance report")
    }
    if version != 1 {
      throw VectorFileError(path: path, offset: 0, reason: "report version \(version), not 1")
    }
  }

  // MARK: - For people

  /// The summary.
  /// - Parameters:
  ///   - shown: failing tests shown for each opcode.
  ///   - all: also opcodes where nothing is to be told.
  public func text(shown: Int = 3, all: Bool = false) -> String {
    var lines: [String] = []
    for suite in Set(files.map(\.suite)).sorted() {
      let own = files.filter { $0.suite == suite }
      for file in own {
        if let damage = file.damage { lines.append("\(suite) \(file.name): unusable: \(damage)") }
        if file.failed > 0 || all {
          let total = file.passed + file.failed
          lines.append("\(suite) \(file.name): \(file.passed) of \(total) passed")
        }
        for failure in file.failures.prefix(shown) {
          // Files that are one test need no number.
          if failure.name != file.name {
            let bytes = failure.bytes.isEmpty ? "" : "  (\(failure.bytes))"
            lines.append("  \(failure.index) \(failure.name)\(bytes)")
          }
          lines += failure.differences.prefix(12).map { "    " + $0 }
        }
        if file.failed > shown && shown > 0 { lines.append("  ... \(file.failed - shown) more") }
      }
      let part = ConformanceReport.part(own, model)
      // Under a single file's own name: the folder may have others.
      let name = own.count == 1 ? "\(suite) \(own[0].name)" : suite
      lines.append(
        "\(name): \(part.passed) passed (\(part.byRule) of them by rule), \(part.failed) failed, "
          + "\(part.excluded) excluded, \(part.damaged) files unusable")
      var rules: [String: Int] = [:]
      var reasons: [String: Int] = [:]
      for file in own {
        rules.merge(file.byRule, uniquingKeysWith: +)
        reasons.merge(file.excluded, uniquingKeysWith: +)
      }
      for (rule, count) in rules.sorted(by: { $0.key < $1.key }) {
        lines.append("  by rule \(count): \(rule)")
      }
      for (reason, count) in reasons.sorted(by: { $0.key < $1.key }) {
        lines.append("  excluded \(count): \(reason)")
      }
    }
    lines.append("\(passed) passed, \(failed) failed, \(excluded) excluded, \(damaged) unusable")
    if interrupted == true { lines.append(ConformanceReport.interruptedText) }
    return lines.joined(separator: "\n")
  }

  /// What a report says that does not hold everything.
  public static let interruptedText = "interrupted: only what had run until then is counted"

  private static func part(_ files: [FileReport], _ model: String) -> ConformanceReport {
    var part = ConformanceReport(model: model)
    part.files = files
    return part
  }

  /// The JUnit form: a test suite for each suite, a test case for each opcode.
  public func junit() -> String {
    func escape(_ text: String) -> String {
      String(
        text.map { character -> String in
          switch character {
          case "<": "&lt;"
          case ">": "&gt;"
          case "&": "&amp;"
          case "\"": "&quot;"
          default: String(character)
          }
        }.joined())
    }
    var lines = ["<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<testsuites>"]
    if interrupted == true {
      lines.append(
        "  <properties><property name=\"interrupted\" value=\"true\"/></properties>")
    }
    for suite in Set(files.map(\.suite)).sorted() {
      let own = files.filter { $0.suite == suite }
      let bad = own.count { $0.failed > 0 }
      let errors = own.count { $0.damage != nil }
      lines.append(
        "  <testsuite name=\"\(escape(suite))\" tests=\"\(own.count)\" failures=\"\(bad)\" "
          + "errors=\"\(errors)\">")
      for file in own {
        lines.append("    <testcase classname=\"\(escape(suite))\" name=\"\(escape(file.name))\">")
        if let damage = file.damage {
          lines.append("      <error message=\"\(escape(damage))\"/>")
        }
        if file.failed > 0 {
          let details = file.failures.prefix(10).map {
            escape("\($0.index) \($0.name): " + $0.differences.joined(separator: "; "))
          }.joined(separator: "\n")
          lines.append(
            "      <failure message=\"\(file.failed) of \(file.passed + file.failed)\">\(details)</failure>"
          )
        }
        let notes =
          (file.byRule.map { "by rule \($0.value): \($0.key)" }
          + file.excluded.map { "excluded \($0.value): \($0.key)" }).sorted()
        if !notes.isEmpty {
          lines.append(
            "      <system-out>\(escape(notes.joined(separator: "\n")))</system-out>")
        }
        lines.append("    </testcase>")
      }
      lines.append("  </testsuite>")
    }
    lines.append("</testsuites>")
    return lines.joined(separator: "\n") + "\n"
  }
}
