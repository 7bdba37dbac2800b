// Commands that look at and change memory.
//
// Owns: x xp d e u find setmem and the forms they print. Must not know: how memory is read (GuestMemory.swift).

import CPU

extension Debugger {
  static var memoryCommands: [Command] {
    [
      Command(
        "x", "[/COUNT FORMAT SIZE] [ADDRESS]", "memory", repeats: true,
        """
        Show memory at a linear address, as in x /16bx ds:si.
        FORMAT: x or z hexadecimal, d decimal, u unsigned, o octal, t binary, c characters, s string, f floating point, a addresses,
        i instructions. SIZE: b 1, h 2, w 4, g 8 bytes. COUNT is decimal. x alone goes on.
        """
      ) { d, a in try d.examine(a, physical: false) },
      Command(
        "xp", "[/COUNT FORMAT SIZE] [ADDRESS]", "memory", repeats: true,
        "The same at a physical address."
      ) { d, a in try d.examine(a, physical: true) },
      Command(
        "d dump db", "[ADDRESS [LENGTH]]", "memory", repeats: true,
        """
        As in DEBUG: bytes and characters at an address (LENGTH hexadecimal, 80 by default).
        """
      ) { d, a in try d.dump(a) },
      Command(
        "e enter", "ADDRESS BYTE|\"TEXT\"...", "memory", "As in DEBUG: enter bytes at an address."
      ) { d, a in
        let (at, rest, _) = try d.leadingPlace(a)
        let bytes = try d.byteList(rest)
        try d.memory.write(at.address, bytes, physical: at.physical)
        d.reverse?.wasChanged()
        return View([])
      },
      Command(
        "setmem", "ADDRESS [b|h|w|g] = VALUE[, VALUE...]", "memory",
        "Change memory: numbers of 1, 2, 4 (default) or 8 bytes."
      ) { d, a in try d.setMemory(a) },
      Command(
        "u unassemble disasm disassemble disas list l", "[/COUNT] [START [END]]", "memory",
        repeats: true,
        """
        Disassemble from an address (default: CS:EIP, then onward), as the code segment's size says.
        There is no source text: list shows instructions too.
        """
      ) { d, a in try d.unassemble(a) },
      Command(
        "find", "START END BYTE|\"TEXT\"...", "memory",
        "Search memory from START to END for bytes or text; p:START is physical. Shows the first 64 places."
      ) { d, a in try d.find(a) },
    ]
  }

  /// An address at the start of a text, and what follows it.
  func leadingPlace(_ text: String) throws(DebuggerError) -> (
    place: MemoryPlace, rest: String, segment: SegmentedPlace?
  ) {
    let (expression, physical) = Debugger.physicalPrefix(text)
    if expression.isEmpty { throw DebuggerError("an address is missing") }
    var parser = try ExpressionParser(expression)
    let parsed = try parser.address()
    let value = try parsed.evaluate(self)
    let place = try MemoryPlace(value, physical: physical)
    return (place, Debugger.trim(parser.rest), segment(of: parsed, place.linear))
  }

  /// The segment that a far address names.
  private func segment(of expression: Expression, _ linear: UInt32) -> SegmentedPlace? {
    guard case .far(let segment, let offset) = expression,
      let selector = try? segment.evaluate(self), let offset = try? offset.evaluate(self)
    else { return nil }
    return SegmentedPlace(
      selector: UInt16(truncatingIfNeeded: selector),
      base: linear &- UInt32(truncatingIfNeeded: offset))
  }

  /// Bytes and quoted texts.
  func byteList(_ text: String) throws(DebuggerError) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = Substring(text)
    while true {
      while let c = rest.first, c.isWhitespace || c == "," { rest = rest.dropFirst() }
      guard let first = rest.first else { break }
      if first == "\"" {
        let body = rest.dropFirst().prefix { $0 != "\"" }
        guard rest.count >= body.count + 2 else { throw DebuggerError("'\"' is missing") }
        bytes += Array(body.utf8)
        rest = rest.dropFirst(body.count + 2)
      } else {
        let word = rest.prefix { !$0.isWhitespace && $0 != "," }
        let value = try evaluate(String(word))
        if value > 0xFF { throw DebuggerError("'\(word)' is no byte") }
        bytes.append(UInt8(value))
        rest = rest.dropFirst(word.count)
      }
    }
    if bytes.isEmpty { throw DebuggerError("bytes are missing") }
    return bytes
  }

  // MARK: - x

  func examine(_ arguments: String, physical given: Bool) throws(DebuggerError) -> View {
    var text = arguments
    var format: Character = "x"
    var size = 4
    var sized = false
    var n: UInt64 = 1
    var bytesWanted = false
    if text.isEmpty, let last = lastExamine {
      // x alone goes on as it began.
      (format, size, sized, bytesWanted) = (last.format, last.size, true, false)
    }
    if text.hasPrefix("/") {
      let spec = text.dropFirst().prefix { !$0.isWhitespace }
      text = Debugger.trim(String(text.dropFirst(spec.count + 1)))
      if spec.hasPrefix("-") {
        throw DebuggerError("memory is shown forward only: begin at a lower address")
      }
      let digits = spec.prefix { $0.isNumber }
      if !digits.isEmpty {
        guard let value = UInt64(digits), (1...65536).contains(value) else {
          throw DebuggerError("a count of 1 to 65536 is wanted")
        }
        n = value
      }
      for c in spec.dropFirst(digits.count) {
        switch c {
        case "x", "z", "d", "u", "o", "t", "c", "s", "i", "f", "a": format = c
        case "b": (size, sized) = (1, true)
        case "h": (size, sized) = (2, true)
        case "w": (size, sized) = (4, true)
        case "g": (size, sized) = (8, true)
        default: throw DebuggerError("'\(c)': x z d u o t c s i f a and b h w g are possible")
        }
      }
      bytesWanted = format == "c" || format == "s"
    }
    if bytesWanted && !sized { size = 1 }
    if format == "f" && size < 4 { throw DebuggerError("floating point has w (4) or g (8) bytes") }
    lastExamine = (format, size)
    var at = nextData
    var physical = given
    var segment: SegmentedPlace?
    if !text.isEmpty {
      let p = try leadingPlace(text)
      if !p.rest.isEmpty { throw DebuggerError("'\(p.rest)' is too much") }
      at = p.place.address
      physical = physical || p.place.physical
      segment = p.segment
    }
    if format == "i" {
      let view = codeView(
        at: UInt32(truncatingIfNeeded: at), count: Int(n), segment: segment)
      nextData = nextCode.map { UInt64($0) } ?? at
      return view
    }
    if format == "s" { return strings(at, n, physical) }
    return numbersView(at, Int(n), size, format, physical)
  }

  private func label(_ address: UInt64, _ physical: Bool) -> String {
    let name = physical ? nil : symbols.text(UInt32(truncatingIfNeeded: address))
    return hexDigits(address, 8) + (name.map { " <\($0)>" } ?? "")
  }

  private func numbersView(
    _ start: UInt64, _ n: Int, _ size: Int, _ format: Character, _ physical: Bool
  ) -> View {
    let perLine = format == "t" ? max(1, 4 / size) : 16 / size
    var lines: [String] = []
    var items: [JSONValue] = []
    var line = ""
    for k in 0..<n {
      let a = MemoryPlace.after(start, k * size, physical: physical)
      if k % perLine == 0 {
        if !line.isEmpty { lines.append(line) }
        line = label(a, physical) + ":"
      }
      guard let value = memory.number(a, size: size, physical: physical) else {
        line += " " + String(repeating: "?", count: size * 2)
        items.append(.null)
        continue
      }
      items.append(.number(value))
      line += " " + (format == "x" ? hexDigits(value, size * 2) : number(value, size, format))
    }
    if !line.isEmpty { lines.append(line) }
    nextData = MemoryPlace.after(start, n * size, physical: physical)
    return View(
      lines,
      json: .object([
        ("address", .of(start)), ("physical", .bool(physical)), ("size", .of(size)),
        ("values", .array(items)),
      ]))
  }

  private func strings(_ start: UInt64, _ n: UInt64, _ physical: Bool) -> View {
    var lines: [String] = []
    var items: [JSONValue] = []
    var at = start
    for _ in 0..<min(n, 1000) {
      var text = ""
      let from = at
      for _ in 0..<256 {
        guard let byte = memory.bytes(at, count: 1, physical: physical)[0] else { break }
        at = MemoryPlace.after(at, 1, physical: physical)
        if byte == 0 { break }
        text += Debugger.character(byte)
      }
      lines.append("\(label(from, physical)): \"\(text)\"")
      items.append(.object([("address", .of(from)), ("text", .string(text))]))
      if at == from { break }
    }
    nextData = at
    return View(lines, json: .array(items))
  }

  static func character(_ byte: UInt8) -> String {
    (0x20...0x7E).contains(byte) ? String(UnicodeScalar(byte)) : "."
  }

  // MARK: - d

  private func dump(_ arguments: String) throws(DebuggerError) -> View {
    var at = nextData
    var physical = false
    var length: UInt64 = 0x80
    if !arguments.isEmpty {
      let (p, rest, segment) = try leadingPlace(arguments)
      at = p.address
      physical = p.physical
      nextDataSegment = segment
      if !rest.isEmpty {
        let low = rest.lowercased()
        length = try evaluate(low.hasPrefix("l ") ? String(rest.dropFirst(2)) : rest)
      }
      guard (1...0x10000).contains(length) else {
        throw DebuggerError("a length of 1 to 10000h is wanted")
      }
    }
    let bytes = memory.bytes(at, count: Int(length), physical: physical)
    var lines: [String] = []
    var done = 0
    while done < bytes.count {
      let a = MemoryPlace.after(at, done, physical: physical)
      let named = nextDataSegment.flatMap {
        UInt32(truncatingIfNeeded: a) &- $0.base <= 0xFFFF ? $0 : nil
      }
      let offset = UInt32(truncatingIfNeeded: a) &- (named?.base ?? 0)
      let lead = done == 0 ? Int(offset & 15) : 0
      let row = bytes[done..<min(done + 16 - lead, bytes.count)]
      var hex = String(repeating: "   ", count: lead)
      var text = String(repeating: " ", count: lead)
      for (n, byte) in row.enumerated() {
        hex += (lead + n == 8 ? "-" : " ") + (byte.map { hexDigits($0, 2) } ?? "??")
        text += byte.map { Debugger.character($0) } ?? "?"
      }
      let place =
        named.map { "\(hexDigits($0.selector, 4)):\(hexDigits(offset & ~15, 4))" }
        ?? hexDigits(a & ~15, 8)
      lines.append("\(place) \(padded(hex, 48))  \(text)")
      done += row.count
    }
    nextData = MemoryPlace.after(at, Int(length), physical: physical)
    return View(
      lines,
      json: .object([
        ("address", .of(at)), ("physical", .bool(physical)),
        ("bytes", .array(bytes.map { $0.map { .of($0) } ?? .null })),
      ]))
  }

  // MARK: - setmem, u, find

  private func setMemory(_ arguments: String) throws(DebuggerError) -> View {
    // The "=" that stands alone.
    let characters = Array(arguments)
    var split: Int?
    for (n, c) in characters.enumerated() where c == "=" {
      let before = n > 0 ? characters[n - 1] : " "
      let after = n + 1 < characters.count ? characters[n + 1] : " "
      if !"=!<>".contains(before) && after != "=" {
        split = n
        break
      }
    }
    guard let split else { throw DebuggerError("setmem ADDRESS = VALUE is wanted") }
    let (p, kind, _) = try leadingPlace(Debugger.trim(String(characters[..<split])))
    let sizes = ["b": 1, "h": 2, "w": 4, "g": 8, "": 4]
    guard let size = sizes[kind.lowercased()] else {
      throw DebuggerError("'\(kind)': b, h, w or g are possible")
    }
    let rest = String(characters[(split + 1)...])
    var bytes: [UInt8] = []
    for part in rest.split(separator: ",") {
      let value = try evaluate(String(part))
      if size < 8 && value >> UInt64(8 * size) != 0 {
        throw DebuggerError("\(hexDigits(value)) does not fit into \(size) bytes")
      }
      for n in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * n))) }
    }
    if bytes.isEmpty { throw DebuggerError("a value is missing") }
    try memory.write(p.address, bytes, physical: p.physical)
    reverse?.wasChanged()
    return View([])
  }

  private func unassemble(_ arguments: String) throws(DebuggerError) -> View {
    var text = arguments
    var n = 10
    if text.hasPrefix("/") {
      let digits = text.dropFirst().prefix { !$0.isWhitespace }
      guard let value = ["r", "m", "s", "rs", "rm"].contains(digits) ? 10 : Int(digits),
        (1...65536).contains(value)
      else {
        throw DebuggerError("a count of 1 to 65536 is wanted")
      }
      n = value
      text = Debugger.trim(String(text.dropFirst(digits.count + 1)))
    }
    if text.isEmpty {
      return codeView(at: nextCode ?? cpu.nextLinear, count: n, segment: nextCodeSegment)
    }
    if text.hasPrefix("*") { text = String(text.dropFirst()) }
    if let hint = Habits.sourceLine(text) { throw DebuggerError(hint) }
    var (start, rest, segment) = try leadingPlace(text)
    // gdb: START,END and START,+LENGTH.
    if rest.hasPrefix(",") {
      rest = Debugger.trim(String(rest.dropFirst()))
      if rest.hasPrefix("+") {
        let end = UInt64(start.address) &+ (try evaluate(String(rest.dropFirst())))
        rest = "0x" + String(min(end, 0xFFFF_FFFF), radix: 16)
      }
    }
    if start.physical { throw DebuggerError("u shows linear addresses (x /i too)") }
    if rest.isEmpty { return codeView(at: start.linear, count: n, segment: segment) }
    // As in DEBUG, the end may be an offset in the segment that the start named.
    var end = try place(rest).linear
    if let segment, !rest.contains(":"), end <= 0xFFFF { end = end &+ segment.base }
    if end < start.linear { throw DebuggerError("the end lies before the start") }
    return codeView(at: start.linear, count: 10000, end: end, segment: segment)
  }

  private func find(_ arguments: String) throws(DebuggerError) -> View {
    let (start, afterStart, _) = try leadingPlace(arguments)
    // gdb separates by commas.
    func withoutComma(_ text: String) -> String {
      text.hasPrefix(",") ? Debugger.trim(String(text.dropFirst())) : text
    }
    let (end, list, _) = try leadingPlace(withoutComma(afterStart))
    let wanted = try byteList(withoutComma(list))
    guard end.address >= start.address else { throw DebuggerError("END lies before START") }
    var found: [UInt64] = []
    var window: [UInt8?] = []
    var at = start.address
    let last = start.physical ? end.address : UInt64(end.linear)
    while at <= last && found.count < 64 {
      // Most of the address space is empty.
      let page = start.physical ? at : cpu.peekTranslate(LinearAddress(at))?.value
      let kind = page.map { memory.kind($0).rawValue } ?? "unmapped"
      if kind == "unmapped" {
        at = (at & ~0xFFF) + 0x1000
        continue
      }
      let size = Int(min(0x1000 - (at & 0xFFF), last - at + 1)) + wanted.count - 1
      window = memory.bytes(at, count: size, physical: start.physical)
      if window.count >= wanted.count {
        for n in 0...(window.count - wanted.count) where window[n] == wanted[0] {
          if at + UInt64(n) > last { break }
          if (0..<wanted.count).allSatisfy({ window[n + $0] == wanted[$0] }) {
            found.append(at + UInt64(n))
            if found.count == 64 { break }
          }
        }
      }
      at = (at & ~0xFFF) + 0x1000
    }
    return View(
      found.isEmpty
        ? ["not found"]
        : found.map {
          start.physical ? hexDigits($0, 8) : address(UInt32(truncatingIfNeeded: $0))
        },
      json: .array(found.map { .of($0) }))
  }
}
