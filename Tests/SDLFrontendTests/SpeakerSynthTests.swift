import Chipset
import Testing

@testable import Session

@Suite struct SpeakerSynthTests {
  private let rate = 44_100

  /// Plays `seconds` of sound while virtual time runs `speed` times as fast as real time.
  private func play(
    _ synth: SpeakerSynth, _ changes: [PCSpeaker.Change], seconds: Double, speed: Double = 1
  ) -> [Int16] {
    var left = changes
    var samples: [Int16] = []
    var buffer = [Int16](repeating: 0, count: 441)
    for i in 0..<Int(seconds * 100) {
      let now = UInt64(Double(i + 1) * 1e7 * speed)
      let due = left.firstIndex { $0.time > now } ?? left.count
      synth.push(Array(left[..<due]), until: now)
      left.removeFirst(due)
      buffer.withUnsafeMutableBufferPointer { synth.fill($0, rate: rate) }
      samples += buffer
    }
    return samples
  }

  private func risings(_ samples: some Collection<Int16>) -> Int {
    zip(samples, samples.dropFirst()).count { $0 < 0 && $1 >= 0 }
  }

  @Test func aToneHasItsFrequency() {
    // Divisor 1193: 1000.15 Hz.
    let tone = PCSpeaker.Change(
      time: 0, shape: .square(startsHigh: true, highPulses: 597, lowPulses: 596))
    let samples = play(SpeakerSynth(), [tone], seconds: 2)
    let second = samples.suffix(rate)
    #expect(abs(risings(second) - 1000) <= 10)
    #expect(second.max()! > 3_000)
    #expect(second.min()! < -3_000)
  }

  @Test func timeSlightlyFastOrSlowIsFollowedWithoutGaps() {
    let tone = PCSpeaker.Change(
      time: 0, shape: .square(startsHigh: true, highPulses: 597, lowPulses: 596))
    for speed in [0.99, 1.01] {
      let samples = play(SpeakerSynth(), [tone], seconds: 4, speed: speed)
      // No stretch of 2 ms without a rise: the tone never stops.
      var quiet = 0
      var longest = 0
      let tail = Array(samples.dropFirst(rate / 5))
      for (a, b) in zip(tail, tail.dropFirst()) {
        quiet = a < 0 && b >= 0 ? 0 : quiet + 1
        longest = max(longest, quiet)
      }
      #expect(longest < rate / 500)
    }
  }

  @Test func aConstantLevelBecomesSilence() {
    let samples = play(
      SpeakerSynth(), [PCSpeaker.Change(time: 100_000_000, shape: .level(true))], seconds: 1)
    #expect(samples.contains { $0 > 4_000 })
    #expect(samples.suffix(4_410).allSatisfy { abs($0) < 50 })
  }

  @Test func toggledLevelsMakeAToneToo() {
    var changes: [PCSpeaker.Change] = []
    for i in 0..<UInt64(1_000) {
      changes.append(PCSpeaker.Change(time: i * 1_000_000, shape: .level(i % 2 == 0)))
    }
    let samples = play(SpeakerSynth(), changes, seconds: 1)
    #expect(abs(risings(samples[11_025..<33_075]) - 250) <= 3)
  }

  @Test func tooFastAndTooSlowMachinesDoNotBreakIt() {
    let tone = PCSpeaker.Change(
      time: 0, shape: .square(startsHigh: false, highPulses: 100, lowPulses: 100))
    _ = play(SpeakerSynth(), [tone], seconds: 1, speed: 50)
    _ = play(SpeakerSynth(), [tone], seconds: 1, speed: 0.01)
    let synth = SpeakerSynth()
    _ = play(synth, [tone], seconds: 0.5)
    synth.push([], until: 5)
    _ = play(synth, [tone], seconds: 0.5)
    var few: [Int16] = [1, 2]
    few.withUnsafeMutableBufferPointer { synth.fill($0, rate: 0) }
    #expect(few == [0, 0])
    let odd = PCSpeaker.Change(
      time: .max, shape: .square(startsHigh: true, highPulses: 0, lowPulses: 0))
    synth.push([odd], until: .max)
    few.withUnsafeMutableBufferPointer { synth.fill($0, rate: 44_100) }
  }
}
