; How drivers of DOS find and use ATAPI CD drives: OAKCDROM and VIDE-CDD, UDVD2.
; UDVD2's README of 2013 (controllers by PCI BIOS, Ultra DMA unless /UX), and what that driver was seen
; to read: IDENTIFY PACKET DEVICE at each position without a signature, word 0, of word 53 bit 2, of
; word 88 the high byte, which must not be zero for it to use DMA; the command register's bits 0 and 2.
; Commands: SFF-8020i and INF-8090i (READ TOC, where byte 9 has the format for drives of 1994, READ CD
; MSF, SEEK, MODE SENSE 2Ah, MECHANISM STATUS); SFF-8038i (the bus master).
; The disc: 1000 sectors, byte i of sector n is n + i / 256.
; QEMU 7.2 has no READ CD MSF, and SeaBIOS neither enables the bus master nor selects modes.
%include "harness.inc"
%include "systems/ide.inc"

TABLE   equ 0x1A000             ; region table and what DMA brings, on 64 KiB
BY_DMA  equ 0x20000

test:
        mov     ax, 0xB101
        int     0x1A
        jc      .no_pci
        mov     ax, 0xB103
        mov     ecx, 0x010180
        xor     si, si
        int     0x1A
        expect  nc, "an IDE bus master"
        mov     ax, 0xB10A
        mov     di, 4
        int     0x1A
        not     cl
        test    cl, 5
        expect  z, "ports and bus master are enabled"
        mov     ax, 0xB10A
        mov     di, 0x20
        int     0x1A
        and     cl, 0xFC
        mov     [master], cx
.no_pci:
        xor     al, al
.channel:
        call    set_channel
        out_control 0x08                ; interrupts, of which these know nothing
        xor     cl, cl
        call    unit
        mov     cl, 1
        call    unit
        mov     al, [channel]
        inc     al
        cmp     al, 2
        jb      .channel
        jmp     pass

; UDVD2's, and OAKCDROM's: IDENTIFY PACKET DEVICE without looking at signatures.
unit:   mov     al, cl
        shl     al, 4
        or      al, 0xA0
        mov     dx, [port]
        add     dx, DEVICE
        out     dx, al
        call    wait_status
        expect  nc, "nobody is busy for long"
        out_reg STATUS, 0xA1
        call    wait_status
        expect  nc, "nor with IDENTIFY PACKET DEVICE"
        mov     ah, al
        mov     al, cl
        push    ax
        call    drive_at
        mov     bl, al
        pop     ax
        cmp     ah, 0x7F
        je      .absent
        test    ah, DRQ
        jz      .absent
        cmp     bl, PACKET
        expect  e, "a packet device, and only one, has data"
        push    cx
        call    read_identity
        pop     cx
        mov     ax, [identity]
        and     ax, 0xDF03
        cmp     ax, 0x8500
        expect  e, "word 0: a CD drive with packets of 12 bytes"
        cmp     word [master], 0
        je      .use
        test    byte [identity + 2 * 53], 4
        expect  nz, "word 53: word 88 means something"
        cmp     byte [identity + 2 * 88 + 1], 0
        expect  ne, "word 88: the BIOS has selected an Ultra DMA mode"
        mov     dx, [master]
        cmp     word [channel], 0
        je      .status
        add     dx, 8
.status:
        mov     [engine], dx
        add     dx, 2
        in      al, dx
        mov     ah, 0x20
        shl     ah, cl
        test    al, ah
        expect  nz, "the bus master knows of a drive for DMA"
.use:   jmp     use
.absent:
        cmp     bl, PACKET
        expect  ne, "a CD drive has data"
        ret

; By the status, which takes interrupts away. Out: al, CF set after a while.
wait_status:
        push    ecx
        mov     ecx, 1000000
        mov     dx, [port]
        add     dx, STATUS
.next:  in      al, dx
        test    al, BUSY
        jz      .end
        dec     ecx
        jnz     .next
        stc
.end:   pop     ecx
        ret

use:    ; DEVICE RESET when something went wrong: ready for a packet at once
        out_reg STATUS, 0x08
        call    wait_status
        expect  nc, "DEVICE RESET"
        in_reg  LOW
        cmp     al, 0x14
        expect  e, "DEVICE RESET: signature, low"
        in_reg  HIGH
        cmp     al, 0xEB
        expect  e, "DEVICE RESET: signature, high"
        ; TEST UNIT READY until there are no complaints
        mov     bp, 4
.ready: mov     si, test_unit_ready
        call    command
        jnc     .is_ready
        mov     si, request_sense
        call    command
        expect  nc, "REQUEST SENSE"
        dec     bp
        expect  nz, "complaints end"
        jmp     .ready
.is_ready:
        mov     si, capacity
        call    command
        expect  nc, "READ CAPACITY"
        cmp     dword [data], 0xE7030000
        expect  e, "READ CAPACITY: sector 999 is the last"
        cmp     word [moved], 8
        expect  e, "READ CAPACITY: 8 bytes"
        ; the table of contents, with addresses in minutes, seconds, frames
        mov     si, toc
        call    command
        expect  nc, "READ TOC"
        cmp     word [data], 0x1200
        expect  e, "READ TOC: length"
        cmp     word [data + 2], 0x0101
        expect  e, "READ TOC: track 1 only"
        mov     al, [data + 5]
        and     al, 0x0F
        cmp     al, 4
        expect  e, "READ TOC: a track of data"
        cmp     dword [data + 8], 0x00020000
        expect  e, "READ TOC: it begins at 00:02:00"
        cmp     byte [data + 14], 0xAA
        expect  e, "READ TOC: lead-out"
        cmp     dword [data + 16], 0x190F0000
        expect  e, "READ TOC: lead-out at 00:15:25"
        ; sessions: format 1, in byte 9 as drives of 1994 have it
        mov     si, sessions
        call    command
        expect  nc, "READ TOC of sessions"
        cmp     word [data + 2], 0x0101
        expect  e, "READ TOC of sessions: one"
        cmp     dword [data + 8], 0
        expect  e, "READ TOC of sessions: it begins at 0"
        ; what the drive can do
        mov     si, mode_sense
        call    command
        expect  nc, "MODE SENSE of page 2Ah"
        mov     al, [data + 8]
        and     al, 0x3F
        cmp     al, 0x2A
        expect  e, "MODE SENSE: the page"
        mov     si, mechanism
        call    command
        expect  nc, "MECHANISM STATUS"
        mov     si, lock_tray
        call    command
        expect  nc, "PREVENT REMOVAL"
        mov     si, unlock_tray
        call    command
        expect  nc, "ALLOW REMOVAL"
        mov     si, seek
        call    command
        expect  nc, "SEEK"
        mov     si, inquiry
        call    command
        expect  nc, "INQUIRY"
        cmp     word [data], 0x8005
        expect  e, "INQUIRY: a CD drive, removable"
        ; sectors: READ (10), READ (12), READ CD, READ CD MSF, all the same
        mov     si, read10
        mov     bx, 517
        call    sector
        mov     si, read12
        mov     bx, 517
        call    sector
        mov     si, read_cd
        mov     bx, 517
        call    sector
        mov     si, read_msf
        mov     bx, 517
        call    sector
        ; behind the end
        mov     si, beyond
        call    command
        expect  c, "no sector 1000"
        mov     si, request_sense
        call    command
        mov     al, [data + 2]
        and     al, 15
        cmp     al, 5
        expect  e, "illegal request"
        cmp     byte [data + 12], 0x21
        expect  e, "out of range"
        cmp     word [master], 0
        jne     dma
        ret

; The sector that the packet at si reads is bx.
sector: call    command
        expect  nc, "a sector is read"
        cmp     word [moved], 2048
        expect  e, "2048 bytes"
        mov     di, data
        mov     cx, 2048
        xor     si, si
.next:  mov     ax, si
        mov     al, ah
        add     al, bl
        scasb
        expect  e, "the sector that was asked for"
        inc     si
        loop    .next
        ret

; The packet at si by PIO, with a byte count of 2048; data go to `data`. Out: CF.
command:
        call    wait_status
        out_reg ERROR, 0
        out_reg LOW, 0x00
        out_reg HIGH, 0x08
        out_reg STATUS, 0xA0
        call    settle
        call    wait_status
        test    al, DRQ
        expect  nz, "the packet is asked for"
        mov     dx, [port]
        mov     cx, 6
        rep outsw
        mov     word [moved], 0
        mov     di, data
.block: call    settle
        call    wait_status
        expect  nc, "a command takes less than a second"
        test    al, ERR
        jnz     .failed
        test    al, DRQ
        jz      .end
        in_reg  HIGH
        mov     ch, al
        in_reg  LOW
        mov     cl, al
        add     [moved], cx
        cmp     cx, 2048
        expect  be, "as many bytes as were allowed"
        shr     cx, 1
        mov     dx, [port]
        rep insw
        jmp     .block
.end:   clc
        ret
.failed:
        stc
        ret

; UDVD2's way to read: the engine is set up, then PACKET with DMA, packet, start; its status is polled.
dma:    mov     dx, [engine]
        mov     al, 8
        out     dx, al
        add     dx, 2
        in      al, dx
        or      al, 6
        out     dx, al
        add     dx, 2
        mov     eax, TABLE
        out     dx, eax
        push    es
        push    word TABLE >> 4
        pop     es
        mov     dword [es:0], BY_DMA
        mov     dword [es:4], 0x80000000 | 8 * 2048
        pop     es
        out_reg ERROR, 1
        out_reg LOW, 0
        out_reg HIGH, 0
        out_reg STATUS, 0xA0
        call    wait_status
        expect  nc, "the packet is asked for, for DMA"
        test    al, DRQ
        expect  nz, "the packet is asked for, for DMA"
        mov     si, read8
        mov     dx, [port]
        mov     cx, 6
        rep outsw
        mov     dx, [engine]
        in      al, dx
        inc     ax
        out     dx, al
        mov     ecx, 1000000
        add     dx, 2
.poll:  in      al, dx
        test    al, 6
        jnz     .over
        dec     ecx
        jnz     .poll
.over:  mov     bl, al
        sub     dx, 2
        in      al, dx
        and     al, 0xFE
        out     dx, al
        and     bl, 7
        cmp     bl, 4
        expect  e, "the engine is done, and the drive"
        call    wait_status
        test    al, BUSY | DRQ | ERR
        expect  z, "the drive is content"
        push    ds
        push    word BY_DMA >> 4
        pop     ds
        xor     si, si
.byte:  mov     ax, si
        shr     ax, 8
        mov     cx, si
        shr     cx, 11
        and     al, 7
        add     al, cl
        add     al, 100
        cmp     [si], al
        jne     .bad
        inc     si
        cmp     si, 8 * 2048
        jb      .byte
.bad:   pop     ds
        expect  e, "eight sectors by DMA"
        ret

test_unit_ready:
        times 12 db 0
request_sense:
        db      0x03, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0
capacity:
        db      0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
toc:    db      0x43, 2, 0, 0, 0, 0, 0, 0x03, 0x24, 0, 0, 0
sessions:
        db      0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40, 0, 0
mode_sense:
        db      0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 64, 0, 0, 0
mechanism:
        db      0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0
lock_tray:
        db      0x1E, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0
unlock_tray:
        db      0x1E, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
seek:   db      0x2B, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0
inquiry:
        db      0x12, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0
read10: db      0x28, 0, 0, 0, 2, 5, 0, 0, 1, 0, 0, 0
read12: db      0xA8, 0, 0, 0, 2, 5, 0, 0, 0, 1, 0, 0
read_cd:
        db      0xBE, 0, 0, 0, 2, 5, 0, 0, 1, 0x10, 0, 0
read_msf:                                       ; 517 + 150 frames: 00:08:67
        db      0xB9, 0, 0, 0, 8, 67, 0, 8, 68, 0x10, 0, 0
beyond: db      0x28, 0, 0, 0, 3, 0xE8, 0, 0, 1, 0, 0, 0
read8:  db      0x28, 0, 0, 0, 0, 100, 0, 0, 8, 0, 0, 0

master: dw      0
engine: dw      0
moved:  dw      0
        align   4
data:   times 2048 db 0
%include "footer.inc"
