; INT 15h.
; Expected, after the PS/2 BIOS interface, the ACPI memory map (E820h) and the APM 1.2
; specification: consistent sizes, moves across 1 MiB, delays of the right length, errors for
; what does not exist.
%include "harness.inc"

test:
        ; Memory sizes agree with each other.
        mov     ax, 0xE801
        int     0x15
        expect  nc, "E801h"
        cmp     ax, cx
        expect  e, "E801h: ax is cx"
        cmp     bx, dx
        expect  e, "E801h: bx is dx"
        movzx   eax, ax
        movzx   ebx, bx
        shl     ebx, 6
        add     eax, ebx
        mov     [extended], eax
        mov     ah, 0x88
        int     0x15
        expect  nc, "88h"
        movzx   eax, ax
        mov     ecx, [extended]
        cmp     ecx, 0xFC00
        jbe     .all
        mov     ecx, 0xFC00
.all:   cmp     eax, ecx
        expect  e, "88h is E801h, 63 MiB at most"

        ; The memory map: ordered, no gaps claimed twice, memory as INT 12h and E801h say.
        xor     ebx, ebx
        mov     dword [map_end], 0
.map:   mov     edx, 0x534D4150
        mov     eax, 0xE820
        mov     ecx, 20
        mov     di, entry
        int     0x15
        expect  nc, "E820h"
        cmp     eax, 0x534D4150
        expect  e, "E820h: the signature"
        cmp     ecx, 20
        expect  e, "E820h: 20 bytes"
        mov     eax, [entry]
        cmp     eax, [map_end]
        expect  ae, "E820h: ascending"
        add     eax, [entry + 8]
        mov     [map_end], eax
        cmp     dword [entry + 16], 1
        jne     .reserved
        mov     eax, [entry + 8]
        add     [map_memory], eax
        cmp     dword [entry], 0
        jne     .reserved
        push    ebx
        int     0x12
        movzx   eax, ax
        shl     eax, 10
        cmp     eax, [entry + 8]
        expect  e, "E820h: base memory as INT 12h says"
        pop     ebx
.reserved:
        or      ebx, ebx
        jnz     .map
        int     0x12
        movzx   eax, ax
        add     eax, [extended]
        shl     eax, 10
        cmp     eax, [map_memory]
        expect  e, "E820h: all memory"
        mov     eax, 0xE820
        mov     edx, 0x534D4150
        mov     ecx, 19
        xor     ebx, ebx
        int     0x15
        expect  c, "E820h: too small a buffer"

        ; A20
        mov     ax, 0x2403
        int     0x15
        expect  nc, "2403h"
        mov     ax, 0x2400
        int     0x15
        expect  nc, "2400h"
        mov     ax, 0x2402
        int     0x15
        or      al, al
        expect  z, "A20 is off"
        ; with it off, FFFF:0510 is 0:500
        mov     ax, 0xFFFF
        mov     fs, ax
        mov     dword [0x500], 0x12345678
        cmp     dword [fs:0x510], 0x12345678
        expect  e, "memory wraps at 1 MiB"
        mov     ax, 0x2401
        int     0x15
        expect  nc, "2401h"
        mov     ax, 0x2402
        int     0x15
        cmp     al, 1
        expect  e, "A20 is on"

        ; 87h: up to 2 MiB and back
        mov     cx, 0x100
        mov     di, 0x1000
        mov     ax, 0x0101
.fill:  stosw
        add     ax, 0x1357
        loop    .fill
        mov     dword [source + 2], 0x93001000
        mov     dword [target + 2], 0x93200000
        mov     si, table
        mov     cx, 0x100
        mov     ah, 0x87
        int     0x15
        expect  nc, "87h up"
        or      ah, ah
        expect  z, "87h up: ah = 0"
        mov     dword [source + 2], 0x93200000
        mov     dword [target + 2], 0x93001400
        mov     si, table
        mov     cx, 0x100
        mov     ah, 0x87
        int     0x15
        expect  nc, "87h down"
        mov     si, 0x1000
        mov     di, 0x1400
        mov     cx, 0x100
        repe cmpsw
        expect  e, "87h moves"
        mov     dword [source + 2], 0x930FFFF0  ; the reset jump, by its ROM address
        mov     dword [target + 2], 0x93001400
        mov     si, table
        mov     cx, 3
        mov     ah, 0x87
        int     0x15
        expect  nc, "87h of three words"
        cmp     byte [0x1400], 0xEA
        expect  e, "87h reads ROM"
        mov     ax, ss
        or      ax, ax
        expect  z, "87h keeps ss"

        ; 86h: 220,000 us are four ticks
        call    edge
        mov     ecx, [0x46C]
        push    ecx
        mov     cx, 3
        mov     dx, 0x5B60
        mov     ah, 0x86
        int     0x15
        pop     ecx
        expect  nc, "86h"
        mov     eax, [0x46C]
        sub     eax, ecx
        cmp     eax, 3
        expect  ae, "86h is not short"
        cmp     eax, 5
        expect  be, "86h is not long"

        ; 83h
        mov     byte [flag], 0
        mov     cx, 1
        mov     dx, 0
        mov     bx, flag
        mov     ax, 0x8300
        int     0x15
        expect  nc, "8300h"
        mov     ax, 0x8300
        int     0x15
        expect  c, "8300h twice"
        mov     ecx, [0x46C]
        add     ecx, 6
.event: test    byte [flag], 0x80
        jnz     .came
        cmp     [0x46C], ecx
        expect  be, "8300h sets the flag"
        jmp     .event
.came:  test    byte [0x4A0], 1
        expect  z, "83h is over"
        mov     byte [flag], 0
        mov     cx, 1
        mov     dx, 0
        mov     bx, flag
        mov     ax, 0x8300
        int     0x15
        mov     ax, 0x8301
        int     0x15
        expect  nc, "8301h"
        mov     ecx, [0x46C]
        add     ecx, 4
.quiet: cmp     [0x46C], ecx
        jb      .quiet
        cmp     byte [flag], 0
        expect  e, "8301h calls it off"

        ; small ones
        mov     ax, 0x4F1E
        stc
        int     0x15
        expect  c, "4Fh keeps CF"
        cmp     ax, 0x4F1E
        expect  e, "4Fh keeps ax"
        mov     ax, 0x9000
        int     0x15
        expect  nc, "90h"
        or      ah, ah
        expect  z, "90h: ah = 0"
        mov     ah, 0xBF
        int     0x15
        expect  c, "no BFh"
        cmp     ah, 0x86
        expect  e, "no BFh: ah = 86h"
        mov     ax, 0xC209
        int     0x15
        expect  c, "no C209h"
        cmp     ah, 1
        expect  e, "no C209h: ah = 1"

        ; APM; whoever is connected lets go before another connects
        mov     ax, 0x5300
        xor     bx, bx
        int     0x15
        expect  nc, "APM present"
        cmp     bx, 0x504D
        expect  e, "APM signature"
        cmp     ax, 0x0102
        expect  e, "APM 1.2"
        mov     ax, 0x5301
        xor     bx, bx
        int     0x15
        expect  nc, "APM connects"
        mov     ax, 0x530E
        xor     bx, bx
        mov     cx, 0x0102
        int     0x15
        cmp     ax, 0x0102
        expect  e, "APM 1.2 agreed on"
        mov     ax, 0x5305
        int     0x15
        expect  nc, "APM idle"
        mov     ax, 0x530B
        int     0x15
        expect  c, "no APM event"
        cmp     ah, 0x80
        expect  e, "no APM event: ah = 80h"
        mov     ax, 0x530A
        mov     bx, 1
        int     0x15
        expect  nc, "APM power status"
        cmp     bh, 1
        expect  e, "on line"
        mov     ax, 0x5304
        xor     bx, bx
        int     0x15
        expect  nc, "APM lets go"
        call    apm32
        jmp     pass

; Waits for the next tick.
edge:   mov     eax, [0x46C]
.wait:  cmp     eax, [0x46C]
        je      .wait
        ret

; Calls the 32 bit interface.
apm32:  mov     ax, 0x5303
        xor     bx, bx
        int     0x15
        expect  nc, "APM connects, 32 bit"
        mov     [apm_offset], ebx
        movzx   eax, ax
        shl     eax, 4
        mov     [apm_gdt + 0x08 + 2], eax
        mov     byte [apm_gdt + 0x08 + 5], 0x9A
        cli
        lgdt    [apm_gdtr]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     0x20:.code32
        bits    32
.code32:
        mov     ax, 0x18
        mov     ss, ax
        mov     ds, ax
        mov     ax, 0x530E
        xor     ebx, ebx
        mov     ecx, 0x0102
        call    far [apm_pointer]
        mov     dx, ax
        mov     ax, 0x530B
        call    far [apm_pointer]
        setc    bl
        jmp     0x28:.code16
        bits    16
.code16:
        mov     cx, 0x30
        mov     ss, cx
        mov     ds, cx
        mov     ecx, cr0
        and     cl, 0xFE
        mov     cr0, ecx
        jmp     0:.real
.real:  xor     cx, cx
        mov     ss, cx
        mov     ds, cx
        sti
        cmp     dx, 0x0102
        expect  e, "APM 1.2 by the 32 bit interface"
        cmp     bl, 1
        expect  e, "no event by the 32 bit interface"
        ret

        align   4
extended:
        dd      0
map_end:
        dd      0
map_memory:
        dd      0
entry:  times   24 db 0
flag:   db      0
        align   8
table:  dq      0, 0
source: dq      0x000093000000FFFF
target: dq      0x000093000000FFFF
        dq      0, 0
apm_gdt:
        dq      0
        dq      0x00409A000000FFFF      ; 08: the interface
        dq      0
        dq      0x00CF92000000FFFF      ; 18: flat data
        dq      0x00CF9A000000FFFF      ; 20: flat code
        dq      0x00009A000000FFFF      ; 28: 16 bit code
        dq      0x000092000000FFFF      ; 30: 16 bit data
apm_gdtr:
        dw      $ - apm_gdt - 1
        dd      apm_gdt
apm_pointer:
apm_offset:
        dd      0
        dw      0x08
%include "footer.inc"
