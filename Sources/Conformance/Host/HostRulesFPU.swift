// Where processors differ in x87, MMX and SSE instructions: rules as data.
//
// Owns: these rules. Must not know: how a case runs.
// Follows: Intel SDM volumes 1 and 2, AMD64 Architecture Programmer's Manual volumes 1, 2 and 5.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU
  import Host

  extension HostDifferences {
    /// The linear address of an offset.
    func linear(_ offset: UInt32) -> UInt32 {
      if test.mode == .flat { return test.address32 ? offset : offset & 0xFFFF }
      return HostProcessor.base &+ (test.address32 ? offset : offset & 0xFFFF)
    }

    /// Images of many bytes.
    fileprivate var isImage: Bool {
      switch op {
      case .fxsave, .fxrstor, .fldenv, .fnstenv, .frstor, .fnsave: return true
      default: return false
      }
    }

    fileprivate var isTranscendental: Bool {
      switch op {
      case .f2xm1, .fyl2x, .fptan, .fpatan, .fyl2xp1, .fsincos, .fsin, .fcos: return true
      default: return false
      }
    }

    /// A register of the x87 that differs by one step, also over the end of a binade; behind an FADD ST(0),ST(0) by what that rounds to.
    fileprivate func isNear(_ n: Int) -> Bool {
      let (a, b) = (apusFPU[physical: n], hostFPU[physical: n])
      let step = test.tail == [0xD8, 0xC0] ? stepOfSum : 1
      let (low, high) = a.signExponent < b.signExponent ? (a, b) : (b, a)
      switch high.signExponent - low.signExponent {
      case 0:
        return max(a.significand, b.significand) - min(a.significand, b.significand) <= step
      case 1 where low.significand >> 63 == 1:
        // Over the end of a binade: from the lower number to it, in the lower one's units, and from there.
        return high.signExponent & 0x7FFF != 0 && high.significand == 1 << 63
          && 0 &- low.significand <= step
      case 1:
        // Over the end of the denormal numbers.
        return low.signExponent & 0x7FFF == 0 && low.significand == .max >> 1
          && high.significand == 1 << 63
      default: return false
      }
    }

    /// A step of the sum of two neighbours, by the precision that the control word chooses.
    private var stepOfSum: UInt64 {
      switch test.fpu.cw >> 8 & 3 {
      case 0: 1 << 40
      case 2: 1 << 11
      default: 2
      }
    }

    /// Differences of the status word and of its copy in an image.
    fileprivate var statusParts: Set<Int> {
      named("FSW").union(environment(wide: 4...5, narrow: 2...3))
    }

    /// Differences of the tag word in an image: what is tiny, or only nearly so, is tagged otherwise.
    fileprivate var tagParts: Set<Int> { environment(wide: 8...9, narrow: 4...5) }

    /// Whether the host has no unmasked exception, for which alone some keep pointers.
    fileprivate var hostHasNoError: Bool { hostFPU.sw & 0x80 == 0 }
  }

  let hostRulesFPU: [HostRule] = [
    HostRule(
      "opcode-for-exceptions", .intel([]),
      "FOP is told only for an unmasked exception",
      manual:
        "SDM volume 1, 8.1.9.1: from the Pentium 4 on unless the compatibility mode is set; Apus tells it always, as P6 processors"
    ) { c in
      guard c.kind == .x87, c.hostHasNoError else { return [] }
      let image = c.environment(wide: 18...19, narrow: -1 ... -1)
      return c.named("FOP").union(image)
    },
    HostRule(
      "data-pointer-for-exceptions",
      .feature("CPUID leaf 7 EBX bit 6") { $0.tellsDataPointerOnExceptions },
      "FDP is told only for an unmasked exception",
      manual:
        "SDM volume 1, 8.1.8: earlier processors tell it for every operand in memory, and so does Apus"
    ) { c in
      // An exception of an instruction without an operand leaves it, too.
      guard c.kind == .x87 || c.kind == .mmx, c.hostHasNoError || c.test.tail.count == 2 else {
        return []
      }
      return c.named("FDP").union(c.environment(wide: 20...23, narrow: 10...11))
    },
    HostRule(
      "pointer-selectors", .feature("CPUID leaf 7 EBX bit 13") { $0.hasNoPointerSelectors },
      "FCS and FDS are 0",
      manual: "SDM volume 1, 8.1.8: deprecated; earlier processors tell them, and so does Apus"
    ) { c in
      c.environment(wide: 16...17, narrow: 8...9).union(
        c.environment(wide: 24...25, narrow: 12...13))
    },
    HostRule(
      "misaligned-beyond-limit", .any,
      "Operand in SS both misaligned and beyond the limit: #GP or #SS",
      manual: "SDM volume 3, 6.9.1: not defined which comes first"
    ) { c in
      c.all(
        if: c.kind == .sse && c.set == ["vector"] && c.apus.vector == 12 && c.host.vector == 13)
    },
    HostRule(
      "image-wraps", .any, "x87 or FXSAVE image over the end of its segment: wraps, or which fault",
      manual:
        "SDM volume 3, 5.3: an operand beyond the limit is a fault; here before anything changes"
    ) { c in
      c.all(if: c.isImage && c.wraps(c.line.isX87 ? 108 : 512))
    },
    HostRule(
      "operand-wraps", .any,
      "Operand of 10 or 16 bytes over the end of its segment: wraps, or which fault",
      manual: "SDM volume 3, 5.3: an operand beyond the limit is a fault"
    ) { c in
      if [.maskmovq, .maskmovdqu].contains(c.op) { return c.all(if: c.wraps(16)) }
      return c.all(
        if: c.line.isX87 && c.hasMemory && c.line.memorySize == 10 && c.wraps(10))
    },
    HostRule(
      "image-reach", .any, "x87 or FXSAVE image partly out of reach: which byte is touched first",
      manual: "not defined; here the lowest"
    ) { c in
      c.all(if: c.isImage && c.bothFault && c.set.isSubset(of: ["vector", "CR2"]))
    },
    HostRule(
      "fxsave-pointers", .any,
      "FXSAVE: pointers only for a pending exception or not at all, MXCSR_MASK with bit 17 on AMD processors",
      manual: "SDM, FXSAVE: all are stored; APM volume 5: only with a pending exception"
    ) { c in
      guard c.op == .fxsave, let image = c.operandOffset else { return [] }
      return c.memory { (6..<24).contains($0 - image) || $0 - image == 30 }
    },
    HostRule(
      "mxcsr-misaligned-mask", .amd([]), "MXCSR bit 17 (misaligned exception mask) exists",
      manual: "SDM volume 1, 10.2.3: reserved, #GP"
    ) { c in
      c.all(
        if: [.fxrstor, .ldmxcsr].contains(c.op) && c.set == ["vector"] && c.apus.vector == 13
          && c.host.vector == 1 && c.hostFPU.mxcsr & 0xFFFF_0000 == 0x2_0000)
    },
    HostRule(
      "masked-store-empty", .any,
      "MASKMOVQ and MASKMOVDQU with an empty mask: memory is checked or not",
      manual: "SDM, MASKMOVDQU: exceptions with a mask of zeros depend on the implementation"
    ) { c in
      c.all(
        if: [.maskmovq, .maskmovdqu].contains(c.op) && c.set == ["vector"] && c.apus.vector == 1
          && HostDifferences.memoryFaults.contains(c.host.vector))
    },
    HostRule(
      "masked-store-address", .any,
      "MASKMOVQ and MASKMOVDQU that fault: CR2 tells of the first byte, or of the first that the mask has",
      manual: "SDM volume 3, 4.7: any address within the access"
    ) { c in
      let first = c.linear(c.test.state.registers[7])
      return [.maskmovq, .maskmovdqu].contains(c.op) && c.apus.vector == 14 && c.host.vector == 14
        && c.host.cr2 &- first < 16 && c.apus.cr2 &- first < 16 ? c.named("CR2") : []
    },
    HostRule(
      "mmx-fault", .any,
      "An MMX instruction that faults: TOP and tags already as MMX's or not",
      manual: "SDM volume 3, 6.6: what faults can be run again; here it has changed nothing"
    ) { c in
      let touchesMMX =
        c.kind == .mmx
        || [.cvtpi2ps, .cvtps2pi, .cvttps2pi, .cvtpd2pi, .cvttpd2pi, .cvtpi2pd, .maskmovq]
          .contains(c.op)
      let isOnlyTop = c.status & ~0x3800 == 0
      return touchesMMX && c.apus.vector == c.host.vector && c.apus.vector != 1 && isOnlyTop
        && c.hostFPU.top == 0
        && (c.hostFPU.empty == 0 || c.hostFPU.empty == c.apusFPU.empty)
        ? c.named("FSW", "empty") : []
    },
    HostRule(
      "numeric-before-memory", .any,
      "An x87 store both of whose operand and address are bad: the unmasked numeric exception is noted and memory not touched, or the fault comes first",
      manual: "SDM volume 3, table 6-2: faults of memory come before numeric exceptions"
    ) { c in
      c.all(
        if: c.line.isX87 && c.hasMemory && HostDifferences.memoryFaults.contains(c.apus.vector)
          && c.apus.eip == c.test.state.eip && c.apusFPU.sw & 0x80 == 0
          && (c.hostFPU.sw & 0x80 != 0 || c.host.vector == 16 || c.host.eip != c.apus.eip))
    },
    HostRule(
      "store-partly-beyond", .any,
      "A store of 10 bytes of which some are out of reach: the others are already written or not",
      manual: "SDM volume 3, 6.6: what faults can be run again; here it has changed nothing"
    ) { c in
      guard [.fstp80, .fbstp].contains(c.op), c.apusFaults, c.apus.vector == c.host.vector,
        let at = c.operandOffset
      else { return [] }
      return c.memory { (0..<10).contains($0 - at) }
    },
    HostRule(
      "compare-c1", .any, "FCOMI and its like: C1 is cleared or left alone",
      manual: "SDM, FCOMI: cleared for a stack underflow, else not affected or 0 by edition"
    ) { c in
      return [.fcomi, .fcomip, .fucomi, .fucomip].contains(c.op) && c.status & ~0x200 == 0
        ? c.statusParts : []
    },
    HostRule(
      "transcendental-last-place", .any, "Transcendental function: a unit in the last place",
      manual: "SDM volume 1, 8.3.10: an error below one unit; Apus rounds correctly, on every host"
    ) { c in
      guard c.isTranscendental else { return [] }
      let near = c.names.indices.filter {
        c.names[$0].hasPrefix("R") && c.isNear(c.names[$0].last?.wholeNumberValue ?? 0)
      }
      return near.isEmpty ? [] : Set(near).union(c.tagParts)
    },
    HostRule(
      "transcendental-c1", .any,
      "Transcendental function: C1, the direction of rounding, where the last bit is not exact",
      manual: "as before"
    ) { c in
      guard c.isTranscendental, c.status & ~0x200 == 0 else { return [] }
      return c.statusParts
    },
    HostRule(
      "transcendental-underflow", .any,
      "Transcendental function at the edge of what is tiny: #U, and the result it gives, or not",
      manual: "SDM volume 1, 4.9.1.5: by the rounded result, which may be a unit off"
    ) { c in
      // UE, ES and B, C1.
      guard c.isTranscendental, c.status & ~0x8292 == 0, c.status & 0x10 != 0 else { return [] }
      let edge = (0..<8).allSatisfy { n in
        c.apusFPU[physical: n] == c.hostFPU[physical: n] || c.isNear(n)
          || [c.apusFPU, c.hostFPU].contains { $0[physical: n].signExponent & 0x7FFF <= 1 }
      }
      return edge
        ? c.statusParts.union(c.tagParts).union(
          c.named("R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7")) : []
    },
    HostRule(
      "unchanged-underflow", .amd([]),
      "FSCALE by zero and FPREM, FPREM1 of a denormal that remains as it is: #U, when unmasked",
      manual:
        "SDM, tables of FSCALE and FPREM: the number itself is the result, which is no underflow"
    ) { c in
      guard [.fprem1, .fprem, .fscale].contains(c.op),
        c.apusFPU.sw & 0x10 == 0, c.hostFPU.sw & 0x10 != 0, c.hostFPU.sw & 0x80 != 0
      else { return [] }
      return c.all(if: true)
    },
  ]
#endif
