// Mode 12h: four planes through the graphics controller; write modes 0 to 2, bit masks, latches, reading back.

#include "machine.h"

#define SCREEN ((volatile u8 *)0xA0000)
enum { PITCH = 80, LINES = 480 };

static void graphics(u8 index, u8 value) { out16(0x3CE, (u16)(value << 8 | index)); }
static void planes(u8 mask) { out16(0x3C4, (u16)(mask << 8 | 2)); }

// Write mode 0 with set/reset: bars of one colour.
static void bars(u32 *seed) {
  graphics(5, 0);
  graphics(1, 15);
  graphics(8, 0xFF);
  for (u32 i = 0; i < 6; i++) {
    u32 r = next_random(seed), x = r & 31, y = r >> 8 & 255;
    graphics(0, r >> 24 & 15);
    for (u32 row = y; row < y + 40; row++)
      for (u32 column = x; column < x + 24; column++) SCREEN[row * PITCH + column] = 0xFF;
  }
  graphics(1, 0);
}

// Write mode 2 with a bit mask: points.
static void points(u32 *seed) {
  graphics(5, 2);
  for (u32 i = 0; i < 400; i++) {
    u32 r = next_random(seed), x = (r & 0xFFFF) * 640 >> 16, y = (r >> 16) * LINES >> 16;
    volatile u8 *byte = SCREEN + y * PITCH + x / 8;
    graphics(8, 0x80 >> (x & 7));
    (void)*byte;
    *byte = r >> 9 & 15;
  }
  graphics(8, 0xFF);
}

// Write mode 1: copies of all planes through the latches.
static void copies(u32 *seed) {
  graphics(5, 1);
  for (u32 i = 0; i < 4; i++) {
    u32 r = next_random(seed), from = r & 0x3FFF, to = r >> 16 & 0x3FFF;
    for (u32 j = 0; j < 1000; j++) SCREEN[to + j] = SCREEN[from + j];
  }
}

// Write mode 0 plane by plane, with the functions of the data: characters.
static void glyphs(u32 *seed) {
  graphics(5, 0);
  for (u32 plane = 0; plane < 4; plane++) {
    planes(1 << plane);
    graphics(3, (plane & 3) << 3);
    for (u32 i = 0; i < 20; i++) {
      u32 r = next_random(seed), at = r & 0x7FFF;
      for (u32 row = 0; row < 16; row++) {
        volatile u8 *byte = SCREEN + at + row * PITCH;
        (void)*byte;
        *byte = (u8)(r >> row);
      }
    }
  }
  planes(15);
  graphics(3, 0);
}

// Read mode 0 of each plane, read mode 1 for a colour.
static u32 read_back(u32 phase) {
  u32 sum = 0;
  for (u32 plane = 0; plane < 4; plane++) {
    graphics(4, plane);
    for (u32 i = phase & 31; i < PITCH * LINES; i += 97) sum = sum * 31 + SCREEN[i];
  }
  graphics(5, 8);
  graphics(7, 15);
  graphics(2, phase & 15);
  for (u32 i = phase & 31; i < PITCH * LINES; i += 97) sum = sum * 31 + SCREEN[i];
  graphics(5, 0);
  return sum;
}

u32 bench(u32 rounds) {
  u32 seed = 11, sum = 1;
  planes(15);
  for (u32 i = 0; i < 0x10000; i++) SCREEN[i] = 0;
  for (u32 round = 0; round < rounds; round++) {
    bars(&seed);
    points(&seed);
    copies(&seed);
    glyphs(&seed);
    sum = fold(sum, read_back(round));
  }
  return sum;
}
