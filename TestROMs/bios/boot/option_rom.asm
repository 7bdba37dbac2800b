; An option ROM with a Plug and Play expansion header, of 2 KiB; the test takes these from the image
; and completes the checksum. What the bootstrap entry does is told by the byte behind MODE.
; Expected, after the BIOS boot specification 1.01 (chapters 3 and 6) and the Plug and Play BIOS
; specification 1.0A (chapter 3.6): registers at initialisation; the boot connection vector called once,
; after it; data segments that reach all memory meanwhile (PCI firmware specification 3.0, 5.2.1.21); the bootstrap entry vector called only when the order comes to it; after a far return or
; INT 18h the next device is tried.
        cpu     386
        bits    16
        org     0

MARK    equ     0x4F0                   ; left to programs by the BIOS data area

        db      0x55, 0xAA, 4
        jmp     init
        times   0x1A - ($ - $$) db 0
        dw      header
        align   16, db 0
header: db      "$PnP", 1, 2
        dw      0
        db      0, 0
        dd      0
        dw      0
        dw      product
        db      2, 0, 0                 ; network
        db      0x04                    ; may be booted from
        dw      connect
        dw      0
        dw      boot
        dw      0, 0
product:
        db      "Test ROM", 0
mode:   db      "MODE", 0               ; 0 succeeds, 1 returns, 2 calls INT 18h

init:   push    ds
        push    word 0
        pop     ds
        cmp     bx, 0xFFFF
        jne     .wrong
        cmp     dx, 0xFFFF
        jne     .wrong
        or      ax, ax
        jnz     .wrong
        mov     ax, es                  ; no such BIOS, or where it is
        or      ax, di
        jz      .right
        cmp     dword [es:di], "$PnP"
        jne     .wrong
.right: mov     eax, 0xFFFFFFF0         ; the jump of the reset vector
        cmp     byte [eax], 0xEA
        jne     .wrong
        add     byte [MARK], 1
.wrong: pop     ds
        mov     ax, 0x0100
        retf

connect:
        push    ds
        push    word 0
        pop     ds
        shl     byte [MARK], 4
        pop     ds
        xor     ax, ax
        retf

boot:   xor     ax, ax
        mov     ds, ax
        mov     si, failed
        cmp     byte [MARK], 0x10       ; initialised once, then connected once
        jne     tell
        mov     al, [cs:mode + 4]
        cmp     al, 1
        je      .return
        ja      .gives_up
        mov     si, passed
        jmp     tell
.return:
        add     byte [MARK], 1
        retf
.gives_up:
        add     byte [MARK], 1
        int     0x18
tell:   cs lodsb
        or      al, al
        jz      .end
        out     0xE9, al
        jmp     tell
.end:   mov     al, 0x10
        out     0xF4, al
        cli
        hlt
passed: db      "PASS", 10, 0
failed: db      "FAIL: initialised and connected once", 10, 0
        times   2048 - ($ - $$) db 0
