; Times 2^20 LOOPs by the timer, over and over, as Windows 95 does it when it calibrates its delays: it then divides by the milliseconds
; that they took. Writes the microseconds of each round to port E9h, a line each, and ends through port F4h: 0 when all took a millisecond
; at least, else 1. Runs on a 386.
  bits 16
  cpu 386
  org 0x7C00

%define ROUNDS 40
%define PIECES 8               ; a piece must not take as long as a round of the timer

  jmp 0:start
start:
  xor ax, ax
  mov ds, ax
  mov ss, ax
  mov sp, 0x7C00
  cli
  mov al, 0x34                 ; counter 0 counts 65536 in mode 2
  out 0x43, al
  xor al, al
  out 0x40, al
  out 0x40, al
  mov byte [rounds], ROUNDS
.round:
  xor ebp, ebp                 ; ticks
  mov byte [pieces], PIECES
.piece:
  call clock
  mov bx, ax
  mov ecx, (1 << 20) / PIECES
.loop:
  a32 loop .loop
  call clock
  sub bx, ax
  movzx ebx, bx
  add ebp, ebx
  dec byte [pieces]
  jnz .piece
  ; microseconds: ticks times 1,000,000 / 1,193,182
  mov eax, ebp
  mov ebx, 1000000
  mul ebx
  mov ebx, 1193182
  div ebx
  cmp eax, 1000
  jae .enough
  mov byte [failed], 1
.enough:
  call decimal
  dec byte [rounds]
  jnz .round
  mov al, [failed]
  out 0xF4, al
  hlt

; AX: counter 0.
clock:
  xor al, al
  out 0x43, al
  in al, 0x40
  mov ah, al
  in al, 0x40
  xchg al, ah
  ret

; EAX as a line.
decimal:
  mov ebx, 10
  xor cx, cx
.divide:
  xor edx, edx
  div ebx
  push dx
  inc cx
  test eax, eax
  jnz .divide
.digit:
  pop ax
  add al, "0"
  out 0xE9, al
  loop .digit
  mov al, 10
  out 0xE9, al
  ret

failed: db 0
rounds: db 0
pieces: db 0
  times 510-($-$$) db 0
  dw 0xAA55
