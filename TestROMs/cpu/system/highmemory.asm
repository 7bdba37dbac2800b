; Memory above 4 GiB: reached by PAE with pages of 4 KiB and 2 MiB and by PSE-36, written, read back, aliased, executed, modified while it runs,
; holding page tables; addresses at which there is nothing. Without PAE or without memory there, only what holds in any case.
; Expected: PASS. On QEMU with -m 5G -cpu pentium3.
; Follows: Intel SDM volume 3, 4.3 (PSE-36), 4.4 (PAE).
%include "common.inc"

%define DIRECTORY 0x100000
%define PDPT      0x103000
%define PAEDIR0   0x104000
%define PAEDIR1   0x105000
%define PAETABLE  0x106000
%define TABLE2    0x107000
%define LOW       0x200000           ; what 4 GiB + 200000h would be with its upper bits lost
%define TEST      0x40000000
%define CODEFLAT  0x70

; PAGE number above TEST, low half, high half
%macro PAGE 3
  mov dword [es:PAETABLE + (%1) * 8], %2
  mov dword [es:PAETABLE + (%1) * 8 + 4], %3
  invlpg [es:TEST + (%1) * 0x1000]
%endmacro

test:
  mov dword [gdt + CODEFLAT], 0x0000FFFF
  mov dword [gdt + CODEFLAT + 4], 0x00CF9A00
  mov dword [hook], saveCR2
  mov ax, FLAT
  mov es, ax
  cld
  mov eax, 0
  pushfd
  pop eax
  mov ecx, eax
  xor eax, 1 << 21
  push eax
  popfd
  pushfd
  pop eax
  cmp eax, ecx
  je near .end                        ; no CPUID
  mov eax, 1
  cpuid
  test dl, 0x40
  jz near .end

  xor eax, eax
  mov edi, DIRECTORY
  mov ecx, 0x8000 / 4
  rep stosd
  mov dword [es:LOW], 0x12345678
  mov dword [es:PDPT], PAEDIR0 + 1
  mov dword [es:PDPT + 8], PAEDIR1 + 1
  mov dword [es:PAEDIR0], 0x000083
  mov dword [es:PAEDIR0 + 8], 0x200083
  mov dword [es:PAEDIR1], PAETABLE + 7
  mov eax, PDPT
  mov cr3, eax
  mov eax, cr4
  or al, 0x20
  mov cr4, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  jmp .pae
.pae:

  ; ---- where there is nothing
  cmp byte [onQEMU], 0                ; other address bits, zeros where there is nothing; ends when code is there
  jne near .noCode
  PAGE 0, 0xFFFFF003, 0xF
  mov eax, [es:TEST]
  EQ eax, -1
  mov dword [es:TEST], 5
  mov eax, [es:TEST]
  EQ eax, -1
  EQ dword [es:PAETABLE], 0xFFFFF063
  ; FF FF is no instruction
  mov dword [farPointer], TEST + 0x123
  mov dword [vector], -1
  mov dword [resume], .nothing
  call far [farPointer]
.nothing:
  mov esp, STACK0 - 4
  mov dword [resume], 0
  EQ dword [vector], 6
  EQ dword [faultEIP], TEST + 0x123
  ; the first address bit that there is not
  PAGE 0, 0x00000003, 0x10
  FAULT 14, 9, mov eax, [es:TEST]
  EQ dword [faultCR2], TEST
  PAGE 0, 0x00000003, 0x80000000
  FAULT 14, 11, mov [es:TEST], eax
.noCode:

  ; ---- is there memory?
  PAGE 0, 0x00200003, 1
  mov dword [es:TEST], 0xCAFE0001
  mov eax, [es:TEST]
  EQ dword [es:LOW], 0x12345678
  cmp eax, 0xCAFE0001
  jne near .end
  EQ dword [es:PAETABLE], 0x00200063
  EQ dword [es:PAETABLE + 4], 1

  ; ---- another page of the same, and both ends of a page
  PAGE 1, 0x00201003, 1
  PAGE 2, 0x00200003, 1
  PAGE 3, LOW + 3, 0
  mov dword [es:TEST + 0xFFE], 0x11223344
  mov ax, [es:TEST + 0x1000]
  EQ ax, 0x1122
  mov dword [es:TEST + 0x1FFE], 0x55667788   ; from 201FFEh to 200000h
  EQ dword [es:TEST], 0xCAFE5566
  mov dword [es:TEST + 0x2FFE], 0x99AABBCC   ; from above 4 GiB to below
  EQ dword [es:LOW], 0x123499AA
  mov ax, [es:TEST + 0xFFE]
  EQ ax, 0xBBCC
  lock inc dword [es:TEST + 0x10]
  xadd [es:TEST + 0x2010], eax
  fild dword [es:TEST + 0x2010]
  fistp dword [es:LOW + 0x10]
  mov eax, [es:LOW + 0x10]
  EQ eax, [es:TEST + 0x10]

  ; ---- blocks, up and back
  push es
  pop gs
  mov edi, LOW + 0x100
  mov ecx, 0x200
.fill:
  mov eax, ecx
  imul eax, 0x01010843
  stosd
  loop .fill
  push ds
  mov ax, es
  mov ds, ax
  mov esi, LOW + 0x100
  mov edi, TEST + 0x200
  mov ecx, 0x200
  rep movsd
  mov esi, TEST + 0x2200
  mov edi, LOW + 0x100
  mov ecx, 0x200
  repe cmpsd
  pop ds
  EQ ecx, 0
  mov eax, [es:TEST + 0x200]
  EQ eax, 0x200 * 0x01010843 & 0xFFFFFFFF

  ; ---- code there, called through both mappings and changed through the other
  mov ax, es
  mov gs, ax
  mov esi, routine
  mov edi, TEST + 0x800
  mov ecx, routineEnd - routine
  rep movsb
  mov dword [farPointer], TEST + 0x2800
  xor ebp, ebp
  mov esi, 3000
.calls:
  call far [farPointer]
  add ebp, eax
  EQ eax, 0x1234
  dec esi
  jnz .calls
  mov esi, 3000
.changed:
  mov [es:TEST + 0x801 + 0], esi
  call far [farPointer]
  EQ eax, esi
  dec esi
  jnz .changed
  ; code that changes itself
  mov dword [farPointer], TEST + 0x800 + selfChanging - routine
  mov esi, 1000
.itself:
  call far [farPointer]
  EQ eax, esi
  dec esi
  jnz .itself
  ; an instruction over both kinds of pages: the end of page 2 and the start of page 3
  mov byte [es:TEST + 0x2FFE], 0xB8          ; mov eax, imm32
  mov byte [es:TEST + 0x2FFF], 0x44
  mov dword [es:LOW], 0xCB112233             ; ...; retf
  mov dword [farPointer], TEST + 0x2FFE
  mov esi, 200
.crossing:
  call far [farPointer]
  EQ eax, 0x11223344
  dec esi
  jnz .crossing
  mov byte [es:LOW + 2], 0x55
  call far [farPointer]
  EQ eax, 0x55223344
  mov byte [es:TEST + 0xFFF], 0x66
  call far [farPointer]
  EQ eax, 0x55223366

  ; ---- page tables up there; QEMU's walk loses their upper address bits
  mov edi, TEST
  mov ecx, 0x400
  xor eax, eax
  rep stosd
  mov dword [es:TEST], LOW + 3
  mov dword [es:TEST + 8], 0x00201003
  mov dword [es:TEST + 12], 1
  mov dword [es:PAEDIR1 + 8], 0x00200007
  mov dword [es:PAEDIR1 + 12], 1
  mov dword [es:TEST + 0x1004], 0x88
  cmp byte [onQEMU], 0
  jne near .noTables
  mov dword [es:LOW + 8], 0x77
  mov eax, [es:TEST + 0x200008]
  EQ eax, 0x77
  EQ dword [es:TEST], LOW + 0x23
  mov dword [es:TEST + 0x201004], 0x89
  EQ dword [es:TEST + 0x1004], 0x89
  EQ dword [es:TEST + 8], 0x00201063
  FAULT 14, 0, mov eax, [es:TEST + 0x202000]
  mov dword [es:TEST + 0x1004], 0x88
.noTables:

  ; ---- a large page
  mov dword [es:PAEDIR1 + 16], 0x00200083
  mov dword [es:PAEDIR1 + 20], 1
  EQ dword [es:TEST + 0x401004], 0x88
  mov dword [es:TEST + 0x4FF000], 0x4FF000
  PAGE 4, 0x002FF003, 1
  EQ dword [es:TEST + 0x4000], 0x4FF000
  EQ dword [es:PAEDIR1 + 16], 0x002000E3

  ; ---- the A20 gate stops one line only; here nobody has it closed, but the bit counts
  PAGE 5, 0x00300003, 1
  mov dword [es:TEST + 0x5000], 0x300000
  EQ dword [es:TEST + 0x500000], 0x300000

  ; ---- PSE-36
  mov eax, 1
  cpuid
  test edx, 1 << 17
  jz near .end
  mov dword [es:DIRECTORY], 0x00000083
  mov dword [es:DIRECTORY + (TEST >> 20)], 0x00002083
  mov eax, cr0
  and eax, 0x7FFFFFFF
  mov cr0, eax
  mov eax, DIRECTORY
  mov cr3, eax
  mov eax, cr4
  and al, ~0x20
  or al, 0x10
  mov cr4, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  jmp .pse
.pse:
  EQ dword [es:TEST + 0x201004], 0x88
  mov dword [es:TEST + 0x201008], 0x99
  EQ dword [es:DIRECTORY + (TEST >> 20)], 0x000020E3
  EQ dword [es:TEST + 0x300000], 0x300000
  NE dword [es:0x300000], 0x300000
.end:
  mov esp, STACK0 - 4
  ret

; mov eax, 1234h; ret far
routine:
  db 0xB8
  dd 0x1234
  retf
  times 32 - ($ - routine) nop
; Puts ESI into the instruction behind.
selfChanging:
  mov [es:TEST + 0x800 + .value - routine + 1], esi
  jmp .value
.value:
  db 0xB8
  dd 0
  retf
routineEnd:

saveCR2:
  push eax
  mov eax, cr2
  mov [faultCR2], eax
  pop eax
  ret

  align 8
faultCR2: dd 0
farPointer: dd 0
  dw CODEFLAT
%include "end.inc"
