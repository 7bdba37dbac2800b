; How Windows NT 4, 2000 and XP look for IDE drives, and the first commands they give.
; The sequence is that of the NT 4 driver kit's ATAPI miniport as systems that are compatible with it
; document it (ReactOS, UniATA): channels by cylinder registers that keep AAh, of either drive; drives
; by DEVICE RESET and the signature EB14h; IDENTIFY only where the status is 50h but for the error bit; no
; more than 256 words. Byte counts: SFF-8020i and ATA/ATAPI-6, 9.8: the driver writes the length of the
; whole transfer, or less.
; QEMU 7.2, whose disk is without DSC after a command that it refuses, differs.
%include "harness.inc"
%include "systems/ide.inc"

test:
        call    take_interrupts
        call    function
        xor     al, al
.channel:
        call    set_channel
        call    find_controller
        pushf
        mov     al, 0
        call    drive_at
        mov     ah, al
        mov     al, 1
        call    drive_at
        or      al, ah
        setnz   al                      ; somebody
        popf
        setz    ah
        cmp     al, ah
        expect  e, "a channel is there as soon as it has a drive"
        or      al, al
        jz      .next
        out_control 0x02                ; no interrupts
        xor     cl, cl
        call    find_device
        is_as_made "the master that was made"
        mov     cl, 1
        call    find_device
        is_as_made "the slave that was made"
        ; interrupts again; none was left over
        out_reg DEVICE, 0xA0
        in_reg  STATUS
        out_control 0
        call    settle
        call    count_interrupts
        or      ax, ax
        expect  z, "no interrupt while they were off, nor later"
        xor     cl, cl
        call    use
        mov     cl, 1
        call    use
.next:  mov     al, [channel]
        inc     al
        cmp     al, 2
        jb      .channel
        jmp     pass

; PCIIDE's look at the function, where there is one: both channels in compatibility mode for good, so
; that IRQ 14 and 15 and the ports of ATs are theirs; a bus master.
function:
        mov     ax, 0xB103
        mov     ecx, 0x010180
        xor     si, si
        int     0x1A
        jc      .end
        mov     ax, 0xB109
        mov     di, 0x08
        int     0x1A
        test    ch, 0x0F
        expect  z, "interface: compatibility mode, which cannot be changed"
        test    ch, 0x80
        expect  nz, "interface: a bus master"
        ; it may try, all the same
        mov     ax, 0xB10B
        mov     di, 0x09
        mov     cl, 0x8F
        int     0x1A
        mov     ax, 0xB108
        mov     di, 0x09
        int     0x1A
        cmp     cl, 0x80
        expect  e, "interface: as it was"
        mov     di, 0x10
.base:  mov     ax, 0xB10A
        int     0x1A
        or      ecx, ecx
        expect  z, "no base addresses in compatibility mode"
        add     di, 4
        cmp     di, 0x20
        jb      .base
        mov     ax, 0xB108
        mov     di, 0x3D
        int     0x1A
        or      cl, cl
        expect  z, "no interrupt pin: IRQ 14 and 15"
        mov     ax, 0xB109
        mov     di, 0x20
        int     0x1A
        test    cl, 1
        expect  nz, "the bus master has ports"
        and     cl, 0xF0
        mov     dx, cx
        or      dx, dx
        expect  nz, "which POST placed"
        add     dx, 2
        in      al, dx
        test    al, 0x80
        expect  z, "both channels at a time"
.end:   ret

; ZF: the cylinder register of a drive keeps what is written.
find_controller:
        out_reg DEVICE, 0xA0
        call    settle
        in_reg  STATUS
        cmp     al, 0xFF
        je      .slave
        out_reg LOW, 0xAA
        in_reg  LOW
        cmp     al, 0xAA
        je      .end
.slave: out_reg DEVICE, 0xB0
        call    settle
        out_reg LOW, 0xAA
        in_reg  LOW
        cmp     al, 0xAA
.end:   ret

select: mov     al, cl
        shl     al, 4
        or      al, 0xA0
        mov     dx, [port]
        add     dx, DEVICE
        out     dx, al
        call    settle
        ret

; DEVICE RESET, which a disk refuses.
soft_reset:
        call    select
        push    cx
        mov     cx, 500
        call    wait_cx
        pop     cx
        out_reg STATUS, 0x08
        push    cx
        mov     cx, 2000
        call    wait_cx
        pop     cx
        call    select
        call    wait_idle
        expect  nc, "DEVICE RESET is over soon"
        push    cx
        mov     cx, 500
        call    wait_cx
        pop     cx
        ret

; al: what unit cl is.
find_device:
        call    select
        in_reg  STATUS
        cmp     al, 0xFF
        je      .nothing
        call    soft_reset
        in_reg  LOW
        mov     bl, al
        in_reg  HIGH
        mov     bh, al
        cmp     bx, 0xEB14
        jne     .disk
        mov     bl, 0xA1
        call    identify
        jc      .nothing
        mov     al, [identity + 1]
        and     al, 0xDF
        cmp     al, 0x85
        expect  e, "word 0: a packet device, a CD drive"
        mov     al, PACKET
        ret
.disk:  mov     bl, 0xEC
        call    identify
        jc      .nothing
        test    byte [identity + 1], 0x80
        expect  z, "word 0: a disk"
        mov     al, DISK
        ret
.nothing:
        mov     al, NOTHING
        ret

; Command bl. CF: nobody identifies itself.
identify:
        call    select
        in_reg  STATUS
        cmp     bl, 0xEC
        jne     .go
        and     al, 0xFC                ; neither index nor error
        cmp     al, 0x50
        je      .go
        ; once more behind a reset: an absent slave keeps its 00h
        call    soft_reset
        in_reg  STATUS
        and     al, 0xFC
        cmp     al, 0x50
        jne     .none
.go:    out_reg HIGH, 0x02
        out_reg LOW, 0x00
        mov     al, bl
        mov     dx, [port]
        add     dx, STATUS
        out     dx, al
        call    settle
        call    wait_data
        jc      .none
        in_reg  STATUS
        test    al, ERR
        jnz     .none
        push    cx
        call    read_identity
        pop     cx
        call    wait_idle
        test    al, DRQ
        expect  z, "IDENTIFY: 256 words and no more"
        clc
        ret
.none:  stc
        ret

; What the driver does with what it found at unit cl, by interrupts.
use:    mov     al, cl
        call    drive_at
        cmp     al, DISK
        je      use_disk
        cmp     al, PACKET
        je      use_packet
        ret

use_disk:
        call    select
        ; geometry as IDENTIFY has it
        mov     bl, 0xEC
        call    identify
        expect  nc, "a disk identifies itself again"
        call    count_interrupts
        mov     al, [identity + 2 * 3]
        dec     al
        and     al, 15
        mov     ah, cl
        shl     ah, 4
        or      al, ah
        or      al, 0xA0
        mov     dx, [port]
        add     dx, DEVICE
        out     dx, al
        out_reg COUNT, [identity + 2 * 6]
        out_reg STATUS, 0x91
        call    one_interrupt
        in_reg  STATUS
        and     al, 0xFD
        cmp     al, 0x50
        expect  e, "INITIALIZE DEVICE PARAMETERS"
        ; as many sectors a block as it can have
        mov     al, [identity + 2 * 47]
        or      al, al
        expect  nz, "word 47: sectors a block"
        mov     dx, [port]
        add     dx, COUNT
        out     dx, al
        out_reg STATUS, 0xC6
        call    one_interrupt
        in_reg  STATUS
        and     al, 0xFD
        cmp     al, 0x50
        expect  e, "SET MULTIPLE MODE"
        ; READ MULTIPLE of one sector
        out_reg COUNT, 1
        out_reg SECTOR, 1
        out_reg LOW, 0
        out_reg HIGH, 0
        call    select
        out_reg STATUS, 0xC4
        call    one_interrupt
        in_alternate
        test    al, DRQ
        expect  nz, "READ MULTIPLE: data with the interrupt"
        in_reg  STATUS
        call    read_identity
        call    settle
        in_reg  STATUS
        test    al, BUSY | DRQ | ERR
        expect  z, "READ MULTIPLE: over when the data are read"
        call    count_interrupts
        or      ax, ax
        expect  z, "no interrupt behind the last data"
        ret

; INQUIRY by interrupts, with a byte count of its own for each time: 36 bytes in all.
use_packet:
        call    select
        in_reg  STATUS
        call    count_interrupts
        mov     si, .limits
.limit: mov     ax, [si]
        or      ax, ax
        jz      .end
        mov     [.count], ax
        call    .inquiry
        add     si, 2
        jmp     .limit
.end:   ret
.limits:
        dw      36, 0xFFFF, 0xFFFE, 512, 20, 10, 2, 0
.count: dw      0
.left:  dw      0
.inquiry:
        out_reg ERROR, 0
        out_reg LOW, [.count]
        out_reg HIGH, [.count + 1]
        out_reg STATUS, 0xA0
        call    settle
        call    wait_data
        expect  nc, "the packet is asked for"
        in_reg  COUNT
        and     al, 3
        cmp     al, 1
        expect  e, "reason 1: the packet"
        call    count_interrupts
        or      ax, ax
        expect  z, "no interrupt for the packet"
        push    si
        mov     si, .packet
        mov     cx, 6
        mov     dx, [port]
        rep outsw
        pop     si
        mov     word [.left], 36
.block: call    one_interrupt
        in_reg  STATUS
        test    al, BUSY | ERR
        expect  z, "neither busy nor in error at an interrupt"
        test    al, DRQ
        jz      .done
        in_reg  COUNT
        and     al, 3
        cmp     al, 2
        expect  e, "reason 2: data to the host"
        in_reg  LOW
        mov     bl, al
        in_reg  HIGH
        mov     bh, al
        or      bx, bx
        expect  nz, "a block has data"
        cmp     bx, [.left]
        expect  be, "and no more than are left"
        mov     ax, [.count]
        cmp     bx, ax
        expect  be, "nor than were asked for"
        sub     [.left], bx
        mov     cx, bx
        inc     cx
        shr     cx, 1
        mov     dx, [port]
        mov     di, identity
        rep insw
        jmp     .block
.done:  in_reg  COUNT
        and     al, 3
        cmp     al, 3
        expect  e, "reason 3: the end"
        cmp     word [.left], 0
        expect  e, "all of it came"
        ret
.packet:
        db      0x12, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0
%include "footer.inc"
