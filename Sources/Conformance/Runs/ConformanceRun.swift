// Runs all files of a selection on several threads.
//
// Owns: the threads, the order of the report (which does not depend on them). Must not know: formats, output.

import Host
import Synchronization

/// A run over vector files.
public final class ConformanceRun: Sendable {
  private struct Progress {
    var next = 0
    var done = 0
    var failed = 0
    /// Threads.
    var ended = 0
    var reports: [Int: FileReport] = [:]
  }

  private let files: [VectorFile]
  private let options: ConformanceOptions
  private let progress = Mutex(Progress())

  public init(files: [VectorFile], options: ConformanceOptions) {
    self.files = files
    self.options = options
  }

  /// Runs everything.
  /// - Parameter watch: called on the calling thread some times a second: files done, of how many, failures so far.
  /// - Throws: `HostError` when the host has no threads.
  public func run(watch: (Int, Int, Int) -> Void = { _, _, _ in }) throws(HostError)
    -> ConformanceReport
  {
    let start = HostClock.nanoseconds()
    let jobs = max(1, min(options.jobs, files.count))
    let finished = HostCondition()
    for _ in 0..<jobs {
      _ = try HostThread(stackSize: 4 << 20, detached: true) { [self] in
        let runner = FileRunner(options)
        while let index = progress.withLock({ progress -> Int? in
          guard progress.next < files.count, !options.isCancelled() else { return nil }
          progress.next += 1
          return progress.next - 1
        }) {
          let report = runner.run(files[index])
          progress.withLock {
            $0.reports[index] = report
            $0.done += 1
            $0.failed += report.failed
          }
          finished.locked { finished.broadcast() }
        }
        progress.withLock { $0.ended += 1 }
        finished.locked { finished.broadcast() }
      }
    }
    while true {
      let (done, failed, ended) = progress.withLock { ($0.done, $0.failed, $0.ended) }
      watch(done, files.count, failed)
      if ended == jobs { break }
      finished.locked {
        if progress.withLock({ $0.done == done && $0.ended == ended }) {
          finished.wait(nanoseconds: 200_000_000)
        }
      }
    }
    var report = ConformanceReport(model: options.model?.name ?? "")
    report.files = progress.withLock { p in (0..<files.count).compactMap { p.reports[$0] } }
    if options.isCancelled() { report.interrupted = true }
    report.seconds = Double(HostClock.nanoseconds() &- start) / 1e9
    return .merged([report])
  }
}
