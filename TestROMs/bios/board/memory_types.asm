; What POST leaves in the memory type range registers.
; Expected, after the Intel architecture software developer's manual, volume 3 (memory cache control):
; they are on, with the fixed ranges; each byte of memory that E820h tells of is write-back, and addresses
; of devices (A0000h, what BARs get, the APICs) are not cached. What systems of the time do with the
; registers depends on that: they take over what is there.
%include "harness.inc"

        cpu     686

WB      equ     6

test:
        mov     eax, 1
        cpuid
        test    dh, 0x10
        expect  nz, "a processor with MTRRs"
        mov     ecx, 0xFE
        rdmsr
        movzx   eax, al
        mov     [pairs], ax
        mov     ecx, 0x2FF
        rdmsr
        mov     [otherwise], al
        and     eax, 0xC00
        cmp     eax, 0xC00
        expect  e, "MTRRs and fixed ranges are on"

        mov     ecx, 0x250
        rdmsr
        cmp     eax, 0x06060606
        expect  e, "00000h is write-back"
        cmp     edx, 0x06060606
        expect  e, "70000h is write-back"
        mov     ecx, 0x258
        rdmsr
        cmp     eax, 0x06060606
        expect  e, "80000h is write-back"
        mov     ecx, 0x259
        rdmsr
        or      eax, edx
        expect  z, "A0000h is not cached"

        ; ---- memory, as E820h tells it
        xor     ebx, ebx
.next:  mov     eax, 0xE820
        mov     edx, 0x534D4150
        mov     ecx, 20
        mov     di, entry
        int     0x15
        expect  nc, "E820h"
        cmp     dword [entry + 16], 1
        jne     .skip
        mov     eax, [entry]
        mov     edx, [entry + 4]
        or      edx, edx
        jnz     .high
        cmp     eax, 0x100000
        jb      .skip
.high:  call    type_of
        cmp     al, WB
        expect  e, "the first byte of memory is write-back"
        mov     eax, [entry]
        mov     edx, [entry + 4]
        add     eax, [entry + 8]
        adc     edx, [entry + 12]
        sub     eax, 1
        sbb     edx, 0
        call    type_of
        cmp     al, WB
        expect  e, "the last byte of memory is write-back"
.skip:  or      ebx, ebx
        jnz     .next

        ; ---- what is no memory
        mov     esi, .devices
.device:
        lodsd
        or      eax, eax
        jz      pass
        xor     edx, edx
        call    type_of
        or      al, al
        expect  z, "addresses of devices are not cached"
        jmp     .device
.devices:
        dd      0xE0000000, 0xFEBFFFFF, 0xFEC00000, 0xFEE00000, 0xFFFF0000, 0

; al = the type of the address edx:eax above 1 MiB. Changes ecx.
type_of:
        mov     [address], eax
        mov     [address + 4], edx
        push    ebx
        mov     cx, [pairs]
        movzx   ecx, cx
        lea     ecx, [ecx * 2 + 0x200]
.pair:  dec     ecx
        rdmsr                           ; the mask
        mov     ebx, eax
        mov     edi, edx
        dec     ecx
        test    bh, 0x08
        jz      .other
        and     ebx, 0xFFFFF000
        rdmsr                           ; the base
        mov     [found], al
        xor     eax, [address]
        xor     edx, [address + 4]
        and     eax, ebx
        and     edx, edi
        or      eax, edx
        mov     al, [found]
        jz      .end
.other: cmp     ecx, 0x200
        ja      .pair
        mov     al, [otherwise]
.end:   pop     ebx
        ret

        align   4
address:
        dd      0, 0
pairs:  dw      0
otherwise:
        db      0
found:  db      0
entry:  times   20 db 0

%include "footer.inc"
