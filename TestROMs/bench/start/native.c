// The runtime as a static 32-bit Linux program without a C library: `kernel ROUNDS` prints the checksum.

#include "bench.h"

__attribute__((aligned(4096))) u8 arena[ARENA_SIZE];

static s32 system_call(u32 number, u32 a, u32 b, u32 c) {
  s32 result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
  return result;
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

__attribute__((used)) static void run(u32 *stack) {
  enum { EXIT = 1, WRITE = 4, MPROTECT = 125 };
  u32 rounds = 0;
  if (stack[0] > 1) {
    for (const char *digit = (const char *)stack[2]; *digit >= '0' && *digit <= '9'; digit++)
      rounds = rounds * 10 + (u32)(*digit - '0');
  }
  system_call(MPROTECT, (u32)arena, ARENA_SIZE, 7);
  u32 sum = bench(rounds);
  char line[] = "bench: ........\n";
  for (int i = 0; i < 8; i++) line[7 + i] = "0123456789abcdef"[sum >> (28 - 4 * i) & 15];
  system_call(WRITE, 1, (u32)line, sizeof line - 1);
  system_call(EXIT, 0, 0, 0);
}

__asm__(
    ".global _start\n"
    "_start:\n"
    "  movl %esp, %eax\n"
    "  andl $-16, %esp\n"
    "  subl $12, %esp\n"
    "  pushl %eax\n"
    "  call run\n");
