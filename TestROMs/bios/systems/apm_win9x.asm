; How Windows 95 and 98 (VPOWERD.VXD), NT and 2000 connect to the APM BIOS: found in real mode, connected
; for 32 bits, told the driver's version, engaged, asked.
; After the APM BIOS interface specification 1.2, chapter 4 (connection, functions, error codes); Ralf
; Brown's Interrupt List, INT 15h/53h.
; SeaBIOS knows no versions below 1.2.
%include "harness.inc"
%include "systems/protected.inc"

%macro call_apm 3               ; ax, bx, cx
        mov     eax, %1
        mov     ebx, %2
        mov     ecx, %3
        mov     [registers], eax
        mov     [registers + 4], ebx
        mov     [registers + 8], ecx
        mov     bx, by_entry
        call    run_protected
%endmacro

test:
        mov     ax, 0x5300
        xor     bx, bx
        int     0x15
        expect  nc, "5300h: installed"
        cmp     bx, 0x504D
        expect  e, "5300h: PM"
        cmp     ax, 0x0102
        expect  e, "5300h: 1.2"
        test    cl, 2
        expect  nz, "5300h: 32-bit interface"
        ; somebody may have been connected: drop it, never mind what that says
        mov     ax, 0x5304
        xor     bx, bx
        int     0x15
        mov     ax, 0x5303
        xor     bx, bx
        xor     esi, esi
        xor     edi, edi
        int     0x15
        expect  nc, "5303h: connected"
        mov     [entry], ebx
        movzx   eax, ax
        shl     eax, 4
        push    ecx
        movzx   ecx, si
        dec     cx
        push    di
        mov     di, FIRST
        call    set_descriptor
        pop     di
        pop     ecx
        movzx   eax, cx
        shl     eax, 4
        mov     ecx, esi
        shr     ecx, 16                 ; of 16-bit code, for drivers of 1.2
        expect  nz, "5303h: length of 16-bit code"
        dec     cx
        push    di
        mov     di, FIRST + 8
        call    set_descriptor
        pop     di
        movzx   eax, dx
        shl     eax, 4
        movzx   ecx, di
        or      cx, cx
        expect  nz, "5303h: length of data"
        dec     cx
        mov     di, FIRST + 16
        call    set_descriptor
        movzx   eax, si
        cmp     [entry], eax
        expect  b, "5303h: the entry is within the code"

        ; the driver's version: 1.2 for 1.2, and a driver of 1.1 gets 1.1
        call_apm 0x530E, 0, 0x0101
        call    good
        cmp     word [registers], 0x0101
        expect  e, "530Eh: 1.1"
        call_apm 0x530E, 0, 0x0102
        call    good
        cmp     word [registers], 0x0102
        expect  e, "530Eh: 1.2"
        ; engage, enable
        call_apm 0x530F, 1, 1
        call    good
        call_apm 0x5308, 1, 1
        call    good
        call_apm 0x530D, 1, 1
        cmp     byte [carry], 0         ; devices may not be there to be enabled
        je      .enabled
        cmp     byte [registers + 1], 0x09
        je      .enabled
        cmp     byte [registers + 1], 0x0B
        je      .enabled
        cmp     byte [registers + 1], 0x0A
        expect  e, "530Dh: no such device, or none engaged"
.enabled:
        ; power: on line, no battery
        call_apm 0x530A, 1, 0
        call    good
        cmp     byte [registers + 5], 1
        expect  e, "530Ah: on line"
        test    byte [registers + 4], 0x80
        jz      .battery
        cmp     byte [registers + 4], 0xFF
        expect  e, "530Ah: battery not there or unknown"
.battery:
        test    byte [registers + 9], 0x80      ; CH bit 7: no battery
        expect  nz, "530Ah: no battery"
        cmp     byte [registers + 8], 0xFF
        expect  e, "530Ah: its charge unknown"
        ; events: none, every second for a while
        mov     cx, 5
.events:
        push    cx
        call_apm 0x530B, 0, 0
        cmp     byte [carry], 1
        expect  e, "530Bh: nothing happened"
        cmp     byte [registers + 1], 0x80
        expect  e, "530Bh: no event is pending"
        pop     cx
        loop    .events
        ; displays off and on again, as screen savers do
        call_apm 0x5307, 0x01FF, 2
        call    good
        call_apm 0x5307, 0x01FF, 0
        call    good
        ; a request that the driver goes through, and one that it rejects
        call_apm 0x5307, 1, 4
        call    good
        call_apm 0x5307, 1, 5
        call    good
        ; capabilities: no battery, nothing else
        call_apm 0x5310, 0, 0
        call    good
        cmp     byte [registers + 4], 0
        expect  e, "5310h: no batteries"
        call_apm 0x530C, 1, 0
        call    good
        cmp     word [registers + 8], 0
        expect  e, "530Ch: the system is enabled"
        ; busy, which has nothing to undo
        call_apm 0x5306, 0, 0
        call    good
        ; installation check and connection are not for protected mode
        call_apm 0x5300, 0, 0
        cmp     byte [carry], 1
        expect  e, "5300h is not for protected mode"
        ; what OEMs may have, and what is reserved
        call_apm 0x5380, 0, 0
        cmp     byte [carry], 1
        expect  e, "5380h: nothing of an OEM"
        call_apm 0x5311, 1, 0
        cmp     byte [carry], 1
        expect  e, "5311h: no resume timer"
        ; away again
        call_apm 0x5304, 0, 0
        call    good
        call_apm 0x530A, 1, 0
        cmp     byte [carry], 1
        expect  e, "nothing without a connection"
        cmp     byte [registers + 1], 0x03
        expect  e, "nothing without a connection: error 03h"
        mov     ax, 0x5300
        xor     bx, bx
        int     0x15
        expect  nc, "5300h afterwards"
        mov     ax, 0x5301
        xor     bx, bx
        int     0x15
        expect  nc, "5301h afterwards"
        jmp     pass

good:   cmp     byte [carry], 0
        expect  e, "no error"
        ret

        bits    32
by_entry:
        pushad
        mov     eax, [registers]
        mov     ebx, [registers + 4]
        mov     ecx, [registers + 8]
        mov     edx, 0x89ABCDEF
        call    far [entry]
        setc    [carry]
        mov     [registers], eax
        mov     [registers + 4], ebx
        mov     [registers + 8], ecx
        mov     [registers + 12], edx
        popad
        ret
        bits    16
        align   4
entry:  dd      0
        dw      FIRST
carry:  dw      0
registers:
        times 4 dd 0
%include "footer.inc"
