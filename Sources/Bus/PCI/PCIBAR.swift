// One base address register's range, and how it is put into the address spaces.
//
// Owns: the mapping of one range; ranges of memory smaller than a page, which share pages. Must not know: what is behind a range.

/// The range of one base address register.
final class PCIBAR {
  /// Of the register in configuration space.
  let offset: Int
  let kind: PCIBARKind
  let file: RegisterFile
  let name: String
  let isMemory: Bool
  /// Where it is now; nil: nowhere.
  private(set) var address: UInt64?
  private var mapping: MappingID?

  init(offset: Int, kind: PCIBARKind, file: RegisterFile, name: String, isMemory: Bool) {
    (self.offset, self.kind, self.file) = (offset, kind, file)
    (self.name, self.isMemory) = (name, isMemory)
  }

  /// Ports stand above those of the ISA side, which gets what no function claims. Memory stands below RAM and ROM, which the host bridge
  /// claims. Where ranges overlap, the earlier position is seen, whatever the order in which they were given.
  func put(at new: UInt64?, _ bus: PCIBus, order: Int) {
    if new == address { return }
    if let address {
      switch kind {
      case .io: if let mapping { bus.board.ports.space.unmap(mapping) }
      case .memory, .memory64:
        if let mapping {
          bus.board.memory.unmap(mapping)
        } else {
          bus.pages.remove(self, at: address)
        }
      }
    }
    mapping = nil
    address = new
    guard let new else { return }
    switch kind {
    case .io(let size, let maxWidth):
      let first = UInt16(truncatingIfNeeded: new)
      mapping = bus.board.ports.map(
        ForwardedRegisters(file), at: first...(first &+ UInt16(size &- 1)),
        PortTraits(maxWidth: maxWidth, isSlow: false), owner: name, priority: 4096 - order)
    case .memory(let size, _): place(new, UInt64(size), bus, order)
    case .memory64(let size, _): place(new, size, bus, order)
    }
  }

  private func place(_ address: UInt64, _ size: UInt64, _ bus: PCIBus, _ order: Int) {
    if size < 4096 {
      bus.pages.add(self, at: address, size: UInt32(size), order: order)
    } else {
      mapping = bus.board.memory.map(
        file, at: PhysicalAddress(address), count: size, isMemory: isMemory, priority: -1 - order)
    }
  }
}

/// Ports of a register file.
private final class ForwardedRegisters: Registers {
  private let file: RegisterFile
  init(_ file: RegisterFile) { self.file = file }
  func read(at offset: UInt32, width: Int) -> UInt32 { file.read(offset, width) }
  func write(at offset: UInt32, _ value: UInt32, width: Int) { file.write(offset, value, width) }
  func blockRoom(at offset: UInt32, width: Int) -> Int { file.blockRoom(offset, width) }
  func readBlock(
    at offset: UInt32, width: Int, into buffer: UnsafeMutableRawPointer, count: Int
  ) -> Int { file.readBlock(offset, width, into: buffer, count) }
  func writeBlock(at offset: UInt32, width: Int, from buffer: UnsafeRawPointer, count: Int) -> Int {
    file.writeBlock(offset, width, from: buffer, count)
  }
}

/// An expansion ROM.
final class PCIROMFile: RegisterFile {
  private let bytes: [UInt8]
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  override func read(_ offset: UInt32, _ width: Int) -> UInt32 {
    var value: UInt32 = 0
    for n in 0..<width {
      let at = Int(offset) + n
      value |= UInt32(at < bytes.count ? bytes[at] : 0xFF) << UInt32(8 * n)
    }
    return value
  }
}

/// Pages of memory that hold ranges smaller than a page.
final class PCIPages {
  private struct Entry {
    let bar: PCIBAR
    let start: UInt32
    let size: UInt32
    let order: Int
  }

  private final class Page: RegisterFile {
    var entries: [Entry] = []
    var mapping: MappingID?

    /// The range that has a byte.
    private func entry(_ offset: UInt32) -> Entry? {
      entries.first { offset &- $0.start < $0.size }
    }

    override func read(_ offset: UInt32, _ width: Int) -> UInt32 {
      guard let entry = entry(offset) else { return UInt32.max }
      return entry.bar.file.read(offset &- entry.start, width)
    }
    override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
      guard let entry = entry(offset) else { return }
      entry.bar.file.write(offset &- entry.start, value, width)
    }
  }

  private var pages: [UInt64: Page] = [:]
  private unowned let board: Board

  init(_ board: Board) { self.board = board }

  func add(_ bar: PCIBAR, at address: UInt64, size: UInt32, order: Int) {
    let page = pages[address >> 12] ?? Page()
    pages[address >> 12] = page
    page.entries.append(
      Entry(bar: bar, start: UInt32(address & 0xFFF), size: size, order: order))
    page.entries.sort { $0.order < $1.order }
    renew(page, address >> 12)
  }

  func remove(_ bar: PCIBAR, at address: UInt64) {
    guard let page = pages[address >> 12] else { return }
    page.entries.removeAll { $0.bar === bar }
    renew(page, address >> 12)
  }

  /// A page stands where the first of its ranges would.
  private func renew(_ page: Page, _ number: UInt64) {
    if let mapping = page.mapping { board.memory.unmap(mapping) }
    page.mapping = nil
    guard let first = page.entries.first else {
      pages[number] = nil
      return
    }
    page.mapping = board.memory.map(
      page, at: PhysicalAddress(number << 12), count: 4096, isMemory: false,
      priority: -1 - first.order)
  }
}
