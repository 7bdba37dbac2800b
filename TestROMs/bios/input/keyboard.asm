; Keys: INT 09h and INT 16h.
; Scan codes are put into the 8042 with command D2h, as if typed; expected are the codes of the
; PS/2 BIOS interface tables, the shift state, and the difference between the old and the
; enhanced functions.
%include "harness.inc"

test:
        mov     si, cases
.case:  lodsb                           ; how many scan codes
        or      al, al
        jz      .cases_done
        movzx   cx, al
.type:  lodsb
        call    scan
        loop    .type
        mov     ah, 0x11
        int     0x16
        jz      .empty
        mov     ah, 0x10
        int     0x16
        jmp     .got
.empty: mov     ax, 0xFFFF
.got:   cmp     ax, [si]
        je      .right
        mov     [failed_code], ax
        lea     di, [si + 2]
        push    di
        jmp     fail
.right: add     si, 2
.skip:  lodsb
        or      al, al
        jnz     .skip
        jmp     .case
.cases_done:
        mov     ah, 0x02
        int     0x16
        test    al, 0x0F
        expect  z, "no shift key left down"

        ; Old functions hide what only the enhanced keyboard has.
        mov     al, 0x57                ; F11
        call    scan
        mov     al, 0xD7
        call    scan
        mov     al, 0x1E
        call    scan
        mov     al, 0x9E
        call    scan
        mov     ah, 0x01
        int     0x16
        expect  nz, "old peek sees the key after F11"
        mov     ah, 0x00
        int     0x16
        cmp     ax, 0x1E61
        expect  e, "old read skips F11"
        mov     al, 0xE0                ; grey Up
        call    scan
        mov     al, 0x48
        call    scan
        mov     al, 0xE0
        call    scan
        mov     al, 0xC8
        call    scan
        mov     ah, 0x00
        int     0x16
        cmp     ax, 0x4800
        expect  e, "old read gives grey Up as 4800"
        mov     al, 0xE0                ; keypad Enter
        call    scan
        mov     al, 0x1C
        call    scan
        mov     ah, 0x00
        int     0x16
        cmp     ax, 0x1C0D
        expect  e, "old read gives keypad Enter as 1C0D"

        ; Locks
        mov     al, 0x3A
        call    scan
        mov     al, 0xBA
        call    scan
        mov     ah, 0x02
        int     0x16
        test    al, 0x40
        expect  nz, "Caps Lock on"
        mov     al, 0x1E
        call    scan
        mov     ah, 0
        int     0x16
        cmp     ax, 0x1E41
        expect  e, "Caps Lock makes A"
        mov     al, 0x02
        call    scan
        mov     ah, 0
        int     0x16
        cmp     ax, 0x0231
        expect  e, "Caps Lock leaves 1"
        mov     al, 0x3A
        call    scan
        mov     al, 0xBA
        call    scan
        mov     al, 0x45
        call    scan
        mov     al, 0xC5
        call    scan
        mov     al, 0x47
        call    scan
        mov     ah, 0
        int     0x16
        cmp     ax, 0x4737
        expect  e, "Num Lock makes 7"
        mov     al, 0x45
        call    scan
        mov     al, 0xC5
        call    scan
        mov     ah, 0x12
        int     0x16
        test    al, 0x70
        expect  z, "locks off again"

        ; Alt and the keypad make any character
        mov     si, .alt_65
        mov     cx, 6
.alt:   lodsb
        call    scan
        loop    .alt
        mov     ah, 0
        int     0x16
        cmp     ax, 0x0041
        expect  e, "Alt 6 5 makes 0041"

        ; INT 16h/05h and a full buffer
        mov     bx, 15
.push:  mov     ah, 5
        mov     cx, 0x1234
        int     0x16
        or      al, al
        expect  z, "15 keys fit"
        dec     bx
        jnz     .push
        mov     ah, 5
        int     0x16
        cmp     al, 1
        expect  e, "the 16th does not"
        mov     bx, 15
.drain: mov     ah, 0x10
        int     0x16
        cmp     ax, 0x1234
        expect  e, "pushed keys come back"
        dec     bx
        jnz     .drain
        mov     ah, 0x11
        int     0x16
        expect  z, "the buffer is empty"

        ; INT 15h/4Fh sees the key and may take it
        mov     eax, [0x15 * 4]
        mov     [old_15], eax
        mov     word [0x15 * 4], hook
        mov     word [0x15 * 4 + 2], 0
        mov     al, 0x1E
        call    scan
        mov     al, 0x30
        call    scan
        mov     eax, [old_15]
        mov     [0x15 * 4], eax
        mov     ah, 0
        int     0x16
        cmp     ax, 0x2E63
        expect  e, "INT 15h/4Fh changes b into c"
        mov     ah, 1
        int     0x16
        expect  z, "INT 15h/4Fh takes a"

        ; Ctrl-Break
        mov     word [0x1B * 4], break
        mov     word [0x1B * 4 + 2], 0
        mov     si, .ctrl_break
        mov     cx, 6
.brk:   lodsb
        call    scan
        loop    .brk
        cmp     byte [break_seen], 1
        expect  e, "Ctrl-Break calls INT 1Bh"
        test    byte [0x471], 0x80
        expect  nz, "Ctrl-Break sets 40:71"
        mov     ah, 0x10
        int     0x16
        or      ax, ax
        expect  z, "Ctrl-Break leaves 0000"
        mov     ah, 0x0A
        int     0x16
        cmp     bx, 0x41AB
        expect  e, "keyboard ID 41AB"
        jmp     pass
.alt_65:
        db      0x38, 0x4D, 0xCD, 0x4C, 0xCC, 0xB8
.ctrl_break:
        db      0x1D, 0xE0, 0x46, 0xE0, 0xC6, 0x9D

; Types scan code al.
scan:   push    cx
        push    ax
        call    .idle
        mov     al, 0xD2
        out     0x64, al
        call    .idle
        pop     ax
        out     0x60, al
        sti
        mov     cx, 0                   ; until the BIOS has taken it
.taken: in      al, 0x64
        test    al, 1
        loopnz  .taken
        mov     cx, 200
.later: in      al, 0x61
        loop    .later
        pop     cx
        ret
.idle:  in      al, 0x64
        test    al, 2
        jnz     .idle
        ret

hook:   cmp     ah, 0x4F
        jne     .other
        cmp     al, 0x1E
        je      .take
        cmp     al, 0x30
        jne     .keep
        mov     al, 0x2E
.keep:  stc
        retf    2
.take:  clc
        retf    2
.other: jmp     far [cs:old_15]

break:  mov     byte [cs:break_seen], 1
        iret

old_15: dd      0
failed_code:
        dw      0
break_seen:
        db      0

; Number of scan codes, the codes, what INT 16h/10h gives (FFFF nothing), what is expected.
%macro key 3+
        db      %%codes_end - %%codes
%%codes: db     %3
%%codes_end:
        dw      %1
        db      %2, 0
%endmacro
cases:
        key     0x1E61, "a", 0x1E, 0x9E
        key     0x1E41, "Shift-A", 0x2A, 0x1E, 0x9E, 0xAA
        key     0x1E01, "Ctrl-A", 0x1D, 0x1E, 0x9E, 0x9D
        key     0x1E00, "Alt-A", 0x38, 0x1E, 0x9E, 0xB8
        key     0x326D, "m", 0x32, 0xB2
        key     0x352F, "/", 0x35, 0xB5
        key     0x0221, "!", 0x36, 0x02, 0x82, 0xB6
        key     0x0300, "Ctrl-2", 0x1D, 0x03, 0x83, 0x9D
        key     0x7800, "Alt-1", 0x38, 0x02, 0x82, 0xB8
        key     0x071E, "Ctrl-6", 0x1D, 0x07, 0x87, 0x9D
        key     0x0E7F, "Ctrl-Backspace", 0x1D, 0x0E, 0x8E, 0x9D
        key     0x0F00, "Shift-Tab", 0x2A, 0x0F, 0x8F, 0xAA
        key     0x9400, "Ctrl-Tab", 0x1D, 0x0F, 0x8F, 0x9D
        key     0x1C0A, "Ctrl-Enter", 0x1D, 0x1C, 0x9C, 0x9D
        key     0x1C00, "Alt-Enter", 0x38, 0x1C, 0x9C, 0xB8
        key     0x0100, "Alt-Esc", 0x38, 0x01, 0x81, 0xB8
        key     0x3B00, "F1", 0x3B, 0xBB
        key     0x5400, "Shift-F1", 0x2A, 0x3B, 0xBB, 0xAA
        key     0x6700, "Ctrl-F10", 0x1D, 0x44, 0xC4, 0x9D
        key     0x7100, "Alt-F10", 0x38, 0x44, 0xC4, 0xB8
        key     0x8500, "F11", 0x57, 0xD7
        key     0x8C00, "Alt-F12", 0x38, 0x58, 0xD8, 0xB8
        key     0x4700, "keypad Home", 0x47, 0xC7
        key     0x4737, "Shift keypad 7", 0x2A, 0x47, 0xC7, 0xAA
        key     0x47E0, "grey Home", 0xE0, 0x47, 0xE0, 0xC7
        key     0x47E0, "grey Home with fake shifts", 0xE0, 0xAA, 0xE0, 0x47, 0xE0, 0xC7, 0xE0, 0x2A
        key     0x77E0, "Ctrl grey Home", 0x1D, 0xE0, 0x47, 0xE0, 0xC7, 0x9D
        key     0x9700, "Alt grey Home", 0x38, 0xE0, 0x47, 0xE0, 0xC7, 0xB8
        key     0x7700, "Ctrl keypad Home", 0x1D, 0x47, 0xC7, 0x9D
        key     0xE02F, "keypad /", 0xE0, 0x35, 0xE0, 0xB5
        key     0x9500, "Ctrl keypad /", 0x1D, 0xE0, 0x35, 0xE0, 0xB5, 0x9D
        key     0xE00D, "keypad Enter", 0xE0, 0x1C, 0xE0, 0x9C
        key     0x4A2D, "keypad -", 0x4A, 0xCA
        key     0x372A, "keypad *", 0x37, 0xB7
        key     0x7200, "Ctrl-PrtSc", 0x1D, 0xE0, 0x37, 0xE0, 0xB7, 0x9D
        key     0x565C, "102nd key", 0x56, 0xD6
        key     0x3920, "Alt-space", 0x38, 0x39, 0xB9, 0xB8
        key     0x1071, "q with both Alts released", 0x38, 0xE0, 0x38, 0xB8, 0xE0, 0xB8, 0x10, 0x90
        key     0xFFFF, "nothing for Shift alone", 0x2A, 0xAA
        key     0xFFFF, "nothing for Ctrl-1", 0x1D, 0x02, 0x82, 0x9D
        db      0
%include "footer.inc"
