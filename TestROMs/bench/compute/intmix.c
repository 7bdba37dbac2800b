// Integer work of many kinds: sorting of a linked list, matrices, a state machine over text, checksums.

#include "bench.h"

enum { NODES = 1000, SIDE = 40, TEXT = 6000 };

struct node {
  struct node *next;
  s32 key;
  u32 tag;
};

static struct node nodes[NODES];
static s32 left[SIDE][SIDE], right[SIDE][SIDE], product[SIDE][SIDE];
static s16 small[SIDE][SIDE];
static u8 text[TEXT];
static u32 crc_table[256];

static struct node *merge(struct node *a, struct node *b, int by_key) {
  struct node head, *tail = &head;
  while (a && b) {
    int first = by_key ? a->key <= b->key : a->tag <= b->tag;
    if (first) {
      tail->next = a;
      tail = a;
      a = a->next;
    } else {
      tail->next = b;
      tail = b;
      b = b->next;
    }
  }
  tail->next = a ? a : b;
  return head.next;
}

// Bottom-up: lists of 2^i nodes wait in `bins[i]`.
static NOINLINE struct node *sort(struct node *list, int by_key) {
  struct node *bins[12] = {0};
  while (list) {
    struct node *carry = list;
    list = list->next;
    carry->next = 0;
    int i = 0;
    for (; i < 11 && bins[i]; i++) {
      carry = merge(bins[i], carry, by_key);
      bins[i] = 0;
    }
    bins[i] = carry;
  }
  struct node *result = 0;
  for (int i = 0; i < 12; i++) result = merge(bins[i], result, by_key);
  return result;
}

static NOINLINE u32 lists(u32 seed) {
  for (u32 i = 0; i < NODES; i++) {
    nodes[i].next = i + 1 < NODES ? &nodes[i + 1] : 0;
    nodes[i].key = (s32)next_random(&seed) >> 8;
    nodes[i].tag = i;
  }
  struct node *list = sort(nodes, 1);
  u32 sum = 0, place = 0;
  for (struct node *n = list; n; n = n->next) sum += n->tag * ++place;
  list = sort(list, 0);
  for (struct node *n = list; n; n = n->next) sum = (sum << 1 | sum >> 31) ^ (u32)n->key;
  return sum;
}

static NOINLINE u32 matrices(u32 seed) {
  for (int i = 0; i < SIDE; i++) {
    for (int j = 0; j < SIDE; j++) {
      u32 r = next_random(&seed);
      left[i][j] = (s32)(r & 0xFFF) - 2048;
      right[i][j] = (s32)(r >> 20) - 2048;
      small[i][j] = (s16)(r >> 8);
    }
  }
  for (int i = 0; i < SIDE; i++) {
    for (int j = 0; j < SIDE; j++) {
      s32 sum = 0;
      for (int k = 0; k < SIDE; k++) sum += left[i][k] * right[k][j];
      product[i][j] = sum;
    }
  }
  u32 result = 0;
  for (int i = 0; i < SIDE; i++) {
    s32 row = 0;
    for (int j = 0; j < SIDE; j++) {
      row += small[i][j] * small[j][i] >> 4;
      row ^= product[i][j];
    }
    result = fold(result, (u32)row);
  }
  return result;
}

// Words of a tiny language: names, decimal and hexadecimal numbers, operators, comments.
static NOINLINE u32 scan(u32 seed) {
  static const char letters[32] = "ab0xf19 _+-*/#\n zq7 c3e. =<>42\n";
  for (int i = 0; i < TEXT; i++) text[i] = (u8)letters[next_random(&seed) >> 9 & 31];
  enum { SPACE, NAME, ZERO, DECIMAL, HEXADECIMAL, OPERATOR, COMMENT, BAD } state = SPACE;
  u32 counts[8] = {0}, value = 0, sum = 0;
  for (int i = 0; i < TEXT; i++) {
    u8 c = text[i];
    int digit = c >= '0' && c <= '9', letter = (c >= 'a' && c <= 'z') || c == '_';
    int before = state;
    switch (state) {
    case COMMENT:
      if (c == '\n') state = SPACE;
      break;
    case ZERO:
      if (c == 'x') {
        state = HEXADECIMAL;
        break;
      }
      // A digit makes it decimal.
    case DECIMAL:
      if (digit) {
        state = DECIMAL;
        value = value * 10 + c - '0';
        break;
      }
      if (letter) {
        state = BAD;
        break;
      }
      goto fresh;
    case HEXADECIMAL:
      if (digit || (c >= 'a' && c <= 'f')) {
        value = value << 4 | (digit ? c - '0' : c - 'a' + 10);
        break;
      }
      if (letter) {
        state = BAD;
        break;
      }
      goto fresh;
    case NAME:
      if (letter || digit) {
        value = value * 33 + c;
        break;
      }
      goto fresh;
    case BAD:
      if (letter || digit) break;
      goto fresh;
    default:
    fresh:
      sum = fold(sum, value);
      value = 0;
      if (c == '0') state = ZERO;
      else if (digit) state = DECIMAL, value = c - '0';
      else if (letter) state = NAME, value = c;
      else if (c == ' ' || c == '\n') state = SPACE;
      else if (c == '#') state = COMMENT;
      else state = OPERATOR;
    }
    if ((int)state != before) counts[state]++;
  }
  for (int i = 0; i < 8; i++) sum = fold(sum, counts[i]);
  return sum;
}

static NOINLINE u32 checksums(void) {
  if (!crc_table[1]) {
    for (u32 i = 0; i < 256; i++) {
      u32 c = i;
      for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xEDB88320 : c >> 1;
      crc_table[i] = c;
    }
  }
  u32 crc = ~0u;
  for (int i = 0; i < TEXT; i++) crc = crc >> 8 ^ crc_table[(crc ^ text[i]) & 255];
  u16 other = 0xFFFF;
  for (int i = 0; i < 512; i++) {
    other ^= (u16)(text[i] << 8);
    for (int bit = 0; bit < 8; bit++) other = other & 0x8000 ? (u16)(other << 1 ^ 0x1021) : (u16)(other << 1);
  }
  return ~crc ^ other;
}

u32 bench(u32 rounds) {
  u32 sum = 1;
  for (u32 round = 0; round < rounds; round++) {
    u32 seed = sum | 1;
    sum = fold(sum, lists(seed));
    sum = fold(sum, matrices(seed));
    sum = fold(sum, scan(seed));
    sum = fold(sum, checksums());
  }
  return sum;
}
