// What a stop shows: why, where in time, mode, registers with what changed, flags by letter, the next instructions.
//
// Owns: the text and JSON of it, and of single events. Must not know: how the stop came about.

import Bus
import CPU
import Machine

extension Debugger {
  /// Virtual time as seconds.
  func timeText() -> String {
    let now = machine.clock.now
    let fraction = String(now % 1_000_000_000)
    return "\(now / 1_000_000_000)." + String(repeating: "0", count: 9 - fraction.count) + fraction
      + " s"
  }

  /// "real mode, 16-bit" and the like.
  func modeText(_ mode: CPUMode) -> String {
    var text: String
    if !mode.contains(.protected) {
      text = "real mode"
    } else if mode.contains(.v86) {
      text = "virtual-8086 mode"
    } else {
      text = "protected mode"
    }
    if mode.contains(.paging) { text += ", paging" }
    text += mode.contains(.code32) ? ", 32-bit code" : ", 16-bit code"
    return text + ", CPL \(mode.cpl)"
  }

  func modeJSON(_ mode: CPUMode) -> JSONValue {
    .object([
      ("protected", .bool(mode.contains(.protected))), ("v86", .bool(mode.contains(.v86))),
      ("paging", .bool(mode.contains(.paging))), ("code32", .bool(mode.contains(.code32))),
      ("cpl", .of(mode.cpl)),
    ])
  }

  /// An event in words.
  func text(of record: DebugRecord) -> String {
    switch record.event {
    case .memory(let linear, let physical, let size, let isWrite, let old, let new):
      let place =
        (symbols.text(linear).map { "\($0) " } ?? "") + hexDigits(linear, 8)
        + (physical == linear ? "" : " (physical \(hexDigits(physical, 8)))")
      if isWrite {
        return
          "write of \(size) at \(place): \(hexDigits(old, size * 2)) -> \(hexDigits(new, size * 2))"
      }
      return "read of \(size) at \(place): \(hexDigits(new, size * 2))"
    case .otherWrite(let writer, let linear, let physical, let size, let old, let new):
      let who = writer == .busMaster ? "a device (DMA)" : "the page walk"
      return
        "write of \(size) by \(who) at \(symbols.text(linear).map { "\($0) " } ?? "")"
        + hexDigits(linear, 8)
        + (physical == linear ? "" : " (physical \(hexDigits(physical, 8)))")
        + ": \(hexDigits(old, size * 2)) -> \(hexDigits(new, size * 2))"
    case .port(let port, let width, let isWrite, let value):
      return isWrite
        ? "OUT \(hexDigits(port, 4)), \(hexDigits(value, width * 2))"
        : "IN \(hexDigits(port, 4)) = \(hexDigits(value, width * 2))"
    case .interrupt(let vector, let source, let code):
      let kind: String =
        switch source {
        case .external: "interrupt"
        case .exception: "exception"
        case .software: "INT"
        }
      return "\(kind) \(hexDigits(vector, 2))\(InterruptNames.text(vector, source))"
        + (code.map { ", error code \(hexDigits($0, 4))" } ?? "")
        + " at " + place(cs: record.cs, eip: record.eip, linear: record.linear)
    case .mode(let from, let to): return "mode: \(modeText(from)) -> \(modeText(to))"
    case .task(let from, let to):
      return "task switch: TSS \(hexDigits(from, 4)) -> \(hexDigits(to, 4))"
    case .halt: return "HLT"
    case .tripleFault: return "triple fault"
    case .msr(let number, let isWrite, let value):
      return "\(isWrite ? "WRMSR" : "RDMSR") \(hexDigits(number)) = \(hexDigits(value, 16))"
    case .control(let register, let old, let new):
      return "CR\(register): \(hexDigits(old, 8)) -> \(hexDigits(new, 8))"
    case .farBranch(let from, let to):
      return "far transfer: \(address(from)) -> \(address(to))"
    case .magic: return "magic breakpoint (xchg bx,bx)"
    case .returning: return "return"
    }
  }

  /// A linear address with its symbol.
  func address(_ linear: UInt32) -> String {
    hexDigits(linear, 8) + (symbols.text(linear).map { " <\($0)>" } ?? "")
  }

  /// CS:EIP as the mode writes it.
  func place(cs: UInt16, eip: UInt32, linear: UInt32) -> String {
    let offset = cpu.isCode32 || eip > 0xFFFF ? hexDigits(eip, 8) : hexDigits(eip, 4)
    return "\(hexDigits(cs, 4)):\(offset)" + (symbols.text(linear).map { " <\($0)>" } ?? "")
  }

  /// Why the machine stands.
  func reason(_ stop: DebugStop) -> String {
    switch stop {
    case .start: return "at the start"
    case .step: return "step"
    case .arrived: return "arrived"
    case .interrupted: return "interrupted"
    case .powerButton: return "the power button is pressed"
    case .breakpoints(let hits):
      return hits.map { hit in
        let what = breakpoints[hit.id]?.what ?? ""
        let event = hit.record.map { ": " + text(of: $0) } ?? ""
        return "breakpoint \(hit.id) (\(what))\(event)"
      }.joined(separator: "; ")
    case .ended(let reason):
      switch reason {
      case .instructionLimit: return "the instruction limit is reached"
      case .powerOff: return "the guest turned the machine off"
      case .halted: return "the guest halted, and nothing is left to wake it"
      case .guestExit(let code): return "the guest wrote \(code) to the exit port"
      case .expectationMet: return "the expected text showed"
      case .expectationMissed: return "the expected text did not show in its time"
      case .shutdown: return "triple fault"
      case .unimplemented(let what): return "not implemented: \(what)"
      case .host(.user): return "the user ended the run"
      case .host(.timeout): return "the time is over"
      case .host(.moved): return "the machine goes on in another process"
      case .host(.signal(let number)): return "signal \(number)"
      case .host(.debugger): return "interrupted"
      case .debug: return "debugger"
      case .enginesDiffer(let text): return text
      case .recordingEnd: return "the recording ends here"
      case .replayDiffers(let text): return text
      }
    }
  }

  private func kind(_ stop: DebugStop) -> String {
    switch stop {
    case .start: "start"
    case .powerButton: "power-button"
    case .step: "step"
    case .arrived: "arrived"
    case .interrupted: "interrupted"
    case .breakpoints: "breakpoint"
    case .ended: "ended"
    }
  }

  /// Everything about the present stop. Registers that changed since the last one shown are marked with `*`.
  func stopView() -> View {
    var lines = [
      "Stopped: \(reason(stop))",
      "#\(machine.instructionCount)  t = \(timeText())  \(modeText(cpu.mode))"
        + (cpu.s.pointee.halted ? ", halted" : "")
        + (hasSeveralProcessors ? ", cpu \(selected)" : ""),
    ]
    let changed = changedRegisters()
    lines += registerLines(changed)
    let code = codeView(at: cpu.nextLinear, count: 3, showsValues: true)
    lines += code.lines
    nextCode = nil
    nextCodeSegment = nil
    var object: [(String, JSONValue)] = [
      ("reason", .string(kind(stop))), ("text", .string(reason(stop))),
      ("instructions", .number(machine.instructionCount)),
      ("nanoseconds", .number(machine.clock.now)),
      ("mode", modeJSON(cpu.mode)), ("halted", .bool(cpu.s.pointee.halted)),
    ]
    if hasSeveralProcessors { object.append(("cpu", .of(selected))) }
    if case .breakpoints(let hits) = stop {
      object.append(("breakpoints", .array(hits.map { .of($0.id) })))
    }
    object.append(("linear", .of(cpu.nextLinear)))
    if let symbol = symbols.text(cpu.nextLinear) { object.append(("symbol", .string(symbol))) }
    object.append(("registers", registersJSON()))
    object.append(("changed", .array(changed.sorted().map { .string($0) })))
    object.append(("code", code.json))
    if !displays.isEmpty {
      let shown = displaysView()
      lines += shown.lines
      object.append(("displays", shown.json))
    }
    return View(lines, json: .object(object))
  }

  static let shownNames =
    RegisterFile.general + ["eip", "eflags"] + RegisterFile.segments.prefix(6)

  /// Names of registers that differ from the last stop that was shown; this stop becomes the last one.
  func changedRegisters() -> Set<String> {
    var changed: Set<String> = []
    var now: [String: UInt64] = [:]
    for name in Debugger.shownNames {
      let value = registers.value(name) ?? 0
      now[name] = value
      if let old = shownRegisters[name], old != value { changed.insert(name) }
    }
    shownRegisters = now
    return changed
  }

  func registerLines(_ changed: Set<String>) -> [String] {
    func item(_ name: String, _ digits: Int) -> String {
      "\(name)=\(hexDigits(registers.value(name) ?? 0, digits))\(changed.contains(name) ? "*" : " ")"
    }
    let rows = [
      ["eax", "ebx", "ecx", "edx"].map { item($0, 8) }.joined(separator: " "),
      ["esi", "edi", "ebp", "esp"].map { item($0, 8) }.joined(separator: " "),
      ["cs", "ss", "ds", "es", "fs", "gs"].map { item($0, 4) }.joined(separator: " ")
        + " " + item("eip", 8),
      "eflags=\(hexDigits(cpu.eflags, 8))\(changed.contains("eflags") ? "*" : " ") "
        + Debugger.flagText(cpu.eflags),
    ]
    return rows.map { row in
      var row = row
      while row.last == " " { row.removeLast() }
      return row
    }
  }

  /// The flags by letter, upper case when set: o d i t s z a p c, IOPL, then rarer ones that are set.
  static func flagText(_ eflags: UInt32) -> String {
    let letters: [(UInt32, Character)] = [
      (EFLAGS.of, "o"), (EFLAGS.df, "d"), (EFLAGS.if, "i"), (EFLAGS.tf, "t"), (EFLAGS.sf, "s"),
      (EFLAGS.zf, "z"), (EFLAGS.af, "a"), (EFLAGS.pf, "p"), (EFLAGS.cf, "c"),
    ]
    var text = letters.map {
      eflags & $0.0 != 0 ? String($0.1).uppercased() : String($0.1)
    }.joined(separator: " ")
    text += "  iopl=\(eflags >> 12 & 3)"
    for name in ["nt", "rf", "vm", "ac", "vif", "vip", "id"] {
      if let flag = RegisterFile.flags.first(where: { $0.name == name }), eflags & flag.bit != 0 {
        text += " " + name.uppercased()
      }
    }
    return text
  }

  func registersJSON() -> JSONValue {
    .object(Debugger.shownNames.map { ($0, .number(registers.value($0) ?? 0)) })
  }

  // MARK: - Code

  /// The segment in whose offsets code at a linear address is shown: the one that was named, CS as far as it reaches, a real mode
  /// segment of 64 KiB, or none (linear addresses).
  private func codeFrame(_ at: UInt32, _ named: SegmentedPlace?) -> (base: UInt32, name: String) {
    if let named, at &- named.base <= 0xFFFF || cpu.isCode32 {
      return (named.base, hexDigits(named.selector, 4) + ":")
    }
    let cs = cpu[segment: SegmentRegister.cs]
    if at &- cs.base <= (cpu.isCode32 ? cs.limit : 0xFFFF) {
      return (cs.base, hexDigits(cs.selector, 4) + ":")
    }
    if !cpu.mode.contains(.protected) || cpu.mode.contains(.v86), at < 0x10_0000 {
      return (at & 0xF_0000, hexDigits(at >> 4 & 0xF000, 4) + ":")
    }
    return (0, "")
  }

  /// Instructions from a linear address on.
  /// - Parameters:
  ///   - showsValues: adds to the first instruction what its operands are now.
  ///   - segment: whose offsets are shown, CS if it is nil.
  func codeView(
    at start: UInt32, count: Int, end: UInt32? = nil, showsValues: Bool = false,
    segment: SegmentedPlace? = nil
  ) -> View {
    var lines: [String] = []
    var items: [JSONValue] = []
    var at = start
    let frame = codeFrame(start, segment)
    var label = true
    while items.count < count {
      if let end, at &- start > end &- start { break }
      let bytes = memory.code(at)
      if bytes.isEmpty {
        lines.append("  \(hexDigits(at, 8))  not mapped")
        break
      }
      let offset = at &- frame.base
      guard
        let i = disassembler.instruction(
          bytes, mode: DecodeMode(big: cpu.isCode32), eip: offset, syntax: syntax,
          symbol: { [symbols] in symbols.text(frame.base &+ $0) })
      else {
        lines.append("  \(hexDigits(at, 8))  cut short")
        break
      }
      if let found = symbols.nearest(at), found.offset == 0 || label {
        lines.append(
          found.offset == 0
            ? "\(found.symbol.name):" : "\(found.symbol.name)+\(hexDigits(found.offset)):")
      }
      label = false
      let isHere = at == cpu.nextLinear
      var text = i.text
      var notes: [(String, JSONValue)] = []
      if isHere && showsValues || isHere {
        let note = notesText(i)
        if !note.isEmpty {
          notes.append(("now", .string(note)))
          text = padded(text, 28) + " ; " + note
        }
      }
      let breakpoint = breakpoints.all.contains {
        if case .execution(UInt64(at), false) = $0.kind { return true }
        return false
      }
      let mark = (isHere ? "=>" : breakpoint ? " b" : "  ")
      let hex = bytes.prefix(i.length).map { hexDigits($0, 2) }.joined()
      let place =
        frame.name
        + hexDigits(offset, cpu.isCode32 || offset > 0xFFFF || frame.name.isEmpty ? 8 : 4)
      lines.append("\(mark)\(place)  \(padded(hex, 20)) \(text)")
      var object: [(String, JSONValue)] = [
        ("linear", .of(at)), ("offset", .of(offset)), ("bytes", .string(hex)),
        ("text", .string(i.text)),
      ]
      if let target = i.target { object.append(("target", .of(target))) }
      items.append(.object(object + notes))
      at = at &+ UInt32(i.length)
    }
    nextCode = at
    nextCodeSegment = segment
    return View(lines, json: .array(items))
  }

  /// What the operands of the instruction at CS:EIP are now.
  private func notesText(_ i: DisassembledInstruction) -> String {
    var parts: [String] = []
    if let m = i.memory {
      let (offset, linear) = cpu.address(of: m)
      let segment = RegisterFile.segments[m.segment & 7]
      let digits = m.addressMask == 0xFFFF ? 4 : 8
      var text = "\(segment):\(hexDigits(offset, digits))"
      if let name = symbols.text(linear) { text += " <\(name)>" }
      if !m.isAddressOnly, (1...8).contains(m.size) {
        if let value = memory.number(linear, size: m.size, physical: false) {
          text += " = \(hexDigits(value, m.size * 2))"
        } else {
          text += " is not mapped"
        }
      }
      parts.append(text)
    }
    if i.flow == .conditional {
      parts.append(
        cpu.isTaken(i, addressMask: cpu.isCode32 ? UInt32.max : 0xFFFF) ? "taken" : "not taken")
    }
    if i.flow == .return {
      let size = cpu.isCode32 ? 4 : 2
      if let value = memory.number(stackLinear, size: size, physical: false) {
        let cs = cpu[segment: SegmentRegister.cs].base
        parts.append(
          "to \(hexDigits(value, size * 2))"
            + (symbols.text(cs &+ UInt32(truncatingIfNeeded: value)).map { " <\($0)>" } ?? ""))
      }
    }
    return parts.joined(separator: ", ")
  }
}

/// What vectors are for.
enum InterruptNames {
  private static let exceptions = [
    "divide error", "debug", "NMI", "breakpoint", "overflow", "BOUND", "invalid opcode",
    "device not available", "double fault", "coprocessor segment overrun", "invalid TSS",
    "segment not present", "stack fault", "general protection", "page fault", "",
    "x87 error", "alignment check", "machine check", "SIMD error",
  ]

  static func text(_ vector: UInt8, _ source: DebugInterruptSource) -> String {
    guard source == .exception, Int(vector) < exceptions.count else { return "" }
    return " (\(exceptions[Int(vector)]))"
  }
}
