; How Windows 95, 98 and NT come to PCI: configuration mechanisms tried, BIOS32 and its services, every
; function looked at, and "$PIR" with the interrupt router's registers.
; After the PCI local bus specification 2.1, 3.2.2.3.1 and .2 (both mechanisms; which of them there
; is, software finds by writing and reading back CF8h); the Standard BIOS 32-bit service directory
; proposal 0.4; PCI BIOS specification 2.1; Microsoft's "PCI IRQ Routing Table Specification" 1.0
; (links of a PIIX are its registers, 60h to 63h) and the 82371SB's data sheet (PIRQRC, ELCR).
; QEMU 7.2 shows bytes of CF8h, which the 82441FX does not (it decodes doublewords only).
%include "harness.inc"
%include "systems/protected.inc"

ROUTER  equ 0x80000800

test:
        ; ---- mechanism 2: CFBh as what chooses between them, bytes at CF8h and CFAh
        mov     dx, 0xCF8
        mov     eax, 0x80000000
        out     dx, eax
        mov     dx, 0xCFB
        xor     al, al
        out     dx, al
        mov     dx, 0xCF8
        out     dx, al
        mov     dx, 0xCFA
        out     dx, al
        mov     dx, 0xCF8
        in      al, dx
        mov     ah, al
        mov     dx, 0xCFA
        in      al, dx
        or      al, ah
        expect  nz, "no mechanism 2"
        ; ---- mechanism 1
        mov     dx, 0xCFB
        mov     al, 1
        out     dx, al
        mov     dx, 0xCF8
        in      eax, dx
        mov     ebx, eax
        mov     eax, 0x80000000
        out     dx, eax
        in      eax, dx
        push    eax
        mov     eax, ebx
        out     dx, eax
        pop     eax
        cmp     eax, 0x80000000
        expect  e, "mechanism 1: CF8h reads back"
        cmp     ebx, 0x80000000
        expect  e, "bytes written there did not change it"
        mov     eax, 0xFFFFFFFF         ; what is reserved reads as zero
        mov     dx, 0xCF8
        out     dx, eax
        in      eax, dx
        and     eax, 0x7F000003
        expect  z, "mechanism 1: reserved bits"
        xor     eax, eax
        out     dx, eax
        mov     dx, 0xCFC
        in      eax, dx
        cmp     eax, 0xFFFFFFFF
        expect  e, "mechanism 1: switched off, nobody answers"

        ; ---- BIOS32
        mov     ax, 0xE000
.scan:  mov     es, ax
        cmp     dword [es:0], "_32_"
        je      .found
        inc     ax
        jnz     .scan
        or      ax, ax
        expect  nz, "_32_"
.found: mov     al, [es:9]
        cmp     al, 1
        expect  e, "_32_: 16 bytes"
        cmp     byte [es:8], 0
        expect  e, "_32_: revision 0"
        xor     si, si
        xor     al, al
        mov     cx, 16
.sum:   add     al, [es:si]
        inc     si
        loop    .sum
        or      al, al
        expect  z, "_32_: checksum"
        mov     eax, [es:4]
        mov     [directory], eax
        cmp     eax, 0x100000
        expect  b, "_32_: an address below 1 MiB"
        push    word 0
        pop     es
        mov     bx, ask_directory
        call    run_protected
        cmp     byte [answer], 0
        expect  e, "$PCI is there"
        mov     eax, [answer + 4]
        add     eax, [answer + 12]
        mov     [service], eax
        mov     eax, [answer + 12]
        cmp     eax, [answer + 8]
        expect  b, "$PCI: the entry is within the service"
        cmp     byte [answer + 16], 0x80
        expect  e, "$ABC is not there"
        cmp     byte [answer + 20], 0x81
        expect  e, "the directory has one function"

        ; ---- the same answers by INT 1Ah and by the service
        mov     si, calls
.call:  mov     eax, [si]
        cmp     ax, 0xFFFF
        je      .enumerate
        mov     [given], si
        mov     ebx, [si + 4]
        mov     ecx, [si + 8]
        mov     edx, [si + 12]
        mov     edi, [si + 16]
        push    si
        mov     si, [si + 20]
        int     0x1A
        pop     si
        mov     [answer], eax
        mov     [answer + 4], ebx
        mov     [answer + 8], ecx
        mov     [answer + 12], edx
        setc    [answer + 16]
        mov     bx, ask_service
        call    run_protected
        mov     cx, 17
        push    si
        mov     si, answer
        mov     di, answer32
        mov     eax, [si]
        xor     eax, [di]
        test    eax, 0xFF00             ; the status
        expect  z, "INT 1Ah's status and the service's"
        mov     al, [si + 16]
        cmp     al, [di + 16]
        expect  e, "INT 1Ah's CF and the service's"
        or      al, al
        jnz     .failed
        mov     eax, [si + 4]
        cmp     ax, [di + 4]
        expect  e, "INT 1Ah's BX and the service's"
        mov     eax, [si + 8]
        cmp     eax, [di + 8]
        expect  e, "INT 1Ah's ECX and the service's"
.failed:
        pop     si
        add     si, 24
        jmp     .call

        ; ---- all functions of bus 0
.enumerate:
        mov     eax, 0x80000000
.function:
        mov     [address], eax
        xor     bl, bl
        call    configuration
        cmp     ax, 0xFFFF
        je      .absent
        cmp     eax, 0
        expect  ne, "no identity of zeros"
        inc     word [functions]
        mov     [identity], eax
        mov     bl, 0x0C
        call    configuration
        shr     eax, 16
        and     al, 0x7F
        cmp     al, 2
        expect  be, "header type"
        ; functions 1 to 7 only where function 0 says so
        mov     eax, [address]
        test    ah, 7
        jz      .first
        cmp     byte [multiple], 0
        expect  ne, "function 0 tells of the others"
        jmp     .bars
.first: mov     bl, 0x0C
        call    configuration
        shr     eax, 16
        and     al, 0x80
        mov     [multiple], al
.bars:  ; B102h finds it
        mov     eax, [identity]
        mov     dx, ax
        shr     eax, 16
        mov     cx, ax
        xor     si, si
.which: mov     ax, 0xB102
        push    cx
        push    dx
        int     0x1A
        pop     dx
        pop     cx
        expect  nc, "B102h finds what is there"
        mov     eax, [address]
        shr     eax, 8
        cmp     ax, bx
        je      .known
        inc     si
        cmp     si, 8
        expect  b, "B102h finds each of several"
        jmp     .which
.known: ; an interrupt that POST gave is one of the router's
        mov     bl, 0x3C
        call    configuration
        or      ah, ah
        jz      .absent
        cmp     al, 16
        expect  b, "an interrupt line for a device that has a pin"
        movzx   cx, al
        call    level
        expect  nz, "it is level-triggered"
.absent:
        mov     eax, [address]
        test    ah, 7
        jnz     .next
        xor     bl, bl
        call    configuration
        cmp     ax, 0xFFFF
        mov     eax, [address]
        jne     .next
        add     eax, 0x700              ; no function 0, no others
        mov     byte [multiple], 0
.next:  add     eax, 0x100
        cmp     eax, 0x80010000
        jb      .function
        cmp     word [functions], 3
        expect  ae, "host bridge, ISA bridge and IDE at least"

        ; ---- "$PIR"
        mov     ax, 0xF000
.pir:   mov     es, ax
        cmp     dword [es:0], "$PIR"
        je      .table
        inc     ax
        jnz     .pir
        or      ax, ax
        expect  nz, "$PIR"
.table: cmp     word [es:4], 0x0100
        expect  e, "$PIR: 1.0"
        mov     cx, [es:6]
        test    cl, 15
        expect  z, "$PIR: whole entries"
        cmp     cx, 0x30
        expect  ae, "$PIR: an entry"
        xor     si, si
        xor     al, al
.pirsum:
        add     al, [es:si]
        inc     si
        loop    .pirsum
        or      al, al
        expect  z, "$PIR: checksum"
        ; the router is where it says, and of a kind there is a miniport for
        movzx   eax, word [es:8]
        xchg    al, ah                  ; bus and device
        shl     eax, 8
        or      eax, 0x80000000
        mov     [address], eax
        cmp     eax, ROUTER
        expect  e, "$PIR: the router"
        xor     bl, bl
        call    configuration
        cmp     ax, 0x8086
        expect  e, "the router: Intel's"
        mov     eax, [es:0x0C]
        cmp     eax, 0x122E8086         ; PIIX, or PIIX3 itself
        je      .compatible
        cmp     eax, 0x70008086
        expect  e, "$PIR: as the PIIX or PIIX3"
.compatible:
        ; entries: links are PIRQ registers, IRQs those that the data sheet lets be chosen
        mov     cx, [es:6]
        sub     cx, 0x20
        shr     cx, 4
        mov     si, 0x20
.entry: cmp     byte [es:si], 0
        expect  e, "$PIR: bus 0"
        mov     di, si
        mov     dx, 4
.pin:   add     di, 2
        mov     al, [es:di]
        or      al, al
        jz      .unconnected
        sub     al, 0x60
        cmp     al, 3
        expect  be, "$PIR: a link is 60h to 63h"
        mov     ax, [es:di + 1]
        test    ax, 0x2107              ; 0, 1, 2, 8, 13
        expect  z, "$PIR: no request that a PIRQ cannot be led to"
        mov     bl, [es:di]
        call    pirq
        cmp     al, 0x80
        jae     .unconnected
        push    cx
        movzx   cx, al
        bt      [es:di + 1], cx
        call    routed
        pop     cx
.unconnected:
        inc     di
        dec     dx
        jnz     .pin
        add     si, 16
        dec     cx
        jnz     .entry

        ; ---- a PIRQ is led elsewhere, as an IRQ miniport does, and back
        mov     bl, 0x60
        call    pirq
        mov     [before], al
        mov     cx, 5
        call    level
        expect  z, "IRQ 5 is an ISA card's"
        mov     al, 5
        call    set_pirq
        call    pirq
        cmp     al, 5
        expect  e, "PIRQRC reads back"
        mov     dx, 0x4D0
        in      al, dx
        or      al, 0x20
        out     dx, al
        in      al, dx
        test    al, 0x20
        expect  nz, "ELCR: IRQ 5 is level-triggered"
        and     al, 0xDF
        out     dx, al
        mov     al, 0xFF                ; what ISA has for itself stays edge-triggered
        out     dx, al
        in      al, dx
        test    al, 0x07
        expect  z, "ELCR: IRQ 0, 1 and 2 cannot be changed"
        xor     al, al
        out     dx, al
        inc     dx
        in      al, dx
        mov     ah, al
        mov     al, 0xFF
        out     dx, al
        in      al, dx
        test    al, 0x21
        expect  z, "ELCR: IRQ 8 and 13 cannot be changed"
        mov     al, ah
        out     dx, al
        mov     al, 0x80
        call    set_pirq
        call    pirq
        test    al, 0x80
        expect  nz, "PIRQRC: led nowhere"
        mov     al, [before]
        call    set_pirq
        call    pirq
        cmp     al, [before]
        expect  e, "PIRQRC: as before"
        jmp     pass

; Out: eax = the dword at bl of the function at [address]. Changes dx.
configuration:
        mov     eax, [address]
        mov     al, bl
        mov     dx, 0xCF8
        out     dx, eax
        mov     dx, 0xCFC
        in      eax, dx
        ret
; Out: al = PIRQ register bl. Keeps dx.
pirq:   push    dx
        mov     eax, ROUTER | 0x60
        mov     dx, 0xCF8
        out     dx, eax
        movzx   dx, bl
        and     dl, 3
        add     dx, 0xCFC
        in      al, dx
        pop     dx
        ret
set_pirq:
        push    dx
        push    eax
        mov     eax, ROUTER | 0x60
        mov     dx, 0xCF8
        out     dx, eax
        pop     eax
        movzx   dx, bl
        and     dl, 3
        add     dx, 0xCFC
        out     dx, al
        pop     dx
        ret
; CF: the bitmap has request cl. It must have, and be level-triggered.
routed: expect  c, "$PIR: POST led a PIRQ to one of its requests"
        call    level
        expect  nz, "where PIRQs go is level-triggered"
        ret
; Out: ZF clear when request cx is level-triggered. Changes ax; keeps dx.
level:  push    dx
        mov     dx, 0x4D1
        in      al, dx
        mov     ah, al
        dec     dx
        in      al, dx
        bt      ax, cx
        sbb     ax, ax
        or      ax, ax
        pop     dx
        ret

        bits    32
ask_directory:
        pushad
        mov     eax, "$PCI"
        xor     ebx, ebx
        call    .directory
        mov     [answer], eax
        mov     [answer + 4], ebx
        mov     [answer + 8], ecx
        mov     [answer + 12], edx
        mov     eax, "$ABC"
        xor     ebx, ebx
        call    .directory
        mov     [answer + 16], eax
        mov     eax, "$PCI"
        mov     ebx, 1
        call    .directory
        mov     [answer + 20], eax
        popad
        ret
.directory:
        push    cs
        call    .far
        ret
.far:   jmp     [directory]             ; which returns far

ask_service:
        pushad
        mov     esi, [given]
        mov     eax, [esi]
        mov     ebx, [esi + 4]
        mov     ecx, [esi + 8]
        mov     edx, [esi + 12]
        mov     edi, [esi + 16]
        mov     esi, [esi + 20]
        push    cs
        call    .far
        mov     [answer32], eax
        mov     [answer32 + 4], ebx
        mov     [answer32 + 8], ecx
        mov     [answer32 + 12], edx
        setc    [answer32 + 16]
        popad
        ret
.far:   jmp     [service]
        bits    16

        align   4
calls:  ; eax, ebx, ecx, edx, edi, esi
        dd      0xB101, 0, 0, 0, 0, 0
        dd      0xB102, 0, 0x7000, 0x8086, 0, 0
        dd      0xB102, 0, 0x7000, 0x8086, 0, 1
        dd      0xB102, 0, 0x7000, 0xFFFF, 0, 0
        dd      0xB103, 0, 0x060000, 0, 0, 0
        dd      0xB103, 0, 0x010180, 0, 0, 0
        dd      0xB103, 0, 0xFFFFFF, 0, 0, 0
        dd      0xB108, 0x0008, 0, 0, 0x0A, 0
        dd      0xB109, 0x0008, 0, 0, 0x00, 0
        dd      0xB10A, 0x0009, 0, 0, 0x20, 0
        dd      0xB109, 0x0008, 0, 0, 0x01, 0
        dd      0xB10A, 0x0008, 0, 0, 0x102, 0
        dd      0xB108, 0x00F8, 0, 0, 0, 0
        dd      0xB107, 0, 0, 0, 0, 0
        dd      0xFFFF
directory:      dd 0
service:        dd 0
given:          dd 0
address:        dd 0
identity:       dd 0
answer:         times 6 dd 0
answer32:       times 6 dd 0
functions:      dw 0
multiple:       db 0
before:         db 0
%include "footer.inc"
