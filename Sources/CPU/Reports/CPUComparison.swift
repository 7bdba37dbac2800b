// Two processors side by side, for reports of differences.
//
// Owns: the list of registers and their text. Must not know: why they should be equal. What counts is `CPU.save`; this only names things.

/// Registers of two processors that are not equal.
public enum CPUComparison {
  /// A register's name and its two values, in hexadecimal.
  public struct Difference: Sendable {
    public var name: String
    public var first: String
    public var second: String
  }

  /// The registers in which two processors differ.
  public static func differing(_ a: CPU, _ b: CPU) -> [Difference] {
    zip(values(a), values(b)).compactMap {
      $0.1 == $1.1 ? nil : Difference(name: $0.0, first: $0.1, second: $1.1)
    }
  }

  private static func digits(_ value: some BinaryInteger, _ count: Int) -> String {
    let text = String(value, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, count - text.count)) + text
  }

  private static func values(_ cpu: CPU) -> [(String, String)] {
    let c = cpu.snapshot()
    var list: [(String, String)] = []
    func add(_ name: String, _ value: UInt32) { list.append((name, digits(value, 8))) }
    list.append(("instructions", String(c.instructions)))
    let names = ["EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"]
    for (name, value) in zip(names, c.registers) { add(name, value) }
    add("EIP", c.eip)
    add("EFLAGS", c.eflags)
    for s in c.segments {
      add(s.name, UInt32(s.selector))
      add(s.name + ".base", s.base)
      add(s.name + ".limit", s.limit)
      add(s.name + ".attributes", UInt32(s.attributes))
    }
    for (name, value) in [("CR0", c.cr0), ("CR2", c.cr2), ("CR3", c.cr3), ("CR4", c.cr4)] {
      add(name, value)
    }
    for (n, value) in c.debug.enumerated() { add("DR\(n < 4 ? n : n + 2)", value) }
    add("GDTR.base", c.gdtBase)
    add("GDTR.limit", c.gdtLimit)
    add("IDTR.base", c.idtBase)
    add("IDTR.limit", c.idtLimit)
    add("FPU CW", UInt32(c.fpuControl))
    add("FPU SW", UInt32(c.fpuStatus))
    add("FPU empty", UInt32(c.fpuEmpty))
    for (n, value) in c.fpuStack.enumerated() { list.append(("ST(\(n))", value)) }
    let f = cpu.fpu.pointee
    add("FPU opcode", UInt32(f.fop))
    add("FPU IP", f.fip)
    add("FPU CS", UInt32(f.fcs))
    add("FPU DP", f.fdp)
    add("FPU DS", UInt32(f.fds))
    add("MXCSR", f.mxcsr)
    for n in 0..<8 {
      let x = cpu.xmm[n]
      list.append(("XMM\(n)", digits(x.high, 16) + digits(x.low, 16)))
    }
    let s = cpu.s.pointee
    add("CPL", UInt32(truncatingIfNeeded: s.cpl))
    add("halted", s.halted ? 1 : 0)
    add("shut down", s.shutdown ? 1 : 0)
    add("NMI blocked", s.nmiBlocked ? 1 : 0)
    add("pending debug", s.pendingDebug)
    add(
      "attention",
      s.attention & (Attention.intr | Attention.nmi | Attention.smi | Attention.shadow))
    add("SMM", cpu.management.isActive ? 1 : 0)
    add("SMBASE", cpu.management.base)
    for (n, branch) in c.branches.enumerated() {
      list.append(("branch \(n)", digits(branch.from, 8) + " to " + digits(branch.to, 8)))
    }
    return list
  }
}
