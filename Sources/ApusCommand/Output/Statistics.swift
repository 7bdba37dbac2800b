// Where the time of a run went, for --stats.
//
// Owns: the words and the JSON object. Must not know: how it is measured.

import CPU

/// Counters and shares of time.
struct RunStatistics {
  var report: ExecutionReport
  /// What each of several processors has executed.
  var executed: [UInt64] = []
  /// Instructions executed before the run.
  var before: UInt64
  var seconds: Double
  /// Shares of the host's time by place.
  var shares: [(name: String, share: Double)]

  private var instructions: UInt64 { report.instructions &- before }
  /// Millions of instructions a second, without the time in HLT.
  private var mips: Double {
    let idle = shares.first { $0.name == "idle" }?.share ?? 0
    return Double(instructions) / 1e6 / max(1e-9, seconds * (1 - idle))
  }

  private static func fixed(_ value: Double, _ digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let number = Int64((value * scale).rounded())
    if digits == 0 { return String(number) }
    let text = String(number % Int64(scale))
    return "\(number / Int64(scale))." + String(repeating: "0", count: digits - text.count) + text
  }

  var text: String {
    var lines = [
      "\(instructions) instructions in \(RunStatistics.fixed(seconds, 2)) s, "
        + "\(RunStatistics.fixed(mips, 0)) million a second while not idle"
    ]
    for (n, count) in executed.enumerated() {
      lines.append("processor \(n): \(count) instructions")
    }
    lines.append(
      "time: "
        + shares.map { "\($0.name) \(RunStatistics.fixed($0.share * 100, 1)) %" }
        .joined(separator: ", "))
    lines.append(
      "blocks: \(report.decodedBlocks) decoded, \(report.translatedBlocks) translated "
        + "(\(report.translatedInstructions) instructions), \(report.invalidations) dropped by writes, "
        + "everything \(report.flushes) times")
    lines.append(
      "translated code: entered \(report.codeEntries) times, had \(report.interpretedFromCode) "
        + "instructions interpreted")
    lines.append(
      "  of which \(report.faultsFromCode) raised an exception, \(report.overwrites) wrote over code, "
        + "\(report.windowMisses) left the window of plain memory (each place once)")
    lines.append(
      "memory: \(report.tableFills) table entries made, \(report.deviceAccesses) accesses to devices' memory"
    )
    if report.spaceLoads > 0 {
      lines.append(
        "address spaces: CR3 loaded \(report.spaceLoads) times, \(report.spaceReturns) times with all known code in place"
      )
    }
    if let slow = report.slowPaths.first, slow.count > 0 {
      lines.append("left to the interpreter, the commonest:")
    }
    for slow in report.slowPaths.prefix(12) {
      lines.append(
        "  \(slow.count) \(slow.name)" + (slow.hasMemory ? " with a memory operand" : ""))
    }
    return lines.joined(separator: "\n")
  }

  var json: JSON {
    .object([
      ("instructions", .number(instructions)), ("seconds", .real(seconds)), ("mips", .real(mips)),
      ("time", .object(shares.map { ($0.name, .real($0.share)) })),
      ("decodedBlocks", .signed(report.decodedBlocks)),
      ("translatedBlocks", .signed(report.translatedBlocks)),
      ("translatedInstructions", .signed(report.translatedInstructions)),
      ("invalidations", .signed(report.invalidations)), ("flushes", .signed(report.flushes)),
      ("codeEntries", .signed(report.codeEntries)),
      ("interpretedFromCode", .signed(report.interpretedFromCode)),
      ("faultsFromCode", .signed(report.faultsFromCode)),
      ("windowMisses", .signed(report.windowMisses)),
      ("overwrites", .signed(report.overwrites)), ("tableFills", .signed(report.tableFills)),
      ("spaceLoads", .signed(Int(clamping: report.spaceLoads))),
      ("spaceReturns", .signed(Int(clamping: report.spaceReturns))),
      ("deviceAccesses", .number(report.deviceAccesses)),
      (
        "slowPaths",
        .array(
          report.slowPaths.map {
            .object([
              ("operation", .string($0.name)), ("memory", .bool($0.hasMemory)),
              ("count", .number($0.count)),
            ])
          })
      ),
    ])
  }
}
