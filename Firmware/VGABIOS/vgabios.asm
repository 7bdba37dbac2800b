; Placeholder: a video BIOS that does nothing.
        bits 16
        org 0
        db 0x55, 0xAA, 64
        retf
