// String instructions: moves, fills, searches and comparisons with REP, long and short, forwards, backwards and overlapping.

#include "bench.h"

enum { LONG = 256 << 10, SHORT = 24 };

static inline void move_bytes(u8 *to, const u8 *from, u32 count) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}
static inline void move_words(u8 *to, const u8 *from, u32 count) {
  __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}
static inline void move_back(u8 *to, const u8 *from, u32 count) {
  __asm__ volatile("std; rep movsb; cld" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}
static inline void fill_bytes(u8 *to, u8 value, u32 count) {
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}
static inline void fill_words(u8 *to, u32 value, u32 count) {
  __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}
/// What is left of `count` after the first byte equal to `value`.
static inline u32 search(const u8 *in, u8 value, u32 count) {
  __asm__ volatile("repne scasb" : "+D"(in), "+c"(count) : "a"(value) : "memory", "cc");
  return count;
}
/// What is left of `count` after the first difference.
static inline u32 differ(const u8 *a, const u8 *b, u32 count) {
  __asm__ volatile("repe cmpsb" : "+D"(a), "+S"(b), "+c"(count) : : "memory", "cc");
  return count;
}

static NOINLINE u32 long_ones(u8 *a, u8 *b, u32 seed) {
  u32 sum = 0;
  fill_words(a, seed | 0x01010101, LONG / 4);
  fill_bytes(a + 100, (u8)seed | 1, LONG / 2);
  a[LONG / 16 - 50 - (seed & 31)] = 0;
  sum = fold(sum, search(a, 0, LONG));
  move_words(b, a, LONG / 4);
  b[LONG / 16 - 9 - (seed & 63)] ^= 0xFF;
  sum = fold(sum, differ(a, b, LONG));
  move_bytes(b + 1, a, LONG);
  move_bytes(b, b + 4099, LONG / 2);
  move_back(b + LONG / 2 + 64, b + LONG / 2, LONG / 64);
  // Overlapping by one: spreads the first byte.
  move_bytes(b + 1001, b + 1000, 5000);
  for (u32 i = 0; i < LONG; i += 1021) sum = fold(sum, b[i]);
  return sum;
}

static NOINLINE u32 short_ones(u8 *a, u8 *b, u32 seed) {
  u32 sum = 0;
  for (u32 i = 0; i < 400; i++) {
    u32 r = next_random(&seed), at = r & 0xFFF, count = (r >> 12) % SHORT;
    fill_bytes(a + at, (u8)(r >> 20), count);
    move_bytes(b + at + 3, a + at, count);
    move_words(a + (r >> 19 & 0xFFF), b + at, count >> 2);
    sum += search(a + at, (u8)r, count) + differ(a + at, b + at, count);
  }
  return fold(sum, seed);
}

u32 bench(u32 rounds) {
  u8 *a = arena, *b = arena + 2 * LONG;
  fill_bytes(a, 0x55, 4 * LONG);
  u32 sum = 1;
  for (u32 round = 0; round < rounds; round++) {
    sum = fold(sum, long_ones(a, b, sum));
    sum = fold(sum, short_ones(a, b, sum | 1));
  }
  return sum;
}
