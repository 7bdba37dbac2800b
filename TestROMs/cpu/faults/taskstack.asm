; The stack of the handler, behind an interrupt gate, of a fault inside a task switch: a bad LDT, CS, SS or data segment of the new task, which
; runs at the handler's level or at an outer one. Vector, error code, the frame, TR, SS and ESP. (With a task gate: taskfaults.asm.)
; Expected: PASS.
; Follows: Intel SDM volume 3, 7.3 (after the commit point faults are the new task's) and 6.15, #TS (all state of the new task is loaded before
; the exception, without checks). A stack segment that is good is therefore the handler's also when the LDT is bad. What becomes of a handler of
; the new task's own level when SS is bad is left open there (a task gate is advised): it gets the stack that the TSS has for its level, as
; Bochs does it. Bochs does so whenever SS is not reached; QEMU pushes at the new ESP with base 0.
%include "common.inc"

%define NEW 0x68
%define ABSENT 0x78           ; data, not present
%define ABSENTCODE 0x80
%define READONLY 0x88
%define EXECONLY 0x90
%define DATA1S 0x98           ; data, DPL 1
%define ABSENTLDT 0xA0
%define ABSENT3 (0xA8 | 3)    ; data of DPL 3, not present
%define READONLY3 (0xB0 | 3)

%define NEWSTACK 0xC400
%define INNERSTACK 0xC000
%define OWN (NEWSTACK - 20)   ; EFLAGS, CS, EIP, error code, vector
%define INNER (INNERSTACK - 28) ; SS and ESP too

test:
  mov word [gdt + NEW], 0x67
  mov word [gdt + NEW + 2], newTSS
  DESCRIPTOR ABSENT, BASE, 0xFFFF, 0x12, 4
  DESCRIPTOR ABSENTCODE, BASE, 0xFFFF, 0x1A, 4
  DESCRIPTOR READONLY, BASE, 0xFFFF, 0x90, 4
  DESCRIPTOR EXECONLY, BASE, 0xFFFF, 0x98, 4
  DESCRIPTOR DATA1S, BASE, 0xFFFF, 0xB2, 4
  DESCRIPTOR ABSENTLDT, BASE, 0xFF, 0x02, 0
  DESCRIPTOR ABSENT3, BASE, 0xFFFF, 0x72, 4
  DESCRIPTOR READONLY3, BASE, 0xFFFF, 0xF0, 4
  mov esi, cases
.nextCase:
  mov [case], esi
  cmp word [esi + 4], 12
  jne .run
  cmp byte [onQEMU], 0                ; #NP there
  jne near checked
.run:
  ; the new task, at level 0 or 3
  mov edi, newTSS
  mov ecx, 26
  xor eax, eax
  rep stosd
  mov dword [newTSS + 0x04], INNERSTACK
  mov dword [newTSS + 0x08], DATA0
  mov dword [newTSS + 0x20], newTask
  mov dword [newTSS + 0x24], 0x3002
  mov dword [newTSS + 0x38], NEWSTACK
  mov eax, CODE0
  mov ecx, DATA0
  cmp word [esi + 8], 0
  je .level
  mov eax, CODE3
  mov ecx, DATA3
.level:
  mov [newTSS + 0x4C], eax
  mov [newTSS + 0x50], ecx
  mov [newTSS + 0x54], ecx
  mov [newTSS + 0x48], ecx
  movzx edi, word [esi]               ; the field, and its bad value
  movzx eax, word [esi + 2]
  mov [newTSS + edi], eax
  mov dword [gdt + NEW + 4], 0x8900 | (BASE >> 16)
  mov dword [vector], -1
  mov dword [hook], caught
  mov [mainESP], esp
  call NEW:0
  WRONG

; In the new task, called by `exception`: [esp] return, DS, EAX, vector, error code, EIP, CS, EFLAGS (, ESP, SS)
caught:
  lea eax, [esp + 12]
  mov [espSeen], eax
  mov eax, [esp + 36]
  mov [outerSS], ax
  mov ax, ss
  mov [ssSeen], ax
  str ax
  mov [taskSeen], ax
  ; back into the first task
  mov ax, DATA0
  mov es, ax
  mov ss, ax
  mov esp, [mainESP]
  xor eax, eax
  mov fs, ax
  mov gs, ax
  lldt ax
  pushfd
  and dword [esp], ~0x4000
  popfd
  mov byte [gdt + TSS + 5], 0x89
  mov ax, TSS
  ltr ax
  clts
  mov dword [hook], 0

  mov esi, [case]
  movzx eax, word [esi + 4]
  EQ [vector], eax
  movzx eax, word [esi + 6]
  EQ [errorCode], eax
  EQ word [taskSeen], NEW
  cmp byte [onQEMU], 0                ; loads EIP last
  jne .noEIP
  EQ dword [faultEIP], newTask
.noEIP:
  movzx eax, word [newTSS + 0x4C]
  EQ [faultCS], eax
  mov eax, [faultFlags]
  and eax, 0x4000
  EQ eax, 0x4000
  movzx eax, word [esi + 10]
  cmp byte [esi + 12], 0
  je .stack
  cmp byte [onBochs], 0
  jne .inner
.stack:
  cmp eax, OWN
  je .own
  cmp byte [onQEMU], 0
  jne near checked
.inner:
  mov eax, INNER
  EQ [espSeen], eax
  EQ word [ssSeen], DATA0
  EQ dword [faultESP], NEWSTACK
  movzx eax, word [newTSS + 0x50]
  EQ [outerSS], ax
  jmp checked
.own:
  EQ [espSeen], eax
  mov ax, [newTSS + 0x50]
  EQ [ssSeen], ax
checked:
  add esi, 14
  cmp word [esi], 0
  jne near test.nextCase
  ret

newTask:
  ud2

  align 4
; field, value, vector, error code, level, ESP, whether Bochs takes the inner stack
cases:
  dw 0x60, 0x0C, 10, 0x0C, 0, OWN, 1            ; LDT in the LDT
  dw 0x60, 0x7F8, 10, 0x7F8, 0, OWN, 1          ; beyond the limit
  dw 0x60, DATA0, 10, DATA0, 0, OWN, 1          ; no LDT
  dw 0x60, ABSENTLDT, 10, ABSENTLDT, 0, OWN, 1
  dw 0x60, 0x7F8, 10, 0x7F8, 3, INNER, 0
  dw 0x60, ABSENTLDT, 10, ABSENTLDT, 3, INNER, 0
  dw 0x50, 0, 10, 0, 0, INNER, 0                ; SS
  dw 0x50, 0x7F8, 10, 0x7F8, 0, INNER, 0
  dw 0x50, 0x0C, 10, 0x0C, 0, INNER, 0
  dw 0x50, READONLY, 10, READONLY, 0, INNER, 0
  dw 0x50, CODE0, 10, CODE0, 0, INNER, 0
  dw 0x50, TSS, 10, TSS, 0, INNER, 0
  dw 0x50, DATA0 | 1, 10, DATA0, 0, INNER, 0
  dw 0x50, DATA1S, 10, DATA1S, 0, INNER, 0
  dw 0x50, ABSENT, 12, ABSENT, 0, INNER, 0
  dw 0x50, 0, 10, 0, 3, INNER, 0
  dw 0x50, 0x7FB, 10, 0x7F8, 3, INNER, 0
  dw 0x50, DATA0 | 3, 10, DATA0, 3, INNER, 0
  dw 0x50, READONLY3, 10, READONLY3 & ~3, 3, INNER, 0
  dw 0x50, ABSENT3, 12, ABSENT3 & ~3, 3, INNER, 0
  dw 0x4C, 0, 10, 0, 0, OWN, 0                  ; CS
  dw 0x4C, 0x7F8, 10, 0x7F8, 0, OWN, 0
  dw 0x4C, DATA0, 10, DATA0, 0, OWN, 0
  dw 0x4C, ABSENTCODE, 11, ABSENTCODE, 0, OWN, 0
  dw 0x4C, 0x7FB, 10, 0x7F8, 3, INNER, 0
  dw 0x54, 0x7F8, 10, 0x7F8, 0, OWN, 0          ; DS
  dw 0x54, TSS, 10, TSS, 0, OWN, 0
  dw 0x48, EXECONLY, 10, EXECONLY, 0, OWN, 0    ; ES
  dw 0x58, ABSENT, 11, ABSENT, 0, OWN, 0        ; FS
  dw 0x5C, 0x0C, 10, 0x0C, 0, OWN, 0            ; GS
  dw 0x54, DATA0, 10, DATA0, 3, INNER, 0
  dw 0
  align 4
case: dd 0
mainESP: dd 0
espSeen: dd 0
ssSeen: dd 0
taskSeen: dd 0
outerSS: dd 0
  align 16
newTSS: times 0x68 db 0
%include "end.inc"
