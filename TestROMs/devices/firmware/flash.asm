; A flash memory of 64 KiB below the firmware: commands, status, query, locks; reads in every mode.
; Follows: Intel 28F640J3 data sheet, JEDEC JESD68.01 (CFI).
; At first every byte is FFh, but 5Ah in the second block of 4 KiB. QEMU runs it as
;   qemu-system-i386 -M pc -drive if=pflash,format=raw,unit=0,readonly=on,file=ROM -drive if=pflash,format=raw,unit=1,file=FLASH
;     -debugcon stdio -device isa-debug-exit,iobase=0xf4 -display none
; Its chip keeps no locks, has no identity, programs bits to 1 and reports no bad sequences.
%include "common.inc"

%define FLASH 0xFFFE0000
; CMD offset, value: a write of one byte; changes AL and EBX
%macro CMD 2
  mov ebx, FLASH + (%1)
  mov al, %2
  mov [fs:ebx], al
%endmacro
; SHOWS offset, value, text
%macro SHOWS 3+
  mov ebx, FLASH + (%1)
  mov al, [fs:ebx]
  IS %2, %3
%endmacro

test:
  ; 4 GiB in FS
  lgdt [table]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  mov bx, 8
  mov fs, bx
  and al, 0xFE
  mov cr0, eax

  ; ---- the array
  SHOWS 0x0000, 0xFF, "the first byte"
  SHOWS 0x1000, 0x5A, "the second block"
  SHOWS 0xFFFF, 0xFF, "the last byte"
  mov ebx, FLASH + 0x0FFE
  mov eax, [fs:ebx]
  mov dx, ax
  shr eax, 16
  IS16 0x5A5A, "a dword over the end of a block, high half"
  mov ax, dx
  IS16 0xFFFF, "and low half"

  ; ---- status
  CMD 0, 0x50
  CMD 0, 0x70
  SHOWS 0x1234, 0x00, "the status, cleared"
  CMD 0, 0xFF
  SHOWS 0x1234, 0x5A, "the array again"

  ; ---- query
  CMD 0x55, 0x98
  SHOWS 0x10, 'Q', "query, first letter"
  SHOWS 0x11, 'R', "second"
  SHOWS 0x12, 'Y', "third"
  SHOWS 0x13, 0x01, "the command set"
  SHOWS 0x27, 16, "64 KiB"
  SHOWS 0x2C, 1, "one region"
  SHOWS 0x2D, 15, "of 16 blocks"
  SHOWS 0x2F, 0x10, "of 4 KiB, low byte"
  SHOWS 0x30, 0x00, "high byte"
  CMD 0, 0xFF

  ; ---- identifiers
  CMD 0, 0x90
  UNLESS QEMU
  SHOWS 0, 0x89, "the maker"
  ENDUNLESS
  SHOWS 0x2002, 0, "no block is locked"
  CMD 0, 0xFF

  ; ---- a byte
  CMD 0x2010, 0x40
  CMD 0x2010, 0xA5
  SHOWS 0x2010, 0x80, "ready after a byte"
  SHOWS 0x2011, 0x80, "the status is everywhere"
  CMD 0, 0xFF
  SHOWS 0x2010, 0xA5, "the byte"
  SHOWS 0x2011, 0xFF, "its neighbour"
  UNLESS QEMU
  CMD 0x2010, 0x10
  CMD 0x2010, 0x0F
  CMD 0, 0xFF
  SHOWS 0x2010, 0x05, "bits become 0, and none 1"
  ENDUNLESS

  ; ---- a block is erased
  CMD 0x1800, 0x20
  CMD 0x1800, 0xD0
  SHOWS 0x1800, 0x80, "ready after the block"
  CMD 0, 0xFF
  SHOWS 0x1000, 0xFF, "its first byte"
  SHOWS 0x1FFF, 0xFF, "its last byte"
  UNLESS QEMU
  SHOWS 0x2010, 0x05, "the next block is as it was"
  CMD 0x2000, 0x20
  CMD 0x2000, 0x70
  SHOWS 0, 0xB0, "a bad sequence"
  CMD 0, 0x50
  SHOWS 0x2010, 0x05, "erased nothing"
  ENDUNLESS

  ; ---- a buffer
  CMD 0x3000, 0xE8
  SHOWS 0x3000, 0x80, "the buffer is free"
  CMD 0x3000, 3
  CMD 0x3010, 1
  CMD 0x3011, 2
  CMD 0x3012, 3
  CMD 0x3013, 4
  CMD 0x3000, 0xD0
  CMD 0, 0x70
  SHOWS 0, 0x80, "ready after the buffer"
  CMD 0, 0xFF
  mov ebx, FLASH + 0x3010
  mov ax, [fs:ebx]
  IS16 0x0201, "the buffer's first word"
  mov ax, [fs:ebx + 2]
  IS16 0x0403, "and second"
  SHOWS 0x3014, 0xFF, "and no more"

  ; ---- locks
  UNLESS QEMU
  CMD 0x3000, 0x60
  CMD 0x3000, 0x01
  CMD 0x3000, 0x90
  SHOWS 0x3002, 1, "a locked block"
  SHOWS 0x2002, 0, "and no other"
  CMD 0x3100, 0x40
  CMD 0x3100, 0x00
  SHOWS 0, 0x92, "a byte of it is refused"
  CMD 0, 0x50
  CMD 0x3000, 0x20
  CMD 0x3000, 0xD0
  SHOWS 0, 0xA2, "and erasing it"
  CMD 0, 0x50
  SHOWS 0x3100, 0xFF, "nothing was changed"
  SHOWS 0x3010, 0x01, "anywhere"
  CMD 0x3000, 0x60
  CMD 0x3000, 0xD0
  CMD 0x3100, 0x40
  CMD 0x3100, 0x00
  SHOWS 0, 0x80, "unlocked it takes bytes"
  CMD 0, 0xFF
  SHOWS 0x3100, 0x00, "which are there"
  ENDUNLESS

  ; ---- code: called where it is, then changed
  CMD 0x4000, 0x40
  CMD 0x4000, 0xC3
  CMD 0, 0xFF
  mov cx, 3
.again:
  mov ebx, FLASH + 0x4000
  mov al, [fs:ebx]
  loop .again
  IS 0xC3, "read again and again"
  CMD 0x4000, 0x40
  CMD 0x4000, 0x00
  CMD 0, 0xFF
  SHOWS 0x4000, 0x00, "and then another"
  ret

  align 4
table:
  dw table.end - table.first - 1
  dd (SEG << 4) + table.first
  align 8
.first:
  dq 0
  dq 0x00CF93000000FFFF
.end:

%include "end.inc"
