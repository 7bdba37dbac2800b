// The keys of a PC keyboard and their scan codes (IBM PS/2 Technical Reference, Keyboards; the 8042's translation table).
//
// Owns: names, codes of sets 1, 2 and 3, the multi-byte sequences, the translation of set 2 to set 1. Must not know: which key is down,
// or the host's key codes.

/// The keys of the 104-key keyboard, the extra key of ISO layouts, and the power keys. Letters and punctuation are named for what
/// they bear on a US keyboard.
public enum Key: UInt8, CaseIterable, Sendable {
  case escape, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12
  case printScreen, scrollLock, pause
  case grave, digit1, digit2, digit3, digit4, digit5, digit6, digit7, digit8, digit9, digit0
  case minus, equal, backspace
  case tab, q, w, e, r, t, y, u, i, o, p, leftBracket, rightBracket, backslash
  case capsLock, a, s, d, f, g, h, j, k, l, semicolon, apostrophe, enter
  case leftShift, z, x, c, v, b, n, m, comma, period, slash, rightShift
  case leftControl, leftWindows, leftAlt, space, rightAlt, rightWindows, menu, rightControl
  case insert, delete, home, end, pageUp, pageDown
  case up, left, down, right
  case numLock, keypadDivide, keypadMultiply, keypadSubtract, keypadAdd, keypadEnter, keypadPeriod
  case keypad0, keypad1, keypad2, keypad3, keypad4, keypad5, keypad6, keypad7, keypad8, keypad9
  /// The key between left Shift and Z on ISO keyboards.
  case nonUSBackslash
  case power, sleep, wake
}

/// What a key does in scan code set 3 by default, and after FBh-FDh.
enum Set3Kind: UInt8 {
  case typematic, make, makeBreak, typematicMakeBreak
}

/// The codes of one key.
struct KeyCodes {
  var set1: UInt8
  var set2: UInt8
  /// 0 if the key has no code in set 3.
  var set3: UInt8
  /// Prefixed with E0h in sets 1 and 2.
  var extended = false
  var kind = Set3Kind.typematic

  init(
    _ set1: UInt8, _ set2: UInt8, _ set3: UInt8, _ kind: Set3Kind = .typematic, e0: Bool = false
  ) {
    self.set1 = set1
    self.set2 = set2
    self.set3 = set3
    self.kind = kind
    extended = e0
  }
}

extension Key {
  /// The codes; those of `pause` and `printScreen` are the last part of longer sequences.
  var codes: KeyCodes { Key.table[Int(rawValue)] }

  /// Whether the key belongs to the grey cluster whose codes are guarded against Num Lock and Shift.
  var isNavigation: Bool {
    switch self {
    case .insert, .delete, .home, .end, .pageUp, .pageDown, .up, .down, .left, .right: true
    default: false
    }
  }

  private static let table: [KeyCodes] = allCases.map(lookUp)

  private static func lookUp(_ key: Key) -> KeyCodes {
    switch key {
    case .escape: KeyCodes(0x01, 0x76, 0x08, .make)
    case .f1: KeyCodes(0x3B, 0x05, 0x07, .make)
    case .f2: KeyCodes(0x3C, 0x06, 0x0F, .make)
    case .f3: KeyCodes(0x3D, 0x04, 0x17, .make)
    case .f4: KeyCodes(0x3E, 0x0C, 0x1F, .make)
    case .f5: KeyCodes(0x3F, 0x03, 0x27, .make)
    case .f6: KeyCodes(0x40, 0x0B, 0x2F, .make)
    case .f7: KeyCodes(0x41, 0x83, 0x37, .make)
    case .f8: KeyCodes(0x42, 0x0A, 0x3F, .make)
    case .f9: KeyCodes(0x43, 0x01, 0x47, .make)
    case .f10: KeyCodes(0x44, 0x09, 0x4F, .make)
    case .f11: KeyCodes(0x57, 0x78, 0x56, .make)
    case .f12: KeyCodes(0x58, 0x07, 0x5E, .make)
    case .printScreen: KeyCodes(0x37, 0x7C, 0x57, .make, e0: true)
    case .scrollLock: KeyCodes(0x46, 0x7E, 0x5F, .make)
    case .pause: KeyCodes(0x45, 0x77, 0x62, .make)
    case .grave: KeyCodes(0x29, 0x0E, 0x0E)
    case .digit1: KeyCodes(0x02, 0x16, 0x16)
    case .digit2: KeyCodes(0x03, 0x1E, 0x1E)
    case .digit3: KeyCodes(0x04, 0x26, 0x26)
    case .digit4: KeyCodes(0x05, 0x25, 0x25)
    case .digit5: KeyCodes(0x06, 0x2E, 0x2E)
    case .digit6: KeyCodes(0x07, 0x36, 0x36)
    case .digit7: KeyCodes(0x08, 0x3D, 0x3D)
    case .digit8: KeyCodes(0x09, 0x3E, 0x3E)
    case .digit9: KeyCodes(0x0A, 0x46, 0x46)
    case .digit0: KeyCodes(0x0B, 0x45, 0x45)
    case .minus: KeyCodes(0x0C, 0x4E, 0x4E)
    case .equal: KeyCodes(0x0D, 0x55, 0x55)
    case .backspace: KeyCodes(0x0E, 0x66, 0x66)
    case .tab: KeyCodes(0x0F, 0x0D, 0x0D)
    case .q: KeyCodes(0x10, 0x15, 0x15)
    case .w: KeyCodes(0x11, 0x1D, 0x1D)
    case .e: KeyCodes(0x12, 0x24, 0x24)
    case .r: KeyCodes(0x13, 0x2D, 0x2D)
    case .t: KeyCodes(0x14, 0x2C, 0x2C)
    case .y: KeyCodes(0x15, 0x35, 0x35)
    case .u: KeyCodes(0x16, 0x3C, 0x3C)
    case .i: KeyCodes(0x17, 0x43, 0x43)
    case .o: KeyCodes(0x18, 0x44, 0x44)
    case .p: KeyCodes(0x19, 0x4D, 0x4D)
    case .leftBracket: KeyCodes(0x1A, 0x54, 0x54)
    case .rightBracket: KeyCodes(0x1B, 0x5B, 0x5B)
    case .backslash: KeyCodes(0x2B, 0x5D, 0x5C)
    case .capsLock: KeyCodes(0x3A, 0x58, 0x14, .makeBreak)
    case .a: KeyCodes(0x1E, 0x1C, 0x1C)
    case .s: KeyCodes(0x1F, 0x1B, 0x1B)
    case .d: KeyCodes(0x20, 0x23, 0x23)
    case .f: KeyCodes(0x21, 0x2B, 0x2B)
    case .g: KeyCodes(0x22, 0x34, 0x34)
    case .h: KeyCodes(0x23, 0x33, 0x33)
    case .j: KeyCodes(0x24, 0x3B, 0x3B)
    case .k: KeyCodes(0x25, 0x42, 0x42)
    case .l: KeyCodes(0x26, 0x4B, 0x4B)
    case .semicolon: KeyCodes(0x27, 0x4C, 0x4C)
    case .apostrophe: KeyCodes(0x28, 0x52, 0x52)
    case .enter: KeyCodes(0x1C, 0x5A, 0x5A)
    case .leftShift: KeyCodes(0x2A, 0x12, 0x12, .makeBreak)
    case .z: KeyCodes(0x2C, 0x1A, 0x1A)
    case .x: KeyCodes(0x2D, 0x22, 0x22)
    case .c: KeyCodes(0x2E, 0x21, 0x21)
    case .v: KeyCodes(0x2F, 0x2A, 0x2A)
    case .b: KeyCodes(0x30, 0x32, 0x32)
    case .n: KeyCodes(0x31, 0x31, 0x31)
    case .m: KeyCodes(0x32, 0x3A, 0x3A)
    case .comma: KeyCodes(0x33, 0x41, 0x41)
    case .period: KeyCodes(0x34, 0x49, 0x49)
    case .slash: KeyCodes(0x35, 0x4A, 0x4A)
    case .rightShift: KeyCodes(0x36, 0x59, 0x59, .makeBreak)
    case .leftControl: KeyCodes(0x1D, 0x14, 0x11, .makeBreak)
    case .leftWindows: KeyCodes(0x5B, 0x1F, 0x8B, .makeBreak, e0: true)
    case .leftAlt: KeyCodes(0x38, 0x11, 0x19, .makeBreak)
    case .space: KeyCodes(0x39, 0x29, 0x29)
    case .rightAlt: KeyCodes(0x38, 0x11, 0x39, .make, e0: true)
    case .rightWindows: KeyCodes(0x5C, 0x27, 0x8C, .makeBreak, e0: true)
    case .menu: KeyCodes(0x5D, 0x2F, 0x8D, .makeBreak, e0: true)
    case .rightControl: KeyCodes(0x1D, 0x14, 0x58, .make, e0: true)
    case .insert: KeyCodes(0x52, 0x70, 0x67, .make, e0: true)
    case .delete: KeyCodes(0x53, 0x71, 0x64, e0: true)
    case .home: KeyCodes(0x47, 0x6C, 0x6E, .make, e0: true)
    case .end: KeyCodes(0x4F, 0x69, 0x65, .make, e0: true)
    case .pageUp: KeyCodes(0x49, 0x7D, 0x6F, .make, e0: true)
    case .pageDown: KeyCodes(0x51, 0x7A, 0x6D, .make, e0: true)
    case .up: KeyCodes(0x48, 0x75, 0x63, e0: true)
    case .left: KeyCodes(0x4B, 0x6B, 0x61, e0: true)
    case .down: KeyCodes(0x50, 0x72, 0x60, e0: true)
    case .right: KeyCodes(0x4D, 0x74, 0x6A, e0: true)
    case .numLock: KeyCodes(0x45, 0x77, 0x76, .make)
    case .keypadDivide: KeyCodes(0x35, 0x4A, 0x77, .make, e0: true)
    case .keypadMultiply: KeyCodes(0x37, 0x7C, 0x7E, .make)
    case .keypadSubtract: KeyCodes(0x4A, 0x7B, 0x84, .make)
    case .keypadAdd: KeyCodes(0x4E, 0x79, 0x7C)
    case .keypadEnter: KeyCodes(0x1C, 0x5A, 0x79, .make, e0: true)
    case .keypadPeriod: KeyCodes(0x53, 0x71, 0x71, .make)
    case .keypad0: KeyCodes(0x52, 0x70, 0x70, .make)
    case .keypad1: KeyCodes(0x4F, 0x69, 0x69, .make)
    case .keypad2: KeyCodes(0x50, 0x72, 0x72, .make)
    case .keypad3: KeyCodes(0x51, 0x7A, 0x7A, .make)
    case .keypad4: KeyCodes(0x4B, 0x6B, 0x6B, .make)
    case .keypad5: KeyCodes(0x4C, 0x73, 0x73, .make)
    case .keypad6: KeyCodes(0x4D, 0x74, 0x74, .make)
    case .keypad7: KeyCodes(0x47, 0x6C, 0x6C, .make)
    case .keypad8: KeyCodes(0x48, 0x75, 0x75, .make)
    case .keypad9: KeyCodes(0x49, 0x7D, 0x7D, .make)
    case .nonUSBackslash: KeyCodes(0x56, 0x61, 0x13)
    case .power: KeyCodes(0x5E, 0x37, 0, e0: true)
    case .sleep: KeyCodes(0x5F, 0x3F, 0, e0: true)
    case .wake: KeyCodes(0x63, 0x5E, 0, e0: true)
    }
  }
}

/// The scan code translation of the 8042 (bit 6 of its command byte).
enum ScanCodeTranslation {
  /// Set 2 codes 00h-7Fh to set 1.
  private static let table: [UInt8] = [
    0xFF, 0x43, 0x41, 0x3F, 0x3D, 0x3B, 0x3C, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3E, 0x0F, 0x29, 0x59,
    0x65, 0x38, 0x2A, 0x70, 0x1D, 0x10, 0x02, 0x5A, 0x66, 0x71, 0x2C, 0x1F, 0x1E, 0x11, 0x03, 0x5B,
    0x67, 0x2E, 0x2D, 0x20, 0x12, 0x05, 0x04, 0x5C, 0x68, 0x39, 0x2F, 0x21, 0x14, 0x13, 0x06, 0x5D,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5E, 0x6A, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5F,
    0x6B, 0x33, 0x25, 0x17, 0x18, 0x0B, 0x0A, 0x60, 0x6C, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0C, 0x61,
    0x6D, 0x73, 0x28, 0x74, 0x1A, 0x0D, 0x62, 0x6E, 0x3A, 0x36, 0x1C, 0x1B, 0x75, 0x2B, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7A, 0x0E, 0x7B, 0x7C, 0x4F, 0x7D, 0x4B, 0x47, 0x7E, 0x7F, 0x6F,
    0x52, 0x53, 0x50, 0x4C, 0x4D, 0x48, 0x01, 0x45, 0x57, 0x4E, 0x51, 0x4A, 0x37, 0x49, 0x46, 0x54,
  ]

  /// The set 1 code of a byte other than F0h; 83h (F7) and 84h (SysRq) are the only ones above 7Fh that change.
  static func translate(_ code: UInt8) -> UInt8 {
    if code < 0x80 { return table[Int(code)] }
    return code == 0x83 ? 0x41 : code == 0x84 ? 0x54 : code
  }
}
