; Locks the tray of the CD drive that is the secondary master and tells l by port E9h (and in words on the screen); asks the drive for events (MMC-3, GET EVENT STATUS
; NOTIFICATION, polled, class media) and tells r for each request of its user to let go of the disc. Where the last byte before the signature is 0
; it unlocks the tray then and tells u; where it is not, it keeps the tray locked. Runs on a 386.
  bits 16
  cpu 386
  org 0x7C00

  jmp 0:start
start:
  xor ax, ax
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, 0x7C00
  cli
  cld
  mov dx, 0x376                ; no interrupts of the channel
  mov al, 2
  out dx, al
  mov cx, 4                    ; what the drive has to say of its reset and its disc
.ready:
  push cx
  mov si, unit_ready
  call packet
  pop cx
  loop .ready
  mov si, lock_tray
  call packet
  mov al, 'l'
  out 0xE9, al
  mov si, message
  mov bx, 7
.letter:
  lodsb
  mov ah, 0x0E
  int 0x10
  cmp byte [si], 0
  jne .letter
.poll:
  mov cx, 1000
.wait:
  out 0x80, al                 ; a microsecond
  loop .wait
  mov byte [answer + 4], 0
  mov si, event
  call packet
  mov al, [answer + 4]
  and al, 15
  cmp al, 1
  jne .poll
  mov al, 'r'
  out 0xE9, al
  cmp byte [keeps], 0
  jne .poll
  mov si, unlock_tray
  call packet
  mov al, 'u'
  out 0xE9, al
.end:
  sti
  hlt
  jmp .end

; Gives the packet at si to the drive; what it answers goes to `answer`.
packet:
  mov dx, 0x176
  mov al, 0xA0
  out dx, al
  mov dx, 0x171                ; by PIO
  xor al, al
  out dx, al
  mov dx, 0x174
  mov al, 8
  out dx, al
  inc dx
  xor al, al
  out dx, al
  mov dx, 0x177
  mov al, 0xA0
  out dx, al
  call settle
  mov dx, 0x170
  mov cx, 6
  rep outsw
  call settle
  test al, 8
  jz .done
  mov dx, 0x170
  mov cx, 4
  mov di, answer
  rep insw
  call settle
.done:
  ret

; Waits until the drive is not busy. Out: al = status.
settle:
  mov dx, 0x376
  in al, dx
  in al, dx
.busy:
  in al, dx
  test al, 0x80
  jnz .busy
  ret

unit_ready:
  times 12 db 0
lock_tray:
  db 0x1E, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0
unlock_tray:
  db 0x1E, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
event:
  db 0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8, 0, 0, 0

message:
  db "the tray is locked", 0

answer equ 0x7E00

  times 509 - ($ - $$) db 0
keeps:
  db 0
  dw 0xAA55
