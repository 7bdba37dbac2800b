// Registers by name.
//
// Owns: every name an expression or `set` may use for a register or flag, how it is read and changed. Must not know: commands.

import CPU
import Machine

/// Registers of a processor by name.
struct RegisterFile {
  let cpu: CPU

  static let general = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"]
  static let words = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
  static let bytes = ["al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"]
  static let segments = ["es", "cs", "ss", "ds", "fs", "gs", "tr", "ldtr"]
  static let flags: [(name: String, bit: UInt32)] = [
    ("cf", EFLAGS.cf), ("pf", EFLAGS.pf), ("af", EFLAGS.af), ("zf", EFLAGS.zf),
    ("sf", EFLAGS.sf), ("tf", EFLAGS.tf), ("if", EFLAGS.if), ("df", EFLAGS.df),
    ("of", EFLAGS.of), ("nt", EFLAGS.nt), ("rf", EFLAGS.rf), ("vm", EFLAGS.vm),
    ("ac", EFLAGS.ac), ("vif", EFLAGS.vif), ("vip", EFLAGS.vip), ("id", EFLAGS.id),
  ]
  private static let others = [
    "eip", "ip", "eflags", "flags", "cr0", "cr2", "cr3", "cr4", "dr0", "dr1", "dr2", "dr3", "dr6",
    "dr7", "gdtr", "idtr", "cpl", "iopl", "pc", "icount", "mm0", "mm1", "mm2", "mm3", "mm4", "mm5",
    "mm6", "mm7",
  ]

  /// All names, for completion.
  static var names: [String] { general + words + bytes + segments + flags.map(\.name) + others }

  /// The value of a register or flag; nil when there is none of this name.
  func value(_ name: String) -> UInt64? {
    if let n = RegisterFile.general.firstIndex(of: name) { return UInt64(cpu[n]) }
    if let n = RegisterFile.words.firstIndex(of: name) { return UInt64(cpu[n] & 0xFFFF) }
    if let n = RegisterFile.bytes.firstIndex(of: name) {
      return UInt64(cpu[n & 3] >> (n > 3 ? 8 : 0) & 0xFF)
    }
    if let n = RegisterFile.segments.firstIndex(of: name) {
      return UInt64(cpu[segment: n].selector)
    }
    if let flag = RegisterFile.flags.first(where: { $0.name == name }) {
      return cpu.eflags & flag.bit != 0 ? 1 : 0
    }
    let p = cpu.s.pointee
    switch name {
    case "eip": return UInt64(cpu.currentEIP)
    case "ip": return UInt64(cpu.currentEIP & 0xFFFF)
    case "eflags": return UInt64(cpu.eflags)
    case "flags": return UInt64(cpu.eflags & 0xFFFF)
    case "cr0": return UInt64(p.cr0)
    case "cr2": return UInt64(p.cr2)
    case "cr3": return UInt64(p.cr3)
    case "cr4": return UInt64(p.cr4)
    case "dr0": return UInt64(p.dr.0)
    case "dr1": return UInt64(p.dr.1)
    case "dr2": return UInt64(p.dr.2)
    case "dr3": return UInt64(p.dr.3)
    case "dr6": return UInt64(p.dr6)
    case "dr7": return UInt64(p.dr7)
    case "gdtr": return UInt64(p.gdtBase)
    case "idtr": return UInt64(p.idtBase)
    case "cpl": return UInt64(p.cpl)
    case "iopl": return UInt64(cpu.eflags >> 12 & 3)
    case "pc": return UInt64(cpu.nextLinear)
    case "icount": return cpu.instructionCount
    default:
      if name.count == 3, name.hasPrefix("mm"), let n = Int(name.suffix(1)), n < 8 {
        return RegisterFile.mmx(cpu.floatingPoint)[n]
      }
      return nil
    }
  }

  /// MM0 to MM7.
  static func mmx(_ f: FPUState) -> [UInt64] { physical(f).map(\.significand) }

  /// R0 to R7.
  static func physical(_ f: FPUState) -> [Float80Bits] {
    [f.r.0, f.r.1, f.r.2, f.r.3, f.r.4, f.r.5, f.r.6, f.r.7]
  }

  /// The linear base of a segment register; nil when the name is none.
  func segmentBase(_ name: String) -> UInt32? {
    RegisterFile.segments.firstIndex(of: name).map { cpu[segment: $0].base }
  }

  /// Changes a register or flag.
  func set(_ name: String, _ value: UInt64) throws(DebuggerError) {
    func check(_ bits: Int) throws(DebuggerError) {
      if bits < 64 && value >> UInt64(bits) != 0 {
        throw DebuggerError("\(hexDigits(value)) does not fit into \(name)")
      }
    }
    let low = UInt32(truncatingIfNeeded: value)
    if let n = RegisterFile.general.firstIndex(of: name) {
      try check(32)
      cpu[n] = low
    } else if let n = RegisterFile.words.firstIndex(of: name) {
      try check(16)
      cpu[n] = cpu[n] & 0xFFFF_0000 | low
    } else if let n = RegisterFile.bytes.firstIndex(of: name) {
      try check(8)
      let shift: UInt32 = n > 3 ? 8 : 0
      cpu[n & 3] = cpu[n & 3] & ~(0xFF << shift) | low << shift
    } else if let n = RegisterFile.segments.firstIndex(of: name) {
      try check(16)
      if n > 5 || !cpu.setSegmentSelector(n, UInt16(low)) {
        throw DebuggerError("\(name) cannot be loaded with \(hexDigits(value, 4))")
      }
    } else if let flag = RegisterFile.flags.first(where: { $0.name == name }) {
      try check(1)
      if flag.name == "vm" { throw DebuggerError("VM changes only with the mode") }
      cpu.setEFLAGS(value != 0 ? cpu.eflags | flag.bit : cpu.eflags & ~flag.bit)
    } else {
      try setOther(name, value, low, check)
    }
  }

  private func setOther(
    _ name: String, _ value: UInt64, _ low: UInt32, _ check: (Int) throws(DebuggerError) -> Void
  ) throws(DebuggerError) {
    switch name {
    case "eip":
      try check(32)
      cpu.s.pointee.eip = low
    case "ip":
      try check(16)
      cpu.s.pointee.eip = low
    case "eflags", "flags":
      try check(name == "flags" ? 16 : 32)
      let fixed = EFLAGS.vm | (name == "flags" ? 0xFFFF_0000 : 0)
      cpu.setEFLAGS(cpu.eflags & fixed | low & ~fixed)
    case "cr0", "cr2", "cr3", "cr4":
      try check(32)
      if !cpu.setControlRegister(Int(name.suffix(1)) ?? 0, low) {
        throw DebuggerError("\(name) cannot have the value \(hexDigits(low, 8))")
      }
    case "dr0", "dr1", "dr2", "dr3", "dr6", "dr7":
      try check(32)
      cpu.setDebugRegister(Int(name.suffix(1)) ?? 0, low)
    case "gdtr":
      try check(32)
      cpu.s.pointee.gdtBase = low
    case "idtr":
      try check(32)
      cpu.s.pointee.idtBase = low
    case "iopl":
      try check(2)
      cpu.setEFLAGS(cpu.eflags & ~EFLAGS.iopl | low << 12)
    default:
      if name.count == 3, name.hasPrefix("mm"), let n = Int(name.suffix(1)), n < 8 {
        var f = cpu.floatingPoint
        withUnsafeMutableBytes(of: &f.r) { raw in
          raw.storeBytes(
            of: value, toByteOffset: n * MemoryLayout<Float80Bits>.stride, as: UInt64.self)
        }
        cpu.floatingPoint = f
        return
      }
      throw DebuggerError("'\(name)' is no register that can be set")
    }
  }
}
