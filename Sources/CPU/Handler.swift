// What the interpreter's switch dispatches on: an operation together with its operand shape and size.
//
// Naming: RR register,register; RM register from memory; MR memory from register; RI, MI with an immediate; then the size in bits.
// The decoder relies on the order of the arithmetic cases: operation, size, shape.
// The second list holds forms: they carry out what a handler of the first list does, quicker or together with the conditional jump that
// follows, and stand in `Instruction.form` only. F: memory in a flat segment, 32-bit addresses. B: the same without an index. N: the
// arithmetic flags are not set, since nothing sees them. J: with the jump after it.
// And: two instructions.
// Must not know: behaviour.

package enum Handler: UInt16 {
  case
    addRR8, addRM8, addMR8, addRI8, addMI8, addRR16, addRM16, addMR16, addRI16, addMI16, addRR32,
    addRM32, addMR32, addRI32, addMI32, orRR8, orRM8, orMR8, orRI8, orMI8, orRR16, orRM16,
    orMR16, orRI16, orMI16, orRR32, orRM32, orMR32, orRI32, orMI32, adcRR8, adcRM8, adcMR8,
    adcRI8, adcMI8, adcRR16, adcRM16, adcMR16, adcRI16, adcMI16, adcRR32, adcRM32, adcMR32,
    adcRI32, adcMI32, sbbRR8, sbbRM8, sbbMR8, sbbRI8, sbbMI8, sbbRR16, sbbRM16, sbbMR16, sbbRI16,
    sbbMI16, sbbRR32, sbbRM32, sbbMR32, sbbRI32, sbbMI32, andRR8, andRM8, andMR8, andRI8, andMI8,
    andRR16, andRM16, andMR16, andRI16, andMI16, andRR32, andRM32, andMR32, andRI32, andMI32,
    subRR8, subRM8, subMR8, subRI8, subMI8, subRR16, subRM16, subMR16, subRI16, subMI16, subRR32,
    subRM32, subMR32, subRI32, subMI32, xorRR8, xorRM8, xorMR8, xorRI8, xorMI8, xorRR16, xorRM16,
    xorMR16, xorRI16, xorMI16, xorRR32, xorRM32, xorMR32, xorRI32, xorMI32, cmpRR8, cmpRM8,
    cmpMR8, cmpRI8, cmpMI8, cmpRR16, cmpRM16, cmpMR16, cmpRI16, cmpMI16, cmpRR32, cmpRM32,
    cmpMR32, cmpRI32, cmpMI32, testRR8, testRM8, testMR8, testRI8, testMI8, testRR16, testRM16,
    testMR16, testRI16, testMI16, testRR32, testRM32, testMR32, testRI32, testMI32, movRR8,
    movRR16, movRR32, movRM8, movRM16, movRM32, movMR8, movMR16, movMR32, movRI8, movRI16,
    movRI32, movMI8, movMI16, movMI32, inc8R, inc16R, inc32R, dec8R, dec16R, dec32R, incM8,
    incM16, incM32, decM8, decM16, decM32, push16R, push32R, push16I, push32I, push16M, push32M,
    pop16R, pop32R, pop16M, pop32M, lea16, lea32, jo, jno, jb, jnb, jz, jnz, jbe, jnbe, js, jns,
    jp, jnp, jl, jnl, jle, jnle, jmpRel, call16, call32, ret16, ret32, jmp16E, jmp32E, call16E,
    call32E, loop, movzx32R8, movzx32M8, movzx32R16, movzx32M16, movsx32R8, movsx32M8,
    movsx32R16, movsx32M16, movzx16, movsx16, shl32I, shr32I, sar32I, shift8, shift16, shift32,
    setcc, cmov16, cmov32, imul16, imul32, imul16I, imul32I, not, neg, mulDiv, cwde, cdq, cbw16,
    cwd16, xchg, nop, leave16, leave32, string, fpu, system, ud, lengthFault, inPort, outPort,
    ins, outs, pusha, popa, bound, daa, das, aaa, aas, aam, aad, salc, xlat, sahf, lahf, cmc,
    clc, stc, cld, std, enter, bitTest, bitTestImm, bsf, bsr, shld, shrd, cmpxchg8, cmpxchg16,
    cmpxchg32, cmpxchg8b, xadd8, xadd16, xadd32, bswap, loopz, loopnz, jcxz, simd

  case
    blockEnd, nops, movRR32AndShl32IN, movRR32AndShr32IN, movRR32AndRol32IN, movRR32AndMovRR32,
    movRM32BAndMovRM32B, movRM32BAndMovMR32B, movRM32BAndMovRR32, movMR32BAndMovRM32B,
    movMR32BAndMovMR32B, push32RFAndPush32RF, pop32RFAndPop32RF, addRI32NAndAddRI32N,
    addRR32NAndAddRI32N, xorRR32NAndMovRR32, xorRR32NAndAddRR32N, andRR32NAndXorRR32N,
    rol32INAndMovRR32, rol32INAndXorRR32N,
    lea32F, rol32I, ror32I,
    movRM8F, movMR8F, movMI8F, movRM16F, movMR16F, movMI16F, movRM32F, movMR32F, movMI32F,
    movRM8B, movMR8B, movRM32B, movMR32B, movMI32B, movzx32M8F, movzx32M16F, movsx32M8F,
    movsx32M16F, movzx32M8B, addRM32F, orRM32F, andRM32F, subRM32F, xorRM32F, cmpRM32F, addMR32F,
    orMR32F, andMR32F, subMR32F, xorMR32F, cmpMR32F, testMR32F, addMI32F, orMI32F, andMI32F,
    subMI32F, cmpMI32F, testMI32F, cmpRM8F, cmpMR8F, cmpMI8F, testMI8F, incM32F, decM32F,
    push32RF, push32IF, push32MF, pop32RF, call32F, call32EF, ret32F, leave32F,
    addRR32N, addRI32N, orRR32N, orRI32N, andRR32N, andRI32N, subRR32N, subRI32N, xorRR32N,
    xorRI32N, inc32RN, dec32RN, shl32IN, shr32IN, sar32IN, rol32IN, ror32IN,
    cmpRR32Jb, cmpRR32Jnb, cmpRR32Jz, cmpRR32Jnz, cmpRR32Jbe, cmpRR32Jnbe, cmpRR32Jl, cmpRR32Jnl,
    cmpRR32Jle, cmpRR32Jnle, cmpRI32Jb, cmpRI32Jnb, cmpRI32Jz, cmpRI32Jnz, cmpRI32Jbe,
    cmpRI32Jnbe, cmpRI32Jl, cmpRI32Jnl, cmpRI32Jle, cmpRI32Jnle, cmpRM32Jb, cmpRM32Jnb, cmpRM32Jz,
    cmpRM32Jnz, cmpRM32Jbe, cmpRM32Jnbe, cmpRM32Jl, cmpRM32Jnl, cmpRM32Jle, cmpRM32Jnle,
    cmpMR32Jb, cmpMR32Jnb, cmpMR32Jz, cmpMR32Jnz, cmpMR32Jbe, cmpMR32Jnbe, cmpMR32Jl, cmpMR32Jnl,
    cmpMR32Jle, cmpMR32Jnle, cmpMI32Jb, cmpMI32Jnb, cmpMI32Jz, cmpMI32Jnz, cmpMI32Jbe,
    cmpMI32Jnbe, cmpMI32Jl, cmpMI32Jnl, cmpMI32Jle, cmpMI32Jnle, cmpRR8Jb, cmpRR8Jnb, cmpRR8Jz,
    cmpRR8Jnz, cmpRR8Jbe, cmpRR8Jnbe, cmpRR8Jl, cmpRR8Jnl, cmpRR8Jle, cmpRR8Jnle, cmpRI8Jb,
    cmpRI8Jnb, cmpRI8Jz, cmpRI8Jnz, cmpRI8Jbe, cmpRI8Jnbe, cmpRI8Jl, cmpRI8Jnl, cmpRI8Jle,
    cmpRI8Jnle, cmpMI8Jb, cmpMI8Jnb, cmpMI8Jz, cmpMI8Jnz, cmpMI8Jbe,
    cmpMI8Jnbe, cmpMI8Jl, cmpMI8Jnl, cmpMI8Jle, cmpMI8Jnle, testRR32Jz, testRR32Jnz, testRR32Js,
    testRR32Jns, testRR32Jle, testRR32Jnle, testRI32Jz, testRI32Jnz, testRI32Js, testRI32Jns,
    testRI32Jle, testRI32Jnle, testRR8Jz, testRR8Jnz, testRR8Js, testRR8Jns, testRR8Jle,
    testRR8Jnle, testRI8Jz, testRI8Jnz, testRI8Js, testRI8Jns, testRI8Jle, testRI8Jnle, testMI8Jz,
    testMI8Jnz, testMI8Js, testMI8Jns, testMI8Jle, testMI8Jnle, dec32RJz, dec32RJnz, dec32RJs,
    dec32RJns, inc32RJz, inc32RJnz, addRI32Jz, addRI32Jnz, subRI32Jz, subRI32Jnz, subRR32Jz,
    subRR32Jnz, andRI32Jz, andRI32Jnz

  /// Whether what is executed neither looks at arithmetic flags nor changes them (there are more such than those named here).
  @inline(__always) var leavesFlags: Bool {
    let n = rawValue
    func within(_ first: Handler, _ last: Handler) -> Bool {
      n &- first.rawValue <= last.rawValue &- first.rawValue
    }
    return within(.movRR8, .movMI32) || within(.push16R, .lea32) || within(.jmpRel, .movsx16)
      || within(.xchg, .leave32) || within(.inPort, .bound)
  }

  /// The number of operand shapes of the arithmetic and MOV cases.
  package static let shapes: UInt16 = 5
}
