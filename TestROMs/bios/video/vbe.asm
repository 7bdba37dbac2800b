; The VESA BIOS extension: every function, every mode of the list. Needs an adapter that has it, and runs
; with any: what depends on the adapter is asked for.
; Expected, after the VESA BIOS Extension core functions standard 3.0: the answers' codes, the structures,
; pages and masks of each mode, what is drawn through the window, in the linear frame buffer and by INT 10h
; reached in the same memory; errors for what does not exist and for what does not fit.
%include "harness.inc"

BUFFER          equ 0x3000              ; segment of the caller's structure
SAVED           equ 0x4000              ; of a saved state
INFO            equ 0x0600              ; a mode's information, in segment 0
COPY            equ 0x6000              ; segment of the protected-mode interface's copy

; Calls VBE function %1 and expects code %2.
%macro vbe 3+
        mov     ax, 0x4F00 + %1
        int     0x10
        cmp     ax, 0x4F + %2 * 0x100
        expect  e, %3
%endmacro

test:
        call    big_segments
        call    controller
        call    modes
        call    windows
        call    lines
        call    starts
        call    colours
        call    protected
        call    monitor
        call    states
        call    refusals
        call    buffers
        mov     ax, 0x0003
        int     0x10
        jmp     pass

; 00h.
controller:
        mov     ax, BUFFER
        mov     es, ax
        xor     di, di
        mov     cx, 512
        mov     al, 0xA5
        rep     stosb
        xor     di, di
        mov     dword [es:di], "VESA"           ; a caller that knows 1.2 only
        vbe     0, 0, "00h for VBE 1.2"
        cmp     dword [es:0], "VESA"
        expect  e, "00h: VESA"
        cmp     byte [es:256], 0xA5
        expect  e, "00h: 256 bytes for VBE 1.2"
        mov     dword [es:0], "VBE2"
        vbe     0, 0, "00h for VBE 2.0"
        cmp     dword [es:0], "VESA"
        expect  e, "00h: VESA again"
        cmp     word [es:4], 0x0300
        expect  e, "00h: version 3.0"
        movzx   eax, word [es:18]
        mov     [memory], eax
        cmp     ax, 4
        expect  ae, "00h: at least 256 KB"
        mov     si, 6                           ; OEM string
        call    .text
        mov     si, 22                          ; vendor, product, revision
        call    .text
        mov     si, 26
        call    .text
        mov     si, 30
        call    .text
        lfs     si, [es:14]
        xor     cx, cx
        mov     di, list
.copy:  mov     ax, [fs:si]
        mov     [di], ax
        add     si, 2
        add     di, 2
        inc     cx
        cmp     cx, 120
        expect  b, "00h: the list of modes ends"
        cmp     ax, 0xFFFF
        jne     .copy
        cmp     cx, 20
        expect  ae, "00h: modes"
        push    word 0
        pop     fs
        ret
.text:  lfs     bx, [es:si]
        mov     ax, fs
        or      ax, bx
        expect  nz, "00h: names"
        mov     cx, 80
.char:  mov     al, [fs:bx]
        inc     bx
        or      al, al
        jz      .end
        cmp     al, ' '
        expect  ae, "00h: names are text"
        loop    .char
        jmp     .end
.end:   ret

; 01h, 02h, 03h and 06h of each mode; pixels at the four corners of each.
modes:  mov     si, list
.next:  lodsw
        cmp     ax, 0xFFFF
        je      .end
        push    si
        mov     [mode], ax
        call    information
        call    one_mode
        pop     si
        jmp     .next
.end:   ret

; 01h into INFO, and what follows from it into variables.
information:
        xor     ax, ax
        mov     es, ax
        mov     di, INFO
        mov     cx, [mode]
        vbe     1, 0, "01h of a mode of the list"
        mov     ax, [INFO]
        and     ax, 0x001F
        cmp     ax, 0x001F
        expect  e, "01h: there, with text output, in colour, graphics"
        cmp     byte [INFO + 2], 7
        expect  e, "01h: window A, for reading and writing"
        cmp     byte [INFO + 3], 0
        expect  e, "01h: no window B"
        cmp     word [INFO + 6], 64
        expect  e, "01h: 64 KB of it"
        mov     ax, 64
        xor     dx, dx
        div     word [INFO + 4]
        or      dx, dx
        expect  z, "01h: granularity"
        mov     [banks], ax
        cmp     word [INFO + 8], 0xA000
        expect  e, "01h: where the window is"
        mov     cl, [INFO + 25]
        mov     [depth], cl
        movzx   eax, word [INFO + 18]
        mov     [width], eax
        movzx   eax, word [INFO + 20]
        mov     [height], eax
        mov     eax, [memory]
        shl     eax, 16
        mov     [bytes], eax                    ; of memory, of a plane

        mov     al, [INFO + 27]
        mov     ah, [INFO + 24]
        cmp     cl, 4
        je      .planar
        cmp     cl, 8
        je      .packed
        cmp     ax, 0x0106
        expect  e, "01h: direct colour"
        mov     si, masks
.mask:  cmp     [si], cl
        je      .found
        add     si, 9
        jmp     .mask
.found: inc     si
        push    si
        mov     di, INFO + 31
        mov     cx, 8
        repe    cmpsb
        expect  e, "01h: masks"
        pop     si
        mov     di, INFO + 54
        mov     cx, 8
        repe    cmpsb
        expect  e, "01h: masks of linear modes"
        jmp     .size
.packed:
        cmp     ax, 0x0104
        expect  e, "01h: packed pixels"
        jmp     .size
.planar:
        cmp     ax, 0x0403
        expect  e, "01h: four planes"
        shr     dword [bytes], 2

.size:  movzx   eax, byte [depth]
        inc     ax
        shr     ax, 3
        mov     [pixel], al                     ; bytes, 0 with planes
        mul     word [width]
        or      ax, ax
        jnz     .pitch
        mov     ax, [width]
        shr     ax, 3
.pitch: movzx   eax, ax
        mov     [pitch], eax
        cmp     ax, [INFO + 16]
        expect  e, "01h: bytes a line"
        cmp     ax, [INFO + 50]
        expect  e, "01h: bytes a line of linear modes"
        imul    eax, [height]
        mov     ecx, eax
        mov     eax, [bytes]
        xor     edx, edx
        div     ecx
        dec     eax
        expect  ns, "01h: no mode that does not fit"
        cmp     eax, 255
        jbe     .pages
        mov     al, 255
.pages: cmp     al, [INFO + 29]
        expect  e, "01h: pages"
        cmp     al, [INFO + 52]
        expect  e, "01h: pages of windowed modes"
        test    byte [INFO], 0x80
        jz      .windowed
        cmp     dword [INFO + 40], 0x100000
        expect  ae, "01h: the frame buffer's place"
        cmp     al, [INFO + 53]
        expect  e, "01h: pages of linear modes"
        jmp     .clock
.windowed:
        cmp     dword [INFO + 40], 0
        expect  e, "01h: no frame buffer"
.clock: cmp     dword [INFO + 62], 12000000
        expect  ae, "01h: highest pixel clock"
        ret

one_mode:
        mov     eax, 0x12340000                 ; upper halves are not the BIOS' to change
        mov     ebx, eax
        mov     ecx, eax
        mov     edx, eax
        mov     esi, eax
        mov     edi, eax
        mov     bx, [mode]
        mov     ax, 0x4F02
        int     0x10
        cmp     eax, 0x1234004F
        expect  e, "02h of a mode of the list"
        mov     ax, bx
        cmp     ax, [mode]
        expect  e, "02h: BX kept"
        xor     bx, bx
        or      ebx, ecx
        or      ebx, edx
        or      ebx, esi
        or      ebx, edi
        cmp     ebx, 0x12340000
        expect  e, "02h: 32-bit registers kept"
        vbe     3, 0, "03h"
        cmp     bx, [mode]
        expect  e, "03h: the mode"
        mov     ah, 0x0F
        int     0x10
        movzx   cx, ah
        mov     ax, [width]
        shr     ax, 3
        cmp     ax, 255
        jbe     .columns
        mov     ax, 255
.columns:
        cmp     ax, cx
        expect  e, "0Fh: columns"
        mov     bl, 1
        vbe     6, 0, "06h: the length of a line"
        cmp     bx, [pitch]
        expect  e, "06h: bytes"
        cmp     cx, [width]
        expect  e, "06h: pixels"
        movzx   ecx, dx
        mov     eax, [bytes]
        xor     edx, edx
        div     dword [pitch]
        cmp     eax, 0xFFFF
        jbe     .lines
        mov     ax, 0xFFFF
.lines: cmp     ax, cx
        expect  e, "06h: lines that fit"

        ; The corners: 0 to start with, then what INT 10h writes there.
        xor     ecx, ecx
        xor     edx, edx
        call    corner
        mov     ecx, [width]
        dec     ecx
        call    corner
        mov     edx, [height]
        dec     edx
        call    corner
        xor     ecx, ecx
        call    corner

        ; Text, here and after the page has moved up.
        mov     ax, 0x0E00 + 'Q'
        mov     bx, 0x000E
        int     0x10
        mov     ah, 2
        xor     bx, bx
        xor     dx, dx
        int     0x10
        mov     ah, 8
        int     0x10
        cmp     al, 'Q'
        expect  e, "0Eh and 08h in a VBE mode"
        mov     ah, 2
        mov     dh, [0x484]
        mov     dl, 3
        int     0x10
        mov     ax, 0x0900 + 'g'
        mov     bx, 0x0009
        mov     cx, 2
        int     0x10
        mov     cx, 0x0001                      ; columns 1 to 6 of all rows up by two
        mov     dh, [0x484]
        mov     dl, 6
        mov     ax, 0x0602
        mov     bh, 0
        int     0x10
        mov     ah, 2
        xor     bx, bx
        mov     dh, [0x484]
        sub     dh, 2
        mov     dl, 4
        int     0x10
        mov     ah, 8
        int     0x10
        cmp     al, 'g'
        expect  e, "06h: a VBE mode's page moves"
        mov     ah, 2
        mov     dh, [0x484]
        int     0x10
        mov     ah, 8
        int     0x10
        cmp     al, ' '
        je      .blank
        or      al, al
.blank: expect  e, "06h: what comes up is blank"

        ; The same mode, linear: the window of INT 10h shows the same memory.
        test    byte [INFO], 0x80
        jz      .end
        mov     bx, [mode]
        or      bh, 0xC0
        push    bx
        vbe     2, 0, "02h: linear, memory kept"
        pop     cx
        vbe     3, 0, "03h of a linear mode"
        cmp     bx, cx
        expect  e, "03h: bits 14 and 15"
        mov     edx, [height]
        dec     edx
        mov     ecx, [width]
        dec     ecx
        call    place
        add     eax, [INFO + 40]
        cmp     byte [fs:eax], 0
        expect  ne, "memory kept"
        mov     edi, eax
        movzx   cx, byte [pixel]
        mov     bl, 0xFF
        cmp     cl, 1
        jne     .fill
        mov     bl, 0x0F
.fill:  mov     byte [fs:edi], bl
        inc     edi
        loop    .fill
        mov     cx, [width]
        dec     cx
        mov     ah, 0x0D
        xor     bx, bx
        int     0x10
        cmp     al, 0x0F
        expect  e, "0Dh: white in the linear frame buffer"
        mov     bx, [mode]
        or      bh, 0x40
        vbe     2, 0, "02h: linear, memory cleared"
        mov     eax, edi
        cmp     byte [fs:eax - 1], 0
        expect  e, "memory cleared"
.end:   ret

; The offset of pixel (ECX, EDX) in EAX.
place:  push    ecx
        mov     eax, edx
        imul    eax, [pitch]
        movzx   ebx, byte [pixel]
        or      ebx, ebx
        jz      .planar
        imul    ecx, ebx
        jmp     .add
.planar:
        shr     ecx, 3
.add:   add     eax, ecx
        pop     ecx
        ret

; Writes pixel (ECX, EDX) with INT 10h, reads it, and looks at it through the window.
corner: mov     ah, 0x0D
        xor     bx, bx
        int     0x10
        cmp     al, 0
        expect  e, "02h clears the memory"
        mov     ax, 0x0C0D
        int     0x10
        mov     ah, 0x0D
        int     0x10
        cmp     al, 0x0D
        expect  e, "0Ch and 0Dh in a VBE mode"
        call    place
        push    edx
        push    ax
        shr     eax, 16
        mul     word [banks]
        mov     dx, ax
        xor     bx, bx
        vbe     5, 0, "05h: the window moves"
        mov     bx, 0x0100
        push    dx
        mov     dx, 0x5555
        vbe     5, 0, "05h: the window's place"
        pop     ax
        cmp     ax, dx
        expect  e, "05h: where it was put"
        mov     ax, 0xA000
        mov     es, ax
        pop     di
        cmp     byte [es:di], 0
        expect  ne, "the pixel in the window"
        xor     ax, ax
        mov     es, ax
        pop     edx
        ret

; 05h.
windows:
        mov     word [mode], 0x0103
        call    information
        mov     bx, 0x0103
        vbe     2, 0, "02h: 103h"
        mov     dx, 2                           ; as a far call
        xor     bx, bx
        call    far [INFO + 12]
        mov     bx, 0x0100
        vbe     5, 0, "05h: the place set by a far call"
        cmp     dx, 2
        expect  e, "the window function for far calls"
        mov     eax, [memory]
        mul     word [banks]
        mov     dx, ax
        xor     bx, bx
        vbe     5, 1, "05h: behind the memory"
        dec     dx
        vbe     5, 0, "05h: the end of memory"
        mov     bx, 0x0001
        xor     dx, dx
        vbe     5, 1, "05h: no window B"
        mov     bx, 0x0200
        vbe     5, 1, "05h: no such subfunction"
        test    byte [INFO], 0x80
        jz      .end
        mov     bx, 0x4103
        vbe     2, 0, "02h: 103h, linear"
        xor     bx, bx
        vbe     5, 3, "05h: no window in a linear mode"
.end:   ret

; 06h.
lines:  mov     word [mode], 0x0101
        call    information
        mov     bx, 0x0101
        vbe     2, 0, "02h: 101h"
        mov     bl, 3
        vbe     6, 0, "06h: the longest line"
        mov     [longest], bx
        cmp     bx, 1024
        expect  ae, "06h: longest line"
        cmp     bx, cx
        expect  e, "06h: pixels of the longest line"
        mov     cx, 1024
        xor     bl, bl
        vbe     6, 0, "06h: 1024 pixels"
        cmp     bx, 1024
        expect  e, "06h: bytes of 1024 pixels"
        cmp     cx, 1024
        expect  e, "06h: 1024 of them"
        mov     eax, [bytes]
        shr     eax, 10
        cmp     ax, dx
        expect  e, "06h: lines of 1024 bytes"
        mov     cx, 1000                        ; bytes
        mov     bl, 2
        vbe     6, 0, "06h: 1000 bytes"
        cmp     bx, 1000
        expect  ae, "06h: at least 1000 bytes"
        mov     [pitch], bx
        mov     cx, 5                           ; a pixel is where the length says
        mov     dx, 7
        mov     ax, 0x0C09
        xor     bx, bx
        int     0x10
        xor     dx, dx
        vbe     5, 0, "05h: the first 64 KB"
        mov     ax, 0xA000
        mov     es, ax
        imul    di, [pitch], 7
        cmp     byte [es:di + 5], 9
        expect  e, "0Ch after 06h"
        xor     ax, ax
        mov     es, ax
        mov     cx, 0xFFFF
        xor     bl, bl
        vbe     6, 2, "06h: 65535 pixels"
        mov     cx, 0xFFFF
        mov     bl, 2
        vbe     6, 2, "06h: 65535 bytes"
        mov     bl, 1
        vbe     6, 0, "06h: still"
        cmp     bx, [pitch]
        expect  e, "06h: what fails changes nothing"
        mov     cx, [longest]
        mov     bl, 2
        vbe     6, 0, "06h: the longest line, set"
        cmp     bx, [longest]
        expect  e, "06h: the longest line's bytes"
        mov     cx, 1                           ; shorter than what is shown
        xor     bl, bl
        vbe     6, 0, "06h: 1 pixel"
        cmp     cx, 640
        expect  ae, "06h: not shorter than the picture"
        mov     bl, 4
        vbe     6, 1, "06h: no such subfunction"
        ret

; 07h.
starts: mov     bx, 0x0101
        vbe     2, 0, "02h: 101h again"
        mov     bx, 1
        mov     cx, 0x5555
        mov     dx, cx
        vbe     7, 0, "07h: the start"
        mov     ax, cx
        or      ax, dx
        expect  z, "07h: the first pixel to start with"
        mov     cx, 1024
        xor     bl, bl
        vbe     6, 0, "06h: 1024 pixels for panning"
        mov     cx, 64
        mov     dx, 100
        xor     bx, bx
        vbe     7, 0, "07h: pixel 64, line 100"
        call    .where
        cmp     cx, 64
        expect  e, "07h: the pixel"
        cmp     dx, 100
        expect  e, "07h: the line"
        mov     cx, 8
        mov     dx, 200
        mov     bx, 0x80
        vbe     7, 0, "07h: in the retrace"
        call    .where
        cmp     cx, 8
        expect  e, "07h: the pixel set in the retrace"
        cmp     dx, 200
        expect  e, "07h: the line set in the retrace"
        mov     bl, 3                           ; the last page of the longest lines
        vbe     6, 0, "06h: the longest line for panning"
        mov     cx, bx
        mov     bl, 2
        vbe     6, 0, "06h: the longest line set for panning"
        sub     dx, 480
        mov     [width], dx
        xor     cx, cx
        xor     bx, bx
        vbe     7, 0, "07h: the last page"
        inc     dx
        vbe     7, 1, "07h: a line behind it"
        mov     dx, 0xFFFF
        mov     cx, 0xFFFF
        vbe     7, 1, "07h: far behind it"
        call    .where
        cmp     dx, [width]
        expect  e, "07h: what fails changes nothing"
        xor     cx, cx
        xor     dx, dx
        mov     bx, 2
        vbe     7, 2, "07h: no scheduled start"
        mov     bx, 3
        vbe     7, 2, "07h: no stereoscopic start"
        mov     bx, 5
        vbe     7, 2, "07h: no stereoscopic mode"
        mov     bx, 0x83
        vbe     7, 2, "07h: no stereoscopic start in the retrace"
        mov     bx, 0x30
        vbe     7, 1, "07h: no such subfunction"
        ret
.where: mov     bx, 1
        vbe     7, 0, "07h: where"
        ret

; 08h and 09h.
colours:
        mov     bx, 0x0101
        vbe     2, 0, "02h: 101h for colours"
        mov     bl, 1
        vbe     8, 0, "08h: bits"
        cmp     bh, 6
        expect  e, "08h: six bits to start with"
        xor     bl, bl
        mov     bh, 8
        vbe     8, 0, "08h: eight bits wanted"
        mov     [width], bh                     ; what came of it
        cmp     bh, 8
        je      .wide
        cmp     bh, 6
        expect  e, "08h: six bits or eight"
.wide:  xor     ax, ax
        mov     es, ax
        mov     di, palette
        mov     cx, 2
        mov     dx, 254
        xor     bl, bl
        vbe     9, 0, "09h: two entries"
        mov     dx, 0x3C7
        mov     al, 254
        out     dx, al
        mov     dx, 0x3C9
        in      al, dx
        cmp     al, 0x13
        expect  e, "09h: red"
        in      al, dx
        cmp     al, 0x12
        expect  e, "09h: green"
        in      al, dx
        cmp     al, 0x11
        expect  e, "09h: blue"
        mov     di, INFO
        mov     cx, 1
        mov     dx, 255
        mov     bl, 1
        vbe     9, 0, "09h: one entry back"
        mov     eax, [INFO]
        and     eax, 0x00FFFFFF
        cmp     byte [width], 8
        je      .eight
        cmp     eax, 0x00232221
        expect  e, "09h: the entry"
        jmp     .retrace
.eight: cmp     eax, 0x00232221
        expect  e, "09h: the entry, of eight bits"
        mov     di, bright
        mov     dx, 1
        mov     cx, 1
        xor     bl, bl
        vbe     9, 0, "09h: a bright one"
        mov     di, INFO
        mov     bl, 1
        vbe     9, 0, "09h: the bright one back"
        mov     eax, [INFO]
        and     eax, 0x00FFFFFF
        cmp     eax, 0x00FFC0A0
        expect  e, "09h: eight bits"
.retrace:
        mov     di, palette
        mov     cx, 1
        mov     dx, 3
        mov     bl, 0x80
        vbe     9, 0, "09h: in the retrace"
        xor     cx, cx
        xor     bl, bl
        vbe     9, 0, "09h: nothing"
        mov     cx, 257
        xor     dx, dx
        vbe     9, 1, "09h: 257 entries"
        mov     cx, 2
        mov     dx, 255
        vbe     9, 1, "09h: behind the last"
        mov     cx, 0xFFFF
        mov     dx, 0xFFFF
        vbe     9, 1, "09h: far behind it"
        mov     bl, 2
        mov     cx, 1
        xor     dx, dx
        vbe     9, 2, "09h: no second palette"
        xor     bl, bl
        mov     bh, 6
        vbe     8, 0, "08h: six bits again"
        cmp     bh, 6
        expect  e, "08h: six bits"
        mov     bx, 0x0111
        vbe     2, 0, "02h: 111h"
        mov     bl, 1
        vbe     8, 3, "08h: no palette in direct colour"
        xor     bl, bl
        mov     cx, 1
        vbe     9, 3, "09h: no palette in direct colour"
        ret

; 0Ah: the code, copied elsewhere, in a 32-bit segment of its own.
protected:
        mov     bx, 0x0101
        vbe     2, 0, "02h: 101h for protected mode"
        xor     bl, bl
        vbe     0x0A, 0, "0Ah"
        cmp     cx, 0x1000
        expect  b, "0Ah: length"
        mov     si, di
        mov     bx, 3                           ; offsets within it
.offset:
        mov     ax, [es:si]
        or      ax, ax
        expect  nz, "0Ah: offsets"
        cmp     ax, cx
        expect  b, "0Ah: offsets within the code"
        add     si, 2
        dec     bx
        jnz     .offset
        mov     ax, es
        mov     ds, ax
        mov     ax, COPY
        mov     es, ax
        mov     si, di
        xor     di, di
        rep     movsb
        xor     ax, ax
        mov     ds, ax
        mov     es, ax

        mov     dx, 3                           ; the window
        mov     bx, 0
        mov     si, 0
        call    call32
        mov     bx, 0x0100
        vbe     5, 0, "05h after protected mode"
        cmp     dx, 3
        expect  e, "0Ah: the window"
        mov     cx, (640 * 480 / 4) & 0xFFFF               ; one page down
        mov     dx, (640 * 480 / 4) >> 16
        mov     bx, 0
        mov     si, 2
        call    call32
        mov     bx, 1
        vbe     7, 0, "07h after protected mode"
        or      cx, cx
        expect  z, "0Ah: the first pixel"
        cmp     dx, 480
        expect  e, "0Ah: the first line"
        mov     cx, 4 + 640 * 10 / 4
        xor     dx, dx
        mov     bx, 0x80
        mov     si, 2
        call    call32
        mov     bx, 1
        vbe     7, 0, "07h after protected mode, in the retrace"
        cmp     cx, 16
        expect  e, "0Ah: the first pixel, in the retrace"
        cmp     dx, 10
        expect  e, "0Ah: the first line, in the retrace"
        mov     edi, palette
        mov     cx, 2
        mov     dx, 7
        mov     bx, 0
        mov     si, 4
        call    call32
        mov     dx, 0x3C7
        mov     al, 8
        out     dx, al
        mov     dx, 0x3C9
        in      al, dx
        cmp     al, 0x23
        expect  e, "0Ah: the palette's red"
        in      al, dx
        in      al, dx
        cmp     al, 0x21
        expect  e, "0Ah: the palette's blue"
        mov     bl, 1
        vbe     0x0A, 1, "0Ah: no such subfunction"
        xor     ax, ax
        mov     es, ax
        ret

; Calls the interface's function whose offset is at SI of its table, with BX, CX, DX, EDI. The caller of
; the function stands behind the copy: it is called near, in that segment.
THUNK           equ 0x1000
call32: cli
        push    ds
        mov     ax, COPY
        mov     ds, ax
        movzx   eax, word [si]
        mov     byte [THUNK], 0xE8              ; CALL, RETF
        sub     eax, THUNK + 5
        mov     [THUNK + 1], eax
        mov     byte [THUNK + 5], 0xCB
        pop     ds
        lgdt    [gdt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     0x08:.in
        bits    32
.in:    mov     ax, 0x18
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        movzx   esp, sp
        call    0x10:THUNK
        jmp     0x20:.out
        bits    16
.out:   mov     ax, 0x28
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     eax, cr0
        and     al, ~1
        mov     cr0, eax
        jmp     0:.real
.real:  xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        sti
        ret

; 0Bh, 10h and 15h.
monitor:
        xor     bl, bl
        mov     ecx, 65000000
        mov     dx, 0x0105
        vbe     0x0B, 0, "0Bh: 65 MHz"
        sub     ecx, 65000000
        jns     .above
        neg     ecx
.above: cmp     ecx, 650000
        expect  b, "0Bh: within 1 %"
        mov     dx, 0x01FE
        vbe     0x0B, 1, "0Bh: of no mode"

        xor     bx, bx
        vbe     0x10, 0, "10h"
        test    bh, 4
        expect  nz, "10h: can be switched off"
        mov     bx, 0x0401
        vbe     0x10, 0, "10h: off"
        mov     bx, 2
        vbe     0x10, 0, "10h: asked"
        cmp     bh, 4
        expect  e, "10h: is off"
        mov     bx, 0x0001
        vbe     0x10, 0, "10h: on"
        mov     bx, 2
        vbe     0x10, 0, "10h: asked again"
        cmp     bh, 0
        expect  e, "10h: is on"
        mov     bx, 0x0301
        vbe     0x10, 1, "10h: no such state"

        xor     bx, bx
        xor     cx, cx
        vbe     0x15, 0, "15h"
        test    bl, 3
        expect  nz, "15h: DDC"
        mov     di, INFO
        mov     bl, 1
        xor     dx, dx
        vbe     0x15, 0, "15h: the EDID"
        cmp     dword [INFO], 0xFFFFFF00
        expect  e, "15h: its head"
        cmp     dword [INFO + 4], 0x00FFFFFF
        expect  e, "15h: all of its head"
        mov     cx, 128
        mov     si, INFO
        xor     ah, ah
.sum:   lodsb
        add     ah, al
        loop    .sum
        or      ah, ah
        expect  z, "15h: its sum"
        xor     cx, cx
        mov     dx, 100
        vbe     0x15, 1, "15h: block 100"
        mov     cx, 1
        xor     dx, dx
        vbe     0x15, 1, "15h: no second controller"
        ret

; Shows the 64 KB with number DX.
window64:
        mov     ax, dx
        mul     word [banks]
        mov     dx, ax
        xor     bx, bx
        mov     ax, 0x4F05
        int     0x10
        ret

; 04h.
states: mov     bx, 0x0101
        vbe     2, 0, "02h: 101h to save"
        mov     cx, 800
        xor     bl, bl
        vbe     6, 0, "06h: to save"
        mov     cx, 16
        mov     dx, 20
        xor     bx, bx
        vbe     7, 0, "07h: to save"
        mov     cx, 15
        xor     dl, dl
        xor     bx, bx
        vbe     4, 0, "04h: size"
        cmp     bx, 64
        expect  b, "04h: at most 4 KB"
        or      bx, bx
        expect  nz, "04h: more than nothing"
        shl     bx, 6
        push    bx
        mov     ax, SAVED
        mov     es, ax
        mov     byte [es:bx], 0x5A
        mov     dl, 1
        mov     cx, 15
        xor     bx, bx
        vbe     4, 0, "04h: save"
        pop     bx
        cmp     byte [es:bx], 0x5A
        expect  e, "04h: not more than the size"
        mov     ax, 0x0003
        int     0x10
        mov     bx, 0x0112
        vbe     2, 0, "02h: 112h meanwhile"
        mov     dl, 2
        mov     cx, 15
        xor     bx, bx
        vbe     4, 0, "04h: restore"
        xor     ax, ax
        mov     es, ax
        mov     cx, 100                         ; pixels of that mode, not of the other
        mov     dx, 300
        mov     ax, 0x0C09
        xor     bx, bx
        int     0x10
        mov     dx, (300 * 800) >> 16
        xor     bx, bx
        call    window64
        mov     ax, 0xA000
        mov     es, ax
        cmp     byte [es:(300 * 800 + 100) & 0xFFFF], 9
        expect  e, "04h: a pixel's place"
        xor     ax, ax
        mov     es, ax
        vbe     3, 0, "03h after restoring"
        cmp     bx, 0x0101
        expect  e, "04h: the mode"
        mov     bl, 1
        vbe     6, 0, "06h after restoring"
        cmp     cx, 800
        expect  e, "04h: the length of a line"
        mov     bx, 1
        vbe     7, 0, "07h after restoring"
        cmp     cx, 16
        expect  e, "04h: the start's pixel"
        cmp     dx, 20
        expect  e, "04h: the start's line"

        mov     ax, 0x0003                      ; and text while a VBE mode is set
        int     0x10
        mov     ax, SAVED
        mov     es, ax
        mov     dl, 1
        mov     cx, 15
        xor     bx, bx
        vbe     4, 0, "04h: save text"
        mov     bx, 0x0118
        vbe     2, 0, "02h: 118h meanwhile"
        mov     dl, 2
        mov     cx, 15
        xor     bx, bx
        vbe     4, 0, "04h: restore text"
        xor     ax, ax
        mov     es, ax
        vbe     3, 0, "03h after restoring text"
        cmp     bx, 3
        expect  e, "04h: the text mode"
        mov     ah, 0x0F
        int     0x10
        cmp     ax, 0x5003
        expect  e, "0Fh after restoring text"
        mov     cx, 0x10
        mov     dl, 1
        vbe     4, 1, "04h: nothing that is known"
        mov     cx, 1
        mov     dl, 3
        vbe     4, 1, "04h: no such subfunction"
        ret

; What does not exist, and what the current mode does not have.
refusals:
        mov     ax, 0x0003
        int     0x10
        mov     bx, 0x01FE
        vbe     2, 1, "02h: no such mode"
        mov     bx, 0x0301
        vbe     2, 1, "02h: reserved bits"
        mov     bx, 0x4003
        vbe     2, 1, "02h: no linear text"
        mov     bx, 0x0008
        vbe     2, 1, "02h: no such mode of the VGA's"
        xor     bx, bx
        vbe     3, 0, "03h after refusals"
        cmp     bx, 3
        expect  e, "02h: what fails changes nothing"
        mov     cx, 0x01FE
        mov     di, INFO
        vbe     1, 1, "01h: no such mode"
        mov     bx, 0x0100
        vbe     5, 3, "05h in text"
        mov     bl, 1
        vbe     6, 3, "06h in text"
        mov     bx, 1
        vbe     7, 3, "07h in text"
        mov     ax, 0x4F0C
        int     0x10
        cmp     al, 0x4F
        expect  ne, "0Ch: no such function"
        mov     ax, 0x4FFF
        int     0x10
        cmp     al, 0x4F
        expect  ne, "FFh: no such function"

        ; With a CRTC information block.
        mov     di, timing
        mov     bx, 0x0903
        vbe     2, 0, "02h with a CRTC information block"
        vbe     3, 0, "03h with a CRTC information block"
        cmp     bx, 0x0103
        expect  e, "03h: the mode with a CRTC information block"
        mov     ax, 0x0003
        int     0x10
        mov     word [timing], 799              ; the line ends before the picture
        mov     bx, 0x0903
        vbe     2, 1, "02h: impossible timing"
        mov     word [timing], 1056
        mov     dword [timing + 13], 0
        mov     bx, 0x0903
        vbe     2, 1, "02h: no pixel clock"

        ; The VGA's modes by 02h, with and without their memory.
        mov     bx, 0x0013
        vbe     2, 0, "02h: mode 13h"
        vbe     3, 0, "03h: mode 13h"
        cmp     bx, 0x0013
        expect  e, "03h: 13h"
        mov     bx, 0x8003
        vbe     2, 0, "02h: mode 3, memory kept"
        mov     ah, 0x0F
        int     0x10
        cmp     ax, 0x5083
        expect  e, "0Fh: mode 3, memory kept"
        ret

; Structures that begin at the end of a segment, or of memory.
buffers:
        mov     ax, BUFFER
        mov     es, ax
        mov     di, 0xFFF1
        mov     dword [es:di], "VBE2"
        vbe     0, 0, "00h at the end of a segment"
        cmp     dword [es:di], "VESA"
        expect  e, "00h: VESA at the end of a segment"
        mov     ax, BUFFER + 0x1000
        mov     fs, ax
        cmp     word [fs:18 - 15], 0
        expect  ne, "00h: goes on behind the segment"
        mov     cx, 0x0101
        mov     di, 0xFFFF
        vbe     1, 0, "01h at the end of a segment"
        cmp     word [fs:18 - 1], 640
        expect  e, "01h: goes on behind the segment"
        mov     ax, 0xFFFF
        mov     es, ax
        mov     di, 0xFFFF
        vbe     0, 1, "00h: behind the last segment"
        mov     cx, 0x0101
        vbe     1, 1, "01h: behind the last segment"
        mov     dl, 1
        mov     bx, 0xFFFF
        mov     cx, 15
        vbe     4, 1, "04h: behind the last segment"
        xor     ax, ax
        mov     es, ax
        ret

; FS reaches all memory from here on.
big_segments:
        push    ax
        cli
        lgdt    [gdt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     .in
.in:    push    word 0x18
        pop     fs
        and     al, ~1
        mov     cr0, eax
        jmp     0:.out
.out:   push    word 0
        pop     fs
        sti
        pop     ax
        ret

        align   8, db 0
gdt:    dq      0
        dq      0x00CF9B000000FFFF              ; 08h: 32-bit code, flat
        dw      0xFFFF, (COPY << 4) & 0xFFFF    ; 10h: the interface's copy
        db      COPY >> 12, 0x9B, 0x40, 0
        dq      0x00CF93000000FFFF              ; 18h: data, flat
        dq      0x00009B000000FFFF              ; 20h and 28h: as in real mode
        dq      0x000093000000FFFF
gdt_end:
gdt_pointer:
        dw      gdt_end - gdt - 1
        dd      gdt

masks:  db      15, 5, 10, 5, 5, 5, 0, 1, 15
        db      16, 5, 11, 6, 5, 5, 0, 0, 0
        db      24, 8, 16, 8, 8, 8, 0, 0, 0
        db      32, 8, 16, 8, 8, 8, 0, 8, 24
palette:
        db      0x11, 0x12, 0x13, 0, 0x21, 0x22, 0x23, 0
bright: db      0xA0, 0xC0, 0xFF, 0
timing: dw      1056, 840, 968, 628, 601, 605
        db      0
        dd      40000000
        dw      6000
        times   40 db 0

mode:   dw      0
depth:  db      0
pixel:  db      0
banks:  dw      0
longest:
        dw      0
memory: dd      0
bytes:  dd      0
width:  dd      0
height: dd      0
pitch:  dd      0
list:   times   128 dw 0

%include "footer.inc"
