; Keys that are pressed: their scan codes by IRQ 1, translated to set 1 and as the keyboard sends them (set 2); what is typed while the keyboard's clock
; is held waits; after F5h (disable) nothing comes. Each time the ROM says "keys" on port E9h, somebody must press and release A, shift with B, F1, the
; grey cursor key up, and pause.
; Expected: PASS, after four times "keys". On QEMU the keys go in by the monitor: sendkey a, shift-b, f1, up, pause.
; Follows: IBM PS/2 Technical Reference (keyboard and auxiliary device controller; 101-key keyboard: scan code sets 1 and 2).
%include "common.inc"

%macro COMMAND 1
  call inputEmpty
  OUTB 0x64, %1
%endmacro
%macro DATA 1
  call inputEmpty
  OUTB 0x60, %1
%endmacro
; COMES bytes, text: exactly these are in the buffer.
%macro COMES 2+
  mov si, %1
  call compareBuffer
  HOLDS e, %2
%endmacro

test:
  mov al, 0x09
  mov dx, keyboardInterrupt
  call setVector
  ; self test, keyboard reset, then interrupts
  COMMAND 0xAA
  DELAY 20000
  in al, 0x60
  IS 0x55, "self test"
  COMMAND 0xAE
  COMMAND 0x60
  DATA 0x65                         ; translation, IRQ 1
  OUTB 0x21, 0xFD
  sti
  DELAY 10000
  mov word [count], 0               ; an edge from before
  DATA 0xFF
  DELAY 900000
  COMES resetDone, "reset of the keyboard"

  ; ---- set 1
  call ask
  COMES set1, "keys in scan code set 1"
  mov ax, [interrupts]
  IS16 set1End - set1, "an interrupt for each byte"

  ; ---- set 2
  COMMAND 0x60
  DATA 0x25
  call ask
  COMES set2, "keys in scan code set 2"

  ; ---- the clock is held: nothing comes, and then everything
  COMMAND 0x60
  DATA 0x65
  COMMAND 0xAD
  call ask
  mov ax, [count]
  IS16 0, "nothing comes while the keyboard is disabled"
  COMMAND 0xAE
  DELAY 300000
  UNLESS BOCHS                      ; keeps the last keys only
  ; the keyboard's buffer has sixteen places
  cmp word [count], 8
  HOLDS ae, "what was typed comes afterwards"
  mov ax, [buffer]
  IS16 0x9E1E, "and begins with the first key"
  ENDUNLESS

  ; ---- scanning off
  DATA 0xF5
  DELAY 50000
  mov al, [buffer]
  mov word [count], 0
  call ask
  mov ax, [count]
  IS16 0, "after F5h no keys"
  DATA 0xF4
  DELAY 50000
  mov al, [buffer]
  IS 0xFA, "scanning on again"
  OUTB 0x21, 0xFF
  cli
  ret

; Asks for the keys and waits until some time has gone without a byte.
ask:
  mov word [count], 0
  mov word [interrupts], 0
  mov si, keysText
  call print
  mov dx, 30                        ; three seconds for the first byte
.wait:
  DELAY 100000
  cmp word [count], 0
  jne .coming
  dec dx
  jnz .wait
  ret
.coming:
  mov dx, 15                        ; then a second and a half
.more:
  mov bx, [count]
  DELAY 100000
  cmp bx, [count]
  jne .coming
  dec dx
  jnz .more
  ret

; ZF: the buffer holds the bytes at SI, whose number stands before them. Shows both otherwise.
compareBuffer:
  pusha
  movzx cx, byte [si - 1]
  cmp cx, [count]
  jne .different
  push es
  push ds
  pop es
  mov di, buffer
  repe cmpsb
  pop es
  je .end
.different:
  mov cx, [count]
  mov si, buffer
  jcxz .shown
.show:
  lodsb
  call printByte
  mov al, ' '
  out 0xE9, al
  loop .show
.shown:
  or al, 1
.end:
  popa
  ret

keyboardInterrupt:
  push ax
  push bx
  push ds
  push cs
  pop ds
  inc word [interrupts]
  in al, 0x60
  mov bx, [count]
  cmp bx, 64
  jae .full
  mov [buffer + bx], al
  inc word [count]
.full:
  OUTB 0x20, 0x20
  pop ds
  pop bx
  pop ax
  iret

inputEmpty:
  in al, 0x64
  test al, 2
  jnz inputEmpty
  ret

keysText: db "keys", 10, 0
  db 2
resetDone: db 0xFA, 0xAA
  db set1End - set1
set1:
  db 0x1E, 0x9E, 0x2A, 0x30, 0xB0, 0xAA, 0x3B, 0xBB, 0xE0, 0x48, 0xE0, 0xC8
  db 0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5
set1End:
  db set2End - set2
set2:
  db 0x1C, 0xF0, 0x1C, 0x12, 0x32, 0xF0, 0x32, 0xF0, 0x12, 0x05, 0xF0, 0x05
  db 0xE0, 0x75, 0xE0, 0xF0, 0x75, 0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77
set2End:
  align 2
count: dw 0
interrupts: dw 0
buffer: times 64 db 0
%include "end.inc"
