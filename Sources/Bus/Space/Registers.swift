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
  public func blockRoom(at offset: UInt32, width: Int) -> Int { 0 }
  public func readBlock(
    at offset: UInt32, width: Int, into buffer: UnsafeMutableRawPointer, count: Int
  ) -> Int { 0 }
  public func writeBlock(
    at offset: UInt32, width: Int, from buffer: UnsafeRawPointer, count: Int
  ) -> Int { 0 }
}

/// Registers behind virtual methods: a call costs a nanosecond, by an existential it would be fourteen.
open class RegisterFile {
  /// Whose they are.
  public final let registers: any Registers
  @inlinable public init(_ registers: any Registers) { self.registers = registers }
  open func read(_ offset: UInt32, _ width: Int) -> UInt32 { UInt32.max }
  open func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {}

  /// The file of some registers.
  @inlinable
  public static func of(_ registers: some Registers) -> RegisterFile { TypedFile(registers) }
}

/// Inlinable, so that a device's own module makes one without a detour by its conformance.
@usableFromInline
final class TypedFile<R: Registers>: RegisterFile {
  @usableFromInline let device: Unmanaged<R>
  @inlinable init(_ device: R) {
    self.device = Unmanaged.passUnretained(device)
    super.init(device)
  }
  @inlinable override func read(_ offset: UInt32, _ width: Int) -> UInt32 {
    device._withUnsafeGuaranteedRef { $0.read(at: offset, width: width) }
  }
  @inlinable override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
    device._withUnsafeGuaranteedRef { $0.write(at: offset, value, width: width) }
  }
}
