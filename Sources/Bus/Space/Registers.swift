// The registers of a device, as whatever bus it is on reaches them.
//
// Owns: the protocol, and the one virtual call that leads to it. Must not know: where on a bus they are; a device is given offsets.

/// A file of registers.
///
/// Offsets count from the device's own start: it does not care where it is mapped, and one device may be mapped at several places. The
/// bus calls with the widest access that was declared; wider ones come in ascending parts.
public protocol Registers: AnyObject {
  /// Reads `width` bytes (1, 2 or 4). Reads may have side effects.
  func read(at offset: UInt32, width: Int) -> UInt32
  /// Writes the low `width` bytes (1, 2 or 4) of `value`.
  func write(at offset: UInt32, _ value: UInt32, width: Int)
  /// What a read would give, where it neither changes anything nor depends on the time, so that it need not be an access; else nil.
  func plainRead(at offset: UInt32, width: Int) -> UInt32?
  /// How many units of `width` bytes can be moved at once at an offset, up to and with the one that makes something happen; 0: none.
  func blockRoom(at offset: UInt32, width: Int) -> Int
  /// Moves `count` units of `width` bytes, at most `blockRoom`, as reading them one by one would.
  /// - Returns: how many were moved; 0: do it one by one.
  func readBlock(
    at offset: UInt32, width: Int, into buffer: UnsafeMutableRawPointer, count: Int
  ) -> Int
  /// The same for writing.
  func writeBlock(at offset: UInt32, width: Int, from buffer: UnsafeRawPointer, count: Int) -> Int
}

extension Registers {
  public func plainRead(at offset: UInt32, width: Int) -> UInt32? { nil }
  public func blockRoom(at offset: UInt32, width: Int) -> Int { 0 }
  public func readBlock(
    at offset: UInt32, width: Int, into buffer: UnsafeMutableRawPointer, count: Int
  ) -> Int { 0 }
  public func writeBlock(
    at offset: UInt32, width: Int, from buffer: UnsafeRawPointer, count: Int
  ) -> Int { 0 }
}

/// Registers behind virtual methods: a call costs a nanosecond, by an existential it would be fourteen. Where even the step from here to
/// the device counts (video memory), the device makes a file of its own; all others get one by `of`.
open class RegisterFile {
  public init() {}
  open func read(_ offset: UInt32, _ width: Int) -> UInt32 { UInt32.max }
  open func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {}
  open func plainRead(_ offset: UInt32, _ width: Int) -> UInt32? { nil }
  open func blockRoom(_ offset: UInt32, _ width: Int) -> Int { 0 }
  open func readBlock(
    _ offset: UInt32, _ width: Int, into buffer: UnsafeMutableRawPointer, _ count: Int
  ) -> Int { 0 }
  open func writeBlock(
    _ offset: UInt32, _ width: Int, from buffer: UnsafeRawPointer, _ count: Int
  ) -> Int { 0 }

  /// The file of some registers, which it keeps.
  public static func of(_ registers: some Registers) -> RegisterFile { TypedFile(registers) }
}

private final class TypedFile<R: Registers>: RegisterFile {
  private let device: R
  init(_ device: R) { self.device = device }
  override func read(_ offset: UInt32, _ width: Int) -> UInt32 {
    device.read(at: offset, width: width)
  }
  override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
    device.write(at: offset, value, width: width)
  }
  override func plainRead(_ offset: UInt32, _ width: Int) -> UInt32? {
    device.plainRead(at: offset, width: width)
  }
  override func blockRoom(_ offset: UInt32, _ width: Int) -> Int {
    device.blockRoom(at: offset, width: width)
  }
  override func readBlock(
    _ offset: UInt32, _ width: Int, into buffer: UnsafeMutableRawPointer, _ count: Int
  ) -> Int { device.readBlock(at: offset, width: width, into: buffer, count: count) }
  override func writeBlock(
    _ offset: UInt32, _ width: Int, from buffer: UnsafeRawPointer, _ count: Int
  ) -> Int { device.writeBlock(at: offset, width: width, from: buffer, count: count) }
}
