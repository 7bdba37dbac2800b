// What every benchmark kernel sees.
//
// A kernel is one C function, `bench`, that does `rounds` units of work and returns a checksum. The same source is linked with guest.c
// (a bootable disk image) and, for kernels that need no privileges, with native.c (a static 32-bit Linux program).
#ifndef BENCH_H
#define BENCH_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed short s16;
typedef signed int s32;

#define NOINLINE __attribute__((noinline))

/// Does `rounds` units of work; the checksum depends on all of it and on nothing else.
u32 bench(u32 rounds);

/// 96 MiB at a page boundary, contents undefined; in a native program also executable.
extern u8 arena[];
#define ARENA_SIZE (96u << 20)

void *memcpy(void *to, const void *from, u32 count);
void *memset(void *to, int value, u32 count);

/// Folds a value into a checksum.
static inline u32 fold(u32 sum, u32 value) {
  sum ^= value;
  sum *= 0x9E3779B1u;
  return sum ^ sum >> 15;
}

/// The next pseudo-random number (xorshift); the state must not be zero.
static inline u32 next_random(u32 *state) {
  u32 x = *state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return *state = x;
}

#endif
