; Protected mode: segment loads, privilege rings, gates, interrupts and returns between rings, IOPL.
; Expected: PASS.
; Follows: Intel SDM volume 3, chapters 3, 5, 6; volume 2 for each instruction's exceptions.
%include "common.inc"

%define NOTPRESENT 0x68
%define READONLY 0x70
%define EXECONLY 0x78
%define CALL0 0x80
%define CALL16 0x88
%define ABSENTGATE 0x90
%define CALL1 0x98
%define DATA2 (0xA0 | 2)
%define CODE0B 0xA8

test:
  DESCRIPTOR NOTPRESENT, BASE, 0xFFFF, 0x12, 4
  DESCRIPTOR READONLY, BASE, 0xFFFF, 0x90, 4
  DESCRIPTOR EXECONLY, BASE, 0xFFFF, 0x98, 4
  DESCRIPTOR DATA2, BASE, 0xFFFF, 0xD2, 4
  GATE gdt, CALL0 / 8, CODE0, gateTarget, 0xEC, 2
  GATE gdt, CALL16 / 8, CODE0, gateTarget16, 0xE4, 2
  GATE gdt, ABSENTGATE / 8, CODE0, gateTarget, 0x6C, 0
  GATE gdt, CALL1 / 8, CODE1, gateTarget1, 0xEC, 0
  GATE idt, 0x41, CODE0, intTarget, 0xEE, 0       ; interrupt gate, DPL 3
  GATE idt, 0x42, CODE0, intTarget, 0xEF, 0       ; trap gate, DPL 3
  GATE idt, 0x43, CODE0, intTarget, 0x8E, 0       ; DPL 0
  GATE idt, 0x44, CODE0, intTarget, 0x6E, 0       ; not present
  GATE idt, 0x45, CODE0, intTarget, 0xEC, 0       ; a call gate does not belong here
  GATE idt, 0x46, CODE0, intTarget16, 0xE6, 0     ; 16-bit interrupt gate
  GATE idt, 0x47, 0, intTarget, 0xEE, 0           ; null selector

  ; ---- segment loads in ring 0
  mov bx, NOTPRESENT
  FAULT 11, NOTPRESENT, mov fs, bx
  FAULT 12, NOTPRESENT, mov ss, bx
  mov bx, READONLY
  WORKS mov fs, bx
  FAULT 13, READONLY, mov ss, bx
  SEGMENT_FAULT 13, 0, mov byte [fs:0], 1
  mov bx, EXECONLY
  FAULT 13, EXECONLY, mov fs, bx
  mov bx, CODE0
  WORKS mov gs, bx
  SEGMENT_FAULT 13, 0, mov byte [gs:0], 1
  mov bx, 0x200
  FAULT 13, 0x200, mov fs, bx
  mov bx, 0x1234
  FAULT 13, 0x1234, mov fs, bx        ; the LDT is null
  xor ebx, ebx
  FAULT 13, 0, mov ss, bx
  WORKS mov fs, bx
  SEGMENT_FAULT 13, 0, mov al, [fs:0]
  mov bx, 3
  WORKS mov fs, bx
  mov ax, fs
  EQ ax, 3
  mov bx, DATA3
  FAULT 13, DATA3 & ~3, mov ss, bx
  mov bx, TSS
  FAULT 13, TSS, mov fs, bx
  ; the accessed bit
  and byte [gdt + DATA16 + 5], 0xFE
  mov bx, DATA16
  mov fs, bx
  test byte [gdt + DATA16 + 5], 1
  NE eax, 0xFFFFFFFF                  ; keeps ZF out of it
  mov al, [gdt + DATA16 + 5]
  EQ al, 0x93
  ; far pointers
  mov dword [pointer], 0x12345678
  mov word [pointer + 4], DATA0
  lgs edx, [pointer]
  EQ edx, 0x12345678
  mov ax, gs
  EQ ax, DATA0
  mov word [pointer + 4], NOTPRESENT
  mov edx, 1
  FAULT 11, NOTPRESENT, lfs edx, [pointer]
  EQ edx, 1

  ; ---- LDT
  mov bx, DATA0
  FAULT 13, DATA0, lldt bx
  mov bx, LDT
  lldt bx
  sldt ax
  EQ ax, LDT
  mov dword [ldt + 8], 0xFFFF | ((BASE & 0xFFFF) << 16)
  mov dword [ldt + 12], (BASE >> 16 & 0xFF) | 0x00409200
  mov bx, 0xC                         ; LDT entry 1
  mov fs, bx
  mov dword [pointer], 0xCAFE1234
  mov eax, [fs:pointer]
  EQ eax, 0xCAFE1234
  mov bx, 0x44
  FAULT 13, 0x44, mov fs, bx
  xor ebx, ebx
  lldt bx
  mov bx, 0xC
  FAULT 13, 0xC, mov fs, bx
  str ax
  EQ ax, TSS
  mov bx, TSS
  FAULT 13, TSS, ltr bx               ; busy

  ; ---- far transfers within ring 0
  call dword CODE0:farTarget
  EQ eax, CODE0
  call dword CONF:farTarget
  EQ eax, CONF
  call CALL0:0
  EQ eax, 0x600D
  FAULT 13, DATA0, jmp DATA0:0
  FAULT 13, 0, jmp 0:0
  FAULT 13, CODE3 & ~3, jmp (CODE3 & ~3):0
  FAULT 11, ABSENTGATE, call ABSENTGATE:0
  DESCRIPTOR CODE0B, BASE, 0xFFFF, 0x1A, 4
  FAULT 11, CODE0B, call CODE0B:0

  ; ---- VERR, VERW, LAR, LSL, ARPL
  mov bx, CODE0
  verr bx
  setz al
  EQ al, 1
  verw bx
  setz al
  EQ al, 0
  mov bx, READONLY
  verw bx
  setz al
  EQ al, 0
  mov bx, EXECONLY
  verr bx
  setz al
  EQ al, 0
  mov ebx, DATA0
  lar eax, ebx
  setz cl
  EQ cl, 1
  and eax, 0x00F0FF00
  EQ eax, 0x00409300
  lsl eax, ebx
  EQ eax, 0xFFFF
  mov ebx, FLAT
  lsl eax, ebx
  EQ eax, 0xFFFFFFFF
  mov ebx, CALL0
  lar eax, ebx
  setz cl
  EQ cl, 1
  mov eax, 7
  lsl eax, ebx
  setz cl
  EQ cl, 0
  EQ eax, 7
  mov ax, 0x10
  mov bx, 0x23
  arpl ax, bx
  setz cl
  EQ cl, 1
  EQ ax, 0x13
  arpl ax, bx
  setz cl
  EQ cl, 0

  ; ---- INT within ring 0
  mov dword [flagsSeen], 0
  sti
  int 0x41
  EQ dword [flagsSeen], 0x3002        ; IF cleared in the handler
  pushfd
  pop eax
  and eax, 0x3200
  EQ eax, 0x3200
  int 0x42
  mov eax, [flagsSeen]
  and eax, 0x3202
  EQ eax, 0x3202                      ; a trap gate leaves IF
  cli
  int 0x43
  int 0x46
  EQ dword [flagsSeen], 0x16
  FAULT 11, 0x44 * 8 + 2, int 0x44
  FAULT 13, 0x45 * 8 + 2, int 0x45
  FAULT 13, 0x50 * 8 + 2, int 0x50    ; beyond the IDT
  FAULT 13, 0, int 0x47

  ; ---- ring 3
  TO_RING 3
  mov ax, cs
  EQ ax, CODE3
  mov ax, ss
  EQ ax, DATA3
  EQ esp, STACK3
  mov bx, DATA0
  FAULT 13, DATA0, mov fs, bx
  mov bx, DATA0 | 3
  FAULT 13, DATA0, mov fs, bx
  mov bx, CONF | 3
  WORKS mov fs, bx
  mov bx, CODE0
  FAULT 13, CODE0, mov fs, bx
  mov bx, DATA1
  FAULT 13, DATA1 & ~3, mov ss, bx
  FAULT 13, 0, hlt
  FAULT 13, 0, clts
  FAULT 13, 0, mov eax, cr0
  FAULT 13, 0, mov dr0, eax
  FAULT 13, 0, lgdt [pointer]
  FAULT 13, 0, lidt [pointer]
  FAULT 13, 0, lmsw ax
  FAULT 13, 0, lldt ax
  FAULT 13, 0, ltr ax
  FAULT 13, 0, invlpg [0]
  FAULT 13, 0, wbinvd
  FAULT 6, 0, ud2
  WORKS smsw ax
  WORKS sgdt [pointer]
  ; interrupts
  int 0x41
  EQ dword [csSeen], CODE3
  EQ dword [espSeen], ENTRY0 - 20
  FAULT 13, 0x43 * 8 + 2, int 0x43
  FAULT 13, 1 * 8 + 2, int 1
  FAULT 13, 3 * 8 + 2, int3           ; DPL 0 gate
  mov dword [hook], 0
  ; conforming code keeps the ring
  call dword (CONF | 3):farTarget
  EQ eax, CONF | 3
  FAULT 13, CODE0, call CODE0:farTarget
  ; call gate to ring 0 with two parameters, RETF drops them on both stacks
  push dword 0x1111
  push dword 0x2222
  mov edx, esp
  call CALL0:0x12345678
  EQ eax, 0x600D
  EQ dword [parameter0], 0x2222
  EQ dword [parameter1], 0x1111
  EQ dword [csSeen], CODE3
  EQ dword [ssSeen], DATA3
  mov eax, [espSeen]
  EQ eax, edx
  EQ esp, STACK3
  mov ax, ds
  EQ ax, DATA3
  ; the same with a 16-bit gate
  push word 0x3333
  push word 0x4444
  call CALL16:0
  EQ word [parameter0], 0x4444
  EQ word [parameter1], 0x3333
  EQ esp, STACK3
  ; through ring 1
  call CALL1:0
  EQ dword [csSeen], CODE1
  EQ dword [ssSeen], DATA1
  mov ax, cs
  EQ ax, CODE3
  ; the inner data segment became null on the way out
  mov ax, fs
  EQ ax, 0
  FAULT 13, CODE1 & ~3, jmp CODE1:0
  FAULT 13, CODE0, jmp CALL0:0        ; JMP cannot change the ring

  ; ---- IOPL: 0 first
  TO_RING0
  push dword DATA3
  push dword STACK3
  push dword 0x0002
  push dword CODE3
  push dword .iopl0
  iretd
.iopl0:
  mov ax, DATA3
  mov ds, ax
  FAULT 13, 0, cli
  FAULT 13, 0, sti
  mov al, 0
  WORKS out 0x80, al                  ; the bitmap allows it
  pushfd
  pop eax
  or eax, 0x3200
  push eax
  popfd                               ; neither IOPL nor IF change
  pushfd
  pop ecx
  and ecx, 0x3200
  mov [flagsSeen], ecx
  TO_RING0
  EQ dword [flagsSeen], 0
  or byte [ioMap + 0x81 / 8], 2
  push dword DATA3
  push dword STACK3
  push dword 0x0002
  push dword CODE3
  push dword .bitmap
  iretd
.bitmap:
  mov ax, DATA3
  mov ds, ax
  FAULT 13, 0, out 0x81, al
  FAULT 13, 0, out 0x80, ax
  FAULT 13, 0, out 0x80, eax
  WORKS out 0x80, al
  TO_RING0
  and byte [ioMap + 0x81 / 8], ~2

  ; ---- bad inner stacks: #TS in ring 3 calling ring 1
  mov word [tss + 16], DATA0
  TO_RING 3
  FAULT 10, DATA0, call CALL1:0
  TO_RING0
  mov word [tss + 16], 0
  TO_RING 3
  FAULT 10, 0, call CALL1:0
  TO_RING0
  mov word [tss + 16], 0x1F1
  TO_RING 3
  FAULT 10, 0x1F0, call CALL1:0
  TO_RING0
  mov word [tss + 16], NOTPRESENT | 1
  DESCRIPTOR NOTPRESENT, BASE, 0xFFFF, 0x32, 4
  TO_RING 3
  SEGMENT_FAULT 12, NOTPRESENT, call CALL1:0
  EQ esp, STACK3
  TO_RING0
  mov word [tss + 16], DATA1

  ; ---- bad returns
  push dword 0x3002
  push dword NOTPRESENT
  push dword 0
  FAULT 13, NOTPRESENT, iretd
  mov dword [esp + 4], 0
  FAULT 13, 0, iretd
  mov dword [esp + 4], DATA0
  FAULT 13, DATA0, iretd
  mov dword [esp + 4], 0x1F8
  FAULT 13, 0x1F8, iretd
  mov dword [esp + 4], CODE3 & ~3
  FAULT 13, CODE3 & ~3, iretd
  add esp, 12
  push dword DATA0                    ; SS of the wrong ring
  push dword STACK3
  push dword 0x3002
  push dword CODE3
  push dword 0
  FAULT 13, DATA0, iretd
  mov dword [esp + 16], 0
  FAULT 13, 0, iretd
  add esp, 20

  ; ---- 32-bit IRET and RF, NT, VM in ring 3 are not loaded from ring 3
  cmp byte [onQEMU], 0                ; it would enter V86 mode
  jne .done
  TO_RING 3
  push dword 0x3002 | 1 << 17
  push dword CODE3
  push dword .notV86
  iretd
.notV86:
  pushfd
  pop eax
  test eax, 1 << 17
  mov ecx, 0
  setnz cl
  EQ ecx, 0
  TO_RING0
.done:
  mov esp, STACK0 - 4
  ret

gateTarget:
  mov ax, DATA0
  mov ds, ax
  mov eax, [esp + 4]
  mov [csSeen], eax
  mov eax, [esp + 8]
  mov [parameter0], eax
  mov eax, [esp + 12]
  mov [parameter1], eax
  mov eax, [esp + 16]
  mov [espSeen], eax
  mov eax, [esp + 20]
  mov [ssSeen], eax
  cmp dword [csSeen], CODE0
  mov eax, 0x600D
  je .same
  push dword DATA3
  pop ds
  retf 8
.same:
  retf

gateTarget16:
  push ds
  mov ax, DATA0
  mov ds, ax
  mov ax, [esp + 4 + 4]
  mov [parameter0], ax
  mov ax, [esp + 4 + 6]
  mov [parameter1], ax
  pop ds
  o16 retf 4

gateTarget1:
  mov ax, cs
  movzx eax, ax
  mov [csSeen], eax
  mov ax, ss
  movzx eax, ax
  mov [ssSeen], eax
  mov ax, DATA1
  mov fs, ax
  retf

farTarget:
  xor eax, eax
  mov ax, cs
  retf

intTarget:
  push ds
  push eax
  mov ax, DATA0
  mov ds, ax
  pushfd
  pop eax
  and eax, ~0x8D5
  mov [flagsSeen], eax
  mov eax, [esp + 12]
  mov [csSeen], eax
  lea eax, [esp + 8]
  mov [espSeen], eax
  pop eax
  pop ds
  iretd

intTarget16:
  push ds
  push eax
  mov ax, DATA0
  mov ds, ax
  mov dword [flagsSeen], 0x16
  pop eax
  pop ds
  o16 iret

pointer: dq 0
flagsSeen: dd 0
csSeen: dd 0
ssSeen: dd 0
espSeen: dd 0
parameter0: dd 0
parameter1: dd 0
%include "end.inc"
