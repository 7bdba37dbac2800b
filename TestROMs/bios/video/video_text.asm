; INT 10h in text modes. Needs a VGA.
; Expected, after the IBM PS/2 and PC BIOS interface and the VGA's registers: modes, cursor, pages,
; scrolling, teletype, strings, palette, fonts, scan lines, display code, state information.
%include "harness.inc"

%macro video 1
        mov     ax, %1
        int     0x10
%endmacro
%macro cursor_at 2
        mov     ah, 2
        mov     bh, 0
        mov     dx, (%1 << 8) | %2
        int     0x10
%endmacro
; the cell of row %1, column %2
%define cell(row, column) word [fs:((row) * 80 + (column)) * 2]

; AL = the CRT controller's register AL
crtc:   push    dx
        mov     dx, 0x3D4
        out     dx, al
        inc     dx
        in      al, dx
        pop     dx
        ret

test:
        push    0xB800
        pop     fs
        mov     word [fs:0], 0x1234
        video   0x0003
        cmp     byte [0x449], 3
        expect  e, "mode 3 in 40:49"
        cmp     word [0x44A], 80
        expect  e, "80 columns"
        cmp     word [0x44C], 0x1000
        expect  e, "a page of 4 KiB"
        cmp     word [0x463], 0x3D4
        expect  e, "CRTC at 3D4h"
        cmp     byte [0x484], 24
        expect  e, "25 rows"
        cmp     word [0x485], 16
        expect  e, "16 lines a character"
        cmp     cell(0, 0), 0x0720
        expect  e, "a cleared screen"
        cmp     cell(24, 79), 0x0720
        expect  e, "a cleared last cell"
        mov     bx, 0x5555
        video   0x0F00
        cmp     ax, 0x5003
        expect  e, "0Fh: 80 columns, mode 3"
        cmp     bx, 0x0055
        expect  e, "0Fh: page 0, BL kept"

        mov     cell(3, 4), 0x1F41
        video   0x0083
        cmp     cell(3, 4), 0x1F41
        expect  e, "mode 83h keeps the screen"
        video   0x0F00
        cmp     al, 0x83
        expect  e, "0Fh: mode 83h"
        video   0x0003

        ; Cursor.
        cursor_at 5, 10
        mov     cx, 0xFFFF
        mov     dx, 0xFFFF
        mov     bh, 0
        video   0x0300
        cmp     dx, 0x050A
        expect  e, "03h: what 02h set"
        cmp     cx, 0x0607
        expect  e, "03h: lines 6 and 7"
        mov     al, 0x0E
        call    crtc
        mov     ah, al
        mov     al, 0x0F
        call    crtc
        cmp     ax, 5 * 80 + 10
        expect  e, "the hardware's cursor there"
        mov     al, 0x0A
        call    crtc
        cmp     al, 0x0D
        expect  e, "cursor from line 13"
        mov     cx, 0x2000
        video   0x0100
        mov     al, 0x0A
        call    crtc
        test    al, 0x20
        expect  nz, "the cursor off"
        mov     cx, 0x0607
        video   0x0100

        ; Characters.
        mov     bx, 0x001E
        mov     cx, 3
        video   0x0951
        cmp     cell(5, 10), 0x1E51
        expect  e, "09h: character and attribute"
        cmp     cell(5, 12), 0x1E51
        expect  e, "09h: three of them"
        cmp     cell(5, 13), 0x0720
        expect  e, "09h: not four"
        mov     cx, 1
        mov     bx, 0x0044
        video   0x0A52
        cmp     cell(5, 10), 0x1E52
        expect  e, "0Ah: the attribute stays"
        video   0x0800
        cmp     ax, 0x1E52
        expect  e, "08h"
        mov     bh, 0
        video   0x0300
        cmp     dx, 0x050A
        expect  e, "the cursor where it was"

        ; Teletype, and that it keeps registers.
        cursor_at 7, 78
        mov     ebx, 0x55550007
        mov     ecx, 0x66666666
        mov     esi, 0x77777777
        mov     edi, 0x88888888
        mov     ebp, 0x99999999
        video   0x0E61
        video   0x0E62
        video   0x0E63
        cmp     ebx, 0x55550007
        expect  e, "EBX kept"
        cmp     ecx, 0x66666666
        expect  e, "ECX kept"
        cmp     esi, 0x77777777
        expect  e, "ESI kept"
        cmp     edi, 0x88888888
        expect  e, "EDI kept"
        cmp     ebp, 0x99999999
        expect  e, "EBP kept"
        cmp     cell(7, 79), 0x0762
        expect  e, "0Eh: the last column"
        cmp     cell(8, 0), 0x0763
        expect  e, "0Eh: on to the next row"
        video   0x0E08
        video   0x0E08
        video   0x0E0A
        cmp     word [0x450], 0x0900
        expect  e, "0Eh: backspace stops, line feed moves"
        video   0x0E64
        video   0x0E0D
        cmp     word [0x450], 0x0900
        expect  e, "0Eh: carriage return"
        mov     cell(24, 0), 0x2E5A
        mov     cell(24, 5), 0x4E20
        cursor_at 24, 5
        video   0x0E0A
        cmp     cell(23, 0), 0x2E5A
        expect  e, "0Eh: the page moves up"
        cmp     cell(24, 9), 0x4E20
        expect  e, "0Eh: the new row like the cursor's cell"
        cmp     word [0x450], 0x1805
        expect  e, "0Eh: still the last row"

        ; Windows.
        video   0x0003
        mov     cell(4, 10), 0x0731
        mov     cell(5, 10), 0x0732
        mov     cell(5, 9), 0x0733
        mov     bh, 0x2F
        mov     cx, 0x040A
        mov     dx, 0x0614
        video   0x0601
        cmp     cell(4, 10), 0x0732
        expect  e, "06h: up"
        cmp     cell(5, 9), 0x0733
        expect  e, "06h: not beside the window"
        cmp     cell(6, 20), 0x2F20
        expect  e, "06h: blank with the attribute"
        cmp     cell(6, 21), 0x0720
        expect  e, "06h: up to the last column"
        mov     bh, 0x3F
        video   0x0702
        cmp     cell(6, 10), 0x0732
        expect  e, "07h: down"
        cmp     cell(5, 10), 0x3F20
        expect  e, "07h: blank"
        mov     bh, 0x17
        xor     cx, cx
        mov     dx, 0xFFFF
        video   0x0600
        cmp     cell(24, 79), 0x1720
        expect  e, "06h: the whole screen, and no more"
        cmp     cell(25, 30), 0x1720
        expect  ne, "06h: nothing behind the screen"

        ; Pages.
        video   0x0003
        video   0x0502
        cmp     word [0x44E], 0x2000
        expect  e, "05h: start in 40:4E"
        mov     al, 0x0C
        call    crtc
        cmp     al, 0x10
        expect  e, "05h: start address in words"
        mov     bx, 0x0007
        video   0x0E41
        cmp     word [fs:0x2000], 0x0741
        expect  e, "0Eh: on the active page"
        mov     ah, 2
        mov     bh, 1
        mov     dx, 0x0203
        int     0x10
        mov     bx, 0x0170
        mov     cx, 1
        video   0x0942
        cmp     word [fs:0x1000 + (2 * 80 + 3) * 2], 0x7042
        expect  e, "09h: on another page"
        video   0x0500

        ; Strings.
        mov     bp, string
        mov     cx, 4
        mov     dx, 0x0102
        mov     bx, 0x001B
        video   0x1300
        cmp     cell(1, 2), 0x1B61
        expect  e, "13h: text"
        cmp     cell(2, 0), 0x1B62
        expect  e, "13h: control characters work"
        cmp     word [0x450], 0
        expect  e, "13h: the cursor stays"
        mov     bp, string_attributes
        mov     cx, 2
        mov     dx, 0x0A4F
        mov     bx, 0x0007
        video   0x1303
        cmp     cell(10, 79), 0x1263
        expect  e, "13h: attributes in the string"
        cmp     cell(11, 0), 0x3464
        expect  e, "13h: over the row's end"
        cmp     word [0x450], 0x0B01
        expect  e, "13h: the cursor moves"

        ; Palette.
        mov     bx, 0x2A03
        video   0x1000
        mov     bx, 0x0003
        video   0x1007
        cmp     bh, 0x2A
        expect  e, "1007h: what 1000h wrote"
        mov     bx, 0x1100
        video   0x1001
        xor     bx, bx
        video   0x1008
        cmp     bh, 0x11
        expect  e, "1008h: what 1001h wrote"
        mov     dx, palette
        video   0x1002
        mov     dx, buffer
        video   0x1009
        mov     si, palette
        mov     di, buffer
        mov     cx, 17
        repe    cmpsb
        expect  e, "1009h: what 1002h wrote"
        xor     bx, bx
        video   0x1003
        mov     bl, 0x10
        video   0x1007
        test    bh, 8
        expect  z, "1003h: no blinking"
        mov     bx, 0x0047
        mov     dh, 1
        mov     cx, 0x0203
        video   0x1010
        xor     cx, cx
        xor     dx, dx
        video   0x1015
        cmp     dh, 1
        expect  e, "1015h: red"
        cmp     cx, 0x0203
        expect  e, "1015h: green and blue"
        mov     bx, 0x80
        mov     cx, 2
        mov     dx, palette
        video   0x1012
        mov     dx, buffer
        video   0x1017
        mov     si, palette
        mov     di, buffer
        mov     cx, 6
        repe    cmpsb
        expect  e, "1017h: what 1012h wrote"

        ; Fonts and scan lines.
        video   0x0003
        xor     bl, bl
        video   0x1112
        cmp     byte [0x484], 49
        expect  e, "1112h: 50 rows"
        cmp     word [0x485], 8
        expect  e, "1112h: 8 lines a character"
        mov     al, 9
        call    crtc
        and     al, 0x1F
        cmp     al, 7
        expect  e, "1112h: maximum scan line"
        cursor_at 49, 0
        mov     bx, 7
        video   0x0E41
        cmp     cell(49, 0), 0x0741
        expect  e, "a 50th row"
        mov     bh, 3
        video   0x1130
        mov     [buffer], bp
        mov     [buffer + 2], es
        cmp     cx, 8
        expect  e, "1130h: the height in use"
        cmp     dl, 49
        expect  e, "1130h: rows less one"
        mov     bh, 4
        video   0x1130
        sub     bp, [buffer]
        cmp     bp, 1024
        expect  e, "1130h: the upper half of the 8x8 font"
        push    ds
        pop     es
        mov     ax, 0x1201
        mov     bl, 0x30
        int     0x10
        cmp     al, 0x12
        expect  e, "1201h"
        video   0x0003
        cmp     word [0x485], 14
        expect  e, "350 lines"
        mov     ax, 0x1202
        mov     bl, 0x30
        int     0x10
        video   0x0003
        cmp     word [0x485], 16
        expect  e, "400 lines"
        mov     ax, 0x1200
        mov     bx, 0xFF10
        int     0x10
        cmp     bx, 0x0003
        expect  e, "1210h: colour, 256 KiB"

        ; What there is; saving and restoring it.
        video   0x1A00
        cmp     al, 0x1A
        expect  e, "1A00h"
        cmp     bl, 8
        expect  e, "1A00h: VGA with a colour display"
        xor     bx, bx
        mov     di, buffer
        video   0x1B00
        cmp     al, 0x1B
        expect  e, "1B00h"
        cmp     byte [buffer + 4], 3
        expect  e, "1B00h: mode"
        cmp     byte [buffer + 0x22], 25
        expect  e, "1B00h: rows"
        cmp     byte [buffer + 0x2A], 2
        expect  e, "1B00h: 400 lines"
        mov     cx, 7
        xor     bx, bx
        video   0x1C00
        cmp     al, 0x1C
        expect  e, "1C00h"
        cmp     bx, 64
        expect  b, "1C00h: a reasonable size"
        cursor_at 6, 7
        mov     cx, 7
        mov     bx, buffer
        video   0x1C01
        video   0x0013
        mov     cx, 7
        mov     bx, buffer
        video   0x1C02
        cmp     byte [0x449], 3
        expect  e, "1C02h: mode 3 again"
        cmp     word [0x450], 0x0607
        expect  e, "1C02h: the cursor again"
        mov     al, 0x12
        call    crtc
        cmp     al, 0x8F
        expect  e, "1C02h: 400 lines again"

        ; 40 columns and monochrome.
        video   0x0001
        cmp     word [0x44A], 40
        expect  e, "mode 1: 40 columns"
        video   0x0007
        cmp     word [0x463], 0x3B4
        expect  e, "mode 7: CRTC at 3B4h"
        mov     bx, 7
        video   0x0E4D
        push    0xB000
        pop     fs
        cmp     cell(0, 0), 0x074D
        expect  e, "mode 7: memory at B000h"
        video   0x0003
        jmp     pass

string: db      "a", 13, 10, "b"
string_attributes:
        db      "c", 0x12, "d", 0x34
palette:
        db      1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0
%include "footer.inc"
buffer:
