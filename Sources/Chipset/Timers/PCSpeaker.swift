// What the PC speaker does, for a front end that makes sound of it.
//
// Owns: a bounded queue of changes in virtual time, in which a whole tone is one entry, and its rendering to samples. Must not know: the
// timer's registers, sound hardware. It never influences the guest and is not part of the state.

/// The speaker's cone as a sequence of changes.
public final class PCSpeaker {
  /// What the cone does from a moment on.
  public enum Shape: Equatable, Sendable {
    /// Stays where it is.
    case level(Bool)
    /// Alternates, each half lasting a number of timer pulses (1/1,193,182 s).
    case square(startsHigh: Bool, highPulses: UInt32, lowPulses: UInt32)
  }

  /// One entry of the queue.
  public struct Change: Equatable, Sendable {
    /// Virtual nanoseconds since power-on.
    public var time: UInt64
    public var shape: Shape
    public init(time: UInt64, shape: Shape) {
      self.time = time
      self.shape = shape
    }
  }

  /// At most this many changes wait; the oldest are lost first.
  public static let capacity = 16384

  private var queue: [Change] = []
  /// How many changes were lost because nobody drained the queue.
  public private(set) var lost: UInt64 = 0
  /// The latest change handed out, which still holds.
  public private(set) var current = Change(time: 0, shape: .level(false))

  /// Whether changes are kept; see `PIT8254.recordSpeaker`.
  public internal(set) var isRecording = false {
    didSet { if !isRecording { queue = [] } }
  }

  init() {}

  /// Replaces whatever was foreseen from `time` on.
  func replace(from time: UInt64, with changes: [Change]) {
    while let last = queue.last, last.time >= time { queue.removeLast() }
    if let first = changes.first, changes.count == 1, first.shape == (queue.last ?? current).shape,
      case .level = first.shape
    {
      return
    }
    queue.append(contentsOf: changes)
    if queue.count > PCSpeaker.capacity {
      let excess = queue.count - PCSpeaker.capacity / 2
      lost &+= UInt64(excess)
      queue.removeFirst(excess)
    }
  }

  /// Takes the changes up to a virtual time, the oldest first. Later ones stay: they are foreseen and may still be replaced.
  public func drain(until time: UInt64) -> [Change] {
    let count = queue.firstIndex { $0.time > time } ?? queue.count
    let taken = Array(queue[..<count])
    queue.removeFirst(count)
    if let last = taken.last { current = last }
    return taken
  }
}

/// Turns the speaker's changes into samples; a value a sound thread can own.
public struct SpeakerRenderer: Sendable {
  /// Samples a second.
  public let sampleRate: Int
  private var shape = PCSpeaker.Shape.level(false)
  private var since: UInt64 = 0

  /// Where the cone stays until the next change; nil: it moves.
  public var level: Float? {
    if case .level(let isOut) = shape { isOut ? 1 : 0 } else { nil }
  }

  /// - Parameter sampleRate: 1 to 1,000,000.
  public init(sampleRate: Int) {
    precondition((1...1_000_000).contains(sampleRate))
    self.sampleRate = sampleRate
  }

  /// Renders `count` samples beginning at a virtual time: the share of each sample's duration that the cone is out, 0 to 1.
  /// - Parameters:
  ///   - changes: What `PCSpeaker.drain` gave for this span; entries before `start` are caught up with.
  ///   - stretch: How much virtual time a sample takes in, as a multiple of its duration; more than 0.
  public mutating func render(
    _ changes: [PCSpeaker.Change], from start: UInt64, count: Int, stretch: Double = 1
  ) -> [Float] {
    var samples: [Float] = []
    samples.reserveCapacity(max(0, count))
    var next = 0
    var from = Double(start)
    let step = 1e9 / Double(sampleRate) * stretch
    for i in 0..<max(0, count) {
      let to = Double(start) + step * Double(i + 1)
      var at = from
      var high = 0.0
      while next < changes.count, Double(changes[next].time) < to {
        let change = Double(changes[next].time)
        if change > at {
          high += highTime(at, change)
          at = change
        }
        shape = changes[next].shape
        since = changes[next].time
        next += 1
      }
      high += highTime(at, to)
      samples.append(level.flatMap { at == from ? $0 : nil } ?? Float(high / step))
      from = to
    }
    return samples
  }

  /// For how many nanoseconds of a span under the present shape the cone is out.
  private func highTime(_ from: Double, _ to: Double) -> Double {
    switch shape {
    case .level(let level): return level ? to - from : 0
    case .square(let startsHigh, let highPulses, let lowPulses):
      let pulse = 1e9 / Double(PIT8254.frequency)
      let first = Double(startsHigh ? highPulses : lowPulses) * pulse
      let period = (Double(highPulses) + Double(lowPulses)) * pulse
      if period <= 0 { return 0 }
      func integral(_ t: Double) -> Double {
        if t <= 0 { return 0 }
        let whole = (t / period).rounded(.down)
        let rest = t - whole * period
        return startsHigh
          ? whole * first + min(rest, first)
          : whole * (period - first) + max(0, rest - first)
      }
      return integral(to - Double(since)) - integral(from - Double(since))
    }
  }
}
