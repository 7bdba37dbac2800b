// A folder of single-step tests with its exclusions and flag masks.
//
// Owns: metadata.json, differs-on-386plus.tsv, the order of files, the summary. Must not know: how a test runs.

import CPU
import Foundation

/// The outcome of a suite.
public struct SingleStepReport: Sendable {
  public var passed = 0
  public var excluded: [String: Int] = [:]
  public var failures: [(file: String, failure: SingleStepFailure)] = []
  /// Files that could not be read, with the reason.
  public var damaged: [String] = []
}

/// A folder of MOO files.
public struct SingleStepSuite {
  /// The folder.
  public let folder: String
  public let rules: SingleStepRunner.Rules
  private var masks: [String: UInt16] = [:]
  private var excluded: [String: [UInt32: String]] = [:]

  /// Opcodes that a 386 or later rightly executes differently from an 8086.
  private static let not8086: Set<String> = {
    var names = Set((0x60...0x6F).map { String($0, radix: 16, uppercase: true) })
    names.formUnion(["C0", "C1", "C8", "C9", "D0.6", "D1.6", "D2.6", "D3.6", "FF.7", "54", "0F"])
    return names
  }()

  public init(folder: String, rules: SingleStepRunner.Rules) {
    self.folder = folder
    self.rules = rules
    if let data = FileManager.default.contents(atPath: folder + "/metadata.json"),
      let root = try? JSONSerialization.jsonObject(with: data) as? [String: Any],
      let opcodes = root["opcodes"] as? [String: [String: Any]]
    {
      for (name, entry) in opcodes {
        if let mask = entry["flags-mask"] as? Int { masks[name] = UInt16(truncatingIfNeeded: mask) }
        for (digit, sub) in entry["reg"] as? [String: [String: Any]] ?? [:] {
          if let mask = sub["flags-mask"] as? Int {
            masks["\(name).\(digit)"] = UInt16(truncatingIfNeeded: mask)
          }
        }
      }
    }
    if let text = try? String(contentsOfFile: folder + "/differs-on-386plus.tsv", encoding: .utf8) {
      for line in text.split(separator: "\n").dropFirst() {
        let columns = line.split(separator: "\t")
        if columns.count >= 4, let index = UInt32(columns[1]) {
          excluded[String(columns[0]), default: [:]][index] = String(columns[3])
        }
      }
    }
  }

  /// The files of the suite in order.
  public var files: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
      .filter { $0.hasSuffix(".MOO") || $0.hasSuffix(".MOO.gz") }.sorted()
  }

  /// Runs all files.
  /// - Parameter filter: only files whose name starts with it.
  public func run(model: CPUModel, filter: String = "") throws -> SingleStepReport {
    var report = SingleStepReport()
    let runner = try SingleStepRunner(rules: rules, model: model)
    for file in files where file.hasPrefix(filter) {
      let name = String(file.prefix { $0 != "M" }.dropLast())
      if rules == .i8086 && SingleStepSuite.not8086.contains(name) {
        report.excluded["\(name): not on a 386", default: 0] += 1
        continue
      }
      runner.flagsMask = masks[name] ?? 0xFFFF
      let moo: MOOFile
      do { moo = try MOOFile(path: folder + "/" + file) } catch {
        report.damaged.append("\(error)")
        continue
      }
      for test in moo.tests {
        if let reason = excluded[name]?[test.index] ?? exclusion286(name, test)
          ?? exclusion8086(name, test)
        {
          report.excluded[reason, default: 0] += 1
          continue
        }
        guard let failure = runner.run(test) else {
          report.passed += 1
          continue
        }
        // What later processors do differently in general is held to everything else the test says.
        if rules == .i286 && test.exception?.vector == 13 {
          if runner.run(test, stackFaultAsGeneralProtection: true) == nil {
            report.excluded["by rule: #SS where the 286 raises #GP, else equal", default: 0] += 1
            continue
          }
          if ["6C", "6D", "6E", "6F"].contains(name),
            runner.run(test, ignoringStringRegisters: true) == nil
          {
            report.excluded[
              "by rule: CX, SI, DI after a faulting string instruction", default: 0] +=
              1
            continue
          }
        }
        report.failures.append((name, failure))
      }
    }
    return report
  }

  private static let prefixes: Set<UInt8> = [0x26, 0x2E, 0x36, 0x3E, 0xF0, 0xF2, 0xF3]

  /// Single tests of the 286 set that a 386 rightly executes differently and that the list, made natively, could not hold.
  private func exclusion286(_ name: String, _ test: MOOTest) -> String? {
    guard rules == .i286 else { return nil }
    let opcodeAt = test.bytes.firstIndex { !SingleStepSuite.prefixes.contains($0) } ?? 0
    if test.bytes[..<opcodeAt].contains(0xF0) && test.exception?.vector != 6 {
      return "by rule: LOCK on a form that cannot be locked"
    }
    // The bytes end with the HLT that stops the test.
    if test.bytes.count - 1 > 10 && test.exception?.vector == 13 {
      return "by rule: more than 10 bytes long"
    }
    if ["8C", "8E"].contains(name), opcodeAt + 1 < test.bytes.count,
      [4, 5].contains(test.bytes[opcodeAt + 1] >> 3 & 7)
    {
      return "by rule: FS and GS"
    }
    return nil
  }

  /// Single tests of the 8086 set that do not apply.
  private func exclusion8086(_ name: String, _ test: MOOTest) -> String? {
    guard rules == .i8086 else { return nil }
    let group = String(name.prefix(2))
    if ["D2", "D3"].contains(group), let cx = test.initial.registers.words[2], cx & 0xFF > 31 {
      return "8086 shift count above 31"
    }
    if test.bytes.contains(0xF0) || test.bytes.contains(0xF1) { return "8086 LOCK prefix" }
    if ["8F", "C6", "C7"].contains(group) {
      let prefixes: Set<UInt8> = [0x26, 0x2E, 0x36, 0x3E, 0xF2, 0xF3]
      if let at = test.bytes.firstIndex(where: { !prefixes.contains($0) }),
        at + 1 < test.bytes.count,
        test.bytes[at + 1] >> 3 & 7 != 0
      {
        return "8086 reg field other than 0"
      }
    }
    return nil
  }
}
