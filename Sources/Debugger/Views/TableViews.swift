// Descriptor tables, task state, page tables.
//
// Owns: reading them out of memory without side effects, and their text. Must not know: how the processor uses them.
// Follows: Intel SDM volume 3, sections 3.4.5, 3.5, 4.3, 4.4, 5.8.3, 6.11, 7.2.

import CPU

extension Debugger {
  /// A descriptor in words.
  static func describe(_ raw: UInt64) -> String {
    let low = UInt32(truncatingIfNeeded: raw)
    let high = UInt32(raw >> 32)
    let base = low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000
    var limit = low & 0xFFFF | high & 0xF_0000
    if high & 0x80_0000 != 0 { limit = limit << 12 | 0xFFF }
    let type = Int(high >> 8 & 15)
    let dpl = "DPL \(high >> 13 & 3)"
    let present = high & 0x8000 != 0 ? "" : ", not present"
    if high & 0x1000 != 0 {
      var words: [String]
      if type & 8 != 0 {
        words = [high & 0x40_0000 != 0 ? "code32" : "code16"]
        if type & 4 != 0 { words.append("conforming") }
        words.append(type & 2 != 0 ? "readable" : "execute-only")
      } else {
        words = [high & 0x40_0000 != 0 ? "data32" : "data16"]
        if type & 4 != 0 { words.append("expand-down") }
        words.append(type & 2 != 0 ? "writable" : "read-only")
      }
      if type & 1 != 0 { words.append("accessed") }
      return
        "base=\(hexDigits(base, 8)) limit=\(hexDigits(limit, 8)) \(words.joined(separator: " ")), \(dpl)\(present)"
    }
    let names = [
      "reserved", "TSS16 available", "LDT", "TSS16 busy", "call gate 16", "task gate",
      "interrupt gate 16", "trap gate 16", "reserved", "TSS32 available", "reserved", "TSS32 busy",
      "call gate 32", "reserved", "interrupt gate 32", "trap gate 32",
    ]
    switch type {
    case 4, 6, 7, 12, 14, 15:
      let offset = type & 8 != 0 ? low & 0xFFFF | high & 0xFFFF_0000 : low & 0xFFFF
      return
        "\(names[type]) -> \(hexDigits(low >> 16, 4)):\(hexDigits(offset, 8)), \(dpl)\(present)"
    case 5: return "task gate -> TSS \(hexDigits(low >> 16, 4)), \(dpl)\(present)"
    case 0, 8, 10, 13: return "\(names[type]) \(hexDigits(raw, 16))"
    default:
      return
        "base=\(hexDigits(base, 8)) limit=\(hexDigits(limit, 8)) \(names[type]), \(dpl)\(present)"
    }
  }

  /// FIRST [LAST] as indexes into a table of `count` entries.
  private func indexes(_ text: String, count: UInt64) throws(DebuggerError) -> Range<UInt64> {
    let words = text.split(whereSeparator: \.isWhitespace).map(String.init)
    if words.isEmpty { return 0..<count }
    let first = try evaluate(words[0])
    let last = words.count > 1 ? try evaluate(words[1]) : first
    guard first <= last, first < count else {
      throw DebuggerError("the table has the entries 0 to \(hexDigits(max(count, 1) - 1))")
    }
    return first..<min(last + 1, count)
  }

  func descriptorTable(_ name: String, _ arguments: String) throws(DebuggerError) -> View {
    let p = cpu.s.pointee
    var base = p.gdtBase
    var limit = UInt64(p.gdtLimit)
    if name == "ldt" {
      let ldt = cpu[segment: SegmentRegister.ldtr]
      guard ldt.selector & 0xFFFC != 0, ldt.isPresent else {
        return View(["LDTR is null"], json: .null)
      }
      base = ldt.base
      limit = UInt64(ldt.limit)
    }
    var lines = ["\(name.uppercased()) base=\(hexDigits(base, 8)) limit=\(hexDigits(limit, 4))"]
    // The limit after a reset is FFFFh: what lies there is no table.
    if p.cr0 & CR0.pe == 0 && base == 0 && limit == 0xFFFF && arguments.isEmpty {
      return View(lines + ["not loaded yet (real mode)"], json: .array([]))
    }
    var items: [JSONValue] = []
    for n in try indexes(arguments, count: min((limit + 1) / 8, 8192)) {
      let at = base &+ UInt32(n * 8)
      guard let raw = memory.number(at, size: 8, physical: false) else {
        lines.append("\(hexDigits(n * 8, 4)) not mapped")
        continue
      }
      if raw == 0 && arguments.isEmpty { continue }
      let text = Debugger.describe(raw)
      lines.append("\(hexDigits(n * 8 | (name == "ldt" ? 4 : 0), 4)) \(text)")
      items.append(
        .object([
          ("selector", .number(n * 8 | (name == "ldt" ? 4 : 0))),
          ("raw", .string(hexDigits(raw, 16))), ("text", .string(text)),
        ]))
    }
    return View(lines, json: .array(items))
  }

  func interruptTable(_ arguments: String) throws(DebuggerError) -> View {
    let p = cpu.s.pointee
    let isReal = p.cr0 & CR0.pe == 0
    let entry: UInt64 = isReal ? 4 : 8
    var lines = [
      "\(isReal ? "interrupt vectors" : "IDT") base=\(hexDigits(p.idtBase, 8)) limit=\(hexDigits(p.idtLimit, 4))"
    ]
    var items: [JSONValue] = []
    for n in try indexes(arguments, count: min((UInt64(p.idtLimit) + 1) / entry, 256)) {
      let at = p.idtBase &+ UInt32(n * entry)
      guard let raw = memory.number(at, size: Int(entry), physical: false) else {
        lines.append("\(hexDigits(n, 2)) not mapped")
        continue
      }
      if raw == 0 && arguments.isEmpty { continue }
      let text: String
      if isReal {
        let linear = UInt32(raw >> 16) << 4 &+ UInt32(raw & 0xFFFF)
        text =
          "\(hexDigits(raw >> 16, 4)):\(hexDigits(raw & 0xFFFF, 4))"
          + (symbols.text(linear).map { " <\($0)>" } ?? "")
      } else {
        let offset = UInt32(truncatingIfNeeded: raw & 0xFFFF | raw >> 32 & 0xFFFF_0000)
        let base = cpu.segmentBase(ofSelector: UInt16(truncatingIfNeeded: raw >> 16)) ?? 0
        text = Debugger.describe(raw) + (symbols.text(base &+ offset).map { " <\($0)>" } ?? "")
      }
      lines.append("\(hexDigits(n, 2)) \(text)")
      items.append(
        .object([
          ("vector", .number(n)), ("raw", .string(hexDigits(raw, Int(entry) * 2))),
          ("text", .string(text)),
        ]))
    }
    return View(lines, json: .array(items))
  }

  func taskState(_ arguments: String) throws(DebuggerError) -> View {
    var base = cpu[segment: SegmentRegister.tr].base
    var is32 = cpu[segment: SegmentRegister.tr].attributes & 8 != 0
    var selector = cpu[segment: SegmentRegister.tr].selector
    var limit = cpu[segment: SegmentRegister.tr].limit
    if !arguments.isEmpty {
      let value = try evaluate(arguments)
      guard value <= 0xFFFF, let raw = cpu.peekDescriptor(UInt16(value)) else {
        throw DebuggerError("no descriptor \(hexDigits(value, 4))")
      }
      let high = UInt32(raw >> 32)
      let low = UInt32(truncatingIfNeeded: raw)
      guard high & 0x1500 == 0x0100 else { throw DebuggerError("\(hexDigits(value, 4)) is no TSS") }
      base = low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000
      limit = low & 0xFFFF | high & 0xF_0000
      if high & 0x80_0000 != 0 { limit = limit << 12 | 0xFFF }
      is32 = high & 0x800 != 0
      selector = UInt16(value)
    } else if selector & 0xFFFC == 0 {
      return View(["TR is null"], json: .null)
    }
    func field(_ offset: UInt32, _ size: Int) -> UInt64 {
      memory.number(base &+ offset, size: size, physical: false) ?? 0
    }
    var pairs: [(String, UInt64, Int)] = []
    if is32 {
      pairs = [
        ("link", field(0, 2), 4), ("ss0", field(8, 2), 4), ("esp0", field(4, 4), 8),
        ("ss1", field(16, 2), 4), ("esp1", field(12, 4), 8), ("ss2", field(24, 2), 4),
        ("esp2", field(20, 4), 8), ("cr3", field(28, 4), 8), ("eip", field(32, 4), 8),
        ("eflags", field(36, 4), 8),
      ]
      for (n, name) in RegisterFile.general.enumerated() {
        pairs.append((name, field(40 + UInt32(n) * 4, 4), 8))
      }
      for (n, name) in RegisterFile.segments.prefix(6).enumerated() {
        pairs.append((name, field(72 + UInt32(n) * 4, 2), 4))
      }
      pairs.append(("ldt", field(96, 2), 4))
      pairs.append(("iomap", field(102, 2), 4))
    } else {
      pairs = [
        ("link", field(0, 2), 4), ("ss0", field(4, 2), 4), ("sp0", field(2, 2), 4),
        ("ss1", field(8, 2), 4), ("sp1", field(6, 2), 4), ("ss2", field(12, 2), 4),
        ("sp2", field(10, 2), 4), ("ip", field(14, 2), 4), ("flags", field(16, 2), 4),
      ]
      for (n, name) in RegisterFile.words.enumerated() {
        pairs.append((name, field(18 + UInt32(n) * 2, 2), 4))
      }
      for (n, name) in RegisterFile.segments.prefix(4).enumerated() {
        pairs.append((name, field(34 + UInt32(n) * 2, 2), 4))
      }
      pairs.append(("ldt", field(42, 2), 4))
    }
    var lines = [
      "TSS\(is32 ? "32" : "16") \(hexDigits(selector, 4)) base=\(hexDigits(base, 8)) limit=\(hexDigits(limit, 8))"
    ]
    for start in stride(from: 0, to: pairs.count, by: 6) {
      lines.append(
        pairs[start..<min(start + 6, pairs.count)].map { "\($0.0)=\(hexDigits($0.1, $0.2))" }
          .joined(
            separator: " "))
    }
    return View(
      lines,
      json: .object(
        [("selector", .of(selector)), ("base", .of(base)), ("limit", .of(limit))]
          + pairs.map { ($0.0, .number($0.1)) }))
  }

  // MARK: - Page tables

  private struct Mapping {
    var linear: UInt64
    var physical: UInt64
    var size: UInt64
    var rights: UInt64

    var rightsText: String {
      (rights & 2 != 0 ? "W" : "-") + (rights & 4 != 0 ? "U" : "-")
        + (rights & 0x100 != 0 ? "G" : "-")
        + (rights & 0x20 != 0 ? "A" : "-") + (rights & 0x40 != 0 ? "D" : "-")
    }
  }

  /// Ranges of linear addresses that are mapped to ranges of physical ones with equal rights.
  func pageTables(_ arguments: String) throws(DebuggerError) -> View {
    guard cpu.s.pointee.cr0 & CR0.pg != 0 else {
      return View(["paging is off: linear addresses are physical"], json: .array([]))
    }
    let words = arguments.split(whereSeparator: \.isWhitespace).map(String.init)
    let first = words.isEmpty ? 0 : try evaluate(words[0])
    let last = words.count > 1 ? try evaluate(words[1]) : words.isEmpty ? 0xFFFF_FFFF : first
    guard first <= last, last <= 0xFFFF_FFFF else { throw DebuggerError("START END is wanted") }
    var mappings: [Mapping] = []
    var at = first & ~0xFFF
    while at <= last {
      let (mapping, span) = lookUp(at)
      if let mapping {
        // Accessed and dirty differ between neighbours all the time: they are shown for single pages only.
        if var previous = mappings.last, words.count != 1,
          previous.linear + previous.size == mapping.linear,
          previous.physical + previous.size == mapping.physical,
          (previous.rights ^ mapping.rights) & 0x106 == 0
        {
          previous.size += mapping.size
          previous.rights &= ~0x60
          mappings[mappings.count - 1] = previous
        } else {
          mappings.append(mapping)
        }
      }
      at = (at & ~(span - 1)) + span
    }
    let lines = mappings.prefix(2000).map {
      "\(hexDigits($0.linear, 8))-\(hexDigits($0.linear + $0.size - 1, 8)) -> "
        + "\(hexDigits($0.physical, 8)) \($0.rightsText)"
    }
    return View(
      lines.isEmpty ? ["nothing is mapped there"] : lines,
      json: .array(
        mappings.map {
          .object([
            ("linear", .number($0.linear)), ("physical", .number($0.physical)),
            ("size", .number($0.size)), ("writable", .bool($0.rights & 2 != 0)),
            ("user", .bool($0.rights & 4 != 0)), ("global", .bool($0.rights & 0x100 != 0)),
          ])
        }))
  }

  /// The page at a linear address, and how far the answer reaches.
  private func lookUp(_ linear: UInt64) -> (Mapping?, UInt64) {
    let p = cpu.s.pointee
    func entry(_ address: UInt64, _ size: Int) -> UInt64 {
      memory.number(address, size: size, physical: true) ?? 0
    }
    if p.cr4 & CR4.pae != 0 {
      let pointers = [p.pdpte.0, p.pdpte.1, p.pdpte.2, p.pdpte.3]
      let pdpte = pointers[Int(linear >> 30 & 3)]
      if pdpte & 1 == 0 { return (nil, 1 << 30) }
      let pde = entry(pdpte & 0xF_FFFF_F000 | linear >> 18 & 0xFF8, 8)
      if pde & 1 == 0 { return (nil, 1 << 21) }
      if pde & 0x80 != 0 {
        return (
          Mapping(
            linear: linear & ~0x1F_FFFF, physical: pde & 0xF_FFE0_0000, size: 1 << 21, rights: pde),
          1 << 21
        )
      }
      let pte = entry(pde & 0xF_FFFF_F000 | linear >> 9 & 0xFF8, 8)
      if pte & 1 == 0 { return (nil, 1 << 12) }
      let rights = pte & ~6 | pte & pde & 6
      return (
        Mapping(
          linear: linear & ~0xFFF, physical: pte & 0xF_FFFF_F000, size: 0x1000, rights: rights),
        1 << 12
      )
    }
    let pde = entry(UInt64(p.cr3) & 0xFFFF_F000 | linear >> 20 & 0xFFC, 4)
    if pde & 1 == 0 { return (nil, 1 << 22) }
    if pde & 0x80 != 0 && p.cr4 & CR4.pse != 0 {
      return (
        Mapping(
          linear: linear & ~0x3F_FFFF, physical: pde & 0xFFC0_0000 | (pde & 0x1_E000) << 19,
          size: 1 << 22, rights: pde),
        1 << 22
      )
    }
    let pte = entry(pde & 0xFFFF_F000 | linear >> 10 & 0xFFC, 4)
    if pte & 1 == 0 { return (nil, 1 << 12) }
    let rights = pte & ~6 | pte & pde & 6
    return (
      Mapping(linear: linear & ~0xFFF, physical: pte & 0xFFFF_F000, size: 0x1000, rights: rights),
      1 << 12
    )
  }
}
