; A floppy of any size through INT 13h. Whoever runs this has put behind the mark GEOMETRY how the
; disk was made: sectors a track, heads, sectors in all, where its last whole cylinder begins; and
; into the first word of each sector but the test's own its number.
; Expected: the last sectors of the disk are read, one by one and in one transfer over the end of a
; cylinder, also where its last track is not complete; the sector after the last is not there, nor is
; a whole disk behind it: CF and a status, as from a disk where nothing is recorded.
%include "harness.inc"

test:
        mov     ax, [total]
        sub     ax, [sectors]
        sub     ax, 5                   ; five sectors and a track, up to the last
        mov     [number], ax
.each:  mov     ax, [number]
        call    read_one
        expect  nc, "02h: each of the last sectors"
        mov     ax, [number]
        cmp     [0x4000], ax
        expect  e, "02h: its own contents"
        inc     word [number]
        mov     ax, [number]
        cmp     ax, [total]
        jb      .each

        ; the sector after the last, and one far away
        call    read_one
        expect  c, "02h: nothing after the last sector"
        or      ah, ah
        expect  nz, "02h: nothing after the last sector: a status"
        mov     ax, [total]
        add     ax, [sectors]
        add     ax, [sectors]
        call    read_one
        expect  c, "02h: nothing two tracks after the last sector"
        mov     ah, 0
        mov     dl, 0
        int     0x13

        ; over the end of a cylinder
        mov     ax, [whole]
        sub     ax, 3
        mov     [number], ax
        mov     cx, [total]
        sub     cx, ax
        cmp     cx, 8
        jb      .short
        mov     cx, 8
.short: mov     [count], cl
        call    place
        mov     ah, 2
        mov     al, [count]
        mov     bx, 0x3000
        mov     es, bx
        xor     bx, bx
        int     0x13
        expect  nc, "02h over the end of a cylinder"
        cmp     al, [count]
        expect  e, "02h over the end of a cylinder: al"
        mov     ax, [number]
        xor     di, di
        mov     cl, [count]
.compare:
        cmp     [es:di], ax
        expect  e, "02h over the end of a cylinder: the sectors"
        add     di, 512
        inc     ax
        dec     cl
        jnz     .compare
        jmp     pass

; Reads sector ax to 0:4000.
read_one:
        call    place
        push    ds
        pop     es
        mov     bx, 0x4000
        mov     ax, 0x0201
        int     0x13
        ret

; Sector ax as ch, cl, dh; dl = 0. Changes ax.
place:  xor     dx, dx
        div     word [sectors]
        mov     cl, dl
        inc     cl
        xor     dx, dx
        div     word [heads]
        mov     ch, al
        mov     dh, dl
        mov     dl, 0
        ret

number: dw      0
count:  db      0
        db      "GEOMETRY"
sectors:
        dw      18
heads:  dw      2
total:  dw      2880
whole:  dw      2880 - 36
%include "footer.inc"
