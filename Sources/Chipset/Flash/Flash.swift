// A flash memory below the firmware's ROM, where firmware keeps its variables.
//
// Owns: the bytes in memory and in the image behind them, when reads are plain memory. Must not know: what is in it, who writes it.
// Commands: FlashCommands.swift. What the guest writes is in the image at once, sectors of 512 bytes at a time.

import Bus
import State
import Storage

/// What goes into a board's place for a flash memory.
public struct FlashImage {
  /// Its bytes: whole blocks of the chip.
  public var device: any BlockDevice
  /// Where it ends in the address space: the first byte behind it.
  public var end: UInt64

  public init(device: any BlockDevice, end: UInt64) { (self.device, self.end) = (device, end) }
}

/// Where a flash memory's bytes are plain memory to the guest.
public struct FlashDirectRange {
  public var mapping: MappingID
  public var address: UInt64
  public var count: UInt64
  /// nil: reads are cycles.
  public var bytes: UnsafeMutableRawPointer?
}

/// The device.
public final class Flash: Device, Registers {
  public let stateName = "flash"
  /// Bytes of a block of the chip, of which an image has a whole number.
  public static let blockSize = FlashCommands.blockSize
  /// What fits below 4 GiB together with the firmware's code, as other emulators have it.
  public static let mostBytes = 8 << 20

  /// Where its first byte is.
  public let address: UInt64
  public var count: Int { contents.count }
  /// Told when reads become plain memory, or no longer are.
  public var directChanged: ((FlashDirectRange) -> Void)? { didSet { tellDirect() } }
  private let contents: Contents
  private var commands: FlashCommands
  private var mapping: MappingID?
  private var isDirect = false

  /// - Throws: when the image cannot be read.
  public init(_ image: FlashImage) throws(StorageError) {
    contents = try Contents(image.device)
    commands = FlashCommands(count: contents.count)
    address = image.end - UInt64(contents.count)
  }

  // MARK: Cycles

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    (0..<width).reduce(0) { value, n in
      let at = Int(offset) + n
      return value | UInt32(at < count ? commands.read(at, contents) : 0xFF) << UInt32(8 * n)
    }
  }

  /// A wider write is as many cycles of the chip.
  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    for n in 0..<width where Int(offset) + n < count {
      commands.write(
        Int(offset) + n, UInt8(truncatingIfNeeded: value >> UInt32(8 * n)), contents)
    }
    followView()
  }

  private func followView() {
    if isDirect != (commands.view == .array) { tellDirect() }
  }

  private func tellDirect() {
    isDirect = commands.view == .array
    guard let mapping else { return }
    directChanged?(
      FlashDirectRange(
        mapping: mapping, address: address, count: UInt64(count),
        bytes: isDirect ? contents.bytes.baseAddress : nil))
  }

  // MARK: State

  public func reset(_ kind: ResetKind) {
    commands.reset()
    followView()
  }

  public func save(to writer: inout StateWriter) { commands.save(to: &writer) }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    try commands.restore(from: &reader)
    reload()
  }

  /// The image holds something else: a state was restored.
  public func reload() {
    // What cannot be read now stays as it was; the host's refusal is told by the image.
    try? contents.load()
    tellDirect()
  }

  public func inspect() -> [Field] {
    [
      .register("address", UInt32(truncatingIfNeeded: address)), .count("bytes", count),
      .text("reads", "\(commands.view)"), .text("next write", "\(commands.expected)"),
      .register("status", commands.status),
      .count("locked blocks", commands.locks.count { $0 }),
      .flag("write-protected", contents.isProtected),
    ]
  }

  /// The bytes, with the image behind them.
  private final class Contents: FlashContents {
    let bytes: UnsafeMutableRawBufferPointer
    private let device: any BlockDevice

    init(_ device: any BlockDevice) throws(StorageError) {
      self.device = device
      bytes = .allocate(byteCount: Int(device.byteCount), alignment: 4096)
      bytes.initializeMemory(as: UInt8.self, repeating: 0xFF)
      do { try load() } catch {
        bytes.deallocate()
        throw error
      }
    }

    deinit { bytes.deallocate() }

    func load() throws(StorageError) {
      try device.read(block: 0, into: UnsafeMutableRawBufferPointer(rebasing: bytes[...]))
    }

    var count: Int { bytes.count }
    subscript(offset: Int) -> UInt8 { bytes[offset] }
    var isProtected: Bool { device.isReadOnly }

    func program(at offset: Int, _ new: [UInt8]) -> Bool {
      change(offset..<min(offset + new.count, count)) { bytes[$0] & new[$0 - offset] }
    }

    func erase(_ range: Range<Int>) -> Bool { change(range) { _ in 0xFF } }

    /// Writes the sectors that get other bytes.
    private func change(_ range: Range<Int>, _ new: (Int) -> UInt8) -> Bool {
      let size = device.blockSize
      let first = range.lowerBound / size
      let last = (range.upperBound - 1) / size
      for block in first...last {
        let part = range.clamped(to: block * size..<(block + 1) * size)
        let old = Array(bytes[part])
        for at in part { bytes[at] = new(at) }
        if bytes[part].elementsEqual(old) { continue }
        let whole = UnsafeRawBufferPointer(rebasing: bytes[block * size..<(block + 1) * size])
        do { try device.write(block: UInt64(block), from: whole) } catch {
          for (n, byte) in old.enumerated() { bytes[part.lowerBound + n] = byte }
          return false
        }
      }
      return true
    }
  }
}

extension Flash {
  /// What `--flash` puts below the firmware's ROM.
  public static let part = PartType(
    "flash", "flash memory with the firmware's variables (--flash)"
  ) { board, _ in
    let image = try board.need(offer: FlashImage.self, for: "flash")
    let device = try Flash(image)
    device.mapping = board.memory.map(
      .of(device), at: PhysicalAddress(device.address), count: UInt64(device.count),
      isMemory: false, priority: 0)
    try board.add(device)
  }
}
