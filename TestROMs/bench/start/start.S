// The way from real mode to `guest_main` with flat 32-bit segments.
//
// Defined by the build: ROUNDS and FLAGS (for guest.c), VIDEO_MODE (set through INT 10h first), REAL_MODE (`real_bench` runs first, its
// EAX is kept in `real_result`).

  .section .start, "ax"
  .code16
  .global start
start:
  movw %cs, %ax
  movw %ax, %ds
  movw %ax, %es
#ifdef VIDEO_MODE
  movw $VIDEO_MODE, %ax
  int $0x10
#endif
  movw $0x2401, %ax
  int $0x15
  inb $0x92, %al
  orb $2, %al
  andb $0xFE, %al
  outb %al, $0x92
#ifdef REAL_MODE
  movl $ROUNDS, %ecx
  cld
  lcall $text16_segment, $0
  movw %cs, %cx
  movw %cx, %ds
  movl %eax, real_result - start
#endif
  cli
  movw %cs, %ax
  movw %ax, %ds
  lgdtl gdt_pointer - start
  movl %cr0, %eax
  orl $1, %eax
  movl %eax, %cr0
  ljmpl $8, $protected

  .code32
protected:
  movw $0x10, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %fs
  movw %ax, %gs
  movw %ax, %ss
  movl $0x90000, %esp
  cld
  // No interrupt before a kernel asks for it: all lines masked.
  movb $0xFF, %al
  outb %al, $0x21
  outb %al, $0xA1
  movl $bss_start, %edi
  movl $bss_end, %ecx
  subl %edi, %ecx
  xorl %eax, %eax
  rep stosb
  // x87 present (MP, NE), not emulated, task not switched.
  movl %cr0, %eax
  andl $0xFFFFFFF3, %eax
  orl $0x22, %eax
  movl %eax, %cr0
  fninit
  movw $0x28, %ax
  movl $tss, %ecx
  movw %cx, gdt + 0x2A
  shrl $16, %ecx
  movb %cl, gdt + 0x2C
  movb %ch, gdt + 0x2F
  movl $0x10, tss + 8
  movl $104 << 16, tss + 100
  ltr %ax
  pushl $FLAGS
  pushl $ROUNDS
  call guest_main
0:
  cli
  hlt
  jmp 0b

  // Exceptions: the vector and what the processor pushed go to guest.c.
  .macro exception number, code
  .if \code == 0
  pushl $0
  .endif
  pushl $\number
  jmp exception_common
  .balign 16
  .endm

  .balign 16
  .global exception_stubs
exception_stubs:
  .irp n, 0, 1, 2, 3, 4, 5, 6, 7
  exception \n, 0
  .endr
  exception 8, 1
  exception 9, 0
  .irp n, 10, 11, 12, 13, 14
  exception \n, 1
  .endr
  exception 15, 0
  exception 16, 0
  exception 17, 1
exception_common:
  call guest_exception

  .balign 8
  .global gdt
gdt:
  .quad 0
  .quad 0x00CF9B000000FFFF   // 08: code
  .quad 0x00CF93000000FFFF   // 10: data
  .quad 0x00CFFB000000FFFF   // 18: user code
  .quad 0x00CFF3000000FFFF   // 20: user data
  .quad 0x0000890000000067   // 28: TSS, the base filled in above
gdt_pointer:
  .word . - gdt - 1
  .long gdt

  .global real_result
real_result:
  .long 0
