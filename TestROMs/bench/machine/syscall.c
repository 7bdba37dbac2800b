// System calls: user code at level 3, INT 80h to level 0 and back, with paging on.

#include "machine.h"

void enter_user(u32 rounds);
void system_call(void);

u32 call_count;

static u32 call_count_up(u32 a, u32 b) {
  call_count++;
  return a + b;
}
static u32 call_mix(u32 a, u32 b) { return fold(a, b); }
static u32 call_copy(u32 a, u32 b) {
  volatile u32 *words = (volatile u32 *)arena;
  words[a & 1023] = words[b & 1023] + a;
  return words[(a + b) & 1023];
}
static u32 call_nothing(u32 a, u32 b) { return a ^ b; }

u32 (*const call_table[4])(u32, u32) = {call_count_up, call_mix, call_copy, call_nothing};

u32 kernel_stack, user_result;

__asm__(
    // EAX: number, EBX and ECX: arguments; the result in EAX. Number -1 leaves user mode with EBX.
    "system_call:\n"
    "  cmpl $-1, %eax\n"
    "  je 1f\n"
    "  pushl %ds\n"
    "  pushl %es\n"
    "  pushl %ebx\n"
    "  pushl %ecx\n"
    "  pushl %edx\n"
    "  movl $0x10, %edx\n"
    "  movl %edx, %ds\n"
    "  movl %edx, %es\n"
    "  andl $3, %eax\n"
    "  pushl %ecx\n"
    "  pushl %ebx\n"
    "  call *call_table(,%eax,4)\n"
    "  addl $8, %esp\n"
    "  popl %edx\n"
    "  popl %ecx\n"
    "  popl %ebx\n"
    "  popl %es\n"
    "  popl %ds\n"
    "  iret\n"
    "1:\n"
    "  movl $0x10, %eax\n"
    "  movl %eax, %ds\n"
    "  movl %eax, %es\n"
    "  movl %ebx, user_result\n"
    "  movl kernel_stack, %esp\n"
    "  popl %ebp\n"
    "  popl %edi\n"
    "  popl %esi\n"
    "  popl %ebx\n"
    "  ret\n"
    "enter_user:\n"
    "  movl 4(%esp), %ecx\n"
    "  pushl %ebx\n"
    "  pushl %esi\n"
    "  pushl %edi\n"
    "  pushl %ebp\n"
    "  movl %esp, kernel_stack\n"
    "  movl $0x23, %eax\n"
    "  movl %eax, %ds\n"
    "  movl %eax, %es\n"
    "  pushl $0x23\n"
    "  pushl $arena + 0x10000\n"
    "  pushl $2\n"
    "  pushl $0x1B\n"
    "  pushl $user_code\n"
    "  iret\n"
    // User code: EDI counts the rounds, ESI the calls of one.
    "user_code:\n"
    "  movl %ecx, %edi\n"
    "  movl $1, %ebx\n"
    "2:\n"
    "  testl %edi, %edi\n"
    "  jz 4f\n"
    "  movl $1000, %esi\n"
    "3:\n"
    "  movl %esi, %eax\n"
    "  leal (%esi,%edi,8), %ecx\n"
    "  int $0x80\n"
    "  leal (%eax,%eax,4), %ebx\n"
    "  xorl %ecx, %ebx\n"
    "  decl %esi\n"
    "  jnz 3b\n"
    "  decl %edi\n"
    "  jmp 2b\n"
    "4:\n"
    "  movl $-1, %eax\n"
    "  int $0x80\n");

u32 bench(u32 rounds) {
  enable_paging();
  for (u32 i = 0; i < 1024; i++) ((u32 *)arena)[i] = i * i;
  set_gate(0x80, system_call);
  tss[1] = 0x80000;
  enter_user(rounds);
  return fold(user_result, call_count);
}
