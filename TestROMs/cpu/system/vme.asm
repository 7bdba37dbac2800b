; Virtual-8086 mode, all combinations of CR4.VME, IOPL, IF, VIF and VIP for CLI, STI, PUSHF, POPF, IRET, INT n and their 32-bit forms: which fault,
; which flags change, what is pushed, who handles INT n.
; Expected: PASS. A difference is told as VME, EFLAGS at entry, operation, outcome (6: done, D: #GP, 41: protected-mode handler, 86: the 8086
; program's own), EFLAGS, image pushed, and the wanted three.
; Follows: Intel SDM volume 3, 20.2 and 20.3 (tables 20-1 and 20-2); volume 2 (POPF, PUSHF, STI, IRET, INT n: operation).
%include "common.inc"

%define SEG (BASE >> 4)
%define IF 0x200
%define IOPL3 0x3000
%define VM 0x20000
%define VIF 0x80000
%define VIP 0x100000
%define SHOWN (IF | IOPL3 | VIF | VIP | VM)

test:
  GATE idt, 6, CODE0, leaveDone, 0x8E, 0
  GATE idt, 13, CODE0, leaveFault, 0x8E, 0
  GATE idt, 0x41, CODE0, leaveHandler, 0xEE, 0
  mov al, 0xFF
  out 0x21, al
  out 0xA1, al
  ; the 8086 program's vector 41h
  mov ax, FLAT
  mov es, ax
  mov word [es:0x41 * 4], own41
  mov word [es:0x41 * 4 + 2], SEG
  mov ax, DATA0
  mov es, ax
  ; where there is VME
  pushfd
  pop eax
  mov ecx, eax
  xor eax, 1 << 21
  push eax
  popfd
  pushfd
  pop eax
  cmp eax, ecx
  je .noVME
  mov eax, 1
  cpuid
  shr edx, 1
  and edx, 1
  mov [hasVME], edx
.noVME:
  mov dword [vme], 0
.nextVME:
  cmp dword [hasVME], 0
  je .setVME
  mov eax, cr4
  and al, 0xFE
  or eax, [vme]
  mov cr4, eax
.setVME:
  mov dword [combination], 0
.nextCombination:
  ; bits: 0 IOPL 3, 1 IF, 2 VIF, 3 VIP
  mov ecx, [combination]
  mov eax, VM | 2
  test cl, 1
  jz .b1
  or eax, IOPL3
.b1:
  test cl, 2
  jz .b2
  or eax, IF
.b2:
  test cl, 12
  jz .b3
  cmp dword [vme], 0                  ; not without VME, and never both
  je near skip
  and cl, 12
  cmp cl, 12
  je near skip
  mov edx, VIF
  cmp cl, 4
  je .virtual
  mov edx, VIP
.virtual:
  or eax, edx
.b3:
  mov [entry], eax
  mov dword [operation], 0
.nextOperation:
  ; redirection: vector 41h to the program in operation 10, not in 11
  or byte [redirection + 0x41 / 8], 2
  cmp dword [operation], 10
  jne .redirection
  and byte [redirection + 0x41 / 8], ~2
.redirection:
  call expect
  mov dword [image], 0
  mov edx, [operation]
  mov [savedESP], esp
  xor eax, eax
  push eax
  push eax
  push dword SEG
  push eax
  push dword SEG
  push dword STACK3
  push dword [entry]
  push dword SEG
  movzx eax, word [operations + edx * 2]
  push eax
  xor eax, eax
  iretd
back:
  mov esp, [savedESP]
  push dword 2
  popfd
  mov eax, [outcome]
  cmp eax, [wantOutcome]
  jne .bad
  mov eax, [flags]
  xor eax, [wantFlags]
  and eax, SHOWN
  jnz .bad
  mov eax, [image]
  cmp eax, [wantImage]
  je .good
.bad:
  call different
.good:
  inc dword [operation]
  cmp dword [operation], 13
  jne near test.nextOperation
skip:
  inc dword [combination]
  cmp dword [combination], 16
  jne near test.nextCombination
  inc dword [vme]
  mov eax, [vme]
  cmp eax, [hasVME]
  jbe near test.nextVME
  cmp dword [differences], 0
  je .end
  WRONG
.end:
  cmp dword [hasVME], 0
  je .none
  mov eax, cr4
  and al, 0xFE
  mov cr4, eax
.none:
  mov esp, STACK0 - 4
  ret

; The tables of the manual.
expect:
  mov eax, [entry]
  mov [wantFlags], eax
  mov dword [wantOutcome], 6
  mov dword [wantImage], 0
  mov edx, [operation]
  test eax, IOPL3
  jnz near .iopl3
  cmp dword [vme], 0
  je near .fault
  ; IOPL 0 with VME: the 16-bit forms work on VIF
  jmp [virtualTable + edx * 4]
.vCLI:
  and dword [wantFlags], ~VIF
  ret
.vSTI:
  test eax, VIP
  jnz .fault
  or dword [wantFlags], VIF
  ret
.vPUSHF:
  call .virtualImage
  mov [wantImage], ecx
  ret
.vPOP0:
  and dword [wantFlags], ~VIF
  ret
.vPOP1:
  test eax, VIP
  jnz .fault
  or dword [wantFlags], VIF
  ret
.vINT:
  mov dword [wantOutcome], 0x86
  call .virtualImage
  mov [wantImage], ecx
  and dword [wantFlags], ~VIF
  ret
.fault:
  mov dword [wantOutcome], 13
  ret
; ECX: IF from VIF, IOPL 3
.virtualImage:
  mov ecx, IOPL3
  test eax, VIF
  jz .noVIF
  or ecx, IF
.noVIF:
  ret
.iopl3:
  jmp [realTable + edx * 4]
.rCLI:
  and dword [wantFlags], ~IF
  ret
.rSTI:
  or dword [wantFlags], IF
  ret
.rPUSHF:
  and eax, IF | IOPL3
  mov [wantImage], eax
  ret
.rINT:
  cmp dword [vme], 0
  je .handler
  mov dword [wantOutcome], 0x86
  and eax, IF | IOPL3
  mov [wantImage], eax
  and dword [wantFlags], ~IF
  ret
.handler:
  mov dword [wantOutcome], 0x41
  ret
.done:
  ret

; ---- ways out of V86 mode; [esp]: (error code,) EIP CS EFLAGS
leaveHandler:
  mov ax, DATA0
  mov ds, ax
  mov dword [outcome], 0x41
  jmp left
leaveFault:
  add esp, 4
  mov ax, DATA0
  mov ds, ax
  mov dword [outcome], 13
  jmp left
leaveDone:
  mov cx, DATA0
  mov ds, cx
  mov dword [outcome], 6
  cmp dword [operation], 10
  jb .image
  mov dword [outcome], 0x86
  cmp bx, 0x8086
  je .image
  mov dword [outcome], 6
.image:
  and eax, IF | IOPL3
  mov [image], eax
left:
  mov ax, DATA0
  mov es, ax
  mov eax, [esp + 8]
  mov [flags], eax
  jmp back

  bits 16
; AX: image, 0 where there is none
do0:
  cli
  jmp finishV86
do1:
  sti
  jmp finishV86
do2:
  pushf
  pop ax
  ud2
do3:
  pushfd
  pop eax
  ud2
do4:
  push word 2
  popf
  jmp finishV86
do5:
  push word IF | 2
  popf
  jmp finishV86
do6:
  push dword IF | 2
  popfd
  jmp finishV86
do7:
  push word 2
  push cs
  push word finishV86
  iret
do8:
  push word IF | 2
  push cs
  push word finishV86
  iret
do9:
  push dword IF | 2
  push dword SEG
  push dword finishV86
  iretd
do10:
do11:
  xor bx, bx
  int 0x41
  jmp finishV86
do12:
  push word 0x102                     ; TF: #GP where VIF is at work; not tried otherwise
  test byte [cs:entry + 1], 0x30
  jnz finishV86
  popf
finishV86:
  xor ax, ax
  ud2
own41:
  mov bp, sp
  mov ax, [ss:bp + 4]
  mov bx, 0x8086
  ud2
  bits 32

different:
  cmp dword [differences], 20
  jae .counted
  mov esi, told
  mov ecx, 9
.next:
  lodsd
  mov eax, [eax]
  call printHex
  mov al, ' '
  out 0xE9, al
  loop .next
  mov al, 10
  out 0xE9, al
.counted:
  inc dword [differences]
  ret

  align 4
told: dd vme, entry, operation, outcome, flags, image, wantOutcome, wantFlags, wantImage
; CLI STI PUSHF PUSHFD POPF POPF(IF) POPFD IRET IRET(IF) IRETD INT INT(not redirected) POPF(TF)
virtualTable: dd expect.vCLI, expect.vSTI, expect.vPUSHF, expect.fault, expect.vPOP0, expect.vPOP1, expect.fault
  dd expect.vPOP0, expect.vPOP1, expect.fault, expect.vINT, expect.fault, expect.fault
realTable: dd expect.rCLI, expect.rSTI, expect.rPUSHF, expect.rPUSHF, expect.rCLI, expect.rSTI, expect.rSTI
  dd expect.rCLI, expect.rSTI, expect.rSTI, expect.rINT, expect.handler, expect.done
operations: dw do0, do1, do2, do3, do4, do5, do6, do7, do8, do9, do10, do11, do12
  align 4
hasVME: dd 0
vme: dd 0
combination: dd 0
entry: dd 0
operation: dd 0
outcome: dd 0
flags: dd 0
image: dd 0
wantOutcome: dd 0
wantFlags: dd 0
wantImage: dd 0
savedESP: dd 0
differences: dd 0
%include "end.inc"
