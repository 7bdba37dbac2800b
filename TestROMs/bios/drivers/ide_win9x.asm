; How Windows 95 and 98 and their setup come upon IDE drives, by interrupts throughout.
; Of the driver (ESDI_506.PDR) Microsoft published what it does, not how: it takes over drives that are
; the same to INT 13h, and leaves them to it ("MS-DOS compatibility mode") where the two disagree, a
; controller is not detected or an interrupt is lost (Knowledge Base Q130179, Q148821, Q154435; "Determining
; Mode Settings for PCI IDE Controllers", 1998). The steps are those of the protocols of its time: ATA-2 and
; ATA-3, 9.1 and 9.2 (soft reset, EXECUTE DEVICE DIAGNOSTIC), SFF-8020i (IDENTIFY PACKET DEVICE, TEST
; UNIT READY).
; QEMU 7.2 is not busy in a reset.
%include "harness.inc"
%include "systems/ide.inc"

test:
        call    take_interrupts
        xor     al, al
.channel:
        call    set_channel
        call    find
        call    reset
        call    find                    ; what is there is there afterwards, too
        call    diagnostic
        xor     cl, cl
        call    acquire
        mov     cl, 1
        call    acquire
        mov     al, [channel]
        inc     al
        cmp     al, 2
        jb      .channel
        call    int13
        jmp     pass

; Registers of a drive keep two patterns, one written after the other: nothing floats.
find:   xor     cl, cl
        call    .unit
        mov     cl, 1
.unit:  call    select
        out_reg COUNT, 0x55
        out_reg SECTOR, 0xAA
        in_reg  COUNT
        mov     bl, al
        in_reg  SECTOR
        mov     bh, al
        mov     al, cl
        push    bx
        call    drive_at
        pop     bx
        or      al, al
        jz      .absent
        cmp     bx, 0xAA55
        expect  e, "a drive's registers"
        out_reg COUNT, 0xAA
        out_reg SECTOR, 0x55
        in_reg  COUNT
        mov     bl, al
        in_reg  SECTOR
        mov     bh, al
        cmp     bx, 0x55AA
        expect  e, "a drive's registers, the other way round"
        ret
.absent:
        in_alternate
        test    al, BUSY | DRQ | READY  ; with DD7 pulled down, all the others float high
        jz      .end
        cmp     al, 0x7F
        expect  e, "the status of nobody: 00h beside a master, else floating"
        or      cl, cl
        jz      .end
        mov     al, 0
        call    drive_at
        or      al, al
        expect  z, "a master answers for an absent slave"
.end:   ret

select: mov     al, cl
        shl     al, 4
        or      al, 0xA0
        mov     dx, [port]
        add     dx, DEVICE
        out     dx, al
        jmp     settle

; Out: ZF when the channel has no drive at all; al, ah = master, slave.
both:   mov     al, 1
        call    drive_at
        mov     ah, al
        mov     al, 0
        call    drive_at
        push    ax
        or      al, ah
        pop     ax
        ret

; Soft reset with interrupts off and on again; ready within 31 seconds, in fact soon.
reset:  call    count_interrupts
        out_control 0x0E
        mov     cx, 10
        call    wait_cx
        call    both
        or      al, al
        jz      .no_master
        in_alternate
        test    al, BUSY
        expect  nz, "busy in the reset"
.no_master:
        out_control 0x08
        mov     cx, 2000
        call    wait_cx
        mov     cl, 0
        call    select
        call    both
        jz      .end
        or      al, al
        jz      .slave                  ; a slave alone: nobody answers for the master
        call    wait_idle
        expect  nc, "the reset ends"
        in_reg  ERROR
        and     al, 0x7F
        cmp     al, 1
        expect  e, "the master passed its test"
        mov     cl, 0
        call    signature
        call    both
        or      ah, ah
        jz      .end
.slave: mov     cl, 1
        call    select
        call    wait_idle
        expect  nc, "the slave's reset ends"
        mov     cl, 1
        call    signature
.end:   call    count_interrupts
        or      ax, ax
        expect  z, "a reset requests no interrupt"
        ret

; The registers of unit cl say what it is.
signature:
        call    select
        in_reg  COUNT
        mov     bl, al
        in_reg  SECTOR
        mov     bh, al
        cmp     bx, 0x0101
        expect  e, "signature: 01h, 01h"
        in_reg  LOW
        mov     bl, al
        in_reg  HIGH
        mov     bh, al
        push    bx
        mov     al, cl
        call    drive_at
        pop     bx
        cmp     al, PACKET
        je      .packet
        or      bx, bx
        expect  z, "signature of a disk"
        in_alternate
        test    al, READY
        expect  nz, "a disk is ready"
        ret
.packet:
        cmp     bx, 0xEB14
        expect  e, "signature of a packet device"
        in_alternate
        test    al, READY | BUSY | DRQ
        expect  z, "a packet device is not ready before its first command"
        ret

; Both drives test themselves; the master tells, and requests the interrupt.
diagnostic:
        call    both
        or      al, al
        jz      .end
        mov     cl, 0
        call    select
        call    count_interrupts
        out_reg STATUS, 0x90
        call    settle
        in_alternate
        test    al, BUSY
        expect  nz, "busy with the diagnostic"
        call    one_interrupt
        in_reg  ERROR
        cmp     al, 1
        expect  e, "diagnostic code 01h"
        mov     cl, 0
        call    signature
        in_reg  STATUS
        test    al, BUSY | DRQ | ERR
        expect  z, "after the diagnostic"
.end:   ret

; The driver takes unit cl.
acquire:
        mov     al, cl
        call    drive_at
        or      al, al
        jz      absent
        call    select
        call    count_interrupts
        out_reg STATUS, 0xEC
        call    one_interrupt           ; also for an error
        in_alternate
        mov     bl, al
        in_reg  STATUS                  ; which takes the request away
        cmp     al, bl
        expect  e, "both statuses are one"
        mov     al, cl
        push    bx
        call    drive_at
        pop     bx
        cmp     al, PACKET
        je      .packet
        test    bl, ERR
        expect  z, "IDENTIFY DEVICE of a disk"
        test    bl, DRQ
        expect  nz, "IDENTIFY DEVICE has data"
        push    cx
        call    read_identity
        pop     cx
        test    byte [identity + 2 * 49 + 1], 2
        expect  nz, "word 49: LBA"
        ; a status that another one reads takes no interrupt from whoever waits
        ; with interrupts off there are none
        out_control 0x0A
        out_reg STATUS, 0xEC
        call    wait_data
        expect  nc, "IDENTIFY without interrupts"
        call    count_interrupts
        or      ax, ax
        expect  z, "none while they are off"
        out_control 0x08
        call    settle
        call    count_interrupts
        cmp     ax, 1
        expect  e, "the request comes when they are on again"
        in_reg  STATUS
        push    cx
        call    read_identity
        pop     cx
        ; idle mode and back: what its power page does
        out_reg STATUS, 0xE5            ; CHECK POWER MODE
        call    one_interrupt
        in_reg  STATUS
        test    al, ERR
        expect  z, "CHECK POWER MODE"
        in_reg  COUNT
        cmp     al, 0xFF
        expect  e, "it is active"
        ret
.packet:
        test    bl, ERR
        expect  nz, "IDENTIFY DEVICE of a packet device is refused"
        test    bl, DRQ
        expect  z, "and has no data"
        in_reg  LOW
        cmp     al, 0x14
        expect  e, "but the signature, low"
        in_reg  HIGH
        cmp     al, 0xEB
        expect  e, "and high"
        out_reg STATUS, 0xA1
        call    one_interrupt
        in_reg  STATUS
        test    al, ERR
        expect  z, "IDENTIFY PACKET DEVICE"
        test    al, DRQ
        expect  nz, "IDENTIFY PACKET DEVICE has data"
        push    cx
        call    read_identity
        pop     cx
        call    settle
        call    count_interrupts
        or      ax, ax
        expect  z, "no interrupt behind them"
        ; what happened before is told once, if at all
        mov     byte [.tries], 0
.ready: out_reg ERROR, 0
        out_reg LOW, 0
        out_reg HIGH, 0
        out_reg STATUS, 0xA0
        call    settle
        call    wait_data
        expect  nc, "the packet is asked for"
        push    si
        mov     si, .test_unit_ready
        push    cx
        mov     cx, 6
        mov     dx, [port]
        rep outsw
        pop     cx
        pop     si
        call    one_interrupt
        in_reg  STATUS
        test    al, ERR
        jz      .is_ready
        in_reg  ERROR
        and     al, 0xF0
        cmp     al, 0x60
        expect  e, "unit attention"
        inc     byte [.tries]
        cmp     byte [.tries], 3
        expect  b, "not for ever"
        jmp     .ready
.is_ready:
        in_reg  COUNT
        and     al, 7
        cmp     al, 3
        expect  e, "interrupt reason at the end"
        ret
.tries: db      0
.test_unit_ready:
        times 12 db 0

; A command to nobody: neither answer nor interrupt, and the other drive is not disturbed.
absent: call    both
        jz      .end
        call    count_interrupts
        call    select
        out_reg STATUS, 0xEC
        call    settle
        in_alternate
        test    al, BUSY
        expect  z, "nobody is busy"
        cmp     al, 0x7F
        je      .floats
        or      al, al
        expect  z, "status of an absent drive"
.floats:
        push    cx
        mov     cx, 2000
        call    wait_cx
        pop     cx
        call    count_interrupts
        or      ax, ax
        expect  z, "nobody requests an interrupt"
.end:   ret

; Drives of INT 13h are those that were found: as many disks, 40:75, CMOS 12h for the first two.
int13:  xor     bx, bx
        xor     cx, cx
.count: cmp     byte [bx + drives], DISK
        jne     .next
        inc     cl
.next:  inc     bx
        cmp     bl, 4
        jb      .count
        cmp     cl, [0x475]
        expect  e, "40:75 counts the disks"
        push    cx
        mov     ah, 0x08
        mov     dl, 0x80
        push    es
        int     0x13
        pop     es
        pop     cx
        jc      .none
        cmp     dl, cl
        expect  e, "08h counts them, too"
        ret
.none:  or      cl, cl
        expect  z, "08h fails without disks only"
        ret
%include "footer.inc"
