// RAM beneath the adapters' addresses, as a host bridge shows it.
//
// Owns: which of the pages from A0000h to FFFFFh are RAM to reads, to writes, to processors alone; dropping what was derived from the
// pages that change, and nothing else. SMRAM, which processors in system management mode see: SystemManagementRAM.swift. Must not know:
// the bridge's registers.
// Follows: Intel 82441FX data sheet, 3.2.18 (PAM registers).

import Bus

/// Which accesses of the pages from A0000h to FFFFFh the host bridge leads to RAM.
struct ShadowPages {
  enum Access: UInt8 {
    case none = 0
    /// Writes go to the bus.
    case read = 1
    /// Reads come from the bus.
    case write = 2
    case readWrite = 3

    init(readRAM: Bool, writeRAM: Bool) {
      self = readRAM ? (writeRAM ? .readWrite : .read) : (writeRAM ? .write : .none)
    }
  }

  private static let first: UInt32 = 0xA0
  private var pages = [Access](repeating: .none, count: 0x60)
  /// What of A0000h to BFFFFh is RAM to processors.
  var smram = SystemManagementRAM()

  /// Whether a page is among A0000h to BFFFFh, where the video memory is, and SMRAM beneath.
  @inline(__always)
  static func isVideo(_ page: UInt32) -> Bool { page &- first < 0x20 }
  static let video: Range<UInt32> = first..<first + 0x20

  func access(_ page: UInt32) -> Access {
    page &- ShadowPages.first < 0x60 ? pages[Int(page &- ShadowPages.first)] : .none
  }

  /// - Parameter range: page numbers within.
  /// - Returns: the pages that differ from before.
  mutating func set(_ range: ClosedRange<UInt32>, _ access: Access) -> [UInt32] {
    range.filter { page in
      let n = Int(page - ShadowPages.first)
      defer { pages[n] = access }
      return pages[n] != access
    }
  }
}

extension PhysicalMemory {
  /// What the RAM beneath the adapters' addresses does, as a host bridge's attribute registers have it: each of reads and writes goes to
  /// RAM or to the bus, where ROM, a device or nobody answers. Bus masters see the same. Part of the bridge's state: it says it again
  /// when it was restored; what RAM holds is saved as RAM.
  /// - Parameter range: whole pages from A0000h to FFFFFh.
  public func setShadow(_ range: ClosedRange<UInt32>, readRAM: Bool, writeRAM: Bool) {
    precondition(range.lowerBound >= 0xA0000 && range.upperBound < 0x100000)
    let access = ShadowPages.Access(readRAM: readRAM, writeRAM: writeRAM)
    var changed = shadow
    let pages = changed.set(range.lowerBound >> 12...range.upperBound >> 12, access)
    if !pages.isEmpty { change(pages, to: changed) }
  }

  /// Translations that lead to these pages and code from them go; the next access finds what is there now.
  func change(_ pages: [UInt32], to new: ShadowPages) {
    var hosts = Set<Int>()
    for page in pages {
      if let host = dataPointer(page: page) { hosts.insert(Int(bitPattern: host)) }
      if ShadowPages.isVideo(page) { hosts.formUnion(videoHosts(page)) }
      forEachProcessor { _ = $0.blocks.invalidate(page: page, offset: 0, count: 0x1000) }
      if codeGranules[Int(page)] != 0 { clearCode(page: page, written: false) }
    }
    shadow = new
    for page in pages {
      let first = UInt64(page) << 12
      renewKinds(PhysicalAddress(first)...PhysicalAddress(first + 0xFFF))
    }
    forEachProcessor { $0.hostPagesChanged(hosts) }
  }
}

extension CPU {
  /// Other bytes than those at some addresses of the host are to be seen now.
  fileprivate func hostPagesChanged(_ hosts: Set<Int>) {
    dropHosts(hosts, of: tables, held: &debug.held)
    if let asideTables { dropHosts(hosts, of: asideTables, held: &asideHeld) }
    codeEpochChanged()
    stopAfterCurrent()
  }

  private func dropHosts(
    _ hosts: Set<Int>, of tables: TranslationTables, held: inout [UInt32: HeldTranslation]
  ) {
    tables.forEachFilled { page in
      func leads(_ entry: Int) -> Bool {
        entry != 0 && hosts.contains((entry & Int.max) &+ page << 12)
      }
      if leads(tables.supervisorRead[page]) || leads(tables.supervisorWrite[page])
        || leads(tables.userRead[page]) || leads(tables.userWrite[page])
      {
        tables.clear(page)
      }
      if watching, let translation = held[UInt32(page)],
        translation.entries.contains(where: leads)
      {
        held[UInt32(page)] = nil
      }
    }
  }
}
