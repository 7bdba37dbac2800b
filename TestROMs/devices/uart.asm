; The 16550A at 3F8h: registers, loopback of data and modem lines, FIFO, line errors, interrupts and their priorities.
; Follows: National Semiconductor PC16550D data sheet.
%include "common.inc"

%define RBR 0x3F8
%define THR 0x3F8
%define IER 0x3F9
%define IIR 0x3FA
%define FCR 0x3FA
%define LCR 0x3FB
%define MCR 0x3FC
%define LSR 0x3FD
%define MSR 0x3FE
%define SCR 0x3FF
%define CHARACTER 200          ; microseconds: ten bits at 115,200 are 87

test:
  ; ---- registers
  OUTB LCR, 0x80
  OUTB RBR, 0x34
  OUTB IER, 0x12
  READS RBR, 0x34, "divisor latch, low"
  READS IER, 0x12, "divisor latch, high"
  OUTB RBR, 1
  OUTB IER, 0
  OUTB LCR, 0x03
  READS LCR, 0x03, "LCR reads back"
  READS IER, 0x00, "without DLAB it is IER"
  OUTB IER, 0xFF
  READS IER, 0x0F, "IER has four bits"
  OUTB IER, 0
  OUTB SCR, 0x5A
  READS SCR, 0x5A, "scratch reads back"
  OUTB SCR, 0xA5
  READS SCR, 0xA5, "scratch reads back again"
  OUTB LCR, 0x7F
  READS LCR, 0x7F, "LCR has all bits"
  OUTB LCR, 0x03
  OUTB MCR, 0xFF
  READS MCR, 0x1F, "MCR has five bits"
  OUTB FCR, 0
  READS IIR, 0x01, "IIR: nothing pending, no FIFO"

  ; ---- loopback: modem lines
  OUTB MCR, 0x10
  INB MSR
  READS MSR, 0x00, "loopback: all lines off, no changes"
  UNLESS QEMU                       ; no changes in loopback
  OUTB MCR, 0x11
  READS MSR, 0x22, "DTR is DSR, which changed"
  READS MSR, 0x20, "reading clears the change"
  OUTB MCR, 0x12
  READS MSR, 0x13, "RTS is CTS; DSR fell"
  OUTB MCR, 0x14
  INB MSR
  BITS_ARE 0xF5, 0x41, "OUT1 is RI; CTS fell"
  OUTB MCR, 0x18
  INB MSR
  BITS_ARE 0xFC, 0x8C, "OUT2 is DCD, which changed; the end of RI"
  ENDUNLESS
  OUTB MCR, 0x10
  INB MSR

  ; ---- loopback: data
  DELAY CHARACTER
  INB RBR
  INB LSR
  READS LSR, 0x60, "transmitter empty"
  OUTB THR, 0xA5
  DELAY CHARACTER
  READS LSR, 0x61, "a character came"
  READS RBR, 0xA5, "it"
  READS LSR, 0x60, "and is taken"
  OUTB THR, 0x11
  DELAY CHARACTER
  OUTB THR, 0x22
  DELAY CHARACTER
  READS LSR, 0x63, "overrun"
  READS LSR, 0x61, "reading clears it"
  READS RBR, 0x22, "the later character remains"
  OUTB LCR, 0x00                    ; five bits
  OUTB THR, 0xFF
  DELAY CHARACTER
  UNLESS QEMU | BOCHS               ; send eight
  READS RBR, 0x1F, "five bits"
  ENDUNLESS
  OUTB LCR, 0x03
  INB RBR
  UNLESS QEMU | BOCHS               ; no break in loopback
  OUTB LCR, 0x43
  DELAY CHARACTER
  INB LSR
  BITS_ARE 0x11, 0x11, "break"
  READS RBR, 0x00, "its character is 0"
  OUTB LCR, 0x03
  DELAY CHARACTER
  INB RBR
  INB LSR
  ENDUNLESS

  ; ---- FIFO
  OUTB FCR, 0x07
  READS IIR, 0xC1, "IIR: FIFO on"
  mov bl, 16
  mov dx, THR
.fill:
  mov al, bl
  out dx, al
  dec bl
  jnz .fill
  DELAY CHARACTER * 17
  READS LSR, 0x61, "FIFO: all sent, data ready, no overrun"
  mov cx, 16
  mov bl, 16
.drain:
  INB RBR
  cmp al, bl
  jne .wrong
  dec bl
  loop .drain
.wrong:
  mov ax, cx
  IS16 0, "FIFO: sixteen in order"
  READS LSR, 0x60, "FIFO: empty"
  OUTB THR, 1
  OUTB THR, 2
  DELAY CHARACTER * 3
  OUTB FCR, 0x03
  UNLESS BOCHS                      ; forgets the flag
  READS LSR, 0x60, "FCR clears the receiver's FIFO"
  ENDUNLESS
  mov cx, 17
  mov dx, THR
.over:
  mov al, cl
  out dx, al
  DELAY CHARACTER
  loop .over
  INB LSR
  BITS_ARE 0x03, 0x03, "FIFO: the 17th is an overrun"
  READS RBR, 17, "FIFO: the first remains"
  OUTB FCR, 0x03
  INB LSR

  ; ---- interrupt identification (in loopback, without FIFO)
  OUTB FCR, 0
  INB RBR
  INB LSR
  INB MSR
  OUTB IER, 0x02
  READS IIR, 0x02, "THRE: enabling requests"
  READS IIR, 0x01, "reading IIR takes it back"
  OUTB THR, 0x33
  DELAY CHARACTER
  READS IIR, 0x02, "THRE after a character"
  READS IIR, 0x01, "once"
  OUTB IER, 0x01
  READS IIR, 0x04, "data received"
  READS IIR, 0x04, "until it is read"
  INB RBR
  READS IIR, 0x01, "then not"
  OUTB IER, 0x0F
  INB IIR
  OUTB THR, 0x01
  DELAY CHARACTER
  OUTB THR, 0x02
  DELAY CHARACTER
  OUTB MCR, 0x12
  READS IIR, 0x06, "line status first"
  INB LSR
  READS IIR, 0x04, "then data"
  INB RBR
  UNLESS BOCHS
  READS IIR, 0x02, "then THRE"
  ENDUNLESS
  UNLESS QEMU
  READS IIR, 0x00, "then modem status"
  ENDUNLESS
  INB MSR
  READS IIR, 0x01, "then nothing"
  OUTB MCR, 0x10
  INB MSR
  ; FIFO trigger and time-out
  OUTB IER, 0x01
  OUTB FCR, 0x47                    ; trigger at 4
  OUTB THR, 1
  OUTB THR, 2
  OUTB THR, 3
  DELAY CHARACTER + 100
  UNLESS QEMU | BOCHS               ; send without the time of the characters
  READS IIR, 0xC1, "below the trigger: none"
  ENDUNLESS
  DELAY CHARACTER * 12
  READS IIR, 0xCC, "time-out"
  INB RBR
  UNLESS BOCHS
  READS IIR, 0xC1, "reading ends the time-out"
  ENDUNLESS
  OUTB THR, 4
  OUTB THR, 5
  DELAY CHARACTER * 2 + 100
  UNLESS QEMU | BOCHS               ; still time out
  READS IIR, 0xC4, "four: the trigger"
  ENDUNLESS
  INB RBR
  UNLESS BOCHS
  INB IIR
  BITS_ARE 0xC5, 0xC1 & 0xC5, "below it again"
  ENDUNLESS
  OUTB FCR, 0
  OUTB IER, 0

  ; ---- IRQ 4 needs OUT2 (no loopback)
  OUTB MCR, 0
  call resetPICs
  OUTB 0x20, 0x0A
  OUTB IER, 2
  in al, 0x20
  UNLESS QEMU | BOCHS               ; OUT2 gates nothing
  BITS_ARE 0x10, 0x00, "without OUT2 no request"
  ENDUNLESS
  OUTB MCR, 8
  in al, 0x20
  UNLESS BOCHS
  BITS_ARE 0x10, 0x10, "OUT2 lets it through"
  ENDUNLESS
  READS IIR, 0x02, "THRE"
  in al, 0x20
  UNLESS QEMU                       ; whose interrupt controllers keep requests
  BITS_ARE 0x10, 0x00, "reading IIR takes the request back"
  ENDUNLESS
  OUTB IER, 0
  OUTB MCR, 0
  ret
%include "end.inc"
