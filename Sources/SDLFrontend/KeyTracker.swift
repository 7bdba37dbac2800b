// Which keys the guest believes to be down.
//
// Owns: the set of pressed keys and the decision which of them are the window's own. Must not know: SDL, the guest's keyboard.

/// What a key combination does to the window instead of reaching the guest.
enum HostCommand: Equatable {
  case fullScreen
  case grab
  case screenshot
  case integerScaling
  case paste
  /// Delete for the guest, for hosts that keep Ctrl+Alt+Del to themselves.
  case sendDelete
  /// Into the debugger.
  case debugger
}

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
    if leftAlt, control {
      switch usage {
      case 0x09: return .command(.fullScreen)  // F
      case 0x0A: return .command(.grab)  // G
      case 0x0C: return .command(.integerScaling)  // I
      case 0x16: return .command(.screenshot)  // S
      case 0x19: return .command(.paste)  // V
      case 0x07, 0x45: return .command(.debugger)  // D, F12
      case 0x4D: return .command(.sendDelete)  // End
      default: break
      }
    }
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
