; The guest program that makes a table of accesses to devices, for `apus conform fuzz`: the processor's own IN, OUT and MOV, so that what
; the engines make of them is used, with interrupts and whatever else the devices cause meanwhile.
;
; An entry of the table: operation, address, value, count (32 bits each); operation 0 ends it. A fault ends its access; a reset of the
; processor goes on behind the access that caused it. Nothing here is judged: both engines must do the same.
; Follows: Intel SDM volume 3, chapters 3, 6 and 9.
;
; The whole lies where address bit 20 is 0, so that it runs with A20 masked too.

ORIGIN    equ 0x200000
SAVED     equ 0x20F000          ; the entry that is next
STORM     equ 0x20F008          ; interrupts since the last entry
BUFFER    equ 0x240000          ; what string instructions move
STACK     equ 0x23FF00

  org ORIGIN
  bits 32

; ---- 200000h: begin with the table at ESI
entry:
  mov [SAVED], esi
; ---- 200006h: begin with the entry that is next
resume:
  jmp start
  times 0x10 - ($ - $$) db 0

; ---- 200010h: the descriptors; 08h code, 10h data
gdt:
  dq 0
  dq 0x00CF9B000000FFFF
  dq 0x00CF93000000FFFF

; ---- 200028h: the pseudo-descriptors of GDT and IDT
gdtr:
  dw 23
  dd gdt
  dw 0
idtr:
  dw 256 * 8 - 1
  dd idt
  dw 0

start:
  lgdt [cs:gdtr]
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov esp, STACK
  lidt [idtr]
  mov eax, cr4
  test dword [FEATURES], 1
  jz .plain
  or eax, 0x200
  mov cr4, eax
.plain:
  cld
  mov esi, [SAVED]
next:
  mov dword [STORM], 0
  mov eax, [esi]
  mov edx, [esi + 4]
  mov ebx, [esi + 8]
  mov ecx, [esi + 12]
  cmp eax, COUNT
  jae idle
  add esi, 16
  mov [SAVED], esi
  mov ebp, [operations + eax * 4]
  mov eax, ebx
  jmp ebp

; All that is left is time.
idle:
  sti
  hlt
  jmp idle

inb:
  in al, dx
  jmp next
inw:
  in ax, dx
  jmp next
ind:
  in eax, dx
  jmp next
outb:
  out dx, al
  jmp next
outw:
  out dx, ax
  jmp next
outd:
  out dx, eax
  jmp next
insbyte:
  mov edi, BUFFER
  rep insb
  jmp next
insword:
  mov edi, BUFFER
  rep insw
  jmp next
insdword:
  mov edi, BUFFER
  rep insd
  jmp next
outsbyte:
  mov esi, BUFFER
  rep outsb
  jmp back
outsword:
  mov esi, BUFFER
  rep outsw
  jmp back
outsdword:
  mov esi, BUFFER
  rep outsd
back:
  mov esi, [SAVED]
  jmp next
loadb:
  mov al, [edx]
  jmp next
loadw:
  mov ax, [edx]
  jmp next
loadd:
  mov eax, [edx]
  jmp next
storeb:
  mov [edx], al
  jmp next
storew:
  mov [edx], ax
  jmp next
stored:
  mov [edx], eax
  jmp next
wait_loop:
  dec ecx
  jns wait_loop
  jmp next
sleep:
  sti
  hlt
  jmp next
copy_from:
  push esi
  mov esi, edx
  mov edi, BUFFER
  rep movsd
  pop esi
  jmp next
copy_to:
  mov edi, edx
  rep stosd
  jmp next
modify:
  add [edx], eax
  xchg [edx], ecx
  inc byte [edx]
  jmp next
wide:
  fild qword [edx]
  fistp qword [edx]
  jmp next
mask:
  cli
  jmp next
unmask:
  sti
  jmp next
; A call to where a device, a ROM or RAM is.
execute:
  call edx
  jmp next
msr:
  mov eax, ebx
  xor edx, edx
  wrmsr
  jmp next
; The number of the port is a part of the instruction.
inimm:
  in al, 0x60                   ; a byte at `immediates`[0]
  jmp next
outimm:
  out 0x80, al                  ; [1]
  jmp next
inimmd:
  in eax, 0x40                  ; [2]
  jmp next
move_within:
  push esi
  mov esi, edx
  mov edi, ebx
  rep movsb
  pop esi
  jmp next
sse:
  movups xmm0, [edx]
  movups [edx], xmm0
  jmp next

; ---- interrupts and faults

; A fault gives its access up.
fault:
  mov al, 0x20
  out 0x20, al
  mov esp, STACK
  sti
  mov esi, [SAVED]
  jmp next

; An interrupt reads what its device may want to have read.
interrupt:
  push eax
  push edx
  ; Where one comes after the other and nothing else does, interrupts stay off until they are allowed again.
  inc dword [STORM]
  cmp dword [STORM], 12
  jb .few
  and dword [esp + 16], ~0x200
.few:
  mov al, 0x20
  out 0xA0, al
  out 0x20, al
  mov eax, [READS]
  test al, 1
  jz .no_keyboard
  in al, 0x60
.no_keyboard:
  test dword [READS], 2
  jz .no_disk
  mov dx, 0x1F7
  in al, dx
  mov dx, 0x177
  in al, dx
.no_disk:
  test dword [READS], 4
  jz .no_serial
  mov dx, 0x3FA
  in al, dx
  mov dx, 0x3FD
  in al, dx
.no_serial:
  test dword [READS], 8
  jz .no_clock
  mov al, 0x0C
  out 0x70, al
  in al, 0x71
.no_clock:
  test dword [READS], 16
  jz .no_apic
  mov dword [0xFEE000B0], 0
.no_apic:
  test dword [READS], 32
  jz .no_floppy
  mov dx, 0x3F5
  in al, dx
.no_floppy:
  pop edx
  pop eax
  iretd

%macro offset 1
  dd %1
%endmacro
  align 4
operations:
  offset idle                   ; 0
  offset inb
  offset inw
  offset ind
  offset outb
  offset outw
  offset outd
  offset insbyte                ; 7
  offset insword
  offset insdword
  offset outsbyte
  offset outsword
  offset outsdword              ; 12
  offset loadb
  offset loadw
  offset loadd
  offset storeb
  offset storew
  offset stored                 ; 18
  offset wait_loop
  offset sleep                  ; 20
  offset copy_from
  offset copy_to
  offset modify
  offset wide
  offset mask                   ; 25
  offset unmask
  offset execute
  offset msr
  offset inimm                  ; 29
  offset outimm
  offset inimmd
  offset move_within
  offset sse                    ; 33
COUNT     equ ($ - operations) / 4

%macro gate 1
  dw (%1 - $$) & 0xFFFF
  dw 8
  dw 0x8E00
  dw (ORIGIN + (%1 - $$)) >> 16
%endmacro
  align 8
idt:
  %assign n 0
  %rep 256
    %if n >= 0x20 || (n >= 1 && n <= 4)
      gate interrupt
    %else
      gate fault
    %endif
    %assign n n + 1
  %endrep

; ---- 201000h: what the host sets
  times 0x1000 - ($ - $$) db 0
READS:    dd 0                  ; what interrupts read, a bit for a device
FEATURES: dd 0                  ; 1: the processor has SSE
; Where the immediate port numbers are.
immediates:
  dd inimm + 1, outimm + 1, inimmd + 1
