// What a window needs from a machine.
//
// Owns: the protocol between a front end on the main thread and a machine on its own. Must not know: any window system.

import Video

/// A running machine as a front end sees it. Every member may be called from any thread.
public protocol FrontendMachine: AnyObject, Sendable {
  /// Where the machine puts finished pictures (at most about 60 a second, and only when something changed).
  var frames: FrameMailbox { get }

  /// A key went down or up.
  /// - Parameter keyUsage: the USB HID usage on the keyboard page (04h is A, E0h left Ctrl, ...).
  func post(keyUsage: UInt16, down: Bool)

  /// Whether the guest has a mouse to be moved.
  var hasMouse: Bool { get }

  /// The mouse moved (right and down are positive) or its wheel (away from the user is positive) or buttons did.
  /// - Parameter buttons: those held now: bit 0 left, 1 right, 2 middle, 3 back, 4 forward.
  func postMouse(dx: Int, dy: Int, wheel: Int, buttons: UInt8)

  /// Text to be entered as keystrokes.
  func paste(_ text: String)

  /// What the window's title says of the machine: what runs, how fast.
  var titleStatus: String { get }

  /// Whether the machine still runs. The front end ends when it does not.
  var isRunning: Bool { get }

  /// Asks the machine to flush and end; `isRunning` becomes false soon after.
  func requestStop()

  /// Asks the machine to stop for its debugger.
  /// - Returns: false when it has none.
  func breakIntoDebugger() -> Bool

  /// Stops time, or lets it go on; true when it stands from now on.
  func togglePause() -> Bool

  /// Presses the reset button.
  func reset()

  /// Puts an image into a floppy drive (0: A, 1: B).
  func insertFloppy(_ path: String, drive: Int)

  /// Puts the next of the known disks into a floppy drive; false when there is no other.
  func nextFloppy(drive: Int) -> Bool

  /// Empties a floppy drive.
  func ejectFloppy(drive: Int)

  /// The text on the screen, or nil in a graphics mode; as it was some milliseconds ago at most.
  func screenText() -> String?

  /// What the machine wants to tell the user, once.
  func takeNotice() -> String?

  /// Fills a buffer with the next samples of the speaker, mono, signed 16 bit. Called by the sound thread: must not wait.
  func speakerSamples(into buffer: UnsafeMutableBufferPointer<Int16>, rate: Int)
}

extension FrontendMachine {
  public var hasMouse: Bool { false }
  public func postMouse(dx: Int, dy: Int, wheel: Int, buttons: UInt8) {}
  public func paste(_ text: String) {}
  public func breakIntoDebugger() -> Bool { false }
  public func togglePause() -> Bool { false }
  public func reset() {}
  public func insertFloppy(_ path: String, drive: Int) {}
  public func nextFloppy(drive: Int) -> Bool { false }
  public func ejectFloppy(drive: Int) {}
  public func screenText() -> String? { nil }
  public func takeNotice() -> String? { nil }
  public func speakerSamples(into buffer: UnsafeMutableBufferPointer<Int16>, rate: Int) {
    buffer.update(repeating: 0)
  }
}
