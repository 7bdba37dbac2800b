; Timer interrupts into running code: loops, repeated strings, interrupt shadows, HLT, at ring 0 and ring 3, 16 and 32 bits. At each interrupt
; the registers must be those of exactly the instruction that EIP names, and the flags those of the one before it; no interrupt comes where a shadow
; holds it back; results are as without interrupts; as many come as the timer counts.
; Expected: PASS.
; Follows: Intel SDM volume 3, sections 6.6 (boundaries of instructions), 6.8.3 (shadows); volume 2, REP, STI, HLT; 8254 data sheet.
%include "../cpu/common.inc"

%define PERIOD 61             ; clocks of 1.193182 MHz between interrupts

%macro TIMER_ON 0
  mov al, 0x34
  out 0x43, al
  mov al, PERIOD
  out 0x40, al
  mov al, 0
  out 0x40, al
  mov al, 0xFE
  out 0x21, al
%endmacro
%macro TIMER_OFF 0
  cli
  mov al, 0xFF
  out 0x21, al
%endmacro
; Runs until this many interrupts have come: macro LOOP_UNTIL count, label
%macro LOOP_UNTIL 2
  cmp dword [interrupts], %1
  jb %2
%endmacro
; CHECKED routine: looks at each interrupt's frame
%macro CHECKED 1
  mov dword [checker], %1
  mov dword [interrupts], 0
%endmacro
%macro NO_CHECK 0
  mov dword [checker], nothing
  mov dword [interrupts], 0
%endmacro

test:
  cld
  mov al, 0x11
  out 0x20, al
  out 0xA0, al
  mov al, 0x20
  out 0x21, al
  mov al, 0x28
  out 0xA1, al
  mov al, 4
  out 0x21, al
  mov al, 2
  out 0xA1, al
  mov al, 1
  out 0x21, al
  out 0xA1, al
  mov al, 0xFF
  out 0x21, al
  out 0xA1, al
  GATE idt, 0x20, CODE0, timer, 0x8E, 0
  GATE idt, 0x27, CODE0, spurious, 0x8E, 0
  TIMER_ON

  ; ---- a loop of one-step instructions, ring 0
  CHECKED checkSteps
  mov dword [stepsAt], steps
  sti
.ring0:
  call runSteps
  LOOP_UNTIL 300, .ring0
  cli
  NO_CHECK
  ; ring 3
  CHECKED checkSteps
  TO_RING 3
  sti
.ring3:
  call runSteps
  LOOP_UNTIL 300, .ring3
  cli
  TO_RING0
  ; 16-bit code: the same bytes are other instructions of the same kind
  CHECKED checkSteps
  sti
.code16:
  push cs
  push dword .back16
  mov ecx, 2000
  jmp CODE16:steps16
.back16:
  LOOP_UNTIL 300, .code16
  cli

  ; ---- flags: each instruction's result is in the pushed flags
  CHECKED checkFlags
  sti
.flags:
  mov ecx, 3000
.flagLoop:
  mov eax, 0x7FFFFFFF                 ; 0: from DEC ECX below, or anything
f1:
  add eax, 1                          ; 1
f2:
  mov edx, 5                          ; SF OF AF PF
f3:
  sub edx, 6
f4:
  mov ebx, ecx                        ; CF SF AF PF
f5:
  and edx, 0
f6:
  nop                                 ; ZF PF
f7:
  stc
f8:
  nop                                 ; CF ZF PF
f9:
  dec ecx
  jnz test.flagLoop
  LOOP_UNTIL 300, test.flags
  cli

  ; ---- repeated strings: at the instruction itself, with what is done done
  mov esi, 0x8000
  mov ecx, 0x2000 / 4
  mov edi, esi
  mov eax, 0x01234567
.pattern:
  stosd
  add eax, 0x01010107
  loop .pattern
  CHECKED checkREP
  sti
.strings:
  mov esi, 0x8000
  mov edi, 0xA000
  mov ecx, 0x2000
.movs:
  mov dword [repAt], .movs2
  mov dword [repSum], 0x2000 + 0xA000
.movs2:
  rep movsb
  mov dword [repAt], 0
  EQ ecx, 0
  EQ esi, 0xA000
  EQ edi, 0xC000
  ; compared again, the same: 2000h bytes to the end
  mov esi, 0x8000
  mov edi, 0xA000
  mov ecx, 0x2000
  mov dword [repSum], 0x2000 + 0xA000
  mov dword [repAt], .cmps
.cmps:
  repe cmpsb
  mov dword [repAt], 0
  jne .wrong
  EQ ecx, 0
  ; one byte differs
  xor byte [0xB800], 0x10
  mov esi, 0x8000
  mov edi, 0xA000
  mov ecx, 0x2000
  mov dword [repAt], .cmps2
.cmps2:
  repe cmpsb
  mov dword [repAt], 0
  je .wrong
  EQ ecx, 0x2000 - 0x1801
  xor byte [0xB800], 0x10
  ; downwards, words
  std
  mov esi, 0x9FFE
  mov edi, 0xBFFE
  mov ecx, 0x1000
  rep movsw
  cld
  EQ esi, 0x7FFE
  mov edi, 0xA000
  mov ecx, 0x2000
  mov al, 0xAA
  mov dword [repSum], 0x2000 + 0xA000
  mov dword [repAt], .stos
.stos:
  rep stosb
  mov dword [repAt], 0
  mov edi, 0xA000
  mov ecx, 0x2000
  mov dword [repAt], .scas
.scas:
  repe scasb
  mov dword [repAt], 0
  jne .wrong
  EQ ecx, 0
  mov esi, 0x8000
  mov ecx, 0x2000
.lods:
  rep lodsb
  EQ esi, 0xA000
  cmp dword [repInterrupts], 60
  jb .strings
  jmp .stringsDone
.wrong:
  WRONG
.stringsDone:
  cli

  ; ---- shadows: STI, MOV SS, POP SS
  CHECKED checkShadow
  mov ecx, 200000
.noGap:
  sti
.afterSTI:
  cli                                 ; never lets one through
  dec ecx
  jnz .noGap
  EQ dword [interrupts], 0
  mov dword [noInterruptAt], .afterSTI2
.gap:
  sti
.afterSTI2:
  nop
.gapHere:
  cli
  LOOP_UNTIL 40, .gap
  ; STI with interrupts enabled has no shadow, and two in a row still only one
  mov dword [interrupts], 0
  mov dword [noInterruptAt], .inSS
  mov dword [noInterruptAt2], .inSS2
  mov dword [noInterruptAt3], .inSS3
  sti
  mov bx, ss
.stackLoop:
  mov ss, bx
.inSS:
  mov esp, STACK0 - 0x100
  push ss
  pop ss
.inSS2:
  mov esp, STACK0 - 0x100
  mov [pointer], esp
  mov word [pointer + 4], DATA0
  lss esp, [pointer]                  ; whole, no shadow needed
  nop
  mov ss, bx
.inSS3:
  nop
  LOOP_UNTIL 100, .stackLoop
  cli
  xor eax, eax
  mov [noInterruptAt], eax
  mov [noInterruptAt2], eax
  mov [noInterruptAt3], eax

  ; ---- HLT: the interrupt returns behind it
  CHECKED checkHalt
  mov ecx, 40
.halts:
  sti
  hlt
afterHalt:
  cli
  mov eax, 41
  sub eax, ecx
  cmp [interrupts], eax               ; at least one each
  jae .woken
  WRONG
.woken:
  loop f9.halts

  cmp byte [onQEMU], 0                ; loses some when the host is busy
  jne near .counted
  ; ---- as many as the timer counts: counter 2 runs along. 65536 clocks are 1074 periods and a bit
  NO_CHECK
  in al, 0x61
  and al, 0xFC
  out 0x61, al
  mov al, 0xB4                        ; mode 2
  out 0x43, al
  mov al, 0
  out 0x42, al
  out 0x42, al
  in al, 0x61
  or al, 1
  out 0x61, al
  call readCounter2
  mov esi, eax
  mov dword [interrupts], 0
  sti
  mov edi, 0
.counting:
  mov ecx, 50
  xor edx, edx
.work:
  add edx, ecx
  loop .work
  EQ edx, 1275
  cmp dword [interrupts], 500
  jb .counting
  cli
  call readCounter2
  sub esi, eax
  and esi, 0xFFFF
  mov eax, esi
  xor edx, edx
  mov ebx, PERIOD
  div ebx
  sub eax, [interrupts]
  add eax, 2                          ; one may be pending, one half over
  cmp eax, 5
  jb .counted
  WRONG
.counted:
  TIMER_OFF
  mov esp, STACK0 - 4
  ret

readCounter2:
  mov al, 0x80
  out 0x43, al
  in al, 0x42
  mov ah, al
  in al, 0x42
  xchg al, ah
  movzx eax, ax
  ret

; One step an instruction: at .k the first k registers are one ahead.
runSteps:
  xor eax, eax
  xor ebx, ebx
  xor edx, edx
  xor edi, edi
  mov ecx, 2000
steps:
  inc eax
.1:
  inc ebx
.2:
  inc edx
.3:
  inc edi
.4:
  dec ecx
.5:
  jnz steps
.end:
  EQ eax, 2000
  EQ ebx, 2000
  EQ edx, 2000
  EQ edi, 2000
  ret

  bits 16
steps16:
  xor eax, eax
  xor ebx, ebx
  xor edx, edx
  xor edi, edi
.loop:
  inc ax
.1:
  inc bx
.2:
  inc dx
.3:
  inc di
.4:
  dec cx
.5:
  jnz .loop
.end:
  cmp ax, 2000
  jne .bad
  cmp di, 2000
  jne .bad
  o32 retf
.bad:
  ud2
  bits 32

; ---- the handler; [ebp]: EDI ESI EBP ESP EBX EDX ECX EAX, DS, ES, EIP CS EFLAGS
timer:
  push es
  push ds
  pushad
  mov ebp, esp
  mov ax, DATA0
  mov ds, ax
  mov es, ax
  cld
  inc dword [interrupts]
  call [checker]
  mov al, 0x20
  out 0x20, al
  popad
  pop ds
  pop es
  iretd
spurious:
  iretd

%define F_EDI ebp
%define F_ESI ebp + 4
%define F_EBX ebp + 16
%define F_EDX ebp + 20
%define F_ECX ebp + 24
%define F_EAX ebp + 28
%define F_EIP ebp + 40
%define F_CS ebp + 44
%define F_FLAGS ebp + 48

nothing:
  ret

checkSteps:
  mov eax, [F_EIP]
  mov ecx, 5
  mov esi, stepAddresses
.find:
  cmp eax, [esi]
  je .found
  add esi, 4
  loop .find
  mov ecx, 5
  mov esi, stepAddresses16
.find16:
  cmp eax, [esi]
  je .found
  add esi, 4
  loop .find16
  ret                                 ; elsewhere
.found:
  ; ECX: 5 at steps, 4 at .1 ... 1 at .4
  mov eax, [F_EAX]
  mov ebx, eax
  cmp ecx, 5
  je .b
  dec ebx                             ; EAX is ahead
.b:
  mov edx, ebx
  cmp ecx, 4
  jae .checkB
  inc edx
.checkB:
  EQ edx, [F_EBX]
  mov edx, ebx
  cmp ecx, 3
  jae .checkD
  inc edx
.checkD:
  EQ edx, [F_EDX]
  mov edx, ebx
  cmp ecx, 2
  jae .checkDI
  inc edx
.checkDI:
  EQ edx, [F_EDI]
  ; the rounds done and those left
  add ebx, [F_ECX]
  EQ ebx, 2000
  ret

checkFlags:
  mov eax, [F_EIP]
  mov esi, flagTable
.find:
  cmp dword [esi], 0
  je .end
  cmp eax, [esi]
  je .found
  add esi, 8
  jmp .find
.found:
  mov eax, [F_FLAGS]
  and eax, 0x8D5
  EQ eax, [esi + 4]
.end:
  ret

checkREP:
  mov eax, [F_EIP]
  cmp eax, [repAt]
  jne .end
  mov eax, [F_ECX]
  cmp eax, 0x2000
  je .end                             ; not begun
  inc dword [repInterrupts]
  add eax, [F_EDI]
  EQ eax, [repSum]
.end:
  ret

checkShadow:
  mov eax, [F_EIP]
  NE eax, [noInterruptAt]
  NE eax, [noInterruptAt2]
  NE eax, [noInterruptAt3]
  ret

checkHalt:
  EQ dword [F_EIP], afterHalt
  ret

  align 4
stepAddresses: dd steps, steps.1, steps.2, steps.3, steps.4
stepAddresses16: dd steps16.loop, steps16.1, steps16.2, steps16.3, steps16.4
flagTable:
  dd f2, 0x894, f3, 0x894, f4, 0x95, f5, 0x95, f6, 0x44, f7, 0x44, f8, 0x45, f9, 0x45, 0
checker: dd nothing
interrupts: dd 0
repInterrupts: dd 0
stepsAt: dd 0
repAt: dd 0
repSum: dd 0
noInterruptAt: dd 0
noInterruptAt2: dd 0
noInterruptAt3: dd 0
pointer: dd 0, 0
%include "../cpu/end.inc"
