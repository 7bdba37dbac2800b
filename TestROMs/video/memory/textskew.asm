; The cursor's skew shows it that many characters to the right (it is there for eight frames of sixteen, so only where it must not be is
; compared). Underlining is where the underline location says and the attribute's
; foreground is 1.
%include "picture.inc"
  MODE 0x03
  mov ax, 0xB800
  mov es, ax
  xor di, di
  mov cx, 80 * 25
  mov ax, 0x0120                    ; blue on black
  rep stosw
  CRTC 0x14, 0x03
  CRTC 0x0A, 0x06
  CRTC 0x0B, 0x47                   ; scan lines 6 and 7, two characters late
  CRTC 0x0E, 0
  CRTC 0x0F, 5
PICTURE 720, 400
  SHOWS 0, 3, 720, 1, BLUE
  SHOWS 0, 0, 720, 3, BLACK
  SHOWS 0, 4, 63, 12, BLACK         ; not at column 5
  SHOWS 72, 4, 648, 12, BLACK       ; it is at column 7
  SHOWS 0, 19, 720, 1, BLUE
PICTURE_END
