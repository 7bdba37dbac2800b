// Floating point on the x87: the Mandelbrot set, bodies that attract each other, sines and arc tangents.
// The precision is 53 bits, so that it makes no difference which values the compiler keeps in registers. Of transcendental results,
// whose last bits differ among processors, only the first 20 bits count.

#include "bench.h"

enum { BODIES = 5 };

static double place[BODIES][3], speed[BODIES][3], mass[BODIES];

static inline double square_root(double x) {
  __asm__("fsqrt" : "+t"(x));
  return x;
}

static u32 to_integer(double x) {
  s32 result;
  __asm__ volatile("fistpl %0" : "=m"(result) : "t"(x) : "st");
  return (u32)result;
}

static NOINLINE u32 mandelbrot(u32 phase) {
  u32 sum = 0;
  double shift = phase * 0.001;
  for (int row = 0; row < 24; row++) {
    for (int column = 0; column < 32; column++) {
      double cr = column * (3.0 / 32) - 2.1 + shift, ci = row * (2.0 / 24) - 1.0;
      double r = 0, i = 0;
      int steps = 0;
      for (; steps < 64; steps++) {
        double rr = r * r, ii = i * i;
        if (rr + ii > 4) break;
        i = 2 * r * i + ci;
        r = rr - ii + cr;
      }
      sum = sum * 3 + (u32)steps;
    }
  }
  return sum;
}

static NOINLINE void attract(int steps) {
  const double time = 0.01;
  for (int step = 0; step < steps; step++) {
    for (int a = 0; a < BODIES; a++) {
      for (int b = a + 1; b < BODIES; b++) {
        double x = place[a][0] - place[b][0], y = place[a][1] - place[b][1], z = place[a][2] - place[b][2];
        double square = x * x + y * y + z * z + 0.25;
        double pull = time / (square * square_root(square));
        double ma = mass[a] * pull, mb = mass[b] * pull;
        speed[a][0] -= x * mb, speed[a][1] -= y * mb, speed[a][2] -= z * mb;
        speed[b][0] += x * ma, speed[b][1] += y * ma, speed[b][2] += z * ma;
      }
    }
    for (int a = 0; a < BODIES; a++)
      for (int i = 0; i < 3; i++) place[a][i] += time * speed[a][i];
  }
}

static NOINLINE u32 circles(u32 phase) {
  u32 sum = 0;
  for (u32 i = 1; i <= 300; i++) {
    double angle = (i + phase % 1000) * 0.0107, sine, cosine, arc;
    __asm__("fsincos" : "=t"(cosine), "=u"(sine) : "0"(angle));
    __asm__("fpatan" : "=t"(arc) : "0"(cosine * 3), "u"(sine * 2) : "st(1)");
    sum = fold(sum, to_integer((sine + cosine * 0.5 + arc) * 1048576));
  }
  return sum;
}

u32 bench(u32 rounds) {
  u16 control = 0x027F;
  __asm__ volatile("fldcw %0" : : "m"(control));
  u32 seed = 7;
  for (int a = 0; a < BODIES; a++) {
    mass[a] = 1 + a;
    for (int i = 0; i < 3; i++) {
      place[a][i] = (s32)(next_random(&seed) >> 16) / 8192.0 - 4;
      speed[a][i] = (s32)(next_random(&seed) >> 16) / 65536.0 - 0.5;
    }
  }
  u32 sum = 1;
  for (u32 round = 0; round < rounds; round++) {
    sum = fold(sum, mandelbrot(round));
    attract(50);
    sum = fold(sum, circles(round));
  }
  for (int a = 0; a < BODIES; a++)
    for (int i = 0; i < 3; i++) {
      union {
        double d;
        u32 u[2];
      } bits = {place[a][i]};
      sum = fold(fold(sum, bits.u[0]), bits.u[1]);
    }
  return sum;
}
