; The 8254 and port 61h: the six modes' counts, gates and outputs as far as a program sees them, latches, read-back, BCD.
; Counter 2 is tested (gate: port 61h bit 0, OUT: bit 5), with counter 0 as the clock.
; Follows: Intel 8254 data sheet (231164); IBM AT Technical Reference for port 61h.
%include "common.inc"

%macro GATE_UP 0
  in al, 0x61
  or al, 1
  out 0x61, al
%endmacro
%macro GATE_DOWN 0
  in al, 0x61
  and al, 0xFE
  out 0x61, al
%endmacro
%macro CONTROL 1
  OUTB 0x43, %1
%endmacro
%macro COUNT 1                 ; low, then high
  OUTB 0x42, (%1) & 0xFF
  OUTB 0x42, (%1) >> 8
%endmacro
%macro OUT_IS 2+               ; 0 or 1
  in al, 0x61
  BITS_ARE 0x20, (%1) << 5, %2
%endmacro
; AX: the count of counter 2, latched
%macro LATCH 0
  call latch2
%endmacro
; AL: status of counter 2
%macro STATUS 0
  OUTB 0x43, 0xE8
  in al, 0x42
%endmacro

test:
  ; ---- port 61h
  in al, 0x61
  and al, 0xFC
  out 0x61, al
  in al, 0x61
  BITS_ARE 0x03, 0x00, "port 61h: gate and speaker off"
  or al, 3
  out 0x61, al
  in al, 0x61
  BITS_ARE 0x03, 0x03, "port 61h: gate and speaker on"
  and al, 0xFD
  out 0x61, al
  in al, 0x61
  BITS_ARE 0x03, 0x01, "port 61h: gate alone"
  BITS_ARE 0xC0, 0x00, "port 61h: no parity error, no channel check"
  ; the refresh bit toggles
  xor bl, bl
  mov cx, 10000
  in al, 0x61
  and al, 0x10
  mov ah, al
.refresh:
  in al, 0x61
  and al, 0x10
  cmp al, ah
  je .same
  mov ah, al
  inc bl
  cmp bl, 4
  je .toggles
.same:
  loop .refresh
.toggles:
  mov al, bl
  IS 4, "port 61h: bit 4 toggles"

  ; ---- mode 0
  GATE_DOWN
  CONTROL 0xB6
  COUNT 1000
  CONTROL 0xB0
  UNLESS QEMU                       ; QEMU takes the mode with the count; it has neither null count nor gate in modes 0 and 4
  OUT_IS 0, "mode 0: the control word puts OUT low"
  STATUS
  IS 0x70, "mode 0: status after the control word (OUT 0, null count, access, mode)"
  COUNT 0x1234
  DELAY 20
  STATUS
  IS 0x30, "mode 0: the count is loaded though GATE is low"
  LATCH
  IS16 0x1234, "mode 0: it does not count with GATE low"
  DELAY 100
  LATCH
  IS16 0x1234, "mode 0: still not"
  GATE_UP
  DELAY 1000
  GATE_DOWN
  LATCH
  BETWEEN 0x1234 - 1500, 0x1234 - 1180, "mode 0: counts with GATE high"
  mov bx, ax
  DELAY 100
  LATCH
  sub ax, bx
  IS16 0, "mode 0: stops with GATE low"
  OUT_IS 0, "mode 0: OUT stays low"
  ENDUNLESS
  GATE_UP
  CONTROL 0xB0
  COUNT 200
  OUT_IS 0, "mode 0: OUT is low while counting"
  DELAY 400
  OUT_IS 1, "mode 0: OUT is high after the count"
  LATCH
  BETWEEN 0x10000 - 2000, 0x10000 - 100, "mode 0: goes on counting through FFFF"
  COUNT 300
  OUT_IS 0, "mode 0: a new count puts OUT low"
  DELAY 500
  OUT_IS 1, "mode 0: and high again"
  UNLESS QEMU | BOCHS               ; neither stops at the first byte
  COUNT 3000
  OUTB 0x42, 50
  OUT_IS 0, "mode 0: the first byte of a count puts OUT low"
  LATCH
  mov bx, ax
  DELAY 100
  LATCH
  sub ax, bx
  IS16 0, "mode 0: and stops counting"
  OUTB 0x42, 0
  DELAY 200
  OUT_IS 1, "mode 0: the second byte starts it"
  ENDUNLESS

  ; ---- mode 1
  UNLESS QEMU                       ; where OUT goes the wrong way in modes 1, 4 and 5
  GATE_DOWN
  CONTROL 0xB2
  OUT_IS 1, "mode 1: OUT is high at first"
  COUNT 400
  DELAY 50
  OUT_IS 1, "mode 1: high without a trigger"
  STATUS
  IS 0xF2, "mode 1: the count waits for the trigger (null count)"
  GATE_UP
  DELAY 20
  OUT_IS 0, "mode 1: the trigger puts OUT low"
  STATUS
  BITS_ARE 0xC0, 0x00, "mode 1: the trigger loads the count"
  GATE_DOWN
  DELAY 400
  OUT_IS 1, "mode 1: high after the count, whatever GATE is"
  GATE_UP
  DELAY 250
  GATE_DOWN
  GATE_UP
  DELAY 200
  OUT_IS 0, "mode 1: can be triggered again"
  UNLESS BOCHS                      ; takes the new count
  COUNT 100
  LATCH
  BETWEEN 50, 250, "mode 1: a new count does not touch the present one"
  DELAY 300
  OUT_IS 1, "mode 1: which ends"
  ENDUNLESS
  ENDUNLESS

  ; ---- mode 2
  GATE_UP
  CONTROL 0xB4
  COUNT 1000
  DELAY 10
  mov cx, 500
  xor bx, bx
.rate:
  LATCH
  cmp ax, bx
  jb .noMax
  mov bx, ax
.noMax:
  dec ax
  cmp ax, 1000
  jae .rateBad
  loop .rate
.rateBad:
  mov ax, cx
  IS16 0, "mode 2: the count stays within 1 and N"
  mov ax, bx
  BETWEEN 900, 1000, "mode 2: it is reloaded"
  UNLESS QEMU                       ; QEMU has OUT low outside of the one clock
  OUT_IS 1, "mode 2: OUT is high"
  STATUS
  IS 0xB4, "mode 2: status"
  ENDUNLESS
  UNLESS QEMU                       ; QEMU's counters count on with GATE low
  GATE_DOWN
  DELAY 10
  OUT_IS 1, "mode 2: GATE low holds OUT high"
  LATCH
  mov bx, ax
  DELAY 50
  LATCH
  sub ax, bx
  IS16 0, "mode 2: GATE low stops it"
  ENDUNLESS
  GATE_DOWN
  COUNT 50000
  GATE_UP
  DELAY 100
  LATCH
  BETWEEN 50000 - 700, 50000 - 50, "mode 2: a trigger loads the new count"
  UNLESS QEMU | BOCHS               ; where it loads at once
  COUNT 2000
  DELAY 100
  STATUS
  BITS_ARE 0x7F, 0x74, "mode 2: a new count waits for the end of the period (null count)"
  LATCH
  BETWEEN 49000, 49900, "mode 2: meanwhile the old one runs"
  DELAY 42000
  LATCH
  BETWEEN 1, 2000, "mode 2: then the new one"
  STATUS
  BITS_ARE 0x7F, 0x34, "mode 2: and is no longer null"
  ENDUNLESS

  ; ---- mode 3
  CONTROL 0xB6
  OUT_IS 1, "mode 3: OUT is high at first"
  COUNT 20000
  DELAY 1000
  OUT_IS 1, "mode 3: high in the first half"
  LATCH
  test al, 1
  HOLDS z, "mode 3: counts by two, so an even count stays even"
  BETWEEN 20000 - 3200, 20000 - 2300, "mode 3: counts by two"
  DELAY 8400
  OUT_IS 0, "mode 3: low in the second half"
  LATCH
  BETWEEN 20000 - 5000, 20000 - 1000, "mode 3: which counts N down again"
  DELAY 8380
  OUT_IS 1, "mode 3: and high again"
  STATUS
  BITS_ARE 0xBF, 0xB6, "mode 3: status has OUT and mode"
  DELAY 8400
  OUT_IS 0, "mode 3: low again"
  UNLESS QEMU
  GATE_DOWN
  DELAY 10
  OUT_IS 1, "mode 3: GATE low puts OUT high"
  LATCH
  mov bx, ax
  DELAY 50
  LATCH
  sub ax, bx
  IS16 0, "mode 3: GATE low stops it"
  ENDUNLESS
  GATE_DOWN
  GATE_UP
  DELAY 100
  OUT_IS 1, "mode 3: a trigger begins with the high half"
  LATCH
  BETWEEN 20000 - 1400, 20000, "mode 3: and the full count"

  ; ---- mode 4
  CONTROL 0xB8
  UNLESS QEMU
  OUT_IS 1, "mode 4: OUT is high at first"
  ENDUNLESS
  COUNT 300
  DELAY 20
  LATCH
  BETWEEN 50, 298, "mode 4: counts at once"
  DELAY 400
  UNLESS QEMU
  OUT_IS 1, "mode 4: high after the strobe"
  ENDUNLESS
  LATCH
  BETWEEN 0x10000 - 2000, 0xFFFF, "mode 4: goes on counting"
  UNLESS QEMU
  COUNT 5000
  GATE_DOWN
  DELAY 10
  LATCH
  mov bx, ax
  DELAY 50
  LATCH
  sub ax, bx
  IS16 0, "mode 4: GATE low stops it"
  ENDUNLESS
  ; ---- mode 5
  GATE_DOWN
  CONTROL 0xBA
  UNLESS QEMU
  OUT_IS 1, "mode 5: OUT is high at first"
  ENDUNLESS
  COUNT 3000
  DELAY 20
  UNLESS QEMU
  STATUS
  IS 0xFA, "mode 5: the count waits for the trigger"
  ENDUNLESS
  GATE_UP
  DELAY 100
  LATCH
  BETWEEN 2000, 2960, "mode 5: the trigger starts it"
  GATE_DOWN
  DELAY 200
  LATCH
  BETWEEN 1500, 2760, "mode 5: GATE low does not stop it"
  GATE_UP
  DELAY 50
  LATCH
  BETWEEN 2000, 2960, "mode 5: can be triggered again"

  ; ---- reading
  CONTROL 0xB4
  COUNT 0
  DELAY 100
  OUTB 0x43, 0x80
  DELAY 200
  OUTB 0x43, 0x80                   ; ignored
  DELAY 200
  in al, 0x42
  mov bl, al
  in al, 0x42
  mov bh, al
  LATCH
  sub bx, ax
  mov ax, bx
  BETWEEN 400, 2000, "the first latch command counts; it holds until it is read"
  ; count and status, in any order: status first
  OUTB 0x43, 0xC8
  in al, 0x42
  BITS_ARE 0x3F, 0x34, "read-back of both: the status comes first"
  in al, 0x42
  mov bl, al
  in al, 0x42
  mov bh, al
  LATCH
  sub bx, ax
  mov ax, bx
  BETWEEN 0, 400, "then the count"
  OUTB 0x43, 0x80
  DELAY 100
  OUTB 0x43, 0xE8
  in al, 0x42
  BITS_ARE 0x3F, 0x34, "a status latched after a count is read before it"
  in al, 0x42
  mov bl, al
  in al, 0x42
  mov bh, al
  LATCH
  sub bx, ax
  mov ax, bx
  BETWEEN 100, 1000, "and the count is the one latched before"
  OUTB 0x43, 0xEA                   ; status of counters 2 and 0
  in al, 0x40
  BITS_ARE 0x3F, 0x34, "read-back of several: counter 0"
  in al, 0x42
  BITS_ARE 0x3F, 0x34, "read-back of several: counter 2"
  OUTB 0x43, 0xDA                   ; counts of counters 2 and 0
  mov cx, 100
.pause:
  loop .pause
  in al, 0x42
  mov bl, al
  in al, 0x42
  mov bh, al
  in al, 0x40
  mov cl, al
  in al, 0x40
  mov ch, al
  OUTB 0x43, 0xDA
  in al, 0x42
  mov dl, al
  in al, 0x42
  mov dh, al
  in al, 0x40
  mov ah, al
  in al, 0x40
  xchg al, ah
  sub bx, dx
  sub cx, ax
  mov ax, bx
  sub ax, cx
  add ax, 2
  BETWEEN 0, 4, "the counts of one read-back are of one moment"

  ; ---- access
  CONTROL 0x94                      ; low byte only
  OUTB 0x42, 200
  DELAY 500
  STATUS
  BITS_ARE 0x3F, 0x14, "low byte only: status"
  mov cx, 200
.lowOnly:
  OUTB 0x43, 0x80
  in al, 0x42
  dec al
  cmp al, 200
  jae .lowBad
  loop .lowOnly
.lowBad:
  mov ax, cx
  IS16 0, "low byte only: the count is 1 to 200"
  CONTROL 0xA4                      ; high byte only
  OUTB 0x42, 0x10
  DELAY 100
  mov cx, 200
.highOnly:
  OUTB 0x43, 0x80
  in al, 0x42
  cmp al, 0x10
  ja .highBad
  loop .highOnly
.highBad:
  mov ax, cx
  IS16 0, "high byte only: the count is below 1000h"
  ; the flip-flops for reading and writing are separate
  UNLESS QEMU
  GATE_DOWN
  CONTROL 0xB0
  COUNT 0x2345
  DELAY 20
  in al, 0x42
  IS 0x45, "reading: low byte"
  OUTB 0x42, 0x78
  in al, 0x42
  IS 0x23, "reading: high byte, though a write came between"
  OUTB 0x42, 0x56
  DELAY 20
  LATCH
  IS16 0x5678, "and the written count is whole"
  ENDUNLESS

  ; ---- BCD
  UNLESS QEMU                       ; has none
  GATE_DOWN
  CONTROL 0xB1
  COUNT 0x1000
  DELAY 20
  LATCH
  IS16 0x1000, "BCD: the count"
  STATUS
  BITS_ARE 0x3F, 0x31, "BCD: status"
  GATE_UP
  mov cx, 1000
.bcd:
  LATCH
  mov dx, ax
  mov si, 4
.digit:
  mov bx, dx
  and bx, 15
  cmp bx, 10
  jae .bcdBad
  shr dx, 4
  dec si
  jnz .digit
  loop .bcd
.bcdBad:
  mov ax, cx
  IS16 0, "BCD: every digit is decimal"
  CONTROL 0xB5
  COUNT 0
  DELAY 100
  LATCH
  BETWEEN 0x9000, 0x9999, "BCD: 0 is 10000"
  ENDUNLESS

  ; ---- counter 0 in mode 3: one request a period
  UNLESS QEMU                       ; where a request stays
  CONTROL 0xB4
  COUNT 0
  mov al, 0x36
  out 0x43, al
  mov al, 0x00
  out 0x40, al
  mov al, 0x20
  out 0x40, al                      ; 8192: 6866 us
  OUTB 0x20, 0x0A
  mov bl, 1
  mov cx, 3
.periods:
  in al, 0x20
  and al, 1
  cmp al, bl
  je .periods
  mov bl, al
  test al, al
  jz .periods
  cmp cx, 3
  jne .notFirst
  LATCH
  mov dx, ax
.notFirst:
  loop .periods
  LATCH
  sub dx, ax
  mov ax, dx
  BETWEEN 16384 - 40, 16384 + 40, "two periods of counter 0 at the interrupt controller"
  ENDUNLESS
  ret

latch2:
  mov al, 0x80
  out 0x43, al
  in al, 0x42
  mov ah, al
  in al, 0x42
  xchg al, ah
  ret
%include "end.inc"
