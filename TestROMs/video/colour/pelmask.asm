; The PEL mask comes behind the palette, the plane mask before it.
%include "picture.inc"
  MODE 0x12
  FILL 0xA000, 0, 80 * 240, 0xFF    ; 15, palette 3Fh
  SEQ 2, 0x0A
  FILL 0xA000, 80 * 240, 80 * 240, 0xFF   ; 10, palette 3Ah
  ATTR 0x12, 0x0D                   ; 15 is 13, palette 3Dh; 10 is 8, palette 38h
  mov dx, 0x3C6
  mov al, 0x05                      ; 05h, magenta; 00h
  out dx, al
PICTURE 640, 480
  SHOWS 0, 0, 640, 240, MAGENTA
  SHOWS 0, 240, 640, 240, BLACK
PICTURE_END
