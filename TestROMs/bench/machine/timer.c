// The integer mix with interrupts of the 8254 a thousand times a second: what asynchronous interrupts cost.

#include "machine.h"

#define bench integer_mix
#include "intmix.c"
#undef bench

void timer_tick(void);
volatile u32 ticks;

__asm__(
    "timer_tick:\n"
    "  pushl %eax\n"
    "  incl ticks\n"
    "  movb $0x20, %al\n"
    "  outb %al, $0x20\n"
    "  popl %eax\n"
    "  iret\n");

u32 bench(u32 rounds) {
  set_gate(0x20, timer_tick);
  // 8259A: ICW1 to ICW4, vectors from 20h, only line 0 open.
  out8(0x20, 0x11), out8(0x21, 0x20), out8(0x21, 4), out8(0x21, 1);
  out8(0x21, 0xFE);
  // 8254: channel 0, mode 2, 1193182 / 1193.
  out8(0x43, 0x34), out8(0x40, 1193 & 255), out8(0x40, 1193 >> 8);
  __asm__ volatile("sti");
  u32 sum = integer_mix(rounds);
  // However quick the machine, one tick must come.
  while (!ticks) __asm__ volatile("hlt");
  __asm__ volatile("cli");
  return sum;
}
