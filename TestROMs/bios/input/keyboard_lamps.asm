; The lamps, and commands to the keyboard, beside programs that have taken the keyboard over.
; Expected, after the AT's BIOS (INT 09h, INT 16h, the flags at 40:97): reading the shift state sends
; nothing; where lamps are to be set the exchange with the keyboard is over when the service returns,
; and no interrupt and no byte of it reaches whoever owns IRQ 1; a scan code that waits meanwhile is
; not lost; an answer to a program's own command is noted in 40:97 and is no key. The test's caller
; looks at the keyboard's lamps: Num Lock and Caps Lock lit at the end.
%include "harness.inc"

test:
        mov     eax, [9 * 4]
        mov     [old_int9], eax
        mov     word [9 * 4], owner
        mov     word [9 * 4 + 2], 0

        ; nothing happens by looking
        or      byte [0x417], 0x20
        mov     ah, 0x02
        int     0x16
        test    al, 0x20
        expect  nz, "02h: Num Lock"
        mov     ah, 0x12
        int     0x16
        call    quiet
        cmp     byte [interrupts], 0
        expect  e, "02h and 12h send nothing to the keyboard"
        test    byte [0x497], 0x40
        expect  z, "02h and 12h begin nothing"

        ; 01h sets the lamps, all of it
        mov     ah, 0x01
        int     0x16
        expect  z, "01h: no key"
        in      al, 0x64
        test    al, 1
        expect  z, "01h leaves no byte in the 8042"
        mov     al, [0x497]
        and     al, 0x77
        cmp     al, 0x02
        expect  e, "40:97: Num Lock lit, no exchange under way"
        call    quiet
        cmp     byte [interrupts], 0
        expect  e, "no interrupt of the lamps' exchange"

        ; the same while all interrupts are masked at the PIC, as by a system that takes over
        cli
        mov     al, 0xFF
        out     0x21, al
        xor     byte [0x417], 0x40
        mov     ah, 0x11
        int     0x16
        cli
        call    quiet_masked
        mov     al, 0x0A
        out     0x20, al
        in      al, 0x20
        test    al, 2
        expect  z, "no request of IRQ 1 is left behind"
        in      al, 0x64
        test    al, 1
        expect  z, "no byte is left behind"
        mov     al, 0xB8
        out     0x21, al
        sti
        mov     al, [0x497]
        and     al, 0x77
        cmp     al, 0x06
        expect  e, "40:97: Caps Lock too"

        ; typematic rate
        mov     ax, 0x0305
        mov     bx, 0x0000
        int     0x16
        call    quiet
        cmp     byte [interrupts], 0
        expect  e, "0305h: no interrupt"

        ; a scan code that waits is the owner's, not the BIOS's
        cli
        mov     al, 0xD2
        out     0x64, al
        mov     al, 0x1E
        out     0x60, al
        xor     byte [0x417], 0x10
        mov     ah, 0x01
        int     0x16
        sti
        call    quiet
        cmp     byte [interrupts], 1
        expect  e, "the scan code came to its owner"
        cmp     byte [code], 0x1E
        expect  e, "the scan code is what it was"
        xor     byte [0x417], 0x10
        mov     ah, 0x01
        int     0x16

        ; With the BIOS's own handler: the answer to a program's command is noted, and no key.
        mov     eax, [old_int9]
        mov     [9 * 4], eax
        and     byte [0x497], ~0x30 & 0xFF
        mov     al, 0xF4
        call    command
        mov     cx, 20
.answer:
        call    quiet
        test    byte [0x497], 0x10
        jnz     .answered
        loop    .answer
.answered:
        test    byte [0x497], 0x10
        expect  nz, "40:97 bit 4: the keyboard acknowledged"
        mov     ah, 0x11
        int     0x16
        expect  z, "an acknowledgement is no key"
        ; Caps Lock by its key, off and on again: through INT 09h
        mov     si, locks
        mov     cx, 4
.lock:  lodsb
        call    scan
        loop    .lock
        call    quiet
        mov     al, [0x497]
        and     al, 0x47
        cmp     al, 0x06
        expect  e, "the lamps follow the key"
        jmp     pass

; IRQ 1 for a program that owns the keyboard.
owner:  push    ax
        in      al, 0x60
        mov     [cs:code], al
        inc     byte [cs:interrupts]
        mov     al, 0x20
        out     0x20, al
        pop     ax
        iret

; Lets two ticks pass.
quiet:  push    ax
        mov     al, [0x46C]
        add     al, 2
.wait:  cmp     [0x46C], al
        jne     .wait
        pop     ax
        ret

; Lets 100 ms pass without interrupts: by the refresh bit.
quiet_masked:
        push    ax
        push    cx
        mov     cx, 6600
        in      al, 0x61
        and     al, 0x10
        mov     ah, al
.same:  in      al, 0x61
        and     al, 0x10
        cmp     al, ah
        je      .same
        mov     ah, al
        loop    .same
        pop     cx
        pop     ax
        ret

; Sends al to the keyboard, as programs do.
command:
        push    ax
.full:  in      al, 0x64
        test    al, 2
        jnz     .full
        pop     ax
        out     0x60, al
        ret

; Gives scan code al to the 8042 as if typed, and waits until it was taken.
scan:   push    cx
        mov     ah, al
        mov     al, 0xD2
        out     0x64, al
        mov     al, ah
        out     0x60, al
        xor     cx, cx
.wait:  in      al, 0x64
        test    al, 1
        loopnz  .wait
        pop     cx
        ret

locks:  db      0x3A, 0xBA, 0x3A, 0xBA
interrupts:
        db      0
code:   db      0
old_int9:
        dd      0
%include "footer.inc"
