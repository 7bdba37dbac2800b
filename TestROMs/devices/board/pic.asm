; The two 8259A: initialisation, masks, requests, priorities, EOI and rotation, automatic EOI, special mask, poll, cascade, ELCR.
; IR0 is driven by counter 0 of the 8254, IR4 and IR3 by the transmit interrupts of COM1 and COM2, IR8 by the clock's periodic interrupt.
; Follows: Intel 8259A data sheet (231468); 82371SB for the ELCR.
%include "common.inc"

; The inputs up and down. Mode 3 holds OUT 0 high for 27 ms, mode 0 low for 55.
%macro COUNTER0 1
  OUTB 0x43, %1
  OUTB 0x40, 0xFF
  OUTB 0x40, 0xFF
%endmacro
%macro IR0_UP 0
  COUNTER0 0x36
%endmacro
%macro IR0_DOWN 0
  COUNTER0 0x30
%endmacro
%macro IR4_UP 0
  OUTB 0x3F9, 2
%endmacro
%macro IR4_DOWN 0
  OUTB 0x3F9, 0
%endmacro
%macro IR3_UP 0
  OUTB 0x2F9, 2
%endmacro
%macro IR3_DOWN 0
  OUTB 0x2F9, 0
%endmacro
; New edges on IR0 and IR4.
%macro EDGES 0
  IR0_DOWN
  IR4_DOWN
  IR0_UP
  IR4_UP
%endmacro
%macro ISR_IS 2+
  OUTB 0x20, 0x0B
  READS 0x20, %1, %2
%endmacro
%macro IRR_IS 2+
  OUTB 0x20, 0x0A
  READS 0x20, %1, %2
%endmacro
; Interrupts on for a moment: AX has how many came (AH) and the last one's vector (AL).
%macro TAKE 0
  call take
%endmacro

test:
  mov al, 0x40
  mov dx, stubs
.vectors:
  call setVector
  add dx, 8
  inc al
  cmp al, 0x80
  jne .vectors
  OUTB 0x3FC, 8                     ; OUT2 lets the interrupts of the serial ports through
  OUTB 0x2FC, 8

  ; ---- initialisation
  OUTB 0x21, 0xFF
  OUTB 0x20, 0x11
  OUTB 0x21, 0x4B                   ; bits 2-0 of ICW2 do not count
  OUTB 0x21, 0x04
  OUTB 0x21, 0x01
  READS 0x21, 0x00, "ICW1 clears the mask"
  OUTB 0x21, 0x55
  READS 0x21, 0x55, "mask reads back 55h"
  OUTB 0x21, 0xAA
  READS 0x21, 0xAA, "mask reads back AAh"
  OUTB 0x21, 0xFF
  OUTB 0xA1, 0x5A
  READS 0xA1, 0x5A, "the slave's mask reads back"
  OUTB 0xA1, 0xFF
  READS 0x21, 0xFF, "the chips' masks are separate"

  ; ---- requests
  IR0_DOWN
  IRR_IS 0x00, "no request"
  ISR_IS 0x00, "nothing in service"
  IR0_UP
  IRR_IS 0x01, "IR0 is seen though masked"
  ISR_IS 0x00, "a masked request is not served"
  TAKE
  IS16 0, "a masked request does not interrupt"
  UNLESS QEMU                       ; QEMU keeps edge requests
  IR0_DOWN
  IRR_IS 0x00, "a request that falls before INTA is gone"
  ENDUNLESS
  IR0_DOWN
  IR0_UP
  OUTB 0x21, 0xFE
  TAKE
  IS16 0x0148, "vector of IR0: ICW2 bits 7-3 and the input"
  ISR_IS 0x01, "IR0 is in service"
  IRR_IS 0x00, "INTA takes the request away while the input is still high"
  TAKE
  IS16 0, "in service holds back"
  OUTB 0x20, 0x20
  ISR_IS 0x00, "EOI ends service"
  TAKE
  IS16 0, "a high input is one edge only"

  ; ---- fully nested
  OUTB 0x21, 0xEE
  EDGES
  IRR_IS 0x11, "both are requested"
  TAKE
  IS16 0x0148, "IR0 comes before IR4"
  ISR_IS 0x01, "IR0 alone is in service"
  TAKE
  IS16 0, "the lower priority waits"
  OUTB 0x20, 0x20
  TAKE
  IS16 0x014C, "IR4 comes after EOI"
  IR0_DOWN
  IR0_UP
  TAKE
  IS16 0x0148, "the higher priority interrupts the lower"
  ISR_IS 0x11, "two levels are in service"
  OUTB 0x20, 0x20
  ISR_IS 0x10, "EOI ends the higher one"
  OUTB 0x20, 0x20
  ISR_IS 0x00, "the second EOI ends the lower one"
  OUTB 0x20, 0x20
  ISR_IS 0x00, "an EOI without service does nothing"

  ; ---- specific EOI
  EDGES
  TAKE
  OUTB 0x20, 0x64
  ISR_IS 0x01, "the specific EOI of another level leaves it"
  OUTB 0x20, 0x60
  ISR_IS 0x00, "specific EOI"
  TAKE
  OUTB 0x20, 0x64
  ISR_IS 0x00, "specific EOI of level 4"

  ; ---- rotation
  UNLESS BOCHS                      ; serves the request that it saw first
  OUTB 0x20, 0xC0                   ; set priority: IR0 is the lowest
  EDGES
  TAKE
  IS16 0x014C, "set priority: IR4 before IR0"
  OUTB 0x20, 0x20
  TAKE
  IS16 0x0148, "then IR0"
  OUTB 0x20, 0xA0                   ; rotate on non-specific EOI: again IR0
  EDGES
  TAKE
  IS16 0x014C, "rotated: IR4 before IR0"
  OUTB 0x20, 0xA0                   ; IR4 becomes the lowest
  TAKE
  IS16 0x0148, "then IR0 again"
  OUTB 0x20, 0xE3                   ; rotate on specific EOI: IR3 the lowest, IR4 the highest; IR0 goes on
  ISR_IS 0x01, "rotate on specific EOI names its level"
  OUTB 0x20, 0x60
  EDGES
  TAKE
  IS16 0x014C, "IR3 lowest: IR4 before IR0"
  TAKE
  IS16 0, "and IR0 waits"
  OUTB 0x20, 0x20
  TAKE
  OUTB 0x20, 0xE7                   ; 7 the lowest again
  OUTB 0x20, 0x60
  EDGES
  TAKE
  IS16 0x0148, "IR7 lowest: IR0 before IR4"
  OUTB 0x20, 0x20
  TAKE
  OUTB 0x20, 0x20
  ENDUNLESS

  ; ---- special mask mode
  EDGES
  TAKE
  OUTB 0x21, 0xEF                   ; the level in service is masked
  TAKE
  IS16 0, "a masked level in service holds back without special mask mode"
  OUTB 0x20, 0x68
  OUTB 0x21, 0xEF                   ; QEMU looks for requests at this write only
  TAKE
  IS16 0x014C, "special mask mode lets lower levels through"
  ISR_IS 0x11, "both are in service"
  UNLESS QEMU | BOCHS               ; both end the masked level
  OUTB 0x20, 0x20
  ISR_IS 0x01, "in special mask mode a non-specific EOI leaves masked levels"
  ENDUNLESS
  OUTB 0x20, 0x64
  OUTB 0x20, 0x60
  OUTB 0x20, 0x48
  ISR_IS 0x00, "specific EOI ends masked levels"

  ; ---- poll
  OUTB 0x21, 0xEE
  IR0_DOWN
  IR4_DOWN
  OUTB 0x20, 0x0C
  INB 0x20
  BITS_ARE 0x80, 0x00, "poll without a request"
  ISR_IS 0x00, "and nothing in service"
  UNLESS BOCHS                      ; has no poll
  IR4_UP
  OUTB 0x20, 0x0C
  INB 0x20
  BITS_ARE 0x87, 0x84, "poll tells IR4"
  ISR_IS 0x10, "poll puts it in service"
  IRR_IS 0x00, "and takes the request"
  TAKE
  IS16 0, "no interrupt after a poll"
  OUTB 0x20, 0x20
  READS 0x20, 0x00, "after the poll the chosen register (IRR) is read"
  ENDUNLESS
  IR4_DOWN

  ; ---- automatic EOI
  OUTB 0x20, 0x11
  OUTB 0x21, 0x48
  OUTB 0x21, 0x04
  OUTB 0x21, 0x03
  OUTB 0x21, 0xEE
  EDGES
  TAKE
  IS16 0x024C, "automatic EOI: both come, IR4 last"
  ISR_IS 0x00, "automatic EOI leaves nothing in service"
  OUTB 0x20, 0x80                   ; rotate in automatic EOI mode
  IR0_DOWN
  IR0_UP
  TAKE
  IS16 0x0148, "rotating: IR0, now the lowest"
  EDGES
  TAKE
  UNLESS BOCHS
  IS16 0x0248, "rotating: IR4, then IR0"
  ENDUNLESS
  OUTB 0x20, 0x00
  OUTB 0x20, 0xC7

  ; ---- ICW1 without ICW4; ICW1 forgets service
  OUTB 0x20, 0x11
  OUTB 0x21, 0x50
  OUTB 0x21, 0x04
  OUTB 0x21, 0x01
  OUTB 0x21, 0xEE
  EDGES
  TAKE
  IS16 0x0150, "the new base"
  OUTB 0x20, 0x11
  OUTB 0x21, 0x48
  OUTB 0x21, 0x04
  OUTB 0x21, 0x01
  OUTB 0x21, 0xEE
  ISR_IS 0x00, "ICW1 forgets what was in service"
  IRR_IS 0x00, "ICW1 forgets edges; inputs that are high must fall first"
  INB 0x20
  IS 0x00, "ICW1 sets reading to IRR"

  ; ---- three levels
  IR0_DOWN
  IR4_DOWN
  IR3_DOWN
  OUTB 0x21, 0xE6
  IR3_UP
  IR4_UP
  TAKE
  IS16 0x014B, "IR3 before IR4"
  IR0_UP
  TAKE
  IS16 0x0148, "IR0 above it"
  OUTB 0x20, 0x63
  ISR_IS 0x01, "the level in the middle ends"
  TAKE
  IS16 0, "IR4 waits for IR0"
  OUTB 0x20, 0x20
  TAKE
  IS16 0x014C, "then it comes"
  OUTB 0x20, 0x20
  IR3_DOWN
  IR4_DOWN

  ; ---- cascade
  OUTB 0xA0, 0x11
  OUTB 0xA1, 0x70
  OUTB 0xA1, 0x02
  OUTB 0xA1, 0x01
  OUTB 0xA1, 0xFE
  OUTB 0x21, 0xFB
  OUTB 0x70, 0x0A
  OUTB 0x71, 0x26
  call clockRequest
  OUTB 0xA0, 0x0A
  READS 0xA0, 0x01, "IR8 is requested"
  IRR_IS 0x04, "the slave requests IR2"
  TAKE
  IS16 0x0170, "the slave gives the vector"
  OUTB 0xA0, 0x0B
  READS 0xA0, 0x01, "in service in the slave"
  ISR_IS 0x04, "IR2 in service in the master"
  OUTB 0xA0, 0x20
  READS 0xA0, 0x00, "the slave's EOI"
  ISR_IS 0x04, "is not the master's"
  call clockRequest
  TAKE
  IS16 0, "the master's level still holds back"
  OUTB 0x20, 0x62
  TAKE
  IS16 0x0170, "after the master's EOI it comes"
  OUTB 0xA0, 0x20
  OUTB 0x20, 0x20
  OUTB 0xA1, 0xFF
  call clockRequest
  IRR_IS 0x00, "a request masked in the slave does not reach the master"
  OUTB 0xA1, 0xFE
  IRR_IS 0x04, "unmasked it does"
  UNLESS BOCHS
  OUTB 0xA0, 0x0C                   ; poll the slave
  INB 0xA0
  BITS_ARE 0x87, 0x80, "poll of the slave"
  OUTB 0xA0, 0x20
  ENDUNLESS
  call clockQuiet
  OUTB 0xA1, 0xFF
  OUTB 0x21, 0xFF

  ; ---- special fully nested mode: the slave's IR0 interrupts its IR4 (IRQ 12, the auxiliary output buffer of the 8042)
  call drain8042
  OUTB 0x64, 0x60
  call wait8042
  OUTB 0x60, 0x02
  call wait8042
  OUTB 0x20, 0x11
  OUTB 0x21, 0x48
  OUTB 0x21, 0x04
  OUTB 0x21, 0x11
  OUTB 0xA0, 0x11
  OUTB 0xA1, 0x70
  OUTB 0xA1, 0x02
  OUTB 0xA1, 0x01
  OUTB 0xA1, 0xEE
  OUTB 0x21, 0xFB
  OUTB 0x64, 0xD3
  call wait8042
  OUTB 0x60, 0x5A
  DELAY 5000
  TAKE
  IS16 0x0174, "IRQ 12"
  ISR_IS 0x04, "SFNM: IR2 in service in the master"
  UNLESS BOCHS                      ; has no SFNM
  call clockRequest
  TAKE
  IS16 0x0170, "SFNM: a higher level of the slave gets through"
  OUTB 0xA0, 0x0B
  READS 0xA0, 0x11, "SFNM: both in service in the slave"
  OUTB 0xA0, 0x20
  READS 0xA0, 0x10, "the slave's EOI ends the higher one"
  ENDUNLESS
  call clockQuiet
  OUTB 0xA0, 0x0B
  OUTB 0xA0, 0x20
  READS 0xA0, 0x00, "nothing is left in the slave: now the master's EOI"
  OUTB 0x20, 0x20
  ISR_IS 0x00, "nothing in service"
  call drain8042
  OUTB 0x64, 0x60
  call wait8042
  OUTB 0x60, 0x30
  call wait8042
  OUTB 0x21, 0xFF
  OUTB 0xA1, 0xFF

  ; ---- edge or level
  mov dx, 0x4D0
  mov al, 0xFF
  out dx, al
  READS 0x4D0, 0xF8, "ELCR 1 has IRQ 3-7"
  mov dx, 0x4D1
  mov al, 0xFF
  out dx, al
  READS 0x4D1, 0xDE, "ELCR 2 has IRQ 9-12, 14, 15"
  OUTB 0x4D1, 0
  OUTB 0x4D0, 0x10
  READS 0x4D0, 0x10, "ELCR 1 reads back"
  OUTB 0x20, 0x11
  OUTB 0x21, 0x48
  OUTB 0x21, 0x04
  OUTB 0x21, 0x01
  OUTB 0x21, 0xEF
  IR4_DOWN
  IRR_IS 0x00, "level low: no request"
  IR4_UP
  IRR_IS 0x10, "level high: a request"
  TAKE
  IS16 0x014C, "a level interrupts"
  IRR_IS 0x10, "and stays requested"
  OUTB 0x20, 0x20
  TAKE
  IS16 0x014C, "and interrupts again after EOI"
  IR4_DOWN
  OUTB 0x20, 0x20
  IRR_IS 0x00, "a level that falls is no request"
  TAKE
  IS16 0, "nor an interrupt"
  OUTB 0x4D0, 0
  UNLESS QEMU | BOCHS               ; neither has LTIM
  IR0_DOWN
  IR4_UP
  OUTB 0x20, 0x19
  OUTB 0x21, 0x48
  OUTB 0x21, 0x04
  OUTB 0x21, 0x01
  OUTB 0x21, 0xEF
  IRR_IS 0x10, "LTIM makes all inputs levels"
  IR4_DOWN
  IRR_IS 0x00, "LTIM: low"
  ENDUNLESS
  call resetPICs
  ret

; Waits until the 8042 has taken its byte; empties its output buffer.
wait8042:
  in al, 0x64
  test al, 2
  jnz wait8042
  ret
drain8042:
  mov cx, 8
.next:
  in al, 0x60
  DELAY 2000
  loop .next
  ret

; Waits for a new request of the clock (rate 6: 976 us), of which the last is forgotten.
clockRequest:
  OUTB 0x70, 0x0B
  OUTB 0x71, 0x42
  OUTB 0x70, 0x0C
  in al, 0x71
  mov cx, 200
.wait:
  call shortTime
  loop .wait
  ret
clockQuiet:
  OUTB 0x70, 0x0B
  OUTB 0x71, 0x02
  OUTB 0x70, 0x0C
  in al, 0x71
  ret
; Some 20 us by counter 2, which runs free in mode 2.
shortTime:
  pusha
  OUTB 0x43, 0xB4
  OUTB 0x42, 0
  OUTB 0x42, 0
  in al, 0x61
  or al, 1
  out 0x61, al
.next:
  OUTB 0x43, 0x80
  in al, 0x42
  mov ah, al
  in al, 0x42
  xchg al, ah
  cmp ax, -24
  ja .next
  test ax, ax
  jz .next
  popa
  ret

take:
  mov word [taken], 0
  sti
  nop
  nop
  nop
  nop
  nop
  nop
  cli
  mov ax, [taken]
  ret
taken: dw 0

  align 8
stubs:
%assign n 0x40
%rep 0x40
  push ax
  mov al, n
  jmp near note
  align 8
%assign n n + 1
%endrep
note:
  mov [cs:taken], al
  inc byte [cs:taken + 1]
  pop ax
  iret
%include "end.inc"
