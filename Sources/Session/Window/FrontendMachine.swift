// What a window needs from a machine.
//
// Owns: the protocol between a front end on the main thread and a machine on its own. Must not know: any window system.

import Video

/// Something a user asks for that is no key of the guest's.
public enum FrontendRequest: Equatable, Sendable {
  /// Stop for the debugger, if there is one.
  case debugger
  /// Hold the machine still, or let it go on.
  case pause(Bool)
  /// The reset button.
  case reset
  /// The power button.
  case powerButton
  /// The whole state into a file.
  case saveState(directory: String)
  /// A snapshot of the machine with its disks.
  case takeSnapshot
  /// The machine becomes what it was at the snapshot that it comes from.
  case goBack
  /// The text of the screen, which comes back as a message.
  case copyText
  /// An image file into a floppy drive (0: A).
  case insert(drive: Int, path: String)
  /// The next of the disks that were named for a drive.
  case nextDisk(drive: Int)
  /// The disk out of a drive.
  case eject(drive: Int)
  /// A CD image into a CD drive (0: the first).
  case insertCD(drive: Int, path: String)
  /// The next of the discs that were named, into the CD drive that is chosen: at first the first one.
  case nextCD
  /// Another CD drive is chosen.
  case otherCDDrive
  /// Files that were dropped: each goes into the drive that it is for, several of a kind take turns from now on.
  /// - Parameter toSecond: into drive B or the second CD drive.
  case drop([String], toSecond: Bool)
  /// The disc out of a CD drive; nil: the one that is chosen.
  case ejectCD(drive: Int?)
}

/// What a machine tells its front end.
public enum FrontendMessage: Equatable, Sendable {
  /// A line for the user.
  case notice(String)
  /// A text for the clipboard.
  case copied(String)
}

/// A running machine as a front end sees it. Every member may be called from any thread.
public protocol FrontendMachine: AnyObject, Sendable {
  /// Where the machine puts finished pictures (at most about 60 a second, and only when something changed).
  var frames: FrameMailbox { get }

  /// A key went down or up.
  /// - Parameter keyUsage: the USB HID usage on the keyboard page (04h is A, E0h left Ctrl, ...).
  func post(keyUsage: UInt16, down: Bool)

  /// Whether the guest has a mouse to be moved.
  var hasMouse: Bool { get }

  /// Whether the guest turns the machine off when the power button is pressed.
  var hearsPowerButton: Bool { get }

  /// The mouse moved (right and down are positive), or its wheel (away from the user) or horizontal wheel (right) or buttons did: as windows
  /// count.
  /// - Parameter buttons: those held now: bit 0 left, 1 right, 2 middle, 3 back, 4 forward.
  func postMouse(dx: Int, dy: Int, wheel: Int, horizontal: Int, buttons: UInt8)

  /// Text to be entered as keystrokes.
  func paste(_ text: String)

  /// Asks for something; what comes of it is told by messages.
  func request(_ request: FrontendRequest)

  /// The next message, or nil. After each the mailbox of pictures wakes the front end.
  func takeMessage() -> FrontendMessage?

  /// Has a line told outside the window, too: on standard error.
  func tell(_ line: String)

  /// What the window's title says of the machine: what runs, how fast.
  var titleStatus: String { get }

  /// The name of what runs: a disk's, a kernel's; nil: nothing that has one. It changes with the disk.
  var subject: String? { get }

  /// Whether the machine still runs. The front end ends when it does not.
  var isRunning: Bool { get }

  /// Asks the machine to flush and end; `isRunning` becomes false soon after.
  func requestStop()

  /// Fills a buffer with the next samples of the speaker, mono, signed 16 bit. Called by the sound thread: must not wait.
  func speakerSamples(into buffer: UnsafeMutableBufferPointer<Int16>, rate: Int)
}

extension FrontendMachine {
  public var subject: String? { nil }
  public var hasMouse: Bool { false }
  public var hearsPowerButton: Bool { false }
  public func postMouse(dx: Int, dy: Int, wheel: Int, horizontal: Int, buttons: UInt8) {}
  public func paste(_ text: String) {}
  public func request(_ request: FrontendRequest) {}
  public func takeMessage() -> FrontendMessage? { nil }
  public func tell(_ line: String) {}
  public func speakerSamples(into buffer: UnsafeMutableBufferPointer<Int16>, rate: Int) {
    buffer.update(repeating: 0)
  }
}
