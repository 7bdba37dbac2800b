; What the BIOS tells of the machine: E820h, E801h, 88h, CMOS, SMBIOS, Plug and Play nodes.
; Expected, after the ACPI specification 3.0 (chapter 14: order, types, what is reserved), the SMBIOS
; specification 2.4 (chapter 2 entry point, 3.1.2 required structures), the Plug and Play BIOS
; specification 1.0A (4.2) and the usual layout of CMOS: all agree on the memory.
%include "harness.inc"

test:
        ; ---- E801h, 88h, CMOS
        mov     ax, 0xE801
        int     0x15
        expect  nc, "E801h"
        movzx   eax, cx
        movzx   edx, dx
        shl     edx, 6
        add     eax, edx
        shl     eax, 10
        mov     [extended], eax
        shr     eax, 10
        mov     bl, 0x17
        call    cmos_word
        mov     ecx, eax
        call    capped
        cmp     dx, cx
        je      .fits
        lea     ecx, [eax + 64]         ; ACPI's tables are memory, too
        call    capped
        cmp     dx, cx
.fits:  expect  e, "CMOS 17h: extended memory"
        mov     bl, 0x30
        call    cmos_word
        cmp     dx, cx
        expect  e, "CMOS 30h: extended memory"
        mov     al, 0x5D
        call    cmos
        mov     dh, al
        mov     bl, 0x5B
        push    dx
        call    cmos_word
        movzx   edx, dx
        pop     ax
        movzx   eax, ah
        shl     eax, 16
        or      eax, edx
        mov     [high], eax             ; 64 KiB above 4 GiB

        ; ---- CMOS as setup programs look at it
        xor     dx, dx
        mov     bl, 0x10
.sum:   mov     al, bl
        call    cmos
        xor     ah, ah
        add     dx, ax
        inc     bl
        cmp     bl, 0x2D
        jbe     .sum
        mov     al, 0x2E
        call    cmos
        cmp     al, dh
        expect  e, "CMOS 2Eh: checksum"
        mov     al, 0x2F
        call    cmos
        cmp     al, dl
        expect  e, "CMOS 2Fh: checksum"
        mov     al, 0x0E
        call    cmos
        or      al, al
        expect  z, "CMOS 0Eh: no complaints"
        mov     al, 0x0F
        call    cmos
        or      al, al
        expect  z, "CMOS 0Fh: no shutdown under way"
        mov     al, 0x32
        call    cmos
        mov     ah, al
        mov     al, 0x37
        call    cmos
        cmp     al, ah
        expect  e, "CMOS 37h: the century where PS/2 have it"
        mov     al, 0x33
        call    cmos
        test    al, 0x80
        expect  nz, "CMOS 33h: 640 KiB of base memory"

        ; ---- the date of this BIOS
        push    word 0xF000
        pop     es
        cmp     word [es:0xFFF7], "/2"
        expect  e, "the BIOS's date: a day"
        cmp     word [es:0xFFFB], "99"
        expect  e, "the BIOS's date: a year"
        cmp     byte [es:0xFFFE], 0xFC
        expect  e, "an AT"
        push    word 0
        pop     es

        ; ---- E820h
        xor     ebx, ebx
.map:   mov     di, [count]
        imul    di, di, 24
        add     di, map
        mov     dword [di + 20], 1      ; ACPI 3.0's attribute: valid
        mov     eax, 0xE820
        mov     edx, 0x534D4150
        mov     ecx, 24
        int     0x15
        expect  nc, "E820h"
        cmp     eax, 0x534D4150
        expect  e, "E820h: SMAP"
        cmp     ecx, 20
        expect  ae, "E820h: 20 bytes"
        test    byte [di + 20], 1
        expect  nz, "E820h: a valid entry"
        inc     word [count]
        cmp     word [count], 16
        expect  b, "E820h: it ends"
        or      ebx, ebx
        jnz     .map
        ; ascending and apart; what is memory, what is reserved
        mov     cx, [count]
        mov     si, map
        xor     eax, eax
        xor     edx, edx                ; edx:eax = end of the one before
.entry: mov     ebx, [si + 4]
        cmp     ebx, edx
        expect  ae, "E820h: ascending"
        jne     .apart
        cmp     [si], eax
        expect  ae, "E820h: apart"
.apart: mov     eax, [si]
        mov     edx, ebx
        add     eax, [si + 8]
        adc     edx, [si + 12]
        cmp     dword [si + 16], 1
        jne     .reserved
        cmp     dword [si + 4], 0
        jne     .high
        cmp     dword [si], 0x100000
        jne     .next
        push    eax
        mov     eax, [si + 8]
        cmp     eax, [extended]
        pop     eax
        expect  e, "E820h: extended memory as E801h"
        jmp     .next
.high:  cmp     dword [si], 0
        expect  e, "E820h: the rest starts at 4 GiB"
        push    eax
        push    edx
        mov     eax, [si + 8]
        mov     edx, [si + 12]
        shrd    eax, edx, 16
        cmp     eax, [high]
        pop     edx
        pop     eax
        expect  e, "E820h: as much above 4 GiB as CMOS says"
        mov     byte [saw_high], 1
        jmp     .next
.reserved:
        mov     ebx, [si + 16]
        sub     ebx, 3                  ; ACPI's tables, ACPI's own memory
        cmp     ebx, 1
        ja      .no_acpi
        mov     ebx, [si + 8]
        add     [taken], ebx
        jmp     .next
.no_acpi:
        cmp     dword [si + 16], 2
        expect  e, "E820h: memory or reserved"
        cmp     dword [si], 0xF0000
        jne     .not_bios
        cmp     eax, 0x100000
        expect  e, "E820h: F0000h-FFFFFh"
        inc     byte [saw_bios]
.not_bios:
        cmp     dword [si], 0xFFFC0000
        jne     .next
        or      eax, eax
        expect  z, "E820h: FFFC0000h to 4 GiB"
        inc     byte [saw_bios]
.next:  add     si, 24
        dec     cx
        jnz     .entry
        mov     eax, [taken]
        and     eax, 0xFFFEFFFF
        expect  z, "E820h: ACPI has 64 KiB or nothing"
        cmp     byte [saw_bios], 2
        expect  e, "E820h: the BIOS is reserved"
        cmp     dword [high], 0
        setne   al
        cmp     [saw_high], al
        expect  e, "E820h: memory above 4 GiB"

        ; ---- SMBIOS, where there is PCI
        mov     ebx, "_SM_"
        call    scan
        mov     ax, 0xB101
        jc      .no_smbios
        call    smbios
        mov     ax, 0xB101
        int     0x1A
        expect  nc, "SMBIOS where there is PCI"
        jmp     .pnp
.no_smbios:
        int     0x1A
        expect  c, "no SMBIOS where there is no PCI"

        ; ---- Plug and Play
.pnp:   mov     ebx, "$PnP"
        call    scan
        expect  nc, "$PnP"
        movzx   cx, byte [es:si + 5]
        cmp     cx, 33
        expect  e, "$PnP: 33 bytes"
        push    si
        call    sum
        pop     si
        expect  z, "$PnP: its bytes add up to 0"
        cmp     byte [es:si + 4], 0x10
        expect  e, "$PnP: 1.0"
        mov     eax, [es:si + 0x0D]
        mov     [pnp], eax
        mov     ax, [es:si + 0x1B]
        mov     [pnp_data], ax
        push    word 0
        pop     es
        push    word [pnp_data]
        push    ds
        push    word pnp_size
        push    ds
        push    word pnp_number
        push    word 0
        call    far [pnp]
        add     sp, 12
        or      ax, ax
        expect  z, "function 00h"
        mov     al, [pnp_number]
        mov     [pnp_left], al
        mov     byte [pnp_number], 0
.node:  mov     al, [pnp_number]
        mov     [pnp_this], al
        stc
        push    word [pnp_data]
        push    word 1
        push    ds
        push    word node
        push    ds
        push    word pnp_number
        push    word 1
        mov     ebx, 0x11223344
        mov     ebp, 0x55667788
        mov     edi, 0x99AABBCC
        call    far [pnp]
        expect  c, "function 01h keeps the flags"
        add     sp, 14
        or      ax, ax
        expect  z, "function 01h"
        cmp     ebx, 0x11223344
        expect  e, "function 01h keeps ebx"
        cmp     ebp, 0x55667788
        expect  e, "function 01h keeps ebp"
        cmp     edi, 0x99AABBCC
        expect  e, "function 01h keeps edi"
        mov     cx, [node]
        cmp     cx, [pnp_size]
        expect  be, "no node is larger than function 00h says"
        mov     al, [pnp_this]
        cmp     al, [node + 2]
        expect  e, "a node's number"
        call    check_node
        dec     byte [pnp_left]
        cmp     byte [pnp_number], 0xFF
        jne     .node
        cmp     byte [pnp_left], 0
        expect  e, "as many nodes as function 00h says"
        mov     si, wanted_ids
.want:  cmp     dword [si], 0
        expect  e, "the nodes every PC has"
        add     si, 4
        cmp     si, wanted_end
        jb      .want
        mov     ax, 0xB101
        int     0x1A
        setnc   al
        cmp     al, [saw_pci]
        expect  e, "a node for PCI where there is PCI"
        jmp     pass

; The node in `node`: three lists that end where it ends; memory as E801h has it. Crosses its
; identifier out of those wanted.
check_node:
        mov     eax, [node + 3]
        cmp     eax, 0x030AD041         ; PNP0A03
        jne     .no_pci
        mov     byte [saw_pci], 1
.no_pci:
        mov     si, wanted_ids
.id:    cmp     [si], eax
        jne     .other
        mov     dword [si], 0
.other: add     si, 4
        cmp     si, wanted_end
        jb      .id
        mov     si, node + 12
        mov     cx, 3
.list:  mov     al, [si]
        test    al, 0x80
        jnz     .large
        and     al, 0x78
        cmp     al, 0x78
        je      .end
        mov     al, [si]
        and     ax, 7
        inc     ax
        add     si, ax
        jmp     .list
.large: cmp     byte [si], 0x86
        jne     .step
        cmp     dword [si + 4], 0x100000
        jne     .step
        mov     eax, [si + 8]
        cmp     eax, [extended]
        expect  e, "the system board's memory as E801h"
.step:  add     si, [si + 1]
        add     si, 3
        jmp     .list
.end:   add     si, 2
        loop    .list
        sub     si, node
        cmp     si, [node]
        expect  e, "a node's lists fill it"
        ret

; The entry point at es:si and what it leads to.
smbios: push    si
        movzx   cx, byte [es:si + 5]
        cmp     cx, 0x1F
        expect  e, "_SM_: 31 bytes"
        call    sum
        expect  z, "_SM_: its bytes add up to 0"
        pop     si
        cmp     word [es:si + 6], 0x0402
        expect  e, "_SM_: 2.4"
        cmp     dword [es:si + 0x10], "_DMI"
        expect  e, "_DMI_"
        push    si
        add     si, 0x10
        mov     cx, 0x0F
        call    sum
        expect  z, "_DMI_: its bytes add up to 0"
        pop     si
        mov     eax, [es:si + 0x18]
        sub     eax, 0xF0000
        test    eax, 0xFFFF0000
        expect  z, "the structures are in F0000h-FFFFFh"
        mov     [structures], ax
        mov     dx, [es:si + 0x1C]      ; how many
        mov     cx, [es:si + 8]         ; the largest
        mov     [largest], cx
        mov     cx, [es:si + 0x16]      ; how long
        mov     si, ax
.next:  mov     di, si
        movzx   eax, byte [es:si]
        cmp     al, 127
        ja      .walk
        bts     [types], eax
.walk:  cmp     byte [es:si], 4
        jne     .no_cpu
        call    check_cpu
.no_cpu:
        cmp     byte [es:si], 17
        jne     .no_module
        movzx   eax, word [es:si + 0x0C]
        shl     eax, 20 - 16            ; 64 KiB
        mov     [modules], eax
.no_module:
        cmp     byte [es:si], 19
        jne     .no_map
        mov     eax, [es:si + 8]
        sub     eax, [es:si + 4]
        inc     eax
        shr     eax, 6
        add     [mapped], eax
.no_map:
        movzx   bx, byte [es:si + 1]
        cmp     bx, 4
        expect  ae, "a structure has a header"
        add     si, bx
.text:  inc     si
        cmp     word [es:si - 1], 0
        jne     .text
        inc     si
        mov     ax, si
        sub     ax, di
        cmp     ax, [largest]
        expect  be, "no structure is larger than the entry point says"
        dec     dx
        jnz     .next
        cmp     byte [es:di], 127
        expect  e, "the last is the last"
        sub     si, [structures]
        cmp     si, cx
        expect  e, "as long as the entry point says"
        mov     si, .required
.type:  mov     al, [cs:si]
        movzx   eax, al
        bt      [types], eax
        expect  c, "required structures"
        inc     si
        cmp     si, .required_end
        jb      .type
        mov     eax, [extended]
        add     eax, [taken]
        shr     eax, 16
        add     eax, 16                 ; the first MiB
        add     eax, [high]
        cmp     eax, [modules]
        expect  e, "the module is as large as the memory"
        cmp     eax, [mapped]
        expect  e, "as much is mapped as there is"
        ret
.required:
        db      0, 1, 3, 4, 9, 16, 17, 19, 20, 32, 127
.required_end:
check_cpu:
        pushad
        pushfd
        pop     eax
        mov     ecx, eax
        xor     eax, 0x200000
        push    eax
        popfd
        pushfd
        pop     eax
        xor     eax, ecx
        test    eax, 0x200000
        jz      .end
        cpu     586
        mov     eax, 1
        cpuid
        cpu     386
        cmp     eax, [es:si + 8]
        expect  e, "the processor's signature"
        and     edx, ~0x200             ; whether its APIC is on
        mov     eax, [es:si + 12]
        and     eax, ~0x200
        cmp     edx, eax
        expect  e, "the processor's features"
.end:   popad
        ret

; al = CMOS byte al
cmos:   out     0x70, al
        in      al, 0x71
        ret
; dx = CMOS word at bl. Keeps eax.
; Out: ecx = at most 65535
capped: cmp     ecx, 65535
        jbe     .end
        mov     ecx, 65535
.end:   ret
cmos_word:
        push    eax
        mov     al, bl
        inc     al
        call    cmos
        mov     dh, al
        mov     al, bl
        call    cmos
        mov     dl, al
        pop     eax
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
; Adds up the cx bytes at es:si. Out: ZF.
sum:    xor     al, al
.next:  add     al, [es:si]
        inc     si
        loop    .next
        or      al, al
        ret

        align   4
extended:
        dd      0                       ; bytes from 1 MiB up
high:   dd      0
taken:  dd      0                       ; bytes that E820h gives to ACPI
modules:
        dd      0
mapped: dd      0
types:  dd      0, 0, 0, 0
structures:
        dw      0
largest:
        dw      0
count:  dw      0
saw_pci:
        db      0
saw_bios:
        db      0
saw_high:
        db      0
pnp:    dd      0
pnp_data:
        dw      0
pnp_size:
        dw      0
pnp_number:
        dw      0
pnp_this:
        db      0
pnp_left:
        db      0
        align   4
wanted_ids:                             ; PNP0000, 0100, 0200, 0303, 0400, 0501, 0700, 0B00, 0C01,
        dd      0x0000D041, 0x0001D041, 0x0002D041, 0x0303D041, 0x0004D041, 0x0105D041
        dd      0x0007D041, 0x000BD041, 0x010CD041
        dd      0x020CD041, 0x040CD041, 0x050CD041, 0x130FD041  ; 0C02, 0C04, 0C05, 0F13
wanted_end:
map:    times   16 * 24 db 0
node:   times   256 db 0
%include "footer.inc"
