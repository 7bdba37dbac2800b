// SHA-256 (FIPS 180-4) over 64 KiB a round: rotates and more live values than there are registers.

#include "bench.h"

static u32 constants[64], state[8];
static u8 data[65536];

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

// The first 32 bits of the fractional parts of the cube (or square) roots of the first primes, by integer bisection.
static u32 root_fraction(u32 prime, int cube) {
  u64 low = 0, high = (u64)8 << 32;
  if (!cube) high = (u64)20 << 32;
  // low <= root * 2^32 < high; compare with 96-bit products in pieces of 32 bits.
  while (high - low > 1) {
    u64 middle = low + (high - low) / 2;
    u32 a1 = (u32)(middle >> 32), a0 = (u32)middle;
    // middle^2 = s2:s1:s0 in units of 2^-64
    u64 p00 = (u64)a0 * a0, p01 = (u64)a0 * a1, p11 = (u64)a1 * a1;
    u64 t = (p00 >> 32) + 2 * (p01 & 0xFFFFFFFF);
    u32 s0 = (u32)p00, s1 = (u32)t;
    u64 s2 = p11 + 2 * (p01 >> 32) + (t >> 32);
    int less;
    if (!cube) {
      less = s2 < prime || (s2 == prime && s1 == 0 && s0 == 0);
    } else {
      // times middle again; the whole part is what counts
      u64 q = (u64)s0 * a0 >> 32;
      u64 r0 = (u64)s0 * a1, r1 = (u64)s1 * a0;
      u64 u0 = q + (r0 & 0xFFFFFFFF) + (r1 & 0xFFFFFFFF);
      u64 v0 = (u64)s1 * a1, v1 = (u64)(u32)s2 * a0;
      u64 u1 = (u0 >> 32) + (r0 >> 32) + (r1 >> 32) + (v0 & 0xFFFFFFFF) + (v1 & 0xFFFFFFFF);
      u64 u2 = (u1 >> 32) + (v0 >> 32) + (v1 >> 32) + s2 * a1;
      less = u2 < prime;
    }
    if (less) low = middle;
    else high = middle;
  }
  return (u32)low;
}

static void prepare(void) {
  u32 found = 0;
  for (u32 n = 2; found < 64; n++) {
    int prime = 1;
    for (u32 d = 2; d * d <= n; d++)
      if (n % d == 0) prime = 0;
    if (!prime) continue;
    if (found < 8) state[found] = root_fraction(n, 0);
    constants[found++] = root_fraction(n, 1);
  }
}

static NOINLINE void block(const u8 *bytes) {
  u32 w[64];
  for (int i = 0; i < 16; i++) {
    u32 x = *(const u32 *)(bytes + 4 * i);
    w[i] = __builtin_bswap32(x);
  }
  for (int i = 16; i < 64; i++) {
    u32 s0 = ROTATE(w[i - 15], 7) ^ ROTATE(w[i - 15], 18) ^ w[i - 15] >> 3;
    u32 s1 = ROTATE(w[i - 2], 17) ^ ROTATE(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  u32 a = state[0], b = state[1], c = state[2], d = state[3];
  u32 e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; i++) {
    u32 t1 = h + (ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] + w[i];
    u32 t2 = (ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d;
  state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

// The state after the data (whole blocks, without padding) is the checksum's source.
u32 bench(u32 rounds) {
  prepare();
  u32 seed = 1;
  for (u32 i = 0; i < sizeof data; i++) data[i] = (u8)(next_random(&seed) >> 5);
  for (u32 round = 0; round < rounds; round++) {
    for (u32 i = 0; i < sizeof data; i += 64) block(data + i);
    data[round & 0xFFFF] ^= (u8)state[0];
  }
  u32 sum = 0;
  for (int i = 0; i < 8; i++) sum = fold(sum, state[i]);
  return sum;
}
