// Multiboot 1 kernels.
//
// Owns: finding the header, placing the image (address fields or ELF32), the modules and the information structure.
// Must not know: how the pieces get into memory or how the processor gets there.
// Follows: Multiboot Specification 0.6.96; System V ABI, Intel386 supplement (ELF32).

import Host

/// A module given to a multiboot kernel.
public struct KernelModule: Sendable {
  public var file: LoadFile
  /// Its command line: the name and what follows it.
  public var commandLine: String

  public init(file: LoadFile, commandLine: String) {
    self.file = file
    self.commandLine = commandLine
  }
}

enum Multiboot {
  static let magic: UInt32 = 0x1BAD_B002
  private static let headerLimit = 8192
  private enum Flag {
    static let alignModules: UInt32 = 1 << 0
    static let memoryInformation: UInt32 = 1 << 1
    static let videoMode: UInt32 = 1 << 2
    static let addresses: UInt32 = 1 << 16
    static let known = alignModules | memoryInformation | videoMode
  }

  /// The offset of the header, or nil.
  static func header(of file: LoadFile) -> Int? {
    var offset = 0
    let end = min(headerLimit, file.bytes.count) - 12
    while offset <= end {
      if let found = try? file.read(UInt32.self, at: offset, ""), found == magic,
        let flags = try? file.read(UInt32.self, at: offset + 4, ""),
        let checksum = try? file.read(UInt32.self, at: offset + 8, ""),
        found &+ flags &+ checksum == 0
      {
        return offset
      }
      offset += 4
    }
    return nil
  }

  /// Lays out a kernel with its modules.
  static func plan(
    _ file: LoadFile, header: Int, commandLine: String, modules: [KernelModule],
    memory: LoadMemory
  ) throws(LoadError) -> LoadPlan {
    let flags = try file.read(UInt32.self, at: header + 4, "the multiboot header")
    if flags & 0xFFFF & ~Flag.known != 0 {
      throw file.error(
        "the multiboot header demands features that are not known (flags \(hexText(UInt64(flags))))",
        at: header + 4)
    }
    var (pieces, entry) =
      flags & Flag.addresses != 0
      ? try addressed(file, header: header, memory: memory)
      : try elf(file, memory: memory)
    for piece in pieces { try memory.check(piece, "the kernel", file) }
    try checkOverlaps(pieces, file)

    // Modules follow the kernel above 1 MiB, each on a page of its own.
    var next = max(pieces.map(\.end).max() ?? 0, 0x100000)
    var placed: [(start: UInt32, end: UInt32)] = []
    for module in modules {
      next = (next + 0xFFF) & ~0xFFF
      guard next + UInt64(module.file.bytes.count) <= UInt64(memory.ramSize) else {
        throw module.file.error(
          "the module's \(module.file.bytes.count) bytes do not fit into the guest's "
            + "\(memory.ramSize >> 20) MB of memory behind the kernel")
      }
      let piece = LoadPiece(address: UInt32(next), bytes: module.file.bytes)
      pieces.append(piece)
      placed.append((piece.address, UInt32(piece.end)))
      next = piece.end
    }
    let information = try self.information(
      file, commandLine: commandLine, modules: zip(placed, modules.map(\.commandLine)).map { $0 },
      memory: memory, pieces: pieces, after: next)
    pieces.append(information)
    return LoadPlan(
      pieces: pieces, start: .multiboot(entry: entry, information: information.address))
  }

  // MARK: The image

  /// The a.out kludge: the header says where everything goes.
  private static func addressed(_ file: LoadFile, header: Int, memory: LoadMemory)
    throws(LoadError) -> ([LoadPiece], UInt32)
  {
    func field(_ n: Int, _ name: String) throws(LoadError) -> UInt32 {
      try file.read(UInt32.self, at: header + 12 + 4 * n, "\(name) of the multiboot header")
    }
    let headerAddress = try field(0, "header_addr")
    let loadAddress = try field(1, "load_addr")
    let loadEnd = try field(2, "load_end_addr")
    let bssEnd = try field(3, "bss_end_addr")
    let entry = try field(4, "entry_addr")
    guard loadAddress <= headerAddress, UInt64(headerAddress - loadAddress) <= UInt64(header) else {
      throw file.error(
        "load_addr \(hexText(UInt64(loadAddress))) does not fit header_addr "
          + hexText(UInt64(headerAddress)), at: header + 16)
    }
    let start = header - Int(headerAddress - loadAddress)
    var count = UInt64(file.bytes.count - start)
    if loadEnd != 0 {
      guard loadEnd >= loadAddress else {
        throw file.error("load_end_addr lies before load_addr", at: header + 20)
      }
      count = UInt64(loadEnd - loadAddress)
    }
    let bytes = try file.slice(UInt64(start), count, "the kernel's text and data")
    var piece = LoadPiece(address: loadAddress, bytes: bytes)
    if bssEnd != 0 {
      guard UInt64(bssEnd) >= piece.end else {
        throw file.error("bss_end_addr lies before the end of the data", at: header + 24)
      }
      piece.zeros = UInt32(UInt64(bssEnd) - piece.end)
    }
    if UInt64(entry) < UInt64(loadAddress) || UInt64(entry) >= piece.end {
      throw file.error("entry_addr lies outside the kernel", at: header + 28)
    }
    return ([piece], entry)
  }

  private static func elf(_ file: LoadFile, memory: LoadMemory) throws(LoadError)
    -> ([LoadPiece], UInt32)
  {
    guard file.bytes.count >= 52, file.bytes[0..<4] == [0x7F, 0x45, 0x4C, 0x46] else {
      throw file.error(
        "the multiboot header has no address fields and the file is no ELF file", at: 0)
    }
    if file.bytes[4] == 2 { throw file.error("is a 64-bit ELF file; multiboot 1 has 32", at: 4) }
    if file.bytes[4] != 1 { throw file.error("an ELF file of unknown class", at: 4) }
    if file.bytes[5] != 1 { throw file.error("a big-endian ELF file", at: 5) }
    let machine = try file.read(UInt16.self, at: 18, "e_machine")
    if machine != 3 && machine != 6 {
      throw file.error("an ELF file for machine \(machine), not for the 386", at: 18)
    }
    let virtualEntry = try file.read(UInt32.self, at: 24, "e_entry")
    let table = Int(try file.read(UInt32.self, at: 28, "e_phoff"))
    let size = Int(try file.read(UInt16.self, at: 42, "e_phentsize"))
    let count = Int(try file.read(UInt16.self, at: 44, "e_phnum"))
    if count == 0 { throw file.error("no program headers: nothing to load", at: 44) }
    if size < 32 { throw file.error("program headers of \(size) bytes", at: 42) }
    var pieces: [LoadPiece] = []
    var entry: UInt32?
    for n in 0..<count {
      let at = table + n * size
      let type = try file.read(UInt32.self, at: at, "program header \(n)")
      if type != 1 { continue }
      let offset = try file.read(UInt32.self, at: at + 4, "program header \(n)")
      let virtual = try file.read(UInt32.self, at: at + 8, "program header \(n)")
      let physical = try file.read(UInt32.self, at: at + 12, "program header \(n)")
      let inFile = try file.read(UInt32.self, at: at + 16, "program header \(n)")
      let inMemory = try file.read(UInt32.self, at: at + 20, "program header \(n)")
      if inMemory == 0 { continue }
      if inFile > inMemory {
        throw file.error("segment \(n) is larger in the file than in memory", at: at + 16)
      }
      if UInt64(physical) + UInt64(inMemory) > UInt64(memory.ramSize) {
        throw file.error(
          "segment \(n) ends at \(hexText(UInt64(physical) + UInt64(inMemory))), "
            + "beyond the guest's \(memory.ramSize >> 20) MB of memory", at: at + 12)
      }
      let bytes = try file.slice(UInt64(offset), UInt64(inFile), "segment \(n)")
      pieces.append(LoadPiece(address: physical, bytes: bytes, zeros: inMemory - inFile))
      if entry == nil, virtualEntry >= virtual, virtualEntry - virtual < inMemory {
        entry = virtualEntry - virtual &+ physical
      }
    }
    if pieces.isEmpty { throw file.error("no loadable segments", at: table) }
    guard
      let start = entry
        ?? (pieces.contains { $0.address <= virtualEntry && UInt64(virtualEntry) < $0.end }
          ? virtualEntry : nil)
    else {
      throw file.error("the entry \(hexText(UInt64(virtualEntry))) is in no segment", at: 24)
    }
    return (pieces, start)
  }

  private static func checkOverlaps(_ pieces: [LoadPiece], _ file: LoadFile) throws(LoadError) {
    let sorted = pieces.sorted { $0.address < $1.address }
    for (a, b) in zip(sorted, sorted.dropFirst()) where a.end > UInt64(b.address) {
      throw file.error(
        "two segments overlap at physical address \(hexText(UInt64(b.address)))")
    }
  }

  // MARK: The information structure

  private static func information(
    _ file: LoadFile, commandLine: String, modules: [((start: UInt32, end: UInt32), String)],
    memory: LoadMemory, pieces: [LoadPiece], after: UInt64
  ) throws(LoadError) -> LoadPiece {
    let header = 128
    let map = memoryMap(memory)
    let mapAt = header
    let modulesAt = mapAt + map.count
    let textAt = modulesAt + modules.count * 16
    var text: [UInt8] = []
    func add(_ string: String) -> UInt32 {
      let at = UInt32(textAt + text.count)
      text += HostPath.bytes(string) + [0]
      return at
    }
    let commandAt = add(commandLine)
    let nameAt = add("Apus")
    let moduleText = modules.map { add($0.1) }
    let size = UInt64(textAt + text.count)

    // Low memory is where boot loaders have it; above everything else when the kernel is there itself.
    var base: UInt64 = 0x9000
    let end = min(UInt64(memory.lowEnd), 0x90000)
    while base + size <= end, pieces.contains(where: { $0.overlaps(base..<base + size) }) {
      base += 0x1000
    }
    if base + size > end {
      base = (after + 0xFFF) & ~0xFFF
      if base + size > UInt64(memory.ramSize) {
        throw file.error("no memory is left for the boot information")
      }
    }
    let address = UInt32(base)

    var bytes = [UInt8](repeating: 0, count: textAt)
    func put(_ offset: Int, _ value: UInt32) {
      for i in 0..<4 { bytes[offset + i] = UInt8(truncatingIfNeeded: value >> UInt32(8 * i)) }
    }
    put(0, 1 << 0 | 1 << 2 | (modules.isEmpty ? 0 : 1 << 3) | 1 << 6 | 1 << 9)
    put(4, memory.lowEnd >> 10)
    put(8, (memory.ramSize - 0x100000) >> 10)
    put(16, address + commandAt)
    put(20, UInt32(modules.count))
    put(24, modules.isEmpty ? 0 : address + UInt32(modulesAt))
    put(44, UInt32(map.count))
    put(48, address + UInt32(mapAt))
    put(64, address + nameAt)
    for (i, byte) in map.enumerated() { bytes[mapAt + i] = byte }
    for (n, module) in modules.enumerated() {
      put(modulesAt + n * 16, module.0.start)
      put(modulesAt + n * 16 + 4, module.0.end)
      put(modulesAt + n * 16 + 8, address + moduleText[n])
    }
    return LoadPiece(address: address, bytes: bytes + text)
  }

  /// Entries of 24 bytes: the size of the rest, base, length, type (1 usable, 3 ACPI's tables).
  private static func memoryMap(_ memory: LoadMemory) -> [UInt8] {
    let low = UInt64(memory.lowEnd)
    let ranges: [(UInt64, UInt64, UInt32)] = [
      (0, low, 1), (low, 0xA0000, 2), (0xF0000, 0x100000, 2),
      (0x100000, UInt64(memory.ramSize), 1),
      (UInt64(memory.ramSize), UInt64(memory.ramSize) + UInt64(memory.tables), 3),
      (0xFFFC_0000, 0x1_0000_0000, 2),
      (0x1_0000_0000, 0x1_0000_0000 + memory.highSize, 1),
    ]
    var bytes: [UInt8] = []
    func add<T: FixedWidthInteger>(_ value: T) {
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
    for (start, end, type) in ranges where end > start {
      add(UInt32(20))
      add(start)
      add(end - start)
      add(type)
    }
    return bytes
  }
}
