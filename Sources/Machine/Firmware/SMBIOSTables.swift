// What management software reads about the machine.
//
// Owns: the structures and their entry point. Must not know: where firmware puts them; it fills in addresses and checksums.
// Follows: DMTF DSP0134, System Management BIOS Reference Specification, version 2.4. The structure of type 0 tells of the firmware,
// which adds it itself.

import CPU
import Chipset

struct SMBIOSTables {
  /// The structures, one behind the other.
  private(set) var bytes: [UInt8] = []
  private var count: UInt16 = 0
  private var longest = 0

  /// The structures as handles name them.
  private enum Handle {
    static let system: UInt16 = 0x0100
    static let chassis: UInt16 = 0x0300
    static let processor: UInt16 = 0x0400
    static let memoryArray: UInt16 = 0x1000
    static let memoryDevice: UInt16 = 0x1100
    static let memoryRange: UInt16 = 0x1300
    static let boot: UInt16 = 0x2000
    static let end: UInt16 = 0x7F00
    static let none: UInt16 = 0xFFFF
    /// "This structure provides no such information."
    static let notProvided: UInt16 = 0xFFFE
  }

  /// - Parameters:
  ///   - ram: where RAM is.
  ///   - processors: what sits in the sockets.
  init(ram: [Range<UInt64>], processors: [CPUModel]) {
    let kilobytes = ram.reduce(0) { $0 + UInt64($1.count) } >> 10

    // System information.
    add(1, Handle.system, ["Apus", "Standard PC", "1"]) {
      $0.strings(1, 2, 3, 0)
      $0.fill(16)  // no UUID
      $0.put(UInt8(6))  // woken by the power switch
      $0.strings(0, 0)
    }
    // System enclosure.
    add(3, Handle.chassis, ["Apus"]) {
      $0.strings(1)
      $0.put(UInt8(3))  // a desktop
      $0.strings(0, 0, 0)
      for state in [3, 3, 3, 2] as [UInt8] { $0.put(state) }  // safe; no word on security
      $0.fill(4)
      $0.fill(4)  // height, power cords, contained elements and their size
    }
    for (n, model) in processors.enumerated() { addProcessor(n, model) }
    // Physical memory array.
    add(16, Handle.memoryArray, []) {
      $0.put(UInt8(3))  // on the system board
      $0.put(UInt8(3))  // system memory
      $0.put(UInt8(3))  // no error correction
      $0.put(UInt32(min(kilobytes, 0x8000_0000)))
      $0.put(Handle.notProvided)
      $0.put(UInt16(1))
    }
    // Memory device.
    add(17, Handle.memoryDevice, ["DIMM 0"]) {
      $0.put(Handle.memoryArray)
      $0.put(Handle.notProvided)
      $0.put(UInt16(64))
      $0.put(UInt16(64))
      $0.put(UInt16(min(kilobytes >> 10, 0x7FFE)))  // in megabytes
      $0.put(UInt8(9))  // DIMM
      $0.put(UInt8(0))
      $0.strings(1, 0)
      $0.put(UInt8(0x0F))  // SDRAM
      $0.put(UInt16(1 << 7))  // synchronous
      $0.put(UInt16(0))
      $0.strings(0, 0, 0, 0)
    }
    for (n, range) in ram.enumerated() {
      // Memory array mapped address, in kilobytes.
      add(19, Handle.memoryRange + UInt16(n), []) {
        $0.put(UInt32(truncatingIfNeeded: range.lowerBound >> 10))
        $0.put(UInt32(truncatingIfNeeded: (range.upperBound - 1) >> 10))
        $0.put(Handle.memoryArray)
        $0.put(UInt8(1))
      }
    }
    // System boot information: no errors.
    add(32, Handle.boot, []) { $0.fill(7) }
    add(127, Handle.end, []) { _ in }
  }

  private mutating func addProcessor(_ n: Int, _ model: CPUModel) {
    let hasIdentification = model.features.contains(.cpuid)
    add(4, Handle.processor + UInt16(n), ["CPU \(n)", "Intel", model.brand]) {
      $0.strings(1)
      $0.put(UInt8(3))  // central processor
      $0.put(SMBIOSTables.family(model))
      $0.strings(2)
      $0.put(hasIdentification ? model.signature : 0)
      $0.put(hasIdentification ? model.featureBits : 0)
      $0.strings(model.brand.isEmpty ? 0 : 3)
      $0.put(UInt8(0))
      $0.put(UInt16(0))
      let megahertz = UInt16(truncatingIfNeeded: model.hertz / 1_000_000)
      $0.put(megahertz)
      $0.put(megahertz)
      $0.put(UInt8(0x41))  // there is one, and it works
      $0.put(UInt8(1))  // its socket is none of the list's
      for _ in 0..<3 { $0.put(Handle.none) }  // no word on caches
      $0.strings(0, 0, 0)
    }
  }

  /// "Processor Information: Processor Family"; 1: another.
  private static func family(_ model: CPUModel) -> UInt8 {
    switch model.name {
    case "386": 0x05
    case "486": 0x06
    case "pentium": 0x0B
    case "pentium2": 0x0D
    case "pentium-mmx": 0x0E
    case "pentium3": 0x11
    case "pentium4": 0xB2
    default: 0x01
    }
  }

  // MARK: Structures

  /// The formatted area of a structure.
  private struct Body {
    var bytes: [UInt8] = []
    mutating func put<T: FixedWidthInteger>(_ value: T) { bytes += FirmwareItems.bytes(value) }
    mutating func fill(_ count: Int) { bytes += [UInt8](repeating: 0, count: count) }
    /// Numbers of strings, from 1; 0: none.
    mutating func strings(_ numbers: UInt8...) { bytes += numbers }
  }

  private mutating func add(
    _ type: UInt8, _ handle: UInt16, _ strings: [String], _ make: (inout Body) -> Void
  ) {
    var body = Body()
    make(&body)
    let strings = strings.filter { !$0.isEmpty }
    var structure = [type, UInt8(body.bytes.count + 4)] + FirmwareItems.bytes(handle) + body.bytes
    for text in strings { structure += Array(text.utf8) + [0] }
    structure += strings.isEmpty ? [0, 0] : [0]
    bytes += structure
    count += 1
    longest = max(longest, structure.count)
  }

  /// The entry point; firmware fills in the address and both checksums.
  var anchor: [UInt8] {
    Array("_SM_".utf8) + [0, 0x1F, 2, 4] + FirmwareItems.bytes(UInt16(longest))
      + [0, 0, 0, 0, 0, 0] + Array("_DMI_".utf8) + [0] + FirmwareItems.bytes(UInt16(bytes.count))
      + [0, 0, 0, 0] + FirmwareItems.bytes(count) + [0x24]
  }
}
