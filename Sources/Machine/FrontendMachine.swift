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

  /// The mouse moved (right and down are positive) or its wheel or buttons did.
  /// - Parameter buttons: those held now: bit 0 left, 1 right, 2 middle.
  func postMouse(dx: Int, dy: Int, wheel: Int, buttons: UInt8)

  /// Text to be entered as keystrokes.
  func paste(_ text: String)

  /// What the window's title says of the machine: what runs, how fast.
  var titleStatus: String { get }

  /// Whether the machine still runs. The front end ends when it does not.
  var isRunning: Bool { get }

  /// Asks the machine to flush and end; `isRunning` becomes false soon after.
  func requestStop()

  /// Asks the machine to stop for its debugger, if it has one.
  func breakIntoDebugger()

  /// Fills a buffer with the next samples of the speaker, mono, signed 16 bit. Called by the sound thread: must not wait.
  func speakerSamples(into buffer: UnsafeMutableBufferPointer<Int16>, rate: Int)
}

extension FrontendMachine {
  public var hasMouse: Bool { false }
  public func postMouse(dx: Int, dy: Int, wheel: Int, buttons: UInt8) {}
  public func paste(_ text: String) {}
  public func breakIntoDebugger() {}
  public func speakerSamples(into buffer: UnsafeMutableBufferPointer<Int16>, rate: Int) {
    buffer.update(repeating: 0)
  }
}
