; Color select: bits 3-2 are bits 7-6 of each color; bits 1-0 take the place of the palette's bits 5-4 where P54S is set.
%include "picture.inc"
  MODE 0x12
  FILL 0xA000, 0, 19200, 0xFF       ; color 15, palette 3Fh
  ATTR 0x10, 0x81                   ; P54S
  ATTR 0x14, 0x0E                   ; EFh
  mov dx, 0x3C8
  mov al, 0xEF
  out dx, al
  inc dx
  mov al, 0x3F
  out dx, al
  mov al, 0
  out dx, al
  out dx, al
PICTURE 640, 480
  SHOWS 0, 0, 640, 240, 0xFF0000
PICTURE_END
