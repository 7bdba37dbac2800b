; Self-modifying code: the next, a later, an earlier instruction; by stores of every kind and width, by pushes, descriptor and page table
; updates, REP MOVS; hot loops patched while they run; data beside code; code on the stack; through other linear addresses; pages
; exchanged under code; one run of bytes as 16-bit and 32-bit code.
; Expected: PASS.
; Follows: Intel SDM volume 3, section 8.1.3 (a jump follows where it asks for one, a serializing instruction where the addresses differ),
; 4.10 (invalidation).
%include "common.inc"
%include "pages.inc"

%define FLATCODE 0x68
%define FLATCODE16 0x70
%define WORK 0x210000         ; physical pages for code
%define DIRECTORY2 0x104000
%define TABLE2 0x105000

; As the 486 and the Pentium want it after a write to code.
%macro SYNC 0
  jmp short %%next
%%next:
%endmacro
; Serializes: IRET.
%macro SERIALIZE 0
  pushfd
  push cs
  push dword %%next
  iretd
%%next:
%endmacro

; PATCHED instructions: they put 77h into the immediate of MOV AL, 11h at EBX (NOPs may follow it); the code runs hot before and once after.
%macro PATCHED 1-*
  mov ecx, 200
%%hot:
  call %%code
  EQ al, 0x11
  loop %%hot
  mov ebx, %%code + 1
%rep %0
  %1
%rotate 1
%endrep
  SYNC
  call %%code
  EQ al, 0x77
  mov byte [%%code + 1], 0x11
  SYNC
  call %%code
  EQ al, 0x11
  jmp %%end
  align 16
%%code:
  mov al, 0x11
  times 13 nop
  ret
  align 16
%%end:
%endmacro

; FLATCALL address (linear)
%macro FLATCALL 1
  call FLATCODE:%1
%endmacro

test:
  DESCRIPTOR FLATCODE, 0, 0xFFFFF, 0x9A, 0xC
  DESCRIPTOR FLATCODE16, WORK, 0xFFFF, 0x9A, 0
  cld
  pushfd
  pop eax
  mov ecx, eax
  xor eax, 1 << 21
  push eax
  popfd
  pushfd
  pop eax
  cmp eax, ecx
  je .noCPUID
  mov eax, 1
  cpuid
  mov [features], edx
.noCPUID:

  ; ---- the next instruction, with the jump
  mov ecx, 3000
  xor edx, edx
.next:
  mov [.patched + 1], ecx
  SYNC
.patched:
  mov eax, 0
  add edx, eax
  dec ecx
  jnz .next
  EQ edx, 3000 * 3001 / 2
  ; without it: processors from the P6 on see the change
  test dword [features], 1 << 15
  jz .old
  mov ecx, 1000
  xor edx, edx
.straight:
  mov [.immediate + 1], cl
.immediate:
  mov al, 0
  movzx eax, al
  add edx, eax
  loop .straight
  EQ edx, 3 * 255 * 128 + 232 * 233 / 2
  ; several in one straight run, each changes the next
  mov ecx, 300
  xor edx, edx
.run:
  mov byte [.run1 + 6], 1
.run1:
  mov byte [.run2 + 6], 0
.run2:
  mov byte [.run3 + 2], 0
.run3:
  add edx, byte 0
  mov byte [.run1 + 6], 0
  mov byte [.run2 + 6], 2
  mov byte [.run3 + 2], 3
  add edx, byte 0x10
  loop .run
  EQ edx, 300 * 0x11
.old:

  ; ---- an earlier instruction of the same loop
  mov ecx, 2500
  xor edx, edx
  mov dword [.earlier + 2], 1
  SYNC
.earlier:
  add edx, 0x12345678
  inc dword [.earlier + 2]
  dec ecx
  jnz .earlier
  EQ edx, 2500 * 2501 / 2

  ; ---- the opcode: ADD becomes SUB and back every seventh time
  mov ecx, 4200
  xor edx, edx
  mov ebx, 7
.opcode:
  add edx, byte 5
  dec ebx
  jnz .same
  mov ebx, 7
  xor byte [.opcode + 1], 0xC2 ^ 0xEA
.same:
  dec ecx
  jnz .opcode
  EQ edx, 0
  EQ byte [.opcode + 1], 0xC2

  ; ---- a branch's displacement
  mov ecx, 3000
  xor edx, edx
.branch:
  xor byte [.jump + 1], .odd - .even
  SYNC
.jump:
  jmp short .even
.even:
  add edx, 1
  jmp short .joined
.odd:
  add edx, 0x10000
.joined:
  loop .branch
  EQ edx, 1500 | 1500 << 16

  ; ---- an instruction that overwrites its own bytes: once as it was, then as it is
  mov dword [.self], 0x007705C6 | (((.self - $$) & 0xFF) << 16)
  mov byte [.self + 3], (.self - $$) >> 8
  mov ebx, 2
.again:
  SYNC
.self:
  mov byte [.self + 6], 0x90          ; its own immediate's byte: 90h already
  dec ebx
  jnz .again

  ; ---- data beside code: a counter, and the stack, in the code's own line
  mov ecx, 20000
  jmp .beside
  align 64
.counter: dd 0
.beside:
  inc dword [.counter]
  dec ecx
  jnz .beside
  EQ dword [.counter], 20000
  mov edx, esp
  mov esp, .stackBeside
  mov ecx, 5000
  xor eax, eax
  jmp .stacking
  align 64
  times 24 db 0
.stackBeside:
.stacking:
  push ecx
  call .increment
  pop ecx
  loop .stacking
  jmp .stacked
.increment:
  inc eax
  ret
.stacked:
  mov esp, edx
  EQ eax, 5000

  ; ---- stores of all kinds
  PATCHED {mov byte [ebx], 0x77}
  PATCHED {mov word [ebx], 0x9077}
  PATCHED {mov dword [ebx], 0x90909077}
  PATCHED {mov word [ebx - 1], 0x77B0}
  PATCHED {mov al, 0x77}, {mov [ebx], al}
  PATCHED {mov eax, 0x90909077}, {mov [ebx], eax}
  PATCHED {xor byte [ebx], 0x66}
  PATCHED {add byte [ebx], 0x66}
  PATCHED {or dword [ebx], 0x66}
  PATCHED {sub byte [ebx], 0x11 - 0x77}
  PATCHED {mov byte [ebx], 0x88}, {not byte [ebx]}
  PATCHED {mov byte [ebx], 0x76}, {inc byte [ebx]}
  PATCHED {mov byte [ebx], 0x89}, {neg byte [ebx]}
  PATCHED {mov byte [ebx], 0xEE}, {shr byte [ebx], 1}
  PATCHED {mov byte [ebx], 0xBB}, {rol byte [ebx], 1}
  PATCHED {mov al, 0x77}, {xchg [ebx], al}
  PATCHED {bts dword [ebx], 1}, {bts dword [ebx], 2}, {bts dword [ebx], 5}, {bts dword [ebx], 6}
  PATCHED {mov edi, ebx}, {mov al, 0x77}, {stosb}
  PATCHED {mov edi, ebx}, {mov eax, 0x90909077}, {stosd}
  PATCHED {mov edi, ebx}, {mov esi, bytes}, {movsb}
  PATCHED {mov edi, ebx}, {mov esi, bytes}, {mov ecx, 9}, {rep movsb}
  PATCHED {mov edi, ebx}, {mov esi, bytes}, {mov ecx, 3}, {rep movsd}
  PATCHED {lea edi, [ebx + 8]}, {lea esi, [bytes + 8]}, {std}, {mov ecx, 9}, {rep movsb}, {cld}
  PATCHED {lea edi, [ebx - 1]}, {mov eax, 0x909077B0}, {mov ecx, 1}, {rep stosd}
  PATCHED {mov edx, esp}, {lea esp, [ebx + 4]}, {push dword 0x90909077}, {mov esp, edx}
  PATCHED {mov edx, esp}, {lea esp, [ebx + 2]}, {push word 0x9077}, {mov esp, edx}
  PATCHED {push dword 0x90909077}, {pop dword [ebx]}
  PATCHED {fninit}, {fild dword [bytes]}, {fistp dword [ebx]}
  PATCHED {fninit}, {fild qword [bytes]}, {fistp qword [ebx]}
  PATCHED {mov edx, ebx}, {mov ax, DATA0}, {mov ebp, esp}, {lea esp, [edx + 12]}, {push dword 0x90909090}, \
    {push dword 0x90909090}, {push dword 0x90909077}, {mov esp, ebp}
  test dword [features], 1
  jz near .no486
  PATCHED {mov al, 0x11}, {mov dl, 0x77}, {cmpxchg [ebx], dl}
  PATCHED {mov dl, 0x66}, {xadd [ebx], dl}
.no486:
  test dword [features], 1 << 23
  jz near .noMMX
  PATCHED {movq mm0, [bytes]}, {movq [ebx], mm0}
  PATCHED {movd mm0, [bytes]}, {movd [ebx], mm0}, {emms}
.noMMX:
  test dword [features], 1 << 25
  jz near .noSSE
  mov eax, cr4
  or eax, 0x200
  mov cr4, eax
  PATCHED {movups xmm0, [bytes]}, {movlps [ebx], xmm0}
  PATCHED {movss xmm0, [bytes]}, {movss [ebx], xmm0}
.noSSE:

  ; ---- from ring 3
  mov ecx, 100
.warm:
  call subject
  EQ eax, 0x11111111
  loop .warm
  TO_RING 3
  mov dword [subject + 1], 0x33333333
  TO_RING0
  call subject
  EQ eax, 0x33333333

  ; ---- REP MOVS over what follows it, REP STOS over itself with the same bytes
  mov ecx, 40
.move:
  push ecx
  mov esi, .moveNew
  test ecx, 1
  jz .even2
  mov esi, .moveOld
.even2:
  mov edi, .moveTarget
  mov ecx, .moveEnd - .moveTarget
  rep movsb
  SYNC
.moveTarget:
  mov eax, 0x01010101
  inc eax
  nop
.moveEnd:
  pop ecx
  test ecx, 1
  jz .wasNew
  EQ eax, 0x01010102
  jmp .moved
.wasNew:
  EQ eax, 0x02020201
.moved:
  dec ecx
  jnz near .move
  jmp .copySelf
.moveOld:
  mov eax, 0x01010101
  inc eax
  nop
.moveNew:
  mov eax, 0x02020202
  dec eax
  nop
.copySelf:
  mov esi, .copyAgain
  mov edi, esi
  mov ecx, 64
.copyAgain:
  rep movsb                           ; itself and what follows onto themselves
  nop
  EQ ecx, 0
  times 40 nop

  ; ---- code on the stack, new each time
  mov ecx, 2000
  xor edx, edx
.trampoline:
  push dword 0x90C3D001               ; ADD EAX, EDX; RET
  push ecx
  push dword 0xB8909090               ; MOV EAX, ECX's value
  lea ebx, [esp + 3]
  call ebx
  mov edx, eax
  add esp, 12
  loop .trampoline
  EQ edx, 2000 * 2001 / 2

  ; ---- single step over a patched instruction
  mov dword [hook], step
  mov dword [steps], 0
  mov dword [subject + 1], 0x44444444
  pushfd
  or dword [esp], 0x100
  popfd
  mov dword [subject + 1], 0x55555555
  call subject
  mov ebx, eax
  pushfd
  and dword [esp], ~0x100
  popfd
  mov dword [hook], 0
  mov dword [resume], 0
  EQ ebx, 0x55555555
  ; MOV, CALL, MOV, RET, MOV, PUSHFD, AND, POPFD
  EQ dword [steps], 8

  ; ---- the accessed bit of a descriptor that is an instruction's immediate: MOV AL, 92h; RET at LDT + 0Ch
  mov ax, LDT
  lldt ax
  mov dword [ldt + 8], 0x00001234
  mov dword [ldt + 12], 0x00C392B0
  mov ecx, 100
.descriptor:
  call ldt + 12
  EQ al, 0x92
  loop .descriptor
  mov dx, 0xC
  mov fs, dx
  SYNC
  call ldt + 12
  EQ al, 0x93

  ; ---- flat code in page frames of its own; paging still off
  mov ax, FLAT
  mov es, ax
  mov edi, WORK
  mov ecx, 0x10000 / 4
  xor eax, eax
  rep stosd
  ; a store across the boundary changes the beginning of the next page
  mov dword [es:WORK + 0x1000], 0x90CB11B0
  mov ecx, 100
.warm2:
  FLATCALL WORK + 0x1000
  EQ al, 0x11
  loop .warm2
  mov dword [es:WORK + 0xFFE], 0x77B09090
  SYNC
  FLATCALL WORK + 0x1000
  EQ al, 0x77
  mov word [es:WORK + 0xFFF], 0xB0 << 8
  mov dword [es:WORK + 0xFFD], 0xB0909090
  SYNC
  FLATCALL WORK + 0x1000
  EQ al, 0x77
  ; an instruction across the boundary: MOV EAX, 44332211h from 1FFEh
  mov dword [es:WORK + 0x1FFE], 0x332211B8
  mov dword [es:WORK + 0x2002], 0x9090CB44
  mov ecx, 100
.warm3:
  FLATCALL WORK + 0x1FFE
  EQ eax, 0x44332211
  loop .warm3
  mov byte [es:WORK + 0x2002], 0x99
  SYNC
  FLATCALL WORK + 0x1FFE
  EQ eax, 0x99332211
  mov byte [es:WORK + 0x1FFF], 0x88
  SYNC
  FLATCALL WORK + 0x1FFE
  EQ eax, 0x99332288
  mov dword [es:WORK + 0x1FFD], 0x5566B890
  SYNC
  FLATCALL WORK + 0x1FFE
  EQ eax, 0x99335566

  ; ---- the same bytes with D = 1 and D = 0
  ; 66 B8 11 22 | 90 90 CB: MOV AX, 2211h; two NOPs - or MOV EAX, 90902211h
  mov dword [es:WORK + 0x3000], 0x2211B866
  mov dword [es:WORK + 0x3004], 0x66CB9090
  ; 05 01 00 00 00 66 CB: ADD EAX, 1; O16 RETF - or ADD AX, 1; ADD [BX+SI], AL; O32 RETF
  mov dword [es:WORK + 0x3100], 0x00000105
  mov dword [es:WORK + 0x3104], 0x90CB6600
  mov ecx, 1000
.mixed:
  mov eax, 0xFFFFFFFF
  FLATCALL WORK + 0x3000
  EQ eax, 0xFFFF2211
  mov eax, 0xFFFFFFFF
  o16 call far [pointer16]
  EQ eax, 0x90902211
  dec ecx
  jnz near .mixed
  ; far calls with operand size by the target's RETF
  mov ecx, 1000
.mixed2:
  mov ax, DATA0
  mov ds, ax
  mov eax, 0x0001FFFF
  mov ebx, scratch
  xor esi, esi
  call far [pointer16b]
  EQ eax, 0x00010000
  dec ecx
  jnz near .mixed2

  ; ---- paging: other linear addresses of the same page
  call enablePaging
  mov ax, FLAT
  mov es, ax
  PTE_CR3 0, WORK + 0x4000 + 7
  PTE_CR3 1, WORK + 0x4000 + 7
  mov dword [es:WORK + 0x4000], 0x000001B8
  mov word [es:WORK + 0x4004], 0xCB00
  mov ecx, 500
  xor edx, edx
.alias:
  FLATCALL TEST
  add edx, eax
  FLATCALL TEST + 0x1000
  add edx, eax
  FLATCALL WORK + 0x4000
  add edx, eax
  inc dword [es:TEST + 1]
  SERIALIZE
  FLATCALL TEST + 0x1000
  sub edx, eax
  inc dword [es:WORK + 0x4001]
  SERIALIZE
  FLATCALL TEST
  sub edx, eax
  dec dword [es:TEST + 0x1001]
  SERIALIZE
  FLATCALL WORK + 0x4000
  sub edx, eax
  dec ecx
  jnz .alias
  ; n + n + n - (n+1) - (n+2) - (n+1) for each
  EQ edx, -4 * 500

  ; ---- another page at the same address, by INVLPG (CR3 on a 386)
  mov dword [es:WORK + 0x5000], 0x000100B8
  mov word [es:WORK + 0x5004], 0xCB00
  mov dword [es:WORK + 0x4000], 0x000001B8
  mov ecx, 500
  xor edx, edx
.remap:
  FLATCALL TEST
  add edx, eax
  mov eax, WORK + 0x5000 + 7
  test ecx, 1
  jz .page5
  mov eax, WORK + 0x4000 + 7
.page5:
  mov [es:TABLE1], eax
  test dword [features], 1
  jz .noINVLPG
  invlpg [es:TEST]
  jmp .invalidated
.noINVLPG:
  mov eax, cr3
  mov cr3, eax
.invalidated:
  FLATCALL TEST
  sub edx, eax
  loop .remap
  ; 500 pairs of which the sums telescope: first minus last
  EQ edx, 1 - 1 + 0
  ; the second page of an instruction that crosses
  PTE_CR3 2, WORK + 0x6000 + 7
  PTE_CR3 3, WORK + 0x7000 + 7
  mov dword [es:WORK + 0x6FFE], 0x2211B8
  mov byte [es:WORK + 0x6FFE], 0xB8
  mov byte [es:WORK + 0x6FFF], 0x11
  mov dword [es:WORK + 0x7000], 0xCB443322
  mov dword [es:WORK + 0x8000], 0xCB776655
  mov dword [es:WORK + 0x9000], 0xCBFFEEDD
  cmp byte [onBochs], 0               ; keeps the decoded instruction
  jne near .noCrossing
  mov ecx, 100
.crossing:
  FLATCALL TEST + 0x2FFE
  EQ eax, 0x44332211
  PTE_CR3 3, WORK + 0x8000 + 7
  FLATCALL TEST + 0x2FFE
  EQ eax, 0x77665511
  PTE_CR3 3, WORK + 0x9000 + 7
  FLATCALL TEST + 0x2FFE
  EQ eax, 0xFFEEDD11
  PTE_CR3 3, WORK + 0x7000 + 7
  dec ecx
  jnz near .crossing
.noCrossing:

  ; ---- address spaces: the same address, other code, by CR3
  mov dword [es:DIRECTORY2], TABLE0 + 7
  mov dword [es:DIRECTORY2 + (TEST >> 20)], TABLE2 + 7
  mov dword [es:TABLE2], WORK + 0x5000 + 7
  mov dword [es:TABLE1], WORK + 0x4000 + 7
  mov ecx, 500
  xor edx, edx
.spaces:
  mov eax, DIRECTORY2
  mov cr3, eax
  FLATCALL TEST
  add edx, eax
  mov eax, DIRECTORY
  mov cr3, eax
  FLATCALL TEST
  add edx, eax
  loop .spaces
  EQ edx, 500 * 0x101

  ; ---- a write-protected page of code: fault, right given, the store done again
  mov dword [hook], giveRight
  mov ecx, 20
  mov eax, cr0
  or eax, 0x10000
  mov cr0, eax
.protect:
  PTE_CR3 0, WORK + 0x4000 + 5
  FLATCALL TEST
  EQ eax, 1
  mov byte [es:TEST + 1], 7
  SYNC
  FLATCALL TEST
  test dword [features], 1            ; the 386 has no WP
  jz .counted
  EQ dword [steps], 0x1000
.counted:
  mov dword [steps], 0
  EQ eax, 7
  mov byte [es:TEST + 1], 1
  dec ecx
  jnz near .protect
  mov dword [hook], 0
  mov dword [resume], 0

  ; ---- accessed and dirty bits of page table entries that are code: MOV AL, imm; RETF at an entry's byte before
  mov dword [es:TABLE1 + 0x100], 0xB0000000
  mov dword [es:TABLE1 + 0x104], 0x0020CA03
  mov eax, cr3
  mov cr3, eax
  FLATCALL TABLE1 + 0x103
  EQ al, 0x03
  mov ebx, [es:TEST + 0x41000]
  SERIALIZE
  FLATCALL TABLE1 + 0x103
  EQ al, 0x23
  mov [es:TEST + 0x41000], ebx
  SERIALIZE
  FLATCALL TABLE1 + 0x103
  EQ al, 0x63

  mov esp, STACK0 - 4
  ret

subject:
  mov eax, 0x11111111
  ret

step:
  inc dword [steps]
  mov eax, [faultEIP]
  mov [resume], eax
  ret

giveRight:
  mov dword [steps], 0x1000
  push eax
  push ds
  mov ax, FLAT
  mov ds, ax
  or byte [TABLE1], 2
  mov eax, cr3
  mov cr3, eax
  pop ds
  pop eax
  mov eax, [faultEIP]
  mov [resume], eax
  ret

  align 4
bytes: db 0x77, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90
features: dd 0
steps: dd 0
scratch: dd 0, 0
pointer16: dw 0x3000, FLATCODE16
pointer16b: dd 0x3100
  dw FLATCODE16
%include "end.inc"
