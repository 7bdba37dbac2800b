// Which keys the guest believes to be down.
//
// Owns: the set of pressed keys and the decision which of them are the window's own. Must not know: SDL, the guest's keyboard.

/// Follows the keyboard. Usages are those of USB HID, keyboard page.
struct KeyTracker {
  private(set) var pressed: Set<UInt16> = []

  enum Outcome: Equatable {
    case ignore
    case post(UInt16, down: Bool)
    case command(HostCommand)
  }

  private var control: Bool { pressed.contains(0xE0) || pressed.contains(0xE4) }
  private var leftAlt: Bool { pressed.contains(0xE2) }

  /// - Parameter isRepeat: the host's typematic, which the guest's keyboard has itself.
  mutating func key(_ usage: UInt16, down: Bool, isRepeat: Bool) -> Outcome {
    // 04h-A4h and the modifiers are keys; beyond them there are only media keys of other usage pages.
    guard (0x04...0xA4).contains(usage) || (0xE0...0xE7).contains(usage) else { return .ignore }
    if !down {
      // A key whose press the guest did not see must not be released either.
      return pressed.remove(usage) != nil ? .post(usage, down: false) : .ignore
    }
    if isRepeat || pressed.contains(usage) { return .ignore }
    if leftAlt, !control, usage == 0x28 { return .command(.fullScreen) }
    if leftAlt, control, let command = Shortcut.command(of: usage) { return .command(command) }
    pressed.insert(usage)
    return .post(usage, down: true)
  }

  /// The keys to be released because the window no longer hears of them; ordinary keys first, then modifiers.
  mutating func releaseAll() -> [UInt16] {
    let keys = pressed.sorted()
    pressed = []
    return keys
  }
}
