// What changed while the beam drew: colour bars, split palettes, modes that change between lines.
//
// Owns: the changes of the frame that is being drawn and of the one before, and the choice whether pictures follow them.
// Must not know: pixels, ports. Nothing of it reaches the guest, and saved states are without it: after a frame it is as it was.

/// A register's change and the first scan line that shows it.
struct RasterChange: Sendable {
  var line: Int32
  var register: PictureRegister
  var old: UInt32
  var new: UInt32
}

/// The changes of two frames.
///
/// A picture is drawn from memory and registers as they are, unless registers change in the midst of frames one after the other:
/// then it shows the last whole frame line by line. A single change, a mode that is set or a colour, is not an effect, and the picture
/// has it at once. Start addresses are not among the changes, for the CRT controller takes them over between frames only.
struct RasterLog: Sendable {
  /// More changes in a frame than this are too many to follow.
  private static let capacity = 8192

  private struct Entry: Sendable {
    var changes: [RasterChange] = []
    /// Whether any of them can be seen, before the frame's last line.
    var isSeen = false

    mutating func clear() {
      changes.removeAll(keepingCapacity: true)
      isSeen = false
    }
  }

  /// The number of the frame that `current` belongs to.
  private var frame: UInt64 = 0
  private var current = Entry()
  private var previous = Entry()
  private var olderIsSeen = false

  mutating func note(_ change: RasterChange, frame: UInt64, isSeen: Bool) {
    if frame != self.frame {
      let isNext = frame == self.frame &+ 1
      olderIsSeen = isNext && previous.isSeen
      swap(&previous, &current)
      current.clear()
      if !isNext { previous.clear() }
      self.frame = frame
    }
    if current.changes.count >= RasterLog.capacity { return }
    current.changes.append(change)
    if isSeen { current.isSeen = true }
  }

  /// The number of the frame that a picture at a time in frame `now` follows line by line, or nil.
  func followed(now: UInt64) -> UInt64? {
    let follows =
      switch now {
      case frame: previous.isSeen && olderIsSeen
      case frame &+ 1: current.isSeen && previous.isSeen
      default: false
      }
    let whole = now == frame ? previous : current
    return follows && whole.changes.count < RasterLog.capacity
      && current.changes.count < RasterLog.capacity ? now &- 1 : nil
  }

  /// The changes of the frame that is followed, after `registers` have been put back to its beginning.
  func changes(now: UInt64, from registers: inout PictureRegisters) -> [RasterChange] {
    var whole = current.changes
    if now == frame {
      for change in current.changes.reversed() { registers.set(change.register, change.old) }
      whole = previous.changes
    }
    for change in whole.reversed() { registers.set(change.register, change.old) }
    return whole
  }
}
