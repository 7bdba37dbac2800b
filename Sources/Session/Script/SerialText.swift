// Text typed at a serial port, as a terminal would send it.
//
// Owns: the notation (that of key scripts, where a terminal has such a key), the bytes, how far sending is. Must not know: serial ports, steps.
// After: ECMA-48 and the VT100's user guide (cursor keys), the VT220's programmer reference (editing and function keys).

import Chipset

/// Something that is sent to a serial port.
public enum SerialStroke: Equatable, Sendable {
  case bytes([UInt8])
  /// Nothing for a number of virtual milliseconds.
  case wait(milliseconds: Int)
}

/// A place in a text that no terminal sends.
public struct SerialTextError: Error, Equatable, CustomStringConvertible {
  /// The offset in characters from the start of the text.
  public var position: Int
  /// What is wrong there.
  public var reason: String
  public var description: String { "at character \(position + 1): \(reason)" }
}

/// The notation of what is typed at a serial port.
///
/// Characters are sent as UTF-8, a line feed as a carriage return. Names stand in angle brackets as in key scripts: `<enter>`, `<tab>`, `<esc>`,
/// `<bs>` (7Fh), `<ctrl-c>`, `<alt-x>` (ESC and x), `<up>`, `<f1>`, `<lt>`, `<wait 500>`.
public enum SerialText {
  /// Reads a text.
  public static func parse(_ text: String) throws(SerialTextError) -> [SerialStroke] {
    var strokes: [SerialStroke] = []
    var bytes: [UInt8] = []
    let characters = Array(text)
    var i = 0
    while i < characters.count {
      let start = i
      guard characters[i] == "<" else {
        bytes += characters[i].isNewline ? [0x0D] : Array(String(characters[i]).utf8)
        i += 1
        continue
      }
      // Its errors are those of keys, and stand where they are.
      let end = characters[i...].firstIndex(of: ">") ?? characters.count - 1
      let word = String(characters[start...end])
      let parsed: [KeyStroke]
      do throws(KeyScriptError) { parsed = try KeyScript.parse(word) } catch {
        throw SerialTextError(position: start + error.position, reason: error.reason)
      }
      i = end + 1
      for stroke in parsed {
        switch stroke {
        case .wait(let time):
          if !bytes.isEmpty { strokes.append(.bytes(bytes)) }
          bytes = []
          strokes.append(.wait(milliseconds: time))
        case .press(let keys):
          guard let sent = sent(by: keys) else {
            throw SerialTextError(
              position: start, reason: "a terminal sends nothing for \(word)")
          }
          bytes += sent
        case .tap:
          throw SerialTextError(position: start, reason: "a terminal sends nothing for \(word)")
        }
      }
    }
    if !bytes.isEmpty { strokes.append(.bytes(bytes)) }
    return strokes
  }

  private static let named: [Key: [UInt8]] = {
    let escape: UInt8 = 0x1B
    func sequence(_ text: String) -> [UInt8] { [escape] + Array(text.utf8) }
    return [
      .enter: [0x0D], .keypadEnter: [0x0D], .tab: [0x09], .escape: [escape], .backspace: [0x7F],
      .up: sequence("[A"), .down: sequence("[B"), .right: sequence("[C"), .left: sequence("[D"),
      .home: sequence("[1~"), .insert: sequence("[2~"), .delete: sequence("[3~"),
      .end: sequence("[4~"), .pageUp: sequence("[5~"), .pageDown: sequence("[6~"),
      .f1: sequence("OP"), .f2: sequence("OQ"), .f3: sequence("OR"), .f4: sequence("OS"),
    ]
  }()

  /// What a terminal sends for keys pressed together; nil: nothing.
  private static func sent(by keys: [Key]) -> [UInt8]? {
    let modifiers: Set<Key> = [
      .leftControl, .rightControl, .leftAlt, .rightAlt, .leftShift, .rightShift,
    ]
    let plain = keys.filter { !modifiers.contains($0) }
    guard plain.count == 1 else { return nil }
    let isShifted = keys.contains(.leftShift) || keys.contains(.rightShift)
    var bytes: [UInt8]
    if let character = KeyScript.character(typedBy: (isShifted ? [.leftShift] : []) + plain) {
      bytes = Array(String(character).utf8)
    } else if let known = named[plain[0]] {
      bytes = known
    } else if plain[0].rawValue > Key.f4.rawValue, plain[0].rawValue <= Key.f12.rawValue {
      // VT220: F5 is 15, F6 to F10 17 to 21, F11 and F12 23 and 24.
      let number = Int(plain[0].rawValue - Key.f4.rawValue) - 1
      bytes = [0x1B] + Array("[\([15, 17, 18, 19, 20, 21, 23, 24][number])~".utf8)
    } else {
      return nil
    }
    if keys.contains(.leftControl) || keys.contains(.rightControl) {
      // The codes 40h to 7Eh become 00h to 1Fh; a blank is NUL.
      guard bytes.count == 1, bytes[0] == 0x20 || (0x40...0x7E).contains(bytes[0]) else {
        return nil
      }
      bytes[0] &= 0x1F
    }
    if keys.contains(.leftAlt) || keys.contains(.rightAlt) { bytes.insert(0x1B, at: 0) }
    return bytes
  }

  /// The pieces that a guest echoes in one run: what stands between control characters.
  static func lines(_ strokes: [SerialStroke]) -> [[UInt8]] {
    var lines: [[UInt8]] = [[]]
    for case .bytes(let bytes) in strokes {
      for byte in bytes {
        if byte >= 0x20, byte != 0x7F {
          lines[lines.count - 1].append(byte)
        } else if !lines[lines.count - 1].isEmpty {
          lines.append([])
        }
      }
    }
    return lines.filter { !$0.isEmpty }
  }
}

/// How far something that is sent is.
struct SerialSending {
  private var index = 0
  private var offset = 0
  /// Nothing is sent before this virtual time.
  private var until: UInt64 = 0

  /// The bytes that go now, as far as there is room; nil: none.
  mutating func next(_ strokes: [SerialStroke], _ now: UInt64, room: Int) -> [UInt8]? {
    while index < strokes.count, now >= until {
      switch strokes[index] {
      case .wait(let time):
        until = now &+ UInt64(time) &* 1_000_000
        index += 1
      case .bytes(let bytes):
        let count = min(bytes.count - offset, room)
        if count <= 0 { return nil }
        let piece = Array(bytes[offset..<offset + count])
        offset += count
        if offset == bytes.count { (index, offset) = (index + 1, 0) }
        return piece
      }
    }
    return nil
  }

  func isDone(_ strokes: [SerialStroke], _ now: UInt64) -> Bool {
    index >= strokes.count && now >= until
  }
}
