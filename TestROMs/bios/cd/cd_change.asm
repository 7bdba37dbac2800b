; A CD drive whose disc is taken out and put in again, by the test, when port E9h says EJECT and INSERT.
; Expected, after the Enhanced Disk Drive specification 3.0 (chapter 8, removable media): reading an empty
; drive fails with 31h; function 49h tells once that the disc was changed; 48h tells whether there is one.
%include "harness.inc"

test:   mov     cx, 3                   ; what was before does not matter
.first: mov     ah, 0x49
        mov     dl, 0xE0
        int     0x13
        jnc     .quiet
        loop    .first
.quiet: expect  nc, "49h: not changed"
        call    read
        expect  nc, "42h"
        mov     si, eject
        call    print
.full:  call    read
        jnc     .full
        cmp     ah, 0x31
        expect  e, "42h of an empty drive: 31h"
        cmp     word [packet + 2], 0
        expect  e, "42h of an empty drive: nothing read"
        mov     word [parameters], 26
        mov     si, parameters
        mov     ah, 0x48
        mov     dl, 0xE0
        int     0x13
        expect  nc, "48h of an empty drive"
        test    byte [parameters + 2], 0x40
        expect  nz, "48h of an empty drive: no disc"
        mov     ah, 0x49
        mov     dl, 0xE0
        int     0x13
        expect  c, "49h of an empty drive fails"
        cmp     ah, 0x31
        expect  e, "49h of an empty drive: 31h"
        mov     si, insert
        call    print
.empty: call    read
        jc      .empty
        mov     ah, 0x49
        mov     dl, 0xE0
        int     0x13
        expect  c, "49h: changed"
        cmp     ah, 0x06
        expect  e, "49h: 06h"
        mov     ah, 0x49
        mov     dl, 0xE0
        int     0x13
        expect  nc, "49h: only once"
        mov     word [parameters], 26
        mov     si, parameters
        mov     ah, 0x48
        mov     dl, 0xE0
        int     0x13
        test    byte [parameters + 2], 0x40
        expect  z, "48h: a disc"
        mov     ax, 0x4600              ; and out by itself
        mov     dl, 0xE0
        int     0x13
        expect  nc, "46h"
        call    read
        expect  c, "42h after 46h"
        cmp     ah, 0x31
        expect  e, "42h after 46h: 31h"
        jmp     pass

read:   mov     word [packet + 2], 1
        mov     si, packet
        mov     ah, 0x42
        mov     dl, 0xE0
        int     0x13
        ret

eject:  db      "EJECT", 10, 0
insert: db      "INSERT", 10, 0
        align   4
packet: db      16, 0
        dw      1
        dw      0xA000, 0
        dq      16
parameters:
        times   32 db 0
%include "footer.inc"
