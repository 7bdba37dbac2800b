// Where processors of different makers rightly differ: rules by which a difference is counted but is no failure.
//
// Owns: the rules and their words, and the words for registers of x87 and SSE. Must not know: how a case is run.
// Follows: Intel SDM volumes 1 and 2, AMD64 Architecture Programmer's Manual volumes 1, 3 and 5.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU
  import Host

  /// The named rules.
  enum HostRules {
    /// For what does not differ when it is run again.
    static let lostPointers =
      "Not repeatable: the host's kernel switched tasks and dropped the x87's pointers"

    /// What differs, by name.
    private static func names(_ differences: [String]) -> Set<String> {
      Set(differences.map { $0.hasPrefix("[") ? "memory" : String($0.prefix { $0 != ":" }) })
    }

    /// The rules of x87, MMX and SSE.
    private static func explainFPU(
      _ test: HostCase, _ apus: HostProcessor.State, _ host: HostProcessor.State,
      _ apusFPU: FPUState, _ hostFPU: FPUState, _ differences: [String]
    ) -> String? {
      let line = OpcodeTable.shared.entries[test.entry]
      let name = "\(line.op)"
      let names = names(differences)
      let kind = HostCase.Kind(line)
      if kind == .sse && names == ["vector"] && apus.vector == 12 && host.vector == 13 {
        return "Operand in SS both misaligned and beyond the limit: #GP or #SS"
      }
      switch name {
      case "fxsave" where wraps(test), "fxrstor" where wraps(test): return wrappedImage
      case "fxsave":
        guard let address = test.effectiveAddress(test.address32),
          let image = test.regionOffset(address), names == ["memory"]
        else { return explainImage(apus, host, names) }
        // FOP, FIP, FCS, FDP and FDS, and MXCSR_MASK with AMD's misaligned exception mask.
        let places = differences.map { (memoryOffset($0) ?? 0) - image }
        return places.allSatisfy { (6..<24).contains($0) || $0 == 30 }
          ? "FXSAVE: pointers only for a pending exception, MXCSR_MASK with bit 17 on AMD processors"
          : nil
      case "fxrstor", "ldmxcsr":
        if let rule = explainImage(apus, host, names) { return rule }
        return apus.vector == 13 && host.vector == 1 && names == ["vector"]
          && hostFPU.mxcsr & 0xFFFF_0000 == 0x2_0000
          ? "MXCSR bit 17 exists on AMD processors" : nil
      case "maskmovq" where wraps(test, size: 16), "maskmovdqu" where wraps(test, size: 16):
        return wrappedOperand
      case "maskmovq" where names == ["vector"], "maskmovdqu":
        return apus.vector == 1 && [12, 13, 14].contains(host.vector) && names == ["vector"]
          ? "MASKMOVQ and MASKMOVDQU with an empty mask: memory is checked or not" : nil
      case "cvtpi2ps", "cvtps2pi", "cvttps2pi", "cvtpd2pi", "cvttpd2pi", "maskmovq":
        return apus.vector == host.vector && apus.vector != 1
          && names.isSubset(of: ["FSW", "empty"]) && hostFPU.top == 0 && hostFPU.empty == 0
          ? "\(name.uppercased()) that faults: TOP and tags already as MMX's or not" : nil
      case "fpu":
        guard test.fixed <= test.bytes.count else { return nil }
        let modrm = test.bytes[test.fixed - 1]
        let c1Only =
          (apusFPU.statusWord ^ hostFPU.statusWord) & ~0x200 == 0
          && names.isSubset(of: ["FSW", "memory"])
        if (line.opcode == 0xD9 || line.opcode == 0xDD) && modrm < 0xC0 && modrm & 0x28 == 0x20 {
          if wraps(test, size: 108) { return wrappedImage }
          return explainImage(apus, host, names)
        }
        if modrm < 0xC0 && wraps(test, size: 10) && (line.opcode == 0xDF || line.opcode == 0xDB) {
          return wrappedOperand
        }
        switch (line.opcode, modrm) {
        case (0xDB, 0xE8...0xF7), (0xDF, 0xE8...0xF7):
          return c1Only ? "FCOMI and its like: C1 is cleared or left alone" : nil
        case (0xD9, 0xF0...0xF3), (0xD9, 0xF9), (0xD9, 0xFB), (0xD9, 0xFE...0xFF):
          return explainTranscendental(
            apusFPU, hostFPU, test.tail.isEmpty ? names : names.subtracting(["memory"]))
        default: return nil
        }
      default: return nil
      }
    }

    private static let wrappedImage =
      "x87 or FXSAVE image over the end of its segment: wraps, or which fault"

    private static let wrappedOperand =
      "Operand of 10 or 16 bytes over the end of its segment: wraps, or which fault"

    /// Whether an operand of so many bytes goes over the end of its segment, of 64 KiB or 4 GiB.
    private static func wraps(_ test: HostCase, size: UInt32 = 512) -> Bool {
      guard let address = test.effectiveAddress(test.address32) else { return false }
      if test.address32 && test.mode == .flat { return address > 0 &- size }
      return address & 0xFFFF > 0x10000 - size
    }

    /// An offset in the region from the words of a difference in memory.
    private static func memoryOffset(_ text: String) -> Int? {
      Int(text.drop { $0 != "x" }.dropFirst().prefix { $0 != "]" }, radix: 16)
    }

    /// Images of many bytes: which of them are touched first, and which of two faults comes first.
    private static func explainImage(
      _ apus: HostProcessor.State, _ host: HostProcessor.State, _ names: Set<String>
    ) -> String? {
      let faults: ClosedRange<UInt8> = 12...14
      return faults.contains(apus.vector) && faults.contains(host.vector)
        && names.isSubset(of: ["vector", "CR2"])
        ? "x87 or FXSAVE image partly out of reach: which byte is touched first" : nil
    }

    /// Transcendental results may differ by a unit in the last place, and with it C1, which tells the rounding.
    private static func explainTranscendental(
      _ apus: FPUState, _ host: FPUState, _ names: Set<String>
    ) -> String? {
      if (apus.statusWord ^ host.statusWord) & ~0x200 != 0 { return nil }
      if names == ["FSW"] { return "Transcendental function: C1 where the last bit is not exact" }
      if !names.isSubset(of: ["FSW", "R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7"]) {
        return nil
      }
      for n in 0..<8 {
        let (a, b) = (apus[physical: n], host[physical: n])
        if a == b { continue }
        // One step, also over the end of a binade.
        let x = UInt64(a.signExponent) << 1
        let y = UInt64(b.signExponent) << 1
        let near =
          x == y
          ? (a.significand > b.significand
            ? a.significand - b.significand : b.significand - a.significand) <= 1
          : a.signExponent ^ b.signExponent < 0x8000
            && [a.significand, b.significand].sorted() == [1 << 63, .max]
        if !near { return nil }
      }
      return "Transcendental function: a unit in the last place"
    }

    /// What processors of different makers do differently, and both rightly.
    static func explain(
      _ test: HostCase, _ apus: HostProcessor.State, _ host: HostProcessor.State,
      _ apusFPU: FPUState, _ hostFPU: FPUState, _ differences: [String]
    ) -> String? {
      if let rule = explainFPU(test, apus, host, apusFPU, hostFPU, differences) { return rule }
      switch "\(OpcodeTable.shared.entries[test.entry].op)" {
      case "pushSeg":
        if test.operand32 && apus.vector != host.vector && [12, 13, 14].contains(host.vector) {
          return "PUSH of a segment register as a doubleword: the upper word is checked or not"
        }
        let upper = differences.allSatisfy { $0.hasPrefix("[") && $0.hasSuffix("host 0x00") }
        return test.operand32 && upper && differences.count <= 2
          ? "PUSH of a segment register as a doubleword: the upper word is zero or left alone" : nil
      case "popSeg":
        return test.operand32 && apus.vector != host.vector && [12, 13, 14].contains(host.vector)
          ? "POP of a segment register as a doubleword: the upper word is checked or not" : nil
      case "cmps", "scas":
        // The same for one that a trap or an interrupt holds up.
        let unfinished =
          (12...14).contains(apus.vector) || (apus.vector == 1 && apus.eip == test.state.eip)
        return apus.vector == host.vector && unfinished && names(differences) == ["EFLAGS"]
          ? "REP CMPS or SCAS held up: flags of the last iteration, or given back as Intel's manual says"
          : nil
      case "lsl":
        return host.vector == 1 && apus.vector == 1 && differences.count == 1
          && !differences[0].hasPrefix("EFLAGS") && !differences[0].hasPrefix("EIP")
          ? "LSL of the host kernel's segment 78h, whose limit tells the processor's number" : nil
      case "popa":
        return apus.vector == host.vector && host.vector != 1
          && differences.allSatisfy { $0.hasPrefix("E") && !$0.hasPrefix("EIP") }
          ? "POPA that faults: registers already loaded or not" : nil
      case "callFar":
        return apus.vector == host.vector && (12...14).contains(apus.vector)
          && differences.allSatisfy({ $0.hasPrefix("[") })
          ? "Far CALL that faults: the return address is already written or not" : nil
      case "retFar", "iret":
        let faults: ClosedRange<UInt8> = 11...14
        return faults.contains(apus.vector) && faults.contains(host.vector)
          && differences.allSatisfy({ $0.hasPrefix("vector") || $0.hasPrefix("CR2") })
          ? "RETF or IRET that faults: how much of the stack is read before the checks" : nil
      case "call":
        return [12, 13].contains(apus.vector) && [12, 13, 14].contains(host.vector)
          && differences.count == 1
          ? "CALL with both a bad target and a bad stack: which fault comes first" : nil
      default: return nil
      }
    }

  }

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
