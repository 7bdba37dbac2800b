; x87 errors reported the way of the PC: with CR0.NE clear an unmasked exception raises IRQ 13; port F0h takes the request away and lets the
; handler use the x87 (IGNNE#); with NE set it is exception 16 instead. Then loops that meet the error after thousands of divisions.
; Follows: Intel SDM volume 1, 8.7.2 and appendix D (MS-DOS compatibility); IBM AT Technical Reference for port F0h.
%include "common.inc"

test:
  test byte [platform], QEMU        ; crashes
  jz .start
  ret
.start:
  mov al, 0x75
  mov dx, irq13
  call setVector
  mov al, 0x10
  mov dx, exception16
  call setVector
  OUTB 0xA1, 0xDF                     ; IRQ 13
  OUTB 0x21, 0xFB
  mov eax, cr0
  and al, 0xD1                        ; NE, TS, EM, MP clear
  mov cr0, eax
  fninit
  sti

  ; ---- no error, no interrupt
  fld1
  fldz
  fdivrp                              ; 0 / 1... masked anyway
  fwait
  call pause
  mov al, [count]
  IS 0, "a masked exception asks for nothing"

  ; ---- division by zero
  fninit
  fldcw [unmasked]
  call divide
  fwait
  call pause
  mov al, [count]
  IS 1, "IRQ 13 comes once"
  mov ax, [status]
  and ax, 0x8084
  IS16 0x8084, "the handler sees ES and ZE"
  mov al, [count16]
  IS 0, "no exception 16"
  fnstsw ax
  and ax, 0x8084
  IS16 0, "FNCLEX has cleared it"
  fwait
  fld1
  call pause
  mov al, [count]
  IS 1, "nothing more comes"

  ; ---- again, and again
  mov cx, 5
.more:
  fninit
  fldcw [unmasked]
  call divide
  fwait
  call pause
  loop .more
  mov al, [count]
  IS 6, "each error asks again"

  ; ---- the handler uses the x87 before it clears the error
  mov byte [how], 1
  fninit
  fldcw [unmasked]
  fldpi
  call divide
  fwait
  call pause
  mov byte [how], 0
  UNLESS BOCHS                      ; has no IGNNE#
  mov al, [count]
  IS 7, "instructions in the handler do not ask again"
  mov ax, [saved]
  IS16 0x0001, "and work: FLD1, FISTP"
  ENDUNLESS
  mov byte [count], 7

  ; ---- waiting for the interrupt in a loop: the result is there once
  fninit
  fldcw [unmasked]
  mov cx, 4000
  fld1
.loop:
  mov [divisor], cx
  dec word [divisor]
  fld st0
  fidiv word [divisor]
  fstp st0
  loop .loop
  fwait
  call pause
  mov al, [count]
  IS 8, "the 4000th division asks"
  mov ax, [status]
  and ax, 0x8084
  IS16 0x8084, "status after the loop"

  ; ---- IRQ 13 masked: the next waiting instruction is held back, interrupts come before it
  UNLESS BOCHS
  OUTB 0xA1, 0xFF
  mov al, 0x08
  mov dx, irq0
  call setVector
  mov byte [count], 0
  fninit
  fldcw [unmasked]
  call divide
  fnstsw [status]
  mov byte [reached], 1
  OUTB 0x43, 0x30                     ; IRQ 0 after 200 clocks, and again
  OUTB 0x40, 200
  OUTB 0x40, 0
  OUTB 0x21, 0xFA
held:
  fwait
  mov byte [reached], 2
  OUTB 0x21, 0xFB
  OUTB 0xA1, 0xDF
  mov al, [ticks]
  IS 3, "interrupts while it is held back"
  mov ax, [ipHeld]
  IS16 held, "they return to the held instruction"
  mov al, [reachedThen]
  IS 1, "nothing after it has run"
  mov al, [count]
  IS 0, "IRQ 13 was masked"
  ENDUNLESS

  ; ---- NE: exception 16 at the next waiting instruction, no interrupt
  mov eax, cr0
  or al, 0x20
  mov cr0, eax
  and al, 0x20
  jz no486
  mov byte [count], 0
  fninit
  fldcw [unmasked]
  call divide
  mov al, [count16]
  IS 0, "exception 16 waits for the next instruction"
after16:
  fwait
  mov al, [count16]
  IS 1, "exception 16"
  mov ax, [ip16]
  IS16 after16, "at the waiting instruction"
  call pause
  mov al, [count]
  IS 0, "no IRQ 13 with NE"
no486:
  cli
  fninit
  ret

divide:
  fld1
  fldz
  fdivp                               ; 1 / 0
  ret
pause:
  push cx
  mov cx, 200
.next:
  nop
  loop .next
  pop cx
  ret

irq13:
  push ax
  inc byte [cs:count]
  cmp byte [cs:how], 0
  je .plain
  out 0xF0, al
  fld1
  fistp word [cs:saved]
  fnclex
  jmp .eoi
.plain:
  out 0xF0, al
  fnstsw [cs:status]
  fnclex
.eoi:
  OUTB 0xA0, 0x20
  OUTB 0x20, 0x20
  pop ax
  iret
; The third time it clears the error, and the held instruction goes on.
irq0:
  push bp
  mov bp, sp
  push ax
  mov ax, [bp + 2]
  mov [cs:ipHeld], ax
  mov al, [cs:reached]
  mov [cs:reachedThen], al
  inc byte [cs:ticks]
  cmp byte [cs:ticks], 3
  jae .clear
  OUTB 0x43, 0x30
  OUTB 0x40, 200
  OUTB 0x40, 0
  jmp .eoi
.clear:
  fnclex
  out 0xF0, al
.eoi:
  OUTB 0x20, 0x20
  pop ax
  pop bp
  iret
exception16:
  push bp
  mov bp, sp
  push ax
  mov ax, [bp + 2]
  mov [cs:ip16], ax
  pop ax
  pop bp
  inc byte [cs:count16]
  fnclex
  iret

  align 2
unmasked: dw 0x037B
status: dw 0
saved: dw 0
divisor: dw 0
ip16: dw 0
ipHeld: dw 0
count: db 0
count16: db 0
how: db 0
ticks: db 0
reached: db 0
reachedThen: db 0
%include "end.inc"
