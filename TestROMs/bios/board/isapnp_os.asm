; A Plug and Play operating system (CMOS 6Bh, bit 0): POST numbers ISA cards, but leaves what is not needed
; to start from to the system. For a machine with one `pnp-uart`, which POST configures first; then, after
; a reset with the bit set, does not; and does again without it.
; Expected, after the Plug and Play BIOS specification 1.0A, chapter 3 (POST under a Plug and Play
; system) and 4.7 (function 40h); where the setting is kept is this BIOS's own.
%include "harness.inc"

ADDRESS equ 0x279
WRITE   equ 0xA79
SETTING equ 0x6B
STEP    equ 0x70                ; where this test keeps how often it has started

test:   mov     al, STEP
        out     0x70, al
        in      al, 0x71
        mov     bl, al
        cmp     bl, 2
        expect  be, "three starts"
        push    bx
        call    look
        pop     bx
        cmp     bl, 1
        je      .left
        cmp     al, 1
        expect  e, "the card is active"
        cmp     word [0x402], 0x3E8
        je      .listed
        cmp     word [0x404], 0x3E8
        expect  e, "40:0 lists its port"
.listed:
        mov     ah, 1
        cmp     bl, 2
        jne     .again
        jmp     pass
.left:  or      al, al
        expect  z, "the card is left to the system"
        cmp     word [0x404], 0
        expect  e, "40:0 does not list it"
        xor     ah, ah
.again: mov     al, SETTING
        out     0x70, al
        mov     al, ah
        out     0x71, al
        mov     al, STEP
        out     0x70, al
        mov     al, bl
        inc     al
        out     0x71, al
        mov     al, 0xFE
        out     0x64, al
.wait:  jmp     .wait

; Out: al = register 30h of card 1, which has its number.
look:   mov     ax, 0xF000
.scan:  mov     es, ax
        cmp     dword [es:0], "$PnP"
        je      .found
        inc     ax
        jnz     .scan
        or      ax, ax
        expect  nz, "$PnP"
.found: mov     eax, [es:0x0D]
        mov     [entry], eax
        push    word 0
        pop     es
        push    word 0xF000
        push    dword answer
        push    word 0x40
        call    far [entry]
        add     sp, 8
        or      ax, ax
        expect  z, "40h"
        cmp     byte [answer + 1], 1
        expect  e, "40h: one card"
        mov     dx, ADDRESS
        xor     al, al
        out     dx, al
        out     dx, al
        mov     al, 0x6A
        mov     cx, 32
.key:   out     dx, al
        mov     ah, al
        shr     al, 1
        xor     ah, al
        and     ah, 1
        ror     ah, 1
        or      al, ah
        loop    .key
        mov     al, 3
        out     dx, al
        mov     dx, WRITE
        mov     al, 1
        out     dx, al
        mov     al, 6
        call    read
        cmp     al, 1
        expect  e, "the card has its number"
        mov     al, 0x30
        call    read
        push    ax
        mov     dx, ADDRESS
        mov     al, 2
        out     dx, al
        mov     dx, WRITE
        out     dx, al
        pop     ax
        ret
read:   mov     dx, ADDRESS
        out     dx, al
        mov     dx, [answer + 2]
        in      al, dx
        ret

        align   4
entry:  dd      0
answer: times 8 db 0
%include "footer.inc"
