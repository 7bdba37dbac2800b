; Display enable skew moves the window over the line: the address counter runs as before, the first character is not shown and one more
; is behind the last.
%include "picture.inc"
  MODE 0x13
  FILL 0xA000, 0, 64000, 2
  FILL 0xA000, 0, 4, 15             ; the first character of row 0
  FILL 0xA000, 4, 4, 12             ; the second
  FILL 0xA000, 320, 4, 14           ; the first of row 1
  CRTC 0x03, 0xA2                   ; one character
PICTURE 320, 200
  SHOWS 0, 0, 4, 1, RED2
  SHOWS 4, 0, 312, 1, GREEN
  SHOWS 316, 0, 4, 1, YELLOW
PICTURE_END
