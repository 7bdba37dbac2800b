; Horizontal retrace select: vertical values count pairs of scan lines, and the total with them.
%include "picture.inc"
  MODE 0x12
  SEQ 2, 0x04
  FILL 0xA000, 0, 80 * 100, 0xFF
  CRTC 0x07, 0x10                   ; all ninth and tenth bits 0, but line compare's
  CRTC 0x09, 0x40
  CRTC 0x06, 0x80
  CRTC 0x10, 0x70
  CRTC 0x11, 0x02
  CRTC 0x12, 99                     ; 200 lines
  CRTC 0x15, 0x68
  CRTC 0x16, 0x7C
  CRTC 0x17, 0xE7
PICTURE 640, 200
  SHOWS 0, 0, 640, 100, RED
  SHOWS 0, 100, 640, 100, BLACK
PICTURE_END
