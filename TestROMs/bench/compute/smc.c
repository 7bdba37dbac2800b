// Code that changes: immediates patched from outside, a loop that patches itself, functions made at run time.

#include "bench.h"

typedef u32 (*function)(u32);

// mov eax, [esp+4] / add eax, imm32 / xor eax, imm32 / ret
static NOINLINE u32 patched(u8 *code, u32 value) {
  static const u8 bytes[] = {0x8B, 0x44, 0x24, 0x04, 0x05, 0, 0, 0, 0, 0x35, 0, 0, 0, 0, 0xC3};
  memcpy(code, bytes, sizeof bytes);
  for (u32 i = 0; i < 400; i++) {
    *(volatile u32 *)(code + 5) = value + i;
    *(volatile u32 *)(code + 10) = value * 3;
    value = ((function)code)(value);
    // Several calls of the same code, as a patched inner loop has them.
    for (u32 j = 0; j < 10; j++) value = ((function)code)(value);
  }
  return value;
}

// The loop adds an immediate that the loop itself rewrites, just ahead of it:
//   mov ecx, 200 / mov eax, [esp+4] / mov edx, code+20
//   top: add [edx], eax / add eax, imm32 (at +20) / rol eax, 3 / dec ecx / jnz top / ret
static NOINLINE u32 self_patching(u8 *code, u32 value) {
  u8 *p = code;
  u32 *immediate;
  *p++ = 0xB9, *(u32 *)p = 200, p += 4;
  *p++ = 0x8B, *p++ = 0x44, *p++ = 0x24, *p++ = 0x04;
  *p++ = 0xBA, *(u32 *)p = (u32)code + 17, p += 4;
  u8 *top = p;
  *p++ = 0x01, *p++ = 0x02;
  *p++ = 0x05, immediate = (u32 *)p, *immediate = 12345, p += 4;
  *p++ = 0xC1, *p++ = 0xC0, *p++ = 3;
  *p++ = 0x49;
  *p++ = 0x75, *p = (u8)(top - p - 1), p++;
  *p++ = 0xC3;
  return ((function)code)(value) ^ *immediate;
}

// A chain of up to 40 random operations on EAX, called a few times.
static NOINLINE u32 generated(u8 *code, u32 value) {
  u32 seed = value | 1;
  for (u32 i = 0; i < 60; i++) {
    u8 *p = code + (i & 7) * 512;
    u8 *start = p;
    *p++ = 0x8B, *p++ = 0x44, *p++ = 0x24, *p++ = 0x04;
    u32 count = 10 + next_random(&seed) % 30;
    while (count--) {
      u32 r = next_random(&seed);
      switch (r & 7) {
      case 0: *p++ = 0x05, *(u32 *)p = r, p += 4; break;
      case 1: *p++ = 0x35, *(u32 *)p = r, p += 4; break;
      case 2: *p++ = 0x2D, *(u32 *)p = r, p += 4; break;
      case 3: *p++ = 0xC1, *p++ = 0xC0, *p++ = r >> 8 & 31; break;
      case 4: *p++ = 0x69, *p++ = 0xC0, *(u32 *)p = r, p += 4; break;
      case 5: *p++ = 0xF7, *p++ = 0xD0; break;
      case 6: *p++ = 0x8D, *p++ = 0x44, *p++ = 0x80, *p++ = r >> 24; break;
      default: *p++ = 0x0F, *p++ = 0xC8;
      }
    }
    *p++ = 0xC3;
    for (u32 j = 0; j < 20; j++) value = ((function)start)(value + j);
  }
  return value;
}

u32 bench(u32 rounds) {
  u32 sum = 1;
  for (u32 round = 0; round < rounds; round++) {
    sum = fold(sum, patched(arena, sum));
    for (u32 i = 0; i < 4; i++) sum = fold(sum, self_patching(arena + 4096, sum));
    sum = fold(sum, generated(arena + 8192, sum));
  }
  return sum;
}
