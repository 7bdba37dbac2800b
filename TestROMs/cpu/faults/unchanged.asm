; Instructions that read, change and write a destination fault as writes do, also where what they write is what was there: a page and a segment
; that can only be read, at ring 3. Nothing else changes: registers, the destination. Those that only read do not fault. ARPL is not among them:
; it writes only what changes on Intel's processors, and always on QEMU and Bochs.
; Expected: PASS.
; Follows: Intel SDM volume 2: the instructions' pages (#GP(0) if the destination is located in a non-writable segment; CMPXCHG: "the destination
; operand is always written"); volume 3, 4.7 (error code 7: present, write, user).
%include "common.inc"
%include "pages.inc"

%define READONLY (0x68 | 3)

%define VALUE 0x80000003

; The instruction on the page, then in the segment. EAX to EDX are what CASES sets.
%macro CASE 2                 ; instruction and size, further operands
  FAULT 14, 7, %1 [es:TEST] %2
  FAULT_REGISTERS
  SEGMENT_FAULT 13, 0, %1 [fs:value] %2
  FAULT_REGISTERS
%endmacro
%macro FAULT_REGISTERS 0
  EQ eax, 0x11110003
  EQ ebx, 0
  EQ ecx, 0xCCCCCC00
  EQ edx, VALUE
%endmacro

test:
  call enablePaging
  mov dword [es:PAGEA], VALUE
  mov dword [es:PAGEA + 4], 0x12345678
  PTE_CR3 0, PAGEA + 5
  DESCRIPTOR READONLY, BASE, 0xFFFF, 0xF0, 4
  ; a 486 has AC, what CPUID tells comes later
  pushfd
  pop eax
  mov ecx, eax
  xor eax, 1 << 18
  push eax
  popfd
  pushfd
  pop eax
  push ecx
  popfd
  xor eax, ecx
  shr eax, 18
  and al, 1
  mov [is486], al
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
  TO_RING 3
  mov ax, FLAT3
  mov es, ax
  mov ax, READONLY
  mov fs, ax
  mov eax, 0x11110003         ; RPL 3
  xor ebx, ebx
  mov ecx, 0xCCCCCC00         ; CL 0
  mov edx, VALUE

  CASE {shl dword}, {, cl}
  CASE {shr word}, {, cl}
  CASE {sar byte}, {, cl}
  CASE {rol dword}, {, cl}
  CASE {ror dword}, {, cl}
  CASE {rcl dword}, {, cl}
  CASE {rcr byte}, {, cl}
  CASE {shl dword}, {, 32}
  CASE {rcl word}, {, 32}
  CASE {rol byte}, {, 8}
  CASE shld, {, eax, cl}
  CASE shrd, {, ax, cl}
  CASE shld, {, eax, 32}
  CASE {bts dword}, {, 0}
  CASE {btr dword}, {, 2}
  CASE bts, {, ebx}
  CASE btr, {, ax}            ; bit 3
  CASE {or dword}, {, 0}
  CASE {and dword}, {, -1}
  CASE {add word}, {, 0}
  CASE {sub byte}, {, 0}
  CASE {xor dword}, {, 0}
  clc
  CASE {adc dword}, {, 0}
  clc
  CASE {sbb dword}, {, 0}
  CASE or, {, edx}
  CASE and, {, edx}
  CASE add, {, ebx}
  CASE xchg, {, edx}
  CASE mov, {, edx}
  cmp byte [is486], 0
  je near .no486
  CASE cmpxchg, {, ecx}
  CASE cmpxchg, {, cx}
  CASE xadd, {, ebx}
.no486:
  test dword [features], 1 << 8
  jz near .noCX8
  CASE cmpxchg8b, {}
.noCX8:

  ; reading only
%macro READS 1+
  WORKS %1
%endmacro
  READS test [es:TEST], edx
  READS cmp [es:TEST], edx
  READS bt dword [es:TEST], 0
  READS bt [fs:value], ebx
  READS verr [es:TEST]
  READS test dword [fs:value], 1
  xor ecx, ecx
  mov edi, TEST
  mov esi, value
  READS rep movsd             ; nothing to be moved
  READS rep stosd
  TO_RING0
  mov ax, FLAT
  mov es, ax
  EQ dword [es:PAGEA], VALUE
  EQ dword [es:PAGEA + 4], 0x12345678
  EQ dword [value], VALUE
  EQ dword [value + 4], 0x12345678
  mov esp, STACK0 - 4
  ret

  align 8
value: dd VALUE, 0x12345678
is486: dd 0
features: dd 0
%include "end.inc"
