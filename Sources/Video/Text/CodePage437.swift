// The character set of the PC's fonts.
//
// Owns: the Unicode character of each of the 256 codes. Must not know: fonts, screens.

/// Code page 437 as Unicode, with the graphic symbols for the control codes, as a screen shows them.
public enum CodePage437 {
  private static let characters: [Character] = Array(
    """
     ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼ !"#$%&'()*+,-./0123456789:;<=>?@\
    ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~⌂\
    ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
    └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{A0}
    """)

  /// The character a code shows as; code 0 is a space.
  public static func character(_ code: UInt8) -> Character { characters[Int(code)] }

  private static let codes: [Character: UInt8] = Dictionary(
    characters.enumerated().map { ($1, UInt8($0)) },
    // A blank is 20h.
    uniquingKeysWith: { max($0, $1) })

  /// The code that shows as a character, or nil.
  public static func code(_ character: Character) -> UInt8? { codes[character] }
}
