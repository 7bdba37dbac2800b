; How the Configuration Manager of Windows 95 and 98 takes over from the Plug and Play BIOS: "$PnP" found,
; nodes listed by the real-mode and by the 16-bit entry, for the present and for the next start; the
; ISA cards that POST numbered, their registers; then its own isolation at a port for reading of its
; own, another place for each card, and the card used there.
; After the Plug and Play BIOS specification 1.0A (chapter 4: installation check, functions 00h to 05h,
; 40h); Plug and Play ISA specification 1.0a (4 and 5: isolation, registers); the Windows 95 resource kit,
; chapters 18 and 31 (enumerators of BIOS and ISA).
; `cards`: how many `pnp-uart` there are; whoever makes the machine writes it there.
; SeaBIOS has only the installation check and docking.
%include "harness.inc"
%include "systems/protected.inc"

ADDRESS equ 0x279
WRITE   equ 0xA79
READ    equ 0x20B               ; our own
LISTS   equ 0x3000              ; segment: nodes by the real mode's entry; by the other one 4000h behind

%macro set_reg 2                ; changes al, dx
        mov     dx, ADDRESS
        mov     al, %1
        out     dx, al
        mov     dx, WRITE
        mov     al, %2
        out     dx, al
%endmacro
%macro get_reg 1
        mov     dx, ADDRESS
        mov     al, %1
        out     dx, al
        mov     dx, [read_port]
        in      al, dx
%endmacro

        db      "CARDS"
cards:  db      0

test:   ; ---- installation check
        mov     ax, 0xF000
.scan:  mov     es, ax
        cmp     dword [es:0], "$PnP"
        jne     .not
        movzx   cx, byte [es:5]
        cmp     cl, 0x21
        jb      .not
        xor     si, si
        xor     bl, bl
.sum:   add     bl, [es:si]
        inc     si
        loop    .sum
        or      bl, bl
        jz      .found
.not:   inc     ax
        jnz     .scan
        or      ax, ax
        expect  nz, "$PnP"
.found: cmp     byte [es:4], 0x10
        expect  e, "$PnP: 1.0"
        mov     eax, [es:0x0D]
        mov     [entry], eax
        mov     ax, [es:0x11]
        mov     [entry16], ax
        mov     ax, [es:0x1B]
        mov     [data], ax
        mov     eax, [es:0x13]
        mov     ecx, 0xFFFF
        mov     di, FIRST + 8
        call    set_descriptor
        mov     eax, [es:0x1D]
        mov     di, FIRST + 16
        call    set_descriptor
        mov     eax, LISTS << 4
        mov     di, FIRST + 24
        call    set_descriptor
        push    word 0
        pop     es

        ; ---- nodes in real mode
        mov     eax, [entry]
        mov     [target], eax
        mov     word [list], LISTS
        mov     word [own], 0
        mov     word [where], 0
        call    enumerate
        mov     ax, [where]
        mov     [length], ax
        ; in protected mode
        mov     ax, [entry16]
        mov     [target], ax
        mov     word [target + 2], FIRST + 8
        mov     word [data], FIRST + 16
        mov     word [list], FIRST + 24
        mov     word [own], DATA16
        mov     word [where], 0x4000
        mov     bx, enumerate
        call    run_protected16
        mov     ax, [where]
        sub     ax, 0x4000
        cmp     ax, [length]
        expect  e, "as many nodes by both entries"
        push    word LISTS
        pop     es
        push    ds
        push    es
        pop     ds
        xor     si, si
        mov     di, 0x4000
        mov     cx, ax
        repe cmpsb
        pop     ds
        expect  e, "the same nodes by both entries"
        ; what every board has
        mov     eax, 0x0303D041         ; a keyboard
        call    has_node
        expect  e, "PNP0303"
        mov     eax, 0x0000D041
        call    has_node
        expect  e, "PNP0000"
        mov     eax, 0x000BD041
        call    has_node
        expect  e, "PNP0B00"
        mov     eax, 0x010CD041
        call    has_node
        expect  e, "PNP0C01"
        mov     eax, 0x0007D041
        call    has_node
        expect  e, "PNP0700"
        push    ds
        pop     es
        mov     eax, [entry]
        mov     [target], eax
        mov     word [data], 0xF000
        mov     word [own], 0
        ; ---- a Plug and Play system is active, says so, and asks for what there need not be
        push    word [data]
        push    word 0x0042
        push    word 0x04
        call    far [target]
        add     sp, 6
        or      ax, ax
        expect  z, "04h: a Plug and Play system is active"
        push    word [data]
        push    dword answer
        push    word 0x05
        call    far [target]
        add     sp, 8
        cmp     ax, 0x82
        expect  e, "05h: it cannot be docked"
        push    word [data]
        push    dword answer
        push    word 0x03
        call    far [target]
        add     sp, 8
        cmp     ax, 0x82
        expect  e, "03h: no events"

        ; ---- ISA cards
        push    word [data]
        push    dword answer
        push    word 0x40
        mov     dword [answer], 0xEEEEEEEE
        call    far [target]
        add     sp, 8
        cmp     byte [cards], 0
        jne     .cards
        cmp     ax, 0x88
        expect  e, "40h: no cards"
        jmp     pass
.cards: or      ax, ax
        expect  z, "40h: cards"
        cmp     byte [answer], 1
        expect  e, "40h: revision"
        mov     al, [answer + 1]
        cmp     al, [cards]
        expect  e, "40h: as many as there are"
        mov     ax, [answer + 2]
        mov     [read_port], ax
        and     ax, 3
        cmp     ax, 3
        expect  e, "40h: where they are read"
        cmp     word [answer + 2], 0x203
        expect  ae, "40h: where they are read, 203h on"
        cmp     word [answer + 2], 0x3FF
        expect  be, "40h: where they are read, to 3FFh"
        cmp     word [answer + 4], 0
        expect  e, "40h: the rest is zero"
        ; as POST left them: awake by number, active, used by nobody else
        call    key
        xor     bp, bp
.card:  inc     bp
        mov     bx, bp
        set_reg 0x03, bl
        get_reg 0x06
        mov     bx, bp
        cmp     al, bl
        expect  e, "a card has its number"
        mov     cx, 9
        mov     di, identity
.identity:
        get_reg 0x04
        stosb
        loop    .identity
        cmp     word [identity], 0x1506
        expect  e, "its identity comes first"
        set_reg 0x07, 0
        get_reg 0x30
        cmp     al, 1
        expect  e, "POST has activated it"
        get_reg 0x60
        mov     bh, al
        get_reg 0x61
        mov     bl, al
        call    is_com
        call    not_in_nodes
        get_reg 0x70
        and     al, 15
        call    is_free_irq
        cmp     bp, 2
        jb      .apart
        cmp     bx, [last_port]
        expect  ne, "each has its ports"
        mov     al, [irq]
        cmp     al, [last_irq]
        expect  ne, "each has its interrupt"
.apart: mov     [last_port], bx
        mov     al, [irq]
        mov     [last_irq], al
        mov     ax, bp
        cmp     al, [cards]
        jb      .card
        set_reg 0x02, 2

        ; ---- isolation again
        call    key
        set_reg 0x02, 4
        mov     word [read_port], READ
        xor     bp, bp
.isolate:
        set_reg 0x03, 0
        cmp     bp, 0
        jne     .placed
        set_reg 0x00, READ >> 2
.placed:
        call    isolate
        jc      .all
        inc     bp
        mov     bx, bp
        set_reg 0x06, bl
        get_reg 0x06
        mov     bx, bp
        cmp     al, bl
        expect  e, "its new number"
        ; elsewhere: 320h, 328h, ...; it is off meanwhile
        set_reg 0x30, 0
        mov     bx, bp
        shl     bx, 3
        add     bx, 0x318
        mov     [place], bx
        call    nobody
        set_reg 0x60, bh
        set_reg 0x61, bl
        set_reg 0x70, 5
        set_reg 0x30, 1
        mov     bx, [place]
        call    somebody
        cmp     bp, 8
        jb      .isolate
.all:   mov     ax, bp
        cmp     al, [cards]
        expect  e, "all cards were isolated again"
        set_reg 0x02, 2
        mov     bx, 0x320
        call    somebody
        jmp     pass

; ---- the list of nodes to [list]:[where], by [target]; in real mode and in protected mode
enumerate:
        push    word [data]
        push    word [own]
        push    word size
        push    word [own]
        push    word count
        push    word 0
        call    far [target]
        add     sp, 12
        or      ax, ax
        jnz     .failed
        mov     byte [node], 0
        mov     byte [seen], 0
.next:  mov     al, [node]
        mov     [asked], al
        push    word [data]
        push    word 1
        push    word [list]
        push    word [where]
        push    word [own]
        push    word node
        push    word 1
        call    far [target]
        add     sp, 14
        or      ax, ax
        jnz     .failed
        push    es
        mov     es, [list]
        mov     di, [where]
        mov     al, [es:di + 2]
        cmp     al, [asked]
        jne     .wrong
        mov     cx, [es:di]
        cmp     cx, [size]
        ja      .wrong
        cmp     cx, 12 + 6
        jb      .wrong
        ; three lists, each with an end
        mov     bx, di
        add     bx, cx
        cmp     word [es:bx - 2], 0x0079
        jne     .wrong
        ; the next start's configuration: the same, as there is nothing to set
        add     di, cx
        pop     es
        mov     al, [asked]
        mov     [again], al
        push    di
        push    word [data]
        push    word 2
        push    word [list]
        push    di
        push    word [own]
        push    word again
        push    word 1
        call    far [target]
        add     sp, 14
        pop     di
        or      ax, ax
        jnz     .failed
        mov     al, [again]
        cmp     al, [node]
        jne     .failed
        push    ds
        push    es
        mov     si, [where]
        mov     es, [list]
        mov     ds, [list]
        mov     cx, [si]
        mov     ax, cx
        repe cmpsb
        pop     es
        pop     ds
        jne     .failed
        add     [where], ax
        inc     byte [seen]
        cmp     byte [seen], 100
        ja      .failed
        cmp     byte [node], 0xFF
        jne     .next
        mov     al, [seen]
        cmp     al, [count]
        jne     .failed
        ret
.wrong: pop     es
.failed:
        mov     word [where], 0xFFFF
        ret

; ZF: the list of real mode has a node of kind eax.
has_node:
        push    es
        push    word LISTS
        pop     es
        xor     di, di
        cmp     word [length], 0xFFFF
        expect  ne, "nodes can be listed"
.next:  cmp     di, [length]
        jae     .none
        cmp     [es:di + 3], eax
        je      .end
        add     di, [es:di]
        jmp     .next
.none:  or      di, di
        jnz     .end
        inc     di
.end:   pop     es
        ret

; No node of the board claims the ports at bx: they are the card's.
not_in_nodes:
        push    es
        push    word LISTS
        pop     es
        xor     di, di
        mov     cx, [length]
        sub     cx, 3
.next:  cmp     byte [es:di], 0x4B      ; ports at one place, as this BIOS has them
        jne     .step
        cmp     [es:di + 1], bx
        expect  ne, "a card's ports are in no node of the board"
.step:  inc     di
        loop    .next
        pop     es
        ret

; bx is a serial port's usual place, is listed at 40:0, and somebody is there.
is_com: mov     si, 0x400
.port:  cmp     bx, [si]
        je      .known
        add     si, 2
        cmp     si, 0x408
        jb      .port
        or      sp, sp
        expect  z, "40:0 has the port"
.known: cmp     bh, 3
        je      .high
        cmp     bh, 2
        expect  e, "a usual place"
.high:
; A UART is at bx. Keeps it.
somebody:
        lea     dx, [bx + 7]
        mov     al, 0x5A
        out     dx, al
        in      al, dx
        cmp     al, 0x5A
        expect  e, "the card is where its registers say"
        ret
; Nobody is at bx.
nobody: push    ax
        lea     dx, [bx + 7]
        in      al, dx
        cmp     al, 0xFF
        expect  e, "the new place is free"
        pop     ax
        ret

; Request al belongs to none of the board's devices.
is_free_irq:
        mov     [irq], al
        movzx   cx, al
        mov     ax, 0xF1C7              ; timer, keyboard, cascade, floppy, printer, clock, mouse, disks
        bt      ax, cx
        expect  nc, "no interrupt of the board's"
        cmp     cl, 10
        jb      .good
        push    bx                      ; 10 and 11 where PCI has them not: these are level-triggered
        mov     ax, 0xB101
        int     0x1A
        pop     bx
        jc      .good
        push    dx
        mov     dx, 0x4D1
        in      al, dx
        pop     dx
        xor     ah, ah
        movzx   cx, byte [irq]
        sub     cx, 8
        bt      ax, cx
        expect  nc, "no interrupt of PCI's"
.good:  cmp     byte [irq], 4
        je      .com1
        cmp     byte [irq], 3
        jne     .end
        mov     dx, 0x2FB
        jmp     .look
.com1:  mov     dx, 0x3FB
.look:  in      al, dx
        cmp     al, 0xFF
        expect  e, "a serial port's interrupt is not shared"
.end:   ret

key:    mov     dx, ADDRESS
        xor     al, al
        out     dx, al
        out     dx, al
        mov     al, 0x6A
        mov     cx, 32
.next:  out     dx, al
        xor     ah, ah
        call    shift
        loop    .next
        ret
shift:  xor     ah, al
        shr     al, 1
        xor     ah, al
        and     ah, 1
        ror     ah, 1
        or      al, ah
        ret

; CF: no card is left. Else its checksum is right.
isolate:
        mov     dx, ADDRESS
        mov     al, 1
        out     dx, al
        mov     dx, [read_port]
        mov     di, identity
        mov     bl, 0x6A
        xor     bh, bh
.byte:  mov     cx, 8
        xor     ah, ah
.bit:   in      al, dx
        mov     [half], al
        in      al, dx
        shr     ah, 1
        cmp     al, 0xAA
        jne     .zero
        cmp     byte [half], 0x55
        jne     .zero
        or      ah, 0x80
        inc     bh
.zero:  cmp     di, identity + 8
        je      .skip
        push    ax
        rol     ah, 1
        mov     al, bl
        call    shift
        mov     bl, al
        pop     ax
.skip:  loop    .bit
        mov     [di], ah
        inc     di
        cmp     di, identity + 9
        jb      .byte
        or      bh, bh
        jz      .none
        cmp     bl, [identity + 8]
        expect  e, "the identity's checksum"
        clc
        ret
.none:  stc
        ret

        align   4
target: dd      0
entry:  dd      0
entry16:
        dw      0
data:   dw      0
list:   dw      0
own:    dw      0
where:  dw      0
length: dw      0
size:   dw      0
read_port:
        dw      0
last_port:
        dw      0
place:  dw      0
count:  db      0
node:   db      0
asked:  db      0
again:  db      0
seen:   db      0
irq:    db      0
last_irq:
        db      0
half:   db      0
identity:
        times 9 db 0
        align   4
answer: times 8 db 0
%include "footer.inc"
