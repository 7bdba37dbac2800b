; Plug and Play ISA: initiation key, isolation of two cards, card select numbers, resource data, configuration registers, range checks,
; commands, and the serial ports of both cards where they were put. For a machine with two cards `pnp-uart` (--device pnp-uart, twice);
; QEMU and Bochs have none.
; Follows: Plug and Play ISA Specification 1.0a.
%include "common.inc"

%define ADDRESS 0x279
%define WRITE 0xA79
%define READ 0x20B
%define OTHER 0x213            ; another place to read at
%macro REGISTER 1
  OUTB ADDRESS, %1
%endmacro
%macro PNP_OUT 2               ; register, value
  OUTB ADDRESS, %1
  OUTB WRITE, %2
%endmacro
%macro PNP_IN 1
  OUTB ADDRESS, %1
  INB READ
%endmacro
%macro PNP_IS 3+
  PNP_IN %1
  IS %2, %3
%endmacro
; AL: requests of an 8259A
%macro REQUESTS 1              ; command port
  OUTB %1, 0x0A
  in al, %1
%endmacro

test:
  UNLESS QEMU | BOCHS
  ; ---- before the key nothing answers
  PNP_OUT 3, 0
  PNP_OUT 0, READ >> 2
  PNP_IS 1, 0xFF, "no key, no answer"
  ; a key with a wrong byte is none
  mov byte [key + 23], 0x55
  call sendKey
  mov byte [key + 23], 0xD1
  PNP_OUT 3, 0
  PNP_OUT 0, READ >> 2
  PNP_IS 1, 0xFF, "a wrong key, no answer"

  ; ---- isolation
  call sendKey
  PNP_OUT 2, 4                 ; no numbers
  PNP_IS 1, 0xFF, "asleep"
  PNP_OUT 3, 0
  PNP_IS 1, 0xFF, "no port to read at"
  PNP_OUT 0, OTHER >> 2
  call isolateAtRead
  HOLDS nz, "nobody answers where no card was told to"
  PNP_OUT 3, 0
  PNP_OUT 0, READ >> 2
  call isolateAtRead
  HOLDS z, "one card is left, its checksum is right"
  mov al, [identity]
  IS 0x06, "vendor and product: AP"
  mov al, [identity + 1]
  IS 0x15, "PU"
  mov al, [identity + 2]
  IS 0x05, "05"
  mov al, [identity + 3]
  IS 0x01, "01"
  mov al, [identity + 4]
  IS 0x01, "the first is the one with a 1 where they differ: serial number 1"
  PNP_OUT 6, 1
  PNP_IS 6, 1, "its number"
  ; in the configuration state at once; the identity was read
  PNP_IS 5, 1, "resource data is there"
  PNP_IS 4, 0x0A, "its version: tag"
  PNP_IS 4, 0x10, "of the specification"
  PNP_OUT 3, 0
  call isolateAtRead
  HOLDS z, "the other one is left"
  mov al, [identity + 4]
  IS 0x02, "serial number 2"
  PNP_OUT 6, 2
  PNP_IS 6, 2, "its number"
  PNP_OUT 3, 0
  call isolateAtRead
  HOLDS nz, "nobody is left"

  ; ---- resource data
  PNP_OUT 3, 1
  mov cx, 9
  mov si, expected
.identity:
  PNP_IN 4
  cmp cl, 1                    ; the checksum is not valid here
  je .last
  cmp al, [si]
  jne .differs
.last:
  inc si
  loop .identity
.differs:
  test cx, cx
  HOLDS z, "after Wake the identity comes first"
  xor bx, bx                   ; the sum
.tag:
  call resource
  test al, 0x80
  jnz .large
  mov cl, al
  and cx, 7
  and al, 0x78
  cmp al, 0x78
  jne .contents
  jmp .end
.large:
  call resource
  mov cl, al
  call resource
  mov ch, al
.contents:
  jcxz .tag
  call resource
  loop .contents
  inc word [count]
  cmp word [count], 100
  jb .tag
.end:
  call resource
  mov al, bl
  IS 0, "the sum of all resource data"
  PNP_IS 5, 0, "nothing follows"

  ; ---- registers
  PNP_IS 7, 0, "logical device 0"
  PNP_OUT 7, 1
  PNP_IS 7, 0, "there is no other"
  PNP_IS 0x30, 0, "inactive"
  PNP_IS 0x60, 0, "no ports"
  PNP_IS 0x61, 0, "no ports, low"
  PNP_IS 0x70, 0, "no interrupt"
  PNP_IS 0x71, 2, "edge-triggered, active high"
  PNP_IS 0x74, 4, "no DMA channel"
  PNP_IS 0x62, 0, "no further ports"
  PNP_OUT 0x62, 3
  PNP_IS 0x62, 0, "nor can there be"
  PNP_OUT 0x60, 0x03
  PNP_OUT 0x61, 0xEF
  PNP_IS 0x61, 0xE8, "eight ports begin at a multiple of eight"
  PNP_OUT 0x70, 0xF5
  PNP_IS 0x70, 5, "interrupt"
  READS 0x3EF, 0xFF, "still nobody there"

  ; ---- range check
  PNP_OUT 0x31, 0xFF
  PNP_IS 0x31, 3, "range check: two bits"
  READS 0x3E8, 0x55, "55h at the first port"
  READS 0x3EF, 0x55, "55h at the last port"
  READS 0x3E7, 0xFF, "none before"
  PNP_OUT 0x31, 2
  READS 0x3EA, 0xAA, "AAh"
  PNP_OUT 0x61, 0xF8
  OUTB 0x3FF, 0x69
  READS 0x3FF, 0x69, "a port that another device has"
  PNP_OUT 0x61, 0xE8
  PNP_OUT 0x31, 0
  READS 0x3EF, 0xFF, "no check any more"

  ; ---- active
  PNP_OUT 0x30, 0xFF
  PNP_IS 0x30, 1, "active: one bit"
  OUTB 0x3EF, 0x3C
  READS 0x3EF, 0x3C, "a port is there"
  PNP_OUT 0x31, 3
  READS 0x3EF, 0x3C, "no range check while it is active"
  PNP_OUT 0x31, 0
  ; the second card
  PNP_OUT 3, 2
  PNP_IS 0x30, 0, "the other one is inactive"
  PNP_OUT 0x60, 0x02
  PNP_OUT 0x61, 0xE8
  PNP_OUT 0x70, 10
  PNP_OUT 0x30, 1
  OUTB 0x2EF, 0x96
  READS 0x3EF, 0x3C, "each has"
  READS 0x2EF, 0x96, "a register of its own"
  ; interrupts: the modem's lines in loopback
  mov dx, 0x3E8
  call request
  REQUESTS 0x20
  BITS_ARE 0x20, 0x20, "the first requests IRQ 5"
  REQUESTS 0xA0
  BITS_ARE 0x04, 0x00, "and not IRQ 10"
  mov dx, 0x2E8
  call request
  REQUESTS 0xA0
  BITS_ARE 0x04, 0x04, "the second requests IRQ 10"
  ; moved while it is high
  PNP_OUT 0x70, 11
  REQUESTS 0xA0
  BITS_ARE 0x0C, 0x08, "IRQ 11 instead"
  PNP_OUT 0x70, 6
  REQUESTS 0xA0
  BITS_ARE 0x0C, 0x00, "a number without a wire"
  ; moved
  PNP_OUT 0x60, 0x03
  READS 0x2EF, 0xFF, "gone"
  READS 0x3EF, 0x3C, "where both are, the first is seen"
  PNP_OUT 0x61, 0x20
  READS 0x327, 0x96, "moved, as it was"

  ; ---- commands
  PNP_OUT 2, 2
  PNP_IS 6, 0xFF, "waits for the key: no answer"
  READS 0x3EF, 0x3C, "but is active"
  call sendKey
  PNP_OUT 3, 2
  PNP_IS 6, 2, "the number was kept"
  PNP_IS 0x30, 1, "and the registers"
  PNP_OUT 2, 1
  PNP_IS 0x30, 0, "reset: inactive"
  PNP_IS 0x60, 0, "no ports"
  PNP_IS 6, 2, "its number is kept"
  READS 0x327, 0xFF, "nobody there"
  READS 0x3EF, 0xFF, "nor of the first card"
  PNP_OUT 2, 4
  PNP_IS 6, 0, "no number any more"
  PNP_OUT 3, 0
  call isolateAtRead
  HOLDS z, "it can be isolated again"
  mov al, [identity + 4]
  IS 0x01, "the first"
  PNP_OUT 2, 7
  ENDUNLESS
  ret

; The initiation key, behind two bytes that set the cards' shift registers back.
sendKey:
  mov dx, ADDRESS
  xor al, al
  out dx, al
  out dx, al
  mov si, key
  mov cx, 32
  rep outsb
  ret

; Section 4 of the specification, as its table of the key has it.
key:
  db 0x6A, 0xB5, 0xDA, 0xED, 0xF6, 0xFB, 0x7D, 0xBE, 0xDF, 0x6F, 0x37, 0x1B, 0x0D, 0x86, 0xC3, 0x61
  db 0xB0, 0x58, 0x2C, 0x16, 0x8B, 0x45, 0xA2, 0xD1, 0xE8, 0x74, 0x3A, 0x9D, 0xCE, 0xE7, 0x73, 0x39

; Reads 72 pairs to [identity]. ZF: there were ones, and the checksum is right. Changes everything.
isolateAtRead:
  REGISTER 1
  mov di, identity
  mov bl, 0x6A                 ; checksum
  xor bh, bh                   ; ones
  mov cx, 9
.byte:
  mov ch, 8
  xor ah, ah
.bit:
  mov dx, READ
  in al, dx
  mov si, ax
  in al, dx
  shr ah, 1
  cmp al, 0xAA
  jne .zero
  mov dx, si
  cmp dl, 0x55
  jne .zero
  or ah, 0x80
  inc bh
.zero:
  cmp cl, 1
  je .shifted                  ; the checksum itself
  mov al, bl
  shr al, 1
  xor al, bl                   ; bit 0: bit 1 and bit 0
  mov dl, ah
  rol dl, 1                    ; bit 0: the bit
  xor al, dl
  shr bl, 1
  and al, 1
  ror al, 1
  or bl, al
.shifted:
  dec ch
  jnz .bit
  mov [di], ah
  inc di
  xor ch, ch
  loop .byte
  test bh, bh
  jz .none
  cmp bl, [identity + 8]
  ret
.none:
  inc bh                       ; NZ
  ret

; AL: the next byte of resource data, added to BL, when it is there; else the end tag.
resource:
  PNP_IN 5
  test al, 1
  mov al, 0x79
  jz .none
  PNP_IN 4
.none:
  add bl, al
  ret

; Makes the port at DX request an interrupt: modem status, in loopback.
request:
  mov si, dx
  lea dx, [si + 4]
  mov al, 0x18                 ; loop, OUT2 lets it out
  out dx, al
  lea dx, [si + 6]
  in al, dx
  lea dx, [si + 1]
  mov al, 8
  out dx, al
  lea dx, [si + 4]
  mov al, 0x19                 ; DTR is DSR
  out dx, al
  ret

identity: times 9 db 0
expected: db 0x06, 0x15, 0x05, 0x01, 0x01, 0x00, 0x00, 0x00, 0
  align 2
count: dw 0
%include "end.inc"
