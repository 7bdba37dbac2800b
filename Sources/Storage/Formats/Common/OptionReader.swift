// Values of a format's options.
//
// Owns: reading them, and the words when they cannot be. Must not know: which options there are.

struct OptionReader {
  private let options: [String: String]
  private let name: String

  init(_ wish: ImageWish, _ name: String) {
    options = wish.options
    self.name = name
  }

  private func refuse(_ option: String, _ value: String, _ values: String) -> StorageError {
    .usage(name, "option \(option): '\(value)' is not one of \(values)")
  }

  /// One of some words; the first is the standard.
  func word(_ option: String, _ words: [String]) throws(StorageError) -> String {
    guard let value = options[option] else { return words[0] }
    guard words.contains(value) else {
      throw refuse(option, value, words.joined(separator: ", "))
    }
    return value
  }

  func flag(_ option: String, standard: Bool) throws(StorageError) -> Bool {
    guard let value = options[option] else { return standard }
    switch value {
    case "on", "yes", "true": return true
    case "off", "no", "false": return false
    default: throw refuse(option, value, "on, off")
    }
  }

  /// A size, with K, M or G behind it or without; nil: nobody says.
  func size(_ option: String) throws(StorageError) -> UInt64? {
    guard let value = options[option] else { return nil }
    let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
    let unit = value.uppercased().last.flatMap { units[$0] }
    let digits = unit == nil ? Substring(value) : value.dropLast()
    guard let number = UInt64(digits), number <= UInt64.max / (unit ?? 1) else {
      throw refuse(option, value, "sizes, as in 65536, 64K, 1M")
    }
    return number * (unit ?? 1)
  }

  /// A power of two.
  func power(_ option: String, _ range: ClosedRange<UInt64>, standard: UInt64) throws(StorageError)
    -> UInt64
  {
    guard let number = try size(option) else { return standard }
    guard range.contains(number), number & (number - 1) == 0 else {
      throw refuse(
        option, options[option] ?? "",
        "the powers of two from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }
}
