// The words for registers of x87 and SSE that a case starts from.
//
// Owns: these. Must not know: how a case is run.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU
  import Host

  func hostText(_ value: Float80Bits) -> String {
    hex(UInt32(value.signExponent), 4).dropFirst(2) + " "
      + hex(UInt32(truncatingIfNeeded: value.significand >> 32), 8).dropFirst(2)
      + hex(UInt32(truncatingIfNeeded: value.significand), 8).dropFirst(2)
  }

  func hostText(_ value: XMMBits) -> String {
    [value.high >> 32, value.high, value.low >> 32, value.low].map {
      String(hex(UInt32(truncatingIfNeeded: $0), 8).dropFirst(2))
    }.joined(separator: " ")
  }

  extension OpcodeEntry {
    /// What `--only` finds it by: operation, mnemonic, opcode, and "fpu" for the x87.
    var filterNames: [String] {
      ["\(op)".lowercased(), op.mnemonic, String(opcode, radix: 16)] + (isX87 ? ["fpu"] : [])
    }
  }

  /// The registers of x87, MMX and SSE that a case starts from, and its memory; only what is not as after reset.
  func hostText(_ test: HostCase, entry: OpcodeEntry) -> String {
    let f = test.fpu
    let plain = FPUState()
    var lines: [String] = []
    if f.cw != 0x37F || f.statusWord != 0 || f.empty != 0 || f.mxcsr != 0x1F80 {
      lines.append(
        "fcw=\(hex(UInt32(f.cw), 4)) fsw=\(hex(UInt32(f.statusWord), 4)) empty=\(hex(UInt32(f.empty), 2)) mxcsr=\(hex(f.mxcsr, 8))"
      )
    }
    for n in 0..<8 where f[st: n] != plain[st: n] { lines.append("st\(n)=\(hostText(f[st: n]))") }
    for n in 0..<8 where f[xmm: n] != plain[xmm: n] {
      lines.append("xmm\(n)=\(hostText(f[xmm: n]))")
    }
    for (offset, bytes) in test.memory {
      let more = bytes.count > 32 ? " ..." : ""
      lines.append(
        "[\(hex(offset, 4))]=" + bytes.prefix(32).map { hexByte($0) }.joined(separator: " ") + more)
    }
    return lines.map { "  \($0)\n" }.joined()
  }
#endif
