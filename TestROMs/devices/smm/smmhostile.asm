; RSM with maps that a processor must not take: it shuts down, which the board answers with a reset by the shutdown byte (INIT). SMBASE outlives
; that. And maps that are odd, but taken as they are.
; Expected: PASS. QEMU takes them all and is left out, as is Bochs, whose map may be another.
; Follows: Intel SDM volume 3, chapter "System Management Mode" ("Exiting from SMM", "SMBASE relocation"); IBM AT Technical Reference (shutdown byte).
%define MARK 0x504
%define PHASE 0x508
%include "common.inc"
%include "smm.inc"

test:
  xor ax, ax
  mov gs, ax
  test byte [platform], QEMU | BOCHS
  jz .here
  ret
.here:
  call setUp
  je .there
  ret
.there:
  ; a reset of the processor alone: the shutdown byte is not 0
  OUTB 0x70, 0x0F
  OUTB 0x71, 5
  cmp dword [gs:MARK], 'KEEP'
  je .again
  mov dword [gs:MARK], 'KEEP'
  mov word [gs:PHASE], 0
  ; SMBASE elsewhere
  HANDLE move
  SMI 1
  jmp .next
.again:
  inc word [gs:PHASE]
.next:
  mov ax, 0x4000
  call putEntrance
  HANDLE recordMap
  SMI 1
  mov ax, [seen.cs]
  IS16 0x4000, "SMBASE after INIT"
  mov bx, [gs:PHASE]
  shl bx, 1
  mov ax, [bx + hostile]
  test ax, ax
  jz .odd
  mov [handler], ax
  SMI 1
  mov ax, [gs:PHASE]
  IS16 0xFFFF, "RSM with a hostile map returned, of the number"
  jmp .again
.odd:
  mov ax, [gs:PHASE]
  IS16 (hostileEnd - hostile) / 2, "hostile maps"
  mov dword [gs:MARK], 0
  OUTB 0x70, 0x0F
  OUTB 0x71, 0

  ; taken as they are
  HANDLE virtual
  SMI 1
  pushfd
  pop eax
  EQUALS eax, 0x46, "EFLAGS.VM in real mode is nothing, nor are bits that there are not"
  HANDLE unusable
  mov al, 13
  mov dx, onFault
  call setVector
  SMI 1
  mov al, [es:0]
  mov al, [faults]
  IS 1, "a segment register that was made unusable"
  push ds
  pop es
  mov al, [es:0]
  mov al, [faults]
  IS 1, "until it is loaded"
  HANDLE limits
  SMI 1
  sgdt [table]
  mov ax, [table]
  IS16 0x5678, "a limit of 16 bits"
  HANDLE wild
  SMI 1
.back:
  mov al, [faults]
  IS 2, "an EIP beyond the segment's limit faults"
  ret

move:
  mov dword [newBase], 0x40000
  jmp relocate

hostile: dw pagingWithoutProtection, notWriteThrough, reservedCR4, highestCR4, pointers, ones
hostileEnd: dw 0
pagingWithoutProtection:
  or dword [fs:ebx + 0xFFFC], 0x80000000
  ret
notWriteThrough:
  or dword [fs:ebx + 0xFFFC], 0x20000000
  and dword [fs:ebx + 0xFFFC], ~0x40000000
  ret
reservedCR4:
  or dword [fs:ebx + 0xFF14], 0x800
  ret
highestCR4:
  or dword [fs:ebx + 0xFF14], 0x80000000
  ret
; PAE with a reserved bit in a page-directory pointer
pointers:
  mov dword [fs:dword 0x50000], 0x51003
  mov dword [fs:dword 0x50004], 0
  or dword [fs:ebx + 0xFF14], 0x20
  mov dword [fs:ebx + 0xFFF8], 0x50000
  or dword [fs:ebx + 0xFFFC], 0x80000001
  ret
; all of it
ones:
  mov cx, 128
.next:
  mov dword [fs:ebx + 0xFE00], 0xFFFFFFFF
  add ebx, 4
  loop .next
  ret

virtual:
  mov dword [fs:ebx + 0xFFF4], 0xFFC20046
  ret
unusable:
  mov dword [fs:ebx + 0xFF84], 0
  ret
limits:
  mov dword [fs:ebx + 0xFF70], 0xFFFF5678
  ret
wild:
  mov dword [fs:ebx + 0xFFF0], 0x12345678
  mov word [faultGoes], test.back
  ret

; #GP: goes on behind the instruction (of 4 bytes), or where [faultGoes] says.
onFault:
  push bp
  mov bp, sp
  push ax
  inc byte [cs:faults]
  mov ax, [cs:faultGoes]
  test ax, ax
  jnz .there
  mov ax, [bp + 2]
  add ax, 4
.there:
  mov [bp + 2], ax
  pop ax
  pop bp
  iret

  align 4
faultGoes: dw 0
faults: db 0
  align 4
table: dd 0, 0
%include "end.inc"
