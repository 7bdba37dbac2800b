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

%include "aliased_modes.inc"
%include "aliased_calls.inc"

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
