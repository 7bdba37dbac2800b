// Signals of the CRT controller that two of its registers turn on and off.
//
// Owns: the counts at which such a signal is on. Must not know: which signal it is, who counts.
// Follows the IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem": a start value is compared in full, an end value by its
// low bits only, so that a signal goes on past the counter's end until a count has these bits.

/// The counts, of those a counter runs through, at which a signal is on: two ranges, because it may go on past the counter's end.
struct CounterGate: Equatable, Sendable {
  /// From 0 on.
  var low = 0..<0
  /// What begins at the start value.
  var high = 0..<0

  /// A signal that is never on.
  init() {}

  /// - Parameters:
  ///   - start: the count that turns it on; a counter that does not get there never does.
  ///   - end: the bits of the count that turns it off, below those of `mask`.
  ///   - total: how many counts there are.
  ///   - delay: how many counts later it comes (0 or 1).
  init(start: Int, end: Int, mask: Int, total: Int, delay: Int = 0) {
    if start >= total { return }
    let off = start + 1 + ((end - start - 1) & mask)
    if off < total {
      high = start + delay..<off + delay
    } else {
      // Turning on wins where both values are met at once: then it stays on.
      high = min(start + delay, total)..<total
      low = 0..<min(min(end, start) + delay, total)
    }
  }

  /// The same in units of which a count has `factor`.
  func scaled(by factor: Int) -> CounterGate {
    var result = CounterGate()
    result.low = low.lowerBound * factor..<low.upperBound * factor
    result.high = high.lowerBound * factor..<high.upperBound * factor
    return result
  }

  func contains(_ count: Int) -> Bool { low.contains(count) || high.contains(count) }

  /// What lies inside a window, counted from its start.
  func inside(_ window: Range<Int>) -> [Range<Int>] {
    [low, high].map { $0.clamped(to: window) }.filter { !$0.isEmpty }.map {
      $0.lowerBound - window.lowerBound..<$0.upperBound - window.lowerBound
    }
  }
}
