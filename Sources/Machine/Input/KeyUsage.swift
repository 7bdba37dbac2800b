// Keys by their USB HID usage, the numbering front ends use.
//
// Owns: the table. Must not know: scan codes, window systems.
// Follows: USB HID Usage Tables, keyboard/keypad page (07h).

import Chipset

enum KeyUsage {
  /// The key of a usage, or nil when a PC keyboard has none.
  static func key(_ usage: UInt16) -> Key? {
    if usage >= 0x04 && usage < 0x04 + UInt16(main.count) { return main[Int(usage - 0x04)] }
    if usage >= 0xE0 && usage < 0xE0 + UInt16(modifiers.count) {
      return modifiers[Int(usage - 0xE0)]
    }
    return usage == 0x64 ? .nonUSBackslash : usage == 0x65 ? .menu : usage == 0x66 ? .power : nil
  }

  /// 04h (A) to 63h (keypad period).
  private static let main: [Key] = [
    .a, .b, .c, .d, .e, .f, .g, .h, .i, .j, .k, .l, .m, .n, .o, .p, .q, .r, .s, .t, .u, .v, .w, .x,
    .y, .z, .digit1, .digit2, .digit3, .digit4, .digit5, .digit6, .digit7, .digit8, .digit9,
    .digit0, .enter, .escape, .backspace, .tab, .space, .minus, .equal, .leftBracket, .rightBracket,
    .backslash, .backslash, .semicolon, .apostrophe, .grave, .comma, .period, .slash, .capsLock,
    .f1, .f2, .f3, .f4, .f5, .f6, .f7, .f8, .f9, .f10, .f11, .f12, .printScreen, .scrollLock,
    .pause, .insert, .home, .pageUp, .delete, .end, .pageDown, .right, .left, .down, .up, .numLock,
    .keypadDivide, .keypadMultiply, .keypadSubtract, .keypadAdd, .keypadEnter, .keypad1, .keypad2,
    .keypad3, .keypad4, .keypad5, .keypad6, .keypad7, .keypad8, .keypad9, .keypad0, .keypadPeriod,
  ]

  private static let modifiers: [Key] = [
    .leftControl, .leftShift, .leftAlt, .leftWindows, .rightControl, .rightShift, .rightAlt,
    .rightWindows,
  ]
}
