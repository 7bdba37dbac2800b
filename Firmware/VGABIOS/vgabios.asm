; The video BIOS: a 32 KiB option ROM for C0000h.
;
; It owns: INT 10h of an IBM VGA (PS/2 and PC video BIOS interface), the VESA BIOS extension on adapters
; that have more (found at power-on: Bochs' display interface, Cirrus Logic GD5446), the fonts, the
; palettes and the mode tables. It must not know: which machine it is in; it touches only the adapter's
; ports and PCI configuration, the BIOS data area, the vectors 10h, 1Fh, 42h, 43h, 6Dh and, for the bell,
; the speaker.
;
; PCI_VENDOR and PCI_DEVICE, if they are defined, make it the expansion ROM of that function: the code is
; the same, but firmware that looks for PCI's data structure takes no other.
;
; Runs from ROM and never writes into itself. Interrupts stay as the caller's INT left them,
; except for the time of a bell. The last byte is left for the checksum.

        cpu 386
        bits 16
        org 0

ROM_SEGMENT     equ 0xC000
ROM_SIZE        equ 0x8000

; The BIOS data area, segment 0040h.
BDA_EQUIPMENT   equ 0x10
BDA_MODE        equ 0x49
BDA_COLUMNS     equ 0x4A
BDA_PAGE_SIZE   equ 0x4C
BDA_PAGE_START  equ 0x4E
BDA_CURSORS     equ 0x50
BDA_SHAPE       equ 0x60
BDA_PAGE        equ 0x62
BDA_CRTC        equ 0x63
BDA_MODE_REG    equ 0x65
BDA_COLOUR_REG  equ 0x66
BDA_ROWS        equ 0x84                ; rows less one
BDA_HEIGHT      equ 0x85                ; scan lines of a character, a word
BDA_INFO        equ 0x87                ; 80h kept memory, 60h 256 KiB, 01h no cursor emulation
BDA_SWITCHES    equ 0x88
BDA_CONTROL     equ 0x89                ; 90h scan lines, 08h no palette, 02h grey, 01h VGA
BDA_DCC         equ 0x8A
BDA_SAVE_TABLE  equ 0xA8

; What the dispatcher saved; every function works on this frame through BP.
%define rDI     word [bp]
%define rBP     word [bp+4]
%define rBX     word [bp+8]
%define rBL     byte [bp+8]
%define rBH     byte [bp+9]
%define rDX     word [bp+10]
%define rDL     byte [bp+10]
%define rDH     byte [bp+11]
%define rCX     word [bp+12]
%define rCL     byte [bp+12]
%define rCH     byte [bp+13]
%define rAX     word [bp+14]
%define rAL     byte [bp+14]
%define rAH     byte [bp+15]
%define rES     word [bp+18]
%define rFLAGS  word [bp+24]

        db 0x55, 0xAA, ROM_SIZE / 512
        jmp near init
        times 0x18 - ($ - $$) db 0
%ifdef PCI_DEVICE
        dw pci_data
%else
        dw 0
%endif
        times 0x1E - ($ - $$) db 0
        db "IBM compatible VGA BIOS"    ; programs look for the first three letters here
        db 13, 10, "Apus VGA BIOS", 0

%ifdef PCI_DEVICE
        align 4, db 0
pci_data:                               ; PCI local bus specification 2.1, 6.3.1.2
        db "PCIR"
        dw PCI_VENDOR, PCI_DEVICE, 0, 0x18
        db 0, 0, 0, 3                   ; revision; VGA compatible display
        dw ROM_SIZE / 512, 0x0100
        db 0, 0x80                      ; for PCs; the last image
        dw 0
%endif

; Called far by the system BIOS once.
init:   push ds
        push es
        pusha
        cld
        mov dx, 0x3C3                   ; the subsystem awake
        mov al, 1
        out dx, al
        mov dx, 0x3C2                   ; memory enabled, registers at 3D4h
        mov al, 0x63
        out dx, al
        xor ax, ax
        mov ds, ax
        mov ax, [0x10*4]           ; who served INT 10h before is reached by INT 42h
        mov [0x42*4], ax
        mov ax, [0x10*4+2]
        mov [0x42*4+2], ax
        mov word [0x10*4], int10
        mov [0x10*4+2], cs
        mov word [0x6D*4], int10
        mov [0x6D*4+2], cs
        mov word [0x1F*4], font8x8 + 128*8
        mov [0x1F*4+2], cs
        mov word [0x43*4], font8x16
        mov [0x43*4+2], cs
        push 0x40
        pop ds
        and byte [BDA_EQUIPMENT], ~0x30 & 0xFF  ; an adapter with its own BIOS
        mov byte [BDA_INFO], 0x60
        mov byte [BDA_SWITCHES], 0xF9
        mov byte [BDA_CONTROL], 0x51    ; 400 lines, display switching, VGA active
        mov byte [BDA_DCC], 0x0B        ; VGA with a colour display
        mov word [BDA_SAVE_TABLE], save_table
        mov [BDA_SAVE_TABLE+2], cs
        call detect_adapter
        mov ax, 0x0003
        int 0x10
        popa
        pop es
        pop ds
        retf

; INT 10h.
int10:  push es
        push ds
        pusha
        mov bp, sp
        push 0x40
        pop ds
        cld
        cmp ah, 0x1C
        ja .extended
        movzx si, ah
        add si, si
        call [cs:functions+si]
.done:  popa
        pop ds
        pop es
        iret
.extended:
        cmp ah, 0x4F
        jne .done
        call vbe
        jmp .done

functions:
        dw fn_set_mode, fn_cursor_shape, fn_set_cursor, fn_get_cursor           ; 00-03
        dw fn_light_pen, fn_set_page, fn_scroll_up, fn_scroll_down              ; 04-07
        dw fn_read_char, fn_write_char_attr, fn_write_char, fn_colour           ; 08-0B
        dw fn_write_pixel, fn_read_pixel, fn_teletype, fn_get_mode              ; 0C-0F
        dw fn_palette, fn_font, fn_alternate, fn_string                         ; 10-13
        dw fn_none, fn_none, fn_none, fn_none, fn_none, fn_none                 ; 14-19
        dw fn_display, fn_functionality, fn_state                               ; 1A-1C

fn_none:
        ret

; Writes AH to the CRT controller's register AL.
crtc_write:
        push dx
        mov dx, [BDA_CRTC]
        out dx, ax
        pop dx
        ret

; Reads the CRT controller's register AL into AL.
crtc_read:
        push dx
        mov dx, [BDA_CRTC]
        out dx, al
        inc dx
        in al, dx
        pop dx
        ret

; Writes AH to the attribute controller's register AL; the picture stays on.
ar_write:
        push dx
        push ax
        mov dx, [BDA_CRTC]
        add dl, 6
        in al, dx                       ; the next write is an index
        pop ax
        mov dl, 0xC0
        out dx, al
        xchg al, ah
        out dx, al
        xchg al, ah
        push ax
        mov al, 0x20
        out dx, al
        pop ax
        pop dx
        ret

; Reads the attribute controller's register AL into AH.
ar_read:
        push dx
        push ax
        mov dx, [BDA_CRTC]
        add dl, 6
        in al, dx
        pop ax
        mov dl, 0xC0
        out dx, al
        push ax
        inc dx
        in al, dx
        mov ah, al
        push ax
        mov dx, [BDA_CRTC]
        add dl, 6
        in al, dx
        mov dl, 0xC0
        mov al, 0x20
        out dx, al
        pop ax
        pop dx                          ; the index, in DL
        mov al, dl
        pop dx
        ret

; The kind of the current mode in SI: one of the KIND_ values, times two. Changes nothing else.
KIND_TEXT       equ 0
KIND_CGA4       equ 2                   ; two bits a pixel, interleaved
KIND_CGA2       equ 4                   ; one bit a pixel, interleaved
KIND_PLANAR     equ 6
KIND_LINEAR     equ 8
KIND_VBE        equ 10                  ; a VBE mode, reached through a window
KIND_NONE       equ 0xFF
mode_kind:
        mov si, KIND_VBE
        cmp word [BDA_VBE_MODE], 0
        jne .done
        movzx si, byte [BDA_MODE]
        cmp si, 0x13
        ja .text
        movzx si, byte [cs:mode_kinds+si]
        cmp si, KIND_NONE
        jne .done
.text:  xor si, si
.done:  ret

; The current mode's video memory segment in ES. Changes AX.
video_segment:
        mov ax, 0xB000
        cmp byte [BDA_MODE], 7
        je .done
        mov ax, 0xB800
        cmp byte [BDA_MODE], 7
        jb .done
        mov ax, 0xA000
.done:  mov es, ax
        ret

%include "setmode.inc"
%include "cursor.inc"
%include "chars.inc"
%include "fonts/glyphs.inc"
%include "scroll.inc"
%include "teletype.inc"
%include "palette.inc"
%include "fonts/fonts.inc"
%include "info.inc"
%include "state.inc"
%include "modes.inc"
%include "adapters/adapter.inc"
%include "adapters/cirrus.inc"
%include "adapters/cirrusbios.inc"
%include "adapters/ddc.inc"
%include "vbe/vbe.inc"
%include "vbe/modeinfo.inc"
%include "vbe/set.inc"
%include "vbe/timing.inc"
%include "vbe/window.inc"
%include "vbe/dac.inc"
%include "vbe/display.inc"
%include "vbe/registers.inc"
%include "vbe/protected.inc"
%include "vbe/draw.inc"
%include "vbe/move.inc"
%include "vbe/modetable.inc"

font8x16:
%include "fonts/font8x16.inc"
font8x14:
%include "fonts/font8x14.inc"
font8x8:
%include "fonts/font8x8.inc"

        times ROM_SIZE - 1 - ($ - $$) db 0
        db 0                            ; the checksum, filled in after assembly
