// The configuration device: what firmware is told of its machine, by port and by DMA.
//
// Owns: selector, offset, the DMA address register and requests. Must not know: what any item means, who asks.
// Follows: QEMU's docs/specs/fw_cfg.
//
//   510h       write (16 bits): item
//   511h       read: the item's next byte; 00h behind its end
//   514h-517h  write (32 bits, big-endian): high half of a request's address
//   518h-51Bh  write (32 bits, big-endian): low half; the request is carried out
//   514h-51Bh  read: "QEMU CFG"
//
// A request in memory, big-endian: control (32 bits), length (32), address (64). Control: bit 0 error, 1 read, 2 skip, 3 select the item
// in bits 16-31, 4 write. The device writes control back: 0, or 1 after an error.

import Bus
import State

public final class FirmwareConfiguration: Device, Registers {
  public let stateName = "fw-cfg"
  public let stateVersion: UInt16 = 2

  /// What can be asked for, as the guest left it.
  public private(set) var items = FirmwareItems()
  /// Where RAM is: only there a request may be, and what it moves.
  private var ram: [Range<UInt64>] = []
  /// The items as they are after a reset.
  private var original = FirmwareItems()
  /// Says what a file holds that depends on what firmware has done before it asks for it; nil: what it was installed with. The number of
  /// bytes is always the same.
  public var renew: (String) -> [UInt8]? = { _ in nil }
  private let memory: any DMAMemory
  /// As it was written, with the bit that once meant writing.
  private var selector: UInt16 = 0
  private var offset: UInt32 = 0
  /// The half of a request's address that is there already.
  private var addressHigh: UInt32 = 0

  /// A request may be this much longer than the item has bytes left, so that none holds the host up.
  static let mostZeros = 16 << 20

  public init(memory: any DMAMemory) { self.memory = memory }

  /// Says what can be asked for, and where RAM is, once the machine knows its parts.
  public func install(_ items: FirmwareItems, ram: [Range<UInt64>]) {
    (self.items, original, self.ram) = (items, items, ram)
  }

  private var item: UInt16 { selector & ~0x4000 }

  private func select(_ number: UInt16) {
    selector = number
    offset = 0
    renewItem()
  }

  /// Asks for the selected file's bytes anew.
  private func renewItem() {
    guard let file = items.file(item), !items.files[file].isWritable,
      let bytes = renew(items.files[file].name), bytes.count == items.files[file].bytes.count
    else { return }
    items.write(file: file, at: 0, bytes)
  }

  /// After a state was restored, once all of it is there.
  public func follow() { renewItem() }

  // MARK: Ports

  private static let signature = Array("QEMU CFG".utf8)

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    if offset >= 4 {
      return (0..<width).reversed().reduce(0) { value, n in
        let index = Int(offset) - 4 + n
        return value << 8
          | UInt32(
            FirmwareConfiguration.signature.indices.contains(index)
              ? FirmwareConfiguration.signature[index] : 0xFF)
      }
    }
    // The two ports of the older interface are one register to reads of bytes.
    if width != 1 { return 0xFFFF }
    let next = Int(self.offset)
    let byte = items.withBytes(item) { next < $0.count ? $0[next] : nil }
    if byte != nil { self.offset &+= 1 }
    return UInt32(byte ?? 0)
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    switch (offset, width) {
    case (0, 2): select(UInt16(truncatingIfNeeded: value))
    case (4, 4): addressHigh = value.byteSwapped
    case (8, 4):
      let address = UInt64(addressHigh) << 32 | UInt64(value.byteSwapped)
      addressHigh = 0
      request(at: address)
    default: break
    }
  }

  public func blockRoom(at offset: UInt32, width: Int) -> Int {
    offset == 1 && width == 1 ? 4096 : 0
  }

  public func readBlock(
    at offset: UInt32, width: Int, into buffer: UnsafeMutableRawPointer, count: Int
  ) -> Int {
    guard offset == 1, width == 1 else { return 0 }
    copy(into: UnsafeMutableRawBufferPointer(start: buffer, count: count))
    return count
  }

  /// The next bytes of the item, and zeros behind its end.
  private func copy(into buffer: UnsafeMutableRawBufferPointer) {
    let from = Int(offset)
    let moved = items.withBytes(item) { bytes in
      let moved = max(0, min(buffer.count, bytes.count - from))
      if moved > 0 {
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[from..<from + moved]))
      }
      return moved
    }
    for n in moved..<buffer.count { buffer[n] = 0 }
    offset += UInt32(moved)
  }

  // MARK: Requests

  private enum Control {
    static let error: UInt32 = 1 << 0
    static let read: UInt32 = 1 << 1
    static let skip: UInt32 = 1 << 2
    static let select: UInt32 = 1 << 3
    static let write: UInt32 = 1 << 4
  }

  private func isRAM(_ address: UInt64, _ count: UInt64) -> Bool {
    let (end, overflow) = address.addingReportingOverflow(count)
    return !overflow
      && (count == 0 || ram.contains { $0.lowerBound <= address && end <= $0.upperBound })
  }

  private func request(at address: UInt64) {
    // Without a place to be written back to, nobody learns of an error.
    guard isRAM(address, 16) else { return }
    let words = load(address, 16).withUnsafeBytes { bytes in
      (0..<4).map {
        UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self))
      }
    }
    let control = words[0]
    if control & Control.select != 0 { select(UInt16(control >> 16)) }
    let isDone = move(
      control, length: Int(words[1]), address: UInt64(words[2]) << 32 | UInt64(words[3]))
    // What was moved may have gone over the request: the answer is the last to be written.
    store(address, FirmwareItems.bytes((isDone ? 0 : Control.error).bigEndian))
  }

  /// - Returns: whether all was done; else nothing was.
  private func move(_ control: UInt32, length: Int, address: UInt64) -> Bool {
    let left = max(0, items.count(item) - Int(offset))
    if control & Control.read != 0 {
      guard isRAM(address, UInt64(length)), length - left <= FirmwareConfiguration.mostZeros else {
        return false
      }
      var done = 0
      withUnsafeTemporaryAllocation(byteCount: min(length, 1 << 16), alignment: 16) { buffer in
        while done < length {
          let piece = UnsafeMutableRawBufferPointer(
            rebasing: buffer[..<min(buffer.count, length - done)])
          copy(into: piece)
          store(address + UInt64(done), UnsafeRawBufferPointer(piece))
          done += piece.count
        }
      }
      return true
    }
    if control & Control.write != 0 {
      guard length > 0 else { return true }
      guard let file = items.file(item), items.files[file].isWritable, length <= left,
        isRAM(address, UInt64(length))
      else { return false }
      items.write(file: file, at: Int(offset), load(address, length))
      offset += UInt32(length)
      return true
    }
    if control & Control.skip != 0 { offset += UInt32(min(length, left)) }
    return true
  }

  private func load(_ address: UInt64, _ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      memory.dmaRead(at: address, into: UnsafeMutableRawBufferPointer(buffer))
      initialized = count
    }
  }

  private func store(_ address: UInt64, _ bytes: UnsafeRawBufferPointer) {
    memory.dmaWrite(at: address, from: bytes)
  }
  private func store(_ address: UInt64, _ bytes: [UInt8]) {
    bytes.withUnsafeBytes { store(address, $0) }
  }

  // MARK: State

  public func reset(_ kind: ResetKind) {
    select(0)
    addressHigh = 0
    if !items.writableFiles.isEmpty { items = original }
  }

  public func save(to writer: inout StateWriter) {
    writer.write(selector)
    writer.write(offset)
    writer.write(addressHigh)
    for file in items.writableFiles { writer.write(bytes: items.files[file].bytes) }
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    selector = try reader.read()
    offset = try reader.read(in: 0...UInt32(Int32.max))
    if version < 2 {
      addressHigh = 0
      return
    }
    addressHigh = try reader.read()
    for file in items.writableFiles {
      items.write(file: file, at: 0, try reader.readBytes(count: items.files[file].bytes.count))
    }
  }
}

extension FirmwareConfiguration {
  /// Offsets: 0 the selector, 1 the data, 4 to 11 the address of a request.
  public static let part = PartType(
    "fw-cfg", "ports 510h to 51Bh, where firmware asks for the configuration"
  ) { board, _ in
    let device = FirmwareConfiguration(
      memory: try board.need(offer: (any DMAMemory).self, for: "fw-cfg"))
    let name = device.stateName
    try board.claim(device, at: 0x510...0x510, PortTraits(maxWidth: 2, isSlow: false), owner: name)
    try board.claim(device, at: 0x511...0x511, offset: 1, .quick, owner: name)
    // Registers of 32 bits: narrower writes mean nothing.
    try board.claim(
      device, at: 0x514...0x51B, offset: 4, PortTraits(maxWidth: 4, isSlow: false), owner: name)
    try board.add(device)
  }

  public func inspect() -> [Field] {
    [
      .register("item", selector),
      .text("file", items.file(item).map { StateError.printable(items.files[$0].name) } ?? ""),
      .count("offset", offset), .count("bytes", items.count(item)),
      .register("address high", addressHigh), .count("files", items.files.count),
    ]
  }
}
