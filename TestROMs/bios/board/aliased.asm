; Every protected-mode entry of the BIOS, called as systems call them: through linear addresses of
; their own (paging maps F0000h twice more), by code descriptors that cannot be read where the
; specification allows for that, with null selectors in all registers it gives no selector for, the
; pages of F0000h-FFFFFh read-only for ring 0 too, and stacks of 16 and of 32 bits.
; Expected: the registers and flags, call by call, that real mode gives: PCI BIOS specification 2.1,
; Standard BIOS 32-bit service directory 0.4, APM BIOS specification 1.2, Plug and Play BIOS
; specification 1.0A, which all say so. On a board without PCI the same, PCI's answers aside.
%include "harness.inc"

DIRECTORY       equ 0x20000     ; of pages; tables behind it
LOG_REAL        equ 0xB000
LOG             equ 0xD000
ALIAS           equ 0xD1230000  ; F0000h
ALIAS_DATA      equ 0xD1240000  ; 0
ALIAS_FLAT      equ 0xC0000000  ; 0, all of the first 4 MiB

CODE32          equ 0x08
DATA32          equ 0x10
CODE16          equ 0x18
DATA16          equ 0x20
BIOS_CODE32     equ 0x28        ; three in a row for APM
BIOS_CODE16     equ 0x30
BIOS_DATA       equ 0x38
BIOS_PAGES      equ 0x40        ; two pages, for the service directory
BIOS_PCI16      equ 0x48
BIOS_TABLES     equ 0x50
BIOS_APM16      equ 0x58        ; two in a row
BIOS_APM_DATA   equ 0x60

test:
        mov     sp, 0x7C00
        movzx   esp, sp
        call    make_pages
        in      al, 0x21                ; IRQ 0 only
        mov     [mask], al
        in      al, 0xA1
        mov     [mask + 1], al

        ; ---- the service directory
        mov     ebx, "_32_"
        call    scan
        expect  nc, "_32_"
        mov     eax, [es:si + 4]
        push    word 0
        pop     es
        mov     ecx, eax
        shr     ecx, 16
        cmp     cx, 0x0F
        expect  e, "the directory's entry is in F0000h-FFFFFh"
        mov     [directory], eax
        mov     ecx, eax
        and     ecx, 0xF000
        lea     ecx, [ecx + ALIAS]
        mov     [pages_descriptor + 2], cx
        shr     ecx, 16
        mov     [pages_descriptor + 4], cl
        mov     [pages_descriptor + 7], ch
        and     eax, 0xFFF
        mov     [target32], eax
        mov     word [target32 + 4], BIOS_PAGES
        mov     si, directory_calls
        mov     di, LOG
        call    in_protected32
        mov     eax, [directory]
        add     eax, ALIAS_FLAT
        mov     [target32], eax
        mov     word [target32 + 4], CODE32
        mov     si, directory_calls
        mov     di, LOG_REAL
        call    in_protected32
        call    compare
        expect  e, "the directory answers alike by both addresses"
        cmp     byte [LOG + 28 + 16], 0x81
        expect  e, "the directory: al = 81h for a function it has not"
        cmp     byte [LOG + 56 + 16], 0x80
        expect  e, "the directory: al = 80h for a service it has not"
        mov     ax, 0xB101
        int     0x1A
        jc      .no_pci
        cmp     byte [LOG + 16], 0
        expect  e, "the directory has PCI"
        cmp     dword [LOG + 4], 0xF0000
        expect  e, "PCI's base"
        mov     eax, [LOG + 8]          ; edx
        cmp     eax, [LOG + 12]
        expect  b, "PCI's entry is within its length"
        mov     [pci_offset], eax

        ; ---- PCI: real mode, then 16 and 32 bits
        mov     byte [is_interrupt], 1
        mov     dword [target16], 0xF000FE6E
        call    set_routes16
        mov     word [route_seg16], 0
        mov     si, pci_calls
        mov     di, LOG_REAL
        call    run16
        call    keep_routes
        mov     word [target16 + 2], BIOS_PCI16
        mov     word [stack], DATA16
        call    pci_16
        expect  e, "PCI, 16 bits"
        mov     word [stack], DATA32
        call    pci_16
        expect  e, "PCI, 16 bits, on a stack of 32"
        mov     eax, [pci_offset]
        mov     [target32], eax
        mov     word [target32 + 4], BIOS_CODE32
        call    pci_32
        expect  e, "PCI, 32 bits"
        mov     eax, [pci_offset]
        add     eax, ALIAS_FLAT + 0xF0000
        mov     [target32], eax
        mov     word [target32 + 4], CODE32
        call    pci_32
        expect  e, "PCI, 32 bits, flat"
        jmp     apm
.no_pci:
        cmp     byte [LOG + 16], 0x80
        expect  e, "the directory has no PCI"

        ; ---- APM
apm:    mov     byte [is_interrupt], 1
        mov     dword [target16], 0xF000F859
        mov     ax, 0x5301
        xor     bx, bx
        int     0x15
        expect  nc, "APM: real mode connects"
        mov     si, apm_calls
        mov     di, LOG_REAL
        call    run16
        call    disconnected
        expect  e, "APM: real mode disconnects itself"
        mov     byte [is_interrupt], 0
        mov     ax, 0x5302
        xor     bx, bx
        int     0x15
        expect  nc, "APM: 16 bits connects"
        cmp     ax, 0xF000
        expect  e, "APM: code segment, 16 bits"
        mov     [target16], bx
        mov     word [target16 + 2], BIOS_APM16
        cmp     cx, 0x40
        expect  e, "APM: data segment"
        mov     word [stack], DATA16
        mov     si, apm_calls
        mov     di, LOG
        call    in_protected16
        call    compare
        expect  e, "APM, 16 bits"
        call    disconnected
        expect  e, "APM: 16 bits disconnects itself"
        mov     ax, 0x5303
        xor     bx, bx
        int     0x15
        expect  nc, "APM: 32 bits connects"
        cmp     ax, 0xF000
        expect  e, "APM: code segment, 32 bits"
        mov     [target32], ebx
        mov     word [target32 + 4], BIOS_CODE32
        mov     si, apm_calls
        mov     di, LOG
        call    in_protected32
        call    compare
        expect  e, "APM, 32 bits"
        call    disconnected
        expect  e, "APM: 32 bits disconnects itself"

        ; ---- Plug and Play
        mov     ebx, "$PnP"
        call    scan
        expect  nc, "$PnP"
        mov     eax, [es:si + 0x0D]
        mov     [target16], eax
        mov     ax, [es:si + 0x1B]
        mov     [pnp_selector], ax
        mov     ax, [es:si + 0x11]
        push    word 0
        pop     es
        push    ax
        mov     di, LOG_REAL
        call    pnp_run
        mov     [log_end], di
        cmp     di, LOG - 64
        expect  b, "Plug and Play: the log's length"
        pop     ax
        mov     [target16], ax
        mov     word [target16 + 2], BIOS_CODE16
        mov     word [pnp_selector], BIOS_TABLES
        mov     word [stack], DATA16
        call    pnp_protected
        expect  e, "Plug and Play, protected mode"
        mov     word [stack], DATA32
        call    pnp_protected
        expect  e, "Plug and Play, on a stack of 32 bits"
        mov     word [target16 + 2], BIOS_PCI16
        call    pnp_protected
        expect  e, "Plug and Play, by code that cannot be read"
        jmp     pass

pci_16: call    set_routes16
        mov     word [route_seg16], DATA16
        mov     si, pci_calls
        mov     di, LOG
        call    in_protected16
        jmp     compare_routes
pci_32: call    set_routes16
        mov     dword [route + 2], routes
        mov     word [route_seg32], DATA16
        mov     si, pci_calls
        mov     di, LOG
        call    in_protected32
compare_routes:
        call    compare
        jne     .end
        mov     si, routes
        mov     di, routes_real
        mov     cx, 512
        repe cmpsb
.end:   ret
set_routes16:
        mov     word [route], 512
        mov     word [short_route], 15
        mov     word [route + 2], routes
        mov     di, routes
        mov     cx, 512
        xor     al, al
        rep stosb
        ret
keep_routes:
        mov     si, routes
        mov     di, routes_real
        mov     cx, 512
        rep movsb
        ret

pnp_protected:
        mov     di, LOG
        mov     cx, 0x1000
        xor     al, al
        rep stosb
        call    to_protected
        mov     di, LOG
        call    pnp_run
        call    to_real
        mov     cx, di
        sub     cx, LOG
        mov     si, LOG
        mov     di, LOG_REAL
        repe cmpsb
        jne     .end
        cmp     di, [log_end]
.end:   ret

; ZF set when APM is not connected to anybody.
disconnected:
        mov     ax, 0x5304
        xor     bx, bx
        int     0x15
        cmp     ah, 3
        ret

; Are the logs, up to di in LOG, alike?
compare:
        mov     cx, di
        and     cx, 0x1FFF
        sub     cx, LOG_REAL & 0x1FFF
        mov     si, LOG_REAL
        mov     di, LOG
        repe cmpsb
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

; ---------------------------------------------------------------- protected mode

make_pages:
        push    word DIRECTORY >> 4
        pop     es
        xor     di, di
        xor     eax, eax
        mov     cx, 0x3000 / 4
        rep stosd
        mov     dword [es:0], DIRECTORY + 0x1000 + 3
        mov     dword [es:(ALIAS_FLAT >> 22) * 4], DIRECTORY + 0x1000 + 3
        mov     dword [es:(ALIAS >> 22) * 4], DIRECTORY + 0x2000 + 3
        mov     di, 0x1000
        mov     eax, 3
.low:   stosd
        add     eax, 0x1000
        cmp     eax, 0x400000
        jb      .low
        mov     di, 0x1000 + 0xF0 * 4
        mov     bx, 0x2000 + ((ALIAS >> 12) & 0x3FF) * 4
        mov     eax, 0xF0001            ; present, not to be written
.bios:  stosd
        mov     [es:bx], eax
        add     bx, 4
        add     eax, 0x1000
        cmp     eax, 0x100000
        jb      .bios
        mov     dword [es:0x2000 + ((ALIAS_DATA >> 12) & 0x3FF) * 4], 3
        push    word 0
        pop     es
        mov     di, idt                 ; IRQ 0 returns, all else is the end
        mov     cx, 32
.gate:  mov     eax, CODE32 << 16
        mov     ax, stray
        stosd
        mov     eax, 0x8E00
        stosd
        loop    .gate
        mov     word [idt + 8 * 8], tick
        ret

to_protected:
        cli
        mov     al, 0xFE
        out     0x21, al
        mov     al, 0xFF
        out     0xA1, al
        lgdt    [gdt_pointer]
        lidt    [idt_pointer]
        mov     eax, DIRECTORY
        mov     cr3, eax
        mov     eax, cr0
        or      eax, 0x80010001         ; paging, WP, PE
        mov     cr0, eax
        jmp     CODE16:.there
.there: mov     ax, DATA16
        mov     ds, ax
        mov     es, ax
        mov     ss, [stack]
        xor     ax, ax
        mov     fs, ax
        mov     gs, ax
        mov     word [data_selector], DATA16
        ret

to_real:
        mov     word [data_selector], 0
        mov     ax, DATA16
        mov     ss, ax
        mov     fs, ax
        mov     gs, ax
        mov     eax, cr0
        and     eax, 0x7FFEFFFE
        mov     cr0, eax
        jmp     0:.there
.there: xor     ax, ax
        mov     cr3, eax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     fs, ax
        mov     gs, ax
        lidt    [real_idt]
        mov     al, [mask]
        out     0x21, al
        mov     al, [mask + 1]
        out     0xA1, al
        sti
        ret

in_protected16:
        call    to_protected
        call    run16
        jmp     to_real

in_protected32:
        mov     word [stack], DATA32
        call    to_protected
        movzx   edi, di
        movzx   esi, si
        call    dword CODE32:run32
        jmp     to_real

; Calls target16 with what each entry at si has, and notes the outcome at di: edi, ebx, edx,
; ecx, eax, esi, CF. In real mode and in protected mode.
run16:  cmp     dword [si], -1
        je      .end
        push    si
        push    di
        mov     eax, [si]
        mov     ebx, [si + 4]
        mov     ecx, [si + 8]
        mov     edx, [si + 12]
        mov     edi, [si + 20]
        mov     esi, [si + 16]
        cmp     byte [is_interrupt], 0
        push    word 0                  ; the same in real mode, nothing in protected mode
        pop     ds
        je      .plain
        pushf
.plain: call    far [cs:target16]
        pushfd
        mov     ds, [cs:data_selector]
        pop     dword [flags]
        mov     [log], edi
        pop     di
        mov     [temporary], eax
        call    note
        pop     si
        add     si, 24
        jmp     run16
.end:   ret
note:   mov     eax, [log]
        mov     [di], eax
        mov     [di + 4], ebx
        mov     [di + 8], edx
        mov     [di + 12], ecx
        mov     eax, [temporary]
        mov     [di + 16], eax
        mov     [di + 20], esi
        mov     eax, [flags]
        and     eax, 1
        mov     [di + 24], eax
        add     di, 28
        ret

        bits    32
; The same by target32. es is what the route buffer is found by.
run32:  mov     ebp, [esi]
        cmp     ebp, -1
        je      .end
        push    esi
        push    edi
        mov     eax, [esi]
        mov     ebx, [esi + 4]
        mov     ecx, [esi + 8]
        mov     edx, [esi + 12]
        mov     edi, [esi + 20]
        mov     esi, [esi + 16]
        push    dword 0
        pop     ds
        call    far [cs:target32]
        pushfd
        push    dword DATA16
        pop     ds
        pop     dword [flags]
        mov     [log], edi
        pop     edi
        mov     [temporary], eax
        mov     eax, [log]
        mov     [edi], eax
        mov     [edi + 4], ebx
        mov     [edi + 8], edx
        mov     [edi + 12], ecx
        mov     eax, [temporary]
        mov     [edi + 16], eax
        mov     [edi + 20], esi
        mov     eax, [flags]
        and     eax, 1
        mov     [edi + 24], eax
        add     edi, 28
        pop     esi
        add     esi, 24
        jmp     run32
.end:   retf

tick:   push    eax
        mov     al, 0x20
        out     0x20, al
        pop     eax
        iretd
stray:  mov     al, "!"                 ; an exception
        out     0xE9, al
        mov     al, 0x11
        out     0xF4, al
        hlt
        bits    16

; ---------------------------------------------------------------- Plug and Play

; Calls the functions by target16, notes ax and what they wrote at di. In either mode.
pnp_run:
        mov     ax, [data_selector]
        mov     es, ax
        push    word [pnp_selector]
        push    ax
        push    word pnp_size
        push    ax
        push    word pnp_node
        push    word 0x00
        call    far [target16]
        add     esp, 12
        stosw
        mov     ax, [pnp_node]
        stosw
        mov     ax, [pnp_size]
        stosw
        mov     byte [pnp_node], 0
.node:  mov     cx, 1
        call    pnp_get
        stosw
        mov     ax, [pnp_node]
        stosw
        mov     cx, [pnp_buffer]
        mov     si, pnp_buffer
        rep movsb
        cmp     byte [pnp_node], 0xFF
        jne     .node
        mov     byte [pnp_node], 0
        mov     cx, 2
        call    pnp_get
        stosw
        mov     cx, 3                   ; both at once
        call    pnp_get
        stosw
        mov     byte [pnp_node], 0xF0   ; no such node
        mov     cx, 1
        call    pnp_get
        stosw
        mov     bx, pnp_others
.other: mov     cx, [bx]
        cmp     cx, -1
        je      .end
        mov     dx, [bx + 2]
        call    pnp_other
        stosw
        add     bx, 4
        jmp     .other
.end:   ret
; 01h, cx = which configuration. Out: ax.
pnp_get:
        mov     ax, [data_selector]
        push    word [pnp_selector]
        push    cx
        push    ax
        push    word pnp_buffer
        push    ax
        push    word pnp_node
        push    word 0x01
        call    far [target16]
        add     esp, 14
        ret
; Function cx with dx as its first argument, pointers to the buffer for the rest.
pnp_other:
        push    word [pnp_selector]
        push    word [pnp_selector]
        push    word 1
        push    word [data_selector]
        push    word pnp_buffer
        push    dx
        push    cx
        call    far [target16]
        add     esp, 14
        ret
pnp_others:
        dw      0x02, 0x00, 0x02, 0x09, 0x02, 0xF0, 0x03, 0, 0x04, 0x42, 0x04, 0x43, 0x04, 0x7F
        dw      0x05, 0, 0x06, 0, 0x07, 0, 0x08, 0, 0x09, 0, 0x0A, 0, 0x0B, 0, 0x0C, 0, 0x3F, 0
        dw      0x40, 0, 0x41, 0, 0x42, 0, 0x43, 0, 0x44, 0, 0xFFFE, 0
        dw      -1

; ---------------------------------------------------------------- calls

        align   4
directory_calls:                        ; eax, ebx, ecx, edx, esi, edi
        dd      "$PCI", 0, 0x11, 0x22, 0x33, 0x44
        dd      "$PCI", 1, 0x11, 0x22, 0x33, 0x44
        dd      "$ABC", 0, 0x11, 0x22, 0x33, 0x44
        dd      -1
pci_calls:
        dd      0x5555B101, 0x66660000, 0x7777FFFF, 0x88880000, 0x99990000, 0xAAAA0000
        dd      0x5555B102, 0x66660000, 0x77777010, 0x88888086, 0x99990000, 0xAAAA0000
        dd      0x5555B102, 0x66660000, 0x77777010, 0x88888086, 0x99990001, 0xAAAA0000
        dd      0x5555B102, 0x66660000, 0x77777010, 0x8888FFFF, 0x99990000, 0xAAAA0000
        dd      0x5555B103, 0x66660000, 0x00060100, 0x88888086, 0x99990000, 0xAAAA0000
        dd      0x5555B103, 0x66660000, 0x00FFFFFF, 0x88888086, 0x99990000, 0xAAAA0000
        dd      0x5555B104, 0x66660000, 0x00060100, 0x88888086, 0x99990000, 0xAAAA0000
        dd      0x5555B106, 0x66660000, 0x00060100, 0x88888086, 0x99990000, 0xAAAA0000
        dd      0x5555B108, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0000
        dd      0x5555B108, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0100
        dd      0x5555B109, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0002
        dd      0x5555B109, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0003
        dd      0x5555B10A, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0008
        dd      0x5555B10A, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA000A
        dd      0x5555B10A, 0x6666FF08, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0000
        dd      0x5555B10B, 0x66660008, 0x7777770B, 0x88888888, 0x99990000, 0xAAAA0060
        dd      0x5555B10A, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0060
        dd      0x5555B10C, 0x66660008, 0x77770A0A, 0x88888888, 0x99990000, 0xAAAA0060
        dd      0x5555B10A, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0060
        dd      0x5555B10D, 0x66660008, 0x0B0B0A0A, 0x88888888, 0x99990000, 0xAAAA0060
        dd      0x5555B10A, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0060
        dd      0x5555B10C, 0x66660008, 0x77770A0A, 0x88888888, 0x99990000, 0xAAAA0061
        dd      0x5555B10D, 0x66660008, 0x77770A0A, 0x88888888, 0x99990000, 0xAAAA0062
        dd      0x5555B10E, 0x66660000, 0x77777777, 0x88888888, 0x99990000, route
        dd      0x5555B10E, 0x66660000, 0x77777777, 0x88888888, 0x99990000, short_route
        dd      0x5555B10F, 0x66660010, 0x77770A0A, 0x88888888, 0x99990000, 0xAAAA0000
        dd      0x5555B10F, 0x66660010, 0x77770A0E, 0x88888888, 0x99990000, 0xAAAA0000
        dd      0x5555B10F, 0x66660010, 0x7777000A, 0x88888888, 0x99990000, 0xAAAA0000
        dd      0x5555B10A, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0060
        dd      0x5555B10D, 0x66660008, 0x0B0B0A0A, 0x88888888, 0x99990000, 0xAAAA0060
        dd      0x5555B17F, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0060
        dd      0x5555B1FF, 0x66660008, 0x77777777, 0x88888888, 0x99990000, 0xAAAA0060
        dd      -1

%macro apm_call 3                       ; function, bx, cx
        dd      0x5300 | %1, 0x66660000 | %2, 0x77770000 | %3, 0x8888DDDD, 0x99991111, 0xAAAA2222
%endmacro
apm_calls:
        apm_call 0x0E, 0, 0x0101
        apm_call 0x0E, 1, 0x0102
        apm_call 0x0E, 0, 0x0102
        apm_call 0x05, 0, 0
        apm_call 0x06, 0, 0
        apm_call 0x07, 1, 0
        apm_call 0x07, 1, 1
        apm_call 0x07, 1, 2
        apm_call 0x07, 1, 4
        apm_call 0x07, 1, 6
        apm_call 0x07, 0x0100, 1
        apm_call 0x07, 0x02FF, 3
        apm_call 0x07, 0x0100, 4
        apm_call 0x07, 0x0600, 1
        apm_call 0x08, 1, 0
        apm_call 0x07, 1, 1
        apm_call 0x08, 0xFFFF, 1
        apm_call 0x08, 1, 2
        apm_call 0x08, 2, 1
        apm_call 0x0F, 1, 0
        apm_call 0x05, 0, 0
        apm_call 0x06, 0, 0
        apm_call 0x07, 1, 1
        apm_call 0x0B, 0, 0
        apm_call 0x0F, 1, 2
        apm_call 0x0F, 1, 1
        apm_call 0x09, 1, 0
        apm_call 0x09, 3, 0
        apm_call 0x0A, 1, 0
        apm_call 0x0A, 0x8001, 0
        apm_call 0x0B, 0, 0
        apm_call 0x0C, 1, 0
        apm_call 0x0C, 0x0100, 0
        apm_call 0x0C, 0, 0
        apm_call 0x0D, 0x0100, 1
        apm_call 0x0D, 0x0100, 2
        apm_call 0x0D, 0, 1
        apm_call 0x10, 0, 0
        apm_call 0x10, 1, 0
        apm_call 0x11, 0, 0
        apm_call 0x11, 0, 1
        apm_call 0x12, 0, 0
        apm_call 0x13, 0, 2
        apm_call 0x13, 0, 0
        apm_call 0x13, 0, 1
        apm_call 0x13, 0, 3
        apm_call 0x14, 0, 0
        apm_call 0x7F, 0, 0
        apm_call 0x80, 0x7F00, 0
        apm_call 0xFF, 0, 0
        apm_call 0x04, 1, 0
        apm_call 0x04, 0, 0
        apm_call 0x04, 0, 0
        apm_call 0x0B, 0, 0
        dd      -1

        align   8
gdt:    dq      0
        dq      0x00CF9A000000FFFF
        dq      0x00CF92000000FFFF
        dq      0x00009A000000FFFF
        dq      0x000092000000FFFF
        dq      0xD1409823_0000FFFF     ; 28: execute only
        dq      0xD1009A23_0000FFFF     ; 30
        dq      0xD1009224_040000FF     ; 38: BIOS data area
pages_descriptor:
        dq      0x0040980000001FFF      ; 40
        dq      0xD1009823_0000FFFF     ; 48: execute only
        dq      0xD1009023_0000FFFF     ; 50: read only
        dq      0xD1009823_0000FFFF     ; 58: execute only
apm_descriptor:
        dq      0xD1009224_040000FF     ; 60
gdt_end:
gdt_pointer:
        dw      gdt_end - gdt - 1
        dd      gdt
idt_pointer:
        dw      32 * 8 - 1
        dd      idt
real_idt:
        dw      0x3FF
        dd      0

        align   4
directory:
        dd      0
pci_offset:
        dd      0
target16:
        dd      0
target32:
        dd      0
        dw      0
data_selector:
        dw      0
stack:  dw      DATA16
mask:   dw      0
is_interrupt:
        db      0, 0
log:    dd      0
flags:  dd      0
temporary:
        dd      0
log_end:
        dw      0
pnp_selector:
        dw      0
pnp_size:
        dw      0
pnp_node:
        dw      0
route:  dw      512
        dw      routes
route_seg16:
        dw      0
route_seg32:
        dw      0
short_route:
        dw      15, 0, 0, 0
        align   8
idt:    times   32 dq 0
routes: times   512 db 0
routes_real:
        times   512 db 0
pnp_buffer:
        times   256 db 0
%include "footer.inc"
