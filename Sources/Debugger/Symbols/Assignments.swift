// What `set` and `print` do: places that can be changed, values in gdb's formats.
//
// Owns: which text means a register, a variable, memory; the forms of numbers. Must not know: names of registers (Registers.swift),
// the grammar of expressions (Expression.swift).

import CPU

extension Debugger {
  /// gdb's names of pointers: linear addresses, as everything that takes addresses wants them.
  func pointerRegister(_ name: String) -> UInt64? {
    let ss = cpu[segment: SegmentRegister.ss]
    let mask = ss.isBig ? UInt32.max : 0xFFFF
    switch name.lowercased() {
    case "pc": return UInt64(cpu.nextLinear)
    case "sp": return UInt64(stackLinear)
    case "fp": return UInt64(ss.base &+ (cpu[Register.ebp] & mask))
    case "ps": return UInt64(cpu.eflags)
    case "_": return nextData
    default: return nil
    }
  }

  private func setPointer(_ name: String, _ value: UInt64) throws(DebuggerError) -> Bool {
    guard let linear = UInt32(exactly: value) else {
      throw DebuggerError("\(hexDigits(value)) is beyond 32 bits")
    }
    let ss = cpu[segment: SegmentRegister.ss]
    switch name.lowercased() {
    case "pc": try setProgramCounter(linear)
    case "sp", "fp":
      let offset = linear &- ss.base
      if !ss.isBig && offset > 0xFFFF {
        throw DebuggerError(
          "\(hexDigits(linear, 8)) is not in the stack segment (base \(hexDigits(ss.base, 8)))")
      }
      let register = name.lowercased() == "sp" ? "esp" : "ebp"
      try registers.set(ss.isBig ? register : String(register.dropFirst()), UInt64(offset))
    case "ps": try registers.set("eflags", value)
    default: return false
    }
    return true
  }

  // MARK: - Assignment

  /// The two sides of a single "=", and the operator before it (+= and the like).
  static func assignment(_ text: String) -> (left: String, op: String, right: String)? {
    let characters = Array(text)
    for n in characters.indices where characters[n] == "=" {
      let before = n > 0 ? characters[n - 1] : " "
      let after = n + 1 < characters.count ? characters[n + 1] : " "
      if "=!<>".contains(before) || after == "=" { continue }
      let op = "+-*/%&|^".contains(before) ? String(before) : ""
      let left = String(characters[..<(n - op.count)])
      return (trim(left), op, trim(String(characters[(n + 1)...])))
    }
    return nil
  }

  func setCommand(_ arguments: String) throws(DebuggerError) -> View {
    var text = arguments
    let (first, rest) = Debugger.firstWord(text)
    if ["var", "variable"].contains(first.lowercased()), !rest.hasPrefix("=") {
      text = rest
    } else if let answer = try setting(first, rest) {
      return answer
    }
    if let (left, op, right) = Debugger.assignment(text) {
      if left.isEmpty || right.isEmpty { throw DebuggerError("set PLACE = VALUE is wanted") }
      try assign(left, op, right)
      return View([])
    }
    // set eax 5
    let (name, value) = Debugger.firstWord(text)
    if value.isEmpty { throw DebuggerError("set PLACE = VALUE is wanted") }
    try assign(name, "", value)
    return View([])
  }

  /// Settings; nil: it is none.
  private func setting(_ name: String, _ rest: String) throws(DebuggerError) -> View? {
    var value = rest
    if value.hasPrefix("=") { value = Debugger.trim(String(value.dropFirst())) }
    var name = name.lowercased()
    if let equals = name.firstIndex(of: "=") {
      value = String(name[name.index(after: equals)...]) + value
      name = String(name[..<equals])
    }
    switch name {
    case "syntax", "disassembly-flavor":
      switch value.lowercased() {
      case "intel": syntax = .intel
      case "att", "at&t": syntax = .att
      default: throw DebuggerError("intel or att are possible")
      }
      return View([])
    case "pagination", "confirm", "height", "width", "verbose", "style", "print", "history",
      "disassemble-next-line", "logging", "listsize", "radix", "output-radix", "input-radix",
      "args",
      "breakpoint", "scheduler-locking", "can-use-hw-watchpoints":
      if value.isEmpty || symbols.address(of: name) != nil { return nil }
      return View([
        "\(name) is a setting of gdb's; there is none of that name here, nothing changes"
      ])
    case "architecture", "arch":
      return View(["whether code is 16 or 32-bit follows from CS; nothing to set"])
    default: return nil
    }
  }

  /// Changes what a text names.
  /// - Parameter op: what combines the old value with the new one, or nothing.
  func assign(_ left: String, _ op: String, _ right: String) throws(DebuggerError) {
    let name = Habits.withoutDollar(left)
    let low = name.lowercased()
    let hasDollar = left.hasPrefix("$")
    if op.isEmpty, try registers.setWide(low, right) {
      reverse?.wasChanged()
      return
    }
    var value = try evaluate(right)
    if !op.isEmpty {
      let old = try evaluate(left)
      value = try Expression.binary(op, .number(old), .number(value)).evaluate(self)
    }
    if hasDollar, try setPointer(name, value) {
      reverse?.wasChanged()
      nextCode = nil
    } else if registers.value(low) != nil {
      try registers.set(low, registers.narrowed(low, value))
      reverse?.wasChanged()
      nextCode = nil
    } else if hasDollar {
      guard let first = name.first, first.isLetter || first == "_",
        name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" })
      else { throw DebuggerError("'\(left)' is no name of a variable") }
      variables[name] = value
    } else {
      try assignMemory(left, value)
    }
  }

  private func assignMemory(_ left: String, _ value: UInt64) throws(DebuggerError) {
    let expression = try Expression.parse(left)
    var place = expression.place
    if place == nil, case .name(let name) = expression {
      guard symbols.address(of: name) != nil else {
        throw DebuggerError(
          "'\(name)' is no register or symbol that could be set (set $\(name) = makes a variable)")
      }
      guard let size = symbols.size(of: name), [1, 2, 4, 8].contains(size) else {
        throw DebuggerError(
          "how many bytes \(name) has is not known: set {char}\(name), {short}\(name) or {int}\(name)"
        )
      }
      place = (expression, Int(size), false)
    }
    guard let (addressOf, size, physical) = place else {
      throw DebuggerError(
        "'\(left)' cannot be set: a register, {int}ADDRESS, *(char*)ADDRESS, [w ADDRESS] or a symbol can"
      )
    }
    let at = try MemoryPlace(try addressOf.evaluate(self), physical: physical).address
    let cut = RegisterFile.narrowed(value, bits: 8 * size)
    if size < 8 && cut >> UInt64(8 * size) != 0 {
      throw DebuggerError("\(hexDigits(value)) does not fit into \(size) bytes")
    }
    let bytes = (0..<size).map { UInt8(truncatingIfNeeded: cut >> UInt64(8 * $0)) }
    try memory.write(at, bytes, physical: physical)
    reverse?.wasChanged()
  }

  // MARK: - Print

  func printCommand(_ arguments: String) throws(DebuggerError) -> View {
    var text = arguments
    var format: Character?
    if text.hasPrefix("/") {
      let spec = text.dropFirst().prefix { !$0.isWhitespace }
      text = Debugger.trim(String(text.dropFirst(spec.count + 1)))
      format = try Debugger.printFormat(String(spec))
    }
    if text.isEmpty {
      throw DebuggerError("an expression is missing (p prints; n steps over calls)")
    }
    if let (left, op, right) = Debugger.assignment(text), !left.isEmpty, !right.isEmpty {
      try assign(left, op, right)
      text = left
    }
    let expression = try Expression.parse(text)
    let value = try expression.evaluate(self)
    if let format {
      var line = number(value, size(of: expression, value), format)
      // Only memory is shown with all its bits.
      if format == "t" { line = String(line.drop { $0 == "0" }) }
      if line.isEmpty { line = "0" }
      return View([line], json: .object([("value", .number(value)), ("text", .string(line))]))
    }
    var line = "\(hexDigits(value))h = \(value)"
    if value <= 0xFFFF_FFFF {
      let signed = Int32(bitPattern: UInt32(value))
      if signed < 0 { line += " = \(signed)" }
      if (0x20...0x7E).contains(value) { line += " = '\(Debugger.character(UInt8(value)))'" }
      if let name = symbols.text(UInt32(value)) { line += " = <\(name)>" }
    }
    // A symbol is an address; who asks for it often means what is there.
    if case .name(let name) = expression, registers.value(name.lowercased()) == nil,
      symbols.address(of: name) != nil
    {
      let size = symbols.size(of: name).flatMap { [1, 2, 4, 8].contains($0) ? Int($0) : nil }
      let held = memory.number(UInt32(truncatingIfNeeded: value), size: size ?? 4, physical: false)
      line += held.map { ", holds \(hexDigits($0, 2 * (size ?? 4)))" } ?? ", not mapped"
    }
    return View([line], json: .number(value))
  }

  static func printFormat(_ spec: String) throws(DebuggerError) -> Character? {
    var format: Character?
    for c in spec {
      switch c {
      case "x", "z", "d", "u", "o", "t", "c", "a", "f", "s": format = c
      case "i": throw DebuggerError("i is for memory: x/i ADDRESS")
      case "b", "h", "w", "g":
        throw DebuggerError("sizes are for memory (x/\(spec)); (char)x cuts a value")
      case "0"..."9": throw DebuggerError("a count is for memory: x/\(spec) ADDRESS")
      default: throw DebuggerError("'\(c)': x z d u o t c a f are possible")
      }
    }
    return format == "s" ? nil : format
  }

  /// How many bytes a value has: what its cast or memory says, the register, else 4 or 8.
  private func size(of expression: Expression, _ value: UInt64) -> Int {
    switch expression {
    case .cast(_, let type): return type.size
    case .memory(_, let size, _): return size
    case .name(let name):
      let low = Habits.withoutDollar(name).lowercased()
      if low == "sp", name.hasPrefix("$") { return 4 }
      if let bits = RegisterFile.bits(low) { return max(1, bits / 8) }
      return value > 0xFFFF_FFFF ? 8 : 4
    default: return value > 0xFFFF_FFFF ? 8 : 4
    }
  }

  /// A value in one of gdb's formats.
  func number(_ full: UInt64, _ size: Int, _ format: Character) -> String {
    let bits = UInt64(8 * size)
    let value = size >= 8 ? full : full & (1 << bits - 1)
    let signed = Int64(bitPattern: value << (64 - bits)) >> Int64(64 - bits)
    switch format {
    case "d": return "\(signed)"
    case "u": return "\(value)"
    case "o": return value == 0 ? "0" : "0" + String(value, radix: 8)
    case "t":
      let digits = String(value, radix: 2)
      return String(repeating: "0", count: max(0, Int(bits) - digits.count)) + digits
    case "c":
      let byte = UInt8(truncatingIfNeeded: value)
      let octal = String(byte, radix: 8)
      let character =
        (0x20...0x7E).contains(byte)
        ? Debugger.character(byte)
        : "\\" + String(repeating: "0", count: 3 - octal.count) + octal
      return "\(Int8(bitPattern: byte)) '\(character)'"
    case "z": return "0x" + hexDigits(value, 2 * size)
    case "a":
      let address = UInt32(truncatingIfNeeded: signed)
      return "0x" + hexDigits(address) + (symbols.text(address).map { " <\($0)>" } ?? "")
    case "f":
      return size == 8
        ? "\(Double(bitPattern: value))"
        : size == 4 ? "\(Float(bitPattern: UInt32(truncatingIfNeeded: value)))" : "\(signed)"
    default: return "0x" + hexDigits(value)
    }
  }
}

extension RegisterFile {
  /// The width of a register that can be set; nil when the name is none.
  static func bits(_ name: String) -> Int? {
    if general.contains(name) { return 32 }
    if words.contains(name) || segments.contains(name) || name == "ip" || name == "flags" {
      return 16
    }
    if bytes.contains(name) { return 8 }
    if flags.contains(where: { $0.name == name }) { return 1 }
    if name.hasPrefix("mm") || name == "icount" { return 64 }
    return names.contains(name) ? 32 : nil
  }

  /// -1 and its like in fewer bits than the 32 that expressions have.
  static func narrowed(_ value: UInt64, bits: Int) -> UInt64 {
    guard bits > 1, bits < 32, value >> 32 == 0 else { return value }
    let signed = Int32(bitPattern: UInt32(value))
    return signed < 0 && signed >= -(1 << Int32(bits - 1)) ? value & (1 << UInt64(bits) - 1) : value
  }

  func narrowed(_ name: String, _ value: UInt64) -> UInt64 {
    RegisterFile.bits(name).map { RegisterFile.narrowed(value, bits: $0) } ?? value
  }
}
