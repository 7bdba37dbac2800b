; Byte addresses, and rows of which each scan line comes from its own quarter of memory (row scan bits 0 and 1 in place of address bits
; 13 and 14).
%include "picture.inc"
  MODE 0x0E
  SEQ 2, 0x01
  FILL 0xA000, 0x0000, 80, 0xFF     ; row scan 0: blue
  SEQ 2, 0x02
  FILL 0xA000, 0x2000, 80, 0xFF     ; row scan 1: green
  SEQ 2, 0x04
  FILL 0xA000, 0x4000, 80, 0xFF     ; row scan 2: red
  SEQ 2, 0x08
  FILL 0xA000, 0x6000, 80, 0xFF     ; row scan 3: gray
  CRTC 0x09, 0x83                   ; rows of four lines, each shown twice
  CRTC 0x17, 0xE0
PICTURE 640, 200
  SHOWS 0, 0, 640, 1, BLUE
  SHOWS 0, 1, 640, 1, GREEN
  SHOWS 0, 2, 640, 1, RED
  SHOWS 0, 3, 640, 1, DARK
  SHOWS 0, 4, 640, 196, BLACK
PICTURE_END
