; The two 8237A and their page registers, without a device that transfers (fdc.asm has those).
; Follows: Intel 8237A data sheet (231466); IBM AT Technical Reference for the addresses.
%include "common.inc"

; WORD_OUT port, value; WORD_IN port: through the byte pointer
%macro WORD_OUT 2
  OUTB %1, (%2) & 0xFF
  OUTB %1, (%2) >> 8
%endmacro
%macro WORD_IN 1
  in al, %1
  mov ah, al
  in al, %1
  xchg al, ah
%endmacro

test:
  OUTB 0x0D, 0                      ; master clear
  OUTB 0xDA, 0

  ; ---- addresses and counts
%assign n 0
%rep 4
  OUTB 0x0C, 0
  WORD_OUT n * 2, 0x1234 + n * 0x1111
  WORD_OUT n * 2 + 1, 0xFEDC - n * 0x1111
%assign n n + 1
%endrep
  OUTB 0x0C, 0
%assign n 0
%rep 4
  WORD_IN n * 2
  IS16 0x1234 + n * 0x1111, "address of a byte channel"
  WORD_IN n * 2 + 1
  IS16 0xFEDC - n * 0x1111, "count of a byte channel"
%assign n n + 1
%endrep
%assign n 0
%rep 4
  OUTB 0xD8, 0
  WORD_OUT 0xC0 + n * 4, 0x4321 + n * 0x1111
  WORD_OUT 0xC2 + n * 4, 0xCDEF - n * 0x1111
%assign n n + 1
%endrep
  OUTB 0xD8, 0
%assign n 0
%rep 4
  WORD_IN 0xC0 + n * 4
  IS16 0x4321 + n * 0x1111, "address of a word channel"
  WORD_IN 0xC2 + n * 4
  IS16 0xCDEF - n * 0x1111, "count of a word channel"
%assign n n + 1
%endrep

  ; ---- byte pointer: one for the whole controller
  OUTB 0x0C, 0
  WORD_OUT 0x02, 0x5678
  in al, 0x02
  IS 0x78, "byte pointer: low first"
  in al, 0x02
  IS 0x56, "byte pointer: then high"
  in al, 0x02
  IS 0x78, "byte pointer: low again"
  OUTB 0x0C, 0xFF
  in al, 0x02
  IS 0x78, "clear byte pointer, whatever is written"
  in al, 0x04
  IS 0x34, "the byte pointer is common to the channels"
  UNLESS BOCHS                      ; where both halves become one byte
  OUTB 0x02, 0x78                   ; (the pointer is at the low byte)
  in al, 0x02
  IS 0x56, "a write moves it too"
  ENDUNLESS
  in al, 0xC4
  IS 0x32, "the other controller has its own"
  OUTB 0xD8, 0
  OUTB 0x0C, 0

  ; ---- page registers
  xor bl, bl
  mov dx, 0x81
.pagesOut:
  mov al, dl
  xor al, 0x5A
  out dx, al
  inc dx
  cmp dx, 0x90
  jne .pagesOut
%macro PAGE 1
  in al, %1
  IS (%1) ^ 0x5A, "page register reads back"
%endmacro
  PAGE 0x81
  PAGE 0x82
  PAGE 0x83
  PAGE 0x87
  PAGE 0x89
  PAGE 0x8A
  PAGE 0x8B
  PAGE 0x8F
  UNLESS QEMU                       ; has none of the others
  PAGE 0x84
  PAGE 0x85
  PAGE 0x86
  PAGE 0x88
  PAGE 0x8C
  PAGE 0x8D
  PAGE 0x8E
  ENDUNLESS

  ; ---- master clear
  OUTB 0x0C, 0
  in al, 0x02                       ; the pointer is at the high byte
  OUTB 0x0D, 0
  UNLESS QEMU | BOCHS               ; the masks cannot be read there
  in al, 0x0F
  BITS_ARE 0x0F, 0x0F, "master clear masks all channels"
  ENDUNLESS
  in al, 0x08
  BITS_ARE 0x0F, 0x00, "master clear: no terminal count"
  in al, 0x0D
  IS 0x00, "master clear: temporary register"
  in al, 0x02
  IS 0x78, "master clear: byte pointer at the low byte"
  in al, 0x02

  ; ---- masks
  OUTB 0x0F, 0x05
  UNLESS QEMU | BOCHS
  in al, 0x0F
  BITS_ARE 0x0F, 0x05, "all masks"
  OUTB 0x0A, 0x05                   ; set channel 1
  in al, 0x0F
  BITS_ARE 0x0F, 0x07, "set one mask"
  OUTB 0x0A, 0x02                   ; clear channel 2
  in al, 0x0F
  BITS_ARE 0x0F, 0x03, "clear one mask"
  OUTB 0x0E, 0xFF
  in al, 0x0F
  BITS_ARE 0x0F, 0x00, "clear all masks"
  OUTB 0x0F, 0xFF
  in al, 0x0F
  BITS_ARE 0x0F, 0x0F, "all set"
  OUTB 0xDE, 0x0A
  in al, 0xDE
  BITS_ARE 0x0F, 0x0A, "the second controller's masks"
  in al, 0x0F
  BITS_ARE 0x0F, 0x0F, "are its own"
  ENDUNLESS

  ; ---- a master clear of one leaves the other, and addresses stay
  OUTB 0xDA, 0
  OUTB 0x0C, 0
  WORD_IN 0x04
  IS16 0x3456, "master clear leaves addresses"
  WORD_IN 0x06
  IS16 0x4567, "of all channels"

  ; ---- software request shows in the status (the controller disabled, so that it is not served)
  UNLESS QEMU | BOCHS               ; Bochs has none; QEMU serves it and shows nothing
  OUTB 0x08, 0x04
  OUTB 0x09, 0x06                   ; request channel 2
  in al, 0x08
  BITS_ARE 0xF0, 0x40, "a software request shows in the status"
  OUTB 0x09, 0x02
  in al, 0x08
  BITS_ARE 0xF0, 0x00, "and goes"
  ENDUNLESS
  OUTB 0x0D, 0
  OUTB 0xDA, 0
  ret
%include "end.inc"
