; Apus system BIOS: 64 KiB for F0000h-FFFFFh of a PC/AT, top-level file.
; It owns: the order of the parts and the entry points that programs know by address.
; Follows: IBM PC/AT Technical Reference, PS/2 and AT BIOS interface, Enhanced Disk Drive
; specification 3.0, El Torito 1.0, APM BIOS interface 1.2.
; All code runs with cs = F000h and needs a 386.

        cpu     386
        bits    16
        org     0

%include "defs.inc"

start_of_image:
        db      "Apus BIOS", 0

%include "post.inc"
%include "console.inc"
%include "cmos.inc"
%include "interrupts.inc"
%include "input/kbc.inc"
%include "input/keyboard.inc"
%include "input/int16.inc"
%include "input/keytable.inc"
%include "input/mouse.inc"
%include "disks/floppy.inc"
%include "disks/floppymedia.inc"
%include "disks/floppy13.inc"
%include "disks/floppyset.inc"
%include "disks/buffer.inc"
%include "disks/ata.inc"
%include "disks/atapi.inc"
%include "disks/geometry.inc"
%include "disks/disk13.inc"
%include "disks/edd.inc"
%include "disks/cd13.inc"
%include "disks/emulation.inc"
%include "system.inc"
%include "memory.inc"
%include "processor/processor.inc"
%include "processor/processors.inc"
%include "stack.inc"
%include "power/apm.inc"
%include "pci/pcibios.inc"
%include "pci/setup.inc"
%include "pci/rom.inc"
%include "power/acpi.inc"
%include "pnp/pnpbios.inc"
%include "pnp/isapnp.inc"
%include "pnp/resources.inc"
%include "tables/smbios.inc"
%include "tables/mp.inc"
%include "serial.inc"
%include "time.inc"
%include "boot/boot.inc"
%include "boot/optionrom.inc"
%include "boot/bootcd.inc"
%include "boot/menu.inc"
%include "boot/menunames.inc"

; ---------------------------------------------------------------- fixed entry points

        place AP_PAGE * 0x1000 - 0xF0000
        jmp     0xF000:ap_start
        place 0xE05B
        jmp     post
        place 0xE2C3
        jmp     int02
        place 0xE3FE
        jmp     int13
        place 0xE6F2
        jmp     int19
        place 0xE6F5
; INT 15h/C0h: length, model FCh (AT), submodel, revision, features (second PIC, RTC,
; INT 15h/4Fh, EBDA), features 2 (INT 16h/09h).
config_table:
        dw      8
        db      0xFC, 0x01, 0x00, 0x74, 0x40, 0, 0, 0
        place 0xE729
; UART divisors for 110 to 9600 baud.
baud_divisors:
        dw      1047, 768, 384, 192, 96, 48, 24, 12
        place 0xE739
        jmp     int14
        place 0xE82E
        jmp     int16
        place 0xE987
        jmp     int09
        place 0xEC59
        jmp     int40
        place 0xEF57
        jmp     int0e
        place 0xEFC7
; INT 1Eh: parameters of a 1.44 MB floppy, what most disks are.
diskette_parameters:
        db      0xAF, 0x02, 0x25, 0x02, 18, 0x1B, 0xFF, 0x6C, 0xF6, 0x0F, 0x08
        place 0xEFD2
        jmp     int17
        place 0xF045
        jmp     int10
        place 0xF065
        jmp     int10
        place 0xF0A4
; INT 1Dh: 6845 registers for 40 columns, 80 columns, graphics, monochrome; then page lengths,
; columns and mode register values of modes 0-7.
video_parameters:
        db      0x38, 0x28, 0x2D, 0x0A, 0x1F, 6, 0x19, 0x1C, 2, 7, 6, 7, 0, 0, 0, 0
        db      0x71, 0x50, 0x5A, 0x0A, 0x1F, 6, 0x19, 0x1C, 2, 7, 6, 7, 0, 0, 0, 0
        db      0x38, 0x28, 0x2D, 0x0A, 0x7F, 6, 0x64, 0x70, 2, 1, 6, 7, 0, 0, 0, 0
        db      0x61, 0x50, 0x52, 0x0F, 0x19, 6, 0x19, 0x19, 2, 0x0D, 0x0B, 0x0C, 0, 0, 0, 0
        dw      2048, 4096, 16384, 16384
        db      40, 40, 80, 80, 40, 40, 80, 80
        db      0x2C, 0x28, 0x2D, 0x29, 0x2A, 0x2E, 0x1E, 0x29
        place 0xF841
        jmp     int12
        place 0xF84D
        jmp     int11
        place 0xF859
        jmp     int15
        place 0xFA6E
%define FONT8X8_LOW_HALF
%include "VGABIOS/fonts/font8x8.inc"
        place 0xFE6E
        jmp     int1a
        place 0xFEA5
        jmp     int08
        place 0xFEF3
; Offsets for vectors 08h-1Fh.
vector_offsets:
        dw      0xFEA5, 0xE987, stray_irq, stray_irq, stray_irq, stray_irq, 0xEF57, stray_irq
        dw      0xF065, 0xF84D, 0xF841, 0xE3FE, 0xE739, 0xF859, 0xE82E, 0xEFD2
        dw      int18, 0xE6F2, 0xFE6E, dummy_iret, dummy_iret, 0xF0A4, 0xEFC7, 0
        place 0xFF53
dummy_iret:
        iret
        place 0xFF54
        jmp     int05
        place 0xFFF0
        jmp     0xF000:0xE05B
        db      "06/23/99"
        place 0xFFFE
        db      0xFC, 0
