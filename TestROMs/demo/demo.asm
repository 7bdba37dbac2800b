; The demo disk: what `apus` boots when it is given no image. A 1.44 MB floppy with a FAT12 file
; system; the program lies in the reserved sectors behind the boot sector.
;
; It owns: showing that screen, keyboard, timer, speaker and disk work, in text and graphics, on
; any PC with a 386 and a VGA. It uses the BIOS as a program of the time would, and the ports of
; the VGA, the speaker and the timer.
;
; Expected: the words "Apus demo disk" on the text screen, and "demo ready" with a line feed
; written to port E9h, once the page stands. F10 powers the machine off through APM.

        cpu 386
        bits 16
        org 0x7C00

SECTOR          equ 512
SECTORS         equ 18
HEADS           equ 2
CYLINDERS       equ 80
PROGRAM_SECTORS equ 40
TEST_SECTOR     equ 64                  ; the disk test's sectors
TEST_SECTORS    equ 8
RESERVED        equ 72
FAT_SECTORS     equ 9
ROOT_ENTRIES    equ 224
BUFFER_SEGMENT  equ 0x1000              ; one track
SCENE_SEGMENT   equ 0x2000
FRAME_SEGMENT   equ 0x3000

%include "boot.inc"

program:
%include "main.inc"
%include "screen.inc"
%include "machine.inc"
%include "page.inc"
%include "sound.inc"
%include "disk.inc"
%include "text.inc"
%include "picture/scene.inc"
%include "picture/lines.inc"
%include "picture/sine.inc"
%include "picture/logo.inc"
program_end:

%if program_end - program > PROGRAM_SECTORS * SECTOR
%error the program is longer than its sectors
%endif

; Not stored on the disk: memory behind the program.
absolute 0x7E00 + PROGRAM_SECTORS * SECTOR
buffer:         resb 512
heights:        resb 4 * 512
column_waves:   resb 320
points:         resw 2 * 64
variables_end:
%if variables_end > 0xF000
%error too much memory
%endif

section .text
        times TEST_SECTOR * SECTOR - ($ - $$) db 0

; The disk test's data: a sequence of bytes and the sum of its doublewords, both made here.
%assign value 12345
%assign sum 0
%assign index 0
%rep TEST_SECTORS * SECTOR / 4
%assign value (value * 1103515245 + 12345) & 0xFFFFFFFF
%assign sum (sum + value) & 0xFFFFFFFF
        dd value
%endrep
TEST_SUM        equ sum

%include "files.inc"
