; Virtual-8086 mode: entry by IRET, interrupts and faults out of it, IOPL rules, the I/O bitmap, the extensions of CR4.VME (VIF, VIP, the
; interrupt redirection bitmap) and PVI.
; Expected: PASS.
; Follows: Intel SDM volume 3, chapter 20.
%include "common.inc"

%define SEG (BASE >> 4)

; TO_V86 flags: goes on in V86 mode at the same offsets.
%macro TO_V86 1
  push dword 0x66               ; GS
  push dword 0x55               ; FS
  push dword SEG                ; DS
  push dword SEG                ; ES
  push dword SEG                ; SS
  push dword STACK3
  push dword 0x20002 | (%1)
  push dword SEG
  push dword %%there
  iretd
  bits 16
%%there:
%endmacro

; Leaves V86 mode: the handler of #UD goes on in ring 0.
%macro FROM_V86 0
  mov dword [leave], %%there
  ud2
  bits 32
%%there:
%endmacro


test:
  GATE idt, 6, CODE0, leaveV86, 0x8E, 0
  GATE idt, 0x41, CODE0, intTarget, 0xEE, 0
  GATE idt, 0x42, CODE0, intTarget, 0x8E, 0
  GATE idt, 0x43, CODE3, intTarget, 0xEE, 0
  ; the 8086 program's vector 41h, at linear 0
  mov ax, FLAT
  mov es, ax
  mov word [es:0x41 * 4], handler41
  mov word [es:0x41 * 4 + 2], SEG
  mov ax, DATA0
  mov es, ax
  mov ecx, 8
  mov edi, redirection
  mov eax, -1
  rep stosd

  ; ---- IOPL 3
  TO_V86 0x3000
  mov ax, cs
  EQ ax, SEG
  mov ax, fs
  EQ ax, 0x55
  mov ax, gs
  EQ ax, 0x66
  EQ sp, STACK3
  cli
  sti
  pushf
  pop ax
  and ax, 0x3200
  EQ ax, 0x3200
  cli
  ; #GP through its handler; the frame has the data segments
  FAULT 13, 0, hlt
  FAULT 13, 0, mov eax, cr0
  FAULT 13, 0, lidt [leave]
  FAULT 13, 0, clts
  SEGMENT_FAULT 13, 0, mov al, [dword 0x10000]
  EQ word [faultCS], SEG
  mov eax, [faultFlags]
  and eax, 0x23000
  EQ eax, 0x23000
  ; INT by the IDT; segments come back
  mov dword [seen], 0
  int 0x41
  EQ dword [seen], 0x41
  EQ word [dsSeen], 0
  EQ word [frameDS], SEG
  EQ word [frameFS], 0x55
  EQ word [frameGS], 0x66
  EQ word [frameSS], SEG
  EQ word [frameSP], STACK3
  mov ax, ds
  EQ ax, SEG
  mov ax, gs
  EQ ax, 0x66
  FAULT 13, 0x42 * 8 + 2, int 0x42
  FAULT 13, CODE3 & ~3, int 0x43      ; a handler must be in ring 0
  ; IRET stays in V86 mode, does not change IOPL
  pushf
  pop ax
  and ax, 0x0FFF
  or ax, 0x0200
  push ax
  push cs
  push word .there
  iret
.there:
  pushf
  pop ax
  and ax, 0x3200
  EQ ax, 0x3200
  cli
  ; ports: the bitmap decides in spite of IOPL 3
  WORKS out 0x80, al
  FROM_V86
  or byte [ioMap + 0x81 / 8], 2
  TO_V86 0x3000
  FAULT 13, 0, out 0x81, al
  FAULT 13, 0, in al, 0x81
  ; a far transfer, a segment load
  call SEG:farTarget
  EQ ax, 0x1234
  mov ax, SEG + 1
  mov es, ax
  mov al, [es:leave - 16]
  EQ al, [leave]
  FROM_V86
  and byte [ioMap + 0x81 / 8], ~2

  ; ---- IOPL 0 without VME: everything about IF faults
  TO_V86 0
  FAULT 13, 0, cli
  FAULT 13, 0, sti
  FAULT 13, 0, pushf
  FAULT 13, 0, popf
  FAULT 13, 0, iret
  FAULT 13, 0, int 0x41
  EQ sp, STACK3
  mov dword [seen], 0
  FROM_V86

  ; ---- VME, where CPUID has it
  mov eax, 1
  cpuid
  test dl, 2
  jz .done
  mov eax, cr4
  or eax, 1
  mov cr4, eax
  and byte [redirection + 0x41 / 8], ~2
  TO_V86 0
  sti
  pushf
  pop ax
  and ax, 0x3200
  EQ ax, 0x3200                    ; shows VIF and IOPL 3
  int 0x41
  EQ dword [seen], 0x8086
  EQ word [flagsSeen], 0x3202      ; IF from VIF, IOPL 3
  EQ word [flagsInside], 0x3002    ; VIF clear inside
  pushf
  pop ax
  and ax, 0x0200
  EQ ax, 0x0200                    ; IRET brought VIF back
  cli
  pushf
  pop ax
  and ax, 0x0200
  EQ ax, 0
  push word 0x0202
  popf
  pushf
  pop ax
  and ax, 0x0200
  EQ ax, 0x0200
  push word 0x0102
  FAULT 13, 0, popf                   ; TF
  add sp, 2
  FAULT 13, 0, pushfd
  FAULT 13, 0, popfd
  FAULT 13, 0, int 0x44               ; its bit is set: IOPL decides
  FROM_V86
  mov eax, [frameFlags]
  and eax, 0x000A3000
  EQ eax, 0x000A0000                  ; VM and VIF, IOPL 0
  ; VIP pending: STI and POPF that would set IF fault
  TO_V86 1 << 20
  FAULT 13, 0, sti
  push word 0x0202
  FAULT 13, 0, popf
  add sp, 2
  WORKS cli
  FROM_V86
  ; IOPL 3 and redirection: the real IF
  TO_V86 0x3000
  sti
  int 0x41
  EQ word [flagsSeen], 0x3202
  EQ word [flagsInside], 0x3002
  cli
  FROM_V86
  mov eax, cr4
  and al, 0xFE
  mov cr4, eax

  ; ---- PVI in ring 3
  mov eax, cr4
  or al, 2
  mov cr4, eax
  push dword DATA3
  push dword STACK3
  push dword 2
  push dword CODE3
  push dword .pvi
  iretd
.pvi:
  mov ax, DATA3
  mov ds, ax
  WORKS sti
  pushfd
  pop eax
  and eax, 0x80200
  mov [seen], eax
  WORKS cli
  pushfd
  pop eax
  and eax, 0x80200
  mov [frameFlags], eax
  TO_RING0
  EQ dword [seen], 0x80000
  EQ dword [frameFlags], 0
  mov eax, cr4
  and al, 0xFD
  mov cr4, eax
.done:
  mov esp, STACK0 - 4
  ret

; #UD out of V86 mode: [esp]: EIP CS EFLAGS ESP SS ES DS FS GS
leaveV86:
  mov ax, DATA0
  mov ds, ax
  mov es, ax
  mov eax, [esp + 8]
  mov [frameFlags], eax
  mov esp, STACK0 - 0x100
  push dword 0x3002
  popfd
  jmp [leave]

intTarget:
  push eax
  mov ax, ds
  push eax
  mov ax, DATA0
  mov ds, ax
  pop eax
  mov [dsSeen], ax
  mov eax, [esp + 4 + 12]
  mov [frameSP], ax
  mov eax, [esp + 4 + 16]
  mov [frameSS], ax
  mov eax, [esp + 4 + 24]
  mov [frameDS], ax
  mov eax, [esp + 4 + 28]
  mov [frameFS], ax
  mov eax, [esp + 4 + 32]
  mov [frameGS], ax
  mov dword [seen], 0x41
  pop eax
  iretd

  bits 16
handler41:
  push bp
  mov bp, sp
  push ax
  mov ax, [bp + 6]
  and ax, 0xFF02
  mov [seen], ax
  mov [flagsSeen], ax
  pushf
  pop ax
  and ax, 0xFF02
  mov [flagsInside], ax
  mov dword [seen], 0x8086
  pop ax
  pop bp
  iret

farTarget:
  mov ax, 0x1234
  retf

  align 4
seen: dd 0
flagsSeen: dd 0
flagsInside: dd 0
frameFlags: dd 0
dsSeen: dw 0
frameSP: dw 0
frameSS: dw 0
frameDS: dw 0
frameFS: dw 0
frameGS: dw 0
%include "end.inc"
