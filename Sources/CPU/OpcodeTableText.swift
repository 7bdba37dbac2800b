// The instruction set as data: one line for each opcode (and /digit of a group).
//
// Columns: opcode in hexadecimal (0F.. for the two-byte map, /n for ModRM.reg), operation, operands ("-" for none), then attributes:
//   r: w: u:   flags read, written, left undefined (o s z a p c d i t n = NT)
//   lock       may carry LOCK when its destination is memory
//   end        execution does not simply go on with the next instruction of a block
//   rep        REP and REPNE mean repetition
//   i486 ...   needs that feature of `CPUFeatures`
// Operands follow Intel's notation: E register or memory by ModRM.rm, G register by ModRM.reg, M memory only, I immediate, J relative,
// O moffs, A far pointer, Z register in the opcode, S C D T segment, control, debug, test register, X Y string operands;
// b byte, w word, v by operand size, z word or dword immediate, bs sign-extended byte, p far pointer.
// Must not know: who reads it. Follows: Intel SDM volume 2, appendix A.

enum OpcodeTableText {
  static let lines: StaticString = """
    00 add Eb,Gb w:oszapc lock
    01 add Ev,Gv w:oszapc lock
    02 add Gb,Eb w:oszapc
    03 add Gv,Ev w:oszapc
    04 add AL,Ib w:oszapc
    05 add eAX,Iz w:oszapc
    06 pushSeg es
    07 popSeg es end
    08 or Eb,Gb w:oszpc u:a lock
    09 or Ev,Gv w:oszpc u:a lock
    0A or Gb,Eb w:oszpc u:a
    0B or Gv,Ev w:oszpc u:a
    0C or AL,Ib w:oszpc u:a
    0D or eAX,Iz w:oszpc u:a
    0E pushSeg cs
    10 adc Eb,Gb r:c w:oszapc lock
    11 adc Ev,Gv r:c w:oszapc lock
    12 adc Gb,Eb r:c w:oszapc
    13 adc Gv,Ev r:c w:oszapc
    14 adc AL,Ib r:c w:oszapc
    15 adc eAX,Iz r:c w:oszapc
    16 pushSeg ss
    17 popSeg ss end
    18 sbb Eb,Gb r:c w:oszapc lock
    19 sbb Ev,Gv r:c w:oszapc lock
    1A sbb Gb,Eb r:c w:oszapc
    1B sbb Gv,Ev r:c w:oszapc
    1C sbb AL,Ib r:c w:oszapc
    1D sbb eAX,Iz r:c w:oszapc
    1E pushSeg ds
    1F popSeg ds end
    20 and Eb,Gb w:oszpc u:a lock
    21 and Ev,Gv w:oszpc u:a lock
    22 and Gb,Eb w:oszpc u:a
    23 and Gv,Ev w:oszpc u:a
    24 and AL,Ib w:oszpc u:a
    25 and eAX,Iz w:oszpc u:a
    27 daa - r:ac w:szapc u:o
    28 sub Eb,Gb w:oszapc lock
    29 sub Ev,Gv w:oszapc lock
    2A sub Gb,Eb w:oszapc
    2B sub Gv,Ev w:oszapc
    2C sub AL,Ib w:oszapc
    2D sub eAX,Iz w:oszapc
    2F das - r:ac w:szapc u:o
    30 xor Eb,Gb w:oszpc u:a lock
    31 xor Ev,Gv w:oszpc u:a lock
    32 xor Gb,Eb w:oszpc u:a
    33 xor Gv,Ev w:oszpc u:a
    34 xor AL,Ib w:oszpc u:a
    35 xor eAX,Iz w:oszpc u:a
    37 aaa - r:a w:ac u:oszp
    38 cmp Eb,Gb w:oszapc
    39 cmp Ev,Gv w:oszapc
    3A cmp Gb,Eb w:oszapc
    3B cmp Gv,Ev w:oszapc
    3C cmp AL,Ib w:oszapc
    3D cmp eAX,Iz w:oszapc
    3F aas - r:a w:ac u:oszp
    40 inc Zv w:oszap
    48 dec Zv w:oszap
    50 push Zv
    58 pop Zv
    41 inc Zv w:oszap
    49 dec Zv w:oszap
    51 push Zv
    59 pop Zv
    42 inc Zv w:oszap
    4A dec Zv w:oszap
    52 push Zv
    5A pop Zv
    43 inc Zv w:oszap
    4B dec Zv w:oszap
    53 push Zv
    5B pop Zv
    44 inc Zv w:oszap
    4C dec Zv w:oszap
    54 push Zv
    5C pop Zv
    45 inc Zv w:oszap
    4D dec Zv w:oszap
    55 push Zv
    5D pop Zv
    46 inc Zv w:oszap
    4E dec Zv w:oszap
    56 push Zv
    5E pop Zv
    47 inc Zv w:oszap
    4F dec Zv w:oszap
    57 push Zv
    5F pop Zv
    60 pusha -
    61 popa -
    62 bound Gv,Ma
    63 arpl Ew,Gw w:z end
    68 push Iz
    69 imul Gv,Ev,Iz w:oc u:szap
    6A push Ibs
    6B imul Gv,Ev,Ibs w:oc u:szap
    6C ins Yb,DX r:d end rep
    6D ins Yz,DX r:d end rep
    6E outs DX,Xb r:d end rep
    6F outs DX,Xz r:d end rep
    70 jo Jb r:o end
    71 jno Jb r:o end
    72 jb Jb r:c end
    73 jnb Jb r:c end
    74 jz Jb r:z end
    75 jnz Jb r:z end
    76 jbe Jb r:cz end
    77 jnbe Jb r:cz end
    78 js Jb r:s end
    79 jns Jb r:s end
    7A jp Jb r:p end
    7B jnp Jb r:p end
    7C jl Jb r:so end
    7D jnl Jb r:so end
    7E jle Jb r:szo end
    7F jnle Jb r:szo end
    80/0 add Eb,Ib w:oszapc lock
    80/1 or Eb,Ib w:oszpc u:a lock
    80/2 adc Eb,Ib r:c w:oszapc lock
    80/3 sbb Eb,Ib r:c w:oszapc lock
    80/4 and Eb,Ib w:oszpc u:a lock
    80/5 sub Eb,Ib w:oszapc lock
    80/6 xor Eb,Ib w:oszpc u:a lock
    80/7 cmp Eb,Ib w:oszapc
    81/0 add Ev,Iz w:oszapc lock
    81/1 or Ev,Iz w:oszpc u:a lock
    81/2 adc Ev,Iz r:c w:oszapc lock
    81/3 sbb Ev,Iz r:c w:oszapc lock
    81/4 and Ev,Iz w:oszpc u:a lock
    81/5 sub Ev,Iz w:oszapc lock
    81/6 xor Ev,Iz w:oszpc u:a lock
    81/7 cmp Ev,Iz w:oszapc
    82/0 add Eb,Ib w:oszapc lock
    82/1 or Eb,Ib w:oszpc u:a lock
    82/2 adc Eb,Ib r:c w:oszapc lock
    82/3 sbb Eb,Ib r:c w:oszapc lock
    82/4 and Eb,Ib w:oszpc u:a lock
    82/5 sub Eb,Ib w:oszapc lock
    82/6 xor Eb,Ib w:oszpc u:a lock
    82/7 cmp Eb,Ib w:oszapc
    83/0 add Ev,Ibs w:oszapc lock
    83/1 or Ev,Ibs w:oszpc u:a lock
    83/2 adc Ev,Ibs r:c w:oszapc lock
    83/3 sbb Ev,Ibs r:c w:oszapc lock
    83/4 and Ev,Ibs w:oszpc u:a lock
    83/5 sub Ev,Ibs w:oszapc lock
    83/6 xor Ev,Ibs w:oszpc u:a lock
    83/7 cmp Ev,Ibs w:oszapc
    84 test Eb,Gb w:oszpc u:a
    85 test Ev,Gv w:oszpc u:a
    86 xchg Eb,Gb lock
    87 xchg Ev,Gv lock
    88 mov Eb,Gb
    89 mov Ev,Gv
    8A mov Gb,Eb
    8B mov Gv,Ev
    8C movSeg Ev,Sw
    8D lea Gv,M
    8E movSeg Sw,Ew end
    8F/0 pop Ev
    90 nop -
    91 xchg Zv,eAX
    92 xchg Zv,eAX
    93 xchg Zv,eAX
    94 xchg Zv,eAX
    95 xchg Zv,eAX
    96 xchg Zv,eAX
    97 xchg Zv,eAX
    98 cbw -
    99 cwd -
    9A callFar Ap end
    9B fwait -
    9C pushf - r:oszapcditn end
    9D popf - w:oszapcditn end
    9E sahf - w:szapc
    9F lahf - r:szapc
    A0 mov AL,Ob
    A1 mov eAX,Ov
    A2 mov Ob,AL
    A3 mov Ov,eAX
    A4 movs Yb,Xb r:d end rep
    A5 movs Yv,Xv r:d end rep
    A6 cmps Xb,Yb r:d w:oszapc end rep
    A7 cmps Xv,Yv r:d w:oszapc end rep
    A8 test AL,Ib w:oszpc u:a
    A9 test eAX,Iz w:oszpc u:a
    AA stos Yb,AL r:d end rep
    AB stos Yv,eAX r:d end rep
    AC lods AL,Xb r:d end rep
    AD lods eAX,Xv r:d end rep
    AE scas AL,Yb r:d w:oszapc end rep
    AF scas eAX,Yv r:d w:oszapc end rep
    B0 mov Zb,Ib
    B8 mov Zv,Iv
    B1 mov Zb,Ib
    B9 mov Zv,Iv
    B2 mov Zb,Ib
    BA mov Zv,Iv
    B3 mov Zb,Ib
    BB mov Zv,Iv
    B4 mov Zb,Ib
    BC mov Zv,Iv
    B5 mov Zb,Ib
    BD mov Zv,Iv
    B6 mov Zb,Ib
    BE mov Zv,Iv
    B7 mov Zb,Ib
    BF mov Zv,Iv
    C0/0 rol Eb,Ib w:oc
    C0/1 ror Eb,Ib w:oc
    C0/2 rcl Eb,Ib r:c w:oc
    C0/3 rcr Eb,Ib r:c w:oc
    C0/4 shl Eb,Ib w:oszpc u:a
    C0/5 shr Eb,Ib w:oszpc u:a
    C0/6 sal Eb,Ib w:oszpc u:a
    C0/7 sar Eb,Ib w:oszpc u:a
    C1/0 rol Ev,Ib w:oc
    C1/1 ror Ev,Ib w:oc
    C1/2 rcl Ev,Ib r:c w:oc
    C1/3 rcr Ev,Ib r:c w:oc
    C1/4 shl Ev,Ib w:oszpc u:a
    C1/5 shr Ev,Ib w:oszpc u:a
    C1/6 sal Ev,Ib w:oszpc u:a
    C1/7 sar Ev,Ib w:oszpc u:a
    D0/0 rol Eb,1 w:oc
    D0/1 ror Eb,1 w:oc
    D0/2 rcl Eb,1 r:c w:oc
    D0/3 rcr Eb,1 r:c w:oc
    D0/4 shl Eb,1 w:oszpc u:a
    D0/5 shr Eb,1 w:oszpc u:a
    D0/6 sal Eb,1 w:oszpc u:a
    D0/7 sar Eb,1 w:oszpc u:a
    D1/0 rol Ev,1 w:oc
    D1/1 ror Ev,1 w:oc
    D1/2 rcl Ev,1 r:c w:oc
    D1/3 rcr Ev,1 r:c w:oc
    D1/4 shl Ev,1 w:oszpc u:a
    D1/5 shr Ev,1 w:oszpc u:a
    D1/6 sal Ev,1 w:oszpc u:a
    D1/7 sar Ev,1 w:oszpc u:a
    D2/0 rol Eb,CL w:oc
    D2/1 ror Eb,CL w:oc
    D2/2 rcl Eb,CL r:c w:oc
    D2/3 rcr Eb,CL r:c w:oc
    D2/4 shl Eb,CL w:oszpc u:a
    D2/5 shr Eb,CL w:oszpc u:a
    D2/6 sal Eb,CL w:oszpc u:a
    D2/7 sar Eb,CL w:oszpc u:a
    D3/0 rol Ev,CL w:oc
    D3/1 ror Ev,CL w:oc
    D3/2 rcl Ev,CL r:c w:oc
    D3/3 rcr Ev,CL r:c w:oc
    D3/4 shl Ev,CL w:oszpc u:a
    D3/5 shr Ev,CL w:oszpc u:a
    D3/6 sal Ev,CL w:oszpc u:a
    D3/7 sar Ev,CL w:oszpc u:a
    C2 ret Iw end
    C3 ret - end
    C4 les Gv,Mp end
    C5 lds Gv,Mp end
    C6/0 mov Eb,Ib
    C7/0 mov Ev,Iz
    C8 enter Iw,Ib2
    C9 leave -
    CA retFar Iw end
    CB retFar - end
    CC int3 - end
    CD int Ib end
    CE into - r:o end
    CF iret - w:oszapcditn end
    D4 aam Ib w:szp u:oac
    D5 aad Ib w:szp u:oac
    D6 salc - r:c
    D7 xlat -
    D8 fpu Es
    D9 fpu Es
    DA fpu Es r:czp
    DB fpu Es r:czp w:zpc
    DC fpu Es
    DD fpu Es
    DE fpu Es
    DF fpu Es w:zpc
    E0 loopnz Jb r:z end
    E1 loopz Jb r:z end
    E2 loop Jb end
    E3 jcxz Jb end
    E4 in AL,Ib end
    E5 in eAX,Ib end
    E6 out Ib,AL end
    E7 out Ib,eAX end
    E8 call Jz end
    E9 jmp Jz end
    EA jmpFar Ap end
    EB jmp Jb end
    EC in AL,DX end
    ED in eAX,DX end
    EE out DX,AL end
    EF out DX,eAX end
    F1 int1 - end
    F4 hlt - end
    F5 cmc - r:c w:c
    F6/0 test Eb,Ib w:oszpc u:a
    F6/1 test Eb,Ib w:oszpc u:a
    F6/2 not Eb lock
    F6/3 neg Eb w:oszapc lock
    F6/4 mul Eb w:oc u:szap
    F6/5 imul1 Eb w:oc u:szap
    F6/6 div Eb u:oszapc
    F6/7 idiv Eb u:oszapc
    F7/0 test Ev,Iz w:oszpc u:a
    F7/1 test Ev,Iz w:oszpc u:a
    F7/2 not Ev lock
    F7/3 neg Ev w:oszapc lock
    F7/4 mul Ev w:oc u:szap
    F7/5 imul1 Ev w:oc u:szap
    F7/6 div Ev u:oszapc
    F7/7 idiv Ev u:oszapc
    F8 clc - w:c
    F9 stc - w:c
    FA cli - w:i end
    FB sti - w:i end
    FC cld - w:d
    FD std - w:d
    FE/0 inc Eb w:oszap lock
    FE/1 dec Eb w:oszap lock
    FF/0 inc Ev w:oszap lock
    FF/1 dec Ev w:oszap lock
    FF/2 call Ev end
    FF/3 callFar Mp end
    FF/4 jmp Ev end
    FF/5 jmpFar Mp end
    FF/6 push Ev
    0F00/0 sldt Ev end
    0F00/1 str Ev end
    0F00/2 lldt Ew end
    0F00/3 ltr Ew end
    0F00/4 verr Ew w:z end
    0F00/5 verw Ew w:z end
    0F01/0 sgdt Ms end
    0F01/1 sidt Ms end
    0F01/2 lgdt Ms end
    0F01/3 lidt Ms end
    0F01/4 smsw Ev end
    0F01/6 lmsw Ew end
    0F01/7 invlpg M end i486
    0F02 lar Gv,Ew w:z end
    0F03 lsl Gv,Ew w:z end
    0F06 clts - end
    0F08 invd - end i486
    0F09 wbinvd - end i486
    0F0B ud2 - end
    0F18 nopRM Ev p6
    0F19 nopRM Ev p6
    0F1A nopRM Ev p6
    0F1B nopRM Ev p6
    0F1C nopRM Ev p6
    0F1D nopRM Ev p6
    0F1E nopRM Ev p6
    0F1F nopRM Ev p6
    0F20 movCR Rd,Cd end u:oszapc
    0F21 movDR Rd,Dd end u:oszapc
    0F22 movCR Cd,Rd end u:oszapc
    0F23 movDR Dd,Rd end u:oszapc
    0F24 movTR Rd,Td end
    0F26 movTR Td,Rd end
    0F30 wrmsr - end msr
    0F31 rdtsc - end tsc
    0F32 rdmsr - end msr
    0F33 rdpmc - end rdpmc
    0F34 sysenter - end sep
    0F35 sysexit - end sep
    0F40 cmovo Gv,Ev r:o cmov
    0F41 cmovno Gv,Ev r:o cmov
    0F42 cmovb Gv,Ev r:c cmov
    0F43 cmovnb Gv,Ev r:c cmov
    0F44 cmovz Gv,Ev r:z cmov
    0F45 cmovnz Gv,Ev r:z cmov
    0F46 cmovbe Gv,Ev r:cz cmov
    0F47 cmovnbe Gv,Ev r:cz cmov
    0F48 cmovs Gv,Ev r:s cmov
    0F49 cmovns Gv,Ev r:s cmov
    0F4A cmovp Gv,Ev r:p cmov
    0F4B cmovnp Gv,Ev r:p cmov
    0F4C cmovl Gv,Ev r:so cmov
    0F4D cmovnl Gv,Ev r:so cmov
    0F4E cmovle Gv,Ev r:szo cmov
    0F4F cmovnle Gv,Ev r:szo cmov
    0F80 jo Jz r:o end
    0F81 jno Jz r:o end
    0F82 jb Jz r:c end
    0F83 jnb Jz r:c end
    0F84 jz Jz r:z end
    0F85 jnz Jz r:z end
    0F86 jbe Jz r:cz end
    0F87 jnbe Jz r:cz end
    0F88 js Jz r:s end
    0F89 jns Jz r:s end
    0F8A jp Jz r:p end
    0F8B jnp Jz r:p end
    0F8C jl Jz r:so end
    0F8D jnl Jz r:so end
    0F8E jle Jz r:szo end
    0F8F jnle Jz r:szo end
    0F90 seto Eb r:o
    0F91 setno Eb r:o
    0F92 setb Eb r:c
    0F93 setnb Eb r:c
    0F94 setz Eb r:z
    0F95 setnz Eb r:z
    0F96 setbe Eb r:cz
    0F97 setnbe Eb r:cz
    0F98 sets Eb r:s
    0F99 setns Eb r:s
    0F9A setp Eb r:p
    0F9B setnp Eb r:p
    0F9C setl Eb r:so
    0F9D setnl Eb r:so
    0F9E setle Eb r:szo
    0F9F setnle Eb r:szo
    0FA0 pushSeg fs
    0FA1 popSeg fs end
    0FA2 cpuid - end cpuid
    0FA3 bt Ev,Gv w:c u:oszap
    0FA4 shld Ev,Gv,Ib w:oszpc u:a
    0FA5 shld Ev,Gv,CL w:oszpc u:a
    0FA8 pushSeg gs
    0FA9 popSeg gs end
    0FAA rsm - end
    0FAB bts Ev,Gv w:c u:oszap lock
    0FAC shrd Ev,Gv,Ib w:oszpc u:a
    0FAD shrd Ev,Gv,CL w:oszpc u:a
    0FAE/0 fxsave M end fxsr
    0FAE/1 fxrstor M end fxsr
    0FAF imul Gv,Ev w:oc u:szap
    0FB0 cmpxchg Eb,Gb w:oszapc lock i486
    0FB1 cmpxchg Ev,Gv w:oszapc lock i486
    0FB2 lss Gv,Mp end
    0FB3 btr Ev,Gv w:c u:oszap lock
    0FB4 lfs Gv,Mp end
    0FB5 lgs Gv,Mp end
    0FB6 movzx Gv,Eb
    0FB7 movzx Gv,Ew
    0FB9 ud1 Gv,Ev end
    0FBA/4 bt Ev,Ib w:c u:oszap
    0FBA/5 bts Ev,Ib w:c u:oszap lock
    0FBA/6 btr Ev,Ib w:c u:oszap lock
    0FBA/7 btc Ev,Ib w:c u:oszap lock
    0FBB btc Ev,Gv w:c u:oszap lock
    0FBC bsf Gv,Ev w:z u:oszapc
    0FBD bsr Gv,Ev w:z u:oszapc
    0FBE movsx Gv,Eb
    0FBF movsx Gv,Ew
    0FC0 xadd Eb,Gb w:oszapc lock i486
    0FC1 xadd Ev,Gv w:oszapc lock i486
    0FC7/1 cmpxchg8b Mq w:z lock cx8
    0FC8 bswap Zv i486
    0FC9 bswap Zv i486
    0FCA bswap Zv i486
    0FCB bswap Zv i486
    0FCC bswap Zv i486
    0FCD bswap Zv i486
    0FCE bswap Zv i486
    0FCF bswap Zv i486
    0FFF ud0 Gv,Ev end
    """
}
