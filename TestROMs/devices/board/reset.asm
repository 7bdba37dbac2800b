; Every way to reset a PC: the keyboard controller, port 92h, and shutdowns (triple faults) of every kind: in real mode, with a table too short, gates
; not present, a stack out of its limit, a task gate that leads nowhere, page tables that are empty. After each the processor is as after RESET#, memory
; and the clock's memory are as they were.
; Expected: PASS, with the reset of a shutdown (QEMU's default; apus: configuration.resetsOnTripleFault; Bochs: cpu: reset_on_triple_fault=1).
; Follows: Intel SDM volume 3, 9.1 (state after reset), 6.15 (#DF: shutdown); IBM AT Technical Reference (the 8042's output port, shutdown byte).

; What survives lies below 600h.
%define PHASE 0x500
%define MARK 0x504
%define KEPT 0x508
%define REGISTERS 0x510

; The first instructions after a reset: DS and SS are at 0.
%macro AT_RESET 0
  mov [REGISTERS], eax
  mov [REGISTERS + 4], edx
  mov [REGISTERS + 8], esp
  lahf
  mov [REGISTERS + 12], ah
  mov eax, cr0
  mov [REGISTERS + 16], eax
  mov eax, cr3
  mov [REGISTERS + 20], eax
  mov eax, dr7
  mov [REGISTERS + 24], eax
  sidt [REGISTERS + 32]
  sgdt [REGISTERS + 40]
  mov sp, REGISTERS + 64
  pushfd
%endmacro
%include "common.inc"

%macro REACHED 2+               ; value, text: the register saved at an offset
  mov eax, [es:REGISTERS + %1]
  mov ebx, %2
  cmp eax, ebx
%endmacro

%macro TO_PROTECTED_MODE 0
  lgdt [gdtr]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp 0x08:%%there
%%there:
  mov ax, 0x10
  mov ds, ax
  mov es, ax
  mov ss, ax
%endmacro

test:
  xor ax, ax
  mov es, ax
  cmp dword [es:MARK], 'KEEP'
  je .again
  mov dword [es:MARK], 'KEEP'
  mov byte [es:PHASE], 0
  mov word [es:KEPT], 0
.again:
  mov ax, [es:KEPT]
  add [failures], ax
  ; ---- the processor, each time
  REACHED 0, 0
  HOLDS e, "EAX: self test passed"
  UNLESS BOCHS                      ; gives another
  mov eax, 1
  cpuid
  cmp eax, [es:REGISTERS + 4]
  HOLDS e, "EDX: the processor's signature"
  ENDUNLESS
  REACHED 8, 0
  HOLDS e, "ESP"
  mov al, [es:REGISTERS + 12]
  IS 0x02, "FLAGS, the low byte"
  mov eax, [es:REGISTERS + 60]
  and eax, 0x003FFFFF               ; ID may be told only by being changed
  cmp eax, 2
  HOLDS e, "EFLAGS"
  REACHED 16, 0x60000010
  HOLDS e, "CR0"
  REACHED 20, 0
  HOLDS e, "CR3"
  REACHED 24, 0x400
  HOLDS e, "DR7"
  mov ax, [es:REGISTERS + 32]
  IS16 0xFFFF, "limit of the interrupt table"
  REACHED 34, 0
  HOLDS e, "base of the interrupt table"
  mov ax, [es:REGISTERS + 40]
  IS16 0xFFFF, "limit of the descriptor table"
  REACHED 42, 0
  HOLDS e, "base of the descriptor table"
  ; ---- what stays
  mov al, [es:PHASE]
  cmp al, 0
  je .next
  OUTB 0x70, 0x34
  in al, 0x71
  IS 0x5A, "the clock's memory stays"
  OUTB 0x70, 0x0F
  in al, 0x71
  IS 0x00, "the shutdown byte stays"
.next:
  OUTB 0x70, 0x34
  OUTB 0x71, 0x5A
  OUTB 0x70, 0x0F
  OUTB 0x71, 0x00
  movzx bx, byte [es:PHASE]
  inc byte [es:PHASE]
  mov ax, [failures]
  mov [es:KEPT], ax
  ; what a reset must take away
  mov eax, 0x12345000
  mov cr3, eax
  mov eax, 0x12345
  mov dr0, eax
  shl bx, 1
  jmp [phases + bx]

; What is reached although a reset was wanted.
notReset:
  mov al, 1
  IS 0, "no reset"
  ret

phases: dw controller, port92, shortTable, protectedShortTable, absentGates, badStack
  dw badTaskGate, noPages, inRing3, finished

controller:
  in al, 0x64
  test al, 2
  jnz controller
  OUTB 0x64, 0xFE
  DELAY 100000
  jmp notReset

port92:
  in al, 0x92
  and al, 0xFE
  out 0x92, al
  or al, 1
  out 0x92, al
  DELAY 100000
  jmp notReset

; Real mode: no vector is within the table's limit.
shortTable:
  lidt [nothing]
  int 3
  jmp notReset

protectedShortTable:
  lidt [nothing]
  TO_PROTECTED_MODE
  ud2
  hlt

; #UD, #NP in its delivery, #NP in that one: #DF, whose gate is not present either.
absentGates:
  o32 lidt [absentIDT]
  TO_PROTECTED_MODE
  ud2
  hlt

; The gates are good, as the first #UD shows; then nothing can be pushed.
badStack:
  test byte [platform], QEMU        ; does not check limits
  jnz shortTable
  o32 lidt [goodIDT]
  TO_PROTECTED_MODE
  mov word [continue], .ranOnce
  ud2
  hlt
.ranOnce:
  mov word [continue], .ranTwice
  mov ax, 0x18
  mov ss, ax
  mov sp, 0x8000
  ud2
.ranTwice:
  OUTB 0xE9, '!'
  hlt

; #DF by a task gate whose TSS is a data segment.
badTaskGate:
  o32 lidt [goodIDT]
  TO_PROTECTED_MODE
  mov dword [goodGates + 8 * 8], 0x00100000
  mov dword [goodGates + 8 * 8 + 4], 0x00008500
  mov word [continue], .ran
  mov byte [goodGates + 6 * 8 + 5], 0x06
  mov byte [goodGates + 11 * 8 + 5], 0x06
  ud2
.ran:
  OUTB 0xE9, '!'
  hlt

; Not even the next instruction is there, nor are the tables.
noPages:
  xor edi, edi
  mov ax, 0x7000
  mov es, ax
  mov cx, 0x400
  xor eax, eax
  rep stosd
  o32 lidt [goodIDT]
  TO_PROTECTED_MODE
  mov eax, 0x70000
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  OUTB 0xE9, '!'
  hlt

; From ring 3 the way in leads over a TSS without a stack.
inRing3:
  o32 lidt [goodIDT]
  TO_PROTECTED_MODE
  mov word [continue], .ran
  mov ax, 0x30
  ltr ax
  push word 0x2B
  push word 0x8000
  push word 0x23
  push word .there
  retf
.there:
  ud2
.ran:
  OUTB 0xE9, '!'
  hlt

finished:
  mov dword [es:MARK], 0
  ret

handler:
  jmp [cs:continue]

  align 8
continue: dw 0
nothing: dw 0, 0, 0
gdtr:
  dw 0x37
  dd SEG * 16 + gdt
absentIDT:
  dw 0x7FF
  dd SEG * 16 + absentGateTable
goodIDT:
  dw 32 * 8 - 1
  dd SEG * 16 + goodGates
  align 8
gdt:
  dq 0
  dw 0xFFFF, 0, 0x9A01, 0           ; 08: code
  dw 0xFFFF, 0, 0x9201, 0           ; 10: data
  dw 0x000F, 0, 0x9201, 0           ; 18: a stack of 16 bytes
  dw 0xFFFF, 0, 0xFA01, 0           ; 20: code of ring 3
  dw 0xFFFF, 0, 0xF201, 0           ; 28: data of ring 3
  dw 0x0067, noStacks, 0x8901, 0    ; 30: a TSS
noStacks: times 0x68 db 0
absentGateTable:
%rep 32
  dw handler, 0x08, 0x0600, 0
%endrep
goodGates:
%rep 32
  dw handler, 0x08, 0x8600, 0
%endrep
%include "end.inc"
