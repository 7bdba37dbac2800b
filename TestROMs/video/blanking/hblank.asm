; Horizontal blanking that begins inside the display makes the rest of the line black. A value of 28h leaves 41 characters: the signal
; comes one later than display enable (BIOS modes with 50h have a border of one character behind 80, as measured on hardware).
%include "picture.inc"
  MODE 0x13
  FILL 0xA000, 0, 64000, 15
  CRTC 0x02, 0x28
PICTURE 320, 200
  SHOWS 0, 0, 164, 200, WHITE
  SHOWS 164, 0, 156, 200, BLACK
PICTURE_END
