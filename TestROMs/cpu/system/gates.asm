; Call gates with parameters between all rings, 16 and 32 bits, 0 to 31 parameters; stack switches that fail, to the byte; 16-bit and short
; TSSs; interrupt gates to inner rings; conforming code through gates; returns that drop parameters.
; Expected: PASS.
; Follows: Intel SDM volume 3, section 5.8; volume 2 (CALL, RET, INT n: the exceptions).
%include "common.inc"

%define CODE2 (0x68 | 2)
%define DATA2 (0x70 | 2)
%define PARAM (0x78 | 3)      ; the gate under test
%define SMALL1 (0x80 | 1)     ; ring 1 stacks for the limits
%define TSS16 0x88
%define PARAM0 0x90           ; the same gate with DPL 0
%define CODE1S (0x98 | 1)     ; ring 1 code with a small limit
%define STACK2 0xEC00

test:
  DESCRIPTOR CODE2, BASE, 0xFFFF, 0xDA, 4
  DESCRIPTOR DATA2, BASE, 0xFFFF, 0xD2, 4
  DESCRIPTOR CODE1S, BASE, 0xFF, 0xBA, 4
  mov dword [tss + 20], STACK2
  mov dword [tss + 24], DATA2

  ; ---- all sizes, counts and pairs of rings
  mov dword [outer], 3
.nextOuter:
  mov dword [inner], 0
.nextInner:
  mov dword [wide], 0
.nextSize:
  mov dword [count], 0
.nextCount:
  ; the gate
  mov edi, [inner]
  mov ax, [codes + edi * 2]
  and al, ~3                          ; its RPL does not count
  mov [gdt + (PARAM & ~7) + 2], ax
  mov eax, target32
  mov ebx, 0xEC00
  cmp dword [wide], 0
  jne .gate32
  mov eax, target16
  mov ebx, 0xE400
.gate32:
  mov [gdt + (PARAM & ~7)], ax
  or ebx, [count]
  mov [gdt + (PARAM & ~7) + 4], ebx
  ; the immediate of the target's RETF
  mov eax, [count]
  lea ecx, [eax * 4]
  mov [target32.retf + 1], cx
  lea ecx, [eax * 2]
  mov [target16.retf + 2], cx
  ; to the outer ring
  mov edi, [outer]
  movzx eax, word [datas + edi * 2]
  push eax
  push dword [stacks + edi * 4]
  push dword 0x3002
  movzx eax, word [codes + edi * 2]
  push eax
  push dword .outside
  iretd
.outside:
  mov ax, DATA3
  mov ds, ax
  mov es, ax
  mov ecx, [count]
  jecxz .pushed
  mov eax, 0xA5C30011
.push:
  cmp dword [wide], 0
  jne .push32
  push ax
  jmp .pushedOne
.push32:
  push eax
.pushedOne:
  add eax, 0x01010101
  loop .push
.pushed:
  mov [espBefore], esp
  mov dword [arrived], 0
  mov eax, 0x11223344
  call PARAM:0x55555555
.after:
  EQ dword [arrived], 1
  EQ eax, 0x11223344
  mov edi, [outer]
  EQ esp, [stacks + edi * 4]
  mov cx, cs
  EQ cx, [codes + edi * 2]
  mov cx, ss
  EQ cx, [datas + edi * 2]
  TO_RING0
  inc dword [count]
  cmp dword [count], 32
  jne near .nextCount
  inc dword [wide]
  cmp dword [wide], 2
  jne near .nextSize
  inc dword [inner]
  mov eax, [inner]
  cmp eax, [outer]
  jne near .nextInner
  dec dword [outer]
  cmp dword [outer], 0
  jne near .nextOuter

  ; ---- room on the inner stack, to the byte: 4 + count doublewords or words
  mov dword [wide], 0
.roomSize:
  mov dword [count], 0
.roomCount:
  mov word [gdt + (PARAM & ~7) + 2], CODE1
  mov eax, roomTarget
  mov [gdt + (PARAM & ~7)], ax
  mov ebx, 0xE400
  cmp dword [wide], 0
  je .room16
  or bh, 8
.room16:
  or ebx, [count]
  mov [gdt + (PARAM & ~7) + 4], ebx
  mov ecx, [count]
  lea ecx, [ecx * 2 + 8]
  cmp dword [wide], 0
  je .need
  shl ecx, 1
.need:
  mov [need], ecx
  ; expand-up: the pointer too low by one byte wraps, by the whole goes below zero
  DESCRIPTOR SMALL1, BASE + 0xF400, 0xFFFF, 0xB2, 4
  mov word [tss + 16], SMALL1
  mov [tss + 12], ecx                 ; fills the segment from offset 0
  call callRing1
  EQ dword [vector], -1
  mov ecx, [need]
  dec ecx
  mov [tss + 12], ecx
  call callRing1
  cmp byte [onQEMU], 0                ; knows no limits of stacks
  jne near .noLimits
  EQ dword [vector], 12
  EQ dword [errorCode], SMALL1 & ~3
  ; the top beyond the limit
  DESCRIPTOR SMALL1, BASE, 0xE7FF, 0xB2, 4
  mov dword [tss + 12], 0xE800
  call callRing1
  EQ dword [vector], -1
  mov dword [tss + 12], 0xE801
  call callRing1
  EQ dword [vector], 12
  EQ dword [errorCode], SMALL1 & ~3
  ; expand-down, 16 bits: offsets above the limit up to FFFFh
  mov eax, 0xE800 - 1
  sub eax, [need]
  mov edx, 0x0000B600 | (BASE >> 16)
  mov [gdt + (SMALL1 & ~7)], eax
  mov word [gdt + (SMALL1 & ~7) + 2], BASE & 0xFFFF
  mov [gdt + (SMALL1 & ~7) + 4], edx
  mov dword [tss + 12], 0xE800
  call callRing1
  EQ dword [vector], -1
  inc word [gdt + (SMALL1 & ~7)]
  call callRing1
  EQ dword [vector], 12
  EQ dword [errorCode], SMALL1 & ~3
.noLimits:
  inc dword [count]
  cmp dword [count], 32
  jne near .roomCount
  inc dword [wide]
  cmp dword [wide], 2
  jne near .roomSize

  ; ---- an interrupt gate to ring 1: five words or doublewords
  cmp byte [onQEMU], 0
  jne near .noInterrupts
  GATE idt, 0x41, CODE1, interruptTarget, 0xEE, 0
  DESCRIPTOR SMALL1, BASE + 0xF400, 0xFFFF, 0xB2, 4
  mov dword [tss + 12], 20
  call interruptRing1
  EQ dword [vector], -1
  mov dword [tss + 12], 19
  call interruptRing1
  EQ dword [vector], 12
  EQ dword [errorCode], SMALL1 & ~3
  GATE idt, 0x41, CODE1, interruptTarget16, 0xE6, 0
  mov dword [tss + 12], 10
  call interruptRing1
  EQ dword [vector], -1
  mov dword [tss + 12], 9
  call interruptRing1
  EQ dword [vector], 12
  EQ dword [errorCode], SMALL1 & ~3
.noInterrupts:
  mov word [tss + 16], DATA1
  mov dword [tss + 12], STACK1

  ; ---- the inner stack segment: every reason
  GATE gdt, PARAM / 8, CODE1, roomTarget, 0xEC, 0
  mov dword [tss + 12], STACK1
  DESCRIPTOR SMALL1, BASE, 0xFFFF, 0xB2, 4
%macro BAD_STACK 3              ; selector, vector, error code
  mov word [tss + 16], %1
  call callRing1
  EQ dword [vector], %2
  EQ dword [errorCode], %3
%endmacro
  BAD_STACK SMALL1, -1, 0
  BAD_STACK 0, 10, 0
  BAD_STACK 3, 10, 0
  BAD_STACK SMALL1 & ~3, 10, SMALL1 & ~3        ; RPL
  BAD_STACK SMALL1 | 3, 10, SMALL1 & ~3
  BAD_STACK DATA0, 10, DATA0
  BAD_STACK DATA3 & ~3 | 1, 10, DATA3 & ~3      ; DPL
  BAD_STACK CODE1, 10, CODE1 & ~3               ; not data
  BAD_STACK TSS | 1, 10, TSS
  BAD_STACK 0x7F9, 10, 0x7F8                    ; beyond the GDT
  BAD_STACK 0xD, 10, 0xC                        ; no LDT
  mov byte [gdt + (SMALL1 & ~7) + 5], 0xB0      ; read-only
  BAD_STACK SMALL1, 10, SMALL1 & ~3
  mov byte [gdt + (SMALL1 & ~7) + 5], 0x32      ; absent
  cmp byte [onQEMU], 0
  jne .noAbsent
  BAD_STACK SMALL1, 12, SMALL1 & ~3
.noAbsent:
  mov byte [gdt + (SMALL1 & ~7) + 5], 0xB2
  mov word [tss + 16], DATA1
  ; the offset beyond the code's limit
  DESCRIPTOR CODE1S, BASE, 0xFF, 0xBA, 4
  mov word [gdt + (PARAM & ~7) + 2], CODE1S
  cmp byte [onQEMU], 0
  jne .noCodeLimit
  call callRing1
  EQ dword [vector], 13
  EQ dword [errorCode], 0
.noCodeLimit:
  ; the gate's own privilege and selector
  mov word [gdt + (PARAM & ~7) + 2], 3
  call callRing1
  EQ dword [vector], 13
  EQ dword [errorCode], 0
  mov word [gdt + (PARAM & ~7) + 2], CODE1
  mov byte [gdt + (PARAM & ~7) + 5], 0xAC       ; DPL 1
  call callRing1
  EQ dword [vector], 13
  EQ dword [errorCode], PARAM & ~3
  mov byte [gdt + (PARAM & ~7) + 5], 0x6C       ; absent
  call callRing1
  EQ dword [vector], 11
  EQ dword [errorCode], PARAM & ~3
  mov byte [gdt + (PARAM & ~7) + 5], 0xEC

  ; ---- the TSS's limit: SS1 ends at 11h
%macro TSS_LIMIT 1
  mov word [gdt + TSS], %1
  and byte [gdt + TSS + 5], ~2
  mov ax, TSS
  ltr ax
%endmacro
  cmp byte [onQEMU], 0                ; both want the word after SS1, too
  jne .noLimit
  cmp byte [onBochs], 0
  jne .noLimit
  TSS_LIMIT 0x11
  call callRing1
  EQ dword [vector], -1
  TSS_LIMIT 0x10
  call callRing1
  EQ dword [vector], 10
  EQ dword [errorCode], TSS
.noLimit:
  TSS_LIMIT 0xF
  call callRing1
  EQ dword [vector], 10
  EQ dword [errorCode], TSS
  TSS_LIMIT 0x67 + 0x2020

  ; ---- a 16-bit TSS gives SP and SS
  mov word [gdt + TSS16], 0x2B
  mov word [gdt + TSS16 + 2], tss16
  mov dword [gdt + TSS16 + 4], 0x8100 | (BASE >> 16)
  mov word [tss16 + 2], ENTRY0
  mov word [tss16 + 4], DATA0
  mov word [tss16 + 6], STACK1
  mov word [tss16 + 8], DATA1
  mov ax, TSS16
  ltr ax
  call callRing1
  EQ dword [vector], -1
  mov word [tss16 + 8], DATA0
  call callRing1
  EQ dword [vector], 10
  EQ dword [errorCode], DATA0
  mov byte [gdt + TSS16], 8           ; SS1 ends at 9
  and byte [gdt + TSS16 + 5], ~2
  mov ax, TSS16
  ltr ax
  call callRing1
  EQ dword [vector], 10
  EQ dword [errorCode], TSS16
  and byte [gdt + TSS + 5], ~2
  mov ax, TSS
  ltr ax

  ; ---- conforming code through a gate: no new stack, no parameters
  GATE gdt, PARAM / 8, CONF, conformingTarget, 0xEC, 7
  cmp byte [onQEMU], 0                ; makes RPL of CS 0
  jne near .noConforming
  TO_RING 3
  push dword 0x600DF00D
  mov edx, esp
  call PARAM:0
  EQ eax, CONF | 3
  EQ ebx, DATA3
  EQ esp, edx
  ; JMP through the gate, and RET with a count
  push dword 0
  push cs
  push dword .jumped
  jmp PARAM:0
.jumped:
  EQ eax, CONF | 3
  push dword 0
  push dword 0
  push cs
  push dword .dropped
  retf 8
.dropped:
  EQ esp, STACK3 - 8
  add esp, 8
  ; a gate of DPL 0, or a selector's RPL above the DPL
  TO_RING0
  GATE gdt, PARAM0 / 8, CONF, conformingTarget, 0x8C, 0
  FAULT 13, PARAM0, call (PARAM0 | 1):0
  WORKS call PARAM0:0
  TO_RING 3
  FAULT 13, PARAM0, call PARAM0:0
  FAULT 13, PARAM0, jmp PARAM0:0
  TO_RING0
.noConforming:

  mov esp, STACK0 - 4
  ret

; Calls the gate from ring 3, returns in ring 0 with [vector].
callRing1:
  pop dword [returnTo]
  TO_RING 3
  mov dword [vector], -1
  mov dword [errorCode], 0
  mov dword [resume], .back
  mov eax, 0x01234567
  mov edx, esp
  call PARAM:0
.back:
  mov dword [resume], 0
  EQ eax, 0x01234567
  EQ esp, edx
  cmp dword [vector], -1
  je .ring0
  mov eax, [faultEIP]
  EQ byte [eax], 0x9A                 ; the CALL itself
  EQ dword [faultESP], STACK3
.ring0:
  TO_RING0
  jmp [returnTo]

; Comes with an unknown number of parameters at the top of a strange stack: goes out again by IRET.
roomTarget:
  mov bx, DATA1
  mov ss, bx
  mov esp, STACK1
  push dword DATA3
  push dword STACK3
  push dword 0x3002
  push dword CODE3
  push dword callRing1.back
  iretd

interruptRing1:
  pop dword [returnTo]
  TO_RING 3
  mov dword [vector], -1
  mov dword [errorCode], 0
  mov dword [resume], .back
  int 0x41
.back:
  mov dword [resume], 0
  TO_RING0
  jmp [returnTo]
interruptTarget:
  iretd
interruptTarget16:
  o16 iret

conformingTarget:
  mov ax, cs
  movzx eax, ax
  mov bx, ss
  movzx ebx, bx
  retf

; [esp]: EIP CS parameters ESP SS
target32:
  pushad
  lea esi, [esp + 32]
  mov edi, [inner]
  mov ax, cs
  EQ ax, [codes + edi * 2]
  mov ax, ss
  EQ ax, [datas + edi * 2]
  mov eax, [innerStacks + edi * 4]
  mov ecx, [count]
  lea ebx, [ecx * 4 + 16]
  sub eax, ebx
  EQ esi, eax
  mov edi, [outer]
  EQ dword [ss:esi], test.after
  movzx eax, word [codes + edi * 2]
  EQ word [ss:esi + 4], ax
  mov edx, [espBefore]
  jecxz .none
  xor ebx, ebx
.next:
  mov eax, [edx + ebx * 4]
  EQ eax, [ss:esi + 8 + ebx * 4]
  inc ebx
  loop .next
.none:
  mov ecx, [count]
  EQ edx, [ss:esi + 8 + ecx * 4]
  movzx eax, word [datas + edi * 2]
  EQ word [ss:esi + 12 + ecx * 4], ax
  inc dword [arrived]
  popad
.retf:
  retf 0x1234

target16:
  pushad
  lea esi, [esp + 32]
  mov edi, [inner]
  mov ax, cs
  EQ ax, [codes + edi * 2]
  mov eax, [innerStacks + edi * 4]
  mov ecx, [count]
  lea ebx, [ecx * 2 + 8]
  sub eax, ebx
  EQ esi, eax
  mov edi, [outer]
  EQ word [ss:esi], test.after
  mov ax, [codes + edi * 2]
  EQ word [ss:esi + 2], ax
  mov edx, [espBefore]
  jecxz .none
  xor ebx, ebx
.next:
  mov ax, [edx + ebx * 2]
  EQ ax, [ss:esi + 4 + ebx * 2]
  inc ebx
  loop .next
.none:
  mov ecx, [count]
  EQ dx, [ss:esi + 4 + ecx * 2]
  mov ax, [datas + edi * 2]
  EQ word [ss:esi + 6 + ecx * 2], ax
  inc dword [arrived]
  popad
.retf:
  o16 retf 0x1234

  align 4
outer: dd 0
inner: dd 0
wide: dd 0
count: dd 0
need: dd 0
espBefore: dd 0
arrived: dd 0
returnTo: dd 0
stacks: dd STACK0, STACK1, STACK2 - 0x200, STACK3
innerStacks: dd ENTRY0, STACK1, STACK2
codes: dw CODE0, CODE1, CODE2, CODE3
datas: dw DATA0, DATA1, DATA2, DATA3
  align 16
tss16: times 0x2C db 0
%include "end.inc"
