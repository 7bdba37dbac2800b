; The MC146818: registers, calendar in all formats, update cycle, alarm, periodic and update interrupts.
; Follows: Motorola MC146818 data sheet; IBM AT Technical Reference. Takes about twelve seconds of the clock.
%include "common.inc"

%macro CMOS_OUT 2
  OUTB 0x70, %1
  OUTB 0x71, %2
%endmacro
%macro CMOS_IN 1
  OUTB 0x70, %1
  in al, 0x71
%endmacro
%macro CMOS_IS 3+
  CMOS_IN %1
  IS %2, %3
%endmacro
; SET_TIME hours, minutes, seconds; SET_DATE century, year, month, day, weekday (as the format wants them)
%macro SET_TIME 3
  CMOS_OUT 4, %1
  CMOS_OUT 2, %2
  CMOS_OUT 0, %3
%endmacro
%macro SET_DATE 5
  CMOS_OUT 0x32, %1
  CMOS_OUT 9, %2
  CMOS_OUT 8, %3
  CMOS_OUT 7, %4
  CMOS_OUT 6, %5
%endmacro
%define SET24 0x82               ; SET, 24 hours, BCD
; Runs the clock over one update with the mode in %1 (SET clear), then stops it.
%macro ONE_UPDATE 1
  mov bl, %1
  call oneUpdate
%endmacro

test:
  CMOS_OUT 0x0A, 0x26
  CMOS_OUT 0x0B, SET24
  CMOS_IN 0x0C

  ; ---- memory and registers
  CMOS_OUT 0x40, 0x55
  CMOS_OUT 0x7F, 0xAA
  CMOS_IS 0x40, 0x55, "memory at 40h"
  CMOS_IS 0x7F, 0xAA, "memory at 7Fh"
  CMOS_OUT 0xC0, 0x33
  CMOS_IS 0x40, 0x33, "bit 7 of the index is no address"
  CMOS_OUT 0x0A, 0xA6
  CMOS_IS 0x0A, 0x26, "UIP cannot be written"
  CMOS_OUT 0x0C, 0xFF
  CMOS_IS 0x0C, 0x00, "register C cannot be written"
  CMOS_OUT 0x0D, 0x00
  CMOS_IS 0x0D, 0x80, "register D: valid, and cannot be written"
  CMOS_OUT 0x0B, 0xF7
  CMOS_IN 0x0B
  UNLESS BOCHS                      ; has no DSE
  BITS_ARE 0xE7, 0xE7, "register B reads back"
  ENDUNLESS
  CMOS_OUT 0x0B, SET24
  CMOS_IN 0x0C
  ; with SET the bytes are memory, alarm bytes too
  SET_TIME 0x12, 0x34, 0x56
  CMOS_OUT 1, 0x11
  CMOS_OUT 3, 0x22
  CMOS_OUT 5, 0x13
  CMOS_IS 4, 0x12, "hours read back"
  CMOS_IS 2, 0x34, "minutes read back"
  CMOS_IS 0, 0x56, "seconds read back"
  CMOS_IS 1, 0x11, "seconds alarm reads back"
  CMOS_IS 3, 0x22, "minutes alarm reads back"
  CMOS_IS 5, 0x13, "hours alarm reads back"
  DELAY 1100000
  CMOS_IS 0, 0x56, "SET stops the clock"
  CMOS_IN 0x0C
  UNLESS QEMU                       ; which sets UF
  BITS_ARE 0x30, 0x00, "SET: no update, no alarm"
  ENDUNLESS
  CMOS_IN 0x0A
  BITS_ARE 0x80, 0x00, "SET: no UIP"

  ; ---- the calendar, one update each
  UNLESS BOCHS                      ; keeps the date as seconds and takes SET otherwise
  SET_TIME 0x23, 0x59, 0x59
  SET_DATE 0x19, 0x99, 0x12, 0x31, 0x06
  ONE_UPDATE 0x02
  CMOS_IS 0, 0x00, "BCD: seconds carry"
  CMOS_IS 2, 0x00, "minutes carry"
  CMOS_IS 4, 0x00, "hours carry"
  CMOS_IS 6, 0x07, "day of the week"
  CMOS_IS 7, 0x01, "day carries"
  CMOS_IS 8, 0x01, "month carries"
  CMOS_IS 9, 0x00, "year carries"
  SET_TIME 0x23, 0x59, 0x59
  SET_DATE 0x20, 0x24, 0x02, 0x28, 0x07
  ONE_UPDATE 0x02
  CMOS_IS 7, 0x29, "leap year: 29 February"
  CMOS_IS 8, 0x02, "leap year: still February"
  UNLESS QEMU                       ; computes it from the date
  CMOS_IS 6, 0x01, "Sunday follows Saturday"
  ENDUNLESS
  SET_TIME 0x23, 0x59, 0x59
  SET_DATE 0x20, 0x23, 0x02, 0x28, 0x03
  ONE_UPDATE 0x02
  CMOS_IS 7, 0x01, "no leap year: 1 March"
  CMOS_IS 8, 0x03, "no leap year: March"
  SET_TIME 0x19, 0x09, 0x09
  ONE_UPDATE 0x02
  CMOS_IS 0, 0x10, "BCD: 10 follows 09"
  CMOS_IS 2, 0x09, "minutes stay"
  ; binary, 24 hours
  UNLESS QEMU                       ; takes the format at the end of SET
  CMOS_OUT 0x0B, 0x86
  SET_TIME 19, 59, 59
  SET_DATE 0x20, 21, 4, 30, 6
  ONE_UPDATE 0x06
  CMOS_IS 4, 20, "binary: hours"
  CMOS_IS 2, 0, "binary: minutes"
  CMOS_IS 0, 0, "binary: seconds"
  CMOS_IS 7, 30, "binary: day"
  ENDUNLESS
  ; BCD, 12 hours
  CMOS_OUT 0x0B, 0x80
  SET_TIME 0x11, 0x59, 0x59
  SET_DATE 0x20, 0x21, 0x04, 0x30, 0x06
  ONE_UPDATE 0x00
  CMOS_IS 4, 0x92, "12 hours: 12 PM follows 11 AM"
  SET_TIME 0x92, 0x59, 0x59
  ONE_UPDATE 0x00
  CMOS_IS 4, 0x81, "12 hours: 1 PM follows 12 PM"
  SET_TIME 0x91, 0x59, 0x59
  ONE_UPDATE 0x00
  CMOS_IS 4, 0x12, "12 hours: 12 AM follows 11 PM"
  CMOS_IS 7, 0x01, "12 hours: a new day"
  CMOS_IS 8, 0x05, "12 hours: 30 April's next is May"
  SET_TIME 0x12, 0x59, 0x59
  ONE_UPDATE 0x00
  CMOS_IS 4, 0x01, "12 hours: 1 AM follows 12 AM"
  ; binary, 12 hours
  CMOS_OUT 0x0B, 0x84
  SET_TIME 11, 59, 59
  ONE_UPDATE 0x04
  CMOS_IS 4, 0x8C, "binary, 12 hours: 12 PM"
  ENDUNLESS

  ; ---- alarm
  UNLESS QEMU | BOCHS               ; look at the alarm with AIE only
  CMOS_OUT 0x0B, SET24
  SET_TIME 0x10, 0x20, 0x30
  CMOS_OUT 5, 0x10
  CMOS_OUT 3, 0x20
  CMOS_OUT 1, 0x31
  ONE_UPDATE 0x02
  IS 0x30, "alarm: with the update, without an interrupt enabled"
  CMOS_OUT 1, 0x33
  ONE_UPDATE 0x02
  IS 0x10, "no alarm at another second"
  CMOS_OUT 5, 0xC0
  CMOS_OUT 3, 0xFF
  ONE_UPDATE 0x02
  IS 0x30, "alarm: hours and minutes do not matter"
  CMOS_OUT 1, 0xFF
  ONE_UPDATE 0x02
  IS 0x30, "alarm: every second"
  ENDUNLESS

  ; ---- UIP: rises 244 us before the update, which takes 1984
  UNLESS QEMU | BOCHS               ; their UIP has other times
  CMOS_OUT 0x0B, 0x02
  mov ecx, 100000000                ; for fast processors too
.quiet:
  CMOS_IN 0x0A
  dec ecx
  jz .noUIP
  test al, 0x80
  jnz .quiet
.rise:
  CMOS_IN 0x0A
  dec ecx
  jz .noUIP
  test al, 0x80
  jz .rise
  CMOS_IN 0
  mov bl, al
  call readClock
  mov dx, ax
.fall:
  CMOS_IN 0x0A
  test al, 0x80
  jnz .fall
  call readClock
  sub dx, ax
  mov ax, dx
  BETWEEN 2450, 2800, "UIP is up for 2,228 us"
  CMOS_IN 0
  cmp al, bl
  HOLDS ne, "the seconds change in it"
  jmp .uipDone
.noUIP:
  mov al, 0
  IS 1, "UIP is seen"
.uipDone:
  ENDUNLESS

  ; ---- interrupts
  CMOS_OUT 0x0B, SET24
  CMOS_IN 0x0C
  mov al, 0x70
  mov dx, clockHandler
  call setVector
  OUTB 0x21, 0xFB
  OUTB 0xA1, 0xFE
  mov word [count], 0
  sti
  CMOS_OUT 0x0A, 0x26
  CMOS_OUT 0x0B, SET24 | 0x40       ; periodic interrupts come with SET, too
  DELAY 100000
  cli
  mov ax, [count]
  BETWEEN 100, 105, "rate 6: 1,024 Hz"
  mov al, [flags]
  IS 0xC0, "periodic: IRQF and PF"
  mov word [count], 0
  CMOS_OUT 0x0A, 0x2A
  sti
  DELAY 200000
  cli
  mov ax, [count]
  BETWEEN 12, 14, "rate 10: 64 Hz"
  CMOS_OUT 0x0A, 0x21
  mov word [count], 0
  sti
  DELAY 100000
  cli
  mov ax, [count]
  BETWEEN 24, 27, "rate 1: 256 Hz"
  CMOS_OUT 0x0A, 0x20
  CMOS_IN 0x0C
  mov word [count], 0
  sti
  DELAY 50000
  cli
  mov ax, [count]
  IS16 0, "rate 0: none"
  ; flags without their enables
  CMOS_OUT 0x0B, SET24
  CMOS_OUT 0x0A, 0x26
  CMOS_IN 0x0C
  mov word [count], 0
  sti
  DELAY 5000
  cli
  mov ax, [count]
  IS16 0, "no interrupt without PIE"
  UNLESS QEMU | BOCHS               ; PF only with PIE
  CMOS_IS 0x0C, 0x40, "PF is set without PIE, IRQF is not"
  CMOS_IS 0x0C, 0x00, "reading register C clears it"
  DELAY 3000
  ENDUNLESS
  ; enabling with the flag set requests at once
  UNLESS QEMU | BOCHS
  CMOS_OUT 0x0A, 0x2F               ; 500 ms from here
  CMOS_OUT 0x0B, SET24 | 0x40
  OUTB 0xA0, 0x0A
  READS 0xA0, 0x01, "enabling PIE with PF set requests"
  CMOS_IS 0x0C, 0xC0, "and sets IRQF"
  READS 0xA0, 0x00, "reading register C takes the request back"
  ENDUNLESS
  CMOS_OUT 0x0B, SET24
  CMOS_OUT 0x0A, 0x20
  CMOS_IN 0x0C
  ; update and alarm interrupts
  SET_TIME 0x10, 0x20, 0x30
  CMOS_OUT 5, 0x10
  CMOS_OUT 3, 0x20
  CMOS_OUT 1, 0x31
  mov word [count], 0
  CMOS_OUT 0x0B, 0x12
  call waitInterrupt
  UNLESS QEMU | BOCHS               ; set the flags with their enables
  IS 0xB0, "update interrupt: IRQF, AF, UF"
  ENDUNLESS
  CMOS_OUT 0x0B, 0x22
  CMOS_OUT 1, 0x32
  call waitInterrupt
  UNLESS QEMU | BOCHS
  IS 0xB0, "alarm interrupt: IRQF, AF, UF"
  ENDUNLESS
  UNLESS QEMU
  CMOS_IS 0, 0x32, "at its second"
  ENDUNLESS
  ; SET clears UIE
  CMOS_OUT 0x0B, 0x92
  CMOS_IN 0x0B
  BITS_ARE 0x90, 0x80, "SET clears UIE"
  CMOS_OUT 0x0B, 0x02
  CMOS_OUT 0x0A, 0x26
  call resetPICs
  ret

; The clock with register B = BL until its next update, then SET again; AL: AF and UF. The divider is released
; for it, so the update comes half a second later.
oneUpdate:
  CMOS_OUT 0x0A, 0x76
  mov al, 0x0B
  out 0x70, al
  mov al, bl
  out 0x71, al
  CMOS_OUT 0x0A, 0x26
  CMOS_IN 0x0C
  mov ecx, 300
.wait:
  DELAY 5000
  CMOS_IN 0x0C
  mov bh, al
  test al, 0x10
  loopz .wait, ecx
  mov al, 0x0B
  out 0x70, al
  mov al, bl
  or al, 0x80
  out 0x71, al
  mov al, bh
  and al, 0x30
  ret

; AL: register C at the next interrupt, or 0 after 1.5 s
waitInterrupt:
  mov byte [flags], 0
  mov word [count], 0
  mov cx, 300
  sti
.wait:
  DELAY 5000
  cmp word [count], 0
  loope .wait
  cli
  mov al, [flags]
  ret

clockHandler:
  pusha
  OUTB 0x70, 0x0C
  in al, 0x71
  mov [cs:flags], al
  inc word [cs:count]
  OUTB 0xA0, 0x20
  OUTB 0x20, 0x20
  popa
  iret
  align 2
count: dw 0
flags: db 0
%include "end.inc"
