; The VGA's registers and memory: index and data registers, attribute flip-flop, palette sequences, planes, write and read modes, latches,
; chain-4, odd/even, memory maps, 3DAh.
; Follows: IBM VGA (PS/2 Video Subsystem) Technical Reference.
%include "common.inc"

%macro PUT 3                   ; index port, index, value
  mov dx, %1
  mov ax, ((%3) << 8) | (%2)
  out dx, ax
%endmacro
%macro GET 2
  OUTB %1, %2
  INB (%1) + 1
%endmacro
%macro SEQ 2
  PUT 0x3C4, %1, %2
%endmacro
%macro GC 2
  PUT 0x3CE, %1, %2
%endmacro
%macro CRTC 2
  PUT 0x3D4, %1, %2
%endmacro
; KEEPS index port, index, bits, text: the bits of the register read back, others as 0
%macro KEEPS 4+
  PUT %1, %2, 0xFF
  GET %1, %2
  IS %3, %4
  PUT %1, %2, 0x00
  GET %1, %2
  IS 0x00, %4
%endmacro
%macro BYTE_IS 3+              ; offset in ES, value, text
  mov al, [es:%1]
  IS %2, %3
%endmacro
%macro PLANE_IS 4+             ; plane, offset, value, text (read mode 0)
  GC 4, %1
  BYTE_IS %2, %3, %4
%endmacro

test:
  OUTB 0x3C2, 0x67                  ; color addresses, RAM on
  READS 0x3CC, 0x67, "miscellaneous output reads back"
  OUTB 0x46E8, 0x0E
  OUTB 0x3C3, 1
  OUTB 0x3C6, 0xFF

  ; ---- sequencer and graphics controller
  SEQ 0, 3
  SEQ 1, 0x01
  GET 0x3C4, 1
  IS 0x01, "clocking mode"
  KEEPS 0x3C4, 2, 0x0F, "map mask"
  KEEPS 0x3C4, 3, 0x3F, "character map select"
  UNLESS QEMU                       ; keeps all bits
  KEEPS 0x3CE, 0, 0x0F, "set/reset"
  KEEPS 0x3CE, 1, 0x0F, "enable set/reset"
  ENDUNLESS
  KEEPS 0x3CE, 2, 0x0F, "color compare"
  KEEPS 0x3CE, 3, 0x1F, "data rotate"
  KEEPS 0x3CE, 4, 0x03, "read map select"
  UNLESS BOCHS                      ; keeps odd/even elsewhere
  KEEPS 0x3CE, 6, 0x0F, "miscellaneous"
  ENDUNLESS
  KEEPS 0x3CE, 7, 0x0F, "color don't care"
  KEEPS 0x3CE, 8, 0xFF, "bit mask"
  GC 5, 0x7B
  GET 0x3CE, 5
  IS 0x7B, "graphics mode"
  GC 5, 0
  ; ---- CRT controller
  CRTC 0x11, 0x00                   ; unprotected
  KEEPS 0x3D4, 0x00, 0xFF, "horizontal total"
  KEEPS 0x3D4, 0x0C, 0xFF, "start address high"
  KEEPS 0x3D4, 0x0D, 0xFF, "start address low"
  KEEPS 0x3D4, 0x0E, 0xFF, "cursor location high"
  KEEPS 0x3D4, 0x0F, 0xFF, "cursor location low"
  KEEPS 0x3D4, 0x13, 0xFF, "offset"
  KEEPS 0x3D4, 0x18, 0xFF, "line compare"
  CRTC 0x00, 0x5F
  CRTC 0x07, 0x1F
  CRTC 0x11, 0x8E
  CRTC 0x00, 0x11
  GET 0x3D4, 0x00
  IS 0x5F, "protected: register 0"
  CRTC 0x07, 0x00
  GET 0x3D4, 0x07
  BITS_ARE 0x1F, 0x0F, "protected: register 7 but for bit 4"
  CRTC 0x07, 0x10
  GET 0x3D4, 0x07
  BITS_ARE 0x1F, 0x1F, "protected: bit 4 of register 7 is not"
  CRTC 0x11, 0x0E
  CRTC 0x00, 0x11
  GET 0x3D4, 0x00
  IS 0x11, "unprotected again"
  CRTC 0x00, 0x5F
  ; ---- the other addresses
  OUTB 0x3D4, 0x0F
  OUTB 0x3D5, 0x77
  OUTB 0x3C2, 0x66
  INB 0x3D5
  UNLESS BOCHS                      ; answers at both
  IS 0xFF, "monochrome: nobody at 3D5h"
  ENDUNLESS
  OUTB 0x3B4, 0x0F
  READS 0x3B5, 0x77, "monochrome: at 3B5h"
  OUTB 0x3C2, 0x67

  ; ---- attribute controller
  INB 0x3DA
  mov dx, 0x3C0
  mov al, 0x05
  out dx, al
  mov al, 0x2A
  out dx, al
  mov al, 0x12
  out dx, al
  mov al, 0xFF
  out dx, al
  mov al, 0x12
  out dx, al
  UNLESS BOCHS                      ; has four
  READS 0x3C1, 0x3F, "attribute register 12h has six bits"
  ENDUNLESS
  INB 0x3DA
  OUTB 0x3C0, 0x05
  READS 0x3C1, 0x2A, "palette register 5"
  READS 0x3C1, 0x2A, "reading does not move the flip-flop"
  UNLESS QEMU | BOCHS               ; give 0 while the flip-flop is at data
  READS 0x3C0, 0x05, "the index"
  ENDUNLESS
  OUTB 0x3C0, 0x15                  ; data: the flip-flop stands there
  INB 0x3DA
  OUTB 0x3C0, 0x05
  READS 0x3C1, 0x15, "index, then data; 3DAh starts over"
  INB 0x3DA
  OUTB 0x3C0, 0x20
  INB 0x3DA
  READS 0x3C0, 0x20, "display enable bit of the index"
  INB 0x3DA
  OUTB 0x3C0, 0x25
  OUTB 0x3C0, 0x3F
  INB 0x3DA
  OUTB 0x3C0, 0x05
  UNLESS QEMU | BOCHS               ; do not lock it
  READS 0x3C1, 0x15, "the palette is locked while it is displayed"
  ENDUNLESS
  INB 0x3DA
  OUTB 0x3C0, 0x20

  ; ---- DAC
  OUTB 0x3C8, 10
  mov dx, 0x3C9
  mov cx, 6
.write:
  mov al, cl
  out dx, al
  loop .write
  READS 0x3C8, 12, "write index moves after each three"
  OUTB 0x3C7, 10
  INB 0x3C7
  BITS_ARE 0x03, 0x03, "DAC state: reading"
  READS 0x3C9, 6, "red"
  READS 0x3C9, 5, "green"
  READS 0x3C9, 4, "blue"
  READS 0x3C9, 3, "red of the next"
  READS 0x3C9, 2, "green of the next"
  READS 0x3C9, 1, "blue of the next"
  OUTB 0x3C8, 20
  INB 0x3C7
  BITS_ARE 0x03, 0x00, "DAC state: writing"
  OUTB 0x3C9, 0xFF
  OUTB 0x3C9, 0xC1
  OUTB 0x3C9, 0x40
  OUTB 0x3C7, 20
  UNLESS QEMU | BOCHS               ; keep eight
  READS 0x3C9, 0x3F, "six bits: FFh"
  READS 0x3C9, 0x01, "six bits: C1h"
  READS 0x3C9, 0x00, "six bits: 40h"
  ENDUNLESS
  OUTB 0x3C6, 0x5A
  UNLESS QEMU                       ; has none
  READS 0x3C6, 0x5A, "pixel mask"
  ENDUNLESS
  OUTB 0x3C6, 0xFF

  ; ---- planar memory at A0000h
  SEQ 4, 0x06                       ; no chain-4, no odd/even, all memory
  GC 5, 0
  GC 6, 0x05                        ; graphics, 64 KiB at A0000h
  GC 3, 0
  GC 1, 0
  GC 8, 0xFF
  mov ax, 0xA000
  mov es, ax
%assign p 0
%rep 4
  SEQ 2, 1 << p
  mov byte [es:0x100], 0x11 * (p + 1)
  mov byte [es:0x101], 0xF0 >> p
%assign p p + 1
%endrep
  PLANE_IS 0, 0x100, 0x11, "plane 0"
  PLANE_IS 1, 0x100, 0x22, "plane 1"
  PLANE_IS 2, 0x100, 0x33, "plane 2"
  PLANE_IS 3, 0x100, 0x44, "plane 3"
  ; write mode 1: latches
  SEQ 2, 0x0F
  GC 5, 1
  mov al, [es:0x100]
  mov [es:0x200], ah
  GC 5, 0
  PLANE_IS 0, 0x200, 0x11, "write mode 1: plane 0"
  PLANE_IS 3, 0x200, 0x44, "write mode 1: plane 3"
  ; write mode 0: rotate, functions, bit mask
  mov byte [es:0x300], 0xFF
  GC 3, 0x03
  mov byte [es:0x301], 0x81
  PLANE_IS 2, 0x301, 0x30, "rotate right by 3"
  GC 3, 0x08                        ; AND
  mov al, [es:0x100]
  mov byte [es:0x100], 0x0F
  PLANE_IS 0, 0x100, 0x01, "AND with the latch: plane 0"
  PLANE_IS 3, 0x100, 0x04, "AND with the latch: plane 3"
  GC 3, 0x10                        ; OR
  mov al, [es:0x100]
  mov byte [es:0x100], 0xF0
  PLANE_IS 1, 0x100, 0xF2, "OR with the latch"
  GC 3, 0x18                        ; XOR
  mov al, [es:0x100]
  mov byte [es:0x100], 0xFF
  PLANE_IS 1, 0x100, 0x0D, "XOR with the latch"
  GC 3, 0
  GC 8, 0x0F
  mov al, [es:0x200]
  mov byte [es:0x200], 0xAA
  PLANE_IS 0, 0x200, 0x1A, "bit mask: the latch gives the other bits"
  PLANE_IS 3, 0x200, 0x4A, "bit mask: plane 3"
  GC 8, 0xFF
  ; set/reset
  GC 0, 0x05
  GC 1, 0x07
  mov byte [es:0x400], 0x3C
  PLANE_IS 0, 0x400, 0xFF, "set"
  PLANE_IS 1, 0x400, 0x00, "reset"
  PLANE_IS 2, 0x400, 0xFF, "set"
  PLANE_IS 3, 0x400, 0x3C, "not enabled: the data"
  GC 1, 0
  ; write mode 2
  mov byte [es:0x500], 0
  GC 5, 2
  GC 8, 0xF0
  mov al, [es:0x500]
  mov byte [es:0x500], 0x0A
  GC 8, 0xFF
  GC 5, 0
  PLANE_IS 0, 0x500, 0x00, "write mode 2: bit 0"
  PLANE_IS 1, 0x500, 0xF0, "write mode 2: bit 1, masked"
  PLANE_IS 3, 0x500, 0xF0, "write mode 2: bit 3, masked"
  ; write mode 3: data AND bit mask chooses set/reset or latch
  GC 0, 0x09
  GC 5, 3
  GC 8, 0x3C
  mov al, [es:0x200]
  mov byte [es:0x200], 0xF0
  GC 8, 0xFF
  GC 5, 0
  PLANE_IS 0, 0x200, 0x3A, "write mode 3: set"
  PLANE_IS 1, 0x200, 0x0A, "write mode 3: reset"
  PLANE_IS 3, 0x200, 0x7A, "write mode 3: plane 3"
  ; read mode 1
  SEQ 2, 0x01
  mov byte [es:0x600], 0xF0
  SEQ 2, 0x02
  mov byte [es:0x600], 0xCC
  SEQ 2, 0x04
  mov byte [es:0x600], 0xAA
  SEQ 2, 0x08
  mov byte [es:0x600], 0x00
  GC 5, 8
  GC 2, 0x07
  GC 7, 0x0F
  BYTE_IS 0x600, 0x80, "read mode 1: color 7"
  GC 7, 0x03
  BYTE_IS 0x600, 0xC0, "read mode 1: planes 2 and 3 do not matter"
  GC 7, 0x00
  BYTE_IS 0x600, 0xFF, "read mode 1: no plane matters"
  GC 5, 0
  ; map mask 0
  SEQ 2, 0x00
  mov byte [es:0x600], 0x5A
  PLANE_IS 0, 0x600, 0xF0, "no plane is written"

  ; ---- chain-4: the address's low bits choose the plane
  SEQ 2, 0x0F
  SEQ 4, 0x0E
  GC 5, 0x40
  mov dword [es:0x1000], 0x44332211
  mov eax, [es:0x1000]
  IS16 0x2211, "chain-4 reads back"
  UNLESS BOCHS                      ; does not look at the map mask here
  SEQ 2, 0x04
  mov dword [es:0x1000], 0xFFFFFFFF
  mov eax, [es:0x1000]
  IS16 0x2211, "chain-4: the map mask holds: planes 0, 1"
  shr eax, 16
  IS16 0x44FF, "chain-4: planes 2, 3"
  ENDUNLESS
  SEQ 2, 0x0F
  SEQ 4, 0x06
  GC 5, 0x00
  UNLESS QEMU | BOCHS               ; keep chained pixels at another address
  PLANE_IS 0, 0x1000, 0x11, "chain-4: plane 0 at the same offset"
  PLANE_IS 1, 0x1000, 0x22, "chain-4: plane 1"
  ENDUNLESS

  ; ---- odd/even, as in text modes, at B8000h
  SEQ 2, 0x03
  SEQ 4, 0x02
  GC 5, 0x10
  GC 6, 0x0E
  GC 4, 0
  mov ax, 0xB800
  mov es, ax
  mov word [es:0x20], 0x0741
  mov ax, [es:0x20]
  IS16 0x0741, "odd/even reads back"
  SEQ 4, 0x06
  GC 5, 0x00
  GC 6, 0x0D                        ; B8000h, no chaining
  UNLESS QEMU | BOCHS               ; keep them elsewhere
  PLANE_IS 0, 0x20, 0x41, "even bytes are in plane 0"
  PLANE_IS 1, 0x20, 0x07, "odd bytes in plane 1, at the even offset"
  ENDUNLESS
  ; ---- maps
  GC 6, 0x05
  BYTE_IS 0x20, 0xFF, "map A0000h: nothing at B8000h"
  GC 6, 0x09                        ; B0000h, 32 KiB
  SEQ 2, 0x0F
  mov ax, 0xB000
  mov es, ax
  mov byte [es:0x777], 0x99
  GC 4, 0
  BYTE_IS 0x777, 0x99, "map B0000h"
  GC 6, 0x01                        ; 128 KiB at A0000h
  mov ax, 0xA000
  mov es, ax
  BYTE_IS 0x777, 0x99, "map of 128 KiB at A0000h"

  ; ---- a text mode runs: 3DAh changes
  CRTC 0x11, 0x0E
  mov si, text
  xor cx, cx
  mov dx, 0x3D4
.crtc:
  mov al, cl
  mov ah, [si]
  out dx, ax
  inc si
  inc cx
  cmp cx, 0x19
  jne .crtc
  SEQ 0, 3
  SEQ 1, 0                          ; nine dots: 28.322 MHz / 900 / 449
  INB 0x3DA
  OUTB 0x3C0, 0x20
  call waitRetrace
  HOLDS nz, "vertical retrace comes"
  call waitDisplay
  HOLDS nz, "and goes"
  call waitRetrace
  call readClock
  mov bx, ax
  call waitDisplay
  call waitRetrace
  call readClock
  sub bx, ax
  mov ax, bx
  UNLESS QEMU | BOCHS               ; other rates
  BETWEEN 16700, 17400, "70 pictures a second"
  ENDUNLESS
  call waitDisplay
  ; display enable toggles within a picture
  mov ecx, 1000000                  ; longer than a blanking
  xor bx, bx
  INB 0x3DA
  and al, 1
  mov ah, al
.lines:
  in al, dx
  and al, 1
  cmp al, ah
  je .same
  mov ah, al
  inc bx
  cmp bx, 20
  je .toggles
.same:
  dec ecx
  jnz .lines
.toggles:
  mov ax, bx
  UNLESS BOCHS
  IS16 20, "display enable follows the lines"
  ENDUNLESS
  ret

; ZF clear when it comes
waitRetrace:
  mov ecx, 300000
  mov dx, 0x3DA
.wait:
  in al, dx
  test al, 8
  jnz .end
  dec ecx
  jnz .wait
.end:
  test ecx, ecx
  ret
waitDisplay:
  mov ecx, 300000
  mov dx, 0x3DA
.wait:
  in al, dx
  test al, 8
  jz .end
  dec ecx
  jnz .wait
.end:
  test ecx, ecx
  ret
; CRTC registers of mode 3
text:
  db 0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0, 0, 0, 0
  db 0x9C, 0x0E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF
%include "end.inc"
