// The guest programs that test the BIOS, as bootable floppy images; generated from TestROMs/bios.

/// Images of the tests in `TestROMs`, by name of the source file.
enum TestROMs {}
