; Memory attributes of the host bridge: each segment between C0000h and FFFFFh in all four combinations, as data and as code, code that tries
; to change itself in a write-protected segment, and the SMRAM register. Boards without the bridge pass at once.
; Runs on QEMU with -M pc, which has no segments that are only written, no lock, and RAM where nothing is.
; Follows: Intel 82441FX data sheet, PAM registers 59h-5Fh, SMRAM register 72h.
%include "common.inc"

%define PAM 0x59

; PAM_SET segment number (0-12, C0000h first, F0000h last), bits
%macro PAM_SET 2
  mov bl, %1
  mov al, %2
  call setPAM
%endmacro

test:
  mov edi, 0x80000000
  call readDword
  cmp eax, 0x12378086
  je .bridge
  ret
.bridge:
  mov cl, PAM
.reset:
  call readByte
  IS 0, "a PAM register after reset"
  inc cl
  cmp cl, PAM + 7
  jb .reset
  mov cl, 0x72
  call readByte
  IS 0x02, "SMRAM after reset"
  UNLESS QEMU
  ; the bits that there are not
  mov cl, PAM
  mov al, 0xCC
  call writeByte
  call readByte
  IS 0, "reserved bits of a PAM register"
  ENDUNLESS

  ; ---- every segment
  mov byte [number], 0
.segments:
  call oneSegment
  inc byte [number]
  cmp byte [number], 13
  jb .segments

  ; ---- neighbours are not touched
  PAM_SET 4, 3
  PAM_SET 5, 3
  mov ax, 0xD000
  mov es, ax
  mov dword [es:0x3FFC], 0x11112222
  mov dword [es:0x4000], 0x33334444
  PAM_SET 4, 1
  mov dword [es:0x3FFE], 0x55556666          ; half of it is protected
  mov ax, [es:0x3FFE]
  IS16 0x1111, "the protected half of a word over two segments"
  mov ax, [es:0x4000]
  IS16 0x5555, "its other half"

  ; ---- operations that read, change and write
  mov word [es:0x4100], 7
  PAM_SET 5, 1
  inc word [es:0x4100]
  lock add word [es:0x4100], 5
  mov ax, 9
  xchg ax, [es:0x4100]
  IS16 7, "XCHG with protected memory reads it"
  mov ax, 1
  xadd [es:0x4100], ax
  IS16 7, "so does XADD"
  bts word [es:0x4100], 8
  mov ax, [es:0x4100]
  IS16 7, "none of them has written"
  cld
  xor ax, ax
  mov di, 0x4000
  mov cx, 0x2000
  rep stosw
  xor si, si
  mov di, 0x4000
  mov cx, 0x4000
  rep movsb
  mov ax, [es:0x4100]
  IS16 7, "nor have STOS and MOVS"
  or di, di
  push word 0x1234
  pop word [es:0x4100]
  mov ax, [es:0x4100]
  IS16 7, "nor has POP"
  fnstcw [es:0x4100]
  mov ax, [es:0x4100]
  IS16 7, "nor has FSTCW"

  ; ---- code
  PAM_SET 4, 3
  push ds
  pop ax
  mov si, routine
  xor di, di
  mov cx, routineEnd - routine
  rep movsb
  PAM_SET 4, 1
  mov cx, 3000
.protected:
  call 0xD000:0
  cmp ax, 0x1111
  jne .wrong
  loop .protected
.wrong:
  IS16 0x1111, "code in a protected segment does not change itself"
  PAM_SET 4, 3
  call 0xD000:0
  IS16 0x1112, "writable, it does"
  mov cx, 500
.writable:
  call 0xD000:0
  loop .writable
  IS16 0x1111 + 501, "each time"
  PAM_SET 4, 1
  call 0xD000:0
  IS16 0x1111 + 501, "and keeps it"
  ; changed while it cannot be seen
  PAM_SET 4, 3
  mov word [es:1], 0x7777
  PAM_SET 4, 0
  mov ax, [es:1]
  cmp ax, 0x7777
  HOLDS ne, "without RAM the segment is not seen"
  PAM_SET 4, 1
  call 0xD000:0
  IS16 0x7777, "code that was changed before its segment came back"
  UNLESS QEMU
  ; through a segment that is only written
  PAM_SET 4, 2
  mov word [es:1], 0x6666
  mov ax, [es:1]
  IS16 0xFFFF, "a segment that is only written is not read"
  PAM_SET 4, 1
  call 0xD000:0
  IS16 0x6666, "but has what was written"
  ENDUNLESS
  ; the write that closes the segment comes from inside of it
  PAM_SET 4, 3
  mov si, closing
  mov di, 0x200
  mov cx, closingEnd - closing
  rep movsb
  call 0xD000:0x200
  IS16 0x2121, "code that makes its own segment protected goes on"
  mov word [es:0], 0
  mov al, [es:0]
  IS 0xB8, "and is protected"

  ; ---- SMRAM
  mov cl, 0x72
  mov al, 0x4A
  call writeByte
  mov ax, 0xA000
  mov es, ax
  mov dword [es:0x8000], 0x5A5AA5A5
  mov si, routine
  xor di, di
  mov cx, routineEnd - routine
  rep movsb
  mov al, 0xC3
  call 0xA000:0
  IS16 0x1112, "code in SMRAM"
  mov cl, 0x72
  mov al, 0x0A
  call writeByte
  mov eax, [es:0x8000]
  cmp eax, 0x5A5AA5A5
  HOLDS ne, "closed, the video memory is seen"
  mov byte [es:0x8000], 0
  mov al, 0x4A
  call writeByte
  mov ax, [es:0x8000]
  IS16 0xA5A5, "opened again, it has kept what it had"
  call 0xA000:0
  IS16 0x1113, "and its code runs"
  UNLESS QEMU
  mov cl, 0x72
  mov al, 0x1A
  call writeByte
  call readByte
  IS 0x1A, "locked"
  mov al, 0x4A
  call writeByte
  call readByte
  IS 0x1A, "what is locked is not opened"
  cmp dword [es:0x8000], 0x5A5AA5A5
  HOLDS ne, "the video memory stays"
  ENDUNLESS
  ret

; One segment, [number], in the combinations; its bytes at both ends.
oneSegment:
  mov bl, [number]
  movzx ax, bl
  shl ax, 10
  add ax, 0xC000
  mov es, ax
  mov di, 0x3FFC
  cmp bl, 12
  jne .size
  mov di, 0xFFFC
.size:
  mov [last], di
  ; what is there without RAM; in QEMU that is RAM from E0000h to EFFFFh
  mov eax, [es:0]
  mov [romFirst], eax
  mov eax, [es:di]
  mov [romLast], eax
  UNLESS QEMU
  mov dword [es:0], 0x01234567
  mov eax, [es:0]
  cmp eax, [romFirst]
  HOLDS e, "without RAM nothing is written"
  ENDUNLESS
  mov al, 3
  call setPAM
  mov dword [es:0], 0x89ABCDEF
  mov dword [es:di], 0x76543210
  mov eax, [es:0]
  cmp eax, 0x89ABCDEF
  HOLDS e, "RAM at the start"
  mov eax, [es:di]
  cmp eax, 0x76543210
  HOLDS e, "RAM at the end"
  mov al, 1
  call setPAM
  mov dword [es:0], 0
  mov dword [es:di], 0
  mov eax, [es:0]
  cmp eax, 0x89ABCDEF
  HOLDS e, "protected at the start"
  mov eax, [es:di]
  cmp eax, 0x76543210
  HOLDS e, "protected at the end"
  UNLESS QEMU
  mov al, 2
  call setPAM
  mov dword [es:0], 0x0BADF00D
  mov eax, [es:0]
  cmp eax, [romFirst]
  HOLDS e, "only written, the ROM is read"
  mov al, 1
  call setPAM
  mov eax, [es:0]
  cmp eax, 0x0BADF00D
  HOLDS e, "and the RAM beneath was written"
  ENDUNLESS
  mov al, 0
  call setPAM
  UNLESS QEMU
  mov eax, [es:0]
  cmp eax, [romFirst]
  HOLDS e, "the ROM again"
  mov eax, [es:di]
  cmp eax, [romLast]
  HOLDS e, "at the end too"
  ENDUNLESS
  ret

; Sets segment BL's bits to AL. Changes nothing.
setPAM:
  pushad
  mov cl, PAM
  mov ch, al
  shl ch, 4
  mov dl, 0x0F
  cmp bl, 12
  je .set
  mov cl, bl
  shr cl, 1
  add cl, PAM + 1
  test bl, 1
  jnz .set
  mov ch, al
  mov dl, 0xF0
.set:
  call readByte
  and al, dl
  or al, ch
  call writeByte
  popad
  ret

; Configuration space of the bridge: the register in CL, the byte in AL.
select:
  push ax
  mov eax, 0x80000000
  mov al, cl
  and al, 0xFC
  mov dx, 0xCF8
  out dx, eax
  pop ax
  movzx dx, cl
  and dl, 3
  add dx, 0xCFC
  ret
readByte:
  push dx
  push eax
  call select
  pop eax
  in al, dx
  pop dx
  ret
writeByte:
  push dx
  push eax
  mov dl, al
  push dx
  call select
  pop ax
  out dx, al
  pop eax
  pop dx
  ret
; The dword at the configuration address in EDI.
readDword:
  mov eax, edi
  mov dx, 0xCF8
  out dx, eax
  mov dx, 0xCFC
  in eax, dx
  ret

; Gives its number and tries to add one to it, first.
routine:
  mov ax, 0x1111
  inc word [cs:1]
  mov ax, [cs:1]
  retf
routineEnd:

; Makes the segment it is in protected: PAM3, low half.
closing:
  mov eax, 0x8000005C
  mov dx, 0xCF8
  out dx, eax
  mov dx, 0xCFC
  in al, dx
  and al, 0xF0
  or al, 1
  out dx, al
  mov ax, 0x2121
  mov word [cs:0x200], 0
  retf
closingEnd:

number: db 0
  align 4
last: dw 0, 0
romFirst: dd 0
romLast: dd 0
%include "end.inc"
