// The newest picture, handed from the machine's thread to whoever shows it.
//
// Owns: two frames that are swapped, so that neither side allocates or waits long. Must not know: threads' purposes, windows.

import Synchronization

/// Holds the newest finished picture. Safe from any thread.
public final class FrameMailbox: Sendable {
  private struct Slot {
    var frame = Frame(width: 640, height: 480)
    var sequence: UInt64 = 0
    var onPublish: (@Sendable () -> Void)?
  }
  private let slot = Mutex(Slot())

  public init() {}

  /// Takes over a finished picture and gives back an old one, whose buffer is to be used for the next.
  public func publish(_ frame: inout Frame) {
    let notice = slot.withLock { slot in
      swap(&slot.frame, &frame)
      slot.sequence &+= 1
      return slot.onPublish
    }
    notice?()
  }

  /// Has `notice` called on the publisher's thread after each picture; it must not wait.
  public func onPublish(_ notice: (@Sendable () -> Void)?) {
    slot.withLock { $0.onPublish = notice }
  }

  /// Calls the notice without a picture: something else is to be looked at.
  public func wake() { slot.withLock { $0.onPublish }?() }

  /// The number of pictures published so far; a change means there is something new to show.
  public var sequence: UInt64 { slot.withLock { $0.sequence } }

  /// Calls `body` with the newest picture and its sequence number. The publisher waits meanwhile: be quick.
  public func withLatest<R: Sendable>(_ body: (borrowing Frame, UInt64) -> R) -> R {
    slot.withLock { body($0.frame, $0.sequence) }
  }

  /// A copy of the newest picture.
  public func latest() -> Frame { slot.withLock { $0.frame } }
}
