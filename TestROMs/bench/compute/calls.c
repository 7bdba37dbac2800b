// Calls: quicksort with a comparison by pointer, recursion, a table of functions.

#include "bench.h"

enum { COUNT = 4000 };

typedef int (*compare)(const u32 *, const u32 *);
typedef u32 (*operation)(u32, u32);

static u32 numbers[COUNT];

static NOINLINE int ascending(const u32 *a, const u32 *b) { return *a < *b ? -1 : *a > *b; }
static NOINLINE int by_low_half(const u32 *a, const u32 *b) {
  return (int)(*a & 0xFFFF) - (int)(*b & 0xFFFF);
}
static NOINLINE int reversed(const u32 *a, const u32 *b) { return ascending(b, a); }

static compare const comparisons[3] = {ascending, by_low_half, reversed};

static NOINLINE void quicksort(u32 *base, s32 count, compare order) {
  if (count < 2) return;
  u32 pivot = base[count / 2];
  s32 i = 0, j = count - 1;
  for (;;) {
    while (order(&base[i], &pivot) < 0) i++;
    while (order(&pivot, &base[j]) < 0) j--;
    if (i >= j) break;
    u32 t = base[i];
    base[i++] = base[j];
    base[j--] = t;
  }
  quicksort(base, i, order);
  quicksort(base + j + 1, count - j - 1, order);
}

static NOINLINE u32 fibonacci(u32 n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

static NOINLINE s32 takeuchi(s32 x, s32 y, s32 z) {
  if (y >= x) return z;
  return takeuchi(takeuchi(x - 1, y, z), takeuchi(y - 1, z, x), takeuchi(z - 1, x, y));
}

static NOINLINE u32 op_add(u32 a, u32 b) { return a + b; }
static NOINLINE u32 op_xor(u32 a, u32 b) { return a ^ b; }
static NOINLINE u32 op_rotate(u32 a, u32 b) { return a << 7 ^ a >> 25 ^ b; }
static NOINLINE u32 op_nested(u32 a, u32 b) { return op_add(op_xor(a, b), op_rotate(b, a)); }

static operation const operations[4] = {op_add, op_xor, op_rotate, op_nested};

static NOINLINE u32 dispatch(u32 seed) {
  u32 value = seed;
  for (u32 i = 0; i < 10000; i++) {
    u32 r = next_random(&seed);
    value = operations[r >> 11 & 3](value, r);
  }
  return value;
}

u32 bench(u32 rounds) {
  u32 sum = 1;
  for (u32 round = 0; round < rounds; round++) {
    u32 seed = sum | 1;
    for (u32 i = 0; i < COUNT; i++) numbers[i] = next_random(&seed);
    // The loop over halves leaves equal keys in an order of its own: the sum must not depend on it, so it is of the keys only.
    quicksort(numbers, COUNT, comparisons[round % 3]);
    for (u32 i = 0; i < COUNT; i += 97) sum = fold(sum, round % 3 == 1 ? numbers[i] & 0xFFFF : numbers[i]);
    sum = fold(sum, fibonacci(18 + (round & 1)));
    sum = fold(sum, (u32)takeuchi(10, 5 + (s32)(round & 1), 1));
    sum = fold(sum, dispatch(seed));
  }
  return sum;
}
