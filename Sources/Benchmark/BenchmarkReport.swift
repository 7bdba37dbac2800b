// What was measured, and what follows from it: medians, ratios, means, a table, bars of characters.
//
// Owns: the arithmetic and the text. Must not know: how anything was measured.

/// Results of all contestants.
public struct BenchmarkReport: Sendable {
  /// What one contestant took for one piece of work.
  public struct Entry: Sendable {
    /// Processor seconds of each run.
    public var seconds: [Double] = []
    /// The largest resident set in bytes.
    public var residentBytes = 0
    /// Why there is no (valid) result.
    public var problem: String?
    /// It does not take part in this.
    public var isLeftOut = false

    public init(seconds: [Double] = [], problem: String? = nil, isLeftOut: Bool = false) {
      (self.seconds, self.problem, self.isLeftOut) = (seconds, problem, isLeftOut)
    }

    /// The middle of the runs, or nil without a valid one.
    public var median: Double? {
      guard problem == nil, !seconds.isEmpty, seconds.allSatisfy(\.isFinite) else { return nil }
      let sorted = seconds.sorted()
      let middle = sorted.count / 2
      return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
  }

  /// A piece of work.
  public struct Row: Sendable {
    public var name: String
    /// Rows of a group have a mean of their own; those without one have none.
    public var group: String
    /// The checksum that every contestant must have; shown only.
    public var checksum: String
    /// One for each contestant.
    public var entries: [Entry]

    public init(name: String, group: String, checksum: String = "", entries: [Entry]) {
      (self.name, self.group, self.checksum, self.entries) = (name, group, checksum, entries)
    }
  }

  /// Their names.
  public var contestants: [String]
  /// What they say about themselves.
  public var versions: [String]
  /// Which of them are Apus: the numerators of ratios.
  public var subjects: [Int]
  public var rows: [Row] = []
  /// A word on how it was measured.
  public var caption = ""

  public init(contestants: [String], versions: [String], subjects: [Int]) {
    (self.contestants, self.versions, self.subjects) = (contestants, versions, subjects)
  }

  /// Pairs of which ratios are shown: each of Apus's engines with each other program.
  public var pairs: [(subject: Int, reference: Int)] {
    let others = contestants.indices.filter { !subjects.contains($0) }
    return subjects.flatMap { subject in others.map { (subject, $0) } }
  }

  /// Time of the subject by that of the reference, or nil when either is missing.
  public func ratio(_ row: Row, _ pair: (subject: Int, reference: Int)) -> Double? {
    guard let a = row.entries[pair.subject].median, let b = row.entries[pair.reference].median,
      a > 0, b > 0
    else { return nil }
    return a / b
  }

  /// The geometric mean of a group's ratios, or nil when there is none.
  public func mean(_ group: String, _ pair: (subject: Int, reference: Int)) -> Double? {
    let ratios = rows.filter { $0.group == group }.compactMap { ratio($0, pair) }
    guard !ratios.isEmpty else { return nil }
    // The n-th root of the product by halving, without the host's libm: exact to the last shown digit.
    return root(ratios.reduce(1, *), ratios.count)
  }

  private func root(_ value: Double, _ count: Int) -> Double {
    var (low, high) = (0.0, max(1, value))
    for _ in 0..<200 {
      let middle = (low + high) / 2
      var power = 1.0
      for _ in 0..<count { power *= middle }
      if power < value { low = middle } else { high = middle }
    }
    return high
  }

  /// The groups in the order of their rows.
  public var groups: [String] {
    rows.reduce(into: []) {
      if !$1.group.isEmpty && !$0.contains($1.group) { $0.append($1.group) }
    }
  }

  /// Everything that went wrong, one line each.
  public var problems: [String] {
    rows.flatMap { row in
      row.entries.enumerated().compactMap { index, entry in
        entry.problem.map { "\(row.name), \(contestants[index]): \($0)" }
      }
    }
  }

  // MARK: Text

  /// A number with three digits behind the point, fewer for large ones.
  public static func digits(_ value: Double) -> String {
    guard value.isFinite, value >= 0, value < 1e12 else { return "-" }
    let places = value < 10 ? 3 : value < 100 ? 2 : 1
    let scale = [1, 10, 100, 1000][places]
    let scaled = Int((value * Double(scale)).rounded())
    let fraction = String(scaled % scale)
    return "\(scaled / scale)." + String(repeating: "0", count: places - fraction.count) + fraction
  }

  static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
  static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  /// The table: seconds, ratios, means.
  public func table() -> String {
    var lines: [[String]] = []
    let pairNames = pairs.map { "\(contestants[$0.subject])/\(contestants[$0.reference])" }
    lines.append(["CPU seconds"] + contestants + pairNames)
    for row in rows {
      let times = row.entries.map { entry in
        entry.median.map(BenchmarkReport.digits) ?? (entry.problem == nil ? "-" : "failed")
      }
      let ratios = pairs.map { ratio(row, $0).map(BenchmarkReport.digits) ?? "-" }
      lines.append([row.name] + times + ratios)
    }
    if !pairs.isEmpty {
      for group in groups {
        let means = pairs.map { mean(group, $0).map(BenchmarkReport.digits) ?? "-" }
        lines.append(
          ["geometric mean, \(group)"] + contestants.map { _ in "" } + means)
      }
    }
    let widths = lines[0].indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
      line.enumerated().map { column, cell in
        column == 0
          ? BenchmarkReport.left(cell, widths[0]) : BenchmarkReport.right(cell, widths[column])
      }.joined(separator: "  ")
    }.joined(separator: "\n")
  }

  /// The times as bars; each step of a bar is the same factor.
  public func bars(width: Int = 48) -> String {
    let all = rows.flatMap { $0.entries.compactMap(\.median) }.filter { $0 > 0 }
    guard let low = all.min(), let high = all.max() else { return "" }
    let scale = LogScale(low: low, high: high)
    let first = rows.map(\.name.count).max() ?? 0
    let second = contestants.map(\.count).max() ?? 0
    var lines: [String] = []
    for row in rows {
      var name = row.name
      for (index, entry) in row.entries.enumerated() {
        guard let time = entry.median else { continue }
        let count = 1 + Int((scale.position(time) * Double(width - 1)).rounded())
        let mark = subjects.contains(index) ? "#" : "="
        lines.append(
          BenchmarkReport.left(name, first) + "  "
            + BenchmarkReport.left(contestants[index], second) + "  "
            + String(repeating: mark, count: count) + " " + BenchmarkReport.digits(time))
        name = ""
      }
    }
    return lines.joined(separator: "\n")
  }
}

/// Positions between 0 and 1 by the logarithm of a value.
struct LogScale {
  let low: Double
  let high: Double

  /// - Parameters: positive; the ends of the scale.
  init(low: Double, high: Double) {
    self.low = max(low, 1e-9)
    self.high = max(high, self.low * 1.0001)
  }

  func position(_ value: Double) -> Double {
    let place = LogScale.log2(value / low) / LogScale.log2(high / low)
    return min(1, max(0, place))
  }

  /// Binary logarithm; exponent and a series for the rest (good to 1e-9, plenty for a picture).
  static func log2(_ value: Double) -> Double {
    guard value > 0, value.isFinite else { return 0 }
    let m = value.significand
    let t = (m - 1) / (m + 1)
    var (term, sum) = (t, 0.0)
    for n in stride(from: 1, to: 40, by: 2) {
      sum += term / Double(n)
      term *= t * t
    }
    return Double(value.exponent) + 2 * sum / 0.693_147_180_559_945_3
  }
}
