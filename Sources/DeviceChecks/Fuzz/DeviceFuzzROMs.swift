// What the machines that are fuzzed run, as data.
//
// Owns: the name. The members are generated at build time from the sources listed in roms.txt.

/// The guest's program, and the ROM that goes on with it after a reset.
enum DeviceFuzzROMs {}
