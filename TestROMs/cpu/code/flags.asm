; The system flags at every CPL and IOPL: POPF, PUSHF, IRET, CLI, STI with both operand sizes; IN and OUT by IOPL and the I/O permission bitmap:
; every bit, ports that span bytes, the bitmap at the edges of the TSS's limit, string forms, V86 mode.
; Expected: PASS.
; Follows: Intel SDM volume 2 (POPF, IRET, CLI, STI, IN: operation), volume 1, section 19.5 (I/O protection), volume 3, 20.
%include "common.inc"

%define CODE2 (0x68 | 2)
%define DATA2 (0x70 | 2)
%define TSSIO 0x78
%define SEG (BASE >> 4)

%define CF 1
%define IF 0x200
%define DF 0x400
%define IOPL 0x3000
%define NT 0x4000
%define RF 0x10000
%define AC 0x40000
%define ID 0x200000
%define ARITHMETIC 0x8D5

test:
  DESCRIPTOR CODE2, BASE, 0xFFFF, 0xDA, 4
  DESCRIPTOR DATA2, BASE, 0xFFFF, 0xD2, 4
  mov dword [tss + 20], 0xEC00
  mov dword [tss + 24], DATA2
  ; which of AC and ID exist
  mov dword [upper], 0
  mov eax, AC | ID
  push eax
  popfd
  pushfd
  pop eax
  and eax, AC | ID
  mov [upper], eax
  push dword 2
  popfd
  ; masked interrupts: nothing comes when IF is set
  mov al, 0xFF
  out 0x21, al
  out 0xA1, al

  ; ---- POPF, IRET to the same ring, CLI, STI at each CPL, IOPL, IF
  mov dword [cpl], 0
.nextCPL:
  mov dword [iopl], 0
.nextIOPL:
  mov dword [oldIF], 0
.nextIF:
  mov dword [value], 0
.nextValue:
  mov dword [operation], 0
.nextOperation:
  ; to the ring
  mov esp, STACK0 - 0x100
  mov edi, [cpl]
  movzx eax, word [datas + edi * 2]
  push eax
  push dword [stacks + edi * 4]
  mov eax, [iopl]
  shl eax, 12
  or eax, [oldIF]
  or eax, 2
  mov [before], eax
  push eax
  movzx eax, word [codes + edi * 2]
  push eax
  push dword .there
  iretd
.there:
  mov ax, DATA3
  mov ds, ax
  mov es, ax
  mov edi, [value]
  mov esi, [values + edi * 4]
  mov ebx, [operation]
  mov dword [vector], -1
  mov dword [resume], .done
  jmp [operations + ebx * 4]
.done:
  pushfd
  pop dword [after]
  mov dword [resume], 0
  cmp dword [cpl], 0
  je .back
  TO_RING0
.back:
  push dword 2
  popfd
  call expect
  mov eax, [wantVector]
  EQ [vector], eax
  mov eax, [after]
  cmp dword [wantVector], -1
  jne .faulted
  mov eax, [after]
  xor eax, [wantFlags]
  and eax, IF | DF | IOPL | NT | AC | ID | ARITHMETIC | 0x20000
  EQ eax, 0
.faulted:
  inc dword [operation]
  cmp dword [operation], 6
  jne near .nextOperation
  inc dword [value]
  cmp dword [value], 4
  jne near .nextValue
  add dword [oldIF], IF
  cmp dword [oldIF], IF
  je near .nextIF
  inc dword [iopl]
  cmp dword [iopl], 4
  jne near .nextIOPL
  inc dword [cpl]
  cmp dword [cpl], 4
  jne near .nextCPL

  ; ---- the I/O permission bitmap, ring 3, IOPL 0: one bit at a time in ports 80h to 8Fh; all widths
  mov dword [bit], 0x80
.nextBit:
  mov eax, [bit]
  bts [ioMap], eax
  mov dword [port], 0x7E
.nextPort:
  mov dword [width], 1
.nextWidth:
  mov eax, [bit]
  sub eax, [port]
  cmp eax, [width]                    ; within the access
  mov dword [wantVector], 13
  jb .refused
  mov dword [wantVector], -1
.refused:
  call accessPort
  mov eax, [wantVector]
  EQ [vector], eax
  shl dword [width], 1
  cmp dword [width], 8
  jne .nextWidth
  inc dword [port]
  cmp dword [port], 0x8F
  jne near .nextPort
  mov eax, [bit]
  btr [ioMap], eax
  inc dword [bit]
  cmp dword [bit], 0x90
  jne near .nextBit

  ; ---- the limit: two bytes of the map are read always
  mov edx, 0x68                       ; the map behind the TSS's fields
  mov [ioTSS + 0x66], dx
  mov dword [port], 0x80              ; byte 10h of the map
  mov dword [width], 1
%macro WITH_LIMIT 2           ; limit, vector
  mov word [gdt + TSSIO], %1
  mov word [gdt + TSSIO + 2], ioTSS
  mov dword [gdt + TSSIO + 4], 0x8900 | (BASE >> 16)
  mov ax, TSSIO
  ltr ax
  call accessPort
  EQ dword [vector], %2
%endmacro
  mov dword [ioTSS + 4], ENTRY0
  mov dword [ioTSS + 8], DATA0
  WITH_LIMIT 0x68 + 0x11, -1
  cmp byte [onQEMU], 0
  jne .noEdge
  WITH_LIMIT 0x68 + 0x10, 13          ; the second byte is beyond
.noEdge:
  WITH_LIMIT 0x68 + 0xF, 13
  WITH_LIMIT 0x67, 13
  ; a map that begins beyond the limit
  mov word [ioTSS + 0x66], 0x200
  WITH_LIMIT 0x100, 13
  ; one that begins inside the fields
  mov word [ioTSS + 0x66], 0x20
  mov word [ioTSS + 0x30], 0
  WITH_LIMIT 0x67, -1
  mov word [ioTSS + 0x30], 1
  WITH_LIMIT 0x67, 13
  mov word [ioTSS + 0x30], 0
  mov word [ioTSS + 0x66], 0x68
  ; words and doublewords over the byte's end
  mov dword [port], 0x87
  mov dword [width], 2
  WITH_LIMIT 0x68 + 0x11, -1
  or byte [ioTSS + 0x68 + 0x11], 1
  WITH_LIMIT 0x68 + 0x11, 13
  mov dword [width], 1
  WITH_LIMIT 0x68 + 0x11, -1
  mov byte [ioTSS + 0x68 + 0x11], 4
  mov dword [width], 2
  WITH_LIMIT 0x68 + 0x11, -1
  mov dword [width], 4
  WITH_LIMIT 0x68 + 0x11, 13
  ; a 16-bit TSS has no map
  mov word [gdt + TSSIO], 0x100
  mov dword [gdt + TSSIO + 4], 0x8100 | (BASE >> 16)
  mov word [ioTSS + 2], ENTRY0
  mov word [ioTSS + 4], DATA0
  mov ax, TSSIO
  ltr ax
  mov dword [width], 1
  call accessPort
  EQ dword [vector], 13
  and byte [gdt + TSS + 5], ~2
  mov ax, TSS
  ltr ax

  ; ---- string forms, and OUT: refused before anything is touched
  mov eax, 0x84
  bts [ioMap], eax
  push dword DATA3
  push dword STACK3
  push dword 2
  push dword CODE3
  push dword .strings
  iretd
.strings:
  mov ax, DATA3
  mov ds, ax
  mov es, ax
  mov edx, 0x84
  mov ecx, 5
  mov esi, 0xFFFFFFF0                 ; would be beyond the limit
  mov edi, 0xFFFFFFF0
  FAULT 13, 0, insb
  FAULT 13, 0, outsb
  FAULT 13, 0, rep insb
  FAULT 13, 0, rep outsb
  EQ ecx, 5
  EQ edi, 0xFFFFFFF0
  mov esi, after
  mov edx, 0x83
  FAULT 13, 0, outsw
  EQ esi, after
  mov edx, 0x80
  WORKS outsb
  EQ esi, after + 1
  TO_RING0
  mov eax, 0x84
  btr [ioMap], eax
  mov esp, STACK0 - 4
  ret

; What [operation] with [value] does at [cpl], [iopl].
expect:
  mov dword [wantVector], -1
  mov edi, [value]
  mov edx, [values + edi * 4]
  mov ecx, [before]
  mov ebx, [operation]
  cmp ebx, 4
  jae .cliSTI
  ; what may change
  mov esi, ARITHMETIC | DF | NT
  test ebx, 1
  jnz .word
  or esi, [upper]
.word:
  mov eax, [cpl]
  cmp eax, [iopl]
  ja .noIF
  or esi, IF
.noIF:
  test eax, eax
  jnz .noIOPL
  or esi, IOPL
.noIOPL:
  and edx, esi
  not esi
  and ecx, esi
  or ecx, edx
  mov [wantFlags], ecx
  ret
.cliSTI:
  mov eax, [cpl]
  cmp eax, [iopl]
  jbe .allowed
  mov dword [wantVector], 13
  mov [wantFlags], ecx
  ret
.allowed:
  and ecx, ~IF
  cmp ebx, 4
  je .cli
  or ecx, IF
.cli:
  ; the arithmetic flags of what came before do not count
  mov eax, [after]
  and eax, ARITHMETIC | DF | NT | AC | ID
  or ecx, eax
  mov [wantFlags], ecx
  ret

; ---- the operations; ESI value
doPOPFD:
  push esi
  popfd
  jmp test.done
doPOPF:
  push si
  popfw
  jmp test.done
doIRETD:
  ; NT must be clear for IRET itself; it may load it
  push esi
  push cs
  push dword test.done
  iretd
doIRET:
  push si
  db 0x66, 0x0E                       ; PUSH CS, a word
  push word test.done
  iretw
doCLI:
  cli
  jmp test.done
doSTI:
  sti
  jmp test.done

; Reads [port] with [width] at ring 3, IOPL 0; returns in ring 0 with [vector].
accessPort:
  pop dword [returnTo]
  push dword DATA3
  push dword STACK3
  push dword 2
  push dword CODE3
  push dword .there
  iretd
.there:
  mov ax, DATA3
  mov ds, ax
  mov dword [vector], -1
  mov dword [resume], .done
  mov edx, [port]
  cmp dword [width], 2
  je .word
  ja .dword
  in al, dx
  jmp .done
.word:
  in ax, dx
  jmp .done
.dword:
  in eax, dx
.done:
  mov dword [resume], 0
  TO_RING0
  jmp [returnTo]

  align 4
cpl: dd 0
iopl: dd 0
oldIF: dd 0
value: dd 0
operation: dd 0
before: dd 0
after: dd 0
upper: dd 0
wantVector: dd 0
wantFlags: dd 0
bit: dd 0
port: dd 0
width: dd 0
returnTo: dd 0
values: dd 2, CF | IF | IOPL | 0x880 | ID | AC, IOPL | DF | NT | 0x54, IF | ARITHMETIC | 0x1000 | RF
operations: dd doPOPFD, doPOPF, doIRETD, doIRET, doCLI, doSTI
stacks: dd STACK0 - 0x100, STACK1, 0xEC00, STACK3
codes: dw CODE0, CODE1, CODE2, CODE3
datas: dw DATA0, DATA1, DATA2, DATA3
  align 16
ioTSS: times 0x104 db 0
%include "end.inc"
