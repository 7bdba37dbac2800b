; One ATA disk of 4 cylinders, 16 heads, 63 sectors as master of the first channel, whose sector n begins with n (a word) and goes on with
; bytes (n + i): signatures, IDENTIFY, CHS and LBA, PIO in and out, multiple, errors, SRST, nIEN, the absent slave.
; Follows: ATA/ATAPI-6. Sectors 200 and up are written.
%include "common.inc"

%define DATA 0x1F0
%define ERROR 0x1F1
%define COUNT 0x1F2
%define LBA0 0x1F3
%define LBA1 0x1F4
%define LBA2 0x1F5
%define DEVICE 0x1F6
%define STATUS 0x1F7
%define CONTROL 0x3F6
%define TOTAL 4032

; COMMAND code, count, lba (28 bits)
%macro LBA_COMMAND 3
  OUTB COUNT, (%2) & 0xFF
  OUTB LBA0, (%3) & 0xFF
  OUTB LBA1, ((%3) >> 8) & 0xFF
  OUTB LBA2, ((%3) >> 16) & 0xFF
  OUTB DEVICE, 0xE0 | ((%3) >> 24)
  OUTB STATUS, %1
%endmacro
%macro CHS_COMMAND 5           ; code, count, cylinder, head, sector
  OUTB COUNT, %2
  OUTB LBA0, %5
  OUTB LBA1, (%3) & 0xFF
  OUTB LBA2, (%3) >> 8
  OUTB DEVICE, 0xA0 | (%4)
  OUTB STATUS, %1
%endmacro
; Waits for BSY clear; AL: status
%macro READY 0
  call ready
%endmacro
%macro READ_WORDS 1
  mov dx, DATA
  mov cx, %1
  mov di, sector
  cld
  rep insw
%endmacro
; The buffer must be sector n.
%macro SECTOR_IS 2+
  mov ax, [sector]
  IS16 %1, %2
  mov al, [sector + 511]
  IS ((%1) + 509) & 0xFF, %2
%endmacro

test:
  mov al, 0x76
  mov dx, interrupt
  call setVector
  OUTB CONTROL, 0

  ; ---- software reset and signature
  OUTB CONTROL, 4
  DELAY 20
  OUTB CONTROL, 0
  READY
  BITS_ARE 0xC9, 0x40, "after SRST: DRDY, no DRQ, no ERR"
  READS ERROR, 0x01, "diagnostic code"
  READS COUNT, 0x01, "signature: count"
  READS LBA0, 0x01, "signature: LBA low"
  READS LBA1, 0x00, "signature: LBA mid"
  READS LBA2, 0x00, "signature: LBA high"
  INB DEVICE
  BITS_ARE 0x10, 0x00, "device 0 is selected"

  ; ---- registers
  OUTB COUNT, 0x55
  OUTB LBA0, 0x5A
  OUTB LBA1, 0xA5
  OUTB LBA2, 0x3C
  READS COUNT, 0x55, "count reads back"
  READS LBA0, 0x5A, "LBA low reads back"
  READS LBA1, 0xA5, "LBA mid reads back"
  READS LBA2, 0x3C, "LBA high reads back"
  OUTB DEVICE, 0xE9
  INB DEVICE
  BITS_ARE 0x5F, 0x49, "LBA and head bits read back"

  ; ---- IDENTIFY DEVICE
  OUTB DEVICE, 0xA0
  OUTB STATUS, 0xEC
  READY
  BITS_ARE 0xC9, 0x48, "IDENTIFY: DRQ"
  READ_WORDS 256
  READY
  BITS_ARE 0xC9, 0x40, "no DRQ after 256 words"
  mov ax, [sector]
  and ax, 0x8000
  IS16 0, "word 0: an ATA device"
  mov ax, [sector + 2]
  IS16 4, "word 1: cylinders"
  mov ax, [sector + 6]
  IS16 16, "word 3: heads"
  mov ax, [sector + 12]
  IS16 63, "word 6: sectors"
  mov ax, [sector + 98]
  and ax, 0x0200
  IS16 0x0200, "word 49: LBA"
  mov ax, [sector + 120]
  IS16 TOTAL, "words 60-61: sectors"
  mov ax, [sector + 122]
  IS16 0, "words 60-61: sectors (high)"
  mov al, [sector + 510]
  cmp al, 0xA5
  jne .noSum
  xor al, al
  mov si, sector
  mov cx, 512
.sum:
  add al, [si]
  inc si
  loop .sum
  IS 0, "word 255: the sum of all bytes"
.noSum:

  ; ---- reads
  LBA_COMMAND 0x20, 1, 0
  READY
  BITS_ARE 0xC9, 0x48, "read: DRQ"
  READ_WORDS 256
  SECTOR_IS 0, "LBA 0"
  LBA_COMMAND 0x20, 1, 1000
  READY
  READ_WORDS 256
  SECTOR_IS 1000, "LBA 1000"
  CHS_COMMAND 0x20, 1, 1, 2, 3
  READY
  READ_WORDS 256
  SECTOR_IS 1008 + 2 * 63 + 2, "cylinder 1, head 2, sector 3"
  ; two sectors: two blocks, each with its DRQ
  LBA_COMMAND 0x20, 2, 62
  READY
  READ_WORDS 256
  SECTOR_IS 62, "first of two"
  READY
  BITS_ARE 0x89, 0x08, "DRQ for the second"
  READ_WORDS 256
  SECTOR_IS 63, "second of two"
  READY
  BITS_ARE 0x89, 0x00, "and no third"
  UNLESS BOCHS                      ; counts differently
  READS COUNT, 0, "the count is used up"
  ENDUNLESS
  ; 32-bit data port
  LBA_COMMAND 0x20, 1, 77
  READY
  mov dx, DATA
  mov cx, 128
  mov di, sector
  rep insd
  SECTOR_IS 77, "by double words"
  READY
  BITS_ARE 0x08, 0x00, "128 double words are a sector"

  ; ---- writes
  mov di, sector
  mov cx, 256
  mov ax, 0xBEEF
.fill:
  stosw
  inc ax
  loop .fill
  LBA_COMMAND 0x30, 1, 200
  READY
  BITS_ARE 0xC9, 0x48, "write: DRQ"
  mov si, sector
  mov dx, DATA
  mov cx, 256
  rep outsw
  READY
  BITS_ARE 0xE9, 0x40, "written"
  mov word [sector], 0
  LBA_COMMAND 0x20, 1, 200
  READY
  READ_WORDS 256
  mov ax, [sector]
  IS16 0xBEEF, "what was written: first word"
  mov ax, [sector + 510]
  IS16 0xBEEF + 255, "what was written: last word"
  LBA_COMMAND 0x20, 1, 201
  READY
  READ_WORDS 256
  SECTOR_IS 201, "the next one is untouched"
  ; verify moves no data
  LBA_COMMAND 0x40, 5, 100
  READY
  BITS_ARE 0xC9, 0x40, "verify"

  ; ---- multiple
  OUTB COUNT, 4
  OUTB DEVICE, 0xE0
  OUTB STATUS, 0xC6
  READY
  BITS_ARE 0xC9, 0x40, "SET MULTIPLE MODE 4"
  LBA_COMMAND 0xC4, 6, 300
  READY
  BITS_ARE 0x89, 0x08, "READ MULTIPLE: DRQ"
  READ_WORDS 256
  SECTOR_IS 300, "first sector of the block"
  READ_WORDS 256
  READ_WORDS 256
  READ_WORDS 256
  SECTOR_IS 303, "last sector of the block"
  READY
  BITS_ARE 0x89, 0x08, "the second, shorter block"
  READ_WORDS 256
  READ_WORDS 256
  SECTOR_IS 305, "its last sector"
  READY
  BITS_ARE 0x89, 0x00, "is the end"
  OUTB COUNT, 3
  OUTB STATUS, 0xC6
  READY
  BITS_ARE 0x89, 0x01, "SET MULTIPLE MODE 3 is refused"
  INB ERROR
  BITS_ARE 0x04, 0x04, "with ABRT"

  ; ---- errors
  LBA_COMMAND 0x20, 1, TOTAL
  READY
  BITS_ARE 0x89, 0x01, "beyond the end: ERR without DRQ"
  INB ERROR
  UNLESS QEMU | BOCHS               ; both abort
  BITS_ARE 0x10, 0x10, "beyond the end: IDNF"
  ENDUNLESS
  LBA_COMMAND 0x20, 1, 5
  READY
  BITS_ARE 0xC9, 0x48, "the next command clears ERR"
  READ_WORDS 256
  SECTOR_IS 5, "and reads"
  OUTB STATUS, 0xFE
  READY
  BITS_ARE 0x89, 0x01, "an unknown command: ERR"
  INB ERROR
  BITS_ARE 0x04, 0x04, "an unknown command: ABRT"
  UNLESS QEMU                       ; QEMU takes sector 0 for the one before
  CHS_COMMAND 0x20, 1, 0, 0, 0
  READY
  BITS_ARE 0x89, 0x01, "CHS sector 0 does not exist"
  ENDUNLESS
  ; a device diagnostic
  OUTB DEVICE, 0xA0
  OUTB STATUS, 0x90
  READY
  BITS_ARE 0x89, 0x00, "EXECUTE DEVICE DIAGNOSTIC"
  READS ERROR, 0x01, "device 0 passed"
  READS COUNT, 0x01, "its signature"

  ; ---- interrupts
  call resetPICs
  OUTB 0x21, 0xFB
  OUTB 0xA1, 0xBF
  INB STATUS
  mov word [interrupts], 0
  mov word [lastCount], 0
  sti
  LBA_COMMAND 0x20, 2, 10
  call waitInterrupt
  IS16 1, "an interrupt when data is there"
  READ_WORDS 256
  call waitInterrupt
  IS16 2, "and one for the second sector"
  READ_WORDS 256
  DELAY 20000
  mov ax, [interrupts]
  IS16 2, "none after the last"
  mov word [interrupts], 0
  mov word [lastCount], 0
  LBA_COMMAND 0x30, 1, 210
  DELAY 20000
  mov ax, [interrupts]
  IS16 0, "write: none before the first sector"
  mov si, sector
  mov dx, DATA
  mov cx, 256
  rep outsw
  call waitInterrupt
  IS16 1, "write: one after it"
  mov word [interrupts], 0
  mov word [lastCount], 0
  OUTB CONTROL, 2
  LBA_COMMAND 0x20, 1, 10
  DELAY 20000
  mov ax, [interrupts]
  IS16 0, "nIEN: none"
  INB CONTROL
  BITS_ARE 0x89, 0x08, "nIEN: but the data is there"
  UNLESS QEMU | BOCHS               ; forget what came under nIEN
  OUTB CONTROL, 0
  call waitInterrupt
  IS16 1, "the interrupt pends until the status is read"
  ENDUNLESS
  READ_WORDS 256
  INB STATUS
  OUTB CONTROL, 0
  ; the alternate status does not take the request away, the status does
  cli
  OUTB 0xA1, 0xFF
  LBA_COMMAND 0x20, 1, 11
  call readyAlternate
  OUTB 0xA0, 0x0A
  in al, 0xA0
  BITS_ARE 0x40, 0x40, "IRQ 14 is up"
  INB CONTROL
  in al, 0xA0
  BITS_ARE 0x40, 0x40, "the alternate status leaves it"
  INB STATUS
  in al, 0xA0
  UNLESS QEMU                       ; whose interrupt controllers keep requests
  BITS_ARE 0x40, 0x00, "the status takes it away"
  ENDUNLESS
  READ_WORDS 256
  call resetPICs

  ; ---- the absent slave: device 0 answers with status 0
  OUTB DEVICE, 0xB0
  DELAY 10
  READS STATUS, 0x00, "absent device 1: status"
  READS CONTROL, 0x00, "absent device 1: alternate status"
  OUTB STATUS, 0xEC
  DELAY 20000
  READS STATUS, 0x00, "absent device 1: does not answer a command"
  OUTB DEVICE, 0xA0
  DELAY 10
  INB STATUS
  BITS_ARE 0xC9, 0x40, "device 0 is undisturbed"

  ; ---- SRST in the middle of a command
  LBA_COMMAND 0x20, 4, 20
  READY
  READ_WORDS 10
  OUTB CONTROL, 4
  DELAY 20
  INB CONTROL
  UNLESS QEMU                       ; resets at once
  BITS_ARE 0x88, 0x80, "SRST: BSY"
  ENDUNLESS
  OUTB CONTROL, 0
  READY
  BITS_ARE 0xC9, 0x40, "SRST ends the command"
  READS COUNT, 0x01, "SRST: signature"
  ret

ready:
  push cx
  push dx
  mov cx, 2000
  mov dx, CONTROL
.wait:
  DELAY 100
  in al, dx
  test al, 0x80
  loopnz .wait
  mov dx, STATUS
  in al, dx
  pop dx
  pop cx
  ret
readyAlternate:
  mov cx, 2000
  mov dx, CONTROL
.wait:
  DELAY 100
  in al, dx
  test al, 0x80
  loopnz .wait
  ret
; AX: interrupts so far, when one comes or after 200 ms
waitInterrupt:
  mov cx, 200
  mov bx, [lastCount]
.wait:
  mov ax, [interrupts]
  test ax, ax
  jz .more
  cmp ax, bx
  jne .end
.more:
  DELAY 1000
  loop .wait
  mov ax, [interrupts]
.end:
  mov [lastCount], ax
  ret
interrupt:
  pusha
  OUTB 0xA0, 0x20
  OUTB 0x20, 0x20
  INB STATUS
  inc word [cs:interrupts]
  popa
  iret
  align 2
interrupts: dw 0
lastCount: dw 0
sector: times 512 db 0
%include "end.inc"
