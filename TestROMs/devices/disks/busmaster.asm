; The IDE function of a PIIX3 at 1.1 as bus master: found by configuration mechanism 1, its ports switched on and sized, sectors of the
; disk of ide.asm read and written by DMA and compared with PIO, tables of regions of all kinds, hostile ones among them.
; Follows: SFF-8038i (Bus Master IDE) 1.0; Intel 290550 (PIIX3); ATA/ATAPI-6. Sectors 200 and up are written. Needs a board with PCI:
;   qemu-system-i386 -M pc -cpu pentium2,-apic ... -hda DISK in place of -M isapc
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

%define BASE 0xC000            ; of the bus master's ports
%define BMCOMMAND BASE
%define BMSTATUS (BASE + 2)
%define BMTABLE (BASE + 4)

%define DMA_SEG BUFFER_SEG     ; what is moved by DMA: 20000h to 2FFFFh
%define PIO_SEG 0x3000         ; by PIO: 30000h to 37FFFh
%define DMA_AT 0x20000
%define TABLE_SEG 0x3800
%define TABLE 0x38000

%define LAST 0x80000000

; A table: pairs of address and count.
%macro REGIONS 1-*
  push es
  mov ax, TABLE_SEG
  mov es, ax
%assign at 0
%rep %0
  mov dword [es:at], %1
%rotate 1
%assign at at + 4
%endrep
  pop es
%endmacro
; COMMAND code, count, lba (28 bits)
%macro LBA_COMMAND 3
  OUTB COUNT, (%2) & 0xFF
  OUTB LBA0, (%3) & 0xFF
  OUTB LBA1, ((%3) >> 8) & 0xFF
  OUTB LBA2, ((%3) >> 16) & 0xFF
  OUTB DEVICE, 0xE0 | ((%3) >> 24)
  OUTB STATUS, %1
%endmacro
; Gives the engine the table, and the drive a command by DMA (C8h: to memory), and starts it.
%macro TRANSFER 3-4 TABLE
  mov eax, %4
  mov dx, BMTABLE
  out dx, eax
  OUTB BMCOMMAND, ((%1) == 0xC8) * 8
  OUTB BMSTATUS, 6
  LBA_COMMAND %1, %2, %3
  OUTB BMCOMMAND, ((%1) == 0xC8) * 8 + 1
  call waitEngine
%endmacro
%macro STOP 0
  OUTB BMCOMMAND, 0
%endmacro
; Reads sectors by PIO to PIO_SEG:0.
%macro PIO_READ 2              ; count, lba
  LBA_COMMAND 0x20, %1, %2
  mov cx, %1
  call pioRead
%endmacro
; Sector n of what DMA moved must be what PIO moved.
%macro SAME 2+                 ; bytes, text
  mov cx, %1
  call compare
  HOLDS e, %2
%endmacro

test:
  mov al, 0x76
  mov dx, interrupt
  call setVector

  ; ---- the function
  mov dword [function], 0x80000000
.find:
  mov bx, 8
  call configRead
  shr eax, 8
  cmp eax, 0x010180
  je .found
  add dword [function], 0x100
  cmp dword [function], 0x80010000
  jb .find
  call checkFailed
  dw 0
  db "no bus-master IDE function", 0
  ret
.found:
  mov ax, [function]
  IS16 0x0900, "at 1.1"
  xor bx, bx
  call configRead
  IS16 0x8086, "vendor"
  shr eax, 16
  IS16 0x7010, "device"
  mov bx, 0x3C
  call configRead
  and ax, 0xFF00
  IS16 0, "no interrupt pin"
  mov bx, 0x20
  mov eax, 0xFFFFFFFF
  call configWrite
  call configRead
  IS16 0xFFF1, "16 ports"
  mov eax, BASE
  call configWrite
  call configRead
  IS16 BASE + 1, "their address"
  UNLESS QEMU                       ; decodes always
  mov bx, 4
  xor eax, eax
  call configWrite
  mov bx, 0x40
  call configWrite
  READS STATUS, 0xFF, "not decoded without the command register"
  mov bx, 4
  mov eax, 5
  call configWrite
  READS STATUS, 0xFF, "not decoded without IDETIM"
  mov bx, 0x40
  mov eax, 0x80008000
  call configWrite
  mov bx, 4
  mov eax, 4
  call configWrite
  READS STATUS, 0xFF, "not decoded without the command register, though with IDETIM"
  ENDUNLESS
  mov bx, 4
  mov eax, 5
  call configWrite
  call configRead
  IS16 5, "ports and bus master"
  mov bx, 0x40
  mov eax, 0x80008000
  call configWrite
  call configRead
  IS16 0x8000, "IDETIM is kept"
  OUTB CONTROL, 0
  INB STATUS
  BITS_ARE 0xC0, 0x40, "decoded: the drive is ready"

  ; ---- registers
  READS BMCOMMAND, 0, "command after reset"
  INB BMSTATUS
  BITS_ARE 0x9B, 0, "status after reset"
  OUTB BMSTATUS, 0x66
  INB BMSTATUS
  BITS_ARE 0xFF, 0x60, "status: only the drives' capabilities are kept"
  mov eax, 0x12345677
  mov dx, BMTABLE
  out dx, eax
  in eax, dx
  IS16 0x5674, "the table is a multiple of four"
  shr eax, 16
  IS16 0x1234, "the table's high half"
  OUTB BMCOMMAND, 8
  READS BMCOMMAND, 8, "direction is kept"
  OUTB BMCOMMAND, 0

  ; ---- reading
  PIO_READ 4, 30
  REGIONS DMA_AT, 4 * 512 | LAST
  TRANSFER 0xC8, 4, 30
  BITS_ARE 0x67, 0x04, "regions as long as the command: interrupt, not active"
  READS BMCOMMAND, 9, "the start bit is the driver's"
  INB STATUS
  BITS_ARE 0xC9, 0x40, "the drive is done"
  SAME 4 * 512, "four sectors"
  STOP
  OUTB BMSTATUS, 4
  INB BMSTATUS
  BITS_ARE 0x07, 0, "a written one clears the interrupt"
  call clear
  REGIONS DMA_AT, 2, DMA_AT + 2, 1020, DMA_AT + 1022, 514, DMA_AT + 1536, 512 | LAST
  TRANSFER 0xC8, 4, 30
  BITS_ARE 0x07, 0x04, "four regions"
  SAME 4 * 512, "four regions: data"
  STOP
  call clear
  REGIONS DMA_AT, LAST
  TRANSFER 0xC8, 128, 0
  BITS_ARE 0x07, 0x04, "a count of 0 is 64 KiB"
  STOP
  PIO_READ 60, 0
  SAME 60 * 512, "64 KiB: the first 30"
  push ds
  push DMA_SEG
  pop ds
  mov ax, [127 * 512]
  pop ds
  IS16 127, "64 KiB: the last sector"

  ; ---- regions longer and shorter than the command
  call clear
  REGIONS DMA_AT, 8 * 512 | LAST
  TRANSFER 0xC8, 1, 30
  BITS_ARE 0x07, 0x05, "long: interrupt and active"
  STOP
  INB BMSTATUS
  BITS_ARE 0x07, 0x04, "stopped: the interrupt stays"
  INB STATUS
  call clear
  REGIONS DMA_AT, 0x10 | LAST
  TRANSFER 0xC8, 1, 30
  BITS_ARE 0x07, 0, "short: neither"
  STOP
  call softReset
  REGIONS DMA_AT, 512 | LAST
  TRANSFER 0xC8, 2, 30
  BITS_ARE 0x07, 0, "one of two sectors: neither"
  STOP
  call softReset

  ; ---- writing, with an interrupt
  mov ax, DMA_SEG
  mov es, ax
  xor di, di
  mov ax, 0x1357
.fill:
  stosw
  add ax, 0x2491
  cmp di, 4 * 512
  jb .fill
  REGIONS DMA_AT, 700, DMA_AT + 700, 4 * 512 - 700 | LAST
  mov word [interrupts], 0
  INB STATUS
  call resetPICs                    ; forgets requests of before
  OUTB 0xA1, 0xBF
  OUTB 0x21, 0xFB
  sti
  TRANSFER 0xCA, 4, 200
  BITS_ARE 0x07, 0x04, "written"
  DELAY 1000
  cli
  OUTB 0x21, 0xFF
  mov ax, [interrupts]
  IS16 1, "one interrupt"
  STOP
  PIO_READ 4, 200
  SAME 4 * 512, "written: read by PIO"
  call clear
  REGIONS DMA_AT, 4 * 512 | LAST
  TRANSFER 0xC8, 4, 200
  SAME 4 * 512, "written: read by DMA"
  STOP

  ; ---- the interrupt bit is set by any interrupt of the drive, at its edge
  OUTB BMSTATUS, 6
  OUTB DEVICE, 0xE0
  OUTB STATUS, 0xE7
  call ready
  DELAY 1000
  INB BMSTATUS
  BITS_ARE 0x07, 0x04, "FLUSH CACHE sets the interrupt bit"
  OUTB BMSTATUS, 4

  ; ---- hostile tables
  UNLESS QEMU                       ; does not tell of memory that does not answer, and takes other addresses
  REGIONS DMA_AT, 512 | LAST
  TRANSFER 0xC8, 1, 30, 0xD0000000
  BITS_ARE 0x07, 0x02, "nobody answers for the table: error"
  STOP
  call softReset
  REGIONS DMA_AT, 512, 0xD0000000, 512 | LAST
  TRANSFER 0xC8, 2, 30
  BITS_ARE 0x07, 0x02, "nobody answers for a region: error"
  STOP
  call softReset
  ; undefined by the data sheet; UEFI's driver counts on a region's going on
  REGIONS DMA_AT + 0xFE01, 1025 | LAST
  TRANSFER 0xC8, 2, 30
  BITS_ARE 0x07, 0x04, "over the end of 64 KiB"
  STOP
  push ds
  push DMA_SEG
  pop ds
  mov ax, [0xFE00]
  mov bx, DMA_SEG + 0x1000
  mov ds, bx
  mov bx, [0]
  pop ds
  IS16 30, "before the end of 64 KiB"
  mov ax, bx
  IS16 31, "it goes on behind it"
  ENDUNLESS
  ; a table without an end
  push es
  mov ax, TABLE_SEG
  mov es, ax
  xor di, di
.endless:
  mov eax, DMA_AT
  stosd
  mov eax, 512
  stosd
  cmp di, 0x7000
  jb .endless
  pop es
  TRANSFER 0xC8, 0, 0
  BITS_ARE 0x07, 0x05, "a table without an end: the command ends"
  STOP
  ; a table that is overwritten as it is used
  REGIONS TABLE, 512, DMA_AT, 512, DMA_AT, 512 | LAST
  TRANSFER 0xC8, 2, 0
  STOP
  call softReset
  ; in the other direction nothing is asserted of the data, but it ends
  REGIONS 0xFFFFFFFF, 0xFFFFFFFF, 0, 0
  TRANSFER 0xC8, 2, 0
  STOP
  call softReset

  ; ---- not allowed to be master
  mov bx, 4
  mov eax, 1
  call configWrite
  call clear
  REGIONS DMA_AT, 512 | LAST
  TRANSFER 0xC8, 1, 30
  STOP
  push ds
  push DMA_SEG
  pop ds
  mov ax, [0]
  pop ds
  IS16 0, "nothing is written by who is not master"
  call softReset
  mov bx, 4
  mov eax, 5
  call configWrite
  REGIONS DMA_AT, 512 | LAST
  TRANSFER 0xC8, 1, 30
  BITS_ARE 0x07, 0x04, "master again"
  PIO_READ 1, 30
  SAME 512, "master again: data"
  STOP
  ret

; EAX: the dword of configuration space at BX.
configRead:
  push dx
  movzx eax, bx
  or eax, [function]
  mov dx, 0xCF8
  out dx, eax
  mov dx, 0xCFC
  in eax, dx
  pop dx
  ret
; The same for writing EAX.
configWrite:
  push dx
  push eax
  movzx eax, bx
  or eax, [function]
  mov dx, 0xCF8
  out dx, eax
  pop eax
  mov dx, 0xCFC
  out dx, eax
  pop dx
  ret
; AL: the engine's status when it is not active any more, or there was an interrupt, or after 200 ms. What follows at once has happened.
waitEngine:
  push cx
  push dx
  mov cx, 400
  mov dx, BMSTATUS
.wait:
  DELAY 500
  in al, dx
  test al, 4
  jnz .end
  test al, 1
  loopnz .wait
.end:
  DELAY 500
  in al, dx
  pop dx
  pop cx
  ret
; CX: sectors that a command brings, to PIO_SEG:0
pioRead:
  push es
  mov ax, PIO_SEG
  mov es, ax
  xor di, di
.next:
  call ready
  push cx
  mov dx, DATA
  mov cx, 256
  rep insw
  pop cx
  loop .next
  pop es
  ret
; ZF: the first CX bytes are the same.
compare:
  push ds
  push es
  mov ax, DMA_SEG
  mov ds, ax
  mov ax, PIO_SEG
  mov es, ax
  xor si, si
  xor di, di
  repe cmpsb
  pop es
  pop ds
  ret
clear:
  push es
  mov ax, DMA_SEG
  mov es, ax
  xor di, di
  xor ax, ax
  mov cx, 0x8000
  rep stosw
  pop es
  ret
softReset:
  OUTB CONTROL, 4
  DELAY 20
  OUTB CONTROL, 0
  DELAY 2000
  call ready
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
interrupt:
  pusha
  OUTB 0xA0, 0x20
  OUTB 0x20, 0x20
  INB STATUS
  inc word [cs:interrupts]
  popa
  iret
  align 4
function: dd 0
interrupts: dw 0
%include "end.inc"
