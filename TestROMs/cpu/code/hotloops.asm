; Loops that have run thousands of times when something happens: page faults, limits, divide errors, #BR, #NM, #AC, breakpoints; with EIP, error
; code, all registers and flags exact at the fault, and the right result after it. Segment bases, limits, stack sizes, page tables,
; control registers changed under running loops. Flags at a fault that follows each kind of flag-setting instruction.
; Expected: PASS.
; Follows: Intel SDM volume 3, sections 6.5 to 6.9, 6.15, 5.3, 4.10.
%include "common.inc"
%include "pages.inc"

%define FSEG 0x68
%define GSEG 0x70
%define SMALLSTACK 0x78       ; B = 0
%define DOWNSTACK 0x80        ; expand-down, B = 0, DPL 3
%define SMALLCODE 0x88
%define MASK 0x8D5

; ARM fix routine (0: none), where to go on (0: again)
%macro ARM 2
  mov dword [fix], %1
  mov dword [goOn], %2
  mov dword [faultCount], 0
  mov dword [vector], -1
%endmacro
; FAULTED count, vector, error code, EIP
%macro FAULTED 4
  EQ dword [faultCount], %1
  EQ dword [vector], %2
  EQ dword [errorCode], %3
  EQ dword [faultEIP], %4
%endmacro
; The flags pushed, under MASK, are those of the PUSHFD image given.
%macro FLAGS_ARE 1
  mov eax, [faultFlags]
  xor eax, %1
  and eax, MASK
  EQ eax, 0
%endmacro

test:
  pushfd
  pop eax
  mov ecx, eax
  xor eax, 1 << 21
  push eax
  popfd
  pushfd
  pop eax
  cmp eax, ecx
  je .noCPUID
  mov eax, 1
  cpuid
  mov [features], edx
.noCPUID:
  jmp hopEnd
; A loop of branches; the last one leads out of the small segment.
hop:
  mov eax, .again
  cmp ecx, 1
  jne .branch
  mov eax, 0xFFF0
.branch:
  jmp eax
.again:
  dec ecx
  jmp hop
hopEnd:
  call enablePaging
  mov dword [hook], onFault
  mov dword [es:TABLE1], PAGEA + 7
  mov dword [es:TABLE1 + 4], PAGEB + 7
  mov dword [es:TABLE1 + 8], PAGEC + 7
  ; pages 3 on are absent; 3 leads to D when it comes
  mov edi, PAGEA
  mov ecx, 0x1000
  mov eax, 1
.fill:
  stosd
  inc eax
  loop .fill

  ; ---- loads: 3000 doublewords, then the page is missing
  ARM mapPage3, 0
  mov ebx, TEST + 0x2FFC - 2999 * 4
  mov ecx, 4000
  xor edx, edx
  stc
.load:
  mov eax, [es:ebx]
  add edx, eax
  lea ebx, [ebx + 4]
  dec ecx
  jnz .load
  FAULTED 1, 14, 0, .load
  EQ dword [fEBX], TEST + 0x3000
  EQ dword [fECX], 1000
  EQ dword [fEDX], 73 * 3000 + 2999 * 3000 / 2
  EQ dword [fEAX], 3072
  EQ dword [fCR2], TEST + 0x3000
  ; the flags: DEC ECX gave 1000 (ZF SF AF OF clear, PF of E8h set), CF from the last ADD: clear
  FLAGS_ARE 0x4
  EQ edx, 73 * 4000 + 3999 * 4000 / 2

  ; ---- stores and read-modify-write; CF set all along
  ARM mapPage3, 0
  PTE_CR3 3, 0
  mov ebx, TEST + 0x3000 - 3000 * 4
  mov ecx, 3500
  stc
.store:
  mov [es:ebx], ecx
  lea ebx, [ebx + 4]
  dec ecx
  jnz .store
  FAULTED 1, 14, 2, .store
  EQ dword [fECX], 500
  EQ dword [fEBX], TEST + 0x3000
  FLAGS_ARE 0x1                       ; 501 - 1 = 1F4h: PF clear (five bits), AF clear
  PTE_CR3 3, 0
  ARM mapPage3, 0
  mov ebx, TEST + 0x3000 - 2500 * 4
  mov ecx, 2600
  xor edx, edx
.modify:
  add dword [es:ebx], 0x7FFFFFFF
  adc edx, 0
  lea ebx, [ebx + 4]
  dec ecx
  jnz .modify
  cmp byte [onQEMU], 0                ; reads first
  jne .noCode
  FAULTED 1, 14, 2, .modify
.noCode:
  EQ dword [faultCount], 1
  EQ dword [fECX], 100
  EQ edx, 0
  EQ dword [es:PAGED + 99 * 4], 0x7FFFFFFF + 401
  mov eax, [es:PAGEC + 0xFFC]
  EQ eax, 0x7FFFFFFF + 501

  ; ---- across the boundary in the last step only
  PTE_CR3 3, 0
  ARM mapPage3, 0
  mov dword [es:PAGED], 0x11111111
  mov ebx, TEST + 0x1006
  mov ecx, 2047
  xor edx, edx
.unaligned:
  mov eax, [es:ebx]
  xor edx, eax
  add ebx, 4
  sub ecx, 1
  jnc .unaligned
  EQ dword [faultCount], 1
  EQ dword [fCR2], TEST + 0x3000
  EQ dword [faultEIP], .unaligned
  EQ dword [fECX], 1

  ; ---- #GP: the limit of FS reached after 12288 bytes; of a doubleword that sticks out by one byte
  DESCRIPTOR FSEG, BASE, 0x2FFF, 0x92, 4
  mov ax, FSEG
  mov fs, ax
  cmp byte [onQEMU], 0                ; knows no limits
  jne near .noLimits
  ARM 0, .limitEnd
  xor esi, esi
  xor ecx, ecx
.limit:
  mov al, [fs:esi]
  inc esi
  inc ecx
  jmp .limit
.limitEnd:
  FAULTED 1, 13, 0, .limit
  EQ dword [fESI], 0x3000
  EQ dword [fECX], 0x3000
  FLAGS_ARE 0x14                      ; INC ECX: PF, AF
  ARM 0, .limitEnd2
  mov esi, 1
.limit2:
  mov eax, [fs:esi]
  lea esi, [esi + 4]
  cmp esi, 0x4001
  jb .limit2
.limitEnd2:
  FAULTED 1, 13, 0, .limit2
  EQ dword [fESI], 0x2FFD
  FLAGS_ARE 0x85                      ; 2FFDh - 4001h = FFFFEFFCh: CF, SF, PF
  ; the limit raised while the loop goes on: the fault comes at the new one only after a load of FS
  ARM raiseLimit, 0
  xor esi, esi
.limit3:
  mov eax, [fs:esi]
  add esi, 4
  cmp esi, 0x4000
  jb .limit3
  EQ dword [faultCount], 1
  EQ dword [fESI], 0x3000
  ; and lowered: takes effect with the load
  mov ecx, 3000
  mov ebx, 0x2FFF
  ARM 0, .lowered
  mov ax, FSEG
.lower:
  cmp ecx, 1000
  jne .notYet
  mov [gdt + FSEG], bx
.notYet:
  cmp ecx, 500
  jne .notYet2
  mov fs, ax
.notYet2:
  mov edx, [fs:0x3000]
  dec ecx
  jnz .lower
.lowered:
  EQ dword [faultCount], 1
  EQ dword [fECX], 500
.noLimits:

  ; ---- the base changed under a loop, by loads of FS and by a changed descriptor
  mov dword [es:PAGEA], 1
  mov dword [es:PAGEB], 0x10000
  DESCRIPTOR FSEG, PAGEA, 0xFFFF, 0x92, 4
  DESCRIPTOR GSEG, PAGEB, 0xFFFF, 0x92, 4
  mov ecx, 3000
  xor edx, edx
  mov eax, FSEG
  mov ebx, GSEG
.bases:
  mov fs, ax
  add edx, [fs:0]
  xchg eax, ebx
  dec ecx
  jnz .bases
  EQ edx, 1500 * 0x10001
  mov ecx, 3000
  xor edx, edx
  mov eax, FSEG
  mov fs, ax
.descriptor:
  add edx, [fs:0]
  mov dword [gdt + FSEG + 2], PAGEB | 0x92000000
  cmp ecx, 1001
  jne .noReload
  mov fs, ax
.noReload:
  dec ecx
  jnz .descriptor
  EQ edx, 2000 + 1000 * 0x10000
  ; a null selector in its turn: #GP in exactly that pass
  cmp byte [onQEMU], 0
  jne .noNull
  ARM 0, .nulled
  mov ecx, 3000
  xor ebx, ebx
.null:
  cmp ecx, 7
  jne .notNull
  mov eax, ebx
.notNull:
  mov fs, ax
.nullRead:
  mov edx, [fs:0]
  dec ecx
  jnz .null
.nulled:
  FAULTED 1, 13, 0, .nullRead
  EQ dword [fECX], 7
.noNull:

  ; ---- #DE: the divisor counts down to zero
  ARM 0, .divided
  mov ecx, 3000
  xor esi, esi
.divide:
  xor edx, edx
  mov eax, 3000000
  div ecx
  add esi, eax
  sub ecx, 1
  jmp .divide
.divided:
  EQ dword [faultCount], 1
  EQ dword [vector], 0
  EQ dword [fECX], 0
  EQ dword [fEDX], 0
  EQ dword [fEAX], 3000000
  FLAGS_ARE 0x44                      ; XOR EDX, EDX
  ; overflow of the quotient
  ARM 0, .overflowed
  mov ecx, 4000
  mov edx, 0
.quotient:
  mov eax, 0xFFFFFFFF
  mov ebx, edx
  cmp ebx, 3000
.div:
  div ecx
  lea edx, [ebx + 1]
  jmp .quotient
.overflowed:
  FAULTED 1, 0, 0, .div
  EQ dword [fEDX], 4000
  EQ dword [fEAX], 0xFFFFFFFF
  FLAGS_ARE 0x14                      ; 4000 - 3000 = 3E8h: AF (0 - 8), PF of E8h: four bits
  ARM 0, .idivided
  mov ecx, -2000
.idivide:
  mov eax, 0x80000000
  cdq
.idiv:
  idiv ecx
  inc ecx
  jmp .idivide
.idivided:
  FAULTED 1, 0, 0, .idiv              ; 80000000h / -1
  EQ dword [fECX], -1
  ; AAM with 0 by a patched immediate is in selfmod; BOUND and INTO here
  ARM 0, .bounded
  mov eax, 0
.bound:
  bound eax, [bounds]
  inc eax
  jmp .bound
.bounded:
  FAULTED 1, 5, 0, .bound
  EQ dword [fEAX], 2001
  ARM 0, .overflow
  mov eax, 0x7FFFFFFF - 3000
.into:
  inc eax
  into
.intoNext:
  jmp .into
.overflow:
  FAULTED 1, 4, 0, .intoNext          ; a trap
  EQ dword [fEAX], 0x80000000

  ; ---- the stack: 16-bit SP wraps, the upper half of ESP stays
  DESCRIPTOR SMALLSTACK, PAGEA, 0xFFFF, 0x92, 0
  mov esi, esp
  mov ecx, 70000
  mov dx, SMALLSTACK
  mov bx, ss
  mov ss, dx
  mov esp, 0x12340004
.wrap:
  push cx
  dec ecx
  jnz .wrap
  mov eax, esp
  mov ss, bx
  mov esp, esi
  EQ eax, 0x12340000 + ((4 - 140000) & 0xFFFF)
  ; the same code with both sizes of stack, alternating
  mov ebp, 2000
.stacks:
  mov ss, dx
  mov esp, 0x56780100
  call .stackCode
  mov edi, esp
  mov ss, bx
  mov esp, esi
  EQ edi, 0x56780100
  EQ eax, 0x56780100 - 12
  mov eax, 0
  push ebp
  mov ebp, 0x100
  pop ebp
  call .stackCode
  lea edi, [esi - 12]
  EQ eax, edi
  EQ esp, esi
  dec ebp
  jnz .stacks
  jmp .stacksDone
.stackCode:
  push ebp
  push dword 0x600D
  mov eax, esp
  pop ecx
  pop ebp
  ret
.stacksDone:

  ; ---- an expand-down stack runs out, at ring 3: #SS(0), ESP unchanged
  cmp byte [onQEMU], 0
  jne near .noStackFault
  mov word [gdt + DOWNSTACK], 0xDFFF
  mov word [gdt + DOWNSTACK + 2], BASE & 0xFFFF
  mov dword [gdt + DOWNSTACK + 4], 0x0000F600 | (BASE >> 16)
  TO_RING 3
  ARM 0, .stackFaulted
  mov ecx, 0
  mov ax, DOWNSTACK | 3
  mov ss, ax
  mov esp, 0xAAAAF000
.pushing:
  push ecx
  inc ecx
  jmp .pushing
.stackFaulted:
  mov ax, DATA3
  mov ss, ax
  mov esp, STACK3
  FAULTED 1, 12, 0, .pushing
  EQ dword [fECX], 0x1000 / 4
  EQ dword [faultESP], 0xAAAAE000
  FLAGS_ARE 0x14                      ; 3FFh + 1
  TO_RING0
.noStackFault:
  mov ax, FLAT
  mov es, ax

  ; ---- code that leaves its segment
  cmp byte [onQEMU], 0
  jne near .noCodeLimit
  mov edx, .codeEnd - 1               ; the hop lies below
  mov [gdt + SMALLCODE], dx
  mov word [gdt + SMALLCODE + 2], BASE & 0xFFFF
  mov dword [gdt + SMALLCODE + 4], 0x00409A00 | (BASE >> 16)
  ARM leaveSmall, .left
  mov ecx, 3000
  jmp SMALLCODE:.inside
.inside:
  dec ecx
  jnz .inside                         ; the last instruction within the limit
.codeEnd:
  WRONG
.left:
  FAULTED 1, 13, 0, .codeEnd
  EQ dword [fECX], 0
  EQ dword [seenCS], SMALLCODE
  FLAGS_ARE 0x44
  ; a branch to beyond the limit is the branch's fault
  ARM leaveSmall, .left2
  mov ecx, 3000
  mov dword [scratch], SMALLCODE
  jmp SMALLCODE:hop
.left2:
  FAULTED 1, 13, 0, hop.branch
  EQ dword [fECX], 1
  EQ dword [seenCS], SMALLCODE
.noCodeLimit:

  ; ---- CR0.WP, turned under a loop of stores to a read-only page
  mov eax, 1
  test [features], eax
  jz near .no486
  ARM countOnly, .skipStore
  PTE_CR3 0, PAGEA + 5
  mov ecx, 3000
  mov ebx, cr0
  xor edx, edx
.wp:
  mov eax, ebx
  test ecx, 0x100
  jz .unprotected
  or eax, 0x10000
.unprotected:
  mov cr0, eax
  mov [es:TEST + 8], ecx
  inc edx
.skipStore:
  dec ecx
  jnz .wp
  mov cr0, ebx
  EQ dword [faultCount], 1465         ; 100h-1FFh, 300h-3FFh ... 900h-9FFh, B00h-BB8h
  EQ edx, 3000 - 1465
  EQ dword [errorCode], 3
.no486:
  PTE_CR3 0, PAGEA + 7

  ; ---- address spaces under a loop of loads
  mov dword [es:0x104000], TABLE0 + 7
  mov dword [es:0x104000 + (TEST >> 20)], 0x105000 + 7
  mov dword [es:0x105000], PAGEB + 7
  mov dword [es:PAGEA], 3
  mov dword [es:PAGEB], 0x30000
  mov ecx, 3000
  mov eax, DIRECTORY
  mov ebx, 0x104000
  xor edx, edx
.spaces:
  mov cr3, eax
  add edx, [es:TEST]
  xchg eax, ebx
  dec ecx
  jnz .spaces
  mov eax, DIRECTORY
  mov cr3, eax
  EQ edx, 1500 * 0x30003
  ; an entry changed under the loop: seen after CR3 is loaded (and maybe before)
  mov ecx, 2000
  xor edx, edx
.entries:
  xor dword [es:TABLE1], PAGEA ^ PAGEB
  mov cr3, eax
  add edx, [es:TEST]
  dec ecx
  jnz .entries
  EQ edx, 1000 * 0x30003
  ; two addresses of one page
  PTE_CR3 1, PAGEA + 7
  mov ecx, 3000
  mov dword [es:TEST], 0
.alias:
  inc dword [es:TEST]
  mov eax, [es:TEST + 0x1000]
  add eax, eax
  mov [es:TEST + 0x1000], eax
  shr dword [es:TEST], 1
  dec ecx
  jnz .alias
  EQ dword [es:PAGEA], 3000
  PTE_CR3 1, PAGEB + 7

  ; ---- CR4.PSE under a loop: the same directory entry is a table (bit 7 ignored) or a page of 4 MiB
  test dword [features], 1 << 3
  jz near .noPSE
  PTE_CR3 5, 0x400000 + 7
  mov dword [es:TEST + 0x5000], PAGEB + 7
  mov dword [es:PAGEB], 0x1111
  mov dword [es:DIRECTORY + (TEST >> 20) + 4], 0x400087
  mov ecx, 2000
  xor edx, edx
  mov eax, cr4
  mov ebx, eax
  or ebx, 0x10
.pse:
  mov cr4, eax
  add edx, [es:TEST + 0x400000]
  xchg eax, ebx
  dec ecx
  jnz .pse
  and al, ~0x10
  mov cr4, eax
  ; bits the accesses set in the entry count: accessed, not dirty
  EQ edx, (1000 * 0x1111 + 1000 * (PAGEB + 0x27)) & 0xFFFFFFFF
  mov dword [es:DIRECTORY + (TEST >> 20) + 4], 0
  mov eax, cr3
  mov cr3, eax
.noPSE:
  ; CR4.PGE: turning it drops global pages, too
  test dword [features], 1 << 13
  jz near .noPGE
  mov dword [es:PAGEA], 5
  mov dword [es:PAGEB], 0x50000
  mov ecx, 1000
  xor edx, edx
  mov eax, cr4
  mov ebx, eax
  or ebx, 0x80
.pge:
  mov cr4, ebx
  mov dword [es:TABLE1], PAGEA + 0x107
  mov cr4, eax
  mov cr4, ebx
  add edx, [es:TEST]
  mov dword [es:TABLE1], PAGEB + 0x107
  mov cr4, eax
  add edx, [es:TEST]
  dec ecx
  jnz .pge
  EQ edx, 1000 * 0x50005
  PTE_CR3 0, PAGEA + 7
.noPGE:

  ; ---- ring 3 does not get what ring 0 just used: the same loop, the same page
  mov dword [es:TABLE1], PAGEA + 3
  mov eax, cr3
  mov cr3, eax
  mov ax, FLAT
  mov gs, ax
  mov ecx, 2000
  call touch
  ARM 0, .userFault
  TO_RING 3
  mov ax, FLAT3
  mov gs, ax
  mov ecx, 2000
  call touch
.userFault:
  mov esp, STACK3
  FAULTED 1, 14, 5, touch
  EQ dword [fECX], 2000
  TO_RING0
  mov ax, FLAT
  mov es, ax
  PTE_CR3 0, PAGEA + 7

  ; ---- #NM: TS set in every 64th pass
  ARM clearTS, 0
  fninit
  fldz
  fld1
  mov ecx, 3000
.fpu:
  test cl, 63
  jnz .noTS
  mov eax, cr0
  or al, 8
  mov cr0, eax
.noTS:
  fadd st1, st0
  dec ecx
  jnz .fpu
  FAULTED 46, 7, 0, .noTS
  EQ dword [fECX], 64
  fxch
  fistp dword [scratch]
  fninit
  EQ dword [scratch], 3000

  ; ---- #AC in a loop at ring 3
  cmp byte [onQEMU], 0                ; has none
  jne near .noAC
  mov eax, 1
  test [features], eax
  jz near .noAC
  mov eax, cr0
  or eax, 0x40000
  mov cr0, eax
  TO_RING 3
  ARM 0, .aligned
  mov ecx, 2000
  mov ebx, scratch + 1
.alignment:
  cmp ecx, 300
  jne .noACYet
  pushfd
  or dword [esp], 1 << 18
  popfd
.noACYet:
  mov eax, [ebx]
  dec ecx
  jnz .alignment
.aligned:
  FAULTED 1, 17, 0, .noACYet
  EQ dword [fECX], 300
  pushfd
  and dword [esp], ~(1 << 18)
  popfd
  TO_RING0
.noAC:
  mov ax, FLAT
  mov es, ax

  ; ---- breakpoints armed under a running loop
  cmp byte [onQEMU], 0                ; may crash
  jne near .noBreakpoints
  ARM disarm, 0
  mov dword [scratch], 0
  mov eax, BASE + scratch
  mov dr0, eax
  mov ecx, 3000
  mov edx, 0x000D0001                 ; DR0: write, 4 bytes
.watch:
  cmp ecx, 1234
  jne .notArmed
  mov dr7, edx
.notArmed:
  inc dword [scratch]
.afterWrite:
  dec ecx
  jnz .watch
  FAULTED 1, 1, 0, .afterWrite
  EQ dword [fECX], 1234
  EQ dword [scratch], 3000
  ARM disarm, 0
  mov eax, BASE + .instruction
  mov dr0, eax
  mov ecx, 3000
  mov edx, 1
.execute:
  cmp ecx, 777
  jne .instruction
  mov dr7, edx
.instruction:
  dec ecx
  jnz .execute
  FAULTED 1, 1, 0, .instruction
  EQ dword [fECX], 777
.noBreakpoints:
  ; single step switched on in the 2000th pass, off by the handler after 5 steps
  ARM 0, 0
  mov dword [hook], stepHook
  mov dword [steps], 0
  mov ecx, 3000
  xor edx, edx
.stepped:
  inc edx
  cmp edx, 2000
  jne .noStep
  pushfd
  or dword [esp], 0x100
  popfd
.noStep:
  dec ecx
  jnz .stepped
  mov dword [hook], onFault
  ; DEC, JNZ, INC, CMP, JNE
  EQ edx, 3000
  EQ dword [steps], 5
  EQ dword [stepECX], 1000
  mov dword [resume], 0

  ; ---- REP over many pages, every second one missing
  mov dword [hook], onFault
  mov ecx, 16
  mov edi, TABLE1 + 0x40
  mov eax, 0x220000 + 6
.pages:
  mov [es:edi], eax
  xor byte [es:edi], 1
  test ecx, 1
  jnz .absent
  xor byte [es:edi], 1
.absent:
  add eax, 0x1000
  add edi, 4
  loop .pages
  mov eax, cr3
  mov cr3, eax
  ARM mapAny, 0
  mov edi, TEST + 0x10003
  mov ecx, 0x3FF0
  mov eax, 0x5A5A5A5A
  rep stosd
  EQ dword [faultCount], 8
  EQ dword [fECX], 0x3FF0 - 0x37FF    ; the doubleword across the boundary to page 14
  EQ edi, TEST + 0x10003 + 0x3FF0 * 4
  EQ dword [es:0x220000 + 0xFFBF], 0x5A5A5A5A
  EQ dword [es:0x220003], 0x5A5A5A5A

  call flagTests
  mov esp, STACK0 - 4
  ret

touch:
  mov eax, [gs:TEST + 0x10]
  loop touch
  ret

; ---- flags at a fault after each kind of instruction that sets them
; FLAGCHAIN instructions (may use EAX EDX ESI, memory at scratch; ECX counts): the fault's flags are those that PUSHFD shows without the fault.
%macro FLAGCHAIN 1-*
  PTE_CR3 3, 0
  ARM mapPage3, 0
  mov ebx, TEST
  mov ecx, 150
%%hot:
  mov eax, 0x87654321
  mov edx, 0x9ABCDEF0
  mov esi, 0x7FFFFFFF
  mov dword [scratch], 0x80000001
  cmp ecx, 1
  jne %%present
  mov ebx, TEST + 0x3000
%%present:
  cmp eax, edx
%rep %0
  %1
%rotate 1
%endrep
%%load:
  mov edi, [es:ebx]
  pushfd
  pop edi
  cmp ecx, 2
  jne %%next
  mov [flagsBefore], edi
%%next:
  dec ecx
  jnz %%hot
  EQ dword [faultCount], 1
  EQ dword [faultEIP], %%load
  EQ dword [fECX], 1
  FLAGS_ARE [flagsBefore]
  mov eax, edi
  xor eax, [flagsBefore]
  and eax, MASK
  EQ eax, 0
%endmacro

flagTests:
  FLAGCHAIN {add eax, edx}
  FLAGCHAIN {add al, dl}
  FLAGCHAIN {add ax, dx}
  FLAGCHAIN {sub eax, edx}
  FLAGCHAIN {add eax, edx}, {adc edx, esi}
  FLAGCHAIN {stc}, {sbb eax, edx}
  FLAGCHAIN {add eax, edx}, {inc esi}
  FLAGCHAIN {add eax, edx}, {dec eax}
  FLAGCHAIN {add eax, edx}, {inc si}, {dec dl}
  FLAGCHAIN {and eax, edx}
  FLAGCHAIN {or eax, edx}, {inc eax}
  FLAGCHAIN {xor eax, eax}
  FLAGCHAIN {neg eax}
  FLAGCHAIN {neg dl}
  FLAGCHAIN {stc}, {not eax}
  FLAGCHAIN {cmp esi, -1}
  FLAGCHAIN {test eax, edx}
  FLAGCHAIN {add eax, edx}, {rol edx, 1}
  FLAGCHAIN {sub eax, edx}, {rcr edx, 1}
  FLAGCHAIN {shl eax, 1}
  FLAGCHAIN {shr edx, 1}
  FLAGCHAIN {sar eax, 1}
  FLAGCHAIN {add eax, edx}, {shl esi, cl}, {shl eax, 32}, {cmp eax, edx}
  FLAGCHAIN {sub esi, eax}, {mov edi, 0}, {shl edx, 32}
  FLAGCHAIN {clc}
  FLAGCHAIN {add eax, edx}, {stc}
  FLAGCHAIN {sub eax, edx}, {cmc}
  FLAGCHAIN {sub eax, edx}, {lea eax, [eax + 5]}, {mov esi, edx}, {xchg eax, edx}
  FLAGCHAIN {inc dword [scratch]}
  FLAGCHAIN {add [scratch], eax}
  FLAGCHAIN {sub eax, edx}, {dec dword [scratch]}
  FLAGCHAIN {sahf}
  FLAGCHAIN {cmp eax, edx}, {setc al}, {setg dl}
  FLAGCHAIN {cmp eax, edx}, {jc .n1}, {nop}
.n1:
  FLAGCHAIN {add eax, edx}, {push eax}, {pop esi}
  FLAGCHAIN {add eax, esi}, {pushfd}, {popfd}
  FLAGCHAIN {mov esi, scratch}, {mov edi, scratch}, {push es}, {push ds}, {pop es}, {cmpsb}, {pop es}
  FLAGCHAIN {sub eax, edx}, {cld}, {lahf}
  FLAGCHAIN {mov eax, 3}, {imul eax, edx, 2}, {test al, 1}
  FLAGCHAIN {bt edx, 4}, {cmc}, {and esi, esi}
  FLAGCHAIN {add eax, edx}, {movzx esi, al}, {cwde}, {cdq}
  ret

; ---- what faults do
; Stack: the return, DS, EAX. Fixes run with all registers saved.
onFault:
  inc dword [faultCount]
  mov [fECX], ecx
  mov [fEDX], edx
  mov [fEBX], ebx
  mov [fESI], esi
  mov [fEDI], edi
  mov eax, [esp + 8]
  mov [fEAX], eax
  mov eax, cr2
  mov [fCR2], eax
  mov eax, [goOn]
  test eax, eax
  jnz .go
  mov eax, [faultEIP]
.go:
  mov [resume], eax
  cmp dword [fix], 0
  je .end
  pushad
  push es
  mov ax, FLAT
  mov es, ax
  call [fix]
  pop es
  popad
.end:
  ret

leaveSmall:
  mov eax, [esp + 64]
  mov [seenCS], eax
  mov dword [esp + 64], CODE0
countOnly:
  ret
mapPage3:
  mov dword [es:TABLE1 + 12], PAGED + 7
  ret
mapAny:
  mov eax, cr2
  shr eax, 10
  and eax, 0xFFC
  or byte [es:TABLE1 + eax], 1
  ret
raiseLimit:
  mov word [gdt + FSEG], 0x3FFF
  mov ax, FSEG
  mov fs, ax
  ret
clearTS:
  clts
  ret
disarm:
  xor eax, eax
  mov dr7, eax
  ret
; RF for the instruction that goes on is in the frame: faults push it.

stepHook:
  inc dword [steps]
  mov [stepECX], ecx
  mov eax, [faultEIP]
  mov [resume], eax
  cmp dword [steps], 5
  jne .end
  and dword [esp + 4 + 8 + 8 + 8], ~0x100
.end:
  ret

  align 4
fix: dd 0
goOn: dd 0
faultCount: dd 0
fEAX: dd 0
fECX: dd 0
fEDX: dd 0
fEBX: dd 0
fESI: dd 0
fEDI: dd 0
fCR2: dd 0
features: dd 0
scratch: dd 0, 0
flagsBefore: dd 0
steps: dd 0
seenCS: dd 0
stepECX: dd 0
bounds: dd -5, 2000
%include "end.inc"
