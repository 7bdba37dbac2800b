; The floppy controller with a 1.44 MB drive A, in which byte j of sector n (from 0) is (7n + j) xor (n / 8): reset and sense interrupt,
; drive polling, seek, read ID, read, write, format, errors, DMA, PIO, verify transfers, multi-track, change line.
; Follows: Intel 82077AA data sheet; 8237A data sheet. Cylinders 70 and up are written.
%include "common.inc"

%include "floppy.inc"
%define FIRST(n) ((((n) * 7) ^ ((n) >> 3)) & 0xFF)
; The buffer at an offset holds sector n.
%macro SECTOR_AT 3+
  mov al, [fs:%1]
  IS FIRST(%2), %3
  mov al, [fs:%1 + 511]
  IS ((((%2) * 7 + 511) & 0xFF) ^ (((%2) >> 3) & 0xFF)), %3
%endmacro
%define LBA(c, h, s) ((c) * 36 + (h) * 18 + (s) - 1)

test:
  mov ax, BUFFER_SEG
  mov fs, ax
  mov al, 0x0E
  mov dx, floppyInterrupt
  call setVector
  OUTB 0xD6, 0xC0                   ; the cascade
  OUTB 0xD4, 0x00
  OUTB 0x21, 0xBF
  sti

  ; ---- reset
  OUTB DOR, 0x00
  DELAY 50
  mov byte [seen], 0
  OUTB DOR, 0x0C
  DONE "interrupt after a reset"
  READS MSR, 0x80, "MSR: ready for a command"
  READS DOR, 0x0C, "DOR reads back"
%assign n 0
%rep 4
  SEND 0x08
  RESULT 0xC0 + n, "sense interrupt after reset: drive polling"
  RESULT 0x00, "sense interrupt after reset: cylinder"
%assign n n + 1
%endrep
  SEND 0x08
  RESULT 0x80, "a fifth sense interrupt is invalid"
  READS MSR, 0x80, "a result of one byte"
  UNLESS BOCHS                      ; is an older controller
  SEND 0x10
  RESULT 0x90, "VERSION: an 82077"
  ENDUNLESS
  SEND 0x1F
  RESULT 0x80, "an invalid command"
  UNLESS BOCHS
  SEND 0x94
  RESULT 0x10, "LOCK"
  SEND 0x14
  RESULT 0x00, "unlock"
  ENDUNLESS
  SEND 0x13, 0x00, 0x57, 0x00       ; CONFIGURE: implied seek, polling off, threshold 8
  SEND 0x03, 0xDF, 0x02             ; SPECIFY: DMA
  UNLESS QEMU | BOCHS               ; differ in what they keep
  SEND 0x0E
  SKIP_RESULT 4
  RESULT 0xDF, "DUMPREG: SRT, HUT"
  RESULT 0x02, "DUMPREG: HLT, ND"
  SKIP_RESULT 1
  RESULT 0x00, "DUMPREG: lock, perpendicular"
  RESULT 0x57, "DUMPREG: configuration"
  RESULT 0x00, "DUMPREG: precompensation"
  ENDUNLESS
  SEND 0x13, 0x00, 0x17, 0x00       ; no implied seek
  OUTB DIR, 0x00                    ; CCR: 500 kbit/s

  ; ---- recalibrate, seek, change line
  OUTB DOR, 0x1C
  DELAY 300000
  READS DOR, 0x1C, "motor and drive read back"
  INB DIR
  UNLESS QEMU | BOCHS               ; show no change at power-on
  BITS_ARE 0x80, 0x80, "change line: a disk was put in"
  ENDUNLESS
  SEND 0x07, 0x00
  DONE "recalibrate"
  SEND 0x08
  RESULT 0x20, "recalibrate: seek end"
  RESULT 0x00, "recalibrate: cylinder 0"
  SEND 0x04, 0x00
  call receive
  BITS_ARE 0x57, 0x10, "sense drive status: track 0, writable, head 0, drive 0"
  SEND 0x04, 0x04
  call receive
  BITS_ARE 0x57, 0x14, "sense drive status: head 1"
  SEND 0x0F, 0x00, 10
  DONE "seek"
  SEND 0x08
  RESULT 0x20, "seek: seek end"
  RESULT 10, "seek: cylinder 10"
  SEND 0x04, 0x00
  call receive
  BITS_ARE 0x10, 0x00, "not at track 0"
  INB DIR
  BITS_ARE 0x80, 0x00, "change line: cleared by a step"

  ; ---- read ID
  SEND 0x4A, 0x04
  DONE "read ID"
  RESULT 0x04, "read ID: ST0"
  RESULT 0x00, "read ID: ST1"
  RESULT 0x00, "read ID: ST2"
  RESULT 10, "read ID: cylinder"
  RESULT 1, "read ID: head"
  call receive
  UNLESS BOCHS
  dec al
  cmp al, 18
  HOLDS b, "read ID: a sector of the track"
  ENDUNLESS
  RESULT 2, "read ID: 512 bytes"

  ; ---- read by DMA
  SETUP_DMA FROM_DISK, 512
  SEND 0xE6, 0x00, 10, 0, 5, 2, 18, 0x1B, 0xFF
  DONE "read"
  RESULT 0x00, "read: ST0"
  RESULT 0x00, "read: ST1"
  RESULT 0x00, "read: ST2"
  RESULT 10, "read: cylinder"
  RESULT 0, "read: head"
  RESULT 6, "read: the next sector"
  RESULT 2, "read: size"
  SECTOR_AT 0, LBA(10, 0, 5), "what was read"
  in al, 0x08
  BITS_ARE 0x04, 0x04, "DMA: terminal count"
  in al, 0x08
  BITS_ARE 0x04, 0x00, "DMA: reading the status clears it"
  UNLESS BOCHS
  OUTB 0x0C, 0
  in al, 0x05
  mov ah, al
  in al, 0x05
  xchg al, ah
  IS16 0xFFFF, "DMA: the count is at its end"
  ENDUNLESS
  ; several sectors
  SETUP_DMA FROM_DISK, 512 * 3
  SEND 0xE6, 0x04, 10, 1, 16, 2, 18, 0x1B, 0xFF
  DONE "three sectors"
  call receive
  BITS_ARE 0xC0, 0x00, "three sectors: ST0"
  RESULT 0x00, "three sectors: ST1"
  RESULT 0x00, "three sectors: ST2"
  RESULT 11, "three sectors with MT to the end of head 1: next cylinder"
  RESULT 0, "head 0"
  RESULT 1, "sector 1"
  SKIP_RESULT 1
  SECTOR_AT 0, LBA(10, 1, 16), "the first"
  SECTOR_AT 1024, LBA(10, 1, 18), "the third"
  ; multi-track: from head 0 to head 1
  SETUP_DMA FROM_DISK, 1024
  SEND 0xE6, 0x00, 10, 0, 18, 2, 18, 0x1B, 0xFF
  DONE "multi-track"
  call receive
  BITS_ARE 0xC0, 0x00, "multi-track: ST0"
  SKIP_RESULT 6
  SECTOR_AT 0, LBA(10, 0, 18), "multi-track: head 0"
  SECTOR_AT 512, LBA(10, 1, 1), "multi-track: head 1"
  ; autoinitialisation: address and count begin anew at terminal count, and the channel stays unmasked
  SETUP_DMA FROM_DISK | 0x10, 512
%assign n 5
%rep 3
  mov byte [seen], 0
  SEND 0xE6, 0x00, 10, 0, n, 2, 18, 0x1B, 0xFF
  DONE "autoinitialisation"
  call receive
  BITS_ARE 0xC0, 0x00, "autoinitialisation: ST0"
  SKIP_RESULT 6
  SECTOR_AT 0, LBA(10, 0, n), "autoinitialisation: the same place each time"
  in al, 0x08
  BITS_ARE 0x04, 0x04, "autoinitialisation: terminal count"
  UNLESS QEMU | BOCHS               ; show other numbers
  OUTB 0x0C, 0
  in al, 0x05
  mov ah, al
  in al, 0x05
  xchg al, ah
  IS16 511, "autoinitialisation: the count again"
  in al, 0x04
  mov ah, al
  in al, 0x04
  xchg al, ah
  cmp ax, [dmaOffset]
  HOLDS e, "autoinitialisation: the address again"
  ENDUNLESS
%assign n n + 3
%endrep
  ; without it the channel is masked at terminal count: nothing more is moved
  SETUP_DMA FROM_DISK, 512
  SEND 0xE6, 0x00, 10, 0, 5, 2, 18, 0x1B, 0xFF
  DONE "one sector"
  SKIP_RESULT 7
  UNLESS QEMU | BOCHS               ; the masks cannot be read there
  in al, 0x0F
  BITS_ARE 0x04, 0x04, "terminal count masks the channel"
  ENDUNLESS
  ; a verify transfer moves nothing
  mov byte [fs:0], 0x77
  SETUP_DMA VERIFY, 512
  SEND 0xE6, 0x00, 10, 0, 1, 2, 18, 0x1B, 0xFF
  DONE "verify transfer"
  call receive
  BITS_ARE 0xC0, 0x00, "verify transfer: ST0"
  SKIP_RESULT 6
  mov al, [fs:0]
  IS 0x77, "verify transfer: memory is untouched"

  ; ---- errors
  SETUP_DMA FROM_DISK, 512
  SEND 0x46, 0x00, 10, 0, 30, 2, 40, 0x1B, 0xFF
  DONE "no such sector"
  RESULT 0x40, "no such sector: ST0"
  UNLESS QEMU                       ; tells EN
  RESULT 0x04, "no such sector: ST1 has ND"
  SKIP_RESULT 5
  ENDUNLESS
  test byte [platform], QEMU
  jz .notQEMU1
  SKIP_RESULT 6
.notQEMU1:
  UNLESS QEMU | BOCHS               ; seek by themselves
  SETUP_DMA FROM_DISK, 512
  SEND 0x46, 0x00, 12, 0, 1, 2, 18, 0x1B, 0xFF
  DONE "another cylinder"
  RESULT 0x40, "another cylinder: ST0"
  RESULT 0x04, "another cylinder: ST1 has ND"
  RESULT 0x10, "another cylinder: ST2 has WC"
  SKIP_RESULT 4
  ENDUNLESS
  UNLESS BOCHS                      ; ends without it
  SETUP_DMA FROM_DISK, 512 * 4
  SEND 0x46, 0x00, 10, 0, 17, 2, 18, 0x1B, 0xFF
  DONE "end of cylinder"
  UNLESS QEMU
  RESULT 0x40, "end of cylinder: ST0"
  RESULT 0x80, "end of cylinder: ST1 has EN"
  SKIP_RESULT 5
  ENDUNLESS
  ENDUNLESS
  test byte [platform], QEMU
  jz .notQEMU
  SKIP_RESULT 7
.notQEMU:

  ; ---- write and read back
  SEND 0x0F, 0x00, 70
  DONE "seek to 70"
  SEND 0x08
  SKIP_RESULT 2
  mov cx, 1024
  xor di, di
.fill:
  mov ax, di
  xor al, 0x5C
  mov [fs:di], al
  inc di
  loop .fill
  SETUP_DMA TO_DISK, 1024
  SEND 0xC5, 0x00, 70, 0, 3, 2, 18, 0x1B, 0xFF
  DONE "write"
  RESULT 0x00, "write: ST0"
  RESULT 0x00, "write: ST1"
  RESULT 0x00, "write: ST2"
  RESULT 70, "write: cylinder"
  RESULT 0, "write: head"
  RESULT 5, "write: the next sector"
  SKIP_RESULT 1
  call clearBuffer
  SETUP_DMA FROM_DISK, 512 * 3
  SEND 0xE6, 0x00, 70, 0, 3, 2, 18, 0x1B, 0xFF
  DONE "read back"
  SKIP_RESULT 7
  mov al, [fs:0]
  IS 0x5C, "what was written: first byte"
  mov al, [fs:1023]
  IS 0xA3, "what was written: last byte"
  SECTOR_AT 1024, LBA(70, 0, 5), "the next sector is untouched"

  ; ---- format
  SEND 0x0F, 0x00, 79
  DONE "seek to 79"
  SEND 0x08
  SKIP_RESULT 2
  xor di, di
  mov cx, 1
.ids:
  mov byte [fs:di], 79
  mov byte [fs:di + 1], 0
  mov [fs:di + 2], cl
  mov byte [fs:di + 3], 2
  add di, 4
  inc cx
  cmp cx, 18
  jbe .ids
  SETUP_DMA TO_DISK, 72
  SEND 0x4D, 0x00, 2, 18, 0x54, 0xE5
  DONE "format"
  call receive
  BITS_ARE 0xC0, 0x00, "format: ST0"
  SKIP_RESULT 6
  call clearBuffer
  SETUP_DMA FROM_DISK, 512
  SEND 0xE6, 0x00, 79, 0, 18, 2, 18, 0x1B, 0xFF
  DONE "read the formatted track"
  SKIP_RESULT 7
  UNLESS QEMU                       ; formats nothing by DMA
  mov al, [fs:0]
  IS 0xE5, "format: the filler"
  mov al, [fs:511]
  IS 0xE5, "format: the filler to the end"
  ENDUNLESS

  ; ---- without DMA
  UNLESS BOCHS                      ; has no such mode
  SEND 0x03, 0xDF, 0x03
  SEND 0x46, 0x00, 79, 0, 1, 2, 1, 0x1B, 0xFF
  xor di, di
  mov dx, MSR
.bytes:
  mov cx, 5000
.byte:
  in al, dx
  and al, 0xE0
  cmp al, 0xE0
  je .take
  DELAY 20
  loop .byte
  jmp .over
.take:
  mov dx, FIFO
  in al, dx
  mov dx, MSR
  mov [fs:di], al
  inc di
  cmp di, 512
  jne .bytes
.over:
  mov ax, di
  IS16 512, "PIO: all bytes come"
  UNLESS QEMU
  mov al, [fs:0]
  IS 0xE5, "PIO: first byte"
  mov al, [fs:511]
  IS 0xE5, "PIO: last byte"
  ENDUNLESS
  UNLESS QEMU                       ; ends normally at the last sector
  RESULT 0x40, "PIO: without TC the end of the cylinder ends it"
  RESULT 0x80, "PIO: ST1 has EN"
  SKIP_RESULT 5
  ENDUNLESS
  ENDUNLESS
  OUTB DOR, 0x00
  DELAY 50
  mov byte [seen], 0
  OUTB DOR, 0x0C
  DONE "a reset at the end"
  cli
  ret

clearBuffer:
  push es
  mov ax, BUFFER_SEG
  mov es, ax
  xor di, di
  mov cx, 2048
  xor ax, ax
  rep stosw
  pop es
  ret
FLOPPY_ROUTINES
%include "end.inc"
