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
}

extension LocalAPIC {
  public func inspect() -> [Field] {
    func set(_ name: String, _ vectors: VectorSet) -> Field {
      .text(
        name,
        vectors.words.reversed().map { String($0, radix: 16, uppercase: true) }.joined(
          separator: "."))
    }
    return [
      .flag("enabled", globallyEnabled), .register("base", base), .register("id", id),
      .register("tpr", tpr), .register("ldr", ldr), .register("dfr", dfr), .register("svr", svr),
      .register("esr", esr), .register("icr low", icrLow), .register("icr high", icrHigh),
      .register("lvt timer", lvtTimer), .register("lvt performance", lvtPerformance),
      .register("lvt lint0", lvtLINT[0]), .register("lvt lint1", lvtLINT[1]),
      .register("lvt error", lvtError), .register("divide", divide),
      .register("initial count", initialCount), .register("current count", currentCount),
      set("isr", isr), set("tmr", tmr), set("irr", irr), .flag("output", output.level),
    ]
  }
}
