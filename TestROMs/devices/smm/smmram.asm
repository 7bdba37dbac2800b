; SMRAM and the video memory at A0000h at once: data and code of both, the same addresses hot in both, D_OPEN, D_CLS, D_LCK, what a bus master sees.
; Runs on Bochs, which fetches no code from the video memory. QEMU, whose TLB does not tell the mode's translations from others where paging stays
; off, is left out. Boards without a PIIX4 pass at once.
; Follows: Intel 82441FX data sheet, SMRAM register 72h, "SMM memory space"; Intel SDM volume 3, chapter "System Management Mode".
%include "common.inc"
%include "smm.inc"

%define SHARED 0x0100          ; offsets in A0000h, both in SMRAM and in the video memory
%define LOOP 0x0200
%define FAR 0x0300

test:
  test byte [platform], QEMU
  jnz .none
  call setUp
  je .there
.none:
  ret
.there:
  call setVGA
  ; SMRAM gets the entrance and the code, and is closed
  SMRAM D_OPEN | G_SMRAME
  mov ax, 0xA000
  mov es, ax
  call putEntrance
  mov dword [es:SHARED], 'SMRA'
  mov ax, 3
  call putLoop
  mov si, farRead
  mov di, FAR
  mov cx, farReadEnd - farRead
  rep movsb
  SMRAM G_SMRAME
  ; the video memory gets its own
  mov ax, 0xA000
  mov es, ax
  mov dword [es:SHARED], 'VGA '
  mov ax, 7
  call putLoop
  EQUALS [es:SHARED], 'VGA ', "the video memory takes what is written"

  HANDLE .move
  SMI 1
  mov ax, [es:0x8000]
  cmp ax, [entrance]
  HOLDS ne, "the entrance is not in the video memory"

  ; data of both
  HANDLE .data
  SMI 1
  mov ax, [seen.cs]
  IS16 0xA000, "CS in SMRAM"
  EQUALS [found], 'SMRA', "the handler sees SMRAM"
  EQUALS [es:SHARED], 'VGA ', "others the video memory"
  mov dword [es:SHARED], 'vga '
  SMI 1
  EQUALS [found], 'SMRB', "SMRAM keeps what the handler wrote"
  EQUALS [es:SHARED], 'vga ', "and the video memory what others wrote"

  UNLESS BOCHS
  ; code of both, hot
  mov word [rounds], 60
.round:
  HANDLE .hot
  SMI 1
  mov ax, [found]
  cmp ax, 3000
  jne .wrong
  mov cx, 1000
  xor ax, ax
  call 0xA000:LOOP
  mov [found], ax
  cmp ax, 7000
  jne .wrong
  dec word [rounds]
  jnz .round
.wrong:
  mov ax, [rounds]
  IS16 0, "rounds in which a loop in SMRAM and one in the video memory at the same addresses do each its own"
  ; changed in one of them
  mov byte [es:LOOP + 2], 9
  mov cx, 1000
  xor ax, ax
  call 0xA000:LOOP
  IS16 9000, "the video memory's loop, changed"
  SMI 1
  mov ax, [found]
  IS16 3000, "SMRAM's is as it was"
  HANDLE .change
  SMI 1
  HANDLE .hot
  SMI 1
  mov ax, [found]
  IS16 5000, "SMRAM's loop, changed by the handler"
  mov cx, 1000
  xor ax, ax
  call 0xA000:LOOP
  IS16 9000, "the video memory's is as it was"
  ENDUNLESS

  ; code as SMRAM alone, data as the video memory
  UNLESS BOCHS
  HANDLE .closed
  mov dword [es:SHARED], 'seen'
  SMI 1
  EQUALS [found], 'seen', "D_CLS: data of SMRAM's own code are the video memory"
  HANDLE .data
  SMI 1
  EQUALS [found], 'SMRC', "without it they are SMRAM again"
  ENDUNLESS

  ; without G_SMRAME there is no SMRAM: the entrance in the video memory is taken
  UNLESS BOCHS
  SMRAM 0
  mov ax, 0xA000
  call putEntrance
  HANDLE .data
  SMI 1
  EQUALS [found], 'seen', "without G_SMRAME the handler is in the video memory"
  EQUALS [es:SHARED], 'seeo', "and its data"
  SMRAM G_SMRAME
  ENDUNLESS
  HANDLE .fourth
  SMI 1
  HANDLE .data
  SMI 1
  EQUALS [found], 'SMRD', "with it again in SMRAM"

  ; open to all
  SMRAM D_OPEN | G_SMRAME
  EQUALS [es:SHARED], 'SMRE', "D_OPEN: others see SMRAM"
  UNLESS BOCHS
  mov cx, 1000
  xor ax, ax
  call 0xA000:LOOP
  IS16 5000, "and its code"
  SMI 1
  EQUALS [found], 'SMRE', "so does the handler"
  SMRAM G_SMRAME
  mov cx, 1000
  xor ax, ax
  call 0xA000:LOOP
  IS16 9000, "closed, the video memory's code"
  ENDUNLESS

  SMRAM D_LCK | G_SMRAME
  SMRAM D_OPEN | G_SMRAME
  call getSMRAM
  IS D_LCK | G_SMRAME | 2, "the lock keeps the register"
  mov eax, [es:SHARED]
  and eax, 0xFFFFFF
  cmp eax, 'SMR'
  HOLDS ne, "locked, SMRAM is not seen"
  SMI 1
  mov eax, [found]
  and eax, 0xFFFFFF
  EQUALS eax, 'SMR', "but by the handler"
  push ds
  pop es
  ret

.move:
  mov dword [newBase], 0xA0000
  jmp relocate
.data:
  mov eax, [fs:dword 0xA0000 + SHARED]
  mov [found], eax
  inc byte [fs:dword 0xA0000 + SHARED + 3]
  ret
.fourth:
  mov byte [fs:dword 0xA0000 + SHARED + 3], 'D'
  ret
.hot:
  mov cx, 1000
  xor ax, ax
  call 0xA000:LOOP
  mov [found], ax
  ret
.change:
  mov byte [fs:dword 0xA0000 + LOOP + 2], 5
  ret
.closed:
  SMRAM D_CLS | G_SMRAME
  call 0xA000:FAR
  mov [found], eax
  SMRAM G_SMRAME
  ret

; At A000:LOOP what adds AX to AX, CX times.
putLoop:
  push ax
  mov si, theLoop
  mov di, LOOP
  mov cx, theLoopEnd - theLoop
  rep movsb
  pop ax
  mov [es:LOOP + 2], al
  ret
theLoop:
  db 0x81, 0xC0, 0, 0          ; add ax, 0
  loop theLoop
  retf
theLoopEnd:
; EAX: the word at SHARED.
farRead:
  mov eax, [fs:dword 0xA0000 + SHARED]
  retf
farReadEnd:

; The video memory as 64 KiB of plain memory: chain 4, write mode 0.
setVGA:
  mov edi, 0x80001004          ; slot 2 answers on the bus
  call readConfig
  or al, 3
  call writeConfig
  OUTB 0x3C3, 1
  OUTB 0x3C2, 0x63
  mov si, .sequencer
  mov dx, 0x3C4
  mov cx, 5
  call .registers
  mov dx, 0x3CE
  mov cx, 9
.registers:
  xor ah, ah
.next:
  mov al, ah
  out dx, al
  inc dx
  lodsb
  out dx, al
  dec dx
  inc ah
  loop .next
  ret
.sequencer: db 3, 1, 0x0F, 0, 0x0E
.graphics: db 0, 0, 0, 0, 0, 0x40, 0x05, 0x0F, 0xFF

  align 4
found: dd 0
rounds: dw 0
%include "end.inc"
