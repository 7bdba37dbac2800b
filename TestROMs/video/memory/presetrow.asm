; Preset row scan begins the first row of characters in its midst; byte panning begins it characters further to the right.
%include "picture.inc"
  MODE 0x03
  CRTC 0x0A, 0x20                   ; no cursor
  mov ax, 0xB800
  mov es, ax
  xor di, di
  mov cx, 80 * 25
  mov ax, 0x0720
  rep stosw
  mov word [es:4], 0x4C20           ; red in row 0, column 2
  mov word [es:164], 0x2E20         ; green in row 1, column 2
  CRTC 0x08, 0x44                   ; from scan line 4, two characters
PICTURE 720, 400
  SHOWS 0, 0, 9, 12, RED
  SHOWS 0, 12, 9, 16, GREEN
  SHOWS 0, 28, 9, 372, BLACK
  SHOWS 9, 0, 711, 400, BLACK
PICTURE_END
