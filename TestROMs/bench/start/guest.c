// The runtime in a bare machine: prints the checksum on port E9h, ends through port F4h (isa-debug-exit) or 8900h (Bochs).

#include "machine.h"

enum { FLAG_PAGING = 1 };

u32 tss[26];
extern u8 exception_stubs[];
static u64 idt[256];

static void print(const char *text) {
  while (*text) out8(0xE9, *text++);
}

static void print_hex(u32 value) {
  for (int shift = 28; shift >= 0; shift -= 4) out8(0xE9, "0123456789abcdef"[value >> shift & 15]);
}

static void leave(u32 code) {
  out8(0xF4, code);
  for (const char *text = "Shutdown"; *text; text++) out8(0x8900, *text);
  for (;;) __asm__ volatile("cli; hlt");
}

void fail(const char *why, u32 value) {
  print("\nbench: failed: ");
  print(why);
  print(" ");
  print_hex(value);
  print("\n");
  leave(1);
}

void guest_exception(u32 vector, u32 code, u32 eip) {
  print("\nbench: exception ");
  print_hex(vector);
  print(" code ");
  print_hex(code);
  print(" at ");
  print_hex(eip);
  print("\n");
  leave(1);
}

void set_gate(u32 vector, void (*handler)(void)) {
  u32 address = (u32)handler;
  idt[vector] = (u64)((address & 0xFFFF0000) | 0xEE00) << 32 | 0x80000 | (address & 0xFFFF);
}

void enable_paging(void) {
  u32 cr0;
  __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
  if (cr0 >> 31) return;
  volatile u32 *table = DIRECTORY + 1024;
  for (u32 i = 0; i < 1024; i++) DIRECTORY[i] = i < 32 ? (u32)(table + 1024 * i) | USER | WRITABLE | PRESENT : 0;
  for (u32 i = 0; i < 32 * 1024; i++) table[i] = i << 12 | USER | WRITABLE | PRESENT;
  load_cr3((u32)DIRECTORY);
  // Write protection for the kernel too, as systems of today have it.
  __asm__ volatile("movl %0, %%cr0" : : "r"(cr0 | 0x80010000) : "memory");
}

void *memcpy(void *to, const void *from, u32 count) {
  void *result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
  return result;
}

void *memset(void *to, int value, u32 count) {
  void *result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
  return result;
}

void guest_main(u32 rounds, u32 flags) {
  for (u32 vector = 0; vector < 18; vector++) set_gate(vector, (void (*)(void))(exception_stubs + 16 * vector));
  struct {
    u16 limit;
    u32 base;
  } __attribute__((packed)) pointer = {sizeof idt - 1, (u32)idt};
  __asm__ volatile("lidt %0" : : "m"(pointer));
  if (flags & FLAG_PAGING) enable_paging();
  print("bench: start\n");
  u32 sum = bench(rounds);
  print("bench: ");
  print_hex(sum);
  print("\n");
  leave(0);
}
