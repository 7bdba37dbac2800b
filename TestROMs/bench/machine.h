// What kernels see that own the machine: ports, descriptor and page tables. Intel SDM volume 3.
#ifndef MACHINE_H
#define MACHINE_H

#include "bench.h"

static inline u8 in8(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out16(u16 port, u16 value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static inline void load_cr3(u32 value) { __asm__ volatile("movl %0, %%cr3" : : "r"(value) : "memory"); }
static inline void flush_page(u32 address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }

/// The page directory of the identity map, and its page tables after it: 128 MiB of 4 KiB pages, open to user code.
#define DIRECTORY ((volatile u32 *)0x300000)
/// Free memory between the identity map's tables and the arena, for further tables.
#define SPARE_TABLES 0x340000u

enum { PRESENT = 1, WRITABLE = 2, USER = 4 };

/// Turns paging on with the identity map; nothing when it is on.
void enable_paging(void);
/// An interrupt gate that user code may call too.
void set_gate(u32 vector, void (*handler)(void));
/// Ends the run with a message.
void fail(const char *why, u32 value);

/// The task state segment; `esp0` is the stack of the kernel for what interrupts user code.
extern u32 tss[26];

#endif
