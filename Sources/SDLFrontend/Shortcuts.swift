// The window's own keys.
//
// Owns: the one table of them, which the handler, the help in the window and `apus --help` read. Must not know: SDL, what carries them out.
// Usages are those of USB HID, keyboard page.

/// What a key combination does to the window instead of reaching the guest.
enum HostCommand: Equatable {
  case help
  case grab
  case fullScreen
  case integerScaling
  case screenshot
  case paste
  case copy
  case pause
  case mute
  case reset
  case saveState
  case takeSnapshot
  case goBack
  case nextDisk(drive: Int)
  case eject(drive: Int)
  case nextCD
  case ejectCD
  case otherCDDrive
  case powerButton
  /// Delete for the guest, for hosts that keep Ctrl+Alt+Del to themselves.
  case sendDelete
  case debugger
}

/// A key of the window.
public struct Shortcut: Sendable {
  /// What has to be held with it.
  enum Modifiers: Equatable {
    case alt
    case controlAlt
    case controlAltShift
  }

  let modifiers: Modifiers
  let usage: UInt16
  let command: HostCommand
  /// How the combination is called.
  public let keys: String
  /// What it does, in a few words.
  public let action: String

  private init(
    _ modifiers: Modifiers, _ usage: UInt16, _ command: HostCommand, _ keys: String,
    _ action: String
  ) {
    self.modifiers = modifiers
    self.usage = usage
    self.command = command
    self.keys = keys
    self.action = action
  }

  /// All of them, as help shows them.
  public static let all: [Shortcut] = [
    Shortcut(.controlAlt, 0x0B, .help, "Ctrl+Alt+H", "this help"),
    Shortcut(.controlAlt, 0x0A, .grab, "Ctrl+Alt+G", "mouse and keyboard to the guest, or back"),
    Shortcut(.alt, 0x28, .fullScreen, "Alt+Enter", "full screen (Ctrl+Alt+F too)"),
    Shortcut(.controlAlt, 0x09, .fullScreen, "Ctrl+Alt+F", ""),
    Shortcut(.controlAlt, 0x0C, .integerScaling, "Ctrl+Alt+I", "pixels at whole multiples only"),
    Shortcut(
      .controlAlt, 0x11, .nextDisk(drive: 0), "Ctrl+Alt+N", "next disk in A; with Shift in B"),
    Shortcut(.controlAltShift, 0x11, .nextDisk(drive: 1), "Ctrl+Alt+Shift+N", ""),
    Shortcut(.controlAlt, 0x08, .eject(drive: 0), "Ctrl+Alt+E", "eject A; with Shift B"),
    Shortcut(.controlAltShift, 0x08, .eject(drive: 1), "Ctrl+Alt+Shift+E", ""),
    Shortcut(.controlAlt, 0x05, .nextCD, "Ctrl+Alt+B", "next CD; with Shift eject it"),
    Shortcut(.controlAltShift, 0x05, .ejectCD, "Ctrl+Alt+Shift+B", ""),
    Shortcut(.controlAlt, 0x0E, .otherCDDrive, "Ctrl+Alt+K", "Ctrl+Alt+B for another CD drive"),
    Shortcut(.controlAlt, 0x19, .paste, "Ctrl+Alt+V", "type the clipboard's text"),
    Shortcut(.controlAlt, 0x06, .copy, "Ctrl+Alt+C", "copy the text of the screen"),
    Shortcut(.controlAlt, 0x16, .screenshot, "Ctrl+Alt+S", "screenshot (apus-N.png)"),
    Shortcut(.controlAlt, 0x1A, .saveState, "Ctrl+Alt+W", "write the state (apus-N.state)"),
    Shortcut(
      .controlAlt, 0x17, .takeSnapshot, "Ctrl+Alt+T", "snapshot; Ctrl+Alt+Z twice: back to it"),
    Shortcut(.controlAlt, 0x1D, .goBack, "Ctrl+Alt+Z", ""),
    Shortcut(.controlAlt, 0x13, .pause, "Ctrl+Alt+P", "pause, go on"),
    Shortcut(.controlAlt, 0x10, .mute, "Ctrl+Alt+M", "sound off, on"),
    Shortcut(.controlAlt, 0x15, .reset, "Ctrl+Alt+R", "reset button (press it twice)"),
    Shortcut(.controlAlt, 0x12, .powerButton, "Ctrl+Alt+O", "power button (press it twice)"),
    Shortcut(.controlAlt, 0x4D, .sendDelete, "Ctrl+Alt+End", "Ctrl+Alt+Del for the guest"),
    Shortcut(.controlAlt, 0x07, .debugger, "Ctrl+Alt+D", "debugger, in the terminal"),
  ]

  /// Lines for help: keys and what they do, those of one kind together.
  public static var lines: [(keys: String, action: String)] {
    all.filter { !$0.action.isEmpty }.map { ($0.keys, $0.action) }
      + [("drop files", "insert: floppy in A (Shift: B), CD in its drive")]
  }

  /// The same as a table for a terminal.
  public static var text: String {
    lines.map { "  " + $0.keys.padded(to: 14) + $0.action }.joined(separator: "\n")
  }

  /// What a key does with these modifiers, or nil: it is the guest's.
  static func command(
    usage: UInt16, control: Bool, alt: Bool, shift: Bool
  ) -> HostCommand? {
    guard alt else { return nil }
    let held: Modifiers = control ? (shift ? .controlAltShift : .controlAlt) : .alt
    if !control && shift { return nil }
    return all.first { $0.usage == usage && $0.modifiers == held }?.command
  }
}

extension String {
  func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(1, width - count))
  }
}
