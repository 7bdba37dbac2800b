; IBM's mode 10h on an EGA of 64 KiB: the shift registers are loaded every other character clock and the address counter counts as
; often; planes 1 and 3 follow planes 0 and 2, so that each character has two bits a pixel, sixteen pixels an address.
%include "picture.inc"
  MODE 0x10
  SEQ 1, 0x05
  CRTC 0x14, 0x0F
  CRTC 0x17, 0x8B
  ATTR 0x12, 0x05
  ATTR 0x01, 0x02                   ; bit 0 of a pixel: green
  ATTR 0x04, 0x04                   ; bit 2: red
  ATTR 0x05, 0x3F                   ; both: white
  mov ax, 0xA000
  mov es, ax
  SEQ 2, 0x01
  mov byte [es:0], 0xF0
  SEQ 2, 0x02
  mov byte [es:0], 0x81
  SEQ 2, 0x04
  mov byte [es:0], 0xC0
  SEQ 2, 0x08
  mov byte [es:0], 0x01
  SEQ 2, 0x01                       ; word addresses: counter 1 is address 2
  mov byte [es:2], 0xFF
PICTURE 640, 350
  SHOWS 0, 0, 2, 1, WHITE
  SHOWS 2, 0, 2, 1, GREEN
  SHOWS 4, 0, 4, 1, BLACK
  SHOWS 8, 0, 1, 1, GREEN           ; plane 1 behind plane 0
  SHOWS 9, 0, 6, 1, BLACK
  SHOWS 15, 0, 1, 1, WHITE          ; planes 1 and 3
  SHOWS 16, 0, 8, 1, GREEN
  SHOWS 24, 0, 616, 1, BLACK
PICTURE_END
