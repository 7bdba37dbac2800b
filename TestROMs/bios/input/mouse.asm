; The pointing device: INT 15h/C2h and INT 74h.
; Expected, after the PS/2 BIOS interface: reset, type, status after settings, and a handler that
; is called with whole packets. Packets are put into the 8042 with command D3h, as if the mouse
; had sent them.
%include "harness.inc"

test:
        test    byte [0x410], 4
        expect  nz, "equipment: a mouse"
        mov     ax, 0xC200
        mov     bh, 1
        int     0x15
        expect  c, "no enabling without a handler"
        cmp     ah, 5
        expect  e, "no enabling without a handler: 05h"
        mov     ax, 0xC205
        mov     bh, 3
        int     0x15
        expect  nc, "C205h"
        mov     ax, 0xC201
        int     0x15
        expect  nc, "C201h"
        cmp     bx, 0x00AA
        expect  e, "C201h: bx = 00AAh"
        mov     ax, 0xC204
        int     0x15
        expect  nc, "C204h"
        or      bh, bh
        expect  z, "C204h: a plain mouse"
        mov     ax, 0xC202
        mov     bh, 7
        int     0x15
        expect  c, "C202h: no rate 7"
        mov     ax, 0xC202
        mov     bh, 5                   ; 100 a second
        int     0x15
        expect  nc, "C202h"
        mov     ax, 0xC203
        mov     bh, 3                   ; 8 a millimetre
        int     0x15
        expect  nc, "C203h"
        mov     ax, 0xC206
        mov     bh, 2                   ; 2:1
        int     0x15
        expect  nc, "C206h"
        mov     ax, 0xC206
        mov     bh, 0
        int     0x15
        expect  nc, "C206h: status"
        cmp     dl, 100
        expect  e, "C206h: 100 a second"
        cmp     cl, 3
        expect  e, "C206h: 8 a millimetre"
        test    bl, 0x10
        expect  nz, "C206h: 2:1"
        mov     ax, 0xC207
        mov     bx, handler
        int     0x15
        expect  nc, "C207h"
        mov     ax, 0xC200
        mov     bh, 1
        int     0x15
        expect  nc, "C200h"
        mov     ax, 0xC206
        mov     bh, 0
        int     0x15
        test    bl, 0x20
        expect  nz, "C200h: enabled"

        mov     al, 0x29
        call    byte_from_mouse
        mov     al, 0x05
        call    byte_from_mouse
        cmp     byte [calls], 0
        expect  e, "no call for half a packet"
        mov     al, 0xF0
        call    byte_from_mouse
        cmp     byte [calls], 1
        expect  e, "a call for a packet"
        cmp     word [packet], 0x29
        expect  e, "the status byte"
        cmp     word [packet + 2], 0x05
        expect  e, "the x byte"
        cmp     word [packet + 4], 0xF0
        expect  e, "the y byte"
        cmp     word [packet + 6], 0
        expect  e, "the z word"
        mov     al, 0x08
        call    byte_from_mouse
        mov     al, 0x00
        call    byte_from_mouse
        mov     al, 0x01
        call    byte_from_mouse
        cmp     byte [calls], 2
        expect  e, "a call for each packet"
        mov     ax, 0xC200
        mov     bh, 0
        int     0x15
        expect  nc, "C200h: off"
        ; keys still work after all this
        mov     al, 0xD2
        out     0x64, al
        call    idle
        mov     al, 0x1E
        out     0x60, al
        mov     ah, 0
        int     0x16
        cmp     ax, 0x1E61
        expect  e, "a key"
        jmp     pass

handler:
        push    bp
        mov     bp, sp
        push    eax
        mov     ax, [bp + 12]
        mov     [cs:packet], ax
        mov     ax, [bp + 10]
        mov     [cs:packet + 2], ax
        mov     ax, [bp + 8]
        mov     [cs:packet + 4], ax
        mov     ax, [bp + 6]
        mov     [cs:packet + 6], ax
        inc     byte [cs:calls]
        pop     eax
        pop     bp
        retf

byte_from_mouse:
        push    ax
        call    idle
        mov     al, 0xD3
        out     0x64, al
        call    idle
        pop     ax
        out     0x60, al
        xor     cx, cx
.taken: in      al, 0x64
        test    al, 1
        loopnz  .taken
        mov     cx, 200
.later: in      al, 0x61
        loop    .later
        ret
idle:   in      al, 0x64
        test    al, 2
        jnz     idle
        ret

calls:  db      0
packet: times   4 dw 0
%include "footer.inc"
