// A chain of pointers through 64 MiB, each step in another 4 KiB page.

#include "bench.h"
#ifdef GUEST
#include "machine.h"
#endif

enum { PAGES = 16384 };

struct step {
  struct step *next;
  u32 value;
};

static u16 order[PAGES];

static struct step *at(u32 page) {
  // Lines of a page in turn, or all would compete for the same few places in the caches.
  return (struct step *)(arena + page * 4096 + (page * 37 & 63) * 64);
}

u32 bench(u32 rounds) {
#ifdef GUEST
  enable_paging();
#endif
  u32 seed = 99;
  for (u32 i = 0; i < PAGES; i++) order[i] = (u16)i;
  for (u32 i = PAGES - 1; i > 0; i--) {
    u32 j = next_random(&seed) % i;
    u16 t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
  for (u32 i = 0; i < PAGES; i++) {
    struct step *s = at(order[i]);
    s->next = at(order[(i + 1) % PAGES]);
    s->value = i;
  }
  u32 sum = 1;
  struct step *s = at(0);
  for (u32 round = 0; round < rounds; round++) {
    for (u32 i = 0; i < PAGES; i++) {
      sum = sum * 5 + s->value;
      s->value += round;
      s = s->next;
    }
  }
  return sum;
}
