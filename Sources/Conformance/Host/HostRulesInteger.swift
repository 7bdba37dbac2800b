// Where processors differ in integer instructions, strings and far transfers: rules as data.
//
// Owns: these rules. Must not know: how a case runs.
// Follows: Intel SDM volumes 1 to 3, AMD64 Architecture Programmer's Manual volumes 2 and 3.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU
  import Host

  let hostRulesInteger: [HostRule] = [
    HostRule(
      "push-segment-upper", .any,
      "PUSH of a segment register as a doubleword: the upper word is zero, left alone, checked or not",
      manual: "SDM, PUSH: later processors write the lower word alone"
    ) { c in
      guard c.op == .pushSeg, c.test.operand32 else { return [] }
      if c.apus.vector != c.host.vector {
        return c.all(if: HostDifferences.memoryFaults.contains(c.host.vector))
      }
      return c.all(
        if: c.list.count <= 2
          && c.list.allSatisfy { $0.hasPrefix("[") && $0.hasSuffix("host 0x00") })
    },
    HostRule(
      "pop-segment-upper", .any,
      "POP of a segment register as a doubleword: the upper word is checked or not",
      manual: "SDM, POP: the stack pointer moves by the operand size"
    ) { c in
      c.all(
        if: c.op == .popSeg && c.test.operand32 && c.apus.vector != c.host.vector
          && HostDifferences.memoryFaults.contains(c.host.vector))
    },
    HostRule(
      "repeat-compare-flags", .amd([]),
      "REPE and REPNE CMPS and SCAS that fault, or that a trap holds up: flags of the last iteration done",
      manual: "SDM, REP: EFLAGS is given back as it was before the instruction"
    ) { c in
      // The same for one that a trap or an interrupt holds up.
      let unfinished = c.apusFaults || c.apus.vector == 1 && c.apus.eip == c.test.state.eip
      return [.cmps, .scas].contains(c.op) && c.apus.vector == c.host.vector && unfinished
        ? c.named("EFLAGS") : []
    },
    HostRule(
      "repeat-resume-flag", .intel([]),
      "A trap between iterations of a repetition pushes EFLAGS with RF set",
      manual:
        "SDM volume 3, 17.3.1.1 tells it of breakpoints and traps; the emulated trap comes by TF, whose image AMD's manual has clear"
    ) { c in
      c.line.isRepeatable && c.host.vector == 1 && c.host.eip == c.test.state.eip
        && (c.apus.eflags ^ c.host.eflags) & c.test.flagsMask(1) == EFLAGS.rf
        ? c.named("EFLAGS") : []
    },
    HostRule(
      "compare-strings-order", .any,
      "CMPS with both operands out of reach: CR2 tells of the one at EDI",
      manual: "SDM, CMPS: the first operand is that at ESI; the order of accesses is not defined"
    ) { c in
      guard c.op == .cmps, c.bothFault else { return [] }
      if c.apus.vector != c.host.vector { return c.all(if: c.set.isSubset(of: ["vector", "CR2"])) }
      let second = c.linear(c.test.state.registers[7])
      return c.apus.vector == 14 && ((c.host.cr2 ^ second) < 0x1000 || c.host.cr2 &- second < 4)
        ? c.named("CR2") : []
    },
    HostRule(
      "selector-slot", .intel([]),
      "A far return whose selector's unused upper half alone is out of reach is carried out",
      manual: "SDM, RET: 32 bits are popped, the upper half is discarded"
    ) { c in
      let slot = c.test.state.registers[4] & 0xFFFF &+ 4
      return c.all(
        if: c.op == .retFar && HostDifferences.memoryFaults.contains(c.apus.vector)
          && !HostDifferences.memoryFaults.contains(c.host.vector)
          && slot &+ 1 <= 0xFFFF && slot &+ 3 > 0xFFFF)
    },
    HostRule(
      "enter-wraps", .intel([]),
      "ENTER whose first push wraps in a stack of 64 KiB: EBP's upper half has the borrow",
      manual: "SDM, ENTER: the frame pointer is ESP after the push, whose upper half stays"
    ) { c in
      c.all(
        if: c.op == .enter && c.test.state.registers[4] & 0xFFFF < 4
          && c.set.isSubset(of: ["EBP", "memory"])
          && c.apus.registers[5] &- c.host.registers[5] == 0x1_0000)
    },
    HostRule(
      "own-stack", .any,
      "An address that happens to be in the stack that the comparison itself has on the host",
      manual: "nothing: the case reaches what is not its own"
    ) { c in
      c.all(
        if: c.apus.vector == 14 && c.apus.cr2 &- HostProcessor.stackBase < 0x1_0000
          && c.host.vector != 14)
    },
    HostRule(
      "lock-verr", .amd([]),
      "LOCK with VERR and VERW is no #UD",
      manual: "SDM and APM, LOCK: #UD with every instruction that is not on its list"
    ) { c in
      c.all(
        if: [.verr, .verw].contains(c.op) && c.test.prefixes.contains(0xF0)
          && c.apus.vector == 6 && c.host.vector != 6)
    },
    HostRule(
      "limit-of-4-gigabytes", .any,
      "An operand over the end of a segment of 4 GiB: the limit's fault, or none",
      manual:
        "SDM volume 3, 5.3: with an effective limit of FFFFFFFFh it depends on the implementation"
    ) { c in
      c.all(
        if: c.test.mode == .flat && c.set == ["vector"] && [12, 13].contains(c.apus.vector)
          && c.host.vector == 14 && (c.host.cr2 >= 0xFFFF_FE00 || c.host.cr2 < 0x200))
    },
    HostRule(
      "lsl-processor-number", .any,
      "LSL of the host kernel's segment 78h, whose limit tells the processor's number",
      manual: "the emulated segment has another limit"
    ) { c in
      c.all(
        if: c.op == .lsl && c.host.vector == 1 && c.apus.vector == 1 && c.list.count == 1
          && c.names[0].hasPrefix("E") && c.names[0] != "EFLAGS" && c.names[0] != "EIP")
    },
    HostRule(
      "bound-partly-beyond", .any,
      "BOUND whose upper limit is out of reach: the lower one alone may decide",
      manual: "not defined in which order they are read; here both before they are compared"
    ) { c in
      c.all(
        if: c.op == .bound && c.set == ["vector"] && c.host.vector == 5
          && HostDifferences.memoryFaults.contains(c.apus.vector))
    },
    HostRule(
      "popa-fault", .any, "POPA that faults: registers already loaded or not",
      manual: "SDM volume 3, 6.6: what faults can be run again; here it has changed nothing"
    ) { c in
      c.all(
        if: c.op == .popa && c.apus.vector == c.host.vector && c.host.vector != 1
          && c.names.allSatisfy { $0.hasPrefix("E") && $0 != "EIP" })
    },
    HostRule(
      "call-fault", .any,
      "CALL whose target faults: the return address is already written or not",
      manual:
        "SDM, CALL: the target is checked first for a far one; of the near one the order is not told"
    ) { c in
      c.all(
        if: [.call, .callFar, .callFarIndirect].contains(c.op) && c.apus.vector == c.host.vector
          && (c.apusFaults || c.apus.vector == 11) && c.set == ["memory"] && c.list.count <= 8)
    },
    HostRule(
      "return-fault", .any,
      "RETF or IRET that faults: how much of the stack is read before the checks",
      manual: "SDM volume 3, 6.9.1: which of several faults comes first is not defined"
    ) { c in
      let faults: ClosedRange<UInt8> = 11...14
      return c.all(
        if: [.retFar, .iret].contains(c.op) && faults.contains(c.apus.vector)
          && faults.contains(c.host.vector) && c.set.isSubset(of: ["vector", "CR2"]))
    },
    HostRule(
      "call-two-faults", .any,
      "CALL with both a bad target and a bad stack: which fault comes first",
      manual: "SDM volume 3, 6.9.1: not defined"
    ) { c in
      c.all(
        if: c.op == .call && [12, 13].contains(c.apus.vector)
          && HostDifferences.memoryFaults.contains(c.host.vector) && c.set == ["vector"])
    },
  ]

  /// What manuals leave undefined, so that it is not compared at all; what Apus does is the same on every host.
  let hostRulesUndefined: [HostRule] = [
    HostRule(
      "shift-adjust", .any, "AF after shifts: clear on Intel's processors, set on AMD's",
      manual: "undefined; Apus clears it", nil),
    HostRule(
      "shift-overflow", .any,
      "OF after shifts and rotations by more than one: as of the last step on AMD's processors, otherwise on Intel's",
      manual: "undefined; Apus has it as of the last step", nil),
    HostRule(
      "shift-beyond", .any, "CF after SHL and SHR by more than the operand has bits",
      manual: "undefined; Apus makes one step after the other", nil),
    HostRule(
      "double-shift-beyond", .any, "SHLD and SHRD of words by more than 16",
      manual: "undefined; Apus shifts through both operands and the first again", nil),
    HostRule(
      "multiply-flags", .any,
      "SF, ZF, AF and PF after MUL and IMUL: by the result on Intel's processors, kept on AMD's",
      manual: "undefined; Apus sets them by the lower half", nil),
    HostRule(
      "divide-flags", .any, "All flags after DIV and IDIV", manual: "undefined; Apus keeps them",
      nil),
    HostRule(
      "bit-scan", .any,
      "BSF and BSR of zero and their flags but ZF",
      manual: "undefined; Apus leaves the register, and sets flags by the result", nil),
    HostRule(
      "decimal-flags", .any, "OF after DAA and DAS, and what AAA, AAS, AAM and AAD leave undefined",
      manual: "undefined; Apus sets them by the result", nil),
    HostRule(
      "bswap-word", .any, "BSWAP of a word register", manual: "undefined; Apus clears it", nil),
    HostRule(
      "approximations", .any, "RCPPS, RSQRTPS and their like",
      manual: "a relative error of 1.5 * 2^-12 is allowed; Apus rounds correctly, on every host",
      nil),
  ]
#endif
