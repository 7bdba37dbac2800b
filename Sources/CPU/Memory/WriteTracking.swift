// Which RAM pages were written since a time, and exact copies of the translation tables.
//
// Owns: clearing of dirty bits, entries that wait for the first write to their page, saving and restoring the tables as they are.
// Must not know: what pages are tracked for. Nothing here shows in the guest: no entry is dropped (the next access would walk the page
// tables again and set accessed and dirty bits anew), write entries are only sent through the slow path once. Writes through the
// window are noticed because its pages are protected until they are written (WindowGuard).

import Host

extension PhysicalMemory {
  /// Who keeps track of written pages, each with a bit of its own.
  public enum Tracker: UInt8, Sendable {
    /// Snapshots for going back in time.
    case snapshots = 1
    /// Hashes of memory for recordings.
    case hashes = 2
    /// Captures of the whole machine that are kept in files.
    case captures = 4
    /// Moving the machine to another process.
    case migration = 8
  }

  /// Whether first writes through the window are noticed.
  var guardsWindow: Bool { windowGuard != nil }

  /// Has the next write through the window to each page noticed.
  func guardWindow() {
    guard let window else { return }
    if windowGuard == nil { windowGuard = WindowGuard(window, pages: Int(lowPages), dirty: dirty) }
    guard let windowGuard else { return }
    // Pages with code are protected for its sake.
    for range in [0..<0xA0, 0x100..<Int(lowPages)] {
      windowGuard.protect(range) { !isReadOnlyInWindow($0) }
    }
  }
}

/// The translations of a processor at one moment, as they are; valid for the same memory only.
public struct SavedTranslations: Sendable {
  var filled: [UInt32] = []
  /// How many of the last of `filled` are global, and which regions have large pages.
  var globals = 0
  var largeRegions: [UInt8] = []
  /// Supervisor read, supervisor write, user read, user write for each of `filled`; without bit 63.
  var entries: [Int] = []
  /// In system management mode those from before it: one at most.
  var aside: [SavedTranslations] = []
  var spaces = SavedSpaces()

  /// Its size in bytes.
  public var byteCount: Int {
    filled.count * 4 + entries.count * 8 + largeRegions.count + spaces.byteCount
      + aside.reduce(0) { $0 + $1.byteCount }
  }
}

extension CPU {
  /// Calls `body` with every page that was written since the last call for this tracker, ascending.
  public func takeWrittenPages(_ tracker: PhysicalMemory.Tracker, _ body: (Int) -> Void) {
    let bit = tracker.rawValue
    let words = UnsafeMutableRawPointer(memory.dirty)
    let pattern = UInt64(bit) &* 0x0101_0101_0101_0101
    // RAM is a multiple of 64 KiB, hence of 16 pages.
    for word in stride(from: 0, to: memory.pageCount, by: 8) {
      let eight = words.load(fromByteOffset: word, as: UInt64.self)
      if eight & pattern == 0 { continue }
      for page in word..<word + 8 where memory.dirty[page] & bit != 0 {
        memory.dirty[page] &= ~bit
        body(page)
      }
    }
    memory.guardWindow()
    memory.forEachProcessor { cpu in
      cpu.tracksWrites = true
      cpu.contextChanged()
      cpu.watchFirstWrites()
    }
  }

  /// Sends the next write of every entry through the slow path, which marks the page.
  private func watchFirstWrites() {
    forEachTables { tables in
      tables.forEachFilled { page in
        if leadsToRAM(tables.supervisorWrite[page], page) {
          tables.supervisorWrite[page] |= Int.min
        }
        if leadsToRAM(tables.userWrite[page], page) { tables.userWrite[page] |= Int.min }
      }
    }
  }

  /// The same for plain memory of devices.
  func watchDirectWrites() {
    forEachTables { tables in
      tables.forEachFilled { page in
        if leadsToDevice(tables.supervisorWrite[page], page) {
          tables.supervisorWrite[page] |= Int.min
        }
        if leadsToDevice(tables.userWrite[page], page) { tables.userWrite[page] |= Int.min }
      }
    }
  }

  /// Drops the entries that lead to bytes of the host, and no others: these are no longer what is seen there.
  func forgetDirect(_ bytes: UnsafeMutableRawPointer, count: Int) {
    if watching {
      flushTLB()
      stopAfterCurrent()
      return
    }
    let first = Int(bitPattern: bytes)
    var hadCode = false
    tables.forEachFilled { page in
      func leadsThere(_ entry: Int) -> Bool {
        entry != 0 && UInt(bitPattern: (entry & Int.max) &+ page << 12 &- first) < UInt(count)
      }
      guard
        leadsThere(tables.supervisorRead[page]) || leadsThere(tables.supervisorWrite[page])
          || leadsThere(tables.userRead[page]) || leadsThere(tables.userWrite[page])
      else { return }
      tables.clear(page)
      if tables.notes[page] & TranslationTables.Note.code != 0 { hadCode = true }
    }
    if hadCode {
      codeEpochChanged()
      stopAfterCurrent()
    }
  }

  /// Whether a write entry is there and leads to plain memory of a device: there are no others than to this and to RAM.
  @inline(__always)
  private func leadsToDevice(_ entry: Int, _ page: Int) -> Bool {
    entry != 0 && !leadsToRAM(entry, page)
  }

  /// Whether an entry is there and leads to RAM; plain memory of devices is a part of their state.
  @inline(__always)
  private func leadsToRAM(_ entry: Int, _ page: Int) -> Bool {
    if entry == 0 { return false }
    let offset = (entry & Int.max) &+ page << 12 &- Int(bitPattern: memory.ram)
    return UInt(bitPattern: offset) < memory.ramSpan
  }

  /// A page was written the slow way: unless it holds code, its entry is fast from now on.
  @inline(__always)
  func noteWritten(_ linear: UInt32, _ physical: Physical, _ access: Access) {
    let page = physical >> 12 & 0xFFFFFF
    let kind = memory.kinds[Int(page)]
    if kind != PhysicalMemory.Kind.ram && kind != PhysicalMemory.Kind.direct { return }
    let table = access.contains(.user) ? tables.userWrite : tables.supervisorWrite
    table[Int(linear >> 12)] &= Int.max
  }

  /// The translation tables as they are.
  public func saveTranslations() -> SavedTranslations {
    var saved = saved(tables, debug.held)
    if let asideTables { saved.aside = [self.saved(asideTables, asideHeld)] }
    saved.spaces = saveSpaces()
    return saved
  }

  private func saved(_ tables: TranslationTables, _ held: [UInt32: HeldTranslation])
    -> SavedTranslations
  {
    var saved = SavedTranslations()
    saved.filled = tables.filled + tables.filledGlobal
    saved.globals = tables.filledGlobal.count
    saved.largeRegions = Array(UnsafeBufferPointer(start: tables.largeRegions, count: 1024))
    saved.entries.reserveCapacity(4 * saved.filled.count)
    tables.forEachFilled { page in
      if watching, let held = held[UInt32(page)] {
        saved.entries += held.entries
        return
      }
      saved.entries.append(tables.supervisorRead[page])
      saved.entries.append(tables.supervisorWrite[page] & Int.max)
      saved.entries.append(tables.userRead[page])
      saved.entries.append(tables.userWrite[page] & Int.max)
    }
    return saved
  }

  /// Replaces the translation tables. Call after the rest of the processor and memory were restored.
  public func restoreTranslations(_ saved: SavedTranslations) {
    flushTLB()
    restore(saved, to: tables, &debug.held)
    if let asideTables, let aside = saved.aside.first {
      restore(aside, to: asideTables, &asideHeld)
    }
    restoreSpaces(saved.spaces)
  }

  private func restore(
    _ saved: SavedTranslations, to tables: TranslationTables,
    _ heldBack: inout [UInt32: HeldTranslation]
  ) {
    let locals = saved.filled.count - saved.globals
    for (n, page) in saved.filled.enumerated() { tables.list(page, isGlobal: n >= locals) }
    for (n, large) in saved.largeRegions.enumerated() { tables.largeRegions[n] = large }
    for (n, entry) in saved.filled.enumerated() {
      let page = Int(entry)
      let note = tables.notes[page] & ~TranslationTables.Note.global
      tables.notes[page] = n < locals ? note : note | TranslationTables.Note.global
      if watching, isWatched(saved, n) {
        heldBack[entry] = HeldTranslation(
          entries: Array(saved.entries[4 * n..<4 * n + 4]), isGlobal: n >= locals)
        continue
      }
      let write = (saved.entries[4 * n + 1], saved.entries[4 * n + 3])
      tables.supervisorRead[page] = saved.entries[4 * n]
      tables.userRead[page] = saved.entries[4 * n + 2]
      for entry in [write.0, write.1] where leadsToRAM(entry, page) {
        let offset = (entry & Int.max) &+ page << 12 &- Int(bitPattern: memory.ram)
        tables.noteWriter(page, physical: UInt32(truncatingIfNeeded: offset >> 12))
      }
      // The slow path finds out whether there is code.
      tables.supervisorWrite[page] = write.0 != 0 ? write.0 | Int.min : 0
      tables.userWrite[page] = write.1 != 0 ? write.1 | Int.min : 0
    }
  }

  /// Pages with watched bytes have no entries in the tables (WatchedPages.swift).
  private func isWatched(_ saved: SavedTranslations, _ n: Int) -> Bool {
    let linear = saved.filled[n]
    for entry in saved.entries[4 * n..<4 * n + 4] where entry != 0 {
      let offset = entry &+ Int(linear) << 12 &- Int(bitPattern: memory.ram)
      let physical = UInt32(truncatingIfNeeded: offset >> 12)
      if isWatched(linearPage: linear, physicalPage: physical) { return true }
    }
    return false
  }
}
