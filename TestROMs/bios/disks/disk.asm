; INT 13h on the first hard disk. Needs a disk of 20 MB or more, whose sectors from 5000 to 5300
; may be overwritten.
; Expected, after the AT BIOS interface and the Enhanced Disk Drive specification 3.0: geometry
; and size that agree, the same sectors by either address, transfers of many sectors, flat addresses,
; device tables and paths, errors.
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
        test    cl, 4
        expect  nz, "41h: device tables"
        cmp     ah, 0x30
        expect  e, "41h: version 3.0"
        mov     cx, 25                  ; buffers of every size that has a meaning
        call    ask
        expect  c, "48h: 25 bytes are too few"
        mov     cx, 26
        call    ask
        expect  nc, "48h: 26 bytes"
        cmp     word [parameters], 26
        expect  e, "48h: 26 bytes filled"
        cmp     dword [parameters + 26], 0
        expect  e, "48h: and no more"
        mov     cx, 65
        call    ask
        expect  nc, "48h: 65 bytes"
        cmp     word [parameters], 30
        expect  e, "48h: 30 bytes filled"
        cmp     word [parameters + 30], 0
        expect  e, "48h: no path"
        test    byte [parameters + 2], 1
        expect  nz, "48h: boundaries are handled"
        mov     word [parameters], 80
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
        cmp     word [parameters], 66
        expect  e, "48h: 66 bytes filled"
        cmp     word [parameters + 30], 0xBEDD
        expect  e, "48h: a device path"
        cmp     byte [parameters + 32], 36
        expect  e, "48h: its length"
        cmp     dword [parameters + 40], "ATA "
        expect  e, "48h: interface ATA"
        cmp     dword [parameters + 44], "    "
        expect  e, "48h: padded"
        mov     eax, 0x80000000         ; which bus there is
        mov     dx, 0xCF8
        out     dx, eax
        in      eax, dx
        cmp     eax, 0x80000000
        je      .pci
        cmp     dword [parameters + 36], "ISA "
        expect  e, "48h: bus ISA"
        cmp     word [parameters + 48], 0x1F0
        expect  e, "48h: base port"
        jmp     .device
.pci:   cmp     dword [parameters + 36], "PCI "
        expect  e, "48h: bus PCI"
        movzx   eax, word [parameters + 48]     ; bus, slot
        shl     ah, 3
        or      ah, [parameters + 50]   ; function
        xchg    al, ah
        shl     eax, 8
        or      eax, 0x80000008
        out     dx, eax
        mov     dx, 0xCFC
        in      eax, dx
        shr     eax, 16
        cmp     ax, 0x0101
        expect  e, "48h: the function is an IDE controller"
.device:
        cmp     byte [parameters + 56], 0
        expect  e, "48h: master"
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

        les     di, [parameters + 26]
        cmp     word [es:di], 0x1F0
        expect  e, "48h: the device table's port"
        cmp     word [es:di + 2], 0x3F6
        expect  e, "48h: its control port"
        mov     al, [es:di + 4]
        and     al, 0xB0
        cmp     al, 0xA0
        expect  e, "48h: its device register"
        cmp     byte [es:di + 6], 14
        expect  e, "48h: its interrupt"
        push    ds
        pop     es

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

        ; 100 KiB across segments, and to and from a flat address
        push    ds
        pop     es
        mov     word [packet + 2], 200
        mov     dword [packet + 4], 0x3000FFF0
        mov     dword [packet + 8], 5000
        mov     si, packet
        mov     ah, 0x42
        mov     dl, 0x80
        int     0x13
        expect  nc, "42h: 200 sectors"
        mov     byte [packet], 0x18
        mov     dword [packet + 4], -1
        mov     dword [packet + 16], 0x200000
        mov     si, packet
        mov     ah, 0x42
        mov     dl, 0x80
        int     0x13
        expect  nc, "42h: 200 sectors to a flat address"
        mov     si, descriptors         ; the last 32 KiB back
        mov     cx, 0x4000
        mov     ah, 0x87
        int     0x15
        expect  nc, "87h"
        push    ds
        mov     ax, 0x6000
        mov     es, ax
        mov     ax, 0x3FFF + ((200 * 512 - 0x8000) >> 4)
        mov     ds, ax
        xor     si, si
        xor     di, di
        mov     cx, 0x4000
        repe cmpsw
        pop     ds
        push    ds
        pop     es
        expect  e, "42h to a flat address reads the same"
        mov     dword [packet + 8], 5250
        mov     word [packet + 2], 2
        mov     dword [packet + 16], 0x200000 + 198 * 512
        mov     si, packet
        mov     ax, 0x4300
        mov     dl, 0x80
        int     0x13
        expect  nc, "43h from a flat address"
        mov     byte [packet], 0x10
        mov     dword [packet + 4], 0x60000000
        mov     word [packet + 2], 2
        mov     si, packet
        mov     ah, 0x42
        mov     dl, 0x80
        int     0x13
        push    ds
        mov     ax, 0x6000
        mov     es, ax
        mov     ax, 0x3FFF + (198 * 512 >> 4)
        mov     ds, ax
        xor     si, si
        xor     di, di
        mov     cx, 512
        repe cmpsw
        pop     ds
        push    ds
        pop     es
        expect  e, "43h from a flat address wrote the same"
        mov     dword [packet + 4], -1  ; a packet without room for one
        mov     word [packet + 2], 1
        mov     si, packet
        mov     ah, 0x42
        mov     dl, 0x80
        int     0x13
        expect  c, "no flat address in a short packet"
        mov     byte [packet], 0x18
        mov     dword [packet + 20], 1
        mov     si, packet
        mov     ah, 0x42
        mov     dl, 0x80
        int     0x13
        expect  c, "no flat address above 4 GiB"
        mov     byte [packet], 0x10

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

; 48h with a buffer of cx bytes.
ask:    mov     di, parameters
        push    cx
        xor     al, al
        mov     cx, 80
        rep stosb
        pop     cx
        mov     [parameters], cx
        mov     si, parameters
        mov     ah, 0x48
        mov     dl, 0x80
        int     0x13
        ret

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
        dq      0
descriptors:
        times   16 db 0
        dw      0xFFFF
        dd      0x93000000 + 0x200000 + 200 * 512 - 0x8000
        dw      0
        dw      0xFFFF
        dd      0x93060000
        dw      0
        times   16 db 0
parameters:
        times   80 db 0
%include "footer.inc"
