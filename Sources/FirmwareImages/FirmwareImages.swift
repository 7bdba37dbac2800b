// The built firmware as data: what the machine maps when no other image is given.
//
// It owns: the names of the images. It must not know: what maps or runs them.
// The members are generated at build time from the sources listed in roms.txt, by the plugin in
// Firmware/Plugin.

/// The images assembled from `Firmware` and `TestROMs`.
///
/// - `bios`: the system BIOS, 64 KiB, for F0000h (and its alias below 4 GiB).
/// - `vgaBIOS`: the video BIOS option ROM, 32 KiB, for C0000h. It finds out which adapter there is.
/// - `vgaBIOSStandard`, `vgaBIOSCirrus`: the same as the expansion ROMs of the functions 1234:1111 and 1013:00B8, for firmware that
///   looks for PCI's data structure.
/// - `dsdt`: the ACPI table that describes board `pc`, as compiled, for the maker of a machine's tables.
/// - `demoFloppy`: the demo disk, a bootable floppy of 1,474,560 bytes.
public enum FirmwareImages {}
