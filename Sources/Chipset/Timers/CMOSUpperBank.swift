// The upper bank of CMOS memory: 128 bytes that south bridges have beside those of the MC146818.
//
// Owns: the bytes and their index. Must not know: the clock, what firmware keeps in them.
// Follows: Intel 82371SB (PIIX3) data sheet: RTC extended index (72h, written only) and extended data (73h).

import Bus
import State

/// Ports 72h and 73h. The bytes are kept by the battery: no reset touches them.
public final class CMOSUpperBank: Device, Registers {
  public let stateName = "cmos-upper"
  public static let ports: ClosedRange<UInt16> = 0x72...0x73

  private var bytes = [UInt8](repeating: 0, count: 128)
  private var index: UInt8 = 0

  public init() {}

  /// A byte as it is stored. Indices are taken modulo 128.
  public subscript(index: UInt8) -> UInt8 {
    get { bytes[Int(index & 0x7F)] }
    set { bytes[Int(index & 0x7F)] = newValue }
  }

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    offset == 0 ? 0xFF : UInt32(bytes[Int(index)])
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    if offset == 0 { index = byte & 0x7F } else { bytes[Int(index)] = byte }
  }

  public func reset(_ kind: ResetKind) { index = 0 }

  public func save(to writer: inout StateWriter) {
    writer.write(bytes: bytes)
    writer.write(index)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    bytes = try reader.readBytes(count: 128)
    index = try reader.read(in: 0...127)
  }

  public static let part = PartType(
    "cmos-upper", "ports 72h and 73h: 128 bytes more of CMOS memory"
  ) { board, _ in
    let bank = CMOSUpperBank()
    try board.claim(bank, at: ports, owner: bank.stateName)
    try board.add(bank)
  }

  public func inspect() -> [Field] { [.register("index", index), .bytes("bytes", bytes)] }
}
