; Hardware task switching: JMP, CALL and IRET between 32-bit and 16-bit TSSs, task gates, faults before and after the switch, error codes
; through task gates, the T bit, the double fault task.
; Expected: PASS.
; Follows: Intel SDM volume 3, chapter 7.
%include "common.inc"

%define TSS2 0x68
%define TSS3 0x70
%define GATE2 0x78
%define TSS16 0x80
%define SHORTTSS 0x88
%define ABSENTTSS 0x90
%define TSS4 0x98
%define GATE4 (0xA0 | 3)
%define TSSDF 0xA8
%define ABSENTDATA 0xB0
%define TSSGP 0xB8

; TSSDESC selector, label, limit, access
%macro TSSDESC 4
  mov word [gdt + %1], %3
  mov word [gdt + %1 + 2], %2
  mov dword [gdt + %1 + 4], (BASE >> 16) | (%4 << 8)
%endmacro

; FILL tss, eip, esp, flags
%macro FILL 4
  mov dword [%1 + 0x1C], 0
  mov dword [%1 + 0x20], %2
  mov dword [%1 + 0x24], %4
  mov dword [%1 + 0x28], 0xA0A0A0A0
  mov dword [%1 + 0x38], %3
  mov dword [%1 + 0x48], DATA0
  mov dword [%1 + 0x4C], CODE0
  mov dword [%1 + 0x50], DATA0
  mov dword [%1 + 0x54], DATA0
  mov dword [%1 + 0x58], DATA0
  mov dword [%1 + 0x5C], 0
  mov dword [%1 + 0x60], 0
  mov dword [%1 + 0x64], 0
%endmacro

test:
  TSSDESC TSS2, tss2, 0x67, 0x89
  TSSDESC TSS3, tss3, 0x67, 0x89
  TSSDESC TSS4, tss4, 0x67, 0x89
  TSSDESC TSS16, tss16, 0x2B, 0x81
  TSSDESC SHORTTSS, tss3, 0x66, 0x89
  TSSDESC ABSENTTSS, tss3, 0x67, 0x09
  TSSDESC TSSDF, tssDF, 0x67, 0x89
  TSSDESC TSSGP, tssGP, 0x67, 0x89
  DESCRIPTOR ABSENTDATA, BASE, 0xFFFF, 0x12, 4
  GATE gdt, GATE2 / 8, TSS2, 0, 0x85, 0
  GATE gdt, GATE4 / 8, TSS4, 0, 0xE5, 0

  ; ---- JMP to a TSS and back
  FILL tss2, task2jump, 0xC000, 0x3002
  mov eax, 0x11111111
  mov ebx, 0x22222222
  clts
  jmp TSS2:0x1234
.back:
  EQ eax, 0x11111111
  EQ ebx, 0x22222222
  mov eax, cr0
  and eax, 8
  EQ eax, 8                           ; TS
  clts
  EQ dword [seen], 0x2222
  EQ dword [tss + 0x20], .back
  str ax
  EQ ax, TSS
  mov al, [gdt + TSS + 5]
  EQ al, 0x8B                         ; busy again
  mov al, [gdt + TSS2 + 5]
  EQ al, 0x89
  EQ dword [tss2 + 0], 0x5A5A         ; JMP leaves the link alone
  EQ dword [tss2 + 0x28], 0xB0B0B0B0
  pushfd
  pop eax
  and eax, 0x4000
  EQ eax, 0

  ; ---- CALL and IRET
  FILL tss2, task2call, 0xC000, 0x3002
  mov dword [seen], 0
  call TSS2:0
  EQ dword [seen], 0x4444
  mov al, [gdt + TSS + 5]
  EQ al, 0x8B
  mov al, [gdt + TSS2 + 5]
  EQ al, 0x89
  mov eax, [tss2 + 0x24]
  and eax, 0x4000
  EQ eax, 0                           ; IRET stores NT clear
  EQ word [tss2 + 0], TSS
  ; the task goes on after its IRET when called again
  mov dword [seen], 0
  call GATE2:0
  EQ dword [seen], 0x5555
  pushfd
  pop eax
  and eax, 0x4000
  EQ eax, 0

  ; ---- refused before the switch
  FAULT 13, TSS, jmp TSS:0            ; busy
  FAULT 13, TSS, call TSS:0
  FAULT 10, SHORTTSS, jmp SHORTTSS:0
  FAULT 11, ABSENTTSS, jmp ABSENTTSS:0
  FAULT 11, ABSENTTSS, call ABSENTTSS:0
  mov al, [gdt + TSS + 5]
  EQ al, 0x8B
  mov al, [gdt + SHORTTSS + 5]
  EQ al, 0x89
  ; IRET with NT and a link that is not a busy TSS
  mov word [tss], TSS3
  pushfd
  or dword [esp], 0x4000
  popfd
  FAULT 10, TSS3, iretd
  mov word [tss], 0
  pushfd
  or dword [esp], 0x4000
  popfd
  FAULT 10, 0, iretd
  mov word [tss], 0x3F4
  pushfd
  or dword [esp], 0x4000
  popfd
  FAULT 10, 0x3F4, iretd
  pushfd
  and dword [esp], ~0x4000
  popfd

  ; ---- refused after the switch: the fault is the new task's, a task gate of its own handles #TS
  GATE idt, 10, TSS4, 0, 0x85, 0
  FILL tss4, task4, 0xC800, 0x3002
  FILL tss3, badTask, 0xC400, 0x3002
  mov dword [tss3 + 0x54], 0x200      ; DS beyond the GDT
  mov dword [seen], 0
  call TSS3:0
  EQ dword [seen], 0x200              ; the error code
  EQ word [linkSeen], TSS3
  cmp byte [onQEMU], 0
  jne .notEIP
  EQ dword [tss3 + 0x20], badTask     ; it was to run from there
.notEIP:
  mov ax, [tss3 + 0x54]
  EQ ax, 0x200
  FILL tss3, badTask, 0xC400, 0x3002
  mov dword [tss3 + 0x50], 0          ; SS null
  mov dword [seen], -1
  call TSS3:0
  EQ dword [seen], 0
  FILL tss3, badTask, 0xC400, 0x3002
  mov dword [tss3 + 0x60], DATA0      ; not an LDT
  mov dword [seen], -1
  call TSS3:0
  EQ dword [seen], DATA0
  FILL tss3, badTask, 0xC400, 0x3002
  mov dword [tss3 + 0x4C], DATA0      ; CS is data
  mov dword [seen], -1
  call TSS3:0
  EQ dword [seen], DATA0
  ; the rest through their own gates
  GATE idt, 11, TSS4, 0, 0x85, 0
  FILL tss3, badTask, 0xC400, 0x3002
  mov dword [tss3 + 0x58], ABSENTDATA
  mov dword [seen], -1
  call TSS3:0
  EQ dword [seen], ABSENTDATA
  GATE idt, 12, TSS4, 0, 0x85, 0
  FILL tss3, badTask, 0xC400, 0x3002
  mov dword [tss3 + 0x50], ABSENTDATA
  mov dword [seen], -1
  call TSS3:0
  EQ dword [seen], ABSENTDATA

  ; ---- a task gate from ring 3
  GATE idt, 0x41, TSS4, 0, 0xE5, 0
  FILL tss4, task4int, 0xC800, 0x3002
  TO_RING 3
  mov dword [seen], 0
  int 0x41
  EQ dword [seen], 0x4141
  mov ax, cs
  EQ ax, CODE3
  call GATE4:0
  EQ dword [seen], 0x4142
  FAULT 13, TSS4, call TSS4:0         ; the TSS itself has DPL 0
  FAULT 13, GATE2, call GATE2:0
  TO_RING0

  ; ---- a 16-bit TSS
  mov word [tss16 + 0x0E], task16
  mov word [tss16 + 0x10], 0x3002
  mov word [tss16 + 0x12], 0x1616
  mov word [tss16 + 0x1A], 0xC000
  mov word [tss16 + 0x22], DATA0
  mov word [tss16 + 0x24], CODE0
  mov word [tss16 + 0x26], DATA0
  mov word [tss16 + 0x28], DATA0
  mov word [tss16 + 0x2A], 0
  mov ax, DATA0
  mov fs, ax
  call TSS16:0
  EQ dword [seen], 0x1616
  mov ax, fs
  EQ ax, DATA0
  EQ word [tss16 + 0], TSS
  EQ word [tss16 + 0x12], 0x6161
  mov al, [gdt + TSS16 + 5]
  EQ al, 0x81

  ; ---- the T bit: #DB before the first instruction
  cmp byte [onQEMU], 0
  jne .noTrap
  FILL tss2, task2trap, 0xC000, 0x3002
  mov dword [tss2 + 0x64], 1
  mov dword [seen], 0
  mov dword [vector], -1
  mov dword [resume], task2trap
  call TSS2:0
  mov dword [resume], 0
  EQ dword [vector], 1
  EQ dword [faultEIP], task2trap
  mov eax, dr6
  and eax, 0x8000
  EQ eax, 0x8000
  xor eax, eax
  mov dr6, eax
  mov dword [tss2 + 0x64], 0
.noTrap:

  ; ---- a double fault ends in its task: #GP whose gate is absent gives #NP, both contributory
  GATE idt, 8, TSSDF, 0, 0x85, 0
  FILL tssDF, taskDF, 0xC800, 0x3002
  mov dword [seen], -1
  mov dword [idt + 13 * 8 + 4], 0x0E00
  mov dword [doubleAt], .doubleFault
  mov ax, 0x7F8
.doubleFault:
  mov fs, ax
  EQ dword [seen], 0
  EQ word [linkSeen], TSS
  mov dword [idt + 13 * 8 + 4], 0x8E00
  mov esp, STACK0 - 4
  ret

badTask:
  WRONG

task2jump:
  EQ eax, 0xA0A0A0A0
  EQ esp, 0xC000
  str ax
  EQ ax, TSS2
  mov al, [gdt + TSS + 5]
  EQ al, 0x89
  mov al, [gdt + TSS2 + 5]
  EQ al, 0x8B
  mov dword [tss2], 0x5A5A
  mov dword [seen], 0x2222
  mov eax, 0xB0B0B0B0
  jmp TSS:0
  WRONG

task2call:
  pushfd
  pop eax
  and eax, 0x4000
  EQ eax, 0x4000                      ; NT
  EQ word [tss2], TSS
  mov al, [gdt + TSS + 5]
  EQ al, 0x8B                         ; the caller stays busy
  mov dword [seen], 0x4444
  iretd
  mov dword [seen], 0x5555
  iretd
  WRONG

task2trap:
  iretd

; Takes an error code from its stack, goes back to the main task by marking it the link.
task4:
  pop dword [seen]
  mov ax, [tss4]
  mov [linkSeen], ax
  mov ax, [tss3]
  EQ ax, TSS
  ; the faulting task is busy; release it and return to its caller
  mov byte [gdt + TSS3 + 5], 0x89
  mov word [tss4], TSS
  iretd
  jmp task4

task4int:
  mov dword [seen], 0x4141
  iretd
  mov dword [seen], 0x4142
  iretd
  WRONG

task16:
  cmp ax, 0x1616
  jne .bad
  mov ax, fs
  EQ ax, 0
  mov dword [seen], 0x1616
  mov ax, 0x6161
  iretd
.bad:
  WRONG

taskDF:
  pop dword [seen]
  mov ax, [tssDF]
  mov [linkSeen], ax
  add dword [tss + 0x20], 2           ; past MOV FS, AX (8E E0)
  iretd
  WRONG

  align 4
seen: dd 0
linkSeen: dd 0
doubleAt: dd 0
  align 16
tss2: times 0x68 db 0
tss3: times 0x68 db 0
tss4: times 0x68 db 0
tssDF: times 0x68 db 0
tssGP: times 0x68 db 0
tss16: times 0x2C db 0
%include "end.inc"
