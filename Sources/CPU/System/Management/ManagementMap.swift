// Where the processor's state is in SMRAM while it is in system management mode.
//
// Owns: offsets from SMBASE. Must not know: when it is saved.
// Follows: Intel SDM volume 3, "System Management Mode", table "SMRAM State Save Map" (Intel486 SL, Pentium, P6 family). What the manual
// calls reserved (hidden parts of segment registers, descriptor tables, CR4) is where Bochs and QEMU have it, which agree; the registers
// of an I/O instruction are where the Pentium had them.

/// Offsets from SMBASE, doublewords.
enum ManagementMap {
  /// Where execution begins.
  static let entry: UInt32 = 0x8000

  static let cr0: UInt32 = 0xFFFC
  static let cr3: UInt32 = 0xFFF8
  static let eflags: UInt32 = 0xFFF4
  static let eip: UInt32 = 0xFFF0
  /// EAX; the others follow downwards: ECX at FFD4h, EDI at FFECh.
  static let eax: UInt32 = 0xFFD0
  static let dr6: UInt32 = 0xFFCC
  static let dr7: UInt32 = 0xFFC8
  static let gdtBase: UInt32 = 0xFF74
  static let gdtLimit: UInt32 = 0xFF70
  static let idtBase: UInt32 = 0xFF58
  static let idtLimit: UInt32 = 0xFF54
  static let cr4: UInt32 = 0xFF14
  /// An I/O instruction that the SMI came with: where it starts again, and ESI, ECX, EDI as it began with.
  static let ioEIP: UInt32 = 0xFF10
  static let ioESI: UInt32 = 0xFF0C
  static let ioECX: UInt32 = 0xFF08
  static let ioEDI: UInt32 = 0xFF04
  /// Upper word: auto HALT restart, bit 0. Lower word: FFh there starts the I/O instruction again.
  static let restart: UInt32 = 0xFF00
  static let revision: UInt32 = 0xFEFC
  static let base: UInt32 = 0xFEF8

  /// Restart of I/O instructions and relocation.
  static let revisionValue: UInt32 = 0x0003_0000

  /// Selector, and attributes, before limit and base, of the segment registers in `SegmentRegister`'s order.
  static let segments: [(selector: UInt32, hidden: UInt32)] = [
    (0xFFA8, 0xFF84), (0xFFAC, 0xFF90), (0xFFB0, 0xFF9C), (0xFFB4, 0xFF2C), (0xFFB8, 0xFF38),
    (0xFFBC, 0xFF44), (0xFFC4, 0xFF5C), (0xFFC0, 0xFF78),
  ]
}
