// Memory in order: a sieve of bytes over 4 MiB and streams of words over two arrays of 16 MiB.

#include "bench.h"

enum { SIEVE = 4 << 20, WORDS = 4 << 20 };

static NOINLINE u32 sieve(u8 *flags) {
  memset(flags, 1, SIEVE);
  u32 count = 0, last = 0;
  for (u32 i = 2; i < SIEVE; i++) {
    if (!flags[i]) continue;
    count++;
    last = i;
    if (i < 2048)
      for (u32 j = i * i; j < SIEVE; j += i) flags[j] = 0;
  }
  return count * 31 + last;
}

static NOINLINE u32 streams(u32 *a, u32 *b, u32 seed) {
  for (u32 i = 0; i < WORDS; i++) b[i] = i * seed;
  for (u32 i = 0; i < WORDS; i++) a[i] = b[i] + (b[i] >> 3);
  for (u32 i = 0; i < WORDS; i++) b[i] ^= a[i] * 5;
  u32 sum = 0;
  for (u32 i = 0; i < WORDS; i++) sum += a[i] ^ b[i];
  return sum;
}

u32 bench(u32 rounds) {
  u32 sum = 1;
  for (u32 round = 0; round < rounds; round++) {
    sum = fold(sum, sieve(arena));
    sum = fold(sum, streams((u32 *)(arena + SIEVE), (u32 *)(arena + SIEVE + 4 * WORDS), sum | 1));
  }
  return sum;
}
