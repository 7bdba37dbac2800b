; INT 13h on the first hard disk. Needs a disk of 20 MB or more, whose sectors from 5000 to 5300
; may be overwritten.
; Expected, after the AT BIOS interface and the Enhanced Disk Drive specification 3.0: geometry
; and size that agree, the same sectors by either address, transfers of many sectors, errors.
%include "harness.inc"

test:
        cmp     byte [0x475], 0
        expect  ne, "a disk"
        mov     ah, 8
        mov     dl, 0x80
        int     0x13
        expect  nc, "08h"
        cmp     dl, [0x475]
        expect  e, "08h: as many disks as 40:75"
        movzx   eax, dh
        inc     ax
        mov     [heads], eax
        movzx   eax, cl
        and     al, 63
        mov     [sectors], eax
        mov     al, ch
        mov     ah, cl
        shr     ah, 6
        inc     ax
        mov     [cylinders], eax
        imul    eax, [heads]
        imul    eax, [sectors]
        mov     [total], eax
        cmp     dword [sectors], 0
        expect  ne, "08h: sectors"
        push    ds
        pop     es
        mov     ah, 0x15
        mov     dl, 0x80
        int     0x13
        expect  nc, "15h"
        cmp     ah, 3
        expect  e, "15h: a disk"
        shl     ecx, 16
        mov     cx, dx
        cmp     ecx, [total]
        expect  e, "15h: as many sectors as 08h"

        ; the parameter table
        les     di, [0x41 * 4]
        mov     ax, [es:di]
        cmp     ax, [cylinders]
        expect  e, "INT 41h: cylinders"
        mov     al, [es:di + 2]
        cmp     al, [heads]
        expect  e, "INT 41h: heads"
        mov     al, [es:di + 14]
        cmp     al, [sectors]
        expect  e, "INT 41h: sectors"
        push    ds
        pop     es

        ; extensions
        mov     ah, 0x41
        mov     bx, 0x55AA
        mov     dl, 0x80
        int     0x13
        expect  nc, "41h"
        cmp     bx, 0xAA55
        expect  e, "41h: the signature"
        test    cl, 1
        expect  nz, "41h: packet access"
        mov     word [parameters], 66
        mov     si, parameters
        mov     ah, 0x48
        mov     dl, 0x80
        int     0x13
        expect  nc, "48h"
        cmp     word [parameters + 24], 512
        expect  e, "48h: 512 bytes"
        mov     eax, [parameters + 16]
        cmp     eax, [total]
        expect  ae, "48h: no less sectors than 08h"
        cmp     word [parameters + 30], 0xBEDD
        expect  e, "48h: a device path"
        mov     si, parameters + 30
        mov     cx, 36
        call    sum
        expect  z, "48h: checksum of the path"
        lds     si, [parameters + 26]
        mov     cx, 16
        call    sum
        push    word 0
        pop     ds
        expect  z, "48h: checksum of the device table"

        ; write by packet, read by cylinder, head, sector
        mov     ax, 0x1000
        mov     es, ax
        xor     di, di
        mov     cx, 0x8000
.fill:  mov     ax, di
        imul    ax, 0x3A91
        stosw
        loop    .fill
        mov     word [packet + 2], 127
        mov     dword [packet + 4], 0x10000000
        mov     dword [packet + 8], 5000
        mov     si, packet
        mov     ax, 0x4300
        mov     dl, 0x80
        int     0x13
        expect  nc, "43h"
        or      ah, ah
        expect  z, "43h: ah = 0"
        mov     eax, 5000 + 17
        call    address
        mov     ax, 0x2000
        mov     es, ax
        xor     bx, bx
        mov     ax, 0x0264
        mov     dl, 0x80
        int     0x13
        expect  nc, "02h: 100 sectors"
        cmp     al, 100
        expect  e, "02h: al = 100"
        push    ds
        mov     ax, 0x1000
        mov     ds, ax
        mov     si, 17 * 512
        xor     di, di
        mov     cx, 25600
        repe cmpsw
        pop     ds
        expect  e, "02h reads what 43h wrote"

        ; 128 sectors at an odd offset, written and read by the old functions
        mov     eax, 5100
        call    address
        mov     ax, 0x1000
        mov     es, ax
        xor     bx, bx
        mov     ax, 0x0380
        mov     dl, 0x80
        int     0x13
        expect  nc, "03h: 128 sectors"
        mov     eax, 5100
        call    address
        mov     ax, 0x1FFF
        mov     es, ax
        mov     bx, 0x0011
        mov     ax, 0x0280
        mov     dl, 0x80
        int     0x13
        expect  nc, "02h: 128 sectors to an odd place"
        mov     ax, 0x2000
        mov     es, ax
        push    ds
        mov     ax, 0x1000
        mov     ds, ax
        xor     si, si
        mov     di, 1
        mov     cx, 0x7F00
        repe cmpsw
        pop     ds
        expect  e, "02h reads what 03h wrote"
        mov     eax, 5100
        call    address
        mov     ax, 0x0410
        mov     dl, 0x80
        int     0x13
        expect  nc, "04h"
        mov     word [packet + 2], 16
        mov     dword [packet + 8], 5100
        mov     si, packet
        mov     ah, 0x44
        mov     dl, 0x80
        int     0x13
        expect  nc, "44h"

        ; errors
        push    ds
        pop     es
        mov     eax, [parameters + 16]
        mov     [packet + 8], eax
        mov     word [packet + 2], 1
        mov     dword [packet + 4], 0x4000
        mov     si, packet
        mov     ah, 0x42
        mov     dl, 0x80
        int     0x13
        expect  c, "42h past the end"
        cmp     word [packet + 2], 0
        expect  e, "42h past the end: nothing read"
        mov     ah, 1
        mov     dl, 0x80
        int     0x13
        or      al, al
        expect  nz, "01h tells"
        dec     dword [packet + 8]
        mov     word [packet + 2], 1
        mov     si, packet
        mov     ah, 0x42
        mov     dl, 0x80
        int     0x13
        expect  nc, "42h: the last sector"
        mov     ax, 0x0201
        mov     bx, 0x4000
        mov     cx, 0x0000
        mov     dx, 0x0080
        int     0x13
        expect  c, "no sector 0"
        mov     ax, 0x0200
        mov     cx, 0x0001
        mov     dx, 0x0080
        int     0x13
        expect  c, "no transfer of nothing"
        mov     ax, 0x0201
        mov     cx, 0x0001
        mov     dl, [0x475]
        or      dl, 0x80
        mov     dh, 0
        int     0x13
        expect  c, "no disk after the last"
        mov     ah, 0x15
        mov     dl, [0x475]
        or      dl, 0x80
        int     0x13
        expect  nc, "15h for a missing disk"
        or      ah, ah
        expect  z, "15h for a missing disk: ah = 0"
        mov     ah, 0x10
        mov     dl, 0x80
        int     0x13
        expect  nc, "10h: ready"
        mov     ah, 0
        mov     dl, 0x80
        int     0x13
        expect  nc, "00h"
        mov     ax, 0x0201
        mov     bx, 0x4000
        mov     cx, 0x0001
        mov     dx, 0x0080
        int     0x13
        expect  nc, "02h after a reset"
        jmp     pass

; Sector eax as cylinder, head, sector for INT 13h: cx, dh.
address:
        xor     edx, edx
        div     dword [sectors]
        mov     cl, dl
        inc     cl
        xor     edx, edx
        div     dword [heads]
        mov     dh, dl
        mov     ch, al
        shl     ah, 6
        or      cl, ah
        ret

; Sum of cx bytes at ds:si: ZF.
sum:    xor     al, al
.next:  add     al, [si]
        inc     si
        loop    .next
        or      al, al
        ret

        align   4
heads:  dd      0
sectors:
        dd      0
cylinders:
        dd      0
total:  dd      0
packet: db      16, 0
        dw      1
        dd      0
        dq      0
parameters:
        times   80 db 0
%include "footer.inc"
