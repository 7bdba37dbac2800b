; Single step: the exact list of addresses at which #DB comes, through branches, calls, repetitions, far transfers, loads of SS, INT n and IRET,
; faults and their resumption, changes of TF, and a ring change; in code that ran hot before without TF.
; Expected: PASS. A difference is told as position in the list, EIP got and wanted.
; Follows: Intel SDM volume 3, 17.3.1.4 (single step), 6.8.3 (MOV SS), 17.3.1.5; volume 2, REP.
%include "common.inc"

%define HOT 100

test:
  GATE idt, 1, CODE0, step, 0x8E, 0
  GATE idt, 0x41, CODE0, handler41, 0xEE, 0
  cld
  ; hot first, without traps
  mov ecx, HOT
.warm:
  push ecx
  call subject
  pop ecx
  loop .warm
  mov dword [count], 0
  ; now with TF
  mov byte [tracing], 1
  call subject
  mov byte [tracing], 0
  cmp byte [onQEMU], 0                ; no trap after STI there
  jne .compared
  mov eax, [count]
  EQ eax, (listEnd - list) / 4
  xor ecx, ecx
.compare:
  mov eax, [seen + ecx * 4]
  cmp eax, [list + ecx * 4]
  je .same
  mov eax, ecx
  call tell
  mov eax, [seen + ecx * 4]
  call tell
  mov eax, [list + ecx * 4]
  call tell
  WRONG
.same:
  inc ecx
  cmp ecx, (listEnd - list) / 4
  jb .compare
.compared:
  ; ring 3: the handler in ring 0 has TF clear, the trap comes back in ring 3
  mov dword [count], 0
  TO_RING 3
  pushfd
  or dword [esp], 0x100
  popfd
u1:
  nop
u2:
  mov eax, 1
u3:
  int 0x41                            ; the handler is not stepped; a trap comes after its return
u4:
  nop
u5:
  pushfd
u6:
  and dword [esp], ~0x100
u7:
  popfd
u8:
  nop
  TO_RING0
  EQ dword [count], 6
  EQ dword [seen], u2
  EQ dword [seen + 4], u3
  EQ dword [seen + 8], u5             ; INT clears TF before its trap; IRET sets it: one instruction later
  EQ dword [seen + 12], u6
  EQ dword [seen + 16], u7
  EQ dword [seen + 20], u8
  mov esp, STACK0 - 4
  ret

tell:
  call printHex
  mov al, ' '
  out 0xE9, al
  ret

; Everything that is stepped. TF is set by POPF: the first trap comes after the next instruction.
subject:
  mov bx, ss
  pushfd
  cmp byte [tracing], 0
  je .off
  or dword [esp], 0x100
.off:
  popfd
s1:
  nop
s2:
  jmp short s3
  nop
s3:
  mov ecx, 3
s4:
  loop s4
s5:
  call s6
s7:
  jmp short s8
s6:
  ret
s8:
  mov edi, buffer
s9:
  mov ecx, 3
s10:
  rep stosb                           ; a trap after each element
s11:
  mov ecx, 0
s12:
  rep stosb                           ; none to do: one trap
s13:
  mov ss, bx                          ; holds the trap back
s14:
  nop
s15:
  push ss
s16:
  pop ss
s17:
  nop
s18:
  call CODE0:s19
s20:
  jmp short s21
s19:
  retf
s21:
  push dword s22
s21b:
  pushfd
s22x:
  add dword [esp], 0
s22y:
  add esp, 4
s22z:
  ret
s22:
  pushfd
s23:
  push cs
s24:
  push dword s25
s24b:
  iretd                               ; with TF in the image
s25:
  mov eax, [buffer]
s26:
  sti
s27:
  cli
s28:
  xor eax, eax
s29:
  jz s30
  nop
s30:
  jnz s31
s31:
  mov eax, cr0
s32:
  mov cr0, eax
s33:
  pushfd
s34:
  and dword [esp], ~0x100
s35:
  popfd                               ; TF goes, one more trap
s36:
  nop
  ret

step:
  push eax
  push ebx
  mov eax, [esp + 8]
  mov ebx, [cs:count]
  cmp ebx, 90
  jae .full
  mov [ds:seen + ebx * 4], eax
.full:
  inc dword [count]
  pop ebx
  pop eax
  iretd

handler41:
  push eax
  pop eax
  iretd

  align 4
list:
  dd s2, s3, s4, s4, s4, s5, s6, s7, s8, s9, s10, s10, s10, s11, s12, s13
  dd s15, s16, s18, s19, s20, s21, s21b, s22x, s22y, s22z, s22, s23, s24, s24b
  dd s25, s26, s27, s28, s29, s30, s31, s32, s33, s34, s35, s36
listEnd:
count: dd 0
tracing: dd 0
buffer: times 4 dd 0
seen: times 100 dd 0
%include "end.inc"
