// What can be at physical addresses, and devices there as accesses reach them.
//
// Owns: the kinds of targets, a device's region, which pages of a device are plain bytes at present, how much RAM there is. Must not know:
// any device.

import Bus
import Host

/// What can be at physical addresses.
public enum MemoryTarget {
  /// RAM; its offset is its address.
  case ram
  /// Bytes that cannot be written.
  case rom(HostMemory)
  /// A device. `isMemory`: accesses do not depend on the time and reach nothing outside of it, so that translated code may call it
  /// directly; at most one of a machine.
  case registers(RegisterFile, isMemory: Bool)
}

/// A device in the memory map as the slow path wants it. Reference counts are not touched: `PhysicalMemory.space` keeps it alive,
/// also for the rest of an access in which it is unmapped.
struct DeviceRegion {
  /// First physical address; page-aligned.
  var start: Physical
  /// Length in bytes; whole pages.
  var length: UInt64
  var file: Unmanaged<RegisterFile>
  var isMemory: Bool

  /// Reads 1, 2 or 4 bytes at a physical address (never across the region's end).
  @inline(__always)
  func read(_ address: Physical, _ width: UInt32) -> UInt32 {
    file._withUnsafeGuaranteedRef {
      $0.read(UInt32(truncatingIfNeeded: address &- start), Int(width))
    }
  }
  @inline(__always)
  func write(_ address: Physical, _ value: UInt32, _ width: UInt32) {
    file._withUnsafeGuaranteedRef {
      $0.write(UInt32(truncatingIfNeeded: address &- start), value, Int(width))
    }
  }

  @inline(__always)
  func plainRead(_ address: Physical, _ width: UInt32) -> UInt32? {
    file._withUnsafeGuaranteedRef {
      $0.plainRead(UInt32(truncatingIfNeeded: address &- start), Int(width))
    }
  }

  /// Whether an address belongs to both, were each alone.
  func overlaps(_ other: DeviceRegion) -> Bool {
    start <= other.start &+ (other.length &- 1) && other.start <= start &+ (length &- 1)
  }
}

/// Pages of one mapped device that are plain memory of the host at present.
struct DirectPages {
  private var mapping: MappingID?
  /// Counted in pages from the mapping's first.
  private var offset: UInt32 = 0
  private var count: UInt32 = 0
  /// The first of them, where the mapping is now.
  private(set) var start: UInt32 = 0
  /// Where the first is in the host.
  private(set) var bytes: UnsafeMutableRawPointer?
  /// For each page a byte, FFh once it was written; nil: nobody asks.
  private(set) var written: UnsafeMutablePointer<UInt8>?
  /// Only reads are plain; writes go to the device.
  private(set) var isReadOnly = false

  init() {}

  /// The pages of a range belong to the uppermost device that has all of it, whether that is seen there or not.
  init(
    _ space: AddressSpace<PhysicalAddress, MemoryTarget>, _ range: ClosedRange<PhysicalAddress>,
    _ bytes: UnsafeMutableRawPointer?, written: UnsafeMutablePointer<UInt8>?, of known: MappingID?,
    isReadOnly: Bool = false
  ) {
    guard let bytes else { return }
    // What is no more than memory comes first: no other can be plain bytes.
    func rank(_ m: AddressSpace<PhysicalAddress, MemoryTarget>.Mapping) -> (Int, Int)? {
      guard case .registers(_, let isMemory) = m.target, m.isEnabled,
        m.addresses.lowerBound <= range.lowerBound, m.addresses.upperBound >= range.upperBound,
        known == nil || m.id == known
      else { return nil }
      return (isMemory ? 1 : 0, m.priority)
    }
    var best: (Int, Int)?
    for m in space.mappings {
      guard let rank = rank(m) else { continue }
      if let best, best > rank { continue }
      best = rank
      mapping = m.id
      offset = UInt32(
        truncatingIfNeeded: (range.lowerBound.value - m.addresses.lowerBound.value) >> 12)
    }
    if mapping == nil { return }
    start = UInt32(truncatingIfNeeded: range.lowerBound.value >> 12)
    count = UInt32(truncatingIfNeeded: (range.upperBound.value - range.lowerBound.value + 1) >> 12)
    self.bytes = bytes
    self.written = written
    self.isReadOnly = isReadOnly
  }

  /// Where an address of the host among them is; nil: it is none of theirs.
  @inline(__always)
  func physical(_ host: Int) -> Physical? {
    guard let bytes else { return nil }
    let offset = UInt(bitPattern: host &- Int(bitPattern: bytes))
    return offset < UInt(count) << 12 ? Physical(start) << 12 &+ Physical(offset) : nil
  }

  /// Whether a page is one of them, whoever is seen there.
  @inline(__always)
  func has(_ page: UInt32) -> Bool { bytes != nil && page &- start < count }

  /// Whether a page where a mapping is seen is one of them.
  func holds(_ page: UInt32, of mapping: MappingID?) -> Bool {
    bytes != nil && mapping == self.mapping && page &- start < count
  }

  /// Whether these are the pages that others were.
  func hasPlace(of other: DirectPages) -> Bool {
    bytes != nil && other.bytes != nil && mapping == other.mapping && offset == other.offset
      && count == other.count && start == other.start && !isReadOnly && !other.isReadOnly
  }

  /// Where they are now, or nil when there are none.
  var range: ClosedRange<PhysicalAddress>? {
    bytes == nil
      ? nil
      : PhysicalAddress(UInt64(start) << 12)...PhysicalAddress(UInt64(start + count) << 12 - 1)
  }

  /// The map has changed.
  mutating func follow(_ space: AddressSpace<PhysicalAddress, MemoryTarget>) {
    guard let mapping else { return }
    if let m = space[mapping] {
      start = UInt32(truncatingIfNeeded: m.addresses.lowerBound.value >> 12) &+ offset
    } else {
      self = DirectPages()
    }
  }
}

/// How much RAM there is below and above 4 GiB. Between the end of the lower part and 4 GiB are devices and firmware.
public struct RAMLayout: Equatable, Sendable {
  /// Bytes from address 0 on: a multiple of 64 KiB, from 1 MiB to 3584 MiB.
  public var low: UInt64
  /// Bytes from 4 GiB on: a multiple of 64 KiB, at most 60 GiB. Reached with physical addresses of 36 bits.
  public var high: UInt64

  public init(low: UInt64, high: UInt64 = 0) { (self.low, self.high) = (low, high) }

  /// Bytes of both.
  public var total: UInt64 { low + high }
  /// Where it is, ascending: one range or two.
  public var ranges: [Range<UInt64>] {
    high == 0 ? [0..<low] : [0..<low, 1 << 32..<1 << 32 + high]
  }
  /// Behind the last byte.
  var end: UInt64 { high == 0 ? low : 1 << 32 + high }
}

/// A number as 0x-prefixed hexadecimal, for messages.
public func hex(_ value: some BinaryInteger, _ digits: Int = 0) -> String {
  let text = String(value, radix: 16, uppercase: true)
  return "0x" + String(repeating: "0", count: max(0, digits - text.count)) + text
}
