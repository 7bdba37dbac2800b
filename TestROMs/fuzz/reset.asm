; The ROM in the place of a BIOS, for `apus conform fuzz`: after a reset the program in RAM goes on (program.asm). It stays at the top of
; the 4 GiB, so that nothing depends on what is shadowed below 1 MiB.
; Follows: Intel SDM volume 3, 9.1.4 and 9.9.1.

  org 0
  bits 16

  times 0xFF00 - ($ - $$) db 0xF4
go:
  cli
  o32 lgdt [cs:gdtr]
  mov eax, cr0
  or al, 0x11
  and eax, 0x9FFFFFFF
  mov cr0, eax
  jmp dword 0x08:0x200006
  align 8
gdt:
  dq 0
  dq 0x00CF9B000000FFFF
gdtr:
  dw 15
  dd 0xFFFF0000 + gdt

  times 0xFFF0 - ($ - $$) db 0xF4
  jmp go
  times 0x10000 - ($ - $$) db 0xF4
