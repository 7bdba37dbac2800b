// The byte form of the translation tables.
//
// Owns: where entries lead, told without host addresses, and the checks on the way back. Must not know: why entries are made.
// What a processor has translated is part of what a guest can see: a page whose accessed bit was cleared without INVLPG has it set again
// by the next walk, and there is a next walk only where no translation was kept (SDM volume 3, 4.10.2.3). So a state has them.
//
//   count of local and of global pages (u32 each), then for each page, ascending: linear page (u32), for supervisor read, supervisor
//   write, user read and user write where the entry leads (u32: a physical page in bits 0 to 23, `Target` in bits 28 to 31);
//   which regions of 4 MiB have large pages (128 bytes); in system management mode the same of the time before it behind a 1, else 0

import State

/// What an entry of the tables leads to.
private enum Target: UInt32 {
  case nothing
  /// A page of the RAM chips, whatever is seen at its address.
  case ram
  /// A page of a device's plain memory.
  case device
  /// A page of ROM.
  case rom
}

extension CPU {
  /// Writes the translations.
  public func saveTranslations(to w: inout StateWriter) {
    let saved = saveTranslations()
    var roms: [Int: UInt32]?
    memory.show(inManagement: management.isActive)
    defer { memory.show(inManagement: management.isActive) }
    // Without paging there is nothing to be seen of them.
    write(s.pointee.cr0 & CR0.pg == 0 ? SavedTranslations() : saved, &roms, to: &w)
    w.write(!saved.aside.isEmpty)
    for aside in saved.aside {
      memory.show(inManagement: false)
      write(aside, &roms, to: &w)
    }
  }

  private func write(
    _ saved: SavedTranslations, _ roms: inout [Int: UInt32]?, to w: inout StateWriter
  ) {
    let locals = saved.filled.count - saved.globals
    w.write(UInt32(locals))
    w.write(UInt32(saved.globals))
    // In whatever order they were made.
    for n in (0..<locals).sorted(by: { saved.filled[$0] < saved.filled[$1] })
      + (locals..<saved.filled.count).sorted(by: { saved.filled[$0] < saved.filled[$1] })
    {
      let page = saved.filled[n]
      w.write(page)
      for entry in saved.entries[4 * n..<4 * n + 4] { w.write(target(entry, page, &roms)) }
    }
    for n in 0..<128 {
      var byte: UInt8 = 0
      for bit in 0..<8 where !saved.largeRegions.isEmpty && saved.largeRegions[8 * n + bit] != 0 {
        byte |= 1 << UInt8(bit)
      }
      w.write(byte)
    }
  }

  private func target(_ entry: Int, _ page: UInt32, _ roms: inout [Int: UInt32]?) -> UInt32 {
    if entry == 0 { return 0 }
    let host = (entry & Int.max) &+ Int(page) << 12
    func code(_ target: Target, _ page: UInt32) -> UInt32 { target.rawValue << 28 | page }
    let offset = UInt(bitPattern: host &- Int(bitPattern: memory.ram))
    if offset < memory.ramSpan { return code(.ram, UInt32(truncatingIfNeeded: offset >> 12)) }
    if let physical = memory.physical(ofHost: host) {
      return code(.device, UInt32(truncatingIfNeeded: physical >> 12) & 0xFFFFFF)
    }
    let known = roms ?? memory.romPages()
    roms = known
    return known[host].map { code(.rom, $0) } ?? 0
  }

  /// Reads what `saveTranslations` wrote. Memory and the rest of the processor must have been restored.
  /// - Throws: `StateError` when entries lead where there is nothing; nothing has changed then.
  public func readTranslations(from r: inout StateReader) throws(StateError) -> SavedTranslations {
    memory.show(inManagement: management.isActive)
    defer { memory.show(inManagement: management.isActive) }
    var saved = try read(from: &r)
    if try r.readBool() {
      if !isInManagementMode { throw r.error("translations of system management mode outside it") }
      memory.show(inManagement: false)
      saved.aside = [try read(from: &r)]
    }
    return saved
  }

  private func read(from r: inout StateReader) throws(StateError) -> SavedTranslations {
    let most = UInt32(TranslationTables.maximumFilled)
    let locals = try r.read(in: 0...most)
    let globals = try r.read(in: 0...most)
    var saved = SavedTranslations()
    saved.globals = Int(globals)
    for _ in 0..<locals + globals {
      let page = try r.read(in: 0...UInt32(TranslationTables.entries - 1))
      saved.filled.append(page)
      for n in 0..<4 { saved.entries.append(try entry(page, write: n & 1 != 0, from: &r)) }
    }
    saved.largeRegions = [UInt8](repeating: 0, count: 1024)
    for n in 0..<128 {
      let byte = try r.read(UInt8.self)
      for bit in 0..<8 { saved.largeRegions[8 * n + bit] = byte >> UInt8(bit) & 1 }
    }
    return saved
  }

  private func entry(_ linear: UInt32, write: Bool, from r: inout StateReader) throws(StateError)
    -> Int
  {
    let value = try r.read(UInt32.self)
    let page = value & 0xFF_FFFF
    func leads(to host: UnsafeMutableRawPointer) -> Int {
      Int(bitPattern: host) &- Int(linear) << 12
    }
    switch Target(rawValue: value >> 28) {
    case .nothing where value == 0: return 0
    case .ram where UInt(page) << 12 < memory.ramSpan && memory.hasPage(Int(page)):
      return leads(to: memory.ram + Int(page) << 12)
    case .device where memory.isDirect(page: page):
      if let host = memory.dataPointer(page: page) { return leads(to: host) }
    case .rom where !write && !memory.isDirect(page: page):
      if let host = memory.dataPointer(page: page) { return leads(to: host) }
    default: break
    }
    throw r.error("a translation that leads to \(String(value, radix: 16))")
  }
}

extension PhysicalMemory {
  /// Which pages show ROM, by the address of the host where their bytes are.
  fileprivate func romPages() -> [Int: UInt32] {
    var found: [Int: UInt32] = [:]
    let words = UnsafeRawPointer(kinds)
    // Eight pages at once, most of which are of the kinds that the eight before them were.
    var boring: UInt64?
    for first in stride(from: 0, to: 1 << 24, by: 8) {
      let eight = words.load(fromByteOffset: first, as: UInt64.self)
      if eight == boring { continue }
      var shows = false
      for page in UInt32(first)..<UInt32(first + 8) {
        switch kinds[Int(page)] & Kind.mask {
        case Kind.rom, Kind.writeOnlyRAM:
          shows = true
          if let host = dataPointer(page: page) {
            let host = Int(bitPattern: host)
            if found[host] == nil { found[host] = page }
          }
        default: break
        }
      }
      if !shows { boring = eight }
    }
    return found
  }
}
