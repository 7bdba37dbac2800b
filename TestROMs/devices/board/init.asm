; What INIT leaves as it was, and RESET does not: the keyboard controller, port 92h and a soft reset by port CF9h give the processor INIT, a hard
; one by port CF9h resets the machine. INIT keeps x87, model-specific registers with the time-stamp counter, and how the caches are switched.
; Expected: PASS. QEMU resets the whole machine each time.
; Follows: Intel SDM volume 3, 9.1 (INIT), table 9-1; 82371SB (PIIX3) data sheet, RC register.

%define PHASE 0x500
%define MARK 0x504
%define KEPT 0x508
%define CONTROL 0x50C
%define SYSENTER 0x510
%define RANGE 0x514
%define STAMPS 0x518
%define BEFORE 0x520
%define COPROCESSOR 0x560

%macro AT_RESET 0
  mov eax, cr0
  mov [CONTROL], eax
  fnsave [COPROCESSOR]
  rdtsc
  mov [STAMPS], eax
  mov [STAMPS + 4], edx
  mov ecx, 0x174
  rdmsr
  mov [SYSENTER], eax
  mov ecx, 0x200
  rdmsr
  mov [RANGE], eax
%endmacro
%include "common.inc"

test:
  test byte [platform], QEMU
  jnz .none
  xor ax, ax
  mov es, ax
  cmp dword [es:MARK], 'INIT'
  je .again
  mov dword [es:MARK], 'INIT'
  mov byte [es:PHASE], 0
  mov word [es:KEPT], 0
  jmp .next
.none:
  ret
.again:
  mov ax, [es:KEPT]
  add [failures], ax
  cmp byte [es:PHASE], 4
  je .hard
  mov ax, [es:COPROCESSOR]
  IS16 0x0A7F, "INIT: the x87 control word stays"
  mov ax, [es:COPROCESSOR + 14 + 8]
  IS16 0x4000, "INIT: and ST0"
  mov ax, [es:CONTROL + 2]
  IS16 0, "INIT: CD and NW of CR0 stay"
  mov ax, [es:CONTROL]
  IS16 0x0010, "INIT: the rest of CR0 does not"
  mov ax, [es:SYSENTER]
  IS16 0x1238, "INIT: SYSENTER_CS stays"
  mov ax, [es:RANGE]
  IS16 0x1006, "INIT: memory type ranges stay"
  mov eax, [es:STAMPS]
  mov edx, [es:STAMPS + 4]
  sub eax, [es:BEFORE]
  sbb edx, [es:BEFORE + 4]
  HOLDS nc, "INIT: the time-stamp counter goes on"
  jmp .next
.hard:
  mov ax, [es:COPROCESSOR]
  IS16 0x0040, "RESET: the x87 control word"
  mov ax, [es:COPROCESSOR + 4]
  IS16 0x5555, "RESET: the x87 registers are zeros"
  mov ax, [es:CONTROL + 2]
  IS16 0x6000, "RESET: CD and NW of CR0"
  mov eax, [es:STAMPS]
  mov edx, [es:STAMPS + 4]
  sub eax, [es:BEFORE]
  sbb edx, [es:BEFORE + 4]
  HOLDS c, "RESET: the time-stamp counter begins anew"
  mov dword [es:MARK], 0
  ret
.next:
  movzx bx, byte [es:PHASE]
  inc byte [es:PHASE]
  mov ax, [failures]
  mov [es:KEPT], ax
  ; what is to stay, and what is not
  mov eax, cr0
  and eax, 0x9FFFFFFF
  mov cr0, eax
  fninit
  fldcw [word_]
  fldpi
  mov ecx, 0x174
  mov eax, 0x1238
  xor edx, edx
  wrmsr
  mov ecx, 0x200
  mov eax, 0x1006
  wrmsr
  mov eax, 0x12345000
  mov cr3, eax
  ; long enough to be told from what happens until the counter is read
  DELAY 1000
  rdtsc
  mov [es:BEFORE], eax
  mov [es:BEFORE + 4], edx
  shl bx, 1
  jmp [phases + bx]

phases: dw controller, port92, soft, hard
word_: dw 0x0A7F

notReset:
  mov al, 1
  IS 0, "no reset"
  mov dword [es:MARK], 0
  ret

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

soft:
  OUTB 0xCF9, 0
  OUTB 0xCF9, 4
  DELAY 100000
  jmp notReset

hard:
  OUTB 0xCF9, 2
  OUTB 0xCF9, 6
  DELAY 100000
  jmp notReset
%include "end.inc"
