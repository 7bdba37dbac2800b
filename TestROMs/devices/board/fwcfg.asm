; The firmware configuration device: items byte by byte and in strings, the directory of files, requests in memory with their errors.
; Bochs has none.
; Follows: QEMU's docs/specs/fw_cfg.
%include "common.inc"

SELECTOR equ 0x510
DATA equ 0x511
ADDRESS_HIGH equ 0x514
ADDRESS_LOW equ 0x518

C_READ equ 2
C_SKIP equ 4
C_SELECT equ 8
C_WRITE equ 16

; REQUEST item, control, length, address: fills in the request in memory and has it carried out; EAX: control as it comes back.
%macro REQUEST 4
  push dword %4
  push dword %3
  push dword (%1) << 16 | (%2)
  call doRequest
%endmacro
; ANSWER value, text: the low word of what came back; the high word is 0.
%macro ANSWER 2+
  push eax
  shr eax, 16
  IS16 0, %2
  pop eax
  IS16 %1, %2
%endmacro
%macro SELECT 1
  mov ax, %1
  mov dx, SELECTOR
  out dx, ax
%endmacro

test:
  UNLESS BOCHS
  ; ---- byte by byte
  SELECT 0
  READS DATA, 'Q', "the signature's first byte"
  READS DATA, 'E', "its second"
  OUTB SELECTOR, 0
  OUTB DATA, 0
  READS DATA, 'M', "bytes neither select nor write"
  READS DATA, 'U', "its last"
  READS DATA, 0, "zeros behind the end"
  READS DATA, 0, "and more of them"
  SELECT 0x4000
  READS DATA, 'Q', "bit 14 chooses no other item"
  SELECT 1
  READS DATA, 3, "ports and requests"
  SELECT 0x3FF0
  READS DATA, 0, "an item that there is not"

  ; ---- strings
  SELECT 0
  mov ax, BUFFER_SEG
  mov es, ax
  mov di, 0x100
  mov al, 0xEE
  mov cx, 16
  rep stosb
  mov di, 0x100
  mov dx, DATA
  mov cx, 7
  rep insb
  mov eax, [es:0x100]
  cmp eax, 'QEMU'
  HOLDS e, "a string of bytes"
  mov eax, [es:0x104]
  cmp eax, 0xEE000000
  HOLDS e, "with zeros behind the end, and no more than was asked for"

  ; ---- the address register
  mov dx, ADDRESS_HIGH
  in eax, dx
  cmp eax, 'QEMU'
  HOLDS e, "there are requests"
  mov dx, ADDRESS_LOW
  in eax, dx
  cmp eax, ' CFG'
  HOLDS e, "there are requests (low half)"
  READS ADDRESS_LOW + 2, 'F', "a byte of it"

  ; ---- requests
  mov dword [es:0x200], 0xEEEEEEEE
  mov dword [es:0x204], 0xEEEEEEEE
  REQUEST 0, C_SELECT | C_READ, 6, BUFFER_SEG * 16 + 0x200
  ANSWER 0, "select and read"
  mov eax, [es:0x200]
  cmp eax, 'QEMU'
  HOLDS e, "what was read"
  mov eax, [es:0x204]
  cmp eax, 0xEEEE0000
  HOLDS e, "zeros behind the end, and no more than was asked for, by request"
  REQUEST 0, C_SELECT, 0, 0
  ANSWER 0, "select"
  REQUEST 0, C_SKIP, 2, 0
  ANSWER 0, "skip"
  REQUEST 0, C_READ, 1, BUFFER_SEG * 16 + 0x200
  ANSWER 0, "read on"
  mov al, [es:0x200]
  IS 'M', "after what was skipped"
  READS DATA, 'U', "the ports go on from there"
  REQUEST 0, C_SKIP, 0x7FFFFFFF, 0
  ANSWER 0, "skip beyond the end"
  READS DATA, 0, "nothing is left"
  REQUEST 0, 0, 1, BUFFER_SEG * 16 + 0x200
  ANSWER 0, "nothing asked for"
  mov al, [es:0x200]
  IS 'M', "nothing moved"

  ; ---- errors
  REQUEST 0, C_SELECT | C_WRITE, 4, BUFFER_SEG * 16 + 0x200
  ANSWER 1, "the signature is not to be written"
  REQUEST 0x3FF0, C_SELECT | C_WRITE, 4, BUFFER_SEG * 16 + 0x200
  ANSWER 1, "what is not there is not to be written"
  REQUEST 0, C_SELECT | C_READ, 4, 0xE0000000
  ANSWER 1, "a place without memory"
  REQUEST 0, C_SELECT | C_READ | C_WRITE, 4, BUFFER_SEG * 16 + 0x200
  ANSWER 0, "reading comes before writing"

  ; ---- a request elsewhere is not this one; the upper half is used once
  mov dword [request], 0x0A000000
  mov eax, 0x01000000
  mov dx, ADDRESS_HIGH
  out dx, eax
  mov eax, SEG * 16 + request
  bswap eax
  mov dx, ADDRESS_LOW
  out dx, eax
  mov eax, [request]
  cmp eax, 0x0A000000
  HOLDS e, "4 GiB above nothing is seen of it"
  REQUEST 0, C_SELECT, 0, 0
  ANSWER 0, "the upper half is 0 again"

  ; ---- over itself: the answer comes last
  REQUEST 0, C_SELECT | C_READ, 16, SEG * 16 + request
  ANSWER 0, "a request that overwrites itself"
  mov eax, [request + 4]
  or eax, [request + 8]
  or eax, [request + 12]
  HOLDS z, "what was read is there"

  ; ---- files
  REQUEST 0x19, C_SELECT | C_READ, 4, BUFFER_SEG * 16
  mov ecx, [es:0]
  bswap ecx
  mov [count], cx
  mov ax, cx
  BETWEEN 1, 64, "there are files"
  ; All of the directory.
  movzx eax, word [count]
  shl eax, 6
  add eax, 4
  REQUEST 0x19, C_SELECT | C_READ, eax, BUFFER_SEG * 16
  ANSWER 0, "the directory"
  push ds
  mov ax, es
  mov ds, ax
  mov cx, [cs:count]
  mov bx, 4
  xor bp, bp
.file:
  mov al, [bx + 4]
  mov ah, [bx + 5]
  xchg al, ah
  sub ax, 0x20
  cmp ax, bp
  jne .wrongNumber
  cmp cx, 1
  je .last
  lea si, [bx + 8]
  lea di, [bx + 64 + 8]
  push cx
  mov cx, 56
  repe cmpsb
  pop cx
  jae .wrongOrder
.last:
  inc bp
  add bx, 64
  loop .file
  xor ax, ax
  jmp .known
.wrongNumber:
  mov ax, 1
  jmp .known
.wrongOrder:
  mov ax, 2
.known:
  pop ds
  IS16 0, "files are sorted, and numbered from 20h on"
  ; The memory map's first range begins at 0 and is RAM.
  mov cx, [count]
  mov bx, 4
.search:
  lea di, [bx + 8]
  mov si, mapName
  push cx
  mov cx, mapName.end - mapName
  repe cmpsb
  pop cx
  je .found
  add bx, 64
  loop .search
  cmp bx, 0
  HOLDS e, "there is etc/e820"
  jmp .end
.found:
  mov ax, [es:bx + 4]
  xchg al, ah
  mov dx, SELECTOR
  out dx, ax
  mov di, 0x4000
  mov dx, DATA
  mov cx, 20
  rep insb
  mov eax, [es:0x4000]
  or eax, [es:0x4004]
  HOLDS z, "the map begins at 0"
  mov eax, [es:0x4010]
  cmp eax, 1
  HOLDS e, "with RAM"
.end:
  mov ax, SEG
  mov es, ax
  ENDUNLESS
  ret

; Control, length and the low half of the address on the stack.
doRequest:
  push bp
  mov bp, sp
  push dx
  mov eax, [bp + 4]
  bswap eax
  mov [request], eax
  mov eax, [bp + 8]
  bswap eax
  mov [request + 4], eax
  mov dword [request + 8], 0
  mov eax, [bp + 12]
  bswap eax
  mov [request + 12], eax
  mov eax, SEG * 16 + request
  bswap eax
  mov dx, ADDRESS_LOW
  out dx, eax
  mov eax, [request]
  bswap eax
  pop dx
  pop bp
  ret 12

  align 16
request: times 16 db 0
count: dw 0
mapName: db "etc/e820", 0
.end:
%include "end.inc"
