; How OS/2's drivers (IBM1S506.ADD, DANIS506.ADD) find drives and set them up.
; After IBM's "Fixed IDE hard drive and removable media support" (2001 to 2005: parameters, chipsets,
; Intel's among them) and DANIS506's parameters: adapters at 1F0h and 170h; a unit is there when its
; registers keep what is written; reset, then IDENTIFY by interrupt; geometry by INT 13h 08h and by IDENTIFY;
; transfer modes by SET FEATURES, with the timing registers of the PIIX's data sheet (82371SB: 40h, 42h,
; 44h), the capable bits of the bus master (SFF-8038i) and a first read by DMA, which is compared with
; one by PIO. Commands: ATA-3, ATA/ATAPI-4.
; Passes on QEMU -M isapc; with PCI SeaBIOS leaves the bus master to drivers.
%include "harness.inc"
%include "systems/ide.inc"

TABLE   equ 0x9000              ; region table
BY_DMA  equ 0xA000
BY_PIO  equ 0xA400

test:
        call    take_interrupts
        mov     ax, 0xB103              ; an IDE function
        mov     ecx, 0x010180
        xor     si, si
        int     0x1A
        jc      .no_pci
        mov     [function], bx
        mov     ax, 0xB109
        mov     di, 4
        int     0x1A
        and     cl, 5
        cmp     cl, 5
        expect  e, "ports and bus master are enabled"
        mov     ax, 0xB109
        mov     di, 0x20
        int     0x1A
        test    cl, 1
        expect  nz, "BMIBA: ports"
        and     cl, 0xF0
        or      cx, cx
        expect  nz, "BMIBA: set"
        mov     [master], cx
        mov     ax, 0xB10A
        mov     di, 0x40
        int     0x1A
        and     ecx, 0x80008000
        cmp     ecx, 0x80008000
        expect  e, "IDETIM: both channels are decoded"
.no_pci:
        xor     al, al
.channel:
        call    set_channel
        xor     cl, cl
        call    unit_there
        mov     cl, 1
        call    unit_there
        mov     al, 0
        call    drive_at
        mov     ah, al
        mov     al, 1
        call    drive_at
        or      al, ah
        jz      .next
        call    reset
        xor     cl, cl
        call    set_up
        mov     cl, 1
        call    set_up
.next:  mov     al, [channel]
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

; A unit's registers keep 5Ah, A5h with it selected, and the other unit selected in between.
unit_there:
        call    select
        out_reg LOW, 0x5A
        out_reg HIGH, 0xA5
        in_reg  LOW
        mov     bl, al
        in_reg  HIGH
        mov     bh, al
        in_reg  DEVICE
        mov     ch, al
        mov     al, cl
        push    bx
        call    drive_at
        pop     bx
        or      al, al
        jz      .end
        cmp     bx, 0xA55A
        expect  e, "registers of a unit"
        mov     al, cl
        shl     al, 4
        or      al, 0xA0
        cmp     al, ch
        expect  e, "the device register reads back"
.end:   ret

reset:  out_control 0x06
        mov     cx, 50
        call    wait_cx
        out_control 0x02
        mov     cx, 2000
        call    wait_cx
        xor     cl, cl
        mov     al, 0
        call    drive_at
        or      al, al
        jnz     .wait
        inc     cl
.wait:  call    select
        call    wait_idle
        expect  nc, "the reset ends"
        in_reg  STATUS
        out_control 0
        call    count_interrupts
        ret

set_up: mov     al, cl
        call    drive_at
        cmp     al, NOTHING
        je      .end
        mov     bl, 0xEC
        cmp     al, DISK
        je      .identify
        mov     bl, 0xA1
.identify:
        call    select
        call    count_interrupts
        mov     al, bl
        mov     dx, [port]
        add     dx, STATUS
        out     dx, al
        call    one_interrupt
        in_reg  STATUS
        test    al, ERR
        expect  z, "IDENTIFY"
        push    cx
        call    read_identity
        pop     cx
        ; flow control and the PIO mode of word 64
        test    byte [identity + 2 * 53], 2
        expect  nz, "word 53: words 64 to 70"
        mov     al, [identity + 2 * 64]
        and     al, 3
        expect  nz, "word 64: a mode with flow control"
        mov     bl, 0x0B
        shr     al, 1
        jz      .pio
        inc     bl
.pio:   call    set_mode
        ; the best multiword mode, then as word 63 says it is selected
        mov     bl, 0x22
        call    set_mode
        call    again
        cmp     byte [identity + 2 * 63 + 1], 4
        expect  e, "word 63: multiword mode 2 is selected"
        cmp     byte [identity + 2 * 88 + 1], 0
        expect  e, "word 88: and none of Ultra DMA"
        mov     bl, 0x42
        call    set_mode
        call    again
        cmp     byte [identity + 2 * 88 + 1], 4
        expect  e, "word 88: Ultra DMA mode 2 is selected"
        cmp     byte [identity + 2 * 63 + 1], 0
        expect  e, "word 63: no longer multiword mode"
        mov     bl, 0x4F
        call    refuse_mode
        mov     al, cl
        call    drive_at
        cmp     al, DISK
        jne     .end
        call    compare_geometry
        cmp     word [master], 0
        jne     dma
.end:   ret

; Transfer mode bl.
set_mode:
        call    mode
        in_reg  STATUS
        test    al, ERR
        expect  z, "SET FEATURES 03h"
        ret
refuse_mode:
        call    mode
        in_reg  STATUS
        test    al, ERR
        expect  nz, "a mode that there is not"
        in_reg  ERROR
        test    al, 4
        expect  nz, "is aborted"
        ret
mode:   out_reg ERROR, 0x03
        out_reg COUNT, bl
        call    select
        out_reg STATUS, 0xEF
        jmp     one_interrupt

; IDENTIFY as before.
again:  mov     al, cl
        call    drive_at
        mov     bl, 0xEC
        cmp     al, DISK
        je      .command
        mov     bl, 0xA1
.command:
        call    select
        out_reg STATUS, bl
        call    one_interrupt
        in_reg  STATUS
        push    cx
        call    read_identity
        pop     cx
        ret

; INT 13h's geometry and INT 41h's do not have more sectors than the disk.
compare_geometry:
        push    cx
        mov     dl, 0x80
        xor     bx, bx                  ; which disk of the BIOS this one is
        mov     al, cl
        movzx   si, al
        add     si, [channel]
        add     si, [channel]
.count: cmp     bx, si
        jae     .have
        cmp     byte [bx + drives], DISK
        jne     .other
        inc     dl
.other: inc     bx
        jmp     .count
.have:  push    es
        mov     ah, 0x08
        int     0x13
        pop     es
        expect  nc, "INT 13h 08h"
        mov     al, dh
        movzx   eax, al
        inc     eax
        movzx   edx, cl
        and     edx, 0x3F
        imul    eax, edx
        movzx   edx, ch
        and     cl, 0xC0
        shl     cx, 2
        mov     dh, ch
        and     dh, 3
        inc     edx
        imul    eax, edx
        cmp     eax, [identity + 2 * 60]
        expect  be, "INT 13h's geometry is within the disk"
        mov     edx, [identity + 2 * 60]
        shr     edx, 1
        cmp     eax, edx
        expect  ae, "and has most of it"
        pop     cx
        ret

; The timings of the channel's drive, the capable bit, and a read by DMA.
dma:    push    cx
        mov     bx, [function]
        mov     di, 0x40
        add     di, [channel]
        add     di, [channel]
        mov     cx, 0xA377
        mov     ax, 0xB10C
        int     0x1A
        mov     ax, 0xB109
        int     0x1A
        cmp     cx, 0xA377
        expect  e, "IDETIM is kept"
        mov     cl, 0x0F
        mov     di, 0x44
        mov     ax, 0xB10B
        int     0x1A
        mov     ax, 0xB108
        int     0x1A
        cmp     cl, 0x0F
        expect  e, "SIDETIM is kept"
        pop     cx
        mov     dx, [master]
        cmp     word [channel], 0
        je      .first
        add     dx, 8
.first: mov     [engine], dx
        ; the BIOS has said that the drive can do DMA
        add     dx, 2
        in      al, dx
        mov     ah, 0x20
        shl     ah, cl
        test    al, ah
        expect  nz, "the capable bit of a drive"
        test    al, 0x80
        expect  z, "both channels at a time"
        call    select
        out_reg COUNT, 2
        out_reg SECTOR, 1
        out_reg LOW, 0
        out_reg HIGH, 0
        out_reg STATUS, 0x20
        mov     di, BY_PIO
        mov     bp, 2
.block: call    one_interrupt
        in_reg  STATUS
        test    al, DRQ
        expect  nz, "READ SECTORS"
        push    cx
        mov     cx, 256
        mov     dx, [port]
        rep insw
        pop     cx
        dec     bp
        jnz     .block
        ; two regions
        mov     dword [TABLE], BY_DMA
        mov     dword [TABLE + 4], 512
        mov     dword [TABLE + 8], BY_DMA + 512
        mov     dword [TABLE + 12], 0x80000000 | 512
        mov     dx, [engine]
        mov     al, 8                   ; to memory, not yet started
        out     dx, al
        add     dx, 4
        mov     eax, TABLE
        out     dx, eax
        sub     dx, 2
        in      al, dx
        or      al, 6
        out     dx, al
        in      al, dx
        test    al, 6
        expect  z, "error and interrupt are taken away, the capable bits stay"
        test    al, 0x60
        expect  nz, "capable bits"
        call    select
        out_reg COUNT, 2
        out_reg SECTOR, 1
        out_reg LOW, 0
        out_reg HIGH, 0
        out_reg STATUS, 0xC8
        mov     dx, [engine]
        mov     al, 9
        out     dx, al
        call    one_interrupt
        mov     dx, [engine]
        add     dx, 2
        in      al, dx
        and     al, 7
        cmp     al, 4
        expect  e, "status: the interrupt came, neither active nor in error"
        sub     dx, 2
        mov     al, 8
        out     dx, al
        in_reg  STATUS
        test    al, BUSY | DRQ | ERR
        expect  z, "READ DMA"
        push    cx
        mov     si, BY_PIO
        mov     di, BY_DMA
        mov     cx, 512
        repe cmpsw
        pop     cx
        expect  e, "by DMA as by PIO"
        ret

function:       dw 0
master:         dw 0
engine:         dw 0
%include "footer.inc"
