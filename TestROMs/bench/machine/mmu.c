// Work on page tables: entries changed and flushed one by one, address spaces switched, pages supplied when they fault.

#include "machine.h"

enum { WINDOW = 0x40000000, ENTRIES = 1024 };

// Two address spaces: the identity map's directory and a copy, each with a table of its own for the window.
#define TABLE(i) ((volatile u32 *)(SPARE_TABLES + 0x1000u * (i)))
#define OTHER ((volatile u32 *)(SPARE_TABLES + 0x2000u))

void page_fault(void);
u32 mmu_faults;

// The handler maps the page behind CR2: the frame with the same low bits in the arena.
__asm__(
    "page_fault:\n"
    "  pushl %eax\n"
    "  pushl %ecx\n"
    "  movl %cr2, %eax\n"
    "  shrl $12, %eax\n"
    "  andl $1023, %eax\n"
    "  movl %eax, %ecx\n"
    "  shll $12, %eax\n"
    "  addl $arena + 3, %eax\n"
    "  movl %eax, 0x340000(,%ecx,4)\n"
    "  incl mmu_faults\n"
    "  popl %ecx\n"
    "  popl %eax\n"
    "  addl $4, %esp\n"
    "  iret\n");

static u32 frame(u32 i) { return (u32)arena + (i & 2047) * 4096; }

u32 bench(u32 rounds) {
  enable_paging();
  set_gate(14, page_fault);
  for (u32 i = 0; i < 2048; i++) *(u32 *)frame(i) = i;
  for (u32 i = 0; i < ENTRIES; i++) {
    TABLE(0)[i] = frame(i) | WRITABLE | PRESENT;
    TABLE(1)[i] = frame(2 * i + 1) | WRITABLE | PRESENT;
    OTHER[i] = DIRECTORY[i];
  }
  DIRECTORY[WINDOW >> 22] = (u32)TABLE(0) | WRITABLE | PRESENT;
  OTHER[WINDOW >> 22] = (u32)TABLE(1) | WRITABLE | PRESENT;
  load_cr3((u32)DIRECTORY);

  u32 sum = 1, seed = 5;
  for (u32 round = 0; round < rounds; round++) {
    // Single entries.
    for (u32 i = 0; i < 256; i++) {
      u32 r = next_random(&seed), entry = r & 1023;
      volatile u32 *word = (volatile u32 *)(WINDOW + entry * 4096);
      TABLE(0)[entry] = frame(r >> 10) | WRITABLE | PRESENT;
      flush_page((u32)word);
      sum = sum * 3 + *word;
      *word += i;
    }
    // Address spaces, with some pages touched in each.
    for (u32 i = 0; i < 32; i++) {
      load_cr3(i & 1 ? (u32)DIRECTORY : (u32)OTHER);
      for (u32 j = 0; j < 8; j++) sum += *(volatile u32 *)(WINDOW + (i * 8 + j) * 4096) ^ j;
    }
    // A change of many entries, then one flush of everything.
    for (u32 i = 0; i < 64; i++) TABLE(0)[i] = frame(i + round) | WRITABLE | PRESENT;
    load_cr3((u32)DIRECTORY);
    for (u32 i = 0; i < 64; i++) sum = sum * 3 + *(volatile u32 *)(WINDOW + i * 4096);
    // Pages on demand.
    for (u32 i = 0; i < 32; i++) {
      TABLE(0)[i] = 0;
      flush_page(WINDOW + i * 4096);
    }
    for (u32 i = 0; i < 32; i++) sum = sum * 3 + *(volatile u32 *)(WINDOW + i * 4096);
  }
  return fold(sum, mmu_faults);
}
