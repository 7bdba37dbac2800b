; The flags services return with, and the registers they leave alone.
; Expected, after the listings of the AT's BIOS (those that enable interrupts at entry and return by
; RETF 2): INT 13h, the status functions of INT 16h, and the older functions of INT 15h go on with
; interrupts enabled, whatever they were. What programs call on the way to protected mode (INT 15h
; functions 24h, 4Fh, 88h, E8h) leaves them as they were, as does INT 16h function 0, 2. No service
; changes the direction or trap flag; carry and zero only where they are the answer.
; Runs with a hard disk of 20 MB or more, or without one.
%include "harness.inc"

test:
        mov     ah, 5
        mov     cx, 0x1E61
        int     0x16
        mov     si, cases
.case:  cmp     byte [si], 0
        je      .done
        cmp     byte [si + 5], 0x80
        jb      .there
        cmp     byte [0x475], 0
        je      .next
.there: mov     al, [si]
        mov     [service + 1], al
        mov     bp, 0x0046              ; interrupts off, carry clear, zero set
        call    one
        test    byte [si + 6], 2
        jz      .off
        test    bp, 0x0200
        expect  nz, "interrupts enabled on return"
        jmp     .on
.off:   test    bp, 0x0200
        expect  z, "interrupts as they were on return (disabled)"
.on:    mov     bp, 0x0246
        call    one
        test    bp, 0x0200
        expect  nz, "interrupts as they were on return (enabled)"
        mov     bp, 0x0646              ; direction down
        call    one
        test    bp, 0x0400
        expect  nz, "the direction flag is as it was"
        test    byte [si + 6], 1
        jnz     .next
        test    bp, 0x0001
        expect  z, "carry clear"
.next:  add     si, 7
        jmp     .case
.done:  jmp     pass

one:    push    si
        mov     [frame_flags], bp
        mov     ax, [si + 1]
        mov     cx, [si + 3]
        movzx   dx, byte [si + 5]
        mov     bx, 0x1000
        mov     es, bx
        xor     bx, bx
        cmp     ah, 0x41
        jne     .plain
        mov     bx, 0x55AA
.plain: mov     di, 0x4000
        mov     si, packet
        mov     word [packet + 2], 1
        push    word [frame_flags]
        popf
service:
        int     0
        pushf
        pop     word [frame_flags]
        cld
        sti
        push    word 0
        pop     ds
        mov     bp, [frame_flags]
        push    ds
        pop     es
        pop     si
        ret
frame_flags:
        dw      0

; Interrupt, ax, cx, dl, answer: bit 0 carry may be set, bit 1 interrupts enabled on return.
%macro entry 5
        db      %1
        dw      %2, %3
        db      %4, %5
%endmacro
cases:
        entry   0x13, 0x0000, 0x0000, 0x00, 2
        entry   0x13, 0x0100, 0x0000, 0x00, 2
        entry   0x13, 0x0201, 0x0001, 0x00, 2
        entry   0x13, 0x0401, 0x0001, 0x00, 2
        entry   0x13, 0x0201, 0x0020, 0x00, 3
        entry   0x13, 0x0800, 0x0000, 0x00, 2
        entry   0x13, 0x1500, 0x0000, 0x00, 2
        entry   0x13, 0x7700, 0x0000, 0x00, 3
        entry   0x13, 0x0201, 0x0001, 0x05, 3
        entry   0x13, 0x0000, 0x0000, 0x80, 2
        entry   0x13, 0x0201, 0x0001, 0x80, 2
        entry   0x13, 0x0800, 0x0000, 0x80, 2
        entry   0x13, 0x4100, 0x0000, 0x80, 2
        entry   0x13, 0x4200, 0x0000, 0x80, 2
        entry   0x13, 0x0201, 0x0000, 0x80, 3
        entry   0x13, 0x0201, 0x0001, 0x89, 3
        entry   0x15, 0x2402, 0x0000, 0x00, 0
        entry   0x15, 0x4F1E, 0x0000, 0x00, 1
        entry   0x15, 0x8000, 0x0000, 0x00, 2
        entry   0x15, 0x8600, 0x0000, 0xFF, 2
        entry   0x15, 0x8700, 0x0000, 0x00, 2
        entry   0x15, 0x8800, 0x0000, 0x00, 0
        entry   0x15, 0xC000, 0x0000, 0x00, 2
        entry   0x15, 0xE801, 0x0000, 0x00, 0
        entry   0x16, 0x0100, 0x0000, 0x00, 2
        entry   0x16, 0x1100, 0x0000, 0x00, 2
        entry   0x16, 0x0200, 0x0000, 0x00, 0
        entry   0x16, 0x1200, 0x0000, 0x00, 0
        entry   0x1A, 0x0000, 0x0000, 0x00, 0
        entry   0x10, 0x0F00, 0x0000, 0x00, 0
        entry   0x11, 0x0000, 0x0000, 0x00, 0
        entry   0x12, 0x0000, 0x0000, 0x00, 0
        db      0
packet: db      16, 0
        dw      1, 0, 0x1000
        dd      0, 0
%include "footer.inc"
