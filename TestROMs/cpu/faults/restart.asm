; Every class of instruction with its operand or its own bytes across a page boundary, either page missing: when the page fault comes no
; register, flag or byte of memory has changed (repetitions stop between two elements), and after the page is there the instruction ends as if nothing had been.
; Each case runs at ring 3, first with all pages present; that result is the expectation for the other runs.
; Expected: PASS. A difference is told as case (address of the instruction), missing pages, what.
; Follows: Intel SDM volume 3, sections 6.6 (restart), 6.15 (#PF), 4.7 (error codes); volume 2, REP (flags of a faulting REPE CMPS).
%include "common.inc"
%include "pages.inc"

%define INITIAL_FLAGS 0x3893        ; OF SF AF CF and bit 1, IOPL 3
%define FLAGS 0x8D5
%define WINDOW 0xE00         ; what is looked at: the last 200h bytes of a page and the first of the next
%define SIZE 0x400

; what to leave out
%define STRING 1                    ; registers move on before the fault
%define DIRTY 2                     ; memory below or after may have been written
%define WRITES_AB 4                 ; pages A and B are written: error code 6
%define WRITES_CD 8
%define NO_FLAGS 16                 ; undefined flags afterwards
%define PARTS 32                    ; operands of several parts: the address may be any part's
%define ANY_CODE 64                 ; read first or written at once

; CASE pages touched (bit 0: A ... bit 3: D), properties, instruction
%macro CASE 3+
  mov dword [caseAt], %%at
  mov dword [touched], %1
  mov dword [properties], %2
  call runCase
  jmp near %%next
%%at:
  %3
  jmp near done
%%next:
%endmacro
%macro WITH_ESP 1
  mov dword [initial + 16], TEST + %1
%endmacro
%macro WITH_DATA 1
  mov dword [firstDword], %1
%endmacro
%macro PLAIN 0
  WITH_ESP 0x1002
  WITH_DATA done
  mov dword [initial], 0x1234ABCD
  mov dword [initial + 4], 3
%endmacro

test:
  call enablePaging
  GATE idt, 14, CODE0, pageFault, 0x8E, 0
  GATE idt, 0x42, CODE0, setPages, 0xEE, 0
  GATE idt, 0x43, CODE3, doneByInterrupt, 0xEE, 0
  mov eax, 1
  mov [features], dword 0
  pushfd
  pop ecx
  mov ebx, ecx
  xor ecx, 1 << 21
  push ecx
  popfd
  pushfd
  pop ecx
  cmp ecx, ebx
  je .noCPUID
  cpuid
  mov [features], edx
  mov byte [is486], 1
  test edx, 1 << 24
  jz .noCPUID
  mov eax, cr4
  or eax, 0x200                       ; OSFXSR
  mov cr4, eax
.noCPUID:
  fninit
  TO_RING 3
  mov ax, DATA3
  mov fs, ax
  PLAIN

  ; ---- moves and arithmetic
  CASE 3, 0, mov eax, [ebx]
  CASE 3, WRITES_AB, mov [ebx], eax
  CASE 3, WRITES_AB, mov dword [ebx], 0x12345678
  CASE 3, WRITES_AB, mov [ebx + 1], ax
  CASE 3, 0, mov cx, [ebx + 1]
  CASE 3, 0, movzx ecx, word [ebx + 1]
  CASE 3, 0, movsx ecx, word [ebx + 1]
  CASE 3, WRITES_AB, add [ebx], eax
  CASE 3, WRITES_AB, or [ebx], eax
  CASE 3, WRITES_AB, adc [ebx], eax
  CASE 3, WRITES_AB, sbb [ebx], eax
  CASE 3, WRITES_AB, and dword [ebx], 0x5555AAAA
  CASE 3, WRITES_AB, sub [ebx], eax
  CASE 3, WRITES_AB, xor [ebx + 1], ax
  CASE 3, WRITES_AB, lock add dword [ebx], byte -1
  CASE 3, 0, cmp [ebx], eax
  CASE 3, 0, cmp eax, [ebx]
  CASE 3, 0, add eax, [ebx]
  CASE 3, 0, sbb eax, [ebx]
  CASE 3, 0, test [ebx], eax
  CASE 3, WRITES_AB, inc dword [ebx]
  CASE 3, WRITES_AB, dec word [ebx + 1]
  CASE 3, WRITES_AB, neg dword [ebx]
  CASE 3, WRITES_AB, not dword [ebx]
  CASE 3, WRITES_AB | NO_FLAGS, shl dword [ebx], cl
  CASE 3, WRITES_AB | NO_FLAGS, sar dword [ebx], 5
  CASE 3, WRITES_AB | NO_FLAGS, rol word [ebx + 1], 1
  CASE 3, WRITES_AB | NO_FLAGS, rcr dword [ebx], cl
  CASE 3, WRITES_AB | NO_FLAGS, shld [ebx], eax, 7
  CASE 3, WRITES_AB | NO_FLAGS, shrd [ebx], eax, cl
  CASE 3, NO_FLAGS, imul eax, [ebx]
  CASE 3, NO_FLAGS, imul eax, [ebx], 1000
  CASE 3, NO_FLAGS, mul dword [ebx]
  CASE 3, NO_FLAGS, imul word [ebx + 1]
  CASE 3, NO_FLAGS, div dword [ebx]
  CASE 3, NO_FLAGS, idiv dword [ebx]
  CASE 3, NO_FLAGS, bt [ebx], ecx
  CASE 3, NO_FLAGS, bt dword [ebx], 30
  CASE 3, WRITES_AB | NO_FLAGS, bts dword [ebx], 31
  CASE 3, WRITES_AB | NO_FLAGS, btr [ebx], ecx
  CASE 3, WRITES_AB | NO_FLAGS, btc word [ebx + 1], 9
  CASE 3, NO_FLAGS, bsf eax, [ebx]
  CASE 3, NO_FLAGS, bsr eax, [ebx]
  CASE 3, WRITES_AB, xchg [ebx], eax
  CASE 3, WRITES_AB, xchg [ebx + 1], dx
  cmp byte [is486], 0
  je near .no486
  CASE 3, WRITES_AB, xadd [ebx], eax
  CASE 3, WRITES_AB, cmpxchg [ebx], ecx
  mov dword [initial], done
  CASE 3, WRITES_AB, cmpxchg [ebx], ecx
  PLAIN
.no486:
  test dword [features], 1 << 8
  jz near .noCX8
  CASE 3, WRITES_AB | PARTS, cmpxchg8b [ebx]
.noCX8:
  test dword [features], 1 << 15
  jz near .noCMOV
  CASE 3, 0, cmovc eax, [ebx]
  CASE 3, 0, cmovnc eax, [ebx]        ; reads also when it does not move
.noCMOV:
  WITH_DATA 0
  mov dword [initial], 5
  CASE 3, PARTS, bound eax, [ebx]
  PLAIN
  CASE 3, PARTS, les eax, [ebx]
  CASE 3, PARTS, lgs ecx, [ebx]
  CASE 3, PARTS, lds edx, [ebx]
  WITH_DATA CODE3 << 8
  CASE 3, 0, mov es, [ebx + 1]
  CASE 3, 0, verr [ebx + 1]
  CASE 3, 0, lar eax, [ebx + 1]
  CASE 3, 0, lsl eax, [ebx + 1]
  WITH_DATA 0
  CASE 3, WRITES_AB | ANY_CODE, arpl [ebx + 1], ax
  PLAIN
  CASE 3, WRITES_AB, mov [ebx + 1], cs
  CASE 3, WRITES_AB, smsw [ebx + 1]
  CASE 3, WRITES_AB, sldt [ebx + 1]
  CASE 3, WRITES_AB, str [ebx + 1]
  CASE 3, WRITES_AB | DIRTY, sgdt [ebx]
  CASE 3, WRITES_AB | DIRTY, sidt [ebx - 3]

  ; ---- the stack
  CASE 3, WRITES_AB, push eax
  CASE 3, WRITES_AB, push dword 0x11223344
  CASE 3, WRITES_AB, push esp
  CASE 3, WRITES_AB, pushfd
  CASE 3, WRITES_AB | DIRTY, pushad
  CASE 3, WRITES_AB | DIRTY, enter 8, 0
  CASE 3, WRITES_AB | DIRTY, enter 16, 1
  CASE 15, WRITES_AB | DIRTY, push dword [esi]
  CASE 3, WRITES_AB | DIRTY, call near done
  mov dword [pointer], done
  CASE 3, WRITES_AB | DIRTY, call [fs:pointer]
  CASE 15, WRITES_AB | DIRTY, call [esi]
  CASE 3, WRITES_AB | DIRTY, call CODE3:done
  CASE 3, WRITES_AB | DIRTY, int 0x43
  WITH_ESP 0x1001
  CASE 3, WRITES_AB, push ax
  CASE 3, WRITES_AB, pushfw
  CASE 3, WRITES_AB | DIRTY, pushaw
  WITH_ESP 0xFFE
  CASE 3, 0, pop eax
  CASE 3, 0, pop esp
  CASE 15, WRITES_CD, pop dword [esi]
  CASE 3, PARTS, popad
  CASE 3, 0, ret
  CASE 3, 0, ret 8
  CASE 3, PARTS, retf
  CASE 3, PARTS, retf 4
  CASE 3, PARTS, iretd
  WITH_DATA 0x3093
  CASE 3, 0, popfd
  WITH_ESP 0xFFF
  WITH_DATA CODE3 << 8
  CASE 3, 0, o16 pop es
  CASE 3, 0, o16 pop gs
  CASE 3, 0, pop cx
  PLAIN
  mov dword [initial + 20], TEST + 0xFFE
  CASE 3, 0, leave
  mov dword [initial + 20], TEST + 0x2FF0
  CASE 3, PARTS, jmp far [ebx]
  WITH_ESP 0x802
  CASE 3, DIRTY, call far [ebx]
  CASE 3, 0, jmp [ebx]
  PLAIN

  ; ---- strings: a few elements, the boundary in the second
  mov dword [initial + 24], TEST + 0x2FFA
  mov dword [initial + 28], TEST + 0xFFA
  mov dword [initial + 4], 5
  CASE 15, STRING | WRITES_AB, rep movsd
  CASE 15, STRING | WRITES_AB, rep movsw
  CASE 15, STRING | WRITES_AB, a32 rep movsd
  CASE 3, STRING | WRITES_AB, rep stosd
  CASE 12, STRING, rep lodsd
  CASE 3, STRING, repne scasd
  mov dword [initial + 28], TEST + 0x2FFA
  CASE 12, STRING, repe cmpsd
  mov dword [initial + 24], TEST + 0x2FFE
  mov dword [initial + 28], TEST + 0xFFE
  CASE 15, WRITES_AB | NO_FLAGS, movsd
  CASE 3, WRITES_AB, stosd
  CASE 12, 0, lodsd
  CASE 3, 0, scasd
  CASE 15, 0, cmpsd
  mov dword [initial + 8], 0x80       ; a port without effect
  CASE 12, STRING, rep outsd
  mov dword [initial + 8], 0xE9
  CASE 1, WRITES_AB, insw
  mov dword [initial + 28], TEST + 0xFFF
  CASE 3, WRITES_AB, insw
  mov dword [initial + 28], TEST + 0xFFA
  CASE 3, STRING | WRITES_AB, rep insw
  mov dword [initial + 8], 0x22
  mov dword [initial + 4], 1000
  mov dword [initial + 24], TEST + 0x2E03
  mov dword [initial + 28], TEST + 0xE01
  CASE 15, STRING | WRITES_AB, rep movsb
  mov dword [initial + 28], TEST + 0xE01
  CASE 3, STRING | WRITES_AB, rep stosb
  ; downwards
  mov dword [direction], 0x400
  mov dword [initial + 24], TEST + 0x3100
  mov dword [initial + 28], TEST + 0x1102
  mov dword [initial + 4], 150
  CASE 15, STRING | WRITES_AB, rep movsd
  mov dword [initial + 28], TEST + 0x1103
  CASE 3, STRING | WRITES_AB, rep stosw
  mov dword [direction], 0
  mov dword [initial + 24], TEST + 0x2FFE
  mov dword [initial + 28], TEST + 0xFFE
  PLAIN
  mov dword [initial + 12], TEST + 0xFFE - 0xCD
  CASE 1, 0, xlatb
  mov dword [initial + 12], TEST + 0xFFE

  ; ---- x87 (FNINIT before each run)
  CASE 3, 0, fld dword [ebx]
  CASE 3, 0, fld qword [ebx]
  CASE 3, 0, fld tword [ebx]
  CASE 3, WRITES_AB, fst dword [ebx]
  CASE 3, WRITES_AB, fstp qword [ebx]
  CASE 3, WRITES_AB | DIRTY, fstp tword [ebx]
  CASE 3, 0, fild dword [ebx]
  CASE 3, 0, fild qword [ebx]
  CASE 3, WRITES_AB, fistp dword [ebx]
  CASE 3, WRITES_AB, fistp word [ebx + 1]
  CASE 3, WRITES_AB | DIRTY, fbstp [ebx]
  CASE 3, 0, fadd qword [ebx]
  CASE 3, 0, fcom dword [ebx]
  CASE 3, WRITES_AB, fnstcw [ebx + 1]
  CASE 3, WRITES_AB, fnstsw [ebx + 1]
  CASE 3, WRITES_AB | DIRTY, fnstenv [ebx - 8]
  CASE 3, WRITES_AB | DIRTY, fnsave [ebx - 50]
  CASE 3, PARTS, frstor [ebx - 50]

  ; ---- MMX, SSE
  test dword [features], 1 << 23
  jz near .noMMX
  CASE 3, 0, movq mm0, [ebx]
  CASE 3, WRITES_AB, movq [ebx], mm1
  CASE 3, 0, paddd mm1, [ebx]
  CASE 3, WRITES_AB, movd [ebx], mm1
.noMMX:
  test dword [features], 1 << 24
  jz near .noFXSR
  CASE 3, WRITES_AB | DIRTY, fxsave [ebx - 0xFE]
.noFXSR:
  test dword [features], 1 << 25
  jz near .noSSE
  CASE 3, 0, movups xmm0, [ebx]
  CASE 3, WRITES_AB | DIRTY, movups [ebx], xmm1
  CASE 3, WRITES_AB, movlps [ebx], xmm1
  CASE 3, 0, movss xmm1, [ebx]
  CASE 3, NO_FLAGS, comiss xmm1, [ebx]
  CASE 3, WRITES_AB, stmxcsr [ebx]
.noSSE:

  ; ---- code across the boundary: instructions of all lengths
%assign n 0
%rep 9
%assign m n + 1
  mov esi, code%+n
  mov ecx, code%+m - code%+n
  call runCode
%assign n n + 1
%endrep
  TO_RING0
  cmp dword [differences], 0
  je .good
  WRONG
.good:
  mov esp, STACK0 - 4
  ret

; Instructions for the code test; each ends with a jump back through FS.
%macro CODE 1+
code%+n:
  %1
%assign n n + 1
%endmacro
%assign n 0
  CODE mov eax, 0x12345678
  CODE add dword [fs:scratch], 0x01020304
  CODE lea eax, [ebx + ecx * 4 + 0x12345678]
  CODE push byte 5
  CODE imul ax, [fs:ebx + scratch - TEST - 0xFFE], 0x1234
  CODE movzx edx, byte [fs:scratch + 2]
  CODE call dword CODEFLAT3:TEST + 0x1040
  CODE cmpxchg [fs:scratch], ecx
  CODE db 0x26, 0x3E, 0x64, 0xC7, 0x05
  dd scratch, 0x55667788
code9:

; ---- one case, all sets of missing pages
runCase:
  pop dword [returnTo]
  mov dword [missing], 0
.next:
  ; only pages that the instruction touches
  mov eax, [touched]
  not eax
  test [missing], eax
  jnz near .skip
  call prepare
  int 0x42
  mov eax, [missing]
  mov dword [faults], 0
  mov dword [wantFaults], 0
  mov ecx, 4
.count:
  shr eax, 1
  adc dword [wantFaults], 0
  loop .count
  jmp loadAndRun
.done:
  cmp dword [missing], 0
  jne .compare
  ; the reference
  mov esi, result
  mov edi, expected
  mov ecx, 10
  rep movsd
  mov ax, FLAT3
  mov ds, ax
  mov es, ax
  mov edi, PAGEA + 0x10000
  call copyWindows
  mov ax, DATA3
  mov ds, ax
  mov es, ax
  jmp .skip
.compare:
  mov eax, [faults]
  cmp eax, [wantFaults]
  je .faults
  mov al, 'n'
  call different
.faults:
  mov esi, result
  mov edi, expected
  mov ecx, 8
  repe cmpsd
  je .registers
  mov al, 'r'
  call different
.registers:
  mov eax, [result + 36]
  cmp eax, [expected + 36]
  je .es
  mov al, 's'
  call different
.es:
  mov eax, [result + 32]
  xor eax, [expected + 32]
  test dword [properties], NO_FLAGS
  jz .defined
  and eax, ~FLAGS
.defined:
  test eax, eax
  jz .flags
  mov al, 'f'
  call different
.flags:
  mov ax, FLAT3
  mov ds, ax
  mov es, ax
  mov edi, PAGEA + 0x10000
  call compareWindows
  mov ax, DATA3
  mov ds, ax
  mov es, ax
  je .skip
  mov al, 'm'
  call different
.skip:
  inc dword [missing]
  cmp dword [missing], 16
  jne near .next
  jmp [returnTo]

; Fills the four pages.
prepare:
  mov ax, FLAT3
  mov es, ax
  cld
  mov edi, PAGEA + WINDOW
  call .fill
  mov edi, PAGEC + WINDOW
  call .fill
  ; at the boundaries a far pointer with a frame for IRET
  mov edi, PAGEA + 0xFFE
.frame:
  mov eax, [firstDword]
  mov [es:edi], eax
  mov dword [es:edi + 4], CODE3
  mov dword [es:edi + 8], 0x3046
  add edi, 0x2000
  cmp edi, PAGEC + 0x1000
  jb .frame
  mov ax, FLAT3
  mov ds, ax
  mov edi, PAGEA + 0x8000
  call copyWindows
  mov ax, DATA3
  mov ds, ax
  mov es, ax
  ret
.fill:
  mov eax, 0x3C4D5E6F
  mov ecx, SIZE / 4
.next:
  stosd
  rol eax, 3
  add eax, 0x01010101
  loop .next
  ret

; Copies the windows around the boundaries to EDI; compares them with EDI, ZF. All segments flat.
copyWindows:
  mov esi, PAGEA + WINDOW
  mov ecx, SIZE / 4
  rep movsd
  mov esi, PAGEC + WINDOW
  mov ecx, SIZE / 4
  rep movsd
  ret
compareWindows:
  mov esi, PAGEA + WINDOW
  mov ecx, SIZE / 4
  repe cmpsd
  jne .end
  mov esi, PAGEC + WINDOW
  mov ecx, SIZE / 4
  repe cmpsd
.end:
  ret

; Loads all registers and goes to the case.
loadAndRun:
  mov ax, FLAT3
  mov ss, ax
  mov esp, PAGEA + 0x20000            ; a stack for two pops
  fninit
  fld1
  mov eax, INITIAL_FLAGS
  or eax, [direction]
  push eax
  popfd
  mov ax, FLAT3
  mov es, ax
  mov gs, ax
  mov ds, ax
  mov eax, [fs:initial]
  mov ecx, [fs:initial + 4]
  mov edx, [fs:initial + 8]
  mov ebx, [fs:initial + 12]
  mov esp, [fs:initial + 16]
  mov ebp, [fs:initial + 20]
  mov esi, [fs:initial + 24]
  mov edi, [fs:initial + 28]
  jmp [fs:caseAt]
doneByInterrupt:
done:
  mov [fs:result], eax
  mov [fs:result + 4], ecx
  mov [fs:result + 8], edx
  mov [fs:result + 12], ebx
  mov [fs:result + 16], esp
  mov [fs:result + 20], ebp
  mov [fs:result + 24], esi
  mov [fs:result + 28], edi
  mov ax, DATA3
  mov ss, ax
  mov esp, STACK3
  pushfd
  pop dword [fs:result + 32]
  mov cx, es
  movzx ecx, cx
  mov [fs:result + 36], ecx
  mov cx, ds
  mov [fs:result + 38], cx
  mov ds, ax
  mov es, ax
  cld
  cmp dword [codeTest], 0
  jne near runCode.done
  jmp runCase.done

; Tells of a difference, AL: n number of faults, r registers, s ES or DS, f flags, m memory; at the fault: R registers, F flags, M
; memory, I EIP, E error code, A address, X RF; CR2.
different:
  cmp dword [fs:differences], 30
  jae .end
  pushad
  mov bl, al
  mov eax, [fs:caseAt]
  call printHex
  mov al, ' '
  out 0xE9, al
  mov eax, [fs:missing]
  call printHex
  mov al, ' '
  out 0xE9, al
  mov al, bl
  out 0xE9, al
  mov al, ' '
  out 0xE9, al
  mov eax, [fs:address]
  call printHex
  mov al, 10
  out 0xE9, al
  popad
.end:
  inc dword [fs:differences]
  ret

; ---- the code test: ESI instruction, ECX length; every position across the boundary
runCode:
  pop dword [returnTo]
  cmp byte [is486], 0
  jne .has486
  cmp byte [esi + 1], 0x0F            ; CMPXCHG
  je near .end
.has486:
  mov [source], esi
  mov [length], ecx
  mov dword [codeTest], 1
  mov dword [touched], 3
  mov dword [properties], STRING      ; what the handler compares differs
  mov [caseAt], esi
  mov dword [before], 0
.nextPosition:
  mov dword [missing], 0
.nextMissing:
  call prepare
  mov dword [scratch], 0x0BADF00D
  ; the instruction, then JMP FAR back
  mov ax, FLAT3
  mov es, ax
  mov edi, PAGEA + 0x1000
  sub edi, [before]
  mov esi, [source]
  mov ecx, [length]
  rep movsb
  mov al, 0xEA
  stosb
  mov eax, done
  stosd
  mov ax, CODE3
  stosw
  mov byte [es:PAGEB + 0x40], 0xCB    ; RETF for the far call
  mov ax, DATA3
  mov es, ax
  int 0x42
  mov dword [faults], 0
  mov eax, TEST + 0x1000
  sub eax, [before]
  mov [farCode], eax
  mov dword [caseAt], .go
  mov dword [initial + 16], TEST + 0x4800
  jmp loadAndRun
.go:
  jmp far [fs:farCode]
.done:
  mov eax, [source]
  mov [caseAt], eax
  mov eax, [scratch]
  mov [result + 16], eax              ; ESP is of no interest
  cmp dword [missing], 0
  jne .compare
  mov esi, result
  mov edi, expected
  mov ecx, 9
  rep movsd
  jmp .next
.compare:
  mov esi, result
  mov edi, expected
  mov ecx, 9
  repe cmpsd
  je .registers
  mov al, 'c'
  call different
.registers:
  mov eax, [missing]
  mov ecx, eax
  shr ecx, 1
  and eax, 1
  add eax, ecx
  cmp dword [before], 0
  jne .both
  mov eax, ecx                        ; page A is not needed
.both:
  cmp eax, [faults]
  je .next
  mov al, 'n'
  call different
.next:
  inc dword [missing]
  cmp dword [missing], 4
  jne near .nextMissing
  inc dword [before]
  mov eax, [length]
  cmp [before], eax
  jbe near .nextPosition
  mov dword [codeTest], 0
.end:
  PLAIN
  jmp [returnTo]

; ---- ring 0
; INT 42h: pages A to D at TEST, those in [missing] absent.
setPages:
  pushad
  push ds
  push es
  mov ax, DATA0
  mov ds, ax
  mov ax, FLAT
  mov es, ax
  xor ecx, ecx
  mov edx, PAGEA + 7
.next:
  mov eax, edx
  bt [missing], ecx
  sbb ebx, ebx
  add eax, ebx                        ; 6: not present
  mov [es:TABLE1 + ecx * 4], eax
  add edx, 0x1000
  inc ecx
  cmp ecx, 4
  jb .next
  mov dword [es:TABLE1 + 16], 0x205000 + 7  ; stack of the code test
  mov eax, cr3
  mov cr3, eax
  pop es
  pop ds
  popad
  iretd

; [esp + 36]: error code, EIP, CS, EFLAGS, ESP, SS after PUSHAD and DS
pageFault:
  pushad
  push ds
  push es
  push fs
  mov ax, DATA0
  mov ds, ax
  mov es, ax
  mov fs, ax
  cld
  inc dword [faults]
  mov eax, cr2
  mov [address], eax
  cmp dword [codeTest], 0
  jne near .code
  mov eax, [esp + 48]                 ; EIP
  cmp eax, [caseAt]
  je .eip
  mov al, 'I'
  call different
.eip:
  ; the error code: user, read or write, not present
  mov ecx, 4
  mov eax, [properties]
  test byte [address + 1], 0x20
  jz .ab
  shr eax, 1
.ab:
  and eax, WRITES_AB
  shr eax, 1
  or ecx, eax
  cmp ecx, [esp + 44]
  je .errorCode
  test dword [properties], ANY_CODE
  jnz .errorCode
  cmp byte [onQEMU], 0                ; reads first to modify
  jne .errorCode
  mov al, 'E'
  call different
.errorCode:
  test dword [properties], STRING
  jnz near .string
  ; the address: the operand's first byte, or the second page's
  mov eax, [address]
  test dword [properties], DIRTY | PARTS
  jnz .address
  and eax, 0xFFF
  jz .address
  test eax, 0x800
  jnz .address
  mov al, 'A'
  call different
.address:
  ; registers: EDI ESI EBP ESP EBX EDX ECX EAX
  mov eax, [esp + 60]                 ; ESP of ring 3
  mov [esp + 12 + 12], eax
  lea esi, [esp + 12 + 28]
  mov edi, initial
  mov ecx, 8
.register:
  mov eax, [esi]
  sub esi, 4
  scasd
  jne .changed
  loop .register
  jmp .same
.changed:
  mov al, 'R'
  call different
.same:
  test dword [properties], DIRTY
  jnz near .memory
  mov ax, FLAT
  mov ds, ax
  mov es, ax
  mov edi, PAGEA + 0x8000
  call compareWindows
  mov ax, DATA0
  mov ds, ax
  mov es, ax
  je .memory
  mov al, 'M'
  call different
.memory:
.string:
  ; flags: as before, for repeated comparisons too
  mov eax, [esp + 56]
  xor eax, INITIAL_FLAGS
  and eax, FLAGS
  jz .flags
  test dword [properties], STRING
  jz .bad
  cmp byte [onQEMU], 0                ; both keep those of the last comparison
  jne .flags
  cmp byte [onBochs], 0
  jne .flags
.bad:
  mov al, 'F'
  call different
.flags:
  test byte [esp + 58], 1
  jnz .fix
  cmp byte [onQEMU], 0                ; no RF
  jne .fix
  mov al, 'X'
  call different
.fix:
  ; the page comes
  mov ax, FLAT
  mov es, ax
  mov eax, [address]
  shr eax, 12
  and eax, 0x3FF
  or dword [es:TABLE1 + eax * 4], 1
  mov eax, cr3
  mov cr3, eax
  pop fs
  pop es
  pop ds
  popad
  add esp, 4
  iretd
.code:
  mov eax, [esp + 44]
  cmp eax, 4
  je .codeError
  mov al, 'E'
  call different
.codeError:
  mov eax, [esp + 48]
  mov ecx, [source]
  cmp byte [ecx], 0x9A
  je .fix                             ; the callee's page, too
  cmp eax, [farCode]
  je .first
  ; or the jump after it
  mov eax, [farCode]
  add eax, [length]
  cmp eax, [esp + 48]
  je .fix
  mov al, 'I'
  call different
  jmp .fix
.first:
  mov eax, [address]
  cmp eax, [farCode]
  je .fix
  cmp eax, TEST + 0x1000
  je .fix
  mov al, 'A'
  call different
  jmp .fix

  align 4
caseAt: dd 0
touched: dd 0
properties: dd 0
missing: dd 0
faults: dd 0
wantFaults: dd 0
returnTo: dd 0
address: dd 0
differences: dd 0
direction: dd 0
firstDword: dd 0
pointer: dd 0
features: dd 0
is486: dd 0
codeTest: dd 0
source: dd 0
length: dd 0
before: dd 0
scratch: dd 0
farCode: dd 0, CODEFLAT3
; EAX ECX EDX EBX ESP EBP ESI EDI
initial: dd 0x1234ABCD, 3, 0x22, TEST + 0xFFE, TEST + 0x1002, TEST + 0x2FF0, TEST + 0x2FFE, TEST + 0xFFE
result: times 10 dd 0
expected: times 10 dd 0
%include "end.inc"
