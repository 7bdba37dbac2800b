; The address counter counting every second character shows each address twice; doubleword addresses are four apart.
%include "picture.inc"
  MODE 0x0E
  mov ax, 0xA000
  mov es, ax
  SEQ 2, 0x01
  mov byte [es:0], 0xF0
  mov byte [es:4], 0xC0
  mov byte [es:1], 0xFF             ; not shown
  CRTC 0x17, 0xEB                   ; count by two
  CRTC 0x14, 0x40                   ; doubleword
PICTURE 640, 200
  SHOWS 0, 0, 4, 1, BLUE
  SHOWS 4, 0, 4, 1, BLACK
  SHOWS 8, 0, 4, 1, BLUE
  SHOWS 12, 0, 4, 1, BLACK
  SHOWS 16, 0, 2, 1, BLUE
  SHOWS 18, 0, 6, 1, BLACK
  SHOWS 24, 0, 2, 1, BLUE
  SHOWS 26, 0, 614, 1, BLACK
PICTURE_END
