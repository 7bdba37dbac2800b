; The 8042 and its keyboard: status, RAM and self tests, output port and A20, keyboard commands with their answers, port 92h.
; Follows: IBM PS/2 Technical Reference (keyboard and auxiliary device controller; 101-key keyboard).
%include "common.inc"

; COMMAND byte to port 64h; DATA byte to port 60h
%macro COMMAND 1
  call inputEmpty
  OUTB 0x64, %1
%endmacro
%macro DATA 1
  call inputEmpty
  OUTB 0x60, %1
%endmacro
; ANSWER value, text: the next byte from the output buffer
%macro ANSWER 2+
  call answer
  IS16 %1, %2
%endmacro
%macro SILENT 1+
  call silence
  IS16 0, %1
%endmacro
%define ACK 0xFA
%define NONE 0xFFFF

test:
  call drain
  COMMAND 0xAD
  COMMAND 0xA7
  call drain
  in al, 0x64
  BITS_ARE 0x03, 0x00, "status: both buffers empty"
  BITS_ARE 0xC0, 0x00, "status: no time-out, no parity error"
  BITS_ARE 0x08, 0x08, "status: the last write was a command"

  ; ---- self tests and RAM
  COMMAND 0xAA
  ANSWER 0x55, "controller self test"
  in al, 0x64
  BITS_ARE 0x05, 0x04, "status: system flag after the self test"
  COMMAND 0xAB
  ANSWER 0x00, "keyboard interface test"
  COMMAND 0xA9
  ANSWER 0x00, "mouse interface test"
  COMMAND 0x60
  DATA 0x30
  UNLESS QEMU
  in al, 0x64
  BITS_ARE 0x08, 0x00, "status: the last write was data"
  ENDUNLESS
  COMMAND 0x20
  ANSWER 0x30, "command byte reads back"
  UNLESS QEMU | BOCHS               ; have the command byte alone
  COMMAND 0x65
  DATA 0xA7
  COMMAND 0x25
  ANSWER 0xA7, "RAM byte 5 reads back"
  COMMAND 0x20
  ANSWER 0x30, "and is not the command byte"
  ENDUNLESS
  COMMAND 0xAE
  COMMAND 0x20
  ANSWER 0x20, "AEh clears the keyboard's disable bit"
  COMMAND 0xAD
  COMMAND 0x20
  ANSWER 0x30, "ADh sets it"
  COMMAND 0xA8
  COMMAND 0x20
  ANSWER 0x10, "A8h clears the mouse's"
  COMMAND 0xA7
  COMMAND 0x20
  ANSWER 0x30, "A7h sets it"
  COMMAND 0x60
  DATA 0x34
  in al, 0x64
  BITS_ARE 0x04, 0x04, "the system flag is bit 2 of the command byte"

  ; ---- output buffers written by commands
  COMMAND 0xD2
  DATA 0x5E
  call outputFull
  in al, 0x64
  BITS_ARE 0x21, 0x01, "D2h: a byte as from the keyboard"
  ANSWER 0x5E, "D2h: it"
  COMMAND 0xD3
  DATA 0xE5
  call outputFull
  in al, 0x64
  BITS_ARE 0x21, 0x21, "D3h: a byte as from the mouse"
  ANSWER 0xE5, "D3h: it"

  ; ---- output port and A20
  COMMAND 0xD0
  call answer
  BITS_ARE 0x01, 0x01, "output port: bit 0 (reset) is high"
  COMMAND 0xD1
  DATA 0xDD
  call inputEmpty
  call isA20On
  IS 0, "D1h: A20 off"
  COMMAND 0xD0
  call answer
  BITS_ARE 0x03, 0x01, "output port shows it"
  COMMAND 0xD1
  DATA 0xDF
  call inputEmpty
  call isA20On
  IS 1, "D1h: A20 on"
  COMMAND 0xD0
  call answer
  BITS_ARE 0x03, 0x03, "output port shows it"
  COMMAND 0xD1
  DATA 0xDD
  call inputEmpty
  in al, 0x92
  and al, 0xFE
  or al, 2
  out 0x92, al
  call isA20On
  IS 1, "port 92h: A20 on"
  in al, 0x92
  BITS_ARE 0x03, 0x02, "port 92h reads back"
  and al, 0xFC
  out 0x92, al
  call isA20On
  IS 0, "port 92h: A20 off"
  OUTB 0x92, 2
  COMMAND 0xD1
  DATA 0xDF
  call inputEmpty

  ; ---- keyboard commands
  COMMAND 0x60
  DATA 0x24                         ; keyboard on, no translation, no interrupts
  DATA 0xFF
  ANSWER ACK, "reset: acknowledged"
  call longAnswer
  IS16 0xAA, "reset: self test passed"
  SILENT "and nothing more"
  DATA 0xEE
  ANSWER 0xEE, "echo"
  DATA 0xF2
  ANSWER ACK, "read ID: acknowledged"
  ANSWER 0xAB, "read ID: first byte"
  ANSWER 0x83, "read ID: second byte"
  SILENT "read ID: that is all"
  DATA 0xED
  ANSWER ACK, "LEDs: acknowledged"
  DATA 0x07
  ANSWER ACK, "LEDs: the byte too"
  DATA 0xED
  ANSWER ACK, "LEDs: again"
  DATA 0x00
  ANSWER ACK, "LEDs: off"
  DATA 0xF3
  ANSWER ACK, "typematic: acknowledged"
  DATA 0x20
  ANSWER ACK, "typematic: the byte too"
  DATA 0xF0
  ANSWER ACK, "scan code set: acknowledged"
  DATA 0x00
  ANSWER ACK, "which set?"
  ANSWER 0x02, "set 2 after a reset"
  DATA 0xF0
  ANSWER ACK, "scan code set"
  DATA 0x03
  ANSWER ACK, "set 3"
  DATA 0xF0
  ANSWER ACK, "scan code set"
  DATA 0x00
  ANSWER ACK, "which set?"
  ANSWER 0x03, "set 3"
  DATA 0xF0
  ANSWER ACK, "scan code set"
  DATA 0x01
  ANSWER ACK, "set 1"
  DATA 0xF0
  ANSWER ACK, "scan code set"
  DATA 0x00
  ANSWER ACK, "which set?"
  ANSWER 0x01, "set 1"
  DATA 0xF6
  ANSWER ACK, "set default"
  DATA 0xF0
  ANSWER ACK, "scan code set"
  DATA 0x02
  ANSWER ACK, "set 2"
  DATA 0xF5
  ANSWER ACK, "disable"
  DATA 0xF4
  ANSWER ACK, "enable"
  UNLESS QEMU | BOCHS               ; resend gives FEh or nothing
  DATA 0xEE
  ANSWER 0xEE, "echo"
  DATA 0xFE
  ANSWER 0xEE, "resend: the last byte"
  DATA 0xEF
  ANSWER 0xFE, "an invalid command: resend"
  ; a command in place of an argument is a command
  DATA 0xED
  ANSWER ACK, "LEDs: acknowledged"
  DATA 0xF4
  ANSWER ACK, "a command in place of the argument"
  DATA 0xEE
  ANSWER 0xEE, "which is done with"
  ENDUNLESS
%assign c 0xF7
%rep 4
  UNLESS QEMU | BOCHS               ; not all have these
  DATA c
  ANSWER ACK, "set all keys"
  ENDUNLESS
%assign c c + 1
%endrep

  ; ---- translation
  COMMAND 0x60
  DATA 0x64
  DATA 0xF2
  ANSWER ACK, "translated: acknowledge is as it is"
  ANSWER 0xAB, "translated: ID"
  ANSWER 0x41, "translated: 83h becomes 41h"

  ; ---- interrupt
  COMMAND 0x60
  DATA 0x25
  OUTB 0x21, 0xFF
  OUTB 0x20, 0x0A
  DATA 0xEE
  call outputFull
  in al, 0x20
  UNLESS BOCHS
  BITS_ARE 0x02, 0x02, "IRQ 1 with a byte in the output buffer"
  ENDUNLESS
  ANSWER 0xEE, "the byte"
  UNLESS QEMU                       ; whose interrupt controllers keep requests
  in al, 0x20
  BITS_ARE 0x02, 0x00, "reading it takes the request back"
  ENDUNLESS
  ; ---- keyboard disabled: its answer waits
  COMMAND 0x60
  DATA 0x24
  call drain

  ; ---- mouse
  COMMAND 0xA8
  COMMAND 0xD4
  DATA 0xF6
  call outputFull
  in al, 0x64
  BITS_ARE 0x21, 0x21, "mouse: its bytes are marked"
  ANSWER ACK, "mouse: defaults"
  COMMAND 0xD4
  DATA 0xF2
  ANSWER ACK, "mouse: read type"
  ANSWER 0x00, "mouse: type 0"
  COMMAND 0xD4
  DATA 0xE9
  ANSWER ACK, "mouse: status"
  ANSWER 0x00, "mouse: status byte 1"
  ANSWER 0x02, "mouse: resolution"
  ANSWER 0x64, "mouse: 100 samples a second"
  COMMAND 0xD4
  DATA 0xFF
  ANSWER ACK, "mouse: reset"
  call longAnswer
  IS16 0xAA, "mouse: self test"
  ANSWER 0x00, "mouse: type"
  COMMAND 0xA7
  ret

inputEmpty:
  push cx
  mov cx, 1000
.wait:
  in al, 0x64
  test al, 2
  jz .end
  DELAY 100
  loop .wait
.end:
  pop cx
  ret
; AX: the byte, or FFFFh after 100 ms (longAnswer: 1 s)
longAnswer:
  mov cx, 10000
  call outputFull.wait
  jmp answer.got
answer:
  call outputFull
.got:
  cmp ax, NONE
  je .end
  in al, 0x60
  mov ah, 0
.end:
  ret
outputFull:
  mov cx, 1000
.wait:
  in al, 0x64
  test al, 1
  jnz .end
  DELAY 100
  loop .wait
  mov ax, NONE
  ret
.end:
  mov ah, 0
  ret
; AX: 0 if nothing comes for 30 ms
silence:
  DELAY 30000
  in al, 0x64
  and ax, 1
  ret
drain:
  mov cx, 100
.next:
  DELAY 500
  in al, 0x64
  test al, 1
  jz .empty
  in al, 0x60
.empty:
  loop .next
  ret
; AL: whether 100500h is other memory than 000500h
isA20On:
  push ds
  push es
  xor ax, ax
  mov ds, ax
  dec ax
  mov es, ax
  mov byte [ds:0x500], 0x11
  mov byte [es:0x510], 0x22
  cmp byte [ds:0x500], 0x11
  sete al
  pop es
  pop ds
  ret
%include "end.inc"
