; 256-color shifting without the attribute controller's 8-bit mode: nibbles shift through eight bits, each dot shows the last two
; (measured on hardware). 00 C0 00: dots 0,0 0,C C,0 0,0: the third dot has 0Ch, the fourth C0h.
%include "picture.inc"
  MODE 0x13
  FILL 0xA000, 0, 64000, 0
  FILL 0xA000, 1, 1, 0xC0
  FILL 0xA000, 321, 1, 0x0C
  ATTR 0x10, 0x01
  mov dx, 0x3C8
  mov al, 0xC0
  out dx, al
  inc dx
  mov al, 0x3F
  out dx, al
  out dx, al
  out dx, al
PICTURE 640, 200
  SHOWS 0, 0, 2, 1, BLACK
  SHOWS 2, 0, 1, 1, RED2            ; 0, C
  SHOWS 3, 0, 1, 1, WHITE           ; C, 0
  SHOWS 4, 0, 636, 1, BLACK
  SHOWS 0, 1, 3, 1, BLACK
  SHOWS 3, 1, 1, 1, RED2            ; 0, C
  SHOWS 4, 1, 1, 1, WHITE           ; C, 0
  SHOWS 5, 1, 635, 1, BLACK
PICTURE_END
