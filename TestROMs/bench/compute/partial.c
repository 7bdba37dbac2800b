// Parts of registers and flags that live on: AH and AL, words with carries, SETcc, bit tests, decimal adjustment.
// Flags that the manual leaves undefined are never looked at.

#include "bench.h"

static u32 bits[64];

static NOINLINE u32 bytes_and_words(u32 a, u32 b, u32 count) {
  u32 c = count, d = 0;
  __asm__ volatile(
      "1:\n"
      "  addb %%ah, %%bl\n"
      "  adcb %%bl, %%al\n"
      "  xchgb %%ah, %%al\n"
      "  setc %%dl\n"
      "  adcw %%bx, %%ax\n"
      "  setno %%dh\n"
      "  rclw $1, %%bx\n"
      "  adcb $0x37, %%bh\n"
      "  sbbw %%dx, %%bx\n"
      "  seta %%dl\n"
      "  lahf\n"
      "  andb $0xD5, %%ah\n"
      "  addb %%dl, %%dh\n"
      "  rorl $5, %%eax\n"
      "  addl %%ebx, %%eax\n"
      "  movzbl %%ah, %%edx\n"
      "  adcl %%edx, %%ebx\n"
      "  movb %%cl, %%bh\n"
      "  decl %%ecx\n"
      "  jnz 1b\n"
      : "+a"(a), "+b"(b), "+c"(c), "+d"(d)
      :
      : "cc");
  return a ^ b ^ d;
}

static NOINLINE u32 bit_tests(u32 a, u32 count) {
  u32 c = count, d = 0x12345, *base = bits;
  __asm__ volatile(
      "1:\n"
      "  btsl %%eax, %%edx\n"
      "  adcl $0, %%eax\n"
      "  imull $0x41C64E6D, %%eax, %%eax\n"
      "  btrl $7, %%edx\n"
      "  adcl $0x3039, %%eax\n"
      "  movl %%eax, %%ebx\n"
      "  shrl $21, %%ebx\n"
      "  btcl %%ebx, (%%esi)\n"
      "  sbbl $0, %%edx\n"
      "  bsrl %%eax, %%ebx\n"
      "  cmovzl %%ecx, %%ebx\n"
      "  addl %%ebx, %%edx\n"
      "  shldl $3, %%eax, %%edx\n"
      "  decl %%ecx\n"
      "  jnz 1b\n"
      : "+a"(a), "+c"(c), "+d"(d), "+S"(base)
      :
      : "ebx", "cc", "memory");
  return a ^ d;
}

static NOINLINE u32 decimal(u32 a, u32 count) {
  u32 c = count, d = 0x27, b = 0x11;
  __asm__ volatile(
      "1:\n"
      "  movb %%dl, %%al\n"
      "  addb %%bl, %%al\n"
      "  daa\n"
      "  movb %%al, %%dl\n"
      "  movb %%dh, %%al\n"
      "  adcb %%bh, %%al\n"
      "  daa\n"
      "  movb %%al, %%dh\n"
      "  subb $0x09, %%al\n"
      "  das\n"
      "  movb %%al, %%bl\n"
      "  andb $0x0F, %%al\n"
      "  xorb %%ah, %%ah\n"
      "  addb $7, %%al\n"
      "  aaa\n"
      "  adcb %%ah, %%bh\n"
      "  aam\n"
      "  aad\n"
      "  andb $0x7F, %%bh\n"
      "  decl %%ecx\n"
      "  jnz 1b\n"
      : "+a"(a), "+b"(b), "+c"(c), "+d"(d)
      :
      : "cc");
  return a + (b << 16) + d;
}

u32 bench(u32 rounds) {
  u32 sum = 1;
  for (u32 i = 0; i < 64; i++) bits[i] = i * 0x01234567;
  for (u32 round = 0; round < rounds; round++) {
    sum = fold(sum, bytes_and_words(sum, round, 2000));
    sum = fold(sum, bit_tests(sum, 2000));
    sum = fold(sum, decimal(sum, 500));
  }
  for (u32 i = 0; i < 64; i++) sum = fold(sum, bits[i]);
  return sum;
}
