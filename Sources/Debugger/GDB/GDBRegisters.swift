// Registers as gdb numbers them, and the description of them that it is sent.
//
// Owns: numbers, sizes, the target description. Must not know: packets.
// Follows: "Debugging with GDB", appendix G, i386 features: core and sse. A feature of our own has what a PC needs beyond them: linear bases
// of the segments, control registers, EIP as the processor has it, and whether code is 16-bit (for a hook-stop of the user's).
// gdb knows no segments: what it calls EIP is the linear address of the next instruction (CS base + EIP), so that breakpoints,
// disassembly and `stepi` are right in 16-bit code too. ESP and the others are the registers themselves.

import CPU

/// The registers of a processor for gdb.
struct GDBRegisters {
  let cpu: CPU

  static let eip = 8
  private static let segments = [
    SegmentRegister.cs, SegmentRegister.ss, SegmentRegister.ds, SegmentRegister.es,
    SegmentRegister.fs, SegmentRegister.gs,
  ]
  private static let general = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"]

  /// 0-7 general, 8 EIP, 9 EFLAGS, 10-15 segments, 16-23 ST, 24-31 x87 control, 32-39 XMM, 40 MXCSR, 41 on `machine`.
  static let sizes =
    [Int](repeating: 4, count: 16) + [Int](repeating: 10, count: 8)
    + [Int](repeating: 4, count: 8) + [Int](repeating: 16, count: 8) + [4]
    + [Int](repeating: 4, count: machine.count)
  private static let firstMachine = 41
  private static let machine = [
    "cs_base", "ss_base", "ds_base", "es_base", "fs_base", "gs_base", "cr0", "cr2", "cr3", "cr4",
    "ip", "code16",
  ]

  /// - Parameter is16Bit: the code that runs now is; gdb disassembles accordingly until told otherwise.
  static func description(is16Bit: Bool) -> String {
    func register(_ name: String, _ bits: Int, _ type: String, _ group: String = "") -> String {
      let place = group.isEmpty ? "" : " group=\"\(group)\""
      return "<reg name=\"\(name)\" bitsize=\"\(bits)\" type=\"\(type)\"\(place)/>"
    }
    var core = general.map {
      register($0, 32, $0 == "esp" || $0 == "ebp" ? "data_ptr" : "int32")
    }
    core.append(register("eip", 32, "code_ptr"))
    core.append(register("eflags", 32, "i386_eflags"))
    core += ["cs", "ss", "ds", "es", "fs", "gs"].map { register($0, 32, "int32") }
    core += (0..<8).map { register("st\($0)", 80, "i387_ext") }
    core += ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"].map {
      register($0, 32, "int", "float")
    }
    let flags = [
      ("CF", 0), ("", 1), ("PF", 2), ("AF", 4), ("ZF", 6), ("SF", 7), ("TF", 8), ("IF", 9),
      ("DF", 10), ("OF", 11), ("NT", 14), ("RF", 16), ("VM", 17), ("AC", 18), ("VIF", 19),
      ("VIP", 20), ("ID", 21),
    ].map { "<field name=\"\($0.0)\" start=\"\($0.1)\" end=\"\($0.1)\"/>" }
    let vectors = [
      ("v4_float", "ieee_single", 4), ("v2_double", "ieee_double", 2), ("v16_int8", "int8", 16),
      ("v8_int16", "int16", 8), ("v4_int32", "int32", 4), ("v2_int64", "int64", 2),
    ]
    let types = vectors.map { "<vector id=\"t_\($0.0)\" type=\"\($0.1)\" count=\"\($0.2)\"/>" }
    let fields = vectors.map { "<field name=\"\($0.0)\" type=\"t_\($0.0)\"/>" }
    let sse =
      (0..<8).map { register("xmm\($0)", 128, "vec128") }
      + [register("mxcsr", 32, "int", "vector")]
    let own = machine.map { register($0, 32, $0.hasSuffix("_base") ? "data_ptr" : "int", "system") }
    return """
      <?xml version="1.0"?>
      <!DOCTYPE target SYSTEM "gdb-target.dtd">
      <target version="1.0">
      <architecture>\(is16Bit ? "i8086" : "i386")</architecture>
      <feature name="org.gnu.gdb.i386.core">
      <flags id="i386_eflags" size="4">\(flags.joined())</flags>
      \(core.joined(separator: "\n"))
      </feature>
      <feature name="org.gnu.gdb.i386.sse">
      \(types.joined())
      <union id="vec128">\(fields.joined())<field name="uint128" type="uint128"/></union>
      \(sse.joined(separator: "\n"))
      </feature>
      <feature name="apus.machine">
      \(own.joined(separator: "\n"))
      </feature>
      </target>

      """
  }

  // MARK: - Values

  private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  private static func number(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// Little-endian bytes of a register; `number` must be one.
  subscript(_ number: Int) -> [UInt8] {
    let f = cpu.floatingPoint
    switch number {
    case 0...7: return GDBRegisters.bytes(cpu[number])
    case 8: return GDBRegisters.bytes(cpu.nextLinear)
    case 9: return GDBRegisters.bytes(cpu.eflags)
    case 10...15:
      return GDBRegisters.bytes(UInt32(cpu[segment: GDBRegisters.segments[number - 10]].selector))
    case 16...23:
      let r = RegisterFile.physical(f)[(number - 16 + Int(f.top)) & 7]
      return GDBRegisters.bytes(r.significand) + GDBRegisters.bytes(r.signExponent)
    case 24: return GDBRegisters.bytes(UInt32(f.cw))
    case 25: return GDBRegisters.bytes(UInt32(f.sw & 0xC7FF) | UInt32(f.top & 7) << 11)
    case 26: return GDBRegisters.bytes(tagWord(f))
    case 27: return GDBRegisters.bytes(UInt32(f.fcs))
    case 28: return GDBRegisters.bytes(f.fip)
    case 29: return GDBRegisters.bytes(UInt32(f.fds))
    case 30: return GDBRegisters.bytes(f.fdp)
    case 31: return GDBRegisters.bytes(UInt32(f.fop))
    case 32...39:
      let x = [f.xmm.0, f.xmm.1, f.xmm.2, f.xmm.3, f.xmm.4, f.xmm.5, f.xmm.6, f.xmm.7]
      return GDBRegisters.bytes(x[number - 32].low) + GDBRegisters.bytes(x[number - 32].high)
    case 40: return GDBRegisters.bytes(f.mxcsr)
    default: return GDBRegisters.bytes(machineRegister(number - GDBRegisters.firstMachine))
    }
  }

  private func machineRegister(_ n: Int) -> UInt32 {
    let p = cpu.s.pointee
    switch n {
    case 0...5: return cpu[segment: GDBRegisters.segments[n]].base
    case 6: return p.cr0
    case 7: return p.cr2
    case 8: return p.cr3
    case 9: return p.cr4
    case 10: return cpu.currentEIP
    default: return cpu.isCode32 ? 0 : 1
    }
  }

  /// Two bits for each physical register: valid, zero, special, empty (SDM volume 1, 8.1.7).
  private func tagWord(_ f: FPUState) -> UInt32 {
    var word: UInt32 = 0
    for (n, r) in RegisterFile.physical(f).enumerated() {
      let exponent = r.signExponent & 0x7FFF
      let tag: UInt32
      if f.empty >> UInt8(n) & 1 != 0 {
        tag = 3
      } else if exponent == 0 && r.significand == 0 {
        tag = 1
      } else if exponent == 0 || exponent == 0x7FFF || r.significand >> 63 == 0 {
        tag = 2
      } else {
        tag = 0
      }
      word |= tag << UInt32(2 * n)
    }
    return word
  }

  /// Changes a register.
  /// - Returns: no when it cannot have the value.
  func set(_ number: Int, _ bytes: [UInt8]) -> Bool {
    guard GDBRegisters.sizes.indices.contains(number), bytes.count == GDBRegisters.sizes[number]
    else { return false }
    let low = UInt32(truncatingIfNeeded: GDBRegisters.number(bytes.prefix(4)))
    let file = RegisterFile(cpu: cpu)
    switch number {
    case 0...7: cpu[number] = low
    case 8:
      cpu.s.pointee.eip = low &- cpu[segment: SegmentRegister.cs].base
    case 9: return (try? file.set("eflags", UInt64(low))) != nil
    case 10...15:
      guard low <= 0xFFFF else { return false }
      return cpu.setSegmentSelector(
        GDBRegisters.segments[number - 10], UInt16(truncatingIfNeeded: low))
    case 16...40: setFloating(number, bytes, low)
    case 47...50:
      return cpu.setControlRegister([0, 2, 3, 4][number - 47], low)
    default:
      // What follows from others stays as it is.
      return low == machineRegister(number - GDBRegisters.firstMachine)
    }
    return true
  }

  private func setFloating(_ number: Int, _ bytes: [UInt8], _ low: UInt32) {
    var f = cpu.floatingPoint
    let word = UInt16(truncatingIfNeeded: low)
    switch number {
    case 16...23:
      let place = (number - 16 + Int(f.top)) & 7
      let value = Float80Bits(
        signExponent: UInt16(truncatingIfNeeded: GDBRegisters.number(bytes[8...])),
        significand: GDBRegisters.number(bytes[..<8]))
      withUnsafeMutableBytes(of: &f.r) {
        $0.storeBytes(
          of: value, toByteOffset: place * MemoryLayout<Float80Bits>.stride, as: Float80Bits.self)
      }
    case 24: f.cw = word & 0x1F3F | 0x40
    case 25:
      f.sw = word & 0xC7FF
      f.top = UInt8(truncatingIfNeeded: word >> 11) & 7
    case 26:
      f.empty = 0
      for n in 0..<8 where word >> UInt16(2 * n) & 3 == 3 { f.empty |= 1 << UInt8(n) }
    case 27: f.fcs = word
    case 28: f.fip = low
    case 29: f.fds = word
    case 30: f.fdp = low
    case 31: f.fop = word & 0x7FF
    case 32...39:
      let value = XMMBits(GDBRegisters.number(bytes[..<8]), GDBRegisters.number(bytes[8...]))
      withUnsafeMutableBytes(of: &f.xmm) {
        $0.storeBytes(
          of: value, toByteOffset: (number - 32) * MemoryLayout<XMMBits>.stride, as: XMMBits.self)
      }
    default: f.mxcsr = low & 0xFFBF
    }
    cpu.floatingPoint = f
  }
}
