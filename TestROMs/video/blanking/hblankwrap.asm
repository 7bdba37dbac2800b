; Horizontal blanking ends by its low six bits: one that does not end before the line does goes on at the left of the next. It begins
; at 51h and ends behind 4, which makes five characters black.
%include "picture.inc"
  MODE 0x13
  FILL 0xA000, 0, 64000, 15
  CRTC 0x03, 0x84
  CRTC 0x05, 0x00
PICTURE 320, 200
  SHOWS 0, 0, 20, 200, BLACK
  SHOWS 20, 0, 300, 200, WHITE
PICTURE_END
