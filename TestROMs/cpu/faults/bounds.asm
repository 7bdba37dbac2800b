; Accesses at and over the ends of things, in loops that have become hot: the end of memory, the end of the address space, segment bases that
; wrap, stacks and strings over the end, code that runs over it. Nothing but what is addressed may change.
; Expected: PASS.
; Follows: Intel SDM volume 3, 3.3.1 (linear addresses wrap), 3.4 (segments with any base); volume 1, 3.3.7 (16-bit addresses wrap).
; Where no memory is, reads give ones and writes go nowhere (an ISA bus that nobody drives); QEMU answers otherwise there, which the
; tests of contents leave out.
%include "common.inc"

%define FSEG 0x68
%define GSEG 0x70
%define FLATCODE 0x78
%define ROUNDS 100
%define SPACE 0xF400            ; free, in the segments at BASE
%define LINEAR (BASE + SPACE)

; NOTHING a, b: EQ, on machines that read ones where nothing is.
%macro NOTHING 2
  cmp byte [onQEMU], 0
  jne near %%skip
  EQ %1, %2
%%skip:
%endmacro

; LOOPED: what follows up to AGAIN is done ROUNDS times.
%macro LOOPED 0
%push looped
  mov dword [rounds], ROUNDS
%$top:
%endmacro
%macro AGAIN 0
  dec dword [rounds]
  jnz near %$top
%pop
%endmacro

; Sixteen bytes before the end: CCh, ES flat.
%macro CLEAN 0
  mov eax, [top]
  mov dword [es:eax - 16], 0xCCCCCCCC
  mov dword [es:eax - 12], 0xCCCCCCCC
  mov dword [es:eax - 8], 0xCCCCCCCC
  mov dword [es:eax - 4], 0xCCCCCCCC
%endmacro

test:
  mov ax, FLAT
  mov es, ax
  ; The end of memory: the first 64 KiB that do not hold what is written.
  mov ebx, 0x100000
.probe:
  mov eax, [es:ebx]
  mov dword [es:ebx], 0x5AA5C33C
  mov ecx, [es:ebx]
  mov [es:ebx], eax
  cmp ecx, 0x5AA5C33C
  jne .found
  add ebx, 0x10000
  cmp ebx, 0x40000000
  jb .probe
.found:
  mov [top], ebx
  ; What lies at the beginning of memory must stay.
  mov edi, 0x500
  mov ecx, 64
  mov eax, 0x01234567
  rep stosd

  ; ---- loads and stores beyond the end
  LOOPED
  CLEAN
  mov ebx, [top]
  mov eax, [es:ebx]
  NOTHING eax, 0xFFFFFFFF
  movzx eax, byte [es:ebx + 0x1234]
  NOTHING eax, 0xFF
  mov dword [es:ebx], 0x11111111
  mov byte [es:ebx + 4], 0x11
  add dword [es:ebx + 8], 1
  xchg eax, [es:ebx + 16]
  bts dword [es:ebx + 20], 3
  mov eax, [es:ebx]
  NOTHING eax, 0xFFFFFFFF
  EQ dword [es:ebx - 4], 0xCCCCCCCC
  AGAIN

  ; ---- over the end
  LOOPED
  CLEAN
  mov ebx, [top]
  mov dword [es:ebx - 2], 0x44332211
  EQ word [es:ebx - 2], 0x2211
  EQ word [es:ebx - 4], 0xCCCC
  mov eax, [es:ebx - 2]
  NOTHING eax, 0xFFFF2211
  mov eax, [es:ebx - 1]
  NOTHING eax, 0xFFFFFF22
  mov word [es:ebx - 1], 0x7788
  EQ byte [es:ebx - 1], 0x88
  AGAIN
  ; a carry that runs into what is not there
  LOOPED
  CLEAN
  mov ebx, [top]
  mov dword [es:ebx - 4], 0xFFFFFFCC
  inc dword [es:ebx - 3]
  cmp byte [onQEMU], 0
  jne .noCarry
  EQ dword [es:ebx - 4], 0x000000CC
.noCarry:
  AGAIN

  ; ---- strings over the end
  LOOPED
  CLEAN
  mov edi, [top]
  sub edi, 8
  mov ecx, 4
  mov eax, 0x66778899
  cld
  rep stosd
  mov ebx, [top]
  lea eax, [ebx + 8]
  EQ edi, eax
  EQ ecx, 0
  EQ dword [es:ebx - 8], 0x66778899
  EQ dword [es:ebx - 4], 0x66778899
  EQ dword [es:ebx - 12], 0xCCCCCCCC
  AGAIN
  LOOPED
  CLEAN
  ; downwards, bytes, from beyond
  mov edi, [top]
  add edi, 3
  mov ecx, 6
  mov al, 0x3D
  std
  rep stosb
  cld
  mov ebx, [top]
  lea eax, [ebx - 3]
  EQ edi, eax
  EQ word [es:ebx - 2], 0x3D3D
  EQ word [es:ebx - 4], 0xCCCC
  AGAIN
  LOOPED
  CLEAN
  ; from beyond into memory
  mov esi, [top]
  sub esi, 4
  mov edi, LINEAR
  mov ecx, 3
  es rep movsd
  EQ dword [SPACE], 0xCCCCCCCC
  NOTHING dword [SPACE + 4], 0xFFFFFFFF
  NOTHING dword [SPACE + 8], 0xFFFFFFFF
  AGAIN
  LOOPED
  ; ones as far as the eye can see
  mov edi, [top]
  mov ecx, 0x4000
  mov eax, 0xFFFFFFFF
  cmp byte [onQEMU], 0
  jne .noScan
  repe scasd
  EQ ecx, 0
.noScan:
  AGAIN

  ; ---- segment bases that wrap
  DESCRIPTOR FSEG, 0xFFFF0000, 0xFFFFF, 0x92, 0xC
  DESCRIPTOR GSEG, 0xFFFFFFFF, 0xFFFFF, 0x92, 0xC
  mov ax, FSEG
  mov fs, ax
  mov ax, GSEG
  mov gs, ax
  LOOPED
  mov ebx, LINEAR + 0x10000
  mov esi, LINEAR + 1
  mov eax, [rounds]
  mov [fs:ebx], eax
  EQ [gs:esi], eax
  EQ [SPACE], eax
  add dword [gs:esi + 8], 3
  lea ecx, [ebx + 0x7FFFFFF8]
  mov eax, [fs:ecx - 0x7FFFFFF0]          ; the sum wraps too
  EQ eax, [SPACE + 8]
  push dword [fs:ebx + 8]
  pop dword [gs:esi + 16]
  EQ eax, [SPACE + 16]
  mov edi, LINEAR + 32
  lea esi, [ebx + 8]
  fs movsd
  EQ eax, [SPACE + 32]
  AGAIN
  ; an operand whose linear address wraps in its middle: FFFFFFFEh and 0
  mov dword [es:0], 0x0BADCAFE
  LOOPED
  mov ebx, 0xFFFE
  mov eax, [fs:ebx]
  shr eax, 16
  EQ eax, 0xCAFE
  mov esi, 0xFFFFFFFF
  movzx eax, word [es:0]
  EQ eax, 0xCAFE
  mov esi, 0
  mov ax, [gs:esi]                        ; FFFFFFFFh and 0
  shr ax, 8
  EQ al, 0xFE
  AGAIN

  ; ---- 16-bit addresses wrap within 64 KiB
  mov dword [SPACE + 4], 0x600DF00D
  LOOPED
  mov ebx, 0xABCDF000
  mov esi, 0x12340400
  mov eax, [word bx + si + 4]
  EQ eax, 0x600DF00D
  mov bx, 0xFFFF
  mov di, (SPACE + 4 + 1) & 0xFFFF
  mov eax, [word bx + di]
  EQ eax, 0x600DF00D
  mov bp, 0x8000
  mov eax, [word bp + ((SPACE + 4 - 0x8000) & 0xFFFF)]
  EQ eax, 0x600DF00D
  AGAIN

  ; ---- stacks
  LOOPED
  mov [savedESP], esp
  mov ax, FLAT
  mov ss, ax
  mov esp, [top]
  add esp, 4
  push dword 0x12121212                   ; goes nowhere
  push dword 0x34343434
  pop eax
  EQ eax, 0x34343434
  pop eax
  NOTHING eax, 0xFFFFFFFF
  mov eax, [top]
  add eax, 4
  EQ esp, eax
  ; below 0: into the ROM
  mov ecx, [es:0xFFFFFFFC]
  mov esp, 0
  push dword 0x56565656
  EQ esp, 0xFFFFFFFC
  pop eax
  EQ eax, ecx
  EQ esp, 0
  mov esp, 8
  mov eax, 0x13579BDF
  pushad
  EQ esp, 0xFFFFFFE8
  EQ dword [es:4], 0x13579BDF
  mov dword [es:0], 0x0BADCAFE
  mov ax, DATA0
  mov ss, ax
  mov esp, [savedESP]
  AGAIN

  ; ---- a return address that went nowhere: #GP
  LOOPED
  cmp byte [onQEMU], 0
  jne near .noReturn
  mov [savedESP], esp
  mov ax, FLAT
  mov ss, ax
  mov esp, [top]
  add esp, 8
  mov dword [hook], leaveStack
  mov dword [vector], -1
  mov dword [resume], .returned
  call .callee
.callee:
  ret
.returned:
  mov dword [resume], 0
  mov dword [hook], 0
  EQ dword [vector], 13
.noReturn:
  AGAIN

  ; ---- code over the end: MOV EAX, imm32 whose last byte is not there, then FFh FFh, which is no instruction
  cmp byte [onQEMU], 0
  jne near .noCode
  DESCRIPTOR FLATCODE, 0, 0xFFFFF, 0x9A, 0xC
  LOOPED
  mov ebx, [top]
  mov dword [es:ebx - 4], 0x332211B8
  lea ecx, [ebx - 4]
  mov [target], ecx
  mov word [target + 4], FLATCODE
  mov dword [vector], -1
  mov dword [resume], BASE + .ran
  jmp far [target]
.ran:
  jmp CODE0:.back
.back:
  mov dword [resume], 0
  EQ dword [vector], 6
  EQ eax, 0xFF332211
  inc ebx
  EQ dword [faultEIP], ebx
  AGAIN
.noCode:

  ; ---- and all that stayed as it was
  mov edi, 0x500
  mov ecx, 64
  mov eax, 0x01234567
  repe scasd
  EQ ecx, 0
  ret

; Back to the stack that was left.
leaveStack:
  pop eax
  mov cx, DATA0
  mov ss, cx
  mov esp, [savedESP]
  jmp dword [resume]

  align 4
top: dd 0
rounds: dd 0
savedESP: dd 0
target: dd 0, 0
%include "end.inc"
