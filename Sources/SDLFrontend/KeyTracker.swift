// Which keys the guest believes to be down.
//
// Owns: the set of pressed keys and the decision which of them are the window's own. Must not know: SDL, the guest's keyboard.

/// Follows the keyboard. Usages are those of USB HID, keyboard page.
struct KeyTracker {
  private(set) var pressed: Set<UInt16> = []
  /// Something of the window's own is in front: no key reaches the guest.
  var isCovered = false

  enum Outcome: Equatable {
    case ignore
    case post(UInt16, down: Bool)
    case command(HostCommand)
    /// Any key that ends what covers the guest.
    case dismiss
  }

  /// Modifiers as the host has them, also those that the guest was not told of.
  private var held: Set<UInt16> = []
  private var control: Bool { held.contains(0xE0) || held.contains(0xE4) }
  /// Right Alt types characters on many keyboards.
  private var leftAlt: Bool { held.contains(0xE2) }
  var shift: Bool { held.contains(0xE1) || held.contains(0xE5) }

  /// - Parameter isRepeat: the host's typematic, which the guest's keyboard has itself.
  mutating func key(_ usage: UInt16, down: Bool, isRepeat: Bool) -> Outcome {
    // 04h-A4h and the modifiers are keys; beyond them there are only media keys of other usage pages.
    let isModifier = KeyTracker.isModifier(usage)
    guard (0x04...0xA4).contains(usage) || isModifier else { return .ignore }
    if isModifier { if down { held.insert(usage) } else { held.remove(usage) } }
    if !down {
      // A key whose press the guest did not see must not be released either.
      return pressed.remove(usage) != nil ? .post(usage, down: false) : .ignore
    }
    if isRepeat || pressed.contains(usage) { return .ignore }
    if let command = Shortcut.command(
      usage: usage, control: control, alt: leftAlt, shift: shift)
    {
      return .command(command)
    }
    if isCovered { return isModifier ? .ignore : .dismiss }
    pressed.insert(usage)
    return .post(usage, down: true)
  }

  /// The keys to be released because the window no longer hears of them; ordinary keys first, then modifiers.
  mutating func releaseAll() -> [UInt16] {
    let keys = pressed.sorted()
    pressed = []
    return keys
  }

  /// The modifiers that the guest has down, which belong to what the window does now; the guest is to be told that they are up.
  mutating func releaseModifiers() -> [UInt16] {
    let modifiers = pressed.filter(KeyTracker.isModifier).sorted()
    pressed.subtract(modifiers)
    return modifiers
  }

  /// The modifiers that are still held when the guest gets another key: it is told of them again before.
  mutating func returnModifiers(before usage: UInt16) -> [UInt16] {
    if KeyTracker.isModifier(usage) { return [] }
    let missing = held.subtracting(pressed).sorted()
    pressed.formUnion(missing)
    return missing
  }

  private static func isModifier(_ usage: UInt16) -> Bool { (0xE0...0xE7).contains(usage) }

  /// The host's keys are unknown from here on.
  mutating func forgetHeld() { held = [] }
}
