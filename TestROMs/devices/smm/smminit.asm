; INIT# while another processor is in system management mode: by port 92h (to all) and by a message. That processor goes on with what it does,
; a start-up message does nothing to it, its APIC stays as it is; behind RSM it takes the INIT and waits to be started.
; For two processors; with one it passes at once. QEMU resets the whole machine by port 92h: not there.
; Follows: Intel SDM volume 3, chapters "System Management Mode" (INIT# is blocked, and latched), "Multiple-Processor Management".
%macro AT_RESET 0
  xor ax, ax
  mov ds, ax
  cmp dword [0x5F0], 'INIT'
  jne .first
  mov dword [0x5F0], 0
  mov ax, SEG
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, STACK
  jmp SEG:afterInit
.first:
%endmacro
%include "common.inc"
%include "smm.inc"

%define APIC 0xFEE00000
%define AWAKE 0x504            ; how often the second processor was started
%define LEAVE 0x505
%define SPUN 0x508             ; what the second counts in its handler
%define SVR 0x50C               ; what the second saw in its APIC
%define START 0x60000

test:
  call setUp
  je .there
  ret
.there:
  test byte [platform], QEMU | BOCHS
  jz .here
  ret
.here:
  call flatFS
  mov dword [fs:AWAKE], 0
  mov dword [fs:SPUN], 0
  mov dword [fs:dword APIC + 0xF0], 0x1FF
  mov ax, START >> 4
  mov es, ax
  mov si, second
  xor di, di
  mov cx, secondEnd - second
  rep movsb
  push ds
  pop es
  mov dword [fs:dword APIC + 0x300], 0xC4500
  DELAY 10000
  mov dword [fs:dword APIC + 0x300], 0xC4600 + (START >> 12)
  DELAY 10000
  cmp byte [fs:AWAKE], 1
  je .two
  ret
.two:
  HANDLE spin
  mov dword [fs:dword APIC + 0x310], 1 << 24
  mov dword [fs:dword APIC + 0x300], 0x200
  call spins
  HOLDS nz, "the second is in its handler"
  ; a message
  mov dword [fs:dword APIC + 0x300], 0x4500
  DELAY 1000
  call startSecond
  mov al, [fs:AWAKE]
  IS 1, "INIT and a start-up message wait"
  call spins
  HOLDS nz, "and it goes on in its handler"
  ; all processors
  mov dword [fs:0x5F0], 'INIT'
  in al, 0x92
  and al, 0xFE
  out 0x92, al
  or al, 1
  out 0x92, al
  cli
  hlt
  jmp $
afterInit:
  cld
  call startClock
  call resetPICs
  call flatFS
  call spins
  HOLDS nz, "port 92h lets it go on, too"
  mov dword [fs:dword APIC + 0xF0], 0x1FF
  call startSecond
  mov al, [fs:AWAKE]
  IS 1, "a start-up message does nothing to it"
  call spins
  HOLDS nz, "nor ends its handler"
  mov eax, [fs:SVR]
  cmp eax, 0x1EF
  HOLDS e, "its APIC has not been reset"
  mov byte [fs:LEAVE], 1
  DELAY 1000
  call spins
  HOLDS z, "RSM ends it"
  mov al, [fs:AWAKE]
  IS 1, "and then it waits to be started"
  call startSecond
  mov al, [fs:AWAKE]
  IS 2, "which starts it"
  mov eax, [fs:SVR]
  cmp eax, 0xFF
  HOLDS e, "with its APIC reset"
  jmp inRAM.tested

startSecond:
  mov dword [fs:dword APIC + 0x310], 1 << 24
  mov dword [fs:dword APIC + 0x300], 0x4600 + (START >> 12)
  DELAY 1000
  ret
; ZF: the second counts no longer.
spins:
  mov eax, [fs:SPUN]
  DELAY 1000
  cmp eax, [fs:SPUN]
  ret

; The second's handler.
spin:
  mov eax, [fs:dword APIC + 0xF0]
  mov [fs:SVR], eax
  inc dword [fs:SPUN]
  cmp byte [fs:LEAVE], 1
  jne spin
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

; The second processor: counts its starts, notes its APIC's spurious vector register, and changes it.
second:
  cli
  xor ax, ax
  mov ds, ax
  mov ss, ax
  mov sp, 0x7000
  push cs
  pop es
  o32 lgdt [es:secondGDTR - second]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  mov bx, 8
  mov fs, bx
  and al, 0xFE
  mov cr0, eax
  mov eax, [fs:dword APIC + 0xF0]
  mov [SVR], eax
  mov dword [fs:dword APIC + 0xF0], 0x1EF
  inc byte [AWAKE]
.wait:
  hlt
  jmp .wait
secondGDTR: dw gdtEnd - gdt - 1
  dd (SEG << 4) + gdt
secondEnd:

  align 4
gdt:
  dq 0
  dq 0x00CF93000000FFFF
gdtEnd:
gdtr: dw gdtEnd - gdt - 1
  dd (SEG << 4) + gdt
%include "end.inc"
