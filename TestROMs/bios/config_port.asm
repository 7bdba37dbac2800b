; Ports CF8h to CFFh on a board without PCI.
; Expected: CF8h is the configuration address only for 32 bits at once (PCI specification 2.1,
; configuration mechanism 1), and on this board nobody: the write is lost, reads are all ones. Words and
; unaligned accesses that cover CF9h do not reach the reset control there, which takes bytes
; (82371SB data sheet). A byte resets: the test is then started again and passes.
%include "harness.inc"

test:
        mov     al, 0x60                ; CMOS memory survives a reset
        out     0x70, al
        in      al, 0x71
        cmp     al, 0xA7
        je      pass
        mov     dx, 0xCF8
        mov     eax, 0x80000400
        out     dx, eax
        mov     eax, 0xFFFFFFFF
        out     dx, eax
        in      eax, dx
        inc     eax
        expect  z, "nobody answers at CF8h"
        mov     eax, 0x80000E00
        out     dx, eax
        mov     ax, 0x0E0E
        out     dx, ax
        inc     dx
        out     dx, ax
        mov     eax, 0x0E0E0E0E
        out     dx, eax
        mov     dx, 0xCF6
        out     dx, eax
        mov     dx, 0xCF7
        out     dx, eax
        mov     dx, 0xCFB               ; the old probe of mechanism 1
        mov     al, 1
        out     dx, al
        mov     dx, 0xCFC
        in      eax, dx
        inc     eax
        expect  z, "nobody answers at CFCh"
        mov     al, 0x60
        out     0x70, al
        mov     al, 0xA7
        out     0x71, al
        mov     dx, 0xCF9
        mov     al, 0x02
        out     dx, al
        mov     al, 0x06
        out     dx, al
        mov     cx, 1000
.wait:  loop    .wait
        expect  c, "a byte at CF9h resets"
        jmp     pass
%include "footer.inc"
