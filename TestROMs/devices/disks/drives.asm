; More drives: the slave of the first IDE channel, a disk on the second, a second floppy drive; 48-bit addresses. Disks are the one of ide.asm with
; 40h (slave) and 80h (second channel) added to the third byte of each sector; drive B is drive A's complement.
; Follows: ATA/ATAPI-6; Intel 82077AA data sheet. Sectors 200 and up, and cylinder 72 of drive B are written.
%include "common.inc"
%include "floppy.inc"

%define TOTAL 4032
; IDE_COMMAND channel base, drive, code, count, lba
%macro IDE_COMMAND 5
  OUTB %1 + 2, %4
  OUTB %1 + 3, (%5) & 0xFF
  OUTB %1 + 4, ((%5) >> 8) & 0xFF
  OUTB %1 + 5, ((%5) >> 16) & 0xFF
  OUTB %1 + 6, 0xE0 | (%2) << 4
  OUTB %1 + 7, %3
  mov dx, %1 + 7
  call ready
%endmacro
; IDE_EXT channel base, drive, code, count (16 bits), lba (32 bits): the high bytes first
%macro IDE_EXT 5
  OUTB %1 + 6, 0x40 | (%2) << 4
  OUTB %1 + 2, (%4) >> 8
  OUTB %1 + 3, ((%5) >> 24) & 0xFF
  OUTB %1 + 4, 0
  OUTB %1 + 5, 0
  OUTB %1 + 2, (%4) & 0xFF
  OUTB %1 + 3, (%5) & 0xFF
  OUTB %1 + 4, ((%5) >> 8) & 0xFF
  OUTB %1 + 5, ((%5) >> 16) & 0xFF
  OUTB %1 + 7, %3
  mov dx, %1 + 7
  call ready
%endmacro
%macro READ_SECTOR 1           ; channel base
  mov dx, %1
  mov di, sector
  mov cx, 256
  rep insw
  mov dx, %1 + 7
  call ready
%endmacro
; The sector is number n of disk k.
%macro SECTOR_IS 3+
  mov ax, [sector]
  IS16 %1, %3
  mov al, [sector + 2]
  IS ((%1) + ((%2) << 6)) & 0xFF, %3
  mov al, [sector + 511]
  IS ((%1) + 509) & 0xFF, %3
%endmacro

test:
  cld
  OUTB 0x3F6, 0
  OUTB 0x376, 0
  mov al, 0x76
  mov dx, irq14
  call setVector
  mov al, 0x77
  mov dx, irq15
  call setVector
  OUTB 0xA1, 0x3F
  OUTB 0x21, 0xFB

  ; ---- the slave
  OUTB 0x1F6, 0xB0
  OUTB 0x1F7, 0xEC
  mov dx, 0x1F7
  call ready
  BITS_ARE 0xC9, 0x48, "the slave's IDENTIFY"
  READ_SECTOR 0x1F0
  mov ax, [sector + 120]
  IS16 TOTAL, "the slave's sectors"
  mov ax, [sector + 166]
  and ax, 0xC400
  UNLESS BOCHS
  IS16 0x4400, "word 83: 48-bit addresses"
  ENDUNLESS
  IDE_COMMAND 0x1F0, 1, 0x20, 1, 77
  BITS_ARE 0xC9, 0x48, "slave: DRQ"
  READ_SECTOR 0x1F0
  SECTOR_IS 77, 1, "the slave's sector 77"
  IDE_COMMAND 0x1F0, 0, 0x20, 1, 77
  READ_SECTOR 0x1F0
  SECTOR_IS 77, 0, "the master's sector 77"
  ; registers are written in both devices
  OUTB 0x1F6, 0xA0
  OUTB 0x1F3, 0x5A
  OUTB 0x1F6, 0xB0
  READS 0x1F3, 0x5A, "both devices take the registers"
  INB 0x1F6
  BITS_ARE 0x10, 0x10, "device 1 is selected"
  ; writing one leaves the other
  mov di, sector
  mov cx, 256
  mov ax, 0xCAFE
  rep stosw
  IDE_COMMAND 0x1F0, 1, 0x30, 1, 230
  mov dx, 0x1F0
  mov si, sector
  mov cx, 256
  rep outsw
  mov dx, 0x1F7
  call ready
  IDE_COMMAND 0x1F0, 0, 0x20, 1, 230
  READ_SECTOR 0x1F0
  SECTOR_IS 230, 0, "the master's sector 230 is untouched"
  IDE_COMMAND 0x1F0, 1, 0x20, 1, 230
  READ_SECTOR 0x1F0
  mov ax, [sector + 300]
  IS16 0xCAFE, "the slave's sector 230 is written"
  ; an error in one is not the other's
  IDE_COMMAND 0x1F0, 1, 0xFE, 1, 0
  BITS_ARE 0x89, 0x01, "slave: an unknown command"
  OUTB 0x1F6, 0xA0
  INB 0x1F7
  BITS_ARE 0x89, 0x00, "the master has no error"
  OUTB 0x1F6, 0xB0
  INB 0x1F7
  BITS_ARE 0x89, 0x01, "the slave still has"
  ; multiple mode is each device's own
  OUTB 0x1F6, 0xA0
  OUTB 0x1F2, 4
  OUTB 0x1F7, 0xC6
  mov dx, 0x1F7
  call ready
  UNLESS QEMU                       ; has it on from the start
  IDE_COMMAND 0x1F0, 1, 0xC4, 1, 3
  BITS_ARE 0x89, 0x01, "slave: multiple mode is not set"
  ENDUNLESS
  IDE_COMMAND 0x1F0, 0, 0xC4, 5, 60
  mov cx, 4
.multiple:
  push cx
  mov dx, 0x1F0
  mov di, sector
  mov cx, 256
  rep insw
  pop cx
  loop .multiple
  mov dx, 0x1F7
  call ready
  BITS_ARE 0x89, 0x08, "multiple: the rest of one"
  READ_SECTOR 0x1F0
  SECTOR_IS 64, 0, "multiple: the fifth"
  ; the diagnostic command speaks for both
  OUTB 0x1F6, 0xB0
  OUTB 0x1F7, 0x90
  mov dx, 0x1F7
  call ready
  UNLESS QEMU | BOCHS               ; stay with device 1
  INB 0x1F6
  BITS_ARE 0x10, 0x00, "the diagnostic selects device 0"
  INB 0x1F1
  BITS_ARE 0x7F, 0x01, "and it passed"
  ENDUNLESS
  OUTB 0x1F6, 0xA0

  ; ---- the second channel
  sti
  DELAY 2000                        ; what is pending
  mov word [count14], 0
  mov word [count15], 0
  IDE_COMMAND 0x170, 0, 0x20, 1, 500
  DELAY 20000
  cli
  mov ax, [count15]
  IS16 1, "IRQ 15"
  mov ax, [count14]
  IS16 0, "not IRQ 14"
  READ_SECTOR 0x170
  SECTOR_IS 500, 2, "the second channel's sector 500"
  ; both channels at once
  IDE_COMMAND 0x1F0, 1, 0x20, 1, 11
  IDE_COMMAND 0x170, 0, 0x20, 1, 12
  READ_SECTOR 0x1F0
  SECTOR_IS 11, 1, "both channels: the slave of the first"
  READ_SECTOR 0x170
  SECTOR_IS 12, 2, "both channels: the second"
  ; its slave is absent
  OUTB 0x176, 0xB0
  INB 0x177
  BITS_ARE 0xC9, 0x00, "second channel: no slave"
  OUTB 0x176, 0xA0

  ; ---- 48-bit addresses
  UNLESS BOCHS
  IDE_EXT 0x1F0, 1, 0x24, 1, 1234
  BITS_ARE 0xC9, 0x48, "READ SECTORS EXT"
  READ_SECTOR 0x1F0
  SECTOR_IS 1234, 1, "sector 1234"
  INB 0x1F7
  BITS_ARE 0x89, 0x00, "one sector only"
  ; the previous contents of the registers
  IDE_EXT 0x1F0, 1, 0x40, 1, 5
  OUTB 0x1F2, 0x11
  OUTB 0x1F2, 0x22
  OUTB 0x1F3, 0x33
  OUTB 0x1F3, 0x44
  OUTB 0x3F6, 0x80
  READS 0x1F2, 0x11, "HOB: the older count"
  READS 0x1F3, 0x33, "HOB: the older LBA"
  OUTB 0x3F6, 0x00
  READS 0x1F2, 0x22, "the newer count"
  READS 0x1F3, 0x44, "the newer LBA"
  IDE_EXT 0x1F0, 1, 0x24, 1, 0x01000000 + 5
  BITS_ARE 0x89, 0x01, "beyond the end: ERR"
  IDE_EXT 0x170, 0, 0x24, 1, TOTAL
  BITS_ARE 0x89, 0x01, "the first sector beyond: ERR"
  IDE_EXT 0x170, 0, 0x24, 1, TOTAL - 1
  READ_SECTOR 0x170
  SECTOR_IS TOTAL - 1, 2, "the last sector"
  mov di, sector
  mov cx, 256
  mov ax, 0xF00D
  rep stosw
  IDE_EXT 0x170, 0, 0x34, 1, 240
  mov dx, 0x170
  mov si, sector
  mov cx, 256
  rep outsw
  mov dx, 0x177
  call ready
  IDE_COMMAND 0x170, 0, 0x20, 1, 240
  READ_SECTOR 0x170
  mov ax, [sector + 2]
  IS16 0xF00D, "WRITE SECTORS EXT"
  IDE_EXT 0x170, 0, 0xEA, 0, 0
  BITS_ARE 0x89, 0x00, "FLUSH CACHE EXT"
  ENDUNLESS

  ; ---- drive B
  mov ax, BUFFER_SEG
  mov fs, ax
  mov al, 0x0E
  mov dx, floppyInterrupt
  call setVector
  OUTB 0xD6, 0xC0
  OUTB 0xD4, 0x00
  OUTB 0x21, 0xBF
  sti
  OUTB DOR, 0x00
  DELAY 50
  mov byte [seen], 0
  OUTB DOR, 0x0C
  DONE "reset"
%rep 4
  SEND 0x08
  SKIP_RESULT 2
%endrep
  SEND 0x03, 0xDF, 0x02
  OUTB DIR, 0x00
  OUTB DOR, 0x3D                    ; both motors, drive 1
  DELAY 300000
  SEND 0x07, 0x01
  DONE "recalibrate B"
  SEND 0x08
  RESULT 0x21, "ST0 names drive 1"
  RESULT 0, "at cylinder 0"
  SEND 0x0F, 0x01, 20
  DONE "seek B"
  SEND 0x08
  call receive
  BITS_ARE 0xE3, 0x21, "seek: ST0"
  RESULT 20, "at cylinder 20"
  SETUP_DMA FROM_DISK, 512
  SEND 0xE6, 0x01, 20, 0, 3, 2, 18, 0x1B, 0xFF
  DONE "read B"
  call receive
  BITS_ARE 0xC3, 0x01, "read B: ST0"
  SKIP_RESULT 6
%define FIRST(n) ((((n) * 7) ^ ((n) >> 3)) & 0xFF)
%define LBA(c, h, s) ((c) * 36 + (h) * 18 + (s) - 1)
  mov al, [fs:0]
  IS ~FIRST(LBA(20, 0, 3)) & 0xFF, "drive B's sector"
  ; A stands where it stood
  OUTB DOR, 0x3C
  SEND 0x07, 0x00
  DONE "recalibrate A"
  SEND 0x08
  RESULT 0x20, "drive 0"
  SKIP_RESULT 1
  SETUP_DMA FROM_DISK, 512
  SEND 0xE6, 0x00, 0, 0, 7, 2, 18, 0x1B, 0xFF
  DONE "read A"
  SKIP_RESULT 7
  mov al, [fs:0]
  IS FIRST(LBA(0, 0, 7)), "drive A's sector"
  OUTB DOR, 0x3D
  SEND 0x4A, 0x01                   ; B is still at 20
  DONE "read ID B"
  SKIP_RESULT 3
  RESULT 20, "B has not moved"
  SKIP_RESULT 3
  SEND 0x04, 0x01
  call receive
  BITS_ARE 0x13, 0x01, "SENSE DRIVE STATUS: drive 1, not at track 0"
  ; write B, and A keeps its own
  SEND 0x0F, 0x01, 72
  DONE "seek to 72"
  SEND 0x08
  SKIP_RESULT 2
  mov byte [fs:0], 0xB5
  SETUP_DMA TO_DISK, 512
  SEND 0xC5, 0x01, 72, 0, 1, 2, 18, 0x1B, 0xFF
  DONE "write B"
  SKIP_RESULT 7
  mov byte [fs:0], 0
  SETUP_DMA FROM_DISK, 512
  SEND 0xE6, 0x01, 72, 0, 1, 2, 18, 0x1B, 0xFF
  DONE "read back B"
  SKIP_RESULT 7
  mov al, [fs:0]
  IS 0xB5, "written to B"
  OUTB DOR, 0x3C
  SEND 0x0F, 0x00, 72
  DONE "seek A"
  SEND 0x08
  SKIP_RESULT 2
  SETUP_DMA FROM_DISK, 512
  SEND 0xE6, 0x00, 72, 0, 1, 2, 18, 0x1B, 0xFF
  DONE "read A at 72"
  SKIP_RESULT 7
  mov al, [fs:0]
  IS FIRST(LBA(72, 0, 1)), "A is untouched"
  cli
  ret

; Waits for BSY clear in the status at DX; AL: status
ready:
  push cx
  mov cx, 50000
.wait:
  in al, dx
  test al, 0x80
  jz .end
  DELAY 50
  loop .wait
.end:
  pop cx
  ret

irq14:
  push ax
  push dx
  INB 0x1F7
  inc word [cs:count14]
  jmp end14
irq15:
  push ax
  push dx
  INB 0x177
  inc word [cs:count15]
end14:
  OUTB 0xA0, 0x20
  OUTB 0x20, 0x20
  pop dx
  pop ax
  iret

FLOPPY_ROUTINES
  align 2
count14: dw 0
count15: dw 0
sector: times 512 db 0
%include "end.inc"
