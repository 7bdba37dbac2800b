; NMI by the local APIC: LINT0 in NMI mode turns requests of the 8259A (the timer) into NMIs. They wake HLT with IF clear, come with IF clear, wait
; while one is being handled until its IRET, and end no interrupt shadow's rule: none between MOV SS and the next instruction.
; Expected: PASS. Not for QEMU and Bochs, which do not lead the 8259A through LINT0 in this mode.
; Follows: Intel SDM volume 3, 6.7 (NMI), 10.5.1 (local vector table).
%include "../cpu/common.inc"

%define APIC 0xFEE00000

test:
  cmp byte [onQEMU], 0
  jne near .end
  cmp byte [onBochs], 0
  jne near .end
  mov eax, 1
  cpuid
  test edx, 1 << 9
  jz near .end
  mov al, 0x11
  out 0x20, al
  mov al, 0x20
  out 0x21, al
  mov al, 4
  out 0x21, al
  mov al, 1
  out 0x21, al
  mov al, 0xFE
  out 0x21, al
  GATE idt, 2, CODE0, handler, 0x8E, 0
  mov ax, FLAT
  mov es, ax
  mov dword [es:APIC + 0xF0], 0x1FF
  mov dword [es:APIC + 0x350], 0x400
  mov eax, [es:APIC + 0x350]
  and eax, 0x10700
  EQ eax, 0x400
  mov al, 0x34
  out 0x43, al
  mov al, 200
  out 0x40, al
  mov al, 0
  out 0x40, al

  ; ---- out of HLT with IF clear
  mov ecx, 20
.halts:
  cli
  hlt
.afterHalt:
  EQ dword [seenEIP], .afterHalt
  test dword [seenFlags], 0x200
  jz .flags
  WRONG
.flags:
  loop .halts
  cmp dword [count], 20
  jae .counted
  WRONG
.counted:

  ; ---- into a loop; never right after MOV SS
  mov dword [count], 0
  mov dword [shadowed], .inShadow
  mov bx, ss
.loop:
  mov ss, bx
.inShadow:
  mov esp, STACK0 - 0x100
  inc eax
  cmp dword [count], 200
  jb .loop

  ; ---- a handler longer than the period: the next one waits for its IRET
  mov dword [slow], 1
  mov dword [count], 0
.slow:
  cmp dword [count], 10
  jb .slow
  mov dword [slow], 0
  ; ---- back to ExtINT
  mov al, 0xFF
  out 0x21, al
  mov dword [es:APIC + 0x350], 0x700
.end:
  mov esp, STACK0 - 4
  ret

handler:
  push eax
  push ecx
  inc dword [depth]
  EQ dword [depth], 1
  inc dword [count]
  mov eax, [esp + 8]
  mov [seenEIP], eax
  NE eax, [shadowed]
  mov eax, [esp + 16]
  mov [seenFlags], eax
  ; the request is taken by polling, since nothing acknowledges it
  mov al, 0x0C
  out 0x20, al
  in al, 0x20
  mov al, 0x20
  out 0x20, al
  cmp dword [slow], 0
  je .quick
  cmp dword [count], 10
  jae .quick
  mov ecx, 20000
  loop $
.quick:
  dec dword [depth]
  pop ecx
  pop eax
  iretd

  align 4
count: dd 0
depth: dd 0
slow: dd 0
shadowed: dd 0
seenEIP: dd 0
seenFlags: dd 0
%include "../cpu/end.inc"
