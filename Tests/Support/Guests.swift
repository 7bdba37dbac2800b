// Guests for tests, as bytes.
//
// Owns: hexadecimal digits to bytes, floppies that boot code. Must not know: what any guest does.

/// Bytes written as hexadecimal digits; everything else between them is for the eye.
public func bytes(_ hex: some StringProtocol) -> [UInt8] {
  let digits = hex.utf8.compactMap { digit -> UInt8? in
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x41...0x46: digit - 0x41 + 10
    case 0x61...0x66: digit - 0x61 + 10
    default: nil
    }
  }
  return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// The image of a 1.44 MB floppy that boots code at 7C00h; its second sector is filled with `mark`, if that is given.
public func bootFloppy(_ code: [UInt8], mark: UInt8? = nil) -> [UInt8] {
  var image = code + [UInt8](repeating: 0, count: 1_474_560 - code.count)
  image[510] = 0x55
  image[511] = 0xAA
  if let mark { for n in 512..<1024 { image[n] = mark } }
  return image
}
