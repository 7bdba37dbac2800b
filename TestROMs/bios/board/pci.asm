; PCI: what POST leaves on a board with a 440FX and a PIIX3, and INT 1Ah/B1h in real mode.
; Expected, after the PCI BIOS specification 2.1 (functions, status codes, registers), the PCI local
; bus specification 2.1 (6.2), the 82441FX and 82371SB data sheets (PAM, PIRQRC, ELCR, IDETIM), and
; Microsoft's PCI IRQ routing table specification 1.0.
; SeaBIOS 1.16 on QEMU's pc agrees but for errors it does not tell (83h, 87h), edi of 01h, special
; cycles and function 0Fh, which it has not, and IDE's bus mastering, which it leaves to drivers.
%include "harness.inc"

; Calls function %1, bx and di set before.
%macro pci 1
        mov     ax, 0xB100 | %1
        int     0x1A
%endmacro
; Expects status %1 with CF set.
%macro refused 2
        expect  c, %2
        cmp     ah, %1
        expect  e, %2
%endmacro
HOST    equ 0x0000
ISA     equ 0x0008
IDE     equ 0x0009

test:
        ; ---- installation check
        mov     edi, 0x12345678
        mov     esi, 0x87654321
        mov     ebp, 0xABCDEF01
        sti
        pci     0x01
        expect  nc, "B101h: present"
        pushf
        pop     cx
        test    ch, 2
        expect  nz, "B101h: interrupts as before"
        cmp     edx, 0x20494350
        expect  e, "B101h: 'PCI '"
        or      ah, ah
        expect  z, "B101h: ah = 0"
        test    al, 1
        expect  nz, "B101h: mechanism 1"
        cmp     bx, 0x0210
        expect  e, "B101h: version 2.10"
        cmp     edi, 0x12345678
        expect  e, "B101h: edi"
        cmp     esi, 0x87654321
        expect  e, "B101h: esi"
        cmp     ebp, 0xABCDEF01
        expect  e, "B101h: ebp"
        cli
        pci     0x01
        pushf
        pop     bx
        test    bh, 2
        expect  z, "B101h: interrupts stay off"
        sti
        or      cl, cl
        expect  z, "B101h: one bus"

        ; ---- finding
        mov     cx, 0x1237
        call    find
        expect  nc, "host bridge"
        cmp     bx, HOST
        expect  e, "host bridge at 0.0"
        mov     cx, 0x7000
        call    find
        expect  nc, "ISA bridge"
        cmp     bx, ISA
        expect  e, "ISA bridge at 1.0"
        mov     cx, 0x7010
        call    find
        expect  nc, "IDE"
        cmp     bx, IDE
        expect  e, "IDE at 1.1"
        mov     cx, 0x7010
        mov     dx, 0x8086
        mov     si, 1
        mov     bx, 0x1234
        pci     0x02
        refused 0x86, "only one IDE"
        cmp     bx, 0x1234
        expect  e, "not found: bx as it was"
        cmp     si, 1
        expect  e, "not found: si as it was"
        mov     dx, 0xFFFF
        xor     si, si
        pci     0x02
        refused 0x83, "FFFFh is no vendor"
        mov     ecx, 0x010180
        xor     si, si
        pci     0x03
        expect  nc, "class of IDE"
        cmp     bx, IDE
        expect  e, "class of IDE: 1.1"
        cmp     ecx, 0x010180
        expect  e, "B103h: ecx"
        mov     ecx, 0x060100
        xor     si, si
        pci     0x03
        cmp     bx, ISA
        expect  e, "class of the ISA bridge"
        mov     ecx, 0x0C0300
        mov     si, 7
        pci     0x03
        refused 0x86, "no eighth USB host"

        ; ---- configuration space
        mov     bx, ISA
        xor     di, di
        mov     ecx, 0xAAAAAAAA
        pci     0x08
        expect  nc, "B108h"
        cmp     ecx, 0xAAAAAA86
        expect  e, "B108h: cl only"
        mov     ecx, 0xAAAAAAAA
        pci     0x09
        cmp     ecx, 0xAAAA8086
        expect  e, "B109h: cx only"
        pci     0x0A
        cmp     ecx, 0x70008086
        expect  e, "B10Ah"
        mov     di, 2
        pci     0x09
        cmp     cx, 0x7000
        expect  e, "B109h at 2"
        mov     di, 3
        pci     0x08
        cmp     cl, 0x70
        expect  e, "B108h at 3"
        pci     0x09
        refused 0x87, "B109h at an odd register"
        mov     di, 2
        pci     0x0A
        refused 0x87, "B10Ah at 2"
        mov     di, 0x100
        pci     0x08
        refused 0x87, "B108h beyond the space"
        mov     di, 0x61
        pci     0x0C
        refused 0x87, "B10Ch at an odd register"
        pci     0x0D
        refused 0x87, "B10Dh at 61h"
        mov     bx, 0x00F8              ; nobody
        xor     di, di
        pci     0x0A
        expect  nc, "B10Ah of nobody"
        cmp     ecx, -1
        expect  e, "B10Ah of nobody: FFFFFFFFh"
        mov     bx, ISA
        mov     di, 0x63
        mov     cl, 0x05
        pci     0x0B
        expect  nc, "B10Bh"
        mov     di, 0x62
        pci     0x09
        cmp     cx, 0x050B
        expect  e, "B10Bh writes one byte"
        mov     cx, 0x0B0B
        pci     0x0C
        expect  nc, "B10Ch"
        mov     di, 0x60
        pci     0x0A
        cmp     ecx, 0x0B0B0A0A
        expect  e, "PIRQA-D to IRQ 10, 10, 11, 11"
        mov     ecx, 0x80808080
        pci     0x0D
        mov     eax, 0x80000860
        mov     dx, 0xCF8
        out     dx, eax
        mov     dx, 0xCFC
        in      eax, dx
        cmp     eax, 0x80808080
        expect  e, "B10Dh, seen by mechanism 1"
        mov     ecx, 0x0B0B0A0A
        mov     di, 0x60
        pci     0x0D

        ; ---- what does not exist
        pci     0x04
        refused 0x81, "no B104h"
        pci     0x10
        refused 0x81, "no B110h"
        pci     0x81
        refused 0x81, "no B181h"
        mov     ah, 0
        int     0x1A
        expect  nc, "INT 1Ah is also the clock's"

        ; ---- routing table
        mov     word [route_size], 0
        mov     word [route_pointer], routes
        mov     [route_pointer + 2], ds
        mov     di, route_size
        xor     bx, bx
        push    ds
        push    word 0xF000
        pop     ds
        pci     0x0E
        pop     ds
        refused 0x89, "B10Eh: no room"
        mov     ax, [route_size]
        or      ax, ax
        expect  nz, "B10Eh: how much room"
        test    al, 15
        expect  z, "B10Eh: entries of 16 bytes"
        cmp     ax, 1024
        expect  be, "B10Eh: for this test"
        mov     word [route_size], 1024
        mov     di, route_size
        xor     bx, bx
        push    ds
        push    word 0xF000
        pop     ds
        pci     0x0E
        pop     ds
        expect  nc, "B10Eh"
        cmp     di, route_size
        expect  e, "B10Eh: di"
        push    bx
        mov     ebx, "$PIR"
        call    scan
        pop     bx
        expect  nc, "$PIR"
        cmp     word [es:si + 4], 0x0100
        expect  e, "$PIR: version 1.0"
        cmp     word [es:si + 8], 0x0800
        expect  e, "$PIR: the router is 1.0"
        cmp     bx, [es:si + 10]
        expect  e, "$PIR: the same exclusive IRQs"
        mov     cx, [es:si + 6]
        test    cx, 15
        expect  z, "$PIR: size"
        push    cx
        push    si
        call    sum
        pop     si
        pop     cx
        expect  z, "$PIR: its bytes add up to 0"
        sub     cx, 32
        cmp     cx, [route_size]
        expect  e, "$PIR: as long as the answer of B10Eh"
        add     si, 32
        mov     di, si
        mov     si, routes
        repe cmpsb
        expect  e, "$PIR: as B10Eh says"
        mov     di, routes              ; device 2 is a slot, INTA# ends at PIRQB
        mov     cx, [route_size]
.slot:  cmp     word [di], 0x1000
        je      .slot2
        add     di, 16
        sub     cx, 16
        jnz     .slot
        or      sp, sp
        expect  z, "device 2 is in the table"
.slot2: cmp     byte [di + 2], 0x61
        expect  e, "INTA# of device 2 at PIRQB"
        cmp     byte [di + 11], 0x60
        expect  e, "INTD# of device 2 at PIRQA"
        cmp     byte [di + 14], 0
        expect  ne, "device 2 is a slot"

        ; ---- function 0Fh
        mov     bx, 0x0010
        mov     cx, 0x0B0D              ; INTD# of device 2 to IRQ 11: PIRQA
        pci     0x0F
        expect  nc, "B10Fh"
        mov     bx, ISA
        mov     di, 0x60
        pci     0x0A
        cmp     ecx, 0x0B0B0A0B
        expect  e, "B10Fh: PIRQA to IRQ 11"
        mov     cl, 0x0A
        pci     0x0B
        mov     bx, 0x0010
        mov     cx, 0x0A09
        pci     0x0F
        refused 0x88, "B10Fh: no pin 9"
        mov     cx, 0x000A
        pci     0x0F
        refused 0x88, "B10Fh: not to IRQ 0"
        mov     cx, 0x0D0A
        pci     0x0F
        refused 0x88, "B10Fh: not to IRQ 13"
        mov     cx, 0xFF0A
        pci     0x0F
        refused 0x88, "B10Fh: no IRQ 255"

        ; ---- special cycle
        mov     edx, 0x00120034
        xor     bh, bh
        pci     0x06
        expect  nc, "B106h"
        cmp     edx, 0x00120034
        expect  e, "B106h: edx"

        ; ---- what POST leaves
        mov     dx, 0x4D0
        in      al, dx
        or      al, al
        expect  z, "IRQ 0-7 are edge-triggered"
        inc     dx
        in      al, dx
        and     al, ~0x02 & 0xFF        ; IRQ 9 is ACPI's, where there is ACPI
        cmp     al, 0x0C
        expect  e, "IRQ 10 and 11 are level-triggered"
        mov     bx, IDE
        mov     di, 0x40
        pci     0x0A
        and     ecx, 0x80008000
        cmp     ecx, 0x80008000
        expect  e, "both IDE channels are decoded"
        mov     di, 4
        pci     0x09
        and     cx, 5
        cmp     cx, 5
        expect  e, "IDE: I/O and bus master"
        mov     di, 0x20
        pci     0x0A
        test    cl, 1
        expect  nz, "bus master registers: I/O"
        test    cl, 0x0E
        expect  z, "bus master registers: 16 of them"
        movzx   eax, cx
        cmp     eax, ecx
        expect  e, "bus master registers: below 64 KiB"
        cmp     cx, 0xC000
        expect  ae, "bus master registers: from C000h up"
        mov     bx, HOST
        mov     di, 0x59
        pci     0x08
        and     cl, 0x30
        cmp     cl, 0x10
        expect  e, "F0000h-FFFFFh: memory, read only"
        push    word 0xF000
        pop     es
        mov     al, [es:0xFFF0]
        not     byte [es:0xFFF0]
        cmp     al, [es:0xFFF0]
        expect  e, "F0000h-FFFFFh keeps what it has"
        mov     ebx, "_32_"
        call    scan
        expect  nc, "_32_"
        cmp     byte [es:si + 9], 1
        expect  e, "_32_: 16 bytes"
        mov     cx, 16
        call    sum
        expect  z, "_32_: its bytes add up to 0"
        jmp     pass

; The first function of Intel's cx. Out: bx, CF.
find:   mov     dx, 0x8086
        xor     si, si
        pci     0x02
        ret

; Finds ebx in F0000h-FFFFFh, on 16 bytes. Out: es:si; CF set when it is not there.
scan:   push    word 0xF000
        pop     es
        xor     si, si
.next:  cmp     [es:si], ebx
        je      .found
        add     si, 16
        jnc     .next
.found: ret

; Adds up the cx bytes at es:si. Out: ZF.
sum:    xor     al, al
.next:  add     al, [es:si]
        inc     si
        loop    .next
        or      al, al
        ret

        align   4
route_size:
        dw      0
route_pointer:
        dd      0
routes: times   1024 db 0
%include "footer.inc"
