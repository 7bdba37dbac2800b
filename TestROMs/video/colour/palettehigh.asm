; The high nibble of an eight-bit pixel goes through the palette, too: with register 1 at 0, 1Fh is 0Fh and 12h is 02h.
%include "picture.inc"
  MODE 0x13
  FILL 0xA000, 0, 32000, 0x1F
  FILL 0xA000, 32000, 32000, 0x12
  ATTR 0x01, 0x00
PICTURE 320, 200
  SHOWS 0, 0, 320, 100, WHITE
  SHOWS 0, 100, 320, 100, GREEN
PICTURE_END
