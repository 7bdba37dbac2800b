// Linear to physical: the page walk and the flat tables of the fast path.
//
// Owns: four flat tables of 2^20 entries (read and write, supervisor and user). An entry is the host address of the page minus its
// linear address, 0 when absent; bit 63 marks a write entry whose writes somebody wants to see (the page holds decoded code, or was not
// written since writes are being tracked, see WriteTracking.swift), so that `> 0` is the whole fast check.
// The tables are the TLB: while an entry is there, no access walks the guest's page tables again, whichever path it takes. So a
// saved and restored set of entries continues exactly. Entries are made on demand and dropped like a TLB's. Unpaged modes use the same tables with linear = physical.
// Must not know: segments, instructions.
// Follows: Intel SDM volume 3, chapter 4 (paging).

import Bus
import Host

/// Why memory is accessed; the bits of a page-fault error code that follow from it.
struct Access: OptionSet {
  let rawValue: UInt32
  static let write = Access(rawValue: 2)
  static let user = Access(rawValue: 4)
}

/// The tables and their bookkeeping.
final class TranslationTables {
  static let entries = 1 << 20
  /// How long the list of filled pages may grow.
  static let maximumFilled = 1 << 16
  private let regions: [HostMemory]
  let supervisorRead: UnsafeMutablePointer<Int>
  let supervisorWrite: UnsafeMutablePointer<Int>
  let userRead: UnsafeMutablePointer<Int>
  let userWrite: UnsafeMutablePointer<Int>
  /// Always empty: routes every access through the slow path (alignment checks, data breakpoints).
  let empty: UnsafeMutablePointer<Int>
  /// Linear pages that may have entries, each once, those of global mappings apart.
  private(set) var filled: [UInt32] = []
  private(set) var filledGlobal: [UInt32] = []
  /// For each linear page `Note` bits.
  let notes: UnsafeMutablePointer<UInt8>
  /// For each 4 MiB of linear addresses whether an entry there came from a large page.
  let largeRegions: UnsafeMutablePointer<UInt8>
  /// For each physical page one more than the linear page that has write entries to it; 0: there are none; `manyWriters`: several may
  /// have them. Entries go without being taken out here.
  private let writers: UnsafeMutablePointer<UInt32>
  private static let manyWriters = UInt32.max
  /// How many pages are listed.
  var count: Int { filled.count + filledGlobal.count }

  enum Note {
    /// The last entry made was global.
    static let global: UInt8 = 1
    /// Code was fetched from here; stays set.
    static let code: UInt8 = 2
    /// The last walk led to a device. No more than a hint.
    static let device: UInt8 = 4
    /// It is in `filled`, or in `filledGlobal`.
    static let listed: UInt8 = 8
    static let listedGlobal: UInt8 = 16
    /// It is in the present list of pages of code below CPL 3, or at CPL 3 (AddressSpaces.swift).
    static let supervisorCode: UInt8 = 32
    static let userCode: UInt8 = 64
  }

  /// - Parameter pages: how many physical pages writes can lead to.
  init(pages: Int = entries) throws(HostError) {
    var all: [HostMemory] = []
    for _ in 0..<5 { all.append(try HostMemory(count: TranslationTables.entries * 8)) }
    let p = all.map { $0.base.bindMemory(to: Int.self, capacity: TranslationTables.entries) }
    supervisorRead = p[0]
    supervisorWrite = p[1]
    userRead = p[2]
    userWrite = p[3]
    empty = p[4]
    let noteRegion = try HostMemory(count: TranslationTables.entries)
    notes = noteRegion.base.bindMemory(to: UInt8.self, capacity: TranslationTables.entries)
    let largeRegion = try HostMemory(count: 4096)
    largeRegions = largeRegion.base.bindMemory(to: UInt8.self, capacity: 1024)
    let writerRegion = try HostMemory(count: pages * 4)
    writers = writerRegion.base.bindMemory(to: UInt32.self, capacity: pages)
    regions = all + [noteRegion, largeRegion, writerRegion]
    filled.reserveCapacity(1024)
  }

  @inline(__always)
  func clear(_ page: Int) {
    supervisorRead[page] = 0
    supervisorWrite[page] = 0
    userRead[page] = 0
    userWrite[page] = 0
  }

  /// Drops all entries, or all that are not global.
  func flush(keepGlobal: Bool) {
    for page in filled {
      clear(Int(page))
      notes[Int(page)] &= ~Note.listed
    }
    filled.removeAll(keepingCapacity: true)
    if keepGlobal { return }
    for page in filledGlobal {
      clear(Int(page))
      notes[Int(page)] &= ~Note.listedGlobal
    }
    filledGlobal.removeAll(keepingCapacity: true)
    for n in 0..<1024 { largeRegions[n] = 0 }
  }

  /// A page is about to have entries. It may be in both lists: then it was local once and is global now, or the reverse, and goes with
  /// either.
  @inline(__always)
  func list(_ page: UInt32, isGlobal: Bool) {
    let bit = isGlobal ? Note.listedGlobal : Note.listed
    if notes[Int(page)] & bit != 0 { return }
    notes[Int(page)] |= bit
    if isGlobal { filledGlobal.append(page) } else { filled.append(page) }
  }

  /// Calls `body` with every linear page that may have entries; with those in both lists twice.
  @inline(__always)
  func forEachFilled(_ body: (Int) -> Void) {
    for page in filled { body(Int(page)) }
    for page in filledGlobal { body(Int(page)) }
  }

  /// A write entry is made. Every one must be told of.
  @inline(__always)
  func noteWriter(_ linearPage: Int, physical: UInt32) {
    let new = UInt32(linearPage) &+ 1
    let place = writers + Int(physical)
    if place.pointee == new { return }
    place.pointee = place.pointee == 0 ? new : TranslationTables.manyWriters
  }

  /// Marks every write entry that leads to a host page, because it now holds code.
  /// - Parameter only: without paging, the one linear page that leads there, but for address line 20.
  func protectWrites(to host: Int, physical: UInt32, only: UInt32?) {
    forEachWriter(to: host, physical, only) { $0 |= Int.min }
  }

  /// The reverse: the host page holds no code any more.
  func unprotectWrites(to host: Int, physical: UInt32, only: UInt32?) {
    forEachWriter(to: host, physical, only) { $0 &= Int.max }
  }

  @inline(__always)
  private func forEachWriter(
    to host: Int, _ physical: UInt32, _ only: UInt32?, _ body: (inout Int) -> Void
  ) {
    @inline(__always) func visit(_ page: Int) -> Bool {
      let delta = host &- page << 12
      let supervisor = supervisorWrite[page] & Int.max == delta
      let user = userWrite[page] & Int.max == delta
      if supervisor { body(&supervisorWrite[page]) }
      if user { body(&userWrite[page]) }
      return supervisor || user
    }
    if let only {
      _ = visit(Int(only & 0xFFFFF))
      _ = visit(Int(only & 0xFFFFF) ^ 0x100)
      return
    }
    let place = writers + Int(physical)
    if place.pointee == 0 { return }
    if place.pointee != TranslationTables.manyWriters {
      if !visit(Int(place.pointee &- 1)) { place.pointee = 0 }
      return
    }
    // After this look it is known again who there is.
    var found: UInt32 = 0
    forEachFilled { page in
      if visit(page) { found = found == 0 ? UInt32(page) &+ 1 : TranslationTables.manyWriters }
    }
    place.pointee = found
  }
}

extension CPU {
  // MARK: - Translation

  /// Translates one linear address; sets A and D bits; makes the fast-path entry.
  /// - Throws: #PF with CR2 set.
  @inline(never)
  func translate(_ linear: UInt32, _ access: Access) throws(Fault) -> Physical {
    var physical = Physical(linear)
    var global = false
    var writable = true
    var userOK = true
    if s.pointee.cr0 & CR0.pg != 0 {
      if let known = translated(linear, access) { return known }
      let walk = try walkHere(linear, access)
      physical = walk.physical
      global = walk.global
      writable = walk.writable
      userOK = walk.user
      if walk.large { tables.largeRegions[Int(linear >> 22)] = 1 }
    }
    physical &= view.allLines
    if s.pointee.cr0 & CR0.pg == 0,
      tables.notes[Int(linear >> 12)] & TranslationTables.Note.device != 0,
      memory.kinds[Int(physical >> 12 & 0xFFFFFF)] & PhysicalMemory.Kind.mask
        == PhysicalMemory.Kind.mmio
    {
      return physical
    }
    fill(linear: linear, physical: physical, access, global: global, writable, userOK)
    return physical
  }

  /// The physical address by an entry that is there already; ROM is always walked to.
  @inline(__always)
  private func translated(_ linear: UInt32, _ access: Access) -> Physical? {
    let index = Int(linear >> 12)
    var entry =
      access.contains(.write)
      ? (access.contains(.user) ? tables.userWrite[index] : tables.supervisorWrite[index])
      : (access.contains(.user) ? tables.userRead[index] : tables.supervisorRead[index])
    if entry == 0 {
      if !watching { return nil }
      entry = heldEntry(UInt32(index), access)
      if entry == 0 { return nil }
    }
    return memory.physical(ofHost: (entry & Int.max) &+ Int(linear))
  }

  /// Makes the entry for an access that a walk allowed.
  @inline(__always)
  func fill(
    linear: UInt32, physical: Physical, _ access: Access, global: Bool, _ writable: Bool,
    _ userOK: Bool
  ) {
    let page = UInt32(truncatingIfNeeded: physical >> 12) & 0xFFFFFF
    let index = Int(linear >> 12)
    let kept = TranslationTables.Note.global | TranslationTables.Note.device
    let note = tables.notes[index] & ~kept | (global ? TranslationTables.Note.global : 0)
    if memory.kinds[Int(page)] & PhysicalMemory.Kind.mask == PhysicalMemory.Kind.mmio {
      tables.notes[index] = note | TranslationTables.Note.device
      return
    }
    tables.notes[index] = note
    guard let host = memory.dataPointer(page: page) else { return }
    statistics.tableFills &+= 1
    if watching && isWatched(linearPage: linear >> 12, physicalPage: page) {
      holdBack(linear: linear, physicalPage: page, host, access, global: global)
      return
    }
    let delta = Int(bitPattern: host) &- index << 12
    if tables.supervisorRead[index] == 0 && tables.userRead[index] == 0
      && tables.supervisorWrite[index] == 0 && tables.userWrite[index] == 0
    {
      // INVLPG leaves its pages in the list; one that has grown long is started anew.
      if tables.count >= TranslationTables.maximumFilled {
        tables.flush(keepGlobal: false)
        dropHeld(keepGlobal: false)
        forgetSpaces()
        codeEpochChanged()
      }
      tables.list(UInt32(index), isGlobal: global)
    }
    // `writable` and `userOK` were checked for this access's privilege; an entry serves that privilege only.
    let user = access.contains(.user)
    if user { tables.userRead[index] = delta } else { tables.supervisorRead[index] = delta }
    if access.contains(.write), memory.isRAM(page: page) {
      let entry = memory.hasCode(page: page) ? delta | Int.min : delta
      memory.dirty[Int(page)] = 0xFF
      tables.noteWriter(index, physical: page)
      if user { tables.userWrite[index] = entry } else { tables.supervisorWrite[index] = entry }
    } else if access.contains(.write), memory.isDirect(page: page) {
      memory.noteDirectWrite(page: page)
      if user { tables.userWrite[index] = delta } else { tables.supervisorWrite[index] = delta }
    }
  }

  struct Walk {
    var physical: Physical
    var global: Bool
    var writable: Bool
    var user: Bool
    var large = false
  }

  private func pageFault(_ linear: UInt32, _ access: Access, present: Bool, reserved: Bool = false)
    -> Fault
  {
    s.pointee.cr2 = linear
    return .pf(access.rawValue | (present ? 1 : 0) | (reserved ? 8 : 0))
  }

  /// Whether the rights of a walk allow an access.
  @inline(__always)
  private func allowed(_ access: Access, writable: Bool, user: Bool) -> Bool {
    if access.contains(.user) {
      return user && (writable || !access.contains(.write))
    }
    return writable || !access.contains(.write) || s.pointee.cr0 & CR0.wp == 0
  }

  func walk(_ linear: UInt32, _ access: Access) throws(Fault) -> Walk {
    try walkHere(linear, access)
  }

  @inline(__always)
  private func walkHere(_ linear: UInt32, _ access: Access) throws(Fault) -> Walk {
    if s.pointee.cr4 & CR4.pae != 0 { return try walkPAE(linear, access) }
    let dirAddress = view.bus((s.pointee.cr3 & 0xFFFF_F000) | (linear >> 20 & 0xFFC))
    var pde = view.read32(dirAddress)
    guard pde & 1 != 0 else { throw pageFault(linear, access, present: false) }
    if pde & 0x80 != 0 && s.pointee.cr4 & CR4.pse != 0 {
      // With PSE-36, bits 13 to 16 are address bits 32 to 35; what remains is reserved.
      let reserved: UInt32 = model.features.contains(.pse36) ? 0x003E_0000 : 0x003F_E000
      if pde & reserved != 0 {
        throw pageFault(linear, access, present: true, reserved: true)
      }
      let writable = pde & 2 != 0
      let user = pde & 4 != 0
      if !allowed(access, writable: writable, user: user) {
        throw pageFault(linear, access, present: true)
      }
      let mark: UInt32 = access.contains(.write) ? 0x60 : 0x20
      if pde & mark != mark {
        pde |= mark
        setEntry(dirAddress, pde)
      }
      let global = pde & 0x100 != 0 && s.pointee.cr4 & CR4.pge != 0
      return Walk(
        physical: CPU.largePage(pde) | Physical(linear & 0x3FFFFF), global: global,
        writable: writable, user: user, large: true)
    }
    let tableAddress = view.bus((pde & 0xFFFF_F000) | (linear >> 10 & 0xFFC))
    var pte = view.read32(tableAddress)
    guard pte & 1 != 0 else { throw pageFault(linear, access, present: false) }
    let both = pde & pte
    let writable = both & 2 != 0
    let user = both & 4 != 0
    if !allowed(access, writable: writable, user: user) {
      throw pageFault(linear, access, present: true)
    }
    if pde & 0x20 == 0 {
      pde |= 0x20
      setEntry(dirAddress, pde)
    }
    let mark: UInt32 = access.contains(.write) ? 0x60 : 0x20
    if pte & mark != mark {
      pte |= mark
      setEntry(tableAddress, pte)
    }
    let global = pte & 0x100 != 0 && s.pointee.cr4 & CR4.pge != 0
    return Walk(
      physical: Physical((pte & 0xFFFF_F000) | (linear & 0xFFF)), global: global,
      writable: writable, user: user)
  }

  /// Where a page of 4 MiB is; without PSE-36 the bits above 32 are zeros.
  @inline(__always)
  private static func largePage(_ pde: UInt32) -> Physical {
    Physical(pde & 0xFFC0_0000) | Physical(pde & 0x1_E000) << 19
  }

  /// The walk sets a bit.
  private func setEntry(_ address: PhysicalAddress, _ value: UInt32) {
    if watching { noteWalk(address.value, value) }
    view.write32(address, value)
  }

  /// Only the low half of a PAE entry has bits that the walk sets.
  private func setLowHalf(_ address: PhysicalAddress, _ value: UInt64) {
    setEntry(address, UInt32(truncatingIfNeeded: value))
  }

  @inline(never)
  private func walkPAE(_ linear: UInt32, _ access: Access) throws(Fault) -> Walk {
    let pdpte: UInt64
    switch linear >> 30 {
    case 0: pdpte = s.pointee.pdpte.0
    case 1: pdpte = s.pointee.pdpte.1
    case 2: pdpte = s.pointee.pdpte.2
    default: pdpte = s.pointee.pdpte.3
    }
    guard pdpte & 1 != 0 else { throw pageFault(linear, access, present: false) }
    let addressMask: UInt64 = 0xF_FFFF_F000
    let reserved: UInt64 = ~0xF_FFFF_FFFF
    let pdeAddress = view.bus((pdpte & addressMask) | UInt64(linear >> 18 & 0xFF8))
    var pde = view.read64(pdeAddress)
    guard pde & 1 != 0 else { throw pageFault(linear, access, present: false) }
    if pde & reserved != 0 { throw pageFault(linear, access, present: true, reserved: true) }
    if pde & 0x80 != 0 {
      if pde & 0x1F_E000 != 0 { throw pageFault(linear, access, present: true, reserved: true) }
      let writable = pde & 2 != 0
      let user = pde & 4 != 0
      if !allowed(access, writable: writable, user: user) {
        throw pageFault(linear, access, present: true)
      }
      let mark: UInt64 = access.contains(.write) ? 0x60 : 0x20
      if pde & mark != mark {
        pde |= mark
        setLowHalf(pdeAddress, pde)
      }
      return Walk(
        physical: pde & 0xF_FFE0_0000 | Physical(linear & 0x1FFFFF),
        global: pde & 0x100 != 0 && s.pointee.cr4 & CR4.pge != 0, writable: writable, user: user,
        large: true)
    }
    let pteAddress = view.bus((pde & addressMask) | UInt64(linear >> 9 & 0xFF8))
    var pte = view.read64(pteAddress)
    guard pte & 1 != 0 else { throw pageFault(linear, access, present: false) }
    if pte & reserved != 0 { throw pageFault(linear, access, present: true, reserved: true) }
    let both = pde & pte
    let writable = both & 2 != 0
    let user = both & 4 != 0
    if !allowed(access, writable: writable, user: user) {
      throw pageFault(linear, access, present: true)
    }
    if pde & 0x20 == 0 {
      pde |= 0x20
      setLowHalf(pdeAddress, pde)
    }
    let mark: UInt64 = access.contains(.write) ? 0x60 : 0x20
    if pte & mark != mark {
      pte |= mark
      setLowHalf(pteAddress, pte)
    }
    return Walk(
      physical: pte & addressMask | Physical(linear & 0xFFF),
      global: pte & 0x100 != 0 && s.pointee.cr4 & CR4.pge != 0, writable: writable, user: user)
  }

  /// Translates without side effects, for debuggers and reports; nil where nothing is mapped.
  func peekPhysical(_ linear: Linear) -> Physical? {
    guard s.pointee.cr0 & CR0.pg != 0 else { return Physical(linear & view.lines) }
    if s.pointee.cr4 & CR4.pae != 0 {
      func entry(_ address: UInt64) -> UInt64 { view.peek64(view.bus(address)) }
      let list = [s.pointee.pdpte.0, s.pointee.pdpte.1, s.pointee.pdpte.2, s.pointee.pdpte.3]
      let addressMask: UInt64 = 0xF_FFFF_F000
      let pdpte = list[Int(linear >> 30)]
      guard pdpte & 1 != 0 else { return nil }
      let pde = entry(pdpte & addressMask | UInt64(linear >> 18 & 0xFF8))
      guard pde & 1 != 0 else { return nil }
      if pde & 0x80 != 0 { return pde & 0xF_FFE0_0000 | UInt64(linear & 0x1FFFFF) }
      let pte = entry(pde & addressMask | UInt64(linear >> 9 & 0xFF8))
      return pte & 1 != 0 ? pte & addressMask | UInt64(linear & 0xFFF) : nil
    }
    func entry(_ address: UInt32) -> UInt32 { view.peek32(view.bus(address)) }
    let pde = entry((s.pointee.cr3 & 0xFFFF_F000) | (linear >> 20 & 0xFFC))
    guard pde & 1 != 0 else { return nil }
    if pde & 0x80 != 0 && s.pointee.cr4 & CR4.pse != 0 {
      return CPU.largePage(pde) | Physical(linear & 0x3FFFFF)
    }
    let pte = entry((pde & 0xFFFF_F000) | (linear >> 10 & 0xFFC))
    return pte & 1 != 0 ? Physical((pte & 0xFFFF_F000) | (linear & 0xFFF)) : nil
  }

  // MARK: - Dropping translations

  /// Drops translations as MOV CR3 does (global pages stay when CR4.PGE is set) or all of them.
  public func flushTLB(keepGlobal: Bool = false) {
    let keep = keepGlobal && s.pointee.cr4 & CR4.pge != 0
    tables.flush(keepGlobal: keep)
    if watching { dropHeld(keepGlobal: keep) }
    if asideTables != nil { flushAside() }
    if keepGlobal { return enterSpace(s.pointee.cr3) }
    forgetSpaces()
    codeEpochChanged()
  }

  /// INVLPG: drops the translation of one page; a large page's neighbours go with it.
  func invalidatePage(_ linear: UInt32) {
    var notes = tables.notes[Int(linear >> 12)]
    tables.clear(Int(linear >> 12))
    let listed = TranslationTables.Note.supervisorCode | TranslationTables.Note.userCode
    tables.notes[Int(linear >> 12)] &= ~listed
    if tables.largeRegions[Int(linear >> 22)] != 0 {
      let span = s.pointee.cr4 & CR4.pae != 0 ? 512 : 1024
      let first = Int(linear >> 12) & ~(span - 1)
      for page in first..<first + span {
        notes |= tables.notes[page]
        tables.notes[page] &= ~listed
        tables.clear(page)
      }
    }
    if watching {
      dropHeld(page: linear >> 12, large: tables.largeRegions[Int(linear >> 22)] != 0)
    }
    if asideTables != nil {
      flushAside()
      forgetSpaces()
    }
    if notes & TranslationTables.Note.code != 0 || asideTables != nil { codeEpochChanged() }
  }
}
