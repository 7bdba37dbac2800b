; Decoding: the length limit of 15 bytes with prefixes, which instructions take LOCK, undefined encodings, register forms of instructions that need
; memory, prefixes in any order and number, operand and address size in both code sizes, segment overrides, the two-byte forms of short
; instructions.
; Expected: PASS.
; Follows: Intel SDM volume 2, chapter 2 and appendix A, LOCK; volume 3, 6.15 (#UD, #GP for the length).
%include "common.inc"

; UNDEFINED bytes
%macro UNDEFINED 1+
  FAULT 6, 0, db %1
%endmacro
%macro UNDEFINED_NOT_QEMU 1+
  SEGMENT_FAULT 6, 0, db %1
%endmacro
; Bytes that must work.
%macro FINE 1+
  WORKS db %1
%endmacro

test:
  ; ---- fifteen bytes are the most
  mov eax, 1
  mov ebx, data
  FINE 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90
  FAULT 13, 0, db 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90
  FINE 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x90
  FAULT 13, 0, db 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x2E, 0x90
  ; the operand pushes it over: ADD DWORD [disp32], imm32 is 10 bytes
  mov dword [data], 0
%macro LONG_ADD 1             ; prefixes
%%at:
  times %1 db 0x3E
  db 0x81, 0x05
  dd data, 0x01010101
%endmacro
  LONG_ADD 0
  LONG_ADD 5
  EQ dword [data], 0x02020202
  mov dword [resume], .tooLong
  mov dword [vector], -1
  LONG_ADD 6
.tooLong:
  mov dword [resume], 0
  EQ dword [vector], 13
  EQ dword [errorCode], 0
  EQ dword [data], 0x02020202
  ; an undefined opcode behind fourteen prefixes is undefined, behind fifteen too long
  FAULT 13, 0, db 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x0F, 0x0B

  ; ---- LOCK: with memory destinations of the instructions of its list
  mov edi, data
  mov ebx, data
  mov ecx, 0
  FINE 0xF0, 0x00, 0x0B               ; ADD [EBX], CL
  FINE 0xF0, 0x01, 0x0B
  FINE 0xF0, 0x08, 0x0B               ; OR
  FINE 0xF0, 0x09, 0x0B
  FINE 0xF0, 0x10, 0x0B               ; ADC
  FINE 0xF0, 0x19, 0x0B               ; SBB
  FINE 0xF0, 0x21, 0x0B               ; AND
  FINE 0xF0, 0x29, 0x0B               ; SUB
  FINE 0xF0, 0x31, 0x0B               ; XOR
  FINE 0xF0, 0x80, 0x03, 0x01         ; ADD [EBX], 1
  FINE 0xF0, 0x81, 0x2B, 1, 0, 0, 0   ; SUB
  FINE 0xF0, 0x83, 0x33, 0x00         ; XOR
  FINE 0xF0, 0xFE, 0x03               ; INC
  FINE 0xF0, 0xFF, 0x0B               ; DEC
  FINE 0xF0, 0xF6, 0x13               ; NOT
  FINE 0xF0, 0xF7, 0x1B               ; NEG
  FINE 0xF0, 0x86, 0x0B               ; XCHG
  FINE 0xF0, 0x87, 0x0B
  FINE 0xF0, 0x0F, 0xAB, 0x0B         ; BTS
  FINE 0xF0, 0x0F, 0xB3, 0x0B         ; BTR
  FINE 0xF0, 0x0F, 0xBB, 0x0B         ; BTC
  FINE 0xF0, 0x0F, 0xBA, 0x2B, 0      ; BTS imm
  FINE 0xF0, 0x0F, 0xBA, 0x33, 0
  FINE 0xF0, 0x0F, 0xBA, 0x3B, 0
  call has486
  jz .no486
  FINE 0xF0, 0x0F, 0xB1, 0x0B         ; CMPXCHG
  FINE 0xF0, 0x0F, 0xC1, 0x0B         ; XADD
.no486:
  ; with registers, other instructions, other operands: undefined
  UNDEFINED_NOT_QEMU 0xF0, 0x01, 0xC8
  UNDEFINED_NOT_QEMU 0xF0, 0x03, 0x0B          ; ADD ECX, [EBX]
  UNDEFINED_NOT_QEMU 0xF0, 0x38, 0x0B          ; CMP [EBX], CL
  UNDEFINED_NOT_QEMU 0xF0, 0x39, 0x0B
  UNDEFINED_NOT_QEMU 0xF0, 0x80, 0x3B, 0x00    ; CMP imm
  UNDEFINED_NOT_QEMU 0xF0, 0x83, 0xC0, 0x00
  UNDEFINED_NOT_QEMU 0xF0, 0x84, 0x0B          ; TEST
  UNDEFINED_NOT_QEMU 0xF0, 0x87, 0xC8          ; XCHG register
  UNDEFINED_NOT_QEMU 0xF0, 0x88, 0x0B          ; MOV
  UNDEFINED_NOT_QEMU 0xF0, 0x89, 0x0B
  UNDEFINED_NOT_QEMU 0xF0, 0x8B, 0x0B
  UNDEFINED_NOT_QEMU 0xF0, 0x90
  UNDEFINED_NOT_QEMU 0xF0, 0xFF, 0xC0          ; INC EAX
  UNDEFINED_NOT_QEMU 0xF0, 0x40
  UNDEFINED_NOT_QEMU 0xF0, 0xF6, 0x03, 0x00    ; TEST
  UNDEFINED_NOT_QEMU 0xF0, 0xF7, 0x23          ; MUL
  UNDEFINED_NOT_QEMU 0xF0, 0xFF, 0x33          ; PUSH
  UNDEFINED_NOT_QEMU 0xF0, 0xD1, 0x23          ; SHL
  UNDEFINED_NOT_QEMU 0xF0, 0x0F, 0xA3, 0x0B    ; BT
  UNDEFINED_NOT_QEMU 0xF0, 0x0F, 0xBA, 0x23, 0 ; BT imm
  UNDEFINED_NOT_QEMU 0xF0, 0x0F, 0xAB, 0xC8    ; BTS register
  UNDEFINED_NOT_QEMU 0xF0, 0x0F, 0xA5, 0x0B    ; SHLD
  UNDEFINED_NOT_QEMU 0xF0, 0xA5
  UNDEFINED_NOT_QEMU 0xF0, 0xF3, 0xA4
  UNDEFINED_NOT_QEMU 0xF0, 0xFA
  UNDEFINED_NOT_QEMU 0xF0, 0xC3
  UNDEFINED_NOT_QEMU 0xF0, 0xE8, 0, 0, 0, 0
  UNDEFINED_NOT_QEMU 0xF0, 0xCD, 0x41
  UNDEFINED_NOT_QEMU 0xF0, 0xD8, 0x03

  ; ---- undefined encodings
  UNDEFINED 0x0F, 0x0B
  UNDEFINED 0xFE, 0x13                ; group 4: /2 and up
  UNDEFINED 0xFE, 0xF8
  UNDEFINED 0xFF, 0x3B                ; group 5: /7
  UNDEFINED 0xFF, 0xFB
  UNDEFINED 0xFF, 0xD8                ; CALL FAR register
  UNDEFINED 0xFF, 0xE8                ; JMP FAR register
  UNDEFINED 0x8D, 0xC0                ; LEA register
  UNDEFINED 0x62, 0xC0                ; BOUND register
  UNDEFINED 0xC4, 0xC0                ; LES register
  UNDEFINED 0xC5, 0xC0
  UNDEFINED 0x0F, 0xB2, 0xC0          ; LSS register
  UNDEFINED 0x0F, 0xB4, 0xC0
  UNDEFINED 0x0F, 0xB5, 0xC0
  UNDEFINED 0x8C, 0xF0                ; MOV EAX, segment 6
  UNDEFINED 0x8C, 0xF8
  UNDEFINED 0x8E, 0xC8                ; MOV CS, AX
  UNDEFINED 0x8E, 0xF0
  UNDEFINED 0x8E, 0xF8
  UNDEFINED_NOT_QEMU 0xC6, 0x4B, 0x00, 0x00    ; group 11: /1
  UNDEFINED_NOT_QEMU 0xC7, 0x4B, 0x00, 0, 0, 0, 0
  UNDEFINED_NOT_QEMU 0x8F, 0x4B, 0x00          ; group 1A: /1
  UNDEFINED 0x0F, 0xBA, 0x03, 0       ; group 8: /0 to /3
  UNDEFINED 0x0F, 0xBA, 0x1B, 0
  UNDEFINED 0x0F, 0xAE, 0x23          ; group 15 with memory: /4 to /6 are XSAVE and its like, which want CR4.OSXSAVE
  UNDEFINED 0x0F, 0xAE, 0x2B
  UNDEFINED 0x0F, 0xAE, 0x33
  UNDEFINED 0x0F, 0xAE, 0xC0          ; and with registers: /0 to /4
  UNDEFINED 0x0F, 0xAE, 0xC8
  UNDEFINED 0x0F, 0xAE, 0xD0
  UNDEFINED 0x0F, 0xAE, 0xD8
  UNDEFINED 0x0F, 0xAE, 0xE0
  UNDEFINED 0x0F, 0x00, 0xF0          ; group 6: /6, /7
  UNDEFINED 0x0F, 0x00, 0xF8
  UNDEFINED 0x0F, 0x01, 0x2B          ; group 7: /5
  UNDEFINED 0x0F, 0x01, 0xD8          ; LIDT register
  UNDEFINED 0x0F, 0x04
  UNDEFINED 0x0F, 0x0A
  UNDEFINED 0x0F, 0x0C
  UNDEFINED 0x0F, 0x22, 0xC8          ; CR1
  UNDEFINED 0x0F, 0x22, 0xE8          ; CR5
  UNDEFINED 0x0F, 0x20, 0xF8          ; CR7
  UNDEFINED 0x0F, 0x36
  UNDEFINED 0x0F, 0xA6, 0xC0
  UNDEFINED 0x0F, 0xB9, 0xC0          ; UD1
  UNDEFINED 0x0F, 0xFF, 0xC0          ; UD0
  UNDEFINED 0x66, 0x0F, 0x0B
  UNDEFINED 0xF3, 0x0F, 0x0B
  ; what exists twice
  FINE 0x82, 0xC0, 0x00               ; ADD AL, 0
  cmp byte [onQEMU], 0
  jne .noTEST
  FINE 0xF6, 0xC8, 0x00               ; TEST AL, 0 by /1
  FINE 0xF7, 0xC8, 0, 0, 0, 0
.noTEST:
  FINE 0xC0, 0xF0, 0x01               ; SAL by /6
  FINE 0xD1, 0xF0
  FINE 0xD6                           ; SALC
  FINE 0x9B

  ; ---- MOV to and from control and debug registers do not look at MOD
  FINE 0x0F, 0x20, 0x00               ; MOV EAX, CR0 with MOD 0
  mov ecx, cr0
  EQ eax, ecx
  FINE 0x0F, 0x20, 0x80               ; MOD 2: no displacement
  EQ eax, ecx

  ; ---- operand and address sizes in 32-bit code
  mov eax, 0x11111111
  db 0x66, 0xB8, 0x22, 0x22           ; MOV AX
  EQ eax, 0x11112222
  mov eax, -1
  mov dword [data], 0x12345678
  mov edi, data
  mov ebx, data + 0x10000
  db 0x67, 0x8B, 0x07                 ; MOV EAX, [BX]: 16 bits of address
  EQ eax, 0x12345678
  db 0x67, 0xA1                       ; MOV EAX, [moffs16]
  dw data
  EQ eax, 0x12345678
  mov bx, data - 0x1234
  mov esi, 0x00011234
  db 0x67, 0x8D, 0x00                 ; LEA EAX, [BX + SI]
  EQ eax, data
  db 0x66, 0x67, 0x8D, 0x08           ; LEA CX, [BX + SI]
  EQ cx, data
  mov ebx, 0xFFFF0000 + data
  lea eax, [ebx + 0x10000]
  EQ eax, data
  ; the address wraps at 16 bits
  mov ebx, 0xFFF0
  db 0x67, 0x8D, 0x47, 0x7F           ; LEA EAX, [BX + 7Fh]
  EQ eax, 0x6F
  db 0x67, 0x8D, 0x87, 0x20, 0x00     ; LEA EAX, [BX + 20h]
  EQ eax, 0x10
  ; LOOP and JCXZ by address size
  mov ecx, 0x10001
  db 0x67, 0xE2, 0x02                 ; LOOP with CX: 1 to 0, falls through
  jmp short .loop16
  WRONG
.loop16:
  EQ ecx, 0x10000
  db 0x67, 0xE3, 0x05                 ; JCXZ over the check
  jmp near .noJCXZ
  jmp short .jcxz
.noJCXZ:
  WRONG
.jcxz:
  jecxz .noJCXZ

  ; ---- segment overrides: the last one counts
  push dword [gdt + SPARE]
  DESCRIPTOR SPARE, BASE + 0x100, 0xFFFF, 0x92, 4
  mov ax, SPARE
  mov fs, ax
  mov ebx, data
  mov dword [data + 0x100], 0x0F5F5F5F
  mov dword [data], 0x0D5D5D5D
  db 0x64, 0x8B, 0x03                 ; FS
  EQ eax, 0x0F5F5F5F
  db 0x3E, 0x64, 0x8B, 0x03
  EQ eax, 0x0F5F5F5F
  db 0x64, 0x3E, 0x8B, 0x03
  EQ eax, 0x0D5D5D5D
  db 0x64, 0x66, 0x66, 0x8B, 0x03     ; and repeated sizes do not cancel
  EQ eax, 0x0D5D5F5F
  ; EBP and ESP bases use SS; MOVS takes its source by override, its destination from ES always
  mov ebp, data
  DESCRIPTOR SPARE, BASE + 0x100, 0xFFFF, 0x92, 4
  mov esi, data
  mov edi, data + 16
  db 0x64, 0xA5                       ; FS: MOVSD
  EQ dword [data + 16], 0x0F5F5F5F
  mov ebx, data
  mov al, 0
  db 0x64, 0xD7                       ; FS: XLAT
  EQ al, 0x5F

  ; ---- sizes in 16-bit code
  jmp CODE16:.in16
  bits 16
.in16:
  mov eax, 0x11111111
  db 0xB8, 0x22, 0x22                 ; MOV AX
  cmp eax, 0x11112222
  jne .bad16
  db 0x66, 0xB8, 1, 2, 3, 4           ; MOV EAX
  cmp eax, 0x04030201
  jne .bad16
  mov ebx, data + 0x10000
  db 0x8B, 0x07                       ; MOV AX, [BX]
  cmp ax, 0x5D5D
  jne .bad16
  mov ecx, 0x10001
  db 0xE2, 0x02                       ; LOOP with CX
  jmp short .loop16b
.bad16:
  ud2
.loop16b:
  cmp ecx, 0x10000
  jne .bad16
  mov ecx, 1
  db 0x67, 0xE2, 0xF3                 ; LOOP with ECX: falls through
  db 0x67, 0xE3, 0x02                 ; JECXZ
  jmp short .bad16
  jmp dword CODE0:.back
  bits 32
.back:
  ; branches of 16 bits cut EIP
  mov ecx, 1
  db 0x66, 0xE9                       ; JMP rel16
  dw .cut - ($ + 2)
  WRONG
.cut:
  db 0x66, 0xE8                       ; CALL rel16 pushes a word
  dw .cutCall - ($ + 2)
.cutReturn:
  WRONG
.cutCall:
  pop ax
  mov edx, .cutReturn
  EQ ax, dx
  db 0x66, 0x0F, 0x84                 ; JZ rel16
  dw .cutJump - ($ + 2)
  WRONG
.cutJump:
  pop dword [gdt + SPARE]
  mov esp, STACK0 - 4
  ret

; ZF clear when there is a 486 (EFLAGS.AC)
has486:
  pushfd
  pop eax
  mov edx, eax
  xor eax, 1 << 18
  push eax
  popfd
  pushfd
  pop eax
  push edx
  popfd
  xor eax, edx
  test eax, 1 << 18
  mov eax, 1
  ret

  align 4
  times 64 db 0
data: times 0x180 db 0
%include "end.inc"
