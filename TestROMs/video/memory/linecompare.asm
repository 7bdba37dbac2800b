; Line compare counts scan lines, also where each is shown twice and rows have several: after line 99 the display goes on at address 0,
; without panning, because mode control bit 5 is set.
%include "picture.inc"
  MODE 0x0D
  SEQ 2, 0x04
  FILL 0xA000, 0, 40, 0x80          ; red: the first pixel of each eight in row 0
  SEQ 2, 0x01
  FILL 0xA000, 8000, 8000, 0xFF     ; blue
  CRTC 0x0C, 8000 >> 8
  CRTC 0x0D, 8000 & 0xFF
  ATTR 0x10, 0x21
  ATTR 0x13, 0x01
  CRTC 0x07, 0x0F
  CRTC 0x09, 0x80
  CRTC 0x18, 99
PICTURE 320, 200
  SHOWS 0, 0, 320, 50, BLUE
  SHOWS 0, 50, 1, 1, RED
  SHOWS 1, 50, 7, 1, BLACK
  SHOWS 8, 50, 1, 1, RED
  SHOWS 0, 51, 320, 149, BLACK
PICTURE_END
