; What the BIOS leaves in memory for a boot sector.
; Expected, after the IBM PC/AT Technical Reference and PS/2 BIOS interface: boot drive in dl,
; vectors to the addresses programs know, INT 12h below the EBDA, an empty key buffer,
; equipment in step with what there is, model FCh, a date, configuration table.
%include "harness.inc"

test:
        cmp     byte [boot_drive], 0
        expect  e, "dl names drive 0"
        cmp     dword [0x10 * 4], 0
        expect  ne, "a vector for INT 10h"
        cmp     dword [0x13 * 4], 0xF000E3FE
        expect  e, "INT 13h at F000:E3FE"
        cmp     dword [0x16 * 4], 0xF000E82E
        expect  e, "INT 16h at F000:E82E"
        cmp     dword [0x09 * 4], 0xF000E987
        expect  e, "INT 09h at F000:E987"
        cmp     dword [0x15 * 4], 0xF000F859
        expect  e, "INT 15h at F000:F859"
        cmp     dword [0x1A * 4], 0xF000FE6E
        expect  e, "INT 1Ah at F000:FE6E"
        cmp     dword [0x1E * 4], 0xF000EFC7
        expect  e, "INT 1Eh at F000:EFC7"
        cmp     dword [0x40 * 4], 0xF000EC59
        expect  e, "INT 40h at F000:EC59"
        cmp     dword [0x60 * 4], 0
        expect  e, "INT 60h free"
        cmp     word [0x70 * 4 + 2], 0xF000
        expect  e, "IRQ 8 in the BIOS"
        mov     ax, 0xF000
        mov     es, ax
        cmp     byte [es:0xFF53], 0xCF
        expect  e, "IRET at F000:FF53"
        cmp     byte [es:0xFFF0], 0xEA
        expect  e, "a far jump at F000:FFF0"
        cmp     byte [es:0xFFFE], 0xFC
        expect  e, "model byte FCh"
        cmp     byte [es:0xFFF7], '/'
        expect  e, "a date at F000:FFF5"
        cmp     byte [es:0xFA6E + 'A' * 8], 0
        expect  ne, "a font at F000:FA6E"
        int     0x12
        cmp     ax, [0x413]
        expect  e, "INT 12h is 40:13"
        shl     ax, 6
        cmp     ax, [0x40E]
        expect  e, "the EBDA follows base memory"
        mov     es, ax
        cmp     byte [es:0], 1
        expect  e, "EBDA of 1 KiB"
        int     0x11
        cmp     ax, [0x410]
        expect  e, "INT 11h is 40:10"
        test    al, 1
        expect  nz, "equipment: floppies"
        mov     ax, [0x41A]
        cmp     ax, [0x41C]
        expect  e, "an empty key buffer"
        cmp     word [0x480], 0x1E
        expect  e, "key buffer starts at 1Eh"
        cmp     word [0x482], 0x3E
        expect  e, "key buffer ends at 3Eh"
        cmp     word [0x472], 0x1234
        expect  ne, "no warm boot mark"
        in      al, 0x21
        and     al, 0x47
        expect  z, "IRQ 0, 1, 2, 6 open"
        pushf
        pop     ax
        test    ah, 2
        expect  nz, "interrupts enabled"
        ; serial ports as equipment counts them
        mov     ax, [0x410]
        shr     ax, 9
        and     ax, 7
        mov     cx, ax
        mov     bx, 0x400
        jcxz    .no_serial
.serial:
        cmp     word [bx], 0
        expect  ne, "a base for each serial port"
        add     bx, 2
        loop    .serial
.no_serial:
        mov     ah, 0xC0
        int     0x15
        expect  nc, "INT 15h/C0h"
        cmp     word [es:bx], 8
        expect  ae, "configuration table of 8 bytes"
        cmp     byte [es:bx + 2], 0xFC
        expect  e, "configuration table: model FCh"
        test    byte [es:bx + 5], 0x10
        expect  nz, "configuration table: INT 15h/4Fh"
        mov     ah, 0xC1
        int     0x15
        expect  nc, "INT 15h/C1h"
        mov     ax, es
        cmp     ax, [0x40E]
        expect  e, "INT 15h/C1h gives 40:0E"
        jmp     pass
%include "footer.inc"
