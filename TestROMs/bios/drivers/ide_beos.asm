; How the IDE bus manager of BeOS's successors (OpenBeOS, Haiku) scans a channel, by polling, and what
; its packet commands look at.
; After what is documented of "Open IDE" and ATA/ATAPI-5, 9.1 to 9.3 and 9.16: reset with interrupts
; off, at least 5 us, 2 ms of silence, patience; the device register reads back for whoever is there;
; signatures; IDENTIFY. A status of 00h or 7Fh or FFh is nobody's.
; Passes on QEMU.
%include "harness.inc"
%include "systems/ide.inc"

test:   xor     al, al
.channel:
        call    set_channel
        call    scan
        mov     al, [channel]
        inc     al
        cmp     al, 2
        jb      .channel
        jmp     pass

select: mov     al, cl
        shl     al, 4
        or      al, 0xA0
        mov     dx, [port]
        add     dx, DEVICE
        out     dx, al
        jmp     settle

scan:   out_control 0x02
        ; who is there before the reset?
        xor     cl, cl
        call    select
        in_alternate
        mov     bl, al
        mov     cl, 1
        call    select
        in_alternate
        mov     bh, al
        cmp     bx, 0x7F7F
        je      .empty
        cmp     bx, 0xFFFF
        je      .empty
        out_control 0x06
        mov     cx, 20
        call    wait_cx
        out_control 0x02
        mov     cx, 3000
        call    wait_cx
        ; the signatures of both first: what is written for one, the other has in its registers, too
        xor     cl, cl
        call    signature
        mov     [kinds], al
        mov     cl, 1
        call    signature
        mov     [kinds + 1], al
        xor     cl, cl
        mov     al, [kinds]
        call    unit
        is_as_made "device 0"
        mov     cl, 1
        mov     al, [kinds + 1]
        call    unit
        is_as_made "device 1"
        out_control 0
        ret
.empty: xor     ax, ax
        call    drive_at
        mov     ah, al
        mov     al, 1
        call    drive_at
        or      al, ah
        expect  z, "an empty channel floats"
        out_control 0
        ret

kinds:  db      0, 0

; Out: al = what unit cl seems to be.
signature:
        call    select
        in_alternate
        cmp     al, 0x7F
        je      .nothing
        cmp     al, 0xFF
        je      .nothing
        call    wait_idle
        expect  nc, "idle after the reset"
        in_reg  DEVICE
        mov     ah, cl
        shl     ah, 4
        and     al, 0x10
        cmp     al, ah
        expect  e, "the selected device"
        in_reg  COUNT
        cmp     al, 1
        jne     .nothing
        in_reg  SECTOR
        cmp     al, 1
        jne     .nothing
        in_reg  LOW
        mov     bl, al
        in_reg  HIGH
        mov     bh, al
        mov     al, PACKET
        cmp     bx, 0xEB14
        je      .end
        or      bx, bx
        jnz     .nothing
        in_alternate                    ; a master that answers for a slave has another status
        or      al, al
        jz      .nothing
        test    al, READY
        expect  nz, "a disk is ready after a reset"
        mov     al, DISK
.end:   ret
.nothing:
        mov     al, NOTHING
        ret

; Unit cl, which seems to be al. Out: al = what it is.
unit:   cmp     al, DISK
        je      .disk
        cmp     al, PACKET
        je      .packet
        ret
.disk:  mov     bl, 0xEC
        call    identify
        jc      .nothing
        cmp     word [identity + 2 * 1], 0
        expect  ne, "word 1: cylinders"
        mov     al, DISK
        ret
.packet:
        mov     bl, 0xA1
        call    identify
        expect  nc, "a packet device identifies itself"
        mov     ax, [identity]
        and     al, 3
        expect  z, "word 0: packets of 12 bytes"
        call    capacity
        mov     al, PACKET
        ret
.nothing:
        mov     al, NOTHING
        ret

; Command bl, polled.
identify:
        call    select
        out_reg STATUS, bl
        call    settle
        call    wait_data
        jc      .end
        push    cx
        call    read_identity
        pop     cx
        in_reg  STATUS
        test    al, BUSY | DRQ | ERR
        expect  z, "over when the data are read"
        clc
.end:   ret

; READ CAPACITY and a sector, with a byte count of a sector; REQUEST SENSE while there are complaints.
capacity:
        mov     byte [.tries], 0
.again: mov     si, .read_capacity
        mov     bp, 8
        call    packet
        jnc     .have
        mov     si, .request_sense
        mov     bp, 18
        call    packet
        expect  nc, "REQUEST SENSE does not fail"
        mov     al, [identity]
        and     al, 0x7F
        cmp     al, 0x70
        expect  e, "sense data"
        mov     al, [identity + 2]
        and     al, 15
        cmp     al, 6
        expect  e, "unit attention"
        inc     byte [.tries]
        cmp     byte [.tries], 4
        expect  b, "complaints end"
        jmp     .again
.have:  cmp     dword [identity + 4], 0x00080000
        expect  e, "2048 bytes a sector"
        cmp     dword [identity], 0
        expect  ne, "the last sector"
        mov     si, .read
        mov     bp, 2048
        call    packet
        expect  nc, "READ (10)"
        ret
.tries: db      0
.read_capacity:
        db      0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
.request_sense:
        db      0x03, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0
.read:  db      0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0, 0, 0

; The packet at si, of which bp bytes are expected. CF: it failed.
packet: push    cx
        call    select
        call    wait_idle
        out_reg ERROR, 0
        mov     bx, bp
        out_reg LOW, bl
        out_reg HIGH, bh
        out_reg STATUS, 0xA0
        call    settle
        call    wait_data
        expect  nc, "the packet is asked for"
        mov     cx, 6
        mov     dx, [port]
        rep outsw
        mov     di, identity
.block: call    settle
        call    wait_idle
        expect  nc, "a packet command is over soon"
        in_reg  STATUS
        test    al, ERR
        jnz     .failed
        test    al, DRQ
        jz      .over
        in_reg  COUNT
        and     al, 3
        cmp     al, 2
        expect  e, "data to the host"
        in_reg  LOW
        mov     cl, al
        in_reg  HIGH
        mov     ch, al
        sub     bp, cx
        expect  ae, "not more than was asked for"
        shr     cx, 1
        mov     dx, [port]
.word:  in      ax, dx
        cmp     di, identity + 510
        ja      .drop
        stosw
.drop:  loop    .word
        jmp     .block
.over:  or      bp, bp
        expect  z, "all that was asked for"
        pop     cx
        clc
        ret
.failed:
        pop     cx
        stc
        ret
%include "footer.inc"
