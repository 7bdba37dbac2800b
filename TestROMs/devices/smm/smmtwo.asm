; System management mode of two processors: SMI to the first by port B2h, to the second and to both by messages, a processor that halts with
; interrupts off, SMBASE of each its own, what one sees at A0000h while the other is in the mode.
; Runs on QEMU with -smp 2. With one processor it passes at once.
; Follows: Intel SDM volume 3, chapters "System Management Mode", "APIC" (ICR, delivery mode 010), "Multiple-Processor Management" (INIT, start-up).
%include "common.inc"
%include "smm.inc"

%define APIC 0xFEE00000
%define COUNTS 0x500           ; of SMIs, a byte for each processor
%define AWAKE 0x504
%define GO 0x505
%define SEEN 0x508             ; what the second processor sees at A0100h
%define START 0x60000          ; where the second begins

test:
  call setUp
  je .there
  ret
.there:
  call flatFS
  mov dword [fs:COUNTS], 0
  mov dword [fs:AWAKE], 0
  mov dword [fs:dword APIC + 0xF0], 0x1FF
  mov ax, START >> 4
  mov es, ax
  mov si, second
  xor di, di
  mov cx, secondEnd - second
  rep movsb
  push ds
  pop es
  ; INIT and start-up to the others
  mov dword [fs:dword APIC + 0x300], 0xC4500
  DELAY 10000
  mov dword [fs:dword APIC + 0x300], 0xC4600 + (START >> 12)
  DELAY 10000
  cmp byte [fs:AWAKE], 1
  je .two
  ret
.two:
  ; each its own SMBASE
  HANDLE bases
  SMI 1
  mov al, [fs:COUNTS]
  IS 1, "port B2h reaches the first"
  mov al, [fs:COUNTS + 1]
  IS 0, "alone"
  mov dword [fs:dword APIC + 0x310], 1 << 24
  mov dword [fs:dword APIC + 0x300], 0x200
  DELAY 10000
  mov al, [fs:COUNTS + 1]
  IS 1, "a message reaches the second, in HLT with interrupts off"
  mov ax, 0x4000
  call putEntrance
  mov ax, 0x4800
  call putEntrance
  HANDLE count
  mov dword [fs:dword APIC + 0x300], 0x80200   ; to all
  DELAY 10000
  mov ax, [fs:COUNTS]
  IS16 0x0202, "a message reaches both"
  mov ax, [where]
  IS16 0x4000, "the first has its SMBASE"
  mov ax, [where + 2]
  IS16 0x4800, "and the second its own"

  ; the first in SMRAM, while the second looks at A0100h again and again
  SMRAM D_OPEN | G_SMRAME
  mov dword [fs:dword 0xA0100], 'SMRA'
  SMRAM G_SMRAME
  mov byte [fs:GO], 1
  DELAY 1000
  mov eax, [fs:SEEN]
  cmp eax, 'SMRA'
  HOLDS ne, "the second sees the video memory"
  HANDLE look
  SMI 1
  mov al, [same]
  IS 0, "also while the first is in the mode"
  EQUALS [mine], 'SMRA', "which sees SMRAM"
  mov byte [fs:GO], 0
  ret

bases:
  call count
  mov dword [newBase], 0x40000
  test al, al
  jz relocate
  mov dword [newBase], 0x48000
  jmp relocate
; AX: the processor's number; counts its SMI and notes its CS
count:
  mov eax, [fs:dword APIC + 0x20]
  shr eax, 24
  mov si, ax
  inc byte [fs:si + COUNTS]
  shl si, 1
  mov dx, [seen.cs]
  mov [si + where], dx
  ret
look:
  mov eax, [fs:dword 0xA0100]
  mov [mine], eax
  mov ecx, 20000
.next:
  mov eax, [fs:SEEN]
  cmp eax, 'SMRA'
  jne .other
  inc byte [same]
.other:
  mov eax, [fs:dword 0xA0100]
  cmp eax, 'SMRA'
  je .right
  mov [mine], eax
.right:
  dec ecx
  jnz .next
  ret

flatFS:
  lgdt [gdtr]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  mov bx, 8
  mov fs, bx
  and al, 0xFE
  mov cr0, eax
  xor bx, bx
  mov fs, bx
  ret

; The second processor: says that it is there, waits, and looks when told to.
second:
  cli
  xor ax, ax
  mov ds, ax
  mov byte [AWAKE], 1
  mov ss, ax
  mov sp, 0x7000
.wait:
  hlt
.look:
  cmp byte [GO], 1
  mov ax, 0xA000
  mov es, ax
  mov eax, [es:0x100]
  mov [SEEN], eax
  jmp .look
secondEnd:

  align 4
gdt:
  dq 0
  dq 0x00CF93000000FFFF
gdtEnd:
gdtr: dw gdtEnd - gdt - 1
  dd (SEG << 4) + gdt
mine: dd 0
where: dw 0, 0
same: db 0
%include "end.inc"
