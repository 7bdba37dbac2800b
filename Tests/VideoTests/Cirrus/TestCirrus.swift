// A CL-GD5446 with a clock the test moves.

import Bus
import State
import TestSupport

@testable import Video

final class TestCirrus {
  let clock = VirtualClock(instructionsPerSecond: 1_000_000_000)
  let vga: VGA
  var now: UInt64 = 0
  var memory: VideoMemory { vga.video }

  init(_ extensions: VGAExtensions = .cirrus, megabytes: Int = 1) {
    vga = VGA(clock: clock, memorySize: megabytes << 20, extensions: extensions)
    clock.instructionCount = { [unowned self] in now }
    out(0x3C2, 0x67)
  }

  func out(_ port: UInt16, _ value: UInt8) {
    vga.write(at: UInt32(port) - 0x3B0, UInt32(value), width: 1)
  }
  func inb(_ port: UInt16) -> UInt8 { UInt8(vga.read(at: UInt32(port) - 0x3B0, width: 1)) }
  func sr(_ i: UInt8, _ value: UInt8) {
    out(0x3C4, i)
    out(0x3C5, value)
  }
  func gr(_ i: UInt8, _ value: UInt8) {
    out(0x3CE, i)
    out(0x3CF, value)
  }
  func cr(_ i: UInt8, _ value: UInt8) {
    out(0x3D4, i)
    out(0x3D5, value)
  }
  func ar(_ i: UInt8, _ value: UInt8) {
    _ = inb(0x3DA)
    out(0x3C0, i)
    out(0x3C0, value)
    out(0x3C0, 0x20)
  }
  func gr(_ i: UInt8) -> UInt8 {
    out(0x3CE, i)
    return inb(0x3CF)
  }
  func sr(_ i: UInt8) -> UInt8 {
    out(0x3C4, i)
    return inb(0x3C5)
  }
  func cr(_ i: UInt8) -> UInt8 {
    out(0x3D4, i)
    return inb(0x3D5)
  }
  /// GR31.
  var status: UInt8 { gr(0x31) }

  func saved() -> [UInt8] {
    var writer = StateWriter()
    vga.save(to: &writer)
    return writer.bytes
  }
  func restore(_ bytes: [UInt8]) throws {
    var reader = StateReader(bytes)
    try vga.restore(from: &reader, version: vga.stateVersion)
  }
}
