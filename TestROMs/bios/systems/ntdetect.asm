; What NTDETECT.COM (NT 3.1 to XP) looks for before the kernel starts, in real mode, and NTLDR with it.
; After Microsoft's "Detecting Hardware" (Windows 2000 Server resource kit: computer, bus and adapter types,
; displays, keyboard, serial and parallel ports, floppies, mice, coprocessor) and the registry's keys that
; it fills; how each can be told: Ralf Brown's Interrupt List (INT 11h, 12h, 13h 08h, 15h, 41h, 48h,
; INT 15h 88h, C0h, C1h, C2h, D8h, E801h, E820h, INT 1Ah B1h), IBM's AT and PS/2 references (data
; area, 8042, INT 11h bit 2).
; Passes on QEMU with SeaBIOS.
%include "harness.inc"
%include "systems/ide.inc"

test:
        ; ---- the machine: neither EISA nor Micro Channel, but an AT
        mov     ah, 0xC0
        int     0x15
        expect  nc, "INT 15h C0h"
        cmp     byte [es:bx + 2], 0xFC
        expect  e, "C0h: an AT"
        test    byte [es:bx + 5], 0x02
        expect  z, "C0h: no Micro Channel"
        test    byte [es:bx + 5], 0x40
        expect  nz, "C0h: two interrupt controllers"
        test    byte [es:bx + 5], 0x20
        expect  nz, "C0h: a clock"
        push    word 0xF000
        pop     es
        cmp     dword [es:0xFFD9], "EISA"
        expect  ne, "F000:FFD9: no EISA"
        push    word 0
        pop     es
        mov     ax, 0xD800
        xor     cx, cx
        int     0x15
        expect  c, "INT 15h D800h: no EISA slots"
        cmp     ah, 0x86
        expect  e, "INT 15h D800h: not there"

        ; ---- memory
        int     0x12
        cmp     ax, [0x413]
        expect  e, "INT 12h and 40:13"
        mov     bx, [0x40E]
        shr     bx, 6
        cmp     ax, bx
        expect  e, "the EBDA is behind it"
        mov     ah, 0xC1
        int     0x15
        expect  nc, "INT 15h C1h"
        mov     ax, es
        push    word 0
        pop     es
        cmp     ax, [0x40E]
        expect  e, "C1h: the EBDA"
        mov     ah, 0x88
        int     0x15
        expect  nc, "INT 15h 88h"
        mov     bp, ax
        xor     cx, cx
        xor     dx, dx
        mov     ax, 0xE801
        int     0x15
        expect  nc, "E801h"
        jcxz    .in_ax
        mov     ax, cx
        mov     bx, dx
.in_ax: cmp     ax, 0x3C00
        expect  be, "E801h: up to 16 MiB"
        or      bx, bx
        jz      .small
        cmp     ax, 0x3C00
        expect  e, "E801h: all of it where there is more"
.small: cmp     bp, ax
        expect  ae, "88h tells as much"
        xor     ebx, ebx
        mov     byte [count], 0
.e820:  mov     eax, 0xE820
        mov     edx, 0x534D4150
        mov     ecx, 20
        mov     di, buffer
        int     0x15
        expect  nc, "E820h"
        cmp     eax, 0x534D4150
        expect  e, "E820h: SMAP"
        cmp     ecx, 20
        expect  e, "E820h: 20 bytes"
        mov     eax, [buffer + 8]
        or      eax, [buffer + 12]
        expect  nz, "E820h: nothing empty"
        inc     byte [count]
        cmp     byte [count], 32
        expect  b, "E820h: an end"
        or      ebx, ebx
        jnz     .e820

        ; ---- the displays
        mov     ax, 0x1A00
        int     0x10
        cmp     al, 0x1A
        expect  e, "INT 10h 1A00h: a VGA"
        cmp     bl, 0x08
        expect  e, "INT 10h 1A00h: in colour"
        cmp     word [0x463], 0x3D4
        expect  e, "40:63"

        ; ---- serial ports: by 40:0, and mice there answer to RTS
        mov     si, 0x400
        xor     cx, cx
.serial:
        mov     dx, [si]
        or      dx, dx
        jz      .no_port
        inc     cx
        call    serial_mouse
.no_port:
        add     si, 2
        cmp     si, 0x408
        jb      .serial
        int     0x11
        mov     bx, ax
        shr     ax, 9
        and     ax, 7
        cmp     ax, cx
        expect  e, "INT 11h counts the serial ports"
        ; ---- printers
        mov     si, 0x408
        xor     cx, cx
.printer:
        mov     dx, [si]
        or      dx, dx
        jz      .no_printer
        inc     cx
        mov     al, 0xAA
        out     dx, al
        in      al, dx
        cmp     al, 0xAA
        expect  e, "a printer port keeps its data"
.no_printer:
        add     si, 2
        cmp     si, 0x40E
        jb      .printer
        mov     ax, bx
        shr     ax, 14
        cmp     ax, cx
        expect  e, "INT 11h counts the printers"

        ; ---- keyboard: 101 keys, in the data area and by its identity
        test    byte [0x496], 0x10
        expect  nz, "40:96: an enhanced keyboard"
        mov     ah, 0x09
        int     0x16
        test    al, 0x20
        expect  nz, "INT 16h 09h: functions 10h to 12h"
        call    keyboard_identity
        ; ---- mouse: INT 11h, and C2h finds one; no bus mouse
        test    bl, 4
        expect  nz, "INT 11h: a pointing device"
        mov     ax, 0xC205
        mov     bh, 3
        int     0x15
        expect  nc, "C205h: packets of 3 bytes"
        mov     ax, 0xC201
        int     0x15
        expect  nc, "C201h: reset"
        cmp     bx, 0x00AA
        expect  e, "C201h: a mouse passed its test"
        mov     ax, 0xC204
        int     0x15
        expect  nc, "C204h: kind"
        or      bh, bh
        expect  z, "C204h: of two or three buttons"
        mov     dx, 0x23E               ; InPort: the same byte alternates with another
        in      al, dx
        mov     ah, al
        in      al, dx
        cmp     al, ah
        expect  e, "no InPort mouse"
        mov     dx, 0x23D
        mov     al, 0xA5
        out     dx, al
        in      al, dx
        cmp     al, 0xA5
        expect  ne, "no bus mouse"

        ; ---- floppies: CMOS 10h, 08h, 15h agree
        mov     al, 0x10
        out     0x70, al
        in      al, 0x71
        mov     cl, al
        shr     cl, 4
        mov     bp, cx
        xor     dl, dl
        mov     ah, 0x08
        int     0x13
        expect  nc, "08h of drive A"
        mov     ax, bp
        cmp     bl, al
        expect  e, "08h: the type of CMOS 10h"
        cmp     word [es:di + 3], 0x0212
        expect  ae, "08h: a parameter table of sectors of 512 bytes"
        push    word 0
        pop     es
        xor     dl, dl
        mov     ah, 0x15
        int     0x13
        expect  nc, "15h of drive A"
        cmp     ah, 1
        jb      .no_kind
        cmp     ah, 2
        expect  be, "15h: a floppy"
.no_kind:

        ; ---- disks: all that answer, with a sector to tell them by
        xor     cx, cx
        xor     bx, bx
.is_disk:
        cmp     byte [bx + drives], DISK
        jne     .other
        inc     cx
.other: inc     bx
        cmp     bl, 4
        jb      .is_disk
        mov     [count], cl
        mov     byte [unit], 0x80
.disk:  mov     al, [unit]
        sub     al, 0x80
        cmp     al, [count]
        jae     .no_more
        call    disk
        inc     byte [unit]
        jmp     .disk
.no_more:
        mov     dl, [unit]
        mov     ah, 0x08
        int     0x13
        push    word 0
        pop     es
        expect  c, "08h: no disk behind the last"
        mov     dl, [unit]
        mov     ah, 0x15
        int     0x13
        jc      .pci
        or      ah, ah
        expect  z, "15h: no disk behind the last"

        ; ---- PCI and APM
.pci:   mov     ax, 0xB101
        xor     edi, edi
        int     0x1A
        jc      .apm
        or      ah, ah
        expect  z, "B101h"
        cmp     edx, "PCI "
        expect  e, "B101h: PCI"
        test    al, 1
        expect  nz, "B101h: mechanism 1"
        cmp     bh, 2
        expect  e, "B101h: 2.x"
        ; routing table: the size first
        mov     word [options], 0
        mov     word [options + 2], options + 8
        mov     word [options + 4], 0
        push    word 0xF000
        pop     ds
        push    word 0
        pop     es
        mov     di, options
        xor     bx, bx
        mov     ax, 0xB10E
        int     0x1A
        push    word 0
        pop     ds
        expect  c, "B10Eh: too little room"
        cmp     ah, 0x89
        expect  e, "B10Eh: 89h"
        cmp     word [options], 16
        expect  ae, "B10Eh: how much is needed"
        cmp     word [options], 512
        expect  be, "B10Eh: not too much"
        push    word 0xF000
        pop     ds
        mov     di, options
        xor     bx, bx
        mov     ax, 0xB10E
        int     0x1A
        push    word 0
        pop     ds
        expect  nc, "B10Eh"
.apm:   mov     ax, 0x5300
        xor     bx, bx
        int     0x15
        expect  nc, "5300h"
        jmp     pass

; A port's lines on and off, as for a serial mouse, which would say M. Nobody does.
serial_mouse:
        pusha
        mov     bx, dx
        lea     dx, [bx + 3]
        mov     al, 0x80
        out     dx, al
        mov     dx, bx
        mov     al, 0x60                ; 1200 baud
        out     dx, al
        inc     dx
        xor     al, al
        out     dx, al
        lea     dx, [bx + 3]
        mov     al, 2
        out     dx, al
        lea     dx, [bx + 1]
        xor     al, al
        out     dx, al
        lea     dx, [bx + 4]
        mov     al, 0x09
        out     dx, al
        mov     cx, 20000
        call    wait_cx
        lea     dx, [bx + 5]
        mov     cx, 200
.drain: in      al, dx
        test    al, 1
        jz      .empty
        push    dx
        mov     dx, bx
        in      al, dx
        pop     dx
        loop    .drain
.empty: test    al, 1
        expect  z, "a serial port is empty at some time"
        lea     dx, [bx + 4]
        mov     al, 0x0B
        out     dx, al
        mov     cx, 20000
        call    wait_cx
        lea     dx, [bx + 5]
        in      al, dx
        test    al, 1
        expect  z, "no serial mouse"
        test    al, 0x60
        expect  nz, "the transmitter is empty"
        popa
        ret

; F2h: ABh, 83h or 41h.
keyboard_identity:
        cli
        mov     al, 0xF2
        call    .send
        call    .receive
        cmp     al, 0xFA
        expect  e, "F2h is acknowledged"
        call    .receive
        cmp     al, 0xAB
        expect  e, "F2h: ABh"
        call    .receive
        cmp     al, 0x83
        je      .end
        cmp     al, 0x41
        expect  e, "F2h: 83h, or 41h when translated"
.end:   sti
        ret
.send:  push    ax
.full:  in      al, 0x64
        test    al, 2
        jnz     .full
        pop     ax
        out     0x60, al
        ret
.receive:
        mov     ecx, 200000
.wait:  in      al, 0x64
        test    al, 1
        jnz     .have
        dec     ecx
        jnz     .wait
.have:  in      al, 0x60
        ret

; Disk [unit]: geometry, size, extensions; the same sector by both ways to read it.
disk:   mov     dl, [unit]
        mov     ah, 0x15
        int     0x13
        expect  nc, "15h"
        cmp     ah, 3
        expect  e, "15h: a disk"
        mov     bx, dx
        mov     ax, cx
        shl     eax, 16
        mov     ax, bx
        mov     [sectors], eax
        mov     dl, [unit]
        mov     ah, 0x08
        int     0x13
        push    word 0
        pop     es
        expect  nc, "08h"
        cmp     dl, [count]
        expect  e, "08h: so many disks"
        movzx   eax, dh
        inc     eax
        movzx   ebx, cl
        and     ebx, 0x3F
        mul     ebx
        movzx   ebx, ch
        mov     bh, cl
        shr     bh, 6
        inc     ebx
        mul     ebx
        cmp     eax, [sectors]
        expect  be, "15h's sectors hold 08h's geometry"
        mov     bx, 0x55AA
        mov     dl, [unit]
        mov     ah, 0x41
        int     0x13
        expect  nc, "41h"
        cmp     bx, 0xAA55
        expect  e, "41h: extensions"
        test    cl, 1
        expect  nz, "41h: 42h to 44h, 47h, 48h"
        mov     word [options], 0x1A
        mov     si, options
        mov     dl, [unit]
        mov     ah, 0x48
        int     0x13
        expect  nc, "48h"
        cmp     word [options], 0x1A
        expect  e, "48h: 26 bytes"
        cmp     word [options + 24], 512
        expect  e, "48h: 512 bytes a sector"
        mov     eax, [options + 16]
        cmp     eax, [sectors]
        expect  ae, "48h: all the sectors"
        mov     di, buffer
        mov     cx, 512
        mov     al, 0xCD
        rep stosb
        mov     ax, 0x0201
        mov     cx, 1
        mov     dh, 0
        mov     dl, [unit]
        mov     bx, buffer
        int     0x13
        expect  nc, "02h"
        mov     si, packet
        mov     dl, [unit]
        mov     ah, 0x42
        int     0x13
        expect  nc, "42h"
        mov     si, buffer
        mov     di, buffer + 512
        mov     cx, 256
        repe cmpsw
        expect  e, "42h reads what 02h reads"
        ret

packet: dw      16, 1, buffer + 512, 0
        dq      0
sectors:
        dd      0
count:  db      0
unit:   db      0
        align   4
options:
        times 600 db 0
buffer: times 1024 db 0
%include "footer.inc"
