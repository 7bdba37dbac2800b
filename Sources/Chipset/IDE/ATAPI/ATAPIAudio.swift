// Playing audio tracks: where the head is and what state it is in. Nothing is heard yet.
//
// Owns: the position as a function of virtual time, the play commands. Must not know: registers, samples.
// After: SFF-8020i clause 10.8 (PLAY AUDIO, PAUSE/RESUME, audio status codes), MMC-3 for the same.

import State
import Storage

/// The audio side of a drive.
struct ATAPIAudio: Equatable {
  enum State: UInt8 {
    case none, playing, paused, completed, failed
  }

  private(set) var state = State.none
  /// Where it began, or stands while it pauses.
  private var start = 0
  /// The sector behind the last one.
  private var end = 0
  /// What comes behind it is no audio, although it was to be played.
  private var endsInFailure = false
  /// When it began, in virtual nanoseconds.
  private var since: UInt64 = 0

  private static let nanosecondsPerSecond: UInt64 = 1_000_000_000

  mutating func play(from first: Int, to last: Int, fails: Bool, now: UInt64) {
    (start, end, endsInFailure, since) = (first, last, fails, now)
    state = .playing
  }

  mutating func stop() { state = .none }

  private mutating func update(_ now: UInt64) {
    guard state == .playing else { return }
    let place = playedTo(now)
    if place >= end {
      start = max(end - 1, 0)
      state = endsInFailure ? .failed : .completed
    }
  }

  private func playedTo(_ now: UInt64) -> Int {
    let passed = now &- since
    let seconds = passed / ATAPIAudio.nanosecondsPerSecond
    let rest = passed % ATAPIAudio.nanosecondsPerSecond
    let frames = UInt64(CDAddress.framesPerSecond)
    return start
      &+ Int(min(seconds, 1 << 32) * frames + rest * frames / ATAPIAudio.nanosecondsPerSecond)
  }

  mutating func pause(_ pauses: Bool, now: UInt64) -> Bool {
    update(now)
    switch (state, pauses) {
    case (.playing, true):
      start = playedTo(now)
      state = .paused
    case (.paused, false):
      since = now
      state = .playing
    case (.paused, true), (.playing, false): break
    default: return false
    }
    return true
  }

  /// The head's sector while there is or was something to play; nil: audio has not moved it.
  mutating func position(now: UInt64) -> Int? {
    update(now)
    switch state {
    case .none: return nil
    case .playing: return min(playedTo(now), max(end - 1, 0))
    default: return start
    }
  }

  /// The audio status of READ SUB-CHANNEL; that playing has ended is told once.
  mutating func report(now: UInt64) -> UInt8 {
    update(now)
    switch state {
    case .none: return 0x15
    case .playing: return 0x11
    case .paused: return 0x12
    case .completed:
      state = .none
      return 0x13
    case .failed:
      state = .none
      return 0x14
    }
  }

  func save(to writer: inout StateWriter) {
    writer.write(state.rawValue)
    writer.write(Int64(start))
    writer.write(Int64(end))
    writer.write(endsInFailure)
    writer.write(since)
  }

  mutating func restore(from reader: inout StateReader) throws(StateError) {
    guard let state = State(rawValue: try reader.read()) else {
      throw reader.error("no such state of an audio drive")
    }
    self.state = state
    let limit: ClosedRange<Int64> = -1 << 24...1 << 24
    start = Int(try reader.read(in: limit))
    end = Int(try reader.read(in: limit))
    endsInFailure = try reader.readBool()
    since = try reader.read()
  }
}

extension ATAPIDrive {
  var now: UInt64 { channel?.now ?? 0 }

  func play(_ disc: CDImage, from first: Int, count: Int) {
    // FFFFFFFFh: from where the head is.
    let start = first == 0xFFFF_FFFF ? (audio.position(now: now) ?? head) : first
    play(disc, start, start &+ count)
  }

  func playByTime(_ disc: CDImage) {
    let here = packet[3] == 0xFF && packet[4] == 0xFF && packet[5] == 0xFF
    let named = CDAddress.lba(minutes: packet[3], seconds: packet[4], frames: packet[5])
    guard let start = here ? (audio.position(now: now) ?? head) : named,
      let end = CDAddress.lba(minutes: packet[6], seconds: packet[7], frames: packet[8]),
      end >= start
    else { return fail(.invalidField) }
    play(disc, max(start, 0), max(end, 0))
  }

  func playTracks(_ disc: CDImage) {
    /// Where an index of a track begins; those that the disc has not are its last.
    func start(_ track: CDTrack, _ index: UInt8) -> Int {
      if index <= 1 { return track.start }
      return Int(index) - 2 < track.indices.count
        ? track.indices[Int(index) - 2] : track.indices.last ?? track.start
    }
    guard let first = disc.track(Int(packet[4])) else { return fail(.invalidField) }
    let last = disc.tracks.last { $0.number <= Int(packet[7]) } ?? first
    let begin = start(first, packet[5])
    // The end is that of the index: where the next one, or the track, ends.
    let next = Int(packet[8]) - 1
    let end = packet[8] > 0 && next < last.indices.count ? last.indices[next] : last.end
    if end < begin { return fail(.invalidField) }
    play(disc, begin, end)
  }

  private func play(_ disc: CDImage, _ first: Int, _ last: Int) {
    if disc.isDVD { return fail(.incompatibleMedium) }
    guard first >= 0, first < disc.leadOut, last <= disc.leadOut else { return fail(.outOfRange) }
    // Nothing to play is no mistake, and changes nothing.
    if last <= first { return complete() }
    guard let track = disc.track(at: first), track.kind == .audio else {
      return fail(.wrongTrackMode)
    }
    // Up to the first sector that is not audio; with SOTC to the end of the track.
    var end = track.end
    if !modes.stopsAtTrackEnd {
      while end < last, let next = disc.track(at: end), next.kind == .audio { end = next.end }
    }
    let isWhole = end >= last || modes.stopsAtTrackEnd
    audio.play(from: first, to: min(end, last), fails: !isWhole, now: now)
    head = first
    complete()
  }

  func pauseOrResume() {
    // COMMAND SEQUENCE ERROR: there is nothing to pause.
    if audio.pause(packet[8] & 1 == 0, now: now) { return complete() }
    fail(ATAPISense(5, 0x2C))
  }
}
