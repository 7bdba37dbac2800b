; The BIOS under a monitor of virtual 8086 mode that knows little: INT, IRET, CLI, STI, PUSHF and
; POPF of 16 bits, and the delivery of interrupts, with IOPL 0 and all ports open.
; Expected: every service works or says that it does not; none executes HLT or another instruction
; that such a monitor has to know besides (LGDT, moves to control registers, LMSW, CLTS...). That
; PE is set SMSW tells, which is allowed there (Intel 80386 Programmer's Reference, chapter 15).
; Runs with or without a hard disk.
%include "harness.inc"

V86_STACK       equ 0x7C00
RING0_STACK     equ 0x7000
TSS             equ 0x40000
IDT             equ 0x43000
CODE32          equ 8
DATA32          equ 16
TASK            equ 24

test:
        mov     word [0x1C * 4], tick
        mov     word [0x1C * 4 + 2], 0
        cli
        lgdt    [gdt_pointer]
        lidt    [idt_pointer]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     CODE32:monitor_start

; ---------------------------------------------------------------- the program in V86 mode

program:
        sti
        ; keys
        mov     ah, 0x05
        mov     cx, 0x1E61
        int     0x16
        mov     ah, 0x01
        int     0x16
        expect  nz, "16/01: a key"
        mov     ah, 0x00
        int     0x16
        cmp     ax, 0x1E61
        expect  e, "16/00: the key"
        mov     ah, 0x11
        int     0x16
        expect  z, "16/11: no key"
        mov     byte [ticks_to_key], 3
        mov     ah, 0x00
        int     0x16
        cmp     ax, 0x1E61
        expect  e, "16/00 waits for a key"
        mov     byte [ticks_to_key], 3
        mov     ah, 0x10
        int     0x16
        cmp     ax, 0x1E61
        expect  e, "16/10 waits for a key"
        mov     ah, 0x02
        int     0x16
        xor     byte [0x417], 0x20      ; Num Lock: the lamps are set
        mov     ah, 0x01
        int     0x16
        xor     byte [0x417], 0x20
        mov     ah, 0x01
        int     0x16
        mov     ax, 0x0305
        mov     bx, 0
        int     0x16

        ; Pause, ended by a key, within INT 09h
        mov     si, pause_codes
        mov     cx, 3
.pause: lodsb
        cmp     cx, 1
        jne     .not_last
        mov     byte [ticks_to_key], 3
.not_last:
        call    scan
        loop    .pause
        test    byte [0x418], 8
        expect  z, "a pause ends with a key"

        ; time
        mov     ah, 0x00
        int     0x1A
        mov     ah, 0x02
        int     0x1A
        expect  nc, "1A/02"
        mov     ah, 0x04
        int     0x1A
        expect  nc, "1A/04"
        mov     ah, 0x86
        mov     cx, 1                   ; 98 ms
        mov     dx, 0x8000
        mov     bx, [0x46C]
        int     0x15
        expect  nc, "15/86"
        mov     ax, [0x46C]
        sub     ax, bx
        cmp     ax, 1
        expect  ae, "15/86 waits 98 ms: at least a tick"
        cmp     ax, 3
        expect  be, "15/86 waits 98 ms: three ticks at most"
        mov     ah, 0x86
        mov     cx, 0
        mov     dx, 500
        int     0x15
        expect  nc, "15/86, short"
        in      al, 0x21                ; the same when nobody lets IRQ 8 through
        push    ax
        or      al, 4
        out     0x21, al
        mov     ah, 0x86
        mov     cx, 1
        mov     dx, 0x8000
        mov     bx, [0x46C]
        int     0x15
        expect  nc, "15/86 without IRQ 8"
        pop     ax
        out     0x21, al
        mov     ax, [0x46C]
        sub     ax, bx
        cmp     ax, 4
        expect  be, "15/86 without IRQ 8: not for ever"

        ; floppy
        mov     ah, 0x00
        mov     dl, 0
        int     0x13
        expect  nc, "13/00"
        mov     ax, 0x1000
        mov     es, ax
        mov     ax, 0x0218
        xor     bx, bx
        mov     cx, 0x2001
        mov     dx, 0
        int     0x13
        expect  nc, "13/02, cylinder 32"
        mov     ax, 0x0201
        mov     cx, 0x0001
        mov     dx, 0
        xor     bx, bx
        int     0x13
        expect  nc, "13/02, cylinder 0"
        cmp     word [es:510], 0xAA55
        expect  e, "13/02: the boot sector"
        mov     ax, 0x0201
        mov     cx, 0x0020
        mov     dx, 0
        int     0x13
        expect  c, "13/02: no sector 32"
        mov     ah, 0x08
        mov     dl, 0
        int     0x13
        expect  nc, "13/08"
        mov     ah, 0x16
        mov     dl, 0
        int     0x13
        expect  nc, "13/16"

        ; disk
        cmp     byte [0x475], 0
        je      .no_disk
        mov     ah, 0x00
        mov     dl, 0x80
        int     0x13
        expect  nc, "13/00, disk"
        mov     ax, 0x1000
        mov     es, ax
        mov     ax, 0x0240
        xor     bx, bx
        mov     cx, 0x0001
        mov     dx, 0x0080
        int     0x13
        expect  nc, "13/02, disk"
        mov     si, packet
        mov     ah, 0x42
        mov     dl, 0x80
        int     0x13
        expect  nc, "13/42, disk"
        mov     si, parameters
        mov     ah, 0x48
        mov     dl, 0x80
        int     0x13
        expect  nc, "13/48, disk"
.no_disk:

        ; system services
        int     0x11
        int     0x12
        mov     ax, 0x2402
        int     0x15
        expect  nc, "15/2402"
        mov     ax, 0x2400
        int     0x15
        expect  nc, "15/2400"
        mov     ax, 0x2401
        int     0x15
        expect  nc, "15/2401"
        mov     ah, 0x88
        int     0x15
        expect  nc, "15/88"
        mov     ax, 0xE801
        int     0x15
        expect  nc, "15/E801"
        xor     ax, ax
        mov     es, ax
        mov     eax, 0xE820
        mov     edx, 0x534D4150
        mov     ecx, 20
        xor     ebx, ebx
        mov     di, 0x4000
        int     0x15
        expect  nc, "15/E820"
        mov     ah, 0xC0
        int     0x15
        expect  nc, "15/C0"
        mov     ax, 0xC205
        mov     bh, 3
        int     0x15
        expect  nc, "15/C205"
        mov     ax, 0x5300
        xor     bx, bx
        int     0x15
        expect  nc, "15/5300"
        mov     ax, 0x5301
        xor     bx, bx
        int     0x15
        expect  nc, "15/5301"
        mov     ax, 0x5305              ; idle: nothing to be halted here
        int     0x15
        expect  nc, "15/5305"
        mov     ax, 0x5304
        xor     bx, bx
        int     0x15
        expect  nc, "15/5304"
        mov     ax, 0xB101              ; PCI, or that there is none
        int     0x1A
        jnc     .pci
        cmp     ah, 0x81
        expect  e, "1A/B101"
        jmp     .no_pci
.pci:   mov     ax, 0xB10A
        xor     bx, bx
        xor     di, di
        int     0x1A
        expect  nc, "1A/B10A"
        cmp     ecx, 0x12378086
        expect  e, "1A/B10A"
.no_pci:
        push    ds
        pop     es
        mov     si, 0x4000
        mov     cx, 8
        mov     ah, 0x87
        int     0x15
        expect  c, "15/87: not under a monitor"
        mov     si, 0x4000
        mov     ah, 0x89
        mov     bx, 0x2028
        int     0x15
        expect  c, "15/89: not under a monitor"
        mov     byte [0x47C], 0
        mov     ah, 0x02
        mov     dx, 0
        int     0x14                    ; nothing comes
        mov     byte [0x478], 1
        mov     ax, 0x0041
        mov     dx, 0
        int     0x17

        ; video
        mov     ax, 0x0013
        int     0x10
        mov     ax, 0x0003
        int     0x10
        mov     ax, 0x0E41
        mov     bx, 7
        int     0x10
        mov     ah, 0x03
        mov     bh, 0
        int     0x10
        mov     ax, 0x1012
        mov     bx, 0
        mov     cx, 16
        mov     dx, 0x4000
        push    ds
        pop     es
        int     0x10
        mov     ax, 0x0601
        mov     bh, 7
        mov     cx, 0
        mov     dx, 0x184F
        int     0x10

        ; the motor's time, told by ticks
        mov     bx, [0x46C]
.motor: test    byte [0x43F], 1
        jz      .off
        mov     ax, [0x46C]
        sub     ax, bx
        cmp     ax, 60
        expect  b, "the motor goes off"
        jmp     .motor
.off:   jmp     pass

; Gives scan code al to the 8042 as if typed, and waits until it was taken. Keeps all.
scan:   push    ax
        push    cx
        mov     ah, al
        mov     al, 0xD2
        out     0x64, al
        mov     al, ah
        out     0x60, al
        xor     cx, cx
.wait:  in      al, 0x64
        test    al, 1
        loopnz  .wait
        pop     cx
        pop     ax
        ret

; INT 1Ch: types an A after some ticks.
tick:   push    ds
        push    word 0
        pop     ds
        cmp     byte [ticks_to_key], 0
        je      .end
        dec     byte [ticks_to_key]
        jnz     .end
        push    ax
        mov     al, 0xD2
        out     0x64, al
        mov     al, 0x1E
        out     0x60, al
        pop     ax
.end:   pop     ds
        iret
ticks_to_key:
        db      0
pause_codes:
        db      0xE1, 0x1D, 0x45
packet: db      16, 0
        dw      3, 0, 0x1000
        dd      7, 0
parameters:
        dw      26
        times   24 db 0

; ---------------------------------------------------------------- the monitor

        align   8
gdt:    dq      0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
        dw      0x2068, TSS & 0xFFFF
        db      TSS >> 16, 0x89, 0, 0
gdt_pointer:
        dw      gdt_pointer - gdt - 1
        dd      gdt
idt_pointer:
        dw      0x7FF
        dd      IDT

        bits    32
monitor_start:
        mov     ax, DATA32
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     esp, RING0_STACK
        cld
        mov     edi, TSS
        mov     ecx, 0x2069 / 4
        xor     eax, eax
        rep stosd
        mov     dword [TSS + 4], RING0_STACK
        mov     dword [TSS + 8], DATA32
        mov     word [TSS + 102], 104
        mov     byte [TSS + 0x2068], 0xFF
        mov     edi, IDT
        mov     ecx, 256
        mov     eax, CODE32 << 16
        mov     edx, 0x8E00
        lea     esi, [vectors]
.gate:  mov     ax, si
        stosd
        mov     eax, edx
        stosd
        mov     eax, CODE32 << 16
        add     esi, 16
        loop    .gate
        mov     ax, TASK
        ltr     ax
        push    dword 0                 ; gs, fs, ds, es
        push    dword 0
        push    dword 0
        push    dword 0
        push    dword 0                 ; ss:sp
        push    dword V86_STACK
        push    dword 0x00020202        ; VM, IF, IOPL 0
        push    dword 0
        push    dword program
        iretd

; Stubs: the vector, after an error code (real or 0).
        align   16
vectors:
%assign vector 0
%rep 256
        align   16
%if vector != 13
        push    byte 0
%endif
        push    strict dword vector
        jmp     strict near monitor
%assign vector vector + 1
%endrep

; From ebp: pushad, vector, error code, eip, cs, eflags, esp, ss.
M_VECTOR        equ 32
M_EIP           equ 40
M_CS            equ 44
M_FLAGS         equ 48
M_ESP           equ 52
M_SS            equ 56

monitor:
        pushad
        mov     ebp, esp
        mov     ax, DATA32
        mov     ds, ax
        mov     es, ax
        cld
        mov     eax, [ebp + M_VECTOR]
        cmp     eax, 13
        je      .instruction
        lea     ecx, [eax - 8]
        cmp     ecx, 8
        jb      .interrupt
        lea     ecx, [eax - 0x70 + 8]
        cmp     ecx, 16
        jae     .unexpected
        cmp     ecx, 8
        jb      .unexpected
.interrupt:
        bts     [pending], ecx
        jmp     .deliver

.instruction:
        movzx   esi, word [ebp + M_CS]
        shl     esi, 4
        add     esi, [ebp + M_EIP]
        mov     al, [esi]
        inc     word [ebp + M_EIP]
        cmp     al, 0xCD
        je      .int
        cmp     al, 0xCF
        je      .iret
        cmp     al, 0xFA
        je      .cli
        cmp     al, 0xFB
        je      .sti
        cmp     al, 0x9C
        je      .pushf
        cmp     al, 0x9D
        je      .popf
        jmp     .unknown
.int:   inc     word [ebp + M_EIP]
        movzx   eax, byte [esi + 1]
        call    .reflect
        jmp     .resume
.iret:  call    .pop
        mov     [ebp + M_EIP], eax
        call    .pop
        mov     [ebp + M_CS], eax
.popf:  call    .pop
        mov     [virtual_if], ah
        and     eax, 0x0DD5
        and     dword [ebp + M_FLAGS], ~0x0DD5
        or      [ebp + M_FLAGS], eax
        jmp     .deliver
.cli:   mov     byte [virtual_if], 0
        jmp     .resume
.sti:   mov     byte [virtual_if], 2
        jmp     .deliver
.pushf: call    .flags
        call    .push
        jmp     .resume

.deliver:
        test    byte [virtual_if], 2
        jz      .resume
        bsf     ecx, [pending]
        jz      .resume
        btr     [pending], ecx
        lea     eax, [ecx + 8]
        cmp     ecx, 8
        jb      .vector
        lea     eax, [ecx - 8 + 0x70]
.vector:
        call    .reflect
.resume:
        popad
        add     esp, 8
        iretd

; Goes on at the program's handler of interrupt eax.
.reflect:
        push    eax
        call    .flags
        call    .push
        mov     eax, [ebp + M_CS]
        call    .push
        mov     eax, [ebp + M_EIP]
        call    .push
        pop     eax
        mov     ecx, [eax * 4]
        movzx   edx, cx
        mov     [ebp + M_EIP], edx
        shr     ecx, 16
        mov     [ebp + M_CS], ecx
        and     dword [ebp + M_FLAGS], ~0x100
        mov     byte [virtual_if], 0
        ret

; The program's flags as it sees them. Out: eax.
.flags: mov     eax, [ebp + M_FLAGS]
        and     ah, ~2 & 0xFF
        mov     cl, [virtual_if]
        and     cl, 2
        or      ah, cl
        ret
.push:  sub     word [ebp + M_ESP], 2
        call    .top
        mov     [ecx], ax
        ret
.pop:   call    .top
        movzx   eax, word [ecx]
        add     word [ebp + M_ESP], 2
        ret
.top:   movzx   ecx, word [ebp + M_SS]
        shl     ecx, 4
        movzx   edx, word [ebp + M_ESP]
        add     ecx, edx
        ret

.unexpected:
        mov     esi, text_exception
        call    .print
        jmp     .where
.unknown:
        push    eax
        mov     esi, text_opcode
        call    .print
        pop     eax
        call    .byte
        dec     word [ebp + M_EIP]
.where: mov     esi, text_at
        call    .print
        mov     al, [ebp + M_CS + 1]
        call    .byte
        mov     al, [ebp + M_CS]
        call    .byte
        mov     al, ':'
        out     0xE9, al
        mov     al, [ebp + M_EIP + 1]
        call    .byte
        mov     al, [ebp + M_EIP]
        call    .byte
        mov     al, 10
        out     0xE9, al
        mov     al, 0x11
        out     0xF4, al
        jmp     $
.print: lodsb
        or      al, al
        jz      .printed
        out     0xE9, al
        jmp     .print
.printed:
        ret
.byte:  push    eax
        shr     al, 4
        call    .digit
        pop     eax
        and     al, 15
.digit: cmp     al, 10
        sbb     al, 0x69
        das
        out     0xE9, al
        ret

text_opcode:
        db      "FAIL the BIOS executed opcode ", 0
text_exception:
        db      "FAIL an exception", 0
text_at:
        db      " at ", 0
virtual_if:
        db      0
        align   4
pending:
        dd      0
        bits    16
%include "footer.inc"
