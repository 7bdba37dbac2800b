// The speaker's way from virtual time to the host's sound card.
//
// Owns: the short queue between the machine's thread and the sound thread, and the matching of their two clocks. Must not know: sound
// hardware, the timer. Nothing of it reaches back into the machine.
//
// The two clocks never agree exactly. The synthesizer plays a little behind virtual time and takes in up to 2 % more or less of it for each
// sample, so that the distance stays the same. When virtual time runs away (a machine faster than real time) it jumps; when virtual time
// falls short it is silent until there is enough again.

import Chipset
import Synchronization

/// Makes samples of what the speaker does. Safe from any thread: one feeds it, another plays.
public final class SpeakerSynth: Sendable {
  /// How far behind virtual time the sound plays, in nanoseconds.
  static let delay: UInt64 = 60_000_000
  /// From this distance on it jumps.
  static let farBehind: UInt64 = 250_000_000
  /// The height of a full swing of the cone.
  static let amplitude: Float = 9_000
  private static let capacity = 32_768

  private struct State {
    var changes: [PCSpeaker.Change] = []
    /// Virtual time up to which everything is known.
    var known: UInt64 = 0
    /// Virtual time of the next sample.
    var position: UInt64 = 0
    var playing = false
    var renderer: SpeakerRenderer?
    /// The filter that takes the constant part away, as the coupling of a real speaker does.
    var lastInput: Float = 0
    var lastOutput: Float = 0
  }
  private let state = Mutex(State())

  public init() {}

  /// Takes what `PCSpeaker.drain(until:)` gave.
  /// - Parameter time: the virtual time it was drained to; call this at least every 20 virtual milliseconds, also without changes.
  public func push(_ changes: [PCSpeaker.Change], until time: UInt64) {
    state.withLock { state in
      if time < state.known {
        // A state was loaded: virtual time went back.
        state.changes = []
        state.playing = false
      }
      state.changes.append(contentsOf: changes)
      if state.changes.count > SpeakerSynth.capacity {
        state.changes.removeFirst(state.changes.count - SpeakerSynth.capacity / 2)
      }
      state.known = time
    }
  }

  /// Fills a buffer with the next samples, mono.
  /// - Parameter rate: samples a second, 1,000 to 1,000,000; the same in every call.
  public func fill(_ buffer: UnsafeMutableBufferPointer<Int16>, rate: Int) {
    guard (1_000...1_000_000).contains(rate), !buffer.isEmpty else {
      buffer.update(repeating: 0)
      return
    }
    state.withLock { SpeakerSynth.fill(buffer, rate, &$0) }
  }

  private static func fill(
    _ buffer: UnsafeMutableBufferPointer<Int16>, _ rate: Int, _ state: inout State
  ) {
    let span = UInt64(buffer.count) * 1_000_000_000 / UInt64(rate)
    // Never start with less than what one buffer takes.
    let delay = max(delay, span * 2)
    if !state.playing, state.known > delay {
      state.position = state.known - delay
      state.playing = true
    }
    var distance = state.known &- state.position
    if state.playing, distance > max(farBehind, delay * 2) {
      state.position = state.known - delay
      distance = delay
    }
    var stretch = 1.0
    if state.playing {
      let error = (Double(distance) - Double(delay)) / Double(delay)
      stretch = 1 + min(max(error * 0.04, -0.02), 0.02)
      if Double(distance) < Double(span) * stretch { state.playing = false }
    }
    guard state.playing else {
      // Decay from wherever the cone was instead of clicking.
      for i in buffer.indices {
        state.lastOutput *= 0.99
        buffer[i] = Int16(state.lastOutput)
      }
      return
    }
    var renderer = state.renderer ?? SpeakerRenderer(sampleRate: rate)
    // The same arithmetic as the renderer's: a change it does not reach must stay.
    let taken = 1e9 / Double(rate) * stretch * Double(buffer.count)
    let end = Double(state.position) + taken
    let due = state.changes.firstIndex { Double($0.time) >= end } ?? state.changes.count
    if due == 0, let level = renderer.level, level * amplitude == state.lastInput,
      abs(state.lastOutput) < 1
    {
      // Silence, most of the time.
      state.lastOutput = 0
      state.renderer = renderer
      state.position &+= UInt64(taken.rounded())
      buffer.update(repeating: 0)
      return
    }
    let samples = renderer.render(
      Array(state.changes[..<due]), from: state.position, count: buffer.count, stretch: stretch)
    state.changes.removeFirst(due)
    state.renderer = renderer
    state.position &+= UInt64(taken.rounded())
    for (i, sample) in samples.enumerated() {
      let input = sample * amplitude
      state.lastOutput = input - state.lastInput + 0.996 * state.lastOutput
      state.lastInput = input
      buffer[i] = Int16(max(-32_768, min(32_767, state.lastOutput)))
    }
  }
}
