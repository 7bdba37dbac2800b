// Text from the host's clipboard as keystrokes.
//
// Owns: which keys type which character, the codes of characters that a US keyboard lacks, what to say of those that cannot be typed.
// Must not know: scan codes, screens. Follows: code pages 437 and 850; the PC BIOS's entry of codes with Alt and the keypad.

import Chipset
import Video

/// Keystrokes that enter a text.
public struct TypedText {
  /// What the codes of characters mean to the guest.
  public enum CodePage: String, Sendable, CaseIterable {
    case cp437 = "437"
    case cp850 = "850"

    /// The code of a character, or nil. Control codes are left out: they are keys of their own.
    func code(of character: Character) -> UInt8? {
      switch self {
      case .cp437: CodePage.codes437[character]
      case .cp850: CodePage.codes850[character]
      }
    }

    private static let codes437: [Character: UInt8] = {
      var codes: [Character: UInt8] = [:]
      for code in UInt8(0x80)...0xFF { codes[CodePage437.character(code)] = code }
      // Greek letters and the like that share a code.
      for (character, code) in zip("βμΩ", [UInt8(0xE1), 0xE6, 0xEA]) { codes[character] = code }
      return codes
    }()

    private static let codes850: [Character: UInt8] = {
      let upper = """
        ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐\
        └┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{AD}±‗¾¶§÷¸°¨·¹³²■\u{A0}
        """
      var codes: [Character: UInt8] = [:]
      for (n, character) in upper.enumerated() { codes[character] = UInt8(0x80 + n) }
      codes["μ"] = 0xE6
      return codes
    }()
  }

  /// What types the text.
  public private(set) var strokes: [KeyStroke] = []
  /// The characters that nothing types, each once, in the order they were met.
  public private(set) var leftOut: [Character] = []
  private var leftOutCount = 0
  /// Some of them have a code, which the guest would not take now.
  private var needsCodes = false

  /// - Parameters:
  ///   - codes: how codes are entered with Alt, or nil where the guest does not take them.
  ///   - capsLock: letters come out in the other case without Shift.
  public init(_ text: String, codes: CodePage?, capsLock: Bool = false) {
    for character in text {
      if var keys = KeyScript.keys(typing: character) {
        if capsLock, character.isASCII, character.isLetter {
          keys = keys.first == .leftShift ? Array(keys.dropFirst()) : [.leftShift] + keys
        }
        strokes.append(.press(keys))
      } else if let code = codes?.code(of: character) {
        let digits = String(code).utf8.map {
          Key(rawValue: Key.keypad0.rawValue + $0 - UInt8(ascii: "0")) ?? .keypad0
        }
        strokes.append(.tap(digits, holding: .leftAlt))
      } else {
        leftOutCount += 1
        if codes == nil, CodePage.allCases.contains(where: { $0.code(of: character) != nil }) {
          needsCodes = true
        }
        if !leftOut.contains(character) { leftOut.append(character) }
      }
    }
  }

  /// What the user should know, or nil.
  public var complaint: String? {
    if leftOut.isEmpty { return nil }
    let shown = leftOut.prefix(12).map { character in
      character.unicodeScalars.allSatisfy { $0.value < 0x20 || $0.value == 0x7F }
        ? "U+" + String(character.unicodeScalars.first?.value ?? 0, radix: 16, uppercase: true)
        : String(character)
    }
    let characters = leftOutCount == 1 ? "1 character" : "\(leftOutCount) characters"
    return "paste: \(characters) left out that no key types"
      + (needsCodes
        ? " (Alt and the keypad type them only where the BIOS or DOS sees the keys, and it does not now): "
        : ": ") + shown.joined(separator: " ")
      + (leftOut.count > 12 ? " ..." : "")
  }
}
