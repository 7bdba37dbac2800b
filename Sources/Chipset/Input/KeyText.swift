// Typed text for automation: what a script of keystrokes means on a US keyboard, and playing it.
//
// Owns: the notation ("dir<enter><ctrl-alt-del><wait 500>"), its errors, the pace in virtual time. Must not know: scan codes, the screen.

import Bus
import State

/// One step of a key script.
public enum KeyStroke: Equatable, Sendable {
  /// Keys pressed in this order and released in the opposite one.
  case press([Key])
  /// Keys pressed and released one after the other while another is held.
  case tap([Key], holding: Key)
  /// Nothing for a number of virtual milliseconds.
  case wait(milliseconds: Int)
}

/// A place in a script that means nothing.
public struct KeyScriptError: Error, Equatable, CustomStringConvertible {
  /// The offset in characters from the start of the script.
  public var position: Int
  /// What is wrong there.
  public var reason: String
  public var description: String { "at character \(position + 1): \(reason)" }
}

/// The notation of key scripts.
///
/// Characters stand for the keys that type them on a US keyboard (a line feed is Enter). Names stand in angle brackets:
/// `<enter> <esc> <tab> <bs> <del> <ins> <home> <end> <pgup> <pgdn> <up> <down> <left> <right> <f1>`...`<f12> <space> <lt> <gt>` and
/// others, after any of `ctrl- alt- shift- win-`: `<ctrl-alt-del>`, `<alt-f4>`, `<ctrl-c>`. `<wait 500>` waits 500 milliseconds.
public enum KeyScript {
  /// Reads a script.
  public static func parse(_ text: String) throws(KeyScriptError) -> [KeyStroke] {
    var strokes: [KeyStroke] = []
    let characters = Array(text)
    var i = 0
    while i < characters.count {
      let start = i
      let character = characters[i]
      i += 1
      if character != "<" {
        guard let keys = keys(typing: character) else {
          // All of them at once.
          var missing: [Character] = []
          for other in characters[start...]
          where KeyScript.keys(typing: other) == nil && !missing.contains(other) {
            missing.append(other)
          }
          let list = missing.map { "'\($0)'" }.joined(separator: ", ")
          throw KeyScriptError(
            position: start, reason: "no key of a US keyboard types \(list)")
        }
        strokes.append(.press(keys))
        continue
      }
      guard let close = characters[i...].firstIndex(of: ">") else {
        throw KeyScriptError(
          position: start, reason: "'<' without '>' (write <lt> for the character)")
      }
      strokes.append(try named(String(characters[i..<close]), at: start))
      i = close + 1
    }
    return strokes
  }

  private static func named(_ name: String, at position: Int) throws(KeyScriptError) -> KeyStroke {
    let lower = name.lowercased()
    if lower == "wait" || lower.hasPrefix("wait ") {
      guard let time = Int(lower.dropFirst(4).drop { $0 == " " }), (0...3_600_000).contains(time)
      else {
        throw KeyScriptError(
          position: position, reason: "<wait N> takes milliseconds, 0 to 3600000")
      }
      return .wait(milliseconds: time)
    }
    var held: [Key] = []
    var rest = Substring(lower)
    var stripped = true
    while stripped {
      stripped = false
      for (prefix, key) in modifiers where rest.hasPrefix(prefix) && rest.count > prefix.count {
        rest = rest.dropFirst(prefix.count)
        if !held.contains(key) { held.append(key) }
        stripped = true
      }
    }
    if let key = names[String(rest)] {
      return .press(held.contains(key) ? held : held + [key])
    }
    if rest == "lt" || rest == "gt" {
      return .press(merge(held, keys(typing: rest == "lt" ? "<" : ">") ?? []))
    }
    // The case of a single character counts only without modifiers: <ctrl-C> is Ctrl and C.
    let single = held.isEmpty ? Array(name) : Array(rest)
    if single.count == 1, let typed = keys(typing: single[0]) { return .press(merge(held, typed)) }
    throw KeyScriptError(position: position, reason: "no key is called '\(name)'")
  }

  private static func merge(_ held: [Key], _ typed: [Key]) -> [Key] {
    held + typed.filter { !held.contains($0) }
  }

  /// The names that may stand in angle brackets, the common one of each key.
  public static let help = """
    enter esc tab bs del ins home end pgup pgdn up down left right space
    f1 to f12, caps num scroll pause prtsc menu win, ctrl alt shift altgr alone,
    kp0 to kp9, kp+ kp- kp* kp/ kp. kpenter; <lt> and <gt> are < and >.
    Before any of them, or a character: ctrl- alt- altgr- shift- win-,
    as in <ctrl-alt-del>, <alt-f4>, <ctrl-c>. <wait 500> waits 500 ms.
    """

  private static let modifiers: [(String, Key)] = [
    ("ctrl-", .leftControl), ("control-", .leftControl), ("alt-", .leftAlt),
    ("altgr-", .rightAlt), ("shift-", .leftShift), ("win-", .leftWindows),
  ]

  private static let names: [String: Key] = {
    var names: [String: Key] = [
      "enter": .enter, "return": .enter, "ret": .enter, "esc": .escape, "escape": .escape,
      "tab": .tab, "bs": .backspace, "backspace": .backspace, "del": .delete, "delete": .delete,
      "ins": .insert, "insert": .insert, "home": .home, "end": .end, "pgup": .pageUp,
      "pageup": .pageUp, "pgdn": .pageDown, "pgdown": .pageDown, "pagedown": .pageDown,
      "up": .up, "down": .down, "left": .left, "right": .right, "space": .space, "spc": .space,
      "caps": .capsLock, "capslock": .capsLock, "num": .numLock, "numlock": .numLock,
      "scroll": .scrollLock, "scrolllock": .scrollLock, "pause": .pause, "break": .pause,
      "prtsc": .printScreen, "print": .printScreen, "printscreen": .printScreen,
      "sysrq": .printScreen, "menu": .menu, "win": .leftWindows, "rwin": .rightWindows,
      "ctrl": .leftControl, "lctrl": .leftControl, "rctrl": .rightControl, "alt": .leftAlt,
      "lalt": .leftAlt, "ralt": .rightAlt, "altgr": .rightAlt, "shift": .leftShift,
      "lshift": .leftShift, "rshift": .rightShift, "minus": .minus, "kpenter": .keypadEnter,
      "kp+": .keypadAdd, "kp-": .keypadSubtract, "kp*": .keypadMultiply, "kp/": .keypadDivide,
      "kp.": .keypadPeriod,
    ]
    for n in 0..<12 { names["f\(n + 1)"] = Key(rawValue: Key.f1.rawValue + UInt8(n)) }
    for n in 0..<10 { names["kp\(n)"] = Key(rawValue: Key.keypad0.rawValue + UInt8(n)) }
    return names
  }()

  /// The keys that type a character on a US keyboard, Shift first; nil for characters it does not have.
  public static func keys(typing character: Character) -> [Key]? {
    if character == "\n" || character == "\r" || character == "\r\n" { return [.enter] }
    if character == "\t" { return [.tab] }
    if let key = plain[character] { return [key] }
    if let key = shifted[character] { return [.leftShift, key] }
    return nil
  }

  /// The character that keys pressed together type on a US keyboard, or nil.
  public static func character(typedBy keys: [Key]) -> Character? {
    guard let key = keys.last else { return nil }
    switch keys.dropLast() {
    case []: return plain.first { $0.value == key }?.key
    case [.leftShift], [.rightShift]: return shifted.first { $0.value == key }?.key
    default: return nil
    }
  }

  private static let rows: [(String, String, [Key])] = [
    (
      "`1234567890-=", "~!@#$%^&*()_+",
      [
        .grave, .digit1, .digit2, .digit3, .digit4, .digit5, .digit6, .digit7, .digit8, .digit9,
        .digit0, .minus, .equal,
      ]
    ),
    (
      "qwertyuiop[]\\", "QWERTYUIOP{}|",
      [.q, .w, .e, .r, .t, .y, .u, .i, .o, .p, .leftBracket, .rightBracket, .backslash]
    ),
    (
      "asdfghjkl;'", "ASDFGHJKL:\"",
      [.a, .s, .d, .f, .g, .h, .j, .k, .l, .semicolon, .apostrophe]
    ),
    (
      "zxcvbnm,./", "ZXCVBNM<>?", [.z, .x, .c, .v, .b, .n, .m, .comma, .period, .slash]
    ),
    (" ", "", [.space]),
  ]

  private static let plain: [Character: Key] = table { $0.0 }
  private static let shifted: [Character: Key] = table { $0.1 }

  private static func table(_ half: ((String, String, [Key])) -> String) -> [Character: Key] {
    var table: [Character: Key] = [:]
    for row in rows {
      for (character, key) in zip(half(row), row.2) { table[character] = key }
    }
    return table
  }
}

extension KeyScript {
  /// What is left of strokes that begin with waiting, when some of that time is over.
  /// - Parameter waited: virtual nanoseconds.
  public static func strokes(_ strokes: [KeyStroke], waited: UInt64) -> [KeyStroke] {
    var over = Int(clamping: waited / 1_000_000)
    var rest = strokes[...]
    while over > 0, case .wait(let milliseconds)? = rest.first {
      rest = rest.dropFirst()
      if milliseconds > over { return [.wait(milliseconds: milliseconds - over)] + rest }
      over -= max(milliseconds, 0)
    }
    return Array(rest)
  }
}

/// Plays key scripts on a keyboard at a steady pace of virtual time.
public final class Typist: Device {
  public let stateName = "typist"
  public var stateVersion: UInt16 { 2 }

  /// The time between two movements of keys (a press or a release) in virtual nanoseconds, at least a millisecond.
  public var interval: UInt64 = 20_000_000 {
    didSet { interval = min(max(interval, 1_000_000), 3_600_000_000_000) }
  }

  /// Whether the guest has no room for another key although its keyboard interrupt took the last one (a full BIOS buffer). Asked
  /// before each press; the press waits, but not for ever: some guests never empty the buffer.
  public var guestIsFull: () -> Bool = { false }
  private static let longestHold: UInt32 = 1_000
  private static let holdPause: UInt64 = 10_000_000
  /// How often the next press has been put off.
  private var held: UInt32 = 0

  private let clock: VirtualClock
  private let keyboard: PS2Keyboard
  private var event: EventID!
  /// Bit 31: wait for the low bits in milliseconds. Else key << 1 | down.
  private var actions: [UInt32] = []
  private var next = 0

  public init(clock: VirtualClock, keyboard: PS2Keyboard) {
    self.clock = clock
    self.keyboard = keyboard
    event = clock.register("typist") { [unowned self] in step() }
  }

  /// Whether everything was typed.
  public var isIdle: Bool { next == actions.count }

  private var remaining: Int { actions.count - next }

  /// Types `strokes` after what is still to be typed.
  public func type(_ strokes: [KeyStroke]) {
    let wasIdle = isIdle
    if wasIdle {
      actions = []
      next = 0
    }
    for stroke in strokes {
      switch stroke {
      case .press(let keys):
        actions += keys.map { UInt32($0.rawValue) << 1 | 1 }
        actions += keys.reversed().map { UInt32($0.rawValue) << 1 }
      case .tap(let keys, let held):
        actions.append(UInt32(held.rawValue) << 1 | 1)
        for key in keys { actions += [UInt32(key.rawValue) << 1 | 1, UInt32(key.rawValue) << 1] }
        actions.append(UInt32(held.rawValue) << 1)
      case .wait(let milliseconds):
        actions.append(0x8000_0000 | UInt32(min(max(milliseconds, 0), 0x7FFF_FFFF)))
      }
    }
    if wasIdle && !isIdle { clock.schedule(event, after: 0) }
  }

  private func step() {
    guard next < actions.count else { return }
    // A guest that does not listen loses no keys.
    guard keyboard.isDrained else {
      clock.schedule(event, after: interval)
      return
    }
    let action = actions[next]
    if action & 0x8000_0001 == 1, held < Typist.longestHold, guestIsFull() {
      held += 1
      clock.schedule(event, after: Typist.holdPause)
      return
    }
    held = 0
    next += 1
    var pause = interval
    if action & 0x8000_0000 != 0 {
      pause = UInt64(action & 0x7FFF_FFFF) * 1_000_000
    } else if let key = Key(rawValue: UInt8(truncatingIfNeeded: action >> 1)) {
      keyboard.key(key, down: action & 1 != 0)
    }
    if isIdle {
      actions = []
      next = 0
    } else {
      clock.schedule(event, after: pause)
    }
  }

  /// What is still to be typed is the user's, not the machine's: a reset leaves it.
  public func reset(_ kind: ResetKind) {}

  public func save(to writer: inout StateWriter) {
    writer.write(interval)
    writer.write(array: Array(actions[next...]))
    writer.write(held)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    interval = try reader.read(in: 1_000_000...3_600_000_000_000)
    actions = try reader.readArray()
    held = version >= 2 ? try reader.read() : 0
    next = 0
  }
}

extension Typist {
  /// Types by the keyboard of the `i8042` that came before.
  public static let part = PartType("typist", "types what the user pastes or a script says") {
    board, _ in
    let controller = try board.need(KeyboardController8042.self, for: "typist")
    try board.add(Typist(clock: board.clock, keyboard: controller.keyboard))
  }

  public func inspect() -> [Field] {
    [.count("strokes to come", remaining), .count("held", held)]
  }
}
