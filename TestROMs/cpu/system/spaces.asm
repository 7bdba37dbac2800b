; Address spaces that come back by MOV CR3: code is fetched where their tables lead now, whatever they led to the last time.
; Intel SDM volume 3, 4.10.4.1 (MOV CR3 drops what is not global) and 4.8 (accessed flags).
%include "common.inc"
%include "pages.inc"

%define DIRECTORY2 0x104000
%define TABLE2     0x105000
%define FLATCODE   SPARE
%define LOOPS      3000

; CR3 register
%macro SPACE 1
  mov eax, %1
  mov cr3, eax
%endmacro

; SAYS number: the page at TEST says who it is. In the ring that calls.
%macro SAYS 2
  xor eax, eax
  call %1:TEST
  EQ eax, %2
%endmacro

test:
  call enablePaging
  DESCRIPTOR FLATCODE, 0, 0xFFFFF, 0x9A, 0xC
  mov edi, DIRECTORY2
  xor eax, eax
  mov ecx, 0x2000 / 4
  rep stosd
  mov dword [es:DIRECTORY2], TABLE0 + 7
  mov dword [es:DIRECTORY2 + (TEST >> 20)], TABLE2 + 7
  ; mov eax,n; retf
  mov eax, 1
  mov edi, PAGEA
.page:
  mov byte [es:edi], 0xB8
  mov [es:edi + 1], eax
  mov byte [es:edi + 5], 0xCB
  add edi, 0x1000
  inc eax
  cmp eax, 4
  jbe .page
  mov dword [es:TABLE1], PAGEA + 7
  mov dword [es:TABLE2], PAGEB + 7

  ; to and fro in ring 0
  mov ebp, LOOPS
.supervisor:
  SPACE DIRECTORY
  SAYS FLATCODE, 1
  SPACE DIRECTORY2
  SAYS FLATCODE, 2
  dec ebp
  jnz .supervisor

  ; moved while away
  mov dword [es:TABLE1], PAGEC + 7
  SPACE DIRECTORY
  SAYS FLATCODE, 3
  SPACE DIRECTORY2
  SAYS FLATCODE, 2
  mov dword [es:TABLE1], PAGEA + 7
  SPACE DIRECTORY
  SAYS FLATCODE, 1
  ; moved in its presence, there and back while away
  PTE 0, PAGEC + 7
  SAYS FLATCODE, 3
  SPACE DIRECTORY2
  mov dword [es:TABLE1], PAGEA + 7
  SPACE DIRECTORY
  SAYS FLATCODE, 1
  SPACE DIRECTORY2
  SAYS FLATCODE, 2

  ; a fetch sets the accessed flags that are not set
  mov dword [es:TABLE1], PAGEA + 7
  and dword [es:DIRECTORY + (TEST >> 20)], ~0x20
  SPACE DIRECTORY
  SAYS FLATCODE, 1
  mov eax, [es:TABLE1]
  and eax, 0x20
  EQ eax, 0x20
  mov eax, [es:DIRECTORY + (TEST >> 20)]
  and eax, 0x20
  EQ eax, 0x20

  ; gone while away: the fetch faults
  SPACE DIRECTORY2
  mov dword [es:TABLE1], 0
  SPACE DIRECTORY
  mov dword [hook], comesBack
  mov dword [missed], 0
  SAYS FLATCODE, 1
  EQ dword [missed], 1
  EQ dword [errorCode], 0
  EQ dword [faultEIP], TEST
  mov eax, cr2
  EQ eax, TEST

  ; to and fro in ring 3
  mov ebp, LOOPS
.user:
  SPACE DIRECTORY
  TO_RING 3
  SAYS CODEFLAT3, 1
  TO_RING0
  mov ax, FLAT
  mov es, ax
  SPACE DIRECTORY2
  TO_RING 3
  SAYS CODEFLAT3, 2
  TO_RING0
  mov ax, FLAT
  mov es, ax
  dec ebp
  jnz .user
  ; the page is not for users any more
  mov dword [es:TABLE1], PAGEA + 0x23
  SPACE DIRECTORY
  mov dword [missed], 0
  TO_RING 3
  SAYS CODEFLAT3, 1
  TO_RING0
  EQ dword [missed], 1
  EQ dword [errorCode], 5
  mov dword [hook], 0
  ; where `test` was called
  mov esp, STACK0 - 4
  ret

; A page fault at TEST: the page is there again.
comesBack:
  inc dword [missed]
  push es
  mov ax, FLAT
  mov es, ax
  PTE 0, PAGEA + 7
  pop es
  ; not back to the handler: to what faulted
  add esp, 4
  pop ds
  pop eax
  add esp, 8
  iretd

missed: dd 0
%include "end.inc"
