; RETF to an outer ring that leaves out more than a page: SS and ESP come from where the stack's linear addresses lead, however far from
; EIP and CS, and the parameters are left out on both stacks. Often enough to be translated.
; Expected: PASS.
; Follows: Intel SDM volume 2 (RET, returns to outer privilege levels).
%include "common.inc"
%include "pages.inc"

; linear pages 0 and 1 above TEST; they do not lie beside each other, and what lies between would be another stack
test:
  mov [savedESP], esp
  mov [savedSS], ss
  call enablePaging
  PTE_CR3 0, PAGEA + 7
  PTE_CR3 1, PAGEC + 7
  mov dword [es:PAGEB + 0x7F8], STACK3 - 0x80
  mov dword [es:PAGEB + 0x7FC], DATA3
  mov dword [es:TEST + 0x17F8], STACK3 - 0x1000
  mov dword [es:TEST + 0x17FC], DATA3
  mov dword [rounds], 200
.again:
  mov dword [es:TEST + 0x7F0], .outer
  mov dword [es:TEST + 0x7F4], CODE3
  mov ax, FLAT
  mov ss, ax
  mov esp, TEST + 0x7F0
  retf 0x1000
.outer:
  mov ax, DATA3
  mov ds, ax
  mov es, ax
  EQ esp, STACK3
  mov ax, ss
  movzx eax, ax
  EQ eax, DATA3
  TO_RING0
  mov ax, FLAT
  mov es, ax
  dec dword [rounds]
  jnz .again
  mov ss, [savedSS]
  mov esp, [savedESP]
  ret

align 4
savedESP: dd 0
savedSS: dd 0
rounds: dd 0
%include "end.inc"
