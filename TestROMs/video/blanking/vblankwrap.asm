; Vertical blanking ends by its low eight bits: one that does not end before the frame does makes the next one's top black.
%include "picture.inc"
  MODE 0x13
  FILL 0xA000, 0, 64000, 15
  CRTC 0x16, 39                     ; lines 0 to 39, rows 0 to 19
PICTURE 320, 200
  SHOWS 0, 0, 320, 20, BLACK
  SHOWS 0, 20, 320, 180, WHITE
PICTURE_END
