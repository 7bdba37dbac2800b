// 16-bit code in real mode: sorting, 32-bit operands and addresses, far calls, software interrupts, segment overrides, REP MOVSW.
//
// real_bench: far, ECX = rounds. Returns the checksum in EAX. Works in the segments 2000h and 3000h.

  .section .text16, "ax"
  .code16
  .global real_bench
real_bench:
  pushw %ds
  pushw %es
  movl %ecx, %cs:rounds_left - real_bench
  // INT 60h is ours.
  xorw %ax, %ax
  movw %ax, %fs
  movw $interrupt - real_bench, %fs:(0x60 * 4)
  movw %cs, %fs:(0x60 * 4 + 2)
  movw $0x2000, %ax
  movw %ax, %ds
  movw $0x3000, %ax
  movw %ax, %es
  movl $1, %ebp
round:
  cmpl $0, %cs:rounds_left - real_bench
  je done
  decl %cs:rounds_left - real_bench

  // 2000h:0: 128 words from a generator with 32-bit operands.
  xorw %di, %di
  movl %ebp, %eax
  movw $128, %cx
1:
  imull $0x19660D, %eax, %eax
  addl $0x3C6EF35F, %eax
  movl %eax, %edx
  shrl $16, %edx
  movw %dx, (%di)
  addw $2, %di
  loop 1b

  // Insertion sort of the words.
  movw $2, %si
2:
  movw (%si), %ax
  movw %si, %di
3:
  cmpw %ax, -2(%di)
  jbe 4f
  movw -2(%di), %dx
  movw %dx, (%di)
  subw $2, %di
  jnz 3b
4:
  movw %ax, (%di)
  addw $2, %si
  cmpw $256, %si
  jb 2b

  // To 3000h and back with overlapping blocks.
  cld
  xorw %si, %si
  xorw %di, %di
  movw $128, %cx
  rep movsw
  movw $16, %bx
5:
  xorw %si, %si
  movw %bx, %di
  shlw $4, %di
  movw $64, %cx
  rep movsw
  decw %bx
  jnz 5b

  // Far calls with a frame, the words of the other segment by override.
  xorw %bx, %bx
6:
  pushw %es:(%bx)
  pushw %bx
  lcall $text16_segment, $far_function - real_bench
  addw $4, %sp
  movzwl %ax, %eax
  xorl %eax, %ebp
  roll $3, %ebp
  addw $2, %bx
  cmpw $200, %bx
  jb 6b

  // Near calls, string instructions one by one, 32-bit addresses.
  xorw %si, %si
  movw $0x400, %di
  movw $200, %cx
7:
  lodsb
  call near_function
  stosb
  loop 7b
  movzwl %cx, %ecx
  xorl %eax, %eax
8:
  addl %es:0x400(,%ecx,4), %eax
  rorl $1, %eax
  incw %cx
  cmpw $50, %cx
  jb 8b
  addl %eax, %ebp

  // Software interrupts.
  movw $40, %cx
9:
  movw %cx, %ax
  int $0x60
  movzwl %ax, %edx
  addl %edx, %ebp
  loop 9b

  // Multiplication, division, rotation through carry.
  movw $60, %cx
0:
  movw %cx, %ax
  mulw %cx
  addw %bp, %ax
  adcw $0, %dx
  andw $0x1F, %dx
  movw $0x101, %bx
  divw %bx
  rclw $1, %dx
  xorw %dx, %bp
  roll $5, %ebp
  xchgb %al, %ah
  addw %ax, %bp
  loop 0b
  jmp round
done:
  movl %ebp, %eax
  popw %es
  popw %ds
  lret

// (place, word) on the stack.
far_function:
  pushw %bp
  movw %sp, %bp
  pushw %bx
  movw 6(%bp), %bx
  movw 8(%bp), %ax
  addw (%bx), %ax
  xorw %es:2(%bx), %ax
  popw %bx
  popw %bp
  lret

near_function:
  pushw %cx
  movb %al, %cl
  andb $7, %cl
  rolb %cl, %al
  addb $0x5A, %al
  popw %cx
  ret

interrupt:
  pushw %bx
  movw %ax, %bx
  shlw $1, %bx
  addw %es:(%bx), %ax
  popw %bx
  iretw

  .balign 4
rounds_left:
  .long 0
