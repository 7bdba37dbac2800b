; Word addresses: the lowest bit is the counter's bit 13 or, with address wrap, 15.
%include "picture.inc"
  MODE 0x0E
  mov ax, 0xA000
  mov es, ax
  SEQ 2, 0x01
  mov byte [es:0x4000], 0xFF
  SEQ 2, 0x02
  mov byte [es:0x4001], 0xFF
  CRTC 0x0C, 0x20                   ; counter 2000h: address 4000h and bit 13
  CRTC 0x17, 0x83
PICTURE 640, 200
  SHOWS 0, 0, 8, 1, GREEN
  SHOWS 8, 0, 632, 1, BLACK
PICTURE_END
