// Exceptions as the processor raises them.
//
// Owns: the fault value thrown through the interpreter. Must not know: how it is delivered (Interrupts.swift).
// Follows: Intel SDM volume 3, chapter 6 (vectors, error codes).

/// An exception of the processor on its way to delivery.
///
/// Thrown by everything that can fault; when it is thrown, the instruction has changed nothing it should not have.
public struct Fault: Error, Equatable {
  /// The exception vector, 0 to 31; 255 means shutdown (`Fault.shutdown`), 254 no exception at all (`Fault.freeze`).
  public var vector: UInt8
  /// Whether an error code is pushed.
  public var hasErrorCode: Bool
  /// The error code, 0 where none is pushed.
  public var errorCode: UInt32

  @inline(__always)
  public init(vector: UInt8, errorCode: UInt32? = nil) {
    self.vector = vector
    hasErrorCode = errorCode != nil
    self.errorCode = errorCode ?? 0
  }

  /// Divide error.
  public static var de: Fault { Fault(vector: 0) }
  /// Debug exception; DR6 has been updated by whoever throws.
  public static var db: Fault { Fault(vector: 1) }
  /// BOUND range exceeded.
  public static var br: Fault { Fault(vector: 5) }
  /// Invalid opcode.
  public static var ud: Fault { Fault(vector: 6) }
  /// Device not available.
  public static var nm: Fault { Fault(vector: 7) }
  /// Double fault.
  public static var df: Fault { Fault(vector: 8, errorCode: 0) }
  /// Invalid TSS.
  public static func ts(_ code: UInt16) -> Fault { Fault(vector: 10, errorCode: UInt32(code)) }
  /// Segment not present.
  public static func np(_ code: UInt16) -> Fault { Fault(vector: 11, errorCode: UInt32(code)) }
  /// Stack fault.
  public static func ss(_ code: UInt16) -> Fault { Fault(vector: 12, errorCode: UInt32(code)) }
  /// General protection.
  public static func gp(_ code: UInt16) -> Fault { Fault(vector: 13, errorCode: UInt32(code)) }
  /// Page fault; CR2 has been set by whoever throws.
  public static func pf(_ code: UInt32) -> Fault { Fault(vector: 14, errorCode: code) }
  /// x87 floating-point error.
  public static var mf: Fault { Fault(vector: 16) }
  /// Alignment check.
  public static var ac: Fault { Fault(vector: 17, errorCode: 0) }
  /// SIMD floating-point exception.
  public static var xm: Fault { Fault(vector: 19) }
  /// The instruction is held back until an interrupt: an x87 error is pending, CR0.NE is clear and IGNNE# is not asserted.
  public static var freeze: Fault { Fault(vector: 254) }
  /// The processor has shut down (triple fault).
  public static var shutdown: Fault { Fault(vector: 255) }
}
