// The measurement: every contestant in turn, again and again, with checksums that must agree.
//
// Owns: the order of runs, the judgement of a run. Must not know: how emulators are started, how results look.

import Host

/// A benchmark about to run.
public struct BenchmarkRun {
  public var contestants: [Contestant]
  public var kernels: [Kernel]
  public var runs = 3
  public var isQuick = false
  /// An amount of work of one's own instead.
  public var rounds: UInt32?
  public var paging = false
  public var linux: LinuxWorkload?
  /// Seconds after which a single run is given up.
  public var timeout = 1800.0
  private let tools: Toolchain

  /// What the kernel "start" is called in reports: from the start of the process to a boot sector and out.
  public static let start = Kernel(
    name: "start", exercises: "start to a boot sector and exit", rounds: 0, checksums: [0: 1])

  public init(tools: Toolchain, contestants: [Contestant], kernels: [Kernel]) {
    (self.tools, self.contestants, self.kernels) = (tools, contestants, kernels)
  }

  /// Runs everything.
  /// - Parameter progress: told in a few words what runs now.
  /// - Throws: `BenchmarkError` when something cannot be built.
  public func run(progress: (String) -> Void) throws -> BenchmarkReport {
    var report = BenchmarkReport(
      contestants: contestants.map(\.name), versions: contestants.map(\.version),
      subjects: contestants.indices.filter { contestants[$0].isApus })
    report.caption =
      "median of \(runs) alternated run\(runs == 1 ? "" : "s")\(rounds.map { ", \($0) rounds" } ?? (isQuick ? ", a tenth of the work" : ""))"
      + (paging ? ", under paging" : "")
    for kernel in kernels {
      progress("building \(kernel.name)")
      report.rows.append(try row(for: kernel, progress: progress))
    }
    if let linux {
      progress("building the Linux disk")
      report.rows += try rows(for: linux, progress: progress)
    }
    return report
  }

  // MARK: Kernels

  private func row(for kernel: Kernel, progress: (String) -> Void) throws -> BenchmarkReport.Row {
    let isStart = kernel.name == BenchmarkRun.start.name
    let rounds = isStart ? 0 : self.rounds ?? (isQuick ? kernel.quickRounds : kernel.rounds)
    let source = isStart ? Kernel.named("portio") ?? kernel : kernel
    let image = try tools.image(source, rounds: rounds, paging: paging && !isStart)
    let native = kernel.isNative && contestants.contains(where: \.isNative)
    let program = native ? try tools.program(kernel) : nil
    var entries = contestants.map {
      BenchmarkReport.Entry(isLeftOut: $0.isNative && program == nil)
    }
    // An amount that nobody knows the sum of: the first one found is everyone's.
    var expected = kernel.checksums[rounds]
    for run in 1...max(1, runs) {
      for (index, contestant) in contestants.enumerated()
      where !entries[index].isLeftOut && entries[index].problem == nil {
        progress("\(kernel.name): \(contestant.name), run \(run) of \(runs)")
        let arguments: [String]
        if contestant.isNative, let program {
          arguments = [program, String(rounds)]
        } else {
          arguments = try contestant.arguments(
            image: image, cylinders: 2, folder: tools.folder, serial: false)
        }
        let result: HostProcess.Result
        do {
          result = try HostProcess.run(arguments, folder: tools.folder, timeout: timeout)
        } catch {
          entries[index].problem = "\(error)"
          continue
        }
        entries[index].problem = BenchmarkRun.judge(
          result, by: contestant, expected: expected, timeout: timeout)
        if entries[index].problem == nil {
          expected = expected ?? Contestant.checksum(in: result.output)
        }
        entries[index].seconds.append(result.cpuSeconds)
        entries[index].residentBytes = max(entries[index].residentBytes, result.residentBytes)
      }
    }
    let sum = expected.map { String($0, radix: 16) } ?? ""
    return BenchmarkReport.Row(
      name: kernel.name, group: isStart ? "" : "kernels",
      checksum: String(repeating: "0", count: max(0, 8 - sum.count)) + sum, entries: entries)
  }

  /// What is wrong with a run, or nil.
  static func judge(
    _ result: HostProcess.Result, by contestant: Contestant, expected: UInt32?, timeout: Double
  ) -> String? {
    if result.timedOut { return "not done after \(Int(timeout)) s" }
    guard let sum = Contestant.checksum(in: result.output) else {
      let text = String(decoding: result.output + result.error, as: UTF8.self)
      let line = text.split(whereSeparator: \.isNewline).last.map(String.init) ?? ""
      return "no checksum; exit code \(result.code) \(line.prefix(200))"
    }
    if let expected, sum != expected {
      return "checksum \(String(sum, radix: 16)), not \(String(expected, radix: 16))"
    }
    return contestant.isGood(result.code) ? nil : "exit code \(result.code)"
  }

  // MARK: Linux

  private func rows(
    for linux: LinuxWorkload, progress: (String) -> Void
  ) throws -> [BenchmarkReport.Row] {
    let disk = try linux.disk(with: tools)
    let names = ["boot"] + LinuxWorkload.pieces
    var rows = names.map { name in
      BenchmarkReport.Row(
        name: "linux \(name)", group: "Linux", entries: contestants.map { _ in .init() })
    }
    var busybox: String?
    if let bytes = linux.busybox, contestants.contains(where: \.isNative) {
      let path = "\(tools.folder)/busybox"
      do { try HostFiles.writeAtomically(path, bytes) } catch {
        throw BenchmarkError("\(path): \(error)")
      }
      HostProcess.allowExecution(path)
      busybox = path
    }
    // What the work printed: the same for all.
    var sums: [String: String] = [:]
    for run in 1...max(1, runs) {
      for (index, contestant) in contestants.enumerated() {
        if rows[0].entries[index].problem != nil { continue }
        progress("linux: \(contestant.name), run \(run) of \(runs)")
        if contestant.isNative {
          try runNatively(busybox, contestant: index, rows: &rows)
          continue
        }
        let arguments = try contestant.arguments(
          image: disk.path, cylinders: disk.cylinders, folder: tools.folder, serial: true)
        var marks: [(name: String, time: Double)] = []
        var wrong: String?
        let result: HostProcess.Result
        do {
          result = try HostProcess.run(arguments, folder: tools.folder, timeout: timeout) {
            line, time in
            // The kernel's own messages may stand before ours on a line.
            guard let start = line.firstRange(of: "bench: ") else { return true }
            let words = line[start.upperBound...].split(separator: " ")
            if words.first == "sum" && words.count >= 3 {
              let (name, sum) = (String(words[1]), String(words[2]))
              if let known = sums[name], known != sum {
                wrong = "\(name) gave \(sum), not \(known)"
              }
              sums[name] = sums[name] ?? sum
            }
            if words.first == "mark" && words.count >= 2 {
              marks.append((String(words[1]), time))
              return words[1] != "end"
            }
            return true
          }
        } catch {
          rows[0].entries[index].problem = "\(error)"
          continue
        }
        if result.timedOut { wrong = "not done after \(Int(timeout)) s" }
        if wrong == nil && marks.map(\.name) != LinuxWorkload.pieces + ["end"] {
          let text = String(decoding: result.output + result.error, as: UTF8.self)
          let line = text.split(whereSeparator: \.isNewline).last.map(String.init) ?? ""
          wrong = "ended early with exit code \(result.code): \(line.prefix(200))"
        }
        if let wrong {
          rows[0].entries[index].problem = wrong
          continue
        }
        var before = 0.0
        for (row, mark) in marks.enumerated() {
          rows[row].entries[index].seconds.append(mark.time - before)
          before = mark.time
        }
        rows[0].entries[index].residentBytes = result.residentBytes
      }
    }
    return rows
  }

  private func runNatively(
    _ busybox: String?, contestant: Int, rows: inout [BenchmarkReport.Row]
  ) throws {
    guard let busybox else { return }
    for (row, piece) in LinuxWorkload.pieces.enumerated() {
      do {
        let result = try HostProcess.run(
          [
            busybox, "env", "BUSYBOX=\(busybox)", "WORK=\(tools.folder)", busybox, "sh",
            "workload.sh", piece,
          ], folder: tools.folder, timeout: timeout)
        rows[row + 1].entries[contestant].seconds.append(result.cpuSeconds)
        if result.code != 0 {
          rows[row + 1].entries[contestant].problem = "exit code \(result.code)"
        }
      } catch { rows[row + 1].entries[contestant].problem = "\(error)" }
    }
  }
}
