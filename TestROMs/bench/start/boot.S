// The boot sector: reads the kernel behind it to 10000h with the BIOS's extended read and starts it there in real mode.
// It is linked at FE00h, right before the kernel, and runs at 07C0h:0 with addresses relative to its start.

  .section .boot, "ax"
  .code16
  .global boot
boot:
  cli
  xorw %ax, %ax
  movw %ax, %ss
  movw $0x7C00, %sp
  ljmp $0x7C0, $1f - boot
1:
  movw %cs, %ax
  movw %ax, %ds
  sti
  cld
  movw $image_sectors, %di
next:
  movw $64, %cx
  cmpw %cx, %di
  jae 2f
  movw %di, %cx
2:
  movw %cx, count - boot
  pushw %cx
  pushw %di
  pushw %dx
  movw $packet - boot, %si
  movb $0x42, %ah
  int $0x13
  popw %dx
  popw %di
  popw %cx
  jc bad
  addw %cx, block - boot
  subw %cx, %di
  shlw $5, %cx
  addw %cx, segment - boot
  testw %di, %di
  jnz next
  ljmp $0x1000, $0
bad:
  movb $'?', %al
  outb %al, $0xE9
  movb $2, %al
  outb %al, $0xF4
3:
  cli
  hlt
  jmp 3b

  .balign 4
packet:
  .byte 16, 0
count:
  .word 0
  .word 0
segment:
  .word 0x1000
block:
  .quad 1

  // The entry of a partition, so that the disk's geometry (16 heads, 63 sectors) can be told from it.
  .org 0x1BE
  .byte 0x80, 0, 2, 0, 0xDA, 15, 63, 1
  .long 1, 2 * 16 * 63 - 1
  .org 0x1FE
  .word 0xAA55
