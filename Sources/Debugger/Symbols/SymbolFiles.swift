// Reading symbols from files: ELF, nm and System.map, GNU ld maps, NASM maps and listings.
//
// Owns: recognising the kind and taking names and addresses out. Every file may be hostile: lengths and offsets are checked.
// Must not know: what symbols are for. Follows: System V ABI (ELF), the tools' own output.

/// Symbol files.
enum SymbolFiles {
  /// The symbols of a file and what kind it was.
  static func read(_ bytes: [UInt8]) throws(DebuggerError) -> (kind: String, symbols: [DebugSymbol])
  {
    if bytes.starts(with: [0x7F, 0x45, 0x4C, 0x46]) { return ("ELF", try elf(bytes)) }
    if bytes.prefix(4096).contains(0) { throw DebuggerError("neither ELF nor text") }
    let text = String(decoding: bytes, as: UTF8.self)
    let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
    if text.contains("- NASM Map file") { return ("NASM map", nasmMap(lines)) }
    if text.contains("Linker script and memory map") { return ("ld map", ldMap(lines)) }
    let nm = nmSymbols(lines)
    if !nm.isEmpty { return ("nm", nm) }
    let listing = nasmListing(lines)
    if !listing.isEmpty { return ("NASM listing", listing) }
    throw DebuggerError("no symbols found (ELF, nm, ld map, NASM map and listing are understood)")
  }

  // MARK: - ELF

  private static func elf(_ bytes: [UInt8]) throws(DebuggerError) -> [DebugSymbol] {
    let wide = bytes.count > 4 && bytes[4] == 2
    guard bytes.count > 5, bytes[5] == 1 else { throw DebuggerError("a big-endian ELF file") }
    func number(_ at: Int, _ size: Int) -> UInt64 {
      guard at >= 0, at <= bytes.count - size else { return 0 }
      return bytes[at..<at + size].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    func word(_ at: Int) -> Int { Int(number(at, 4)) }
    func size(_ at: Int) -> Int { Int(clamping: number(at, wide ? 8 : 4)) }
    let sections = size(wide ? 0x28 : 0x20)
    let entrySize = Int(number(wide ? 0x3A : 0x2E, 2))
    let count = Int(number(wide ? 0x3C : 0x30, 2))
    guard entrySize >= (wide ? 64 : 40), sections > 0 else { return [] }
    func header(_ n: Int) -> Int? {
      let (offset, overflow) = sections.addingReportingOverflow(n * entrySize)
      return n < count && !overflow && offset <= bytes.count - entrySize ? offset : nil
    }
    var result: [DebugSymbol] = []
    for n in 0..<count {
      guard let h = header(n), word(h + 4) == 2 || word(h + 4) == 11 else { continue }
      // SHT_SYMTAB, SHT_DYNSYM
      let start = size(h + (wide ? 0x18 : 0x10))
      let length = size(h + (wide ? 0x20 : 0x14))
      guard let strings = header(word(h + (wide ? 0x28 : 0x18))) else { continue }
      let names = size(strings + (wide ? 0x18 : 0x10))
      let namesLength = size(strings + (wide ? 0x20 : 0x14))
      guard start >= 0, length >= 0, start <= bytes.count, length <= bytes.count - start,
        names >= 0, namesLength >= 0, names <= bytes.count, namesLength <= bytes.count - names
      else { continue }
      for at in stride(from: start, through: start + length - (wide ? 24 : 16), by: wide ? 24 : 16)
      {
        let kind = number(at + (wide ? 4 : 12), 1) & 15
        // Objects, functions and labels; sections and files have no names of use.
        if kind > 2 || number(at + (wide ? 6 : 14), 2) == 0 { continue }
        let name = word(at)
        guard name > 0, name < namesLength else { continue }
        let end =
          bytes[(names + name)..<(names + namesLength)].firstIndex(of: 0) ?? names + namesLength
        let text = String(decoding: bytes[(names + name)..<end], as: UTF8.self)
        let value = UInt32(truncatingIfNeeded: number(at + (wide ? 8 : 4), wide ? 8 : 4))
        let extent = UInt32(clamping: number(at + (wide ? 16 : 8), wide ? 8 : 4))
        if !text.isEmpty { result.append(DebugSymbol(text, value, size: extent)) }
      }
    }
    if result.isEmpty { throw DebuggerError("the ELF file has no symbols") }
    return result
  }

  // MARK: - Text

  /// `ADDRESS TYPE NAME` as nm and System.map have it (with the size between when `nm -S` made it).
  private static func nmSymbols(_ lines: [Substring]) -> [DebugSymbol] {
    var result: [DebugSymbol] = []
    for line in lines {
      let words = line.split(whereSeparator: \.isWhitespace)
      guard words.count >= 3, words[0].count >= 8,
        let address = UInt64(words[0], radix: 16)
      else { continue }
      var extent: UInt32 = 0
      var n = 1
      if words.count >= 4, words[1].count == words[0].count, let s = UInt64(words[1], radix: 16) {
        extent = UInt32(clamping: s)
        n = 2
      }
      guard words[n].count == 1, let letter = words[n].first, letter.isLetter || letter == "?"
      else { continue }
      // Absolute and undefined names are no places.
      if "UwvaA".contains(letter) && letter != "A" { continue }
      result.append(
        DebugSymbol(String(words[n + 1]), UInt32(truncatingIfNeeded: address), size: extent))
    }
    return result
  }

  /// `                0x00100000                name` lines of GNU ld.
  private static func ldMap(_ lines: [Substring]) -> [DebugSymbol] {
    var result: [DebugSymbol] = []
    for line in lines {
      let words = line.split(whereSeparator: \.isWhitespace)
      guard words.count >= 2, words[0].hasPrefix("0x"), line.first == " ",
        let address = UInt64(words[0].dropFirst(2), radix: 16)
      else { continue }
      // `name`, `name = .`, `PROVIDE (name = .)`
      var name = words[1]
      if name == "PROVIDE" && words.count > 2 { name = words[2] }
      if name.first == "(" { name = name.dropFirst() }
      guard let first = name.first, first.isLetter || first == "_" || first == ".",
        !name.hasPrefix("0x"), name != "."
      else { continue }
      result.append(DebugSymbol(String(name), UInt32(truncatingIfNeeded: address)))
    }
    return result
  }

  /// `Real  Virtual  Name` lines under "Symbols" of a NASM map.
  private static func nasmMap(_ lines: [Substring]) -> [DebugSymbol] {
    var result: [DebugSymbol] = []
    for line in lines {
      let words = line.split(whereSeparator: \.isWhitespace)
      // Value lines have "Real Virtual Name"; absolute ones "Value Name".
      guard let last = words.last, let first = words.first, words.count == 2 || words.count == 3,
        let value = UInt64(words.count == 3 ? words[1] : first, radix: 16),
        UInt64(first, radix: 16) != nil, let letter = last.first,
        letter.isLetter || "_.$@?".contains(letter)
      else { continue }
      result.append(DebugSymbol(String(last), UInt32(truncatingIfNeeded: value)))
    }
    return result
  }

  /// `LINE ADDRESS BYTES  source` lines of a NASM listing: labels get the address of the next line with code.
  private static func nasmListing(_ lines: [Substring]) -> [DebugSymbol] {
    var result: [DebugSymbol] = []
    var waiting: [String] = []
    var origin: UInt32 = 0
    var parent = ""
    for line in lines {
      let words = line.split(whereSeparator: \.isWhitespace)
      guard let first = words.first, UInt64(first) != nil else { continue }
      var source = words.dropFirst()
      if let level = source.first, level.hasPrefix("<") { source = source.dropFirst() }
      var address: UInt32?
      if source.count >= 2, let at = source.first, at.count == 8, let value = UInt32(at, radix: 16)
      {
        address = value
        source = source.dropFirst(2)
        if let level = source.first, level.hasPrefix("<") { source = source.dropFirst() }
      }
      let low = source.map { $0.lowercased() }
      if low.count >= 2, low[0] == "org" || low[0] == "[org",
        let value = ExpressionParser.number(
          low[1].hasPrefix("0x") ? low[1].filter { $0 != "]" } : low[1].filter { $0 != "]" })
      {
        origin = UInt32(truncatingIfNeeded: value)
      }
      if let label = source.first, label.hasSuffix(":"), label.count > 1 {
        var name = String(label.dropLast())
        if name.hasPrefix(".") { name = parent + name } else { parent = name }
        waiting.append(name)
      }
      if let address {
        for name in waiting { result.append(DebugSymbol(name, origin &+ address)) }
        waiting = []
      }
    }
    return result
  }
}
