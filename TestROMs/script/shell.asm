; A small shell for what waits for text: a prompt, typed lines that are echoed, and commands that show text in different ways.
; The echo goes to the screen and through COM1. A line's first letter is the command:
;   v  a while later "ver is 1.0"            n  nothing but the next prompt
;   c  clears the screen                     m  fifty lines as fast as the BIOS scrolls, "needle" in the middle
;   d  the screen moved up by one row, drawn anew from a buffer in RAM (as programs do that never read video memory)
;   b  "Busy", which is overwritten with blanks half a second later
;   s  "over COM1" and a prompt "# " through COM1
;   k  as many rows as the screen has, then a row drawn over and over ("50 %", "51 %", ...)
;   p  asks for "Password: " and reads a line without echo, then says "in as guest"
;   q  ends through port F4h
  bits 16
  org 0x7C00
  xor ax, ax
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, 0x7C00
  sti
  mov ax, 0x0201                ; the second sector has the rest
  mov bx, more
  mov cx, 0x0002
  mov dx, 0
  int 0x13
  jmp more

; Prints the text at SI.
print:
  lodsb
  test al, al
  jz .done
  call put
  jmp print
.done:
  ret
put:
  push bx
  mov ah, 0x0E
  mov bx, 7
  int 0x10
  pop bx
  ret

; Waits for AX ticks of 55 ms.
pause:
  mov bx, [0x46C]
  add bx, ax
.again:
  hlt
  cmp [0x46C], bx
  jne .again
  ret

; A byte through COM1.
send:
  mov dx, 0x3FD
  mov ah, al
.full:
  in al, dx
  test al, 0x20
  jz .full
  mov dx, 0x3F8
  mov al, ah
  out dx, al
  ret
sends:
  lodsb
  test al, al
  jz .done
  call send
  jmp sends
.done:
  ret

; Reads a line to `line`; BL: 0 no echo. The echo goes through COM1, too.
read:
  mov di, line
.key:
  xor ax, ax
  int 0x16
  cmp al, 13
  je .end
  stosb
  test bl, bl
  jz .key
  call put
  call send
  jmp .key
.end:
  mov byte [di], 0
newline:
  mov al, 13
  call put
  mov al, 10
  jmp put

prompt: db "A:\>", 0
version: db "ver is 1.0", 13, 10, 0
needle: db "a needle", 13, 10, 0
hay: db "hay hay", 13, 10, 0
busy: db "Busy", 0
blanks: db 13, "     ", 13, 0
password: db "Password: ", 0
welcome: db "in as guest", 13, 10, 0
serial: db 13, 10, "over COM1", 13, 10, "# ", 0
times 510-($-$$) db 0
  dw 0xAA55

more:
  mov si, prompt
  call print
  mov bl, 1
  call read
  mov al, [line]
  mov si, table
.find:
  cmp byte [si], 0
  je more
  cmp al, [si]
  je .found
  add si, 3
  jmp .find
.found:
  call [si+1]
  jmp more

table:
  db "v"
  dw ver
  db "n"
  dw nothing
  db "c"
  dw clear
  db "m"
  dw many
  db "d"
  dw draw
  db "b"
  dw wait_busy
  db "s"
  dw over
  db "k"
  dw percent
  db "p"
  dw login
  db "q"
  dw quit
  db 0

nothing:
  ret
ver:
  mov ax, 5
  call pause
  mov si, version
  jmp print
clear:
  mov ax, 3
  int 0x10
  ret
many:
  mov cx, 50
.next:
  mov si, hay
  cmp cx, 25
  jne .put
  mov si, needle
.put:
  push cx
  call print
  pop cx
  loop .next
  ret
draw:
  ; What is on the screen is known from a buffer that is not video memory: here a copy that is read once, long before.
  push ds
  push es
  mov ax, 0xB800
  mov ds, ax
  mov ax, 0x2000
  mov es, ax
  xor si, si
  xor di, di
  mov cx, 2000
  rep movsw
  pop es
  pop ds
  mov ax, 3
  call pause
  push ds
  push es
  mov ax, 0x2000
  mov ds, ax
  mov ax, 0xB800
  mov es, ax
  mov si, 160
  xor di, di
  mov cx, 1920
  rep movsw
  mov ax, 0x0720
  mov cx, 80
  rep stosw
  pop es
  pop ds
  ; The cursor moves up with it.
  mov ah, 3
  mov bh, 0
  int 0x10
  dec dh
  mov ah, 2
  int 0x10
  ret
wait_busy:
  mov si, busy
  call print
  mov ax, 9
  call pause
  mov si, blanks
  jmp print
over:
  mov si, serial
  jmp sends
percent:
  mov cx, 10
  mov dl, "0"
.next:
  mov al, 13
  call put
  mov al, "5"
  call put
  mov al, dl
  call put
  mov al, "%"
  call put
  inc dl
  loop .next
  jmp newline
login:
  mov si, password
  call print
  mov bl, 0
  call read
  mov si, welcome
  jmp print
quit:
  mov al, 1
  out 0xF4, al
  jmp $
times 1024-($-$$) db 0
line:
