; Exceptions on the way to exceptions: for every kind of first exception and every way its delivery can fail, which exception is served, with
; which error code: the second, a page fault, or a double fault. Priorities among faults of one instruction. #NM and #MF: TS, EM, MP, NE.
; Expected: PASS.
; Follows: Intel SDM volume 3, table 6-5 (double faults), table 6-2 (priorities), 6.13 (EXT), 9.2 (CR0 and the x87); volume 1, 8.7.
%include "common.inc"
%include "pages.inc"

%define ABSENT 0x68
%define ABSENTCODE 0x70
%define TSSDF 0x78
%define LIMITED 0x80
%define FARCODE 0x208         ; a descriptor in a missing page

%define BENIGN 0
%define CONTRIBUTORY 1
%define PAGE 2

test:
  DESCRIPTOR ABSENT, BASE, 0xFFFF, 0x12, 4
  DESCRIPTOR ABSENTCODE, BASE, 0xFFFF, 0x1A, 4
  DESCRIPTOR LIMITED, BASE, 0xFF, 0x92, 4
  mov word [gdt + TSSDF], 0x67
  mov word [gdt + TSSDF + 2], tssDF
  mov dword [gdt + TSSDF + 4], 0x8900 | (BASE >> 16)
  mov dword [hook], note
  call enablePaging
  mov eax, cr3
  mov [tssDF + 0x1C], eax
  mov [tss + 0x1C], eax
  ; the GDT at the end of a page, the next one missing
  mov dword [es:TABLE1], PAGEA + 7
  mov esi, gdt
  mov edi, PAGEA + 0xE00
  mov ecx, GDT_SIZE / 4
  rep movsd
  mov word [farGDT], 0x3FF
  mov dword [farGDT + 2], TEST + 0xE00
  lgdt [farGDT]

  mov esi, firsts
.nextFirst:
  mov dword [second], 0
.nextSecond:
  mov [first], esi
  call buildIDT
  GATE idt, 0x41, CODE0, undefined, 0xEE, 0
  mov dword [idt + 8 * 8], TSSDF << 16
  mov dword [idt + 8 * 8 + 4], 0x8500
  mov dword [tssDF + 0x20], doubleFault
  mov dword [tssDF + 0x24], 0x3002
  mov dword [tssDF + 0x38], 0xC800
  mov dword [tssDF + 0x48], DATA0
  mov dword [tssDF + 0x4C], CODE0
  mov dword [tssDF + 0x50], DATA0
  mov dword [tssDF + 0x54], DATA0
  and byte [es:PAGEA + 0xE00 + TSSDF + 5], ~2
  ; what is wrong with the gate
  mov edi, [esi + 4]                  ; vector
  lea ebx, [idt + edi * 8]
  mov edx, [second]
  lea eax, [edi * 8 + 2]
  mov ecx, 11
  cmp edx, 0
  jne .not0
  mov byte [ebx + 5], 0x0E            ; absent
  jmp .expected
.not0:
  mov ecx, 13
  cmp edx, 1
  jne .not1
  mov byte [ebx + 5], 0x8C            ; no interrupt gate
  jmp .expected
.not1:
  cmp edx, 2
  jne .not2
  mov word [ebx + 2], 0               ; null
  xor eax, eax
  jmp .expected
.not2:
  cmp edx, 3
  jne .not3
  mov ecx, 11
  mov word [ebx + 2], ABSENTCODE
  mov eax, ABSENTCODE
  jmp .expected
.not3:
  cmp edx, 4
  jne .not4
  mov word [ebx + 2], DATA0
  mov eax, DATA0
  jmp .expected
.not4:
  mov word [ebx + 2], FARCODE
  mov ecx, 14
  xor eax, eax
  jmp .page
.expected:
  or eax, [esi + 12]                  ; EXT
  cmp byte [onQEMU], 0
  jne .noEXT
.page:
  mov [wantCode], eax
.noEXT:
  mov [wantVector], ecx
  ; contributory after contributory, anything after a page fault: a double fault
  cmp dword [esi + 8], BENIGN
  je .served
  cmp dword [esi + 8], PAGE
  je .double
  cmp ecx, 14
  je .served
.double:
  mov dword [wantVector], 8
  mov dword [wantCode], 0
.served:
  mov dword [vector], -1
  mov dword [resume], .after
  mov dword [afterDouble], .after
  mov [savedESP], esp
  call [esi]
.after:
  mov esp, [savedESP]
  mov dword [resume], 0
  clts
  pushfd
  and dword [esp], ~0x4000
  popfd
  mov eax, [wantVector]
  EQ [vector], eax
  cmp byte [onQEMU], 0
  jne .noCode
  mov eax, [wantCode]
  EQ [errorCode], eax
.noCode:
  cmp dword [wantVector], 14
  jne .notPage
  EQ dword [cr2Seen], TEST + 0xE00 + FARCODE
.notPage:
  mov esi, [first]
  inc dword [second]
  cmp dword [second], 6
  jne near .nextSecond
  add esi, 16
  cmp dword [esi], 0
  jne near .nextFirst
  call buildIDT
  lgdt [gdtr]
  mov dword [hook], 0
  call priorities
  call coprocessor
  mov esp, STACK0 - 4
  ret

; routine, vector, class, EXT
firsts:
  dd divide, 0, CONTRIBUTORY, 1
  dd int3Instruction, 3, BENIGN, 0
  dd overflow, 4, BENIGN, 0
  dd outOfBounds, 5, BENIGN, 1
  dd undefined, 6, BENIGN, 1
  dd noDevice, 7, BENIGN, 1
  dd invalidTSS, 10, CONTRIBUTORY, 1
  dd notPresent, 11, CONTRIBUTORY, 1
  dd stackFault, 12, CONTRIBUTORY, 1
  dd protection, 13, CONTRIBUTORY, 1
  dd pageFault, 14, PAGE, 1
  dd intInstruction, 0x41, BENIGN, 0
  dd 0

divide:
  xor ecx, ecx
  div ecx
  ret
int3Instruction:
  int3
  ret
overflow:
  mov eax, 0x7FFFFFFF
  inc eax
  into
  ret
outOfBounds:
  mov eax, 11
  bound eax, [bounds]
  ret
undefined:
  ud2
  ret
noDevice:
  mov eax, cr0
  or al, 8
  mov cr0, eax
  fnop
  ret
invalidTSS:
  mov word [tss], 0
  pushfd
  or dword [esp], 0x4000
  popfd
  iretd
notPresent:
  mov ax, ABSENT
  mov fs, ax
  ret
stackFault:
  mov ax, ABSENT
  mov ss, ax
  ret
protection:
  mov ax, DATA0
  lldt ax
  ret
pageFault:
  mov eax, [es:TEST + 0x5000]
  ret
intInstruction:
  int 0x41
  ret

note:
  mov eax, cr2
  mov [cr2Seen], eax
  ret

doubleFault:
  pop dword [errorCode]
  mov dword [vector], 8
  EQ word [tssDF], TSS
  mov eax, [afterDouble]
  mov [tss + 0x20], eax
  iretd
  WRONG

; ---- priorities
priorities:
  pop dword [savedESP]                ; the return
  mov ax, FLAT
  mov es, ax
  mov ax, LIMITED
  mov gs, ax
  ; the segment before the page; the page before the result
  cmp byte [onQEMU], 0
  jne .noLimits
  DESCRIPTOR LIMITED, TEST + 0x5000, 0xFF, 0x92, 4
  mov gs, ax
  FAULT 13, 0, mov eax, [gs:0x100]
  FAULT 13, 0, mov eax, [gs:0xFD]
  FAULT 14, 0, mov eax, [gs:0xFC]
.noLimits:
  xor ecx, ecx
  FAULT 14, 0, div dword [es:TEST + 0x5000]
  xor eax, eax
  FAULT 14, 0, bound eax, [es:TEST + 0x5000]
  ; undefined before everything
  SEGMENT_FAULT 6, 0, db 0xF0, 0x26, 0x8B, 0x05, 0x00, 0x50, 0x00, 0x40  ; LOCK MOV EAX, [ES:TEST + 5000h]
  ; TS: #NM before the operand is looked at
  mov eax, cr0
  or al, 8
  mov cr0, eax
  FAULT 7, 0, fld dword [es:TEST + 0x5000]
  FAULT 7, 0, fnstcw [es:TEST + 0x5000]
  clts
  FAULT 14, 0, fld dword [es:TEST + 0x5000]
  FAULT 14, 2, fnstcw [es:TEST + 0x5000]
  ; privilege before the operand
  TO_RING 3
  mov ax, FLAT3
  mov es, ax
  cmp byte [onQEMU], 0                ; reads the operand first
  jne .noOperands
  FAULT 13, 0, lgdt [es:TEST + 0x5000]
  FAULT 13, 0, lidt [es:TEST + 0x5000]
  FAULT 13, 0, lldt [es:TEST + 0x5000]
  FAULT 13, 0, ltr [es:TEST + 0x5000]
  FAULT 13, 0, lmsw [es:TEST + 0x5000]
.noOperands:
  SEGMENT_FAULT 6, 0, db 0xF0, 0xF4         ; LOCK HLT
  SEGMENT_FAULT 6, 0, db 0x0F, 0x22, 0xC8   ; MOV CR1, EAX
  FAULT 14, 6, sldt [es:TEST + 0x5000]
  TO_RING0
  mov ax, FLAT
  mov es, ax
  jmp [savedESP]

; ---- CR0 and the x87
; CR0_BITS: EM, TS, MP, NE from the argument
%macro CR0_BITS 1
  mov eax, cr0
  and al, ~0x2E
  or al, %1
  mov cr0, eax
%endmacro
%define MP 2
%define EM 4
%define TS 8
%define NE 0x20

coprocessor:
  CR0_BITS NE
  fninit
  WORKS fnop
  WORKS fwait
  CR0_BITS NE | MP
  WORKS fwait
  CR0_BITS NE | TS
  FAULT 7, 0, fnop
  WORKS fwait
  FAULT 7, 0, fnstsw ax
  FAULT 7, 0, fninit
  CR0_BITS NE | TS | MP
  FAULT 7, 0, fwait
  FAULT 7, 0, fld1
  CR0_BITS NE | EM
  FAULT 7, 0, fnop
  FAULT 7, 0, fninit
  WORKS fwait
  CR0_BITS NE | EM | MP
  WORKS fwait
  CR0_BITS NE | EM | TS | MP
  FAULT 7, 0, fwait
  ; MMX: EM is #UD, TS is #NM; EM first
  mov eax, 1
  pushfd
  pop ecx
  mov edx, ecx
  xor ecx, 1 << 21
  push ecx
  popfd
  pushfd
  pop ecx
  cmp ecx, edx
  je near .noMMX
  cpuid
  test edx, 1 << 23
  jz near .noMMX
  CR0_BITS NE | EM
  FAULT 6, 0, movd mm0, ecx
  SEGMENT_FAULT 6, 0, emms
  CR0_BITS NE | EM | TS
  SEGMENT_FAULT 6, 0, movd mm0, ecx
  CR0_BITS NE | TS
  FAULT 7, 0, movd mm0, ecx
  SEGMENT_FAULT 7, 0, emms
  CR0_BITS NE
  WORKS movd mm0, ecx
  WORKS emms
.noMMX:

  ; ---- #MF: at the next waiting instruction, whose operand is not looked at before
  CR0_BITS NE
  cmp byte [onQEMU], 0
  jne near .noCPUID
  mov eax, cr0
  test al, NE                         ; not on a 386
  jz near .noCPUID
  fninit
  mov word [control], 0x37B           ; divide by zero unmasked
  fldcw [control]
  fldz
  fld1
  WORKS fdivrp                        ; 0 into 1: pending; no fault yet
  ; non-waiting instructions pass
  WORKS fnstsw [status]
  mov ax, [status]
  and ax, 0x8084
  EQ ax, 0x8084
  WORKS fnstcw [control]
  FAULT 16, 0, fwait
  FAULT 16, 0, fld1
  FAULT 16, 0, fnop
  FAULT 16, 0, fld dword [es:TEST + 0x5000]
  FAULT 16, 0, fst dword [buffer]
  FAULT 16, 0, fldcw [control]
  ; TS before #MF
  CR0_BITS NE | TS | MP
  FAULT 7, 0, fwait
  CR0_BITS NE
  FAULT 16, 0, fwait
  ; FNCLEX ends it; the stack kept its operands
  WORKS fnclex
  WORKS fwait
  ; an exception that a changed mask makes pending
  fnstcw [control]
  or word [control], 0x3F
  fldcw [control]
  fninit
  fldz
  fld1
  fdivrp
  and word [control], ~4
  WORKS fldcw [control]
  FAULT 16, 0, fwait
  fnclex
  ; FNSTENV and FNSAVE do not wait; FNSAVE leaves nothing pending
  fninit
  fldcw [control]
  fldz
  fld1
  fdivrp
  WORKS fnstenv [buffer]
  mov ax, [buffer + 4]
  and ax, 0x8084
  EQ ax, 0x8084
  WORKS fwait                         ; FNSTENV masks everything
  fldcw [control]
  FAULT 16, 0, fwait
  WORKS fnsave [buffer]
  WORKS fwait
  ; a state loaded with an unmasked exception is pending
  mov word [buffer], 0x37B
  WORKS frstor [buffer]
  FAULT 16, 0, fld1
  fninit
  ; SSE instructions do not care, MMX ones do
  fldcw [control]
  fldz
  fld1
  fdivrp
  pushfd
  pop ecx
  mov eax, ecx
  xor ecx, 1 << 21
  push ecx
  popfd
  pushfd
  pop ecx
  cmp ecx, eax
  je .noCPUID
  mov eax, 1
  cpuid
  test edx, 1 << 23
  jz .noCPUID
  FAULT 16, 0, movd mm0, ecx
.noCPUID:
  fninit
  ret

  align 4
bounds: dd 0, 10
first: dd 0
second: dd 0
wantVector: dd 0
wantCode: dd 0
afterDouble: dd 0
savedESP: dd 0
cr2Seen: dd 0
control: dd 0
status: dd 0
farGDT: dd 0, 0
buffer: times 32 dd 0
  align 16
tssDF: times 0x68 db 0
%include "end.inc"
