; System management mode: what the handler finds, the state map, RSM back to every mode, relocation, HLT and I/O instructions started again, SMI and NMI
; in the mode.
; Runs on QEMU, which restarts neither HLT nor I/O instructions, and on Bochs, which where it knows 64 bits has another map. Boards without a
; PIIX4 pass at once.
; Follows: Intel SDM volume 3, chapter "System Management Mode"; hidden registers in the map as Bochs (of 32 bits) and QEMU have them.
%include "common.inc"
%include "smm.inc"

%define APIC 0xFEE00000
%define PIT_VECTOR 0x08
%define TIMER_VECTOR 0x60

test:
  call setUp
  je .there
  ret
.there:
  call entry
  call protectedMode
  call relocation
  call nested
  UNLESS QEMU
  call ioRestart
  call apicSMI
  call haltRestart
  ENDUNLESS
  call nmis
  ret

; ---- entry, map and return ---------------------------------------------------------------------------------------------------------
entry:
  HANDLE recordMap
  mov [stack], sp
  mov ax, 0x1234
  mov fs, ax
  mov ax, 0x5678
  mov gs, ax
  mov eax, cr0
  or al, 0x0E                  ; TS, EM, MP
  mov cr0, eax
  mov [cr0Before], eax
  mov eax, 0x12345000
  mov cr3, eax
  mov eax, 0xFFFF0000
  mov dr0, eax
  mov eax, 0x402
  mov dr7, eax
  push word 0x0CD7
  popf
  mov eax, 0x01020311
  mov ecx, 0x05060708
  mov edx, 0x090A0B0C
  mov ebx, 0x0D0E0F10
  mov ebp, 0x11121314
  mov esi, 0x15161718
  mov edi, 0x191A1B1C
  out 0xB2, al
.taken:
  jmp short .next
.next:
  pushfd
  mov [after], eax
  mov [after + 4], ecx
  mov [after + 8], edx
  mov [after + 12], ebx
  mov [after + 16], ebp
  mov [after + 20], esi
  mov [after + 24], edi
  mov eax, cr0
  mov [cr0After], eax
  and al, 0xF1
  mov cr0, eax
  pop dword [after + 28]
  cld
  mov ax, sp
  cmp ax, [stack]
  HOLDS e, "SP after RSM"
  mov ax, [smis]
  IS16 1, "SMIs taken"

  EQUALS [after], 0x01020311, "EAX after RSM"
  EQUALS [after + 4], 0x05060708, "ECX"
  EQUALS [after + 8], 0x090A0B0C, "EDX"
  EQUALS [after + 12], 0x0D0E0F10, "EBX"
  EQUALS [after + 16], 0x11121314, "EBP"
  EQUALS [after + 20], 0x15161718, "ESI"
  EQUALS [after + 24], 0x191A1B1C, "EDI"
  EQUALS [after + 28], 0x0CD7, "EFLAGS"
  mov eax, [cr0Before]
  cmp eax, [cr0After]
  HOLDS e, "CR0"
  mov eax, dr7
  EQUALS eax, 0x402, "DR7"
  mov eax, cr3
  EQUALS eax, 0x12345000, "CR3"
  mov ax, fs
  IS16 0x1234, "FS"
  mov ax, gs
  IS16 0x5678, "GS"

  ; what the handler found
  mov ax, [seen.cs]
  IS16 0x3000, "CS is SMBASE over 16"
  mov ax, [seen.ds]
  IS16 0, "DS"
  mov ax, [seen.es]
  IS16 0, "ES"
  mov ax, [seen.fs]
  IS16 0, "FS in the handler"
  mov ax, [seen.gs]
  IS16 0, "GS in the handler"
  mov ax, [seen.ss]
  IS16 0, "SS"
  mov al, [seen.top]
  IS 0xEA, "segments have limits of 4 GiB, and bases of 0"
  EQUALS [seen.eflags], 2, "EFLAGS in the handler"
  mov eax, [cr0Before]
  and eax, ~0x8000000D
  cmp eax, [seen.cr0]
  HOLDS e, "PE, EM, TS and PG of CR0 are clear in the handler, the rest is as it was"
  EQUALS [seen.cr4], 0, "CR4 in the handler"
  EQUALS [seen.dr7], 0x400, "DR7 in the handler"

  UNLESS BOCHS
  ; the map
  SAVED 0xFFD0, 0x01020311, "map: EAX"
  SAVED 0xFFD4, 0x05060708, "map: ECX"
  SAVED 0xFFD8, 0x090A0B0C, "map: EDX"
  SAVED 0xFFDC, 0x0D0E0F10, "map: EBX"
  SAVED 0xFFE4, 0x11121314, "map: EBP"
  SAVED 0xFFE8, 0x15161718, "map: ESI"
  SAVED 0xFFEC, 0x191A1B1C, "map: EDI"
  SAVED 0xFFF4, 0x0CD7, "map: EFLAGS"
  SAVED 0xFFF8, 0x12345000, "map: CR3"
  SAVED 0xFFC8, 0x402, "map: DR7"
  mov eax, [cr0Before]
  cmp eax, [MAP_AT + 0x1FC]
  HOLDS e, "map: CR0"
  mov ax, [MAP_AT + 0x1E0]
  cmp ax, [stack]
  HOLDS e, "map: ESP"
  UNLESS QEMU
  mov ax, [MAP_AT + 0x1F0]
  IS16 .taken, "map: EIP is behind the instruction"
  ENDUNLESS
  mov ax, [MAP_AT + 0x1A8]
  IS16 SEG, "map: ES"
  mov ax, [MAP_AT + 0x1AC]
  IS16 SEG, "map: CS"
  mov ax, [MAP_AT + 0x1B0]
  IS16 SEG, "map: SS"
  mov ax, [MAP_AT + 0x1B4]
  IS16 SEG, "map: DS"
  mov ax, [MAP_AT + 0x1B8]
  IS16 0x1234, "map: FS"
  mov ax, [MAP_AT + 0x1BC]
  IS16 0x5678, "map: GS"
  SAVED 0xFF98, SEG << 4, "map: base of CS"
  SAVED 0xFF34, SEG << 4, "map: base of DS"
  SAVED 0xFF40, 0x12340, "map: base of FS"
  SAVED 0xFF4C, 0x56780, "map: base of GS"
  SAVED 0xFF30, 0xFFFF, "map: limit of DS"
  SAVED 0xFEF8, 0x30000, "map: SMBASE"
  mov ax, [MAP_AT + 0xFE]
  and ax, 2
  IS16 2, "revision: SMBASE can be relocated"
  UNLESS QEMU|BOCHS
  SAVED 0xFEFC, 0x30000, "revision: and I/O instructions can be started again"
  ENDUNLESS
  SAVED 0xFF00, 0, "map: neither HLT nor I/O instruction is to be started again"
  ENDUNLESS
  xor eax, eax
  mov dr7, eax
  mov cr3, eax
  test byte [platform], BOCHS
  jz .changes
  ret
.changes:

  ; what the map is changed to counts
  HANDLE .change
  mov ecx, 1
  SMI 0x22
  EQUALS ecx, 0x33445566, "a register that the handler has changed"
  mov ax, fs
  IS16 0x4321, "so with a segment register"
  mov al, [fs:0x10]
  IS 0xEA, "and its base, which needs not fit the selector"
  xor ax, ax
  mov fs, ax
  HANDLE .jump
  clc
  SMI 0x22
  ret
.jumped:
  HOLDS c, "EIP and EFLAGS that the handler has changed"
  ret
.change:
  mov dword [fs:ebx + 0xFFD4], 0x33445566
  mov dword [fs:ebx + 0xFFB8], 0x4321
  mov dword [fs:ebx + 0xFF40], 0xFFFFFFE0
  ret
.jump:
  mov dword [fs:ebx + 0xFFF0], .jumped
  or dword [fs:ebx + 0xFFF4], 1
  ret

; ---- protected mode with paging ----------------------------------------------------------------------------------------------------
%define DIRECTORY 0x50000
protectedMode:
  ; 4 MiB as they are, but 300000h is 20000h
  mov ax, DIRECTORY >> 4
  mov es, ax
  xor di, di
  xor eax, eax
  mov cx, 0x800
  rep stosd
  mov dword [es:0], DIRECTORY + 0x1003
  mov di, 0x1000
  mov eax, 3
.fill:
  stosd
  add eax, 0x1000
  cmp di, 0x2000
  jb .fill
  mov dword [es:0x1000 + 0x300 * 4], 0x20003
  push ds
  pop es
  mov ax, BUFFER_SEG
  mov gs, ax
  mov dword [gs:0], 0xCAFEF00D
  HANDLE recordMap
  lgdt [gdtr]
  mov eax, DIRECTORY
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80000001
  mov cr0, eax
  jmp dword 8:(SEG << 4) + .inside
  bits 32
.inside:
  mov ax, 0x10
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov esp, (SEG << 4) + STACK - 0x100
  mov ax, 0x1B                 ; a segment at ring 3, read only
  mov gs, ax
  mov ebp, [0x300000]
  mov esi, 0
.again:
  mov al, 0x33
  out 0xB2, al
  jmp short .taken
.taken:
  add ebp, [0x300000]
  add dword [0x300000], 0
  inc esi
  cmp esi, 50
  jb .again
  mov edx, cr0
  mov edi, cr3
  mov ecx, 0
  mov cx, gs
  lsl ebx, ecx
  jmp 0x20:.sixteen
  bits 16
.sixteen:
  mov ax, 0x28
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov gs, ax
  mov esp, STACK - 0x100
  mov eax, cr0
  and eax, 0x7FFFFFFE
  mov cr0, eax
  jmp SEG:.real
.real:
  mov ax, cs
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, [stack]
  mov [after], ebp
  mov [after + 4], edx
  mov [after + 8], edi
  mov [after + 12], ecx
  xor ax, ax
  mov gs, ax
  mov eax, [after + 4]
  and eax, 0x80000001
  EQUALS eax, 0x80000001, "RSM returns to paging"
  EQUALS [after + 8], DIRECTORY, "with CR3"
  mov eax, 0xCAFEF00D
  imul eax, 51
  cmp eax, [after]
  HOLDS e, "through the page tables memory is as it was"
  EQUALS [after + 12], 0x1B, "GS with its selector"
  mov eax, [seen.cr0]
  and eax, 0x80000001
  EQUALS eax, 0, "the handler runs without protection and paging"
  UNLESS BOCHS
  SAVED 0xFFF8, DIRECTORY, "map: CR3 under paging"
  SAVED 0xFFAC, 8, "map: CS in protected mode"
  SAVED 0xFF98, 0, "map: its base"
  SAVED 0xFF94, 0xFFFFFFFF, "map: its limit"
  mov eax, [MAP_AT + 0x190]
  and ax, 0xF0FF
  IS16 0xC09B, "map: its attributes"
  mov ax, [MAP_AT + 0x144]
  and al, 0xFE
  IS 0xF0, "map: attributes of GS"
  mov eax, [gdtr + 2]
  cmp eax, [MAP_AT + 0x174]
  HOLDS e, "map: base of the GDT"
  mov ax, [MAP_AT + 0x170]
  IS16 gdtEnd - gdt - 1, "map: limit of the GDT"
  ENDUNLESS
  ret

; ---- relocation --------------------------------------------------------------------------------------------------------------------
relocation:
  HANDLE .move
  SMI 1
  mov ax, 0x4000
  call putEntrance
  HANDLE recordMap
  SMI 1
  mov ax, [seen.cs]
  IS16 0x4000, "the next SMI finds the new SMBASE"
  UNLESS BOCHS
  SAVED 0xFEF8, 0x40000, "and has it in the map"
  ENDUNLESS
  ; INIT keeps it: see init in another ROM. Above 1 MiB, CS has the low 16 bits of SMBASE over 16 alone.
  ret
.move:
  mov dword [newBase], 0x40000
  call relocate
  ret

; ---- an SMI in the handler ---------------------------------------------------------------------------------------------------------
nested:
  mov word [smis], 0
  mov byte [log], 0
  HANDLE .handler
  SMI 1
  mov ax, [smis]
  IS16 2, "of two SMIs in the handler one is taken, after RSM"
  mov al, [log]
  IS 3, "and not within"
  ret
.handler:
  cmp word [smis], 1
  jne .second
  SMI 2
  SMI 3
  mov cx, 100
  loop $
  or byte [log], 1
  cmp word [smis], 1
  je .end
  or byte [log], 0x80
.end:
  ret
.second:
  shl byte [log], 1
  or byte [log], 1
  ret

; ---- I/O instructions started again ------------------------------------------------------------------------------------------------
ioRestart:
  UNLESS BOCHS
  mov word [smis], 0
  HANDLE .handler
  mov al, 0x44
  out 0xB2, al
  mov ax, [smis]
  IS16 3, "an instruction is started again as often as the handler wants it"
  ; a repetition, in its middle
  mov word [smis], 0
  mov si, .bytes
  mov cx, 4
  mov dx, 0xB2
  rep outsb
  mov ax, [smis]
  IS16 6, "so is an iteration"
  mov ax, si
  IS16 .bytes + 4, "which moves registers once"
  mov ax, cx
  IS16 0, "and counts once"
  in al, 0xB2
  IS 8, "the last byte was written"
  ENDUNLESS
  ret
.handler:
  cmp word [smis], 3
  jae .end
  mov byte [fs:ebx + 0xFF00], 0xFF
.end:
  ret
.bytes: db 5, 6, 7, 8

; ---- messages of the APIC ----------------------------------------------------------------------------------------------------------
; Real mode's segments with limits of 4 GiB: FS is flat.
flatFS:
  push eax
  push bx
  lgdt [gdtr]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  mov bx, 0x10
  mov fs, bx
  and al, 0xFE
  mov cr0, eax
  xor bx, bx
  mov fs, bx
  pop bx
  pop eax
  ret

apicSMI:
  call flatFS
  mov word [smis], 0
  HANDLE nothing
  mov dword [fs:dword APIC + 0xF0], 0x1FF
  mov eax, [fs:dword APIC + 0x20]
  mov [fs:dword APIC + 0x310], eax
  mov dword [fs:dword APIC + 0x300], 0x00000200   ; to itself, by its ID
  jmp short .sent
.sent:
  mov ax, [smis]
  IS16 1, "delivery mode SMI of the ICR"
  mov dword [fs:dword APIC + 0x300], 0x00080200   ; to all
  jmp short .all
.all:
  mov ax, [smis]
  IS16 2, "to all"
  ret

; ---- HLT started again -------------------------------------------------------------------------------------------------------------
; LINT0 brings the timer's request as SMI, the APIC's timer is what ends HLT.
haltRestart:
  UNLESS BOCHS
  call flatFS
  mov al, TIMER_VECTOR
  mov dx, onTimer
  call setVector
  mov dword [fs:dword APIC + 0x3E0], 0xB         ; bus clock
  mov dword [fs:dword APIC + 0x350], 0x200       ; LINT0: SMI
  ; the SMI comes after 1 ms, the interrupt after 3
  call .start
  HANDLE .leave
  sti
  hlt
  mov al, [timers]
  cli
  IS 1, "HLT goes on after an SMI"
  mov ax, [smis]
  IS16 1, "which has come"
  mov al, [log]
  IS 1, "and said that it came in HLT"
  call .start
  HANDLE .clear
  sti
  hlt
  mov al, [timers]
  mov ah, [smis]
  cli
  IS16 0x100, "HLT is over where the handler clears the field"
  ; without HLT the field is clear
  call .start
  HANDLE .leave
  sti
.wait:
  cmp word [smis], 0
  je .wait
  cli
  mov al, [log]
  IS 0, "outside of HLT the field is clear"
  mov dword [fs:dword APIC + 0x320], 0x10000
  mov dword [fs:dword APIC + 0x350], 0x10000
  OUTB 0x21, 0xFF
  ENDUNLESS
  ret
.leave:
  mov al, [fs:ebx + 0xFF02]
  mov [log], al
  ret
.clear:
  mov word [fs:ebx + 0xFF02], 0
  ret
.start:
  cli
  call resetPICs
  mov byte [timers], 0
  mov byte [log], 0xFF
  mov word [smis], 0
  OUTB 0x43, 0x30              ; mode 0: once
  OUTB 0x40, 1193 & 255
  OUTB 0x40, 1193 >> 8
  mov dword [fs:dword APIC + 0x320], TIMER_VECTOR
  mov dword [fs:dword APIC + 0x380], 300000
  OUTB 0x21, 0xFE
  ret

onTimer:
  push ds
  push fs
  push ax
  push word SEG
  pop ds
  inc byte [timers]
  xor ax, ax
  mov fs, ax
  mov dword [fs:dword APIC + 0xB0], 0
  pop ax
  pop fs
  pop ds
  iret

; ---- NMI ---------------------------------------------------------------------------------------------------------------------------
nmis:
  call flatFS
  mov al, 2
  mov dx, onNMI
  call setVector
  mov dword [fs:dword APIC + 0xF0], 0x1FF
  mov eax, [fs:dword APIC + 0x20]
  mov [fs:dword APIC + 0x310], eax
  mov byte [nmiCount], 0
  mov dword [fs:dword APIC + 0x300], 0x400        ; NMI to itself
  jmp short .plain
.plain:
  mov al, [nmiCount]
  IS 1, "NMI outside of the mode"
  ; in the handler
  mov byte [nmiCount], 0
  HANDLE .inHandler
  SMI 1
  nop
  mov al, [log]
  IS 0, "NMI waits in the handler"
  mov al, [nmiCount]
  IS 1, "and is taken after RSM"
  ; IRET in the handler lets it in
  mov byte [nmiCount], 0
  HANDLE .letsIn
  SMI 1
  nop
  mov al, [log]
  IS 1, "NMI after IRET in the handler"
  mov al, [nmiCount]
  IS 1, "is taken once"
  ; an SMI in the handler of an NMI: the map does not tell that NMI was blocked, RSM opens it
  mov byte [nmiCount], 0
  mov byte [nmiAgain], 1
  HANDLE .inHandler
  call .send
  nop
  mov al, [nmiCount]
  IS 2, "two NMIs"
  UNLESS QEMU
  mov al, [nmiLog]
  IS 1, "the second is taken in the handler of the first, once an SMI was taken there"
  ENDUNLESS
  ret
.inHandler:
  call .send
  mov al, [nmiCount]
  cmp byte [nmiAgain], 1
  jne .first
  dec al                        ; in the first NMI's handler
.first:
  mov [log], al
  ret
.letsIn:
  call .send
  pushf
  push cs
  push word .here
  iret
.here:
  nop
  mov al, [nmiCount]
  mov [log], al
  ret
.send:
  mov dword [fs:dword APIC + 0x300], 0x400
  mov cx, 20
  loop $
  ret

onNMI:
  push ds
  push ax
  push word SEG
  pop ds
  inc byte [nmiCount]
  cmp byte [nmiAgain], 1
  jne .end
  mov byte [nmiAgain], 2
  mov al, [nmiCount]
  SMI 1
  push cx
  mov cx, 50
  loop $
  pop cx
  mov al, [nmiCount]
  dec al
  mov [nmiLog], al
.end:
  pop ax
  pop ds
  iret

; ---- data --------------------------------------------------------------------------------------------------------------------------
  align 4
gdt:
  dq 0
  dq 0x00CF9B000000FFFF         ; 08 code, 32 bits
  dq 0x00CF93000000FFFF         ; 10 data
  dq 0x0000F10000000FFF         ; 18 data at ring 3, read only
  dq 0x00009B010000FFFF         ; 20 code, 16 bits, at 10000h
  dq 0x000093010000FFFF         ; 28 data, 16 bits, at 10000h
gdtEnd:
gdtr: dw gdtEnd - gdt - 1
  dd (SEG << 4) + gdt
  align 4
after: times 8 dd 0
cr0Before: dd 0
cr0After: dd 0
stack: dw 0
log: db 0
timers: db 0
nmiCount: db 0
nmiAgain: db 0
nmiLog: db 0
%include "end.inc"
