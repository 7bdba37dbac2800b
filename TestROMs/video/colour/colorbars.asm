; A color that changes while the beam is on its way down: a bar for every sixteen scan lines, changed in horizontal blanking as programs
; of the time do. Twelve frames, so that whole ones are there to be seen.
%include "picture.inc"
  MODE 0x13
  FILL 0xA000, 0, 64000, 0
  cli
  mov bp, 12
.frame:
  mov dx, 0x3DA
.in:
  in al, dx
  test al, 8
  jnz .in
.retrace:
  in al, dx
  test al, 8
  jz .retrace
  xor bx, bx
.bar:                               ; the color of bar BX: red 4 * BX
  mov dx, 0x3C8
  mov al, 0
  out dx, al
  inc dx
  mov al, bl
  shl al, 1
  out dx, al
  mov al, 0
  out dx, al
  out dx, al
  mov dx, 0x3DA
  mov cx, 16
.line:                              ; sixteen displayed lines
  in al, dx
  test al, 1
  jnz .line
.shown:
  in al, dx
  test al, 1
  jz .shown
  loop .line
  inc bx
  cmp bx, 25
  jne .bar
  dec bp
  jnz .frame
PICTURE 320, 400
%assign bar 0
%rep 25
  SHOWS 0, bar * 16, 320, 16, (((bar * 2) << 2) | ((bar * 2) >> 4)) << 16
%assign bar bar + 1
%endrep
PICTURE_END
