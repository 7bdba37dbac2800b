// What a file given for direct loading can have wrong with it, and checked reading of it.
//
// Owns: the error and the bounds checks. Must not know: any format.

import CPU

/// Why a kernel, module, initrd or ROM was refused.
public struct LoadError: Error, Equatable, CustomStringConvertible {
  /// The file.
  public var path: String
  /// The byte offset of what is wrong, where a place is to blame.
  public var offset: Int?
  /// What is wrong.
  public var reason: String

  public init(path: String, offset: Int? = nil, reason: String) {
    self.path = path
    self.offset = offset
    self.reason = reason
  }

  public var description: String {
    offset.map { "\(path): at offset \($0): \(reason)" } ?? "\(path): \(reason)"
  }
}

/// A file's bytes with a name, read with bounds checks.
public struct LoadFile: Sendable {
  /// The name for messages.
  public let path: String
  /// The contents.
  public let bytes: [UInt8]

  public init(path: String, bytes: [UInt8]) {
    self.path = path
    self.bytes = bytes
  }

  func error(_ reason: String, at offset: Int? = nil) -> LoadError {
    LoadError(path: path, offset: offset, reason: reason)
  }

  /// A little-endian integer, or an error naming the place.
  func read<T: FixedWidthInteger>(_ type: T.Type, at offset: Int, _ what: String) throws(LoadError)
    -> T
  {
    let size = MemoryLayout<T>.size
    guard offset >= 0, offset <= bytes.count - size else {
      throw error("\(what) lies beyond the file's end (\(bytes.count) bytes)", at: offset)
    }
    var value = T.zero
    for i in 0..<size {
      value |= T(truncatingIfNeeded: bytes[offset + i]) << T(truncatingIfNeeded: 8 * i)
    }
    return value
  }

  /// Bytes of the file, or an error naming the place.
  func slice(_ offset: UInt64, _ count: UInt64, _ what: String) throws(LoadError) -> [UInt8] {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard !overflow, end <= UInt64(bytes.count) else {
      throw error(
        "\(what) (\(count) bytes) reaches beyond the file's end (\(bytes.count) bytes)",
        at: offset <= UInt64(bytes.count) ? Int(offset) : bytes.count)
    }
    return Array(bytes[Int(offset)..<Int(end)])
  }
}

/// A piece of memory to be filled before a kernel starts.
struct LoadPiece {
  /// Physical address.
  var address: UInt32
  var bytes: [UInt8]
  /// Zeros that follow the bytes.
  var zeros: UInt32 = 0

  var end: UInt64 { UInt64(address) + UInt64(bytes.count) + UInt64(zeros) }

  func overlaps(_ range: Range<UInt64>) -> Bool {
    UInt64(address) < range.upperBound && end > range.lowerBound && end > UInt64(address)
  }
}

/// What must be in memory, and how the kernel starts.
struct LoadPlan {
  enum Start: Equatable {
    /// Flat 32-bit protected mode with EBX pointing to the multiboot information.
    case multiboot(entry: UInt32, information: UInt32)
    /// Real mode, all segments at the setup code, entry 200h bytes into it.
    case linux(segment: UInt16, stack: UInt16)
  }
  var pieces: [LoadPiece]
  var start: Start
}

/// Where RAM is for whoever loads.
struct LoadMemory {
  /// Bytes of RAM below 4 GiB that are free.
  var ramSize: UInt32
  /// Bytes behind them that firmware's tables (ACPI) may take.
  var tables: UInt32
  /// Bytes above.
  var highSize: UInt64
  /// The first byte below 640 KiB that is not free (the extended BIOS data area).
  var lowEnd: UInt32

  init(_ layout: RAMLayout, lowEnd: UInt32, tables: UInt32) {
    (ramSize, highSize, self.lowEnd) = (UInt32(layout.low) - tables, layout.high, lowEnd)
    self.tables = tables
  }

  /// Checks that a piece lies in usable RAM.
  func check(_ piece: LoadPiece, _ what: String, _ file: LoadFile) throws(LoadError) {
    let end = piece.end
    let address = UInt64(piece.address)
    if end <= UInt64(lowEnd) || (address >= 0x100000 && end <= UInt64(ramSize)) { return }
    let place = "\(hexText(address))-\(hexText(end == 0 ? 0 : end - 1))"
    if address >= 0x100000 {
      throw file.error(
        "\(what) at \(place) does not fit into the guest's \(ramSize >> 20) MB of memory")
    }
    throw file.error("\(what) at \(place) is not all in usable memory")
  }
}

func hexText(_ value: UInt64) -> String { String(value, radix: 16, uppercase: true) + "h" }
