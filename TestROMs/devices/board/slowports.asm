; The time that accesses to slow ports take: about a microsecond on the ISA side of a PC, whatever the processor's speed is. Programs and
; kernels rely on it: delays by reading a port, quick calibrations of the TSC, probes that count their tries.
; Follows: ISA bus specification (8-bit I/O cycle of six and more clocks of 8.33 MHz); Intel 82371SB data sheet, I/O recovery times.
%include "common.inc"

%define TIMES 1000
%define AT_LEAST 1190          ; clocks of 1.193182 MHz in TIMES microseconds
%define AT_MOST 3000

; TAKES instruction, low, high, text: TIMES of it, in clocks
%macro TAKES 4+
  call readClock
  mov [before], ax
  mov cx, TIMES
%%next:
  %1
  loop %%next
  call elapsed
  BETWEEN %2, %3, %4
%endmacro
%macro SLOW 2+                 ; port, text
  mov dx, %1
  TAKES {in al, dx}, AT_LEAST, AT_MOST, %2
%endmacro

test:
  test byte [platform], QEMU | BOCHS  ; their ports take no time
  jz .start
  ret
.start:
  ; ---- what waits
  SLOW 0x61, "port 61h"
  SLOW 0x42, "timer"
  SLOW 0x71, "RTC"
  SLOW 0x64, "keyboard controller"
  SLOW 0x00, "DMA"
  SLOW 0x81, "DMA page"
  SLOW 0x21, "PIC"
  SLOW 0x3F4, "floppy"
  SLOW 0x3FD, "UART"
  SLOW 0x379, "printer"
  SLOW 0x201, "game port"
  SLOW 0x388, "nobody: where an AdLib is looked for"
  mov dx, 0x80
  TAKES {out dx, al}, AT_LEAST, AT_MOST, "OUT to 80h"
  mov dx, 0x300
  TAKES {in ax, dx}, AT_LEAST, AT_MOST, "a word of nobody is one cycle"
  mov dx, 0x80
  TAKES {in ax, dx}, 2 * AT_LEAST, 2 * AT_MOST, "a word of two 8-bit ports is two"

  ; ---- repetitions: each iteration
  call readClock
  mov [before], ax
  mov cx, TIMES
  mov dx, 0x80
  xor si, si
  rep outsb
  call elapsed
  BETWEEN AT_LEAST, AT_MOST, "REP OUTSB"
  mov ax, BUFFER_SEG
  mov es, ax
  call readClock
  mov [before], ax
  mov cx, TIMES
  mov dx, 0x61
  xor di, di
  rep insb
  call elapsed
  BETWEEN AT_LEAST, AT_MOST, "REP INSB"
  mov ax, ds
  mov es, ax

  ; ---- what does not
  mov dx, 0x1F7
  TAKES {in al, dx}, 0, AT_LEAST, "IDE status"
  mov dx, 0x3DA
  TAKES {in al, dx}, 0, AT_LEAST, "VGA status"

  ; ---- an event inside of a repetition is met there: counter 0 ends after 500 clocks
  mov al, 0x08
  mov dx, irq0
  call setVector
  OUTB 0x43, 0x30
  OUTB 0x40, 500 & 0xFF
  OUTB 0x40, 500 >> 8
  OUTB 0x21, 0xFE
  mov cx, 4000
  mov dx, 0x80
  xor si, si
  sti
  rep outsb
  cli
  OUTB 0x21, 0xFF
  call startClock
  mov ax, 4000
  sub ax, [left]
  ; 419 microseconds less those of the OUTs that unmask it.
  BETWEEN 300, 425, "iterations before the interrupt"
  mov al, [count]
  IS 1, "one interrupt"

  ; ---- how a kernel calibrates: the high byte of a count from FFFFh is FFh for a while
  in al, 0x61
  and al, 0xFD
  or al, 1
  out 0x61, al
  OUTB 0x43, 0xB0
  OUTB 0x42, 0xFF
  OUTB 0x42, 0xFF
  in al, 0x42
  in al, 0x42
  xor cx, cx
.msb:
  in al, 0x42
  in al, 0x42
  cmp al, 0xFF
  jne .changed
  inc cx
  cmp cx, 50000
  jb .msb
.changed:
  IS 0xFE, "the next high byte"
  mov ax, cx
  BETWEEN 6, 200, "times that FFh was read"

  ; ---- the TSC counts time, not instructions
  mov bx, .spin
  call stamps
  mov [stamp], eax
  mov bx, .ports
  call stamps
  mov ebx, [stamp]
  sub eax, ebx
  jns .positive
  neg eax
.positive:
  mov ecx, eax
  mov eax, ebx
  mov ebx, 20
  xor edx, edx
  div ebx
  cmp ecx, eax
  HOLDS be, "time-stamps of 10 ms with and without slow ports are within 5 %"
  ret
.spin:
  nop
  ret
.ports:
  in al, 0x80
  ret

; EAX: how far the TSC goes in 12,000 clocks in which BX is called again and again.
stamps:
  call startClock
  rdtsc
  mov [low], eax
.next:
  call bx
  call readClock
  neg ax
  cmp ax, 12000
  jb .next
  rdtsc
  sub eax, [low]
  ret

; AX: clocks since `before`.
elapsed:
  call readClock
  sub ax, [before]
  neg ax
  ret

irq0:
  push ax
  mov [cs:left], cx
  inc byte [cs:count]
  OUTB 0x20, 0x20
  pop ax
  iret

  align 4
stamp: dd 0
low: dd 0
before: dw 0
left: dw 0
count: db 0
%include "end.inc"
