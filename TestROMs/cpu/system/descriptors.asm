; Every descriptor type at every privilege: for all 32 types, DPL, presence, RPL and CPL what LAR, LSL, VERR, VERW, the segment loads, LLDT, LTR,
; far jumps, calls, returns, call gates and interrupt gates do with it, with the exact error code.
; Expected: PASS. A difference is told as operation, descriptor's access byte, RPL, CPL, vector and error code got (vector FFFFFFFFh: no fault).
; Follows: Intel SDM volume 3, chapter 5; volume 2 for each instruction.
%include "common.inc"

%define CODE2 (0x68 | 2)
%define DATA2 (0x70 | 2)
%define PROBE 0x78          ; the descriptor under test
%define GATEP (0x80 | 3)    ; a call gate to PROBE
%define FLAT3 (0x88 | 3)

%define NONE 0xFFFFFFFF

; TRY instruction: [vector] and [errorCode] tell what came.
%macro TRY 1+
  mov dword [vector], NONE
  mov dword [errorCode], 0
  mov dword [resume], %%after
  %1
%%after:
  mov dword [resume], 0
%endmacro
%macro WANT 2
  mov dword [wantVector], %1
  mov dword [wantCode], %2
%endmacro
; CHECK operation: compares.
%macro CHECK 1
  mov byte [operation], %1
  call compare
%endmacro

test:
  DESCRIPTOR CODE2, BASE, 0xFFFF, 0xDA, 4
  DESCRIPTOR DATA2, BASE, 0xFFFF, 0xD2, 4
  GATE gdt, GATEP / 8, PROBE, target, 0xEC, 0
  GATE idt, 0x41, PROBE, interruptTarget, 0xEE, 0
  mov dword [tss + 20], 0xE400
  mov dword [tss + 24], DATA2
  mov ax, DATA3
  mov ds, ax
  mov es, ax
  mov byte [cpl], 0
  call sweep
  call sweepTables
  TO_RING 1
  mov byte [cpl], 1
  call sweep
  TO_RING0
  mov ax, DATA3
  mov ds, ax
  mov es, ax
  push dword DATA2
  push dword 0xEC00
  push dword 0x3002
  push dword CODE2
  push dword .ring2
  iretd
.ring2:
  mov byte [cpl], 2
  call sweep
  TO_RING0
  TO_RING 3
  mov byte [cpl], 3
  call sweep
  TO_RING0
  mov esp, STACK0 - 4
  cmp dword [differences], 0
  je .good
  WRONG
.good:
  ret

; ---- all descriptors at this CPL
sweep:
  mov byte [access], 0
.nextAccess:
  mov byte [rpl], 0
.nextRPL:
  movzx eax, byte [rpl]
  or eax, PROBE
  mov [selector], ax
  and al, ~3
  mov [code], eax
  ; conforming code?
  mov al, [access]
  and al, 0x1C
  cmp al, 0x1C
  sete [conforming]
  mov al, [access]
  shr al, 5
  and al, 3
  mov [dpl], al
  ; visible: conforming, or neither CPL nor RPL above DPL
  mov byte [visible], 1
  cmp byte [conforming], 0
  jne .visible
  mov al, [dpl]
  cmp al, [cpl]
  jb .hidden
  cmp al, [rpl]
  jae .visible
.hidden:
  mov byte [visible], 0
.visible:
  call build
  call queries
  call build
  call loads
  call build
  call transfers
  call build
  call throughGates
  inc byte [rpl]
  cmp byte [rpl], 4
  jne near .nextRPL
  inc byte [access]
  jnz near .nextAccess
  ret

; Writes the descriptor: types of gates lead to the conforming segment (task gates to the running TSS), TSSs are too short.
build:
  mov al, [access]
  and al, 0x1F
  mov ecx, 0xFFFF | ((BASE & 0xFFFF) << 16)
  mov edx, 0x00400000 | (BASE >> 16)
  cmp al, 0x10
  jae .put
  and al, 0xF5
  cmp al, 1
  je .tss                             ; 1, 3, 9, B
  mov al, [access]
  and al, 0x1F
  cmp al, 5
  je .taskGate
  cmp al, 4
  je .callGate
  cmp al, 0xC
  jne .put
.callGate:
  mov ecx, [gateOffset]
  or ecx, CONF << 16
  xor edx, edx
  jmp .put
.taskGate:
  mov ecx, TSS << 16
  xor edx, edx
  jmp .put
.tss:
  mov ecx, 0x10 | ((BASE & 0xFFFF) << 16)
  mov edx, BASE >> 16
.put:
  mov dh, [access]
  mov [gdt + PROBE], ecx
  mov [gdt + PROBE + 4], edx
  ret

; ---- LAR, LSL, VERR, VERW
queries:
  movzx ebx, byte [access]
  and ebx, 0x1F
  movzx edi, word [selector]
  ; LAR knows TSSs, LDTs, call and task gates
  bt [larTypes], ebx
  setc cl
  and cl, [visible]
  mov eax, 0x55AA55AA
  lar eax, edi
  setz ch
  WANT 0, 0
  movzx edx, ch
  mov [vector], edx
  movzx edx, cl
  mov [wantVector], edx
  mov dword [wantCode], 0x55AA55AA
  test cl, cl
  jz .lar
  mov edx, [gdt + PROBE + 4]
  and edx, 0x00F0FF00
  and eax, 0x00F0FF00
  mov [wantCode], edx
.lar:
  mov [errorCode], eax
  CHECK 1
  ; with a 16-bit destination
  mov eax, 0x55AA55AA
  lar ax, di
  setz ch
  movzx edx, ch
  mov [vector], edx
  mov dword [errorCode], eax
  mov edx, 0x55AA55AA
  test cl, cl
  jz .lar16
  mov dh, [access]
  mov dl, 0
.lar16:
  mov [wantCode], edx
  CHECK 2
  ; LSL knows TSSs and LDTs
  bt [lslTypes], ebx
  setc cl
  and cl, [visible]
  mov eax, 0x55AA55AA
  lsl eax, edi
  setz ch
  movzx edx, ch
  mov [vector], edx
  mov [errorCode], eax
  movzx edx, cl
  mov [wantVector], edx
  mov dword [wantCode], 0x55AA55AA
  test cl, cl
  jz .lsl
  movzx edx, word [gdt + PROBE]
  mov [wantCode], edx
.lsl:
  CHECK 3
  ; VERR, VERW
  mov dword [errorCode], 0
  mov dword [wantCode], 0
  bt [readTypes], ebx
  setc cl
  and cl, [visible]
  movzx edx, cl
  mov [wantVector], edx
  verr di
  setz ch
  movzx edx, ch
  mov [vector], edx
  CHECK 4
  bt [writeTypes], ebx
  setc cl
  and cl, [visible]
  movzx edx, cl
  mov [wantVector], edx
  verw di
  setz ch
  movzx edx, ch
  mov [vector], edx
  CHECK 5
  ret

; ---- MOV to FS and SS
loads:
  movzx ebx, byte [access]
  and ebx, 0x1F
  mov edi, [code]
  WANT 13, edi
  bt [readTypes], ebx
  jnc .fs
  cmp byte [visible], 0
  je .fs
  WANT 11, edi
  test byte [access], 0x80
  jz .fs
  WANT NONE, 0
.fs:
  xor eax, eax
  mov fs, ax
  mov ax, [selector]
  TRY mov fs, ax
  mov cx, fs
  CHECK 6
  ; the register and the accessed bit follow
  movzx eax, byte [access]
  WANT 0, eax
  cmp byte [loaded], 0
  je .notLoaded
  movzx eax, word [selector]
  mov [wantVector], eax
  or dword [wantCode], 1
  test byte [access], 0x10
  jnz .notLoaded
  WRONG
.notLoaded:
  movzx ecx, cx
  mov [vector], ecx
  movzx ecx, byte [gdt + PROBE + 5]
  mov [errorCode], ecx
  CHECK 7
  call build
  ; SS
  WANT 13, edi
  mov al, [rpl]
  cmp al, [cpl]
  jne .ss
  mov al, [dpl]
  cmp al, [cpl]
  jne .ss
  bt [writeTypes], ebx
  jnc .ss
  WANT 12, edi
  test byte [access], 0x80
  jz .ss
  WANT NONE, 0
.ss:
  mov dx, ss
  mov ax, [selector]
  mov dword [vector], NONE
  mov dword [errorCode], 0
  mov dword [resume], .after
  mov ss, ax
  mov ss, dx
.after:
  mov dword [resume], 0
  CHECK 8
  ret

; ---- far JMP, CALL, RET and IRET
transfers:
  movzx ebx, byte [access]
  and ebx, 0x1F
  mov edi, [code]
  mov dword [pointer], .jumped
  mov ax, [selector]
  mov [pointer + 4], ax
  mov dword [back], .jumpedBack
  mov ax, cs
  mov [back + 4], ax
  mov dword [gateOffset], .jumped
  call build
  call expectTransfer
  TRY jmp far [pointer]
  jmp .jumpedBack
.jumped:
  jmp far [back]
.jumpedBack:
  mov dword [resume], 0
  CHECK 9
  mov dword [pointer], target
  mov dword [gateOffset], target
  cmp bl, 4
  jne .gate32
  mov dword [gateOffset], target16    ; pushes words
.gate32:
  call build
  call expectTransfer
  TRY call far [pointer]
  CHECK 10
  ; RETF: the selector's RPL is the new CPL
  call build
  call expectReturn
  mov dword [back], .returnedBack
  mov edx, esp
  push dword 0                        ; SS for an outer return: null, #GP(0)
  push dword STACK3
  movzx eax, word [selector]
  push eax
  push dword .returned
  TRY retf
  jmp .returnedBack
.returned:
  jmp far [back]
.returnedBack:
  mov dword [resume], 0
  mov esp, edx
  CHECK 11
  call build
  call expectReturn
  mov dword [back], .iretBack
  mov edx, esp
  push dword 0
  push dword STACK3
  push dword 0x3002
  movzx eax, word [selector]
  push eax
  push dword .interruptReturned
  TRY iretd
  jmp .iretBack
.interruptReturned:
  jmp far [back]
.iretBack:
  mov esp, edx
  mov dword [resume], 0
  CHECK 12
  ret

; What JMP and CALL do with the selector itself.
expectTransfer:
  WANT 13, edi
  cmp bl, 0x18
  jae .code
  bt [jumpTypes], ebx                 ; call and task gates, available TSSs
  jnc .end
  cmp byte [visible], 0
  je .end
  WANT 11, edi
  test byte [access], 0x80
  jz .end
  WANT NONE, 0
  cmp bl, 4
  je .end
  cmp bl, 0xC
  je .end
  WANT 13, TSS                        ; the task gate leads to a busy TSS
  cmp bl, 5
  je .end
  WANT 10, edi                        ; the TSS is too short
  ret
.code:
  mov al, [dpl]
  cmp byte [conforming], 0
  je .own
  cmp al, [cpl]
  ja .end
  jmp .present
.own:
  cmp al, [cpl]
  jne .end
  cmp al, [rpl]
  jb .end
.present:
  WANT 11, edi
  test byte [access], 0x80
  jz .end
  WANT NONE, 0
.end:
  ret

expectReturn:
  WANT 13, edi
  mov al, [rpl]
  cmp al, [cpl]
  jb .end
  cmp bl, 0x18
  jb .end
  cmp byte [conforming], 0
  je .own
  cmp al, [dpl]
  jb .end
  jmp .present
.own:
  cmp al, [dpl]
  jne .end
.present:
  WANT 11, edi
  test byte [access], 0x80
  jz .end
  WANT 13, 0                          ; outer: the null SS
  cmp al, [cpl]
  jne .end
  WANT NONE, 0
.end:
  ret

; ---- the descriptor as the target of a call gate and of an interrupt gate
throughGates:
  movzx ebx, byte [access]
  and ebx, 0x1F
  mov edi, [code]
  mov ax, [selector]                  ; RPL in a gate does not count
  mov [gdt + (GATEP & ~7) + 2], ax
  mov [idt + 0x41 * 8 + 2], ax
  call expectGate
  TRY call GATEP:0
  CHECK 13
  call build
  call expectGate
  TRY int 0x41
  CHECK 14
  ; JMP through a gate does not change the privilege
  call build
  call expectGate
  cmp dword [wantVector], NONE
  jne .jump
  cmp byte [conforming], 0
  jne .jump
  mov al, [dpl]
  cmp al, [cpl]
  je .jump
  WANT 13, edi
.jump:
  cmp byte [conforming], 0
  jne .order
  cmp bl, 0x18
  jb .order
  mov al, [dpl]
  cmp al, [cpl]
  jae .order
  WANT 13, edi                        ; even when absent
.order:
  mov eax, .jumped
  mov [gdt + (GATEP & ~7)], ax
  TRY jmp GATEP:0
  jmp .back
.jumped:
  mov dword [back], .back
  jmp far [back]
.back:
  mov dword [resume], 0
  mov eax, target
  mov [gdt + (GATEP & ~7)], ax
  cmp byte [onQEMU], 0                ; #GP for absent segments there
  je .check
  test byte [access], 0x80
  jz .end
.check:
  CHECK 15
.end:
  ret

expectGate:
  WANT 13, edi
  cmp bl, 0x18
  jb .end
  mov al, [dpl]
  cmp al, [cpl]
  ja .end
  WANT 11, edi
  test byte [access], 0x80
  jz .end
  WANT NONE, 0
.end:
  ret

target:
  retf
target16:
  o16 retf
interruptTarget:
  iretd

; ---- LLDT and LTR, ring 0
sweepTables:
  mov byte [access], 0
.next:
  mov byte [rpl], 3
  mov word [selector], PROBE | 3      ; RPL does not count
  movzx ebx, byte [access]
  and ebx, 0x1F
  mov edi, [code]
  call build
  WANT 13, edi
  cmp bl, 2
  jne .lldt
  WANT 11, edi
  test byte [access], 0x80
  jz .lldt
  WANT NONE, 0
.lldt:
  mov ax, [selector]
  TRY lldt ax
  CHECK 16
  xor eax, eax
  lldt ax
  WANT 13, edi
  mov al, bl
  and al, ~8
  cmp al, 1
  jne .ltr
  WANT 11, edi
  test byte [access], 0x80
  jz .ltr
  WANT NONE, 0
.ltr:
  mov ax, [selector]
  TRY ltr ax
  CHECK 17
  cmp dword [vector], NONE
  jne .notLoaded
  mov al, [access]
  or al, 2
  cmp al, [gdt + PROBE + 5]
  je .busy
  WRONG
.busy:
  and byte [gdt + TSS + 5], ~2
  mov ax, TSS
  ltr ax
.notLoaded:
  inc byte [access]
  jnz .next
  ret

; ---- comparing
compare:
  cmp dword [vector], NONE
  sete [loaded]
  push eax
  mov eax, [vector]
  cmp eax, [wantVector]
  jne .bad
  mov eax, [errorCode]
  cmp eax, [wantCode]
  je .good
.bad:
  cmp dword [differences], 20
  jae .counted
  pushad
  movzx eax, byte [operation]
  call printValue
  movzx eax, byte [access]
  call printValue
  movzx eax, byte [rpl]
  call printValue
  movzx eax, byte [cpl]
  call printValue
  mov eax, [vector]
  call printValue
  mov eax, [errorCode]
  call printValue
  mov eax, [wantVector]
  call printValue
  mov eax, [wantCode]
  call printValue
  mov al, 10
  out 0xE9, al
  popad
.counted:
  inc dword [differences]
.good:
  pop eax
  ret
printValue:
  call printHex
  mov al, ' '
  out 0xE9, al
  ret

  align 4
; System types 1 2 3 4 5 9 B C; then all segments
larTypes: dd 0xFFFF1A3E
lslTypes: dd 0xFFFF0A0E
readTypes: dd 0xCCFF0000
writeTypes: dd 0x00CC0000
jumpTypes: dd 0xFF001232
differences: dd 0
wantVector: dd 0
wantCode: dd 0
code: dd 0
selector: dd 0
gateOffset: dd 0
pointer: dd 0, 0
back: dd 0, 0
access: db 0
rpl: db 0
cpl: db 0
dpl: db 0
conforming: db 0
visible: db 0
operation: db 0
loaded: db 0
%include "end.inc"
