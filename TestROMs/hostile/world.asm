; Surroundings for random code in a whole machine: a ROM of 64 KiB in place of the BIOS, into which the parameters and the code are put.
; It builds tables in RAM, starts the timer's interrupts, copies the code to where it is to run, and goes there with the registers given, again
; after each exception, LIMIT times; then it halts. What it does is not judged: both engines must do the same.
; Follows: Intel SDM volume 3, chapters 3 to 6, 9 and 20; 8259A and 8254 datasheets.

  org 0
  bits 16

; ---- parameters, at offsets of the ROM
MODE      equ 0x1000            ; byte: 0 real, 1 flat, 2 paged, 3 paged at level 3, 4 16-bit protected, 5 V86
TARGET    equ 0x1004            ; where the code is copied to (linear, below 4 MiB)
COUNT     equ 0x1008            ; bytes
FROM      equ 0x100C            ; offset in the ROM
REGISTERS equ 0x1010            ; EAX ECX EDX EBX ESP EBP ESI EDI
FLAGS     equ 0x1030
TIMER     equ 0x1034            ; word: the timer's count
CODESEG   equ 0x1036            ; word: CS of real and V86 mode; the code is at TARGET, which is within its 64 KiB
DATASEG   equ 0x1038            ; word: DS, ES, FS, GS of real and V86 mode
PATCHES   equ 0x1040            ; 24 times a page table entry's index (FFFFFFFFh: none) and value
LIMIT     equ 100

; ---- RAM
ROUNDS    equ 0x600
GDT       equ 0x1000
IDT       equ 0x2000
TSS       equ 0x3000
DIRECTORY equ 0x4000
TABLE     equ 0x5000
STACK     equ 0x7000

start:
  cli
  cld
  xor ax, ax
  mov es, ax
  mov ss, ax
  mov sp, STACK
  mov ax, 0xF000
  mov ds, ax
  ; real-mode vectors
  xor di, di
  mov cx, 256
.vectors:
  mov ax, realFault
  stosw
  mov ax, 0xF000
  stosw
  loop .vectors
  mov word [es:0x20 * 4], realTimer
  ; 8259A: vectors 20h and 28h, IRQ 0 alone
  mov al, 0x11
  out 0x20, al
  out 0xA0, al
  mov al, 0x20
  out 0x21, al
  mov al, 0x28
  out 0xA1, al
  mov al, 4
  out 0x21, al
  mov al, 2
  out 0xA1, al
  mov al, 1
  out 0x21, al
  out 0xA1, al
  mov al, 0xFE
  out 0x21, al
  mov al, 0xFF
  out 0xA1, al
  mov al, 0x34
  out 0x43, al
  mov al, [TIMER]
  out 0x40, al
  mov al, [TIMER + 1]
  out 0x40, al
  mov al, 2
  out 0x92, al
  ; tables
  mov dword [es:ROUNDS], 0
  mov si, gdt
  mov di, GDT
  mov cx, gdtEnd - gdt
  rep movsb
  mov di, IDT
  mov cx, 256
.gates:
  mov eax, fault + 0x00080000
  stosd
  mov eax, 0x000F8E00
  stosd
  loop .gates
  mov word [es:IDT + 0x20 * 8], timer
  mov di, TSS
  mov cx, 0x68 / 4
  xor eax, eax
  rep stosd
  mov dword [es:TSS + 4], STACK
  mov dword [es:TSS + 8], 0x10
  mov word [es:TSS + 0x66], 0x68
  mov di, DIRECTORY
  mov cx, 1024
  rep stosd
  ; 8 MiB: memory from 0 on, twice
  mov dword [es:DIRECTORY], TABLE + 7
  mov dword [es:DIRECTORY + 4], TABLE + 7
  mov di, TABLE
  mov eax, 7
  mov cx, 1024
.pages:
  stosd
  add eax, 0x1000
  loop .pages
  o32 lgdt [gdtr]
  o32 lidt [idtr]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp dword 8:0xF0000 + protected
  bits 32
protected:
  mov ax, 0x10
  mov ds, ax
  mov es, ax
  mov fs, ax
  mov gs, ax
  mov ss, ax
  mov esp, STACK
  mov ax, 0x38
  ltr ax
  mov esi, [0xF0000 + FROM]
  add esi, 0xF0000
  mov edi, [0xF0000 + TARGET]
  mov ecx, [0xF0000 + COUNT]
  rep movsb
  mov esi, 0xF0000 + PATCHES
  mov ecx, 24
.patch:
  mov eax, [esi]
  cmp eax, 1024
  jae .none
  mov edx, [esi + 4]
  mov [TABLE + eax * 4], edx
.none:
  add esi, 8
  loop .patch
  cmp byte [0xF0000 + MODE], 0
  je toReal
  cmp byte [0xF0000 + MODE], 1
  je enter
  cmp byte [0xF0000 + MODE], 4
  je enter
  mov eax, DIRECTORY
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  jmp enter

; An exception: again, with the registers turned by one.
fault:
  mov ax, 0x10
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov esp, STACK
  inc dword [ROUNDS]
  cmp dword [ROUNDS], LIMIT
  jb enter
  cli
  hlt
  jmp $ - 1

timer:
  push eax
  mov al, 0x20
  out 0x20, al
  pop eax
  iretd

enter:
  cld
  movzx eax, byte [0xF0000 + MODE]
  cmp eax, 5
  je .v86
  cmp eax, 4
  je .small
  cmp eax, 3
  je .user
  ; level 0: the frame is on the stack that the code gets
  call flags
  push ecx
  push dword 8
  push dword [0xF0000 + TARGET]
  jmp .registers
.small:
  call flags
  push ecx
  push dword 0x28
  push dword 0
  ; the segment begins at the code
  mov eax, [0xF0000 + TARGET]
  mov [GDT + 0x2A], ax
  shr eax, 16
  mov [GDT + 0x2C], al
  mov [GDT + 0x2F], ah
  jmp .registers
.user:
  push dword 0x20 | 3
  push dword [0xF0000 + REGISTERS + 16]
  call flags
  push ecx
  push dword 0x18 | 3
  push dword [0xF0000 + TARGET]
  mov ax, 0x20 | 3
  mov ds, ax
  mov es, ax
  jmp .registers
.v86:
  movzx eax, word [0xF0000 + DATASEG]
  push eax
  push eax
  push eax
  push eax
  push eax
  push dword [0xF0000 + REGISTERS + 16]
  call flags
  or ecx, 0x20000
  push ecx
  movzx eax, word [0xF0000 + CODESEG]
  push eax
  shl eax, 4
  neg eax
  add eax, [0xF0000 + TARGET]
  push eax
.registers:
  mov ebp, [ss:ROUNDS]
  and ebp, 7
  mov eax, [cs:0xF0000 + REGISTERS + ebp * 4]
  xor ebp, 1
  mov ecx, [cs:0xF0000 + REGISTERS + ebp * 4]
  xor ebp, 2
  mov edx, [cs:0xF0000 + REGISTERS + ebp * 4]
  xor ebp, 4
  mov ebx, [cs:0xF0000 + REGISTERS + ebp * 4]
  mov esi, [cs:0xF0000 + REGISTERS + 24]
  mov edi, [cs:0xF0000 + REGISTERS + 28]
  mov ebp, [cs:0xF0000 + REGISTERS + 20]
  iretd

; ECX: the flags to start with, without VM, TF, NT.
flags:
  mov ecx, [cs:0xF0000 + FLAGS]
  and ecx, 0x43ED5
  or cl, 2
  ret

toReal:
  jmp 0x30:small
  bits 16
small:
  mov ax, 0x28 + 0x18
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov eax, cr0
  and al, 0xFE
  mov cr0, eax
  jmp 0xF000:realMode
realMode:
  o32 lidt [cs:realIDTR]
  jmp realEnter

realFault:
  xor ax, ax
  mov ss, ax
  mov sp, STACK
  inc dword [ss:ROUNDS]
  cmp dword [ss:ROUNDS], LIMIT
  jb realEnter
  cli
  hlt
  jmp $ - 1

realTimer:
  push ax
  mov al, 0x20
  out 0x20, al
  pop ax
  iret

realEnter:
  cld
  xor ax, ax
  mov ss, ax
  mov sp, STACK
  mov ecx, [cs:FLAGS]
  and ecx, 0x43ED5
  push cx
  mov ax, [cs:CODESEG]
  push ax
  movzx eax, ax
  shl eax, 4
  neg eax
  add eax, [cs:TARGET]
  push ax
  mov ax, [cs:DATASEG]
  mov ds, ax
  mov es, ax
  mov fs, ax
  mov gs, ax
  mov ebp, [ss:ROUNDS]
  and ebp, 7
  mov eax, [cs:REGISTERS + ebp * 4]
  xor ebp, 1
  mov ecx, [cs:REGISTERS + ebp * 4]
  xor ebp, 2
  mov edx, [cs:REGISTERS + ebp * 4]
  xor ebp, 4
  mov ebx, [cs:REGISTERS + ebp * 4]
  mov esi, [cs:REGISTERS + 24]
  mov edi, [cs:REGISTERS + 28]
  mov ebp, [cs:REGISTERS + 20]
  iret

  align 8
gdt:
  dq 0
  dq 0x00CF9A000000FFFF         ; 08 flat code
  dq 0x00CF92000000FFFF         ; 10 flat data
  dq 0x00CFFA000000FFFF         ; 18 level 3
  dq 0x00CFF2000000FFFF         ; 20
  dq 0x00009A000000FFFF         ; 28 16-bit code, its base is set
  dq 0x00009A0F0000FFFF         ; 30 16-bit code in the ROM
  dq 0x0000890030000067         ; 38 TSS
  dq 0x000092000000FFFF         ; 40 16-bit data
gdtEnd:
gdtr:
  dw gdtEnd - gdt - 1
  dd GDT
idtr:
  dw 0x7FF
  dd IDT
realIDTR:
  dw 0x3FF
  dd 0

  times 0xFFF0 - ($ - $$) db 0
  jmp 0xF000:start
  times 0x10000 - ($ - $$) db 0
