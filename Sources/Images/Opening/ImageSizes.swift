// Sizes and options as people write them.
//
// Owns: reading "10G", "+512M", "key=value,key=value"; writing sizes. Must not know: what they are of.

import Storage

/// Sizes in words.
public enum ImageSize {
  private static let units: [Character: UInt64] = [
    "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50, "e": 1 << 60,
  ]

  /// Bytes, as in "512", "1.5G", "64k" (powers of 1024); nil: it is no size, or has a part of a byte.
  public static func parse(_ text: String) -> UInt64? {
    var digits = text.lowercased()
    if digits.hasSuffix("ib") { digits.removeLast(2) }
    var unit: UInt64 = 1
    if let last = digits.last, let known = units[last] {
      unit = known
      digits.removeLast()
    }
    let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), !parts[0].isEmpty,
      parts.allSatisfy({ $0.allSatisfy { $0.isASCII && $0.isNumber } }),
      let whole = UInt64(parts[0])
    else { return nil }
    let (bytes, overflow) = whole.multipliedReportingOverflow(by: unit)
    if overflow { return nil }
    guard parts.count == 2 else { return bytes }
    guard !parts[1].isEmpty, parts[1].count <= 9, let part = UInt64(parts[1]) else { return nil }
    let scale = (0..<parts[1].count).reduce(UInt64(1)) { sum, _ in sum * 10 }
    let product = part.multipliedFullWidth(by: unit)
    let (quotient, remainder) = scale.dividingFullWidth(product)
    // Rounded down to bytes, as a part of a byte means nothing; but ".5" of a byte is a mistake.
    if unit == 1 || (remainder != 0 && unit < 1 << 10) { return nil }
    let (sum, carries) = bytes.addingReportingOverflow(quotient)
    return carries ? nil : sum
  }

  /// A size for people, as in "1.5 GiB".
  public static func text(_ bytes: UInt64) -> String {
    var value = Double(bytes)
    for unit in ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
      if value < 1024 || unit == "EiB" {
        return unit == "B" ? "\(bytes) B" : "\(fixed(value)) \(unit)"
      }
      value /= 1024
    }
    return "\(bytes) B"
  }

  /// The largest size there can be, for people: it is not rounded up to one that cannot.
  public static func most(_ bytes: UInt64) -> String {
    let rounded = text(bytes)
    let size = parse(rounded.replacing(" ", with: "")) ?? bytes
    return size > bytes ? "less than \(rounded)" : "up to \(rounded)"
  }

  /// A number with at most three figures that mean something.
  static func fixed(_ value: Double) -> String {
    let digits = value < 10 ? 2 : value < 100 ? 1 : 0
    let scale = [1.0, 10, 100][digits]
    let number = UInt64(max(0, value * scale).rounded())
    if digits == 0 { return String(number) }
    let rest = String(number % UInt64(scale))
    let padded = String(repeating: "0", count: digits - rest.count) + rest
    let trimmed = padded.reversed().drop { $0 == "0" }.reversed()
    let whole = String(number / UInt64(scale))
    return trimmed.isEmpty ? whole : whole + "." + String(trimmed)
  }
}

/// Options as qemu-img has them.
public enum ImageOptionText {
  /// "a=1,b=2" as pairs; a comma that belongs to a value is written twice.
  /// - Throws: words without a file's name.
  public static func parse(_ texts: [String]) throws(ImageUsageError) -> [String: String] {
    var result: [String: String] = [:]
    for text in texts {
      var parts: [String] = [""]
      var characters = text[...]
      while let character = characters.popFirst() {
        if character == "," {
          if characters.first == "," {
            characters.removeFirst()
          } else {
            parts.append("")
            continue
          }
        }
        parts[parts.count - 1].append(character)
      }
      for part in parts {
        guard let mark = part.firstIndex(of: "="), mark != part.startIndex else {
          throw ImageUsageError("-o \(text): '\(part)' is no NAME=VALUE")
        }
        let name = String(part[..<mark])
        if result.updateValue(String(part[part.index(after: mark)...]), forKey: name) != nil {
          throw ImageUsageError("-o \(text): '\(name)' is given twice")
        }
      }
    }
    return result
  }
}

/// What was asked for makes no sense, whatever the images are.
public struct ImageUsageError: Error, CustomStringConvertible {
  public var description: String
  public init(_ description: String) { self.description = description }
}
