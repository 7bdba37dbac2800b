; Faults inside task switches: every check of the new task's LDT, CS, SS, data segments and EIP, with the switch made by JMP, CALL, IRET, INT n and
; an exception: vector, error code with EXT, busy bits, links, NT and the saved state of both tasks. TSSs in missing pages.
; Expected: PASS.
; Follows: Intel SDM volume 3, section 7.3 (table 7-1: the order and the exceptions of a task switch), 6.13 (EXT).
%include "common.inc"
%include "pages.inc"

%define NEW 0x68              ; the task that cannot start
%define HANDLER 0x70          ; the task of #TS, #NP, #SS, #GP
%define ABSENT 0x78           ; data, not present
%define ABSENTCODE 0x80
%define READONLY 0x88
%define EXECONLY 0x90
%define DATA1S 0x98           ; data, DPL 1
%define ABSENTLDT 0xA0
%define CONF3 0xA8            ; conforming code of DPL 3
%define SHORTCODE 0xB0        ; limit 0FFh
%define SHORT 0xB8            ; a TSS too short
%define ABSENTTSS 0xC0
%define BUSY 0xC8
%define FARTSS 0xD0           ; across a page boundary

%macro TSSDESC 4
  mov word [gdt + %1], %3
  mov word [gdt + %1 + 2], (%2) & 0xFFFF
  mov dword [gdt + %1 + 4], (%4 << 8) | (((%2) >> 16) & 0xFF) | ((%2) & 0xFF000000)
%endmacro
%macro TSSHERE 4
  mov word [gdt + %1], %3
  mov word [gdt + %1 + 2], %2
  mov dword [gdt + %1 + 4], (%4 << 8) | (BASE >> 16)
%endmacro

test:
  TSSHERE NEW, newTSS, 0x67, 0x89
  TSSHERE HANDLER, handlerTSS, 0x67, 0x89
  TSSHERE SHORT, newTSS, 0x66, 0x89
  TSSHERE ABSENTTSS, newTSS, 0x67, 0x09
  TSSHERE BUSY, newTSS, 0x67, 0x8B
  DESCRIPTOR ABSENT, BASE, 0xFFFF, 0x12, 4
  DESCRIPTOR ABSENTCODE, BASE, 0xFFFF, 0x1A, 4
  DESCRIPTOR READONLY, BASE, 0xFFFF, 0x90, 4
  DESCRIPTOR EXECONLY, BASE, 0xFFFF, 0x98, 4
  DESCRIPTOR DATA1S, BASE, 0xFFFF, 0xB2, 4
  DESCRIPTOR ABSENTLDT, BASE, 0xFF, 0x02, 0
  DESCRIPTOR CONF3, BASE, 0xFFFF, 0xFE, 4
  DESCRIPTOR SHORTCODE, BASE, 0xFF, 0x9A, 4
  GATE idt, 10, HANDLER, 0, 0x85, 0
  GATE idt, 11, HANDLER, 0, 0x85, 0
  GATE idt, 12, HANDLER, 0, 0x85, 0
  GATE idt, 13, HANDLER, 0, 0x85, 0
  mov dword [kind], 0
.nextKind:
  mov esi, cases
.nextCase:
  mov [case], esi
  cmp word [esi + 4], 12
  jne .run
  cmp byte [onQEMU], 0                ; #NP there
  jne near .checked
.run:
  mov dword [seenCode], -1
  mov dword [linkSeen], 0
  ; only the expected vector's gate leads to the task: any other would be unexpected
  mov ecx, 10
.gates:
  mov eax, ecx
  shl eax, 4
  add eax, stubs
  mov edi, ecx
  shl edi, 3
  mov [idt + edi], ax
  mov word [idt + edi + 2], CODE0
  mov dword [idt + edi + 4], 0x8E00
  inc ecx
  cmp ecx, 14
  jb .gates
  movzx edi, word [esi + 4]
  shl edi, 3
  mov word [idt + edi + 2], HANDLER
  mov dword [idt + edi + 4], 0x8500
  call fillNew
  mov esi, [case]
  movzx edi, word [esi]               ; the field, and its bad value
  movzx eax, word [esi + 2]
  mov [newTSS + edi], eax
  mov dword [handlerTSS + 0x20], handlerTask
  mov dword [handlerTSS + 0x24], 0x3002
  mov dword [handlerTSS + 0x38], 0xC800
  mov dword [handlerTSS + 0x4C], CODE0
  mov dword [handlerTSS + 0x50], DATA0
  mov dword [handlerTSS + 0x48], DATA0
  mov dword [handlerTSS + 0x54], DATA0
  mov byte [gdt + NEW + 5], 0x89
  mov byte [gdt + HANDLER + 5], 0x89
  mov ebx, 0xB0B0B0B0
  mov edi, [kind]
  call [kinds + edi * 4]
  EQ ebx, 0xB0B0B0B0
  ; the error code
  mov esi, [case]
  movzx eax, word [esi + 6]
  cmp dword [kind], 4                 ; an exception: EXT
  jne .noEXT
  or eax, 1
  cmp byte [onQEMU], 0                ; does not set it
  je .noEXT
  mov eax, [seenCode]
.noEXT:
  EQ [seenCode], eax
  ; delivered in the new task's context
  EQ word [linkSeen], NEW
  EQ byte [newBusy], 0x8B
  ; the old task's busy bit
  mov edi, [kind]
  mov al, [oldBusyWanted + edi]
  EQ [oldBusy], al
  ; its saved EIP
  mov eax, [savedWanted]
  EQ [savedEIP], eax
  ; NT is stored clear by IRET, the link is there for CALL and INT
  cmp dword [kind], 0
  je .noLink
  cmp dword [kind], 2
  je .noLink
  EQ word [newTSS], TSS
.noLink:
  mov eax, [tss + 0x24]
  and eax, 0x4000
  EQ eax, 0
  ; the new task's saved flags: NT where it was nested
  mov eax, [newTSS + 0x24]
  and eax, 0x4000
  mov edi, [kind]
  EQ eax, [ntWanted + edi * 4]
  EQ dword [newTSS + 0x28], 0xA0A0A0A0
  cmp byte [onQEMU], 0                ; loads EIP last
  jne .noEIP
  EQ dword [newTSS + 0x20], newTask
  jmp .checked
.noEIP:
.checked:
  mov esi, [case]
  add esi, 8
  cmp word [esi], 0
  jne near .nextCase
  inc dword [kind]
  cmp dword [kind], 5
  jne near .nextKind

  ; ---- refused in the old task: INT n and an exception through a task gate
  mov ecx, 10
.restore:
  mov eax, ecx
  shl eax, 4
  add eax, stubs
  mov edi, ecx
  shl edi, 3
  mov [idt + edi], ax
  mov word [idt + edi + 2], CODE0
  mov dword [idt + edi + 4], 0x8E00
  inc ecx
  cmp ecx, 14
  jb .restore
  mov byte [gdt + NEW + 5], 0x89
%macro REFUSED 3              ; selector, vector, error code; no EXT on QEMU
  GATE idt, 0x41, %1, 0, 0x85, 0
  FAULT %2, %3, int 0x41
  GATE idt, 6, %1, 0, 0x85, 0
  SEGMENT_FAULT %2, %3 | 1, ud2
  mov al, [gdt + TSS + 5]
  EQ al, 0x8B
%endmacro
  REFUSED SHORT, 10, SHORT
  REFUSED ABSENTTSS, 11, ABSENTTSS
  REFUSED BUSY, 13, BUSY
  REFUSED DATA0, 13, DATA0
  REFUSED 0x7F8, 13, 0x7F8
  cmp byte [onQEMU], 0                ; takes it for null
  jne .noTI
  REFUSED 4, 13, 4
.noTI:
  GATE idt, 6, CODE0, stubs + 6 * 16, 0x8E, 0
  ; JMP, CALL and IRET
  FAULT 10, SHORT, call SHORT:0
  FAULT 11, ABSENTTSS, call ABSENTTSS:0
  FAULT 13, BUSY, jmp BUSY:0
%macro RETURN_REFUSED 3       ; link, vector, error code
  mov word [tss], %1
  pushfd
  or dword [esp], 0x4000
  popfd
  FAULT %2, %3, iretd
  pushfd
  and dword [esp], ~0x4000
  popfd
%endmacro
  RETURN_REFUSED 0, 10, 0
  RETURN_REFUSED NEW, 10, NEW         ; not busy
  RETURN_REFUSED DATA0, 10, DATA0
  RETURN_REFUSED 0x7F8, 10, 0x7F8
  RETURN_REFUSED 0xC, 10, 0xC
  mov byte [gdt + ABSENTTSS + 5], 0x0B
  RETURN_REFUSED ABSENTTSS, 11, ABSENTTSS
  mov byte [gdt + SHORT + 5], 0x8B
  RETURN_REFUSED SHORT, 10, SHORT

  cmp byte [onQEMU], 0                ; what follows is not restartable there
  jne near .done
  ; ---- an interrupt gate in the new task: a bad DS leaves CS and SS good, so #TS is served on its stack
  call fillNew
  mov dword [newTSS + 0x54], ABSENT
  mov dword [hook], noteTask
  mov dword [resume], newTask
  mov dword [seenCode], -1
  mov byte [gdt + NEW + 5], 0x89
  call NEW:0
  mov dword [hook], 0
  mov dword [resume], 0
  EQ dword [vector], 11
  EQ dword [errorCode], ABSENT
  EQ dword [faultEIP], newTask
  EQ word [taskSeen], NEW
  EQ dword [espSeen], 0xC400 - 20
  EQ dword [seenCode], 0x600D         ; it went on there

  ; ---- paging: TSSs in missing pages; #PF in the old task, the instruction starts again
  call enablePaging
  mov eax, cr3
  mov [newTSS + 0x1C], eax
  mov [tss + 0x1C], eax
  mov [handlerTSS + 0x1C], eax
  ; a copy of the new task across TEST + 1000h
  mov dword [hook], mapMissing
  mov dword [newTSS + 0x54], DATA0
  mov dword [newTSS + 0x20], newTask
  mov dword [newTSS + 0x24], 0x3002
  mov dword [newTSS + 0x38], 0xC400
  mov dword [missing], 0
.nextMissing:
  mov esi, newTSS
  mov edi, PAGEA + 0x1000 - 0x30
  mov ecx, 0x68 / 4
  rep movsd
  mov eax, PAGEA + 6
  mov ecx, PAGEB + 6
  test byte [missing], 1
  jnz .noA
  or eax, 1
.noA:
  test byte [missing], 2
  jnz .noB
  or ecx, 1
.noB:
  mov [es:TABLE1], eax
  mov [es:TABLE1 + 4], ecx
  mov eax, cr3
  mov cr3, eax
  TSSDESC FARTSS, TEST + 0x1000 - 0x30, 0x67, 0x89
  mov dword [seenCode], 0
  mov dword [faults], 0
  mov ebx, 0x12345678
  call FARTSS:0
  EQ ebx, 0x12345678
  EQ dword [seenCode], 0x600D
  mov eax, [missing]
  mov ecx, eax
  shr ecx, 1
  and eax, 1
  add eax, ecx
  EQ [faults], eax
  mov al, [gdt + FARTSS + 5]
  EQ al, 0x89
  ; by INT
  TSSDESC FARTSS, TEST + 0x1000 - 0x30, 0x67, 0x89
  inc dword [missing]
  cmp dword [missing], 4
  jne near .nextMissing
  ; the old task's TSS in a missing page
  TSSDESC FARTSS, TEST + 0x1000 - 0x30, 0x67, 0x89
  mov esi, tss
  mov edi, PAGEA + 0x1000 - 0x30
  mov ecx, 0x68 / 4
  rep movsd
  mov ax, FARTSS
  ltr ax
  mov dword [newTSS + 0x20], newTask
  mov byte [gdt + NEW + 5], 0x89
  and dword [es:TABLE1 + 4], ~1
  mov eax, cr3
  mov cr3, eax
  mov dword [faults], 0
  mov dword [seenCode], 0
  call NEW:0
  EQ dword [seenCode], 0x600D
  EQ dword [faults], 1
  EQ word [newTSS], FARTSS
  and byte [gdt + TSS + 5], ~2
  mov ax, TSS
  ltr ax
.done:
  mov esp, STACK0 - 4
  ret

fillNew:
  mov edi, newTSS + 4
  mov ecx, 25
  xor eax, eax
  rep stosd
  mov dword [newTSS + 0x20], newTask
  mov dword [newTSS + 0x24], 0x3002
  mov dword [newTSS + 0x28], 0xA0A0A0A0
  mov dword [newTSS + 0x38], 0xC400
  mov dword [newTSS + 0x48], DATA0
  mov dword [newTSS + 0x4C], CODE0
  mov dword [newTSS + 0x50], DATA0
  mov dword [newTSS + 0x54], DATA0
  mov dword [newTSS + 0x58], DATA0
  mov dword [newTSS + 0x5C], 0
  mov word [newTSS], 0x5A5A
  ret

; ---- the kinds of switch; the handler task comes back to the saved EIP
byJump:
  mov dword [savedWanted], .back
  jmp NEW:0
.back:
  ret
byCall:
  mov dword [savedWanted], .back
  call NEW:0
.back:
  ret
byReturn:
  mov dword [savedWanted], .back
  mov byte [gdt + NEW + 5], 0x8B
  mov word [tss], NEW
  pushfd
  or dword [esp], 0x4000
  popfd
  iretd
.back:
  ret
byInterrupt:
  GATE idt, 0x41, NEW, 0, 0x85, 0
  mov dword [savedWanted], .back
  int 0x41
.back:
  ret
byException:
  GATE idt, 6, NEW, 0, 0x85, 0
  mov dword [savedWanted], .at
.at:
  ud2
  ret

newTask:
  mov dword [seenCode], 0x600D
  iretd
  WRONG

handlerTask:
  pop dword [seenCode]
  mov ax, [handlerTSS]
  mov [linkSeen], ax
  mov al, [gdt + NEW + 5]
  mov [newBusy], al
  mov al, [gdt + TSS + 5]
  mov [oldBusy], al
  mov eax, [tss + 0x20]
  mov [savedEIP], eax
  cmp dword [kind], 4
  jne .notException
  add dword [tss + 0x20], 2
.notException:
  mov byte [gdt + TSS + 5], 0x8B
  mov word [handlerTSS], TSS
  iretd
  jmp handlerTask

noteTask:
  str ax
  mov [taskSeen], ax
  lea eax, [esp + 12]
  mov [espSeen], eax
  mov dword [esp + 4], DATA0          ; for the handler's POP DS
  ret

mapMissing:
  cmp dword [vector], 14
  jne .bad
  inc dword [faults]
  push es
  mov ax, FLAT
  mov es, ax
  mov eax, cr2
  shr eax, 10
  and eax, 0xFFC
  or byte [es:TABLE1 + eax], 1
  mov eax, cr3
  mov cr3, eax
  pop es
  mov eax, [faultEIP]
  mov [resume], eax
  str ax
  cmp ax, NEW
  je .bad
  ret
.bad:
  mov dword [resume], 0
  ret

  align 4
; field, value, vector, error code
cases:
  dw 0x60, 0x0C, 10, 0x0C             ; LDT in the LDT
  dw 0x60, 0x7F8, 10, 0x7F8
  dw 0x60, DATA0, 10, DATA0
  dw 0x60, ABSENTLDT, 10, ABSENTLDT
  dw 0x4C, 0, 10, 0                   ; CS
  dw 0x4C, DATA0, 10, DATA0
  dw 0x4C, TSS, 10, TSS
  dw 0x4C, 0x7F8, 10, 0x7F8
  dw 0x4C, 0x0C, 10, 0x0C
  dw 0x4C, CODE1 & ~3, 10, CODE1 & ~3
  dw 0x4C, CONF3, 10, CONF3
  dw 0x4C, ABSENTCODE, 11, ABSENTCODE
  dw 0x50, 0, 10, 0                   ; SS
  dw 0x50, READONLY, 10, READONLY
  dw 0x50, CODE0, 10, CODE0
  dw 0x50, DATA0 | 1, 10, DATA0
  dw 0x50, DATA1S, 10, DATA1S
  dw 0x50, 0x7F8, 10, 0x7F8
  dw 0x50, ABSENT, 12, ABSENT
  dw 0x48, EXECONLY, 10, EXECONLY     ; ES
  dw 0x48, ABSENT, 11, ABSENT
  dw 0x54, TSS, 10, TSS               ; DS
  dw 0x54, DATA0 | 1, 10, DATA0
  dw 0x54, 0x0C, 10, 0x0C
  dw 0x58, 0x7F8, 10, 0x7F8           ; FS
  dw 0x58, ABSENT, 11, ABSENT
  dw 0x5C, EXECONLY, 10, EXECONLY     ; GS
  dw 0x5C, ABSENTCODE, 11, ABSENTCODE
  dw 0
  align 4
kinds: dd byJump, byCall, byReturn, byInterrupt, byException
ntWanted: dd 0, 0x4000, 0, 0x4000, 0x4000
oldBusyWanted: db 0x89, 0x8B, 0x89, 0x8B, 0x8B
newBusy: db 0
oldBusy: db 0
  align 4
kind: dd 0
case: dd 0
seenCode: dd 0
linkSeen: dd 0
savedWanted: dd 0
savedEIP: dd 0
espSeen: dd 0
taskSeen: dd 0
missing: dd 0
faults: dd 0
  align 16
newTSS: times 0x68 db 0
handlerTSS: times 0x68 db 0
%include "end.inc"
