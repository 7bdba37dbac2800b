; Vertical blanking inside the display: the value is one less than the first black line.
%include "picture.inc"
  MODE 0x13
  FILL 0xA000, 0, 64000, 15
  CRTC 0x07, 0x17                   ; bit 8 of the start is 0
  CRTC 0x15, 199                    ; black from scan line 200 on, row 100
PICTURE 320, 200
  SHOWS 0, 0, 320, 100, WHITE
  SHOWS 0, 100, 320, 100, BLACK
PICTURE_END
