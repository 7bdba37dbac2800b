; The time-stamp counter beside the timer: the same number of clocks in a millisecond whatever the processor does, instructions, halts or
; accesses to slow ports; it never goes back; what WRMSR sets it to, it goes on from. Whoever runs this may change the rate of instructions
; meanwhile.
; Follows: Intel SDM volume 3, "Time-Stamp Counter" (the count goes up with time, at a constant rate, also in HLT); a kernel's calibration
; takes it as that.
%include "common.inc"

%define TICKS 119318           ; 100 ms of the timer's 1.193182 MHz: a tick at each end is 2 in 100,000

; TICKS and a little more of: what takes time, less than a round of the timer at once.
%macro PHASE 2+                ; body, text
  call begin
%%next:
  call %1
  call elapsed
  cmp ebp, TICKS
  jb %%next
  call ratio
  call compare
  HOLDS be, %2
%endmacro

test:
  ; ---- the time base first, then the others against it
  mov dword [reference], 0
  PHASE spin, "a loop"
  mov eax, [measured]
  mov [reference], eax
  ; it is that of some processor: 20 MHz to 10 GHz
  cmp eax, 16 << 8
  HOLDS ae, "20 MHz at least"
  PHASE spin, "a loop again"
  PHASE strings, "string instructions"
  PHASE ports, "slow ports"
  PHASE bytes, "slow ports in parts"
  ; ---- halted: the clock wakes it 128 times a second
  mov al, 0x70
  mov dx, tick
  call setVector
  OUTB 0x70, 0x0A
  OUTB 0x71, 0x29
  OUTB 0x70, 0x0B
  OUTB 0x71, 0x42              ; periodic interrupt
  OUTB 0x70, 0x0C
  in al, 0x71
  OUTB 0x21, 0xFB
  OUTB 0xA1, 0xFE
  PHASE halts, "halted"
  PHASE halts, "halted again"
  PHASE mixed, "halts and loops"
  OUTB 0x21, 0xFF
  OUTB 0xA1, 0xFF
  PHASE spin, "a loop afterwards"

  ; ---- it goes on from where it is set to; the upper half is cleared by the P6 family
  mov ecx, 0x10
  mov eax, 0x10000000
  xor edx, edx
  wrmsr
  rdtsc
  UNLESS QEMU                  ; does not let it be set
  sub eax, 0x10000000
  HOLDS nc, "not below what was set"
  cmp eax, 1000000
  HOLDS b, "and near it"
  test edx, edx
  HOLDS z, "the upper half is cleared"
  ENDUNLESS
  PHASE spin, "a loop after setting it"
  OUTB 0x21, 0xFB
  OUTB 0xA1, 0xFE
  PHASE halts, "halted after setting it"
  OUTB 0x21, 0xFF
  OUTB 0xA1, 0xFF

  ; ---- it never goes back
  mov ecx, 20000
  rdtsc
  mov ebx, eax
  mov edi, edx
.again:
  rdtsc
  cmp edi, edx
  jb .later
  ja .back
  cmp ebx, eax
  ja .back
.later:
  mov ebx, eax
  mov edi, edx
  test cl, 15
  jnz .next
  in al, 0x61
.next:
  dec ecx
  jnz .again
.back:
  test ecx, ecx
  HOLDS z, "never back"
  ret

; ---- what takes time
spin:
  mov cx, 5000
  loop $
  ret
strings:
  push es
  mov ax, BUFFER_SEG
  mov es, ax
  xor di, di
  mov cx, 8000
  rep stosb
  pop es
  ret
ports:
  mov cx, 500
.next:
  in al, 0x61
  out 0x80, al
  loop .next
  ret
bytes:
  mov cx, 200
.next:
  mov dx, 0x80
  out dx, eax
  loop .next
  ret
halts:
  sti
  hlt
  cli
  ret
mixed:
  call halts
  jmp spin
tick:
  push ax
  mov al, 0x0C
  out 0x70, al
  in al, 0x71
  mov al, 0x20
  out 0xA0, al
  out 0x20, al
  pop ax
  iret

; ---- both clocks
; AX: the timer, [stamp]: the counter, as near to each other as can be: the timer's count is latched, then RDTSC.
both:
  mov al, 0
  out 0x43, al
  rdtsc
  mov [stamp], eax
  mov [stamp + 4], edx
  in al, 0x40
  mov ah, al
  in al, 0x40
  xchg al, ah
  ret

begin:
  call both
  mov [lastTimer], ax
  mov eax, [stamp]
  mov [firstStamp], eax
  mov eax, [stamp + 4]
  mov [firstStamp + 4], eax
  xor ebp, ebp
  ret

; EBP: ticks of the timer since `begin`; to be asked before it has gone round.
elapsed:
  call both
  mov bx, [lastTimer]
  mov [lastTimer], ax
  sub bx, ax
  movzx ebx, bx
  add ebp, ebx
  ret

; [measured]: clocks for a tick of the timer, times 256.
ratio:
  mov eax, [stamp]
  mov edx, [stamp + 4]
  sub eax, [firstStamp]
  sbb edx, [firstStamp + 4]
  shld edx, eax, 8
  shl eax, 8
  div ebp
  mov [measured], eax
  ret

; Flags as of CMP: not above when [measured] is within 1 in 10,000 of [reference]; always when there is none.
compare:
  mov eax, [reference]
  test eax, eax
  jz .good
  mov ebx, eax
  xor edx, edx
  mov ecx, 10000
  div ecx
  inc eax
  sub ebx, [measured]
  jns .positive
  neg ebx
.positive:
  cmp ebx, eax
.good:
  ret

  align 4
stamp: dd 0, 0
firstStamp: dd 0, 0
reference: dd 0
measured: dd 0
lastTimer: dw 0
%include "end.inc"
