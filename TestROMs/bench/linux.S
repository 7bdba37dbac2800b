// The boot sector of a disk that holds a Linux kernel: setup code, kernel and initial RAM disk follow it, in this order.
// Everything is read below 1 MiB by the BIOS's extended read and moved to its place by INT 15h, AH = 87h.
// Follows Documentation/arch/x86/boot.rst; the fields of the setup header are filled in by whoever makes the disk.
//
// Defined by the build: SETUP_SECTORS, KERNEL_SECTORS, INITRD_SECTORS, INITRD_ADDRESS.

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
  movw %ax, %es
  sti
  cld
  movb %dl, drive - boot
  movw $parts - boot, %bp
part:
  movl %ds:(%bp), %edi
  movl %ds:4(%bp), %ebx
chunk:
  testl %edi, %edi
  jz next_part
  movl $64, %ecx
  cmpl %ecx, %edi
  jae 2f
  movl %edi, %ecx
2:
  movw %cx, count - boot
  pushal
  movw $packet - boot, %si
  movb drive - boot, %dl
  movb $0x42, %ah
  int $0x13
  popal
  jc bad
  // The destination's address, then as many words.
  movl %ebx, %eax
  movw %ax, to + 2 - boot
  shrl $16, %eax
  movb %al, to + 4 - boot
  movb %ah, to + 7 - boot
  pushal
  shlw $8, %cx
  movw $table - boot, %si
  movb $0x87, %ah
  int $0x15
  popal
  jc bad
  addl %ecx, block - boot
  subl %ecx, %edi
  shll $9, %ecx
  addl %ecx, %ebx
  jmp chunk
next_part:
  addw $8, %bp
  cmpw $parts_end - boot, %bp
  jb part
  cli
  movw $0x9000, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %fs
  movw %ax, %gs
  movw %ax, %ss
  movw $0xE000, %sp
  ljmp $0x9020, $0
bad:
  movb $2, %al
  outb %al, $0xF4
3:
  cli
  hlt
  jmp 3b

drive:
  .byte 0
  .balign 4
parts:
  .long SETUP_SECTORS, 0x90000
  .long KERNEL_SECTORS, 0x100000
  .long INITRD_SECTORS, INITRD_ADDRESS
parts_end:
packet:
  .byte 16, 0
count:
  .word 0
  .word 0, 0x1000
block:
  .quad 1
  // Two empty descriptors, source, destination, two for the BIOS.
table:
  .quad 0, 0
  .quad 0x000093010000FFFF
to:
  .quad 0x000093000000FFFF
  .quad 0, 0

  .org 0x1BE
  .byte 0x80, 0, 2, 0, 0xDA, 15, 63, 1
  .long 1, 2 * 16 * 63 - 1
  .org 0x1FE
  .word 0xAA55
