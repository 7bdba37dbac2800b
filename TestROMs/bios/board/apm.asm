; APM by INT 15h/53h: connections and the answers of every function, reserved ones too.
; Expected, after the APM BIOS interface specification 1.2, chapter 4: errors 02h, 05h and 07h for a
; connection beside another, 03h without one, 09h for devices that are none, 0Ah for values out of
; range, 0Bh while disengaged, 0Ch for functions that are not there, 60h for states that cannot be
; entered, 80h without events.
; SeaBIOS, which keeps no state, differs.
%include "harness.inc"

; Calls function %1 with bx = %2, cx = %3.
%macro apm 3
        mov     bx, %2
        mov     cx, %3
        mov     ax, 0x5300 | %1
        int     0x15
%endmacro
; The same, expecting error %4.
%macro refused 5
        apm     %1, %2, %3
        expect  c, %5
        cmp     ah, %4
        expect  e, %5
        cmp     bx, %2
        expect  e, "bx as it was"
        cmp     cx, %3
        expect  e, "cx as it was"
%endmacro
%macro works 4
        apm     %1, %2, %3
        expect  nc, %4
        or      ah, ah
        expect  z, %4
%endmacro

test:
        ; before anybody is connected
        apm     0x00, 0, 0
        expect  nc, "5300h"
        cmp     ax, 0x0102
        expect  e, "5300h: 1.2"
        cmp     bx, 0x504D
        expect  e, "5300h: PM"
        cmp     cx, 3
        expect  e, "5300h: both protected-mode interfaces; enabled, engaged"
        refused 0x00, 1, 0, 0x09, "5300h of a device"
        refused 0x04, 0, 0, 0x03, "5304h unconnected"
        refused 0x05, 0, 0, 0x03, "5305h unconnected"
        refused 0x0B, 0, 0, 0x03, "530Bh unconnected"
        refused 0x0E, 0, 0x0102, 0x03, "530Eh unconnected"
        refused 0x80, 0, 0, 0x03, "5380h unconnected"
        refused 0x01, 1, 0, 0x09, "5301h of a device"
        refused 0x02, 1, 0, 0x09, "5302h of a device"
        refused 0x03, 1, 0, 0x09, "5303h of a device"

        ; one connection at a time
        works   0x01, 0, 0, "5301h"
        refused 0x01, 0, 0, 0x02, "5301h twice"
        refused 0x02, 0, 0, 0x02, "5302h beside real mode"
        refused 0x03, 0, 0, 0x02, "5303h beside real mode"
        works   0x04, 0, 0, "5304h"
        apm     0x02, 0, 0
        expect  nc, "5302h"
        cmp     ax, 0xF000
        expect  e, "5302h: code"
        cmp     cx, 0x0040
        expect  e, "5302h: data"
        or      bx, bx
        expect  nz, "5302h: entry"
        cmp     si, bx
        expect  a, "5302h: length of code"
        or      di, di
        expect  nz, "5302h: length of data"
        refused 0x01, 0, 0, 0x05, "5301h beside 16 bits"
        refused 0x03, 0, 0, 0x05, "5303h beside 16 bits"
        refused 0x0B, 0, 0, 0x03, "530Bh by interrupt, 16 bits connected"
        works   0x04, 0, 0, "5304h after 16 bits"
        mov     esi, 0x12345678
        apm     0x03, 0, 0
        expect  nc, "5303h"
        cmp     esi, 0x12345678
        expect  ne, "5303h: length of 16-bit code too"
        refused 0x01, 0, 0, 0x07, "5301h beside 32 bits"
        refused 0x02, 0, 0, 0x07, "5302h beside 32 bits"
        works   0x04, 0, 0, "5304h after 32 bits"

        ; the driver's version
        works   0x01, 0, 0, "5301h again"
        refused 0x0E, 1, 0x0102, 0x09, "530Eh of a device"
        mov     edx, 0x0100
        call    version
        expect  e, "1.0"
        mov     edx, 0x0101
        call    version
        expect  e, "1.1"
        mov     edx, 0x0102
        call    version
        expect  e, "1.2"
        apm     0x0E, 0, 0x0200
        cmp     ax, 0x0102
        expect  e, "1.2 for a driver of the future"

        ; idle until the timer's interrupt
        works   0x05, 0, 0, "5305h"
        works   0x06, 0, 0, "5306h"

        ; states
        refused 0x07, 1, 0, 0x0A, "5307h: all devices are not switched to 'enabled'"
        refused 0x07, 1, 1, 0x60, "5307h: no standby"
        refused 0x07, 1, 2, 0x60, "5307h: no suspend"
        works   0x07, 1, 4, "5307h: a request is being processed"
        works   0x07, 1, 5, "5307h: a request is rejected"
        refused 0x07, 1, 6, 0x0A, "5307h: reserved state"
        refused 0x07, 0, 1, 0x09, "5307h of the BIOS"
        refused 0x07, 0x0600, 1, 0x09, "5307h of a card socket"
        works   0x07, 0x01FF, 1, "5307h: displays"
        refused 0x07, 0x0100, 4, 0x0A, "5307h: state of all devices for a display"
        works   0x0C, 1, 0x1234, "530Ch"
        or      cx, cx
        expect  z, "530Ch: enabled"
        refused 0x0C, 0, 0, 0x09, "530Ch of the BIOS"
        works   0x0C, 0x0200, 0, "530Ch of a disk"

        ; enabling
        refused 0x08, 0x0100, 0, 0x09, "5308h of a display"
        refused 0x08, 1, 2, 0x0A, "5308h: 2"
        works   0x08, 1, 0, "5308h off"
        apm     0x00, 0, 0
        test    cl, 0x08
        expect  nz, "5300h tells that it is disabled"
        refused 0x07, 1, 1, 0x01, "5307h while disabled"
        works   0x08, 0xFFFF, 1, "5308h on, as 1.0 names all"
        apm     0x00, 0, 0
        test    cl, 0x08
        expect  z, "5300h tells that it is enabled"
        works   0x0D, 0x0100, 0, "530Dh"
        refused 0x0D, 0x0100, 2, 0x0A, "530Dh: 2"
        refused 0x0D, 0x0700, 1, 0x09, "530Dh of nothing"

        ; engaging
        refused 0x0F, 0x0300, 1, 0x09, "530Fh of a port"
        refused 0x0F, 1, 2, 0x0A, "530Fh: 2"
        works   0x0F, 1, 0, "530Fh off"
        apm     0x00, 0, 0
        test    cl, 0x10
        expect  nz, "5300h tells that it is disengaged"
        refused 0x05, 0, 0, 0x0B, "5305h while disengaged"
        refused 0x06, 0, 0, 0x0B, "5306h while disengaged"
        refused 0x07, 1, 1, 0x0B, "5307h while disengaged"
        refused 0x0B, 0, 0, 0x0B, "530Bh while disengaged"
        works   0x09, 0xFFFF, 0, "5309h"
        apm     0x00, 0, 0
        test    cl, 0x18
        expect  z, "5309h engages and enables"
        refused 0x09, 2, 0, 0x09, "5309h of nothing"

        ; what there is
        apm     0x0A, 1, 0
        expect  nc, "530Ah"
        cmp     bx, 0x01FF
        expect  e, "530Ah: on line, no battery"
        test    ch, 0x80
        expect  nz, "530Ah: no system battery"
        cmp     cl, 0xFF
        expect  e, "530Ah: charge unknown"
        cmp     dx, 0xFFFF
        expect  e, "530Ah: time unknown"
        refused 0x0A, 0x8001, 0, 0x09, "530Ah of a battery"
        refused 0x0B, 0, 0, 0x80, "530Bh"
        apm     0x10, 0, 0x1234
        expect  nc, "5310h"
        or      bl, bl
        expect  z, "5310h: no battery"
        or      cx, cx
        expect  z, "5310h: no sleep, nothing to wake from it"
        refused 0x10, 1, 0, 0x09, "5310h of a device"
        refused 0x11, 0, 0, 0x0C, "5311h: no resume timer"
        refused 0x11, 0, 1, 0x0C, "5311h: no resume timer"
        refused 0x11, 0, 2, 0x0C, "5311h: no resume timer"
        refused 0x12, 0, 0, 0x0C, "5312h: no resume on ring"
        works   0x13, 0, 0, "5313h off"
        works   0x13, 0, 2, "5313h"
        or      cx, cx
        expect  z, "5313h: off"
        works   0x13, 0, 1, "5313h on"
        works   0x13, 0, 2, "5313h"
        cmp     cx, 1
        expect  e, "5313h: on"
        refused 0x13, 0, 3, 0x0A, "5313h: 3"

        ; what is reserved, and the manufacturer's
        mov     byte [function], 0x14
.reserved:
        mov     al, [function]
        mov     ah, 0x53
        xor     bx, bx
        xor     cx, cx
        int     0x15
        expect  c, "reserved functions"
        cmp     ah, 0x0C
        expect  e, "reserved functions"
        inc     byte [function]
        jnz     .reserved
        refused 0x80, 0x7F00, 0, 0x0C, "5380h: no functions of the manufacturer"

        refused 0x04, 1, 0, 0x09, "5304h of a device"
        works   0x04, 0, 0, "5304h"
        refused 0x04, 0, 0, 0x03, "5304h twice"
        jmp     pass

; Tells version dx. Out: ZF set when the answer is the same.
version:
        apm     0x0E, 0, dx
        cmp     ax, dx
        ret

function:
        db      0
%include "footer.inc"
