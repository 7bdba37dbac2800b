// Physical memory as those see it who ask for it.
//
// Owns: what each asker's own pins make of an address, and what an access of each may do. Must not know: any device, linear addresses.
//
//   processor   its address lines (A20 gate); devices answer, with their side effects; SMRAM, where it may see it
//   bus master  no gate; RAM, ROM and video memory only, watchpoints and decoded code see its writes
//   debugger    what a processor would see, without side effects
//
// The quick tables of a processor (MMU.swift) are made from its view: whoever changes the view drops them.

import Bus

/// The physical address space as one processor sees it.
struct ProcessorView {
  private let memory: Unmanaged<PhysicalMemory>
  /// The address lines that reach the bus.
  private(set) var lines: UInt32 = 0xFFFF_FFFF

  /// - Parameter memory: must outlive it.
  init(_ memory: PhysicalMemory) { self.memory = Unmanaged.passUnretained(memory) }

  /// The A20 gate between this processor and the bus.
  var a20 = true {
    didSet { settle() }
  }
  /// The gate does not matter now: system management mode, whose memory may lie in any megabyte.
  var ignoresGate = false {
    didSet { settle() }
  }
  private mutating func settle() { lines = a20 || ignoresGate ? 0xFFFF_FFFF : 0xFFEF_FFFF }

  /// Where on the bus an address of 32 bits is.
  @inline(__always)
  func bus(_ address: UInt32) -> PhysicalAddress { PhysicalAddress(UInt64(address & lines)) }

  /// The same for a wider one.
  @inline(__always)
  func bus(_ address: UInt64) -> PhysicalAddress { PhysicalAddress(address & allLines) }

  /// `lines` with those above 32 bits.
  @inline(__always)
  var allLines: UInt64 { 0xFFFF_FFFF_0000_0000 | UInt64(lines) }

  /// Reads 4 bytes in one page.
  @inline(__always)
  func read32(_ address: PhysicalAddress) -> UInt32 {
    memory._withUnsafeGuaranteedRef { $0.readEntry(address.value) }
  }

  /// Reads 8 bytes in one page.
  @inline(__always)
  func read64(_ address: PhysicalAddress) -> UInt64 {
    UInt64(read32(address)) | UInt64(read32(PhysicalAddress(address.value &+ 4))) << 32
  }

  /// Writes 4 bytes in one page.
  @inline(__always)
  func write32(_ address: PhysicalAddress, _ value: UInt32) {
    memory._withUnsafeGuaranteedRef { $0.write(address.value, value, width: 4) }
  }

  /// Reads 4 bytes in one page without side effects; 0 where there is neither RAM nor ROM.
  func peek32(_ address: PhysicalAddress) -> UInt32 {
    guard
      let host = memory._withUnsafeGuaranteedRef({
        $0.readPointer(page: UInt32(truncatingIfNeeded: address.value >> 12))
      })
    else { return 0 }
    return host.loadUnaligned(fromByteOffset: Int(address.value & 0xFFC), as: UInt32.self)
  }

  /// The same for 8.
  func peek64(_ address: PhysicalAddress) -> UInt64 {
    UInt64(peek32(address)) | UInt64(peek32(PhysicalAddress(address.value &+ 4))) << 32
  }
}

/// The physical address space as bus masters see it.
public struct BusMasterView {
  private let memory: PhysicalMemory
  public init(_ memory: PhysicalMemory) { self.memory = memory }

  /// Reads bytes; FFh where there is neither RAM nor ROM nor video memory.
  public func read(_ address: PhysicalAddress, into buffer: UnsafeMutableRawBufferPointer) {
    memory.copyOut(at: address.value, into: buffer)
  }

  /// Writes bytes; only RAM and video memory take them.
  public func write(_ address: PhysicalAddress, from buffer: UnsafeRawBufferPointer) {
    memory.copyIn(at: address.value, from: buffer)
  }
}

/// The physical address space for who only looks, and changes no more than RAM.
public struct DebuggerView {
  /// What answers.
  public enum Kind: String, Sendable {
    case ram, rom, device, unmapped
  }

  private let memory: PhysicalMemory
  public init(_ memory: PhysicalMemory) { self.memory = memory }

  public func kind(at address: PhysicalAddress) -> Kind {
    guard address.value >> 12 < UInt64(PhysicalMemory.pageLimit) else { return .unmapped }
    switch memory.kinds[Int(address.value >> 12)] & PhysicalMemory.Kind.mask {
    case PhysicalMemory.Kind.ram, PhysicalMemory.Kind.readOnlyRAM: return .ram
    case PhysicalMemory.Kind.rom: return .rom
    case PhysicalMemory.Kind.mmio, PhysicalMemory.Kind.direct: return .device
    case PhysicalMemory.Kind.writeOnlyRAM:
      switch memory.space.seen(at: address)?.target {
      case .registers: return .device
      case .rom: return .rom
      default: return .unmapped
      }
    default: return .unmapped
    }
  }

  /// Bytes of RAM and ROM; FFh elsewhere.
  public func bytes(_ address: PhysicalAddress, count: Int) -> [UInt8] {
    memory.peek(address.value, count: count)
  }

  /// Changes bytes of RAM; nobody is told, decoded code is dropped.
  /// - Returns: how many there were before something else than RAM.
  public func change(_ address: PhysicalAddress, _ bytes: [UInt8]) -> Int {
    for (n, byte) in bytes.enumerated() {
      let place = PhysicalAddress(address.value &+ UInt64(n))
      guard kind(at: place) == .ram else { return n }
      withUnsafeBytes(of: byte) {
        memory.poke(place.value, from: $0)
      }
    }
    return bytes.count
  }
}
