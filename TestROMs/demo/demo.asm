; Placeholder: a boot sector that halts.
        bits 16
        org 0x7C00
.stop:  hlt
        jmp .stop
        times 510 - ($ - $$) db 0
        dw 0xAA55
