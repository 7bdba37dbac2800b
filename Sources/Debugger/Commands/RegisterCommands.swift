// Commands for registers, and expressions.
//
// Owns: r sreg creg dreg fpu mmx sse msr set print and their forms. Must not know: names (Registers.swift).

import CPU

extension Debugger {
  static var registerCommands: [Command] {
    [
      Command(
        "r reg regs", "[REGISTER [VALUE]]", "registers",
        "General registers; r REGISTER shows one; r REGISTER VALUE changes it."
      ) { d, a in
        if a.isEmpty {
          return View(d.registerLines([]), json: d.registersJSON())
        }
        var (name, rest) = Debugger.firstWord(a)
        if let equals = a.firstIndex(of: "=") {
          name = Debugger.trim(String(a[..<equals]))
          rest = Debugger.trim(String(a[a.index(after: equals)...]))
        }
        if !rest.isEmpty { return try d.setCommand("\(name) = \(rest)") }
        guard let value = d.registers.value(name.lowercased()) else {
          throw DebuggerError("'\(name)' is no register (c runs the guest)")
        }
        return View(["\(name.lowercased())=\(hexDigits(value))"], json: .number(value))
      },
      Command(
        "sreg", "", "registers", "Segment registers with their hidden parts, and table registers."
      ) {
        d, _ in d.segmentView()
      },
      Command("creg", "", "registers", "Control registers by bit.") { d, _ in d.controlView() },
      Command("dreg", "", "registers", "Debug registers.") { d, _ in d.debugView() },
      Command("fpu", "", "registers", "x87: control, status, tags and the stack.") { d, _ in
        d.fpuView()
      },
      Command("mmx", "", "registers", "MMX registers.") { d, _ in
        let values = RegisterFile.mmx(d.cpu.floatingPoint)
        return View(
          values.enumerated().map { "mm\($0)=\(hexDigits($1, 16))" },
          json: .array(values.map { .string(hexDigits($0, 16)) }))
      },
      Command("sse", "", "registers", "XMM registers and MXCSR.") { d, _ in d.sseView() },
      Command("msr", "", "registers", "Model-specific registers.") { d, _ in
        let list = d.cpu.modelSpecificRegisters
        return View(
          list.map { "\(hexDigits($0.number, 8)) = \(hexDigits($0.value, 16))" },
          json: .array(
            list.map { .object([("number", .of($0.number)), ("value", .number($0.value))]) }))
      },
      Command(
        "set", "REGISTER|$NAME|[var] PLACE = VALUE", "registers",
        """
        Change a register or flag, memory, or a variable whose name begins with $ ($eax is the register, with or without $).
        PLACE: {int}0x7c00, *(char*)0x500, [w ds:si], a symbol of known size. += -= |= &= ^= work too.
        st0 to st7 take a decimal number with a point (1.5, -2e3) or 20 hexadecimal digits, xmm0 to xmm7 up to 32 digits.
        set syntax = intel|att chooses the notation of disassembly.
        """
      ) { d, a in try d.setCommand(a) },
      Command(
        "print p ? calc inspect output", "[/FORMAT] EXPRESSION", "registers",
        """
        The value of an expression; with PLACE = VALUE it changes the place first.
        Numbers are hexadecimal (0n10 and 10t are decimal). Registers with their parts, flags (cf zf ...), symbols, $variables,
        icount; $pc $sp $fp are linear addresses, $ps the flags; seg:off gives a linear address; [b|w|d|q ADDRESS] is memory,
        [d p:ADDRESS] physical memory; so are *ADDRESS, *(char*)ADDRESS and {short}ADDRESS.
        + - * / % & | ^ ~ << >> == != < <= > >= && || ! ( ). A word of hexadecimal digits that is also a register or
        a symbol is that: write 0cf for the number CF.
        FORMAT as in gdb: x z hexadecimal, d signed, u unsigned, o octal, t binary, c character, a address, f floating point.
        """
      ) { d, a in try d.printCommand(a) },
    ]
  }

  private func segmentView() -> View {
    let c = cpu.snapshot()
    var lines: [String] = []
    var items: [JSONValue] = []
    for s in c.segments {
      lines.append(
        "\(padded(s.name.lowercased(), 4)) \(hexDigits(s.selector, 4)) base=\(hexDigits(s.base, 8)) "
          + "limit=\(hexDigits(s.limit, 8)) attributes=\(hexDigits(s.attributes, 4)) \(s.kind)")
      items.append(
        .object([
          ("name", .string(s.name.lowercased())), ("selector", .of(s.selector)),
          ("base", .of(s.base)), ("limit", .of(s.limit)), ("attributes", .of(s.attributes)),
          ("kind", .string(s.kind)),
        ]))
    }
    lines.append("gdtr base=\(hexDigits(c.gdtBase, 8)) limit=\(hexDigits(c.gdtLimit, 4))")
    lines.append("idtr base=\(hexDigits(c.idtBase, 8)) limit=\(hexDigits(c.idtLimit, 4))")
    return View(
      lines,
      json: .object([
        ("segments", .array(items)),
        ("gdtr", .object([("base", .of(c.gdtBase)), ("limit", .of(c.gdtLimit))])),
        ("idtr", .object([("base", .of(c.idtBase)), ("limit", .of(c.idtLimit))])),
      ]))
  }

  private func controlView() -> View {
    let p = cpu.s.pointee
    func bits(_ value: UInt32, _ names: [(Int, String)]) -> String {
      names.map { value >> UInt32($0.0) & 1 != 0 ? $0.1.uppercased() : $0.1 }.joined(separator: " ")
    }
    let cr0 = bits(
      p.cr0,
      [
        (31, "pg"), (30, "cd"), (29, "nw"), (18, "am"), (16, "wp"), (5, "ne"), (4, "et"), (3, "ts"),
        (2, "em"), (1, "mp"), (0, "pe"),
      ])
    let cr4 = bits(
      p.cr4,
      [
        (10, "osxmmexcpt"), (9, "osfxsr"), (8, "pce"), (7, "pge"), (6, "mce"), (5, "pae"),
        (4, "pse"), (3, "de"), (2, "tsd"), (1, "pvi"), (0, "vme"),
      ])
    return View(
      [
        "cr0=\(hexDigits(p.cr0, 8)) \(cr0)",
        "cr2=\(hexDigits(p.cr2, 8)) page-fault address",
        "cr3=\(hexDigits(p.cr3, 8)) page directory\(p.cr3 & 0x10 != 0 ? " PCD" : "")\(p.cr3 & 8 != 0 ? " PWT" : "")",
        "cr4=\(hexDigits(p.cr4, 8)) \(cr4)",
        "a20 \(cpu.a20 ? "enabled" : "masked")",
      ],
      json: .object([
        ("cr0", .of(p.cr0)), ("cr2", .of(p.cr2)), ("cr3", .of(p.cr3)), ("cr4", .of(p.cr4)),
        ("a20", .bool(cpu.a20)),
      ]))
  }

  private func debugView() -> View {
    let p = cpu.s.pointee
    let addresses = [p.dr.0, p.dr.1, p.dr.2, p.dr.3]
    let kinds = ["execute", "write", "I/O", "read or write"]
    let lengths = [1, 2, 8, 4]
    var lines: [String] = []
    for (n, a) in addresses.enumerated() {
      let enabled = p.dr7 >> UInt32(2 * n) & 3
      let control = Int(p.dr7 >> UInt32(16 + 4 * n) & 15)
      lines.append(
        "dr\(n)=\(hexDigits(a, 8)) "
          + (enabled == 0
            ? "off"
            : "\(kinds[control & 3]), \(lengths[control >> 2]) bytes\(enabled & 1 != 0 ? ", local" : "")\(enabled & 2 != 0 ? ", global" : "")")
      )
    }
    lines.append("dr6=\(hexDigits(p.dr6, 8)) dr7=\(hexDigits(p.dr7, 8))")
    return View(
      lines,
      json: .object([
        ("dr", .array(addresses.map { .of($0) })), ("dr6", .of(p.dr6)), ("dr7", .of(p.dr7)),
      ]))
  }

  private func fpuView() -> View {
    let f = cpu.floatingPoint
    let r = RegisterFile.physical(f)
    let status = f.sw | UInt16(f.top & 7) << 11
    let errors = ["ie", "de", "ze", "oe", "ue", "pe", "sf", "es"]
    let flags = errors.enumerated().map { f.sw >> UInt16($0) & 1 != 0 ? $1.uppercased() : $1 }
    let precision = ["single", "reserved", "double", "extended"][Int(f.cw >> 8 & 3)]
    let rounding = ["nearest", "down", "up", "to zero"][Int(f.cw >> 10 & 3)]
    let conditions = [(8, "c0"), (9, "c1"), (10, "c2"), (14, "c3")].map {
      f.sw >> UInt16($0.0) & 1 != 0 ? $0.1.uppercased() : $0.1
    }
    var lines = [
      "cw=\(hexDigits(f.cw, 4)) masks=\(hexDigits(f.cw & 0x3F, 2)) precision \(precision), rounding \(rounding)",
      "sw=\(hexDigits(status, 4)) top=\(f.top & 7) \((flags + conditions).joined(separator: " "))",
    ]
    var items: [JSONValue] = []
    for n in 0..<8 {
      let index = (Int(f.top) + n) & 7
      let value = r[index]
      let isEmpty = f.empty >> UInt8(index) & 1 != 0
      let bits = hexDigits(value.signExponent, 4) + hexDigits(value.significand, 16)
      let text = isEmpty ? "empty" : RealText.text(value)
      lines.append("st\(n)=\(bits) \(text)")
      items.append(
        .object([
          ("bits", .string(bits)), ("empty", .bool(isEmpty)), ("value", .string(text)),
        ]))
    }
    lines.append(
      "last: opcode \(hexDigits(f.fop, 3)) at \(hexDigits(f.fcs, 4)):\(hexDigits(f.fip, 8)), "
        + "operand \(hexDigits(f.fds, 4)):\(hexDigits(f.fdp, 8))")
    return View(
      lines,
      json: .object([
        ("cw", .of(f.cw)), ("sw", .of(status)), ("top", .of(f.top & 7)), ("st", .array(items)),
      ]))
  }

  private func sseView() -> View {
    let f = cpu.floatingPoint
    let x = [f.xmm.0, f.xmm.1, f.xmm.2, f.xmm.3, f.xmm.4, f.xmm.5, f.xmm.6, f.xmm.7]
    var lines: [String] = []
    for (n, value) in x.enumerated() {
      let singles = [
        UInt32(truncatingIfNeeded: value.low), UInt32(truncatingIfNeeded: value.low >> 32),
        UInt32(truncatingIfNeeded: value.high), UInt32(truncatingIfNeeded: value.high >> 32),
      ].map { "\(Float(bitPattern: $0))" }
      lines.append(
        "xmm\(n)=\(hexDigits(value.high, 16))\(hexDigits(value.low, 16)) (\(singles.joined(separator: ", ")))"
      )
    }
    lines.append("mxcsr=\(hexDigits(f.mxcsr, 8))")
    return View(
      lines,
      json: .object([
        (
          "xmm",
          .array(x.map { .string(hexDigits($0.high, 16) + hexDigits($0.low, 16)) })
        ), ("mxcsr", .of(f.mxcsr)),
      ]))
  }
}

/// Extended reals as text.
enum RealText {
  static func text(_ value: Float80Bits) -> String {
    let exponent = Int(value.signExponent & 0x7FFF)
    let sign = value.signExponent & 0x8000 != 0 ? "-" : ""
    if exponent == 0x7FFF {
      return value.significand << 1 == 0 ? sign + "infinity" : sign + "NaN"
    }
    if value.significand == 0 { return sign + "0" }
    // The text is that of the nearest double; what is beyond a double's range shows its power of two.
    let power = exponent - 16383 - 63
    if power > 900 || power < -1000 {
      return
        "\(sign)\(Double(value.significand) / 9_223_372_036_854_775_808.0) * 2^\(exponent - 16383)"
    }
    let scaled = Double(sign: .plus, exponent: power, significand: Double(value.significand))
    return "\(sign)\(scaled)"
  }
}
