// Real mode: the work is done by real16.S before protected mode is entered.

#include "bench.h"

extern u32 real_result;

u32 bench(u32 rounds) {
  (void)rounds;
  return real_result;
}
