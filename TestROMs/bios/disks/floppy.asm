; INT 13h on the 1.44 MB floppy it was booted from.
; Expected, after the PS/2 and AT BIOS interface: drive parameters, reads at both ends and across
; heads, write and read back, verify, format, refusal of what is out of range or crosses a 64 KiB
; boundary, the status function. (QEMU's controller does not format, and fails there.)
%include "harness.inc"

test:
        mov     ah, 8
        mov     dl, 0
        int     0x13
        expect  nc, "08h"
        cmp     bl, 4
        expect  e, "08h: a 1.44 MB drive"
        cmp     cx, 0x4F12
        expect  e, "08h: 80 cylinders, 18 sectors"
        cmp     dh, 1
        expect  e, "08h: two heads"
        cmp     byte [es:di + 4], 18
        expect  e, "08h: its parameter table"
        push    ds
        pop     es
        mov     ah, 0x15
        mov     dl, 0
        int     0x13
        expect  nc, "15h"
        cmp     ah, 2
        expect  e, "15h: a change line"
        mov     ah, 0x16
        mov     dl, 0
        int     0x13
        expect  nc, "16h: not changed"

        ; what was loaded is what is there
        mov     ax, 0x0201
        mov     bx, 0x4000
        mov     cx, 0x0001
        mov     dx, 0
        int     0x13
        expect  nc, "02h"
        cmp     al, 1
        expect  e, "02h: one sector"
        mov     si, 0x7C40
        mov     di, 0x4040
        mov     cx, 200
        repe cmpsw
        expect  e, "02h: the boot sector"

        ; the whole of a cylinder: 36 sectors over both heads
        mov     ax, 0x1000
        mov     es, ax
        xor     di, di
        mov     cx, 0x4800 / 2
.fill:  mov     ax, di
        imul    ax, 0x2B67
        stosw
        loop    .fill
        mov     ax, 0x0324
        xor     bx, bx
        mov     cx, 0x3C01
        mov     dx, 0
        int     0x13
        expect  nc, "03h: a cylinder"
        cmp     al, 36
        expect  e, "03h: 36 sectors"
        mov     ax, 0x2000
        mov     es, ax
        mov     ax, 0x0212
        xor     bx, bx
        mov     cx, 0x3C01
        mov     dx, 0x0100
        int     0x13
        expect  nc, "02h: the second head"
        push    ds
        mov     ax, 0x1000
        mov     ds, ax
        mov     si, 0x2400
        xor     di, di
        mov     cx, 0x1200
        repe cmpsw
        pop     ds
        expect  e, "the second half of the cylinder is on the second head"
        push    ds
        pop     es
        mov     ax, 0x0412
        xor     bx, bx
        mov     cx, 0x3C01
        mov     dx, 0x0000
        int     0x13
        expect  nc, "04h"
        mov     ax, 0x0201
        mov     bx, 0x4000
        mov     cx, 0x4F12
        mov     dx, 0x0100
        int     0x13
        expect  nc, "02h: the last sector"

        ; errors
        mov     ax, 0x0201
        mov     cx, 0x0013
        mov     dx, 0
        int     0x13
        expect  c, "no sector 19"
        cmp     ah, 0x04
        expect  e, "no sector 19: status 04h"
        mov     ah, 1
        mov     dl, 0
        int     0x13
        cmp     ah, 0x04
        expect  e, "01h: status 04h"
        mov     ah, 0
        mov     dl, 0
        int     0x13
        expect  nc, "00h"
        mov     ax, 0x0FF0
        mov     es, ax
        mov     ax, 0x0201
        xor     bx, bx
        mov     cx, 0x0001
        mov     dx, 0
        int     0x13
        expect  c, "a transfer across 64 KiB"
        cmp     ah, 0x09
        expect  e, "a transfer across 64 KiB: status 09h"
        push    ds
        pop     es
        mov     ax, 0x0201
        mov     bx, 0x4000
        mov     cx, 0x0001
        mov     dl, 0x03
        int     0x13
        expect  c, "no drive 3"
        mov     ah, 0x77
        mov     dl, 0
        int     0x13
        expect  c, "no function 77h"
        cmp     ah, 1
        expect  e, "no function 77h: status 01h"

        ; format
        mov     ah, 0x18
        mov     cx, 0x4F12
        mov     dl, 0
        int     0x13
        expect  nc, "18h"
        cmp     byte [es:di + 4], 18
        expect  e, "18h: its parameter table"
        mov     ah, 0x18
        mov     cx, 0x4F10
        mov     dl, 0
        int     0x13
        expect  c, "18h: no 16 sectors"
        push    ds
        pop     es
        mov     di, 0x4000
        mov     al, 1
.ids:   mov     byte [di], 0x4E
        mov     byte [di + 1], 1
        mov     [di + 2], al
        mov     byte [di + 3], 2
        add     di, 4
        inc     al
        cmp     al, 18
        jbe     .ids
        mov     ax, 0x0501
        mov     bx, 0x4000
        mov     cx, 0x4E01
        mov     dx, 0x0100
        int     0x13
        expect  nc, "05h"
        mov     ax, 0x0201
        mov     bx, 0x4000
        mov     cx, 0x4E07
        mov     dx, 0x0100
        int     0x13
        expect  nc, "the formatted track is readable"
        mov     di, 0x4000
        mov     cx, 256
        mov     ax, 0xF6F6
        repe scasw
        expect  e, "the formatted track is full of F6h"

        ; the motor is turned off after a while
        mov     eax, [0x46C]
        mov     ebx, eax
.motor: test    byte [0x43F], 1
        jz      .off
        mov     eax, [0x46C]
        sub     eax, ebx
        cmp     eax, 60
        expect  b, "the motor goes off"
        jmp     .motor
.off:   jmp     pass
%include "footer.inc"
