; INT 13h reads, writes and verifies past the end of a track, of the second head and of a cylinder.
; Expected: what is asked for is moved in the order of sectors, heads and cylinders, as most BIOSes
; since the 1990s do (checked against SeaBIOS under QEMU where it can: to the end of a cylinder);
; al is the number of sectors; es:bx and all other registers, and the direction flag, are the
; caller's; interrupts are enabled; 40:41 and function 1 tell the status. A transfer past the last
; cylinder fails. One that crosses 64 KiB is refused with 09h before anything is moved, as the DMA
; controller of the AT demands (AT Technical Reference, DMA_SETUP). What a program leaves in the
; "last sector" of INT 1Eh does not mislead, nor does what it keeps at vector 40h, as small systems
; do that run on QEMU and Bochs.
%include "harness.inc"

CYLINDER        equ 50

test:
        ; Number the sectors of four cylinders, one by one.
        mov     word [number], 0
.number:
        mov     ax, [number]
        call    place
        mov     ax, [number]
        mov     di, 0x4000
        push    cx
        mov     cx, 256
        rep stosw
        pop     cx
        mov     ax, 0x0301
        mov     bx, 0x4000
        int     0x13
        expect  nc, "03h: one sector"
        inc     word [number]
        cmp     word [number], 4 * 36
        jb      .number

        ; Reads of many lengths from many places.
        mov     si, cases
.case:  movzx   ax, byte [si]
        cmp     al, 0xFF
        je      .cases_done
        mov     [number], ax
        mov     al, [si + 1]
        mov     [count], al
        call    read_and_compare
        add     si, 2
        jmp     .case
.cases_done:

        ; The same with other last sectors in INT 1Eh.
        push    si
        les     si, [0x1E * 4]
        mov     di, table
        mov     cx, 11
.copy:  mov     al, [es:si]
        mov     [di], al
        inc     si
        inc     di
        loop    .copy
        pop     si
        mov     ax, [0x1E * 4]
        mov     bx, [0x1E * 4 + 2]
        mov     [old_table], ax
        mov     [old_table + 2], bx
        mov     word [0x1E * 4], table
        mov     word [0x1E * 4 + 2], 0
        mov     si, last_sectors
.last:  lodsb
        or      al, al
        jz      .last_done
        mov     [table + 4], al
        mov     word [number], 2
        mov     byte [count], 60
        push    si
        call    read_and_compare
        pop     si
        jmp     .last
.last_done:
        mov     ax, [old_table]
        mov     [0x1E * 4], ax
        mov     ax, [old_table + 2]
        mov     [0x1E * 4 + 2], ax

        ; With something else at vector 40h.
        push    dword [0x40 * 4]
        mov     dword [0x40 * 4], 0xFFFFFFFF
        mov     word [number], 9
        mov     byte [count], 3
        call    read_and_compare
        pop     dword [0x40 * 4]

        ; Write over the end of a cylinder, verify, read back one by one.
        mov     ax, 0x2000
        mov     es, ax
        xor     di, di
        mov     ax, 0x8000
.pattern:
        mov     cx, 256
        rep stosw
        inc     ax
        cmp     ax, 0x8000 + 60
        jb      .pattern
        mov     ax, 20
        call    place
        mov     ax, 0x033C
        xor     bx, bx
        int     0x13
        expect  nc, "03h over two cylinders' ends"
        cmp     al, 60
        expect  e, "03h: al = 60"
        mov     ax, 20
        call    place
        mov     ax, 0x043C
        mov     bx, 0xFFFF              ; verifying needs no buffer
        push    bx
        pop     es
        int     0x13
        expect  nc, "04h over two cylinders' ends, whatever es:bx"
        cmp     al, 60
        expect  e, "04h: al = 60"
        push    ds
        pop     es
        mov     word [number], 20
.back:  mov     ax, [number]
        call    place
        mov     ax, 0x0201
        mov     bx, 0x4000
        int     0x13
        expect  nc, "02h: one sector"
        mov     ax, [number]
        add     ax, 0x8000 - 20
        cmp     [0x4000], ax
        expect  e, "what 03h wrote is where it belongs"
        inc     word [number]
        cmp     word [number], 80
        jb      .back

        ; Past the end of the disk.
        mov     ax, 0x0204
        mov     bx, 0x4000
        mov     cx, 0x4F11
        mov     dx, 0x0100
        int     0x13
        expect  c, "02h past the last cylinder fails"
        or      ah, ah
        expect  nz, "02h past the last cylinder: a status"
        mov     [status], ah
        or      al, al
        expect  z, "02h past the last cylinder: al = 0"
        mov     al, [0x441]
        cmp     al, [status]
        expect  e, "40:41 is the status"
        mov     ah, 1
        mov     dl, 0
        int     0x13
        cmp     ah, [status]
        expect  e, "01h tells the status"
        mov     ah, 0
        mov     dl, 0
        int     0x13
        expect  nc, "00h"
        cmp     byte [0x441], 0
        expect  e, "40:41 is 0 after a reset"

        ; 64 KiB: 128 sectors at a segment's start are the most; nothing else may cross.
        mov     ax, 0x3000
        mov     es, ax
        mov     ax, 3
        call    place
        mov     ax, 0x0280
        xor     bx, bx
        int     0x13
        expect  nc, "02h: 128 sectors to 3000:0"
        cmp     al, 128
        expect  e, "02h: al = 128"
        cmp     word [es:0], 3
        expect  e, "02h: the first of 128"
        cmp     word [es:127 * 512], 130
        expect  e, "02h: the last of 128"
        mov     word [es:0x0200], 0x1234
        mov     ax, 3
        call    place
        mov     ax, 0x0280
        mov     bx, 0x0200
        int     0x13
        expect  c, "02h: 128 sectors to 3000:200"
        cmp     ah, 0x09
        expect  e, "02h: 128 sectors to 3000:200: status 09h"
        cmp     word [es:0x0200], 0x1234
        expect  e, "02h: nothing moved when it is refused"
        mov     ax, 3
        call    place
        mov     ax, 0x0281
        xor     bx, bx
        int     0x13
        expect  c, "02h: 129 sectors"
        cmp     ah, 0x09
        expect  e, "02h: 129 sectors: status 09h"
        jmp     pass

; Reads [count] sectors from number [number] on and looks at each; and at all registers.
read_and_compare:
        push    si
        mov     ax, 0x2000
        mov     es, ax
        mov     ax, [number]
        call    place
        mov     ah, 0x02
        mov     al, [count]
        mov     bx, 0x0000
        mov     esi, 0x12345678
        mov     edi, 0x9ABCDEF0
        mov     ebp, 0x0FEDCBA9
        movzx   ecx, cx
        or      ecx, 0x55550000
        mov     [want_cx], ecx
        mov     [want_dx], dx
        cli
        std
        int     0x13
        pushf
        pop     word [flags]
        cld
        test    byte [flags], 1
        expect  z, "02h succeeds"
        test    word [flags], 0x0400
        expect  nz, "02h: the direction flag is the caller's"
        test    word [flags], 0x0200
        expect  nz, "02h: interrupts are enabled"
        or      ah, ah
        expect  z, "02h: ah = 0"
        cmp     al, [count]
        expect  e, "02h: al is the count"
        or      bx, bx
        expect  z, "02h: bx"
        cmp     ecx, [want_cx]
        expect  e, "02h: ecx"
        cmp     dx, [want_dx]
        expect  e, "02h: dx"
        cmp     esi, 0x12345678
        expect  e, "02h: esi"
        cmp     edi, 0x9ABCDEF0
        expect  e, "02h: edi"
        cmp     ebp, 0x0FEDCBA9
        expect  e, "02h: ebp"
        mov     ax, es
        cmp     ax, 0x2000
        expect  e, "02h: es"
        xor     di, di
        mov     ax, [number]
        movzx   dx, byte [count]
.next:  mov     cx, 256
        repe scasw
        expect  e, "02h: the sectors in their order"
        inc     ax
        dec     dx
        jnz     .next
        push    ds
        pop     es
        pop     si
        ret

; Sector ax of the test's area as cylinder, head, sector: ch, cl, dh; dl = 0.
place:  push    ax
        mov     dl, 36
        div     dl
        add     al, CYLINDER
        mov     ch, al
        mov     al, ah
        xor     ah, ah
        mov     dl, 18
        div     dl
        mov     dh, al
        mov     cl, ah
        inc     cl
        mov     dl, 0
        pop     ax
        ret

; First sector, how many.
cases:  db      0, 1,  0, 18,  0, 19,  0, 36,  17, 2,  18, 18,  18, 19,  35, 2,  35, 1
        db      5, 14,  5, 31,  5, 32,  5, 80,  0, 108,  1, 127,  35, 38,  0xFF
last_sectors:
        db      18, 9, 15, 21, 36, 255, 0
number: dw      0
count:  db      0
status: db      0
flags:  dw      0
want_cx:
        dd      0
want_dx:
        dw      0
old_table:
        dd      0
table:  times   11 db 0
%include "footer.inc"
