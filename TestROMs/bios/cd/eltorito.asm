; Booted from a CD, by each kind of image; what this one is stands in the block EXPECTED, which the
; test fills in. Sectors of the disc that hold nothing else begin and end with their number (2048
; bytes); so do those of the image (512 bytes).
; Expected, after the El Torito specification 1.0 (chapters 4 and 5): drive number in dl, the
; specification packet, geometry of the emulated drive, which cannot be written to, the other
; drives' numbers moved by one, all of it gone after 4B00h and back after 4A00h; and after EDD 3.0:
; a CD drive's sectors of 2048 bytes, its locks, what it refuses.
%include "harness.inc"

test:   mov     al, [boot_drive]
        cmp     al, [drive]
        expect  e, "dl: the drive's number"
        call    status
        expect  nc, "4B01h"
        call    check_packet
        mov     byte [packet], 0
        mov     dl, 0x7F
        mov     si, packet
        mov     ax, 0x4B01
        int     0x13
        expect  nc, "4B01h for all drives"
        cmp     byte [packet], 0x13
        expect  e, "4B01h for all drives: a packet"
        mov     dl, 0x55
        mov     si, packet
        mov     ax, 0x4B01
        int     0x13
        expect  c, "4B01h for another drive fails"

        ; the boot catalog
        mov     word [command + 6], 0
        mov     si, command
        mov     dl, [drive]
        mov     ax, 0x4D00
        int     0x13
        expect  nc, "4D00h"
        mov     si, buffer
        mov     cx, 16
        xor     dx, dx
.sum:   lodsw
        add     dx, ax
        loop    .sum
        or      dx, dx
        expect  z, "4D00h: the validation entry's sum"
        cmp     word [buffer + 0x1E], 0xAA55
        expect  e, "4D00h: the validation entry's key"

        call    test_cd
        mov     al, [kind]
        and     al, 15
        jz      pass
        cmp     al, 4
        je      test_disk

        ; --- a floppy
        mov     ax, [0x410]
        and     ax, 0xC1
        cmp     ax, 0x41
        expect  e, "equipment: two floppy drives"
        mov     ah, 8
        mov     dl, 0
        int     0x13
        push    word 0
        pop     es
        expect  nc, "08h"
        cmp     ch, 79
        expect  e, "08h: 80 cylinders"
        cmp     cl, [sectors]
        expect  e, "08h: sectors"
        cmp     dh, 1
        expect  e, "08h: two heads"
        cmp     dl, 2
        expect  e, "08h: two drives"
        cmp     bl, [type]
        expect  e, "08h: the drive's type"
        mov     ah, 0x15
        mov     dl, 0
        int     0x13
        expect  nc, "15h"
        cmp     ah, 1
        expect  e, "15h: a floppy drive"
        mov     ch, 79
        mov     dh, 1
        call    both_ways
        mov     dl, 1                   ; the other drive
        call    other
        expect  e, "the first floppy drive is B"
        jmp     ending

        ; --- a hard disk
test_disk:
        cmp     byte [0x475], 2
        expect  e, "40:75: two disks"
        mov     ah, 8
        mov     dl, 0x80
        int     0x13
        push    word 0
        pop     es
        expect  nc, "08h"
        cmp     dl, 2
        expect  e, "08h: two disks"
        cmp     ch, [cylinders]
        expect  e, "08h: cylinders"
        cmp     cl, [sectors]
        expect  e, "08h: sectors"
        cmp     dh, [heads]
        expect  e, "08h: heads"
        mov     ah, 0x15
        mov     dl, 0x80
        int     0x13
        expect  nc, "15h"
        cmp     ah, 3
        expect  e, "15h: a hard disk"
        mov     ch, [cylinders]
        mov     dh, [heads]
        call    both_ways
        mov     ah, 0x41
        mov     bx, 0x55AA
        mov     dl, 0x80
        int     0x13
        expect  nc, "41h"
        mov     dword [address + 8], 33 ; by packets, of 512 bytes
        mov     word [address + 2], 7
        mov     dword [address + 4], buffer
        mov     si, address
        mov     ah, 0x42
        mov     dl, 0x80
        int     0x13
        expect  nc, "42h of the image"
        cmp     dword [buffer], 33
        expect  e, "42h: the first sector"
        cmp     dword [buffer + 7 * 512 - 4], 39
        expect  e, "42h: the last sector"
        mov     dl, 0x81
        call    other
        expect  e, "the first hard disk is 81h"

ending: mov     si, packet              ; no more emulation
        mov     dl, [drive]
        mov     ax, 0x4B00
        int     0x13
        expect  nc, "4B00h"
        call    check_packet
        call    status
        expect  c, "4B01h fails after 4B00h"
        mov     dl, [drive]
        call    other
        expect  e, "4B00h: the drives have their own numbers again"
        mov     si, packet              ; and again
        mov     ax, 0x4A00
        int     0x13
        expect  nc, "4A00h"
        call    status
        expect  nc, "4B01h after 4A00h"
        call    check_packet
        mov     ch, 0
        mov     dh, 0
        call    both_ways
        jmp     pass

; --- what works for the CD drive itself, E0h
test_cd:
        mov     ah, 0x41
        mov     bx, 0x55AA
        mov     dl, 0xE0
        int     0x13
        expect  nc, "41h of the CD drive"
        cmp     bx, 0xAA55
        expect  e, "41h: the signature"
        cmp     ah, 0x30
        expect  e, "41h: version 3.0"
        and     cl, 3
        cmp     cl, 3
        expect  e, "41h: packets and removable media"
        mov     word [parameters], 30
        mov     si, parameters
        mov     ah, 0x48
        mov     dl, 0xE0
        int     0x13
        expect  nc, "48h"
        cmp     word [parameters + 24], 2048
        expect  e, "48h: sectors of 2048 bytes"
        mov     eax, [parameters + 16]
        cmp     eax, [total]
        expect  e, "48h: number of sectors"
        mov     al, [parameters + 2]
        and     al, 0x34
        cmp     al, 0x34
        expect  e, "48h: removable, change is noticed, lockable"
        les     di, [parameters + 26]
        test    byte [es:di + 10], 0x40
        expect  nz, "48h: the device table says ATAPI"
        push    word 0
        pop     es

        ; reading
        mov     dword [address + 8], 17
        mov     word [address + 2], 1
        mov     dword [address + 4], buffer
        call    read_cd
        expect  nc, "42h of the CD"
        cmp     dword [buffer + 7], "EL T"
        expect  e, "42h: the boot record"
        mov     eax, [filler]           ; 80 KiB across segments
        mov     [address + 8], eax
        mov     word [address + 2], 40
        mov     dword [address + 4], 0x1000FFF2
        call    read_cd
        expect  nc, "42h of 40 sectors"
        mov     bx, 0x1FFF              ; 1000:FFF2
        mov     cx, 40
        mov     eax, [filler]
.more:  mov     es, bx
        cmp     [es:2], eax
        expect  e, "42h of 40 sectors: beginning of a sector"
        cmp     [es:2 + 2044], eax
        expect  e, "42h of 40 sectors: end of a sector"
        add     bx, 0x80
        inc     eax
        loop    .more
        push    word 0
        pop     es
        mov     byte [address], 0x18    ; to 2 MiB
        mov     word [address + 2], 3
        mov     dword [address + 4], -1
        mov     dword [address + 16], 0x200000
        mov     dword [address + 20], 0
        call    read_cd
        mov     byte [address], 0x10
        expect  nc, "42h to a flat address"
        mov     si, descriptors
        mov     cx, 3 * 1024
        mov     ah, 0x87
        int     0x15
        expect  nc, "87h"
        mov     eax, [filler]
        cmp     [buffer], eax
        expect  e, "42h to a flat address: first sector"
        add     eax, 2
        cmp     [buffer + 6140], eax
        expect  e, "42h to a flat address: last sector"
        mov     dword [address + 4], buffer
        mov     eax, [total]
        mov     [address + 8], eax
        mov     word [address + 2], 1
        call    read_cd
        expect  c, "42h past the end"
        cmp     word [address + 2], 0
        expect  e, "42h past the end: nothing read"
        mov     dword [address + 8], 17
        mov     word [address + 2], 1
        mov     si, address
        mov     dl, 0xE0
        mov     ah, 0x47
        int     0x13
        expect  nc, "47h"
        mov     si, address
        mov     dl, 0xE0
        mov     ax, 0x4300
        int     0x13
        expect  c, "43h fails"
        cmp     ah, 3
        expect  e, "43h: write-protected"
        mov     ax, 0x0201
        mov     bx, buffer
        mov     cx, 1
        mov     dx, 0x00E0
        int     0x13
        expect  c, "no 02h on a CD"
        mov     dx, 0x00E0
        mov     ah, 8
        int     0x13
        expect  c, "no 08h on a CD"
        push    word 0
        pop     es
        mov     dl, 0xE1
        mov     ah, 0x41
        mov     bx, 0x55AA
        int     0x13
        expect  c, "no second CD drive"

        ; locks
        call    lock_state
        cmp     al, 0
        expect  e, "45h: not locked"
        mov     ax, 0x4500
        mov     dl, 0xE0
        int     0x13
        expect  nc, "45h: lock"
        call    lock_state
        cmp     al, 1
        expect  e, "45h: locked"
        mov     ax, 0x4600
        mov     dl, 0xE0
        int     0x13
        expect  c, "46h of a locked disc fails"
        cmp     ah, 0xB1
        expect  e, "46h: locked"
        mov     ax, 0x4501
        mov     dl, 0xE0
        int     0x13
        expect  nc, "45h: unlock"
        mov     ax, 0x4501
        mov     dl, 0xE0
        int     0x13
        expect  c, "45h: unlocking twice fails"
        cmp     ah, 0xB0
        expect  e, "45h: not locked"
        ret

lock_state:
        mov     ax, 0x4502
        mov     dl, 0xE0
        int     0x13
        expect  nc, "45h: state"
        ret

read_cd:
        mov     si, address
        mov     ah, 0x42
        mov     dl, 0xE0
        int     0x13
        ret

; The last sector of track ch, head dh of the emulated drive can be read, but not written.
both_ways:
        mov     cl, [sectors]
        mov     bx, buffer
        mov     dl, [drive]
        push    dx
        mov     ax, 0x0201
        int     0x13
        expect  nc, "02h"
        pop     dx
        movzx   eax, ch                 ; its number
        movzx   edi, byte [heads]
        inc     di
        imul    eax, edi
        movzx   edi, dh
        add     eax, edi
        movzx   edi, byte [sectors]
        imul    eax, edi
        add     eax, edi
        dec     eax
        cmp     [buffer], eax
        expect  e, "02h: the sector"
        cmp     [buffer + 508], eax
        expect  e, "02h: the sector's end"
        mov     ax, 0x0301
        int     0x13
        expect  c, "03h fails"
        cmp     ah, 3
        expect  e, "03h: write-protected"
        mov     ax, 0x0201              ; a sector too far
        mov     dl, [drive]
        inc     cl
        int     0x13
        expect  c, "no sector after the last"
        ret

; Is the first sector of the machine's own drive dl in the buffer? ZF. A floppy drive first tells that
; there is a new disk.
other:  mov     si, 3
.try:   mov     ax, 0x0201
        mov     bx, buffer
        mov     cx, 1
        mov     dh, 0
        int     0x13
        jnc     .read
        dec     si
        jnz     .try
        stc
.read:  expect  nc, "02h of the machine's own drive"
        cmp     dword [buffer], "OWN "
        ret

status: mov     si, packet
        mov     dl, [drive]
        mov     ax, 0x4B01
        int     0x13
        ret

check_packet:
        cmp     byte [packet], 0x13
        expect  e, "4Bh: size"
        mov     al, [packet + 1]
        cmp     al, [kind]
        expect  e, "4Bh: kind of image"
        mov     al, [packet + 2]
        cmp     al, [drive]
        expect  e, "4Bh: drive number"
        mov     al, [packet + 3]
        cmp     al, [controller]
        expect  e, "4Bh: controller"
        mov     eax, [packet + 4]
        cmp     eax, [image]
        expect  e, "4Bh: the image's sector"
        mov     ax, [packet + 8]
        cmp     ax, [device]
        expect  e, "4Bh: device"
        mov     ax, [packet + 12]
        cmp     ax, [load_segment]
        expect  e, "4Bh: load segment"
        mov     ax, [packet + 14]
        cmp     ax, [count]
        expect  e, "4Bh: sectors loaded"
        test    byte [kind], 15
        jz      .end
        mov     al, [packet + 16]
        cmp     al, [cylinders]
        expect  e, "4Bh: cylinders"
        mov     al, [packet + 17]
        cmp     al, [sectors]
        expect  e, "4Bh: sectors of a track"
        mov     al, [packet + 18]
        cmp     al, [heads]
        expect  e, "4Bh: heads"
.end:   ret

        align   4
        db      "EXPECTED"
kind:   db      0                       ; media type of the entry
drive:  db      0
controller:
        db      0                       ; 0 primary, 1 secondary
type:   db      0                       ; of the floppy drive, as in CMOS
device: dw      0                       ; 0 master, 1 slave
load_segment:
        dw      0
image:  dd      0
total:  dd      0                       ; sectors of the disc
filler: dd      0                       ; the first of 40 sectors that begin and end with their numbers
count:  dw      0
cylinders:
        db      0                       ; the last of each
heads:  db      0
sectors:
        db      0
        align   8
        db      "====="
command:
        db      8, 1
        dd      buffer
        dw      0
address:
        db      16, 0
        dw      1
        dd      0
        dq      0
        dq      0
descriptors:
        times   16 db 0
        dw      0xFFFF
        dd      0x93200000
        dw      0
        dw      0xFFFF
        dd      0x93000000 + buffer
        dw      0
        times   16 db 0
packet: times   20 db 0
parameters:
        times   32 db 0
%include "footer.inc"
buffer  equ     0xA000
