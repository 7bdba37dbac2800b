// A local APIC as memory accesses and the debugger see it.
//
// Owns: widths and alignments of accesses, the view for people. Must not know: where the registers are.
// Follows: Intel SDM volume 3, "The Local APIC Block Diagram": 32-bit registers on 16-byte boundaries.

import Bus

extension LocalAPIC: Registers {
  public func read(at offset: UInt32, width: Int) -> UInt32 {
    read(offset & 0xFFC) >> (8 &* (offset & 3)) & (UInt32.max >> UInt32(32 &- 8 &* width))
  }

  /// Writes: only aligned 32-bit writes reach a register.
  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    if width != 4 { return }
    write(offset & 0xFFF, value)
  }

  /// The registers that systems read again and again: which processor this is, priorities, whether a message was sent.
  public func plainRead(at offset: UInt32, width: Int) -> UInt32? {
    guard width == 4, globallyEnabled else { return nil }
    switch offset & 0xFFF {
    case 0x020: return id
    case 0x080: return tpr
    case 0x0D0: return ldr
    case 0x0F0: return svr
    case 0x300: return icrLow
    default: return nil
    }
  }
}

extension LocalAPIC {
  /// What tells how many entries the local vector table has, and what it follows.
  var version: UInt32 {
    switch kind {
    case .pentium: 0x0003_0010
    case .p6: 0x0004_0011
    case .pentium4: 0x0005_0014
    }
  }

  /// Arbitration priority register.
  var apr: UInt32 {
    let service = UInt32(isr.highest ?? 0) >> 4
    let request = UInt32(irr.highest ?? 0) >> 4
    let task = tpr >> 4
    return task >= request && task > service ? tpr : max(task & service, request) << 4
  }

  public func inspect() -> [Field] {
    func set(_ name: String, _ vectors: VectorSet) -> Field {
      .text(
        name,
        vectors.words.reversed().map { String($0, radix: 16, uppercase: true) }.joined(
          separator: "."))
    }
    var fields: [Field] = [
      .flag("enabled", globallyEnabled), .register("base", base), .register("id", id),
      .register("version", version), .register("tpr", tpr), .register("apr", apr),
      .register("ppr", ppr), .register("ldr", ldr), .register("dfr", dfr), .register("svr", svr),
      .register("esr", esr), .register("icr low", icrLow), .register("icr high", icrHigh),
      .register("lvt timer", lvtTimer),
    ]
    if kind == .pentium4 { fields.append(.register("lvt thermal", lvtThermal)) }
    if kind >= .p6 { fields.append(.register("lvt performance", lvtPerformance)) }
    fields += [
      .register("lvt lint0", lvtLINT[0]), .register("lvt lint1", lvtLINT[1]),
      .register("lvt error", lvtError), .register("divide", divide),
      .register("initial count", initialCount), .register("current count", currentCount),
      set("isr", isr), set("tmr", tmr), set("irr", irr), .flag("output", output.level),
    ]
    if kind < .pentium4 { fields.append(.register("remote read", remoteRead)) }
    return fields
  }
}
