; Touches pages whose accessed and dirty bits were cleared without INVLPG: they stay clear as long as the processor has the translation,
; and are set by the next walk. The sum of what the bits were is what this guest can see of its translations; it is at 9000h when the
; machine ends through port F4h. Runs on a Pentium II (global pages).
  bits 16
  cpu 686
  org 0x7C00

%define ROUNDS 200
%define DIRECTORY 0x10000
%define TABLE 0x11000
%define PAGES 12

  jmp 0:start
start:
  xor ax, ax
  mov ds, ax
  mov ss, ax
  mov sp, 0x7C00
  cli
  in al, 0x92
  or al, 2
  out 0x92, al
  lgdt [gdtr]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp dword 8:protected
  bits 32
protected:
  mov ax, 16
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov esp, 0x7C00
  mov edi, DIRECTORY
  mov eax, TABLE + 3
  stosd
  xor eax, eax
  mov ecx, 1023
  rep stosd
  mov edi, TABLE
  mov eax, 3
.fill:
  stosd
  add eax, 0x1000
  cmp eax, 0x400003
  jb .fill
  or dword [TABLE + 4 * 0x25], 0x100   ; global
  or dword [TABLE + 4 * 0x26], 0x100
  mov eax, DIRECTORY
  mov cr3, eax
  mov eax, cr4
  or al, 0x80                  ; PGE
  mov cr4, eax
  mov eax, cr0
  or eax, 0x80010000
  mov cr0, eax
  xor ebx, ebx                 ; the sum
  xor ebp, ebp                 ; rounds
round:
  ; Some are read, some written, some of neither kind this time.
  xor esi, esi
.touch:
  movzx edx, byte [pages + esi]
  shl edx, 12
  lea ecx, [esi + ebp]
  and ecx, 3
  jz .next
  mov eax, [edx]
  cmp ecx, 3
  jne .next
  mov [edx], eax
.next:
  inc esi
  cmp esi, PAGES
  jb .touch
  ; The bits are added to the sum and cleared; every fifth page is told of, every seventh round all are.
  xor esi, esi
.clear:
  movzx edx, byte [pages + esi]
  mov eax, [TABLE + 4 * edx]
  and eax, 0x60
  rol ebx, 5
  add ebx, eax
  and dword [TABLE + 4 * edx], ~0x60
  lea eax, [esi + ebp]
  xor edx, edx
  mov ecx, 5
  div ecx
  test edx, edx
  jnz .keep
  movzx edx, byte [pages + esi]
  shl edx, 12
  invlpg [edx]
.keep:
  inc esi
  cmp esi, PAGES
  jb .clear
  mov eax, ebp
  xor edx, edx
  mov ecx, 7
  div ecx
  test edx, edx
  jnz .stay
  mov eax, cr3
  mov cr3, eax
.stay:
  inc ebp
  cmp ebp, ROUNDS
  jb round
  mov [0x9000], ebx
  xor eax, eax
  out 0xF4, al
  hlt

  align 8
gdt: dq 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF
gdtr:
  dw 23
  dd gdt
; RAM, memory of the display adapter, ROM.
pages: db 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0xA0, 0xB8, 0xF0, 0xFF
  times 510-($-$$) db 0
  dw 0xAA55
