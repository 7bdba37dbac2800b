; Code that comes from disks into memory where other code ran hot: from the IDE disk by REP INSW, INSD and single INs, over page boundaries; from the
; floppy by DMA. Each time the new code must run.
; Follows: Intel SDM volume 3, 8.1.3 (cross-modifying by another agent: the bus snoops). The disk's sectors 220 to 227 and the floppy's cylinder 71 are written.
%include "common.inc"
%include "floppy.inc"

%define LOAD 0x2000            ; segment of the code, also the floppy's buffer
%macro IDE 3                   ; code, count, lba
  OUTB 0x1F2, %2
  mov al, %3
  mov dx, 0x1F3
  out dx, al
  OUTB 0x1F4, 0
  OUTB 0x1F5, 0
  OUTB 0x1F6, 0xE0
  OUTB 0x1F7, %1
  call ready
%endmacro

test:
  mov al, 0x0E
  mov dx, floppyInterrupt
  call setVector
  OUTB 0x3F6, 2                     ; the IDE disk without interrupts
  mov ax, LOAD
  mov fs, ax

  ; ---- sectors 220 to 223: MOV AX, n * 1111h; RETF at their starts
  mov bl, 1
.write:
  call makeSector
  mov al, bl
  add al, 219
  mov [number], al
  IDE 0x30, 1, [number]
  mov dx, 0x1F0
  mov si, sector
  mov cx, 256
  rep outsw
  call ready
  inc bl
  cmp bl, 5
  jne .write

  ; ---- over the same place, each hot before the next
  mov cx, 40
.rounds:
  push cx
  and cl, 3
  add cl, 220
  mov [number], cl
  sub cl, 219
  mov al, cl
  mov ah, al
  shl al, 4
  or al, ah
  mov ah, al
  mov [want], ax
  IDE 0x20, 1, [number]
  mov ax, LOAD
  mov es, ax
  mov dx, 0x1F0
  ; three ways by turns; the third is word by word
  mov di, 0x100
  pop ax
  push ax
  and al, 3
  jz .insd
  cmp al, 1
  je .single
  mov cx, 256
  rep insw
  jmp .loaded
.insd:
  mov cx, 128
  rep insd
  jmp .loaded
.single:
  mov cx, 256
.in:
  in ax, dx
  stosw
  loop .in
.loaded:
  push cs
  pop es
  mov cx, 300
.hot:
  call LOAD:0x100
  cmp ax, [want]
  jne .wrong
  loop .hot
  pop cx
  dec cx
  jnz near .rounds
  jmp .same
.wrong:
  IS16 0, "the code loaded by IDE runs"
  pop cx
  jmp .next
.same:
  ; ---- across a page: four sectors in one command, code in each, hot before
.next:
  mov bx, 5
.crossing:
  IDE 0x20, 4, 220
  mov ax, LOAD
  mov es, ax
  mov di, 0xC00
  test bl, 1
  jz .order
  mov di, 0xE00
.order:
  mov si, di
  mov dx, 0x1F0
  mov cx, 4
.sectors:
  push cx
  mov cx, 256
  rep insw
  call ready
  mov dx, 0x1F0
  pop cx
  loop .sectors
  push cs
  pop es
  mov word [pointer + 2], LOAD
  mov ax, 0x1111
  mov cx, 4
.each:
  mov [pointer], si
  mov di, 200
.hot2:
  push ax
  call far [pointer]
  mov dx, ax
  pop ax
  cmp ax, dx
  jne .wrong2
  dec di
  jnz .hot2
  add si, 512
  add ax, 0x1111
  loop .each
  dec bx
  jnz near .crossing
  jmp .floppy
.wrong2:
  mov ax, dx
  IS16 0, "the code loaded across a page runs"

  ; ---- by DMA
.floppy:
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
  OUTB DOR, 0x1C
  DELAY 300000
  SEND 0x07, 0x00
  DONE "recalibrate"
  SEND 0x08
  SKIP_RESULT 2
  SEND 0x0F, 0x00, 71
  DONE "seek"
  SEND 0x08
  SKIP_RESULT 2
  mov bl, 5
.writeFloppy:
  call makeSector
  push bx
  mov si, sector
  mov di, 0x2F00                    ; across a page
  mov ax, LOAD
  mov es, ax
  mov cx, 256
  rep movsw
  push cs
  pop es
  mov word [dmaOffset], 0x2F00
  SETUP_DMA TO_DISK, 512
  pop bx
  push bx
  SEND 0xC5, 0x00, 71, 0, bl, 2, 18, 0x1B, 0xFF
  DONE "write"
  SKIP_RESULT 7
  pop bx
  inc bl
  cmp bl, 8
  jne near .writeFloppy
  mov cx, 9
.rounds2:
  push cx
  mov ax, cx
  mov bl, 3
  div bl
  mov bl, ah
  add bl, 5
  push bx
  SETUP_DMA FROM_DISK, 512
  pop bx
  push bx
  SEND 0xE6, 0x00, 71, 0, bl, 2, 18, 0x1B, 0xFF
  DONE "read"
  SKIP_RESULT 7
  pop bx
  mov al, bl
  mov ah, al
  shl al, 4
  or al, ah
  mov ah, al
  mov [want], ax
  mov cx, 500
.hot3:
  call LOAD:0x2F00
  cmp ax, [want]
  jne .wrong3
  ; the copy at the end of the sector lies in the next page
  call LOAD:0x2F00 + 0x1F0
  cmp ax, [want]
  jne .wrong3
  loop .hot3
  pop cx
  dec cx
  jnz near .rounds2
  cli
  ret
.wrong3:
  pop cx
  IS16 0, "the code loaded by DMA runs"
  cli
  ret

; The sector of BL: MOV AX, BL * 1111h; RETF at 0 and at 1F0h.
makeSector:
  pusha
  mov di, sector
  mov cx, 256
  mov ax, 0x9090
  cld
  rep stosw
  mov al, bl
  mov ah, al
  shl al, 4
  or al, ah
  mov ah, al
  mov byte [sector], 0xB8
  mov [sector + 1], ax
  mov byte [sector + 3], 0xCB
  mov byte [sector + 0x1F0], 0xB8
  mov [sector + 0x1F1], ax
  mov byte [sector + 0x1F3], 0xCB
  popa
  ret

; Waits for BSY clear.
ready:
  push ax
  push dx
  mov dx, 0x1F7
.wait:
  in al, dx
  test al, 0x80
  jnz .wait
  pop dx
  pop ax
  ret

FLOPPY_ROUTINES
  align 2
want: dw 0
number: dw 0
pointer: dw 0, 0
sector: times 512 db 0
%include "end.inc"
