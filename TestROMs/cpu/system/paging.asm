; Paging: error codes and CR2 of page faults, accessed and dirty bits, write protection, pages of 4 MiB, global pages, INVLPG, PAE, faults
; of accesses that cross pages, faults of pushes and table reads during transfers.
; Expected: PASS.
; Follows: Intel SDM volume 3, chapter 4; section 6.15 (#PF).
%include "common.inc"

; Everything below 4 MiB is mapped one to one by TABLE0; linear 40000000h and up is for the tests.
%define DIRECTORY 0x100000
%define TABLE0    0x101000
%define TABLE1    0x102000
%define PDPT      0x103000
%define PAEDIR0   0x104000
%define PAEDIR1   0x105000
%define PAETABLE  0x106000
%define PAGEA     0x200000
%define PAGEB     0x201000
%define TEST      0x40000000
%define FLAT3     (0x68 | 3)

; PTE page number above TEST, value
%macro PTE 2
  mov dword [es:TABLE1 + (%1) * 4], %2
  invlpg [es:TEST + (%1) * 0x1000]
%endmacro

; PAGEFAULT error code, address, instruction
%macro PAGEFAULT 3+
  mov eax, 0
  mov cr2, eax
  FAULT 14, %1, %3
  mov eax, [faultCR2]
  EQ eax, %2
%endmacro

; The same from ring 3.
%macro PAGEFAULT3 3+
  FAULT 14, %1, %3
  mov eax, [faultCR2]
  EQ eax, %2
%endmacro

test:
  mov dword [gdt + 0x68], 0x0000FFFF
  mov dword [gdt + 0x6C], 0x00CFF200
  mov dword [hook], saveCR2
  mov ax, FLAT
  mov es, ax
  xor eax, eax
  mov edi, DIRECTORY
  mov ecx, 0x8000 / 4
  rep stosd
  mov dword [es:DIRECTORY], TABLE0 + 7
  mov dword [es:DIRECTORY + (TEST >> 20)], TABLE1 + 7
  mov edi, TABLE0
  mov eax, 7
.identity:
  stosd
  add eax, 0x1000
  cmp edi, TABLE0 + 0x1000
  jb .identity
  mov dword [es:PAGEA], 0xAAAA0000
  mov dword [es:PAGEB], 0xBBBB0000
  mov eax, DIRECTORY
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  jmp .paged
.paged:

  ; ---- supervisor
  PAGEFAULT 0, TEST, mov eax, [es:TEST]
  PAGEFAULT 2, TEST + 0x123, mov byte [es:TEST + 0x123], 1
  PAGEFAULT 0, 0x80000000, mov eax, [es:0x80000000]
  PTE 0, PAGEA + 1
  mov eax, [es:TEST]
  EQ eax, 0xAAAA0000
  EQ dword [es:TABLE1], PAGEA + 0x21  ; accessed
  mov eax, [es:DIRECTORY + (TEST >> 20)]
  and eax, 0x20
  EQ eax, 0x20
  mov dword [es:TEST + 4], 5          ; read-only does not bind ring 0
  EQ dword [es:TABLE1], PAGEA + 0x61  ; dirty
  mov eax, cr0
  or eax, 0x10000
  mov cr0, eax
  PAGEFAULT 3, TEST + 4, mov dword [es:TEST + 4], 6
  EQ dword [es:PAGEA + 4], 5
  mov eax, cr0
  and eax, ~0x10000
  mov cr0, eax
  mov dword [es:TEST + 4], 7
  EQ dword [es:PAGEA + 4], 7
  ; a translation is dropped by INVLPG and by CR3
  mov dword [es:TABLE1], PAGEB + 1
  invlpg [es:TEST]
  mov eax, [es:TEST]
  EQ eax, 0xBBBB0000
  mov dword [es:TABLE1], PAGEA + 1
  mov eax, cr3
  mov cr3, eax
  mov eax, [es:TEST]
  EQ eax, 0xAAAA0000

  ; ---- crossing pages: nothing is written when the second page faults
  PTE 1, 0
  mov dword [es:PAGEA + 0xFFC], 0x11223344
  PAGEFAULT 2, TEST + 0x1000, mov dword [es:TEST + 0xFFE], 0x55667788
  EQ dword [es:PAGEA + 0xFFC], 0x11223344
  PAGEFAULT 0, TEST + 0x1000, mov eax, [es:TEST + 0xFFD]
  PTE 1, PAGEB + 3
  mov dword [es:TEST + 0xFFE], 0x55667788
  EQ word [es:PAGEA + 0xFFE], 0x7788
  EQ word [es:PAGEB], 0x5566
  mov dword [es:PAGEB], 0xBBBB0000
  ; read-modify-write faults as a write
  PTE 2, 0
  cmp byte [onQEMU], 0
  jne .noModify
  PAGEFAULT 2, TEST + 0x2000, inc dword [es:TEST + 0x2000]
  PAGEFAULT 2, TEST + 0x2000, xchg [es:TEST + 0x2000], eax
.noModify:
  ; a repeated move stops at the page with its registers exact
  PTE 1, PAGEB + 3
  mov edi, TEST + 0x1FF0
  mov ecx, 8
  mov eax, 0x77
  cld
  PAGEFAULT 2, TEST + 0x2000, rep stosd
  EQ ecx, 4
  EQ edi, TEST + 0x2000
  ; ---- user
  PTE 0, PAGEA + 1                    ; supervisor
  PTE 1, PAGEB + 5                    ; user, read-only
  PTE 2, PAGEB + 7
  TO_RING 3
  mov ax, FLAT3
  mov es, ax
  PAGEFAULT3 5, TEST, mov eax, [es:TEST]
  PAGEFAULT3 7, TEST, mov [es:TEST], eax
  mov eax, [es:TEST + 0x1000]
  EQ eax, 0xBBBB0000
  PAGEFAULT3 7, TEST + 0x1000, mov [es:TEST + 0x1000], eax
  mov dword [es:TEST + 0x2004], 0x1234
  PAGEFAULT3 4, TEST + 0x6010, mov al, [es:TEST + 0x6010]
  EQ dword [es:TEST + 0x1004], 0x1234
  TO_RING0
  mov ax, FLAT
  mov es, ax
  mov esp, STACK0 - 0x100
  ; the directory's U/S and R/W count too
  and dword [es:DIRECTORY + (TEST >> 20)], ~2
  mov eax, cr3
  mov cr3, eax
  TO_RING 3
  mov ax, FLAT3
  mov es, ax
  PAGEFAULT3 7, TEST + 0x2000, mov [es:TEST + 0x2000], eax
  TO_RING0
  mov ax, FLAT
  mov es, ax
  and dword [es:DIRECTORY + (TEST >> 20)], ~4
  mov eax, cr3
  mov cr3, eax
  TO_RING 3
  mov ax, FLAT3
  mov es, ax
  PAGEFAULT3 5, TEST + 0x2000, mov eax, [es:TEST + 0x2000]
  TO_RING0
  mov ax, FLAT
  mov es, ax
  or dword [es:DIRECTORY + (TEST >> 20)], 6
  mov eax, cr3
  mov cr3, eax

  ; ---- a segment load whose descriptor is in a missing page
  sgdt [savedGDT]
  PTE 4, 0
  mov word [newGDT], 0x7FFF
  mov dword [newGDT + 2], TEST + 0x4000 - 0x1000
  ; GDT at TEST+3000h: entries below 1000h present (copy), above not
  PTE 3, PAGEA + 3
  push es
  push ds
  pop es
  mov esi, gdt
  mov ax, FLAT
  mov es, ax
  mov edi, PAGEA
  mov ecx, GDT_SIZE / 4
  rep movsd
  pop es
  lgdt [newGDT]
  mov bx, 0x1008
  PAGEFAULT 0, TEST + 0x4008, mov fs, bx
  PAGEFAULT 0, TEST + 0x4008, lar eax, ebx
  PAGEFAULT 0, TEST + 0x4008, jmp 0x1008:0
  lgdt [savedGDT]

  ; ---- 4 MiB pages
  mov eax, 1
  cpuid
  test dl, 8
  jz .noPSE
  mov eax, cr4
  or al, 0x10
  mov cr4, eax
  mov dword [es:DIRECTORY + (TEST >> 20) + 4], 0x83
  mov eax, [es:TEST + 0x400000 + PAGEA]
  EQ eax, [es:PAGEA]
  EQ dword [es:DIRECTORY + (TEST >> 20) + 4], 0xA3
  mov dword [es:TEST + 0x400000 + PAGEA + 0x10], 0x4D4D
  EQ dword [es:PAGEA + 0x10], 0x4D4D
  EQ dword [es:DIRECTORY + (TEST >> 20) + 4], 0xE3
  mov dword [es:DIRECTORY + (TEST >> 20) + 4], 0
  invlpg [es:TEST + 0x400000]
  PAGEFAULT 0, TEST + 0x400000 + PAGEA, mov eax, [es:TEST + 0x400000 + PAGEA]
  ; a reserved bit: error code bit 3
  cmp byte [onQEMU], 0
  jne .noPSE
  mov dword [es:DIRECTORY + (TEST >> 20) + 4], 0x200083
  invlpg [es:TEST + 0x400000]
  PAGEFAULT 9, TEST + 0x400000, mov eax, [es:TEST + 0x400000]
.noPSE:
  mov dword [es:DIRECTORY + (TEST >> 20) + 4], 0

  ; ---- global pages outlive CR3
  mov eax, 1
  cpuid
  test dh, 0x20
  jz .noPGE
  mov eax, cr4
  or al, 0x80
  mov cr4, eax
  PTE 0, PAGEA + 0x101
  mov dword [es:PAGEA], 0xAAAA0000
  mov eax, [es:TEST]
  mov dword [es:TABLE1], PAGEB + 1
  mov eax, cr3
  mov cr3, eax
  cmp byte [onQEMU], 0                ; its TLB forgets more than it must
  jne .forgotten
  mov eax, [es:TEST]
  EQ eax, 0xAAAA0000
.forgotten:
  invlpg [es:TEST]
  mov eax, [es:TEST]
  EQ eax, [es:PAGEB]
  mov eax, cr4
  and al, 0x7F
  mov cr4, eax
.noPGE:

  ; ---- reserved bits of CR4, PG without PE
  cmp byte [onQEMU], 0
  jne .noReserved
  mov eax, 0x80000000
  FAULT 13, 0, mov cr4, eax
  mov ebx, cr0
  and ebx, ~1
  FAULT 13, 0, mov cr0, ebx
.noReserved:

  ; ---- PAE
  mov eax, 1
  cpuid
  test dl, 0x40
  jz .noPAE
  mov eax, cr0
  and eax, 0x7FFFFFFF
  mov cr0, eax
  mov dword [es:PDPT], PAEDIR0 + 1
  mov dword [es:PDPT + 8], PAEDIR1 + 1
  mov dword [es:PDPT + 16], 0
  mov dword [es:PDPT + 24], 0
  mov dword [es:PAEDIR0], 0x000083 + 4
  mov dword [es:PAEDIR0 + 8], 0x200083 + 4
  mov dword [es:PAEDIR1], PAETABLE + 7
  mov dword [es:PAETABLE], PAGEA + 1
  mov dword [es:PAETABLE + 8], PAGEB + 3
  mov dword [es:PAETABLE + 12], 0x40000000
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
  mov eax, [es:TEST]
  EQ eax, 0xAAAA0000
  EQ dword [es:PAETABLE], PAGEA + 0x21
  cmp byte [onQEMU], 0
  jne .noReservedPTE
  PAGEFAULT 9, TEST + 0x1000, mov eax, [es:TEST + 0x1000]
.noReservedPTE:
  mov dword [es:PAETABLE + 12], 0
  mov dword [es:TEST + 0x1000], 0x9999
  EQ dword [es:PAGEB], 0x9999
  EQ dword [es:PAETABLE + 8], PAGEB + 0x63
  PAGEFAULT 0, 0x80000000, mov eax, [es:0x80000000]
  PAGEFAULT 2, TEST + 0x200000, mov [es:TEST + 0x200000], eax
  ; the pointers are read when CR3 is loaded, and checked then
  mov dword [es:PDPT + 16], PAEDIR1 + 1
  cmp byte [onQEMU], 0
  jne .noCache
  PAGEFAULT 0, 0x80000000, mov eax, [es:0x80000000]
.noCache:
  mov eax, cr3
  mov cr3, eax
  mov eax, [es:0x80000000]
  EQ eax, 0xAAAA0000
  cmp byte [onQEMU], 0
  jne .noPAE
  mov dword [es:PDPT + 16], PAEDIR1 + 3
  mov ebx, cr3
  FAULT 13, 0, mov cr3, ebx
.noPAE:
  mov esp, STACK0 - 4
  ret

saveCR2:
  push eax
  mov eax, cr2
  mov [faultCR2], eax
  pop eax
  ret

  align 8
faultCR2: dd 0
savedGDT: dq 0
newGDT: dq 0
%include "end.inc"
