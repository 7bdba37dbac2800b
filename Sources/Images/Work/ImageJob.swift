// Work that takes its time: how far it is, and that somebody does not want it any more.
//
// Owns: progress with rate and time left, cancellation. Must not know: what the work is, who shows it.

import Host
import Synchronization

/// How far work is.
public struct ImageProgress: Equatable, Sendable {
  /// Bytes of the disk that are dealt with, and all of them.
  public var done: UInt64
  public var total: UInt64
  /// Bytes a second over the last seconds.
  public var rate: Double
  /// Seconds; nil: nobody can tell yet.
  public var secondsLeft: Double?

  public init(done: UInt64, total: UInt64, rate: Double, secondsLeft: Double?) {
    (self.done, self.total) = (done, total)
    (self.rate, self.secondsLeft) = (rate, secondsLeft)
  }

  /// 0 to 1.
  public var share: Double { total == 0 ? 1 : min(1, Double(done) / Double(total)) }

  /// A line of a terminal, as in "  41.3 %  1.2 GiB/s  0:07 left".
  public var text: String {
    let percent = Int((share * 1000).rounded(.down))
    var line = "\(percent / 10).\(percent % 10) %"
    if rate > 0 { line += "  \(ImageSize.text(UInt64(rate)))/s" }
    if let secondsLeft {
      let seconds = Int(min(secondsLeft, 359_999).rounded(.up))
      let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60)
      func two(_ n: Int) -> String { n < 10 ? "0\(n)" : "\(n)" }
      line +=
        "  " + (hours > 0 ? "\(hours):\(two(minutes))" : "\(minutes)") + ":\(two(rest)) left"
    }
    return line
  }
}

/// Somebody cancelled the work.
public struct ImageCancelled: Error, CustomStringConvertible {
  public init() {}
  public var description: String { "cancelled" }
}

/// One piece of work, as whoever started it sees it.
public final class ImageJob: Sendable {
  private let cancelled = Atomic<Bool>(false)
  /// Hears of progress, some times a second, on the thread that does the work.
  private let report: (@Sendable (ImageProgress) -> Void)?

  /// Nanoseconds between two reports at least.
  private let interval: UInt64

  public init(
    interval: UInt64 = 100_000_000, report: (@Sendable (ImageProgress) -> Void)? = nil
  ) {
    self.interval = interval
    self.report = report
  }

  /// The work ends soon, with `ImageCancelled`; from any thread.
  public func cancel() { cancelled.store(true, ordering: .relaxed) }

  /// - Throws: `ImageCancelled`.
  public func check() throws {
    if cancelled.load(ordering: .relaxed) { throw ImageCancelled() }
  }

  /// Begins to measure.
  func meter(total: UInt64) -> ImageMeter { ImageMeter(self, total: total, interval, report) }
}

/// Measures one piece of work; used by one thread.
final class ImageMeter {
  private let job: ImageJob
  private let report: (@Sendable (ImageProgress) -> Void)?
  private let total: UInt64
  /// When how much was done, over the last seconds.
  private var marks: [(time: UInt64, done: UInt64)]
  private var told: UInt64 = 0
  private let interval: UInt64
  private static let window = 40

  init(
    _ job: ImageJob, total: UInt64, _ interval: UInt64,
    _ report: (@Sendable (ImageProgress) -> Void)?
  ) {
    self.job = job
    self.interval = interval
    self.report = report
    self.total = total
    marks = [(HostClock.nanoseconds(), 0)]
  }

  /// Says how much is done.
  /// - Throws: `ImageCancelled`.
  func update(_ done: UInt64, isLast: Bool = false) throws {
    if !isLast { try job.check() }
    guard let report else { return }
    let now = HostClock.nanoseconds()
    if now - told < interval && !isLast { return }
    told = now
    marks.append((now, done))
    if marks.count > ImageMeter.window { marks.removeFirst() }
    let (first, last) = (marks[0], marks[marks.count - 1])
    let seconds = Double(last.time - first.time) / 1e9
    let rate = seconds > 0 ? Double(last.done - min(first.done, last.done)) / seconds : 0
    report(
      ImageProgress(
        done: done, total: total, rate: rate,
        secondsLeft: rate > 0 && total >= done ? Double(total - done) / rate : nil))
  }
}
