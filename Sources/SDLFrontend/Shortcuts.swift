// The window's own keys: one list for the handler, the help and the documentation.
//
// Owns: which combination does what, in words. Must not know: SDL, the guest's keyboard.

/// What a key combination does to the window instead of reaching the guest.
enum HostCommand: Equatable, Hashable {
  case help
  case fullScreen
  case grab
  case screenshot
  case integerScaling
  case paste
  case copy
  case nextFloppy
  case ejectFloppy
  case pause
  case reset
  /// Delete for the guest, for hosts that keep Ctrl+Alt+Del to themselves.
  case sendDelete
  /// Into the debugger.
  case debugger
}

/// A key that does something for the window while Ctrl and the left Alt are held.
struct Shortcut {
  /// USB HID usages, keyboard page; the first is the one that is told.
  var usages: [UInt16]
  var name: String
  var command: HostCommand
  /// What it does, in some words.
  var text: String

  init(_ usages: [UInt16], _ name: String, _ command: HostCommand, _ text: String) {
    self.usages = usages
    self.name = name
    self.command = command
    self.text = text
  }

  /// All of them, as help shows them.
  static let all: [Shortcut] = [
    Shortcut([0x0B, 0x3A], "H", .help, "this page (also F1)"),
    Shortcut([0x0A], "G", .grab, "grab mouse and keyboard, or let go"),
    Shortcut([0x09], "F", .fullScreen, "full screen (also Alt+Enter)"),
    Shortcut([0x0C], "I", .integerScaling, "pixels at whole multiples"),
    Shortcut([0x11], "N", .nextFloppy, "next disk into drive A"),
    Shortcut([0x08], "E", .ejectFloppy, "take the disk out of drive A"),
    Shortcut([0x16], "S", .screenshot, "screenshot"),
    Shortcut([0x06], "C", .copy, "copy the text on the screen"),
    Shortcut([0x19], "V", .paste, "type the clipboard"),
    Shortcut([0x13], "P", .pause, "pause, or go on"),
    Shortcut([0x15], "R", .reset, "reset button"),
    Shortcut([0x4D], "End", .sendDelete, "Ctrl+Alt+Del for the guest"),
    Shortcut([0x07, 0x45], "D", .debugger, "debugger, on the terminal"),
  ]

  static func command(of usage: UInt16) -> HostCommand? {
    all.first { $0.usages.contains(usage) }?.command
  }
}
