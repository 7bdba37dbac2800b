// Small guests for the tests, as machine code, and machines that boot them.
//
// The source of each stands beside its bytes (nasm, org 7C00h, 16 bits).

import Chipset
import Host
import Machine
import Storage
import TestSupport

enum Guest {
  /// Sends "hello" through COM1, waits until it has left, then `mov al, 15h / out 0F4h, al`.
  static let serialHello = bytes(
    """
    31c08ed8be2b7cac84c0741188c4bafd03eca82074fbb2f888e0eeebeabafd03eca84074fbb015e6f4ebfe68656c6c6f00
    """)
  /// Writes keys to the screen (INT 16h, INT 10h) until Enter, then writes 1 to port F4h.
  static let echoKeys = bytes("31c0cd163c0d7408b40e31dbcd10ebf0b001e6f4ebfe")
  /// `cli / hlt`.
  static let halt = bytes("faf4")
  /// An empty interrupt table, then UD2.
  static let tripleFault = bytes("fa31c08ed80f011e0c7c0f0b000000000000")
  /// "Shutdown" to port 8900h.
  static let powerOff = bytes("31c08ed8be117cb90800ba0089f36eebfe53687574646f776e")
  /// For ever: HLT, a dot on the screen, a byte to COM1, 500 rounds of arithmetic in memory.
  static let ticks = bytes(
    "fb31edf4b82e0e31dbcd10baf80389e8ee45b9f4016bed1f012e0080d1060280012e0280e2efebdb")
  /// The first time asks the 8042 for a reset, the second time writes 3 to port F4h.
  static let resetOnce = bytes("813e00903412740cc70600903412b0fee664ebfeb003e6f4ebfe")
  /// Sends back what comes through COM1, until Q; then writes 2 to port F4h.
  static let echoSerial = bytes(
    "bafd03eca80174f8b2f8ecee3c5175f0bafd03eca84074f8b002e6f4ebfe")
  /// A multiboot kernel with address fields at 100000h: checks EAX and the information's flags, then writes the first byte of
  /// its first module to port F4h (7Fh when something is wrong).
  static let multiboot = bytes(
    """
    02b0ad1b03000100fb4f51e400001000000010000000000042101000200010003d02b0ad2b75158b0383e04d83f84d750b
    8b73188b368a06e6f4ebfeb07fe6f4ebfe
    """)
  /// A bzImage of protocol 2.03 whose setup code checks type_of_loader, its segments, that the command line begins with h, that the
  /// initrd has three bytes and that INT 15h answers; then writes 4 to port F4h (7Fh when something is wrong).
  static let linux: [UInt8] = {
    let setup =
      [UInt8](repeating: 0, count: 0x1F1)
      + bytes(
        """
        010000010000000000ffff000055aaeb2e486472530302000000000000000000010000000010000000000000000000000000
        000000000000000000ffffff37803e1002ff75338cc883e8208cd939c8752866a1280266c1e8048ec026803e000068751666
        a11c026683f803750cb488cd157206b004e6f4ebfeb07fe6f4ebfe
        """
      )
    return setup + [UInt8](repeating: 0, count: 0x400 - setup.count) + Array("payload".utf8)
  }()
}

/// A machine of 2 MB with a floppy that boots `code`, and F4h as exit port.
func machine(
  booting code: [UInt8]?, _ change: (inout MachineConfiguration) -> Void = { _ in }
) throws -> Machine {
  try Machine(.small(booting: code, change))
}

/// Enough for POST, a boot and a small guest.
let enough: UInt64 = 400_000_000
