; While the host has the palette (bit 5 of the attribute index is 0), the screen has the color of the overscan register, black where it is
; blanked.
%include "picture.inc"
  MODE 0x13
  FILL 0xA000, 0, 64000, 15
  CRTC 0x02, 0x28
  mov dx, 0x3DA
  in al, dx
  mov dx, 0x3C0
  mov al, 0x11
  out dx, al
  mov al, 0x04
  out dx, al
PICTURE 320, 200
  SHOWS 0, 0, 164, 200, RED
  SHOWS 164, 0, 156, 200, BLACK
PICTURE_END
