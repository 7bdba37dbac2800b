; What a boot loader such as BeOS's asks of the BIOS.
; After the documentation of its successors' BIOS platform (Haiku): memory by E820h; VESA modes, else
; VGA 640x480; APM connected for 32 bits; drives by 41h and 48h with the device parameters by which a
; driver finds the same drive again (EDD 1.1 and 3.0), sectors compared; keys at the start by INT 16h 01h.
; Passes on QEMU with SeaBIOS.
%include "harness.inc"
%include "systems/ide.inc"

test:
        xor     ebx, ebx
        xor     bp, bp
.map:   mov     eax, 0xE820
        mov     edx, 0x534D4150
        mov     ecx, 20
        mov     di, buffer
        int     0x15
        expect  nc, "E820h"
        cmp     dword [buffer + 16], 1
        jne     .reserved
        inc     bp
.reserved:
        or      ebx, ebx
        jnz     .map
        or      bp, bp
        expect  nz, "E820h: memory"
        mov     ah, 0x01
        int     0x16
        expect  z, "no key is waiting"
        mov     ah, 0x02
        int     0x16
        test    al, 0x0F
        expect  z, "nor held"
        ; ---- VESA, if there is any
        push    word buffer_segment
        pop     es
        xor     di, di
        mov     dword [es:0], "VBE2"
        mov     ax, 0x4F00
        int     0x10
        cmp     ax, 0x004F
        jne     .vga
        cmp     dword [es:0], "VESA"
        expect  e, "4F00h: VESA"
        cmp     word [es:4], 0x0102
        expect  ae, "4F00h: 1.2 at least"
        lfs     si, [es:14]
        xor     bp, bp
.mode:  fs lodsw
        cmp     ax, 0xFFFF
        je      .modes
        mov     cx, ax
        mov     di, 0x200
        mov     ax, 0x4F01
        int     0x10
        cmp     ax, 0x004F
        expect  e, "4F01h of a mode that is listed"
        inc     bp
        cmp     bp, 200
        expect  b, "modes end"
        jmp     .mode
.modes: or      bp, bp
        expect  nz, "4F00h: modes"
        mov     ax, 0x4F03
        int     0x10
        cmp     ax, 0x004F
        expect  e, "4F03h: the present mode"
        ; ---- else the VGA
.vga:   push    word 0
        pop     es
        mov     ax, 0x0012
        int     0x10
        mov     ah, 0x0F
        int     0x10
        and     al, 0x7F
        cmp     al, 0x12
        expect  e, "640x480 in 16 colours"
        cmp     ah, 80
        expect  e, "80 columns there"
        mov     ax, 0x0003
        int     0x10
        ; ---- power
        mov     ax, 0x5300
        xor     bx, bx
        int     0x15
        expect  nc, "5300h"
        mov     ax, 0x5304
        xor     bx, bx
        int     0x15
        mov     ax, 0x5303
        xor     bx, bx
        int     0x15
        expect  nc, "5303h"
        mov     ax, 0x5304
        xor     bx, bx
        int     0x15
        expect  nc, "5304h"
        ; ---- drives: each disk of INT 13h is where 48h says
        mov     byte [unit], 0x7F
        xor     bx, bx
.drive: cmp     byte [bx + drives], DISK
        jne     .next
        inc     byte [unit]
        call    drive
.next:  inc     bx
        cmp     bl, 4
        jb      .drive
        jmp     pass

; Disk [unit] is at position bx.
drive:  push    bx
        mov     dl, [unit]
        mov     bx, 0x55AA
        mov     ah, 0x41
        int     0x13
        pop     bx
        expect  nc, "41h"
        test    cl, 4
        expect  nz, "41h: EDD"
        push    bx
        mov     word [buffer], 74
        mov     si, buffer
        mov     dl, [unit]
        mov     ah, 0x48
        int     0x13
        pop     bx
        expect  nc, "48h"
        cmp     word [buffer], 30
        expect  ae, "48h: with device parameters"
        les     di, [buffer + 26]
        mov     ax, es
        and     ax, di
        cmp     ax, 0xFFFF
        expect  ne, "48h: there are device parameters"
        mov     ax, 0x1F0
        mov     dx, 0x3F6
        mov     cl, 14
        test    bl, 2
        jz      .ports
        mov     ax, 0x170
        mov     dx, 0x376
        inc     cl
.ports: cmp     [es:di], ax
        expect  e, "device parameters: the channel's ports"
        cmp     [es:di + 2], dx
        expect  e, "device parameters: its control port"
        mov     al, bl
        and     al, 1
        shl     al, 4
        mov     ah, [es:di + 4]
        and     ah, 0x10
        cmp     al, ah
        expect  e, "device parameters: master or slave"
        mov     al, [es:di + 6]
        and     al, 15
        cmp     al, cl
        expect  e, "device parameters: the interrupt"
        xor     si, si
        xor     al, al
        mov     cx, 16
.sum:   add     al, [es:di]
        inc     di
        loop    .sum
        or      al, al
        expect  z, "device parameters: checksum"
        push    word 0
        pop     es
        cmp     word [buffer], 66
        jb      .read
        cmp     word [buffer + 30], 0xBEDD
        expect  e, "48h: device path"
        cmp     word [buffer + 40], "AT"
        expect  e, "device path: ATA"
        mov     al, bl
        and     al, 1
        cmp     [buffer + 56], al
        expect  e, "device path: master or slave"
        movzx   cx, byte [buffer + 32]
        xor     al, al
        mov     si, buffer + 30
.pathsum:
        add     al, [si]
        inc     si
        loop    .pathsum
        or      al, al
        expect  z, "device path: checksum"
.read:  ; the sector that the BIOS reads is the one at these ports
        push    bx
        mov     ax, 0x0201
        mov     cx, 1
        mov     dh, 0
        mov     dl, [unit]
        mov     bx, buffer + 512
        int     0x13
        pop     bx
        expect  nc, "02h"
        mov     al, bl
        shr     al, 1
        call    set_channel
        out_control 0x02
        mov     al, bl
        and     al, 1
        shl     al, 4
        or      al, 0xE0
        mov     dx, [port]
        add     dx, DEVICE
        out     dx, al
        call    settle
        out_reg COUNT, 1
        out_reg SECTOR, 0
        out_reg LOW, 0
        out_reg HIGH, 0
        out_reg STATUS, 0x20
        call    settle
        call    wait_data
        expect  nc, "READ SECTORS"
        call    read_identity
        in_reg  STATUS
        out_control 0
        mov     si, identity
        mov     di, buffer + 512
        mov     cx, 256
        repe cmpsw
        expect  e, "the same sector by INT 13h and by the drive's ports"
        ret

unit:   db      0
        align   4
buffer: times 1024 db 0
buffer_segment equ 0x2000
%include "footer.inc"
