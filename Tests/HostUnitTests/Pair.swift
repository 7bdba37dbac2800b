// Two processors that run the same code: one interprets it, one translates it.
//
// Owns: their set-up, equal random states, the comparison. Must not know: which instructions are tried.

import TestSupport
import Translator
import TranslatorX86_64

@testable import CPU

extension Random {
  /// An 80-bit value, special ones often.
  mutating func extended() -> Float80Bits {
    let sign: UInt16 = oneIn(2) ? 0x8000 : 0
    let integer: UInt64 = 1 << 63
    switch below(16) {
    case 0: return Float80Bits(signExponent: sign, significand: 0)
    case 1: return Float80Bits(signExponent: sign | 0x7FFF, significand: integer)
    case 2: return Float80Bits(signExponent: sign | 0x7FFF, significand: next() | 3 << 62)
    case 3:
      return Float80Bits(signExponent: sign | 0x7FFF, significand: next() & ~(1 << 62) | integer)
    case 4: return Float80Bits(signExponent: sign, significand: next() >> 1)
    case 5: return Float80Bits(signExponent: sign | UInt16(below(0x8000)), significand: next())
    case 6: return Float80Bits(signExponent: sign | 0x3FFF, significand: integer)
    case 7:
      return Float80Bits(
        signExponent: sign | UInt16(below(0x7FFF)), significand: next() | integer)
    case 8, 9:
      return Float80Bits(
        signExponent: sign | UInt16(0x3FFF - 8 + below(20)),
        significand: next() << UInt64(20 + below(40)) | integer)
    default:
      return Float80Bits(
        signExponent: sign | UInt16(0x3FFF - 40 + below(80)), significand: next() | integer)
    }
  }

  /// Sixty-four bits of some kind: a double, two singles, an integer.
  mutating func quad() -> UInt64 {
    switch below(8) {
    case 0: return next()
    case 1: return UInt64(below(100))
    case 2: return UInt64(bitPattern: Int64(below(2000) - 1000))
    case 3: return next() & 0x8000_0000_8000_0000
    case 4: return next() | 0x7F80_0000_7F80_0000
    case 5:
      return next() & 0x83FF_FFFF_83FF_FFFF | 0x3C00_0000_3C00_0000
    case 6: return next() & 0x803F_FFFF_FFFF_FFFF | 0x3FC0_0000_0000_0000
    default: return next() & 0x800F_FFFF_FFFF_FFFF | UInt64(1 + below(0x7FE)) << 52
    }
  }
}

/// One of the two processors: flat protected mode with 1 MiB, a handler for every exception that does nothing for ever.
final class Side {
  let memory: PhysicalMemory
  let cpu: CPU

  static let gdt: UInt32 = 0x1000
  static let idt: UInt32 = 0x2000
  static let handler: UInt32 = 0x3000
  static let stack: UInt32 = 0x5000
  /// Operands: EDX points into plain memory, EBX before a page's end, ESI into a page with code, EDI where no memory is.
  static let plain: UInt32 = 0x8000
  static let crossing: UInt32 = 0xA000
  static let code: UInt32 = 0xC000
  static let nothing: UInt32 = 0xF000_0000

  init(model: CPUModel, options: TranslatorOptions?) throws {
    memory = try PhysicalMemory(ramSize: 1 << 20)
    cpu = try CPU(model: model, memory: memory, bus: SystemBus())
    store(0x00CF_9A00_0000_FFFF as UInt64, Side.gdt + 8)
    store(0x00CF_9200_0000_FFFF as UInt64, Side.gdt + 16)
    for vector in UInt32(0)..<32 {
      store(UInt64(Side.handler) | 0x0008_0000 | 0x8E00 << 32, Side.idt + vector * 8)
    }
    store(0xFEEB as UInt16, Side.handler)
    let s = cpu.s
    s.pointee.gdtBase = Side.gdt
    s.pointee.gdtLimit = 0xFF
    s.pointee.idtBase = Side.idt
    s.pointee.idtLimit = 0xFF
    if let options {
      try Translator.attach(to: cpu, options: options)
      cpu.translationThreshold = 1
    }
  }

  func store<T>(_ value: T, _ address: UInt32) {
    memory.ram.storeBytes(of: value, toByteOffset: Int(address), as: T.self)
  }

  /// Puts a program into the page of code; blocks of what was there go.
  func load(_ program: [UInt8]) {
    cpu.dropAllCode()
    for (n, byte) in program.enumerated() { store(byte, Side.code + UInt32(n)) }
  }

  /// The same start for both: everything follows from the seed.
  func prepare(seed: UInt64, control: UInt16?, mxcsr: UInt32, taskSwitched: Bool) {
    var random = Random(seed: seed)
    let s = cpu.s
    s.pointee.shutdown = false
    s.pointee.halted = false
    s.pointee.attention = 0
    s.pointee.cr0 = CR0.pe | CR0.ne | CR0.et | (taskSwitched ? CR0.ts : 0)
    s.pointee.cr4 = cpu.model.features.contains(.sse) ? CR4.osfxsr | CR4.osxmmexcpt : 0
    s.pointee.eflags = 2
    cpu.setArithmeticFlags(UInt32(truncatingIfNeeded: random.next()) & EFLAGS.arithmetic)
    for n in 0..<6 {
      var segment = SegmentCache()
      segment.selector = n == SegmentRegister.cs ? 8 : 16
      segment.limit = 0xFFFF_FFFF
      segment.attributes = n == SegmentRegister.cs ? 0xC09B : 0xC093
      cpu[segment: n] = segment
    }
    for n in 0..<8 { cpu[n] = UInt32(truncatingIfNeeded: random.next()) }
    cpu[Register.esp] = Side.stack
    cpu[Register.edx] = Side.plain + 0x100
    cpu[Register.ebx] = Side.crossing + 0x1000 - 0x40
    cpu[Register.esi] = Side.code + 0xE00
    cpu[Register.edi] = Side.nothing
    s.pointee.eip = Side.code
    let fpu = cpu.fpu
    fpu.pointee = FPUState()
    fpu.pointee.cw =
      control ?? UInt16(0x7F | random.below(4) << 10 | [0, 2, 3, 3][random.below(4)] << 8)
    fpu.pointee.sw = UInt16(truncatingIfNeeded: random.next()) & 0x4700
    fpu.pointee.top = UInt8(random.below(8))
    fpu.pointee.empty = random.oneIn(4) ? random.byte() : 0x0F &<< UInt8(random.below(5))
    fpu.pointee.fip = 0x1234_5678
    fpu.pointee.fcs = 0x77
    fpu.pointee.fdp = 0x8765_4321
    fpu.pointee.fds = 0x99
    fpu.pointee.fop = 0x123
    fpu.pointee.mxcsr = mxcsr
    for n in 0..<8 {
      cpu.fpuRegisters[n] = random.extended()
      cpu.xmm[n] = XMMBits(random.quad(), random.quad())
    }
    for page in [Side.plain, Side.crossing, Side.crossing + 0x1000] {
      for at in stride(from: UInt32(0), to: 0x1000, by: 8) { store(random.quad(), page + at) }
    }
    for at in stride(from: UInt32(0xD00), to: 0xF00, by: 8) { store(random.quad(), Side.code + at) }
    for at in stride(from: UInt32(0), to: 0x100, by: 8) {
      store(0 as UInt64, Side.stack - 0x100 + at)
    }
    cpu.updateMode()
  }

  func run(_ count: Int) {
    cpu.s.pointee.retired = 0
    cpu.setDeadline(UInt64(count))
    while cpu.s.pointee.retired < UInt64(count) && !cpu.s.pointee.shutdown { _ = cpu.run() }
  }
}

/// What differs between the two sides, or nil.
func difference(_ a: Side, _ b: Side) -> String? {
  func hex<T: BinaryInteger>(_ value: T) -> String { String(value, radix: 16) }
  let (s, t) = (a.cpu.s.pointee, b.cpu.s.pointee)
  for n in 0..<8 where a.cpu[n] != b.cpu[n] {
    return "register \(n) is \(hex(a.cpu[n])), translated \(hex(b.cpu[n]))"
  }
  if s.eip != t.eip { return "EIP \(hex(s.eip)), translated \(hex(t.eip))" }
  if s.retired != t.retired { return "count \(s.retired), translated \(t.retired)" }
  if s.shutdown != t.shutdown { return "shutdown" }
  if t.hostUnits != 0 { return "units still in use" }
  let (x, y) = (a.cpu.arithmeticFlags, b.cpu.arithmeticFlags)
  if x != y { return "flags \(hex(x)), translated \(hex(y))" }
  let (f, g) = (a.cpu.fpu.pointee, b.cpu.fpu.pointee)
  if f.cw != g.cw { return "CW \(hex(f.cw)), translated \(hex(g.cw))" }
  if f.top != g.top { return "TOP \(f.top), translated \(g.top)" }
  if f.empty != g.empty { return "empty \(hex(f.empty)), translated \(hex(g.empty))" }
  for n in 0..<8 {
    let (v, w) = (a.cpu.fpuRegisters[n], b.cpu.fpuRegisters[n])
    if v != w {
      return "R\(n) \(hex(v.signExponent)):\(hex(v.significand)), translated "
        + "\(hex(w.signExponent)):\(hex(w.significand))"
    }
    let (p, q) = (a.cpu.xmm[n], b.cpu.xmm[n])
    if p != q {
      return "XMM\(n) \(hex(p.high)):\(hex(p.low)), translated \(hex(q.high)):\(hex(q.low))"
    }
  }
  if f.sw != g.sw { return "SW \(hex(f.sw)), translated \(hex(g.sw))" }
  if f.mxcsr != g.mxcsr { return "MXCSR \(hex(f.mxcsr)), translated \(hex(g.mxcsr))" }
  if f.fip != g.fip { return "FIP \(hex(f.fip)), translated \(hex(g.fip))" }
  if f.fop != g.fop { return "FOP \(hex(f.fop)), translated \(hex(g.fop))" }
  if f.fcs != g.fcs { return "FCS \(hex(f.fcs)), translated \(hex(g.fcs))" }
  if f.fdp != g.fdp { return "FDP \(hex(f.fdp)), translated \(hex(g.fdp))" }
  if f.fds != g.fds { return "FDS \(hex(f.fds)), translated \(hex(g.fds))" }
  for page in [Side.stack - 0x1000, Side.plain, Side.crossing, Side.crossing + 0x1000, Side.code] {
    for at in UInt32(0)..<0x1000 {
      let i = Int(page + at)
      let (v, w) = (
        a.memory.ram.load(fromByteOffset: i, as: UInt8.self),
        b.memory.ram.load(fromByteOffset: i, as: UInt8.self)
      )
      if v != w { return "memory at \(hex(i)) \(hex(v)), translated \(hex(w))" }
    }
  }
  return nil
}
