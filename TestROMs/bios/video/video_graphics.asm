; INT 10h in graphics modes. Needs a VGA.
; Expected, after the IBM PS/2 and PC BIOS interface and the VGA's memory maps: size and memory of
; each mode, pixels, exclusive or, characters drawn and recognised, scrolling, default colours.
%include "harness.inc"

%macro video 1
        mov     ax, %1
        int     0x10
%endmacro

test:
        mov     si, modes
.mode:  lodsb
        cmp     al, 0xFF
        je      .memory
        mov     [mode], al
        movzx   ax, al
        int     0x10
        mov     al, [0x449]
        cmp     al, [mode]
        expect  e, "the mode in 40:49"
        lodsw
        cmp     ax, [0x44A]
        expect  e, "columns"
        lodsb
        cmp     al, [0x485]
        expect  e, "lines a character"
        lodsb
        cmp     al, [0x484]
        expect  e, "rows less one"
        lodsb
        mov     [colour], al
        push    si

        ; Pixels.
        xor     bx, bx
        mov     cx, 13
        mov     dx, 11
        mov     ah, 0x0D
        mov     al, 0x55
        int     0x10
        cmp     al, 0
        expect  e, "0Dh: black to start with"
        mov     al, [colour]
        mov     ah, 0x0C
        int     0x10
        mov     ah, 0x0D
        mov     al, 0x55
        int     0x10
        cmp     al, [colour]
        expect  e, "0Dh: what 0Ch drew"
        inc     cx
        mov     ah, 0x0D
        int     0x10
        cmp     al, 0
        expect  e, "0Ch: nothing beside it"
        cmp     byte [mode], 0x13
        je      .characters
        dec     cx
        mov     al, [colour]
        or      al, 0x80
        mov     ah, 0x0C
        int     0x10
        mov     ah, 0x0D
        int     0x10
        cmp     al, 0
        expect  e, "0Ch: exclusive or"

        ; Characters of either half of the font, at two places.
.characters:
        mov     si, letters
.letter:
        lodsb
        or      al, al
        jz      .scroll
        mov     di, ax
        lodsw
        mov     dx, ax
        mov     bh, 0
        mov     ah, 2
        int     0x10
        mov     bl, [colour]
        mov     cx, 1
        mov     ax, di
        mov     ah, 9
        int     0x10
        mov     bh, 0
        mov     ah, 8
        int     0x10
        mov     cx, di
        cmp     al, cl
        expect  e, "08h: what 09h drew"
        jmp     .letter

        ; Row 6 up to row 4, then down again; the place it leaves is blank.
.scroll:
        mov     bh, 0
        mov     cx, 0x0403
        mov     dx, 0x0A08
        video   0x0602
        mov     dx, 0x0405
        call    read
        cmp     al, 0x8A
        expect  e, "06h: up by two rows"
        mov     bh, 0
        mov     cx, 0x0403
        mov     dx, 0x0A08
        video   0x0703
        mov     dx, 0x0705
        call    read
        cmp     al, 0x8A
        expect  e, "07h: down by three rows"
        mov     dx, 0x0405
        call    read
        cmp     al, ' '
        jne     .zero
        xor     al, al
.zero:  cmp     al, 0
        expect  e, "07h: blank above"
        mov     dx, 0x0201
        call    read
        cmp     al, 'A'
        expect  e, "scrolling keeps what is outside"

        ; Teletype, to the end of a row and over it.
        mov     bh, 0
        mov     dl, [0x44A]
        dec     dl
        mov     dh, 3
        mov     ah, 2
        int     0x10
        mov     bl, [colour]
        video   0x0E58
        video   0x0E59
        cmp     word [0x450], 0x0401
        expect  e, "0Eh: the cursor"
        mov     dx, 0x0400
        call    read
        cmp     al, 'Y'
        expect  e, "0Eh: on to the next row"
        pop     si
        jmp     .mode

        ; Where pixels lie.
.memory:
        video   0x0013
        mov     cx, 5
        mov     dx, 3
        xor     bx, bx
        video   0x0CA7
        push    0xA000
        pop     fs
        cmp     byte [fs:3 * 320 + 5], 0xA7
        expect  e, "mode 13h: a byte a pixel"
        mov     bx, 0x20
        call    dac
        cmp     eax, 0x00003F
        expect  e, "mode 13h: colour 20h is blue"
        mov     bx, 6
        call    dac
        cmp     eax, 0x2A1500
        expect  e, "mode 13h: colour 6 is brown"
        mov     bx, 0x1F
        call    dac
        cmp     eax, 0x3F3F3F
        expect  e, "mode 13h: colour 1Fh is white"
        mov     bx, 0x28
        call    dac
        cmp     eax, 0x3F0000
        expect  e, "mode 13h: colour 28h is red"
        mov     bx, 0xFF
        call    dac
        cmp     eax, 0
        expect  e, "mode 13h: colour FFh is black"
        video   0x0012
        mov     cx, 639
        mov     dx, 479
        xor     bx, bx
        video   0x0C05
        mov     dx, 0x3CE
        mov     ax, 0x0204
        out     dx, ax
        cmp     byte [fs:479 * 80 + 79], 1
        expect  e, "mode 12h: plane 2"
        mov     ax, 0x0104
        out     dx, ax
        cmp     byte [fs:479 * 80 + 79], 0
        expect  e, "mode 12h: plane 1"
        mov     bx, 0x3F
        call    dac
        cmp     eax, 0x3F3F3F
        expect  e, "mode 12h: the EGA's colours"
        push    0xB800
        pop     fs
        video   0x0004
        mov     cx, 6
        mov     dx, 3
        xor     bx, bx
        video   0x0C02
        cmp     byte [fs:0x2000 + 80 + 1], 0x08
        expect  e, "mode 4: two bits a pixel, odd lines apart"
        video   0x0006
        mov     cx, 10
        mov     dx, 2
        xor     bx, bx
        video   0x0C01
        cmp     byte [fs:80 + 1], 0x20
        expect  e, "mode 6: a bit a pixel"

        ; Pages of mode 0Dh.
        video   0x000D
        video   0x0501
        cmp     word [0x44E], 0x2000
        expect  e, "mode 0Dh: pages of 8 KiB"
        mov     bh, 1
        mov     cx, 0
        mov     dx, 0
        video   0x0C0F
        push    0xA000
        pop     fs
        cmp     byte [fs:0x2000], 0x80
        expect  e, "mode 0Dh: pixels on page 1"

        ; Unknown modes change nothing.
        video   0x000A
        cmp     byte [0x449], 0x0D
        expect  e, "no mode 0Ah"
        video   0x0003
        jmp     pass

; AL = the character at row DH, column DL
read:   mov     bh, 0
        mov     ah, 2
        int     0x10
        mov     ah, 8
        int     0x10
        ret

; EAX = red, green, blue of DAC entry BX
dac:    video   0x1015
        movzx   eax, dh
        shl     eax, 16
        mov     ax, cx
        ret

mode:   db      0
colour: db      0
letters:
        db      'A', 1, 2
        db      0x8A, 5, 6
        db      'z', 0, 20
        db      0
; mode; columns, lines a character, rows less one; a colour
modes:  db      0x04
        dw      40
        db      8, 24, 2
        db      0x05
        dw      40
        db      8, 24, 3
        db      0x06
        dw      80
        db      8, 24, 1
        db      0x0D
        dw      40
        db      8, 24, 10
        db      0x0E
        dw      80
        db      8, 24, 5
        db      0x10
        dw      80
        db      14, 24, 9
        db      0x11
        dw      80
        db      16, 29, 15
        db      0x12
        dw      80
        db      16, 29, 14
        db      0x13
        dw      40
        db      8, 24, 0x9C
        db      0xFF
%include "footer.inc"
