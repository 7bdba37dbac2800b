; What OS/2's loader, kernel and drivers ask of the BIOS.
; After IBM's PS/2 and AT BIOS interface reference (INT 15h 87h, 88h, C0h, C1h, C7h; INT 13h 04h, 08h,
; 0Dh, 10h, 11h; INT 41h and 46h) and IBM's "Fixed IDE hard drive and removable media support"
; (geometry of disks with more than 1024 cylinders); Phoenix's enhanced disk drive paper (A0h: a
; translated table, with a checksum).
; Passes on QEMU with SeaBIOS.
%include "harness.inc"
%include "systems/ide.inc"

test:
        ; ---- memory, by the oldest way and the two later ones
        mov     ah, 0x88
        int     0x15
        expect  nc, "88h"
        mov     [low], ax
        mov     ax, 0xE801
        int     0x15
        expect  nc, "E801h"
        mov     si, ax
        mov     di, bx
        cmp     ax, cx
        expect  e, "E801h: AX as CX"
        cmp     bx, dx
        expect  e, "E801h: BX as DX"
        movzx   eax, si
        movzx   ebx, di
        shl     ebx, 6
        add     eax, ebx
        cmp     eax, 0xFFFF
        jbe     .fits
        mov     eax, 0xFFFF
.fits:  cmp     ax, [low]
        je      .same
        cmp     word [low], 0x3C00      ; or only up to 16 MiB
        expect  e, "88h is what E801h says"
.same:  ; ---- the machine
        mov     ah, 0xC0
        int     0x15
        expect  nc, "C0h"
        cmp     word [es:bx], 8
        expect  ae, "C0h: 8 bytes"
        mov     al, [es:bx + 5]
        push    word 0
        pop     es
        test    al, 4
        expect  nz, "C0h: an extended data area"
        mov     ah, 0xC1
        int     0x15
        expect  nc, "C1h"
        mov     ax, es
        cmp     ax, [0x40E]
        expect  e, "C1h: where 40:0E says"
        mov     al, [es:0]
        push    word 0
        pop     es
        or      al, al
        expect  nz, "the data area has a size"
        mov     ah, 0xC7                ; memory map of PS/2: not there
        int     0x15
        expect  c, "C7h"
        cmp     ah, 0x86
        expect  e, "C7h: not there"
        mov     ax, 0x2400              ; A20
        int     0x15
        mov     ax, 0x2401
        int     0x15
        ; ---- a block moved above 1 MiB and back
        mov     si, buffer
        mov     cx, 256
.fill:  mov     [si], cx
        add     si, 2
        loop    .fill
        mov     word [table + 0x12], buffer
        mov     word [table + 0x1A], 0
        mov     byte [table + 0x1C], 0x12
        mov     si, table
        mov     cx, 256
        mov     ah, 0x87
        int     0x15
        expect  nc, "87h: up"
        mov     word [table + 0x12], 0
        mov     byte [table + 0x14], 0x12
        mov     word [table + 0x1A], buffer + 512
        mov     byte [table + 0x1C], 0
        mov     si, table
        mov     cx, 256
        mov     ah, 0x87
        int     0x15
        expect  nc, "87h: down"
        mov     si, buffer
        mov     di, buffer + 512
        mov     cx, 256
        repe cmpsw
        expect  e, "87h: as it was"
        ; ---- disks
        xor     bp, bp
        xor     bx, bx
.disk:  cmp     byte [bx + drives], DISK
        jne     .other
        push    bx
        call    disk
        pop     bx
        inc     bp
.other: inc     bx
        cmp     bl, 4
        jb      .disk
        mov     ax, bp
        cmp     al, [0x475]
        expect  e, "40:75"
        or      ax, ax
        jz      .end
        ; CMOS 12h: the first two; setup programs take what has none for no disk
        mov     al, 0x12
        out     0x70, al
        in      al, 0x71
        cmp     byte [drives], DISK
        jne     .end
        mov     ah, al
        shr     ah, 4
        expect  nz, "CMOS 12h: the first disk"
.end:   jmp     pass

; Disk 80h + bp: the table of INT 41h or 46h, if it is one of the first two, and 08h.
disk:   mov     dx, bp
        or      dl, 0x80
        mov     ah, 0x08
        int     0x13
        push    word 0
        pop     es
        expect  nc, "08h"
        movzx   ax, dh
        inc     ax
        mov     [heads], ax
        mov     al, cl
        and     ax, 0x3F
        mov     [spt], ax
        mov     al, ch
        mov     ah, cl
        shr     ah, 6
        inc     ax
        mov     [cylinders], ax
        cmp     bp, 1
        ja      .end
        mov     si, 0x41 * 4
        jb      .vector
        mov     si, 0x46 * 4
.vector:
        les     di, [si]
        mov     ax, es
        or      ax, di
        expect  nz, "INT 41h, INT 46h"
        mov     ax, [es:di]             ; logical cylinders; 08h keeps one for diagnosis, or does not
        sub     ax, [cylinders]
        cmp     ax, 1
        expect  be, "table: cylinders of 08h"
        mov     al, [es:di + 2]
        cmp     al, [heads]
        expect  e, "table: heads of 08h"
        cmp     byte [es:di + 3], 0xA0
        je      .translated
        mov     al, [es:di + 14]
        cmp     al, [spt]
        expect  e, "table: sectors of 08h"
        test    byte [es:di + 8], 0x08
        jnz     .heads
        cmp     byte [es:di + 2], 8
        expect  be, "table: control byte tells of more than 8 heads"
.heads: jmp     .done
.translated:
        mov     al, [es:di + 4]
        cmp     al, [spt]
        jne     .physical
        jmp     .sum
.physical:
        mov     al, [es:di + 14]
        cmp     al, [spt]
        expect  e, "translated table: sectors of 08h"
.sum:   xor     al, al
        mov     cx, 16
        mov     bx, di
.add:   add     al, [es:bx]
        inc     bx
        loop    .add
        or      al, al
        expect  z, "translated table: checksum"
.done:  push    word 0
        pop     es
        ; reset, recalibrate, ready, verify: what the loader does between
        mov     dx, bp
        or      dl, 0x80
        mov     ah, 0x0D
        int     0x13
        expect  nc, "0Dh"
        mov     dx, bp
        or      dl, 0x80
        mov     ah, 0x11
        int     0x13
        expect  nc, "11h"
        mov     dx, bp
        or      dl, 0x80
        mov     ah, 0x10
        int     0x13
        expect  nc, "10h"
        mov     dx, bp
        or      dl, 0x80
        mov     ax, 0x0401
        mov     cx, 1
        mov     dh, 0
        int     0x13
        expect  nc, "04h"
        ; the last sector of 08h is there
        mov     dx, bp
        or      dl, 0x80
        mov     dh, [heads]
        dec     dh
        mov     cx, [cylinders]
        dec     cx
        xchg    cl, ch
        shl     cl, 6
        or      cl, [spt]
        mov     ax, 0x0201
        mov     bx, buffer
        int     0x13
        expect  nc, "02h of the last sector"
.end:   ret

low:    dw      0
heads:  dw      0
spt:    dw      0
cylinders:
        dw      0
        align   4
table:  times 16 db 0
        dw      0xFFFF, 0
        db      0, 0x93
        dw      0
        dw      0xFFFF, 0
        db      0, 0x93
        dw      0
        times 16 db 0
buffer: times 1024 db 0
%include "footer.inc"
