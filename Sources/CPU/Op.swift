// The operations of the instruction set, named by Intel's mnemonics (with a suffix where one mnemonic has several shapes).
//
// Owns: the names the opcode table uses. Must not know: encodings or behaviour.

/// An operation; the case name is the spelling in the opcode table.
public enum Op: String, CaseIterable, Sendable {
  case
    add, pushSeg, popSeg, or, adc, sbb, and, daa, sub, das, xor, aaa, cmp, aas, inc, dec, push,
    pop, pusha, popa, bound, arpl, imul, ins, outs, jo, jno, jb, jnb, jz, jnz, jbe, jnbe, js,
    jns, jp, jnp, jl, jnl, jle, jnle, test, xchg, mov, movSeg, lea, nop, cbw, cwd, callFar,
    fwait, pushf, popf, sahf, lahf, movs, cmps, stos, lods, scas, rol, ror, rcl, rcr, shl, shr,
    sal, sar, ret, les, lds, enter, leave, retFar, int3, int, into, iret, aam, aad, salc, xlat,
    fpu, loopnz, loopz, loop, jcxz, `in`, out, call, jmp, jmpFar, int1, hlt, cmc, not, neg, mul,
    imul1, div, idiv, clc, stc, cli, sti, cld, std, sldt, str, lldt, ltr, verr, verw, sgdt, sidt,
    lgdt, lidt, smsw, lmsw, invlpg, lar, lsl, clts, invd, wbinvd, ud2, nopRM, movCR, movDR,
    movTR, wrmsr, rdtsc, rdmsr, rdpmc, sysenter, sysexit, cmovo, cmovno, cmovb, cmovnb, cmovz,
    cmovnz, cmovbe, cmovnbe, cmovs, cmovns, cmovp, cmovnp, cmovl, cmovnl, cmovle, cmovnle, seto,
    setno, setb, setnb, setz, setnz, setbe, setnbe, sets, setns, setp, setnp, setl, setnl, setle,
    setnle, cpuid, bt, shld, rsm, bts, shrd, fxsave, fxrstor, cmpxchg, lss, btr, lfs, lgs, movzx,
    ud1, btc, bsf, bsr, movsx, xadd, cmpxchg8b, bswap, ud0
  // MMX, SSE, SSE2
  case
    movups, movupd, movss, movsd, movlps, movlpd, unpcklps, unpcklpd, unpckhps, unpckhpd,
    movhps, movhpd, movaps, movapd, cvtpi2ps, cvtpi2pd, cvtsi2ss, cvtsi2sd, movntps, movntpd,
    cvttps2pi, cvttpd2pi, cvttss2si, cvttsd2si, cvtps2pi, cvtpd2pi, cvtss2si, cvtsd2si,
    ucomiss, ucomisd, comiss, comisd, movmskps, movmskpd, sqrtps, sqrtpd, sqrtss, sqrtsd,
    rsqrtps, rsqrtss, rcpps, rcpss, andps, andpd, andnps, andnpd, orps, orpd, xorps, xorpd,
    addps, addpd, addss, addsd, mulps, mulpd, mulss, mulsd, cvtps2pd, cvtpd2ps, cvtss2sd,
    cvtsd2ss, cvtdq2ps, cvtps2dq, cvttps2dq, subps, subpd, subss, subsd, minps, minpd, minss,
    minsd, divps, divpd, divss, divsd, maxps, maxpd, maxss, maxsd, punpcklbw, punpcklwd,
    punpckldq, packsswb, pcmpgtb, pcmpgtw, pcmpgtd, packuswb, punpckhbw, punpckhwd, punpckhdq,
    packssdw, punpcklqdq, punpckhqdq, movd, movq, movdqa, movdqu, pshufw, pshufd, pshufhw,
    pshuflw, psrlw, psraw, psllw, psrld, psrad, pslld, psrlq, psllq, psrldq, pslldq, pcmpeqb,
    pcmpeqw, pcmpeqd, emms, ldmxcsr, stmxcsr, lfence, mfence, sfence, cmpps, cmppd, cmpss,
    cmpsd, movnti, pinsrw, pextrw, shufps, shufpd, paddq, pmullw, movq2dq, movdq2q, pmovmskb,
    psubusb, psubusw, pminub, pand, paddusb, paddusw, pmaxub, pandn, pavgb, pavgw, pmulhuw,
    pmulhw, cvttpd2dq, cvtdq2pd, cvtpd2dq, movntq, movntdq, psubsb, psubsw, pminsw, por,
    paddsb, paddsw, pmaxsw, pxor, pmuludq, pmaddwd, psadbw, maskmovq, maskmovdqu, psubb,
    psubw, psubd, psubq, paddb, paddw, paddd
}
