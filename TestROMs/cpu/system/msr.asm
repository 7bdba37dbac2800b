; CPUID and what its bits promise; RDTSC and CR4.TSD; RDMSR and WRMSR of what is not there; control register bits that must not be set; SYSENTER and
; SYSEXIT; when SSE instructions are #UD, #NM, #XM or #GP.
; Expected: PASS.
; Follows: Intel SDM volume 2 (CPUID, RDTSC, RDMSR, SYSENTER, SYSEXIT, LDMXCSR, FXSAVE), volume 3, 2.5, 13 (SSE and exceptions).
%include "common.inc"

%define SYSCS 0x68            ; then SS, user CS and user SS

test:
  ; without CPUID nothing of this exists
  pushfd
  pop eax
  mov ecx, eax
  xor eax, 1 << 21
  push eax
  popfd
  pushfd
  pop eax
  cmp eax, ecx
  jne .haveCPUID
  FAULT 6, 0, cpuid
  FAULT 6, 0, rdtsc
  ret
.haveCPUID:
  xor eax, eax
  cpuid
  mov [lastLeaf], eax
  cmp eax, 1
  jae .leaf1
  WRONG
.leaf1:
  mov eax, 1
  mov ecx, 0x12345678
  cpuid
  mov [features], edx
  test dl, 1
  NE eax, 0
  and edx, 1
  EQ edx, 1                           ; x87

  ; ---- TSC
  test dword [features], 1 << 4
  jz near .noTSC
  rdtsc
  mov esi, eax
  mov edi, edx
  mov ecx, 100
.spend:
  loop .spend
  rdtsc
  sub eax, esi
  sbb edx, edi
  EQ edx, 0
  cmp eax, 100
  jae .elapsed
  WRONG
.elapsed:
  mov eax, cr4
  or al, 4                            ; TSD
  mov cr4, eax
  WORKS rdtsc
  TO_RING 3
  FAULT 13, 0, rdtsc
  TO_RING0
  mov eax, cr4
  and al, ~4
  mov cr4, eax
  TO_RING 3
  WORKS rdtsc
  TO_RING0
  jmp .tscDone
.noTSC:
  FAULT 6, 0, rdtsc
.tscDone:

  ; ---- MSRs
  test dword [features], 1 << 5
  jz near .noMSR
  mov ecx, 0x10
  mov eax, 0x1000
  xor edx, edx
  wrmsr
  rdtsc
  EQ edx, 0
  cmp eax, 0x1000
  jae .tscSet
  WRONG
.tscSet:
  cmp eax, 0x40000000
  jb .tscNear
  WRONG
.tscNear:
  ; the page attribute table
  test dword [features], 1 << 16
  jz near .noPAT
  mov ecx, 0x277
  rdmsr
  EQ eax, 0x00070406
  EQ edx, 0x00070406
  mov eax, 0x07060504
  mov edx, 0x01000706
  WORKS wrmsr
  mov edx, 0x02000706                 ; 2 and 3 are no types
  SEGMENT_FAULT 13, 0, wrmsr
  mov edx, 0x08000706
  SEGMENT_FAULT 13, 0, wrmsr
  cmp byte [onQEMU], 0
  jne .noPATCheck
  rdmsr
  EQ eax, 0x07060504
  EQ edx, 0x01000706
.noPATCheck:
  mov eax, 0x00070406
  mov edx, eax
  wrmsr
.noPAT:
  ; unknown ones; nothing changes
  mov eax, 0x11111111
  mov edx, 0x22222222
  mov ecx, 0x12345
  cmp byte [onQEMU], 0                ; answers with 0; so does Bochs without ignore_bad_msrs=0
  jne .noUnknown
  cmp byte [onBochs], 0
  jne .noUnknown
  FAULT 13, 0, rdmsr
  EQ eax, 0x11111111
  EQ edx, 0x22222222
  FAULT 13, 0, wrmsr
  mov ecx, 0xFFFFFFFF
  FAULT 13, 0, rdmsr
.noUnknown:
  TO_RING 3
  mov ecx, 0x10
  FAULT 13, 0, rdmsr
  FAULT 13, 0, wrmsr
  TO_RING0
  jmp .msrDone
.noMSR:
  FAULT 6, 0, rdmsr
  FAULT 6, 0, wrmsr
.msrDone:

  ; ---- control registers: combinations and reserved bits that fault and change nothing
  mov esi, cr0
  cmp byte [onQEMU], 0
  jne near .noControl
  mov eax, esi
  and eax, 0x9FFFFFFF
  or eax, 0x20000000                  ; NW without CD
  FAULT 13, 0, mov cr0, eax
  mov eax, esi
  and eax, 0x7FFFFFFE
  or eax, 0x80000000                  ; PG without PE
  FAULT 13, 0, mov cr0, eax
  mov eax, cr0
  EQ eax, esi
  test dword [features], 0x40000BA | 0x4000
  jz .noControl
  mov eax, cr4
  mov edi, eax
  or eax, 0x80000000
  FAULT 13, 0, mov cr4, eax
  mov eax, edi
  or eax, 1 << 15
  FAULT 13, 0, mov cr4, eax
  mov eax, cr4
  EQ eax, edi
.noControl:
  ; LMSW sets PE, never clears it; leaves the rest
  mov eax, cr0
  mov edi, eax
  and al, 0xF0
  lmsw ax
  mov ecx, cr0
  mov eax, edi
  and al, 0xF1
  EQ ecx, eax
  mov eax, edi
  lmsw ax
  mov ecx, cr0
  EQ ecx, edi
  ; SMSW shows all of CR0 in a 32-bit register, a word in memory
  mov dword [scratch], -1
  smsw [scratch]
  mov eax, cr0
  or eax, 0xFFFF0000
  EQ [scratch], eax

  ; ---- the optional instructions
%macro FEATURE 2+             ; bit, instruction
  test dword [features], 1 << (%1)
  jz near %%without
  WORKS %2
  jmp near %%end
%%without:
  FAULT 6, 0, %2
%%end:
%endmacro
  mov ebx, scratch
  mov edi, scratch
  FEATURE 8, cmpxchg8b [scratch]
  FEATURE 15, cmovz eax, ecx
  FEATURE 15, db 0xDA, 0xC1           ; FCMOVB
  FEATURE 15, db 0xDB, 0xF1           ; FCOMI
  FEATURE 23, emms
  FEATURE 24, fxsave [fxArea]
  FEATURE 24, fxrstor [fxArea]
  FEATURE 19, clflush [scratch]
  ; CMPXCHG8B with a register is undefined
  FAULT 6, 0, db 0x0F, 0xC7, 0xC9

  ; ---- SYSENTER, SYSEXIT
  test dword [features], 1 << 11
  jz near .noSEP
  mov dword [gdt + SYSCS], 0x0000FFFF
  mov dword [gdt + SYSCS + 4], 0x00CF9A00
  mov dword [gdt + SYSCS + 8], 0x0000FFFF
  mov dword [gdt + SYSCS + 12], 0x00CF9200
  mov dword [gdt + SYSCS + 16], 0x0000FFFF
  mov dword [gdt + SYSCS + 20], 0x00CFFA00
  mov dword [gdt + SYSCS + 24], 0x0000FFFF
  mov dword [gdt + SYSCS + 28], 0x00CFF200
  xor eax, eax
  xor edx, edx
  mov ecx, 0x174
  wrmsr
  FAULT 13, 0, sysenter
  FAULT 13, 0, sysexit
  mov eax, 3                          ; RPL alone is null, too
  wrmsr
  SEGMENT_FAULT 13, 0, sysenter
  mov eax, SYSCS
  wrmsr
  rdmsr
  EQ eax, SYSCS
  EQ edx, 0
  mov ecx, 0x175
  mov eax, BASE + ENTRY0
  wrmsr
  mov ecx, 0x176
  mov eax, BASE + entered
  wrmsr
  TO_RING 3
  FAULT 13, 0, sysexit
  pushfd
  or dword [esp], 0x200
  popfd
  mov ecx, 2000
  xor esi, esi
.enter:
  mov ebx, ecx
  mov ebp, esp
  add ebp, BASE
  mov edi, BASE + .left
  mov eax, 0x12345678
  sysenter
  WRONG
.left:
  ; flat now: CS, SS of ring 3
  mov ax, cs
  cmp ax, (SYSCS + 16) | 3
  jne .badExit
  mov ax, ss
  cmp ax, (SYSCS + 24) | 3
  jne .badExit
  push dword 0x600D
  pop eax
  jmp CODE3:.based
.badExit:
  mov dword [failNumber], .badExit
  ud2
.based:
  mov ax, DATA3
  mov ss, ax
  sub esp, BASE
  EQ esp, STACK3
  mov ecx, ebx
  dec ecx
  jnz near .enter
  EQ esi, 2000
  TO_RING0
  ; SYSENTER from ring 0 works; real mode is in its own test
  jmp .sepDone
.noSEP:
  FAULT 6, 0, sysenter
  FAULT 6, 0, sysexit
.sepDone:

  ; ---- SSE
  test dword [features], 1 << 25
  jz near .noSSE
  mov eax, cr4
  and eax, ~0x600
  mov cr4, eax
  FAULT 6, 0, movaps xmm0, xmm1       ; OSFXSR clear
  FAULT 6, 0, ldmxcsr [defaultMXCSR]
  FAULT 6, 0, addps xmm0, [scratch]
  WORKS prefetchnta [scratch]
  WORKS sfence
  or eax, 0x200
  mov cr4, eax
  WORKS movaps xmm0, xmm1
  mov ebx, cr0
  mov eax, ebx
  or al, 4
  mov cr0, eax
  FAULT 6, 0, movaps xmm0, xmm1       ; EM
  or al, 8
  mov cr0, eax
  SEGMENT_FAULT 6, 0, movaps xmm0, xmm1 ; EM before TS
  mov eax, ebx
  or al, 8
  mov cr0, eax
  FAULT 7, 0, movaps xmm0, xmm1
  FAULT 7, 0, ldmxcsr [defaultMXCSR]
  cmp byte [onQEMU], 0
  jne .noFXNM
  FAULT 7, 0, fxsave [fxArea]
.noFXNM:
  mov cr0, ebx
  ; alignment of 16 bytes
  mov ecx, fxArea
  WORKS movaps xmm0, [ecx]
  WORKS movups xmm0, [ecx + 1]
  cmp byte [onQEMU], 0
  jne near .noAlignment
  FAULT 13, 0, movaps xmm0, [ecx + 1]
  FAULT 13, 0, movaps [ecx + 8], xmm0
  FAULT 13, 0, addps xmm0, [ecx + 4]
  FAULT 13, 0, movntps [ecx + 4], xmm0
  FAULT 13, 0, fxsave [ecx + 8]
  FAULT 13, 0, fxrstor [ecx + 4]
.noAlignment:
  WORKS addss xmm0, [ecx + 1]
  ; MXCSR: reserved bits
  ldmxcsr [defaultMXCSR]
  mov dword [scratch], 0x10000
  SEGMENT_FAULT 13, 0, ldmxcsr [scratch]
  stmxcsr [scratch]
  EQ dword [scratch], 0x1F80
  ; a masked division by zero sets its flag; unmasked it is #XM, or #UD while OSXMMEXCPT is clear
  xorps xmm1, xmm1
  movss xmm0, [one]
  WORKS divss xmm0, xmm1
  stmxcsr [scratch]
  EQ dword [scratch], 0x1F84
  cmp byte [onQEMU], 0                ; no SSE exceptions
  jne near .done
  mov dword [scratch], 0x1D80         ; ZM clear
  ldmxcsr [scratch]
  movss xmm0, [one]
  FAULT 6, 0, divss xmm0, xmm1
  mov eax, cr4
  or eax, 0x400
  mov cr4, eax
  mov ecx, 3
.again:
  FAULT 19, 0, divss xmm0, xmm1
  dec ecx
  jnz near .again
  movss [scratch + 4], xmm0
  EQ dword [scratch + 4], 0x3F800000  ; unchanged
  stmxcsr [scratch]
  EQ dword [scratch], 0x1D84
  ; a loop that divides by zero in its last pass
  mov dword [scratch], 0x1D80
  ldmxcsr [scratch]
  mov ecx, 2000
  mov dword [resume], .divided
  mov dword [vector], -1
.loop:
  lea eax, [ecx - 1]
  cvtsi2ss xmm1, eax
  movss xmm0, [one]
.division:
  divss xmm0, xmm1
  dec ecx
  jmp .loop
.divided:
  mov dword [resume], 0
  EQ dword [vector], 19
  EQ dword [faultEIP], .division
  EQ ecx, 1
  ldmxcsr [defaultMXCSR]
  jmp .done
.noSSE:
  FAULT 6, 0, movaps xmm0, xmm1
  FAULT 6, 0, ldmxcsr [defaultMXCSR]
.done:
  mov esp, STACK0 - 4
  ret

; SYSENTER comes here, flat: EDI, EBP where to go on.
entered:
  inc esi
  pushfd
  pop eax
  test eax, 0x200
  jnz .bad
  mov ax, cs
  cmp ax, SYSCS
  jne .bad
  mov ax, ss
  cmp ax, SYSCS + 8
  jne .bad
  cmp esp, BASE + ENTRY0
  jne .bad
  mov edx, edi
  mov ecx, ebp
  sysexit
.bad:
  ud2

  align 16
fxArea: times 528 db 0
scratch: dd 0, 0, 0, 0
one: dd 1.0
defaultMXCSR: dd 0x1F80
features: dd 0
lastLeaf: dd 0
%include "end.inc"
