; A CD drive as master of the second channel, with a disc of 1000 sectors of which sector n has bytes (n + i / 256): signatures, IDENTIFY PACKET
; DEVICE, the PACKET protocol with its interrupt reasons and byte counts, attention, capacity, table of contents, reads, errors, lock.
; Follows: ATA/ATAPI-6, MMC-3.
%include "common.inc"

%define DATA 0x170
%define ERROR 0x171
%define REASON 0x172
%define LBA0 0x173
%define LBA1 0x174
%define LBA2 0x175
%define DEVICE 0x176
%define STATUS 0x177
%define CONTROL 0x376
%define LIMIT 2048

; PACKET bytes...: sends it; AL status at the end, [total] bytes that came into the segment BUFFER_SEG, [blocks] DRQ blocks
%macro PACKET 1+
  call sendPacket
%%bytes:
  db %1
  times 12 - ($ - %%bytes) db 0
%endmacro
; SENSE key, code, text: of the command that failed
%macro SENSE 3+
  call senseCode
  IS16 (%1) << 8 | (%2), %3
%endmacro
; The byte at an offset of what came
%macro GOT 3+                  ; offset, value, text
  mov al, [es:%1]
  IS %2, %3
%endmacro

test:
  mov ax, BUFFER_SEG
  mov es, ax
  mov al, 0x77
  mov dx, interrupt
  call setVector
  OUTB CONTROL, 0

  ; ---- software reset and signature
  OUTB DEVICE, 0xA0
  OUTB CONTROL, 4
  DELAY 20
  OUTB CONTROL, 0
  call ready
  IS 0x00, "after SRST: status 00h, DRDY clear"
  READS ERROR, 0x01, "diagnostic code"
  READS REASON, 0x01, "signature: count"
  READS LBA0, 0x01, "signature: LBA low"
  READS LBA1, 0x14, "signature: LBA mid"
  READS LBA2, 0xEB, "signature: LBA high"

  ; ---- what a driver that looks for disks sees
  OUTB LBA1, 0
  OUTB LBA2, 0
  OUTB STATUS, 0xEC
  call ready
  BITS_ARE 0x89, 0x01, "IDENTIFY DEVICE: ERR, no DRQ"
  INB ERROR
  BITS_ARE 0x04, 0x04, "IDENTIFY DEVICE: ABRT"
  READS LBA1, 0x14, "IDENTIFY DEVICE: signature, mid"
  READS LBA2, 0xEB, "IDENTIFY DEVICE: signature, high"

  ; ---- the absent slave
  OUTB DEVICE, 0xB0
  DELAY 10
  READS STATUS, 0x00, "absent device 1: status"
  READS LBA1, 0x00, "absent device 1: no signature, mid"
  READS LBA2, 0x00, "absent device 1: no signature, high"
  OUTB DEVICE, 0xA0
  DELAY 10

  ; ---- IDENTIFY PACKET DEVICE
  OUTB STATUS, 0xA1
  call ready
  BITS_ARE 0x89, 0x08, "IDENTIFY PACKET DEVICE: DRQ"
  xor di, di
  mov cx, 256
  mov dx, DATA
  rep insw
  call ready
  BITS_ARE 0xC9, 0x40, "no DRQ after 256 words"
  mov ax, [es:0]
  and ax, 0xDF83
  IS16 0x8580, "word 0: ATAPI, CD-ROM, removable, packets of 12 bytes"

  ; ---- attention: INQUIRY never reports it, others do
  PACKET 0x12, 0, 0, 0, 36
  BITS_ARE 0x89, 0x00, "INQUIRY"
  mov ax, [total]
  IS16 36, "INQUIRY: 36 bytes"
  GOT 0, 0x05, "INQUIRY: CD-ROM"
  GOT 1, 0x80, "INQUIRY: removable"
  mov byte [tries], 6
.attention:
  PACKET 0x00
  test al, 1
  jz .isReady
  PACKET 0x03, 0, 0, 0, 18
  dec byte [tries]
  jnz .attention
.isReady:
  mov al, [tries]
  cmp al, 0
  HOLDS nz, "the drive becomes ready"
  PACKET 0x00
  BITS_ARE 0xC9, 0x40, "TEST UNIT READY"
  INB REASON
  BITS_ARE 0x03, 0x03, "TEST UNIT READY: interrupt reason at the end"

  ; ---- capacity and table of contents
  PACKET 0x25
  BITS_ARE 0x89, 0x00, "READ CAPACITY"
  GOT 2, 0x03, "READ CAPACITY: last sector 999"
  GOT 3, 0xE7, "READ CAPACITY: last sector 999 (low)"
  GOT 6, 0x08, "READ CAPACITY: 2048 bytes"
  PACKET 0x43, 0, 0, 0, 0, 0, 1, 0, 100
  mov ax, [total]
  IS16 20, "READ TOC: 20 bytes"
  GOT 1, 18, "READ TOC: length"
  GOT 2, 1, "READ TOC: first track"
  GOT 3, 1, "READ TOC: last track"
  GOT 5, 0x14, "READ TOC: data"
  GOT 6, 1, "READ TOC: track 1"
  GOT 14, 0xAA, "READ TOC: lead-out"
  GOT 18, 0x03, "READ TOC: lead-out at 1000"
  GOT 19, 0xE8, "READ TOC: lead-out at 1000 (low)"
  PACKET 0x43, 2, 0, 0, 0, 0, 0xAA, 0, 100
  GOT 9, 0, "READ TOC by time: minute"
  GOT 10, 15, "READ TOC by time: second"
  GOT 11, 25, "READ TOC by time: frame"
  PACKET 0x43, 0, 1, 0, 0, 0, 0, 0, 12
  GOT 2, 1, "READ TOC, sessions: first"
  GOT 3, 1, "READ TOC, sessions: last"
  GOT 6, 1, "READ TOC, sessions: track"

  ; ---- reads
  PACKET 0x28, 0, 0, 0, 2, 0xFE, 0, 0, 3
  BITS_ARE 0xC9, 0x40, "READ(10)"
  mov ax, [total]
  IS16 3 * 2048, "READ(10): three sectors"
  mov ax, [blocks]
  IS16 3, "READ(10): a DRQ block each"
  GOT 0, 0xFE, "READ(10): sector 766"
  GOT 256, 0xFF, "READ(10): sector 766, further on"
  GOT 4096, 0x00, "READ(10): sector 768"
  GOT 6143, 0x07, "READ(10): the last byte"
  PACKET 0xA8, 0, 0, 0, 0, 17, 0, 0, 0, 1
  mov ax, [total]
  IS16 2048, "READ(12): a sector"
  GOT 0, 17, "READ(12): sector 17"
  PACKET 0x28, 0, 0, 0, 0, 17, 0, 0, 0
  BITS_ARE 0xC9, 0x40, "READ(10) of nothing"
  mov ax, [total]
  IS16 0, "READ(10) of nothing: no data"
  ; a whole sector: synchronisation, header in BCD, mode 1
  PACKET 0xBE, 0, 0, 0, 0, 100, 0, 0, 1, 0xF8
  mov ax, [total]
  IS16 2352, "READ CD: 2352 bytes"
  GOT 0, 0x00, "READ CD: synchronisation"
  GOT 1, 0xFF, "READ CD: synchronisation, further on"
  GOT 12, 0x00, "READ CD: minute"
  GOT 13, 0x03, "READ CD: second"
  UNLESS QEMU                       ; does not write it in BCD
  GOT 14, 0x25, "READ CD: frame"
  ENDUNLESS
  GOT 15, 0x01, "READ CD: mode"
  GOT 16, 100, "READ CD: data"
  PACKET 0xBE, 0, 0, 0, 0, 100, 0, 0, 1, 0x10
  mov ax, [total]
  IS16 2048, "READ CD: user data"
  GOT 0, 100, "READ CD: user data of sector 100"

  ; ---- errors
  PACKET 0x28, 0, 0, 0, 3, 0xE8, 0, 0, 1
  BITS_ARE 0x89, 0x01, "a read beyond the end"
  INB ERROR
  BITS_ARE 0xF0, 0x50, "sense key 5 in the error register"
  SENSE 5, 0x21, "sense: address out of range"
  PACKET 0xEE
  BITS_ARE 0x89, 0x01, "no such command"
  SENSE 5, 0x20, "sense: no such command"
  PACKET 0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 128
  BITS_ARE 0x89, 0x00, "MODE SENSE, page 2Ah"
  GOT 8, 0x2A, "MODE SENSE: the page"

  ; ---- the tray
  PACKET 0x1E, 0, 0, 0, 1
  PACKET 0x1B, 0, 0, 0, 2
  BITS_ARE 0x89, 0x01, "a locked tray does not open"
  UNLESS QEMU                       ; says that it is not ready
  SENSE 5, 0x53, "sense: removal prevented"
  ENDUNLESS
  PACKET 0x1E, 0, 0, 0, 0
  PACKET 0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8
  mov ax, [total]
  IS16 8, "MECHANISM STATUS"

  ; ---- interrupts: one for each DRQ block, one at the end
  call resetPICs
  OUTB 0x21, 0xFB
  OUTB 0xA1, 0x7F
  INB STATUS
  mov word [interrupts], 0
  sti
  PACKET 0x28, 0, 0, 0, 0, 5, 0, 0, 2
  DELAY 20000
  mov ax, [interrupts]
  IS16 3, "two blocks and the end: three interrupts"
  cli
  call resetPICs

  ; ---- DEVICE RESET
  OUTB DEVICE, 0xA0
  OUTB STATUS, 0x08
  call ready
  IS 0x00, "after DEVICE RESET: status 00h"
  READS LBA1, 0x14, "DEVICE RESET: signature, mid"
  READS LBA2, 0xEB, "DEVICE RESET: signature, high"
  PACKET 0x00
  BITS_ARE 0xC9, 0x40, "and no attention comes of it"
  ret

; AX: sense key and code of the last failure
senseCode:
  PACKET 0x03, 0, 0, 0, 18
  mov ah, [es:2]
  and ah, 0x0F
  mov al, [es:12]
  ret

; The packet follows the call.
sendPacket:
  pop si
  mov word [total], 0
  mov word [blocks], 0
  OUTB ERROR, 0
  OUTB LBA1, LIMIT & 0xFF
  OUTB LBA2, LIMIT >> 8
  OUTB STATUS, 0xA0
  call readyAlternate
  and al, 0x89
  cmp al, 0x08
  HOLDS e, "PACKET: DRQ"
  INB REASON
  BITS_ARE 0x03, 0x01, "PACKET: interrupt reason"
  mov dx, DATA
  mov cx, 6
  rep outsw
  push si
  xor di, di
.block:
  call ready
  test al, 0x08
  jz .end
  push ax
  INB REASON
  BITS_ARE 0x03, 0x02, "data: interrupt reason"
  INB LBA2
  mov ah, al
  INB LBA1
  add [total], ax
  inc word [blocks]
  cmp word [blocks], 100            ; a drive that never ends
  pop ax
  je .end
  push ax
  INB LBA2
  mov ah, al
  INB LBA1
  mov cx, ax
  inc cx
  shr cx, 1
  mov dx, DATA
  rep insw
  pop ax
  jmp .block
.end:
  ret

ready:
  call readyAlternate
  mov dx, STATUS
  in al, dx
  ret
readyAlternate:
  push cx
  mov cx, 4000
  mov dx, CONTROL
.wait:
  DELAY 50
  in al, dx
  test al, 0x80
  loopnz .wait
  pop cx
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
total: dw 0
blocks: dw 0
tries: db 0
%include "end.inc"
