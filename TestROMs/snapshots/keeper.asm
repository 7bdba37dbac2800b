; Keeps in memory what every sector of its disk and every page of its memory has to hold, and compares all the time: memory, disk and devices
; of different moments, put together, end it through port F4h with code 3 (a sector) or 5 (a page), and an error of the disk with 7. After
; ROUNDS rounds all is well: code 1.
  bits 16
  org 0x7C00

%define ROUNDS 3000
%define SECTORS 512
%define STRIDE 37            ; sectors between two that are used: several in a cluster of 64 KiB, and many clusters
%define SUMS 0x1000          ; segment: for each sector a word, what it was filled with; 0: zeros
%define MARKS 0x1100         ; the same for pages
%define PAGES 64
%define FIRST_PAGE 0x2000    ; segment of the first of them
%define BUFFER 0x8000

  jmp 0:start
start:
  cli
  xor ax, ax
  mov ds, ax
  mov ss, ax
  mov sp, 0x7C00
  sti
  cld
  mov ax, SUMS
  mov es, ax
  xor di, di
  xor ax, ax
  mov cx, 0x8000
  rep stosw
  mov ax, MARKS
  mov es, ax
  xor di, di
  mov cx, 0x800
  xor ax, ax
  rep stosw
  ; pages begin with zeros
  mov dx, FIRST_PAGE
  mov bx, PAGES
.clear:
  mov es, dx
  xor di, di
  mov cx, 0x800
  xor ax, ax
  rep stosw
  add dx, 0x100
  dec bx
  jnz .clear

round:
  inc word [counter]
  ; one sector is written
  call random
  and ax, SECTORS - 1
  mov [sector], ax
  push ds
  pop es
  mov di, BUFFER
  mov cx, 256
  mov ax, [counter]
.fill:
  stosw
  inc ax
  loop .fill
  mov ah, 0x43
  call transfer
  mov bx, [sector]
  shl bx, 1
  mov ax, SUMS
  mov es, ax
  mov ax, [counter]
  mov [es:bx], ax
  ; another is read
  call random
  and ax, SECTORS - 1
  mov [sector], ax
  mov ah, 0x42
  call transfer
  mov bx, [sector]
  shl bx, 1
  mov ax, SUMS
  mov es, ax
  mov ax, [es:bx]
  mov si, BUFFER
  mov cx, 256
  mov dx, 1
  or ax, ax
  jnz .compare
  xor dx, dx
.compare:
  cmp ax, [si]
  jne badSector
  add si, 2
  add ax, dx
  loop .compare
  ; one page is written, another compared
  call random
  and ax, PAGES - 1
  mov bx, ax
  shl bx, 1
  call pageSegment
  mov ax, [counter]
  xor di, di
  mov [es:di], ax
  mov [es:0xFFE], ax
  mov ax, MARKS
  mov es, ax
  mov ax, [counter]
  mov [es:bx], ax
  call random
  and ax, PAGES - 1
  mov bx, ax
  shl bx, 1
  mov ax, MARKS
  mov es, ax
  mov dx, [es:bx]
  call pageSegment
  cmp dx, [es:0]
  jne badPage
  cmp dx, [es:0xFFE]
  jne badPage
  cmp word [counter], ROUNDS
  jb round
  mov al, 1
end:
  out 0xF4, al
  hlt
badSector:
  mov al, 3
  jmp end
badPage:
  mov al, 5
  jmp end
badDisk:
  mov al, 7
  jmp end

; es becomes the segment of page bx / 2.
pageSegment:
  mov ax, bx
  shl ax, 7
  add ax, FIRST_PAGE
  mov es, ax
  ret

; Transfers [sector] with function ah.
transfer:
  push ax
  mov ax, [sector]
  mov cx, STRIDE
  mul cx
  inc ax
  mov [packet.block], ax
  adc dx, 0
  mov [packet.block + 2], dx
  pop ax
  mov al, 0
  mov si, packet
  mov dl, 0x80
  int 0x13
  jc badDisk
  cld
  ret

; ax becomes a number that nobody expects.
random:
  mov eax, [seed]
  imul eax, eax, 1664525
  add eax, 1013904223
  mov [seed], eax
  shr eax, 16
  ret

seed: dd 1
counter: dw 0
sector: dw 0
  align 4
packet:
  db 16, 0
  dw 1, BUFFER, 0
.block:
  dq 0

  times 510 - ($ - $$) db 0
  dw 0xAA55
