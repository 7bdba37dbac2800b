// Mode 13h: 320 x 200 in 256 colours; filled rectangles, points, pictures with holes, moves of the screen.

#include "machine.h"

#define SCREEN ((volatile u8 *)0xA0000)
enum { WIDTH = 320, HEIGHT = 200, SPRITE = 32 };

static u8 sprite[SPRITE][SPRITE];

static void fill(u32 x, u32 y, u32 w, u32 h, u8 colour) {
  u32 four = colour * 0x01010101u;
  for (u32 row = y; row < y + h; row++) {
    volatile u32 *line = (volatile u32 *)(SCREEN + row * WIDTH + (x & ~3u));
    for (u32 i = 0; i < w / 4; i++) line[i] = four;
  }
}

static void points(u32 *seed) {
  for (u32 i = 0; i < 4000; i++) {
    u32 r = next_random(seed), x = (r & 0xFFFF) * WIDTH >> 16, y = (r >> 16) * HEIGHT >> 16;
    SCREEN[y * WIDTH + x] = (u8)(r >> 7);
  }
}

static void blit(u32 x, u32 y) {
  for (u32 row = 0; row < SPRITE; row++)
    for (u32 column = 0; column < SPRITE; column++) {
      u8 c = sprite[row][column];
      if (c) SCREEN[(y + row) * WIDTH + x + column] = c;
    }
}

static void line(s32 x0, s32 y0, s32 x1, s32 y1, u8 colour) {
  s32 dx = x1 > x0 ? x1 - x0 : x0 - x1, dy = y1 > y0 ? y1 - y0 : y0 - y1;
  s32 sx = x0 < x1 ? 1 : -1, sy = y0 < y1 ? 1 : -1, error = dx - dy;
  for (;;) {
    SCREEN[y0 * WIDTH + x0] = colour;
    if (x0 == x1 && y0 == y1) return;
    s32 twice = 2 * error;
    if (twice > -dy) error -= dy, x0 += sx;
    if (twice < dx) error += dx, y0 += sy;
  }
}

static void scroll(void) {
  volatile u32 *words = (volatile u32 *)SCREEN;
  for (u32 i = 0; i < (HEIGHT - 1) * WIDTH / 4; i++) words[i] = words[i + WIDTH / 4];
}

u32 bench(u32 rounds) {
  u32 seed = 3, sum = 1;
  for (u32 i = 0; i < SPRITE * SPRITE; i++) {
    u32 r = next_random(&seed);
    sprite[i / SPRITE][i % SPRITE] = r & 0x100 ? (u8)r : 0;
  }
  fill(0, 0, WIDTH, HEIGHT, 0);
  for (u32 round = 0; round < rounds; round++) {
    if (round % 8 == 0) fill(0, 0, WIDTH, HEIGHT, (u8)round);
    for (u32 i = 0; i < 20; i++) {
      u32 r = next_random(&seed);
      fill(r & 127, r >> 8 & 63, 16 + (r >> 16 & 127), 16 + (r >> 24 & 63), (u8)(r >> 5));
    }
    points(&seed);
    for (u32 i = 0; i < 20; i++) {
      u32 r = next_random(&seed);
      blit(r & 255, r >> 8 & 127);
    }
    for (u32 i = 0; i < 20; i++) {
      u32 r = next_random(&seed);
      line(r & 255, r >> 8 & 127, r >> 16 & 255, r >> 24 & 127, (u8)(r >> 3));
    }
    scroll();
    for (u32 i = 0; i < WIDTH * HEIGHT; i += 61) sum = sum * 31 + SCREEN[i];
  }
  return fold(sum, seed);
}
