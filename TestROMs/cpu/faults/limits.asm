; Real mode and segment limits: accesses that stick out of 64 KiB, SP that wraps, IP at FFFFh, the 20th address line, INT and IRET at the edges,
; descriptors with byte and page limits, expand-down segments of both sizes, limits of FFFFFFFFh, operands that wrap, 16-bit stacks in
; 32-bit code with ENTER, LEAVE, PUSHA.
; Expected: PASS.
; Follows: Intel SDM volume 3, 5.3 (limits), 20.1 (real mode); volume 2 for each instruction's real-mode exceptions.
%define REAL_MODE_TEST
%include "common.inc"

%define SEG (BASE >> 4)
%define S32 0x68
%define S16 0x70
%define OTHER 0x2000          ; a free real-mode segment

; REAL_FAULT vector, instruction: the handlers at interrupts 6, 12 and 13 note the vector and the address, and go on at [cs:realResume].
%macro REAL_FAULT 2+
  mov word [realVector], -1
  mov word [realResume], %%after
%%at:
  %2
%%after:
  cmp word [realVector], %1
  jne near %%bad
  cmp word [realIP], %%at
  je near %%good
%%bad:
  mov word [realFailed], %%at
  jmp near realFail
%%good:
%endmacro
%macro REAL_WORKS 1+
  mov word [realVector], -1
  mov word [realResume], %%after
  %1
%%after:
  cmp word [realVector], -1
  je near %%good
  mov word [realFailed], %%after
  jmp near realFail
%%good:
%endmacro
%macro REAL_EQ 2
  cmp %1, %2
  je near %%good
  mov word [realFailed], %%good
  jmp near realFail
%%good:
%endmacro

  bits 16
realFail:
  mov ax, SEG
  mov ss, ax
  mov ds, ax
  mov sp, STACK0
  mov dword [failNumber], 0
  mov ax, [realFailed]
  mov [failNumber], ax
  jmp realDone

realTest:
  ; interrupts 6, 12, 13 and 41h
  xor ax, ax
  mov es, ax
  mov word [es:6 * 4], handle6
  mov word [es:6 * 4 + 2], SEG
  mov word [es:12 * 4], handle12
  mov word [es:12 * 4 + 2], SEG
  mov word [es:13 * 4], handle13
  mov word [es:13 * 4 + 2], SEG
  mov word [es:0x41 * 4], handle41
  mov word [es:0x41 * 4 + 2], SEG
  mov ax, OTHER
  mov es, ax
  ; QEMU knows no limits
  pushfd
  pop eax
  mov ecx, eax
  xor eax, 1 << 21
  push eax
  popfd
  pushfd
  pop eax
  cmp eax, ecx
  je .notQEMU
  mov eax, 0x40000000
  cpuid
  cmp ebx, 'TCGT'
  je near realDone
  mov ax, OTHER
.notQEMU:

  ; ---- data at offset FFFFh
  mov bx, 0xFFFF
  mov byte [es:bx], 0x5A
  REAL_WORKS mov al, [es:bx]
  REAL_EQ al, 0x5A
  REAL_FAULT 13, mov ax, [es:bx]
  REAL_FAULT 13, mov [es:bx], ax
  REAL_FAULT 13, add [es:bx], ax
  REAL_FAULT 13, mov eax, [es:bx - 2]
  REAL_WORKS mov eax, [es:bx - 3]
  REAL_FAULT 13, lds si, [es:bx - 2]
  REAL_FAULT 13, fld qword [es:bx - 6]
  REAL_FAULT 13, inc word [es:bx]
  ; 32-bit addresses reach out of the segment
  mov ebx, 0x10000
  REAL_FAULT 13, mov al, [es:ebx]
  mov ebx, 0xFFFFFFFF
  REAL_FAULT 13, mov al, [es:ebx]
  mov ebx, 0xFFF0
  REAL_WORKS mov al, [es:ebx + 0xF]
  REAL_FAULT 13, mov al, [es:ebx + 0x10]
  ; in SS: #SS
  mov bp, 0xFFFF
  REAL_FAULT 12, mov ax, [bp]
  REAL_FAULT 12, mov [bp], ax
  REAL_FAULT 12, mov ax, [ss:bp]
  REAL_FAULT 13, mov ax, [ds:bp]
  ; strings: the word at FFFFh
  mov di, 0xFFFF
  REAL_FAULT 13, stosw
  REAL_EQ di, 0xFFFF
  mov cx, 5
  mov di, 0xFFFB
  REAL_FAULT 13, rep stosw
  REAL_EQ cx, 3
  REAL_EQ di, 0xFFFF
  mov cx, 4
  mov di, 0xFFFE
  mov al, 0x77
  REAL_WORKS rep stosb
  REAL_EQ di, 2
  REAL_EQ [es:1], al
  mov ecx, 3
  mov edi, 0xFFFE
  REAL_FAULT 13, a32 rep stosb
  REAL_EQ ecx, 1
  REAL_EQ edi, 0x10000
  ; LOOP and the jumps stay within 64 KiB, the operand size decides
  ; ---- code at the end of the segment: IP wraps to nothing, it faults
  mov byte [es:0xFFFE], 0x90
  mov byte [es:0xFFFF], 0x90
  mov byte [es:0], 0xCB
  mov word [realVector], -1
  mov word [realResume], .codeEnd
  call OTHER:0xFFFE
.codeEnd:
  REAL_EQ word [realVector], 13
  REAL_EQ word [realCS], OTHER
  mov sp, STACK0 - 0x20
  ; an instruction that sticks out
  mov byte [es:0xFFFF], 0xB8
  mov word [realVector], -1
  mov word [realResume], .codeOut
  call OTHER:0xFFFF
.codeOut:
  REAL_EQ word [realVector], 13
  REAL_EQ word [realIP], 0xFFFF
  mov sp, STACK0 - 0x20
  ; a one-byte RETF at FFFFh works
  mov byte [es:0xFFFF], 0xCB
  REAL_WORKS call OTHER:0xFFFF

  ; ---- the stack: SP 0 pushes at FFFEh; SP 1 sticks out
  mov ax, OTHER
  mov ss, ax
  xor sp, sp
  REAL_WORKS push ax
  REAL_EQ sp, 0xFFFE
  REAL_EQ [es:0xFFFE], ax
  REAL_WORKS pop cx
  REAL_EQ sp, 0
  REAL_EQ cx, ax
  mov sp, 2
  REAL_FAULT 12, push eax             ; four bytes at FFFEh
  REAL_EQ sp, 2
  mov sp, 0x100
  pushf
  mov bp, sp
  pop cx
  REAL_EQ bp, 0xFE
  ; POP at FFFFh: outside
  mov sp, 0xFFFF
  mov word [realVector], -1
  mov word [realResume], .popped
.pop:
  pop cx
.popped:
  REAL_EQ word [realVector], 12
  REAL_EQ word [realIP], .pop
  ; ENTER and LEAVE, PUSHA across the wrap
  mov sp, 0x8
  mov bp, 0x1234
  mov bx, 0x5678
  REAL_WORKS pusha
  REAL_EQ sp, 0xFFF8
  REAL_EQ word [es:0xFFF8], di
  xor bx, bx
  REAL_WORKS popa
  REAL_EQ bx, 0x5678
  REAL_EQ sp, 8
  mov sp, 4
  REAL_WORKS enter 0x10, 2
  REAL_EQ bp, 2
  REAL_EQ sp, 0xFFEE
  REAL_WORKS leave
  REAL_EQ sp, 4
  REAL_EQ bp, 0x1234
  ; the upper half of ESP is kept by 16-bit stacks
  mov esp, 0x12340100
  push ax
  pop ax
  call .near
  pusha
  popa
  REAL_EQ esp, 0x12340100
  xor esp, esp
  ; INT and IRET at the wrap
  mov sp, 2
  REAL_WORKS int 0x41
  REAL_EQ sp, 2
  REAL_EQ dword [realESP], 0xFFFC
  mov ax, SEG
  mov ss, ax
  mov sp, STACK0 - 0x20
  jmp .stackDone
.near:
  ret
.stackDone:

  ; ---- A20: FFFF:0010 is 100000h
  mov ax, 0xFFFF
  mov fs, ax
  xor ax, ax
  mov gs, ax
  in al, 0x92
  mov cl, al
  or al, 2
  out 0x92, al
  in al, 0x92
  test al, 2
  jz .noA20                           ; no port 92h
  cmp al, 0xFF
  je .noA20
  mov dword [gs:0x500], 0x11111111
  mov dword [fs:0x510], 0x22222222
  mov eax, [gs:0x500]
  REAL_EQ eax, 0x11111111
  in al, 0x92
  and al, 0xFC
  out 0x92, al
  mov eax, [fs:0x510]
  REAL_EQ eax, 0x11111111
  mov dword [fs:0x510], 0x33333333
  mov eax, [gs:0x500]
  REAL_EQ eax, 0x33333333
  mov al, cl
  or al, 2
  and al, 0xFE
  out 0x92, al
  mov eax, [fs:0x510]
  REAL_EQ eax, 0x22222222
  ; back and forth under a loop
  mov cx, 1000
  xor ebx, ebx
.a20:
  in al, 0x92
  xor al, 2
  and al, 0xFE
  out 0x92, al
  add ebx, [fs:0x510]
  loop .a20
  mov eax, 500 * 0x55555555 & 0xFFFFFFFF
  REAL_EQ ebx, eax
.noA20:

  ; ---- what real mode does not have
  REAL_FAULT 6, sldt ax
  REAL_FAULT 6, str ax
  REAL_FAULT 6, verr ax
  REAL_FAULT 6, lar ax, ax
  REAL_FAULT 6, arpl ax, ax
  ; and what it has
  REAL_WORKS smsw ax
  REAL_WORKS sgdt [scratch]
  mov word [realFailed], 0
realDone:
  mov ax, SEG
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, STACK0 - 2
  ret

; Handlers; SP may be anywhere.
handle6:
  mov word [cs:realVector], 6
  jmp handle
handle12:
  mov word [cs:realVector], 12
  jmp handle
handle13:
  mov word [cs:realVector], 13
handle:
  push bp
  mov bp, sp
  push ax
  mov ax, [bp + 2]
  mov [cs:realIP], ax
  mov ax, [bp + 4]
  mov [cs:realCS], ax
  mov ax, [cs:realResume]
  mov [bp + 2], ax
  mov word [bp + 4], SEG
  pop ax
  pop bp
  iret
handle41:
  mov [cs:realESP], esp
  iret

  bits 32
test:
  cmp dword [failNumber], 0
  je .realGood
  push dword [failNumber]
  jmp fail
.realGood:
  cmp byte [onQEMU], 0                ; knows no limits
  jne near .done

  ; ---- limits of all kinds: the last byte is in, the next is out
%macro LIMIT_IS 2             ; last offset, fault vector segment FS (13)
  mov ebx, %1
  WORKS mov al, [fs:ebx]
  FAULT 13, 0, mov ax, [fs:ebx]
  WORKS mov ax, [fs:ebx - 1]
  FAULT 13, 0, mov eax, [fs:ebx - 2]
  WORKS mov eax, [fs:ebx - 3]
  FAULT 13, 0, mov [fs:ebx - 2], eax
  FAULT 13, 0, fld tword [fs:ebx - 8]
  WORKS fld tword [fs:ebx - 9]
  FAULT 13, 0, fldenv [fs:ebx - 26]
  WORKS test dword [fs:ebx - 3], 0
  inc ebx
  FAULT 13, 0, mov al, [fs:ebx]
  FAULT 13, 0, or byte [fs:ebx], 0
%endmacro
  fninit
  DESCRIPTOR S32, BASE, 0x1FFF, 0x92, 4
  mov ax, S32
  mov fs, ax
  LIMIT_IS 0x1FFF, 13
  DESCRIPTOR S32, BASE, 3, 0x92, 0xC  ; pages: 3FFFh
  mov ax, S32
  mov fs, ax
  fninit
  LIMIT_IS 0x3FFF, 13
  DESCRIPTOR S32, BASE, 0xFFFFF, 0x92, 4
  mov ax, S32
  mov fs, ax
  fninit
  LIMIT_IS 0xFFFFF, 13
  ; expand-down, 32 bits: above the limit up to FFFFFFFFh
  DESCRIPTOR S32, BASE, 0x1FFF, 0x96, 4
  mov ax, S32
  mov fs, ax
  mov ebx, 0x1FFF
  FAULT 13, 0, mov al, [fs:ebx]
  FAULT 13, 0, mov ax, [fs:ebx]
  FAULT 13, 0, mov eax, [fs:ebx - 3]
  WORKS mov al, [fs:ebx + 1]
  WORKS mov eax, [fs:ebx + 1]
  mov ebx, 0xFFFFFFFF - 0xFFFF
  WORKS mov eax, [fs:ebx + 0xFFFC]
  FAULT 13, 0, mov eax, [fs:ebx + 0xFFFD]
  FAULT 13, 0, mov ax, [fs:ebx + 0xFFFF]
  ; expand-down, 16 bits: to FFFFh
  DESCRIPTOR S32, BASE, 0x1FFF, 0x96, 0
  mov ax, S32
  mov fs, ax
  mov ebx, 0xFFFF
  WORKS mov al, [fs:ebx]
  FAULT 13, 0, mov ax, [fs:ebx]
  WORKS mov ax, [fs:ebx - 1]
  FAULT 13, 0, mov al, [fs:ebx + 1]
  mov ebx, 0x1FFF
  FAULT 13, 0, mov ax, [fs:ebx]
  WORKS mov ax, [fs:ebx + 1]
  ; with a limit of FFFFh nothing is left
  DESCRIPTOR S32, BASE, 0xFFFF, 0x96, 0
  mov ax, S32
  mov fs, ax
  FAULT 13, 0, mov al, [fs:0xFFFF]
  FAULT 13, 0, mov al, [fs:0]
  ; a segment of 4 GiB: every offset; operands at the end wrap - which the manual leaves to the processor, so only bytes here
  DESCRIPTOR S32, BASE, 0xFFFFF, 0x92, 0xC
  mov ax, S32
  mov fs, ax
  mov byte [scratch], 0x42
  mov ebx, scratch + 0x10
  WORKS mov al, [fs:ebx - 0x10]
  EQ al, 0x42
  mov ebx, scratch - 0x80000000
  mov al, [fs:ebx + 0x80000000]
  EQ al, 0x42
  ; the base plus the offset wraps
  DESCRIPTOR S32, 0xFFFF0000, 0xFFFFF, 0x92, 0xC
  mov ax, S32
  mov fs, ax
  mov ebx, BASE + 0x10000 + scratch
  mov al, [fs:ebx]
  EQ al, 0x42
  mov ax, DATA0
  mov fs, ax

  ; ---- 16-bit stack segment in 32-bit code: SP alone moves
  DESCRIPTOR S16, BASE, 0xFFFF, 0x92, 0
  mov ebp, 0xAAAA5555
  mov esi, esp
  mov ax, S16
  mov ss, ax
  mov esp, 0x7777C000
  push eax
  EQ esp, 0x7777BFFC
  pushad
  EQ esp, 0x7777BFDC
  popad
  call .here
.here:
  EQ esp, 0x7777BFF8
  pop ecx
  pop eax
  enter 0x20, 3
  ; EBP, two outer frames, this frame: 16 bytes, and the locals
  EQ sp, 0xC000 - 16 - 0x20
  EQ ebp, 0x7777BFFC
  EQ dword [0xBFFC], 0xAAAA5555
  leave
  EQ esp, 0x7777C000
  EQ ebp, 0xAAAA5555
  mov ax, DATA0
  mov ss, ax
  mov esp, esi
.done:
  mov esp, STACK0 - 4
  ret

  align 4
realVector: dw 0
realIP: dw 0
realCS: dw 0
realResume: dw 0
realFailed: dw 0
realESP: dd 0
scratch: dd 0, 0
%include "end.inc"
