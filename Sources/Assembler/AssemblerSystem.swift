// System instructions by name: what thunks and tests of the host's processor need.
//
// Owns: CPUID, SYSCALL, IRETQ, WRGSBASE, moves of segment registers, FXSAVE and FXRSTOR. Must not know: who asks.
// Follows: Intel SDM volume 2, the instructions' pages.

/// Segment registers in the order of their encoding.
public enum HostSegment: UInt8, Sendable {
  case es, cs, ss, ds, fs, gs
}

extension Assembler {
  private func pair(_ name: StaticString, _ second: Int) {
    note("\(name)")
    byte(0x0F)
    byte(second)
  }

  public func cpuid() { pair("cpuid", 0xA2) }
  public func syscall() { pair("syscall", 0x05) }

  /// IRET of 64-bit operands.
  public func iretq() {
    note("iretq")
    byte(0x48)
    byte(0xCF)
  }

  /// The base of GS becomes a register's value.
  public func wrgsbase(_ from: HostRegister) {
    note("wrgsbase \(from.name(.quad))")
    rr(0x0FAE, .quad, reg: 3, rm: from.code, prefix: 0xF3)
  }

  /// MOV to a segment register.
  public func mov(_ to: HostSegment, _ from: HostRegister) {
    note("mov \(to),\(from.name(.long))")
    rr(0x8E, .long, reg: Int(to.rawValue), rm: from.code)
  }

  /// MOV from a segment register; of a 32-bit register the upper half becomes 0.
  public func mov(_ to: HostRegister, _ from: HostSegment) {
    note("mov \(to.name(.long)),\(from)")
    rr(0x8C, .long, reg: Int(from.rawValue), rm: to.code)
  }

  /// MOV between RAX and memory at a 64-bit address.
  public func movRAX(fromAddress address: UInt64) { absolute(0xA1, address) }

  public func movRAX(toAddress address: UInt64) { absolute(0xA3, address) }

  private func absolute(_ op: Int, _ address: UInt64) {
    note(op == 0xA1 ? "movabs rax,ds:\(hex(address))" : "movabs ds:\(hex(address)),rax")
    byte(0x48)
    byte(op)
    word64(address)
  }

  /// The x87, MMX and SSE registers to an image of 512 bytes, in the form of 32-bit operands.
  public func fxsave(_ m: MemoryOperand) {
    note("fxsave \(m.name)")
    rm(0x0FAE, .long, reg: 0, m)
  }

  public func fxrstor(_ m: MemoryOperand) {
    note("fxrstor \(m.name)")
    rm(0x0FAE, .long, reg: 1, m)
  }

  public func ldmxcsr(_ m: MemoryOperand) {
    note("ldmxcsr DWORD PTR \(m.name)")
    rm(0x0FAE, .long, reg: 2, m)
  }

  public func stmxcsr(_ m: MemoryOperand) {
    note("stmxcsr DWORD PTR \(m.name)")
    rm(0x0FAE, .long, reg: 3, m)
  }
}
