; INT 14h on the first serial port, by its own loopback, and INT 17h on a missing printer.
; Expected, after the PS/2 and AT BIOS interface and the PC16550D data sheet.
%include "harness.inc"

test:
        mov     dx, [0x400]
        cmp     dx, 0x3F8
        expect  e, "a serial port at 3F8h"
        mov     ax, 0x00E3              ; 9600 8N1
        mov     dx, 0
        int     0x14
        test    ah, 0x20
        expect  nz, "00h: ready to send"
        mov     dx, 0x3FB
        in      al, dx
        cmp     al, 0x03
        expect  e, "00h: 8N1"
        mov     al, 0x83
        out     dx, al
        mov     dx, 0x3F8
        in      al, dx
        cmp     al, 12
        expect  e, "00h: divisor 12"
        mov     dx, 0x3FB
        mov     al, 0x03
        out     dx, al
        mov     ah, 3
        mov     dx, 0
        int     0x14
        test    ah, 0x60
        expect  nz, "03h: empty"

        ; loopback, DSR and CTS from DTR and RTS
        mov     ah, 5
        mov     al, 1
        mov     bl, 0x13
        mov     dx, 0
        int     0x14
        mov     dx, 0x3F8
        mov     al, 0x5A
        out     dx, al
        mov     dx, 0x3FD
        xor     cx, cx
.wait:  in      al, dx
        test    al, 1
        loopz   .wait
        mov     dx, 0x3F8
        in      al, dx
        cmp     al, 0x5A
        expect  e, "the loopback works"
        mov     ah, 5
        mov     al, 0
        mov     dx, 0
        int     0x14
        cmp     bl, 0x13
        expect  e, "05h tells the modem control"
        mov     al, 0x00
        mov     dx, 0x3FC
        out     dx, al

        ; extended: 19200 7E2
        mov     ah, 4
        mov     bh, 2
        mov     bl, 1
        mov     ch, 2
        mov     cl, 8
        mov     dx, 0
        int     0x14
        mov     dx, 0x3FB
        in      al, dx
        cmp     al, 0x1E
        expect  e, "04h: 7E2"
        mov     ah, 3
        mov     dx, 3
        int     0x14                    ; may be missing; must come back
        mov     ax, 0x0200
        mov     dx, 2
        cmp     word [0x40C], 0
        jne     pass
        int     0x17
        test    ah, 1
        expect  nz, "17h: no third printer"
        jmp     pass
%include "footer.inc"
