// Port input and output: the system control port, the disk's status, the POST port.

#include "machine.h"

u32 bench(u32 rounds) {
  u32 sum = 1;
  // Speaker off, checks enabled: the low bits read back so.
  out8(0x61, 0);
  for (u32 round = 0; round < rounds; round++) {
    for (u32 i = 0; i < 100; i++) {
      // The bits above run with the timer or are the board's own.
      sum = sum * 5 + (in8(0x61) & 3);
      // The disk is idle: not busy, no error.
      sum = sum * 5 + (in8(0x1F7) & 0x81);
      out8(0x80, (u8)sum);
      sum = sum * 5 + (in8(0x61) & 3);
    }
    sum = fold(sum, round);
  }
  return sum;
}
