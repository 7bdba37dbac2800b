// The device that kvm-unit-tests expect of their machine: memory and ports that remember.
//
// Owns: 64 KiB of memory-mapped bytes, the ports E0h to EBh. Must not know: what the tests do with them.
// Follows: QEMU's description of pc-testdev (ports E0h-E3h a value, E4h flush page, E8h-EBh the value byte by byte, FF000000h memory).

import Bus
import State

/// A device for test kernels.
public final class TestDevice: PortDevice {
  public let stateName = "test-device"
  /// Where its memory is.
  public static let memoryStart: UInt32 = 0xFF00_0000
  public static let memorySize = 0x10000
  public static let ports: ClosedRange<UInt16> = 0xE0...0xE8
  private var bytes = [UInt8](repeating: 0, count: TestDevice.memorySize)
  private var value: UInt32 = 0

  public init() {}

  public func readPort(_ port: UInt16, width: Int) -> UInt32 {
    // Pages need no flushing.
    port & 0x0C == 4 ? 0 : value >> UInt32(8 * (port & 3))
  }

  public func writePort(_ port: UInt16, _ new: UInt32, width: Int) {
    if port & 0x0C == 4 { return }
    let shift = UInt32(8 * (port & 3))
    let mask = (UInt32.max >> UInt32(32 - 8 * min(max(width, 1), 4))) << shift
    value = value & ~mask | new << shift & mask
  }

  public func reset(_ kind: ResetKind) {
    if kind == .power { value = 0 }
  }

  public func save(to writer: inout StateWriter) {
    writer.write(value)
    writer.write(bytes: bytes)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    value = try reader.read()
    bytes = try reader.readBytes(count: bytes.count)
  }

  // MARK: - Memory

  /// For `MMIORegion`.
  public var mmioContext: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

  /// Reads 1, 2 or 4 bytes at a physical address.
  public static let mmioRead: @convention(c) (UnsafeMutableRawPointer, UInt32, UInt32) -> UInt32 = {
    context, address, width in
    Unmanaged<TestDevice>.fromOpaque(context)._withUnsafeGuaranteedRef { device in
      var value: UInt32 = 0
      for n in 0..<min(width, 4) {
        value |= UInt32(device.bytes[Int((address &+ n) & 0xFFFF)]) << (8 &* n)
      }
      return value
    }
  }

  /// Writes at a physical address.
  public static let mmioWrite:
    @convention(c) (UnsafeMutableRawPointer, UInt32, UInt32, UInt32) -> Void = {
      context, address, value, width in
      Unmanaged<TestDevice>.fromOpaque(context)._withUnsafeGuaranteedRef { device in
        for n in 0..<min(width, 4) {
          device.bytes[Int((address &+ n) & 0xFFFF)] = UInt8(truncatingIfNeeded: value >> (8 &* n))
        }
      }
    }
}
