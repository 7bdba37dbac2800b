; Eight-bit pixels go through the attribute controller's palette nibble by nibble, after color plane enable; color select and P54S have
; no part in it (measured on hardware; the manual says of color select: all modes except the 256 color mode).
%include "picture.inc"
  MODE 0x13
  FILL 0xA000, 0, 32000, 0x04
  FILL 0xA000, 32000, 16000, 0x14
  FILL 0xA000, 48000, 16000, 0x09
  ATTR 0x04, 0x0F                   ; 04h is 0Fh, 14h is 1Fh, the end of the BIOS's grays
  ATTR 0x12, 0x07                   ; 09h is 01h
  ATTR 0x14, 0x0F
PICTURE 320, 200
  SHOWS 0, 0, 320, 100, WHITE
  SHOWS 0, 100, 320, 50, WHITE
  SHOWS 0, 150, 320, 50, BLUE
PICTURE_END
