; Debug registers and single step: TF, instruction, data and I/O breakpoints, RF, DR6 and DR7, general detect, the shadows of MOV SS and
; STI, RF in the flags that faults push.
; Expected: PASS (on Bochs; QEMU's translator has no general detect, other step order, and may crash here).
; Follows: Intel SDM volume 3, chapter 17; section 6.8.3.
%include "common.inc"

; TRAP DR6 bits, EIP: the last #DB
%macro TRAPPED 2
  EQ dword [count], 1
  EQ dword [seenEIP], %2
  mov eax, [seenDR6]
  and eax, 0xE00F
  EQ eax, %1
  mov dword [count], 0
%endmacro

%macro NOTRAP 0
  EQ dword [count], 0
%endmacro

%macro SETDR7 1
  mov eax, %1
  mov dr7, eax
%endmacro

test:
  GATE idt, 1, CODE0, debugHandler, 0x8E, 0
  GATE idt, 0x41, CODE0, intTarget, 0x8E, 0
  xor eax, eax
  mov dr6, eax

  ; ---- fixed bits
  mov eax, dr6
  EQ eax, 0xFFFF0FF0
  mov eax, -1
  mov dr6, eax
  mov eax, dr6
  cmp byte [onQEMU], 0
  jne .noFixed
  EQ eax, 0xFFFFEFFF
.noFixed:
  xor eax, eax
  mov dr6, eax
  mov dr7, eax
  mov eax, dr7
  EQ eax, 0x400
  mov eax, 0x12345678
  mov dr3, eax
  mov ebx, dr3
  EQ ebx, 0x12345678
  mov eax, dr4                        ; DR6
  EQ eax, 0xFFFF0FF0

  ; ---- single step: one trap after one instruction (the handler clears TF in the frame)
  pushfd
  or dword [esp], 0x100
  popfd
  nop
.step1:
  TRAPPED 0x4000, .step1
  mov eax, [seenFlags]
  and eax, 0x10100
  EQ eax, 0x100                       ; a trap pushes RF clear
  ; INT clears TF: the step is seen after its return only
  pushfd
  or dword [esp], 0x100
  popfd
  int 0x41
  nop
.step2:
  TRAPPED 0x4000, .step2
  ; MOV SS holds the trap back for one instruction
  mov bx, ss
  pushfd
  or dword [esp], 0x100
  popfd
  mov ss, bx
  mov ecx, 1
.step3:
  TRAPPED 0x4000, .step3
  EQ ecx, 1

  ; ---- instruction breakpoint: a fault at the instruction; IRET with RF goes on
  mov eax, BASE + .here
  mov dr0, eax
  SETDR7 0x1
  mov ecx, 0
.here:
  inc ecx
  SETDR7 0
  TRAPPED 1, .here
  EQ ecx, 1
  ; hit twice in a loop: RF serves once
  mov eax, BASE + .loop
  mov dr1, eax
  SETDR7 0x4
  mov ecx, 3
.loop:
  dec ecx
  jnz .loop
  SETDR7 0
  EQ dword [count], 3
  mov dword [count], 0
  ; after MOV SS none is seen
  mov eax, BASE + .shadowed
  mov dr0, eax
  SETDR7 0x1
  mov bx, ss
  mov ss, bx
.shadowed:
  nop
  SETDR7 0
  cmp byte [onQEMU], 0
  jne .noShadow
  NOTRAP
.noShadow:
  mov dword [count], 0

  ; ---- data breakpoints: a trap after the access
  mov eax, BASE + watched
  mov dr2, eax
  SETDR7 0x0D000010                   ; DR2: write, 4 bytes
  mov eax, [watched]
  mov dword [watched - 4], 1
  mov dword [watched + 4], 1
  NOTRAP
  mov byte [watched + 3], 1
.data1:
  TRAPPED 4, .data1
  mov dword [watched - 2], 1
.data2:
  TRAPPED 4, .data2
  inc dword [watched]
.data3:
  TRAPPED 4, .data3
  push dword [watched]
  pop eax
  NOTRAP
  SETDR7 0x0F000010                   ; DR2: read or write
  mov al, [watched + 1]
.data4:
  TRAPPED 4, .data4
  SETDR7 0x03000010                   ; 1 byte
  mov al, [watched + 1]
  NOTRAP
  mov eax, [watched - 3]
.data5:
  TRAPPED 4, .data5
  ; a repeated move is interrupted after the iteration
  SETDR7 0x0D000010
  mov edi, watched - 8
  mov ecx, 8
  xor eax, eax
  cld
  mov dword [seenECX], -1
.rep:
  rep stosd
  EQ ecx, 0
  cmp byte [onQEMU], 0
  jne .noRep
  EQ dword [seenEIP], .rep
  EQ dword [seenECX], 5
.noRep:
  mov dword [count], 0
  SETDR7 0

  ; ---- I/O breakpoint
  mov eax, cr4
  or al, 8
  mov cr4, eax
  FAULT 6, 0, mov eax, dr4            ; DE takes the aliases away
  mov eax, 0x80
  mov dr0, eax
  SETDR7 0x00020002
  out 0x80, al
.io:
  TRAPPED 1, .io
  out 0x84, al
  NOTRAP
  SETDR7 0
  mov eax, cr4
  and al, 0xF7
  mov cr4, eax

  ; ---- general detect: a fault, DR6.BD, GD cleared in the handler
  cmp byte [onQEMU], 0
  jne .noGD
  SETDR7 0x2000
.gd:
  mov eax, dr0
  TRAPPED 0x2000, .gd
  mov eax, [seenDR7]
  and eax, 0x2000
  EQ eax, 0
.noGD:

  ; ---- INT1 is a trap that leaves DR6 alone
  mov eax, 0
  mov dr6, eax
  db 0xF1
.int1:
  cmp byte [onQEMU], 0
  jne .noRF
  TRAPPED 0, .int1

  ; ---- RF in pushed flags: set for faults, clear for INT n
  FAULT 6, 0, ud2
  mov eax, [faultFlags]
  and eax, 0x10000
  EQ eax, 0x10000
  int 0x41
  mov eax, [seenFlags]
  and eax, 0x10000
  EQ eax, 0
.noRF:
  mov esp, STACK0 - 4
  ret

debugHandler:
  push eax
  inc dword [count]
  mov [seenECX], ecx
  mov eax, dr7
  mov [seenDR7], eax
  mov eax, dr6
  mov [seenDR6], eax
  xor eax, eax
  mov dr6, eax
  mov eax, [esp + 4]
  mov [seenEIP], eax
  mov eax, [esp + 12]
  mov [seenFlags], eax
  and dword [esp + 12], ~0x100
  or dword [esp + 12], 0x10000
  pop eax
  iretd

intTarget:
  push eax
  mov eax, [esp + 12]
  mov [seenFlags], eax
  pop eax
  iretd

  align 8
  times 16 dd 0
watched: times 16 dd 0
count: dd 0
seenEIP: dd 0
seenDR6: dd 0
seenDR7: dd 0
seenECX: dd 0
seenFlags: dd 0
%include "end.inc"
