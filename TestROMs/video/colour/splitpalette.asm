; Another bank of the palette from a line on: color select changes half way down, and back in retrace.
%include "picture.inc"
  MODE 0x12
  FILL 0xA000, 0, 38400, 0xFF       ; 15, palette 3Fh
  mov dx, 0x3C8
  mov al, 0x7F
  out dx, al
  inc dx
  mov al, 0
  out dx, al
  out dx, al
  mov al, 0x3F
  out dx, al
  cli
  mov bp, 6
.frame:
  mov dx, 0x3DA
.out:
  in al, dx
  test al, 8
  jz .out
  ATTR 0x14, 0
  mov dx, 0x3DA
  mov cx, 240
.line:
  in al, dx
  test al, 1
  jnz .line
.shown:
  in al, dx
  test al, 1
  jz .shown
  loop .line
  ATTR 0x14, 4
  mov dx, 0x3DA
.wait:
  in al, dx
  test al, 8
  jz .wait
  dec bp
  jnz .frame
PICTURE 640, 480
  SHOWS 0, 0, 640, 240, WHITE
  SHOWS 0, 240, 640, 240, 0x0000FF
PICTURE_END
