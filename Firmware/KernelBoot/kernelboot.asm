; Option ROM that starts a kernel given on the command line in place of the boot from a disk.
;
; It owns: taking INT 19h, asking the machine to put the kernel into memory, and the state of the
; processor at the kernel's first instruction.
; It must not know: kernel formats; the machine has read them.
; Follows: BIOS Boot Specification (ROM header, INT 19h), Multiboot Specification 0.6.96 section 3.2
; (machine state), the Linux/x86 boot protocol (section "Running the kernel").
;
; Port B00h: writing any byte makes the machine load the kernel; dwords then read from it are
;   0                              nothing to start
;   1, entry, information          a multiboot kernel, flat 32-bit
;   2, segment, stack pointer      a Linux kernel's setup code, real mode
; The machine sets the last byte so that all bytes add up to 0.

        cpu     386
        bits    16
        org     0

PORT    equ     0xB00

        db      0x55, 0xAA, 2           ; 1 KiB
        jmp     short init

init:   push    ds
        push    ax
        xor     ax, ax
        mov     ds, ax
        mov     word [0x19 * 4], int19
        mov     [0x19 * 4 + 2], cs
        pop     ax
        pop     ds
        retf

int19:  cli
        cld
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     esp, 0x7C00
        sti
        mov     dx, PORT
        out     dx, al
        in      eax, dx
        dec     eax
        jz      multiboot
        dec     eax
        jz      linux
        int     0x18
.hang:  hlt
        jmp     .hang

linux:  in      eax, dx
        mov     ebx, eax
        in      eax, dx
        cli
        mov     ds, bx
        mov     es, bx
        mov     fs, bx
        mov     gs, bx
        mov     ss, bx
        movzx   esp, ax
        add     bx, 0x20                ; the setup code's entry is 512 bytes into it
        push    bx
        push    word 0
        xor     eax, eax
        xor     ebx, ebx
        xor     ecx, ecx
        xor     edx, edx
        xor     esi, esi
        xor     edi, edi
        xor     ebp, ebp
        retf

multiboot:
        in      eax, dx
        mov     ecx, eax
        in      eax, dx
        mov     ebx, eax
        cli
        in      al, 0x92                ; A20 on, without touching the reset bit
        or      al, 2
        and     al, 0xFE
        out     0x92, al
        xor     eax, eax
        mov     ax, cs
        shl     eax, 4
        lea     edx, [eax + flat]
        add     eax, gdt
        push    eax
        push    word gdt.end - gdt - 1
        mov     bp, sp
        o32 lgdt [bp]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        push    dword 8
        push    edx
        o32 retf

        bits    32
flat:   mov     ax, 0x10
        mov     ds, ax
        mov     es, ax
        mov     fs, ax
        mov     gs, ax
        mov     ss, ax
        mov     esp, 0x7C00
        mov     eax, 0x2BADB002
        xor     edx, edx
        xor     esi, esi
        xor     edi, edi
        xor     ebp, ebp
        jmp     ecx

        align   8, db 0
gdt:    dq      0
        dq      0x00CF9B000000FFFF      ; accessed already: it lies in a ROM
        dq      0x00CF93000000FFFF
.end:

        times   1024 - ($ - $$) db 0
